//! Which request numbers were executed: what a member asks before it lets a request into the pool.

use std::collections::BTreeMap;

use bezant_ledger::{Item, Key, State};
use bezant_types::{AccountId, RequestNumber};

/// Of each client the last number executed in each slot of its window, as the ledger has it.
#[derive(Clone, Debug)]
pub struct Seen {
    window: usize,
    clients: BTreeMap<AccountId, Vec<Option<RequestNumber>>>,
}

impl Seen {
    /// Nothing was executed. `window` is the genesis' `client_window`.
    pub(crate) fn new(window: u32) -> Self {
        Self { window: window as usize, clients: BTreeMap::new() }
    }

    /// Takes over what a state remembers.
    pub(crate) fn reload(&mut self, state: &State) {
        self.clients.clear();
        for (key, item) in state.items() {
            if let (Key::Window { client, .. }, Item::Window { number, .. }) = (key, item) {
                self.insert(*client, *number);
            }
        }
    }

    /// A request was executed.
    pub(crate) fn insert(&mut self, client: AccountId, number: RequestNumber) {
        let slot = self.slot(number);
        let slots = self.clients.entry(client).or_insert_with(|| vec![None; self.window]);
        slots[slot] = slots[slot].max(Some(number));
    }

    /// Whether a request of this number was executed, or has left the window: it must not be ordered again.
    pub(crate) fn contains(&self, client: AccountId, number: RequestNumber) -> bool {
        let known = self.clients.get(&client).and_then(|slots| slots[self.slot(number)]);
        known.is_some_and(|known| number <= known)
    }

    fn slot(&self, number: RequestNumber) -> usize {
        let window = self.window as u64;
        usize::try_from(number.get() % window).expect("a slot is below the window, which is a 32-bit number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_at_or_below_the_last_of_its_slot_is_seen() {
        let mut seen = Seen::new(16);
        let (client, n) = (AccountId::new([1; 32]), RequestNumber::new);
        assert!(!seen.contains(client, n(0)));
        seen.insert(client, n(17));
        assert!(seen.contains(client, n(17)), "executed");
        assert!(seen.contains(client, n(1)), "left the window");
        assert!(!seen.contains(client, n(33)), "the next of its slot");
        assert!(!seen.contains(client, n(16)), "another slot");
        assert!(!seen.contains(AccountId::new([2; 32]), n(17)), "another client");
    }
}
