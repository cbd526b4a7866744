//! What the text of a file may not hold.

use super::Violation;
use super::exceptions::{EXCEPTIONS, Exception, Rule};
use crate::reflow::MAX_WIDTH;
use crate::source::{Source, words};
use crate::tree::Tree;

const MAX_LINES: usize = 600;
/// The one home of quorum arithmetic.
const QUORUM: &str = "crates/types/src/quorum.rs";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    check_with(tree, EXCEPTIONS)
}

fn check_with(tree: &Tree, exceptions: &[Exception]) -> Vec<Violation> {
    let mut found: Vec<(Option<Rule>, Violation)> = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| !path.ends_with(".lock")) {
        check_any(path, text, &mut found);
    }
    let tests = TestFiles::of(tree);
    for (path, text) in tree.with_extension("rs") {
        check_rust(path, text, tests.contain(path), &mut found);
    }
    let excused =
        |rule: Option<Rule>, path: &str| exceptions.iter().any(|one| Some(one.rule) == rule && one.path == path);
    let idle = exceptions.iter().filter(|exception| {
        !found.iter().any(|(rule, violation)| *rule == Some(exception.rule) && violation.path == exception.path)
    });
    let idle: Vec<_> = idle
        .map(|Exception { rule, path, reason }| {
            let what = format!("the exception {rule:?} for this file ({reason}) excuses nothing");
            Violation::new(path, 1, what, "take it out of xtask/src/tidy/exceptions.rs")
        })
        .collect();
    found.retain(|(rule, violation)| !excused(*rule, &violation.path));
    found.into_iter().map(|(_, violation)| violation).chain(idle).collect()
}

/// Rules for every text file.
fn check_any(path: &str, text: &str, found: &mut Vec<(Option<Rule>, Violation)>) {
    let prose = path.ends_with(".md");
    let is_code = path.ends_with(".rs") || path.ends_with(".py") || path.ends_with(".sh");
    let licence = path.starts_with("LICENSE");
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        let mut complain =
            |what: String, remedy: &str| found.push((None, Violation::new(path, index + 1, what, remedy)));
        if let Some(place) = machine_path(line) {
            complain(
                format!("`{place}` is a place on somebody's machine"),
                "say it relative to the repository, or make it an argument",
            );
        }
        fenced ^= prose && line.trim_start().starts_with("```");
        // A row of a table cannot be broken, nor can a log in a fence, nor the address in a link. Rust is looked at
        // below.
        let rigid = prose && (fenced || line.starts_with('|') || line.contains("]("));
        if is_wide(line) && !rigid && !path.ends_with(".svg") && !path.ends_with(".rs") {
            complain(format!("the line has {} columns", line.chars().count()), BREAK);
        }
        if !licence && line.ends_with([' ', '\t']) {
            complain("white space at the end of the line".to_owned(), "take it away");
        }
    }
    let lines = text.lines().count();
    if is_code && lines > MAX_LINES {
        let what = format!("the file has {lines} lines");
        let remedy = "one idea per file, at most 600 lines: find the seam";
        found.push((Some(Rule::Length), Violation::new(path, lines, what, remedy)));
    }
}

const BREAK: &str = "break it at 120; `cargo xtask reflow FILE` does that for comments and prose";

fn is_wide(line: &str) -> bool {
    line.chars().count() > MAX_WIDTH
}

/// An absolute path that means something on one machine only.
fn machine_path(line: &str) -> Option<&str> {
    const PLACES: &[&str] = &["work", "farm", "root", "home", "Users"];
    line.match_indices('/').find_map(|(at, _)| {
        let before = line[..at].chars().next_back();
        if before.is_some_and(|one| one.is_alphanumeric() || "._-/}~*".contains(one)) {
            return None;
        }
        let mut parts = line[at + 1..].split('/');
        let (first, second) = (parts.next()?, parts.next()?);
        let second = second.split(|one: char| !one.is_alphanumeric() && one != '-' && one != '_').next().unwrap_or("");
        let is_place = PLACES.contains(&first) && !second.is_empty();
        is_place.then(|| &line[at..at + 1 + first.len() + 1 + second.len()])
    })
}

/// Rules for Rust.
fn check_rust(path: &str, text: &str, is_test: bool, found: &mut Vec<(Option<Rule>, Violation)>) {
    let source = Source::new(text);
    for (index, (line, string)) in
        text.lines().zip(source.strings.lines()).enumerate().filter(|(_, (line, _))| is_wide(line))
    {
        // rustfmt breaks what it can: what is left is a sentence for a person, which need not be cut, or a row of a
        // table.
        let is_literal = string.chars().filter(|one| *one != ' ').count() > MAX_WIDTH / 4;
        let is_row = line.trim_start().trim_start_matches(['/', '!']).trim_start().starts_with('|');
        if !is_literal && !is_row {
            let what = format!("the line has {} columns", line.chars().count());
            found.push((None, Violation::new(path, index + 1, what, BREAK)));
        }
    }
    for (index, line) in source.code.lines().enumerate() {
        let in_test = is_test || source.is_test(index + 1);
        for (rule, what, remedy) in code_violations(line, in_test, path != QUORUM) {
            found.push((rule, Violation::new(path, index + 1, what, remedy)));
        }
    }
    for (index, line) in source.comments.lines().enumerate() {
        if let Some((_, mark)) = words(line).find(|(_, word)| ["FIXME", "XXX", "TODO", "HACK"].contains(word)) {
            let remedy = "do it, or open an issue: the tree holds no notes to oneself";
            found.push((None, Violation::new(path, index + 1, format!("`{mark}`"), remedy)));
        }
    }
}

type Complaint = (Option<Rule>, String, &'static str);

fn code_violations(line: &str, in_test: bool, no_quorums: bool) -> Vec<Complaint> {
    let mut found: Vec<Complaint> = Vec::new();
    for (at, word) in words(line) {
        let after = line[at + word.len()..].trim_start();
        let before = line[..at].trim_end();
        match word {
            "unsafe" => {
                found.push((Some(Rule::Unsafe), "`unsafe`".to_owned(), "do without; the workspace forbids it"));
            }
            "todo" | "unimplemented" | "dbg" if after.starts_with('!') => {
                found.push((None, format!("`{word}!`"), "finish it before it is committed"));
            }
            "ignore" if before.ends_with("#[") => {
                let remedy = "repair the test or delete it: a test that does not run proves nothing";
                found.push((None, "a test that is switched off".to_owned(), remedy));
            }
            "sleep" if in_test && before.ends_with("thread::") => {
                let remedy = "wait for the condition, with a bound; in virtual time if it can be";
                found.push((Some(Rule::Sleep), "a test that sleeps".to_owned(), remedy));
            }
            _ => {}
        }
    }
    if no_quorums && let Some(formula) = quorum_arithmetic(line) {
        let remedy = "ask `Committee` for `quorum()`, `weak_quorum()`, `prepares()` or `max_faulty()`";
        found.push((Some(Rule::Quorum), format!("quorum arithmetic: `{formula}`"), remedy));
    }
    found
}

/// `2 * f`, `3 * f`, `f * 2`, and a division by three of anything.
fn quorum_arithmetic(line: &str) -> Option<String> {
    let tokens: Vec<&str> = tokens(line);
    let is_f = |word: &str| ["f", "max_faulty", "faulty"].contains(&word);
    let small = |word: &str| ["2", "3"].contains(&word);
    for (index, token) in tokens.iter().enumerate() {
        let left = || index.checked_sub(1).map_or("", |before| tokens[before]);
        let next = tokens.get(index + 1).copied().unwrap_or("");
        let guilty = match *token {
            "/" => next == "3",
            "div_ceil" | "div_floor" | "checked_div" => next == "(" && tokens.get(index + 2) == Some(&"3"),
            "*" => {
                (small(left()) && right_end(&tokens[index + 1..]).is_some_and(is_f)) || (is_f(left()) && small(next))
            }
            _ => false,
        };
        if guilty {
            return Some([left(), token, next].join(" "));
        }
    }
    None
}

/// The last name of a path such as `self.committee.max_faulty`.
fn right_end<'a>(tokens: &[&'a str]) -> Option<&'a str> {
    let mut last = tokens.first()?;
    let mut rest = &tokens[1..];
    while let [".", name, more @ ..] = rest {
        (last, rest) = (name, more);
    }
    Some(last)
}

/// Words, and every other character that is not white space.
fn tokens(line: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |one: char| one.is_alphanumeric() || one == '_';
        let length =
            if is_word(first) { rest.find(|one| !is_word(one)).unwrap_or(rest.len()) } else { first.len_utf8() };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Which files hold nothing but tests.
pub(super) struct TestFiles(Vec<String>);

impl TestFiles {
    /// By where they are, and by how they are declared.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut prefixes = Vec::new();
        for (path, text) in tree.with_extension("rs") {
            let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
            let stem = file.trim_end_matches(".rs");
            let inside =
                if ["mod", "lib", "main"].contains(&stem) { folder.to_owned() } else { format!("{folder}/{stem}") };
            for module in crate::source::test_modules(&Source::new(text)) {
                prefixes.push(format!("{inside}/{module}.rs"));
                prefixes.push(format!("{inside}/{module}/"));
            }
        }
        Self(prefixes)
    }

    pub(super) fn contain(&self, path: &str) -> bool {
        let by_place = path.split('/').any(|part| ["tests", "tests.rs", "benches"].contains(&part));
        by_place || self.0.iter().any(|prefix| path.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(path: &str, text: &str) -> Vec<String> {
        check_with(&Tree::of(&[(path, text)]), &[]).into_iter().map(|one| one.what).collect()
    }

    fn one(path: &str, text: &str, part: &str) {
        let found = whats(path, text);
        assert!(found.len() == 1 && found[0].contains(part), "{text:?} gives {found:?}");
    }

    fn none(path: &str, text: &str) {
        assert_eq!(whats(path, text), [""; 0], "{text:?}");
    }

    const LIB: &str = "crates/a/src/lib.rs";

    #[test]
    fn unsafe_is_found_in_code_and_not_in_words_about_it() {
        one(LIB, "fn f() { unsafe { g() } }\n", "unsafe");
        none(LIB, "#![forbid(unsafe_code)]\n// unsafe is forbidden\nconst A: &str = \"unsafe\";\n");
    }

    #[test]
    fn unfinished_code_is_found() {
        one(LIB, "fn f() { todo!() }\n", "todo!");
        one(LIB, "fn f() { unimplemented !() }\n", "unimplemented!");
        one(LIB, "fn f() { dbg!(1); }\n", "dbg!");
        one(LIB, &format!("// {}: later\n", "FIXME"), "FIXME");
        none(LIB, "let todo = 1; f(\"todo!()\");\n");
    }

    #[test]
    fn a_test_that_is_switched_off_or_sleeps_is_found() {
        one(LIB, "#[ignore]\nfn f() {}\n", "switched off");
        one(LIB, "#[ignore = \"slow\"]\nfn f() {}\n", "switched off");
        none(LIB, "out.ignore(reason);\n");
        one("crates/a/tests/b.rs", "std::thread::sleep(d);\n", "sleeps");
        one(LIB, "#[cfg(test)]\nmod tests {\n    fn f() { std::thread::sleep(d) }\n}\n", "sleeps");
        none(LIB, "std::thread::sleep(d);\n");
    }

    #[test]
    fn files_declared_as_tests_are_tests() {
        let tree = Tree::of(&[
            (LIB, "#[cfg(test)]\nmod world;\nmod real;\n"),
            ("crates/a/src/world.rs", "fn f() { std::thread::sleep(d) }\n"),
            ("crates/a/src/real.rs", "fn f() { std::thread::sleep(d) }\n"),
        ]);
        let found = check_with(&tree, &[]);
        assert_eq!(found.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["crates/a/src/world.rs"]);
    }

    #[test]
    fn quorum_arithmetic_has_one_home() {
        for formula in
            ["2 * f + 1", "2*f", "f * 2", "3 * self.f + 1", "2 * c.max_faulty() + 1", "(n - 1) / 3", "n.div_ceil(3)"]
        {
            one(LIB, &format!("let q = {formula};\n"), "quorum arithmetic");
            none(QUORUM, &format!("let q = {formula};\n"));
        }
        for harmless in ["bytes / 30", "2 * window", "2 * (quorum - n)", "f(2) * 3", "fee * 2"] {
            none(LIB, &format!("let q = {harmless};\n"));
        }
        none(LIB, "// a quorum is 2 * f + 1\n");
    }

    #[test]
    fn long_files_and_wide_lines_are_found() {
        one(LIB, &"\n".repeat(601), "601 lines");
        none(LIB, &"\n".repeat(600));
        one(LIB, &format!("// {}\n", "a".repeat(118)), "121 columns");
        none(LIB, &format!("// {}\n", "ä".repeat(117)));
        none(LIB, &format!("#[error(\"{}\")]\n/// | {} |\n", "a ".repeat(70), "a ".repeat(70)));
        let wide = "a".repeat(130);
        one("a.md", &format!("{wide}\n"), "130 columns");
        none("a.md", &format!("| {wide} |\n```\n{wide}\n```\n"));
    }

    #[test]
    fn places_on_one_machine_are_found() {
        for (root, rest) in [("work", "main"), ("home", "ann"), ("root", "x"), ("Users", "ann")] {
            one("a.md", &format!("see /{root}/{rest} there\n"), "somebody's machine");
            one("a.sh", &format!("cd '/{root}/{rest}'\n"), "somebody's machine");
        }
        none(
            "a.md",
            "`--home /path`, and/or, target/work/x, https://example.org/home/page, ./root/x, the key/home/x\n",
        );
    }

    #[test]
    fn an_exception_excuses_its_rule_in_its_file_and_must_be_needed() {
        let exception = [Exception { rule: Rule::Sleep, path: "crates/a/tests/b.rs", reason: "it polls a process" }];
        let check = |path: &str| {
            let tree = Tree::of(&[(path, "fn f() { std::thread::sleep(d) }\n")]);
            check_with(&tree, &exception).into_iter().map(|one| one.what).collect::<Vec<_>>()
        };
        assert_eq!(check("crates/a/tests/b.rs"), [""; 0]);
        let other = check("crates/a/tests/c.rs");
        assert!(other.len() == 2 && other[1].contains("excuses nothing"), "{other:?}");
    }
}
