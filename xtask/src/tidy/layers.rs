//! Who may know whom: each manifest against the table of `ARCHITECTURE.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::exceptions::{ASYNC, PURE_DEPENDENCIES};
use super::text::TestFiles;
use crate::source::{Source, words};
use crate::tree::Tree;

const PLAN: &str = "ARCHITECTURE.md";
const OURS: &str = "bezant-";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let plan = match Plan::read(tree) {
        Ok(plan) => plan,
        Err(violation) => return vec![violation],
    };
    let mut found = Vec::new();
    let mut there = BTreeSet::new();
    for (path, text) in tree.with_extension("toml") {
        let folder = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["crates", folder, "Cargo.toml"] => *folder,
            ["xtask", "Cargo.toml"] => "xtask",
            _ => continue,
        };
        there.insert(folder.to_owned());
        match plan.rows.get(folder) {
            Some(row) => plan.check_manifest(path, text, folder, row, &mut found),
            None => found.push(Violation::new(
                path,
                1,
                format!("crate `{folder}` is not in the table of {PLAN}"),
                format!("say in {PLAN} what lives there and what it may import"),
            )),
        }
        if plan.pure.contains(folder) {
            check_pure(tree, folder, &mut found);
        }
    }
    for (name, row) in plan.rows.iter().filter(|(name, _)| !there.contains(*name)) {
        let what = format!("the table names crate `{name}`, and there is none");
        found.push(Violation::new(PLAN, row.line, what, "take the row out, or add the crate"));
    }
    found
}

/// What the table says.
#[derive(Debug)]
struct Plan {
    rows: BTreeMap<String, Row>,
    /// The crates that the first law calls pure.
    pure: BTreeSet<String>,
}

#[derive(Debug)]
struct Row {
    line: usize,
    may_import: BTreeSet<String>,
}

impl Plan {
    fn read(tree: &Tree) -> Result<Self, Violation> {
        let missing = |what: &str| {
            let remedy = "xtask reads it there: keep its form, or change xtask/src/tidy/layers.rs with it";
            Violation::new(PLAN, 1, format!("no {what}"), remedy)
        };
        let text = tree.get(PLAN).ok_or_else(|| missing("such file"))?;
        let law = text.lines().find(|line| line.contains("**Pure core.**"));
        let law = law.ok_or_else(|| missing("law that begins with **Pure core.**"))?;
        let pure: BTreeSet<_> = quoted(law).take_while(|name| *name != "no_std").map(str::to_owned).collect();
        let lines = text.lines().enumerate().skip_while(|(_, line)| !is_head(line)).skip(2);
        let mut rows = BTreeMap::new();
        for (index, line) in lines.take_while(|(_, line)| line.starts_with('|')) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let (Some(name), Some(cell)) = (cells.get(1).and_then(|cell| quoted(cell).next()), cells.get(3)) else {
                return Err(missing("name and imports in a row of the table of crates"));
            };
            let may_import = imports(cell, &rows, &pure).ok_or_else(|| {
                let what = format!("`{cell}` does not say which crates `{name}` may import");
                let remedy = "name them in backticks, or write `nothing of ours`, `all above`, or `the pure crates`";
                Violation::new(PLAN, index + 1, what, remedy)
            })?;
            rows.insert(name.to_owned(), Row { line: index + 1, may_import });
        }
        if rows.is_empty() {
            Err(missing("table of crates with a column `may import`"))
        } else {
            Ok(Self { rows, pure })
        }
    }

    fn check_manifest(&self, path: &str, text: &str, folder: &str, row: &Row, found: &mut Vec<Violation>) {
        let Ok(manifest) = text.parse::<toml::Table>() else {
            return found.push(Violation::new(path, 1, "this is not TOML", "repair it"));
        };
        let name = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
        let expected = if folder == "xtask" { folder.to_owned() } else { format!("{OURS}{folder}") };
        if name != Some(expected.as_str()) {
            let what = format!("the package is called {}, and its folder `{folder}`", name.unwrap_or("nothing"));
            found.push(Violation::new(path, line_with(text, "name"), what, format!("call the package `{expected}`")));
        }
        if manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool) != Some(true) {
            let remedy = "add `[lints]` with `workspace = true`";
            found.push(Violation::new(path, 1, "the workspace's lints do not apply here", remedy));
        }
        for (section, dependency) in dependencies(&manifest) {
            let line = line_with(text, &dependency);
            let mut complain = |what: String, remedy: String| found.push(Violation::new(path, line, what, remedy));
            if let Some(ours) = dependency.strip_prefix(OURS) {
                if !row.may_import.contains(ours) {
                    complain(
                        format!("`{folder}` may not import `{ours}` ({section})"),
                        format!("the table of {PLAN} says so; let the crate that may import both join them"),
                    );
                }
            } else if section != Section::Dev && self.pure.contains(folder) && !is_pure(&dependency) {
                complain(
                    format!("`{folder}` is pure, and `{dependency}` is not known to be"),
                    "do it in `node`, or argue for it in PURE_DEPENDENCIES of xtask/src/tidy/exceptions.rs".to_owned(),
                );
            }
            let (runtimes, hosts) = ASYNC;
            if runtimes.contains(&dependency.as_str()) && !hosts.contains(&folder) {
                complain(
                    format!("`{dependency}` brings an async runtime into `{folder}`"),
                    format!("only {} may wait for things", hosts.join(" and ")),
                );
            }
        }
    }
}

fn is_head(line: &str) -> bool {
    line.starts_with("| crate ") && line.contains("| may import ")
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn imports(cell: &str, above: &BTreeMap<String, Row>, pure: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    if cell == "nothing of ours" {
        return Some(BTreeSet::new());
    }
    if cell == "all above" {
        return Some(above.keys().cloned().collect());
    }
    let mut names: BTreeSet<String> = quoted(cell).map(str::to_owned).collect();
    if cell.contains("the pure crates") {
        names.extend(pure.iter().cloned());
    }
    (!names.is_empty()).then_some(names)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Normal,
    Build,
    Dev,
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Normal => "dependencies",
            Self::Build => "build-dependencies",
            Self::Dev => "dev-dependencies",
        })
    }
}

/// The dependencies of a manifest by the names of their packages, those for some targets included.
fn dependencies(manifest: &toml::Table) -> Vec<(Section, String)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(|table| table.values()).filter_map(toml::Value::as_table);
    let mut all = Vec::new();
    for table in std::iter::once(manifest).chain(targets) {
        for section in [Section::Normal, Section::Build, Section::Dev] {
            let listed = table.get(&section.to_string()).and_then(toml::Value::as_table);
            for (key, value) in listed.into_iter().flatten() {
                let renamed = value.get("package").and_then(toml::Value::as_str);
                all.push((section, renamed.unwrap_or(key).to_owned()));
            }
        }
    }
    all
}

fn is_pure(dependency: &str) -> bool {
    PURE_DEPENDENCIES.contains(&dependency)
}

fn line_with(text: &str, word: &str) -> usize {
    let is_there = |line: &str| line.trim_start().trim_start_matches('"').starts_with(word);
    text.lines().position(is_there).map_or(1, |index| index + 1)
}

/// `no_std` is how the compiler keeps a crate from I/O, clocks and threads; it must not be let in again by name.
fn check_pure(tree: &Tree, folder: &str, found: &mut Vec<Violation>) {
    let root = format!("crates/{folder}/src/lib.rs");
    let Some(text) = tree.get(&root) else { return };
    if !Source::new(text).code.lines().any(|line| line.trim() == "#![no_std]") {
        let what = format!("`{folder}` is pure, and not `no_std`");
        found.push(Violation::new(
            &root,
            1,
            what,
            "add `#![no_std]`: the compiler then keeps I/O, clocks and threads out",
        ));
    }
    let inside = format!("crates/{folder}/src/");
    let tests = TestFiles::of(tree);
    let production = |path: &str| path.starts_with(&inside) && !tests.contain(path);
    for (path, text) in tree.with_extension("rs").filter(|(path, _)| production(path)) {
        let source = Source::new(text);
        for (index, line) in source.code.lines().enumerate().filter(|(index, _)| !source.is_test(index + 1)) {
            let words: Vec<_> = words(line).map(|(_, word)| word).collect();
            if words.windows(3).any(|three| three == ["extern", "crate", "std"]) {
                let what = format!("`{folder}` is pure, and takes `std` back in");
                found.push(Violation::new(
                    path,
                    index + 1,
                    what,
                    "use `core` and `alloc`; what needs `std` belongs in `node`",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
1. **Pure core.** `types` and `pbft` are `no_std` + `alloc`.

| crate | what lives there | may import |
|---|---|---|
| `types` | a | nothing of ours |
| `pbft` | b | `types` |
| `node` | c | all above |
| `cli` | d | `node` and the pure crates |

After it.
";

    fn manifest(name: &str, dependencies: &str) -> String {
        format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n[dependencies]\n{dependencies}")
    }

    /// A tree that keeps all rules, with one file put in or replaced.
    fn complaints(path: &str, text: &str) -> Vec<String> {
        let pure = "#![no_std]\n";
        let (types, pbft) =
            (manifest("bezant-types", "borsh = \"1\"\n"), manifest("bezant-pbft", "bezant-types = \"0\"\n"));
        let node = manifest("bezant-node", "bezant-pbft = \"0\"\ntokio = \"1\"\n");
        let cli = manifest("bezant-cli", "bezant-node = \"0\"\nbezant-types = \"0\"\n");
        let mut files = vec![
            (PLAN, TABLE),
            ("crates/types/Cargo.toml", &types),
            ("crates/types/src/lib.rs", pure),
            ("crates/pbft/Cargo.toml", &pbft),
            ("crates/pbft/src/lib.rs", pure),
            ("crates/node/Cargo.toml", &node),
            ("crates/cli/Cargo.toml", &cli),
        ];
        files.retain(|(known, _)| *known != path);
        files.push((path, text));
        check(&Tree::of(&files)).into_iter().map(|one| one.what).collect()
    }

    fn only(found: &[String], part: &str) {
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    }

    #[test]
    fn a_tree_that_follows_its_table_is_quiet() {
        assert_eq!(complaints("README.md", ""), [""; 0]);
    }

    #[test]
    fn an_import_that_the_table_does_not_name_is_found_wherever_it_stands() {
        let upwards = manifest("bezant-pbft", "bezant-types = \"0\"\nbezant-node = \"0\"\n");
        only(&complaints("crates/pbft/Cargo.toml", &upwards), "`pbft` may not import `node`");
        let renamed = manifest("bezant-pbft", "host = { package = \"bezant-node\", path = \"../node\" }\n");
        only(&complaints("crates/pbft/Cargo.toml", &renamed), "`pbft` may not import `node`");
        let for_tests = manifest("bezant-pbft", "[dev-dependencies]\nbezant-node = \"0\"\n");
        only(&complaints("crates/pbft/Cargo.toml", &for_tests), "`pbft` may not import `node` (dev-dependencies)");
        let for_unix = manifest("bezant-pbft", "[target.'cfg(unix)'.dependencies]\nbezant-node = \"0\"\n");
        only(&complaints("crates/pbft/Cargo.toml", &for_unix), "`pbft` may not import `node`");
    }

    #[test]
    fn a_pure_crate_takes_only_what_is_known_to_be_pure() {
        let found = complaints("crates/pbft/Cargo.toml", &manifest("bezant-pbft", "redb = \"4\"\n"));
        only(&found, "`redb` is not known to be");
        let found = complaints("crates/pbft/Cargo.toml", &manifest("bezant-pbft", "tokio = \"1\"\n"));
        assert!(found.len() == 2 && found[1].contains("async runtime"), "{found:?}");
        let tests = manifest("bezant-pbft", "[dev-dependencies]\nproptest = \"1\"\n");
        assert_eq!(complaints("crates/pbft/Cargo.toml", &tests), [""; 0]);
    }

    #[test]
    fn a_pure_crate_is_no_std_and_stays_so() {
        only(&complaints("crates/pbft/src/lib.rs", "// #![no_std]\n"), "not `no_std`");
        only(&complaints("crates/pbft/src/a.rs", "extern crate std;\n"), "takes `std` back in");
        assert_eq!(complaints("crates/pbft/src/a.rs", "#[cfg(test)]\nextern crate std;\n"), [""; 0]);
        assert_eq!(complaints("crates/pbft/src/a/tests.rs", "extern crate std;\n"), [""; 0]);
    }

    #[test]
    fn a_crate_is_called_as_its_folder_and_stands_in_the_table() {
        only(&complaints("crates/pbft/Cargo.toml", &manifest("bezant-agree", "")), "called bezant-agree");
        only(&complaints("crates/new/Cargo.toml", &manifest("bezant-new", "")), "`new` is not in the table");
        let longer = TABLE.replace("| `cli`", "| `sim` | e | `types` |\n| `cli`");
        only(&complaints(PLAN, &longer), "names crate `sim`");
    }

    #[test]
    fn a_crate_takes_the_workspaces_lints() {
        only(&complaints("crates/pbft/Cargo.toml", "[package]\nname = \"bezant-pbft\"\n"), "lints");
    }

    #[test]
    fn a_table_that_cannot_be_read_is_a_violation_and_not_a_pass() {
        only(&complaints(PLAN, "# Architecture\n"), "**Pure core.**");
        only(&complaints(PLAN, &TABLE.replace("may import", "imports")), "table of crates");
        only(&complaints(PLAN, &TABLE.replace("all above", "most")), "`most` does not say");
    }
}
