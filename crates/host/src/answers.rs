//! Retransmissions that are being answered from what the ledger keeps.
//!
//! **The adversary** is a client that asks for old answers as fast as it can, or has others ask. An answer costs a look
//! into the ledger and a signature, so only whoever brings its own request is answered, each request once at a time,
//! and each client a few at a time; the executor takes blocks first.

use std::collections::{BTreeMap, BTreeSet};

use bezant_types::{AccountId, RequestNumber};

/// The answers under way. Bounded: a few of each known client.
#[derive(Debug, Default)]
pub(crate) struct Answers(BTreeMap<AccountId, BTreeSet<RequestNumber>>);

/// Why a retransmission is not answered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// Its answer is on the way, to all connections of the client.
    UnderWay,
    /// Too many of this client's are.
    TooMany,
}

impl Answers {
    pub(crate) fn begin(&mut self, client: AccountId, number: RequestNumber) -> Result<(), NotNow> {
        let numbers = self.0.entry(client).or_default();
        if numbers.contains(&number) {
            return Err(NotNow::UnderWay);
        }
        if numbers.len() >= PER_CLIENT {
            return Err(NotNow::TooMany);
        }
        numbers.insert(number);
        Ok(())
    }

    pub(crate) fn end(&mut self, client: AccountId, number: RequestNumber) {
        let Some(numbers) = self.0.get_mut(&client) else { return };
        numbers.remove(&number);
        if numbers.is_empty() {
            self.0.remove(&client);
        }
    }
}

const PER_CLIENT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_answered_once_at_a_time_and_each_client_a_few() {
        let mut answers = Answers::default();
        let (alice, bob) = (AccountId::new([1; 32]), AccountId::new([2; 32]));
        let n = |number: usize| RequestNumber::new(number as u64);
        for number in 0..PER_CLIENT {
            assert_eq!(answers.begin(alice, n(number)), Ok(()));
            assert_eq!(answers.begin(alice, n(number)), Err(NotNow::UnderWay));
        }
        assert_eq!(answers.begin(alice, n(PER_CLIENT)), Err(NotNow::TooMany));
        assert_eq!(answers.begin(bob, n(0)), Ok(()), "another client has its own share");
        answers.end(alice, n(0));
        assert_eq!(answers.begin(alice, n(PER_CLIENT)), Ok(()));
        (0..=PER_CLIENT).for_each(|number| answers.end(alice, n(number)));
        answers.end(bob, n(0));
        assert!(answers.0.is_empty());
    }
}
