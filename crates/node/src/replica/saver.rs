//! The saver: one thread per replica that writes stable states to disk, while execution goes on.
//!
//! A state is a value, so it can be written at leisure. Only what changed since the last one is written, in one
//! transaction; if several became stable meanwhile, only the last is. The write-ahead log is never needed further back
//! than the last stable checkpoint, because blocks are kept from the last saved state on.

use std::sync::{Arc, mpsc};
use std::thread;

use bezant_ledger::State;
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_store::{StateError, StateStore};
use tokio::sync::mpsc as async_mpsc;

use crate::saved::SavedState;

/// What the saver is asked.
pub(super) enum Save {
    /// A state has become stable.
    Stable { state: State, certificate: CheckpointCertificate },
    /// A state was fetched: it replaces all, and must be durable before anything is built on it.
    Replace { state: State, certificate: CheckpointCertificate, durable: mpsc::Sender<()> },
}

/// Why the saver stopped.
#[derive(Debug, thiserror::Error)]
pub enum SaverError {
    /// The state store.
    #[error(transparent)]
    Store(#[from] StateError),
    /// The thread has ended: it said why, or it panicked.
    #[error("the thread that saves the state is gone: why it ended stands above this line")]
    Gone,
    /// The thread could not be started.
    #[error("could not start a thread: {0}")]
    Thread(std::io::Error),
}

/// What the saver needs.
pub(super) struct Saver {
    pub(super) store: Arc<StateStore>,
    /// What the store holds.
    pub(super) last: Option<State>,
    /// Where a failure is told.
    pub(super) failed: async_mpsc::UnboundedSender<SaverError>,
}

impl Saver {
    /// Starts the thread. It ends when the sender is dropped and everything is written, or after a failure.
    pub(super) fn start(self) -> Result<(mpsc::Sender<Save>, thread::JoinHandle<()>), SaverError> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("saver".into())
            .spawn(move || self.run(&receiver))
            .map_err(SaverError::Thread)?;
        Ok((sender, thread))
    }

    fn run(mut self, saves: &mpsc::Receiver<Save>) {
        while let Ok(first) = saves.recv() {
            let mut latest = None;
            let waiting: Vec<Save> = std::iter::once(first).chain(saves.try_iter()).collect();
            for save in waiting {
                match save {
                    Save::Stable { state, certificate } if self.is_new(&state) => latest = Some((state, certificate)),
                    Save::Stable { state, .. } => tracing::debug!("the state at {} is saved already", state.height()),
                    Save::Replace { state, certificate, durable } => {
                        latest = None;
                        let result = self.replace(&state, &certificate);
                        self.last = Some(state);
                        if self.report(result) {
                            return;
                        }
                        // The executor may have gone; then nobody needs to know.
                        let _ = durable.send(());
                    }
                }
            }
            if let Some((state, certificate)) = latest {
                let result = self.save(&state, &certificate);
                self.last = Some(state);
                if self.report(result) {
                    return;
                }
            }
        }
    }

    fn report(&self, result: Result<(), SaverError>) -> bool {
        let Err(error) = result else { return false };
        // If the loop has gone, the process is ending anyway.
        let _ = self.failed.send(error);
        true
    }

    fn save(&self, state: &State, certificate: &CheckpointCertificate) -> Result<(), SaverError> {
        let meta = meta(state, certificate);
        match &self.last {
            Some(last) => {
                let changes = state.changes_since(last).into_iter();
                Ok(self.store.save(changes.map(|change| (*change.key_hash.as_bytes(), change.record)), &meta)?)
            }
            None => self.replace(state, certificate),
        }
    }

    /// Whether the store does not hold this state or a later one already. What became stable here may be overtaken by a
    /// state that was fetched, and the store must not go back behind it: blocks and log reach back no further.
    fn is_new(&self, state: &State) -> bool {
        self.last.as_ref().is_none_or(|last| last.height() < state.height())
    }

    fn replace(&self, state: &State, certificate: &CheckpointCertificate) -> Result<(), SaverError> {
        let meta = meta(state, certificate);
        let records = state.records().filter_map(|change| Some((*change.key_hash.as_bytes(), change.record?)));
        Ok(self.store.replace(records, &meta)?)
    }
}

fn meta(state: &State, certificate: &CheckpointCertificate) -> Vec<u8> {
    SavedState::of(state, certificate).encode()
}

#[cfg(test)]
mod tests {
    use bezant_types::Digest;

    use super::*;
    use crate::verify::fixture::{certify, genesis, history};

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
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let store = Arc::new(StateStore::open(&path, Digest::new([1; 32])).unwrap());
        let (failed, mut failures) = async_mpsc::unbounded_channel();
        let ((durable, wait), (sender, saves)) = (mpsc::channel(), mpsc::channel());
        let (state, certificate) = certified(fetched);
        sender.send(Save::Replace { state, certificate, durable }).unwrap();
        for height in stable {
            let (state, certificate) = certified(*height);
            sender.send(Save::Stable { state, certificate }).unwrap();
        }
        drop(sender);
        Saver { store: store.clone(), last: None, failed }.run(&saves);
        wait.recv().unwrap();
        assert!(failures.try_recv().is_err());
        SavedState::decode(&store.load().unwrap().unwrap().meta).unwrap().header.height.get()
    }
}
