//! The house's rules that a machine can check. Each violation says where, what, and what to do about it.
//!
//! Whatever is written down elsewhere is read there: the import table in `ARCHITECTURE.md`, the protocol's rules in
//! `docs/protocol/`. So the text cannot say one thing and the check another.

use std::fmt;

use anyhow::{Result, bail};

use crate::tree::{Tree, root};

mod documents;
mod exceptions;
mod layers;
mod rules;
mod text;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    what: String,
    remedy: String,
}

impl Violation {
    fn new(path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    {}", self.path, self.line, self.what, self.remedy)
    }
}

/// Every check, each a function of the tree alone.
const CHECKS: &[fn(&Tree) -> Vec<Violation>] = &[layers::check, text::check, rules::check, documents::check];

pub(crate) fn run() -> Result<()> {
    let tree = Tree::read(&root())?;
    let mut violations: Vec<Violation> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => println!("tidy: {} files, nothing to complain of", tree.iter().count()),
        1 => bail!("tidy: one rule is broken"),
        n => bail!("tidy: {n} rules are broken"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_says_where_what_and_what_to_do() {
        let violation = Violation::new("a/b.rs", 7, "it is long", "make it short");
        assert_eq!(violation.to_string(), "a/b.rs:7: it is long\n    make it short");
    }
}
