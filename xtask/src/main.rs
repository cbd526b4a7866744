//! What a contributor runs before a commit, and what continuous integration runs after it.
//!
//! * `cargo xtask tidy` reads the tree and says which of the house's rules it breaks.
//! * `cargo xtask reflow` breaks comments and prose at 120 columns.
//! * `cargo xtask licences` holds every dependency against `deny.toml`.
//! * `cargo xtask mutants` makes deliberate mistakes on a copy of the tree, and says what notices them.
//! * `cargo xtask with` makes one of them and runs a command, to see what comes of it.
//! * `cargo xtask scenarios` says which scenarios fail with which of them.
//! * `cargo xtask survivors` tries all mutants that cargo-mutants knows of a crate, in one build.
//! * `cargo xtask defences` measures what adversaries cost with the defences against them and without.
//! * `cargo xtask gate` runs everything that continuous integration checks, in its order, with timings.

use std::process::ExitCode;

mod defences;
mod gate;
mod licences;
mod mutants;
mod reflow;
mod scenarios;
mod source;
mod spdx;
mod survivors;
mod tidy;
mod tree;

const USAGE: &str = "\
usage: cargo xtask <command>

  tidy       the house's rules: layering, text, rule numbers, links
  reflow [FILE...]
             breaks comments and prose at 120 columns, where a line is longer
  mutants [NAME...]
             makes each deliberate mistake in `mutants/` on a copy, and says what notices it
  with MUTANT sim|test ARGUMENT...
             makes one of these mistakes on a copy and runs `bezant sim` or `cargo test -p` there
  scenarios [NAME...]
             makes each of these mistakes, and says which scenarios fail with it and which with none
  survivors CRATE[,CRATE...] [NAME...]
             tries the mutants of the first crate that cargo-mutants lists with the tests of all of them
  defences [ADVERSARY...]
             what adversaries cost with the defences against them and without, as a table
  licences   licences and sources of all dependencies, against deny.toml
  gate       all that continuous integration checks: format, tidy, clippy, documentation, licences, tests
  gate FROM  the same, from a stage on: fmt, tidy, clippy, doc, licences, test";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["tidy"] => tidy::run(),
        ["reflow", names @ ..] => reflow::run(names),
        ["licences"] => licences::run(),
        ["mutants", names @ ..] => mutants::run(names),
        ["with", mutant, command @ ..] => mutants::run_with(mutant, command),
        ["scenarios", names @ ..] => scenarios::run(names),
        ["survivors", crates, names @ ..] => survivors::run(crates, names),
        ["defences", names @ ..] => defences::run(names),
        ["gate"] => gate::run(None),
        ["gate", from] => gate::run(Some(from)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
