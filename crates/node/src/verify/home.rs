//! A replica's whole data directory, offline.
//!
//! What is read is taken for what somebody wrote who wants to be believed. Each block is judged by the same function as
//! a live one ([`bezant_pbft::Replica::check_block`]): a quorum's certificate, the batch that it names, the requests
//! that the batch names, each with its client's signature. If the blocks begin with the first, all of them are executed
//! again from the genesis, and where a certificate for a state is found the roots are compared. A replica that joined
//! by state transfer lacks the beginning: there the saved state, checked against its certificate, is where execution
//! begins.
//!
//! The directory is locked meanwhile, so that no replica writes what is being read. Nothing in it is changed but what
//! opening a store after a crash changes as well: a torn tail is cut.

use std::path::Path;

use bezant_host::saved::{SavedState, open_block};
use bezant_ledger::{Ledger, State};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::{Block, Config, Replica};
use bezant_store::{BlockError, BlockStore, Home, HomeError, HostDisk, LogError, StateError, StateStore};
use bezant_types::{Digest, Genesis, ReplicaId, SequenceNumber};

use super::report::{BlocksReport, ExecutionReport, Problem, ProblemKind, Report, Root, Span, StateReport};
use super::stores::{open_blocks, open_state};
use crate::config::{self, read_genesis};

/// Why a data directory could not be judged at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no home, a replica runs on it, or the disk refuses.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Its genesis cannot be read.
    #[error(transparent)]
    Genesis(#[from] config::Error),
    /// Its stores belong to no replica of this network.
    #[error(
        "{path}: belongs to no replica of the network {network:?} ({genesis}): it is another network's, or another genesis was \
         given than the one that its replicas run with"
    )]
    OtherNetwork {
        /// The directory.
        path: String,
        /// The network that was given.
        network: String,
        /// Its identity.
        genesis: Digest,
    },
    /// Its parts belong to different replicas.
    #[error(
        "{path}: the blocks are those of replica {blocks}, the state is that of replica {state}: one was copied here"
    )]
    Mixed {
        /// The directory.
        path: String,
        /// Whose blocks.
        blocks: ReplicaId,
        /// Whose state.
        state: ReplicaId,
    },
    /// The block store's files cannot be opened.
    #[error(transparent)]
    Blocks(BlockError),
    /// The state store's file cannot be opened, for another reason than damage.
    #[error(transparent)]
    State(StateError),
    /// The log cannot be opened.
    #[error(transparent)]
    Log(LogError),
}

/// Judges the data directory of a replica by the genesis that lies in it. Whoever did not put that genesis there
/// compares [`Report::genesis`] with the network's, or uses [`verify_home_of`].
///
/// # Errors
/// [`VerifyError`] if it cannot be judged. What was judged and found wrong is in the [`Report`].
pub fn verify_home(path: &Path) -> Result<Report, VerifyError> {
    let home = Home::open(path)?;
    let genesis = read_genesis(&home.paths().genesis())?;
    judge(&genesis, &home)
}

/// Judges the data directory of a replica of the network of `genesis`.
///
/// # Errors
/// As [`verify_home`].
pub fn verify_home_of(genesis: &Genesis, path: &Path) -> Result<Report, VerifyError> {
    judge(genesis, &Home::open(path)?)
}

fn judge(genesis: &Genesis, home: &Home) -> Result<Report, VerifyError> {
    let mut audit = Audit::new(genesis);
    let state = audit.open_state(home)?;
    let blocks = open_blocks(genesis, home)?;
    let owner = match (&blocks, &state) {
        (Some((_, blocks)), Some((_, state))) if blocks != state => {
            let path = home.paths().root().display().to_string();
            return Err(VerifyError::Mixed { path, blocks: *blocks, state: *state });
        }
        (Some((_, owner)), _) | (None, Some((_, owner))) => Some(*owner),
        (None, None) => None,
    };
    audit.report.replica = owner.map(ReplicaId::get);
    let saved = state.and_then(|(store, _)| audit.judge_state(&store));
    let mut replay = Replay::new(genesis, saved);
    if let Some((blocks, _)) = blocks {
        audit.judge_blocks(&blocks, &mut replay);
    }
    audit.conclude(replay);
    Ok(audit.report)
}

struct Audit<'g> {
    genesis: &'g Genesis,
    /// Judges blocks. Any member would: they judge alike.
    judge: Replica,
    report: Report,
}

impl<'g> Audit<'g> {
    fn new(genesis: &'g Genesis) -> Self {
        let config = Config::new(genesis, ReplicaId::new(0)).expect("every network has a first replica");
        let report = Report {
            network: genesis.name().to_owned(),
            genesis: genesis.digest().to_string(),
            replica: None,
            blocks: BlocksReport::default(),
            execution: ExecutionReport::default(),
            state: None,
            problems: Vec::<Problem>::new(),
            unlisted_problems: 0,
        };
        Self { genesis, judge: Replica::new(config), report }
    }

    /// A damaged state is a finding, and no reason to leave the blocks unread.
    fn open_state(&mut self, home: &Home) -> Result<Option<(StateStore, ReplicaId)>, VerifyError> {
        match open_state(self.genesis, home) {
            Err(VerifyError::State(error @ StateError::Damaged { .. })) => {
                self.report.complain(ProblemKind::State, None, error);
                Ok(None)
            }
            opened => opened,
        }
    }

    /// The saved state, if it is what a quorum signed.
    fn judge_state(&mut self, store: &StateStore) -> Option<(State, CheckpointCertificate)> {
        match self.check_state(store) {
            Ok(Some((state, certificate))) => {
                self.report.state = Some(StateReport {
                    root: Root::new(state.height(), state.root()),
                    signers: certificate.signers().map(ReplicaId::get).collect(),
                    entries: state.entries(),
                    bytes: state.bytes(),
                    supply: state.supply().units(),
                    reached_from_genesis: None,
                });
                Some((state, certificate))
            }
            Ok(None) => None,
            Err(what) => {
                self.report.complain(ProblemKind::State, None, format!("the saved state does not hold: {what}"));
                None
            }
        }
    }

    fn check_state(&self, store: &StateStore) -> Result<Option<(State, CheckpointCertificate)>, String> {
        let Some(saved) = store.load().map_err(|error| error.to_string())? else { return Ok(None) };
        let SavedState { header, certificate } =
            SavedState::decode(&saved.meta).map_err(|error| format!("its description is not readable: {error}"))?;
        let certificate = super::verify_checkpoint(self.genesis, certificate)
            .map_err(|error| format!("no quorum of this network signed its root: {error}"))?;
        let state = State::load(header, saved.entries.iter().map(|(_, record)| record)).map_err(|e| e.to_string())?;
        let signed = certificate.vote();
        if state.root() != signed.root {
            return Err(format!("its entries lead to the root {}, and a quorum signed {}", state.root(), signed.root));
        }
        if state.height() != signed.sequence {
            return Err(format!("it is of height {}, and a quorum signed {}", state.height(), signed.sequence));
        }
        Ledger::from_state(self.genesis, state.clone()).map_err(|error| error.to_string())?;
        Ok(Some((state, certificate)))
    }

    fn judge_blocks(&mut self, blocks: &BlockStore<HostDisk>, replay: &mut Replay) {
        let runs: Vec<_> =
            blocks.runs().iter().map(|run| Span { first: run.start().get(), last: run.end().get() }).collect();
        let gap = |pair: &[Span]| Span { first: pair[0].last + 1, last: pair[1].first - 1 };
        self.report.blocks.gaps = runs.windows(2).map(gap).collect();
        self.report.blocks.kept = runs.iter().map(|run| run.last - run.first + 1).sum();
        self.report.blocks.runs = runs.clone();
        for sequence in runs.iter().flat_map(|run| run.first..=run.last).map(SequenceNumber::new) {
            let bytes = match blocks.read(sequence) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    self.report.complain(ProblemKind::Damaged, Some(sequence), "it is listed and cannot be found");
                    continue;
                }
                Err(error) => {
                    // Finding out about each later block would read the same damaged file again.
                    let what = format!("{error} (neither it nor what follows was checked)");
                    self.report.complain(ProblemKind::Damaged, Some(sequence), what);
                    return;
                }
            };
            match self.judge_block(sequence, &bytes) {
                Ok(block) => {
                    self.count(&block, bytes.len());
                    if let Some(diverged) = replay.on_block(&block, &mut self.report.execution) {
                        self.report.complain(ProblemKind::Diverged, Some(sequence), diverged);
                    }
                }
                Err((kind, what)) => self.report.complain(kind, Some(sequence), what),
            }
        }
    }

    fn judge_block(&self, sequence: SequenceNumber, bytes: &[u8]) -> Result<Block, (ProblemKind, String)> {
        let stored = open_block(bytes).map_err(|error| (ProblemKind::Damaged, error.to_string()))?;
        let block = self.judge.check_block(stored).map_err(|error| (ProblemKind::NotCommitted, error.to_string()))?;
        if block.sequence() != sequence {
            let what = format!("what is kept in its place is block {}", block.sequence());
            return Err((ProblemKind::NotCommitted, what));
        }
        Ok(block)
    }

    fn count(&mut self, block: &Block, bytes: usize) {
        let blocks = &mut self.report.blocks;
        blocks.sound += 1;
        blocks.requests += block.requests.len() as u64;
        blocks.transactions += block.requests.iter().map(|request| request.transactions().len() as u64).sum::<u64>();
        blocks.bytes += bytes as u64;
    }

    fn conclude(&mut self, replay: Replay) {
        let Replay { mut ledger, saved, reached, .. } = replay;
        let execution = &mut self.report.execution;
        let computed = (ledger.height(), ledger.checkpoint().root());
        let furthest = saved.map(|(state, _)| (state.height(), state.root()));
        let (height, root) = furthest.filter(|(height, _)| computed.0 < *height).unwrap_or(computed);
        execution.end = Some(Root::new(height, root));
        if let Some(state) = &mut self.report.state {
            state.reached_from_genesis = reached;
        }
    }
}

/// Execution from the genesis on, or from the saved state on.
struct Replay {
    ledger: Ledger,
    base: Base,
    saved: Option<(State, CheckpointCertificate)>,
    /// The saved state as a ledger, until it is needed.
    from_saved: Option<Ledger>,
    /// Whether execution from the genesis led to the saved root, once it got there.
    reached: Option<bool>,
}

/// Where the execution began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Genesis,
    SavedState,
}

impl Replay {
    fn new(genesis: &Genesis, saved: Option<(State, CheckpointCertificate)>) -> Self {
        let from_saved = saved.as_ref().and_then(|(state, _)| Ledger::from_state(genesis, state.clone()).ok());
        Self { ledger: Ledger::new(genesis), base: Base::Genesis, saved, from_saved, reached: None }
    }

    /// Executes a block if it follows what was executed, or what was saved. Says what went wrong, if anything.
    fn on_block(&mut self, block: &Block, report: &mut ExecutionReport) -> Option<String> {
        let sequence = block.sequence();
        if self.ledger.height().next() != sequence {
            // Something is missing before it. From the saved state on we can go on.
            let saved = self.from_saved.take_if(|saved| saved.height().next() == sequence)?;
            (self.ledger, self.base) = (saved, Base::SavedState);
        }
        self.ledger.execute(sequence, block.batch.timestamp(), &block.requests);
        match report.executed.last_mut() {
            Some(span) if span.last + 1 == sequence.get() => span.last = sequence.get(),
            Some(_) | None => report.executed.push(Span { first: sequence.get(), last: sequence.get() }),
        }
        self.compare(sequence, report)
    }

    fn compare(&mut self, sequence: SequenceNumber, report: &mut ExecutionReport) -> Option<String> {
        let (_, certificate) = self.saved.as_ref().filter(|(state, _)| state.height() == sequence)?;
        let (found, signed) = (self.ledger.checkpoint().root(), certificate.vote().root);
        if self.base == Base::Genesis {
            self.reached = Some(found == signed);
        }
        if found == signed {
            report.confirmed.push(Root::new(sequence, found));
            return None;
        }
        Some(format!(
            "executing the blocks from the genesis on leads to the root {found}, and a quorum signed {signed}: a block before \
             it was exchanged together with its certificate, or this program executes otherwise than that quorum did"
        ))
    }
}
