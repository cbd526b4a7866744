//! The numbers of rules: what code cites is defined, and what the protocol's page defines is cited, by code and by a
//! test.
//!
//! A rule is defined where its number begins what stands in bold (`**P-1**`, `**L-3 Exactly once.**`), in a page under
//! `docs/` or at the head of a crate. The page of the protocol and the head of its crate define the same ones. A hazard
//! is defined in `docs/protocol/hazards.md`, by its number in the first column of a table.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::text::TestFiles;
use crate::source::{Source, words};
use crate::tree::Tree;

/// Where the rules of agreement are defined, all of which need code and a test.
const PROTOCOL: &str = "docs/protocol/pbft.md";
/// The same rules, for whoever reads the code.
const PROTOCOL_HEAD: &str = "crates/pbft/src/lib.rs";
const HAZARDS: &str = "docs/protocol/hazards.md";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut defined: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut required = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| defines_rules(path)) {
        for (line, rule) in definitions(text) {
            if path == PROTOCOL {
                if required.iter().any(|(known, _)| *known == rule) {
                    let what = format!("rule {rule} is defined twice");
                    found.push(Violation::new(path, line, what, "give one of them another number"));
                }
                required.push((rule.clone(), line));
            }
            defined.insert(rule, (path.to_owned(), line));
        }
    }
    let hazards: BTreeSet<u32> = tree.get(HAZARDS).into_iter().flat_map(str::lines).filter_map(hazard_row).collect();
    let citations = Citations::collect(tree);
    for (what, place) in &citations.rules {
        if !defined.contains_key(what) {
            let remedy = "define it in bold at the head of its crate or under docs/, or cite the rule that is meant";
            found.push(Violation::new(&place.path, place.line, format!("there is no rule {what}"), remedy));
        }
    }
    for (hazard, place) in &citations.hazards {
        if !hazards.contains(hazard) {
            let remedy = format!("say in {HAZARDS} what goes wrong, or cite the hazard that is meant");
            found.push(Violation::new(&place.path, place.line, format!("there is no hazard {hazard}"), remedy));
        }
    }
    found.extend(disagreements(tree, PROTOCOL, PROTOCOL_HEAD));
    found.extend(disagreements(tree, PROTOCOL_HEAD, PROTOCOL));
    for (rule, line) in required {
        if !citations.by_code.contains(&rule) {
            let remedy = format!("write `{rule}` where the code does it; a rule that nothing does is none");
            found.push(Violation::new(PROTOCOL, line, format!("no code cites rule {rule}"), remedy));
        }
        if !citations.by_tests.contains(&rule) {
            let remedy = format!("write `{rule}` at the test that fails when the rule is broken");
            found.push(Violation::new(PROTOCOL, line, format!("no test cites rule {rule}"), remedy));
        }
    }
    found
}

/// Rules that the one page defines and the other does not.
fn disagreements(tree: &Tree, one: &str, other: &str) -> Vec<Violation> {
    let (Some(here), Some(there)) = (tree.get(one), tree.get(other)) else { return Vec::new() };
    let there: BTreeSet<String> = definitions(there).into_iter().map(|(_, rule)| rule).collect();
    let only_here = definitions(here).into_iter().filter(|(_, rule)| !there.contains(rule));
    let remedy = format!("define it in {other} as well: both are read as the whole of the rules");
    only_here
        .map(|(line, rule)| Violation::new(one, line, format!("rule {rule} is not in {other}"), remedy.clone()))
        .collect()
}

fn defines_rules(path: &str) -> bool {
    let is_head = path.starts_with("crates/") && path.ends_with("/src/lib.rs");
    is_head || (path.starts_with("docs/") && path.ends_with(".md"))
}

/// Rules in bold, with their lines.
fn definitions(text: &str) -> Vec<(usize, String)> {
    let bold = |(index, line): (usize, &str)| -> Vec<_> {
        let parts = line.split("**").skip(1).step_by(2);
        let first = |part: &'_ str| rule_at(part.split_whitespace().next()?.trim_end_matches('.'));
        parts.filter_map(first).map(|rule| (index + 1, rule)).collect()
    };
    text.lines().enumerate().flat_map(bold).collect()
}

/// A rule's number, if the text is exactly one.
fn rule_at(text: &str) -> Option<String> {
    let (family, number) = text.split_once('-')?;
    let is_family = family.len() == 1 && family.bytes().all(|one| one.is_ascii_uppercase());
    let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|one| one.is_ascii_digit());
    (is_family && is_number).then(|| text.to_owned())
}

fn hazard_row(line: &str) -> Option<u32> {
    line.strip_prefix('|')?.split('|').next()?.trim().parse().ok()
}

#[derive(Debug)]
struct Place {
    path: String,
    line: usize,
}

/// What Rust files cite.
#[derive(Debug, Default)]
struct Citations {
    rules: Vec<(String, Place)>,
    hazards: Vec<(u32, Place)>,
    by_code: BTreeSet<String>,
    by_tests: BTreeSet<String>,
}

impl Citations {
    fn collect(tree: &Tree) -> Self {
        let mut all = Self::default();
        let tests = TestFiles::of(tree);
        for (path, text) in tree.with_extension("rs").filter(|(path, _)| path.starts_with("crates/")) {
            let is_test = tests.contain(path);
            let source = Source::new(text);
            let words_only = source.comments.lines().zip(source.strings.lines()).enumerate();
            for (index, (comment, string)) in words_only {
                let line = index + 1;
                for rule in rules_in(comment).into_iter().chain(rules_in(string)) {
                    // The list at the head of a crate says what the rules are; that is no code that does them.
                    let defines = defines_rules(path) && comment.contains(&format!("**{rule}"));
                    match (defines, is_test || source.is_test(line)) {
                        (true, _) => {}
                        (false, true) => drop(all.by_tests.insert(rule.clone())),
                        (false, false) => drop(all.by_code.insert(rule.clone())),
                    }
                    all.rules.push((rule, Place { path: path.to_owned(), line }));
                }
            }
            for (line, hazard) in hazards_in(&source.comments) {
                all.hazards.push((hazard, Place { path: path.to_owned(), line }));
            }
        }
        all
    }
}

/// Every `X-1` in a line, `X-1 to X-3` and `X-1..3` not expanded: a citation names what it means.
fn rules_in(line: &str) -> Vec<String> {
    let words: Vec<_> = words(line).collect();
    let pairs = words.windows(2).filter(|pair| {
        let ((at, family), (next, _)) = (pair[0], pair[1]);
        let joined = line.get(at + family.len()..next) == Some("-");
        // `SHA-256` has a longer first word, `x-P-1` is part of something else.
        joined && !line[..at].ends_with(['-', '/'])
    });
    pairs.filter_map(|pair| rule_at(&format!("{}-{}", pair[0].1, pair[1].1))).collect()
}

/// `hazard 7`, `hazards 7 and 8`, `hazards 49 to 53`: each number that follows the word.
fn hazards_in(comments: &str) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    for (index, line) in comments.lines().enumerate() {
        let (mut listing, mut end) = (false, 0);
        for (at, word) in words(line) {
            listing &= line[end..at].chars().all(|one| one == ' ' || one == ',');
            end = at + word.len();
            match (word.to_ascii_lowercase().as_str(), word.parse()) {
                ("hazard" | "hazards", _) => listing = true,
                (_, Ok(number)) if listing => found.push((index + 1, number)),
                ("and" | "to" | "or", _) => {}
                _ => listing = false,
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "# Rules\n\n* **P-1.** One.\n* **V-2** Two, unlike P-1.\n";
    const CODE: &str = "/// Rule P-1: one.\nfn f() {}\n// Rules V-2 and P-1.\n";
    const TEST: &str = "// P-1\nfn a() { assert!(true, \"V-2\") }\n";

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|one| format!("{}:{}: {}", one.path, one.line, one.what)).collect()
    }

    #[test]
    fn rules_with_code_and_tests_are_quiet() {
        let files = [(PROTOCOL, RULES), ("crates/pbft/src/a.rs", CODE), ("crates/pbft/tests/b.rs", TEST)];
        assert_eq!(complaints(&files), [""; 0]);
    }

    #[test]
    fn a_rule_without_code_or_without_test_is_found() {
        let code = [(PROTOCOL, RULES), ("crates/pbft/src/a.rs", CODE), ("crates/pbft/tests/b.rs", "// P-1\n")];
        assert_eq!(complaints(&code), [format!("{PROTOCOL}:4: no test cites rule V-2")]);
        let test = [(PROTOCOL, RULES), ("crates/pbft/src/a.rs", "// V-2\n"), ("crates/pbft/tests/b.rs", TEST)];
        assert_eq!(complaints(&test), [format!("{PROTOCOL}:3: no code cites rule P-1")]);
    }

    #[test]
    fn the_list_at_a_crates_head_defines_and_does_not_count_as_code() {
        let head = "//! * **L-1** One.\n//! See L-1.\n";
        assert_eq!(complaints(&[("crates/ledger/src/lib.rs", head)]), [""; 0]);
        let copied = [
            (PROTOCOL, "* **P-1** One.\n"),
            ("crates/pbft/src/lib.rs", "//! * **P-1** One.\n"),
            ("crates/pbft/tests/b.rs", "// P-1\n"),
        ];
        assert_eq!(complaints(&copied), [format!("{PROTOCOL}:1: no code cites rule P-1")]);
    }

    #[test]
    fn the_page_and_the_head_of_the_crate_define_the_same_rules() {
        let page = "* **P-1** One.\n* **P-2 Title.** Two.\n";
        let head = "//! * **P-1** One.\n//! * **P-3** Three.\n";
        let found = complaints(&[
            (PROTOCOL, page),
            (PROTOCOL_HEAD, head),
            ("crates/pbft/src/a.rs", "// P-1, P-2\n"),
            ("crates/pbft/tests/b.rs", "// P-1, P-2\n"),
        ]);
        let expected = [
            format!("{PROTOCOL}:2: rule P-2 is not in {PROTOCOL_HEAD}"),
            format!("{PROTOCOL_HEAD}:2: rule P-3 is not in {PROTOCOL}"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_number_that_nobody_defines_is_found() {
        let files =
            [("docs/a.md", "* **L-1** One.\n"), ("crates/a/src/b.rs", "// L-1 and L-2, SHA-256, AES-128, x-P-1\n")];
        assert_eq!(complaints(&files), ["crates/a/src/b.rs:1: there is no rule L-2"]);
    }

    #[test]
    fn a_number_has_one_meaning() {
        let twice = "* **P-1** One.\n* **P-1** Two.\n";
        let files = [(PROTOCOL, twice), ("crates/a/src/b.rs", "// P-1\n"), ("crates/a/tests/b.rs", "// P-1\n")];
        assert!(complaints(&files).contains(&format!("{PROTOCOL}:2: rule P-1 is defined twice")));
    }

    #[test]
    fn hazards_are_numbered_in_their_table() {
        let table = "| no. | what |\n|---|---|\n| 7 | a |\n| 8 | b |\n";
        let code = "// (hazard 7), hazards 7 and 8; 9 lives. Hazards 8 to 10.\n";
        let found = complaints(&[(HAZARDS, table), ("crates/a/src/b.rs", code)]);
        assert_eq!(found, ["crates/a/src/b.rs:1: there is no hazard 10"]);
    }
}
