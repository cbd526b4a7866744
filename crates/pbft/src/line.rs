//! Clients that stand in line.

use alloc::collections::{BTreeMap, BTreeSet};

use bezant_types::AccountId;

/// A line in which each client stands once at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    places: BTreeMap<AccountId, u64>,
    queue: BTreeSet<(u64, AccountId)>,
}

impl Line {
    /// Who is first.
    pub(crate) fn first(&self) -> Option<AccountId> {
        self.queue.first().map(|(_, client)| *client)
    }

    /// A client joins at the end, unless it stands in the line already.
    pub(crate) fn join(&mut self, client: AccountId) {
        if !self.places.contains_key(&client) {
            let place = self.queue.last().map_or(0, |(last, _)| last + 1);
            self.places.insert(client, place);
            self.queue.insert((place, client));
        }
    }

    /// A client leaves the line.
    pub(crate) fn leave(&mut self, client: AccountId) {
        if let Some(place) = self.places.remove(&client) {
            self.queue.remove(&(place, client));
        }
    }

    /// A client that stands in the line goes to its end.
    pub(crate) fn step_back(&mut self, client: AccountId) {
        if self.places.contains_key(&client) {
            self.leave(client);
            self.join(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_joins_twice_keeps_its_place_and_who_steps_back_loses_it() {
        let [a, b, c] = [1, 2, 3].map(|byte| AccountId::new([byte; 32]));
        let mut line = Line::default();
        [b, a, c, b].into_iter().for_each(|one| line.join(one));
        assert_eq!(line.first(), Some(b));
        line.step_back(b);
        assert_eq!(line.first(), Some(a));
        line.leave(a);
        line.step_back(a);
        assert_eq!(line.first(), Some(c));
        line.leave(c);
        line.leave(b);
        assert_eq!(line, Line::default());
    }
}
