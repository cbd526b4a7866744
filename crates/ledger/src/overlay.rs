//! The working set: what was written since the last checkpoint, over the trie of that checkpoint.
//!
//! Reads look at the overlay first. Writes within a transaction are journalled by their inverses, so that taking back a
//! transaction costs what it wrote, and a transaction that applies costs one push per write. Appending and granting
//! change an entry in place: copying a megabyte for each byte appended would let one small request keep every replica
//! busy for seconds.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;

use bezant_types::{AccountId, Amount, Digest};

use crate::item::{Item, Key};
use crate::trie::{Draft, Node, Update, merge};

/// The trie with what was written over it.
#[derive(Clone)]
pub(crate) struct Overlay {
    trie: Node,
    /// What keys hold over what the trie says; `None` is nothing.
    slots: BTreeMap<Digest, Option<Draft>>,
    totals: Totals,
    /// The inverses of this transaction's writes, and what the totals were before it.
    journal: Vec<Inverse>,
    before: Totals,
}

/// Sums over the whole content, kept up to date with every write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// The sum of all balances. Wider than an amount, so that it can be compared even in the middle of a transfer.
    pub(crate) held: u128,
}

/// How to take back one write.
#[derive(Clone)]
enum Inverse {
    /// Put the slot back as it was.
    Restore(Digest, Option<Option<Draft>>),
    /// Shorten the entry's value to this length.
    Truncate(Digest, usize),
    /// Remove the grant.
    Revoke(Digest, AccountId),
    /// Add the grant.
    Grant(Digest, AccountId),
}

impl Overlay {
    /// By how much a grant lengthens its entry's item.
    pub(crate) const GRANT_BYTES: u64 = 32;

    pub(crate) fn new(trie: Node, totals: Totals) -> Self {
        Self { trie, slots: BTreeMap::new(), totals, journal: Vec::new(), before: totals }
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// What the key of this digest holds.
    pub(crate) fn read(&self, at: &Digest) -> Option<&Item> {
        match self.slots.get(at) {
            Some(slot) => slot.as_ref().map(Draft::item),
            None => self.trie.get(at).map(|leaf| &leaf.item),
        }
    }

    /// What `account` holds.
    pub(crate) fn balance(&self, account: AccountId) -> Amount {
        match self.read(&Key::Account(account).digest()) {
            Some(Item::Balance(amount)) => *amount,
            None => Amount::ZERO,
            Some(Item::Entry { .. } | Item::Window { .. }) => unreachable!("an account's leaf holds a balance"),
        }
    }

    /// Lets `key`, whose digest is `at`, hold `item`, or nothing.
    pub(crate) fn write(&mut self, at: Digest, key: Key, item: Option<Item>) {
        let (old, new) = (Totals::of(&key, self.read(&at)), Totals::of(&key, item.as_ref()));
        self.totals = self.totals.exchange(old, new);
        let replaced = if item.is_none() && self.trie.get(&at).is_none() {
            self.slots.remove(&at)
        } else {
            self.slots.insert(at, item.map(|item| Draft::new(at, key, item)))
        };
        self.journal.push(Inverse::Restore(at, replaced));
    }

    /// Lets `account` hold `amount`.
    pub(crate) fn set_balance(&mut self, account: AccountId, amount: Amount) {
        let key = Key::Account(account);
        let item = (amount != Amount::ZERO).then_some(Item::Balance(amount));
        self.write(key.digest(), key, item);
    }

    /// Lengthens the value of the entry at `at`, and says how long it is now.
    pub(crate) fn append(&mut self, at: &Digest, suffix: &[u8]) -> usize {
        let (_, value) = self.entry_mut(at);
        let length = value.len();
        value.extend_from_slice(suffix);
        self.totals.bytes += suffix.len() as u64;
        self.journal.push(Inverse::Truncate(*at, length));
        length + suffix.len()
    }

    /// Adds a grant, which is not there yet, to the entry at `at`.
    pub(crate) fn grant(&mut self, at: &Digest, to: AccountId) {
        add_grant(self.entry_mut(at).0, to);
        self.totals.bytes += Self::GRANT_BYTES;
        self.journal.push(Inverse::Revoke(*at, to));
    }

    /// Removes a grant, which is there, from the entry at `at`.
    pub(crate) fn revoke(&mut self, at: &Digest, from: AccountId) {
        remove_grant(self.entry_mut(at).0, from);
        self.totals.bytes -= Self::GRANT_BYTES;
        self.journal.push(Inverse::Grant(*at, from));
    }

    /// Makes everything since the last call final.
    pub(crate) fn commit(&mut self) {
        self.journal.clear();
        self.before = self.totals;
    }

    /// Takes back everything since the last [`Self::commit`].
    pub(crate) fn roll_back(&mut self) {
        for inverse in mem::take(&mut self.journal).into_iter().rev() {
            match inverse {
                Inverse::Restore(at, Some(slot)) => drop(self.slots.insert(at, slot)),
                Inverse::Restore(at, None) => drop(self.slots.remove(&at)),
                Inverse::Truncate(at, length) => self.entry_mut(&at).1.truncate(length),
                Inverse::Revoke(at, account) => remove_grant(self.entry_mut(&at).0, account),
                Inverse::Grant(at, account) => add_grant(self.entry_mut(&at).0, account),
            }
        }
        self.totals = self.before;
    }

    /// Merges the overlay into the trie, and answers the trie.
    pub(crate) fn merge(&mut self) -> &Node {
        assert!(self.journal.is_empty(), "a checkpoint lies between transactions");
        let finish = |(key_hash, slot): (Digest, Option<Draft>)| Update { key_hash, leaf: slot.map(Draft::finish) };
        let updates: Vec<_> = mem::take(&mut self.slots).into_iter().map(finish).collect();
        self.trie = merge(&self.trie, 0, &updates);
        debug_assert_eq!(self.trie.weight(), self.totals.bytes, "the running count of bytes is that of the content");
        &self.trie
    }

    /// The grants and the value of the entry at `at`, which there is, for changing in place. The copy that this puts
    /// over the trie is no change, so nobody need take it back.
    fn entry_mut(&mut self, at: &Digest) -> (&mut Vec<AccountId>, &mut Vec<u8>) {
        let trie = &self.trie;
        let slot = self.slots.entry(*at).or_insert_with(|| trie.get(at).map(Draft::of));
        match slot.as_mut().map(Draft::item_mut) {
            Some(Item::Entry { owner: _, grants, value }) => (grants, value),
            Some(Item::Balance(_) | Item::Window { .. }) | None => {
                unreachable!("the caller has seen that there is such an entry")
            }
        }
    }
}

impl Totals {
    /// What a single leaf adds.
    pub(crate) fn of(key: &Key, item: Option<&Item>) -> Self {
        let Some(item) = item else { return Self::default() };
        let (entries, held) = match item {
            Item::Entry { .. } => (1, 0),
            Item::Balance(amount) => (0, u128::from(amount.units())),
            Item::Window { .. } => (0, 0),
        };
        Self { entries, bytes: key.weight() + item.weight(), held }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { entries: self.entries + other.entries, bytes: self.bytes + other.bytes, held: self.held + other.held }
    }

    /// With one leaf's part in place of another's. `old` is part of `self`, so nothing goes below zero.
    fn exchange(self, old: Self, new: Self) -> Self {
        Self {
            entries: self.entries - old.entries + new.entries,
            bytes: self.bytes - old.bytes + new.bytes,
            held: self.held - old.held + new.held,
        }
    }
}

fn add_grant(grants: &mut Vec<AccountId>, account: AccountId) {
    let place = grants.binary_search(&account).expect_err("the caller has seen that it is not there");
    grants.insert(place, account);
}

fn remove_grant(grants: &mut Vec<AccountId>, account: AccountId) {
    let place = grants.binary_search(&account).expect("the caller has seen that it is there");
    grants.remove(place);
}
