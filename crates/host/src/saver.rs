//! The saver: writes stable and fetched states to the state store, while execution goes on.
//!
//! A state is a value, so it can be written at leisure. Only what changed since the last one is written, in one
//! transaction; if several became stable meanwhile, only the last is. The write-ahead log is never needed further back
//! than the last stable checkpoint, because blocks are kept from the last saved state on.

use bezant_ledger::State;
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_store::{StateError, StateStore};

use crate::executor::Done;
use crate::saved::SavedState;

/// What a member asks of its saver.
#[derive(Clone, Debug)]
pub enum Save {
    /// A state has become stable.
    Stable {
        /// The state.
        state: State,
        /// What vouches for it.
        certificate: CheckpointCertificate,
    },
    /// A state was fetched and installed: it must be durable before anything is built on it.
    Fetched {
        /// The state.
        state: State,
        /// What vouches for it.
        certificate: CheckpointCertificate,
    },
}

/// Saves states.
#[derive(Debug)]
pub struct Saver {
    store: StateStore,
    /// What the store holds.
    last: Option<State>,
    /// What waits: a state that was fetched, and the last of those that have become stable.
    fetched: Option<(State, CheckpointCertificate)>,
    stable: Option<(State, CheckpointCertificate)>,
}

impl Saver {
    pub(crate) fn new(store: StateStore, last: Option<State>) -> Self {
        Self { store, last, fetched: None, stable: None }
    }

    /// Takes a state that is to be saved. An earlier one that is still waiting gives way to it.
    pub fn queue(&mut self, save: Save) {
        match save {
            Save::Stable { state, certificate } => {
                let waiting = self.stable.as_ref().map(|(state, _)| state.height());
                if waiting.is_none_or(|waiting| waiting < state.height()) {
                    self.stable = Some((state, certificate));
                }
            }
            Save::Fetched { state, certificate } => self.fetched = Some((state, certificate)),
        }
    }

    /// Saves what waits. A state that was fetched is reported once it is durable.
    ///
    /// # Errors
    /// [`StateError`]. The saver must not be used any more.
    pub fn work(&mut self) -> Result<Option<Done>, StateError> {
        let fetched = self.fetched.take();
        if let Some((state, certificate)) = &fetched {
            self.write(state, certificate)?;
        }
        if let Some((state, certificate)) = self.stable.take() {
            if self.is_new(&state) {
                self.write(&state, &certificate)?;
            } else {
                tracing::debug!("the state at {} is saved already", state.height());
            }
        }
        Ok(fetched.map(|(state, certificate)| Done::Restored { state, certificate }))
    }

    /// The last state that was saved, for whoever watches.
    pub fn last(&self) -> Option<&State> {
        self.last.as_ref()
    }

    fn write(&mut self, state: &State, certificate: &CheckpointCertificate) -> Result<(), StateError> {
        let meta = SavedState::of(state, certificate).encode();
        match &self.last {
            Some(last) if is_mostly_known(state, last) => {
                let changes = state.changes_since(last).into_iter();
                self.store.save(changes.map(|change| (*change.key_hash.as_bytes(), change.record)), &meta)?;
            }
            Some(_) | None => {
                let records = state.records().filter_map(|change| Some((*change.key_hash.as_bytes(), change.record?)));
                self.store.replace(records, &meta)?;
            }
        }
        self.last = Some(state.clone());
        Ok(())
    }

    /// Whether the store does not hold this state or a later one already. What became stable here may be overtaken by a
    /// state that was fetched, and the store must not go back behind it: blocks and log reach back no further.
    fn is_new(&self, state: &State) -> bool {
        self.last.as_ref().is_none_or(|last| last.height() < state.height())
    }
}

/// Whether `state` may share so much with `last` that comparing the two is worth it. A state more than twice as large
/// does not: to write it anew takes no longer, and is done leaf by leaf, without a list of what changed.
fn is_mostly_known(state: &State, last: &State) -> bool {
    state.bytes() / 2 <= last.bytes()
}

#[cfg(test)]
mod tests {
    use bezant_ledger::Ledger;
    use bezant_store::place::Part;
    use bezant_store::{Layout, MemoryHome, Place};
    use bezant_types::{Bundle, Digest, Genesis, Operation, Request, RequestNumber, Timestamp, Transaction, Verified};

    use super::*;
    use crate::fixture::{ALICE, account, certify, genesis, history, key, set};

    const IDENTITY: Digest = Digest::new([1; 32]);

    #[test]
    fn a_state_that_was_overtaken_by_a_fetched_one_does_not_move_the_store_back() {
        assert_eq!(saved_after(2, &[1]), 2);
        assert_eq!(saved_after(2, &[2]), 2);
        assert_eq!(saved_after(2, &[3]), 3);
        assert_eq!(saved_after(2, &[3, 1]), 3, "and what is skipped hides nothing");
    }

    /// The height of what is saved after a state was fetched and then others became stable.
    fn saved_after(fetched: usize, stable: &[usize]) -> u64 {
        let genesis = genesis();
        let (_, states) = history(&genesis, 3);
        let home = MemoryHome::new(Layout::STANDARD);
        let mut saver = saver(&home, None);
        let (state, certificate) = certified(&genesis, &states[fetched]);
        saver.queue(Save::Fetched { state, certificate });
        for height in stable {
            let (state, certificate) = certified(&genesis, &states[*height]);
            saver.queue(Save::Stable { state, certificate });
        }
        let done = saver.work().unwrap();
        assert!(matches!(done, Some(Done::Restored { state, .. }) if state == states[fetched]));
        assert!(saver.work().unwrap().is_none(), "it is told once");
        drop(saver);
        saved(&home).height().get()
    }

    /// A transfer may share nothing with what was there before: every node is made anew.
    #[test]
    fn of_a_state_that_was_fetched_only_what_differs_is_written() {
        let genesis = genesis();
        let mut ledger = Ledger::new(&genesis);
        let old = execute(&genesis, &mut ledger, (0..8_000).map(|n| set(&format!("key-{n}"), "old")).collect());
        let change = [set("key-5", "new"), set("key-new", "new"), delete("key-6")];
        let new = execute(&genesis, &mut ledger, change.to_vec());
        let fetched = reload(&new);

        let home = MemoryHome::new(Layout::STANDARD);
        let mut saver = saver(&home, None);
        let everything = writes(&home, || save_fetched(&genesis, &mut saver, &old));
        let difference = writes(&home, || save_fetched(&genesis, &mut saver, &fetched));
        assert!(difference * 8 < everything, "{difference} operations after {everything}");
        drop(saver);
        assert_eq!(saved(&home), new, "and what is gone is gone");
    }

    #[test]
    fn a_state_that_has_little_in_common_with_the_saved_one_replaces_it() {
        let genesis = genesis();
        let mut ledger = Ledger::new(&genesis);
        let old = execute(&genesis, &mut ledger, vec![set("key-0", "old"), set("gone", "soon")]);
        let mut next: Vec<_> = (0..200).map(|n| set(&format!("key-{n}"), "new")).collect();
        next.push(delete("gone"));
        let new = execute(&genesis, &mut ledger, next);
        assert!(!is_mostly_known(&new, &old) && is_mostly_known(&old, &new));
        for way in [[&old, &new], [&new, &old]] {
            let home = MemoryHome::new(Layout::STANDARD);
            let mut saver = saver(&home, None);
            way.into_iter().for_each(|state| save_fetched(&genesis, &mut saver, state));
            drop(saver);
            assert_eq!(saved(&home), *way[1]);
        }
    }

    fn saver(home: &MemoryHome, last: Option<State>) -> Saver {
        Saver::new(home.open_state(IDENTITY).unwrap(), last)
    }

    fn save_fetched(genesis: &Genesis, saver: &mut Saver, state: &State) {
        let (state, certificate) = certified(genesis, state);
        saver.queue(Save::Fetched { state, certificate });
        saver.work().unwrap();
    }

    fn certified(genesis: &Genesis, state: &State) -> (State, CheckpointCertificate) {
        let certificate =
            CheckpointCertificate::check(certify(genesis, state), genesis.committee(), &genesis.keyring());
        (state.clone(), certificate.unwrap())
    }

    /// How many operations of the disk it takes.
    fn writes(home: &MemoryHome, act: impl FnOnce()) -> u64 {
        let before = home.disk(Part::State).operations();
        act();
        home.disk(Part::State).operations() - before
    }

    /// What a replica would come up with.
    fn saved(home: &MemoryHome) -> State {
        let saved = home.open_state(IDENTITY).unwrap().load().unwrap().unwrap();
        let SavedState { header, .. } = SavedState::decode(&saved.meta).unwrap();
        State::load(header, saved.entries.iter().map(|(_, bytes)| bytes)).unwrap()
    }

    /// The same state, made anew from its records.
    fn reload(state: &State) -> State {
        State::load(state.header(), state.records().filter_map(|change| change.record)).unwrap()
    }

    fn execute(genesis: &Genesis, ledger: &mut Ledger, transactions: Vec<Transaction>) -> State {
        let sequence = ledger.height().next();
        let bundle = Bundle { number: RequestNumber::new(sequence.get()), transactions };
        let signed = Verified::sign(bundle, account(ALICE), &key(ALICE), genesis.digest());
        ledger.execute(sequence, Timestamp::new(1), &[Request::new(signed, genesis.parameters()).unwrap()]);
        ledger.checkpoint()
    }

    fn delete(key: &str) -> Transaction {
        Transaction::single(Operation::Delete { key: key.into() })
    }
}
