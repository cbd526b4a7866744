//! `bezant`: the ledger's processes and tools, one sub-command each.
//!
//! Nothing is decided here: arguments become calls into [`bezant_node`], and answers become text, or JSON for programs.
//! Facts go to standard output; logs and errors to standard error. The exit status is 0 only if what was asked for
//! happened, 1 if it did not, and 2 if the arguments made no sense.

mod commands;
mod connect;
mod logging;
mod print;
mod shutdown;
mod text;
mod traitor;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;

/// A Byzantine fault tolerant ledger: keys, values and payments, kept right by replicas of which some may lie.
#[derive(Debug, Parser)]
#[command(name = "bezant", version, arg_required_else_help = true, after_help = TOUR)]
struct Arguments {
    /// Write logs as JSON, one object a line. What is logged: RUST_LOG, as in RUST_LOG=bezant_node=debug
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let Arguments { log_json, command } = Arguments::parse();
    let format = if log_json { logging::Format::Json } else { logging::Format::Text };
    logging::start(format, command.usual_level());
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and what caused it. Most errors of the crates below say their cause themselves: it is not said twice.
fn with_causes(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    // One thread: a replica's loop is one task by design, and its executor and saver are threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(command.run())
}

const TOUR: &str = "\
Try it:
  bezant up --detach                        four replicas and a gateway, in ./bezant-data
  redis-cli -p 7379 SET greeting hello      any Redis client
  bezant status                             who is where, and who disagrees
  bezant transfer bob 5 --as alice          a payment
  bezant down                               stops all of it; `up` goes on from there";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory as _;

    use super::{Arguments, with_causes};

    fn helps(command: &mut clap::Command) -> Vec<String> {
        let mut texts = vec![command.render_long_help().to_string()];
        texts.extend(command.get_subcommands_mut().flat_map(helps));
        texts
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || anyhow::anyhow!("the disk is full");
        assert_eq!(with_causes(&cause().context("nothing was kept")), "nothing was kept: the disk is full");
        let says_it = cause().context("nothing was kept: the disk is full");
        assert_eq!(with_causes(&says_it), "nothing was kept: the disk is full");
    }

    #[test]
    fn every_scenario_that_a_help_names_exists() {
        let helps = helps(&mut Arguments::command());
        let words = helps.iter().flat_map(|help| help.split_whitespace());
        let named: Vec<&str> = words.filter(|word| word.starts_with("scenarios/")).collect();
        assert!(!named.is_empty(), "the help of `sim` shows how to run one");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for name in named {
            assert!(root.join(name).is_file(), "there is no {name}");
        }
    }
}
