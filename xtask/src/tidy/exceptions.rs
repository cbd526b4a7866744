//! Where a rule does not hold, and why. Kept short: each line is an argument, and a line that excuses nothing is itself
//! a violation.

/// One file that may break one rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exception {
    pub(super) rule: Rule,
    pub(super) path: &'static str,
    /// For whoever reads the list.
    pub(super) reason: &'static str,
}

/// The rules that have exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// `unsafe` code.
    Unsafe,
    /// A file of more than 600 lines.
    Length,
    /// A test that sleeps.
    Sleep,
    /// A division by three that has nothing to do with quorums.
    Quorum,
}

pub(super) const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: Rule::Sleep,
        path: "crates/cli/tests/it/load.rs",
        reason: "the load on real processes has a pace, so that its history stays short enough to be judged",
    },
    Exception {
        rule: Rule::Sleep,
        path: "crates/cli/tests/it/process.rs",
        reason: "a process does not say when it changes: one has to look again, with a bound",
    },
    Exception { rule: Rule::Quorum, path: "crates/cli/src/text.rs", reason: "digits are grouped in threes" },
    Exception {
        rule: Rule::Quorum,
        path: "crates/node/src/config/document.rs",
        reason: "how many letters of a word may be wrong for it to be recognised",
    },
];

/// Crates from outside that the pure crates may use: none of them does I/O, reads a clock, starts a thread or draws
/// randomness of its own.
pub(super) const PURE_DEPENDENCIES: &[&str] = &[
    "borsh",         // canonical bytes
    "ed25519-zebra", // signatures
    "hex",           // digests and keys for people
    "rand_chacha",   // coefficients of the batch check, from a seed that is derived from what is checked
    "sha2",          // digests
    "thiserror",     // refusals with a text
    "zeroize",       // private keys
];

/// Crates that bring an async runtime, and our crates that may use them.
pub(super) const ASYNC: (&[&str], &[&str]) = (&["tokio", "tokio-rustls", "axum"], &["node", "cli"]);
