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
            self.replace(state, certificate)?;
        }
        if let Some((state, certificate)) = self.stable.take() {
            if self.is_new(&state) {
                self.save(&state, &certificate)?;
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

    fn save(&mut self, state: &State, certificate: &CheckpointCertificate) -> Result<(), StateError> {
        let Some(last) = &self.last else { return self.replace(state, certificate) };
        let meta = SavedState::of(state, certificate).encode();
        let changes = state.changes_since(last).into_iter();
        self.store.save(changes.map(|change| (*change.key_hash.as_bytes(), change.record)), &meta)?;
        self.last = Some(state.clone());
        Ok(())
    }

    fn replace(&mut self, state: &State, certificate: &CheckpointCertificate) -> Result<(), StateError> {
        let meta = SavedState::of(state, certificate).encode();
        let records = state.records().filter_map(|change| Some((*change.key_hash.as_bytes(), change.record?)));
        self.store.replace(records, &meta)?;
        self.last = Some(state.clone());
        Ok(())
    }

    /// Whether the store does not hold this state or a later one already. What became stable here may be overtaken by a
    /// state that was fetched, and the store must not go back behind it: blocks and log reach back no further.
    fn is_new(&self, state: &State) -> bool {
        self.last.as_ref().is_none_or(|last| last.height() < state.height())
    }
}

#[cfg(test)]
mod tests {
    use bezant_store::{Layout, MemoryHome, Place};
    use bezant_types::Digest;

    use super::*;
    use crate::fixture::{certify, genesis, history};

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
        let certified = |height: usize| {
            let state = states[height].clone();
            let endorsed = certify(&genesis, &state);
            let checked = CheckpointCertificate::check(endorsed, genesis.committee(), &genesis.keyring());
            (state, checked.unwrap())
        };
        let (home, identity) = (MemoryHome::new(Layout::STANDARD), Digest::new([1; 32]));
        let mut saver = Saver::new(home.open_state(identity).unwrap(), None);
        let (state, certificate) = certified(fetched);
        saver.queue(Save::Fetched { state, certificate });
        for height in stable {
            let (state, certificate) = certified(*height);
            saver.queue(Save::Stable { state, certificate });
        }
        let done = saver.work().unwrap();
        assert!(matches!(done, Some(Done::Restored { state, .. }) if state == states[fetched]));
        assert!(saver.work().unwrap().is_none(), "it is told once");
        drop(saver);
        let saved = home.open_state(identity).unwrap().load().unwrap().unwrap();
        SavedState::decode(&saved.meta).unwrap().header.height.get()
    }
}
