//! Links that lead somewhere, and pages that somebody can find.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::tree::Tree;

const START: &str = "README.md";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut leads_to: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, text) in tree.with_extension("md") {
        for Link { line, target } in links(text) {
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let Some(file) = resolve(path, file) else {
                let remedy = "link inside the repository, or give a full address";
                found.push(Violation::new(path, line, format!("`{target}` leads out of the tree"), remedy));
                continue;
            };
            if !tree.exists(&file) {
                let what = format!("`{target}` leads nowhere: there is no {file}");
                found.push(Violation::new(path, line, what, "correct the link, or write the page"));
                continue;
            }
            if let (Some(anchor), Some(page)) = (anchor, tree.get(&file).filter(|_| file.ends_with(".md")))
                && !anchors(page).contains(anchor)
            {
                let what = format!("`{target}`: no heading of {file} has this anchor");
                found.push(Violation::new(path, line, what, "correct the anchor"));
            }
            leads_to.entry(path).or_default().push(file);
        }
    }
    let reached = reachable(&leads_to);
    for (path, _) in tree.iter().filter(|(path, _)| path.starts_with("docs/")) {
        let folder_is_linked = path.rsplit_once('/').is_some_and(|(folder, _)| reached.contains(folder));
        if !reached.contains(path) && !folder_is_linked {
            let what = format!("no way leads here from {START}");
            found.push(Violation::new(path, 1, what, "link it from a page that a reader reaches, or delete it"));
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
struct Link<'a> {
    line: usize,
    target: &'a str,
}

/// Relative links, those of pictures too. What stands in a fence or between backticks is no link.
fn links(text: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced || line.starts_with("    ") {
            continue;
        }
        for prose in line.split('`').step_by(2) {
            for (at, _) in prose.match_indices("](") {
                let target = prose[at + 2..].split([')', ' ']).next().unwrap_or("");
                let absolute = target.contains("://") || target.starts_with("mailto:");
                if !absolute && !target.is_empty() {
                    found.push(Link { line: index + 1, target });
                }
            }
        }
    }
    found
}

/// Where a relative link leads, from the root; the page itself if it names no file.
fn resolve(page: &str, file: &str) -> Option<String> {
    if file.is_empty() {
        return Some(page.to_owned());
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a page's headings, made as the usual viewers make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut all = BTreeSet::new();
    for line in page.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced || !line.starts_with('#') {
            continue;
        }
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|one| one.is_alphanumeric() || " -_".contains(*one));
        all.insert(kept.map(|one| if one == ' ' { '-' } else { one }).collect());
    }
    all
}

fn reachable(leads_to: &BTreeMap<&str, Vec<String>>) -> BTreeSet<String> {
    let mut reached = BTreeSet::from([START.to_owned()]);
    let mut next = vec![START.to_owned()];
    while let Some(page) = next.pop() {
        for target in leads_to.get(page.as_str()).into_iter().flatten() {
            if reached.insert(target.clone()) {
                next.push(target.clone());
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|one| format!("{}:{}: {}", one.path, one.line, one.what)).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_quiet() {
        let files = [
            (
                START,
                "[a](docs/a.md), [b](docs/a.md#two-words), [c](https://example.org/x.md), ![d](docs/d.svg), [e](#top)\n# Top\n",
            ),
            ("docs/a.md", "# Two words\n[up](../README.md) [folder](deep)\n"),
            ("docs/deep/b.md", ""),
            ("docs/d.svg", ""),
        ];
        assert_eq!(complaints(&files), [""; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let files = [(START, "\n[a](docs/none.md)\n[b](docs/a.md#none)\n[c](../x.md)\n"), ("docs/a.md", "")];
        let found = complaints(&files);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("README.md:2: `docs/none.md` leads nowhere"));
        assert!(found[1].contains("no heading of docs/a.md"));
        assert!(found[2].contains("leads out of the tree"));
    }

    #[test]
    fn what_is_quoted_is_no_link() {
        let files = [(START, "`[a](none.md)`\n```\n[b](none.md)\n```\n    [c](none.md)\n")];
        assert_eq!(complaints(&files), [""; 0]);
    }

    #[test]
    fn a_page_that_nobody_finds_is_found() {
        let files = [(START, "[a](docs/a.md)\n"), ("docs/a.md", "[b](b.md)\n"), ("docs/b.md", ""), ("docs/c.md", "")];
        assert_eq!(complaints(&files), ["docs/c.md:1: no way leads here from README.md"]);
    }
}
