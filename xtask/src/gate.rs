//! Everything that continuous integration checks, in its order. `.ci/run` calls this, so the two cannot differ.
//!
//! What is cheap and fails often comes first. All stages share one target directory and one set of flags; clippy and
//! the documentation share the checked dependencies, the tests and xtask the built ones.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::tree::root;
use crate::{licences, tidy};

struct Stage {
    name: &'static str,
    run: fn() -> Result<()>,
}

const STAGES: &[Stage] = &[
    Stage { name: "fmt", run: || command("cargo", &["fmt", "--all", "--check"], &[]) },
    Stage { name: "tidy", run: tidy::run },
    Stage {
        name: "clippy",
        run: || command("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[]),
    },
    Stage { name: "doc", run: documentation },
    Stage { name: "licences", run: licences::run },
    // Last, so that the totals of the tests are the last lines.
    Stage { name: "test", run: || command("bash", &["./test"], &[]) },
];

/// Twice: with what is public only, no link may lead to what is private; with everything, the private links are
/// checked.
fn documentation() -> Result<()> {
    let warnings = [("RUSTDOCFLAGS", "-D warnings")];
    let public = ["doc", "--workspace", "--no-deps", "--locked"];
    command("cargo", &public, &warnings)?;
    command("cargo", &[public.as_slice(), &["--document-private-items"]].concat(), &warnings)
}

pub(crate) fn run(from: Option<&str>) -> Result<()> {
    let first = match from {
        None => 0,
        Some(name) => STAGES.iter().position(|stage| stage.name == name).with_context(|| {
            let names: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
            format!("there is no stage `{name}`: the stages are {}", names.join(", "))
        })?,
    };
    let begin = Instant::now();
    let mut timings = Vec::new();
    for (index, stage) in STAGES.iter().enumerate().skip(first) {
        if index + 1 == STAGES.len() {
            print_timings(&timings, begin.elapsed());
        }
        println!("--- {}", stage.name);
        let start = Instant::now();
        let outcome = (stage.run)();
        timings.push((stage.name, start.elapsed()));
        if let Err(error) = outcome {
            print_timings(&timings, begin.elapsed());
            bail!("stage `{}` failed: {error:#}. Once it is repaired: cargo xtask gate {0}", stage.name);
        }
    }
    Ok(())
}

fn print_timings(timings: &[(&str, Duration)], total: Duration) {
    let stages: Vec<_> = timings.iter().map(|(name, time)| format!("{name} {:.1} s", time.as_secs_f64())).collect();
    println!("--- so far {:.1} s: {}", total.as_secs_f64(), stages.join(", "));
}

fn command(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root())
        .status()
        .with_context(|| format!("{program} cannot be run"))?;
    if status.success() { Ok(()) } else { bail!("`{program} {}` ended with {status}", arguments.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_come_last_so_that_their_totals_are_the_closing_lines() {
        assert_eq!(STAGES.last().map(|stage| stage.name), Some("test"));
    }

    /// Cargo asks which program to run if not exactly one of them is the default.
    #[test]
    fn the_first_command_of_the_readme_runs_bezant() {
        let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
        assert!(readme.contains("\n    cargo run --release -- up "));
        let metadata = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
        let output = Command::new("cargo").args(metadata).current_dir(root()).output().unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let defaults: Vec<_> = packages.iter().filter_map(|package| package["default_run"].as_str()).collect();
        assert_eq!(defaults, ["bezant"]);
    }

    #[test]
    fn an_unknown_stage_is_named_with_the_known_ones() {
        let error = run(Some("lint")).unwrap_err().to_string();
        assert!(error.contains("`lint`") && error.contains("clippy"), "{error}");
    }

    #[test]
    fn a_command_that_fails_is_quoted() {
        let error = command("git", &["no-such-command"], &[]).unwrap_err().to_string();
        assert!(error.contains("git no-such-command"), "{error}");
    }
}
