//! What clients ask and what it came to, in words for a person: traces, reports, errors.
//!
//! ```text
//! set k v; {add n 1, transfer 5f1c09aa 20} fee 1        two transactions
//! done; refused: operation 1: ...                       what they came to
//! ```
//!
//! Keys and values are shortened and escaped; an account is its first four bytes. It is for reading only: nothing
//! parses it.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::{self, Display, Formatter};

use crate::transaction::{Answer, Bundle, Condition, Operation, Outcome, Receipt, SetAnswer, Transaction, printable};
use crate::{AccountId, Amount};

/// How many bytes of a key or value are shown whole, and how many of a longer one.
const WHOLE: usize = 40;
const BEGINNING: usize = 24;

/// A key or a value.
fn brief(bytes: &[u8]) -> String {
    let shown = printable(bytes.get(..if bytes.len() > WHOLE { BEGINNING } else { bytes.len() }).unwrap_or_default());
    let rest = if bytes.len() > WHOLE { format!("..({} bytes)", bytes.len()) } else { String::new() };
    if shown.is_empty() || shown.contains(' ') { format!("\"{shown}\"{rest}") } else { format!("{shown}{rest}") }
}

/// An account, by its beginning.
fn short(account: &AccountId) -> String {
    format!("{:.8}", account.to_string())
}

/// All of them, a separator between.
fn list(f: &mut Formatter<'_>, items: impl IntoIterator<Item = impl Display>, separator: &str) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        f.write_str(if index > 0 { separator } else { "" })?;
        item.fmt(f)?;
    }
    Ok(())
}

impl Display for Operation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { key } => write!(f, "get {}", brief(key)),
            Self::Set { key, value, condition, answer } => {
                write!(f, "set {} {}", brief(key), brief(value))?;
                f.write_str(match condition {
                    Condition::Always => "",
                    Condition::IfAbsent => " if absent",
                    Condition::IfPresent => " if present",
                })?;
                f.write_str(match answer {
                    SetAnswer::Written => "",
                    SetAnswer::Previous => " for the value before",
                })
            }
            Self::Delete { key } => write!(f, "delete {}", brief(key)),
            Self::Take { key } => write!(f, "take {}", brief(key)),
            Self::Exists { key } => write!(f, "exists {}", brief(key)),
            Self::Length { key } => write!(f, "length {}", brief(key)),
            Self::Append { key, suffix } => write!(f, "append {} {}", brief(key), brief(suffix)),
            Self::Add { key, delta } => write!(f, "add {} {delta}", brief(key)),
            Self::Transfer { to, amount } => write!(f, "transfer {} {amount}", short(to)),
            Self::Balance { account } => write!(f, "balance {}", short(account)),
            Self::Owner { key } => write!(f, "owner {}", brief(key)),
            Self::Grant { key, to } => write!(f, "grant {} to {}", brief(key), short(to)),
            Self::Revoke { key, from } => write!(f, "revoke {} from {}", brief(key), short(from)),
            Self::Size => f.write_str("size"),
            Self::Height => f.write_str("height"),
        }
    }
}

impl Display for Transaction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let alone = self.operations.len() == 1;
        f.write_str(if alone { "" } else { "{" })?;
        list(f, &self.operations, ", ")?;
        f.write_str(if alone { "" } else { "}" })?;
        if self.fee == Amount::ZERO { Ok(()) } else { write!(f, " fee {}", self.fee) }
    }
}

impl Display for Bundle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.number)?;
        list(f, &self.transactions, "; ")
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::NotDone => f.write_str("not done"),
            Self::Value(Some(value)) => write!(f, "= {}", brief(value)),
            Self::Value(None) => f.write_str("nothing"),
            Self::Integer(number) => number.fmt(f),
            Self::Flag(true) => f.write_str("yes"),
            Self::Flag(false) => f.write_str("no"),
            Self::Balance(amount) => amount.fmt(f),
            Self::Owner(Some(owner)) => f.write_str(&short(owner)),
            Self::Owner(None) => f.write_str("nobody"),
            Self::Height(height) => write!(f, "height {height}"),
        }
    }
}

/// What one transaction came to.
struct Came<'a>(&'a Receipt);

impl Display for Came<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(answers) => list(f, answers, ", "),
            Err(refused) => write!(f, "refused: {refused}"),
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Executed(receipts) => list(f, receipts.iter().map(Came), "; "),
            Self::Expired => f.write_str("expired: its number has left the window"),
            Self::NumberReused => f.write_str("not executed: its number belongs to another request"),
            Self::NotKept { outcome } => write!(f, "executed before, not kept: {outcome:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::RequestNumber;
    use crate::transaction::{Refusal, Refused};

    fn set(key: &[u8], value: Vec<u8>) -> Operation {
        Operation::Set { key: key.to_vec(), value, condition: Condition::IfAbsent, answer: SetAnswer::Previous }
    }

    #[test]
    fn a_request_is_read_in_words() {
        let to = AccountId::new([0xab; 32]);
        let operations =
            vec![Operation::Add { key: b"n".to_vec(), delta: -3 }, Operation::Transfer { to, amount: Amount::new(20) }];
        let several = Transaction { fee: Amount::new(1), operations };
        let transactions = vec![Transaction::single(set(b"a b", b"\x00v".to_vec())), several];
        let words = Bundle { number: RequestNumber::new(7), transactions }.to_string();
        assert_eq!(
            words,
            "7: set \"a b\" \\x00v if absent for the value before; {add n -3, transfer abababab 20} fee 1"
        );
    }

    #[test]
    fn what_is_long_is_shortened_and_says_how_long_it_is() {
        let words = set(b"", vec![b'x'; 4_000]).to_string();
        assert!(words.starts_with("set \"\" xxxxxxxxxxxxxxxxxxxxxxxx..(4000 bytes)"), "{words}");
        assert_eq!(brief(&[b'y'; WHOLE]).len(), WHOLE);
    }

    #[test]
    fn an_outcome_is_read_in_words() {
        let refused = Refused { operation: 1, reason: Refusal::ReadOnly };
        let answers = vec![Answer::Value(Some(b"v".to_vec())), Answer::Flag(false), Answer::Owner(None)];
        let words = Outcome::Executed(vec![Ok(answers), Err(refused)]).to_string();
        assert_eq!(words, "= v, no, nobody; refused: operation 1: this client may only read");
    }
}
