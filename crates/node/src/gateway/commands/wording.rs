//! Errors as Redis words them, and ours.
//!
//! The first word of an error is its code, which clients match on. Where Redis has a wording, it is kept to the letter:
//! client libraries compare it.

use bezant_types::transaction::{Refusal, Refused, printable};

use crate::gateway::queue::Failure;
use crate::gateway::seam::{QueryError, SubmitError};
use crate::resp::{Command, Reply};

pub(super) fn wrong_arity(name: &str) -> Reply {
    Reply::Error(format!("ERR wrong number of arguments for '{name}' command"))
}

pub(super) fn syntax() -> Reply {
    Reply::Error("ERR syntax error".into())
}

pub(super) fn not_an_integer() -> Reply {
    Reply::Error("ERR value is not an integer or out of range".into())
}

/// As `commandCheckExistence` of Redis: names and arguments are cut at 128 bytes.
pub(super) fn unknown_command(command: &Command<'_>) -> Reply {
    let cut = |bytes: &[u8], most: usize| printable(bytes.get(..bytes.len().min(most)).unwrap_or_default());
    let mut arguments = String::new();
    for argument in command.iter().skip(1) {
        if arguments.len() >= QUOTED {
            break;
        }
        arguments.push_str(&format!("'{}' ", cut(argument, QUOTED - arguments.len())));
    }
    let name = cut(command.name(), QUOTED);
    Reply::Error(format!("ERR unknown command '{name}', with args beginning with: {arguments}"))
}

pub(super) fn unknown_subcommand(container: &str, subcommand: &[u8]) -> Reply {
    let shown = printable(subcommand.get(..subcommand.len().min(QUOTED)).unwrap_or_default());
    Reply::Error(format!("ERR unknown subcommand '{shown}'. Try {} HELP.", container.to_ascii_uppercase()))
}

/// A command or option that Redis has and we have not.
pub(super) fn unsupported(what: &str, why: &str) -> Reply {
    Reply::Error(format!("ERR {what} is not supported: {why}"))
}

/// Something too large that is refused before it is sent anywhere.
pub(crate) fn too_large(what: impl std::fmt::Display) -> Reply {
    Reply::Error(format!("TOOLARGE {what}"))
}

/// A transaction that the ledger did not apply. `operations` is how many it had.
pub(super) fn refused(refused: &Refused, operations: usize) -> Reply {
    let code = code(&refused.reason);
    let place = if operations > 1 {
        format!(" (operation {} of {operations}; nothing was done)", u64::from(refused.operation) + 1)
    } else {
        String::new()
    };
    Reply::Error(format!("{code} {}{place}", refused.reason))
}

/// The code word of a refusal.
fn code(reason: &Refusal) -> &'static str {
    match reason {
        Refusal::ReadOnly | Refusal::NotYours { .. } | Refusal::NotOwner { .. } => "NOPERM",
        Refusal::KeyTooLong { .. } | Refusal::ValueTooLong { .. } | Refusal::AnswerTooLarge { .. } => "TOOLARGE",
        Refusal::StateFull { .. } => "FULL",
        Refusal::Overdraft { .. } => "OVERDRAFT",
        Refusal::NoSuchEntry
        | Refusal::TooManyGrants { .. }
        | Refusal::NotAnInteger
        | Refusal::IntegerOverflow
        | Refusal::AmountOverflow
        | Refusal::ReservedAccount => "ERR",
    }
}

/// A command that has no receipt.
pub(crate) fn failure(failure: &Failure) -> Reply {
    let code = match failure {
        Failure::NotSent { .. }
        | Failure::HeldBack
        | Failure::Silent { .. }
        | Failure::Submit(SubmitError::NoQuorum { .. }) => "NOQUORUM",
        Failure::Submit(SubmitError::Expired) => "EXPIRED",
        Failure::Submit(SubmitError::NotKept) => "TOOLARGE",
        Failure::Submit(SubmitError::NumberReused | SubmitError::Refused(_) | SubmitError::ShuttingDown)
        | Failure::Malformed => "ERR",
    };
    Reply::Error(format!("{code} {failure}"))
}

/// A question that has no answer.
pub(crate) fn query_failure(error: &QueryError) -> Reply {
    let code = match error {
        QueryError::NoAnswer { .. } => "NOQUORUM",
        QueryError::Refused(_) | QueryError::ShuttingDown => "ERR",
    };
    Reply::Error(format!("{code} {error}"))
}

/// How much of what a client sent is quoted back to it.
const QUOTED: usize = 128;
