//! From a receipt to a reply: one rule for each kind of command.

use bezant_types::transaction::{Answer, Receipt};
use bezant_types::{AccountId, SequenceNumber};

use super::wording;
use crate::resp::Reply;

/// How the answers of a transaction become the reply of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// `OK` once everything was done.
    Ok,
    /// `SET`: `OK`, or null if the condition did not hold, or what was there before.
    Set,
    /// `SETNX`: 1 if it wrote, else 0.
    Written,
    /// The value or null.
    Value,
    /// A list of values and nulls.
    Values,
    /// A number.
    Integer,
    /// How many flags are up.
    Count,
    /// `TYPE`: `string` or `none`.
    Type,
    /// An amount.
    Balance,
    /// An account or null.
    Owner,
}

impl Rule {
    /// The reply to a command of so many operations. Answers of a shape that the rule does not know are a fault of the
    /// replicas or ours, and said to be one.
    pub(crate) fn reply(self, receipt: Receipt, operations: usize) -> Reply {
        match receipt {
            Err(refused) => wording::refused(&refused, operations),
            Ok(answers) if answers.len() != operations => strange(),
            Ok(answers) => self.of_answers(answers).unwrap_or_else(strange),
        }
    }

    fn of_answers(self, answers: Vec<Answer>) -> Option<Reply> {
        match self {
            Self::Ok => answers.iter().all(|one| *one == Answer::Done).then_some(Reply::OK),
            Self::Values => answers.into_iter().map(value).collect::<Option<_>>().map(Reply::Array),
            Self::Count => {
                let flags =
                    answers.iter().map(|one| if let Answer::Flag(up) = one { Some(i64::from(*up)) } else { None });
                flags.sum::<Option<i64>>().map(Reply::Integer)
            }
            Self::Set | Self::Written | Self::Value | Self::Integer | Self::Type | Self::Balance | Self::Owner => {
                let [answer] = <[Answer; 1]>::try_from(answers).ok()?;
                self.of_one(answer)
            }
        }
    }

    fn of_one(self, answer: Answer) -> Option<Reply> {
        match (self, answer) {
            (Self::Set, Answer::Done) => Some(Reply::OK),
            (Self::Set, Answer::NotDone) => Some(Reply::Null),
            (Self::Set | Self::Value, answer @ Answer::Value(_)) => value(answer),
            (Self::Written, Answer::Done) => Some(Reply::Integer(1)),
            (Self::Written, Answer::NotDone) => Some(Reply::Integer(0)),
            (Self::Integer, Answer::Integer(number)) => Some(Reply::Integer(number)),
            (Self::Type, Answer::Flag(exists)) => Some(Reply::Simple(if exists { "string" } else { "none" }.into())),
            (Self::Balance, Answer::Balance(amount)) => Some(Reply::Unsigned(amount.units())),
            (Self::Owner, Answer::Owner(owner)) => Some(owner.map_or(Reply::Null, account)),
            (_, _) => None,
        }
    }
}

/// The height that a transaction of one `Height` operation answered.
pub(crate) fn height(receipt: &Receipt) -> Option<SequenceNumber> {
    match receipt.as_deref() {
        Ok([Answer::Height(sequence)]) => Some(*sequence),
        Ok(_) | Err(_) => None,
    }
}

/// An account as 64 hexadecimal digits.
pub(super) fn account(account: AccountId) -> Reply {
    Reply::Text(account.to_string().into())
}

fn strange() -> Reply {
    Reply::Error("ERR the ledger's answer has another shape than the command's: this is a fault of the program".into())
}

fn value(answer: Answer) -> Option<Reply> {
    if let Answer::Value(value) = answer { Some(Reply::value(value)) } else { None }
}
