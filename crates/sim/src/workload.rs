//! What clients ask, as words and drawn at random.

use bezant_types::transaction::{Condition, SetAnswer};
use bezant_types::{AccountId, Amount, Operation, Transaction};

use crate::dice::Dice;

/// What every client's account holds when a world begins.
pub(crate) const OPENING_BALANCE: Amount = Amount::new(1_000);
/// How many keys all clients write together: few, so that their histories meet.
const SHARED_KEYS: u64 = 4;

/// An operation in a person's words: `set k v`, `get k`, `add k 3`, `append k x`, `delete k`, `transfer 1 50`,
/// `balance 1`. Clients are named by number.
///
/// # Errors
/// A sentence that says what would be right.
pub(crate) fn parse(words: &[String], account: impl Fn(usize) -> Option<AccountId>) -> Result<Operation, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let key = |key: &str| key.as_bytes().to_vec();
    let client = |word: &str| {
        let index = word.parse().map_err(|_| format!("`{word}` is not a client's number"))?;
        account(index).ok_or_else(|| format!("there is no client {index}"))
    };
    Ok(match words[..] {
        ["set", k, v] => set(key(k), key(v)),
        ["get", k] => Operation::Get { key: key(k) },
        ["delete", k] => Operation::Delete { key: key(k) },
        ["append", k, v] => Operation::Append { key: key(k), suffix: key(v) },
        ["add", k, delta] => {
            let delta = delta.parse().map_err(|_| format!("`{delta}` is not a number"))?;
            Operation::Add { key: key(k), delta }
        }
        ["transfer", to, amount] => {
            let units = amount.parse().map_err(|_| format!("`{amount}` is not an amount"))?;
            Operation::Transfer { to: client(to)?, amount: Amount::new(units) }
        }
        ["balance", of] => Operation::Balance { account: client(of)? },
        _ => {
            let text = words.join(" ");
            return Err(format!(
                "`{text}` is none of set K V, get K, add K N, append K V, delete K, transfer C N, balance C"
            ));
        }
    })
}

fn set(key: Vec<u8>, value: Vec<u8>) -> Operation {
    Operation::Set { key, value, condition: Condition::Always, answer: SetAnswer::Written }
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Author<'a> {
    /// Which client, and how many requests it has made.
    pub(crate) client: usize,
    pub(crate) number: u64,
    /// Whom it may pay.
    pub(crate) accounts: &'a [AccountId],
    /// How many bytes what it writes has at least.
    pub(crate) values: usize,
}

/// What a client asks next: one to three transactions, mostly one. Every value is unlike all others, so that a reader's
/// answer names the write that it saw.
pub(crate) fn draw(dice: &mut Dice, author: Author<'_>) -> Vec<Transaction> {
    let count = if dice.below(8) == 0 { dice.between(2, 3) } else { 1 };
    (0..count).map(|nth| Transaction::single(one(dice, author, nth))).collect()
}

fn one(dice: &mut Dice, author: Author<'_>, nth: u64) -> Operation {
    let Author { client, number, accounts, values } = author;
    // Entries belong to whoever made them. What all write is money; keys are read by all and written by their owner.
    let own = |dice: &mut Dice| format!("k{client}.{}", dice.below(SHARED_KEYS)).into_bytes();
    let any = |dice: &mut Dice| {
        let owner = dice.below(accounts.len() as u64);
        format!("k{owner}.{}", dice.below(SHARED_KEYS)).into_bytes()
    };
    let text = || format!("{:.<values$}", format!("{client}.{number}.{nth}")).into_bytes();
    match dice.below(16) {
        0..=4 => set(own(dice), text()),
        5..=8 => Operation::Get { key: any(dice) },
        9 => Operation::Append { key: own(dice), suffix: text() },
        10 => Operation::Delete { key: own(dice) },
        11 | 12 => Operation::Add { key: format!("n{client}").into_bytes(), delta: 1 },
        13 | 14 => {
            let to = dice.pick(accounts).copied().unwrap_or(AccountId::FEES);
            Operation::Transfer { to, amount: Amount::new(dice.between(1, 20)) }
        }
        _ => {
            let account = dice.pick(accounts).copied().unwrap_or(AccountId::FEES);
            Operation::Balance { account }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Operation, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        parse(&words, |index| (index < 2).then(|| AccountId::new([index as u8; 32])))
    }

    #[test]
    fn operations_are_read_from_words_or_refused_with_what_would_be_right() {
        assert_eq!(read("get k"), Ok(Operation::Get { key: b"k".to_vec() }));
        assert_eq!(read("add k -3"), Ok(Operation::Add { key: b"k".to_vec(), delta: -3 }));
        let to = AccountId::new([1; 32]);
        assert_eq!(read("transfer 1 5"), Ok(Operation::Transfer { to, amount: Amount::new(5) }));
        for bad in ["", "set k", "transfer 7 5", "transfer x 5", "add k x", "sing"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_drawn_is_of_every_kind_and_the_same_for_the_same_seed() {
        let accounts = [AccountId::new([1; 32]), AccountId::new([2; 32])];
        let draws = |seed| {
            let mut dice = Dice::new(seed);
            let author = |number| Author { client: 0, number, accounts: &accounts, values: 0 };
            (0..200).map(|number| draw(&mut dice, author(number))).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let drawn = draws(3);
        let all: Vec<&Operation> = drawn.iter().flatten().flat_map(|one| &one.operations).collect();
        let kinds: std::collections::HashSet<_> = all.iter().map(|one| std::mem::discriminant(*one)).collect();
        assert_eq!(kinds.len(), 7);
    }
    #[test]
    fn what_is_written_is_as_long_as_it_is_to_be_and_differs() {
        let mut dice = Dice::new(1);
        let drawn: Vec<_> = (0..100)
            .flat_map(|number| draw(&mut dice, Author { client: 1, number, accounts: &[], values: 500 }))
            .flat_map(|one| one.operations)
            .filter_map(|operation| if let Operation::Set { value, .. } = operation { Some(value) } else { None })
            .collect();
        let distinct: std::collections::HashSet<_> = drawn.iter().collect();
        assert!(drawn.len() > 10 && drawn.iter().all(|value| value.len() == 500));
        assert_eq!(distinct.len(), drawn.len());
    }
}
