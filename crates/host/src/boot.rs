//! Coming up: from a home to a replica that can start.
//!
//! Load the saved state and check it against its certificate; open the log, which cuts a torn tail and refuses a hole;
//! replay the log into the core; take the blocks that follow the state, to be executed again. A replica whose log is
//! gone does not start, because it may have voted: the operator says `--recover`, and it rejoins without a vote (rule
//!

use bezant_engine::Engine;
use bezant_ledger::{Ledger, State};
use bezant_pbft::certificate::{CheckpointCertificate, NotACertificate};
use bezant_pbft::record::{self, Record};
use bezant_pbft::{BadRecord, Block, Config, Replica};
use bezant_store::place::Part;
use bezant_store::{BlockError, BlockStore, Disk, HomeError, LogError, Place, StateError, StateStore, Wal};
use bezant_types::codec::DecodeError;
use bezant_types::{AccountId, Digest, Genesis, ReplicaId, SecretKey, SequenceNumber};

use crate::executor::Executor;
use crate::journal::Journal;
use crate::member::Member;
use crate::saved::{SavedState, identity, open_block};
use crate::saver::Saver;

/// How a replica comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// With its log, which must be there and whole.
    WithLog,
    /// Without: whatever log there is is set aside, and it stays silent until it cannot contradict itself.
    WithoutLog,
}

/// Why a replica does not come up.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The key is no member's.
    #[error(
        "the key in this home is {key}, which is none of the replicas of the genesis ({genesis}). Put the right key and the \
         right genesis together"
    )]
    NotAMember {
        /// The public key.
        key: AccountId,
        /// The genesis.
        genesis: Digest,
    },
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record of the log.
    #[error(
        "record {index} of the log cannot be this replica's: {cause}. If this is the right home, start with `--recover`: it sets \
         the log aside and rejoins from the others' state, without a vote until it cannot contradict itself"
    )]
    Record {
        /// Which, counted from 0.
        index: usize,
        /// Why.
        cause: BadLogRecord,
    },
    /// The block store.
    #[error(transparent)]
    Blocks(#[from] BlockError),
    /// A block.
    #[error(
        "block {sequence} does not hold: {cause}. Move the folder `blocks` away: the replica then fetches what it needs from the \
         others"
    )]
    Block {
        /// Which.
        sequence: SequenceNumber,
        /// Why.
        cause: BadLogRecord,
    },
    /// The state store.
    #[error(transparent)]
    State(#[from] StateError),
    /// What the state store holds is not the state that its certificate vouches for.
    #[error(
        "the saved state does not hold: {0}. Start with `--recover`: the state is set aside and fetched again from the others, \
         verified against the checkpoint that they signed"
    )]
    BadState(String),
}

/// What is wrong with a record or block.
#[derive(Debug, thiserror::Error)]
pub enum BadLogRecord {
    /// Its bytes.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Its contents.
    #[error(transparent)]
    Contents(#[from] BadRecord),
}

/// A replica that is about to start.
#[derive(Debug)]
pub struct Booted<D> {
    /// What agrees.
    pub member: Member<D>,
    /// What executes.
    pub executor: Executor<D>,
    /// What saves.
    pub saver: Saver,
}

/// Which replica of this network the key belongs to.
///
/// # Errors
/// [`BootError::NotAMember`].
pub fn replica_of(genesis: &Genesis, key: &SecretKey) -> Result<ReplicaId, BootError> {
    let not_a_member = || BootError::NotAMember { key: key.account(), genesis: genesis.digest() };
    genesis.keyring().replica_of(key.account()).ok_or_else(not_a_member)
}

/// Makes the empty log with which a new replica begins. Part of making a home, and never of starting a replica: a log
/// that is missing later was lost.
///
/// # Errors
/// [`LogError::Exists`] if there is one; [`HomeError`], [`LogError`].
pub fn create_log<P: Place>(home: &P, genesis: &Genesis, key: &SecretKey) -> Result<(), BootError> {
    let settings = home.layout().log(identity(genesis.digest(), key.account()));
    Wal::create(home.log_disk()?, settings, &[])?;
    Ok(())
}

/// Reads a home.
///
/// # Errors
/// [`BootError`] says what is wrong and what to do.
pub fn boot<P: Place>(
    home: &P,
    genesis: &Genesis,
    key: &SecretKey,
    resume: Resume,
) -> Result<Booted<P::Disk>, BootError> {
    let identity = identity(genesis.digest(), key.account());
    let settings = home.layout().log(identity);
    let id = replica_of(genesis, key)?;
    let config = Config::new(genesis, id).expect("a member of the genesis has a place in its group");

    // The log first: a replica whose log is refused leaves everything else as it was.
    let opened_log = match resume {
        Resume::WithLog => Some(Wal::open(home.log_disk()?, settings)?),
        Resume::WithoutLog => None,
    };
    let (state_store, saved) = match (open_state(home, genesis, &config, identity), resume) {
        (Ok(opened), _) => opened,
        (Err(error), Resume::WithLog) => return Err(error),
        (Err(error), Resume::WithoutLog) => {
            tracing::warn!("setting the saved state aside: {error}");
            home.set_aside(&[Part::State])?;
            open_state(home, genesis, &config, identity)?
        }
    };
    let ledger = match &saved {
        Some((state, _)) => {
            Ledger::from_state(genesis, state.clone()).map_err(|error| BootError::BadState(error.to_string()))?
        }
        None => Ledger::new(genesis),
    };

    let (wal, records, mut replica) = match opened_log {
        Some((wal, records)) => (wal, records, Replica::new(config)),
        None => {
            if let Some(place) = home.set_aside(&[Part::Log])? {
                tracing::warn!("the old log was set aside in {}", place.display());
            }
            let replica = Replica::without_log(config);
            let lost = [record::FORMAT.seal(&Record::LogLost)];
            (Wal::create(home.log_disk()?, settings, &lost)?, Vec::new(), replica)
        }
    };
    if let Some((_, certificate)) = &saved {
        replica.resume(certificate.clone());
    }
    for (index, bytes) in records.iter().enumerate() {
        let replayed = record::FORMAT
            .open::<Record>(bytes, usize::MAX)
            .map_err(BadLogRecord::from)
            .and_then(|record| Ok(replica.replay(record)?));
        replayed.map_err(|cause| BootError::Record { index, cause })?;
    }
    let blocks = BlockStore::open(home.blocks_disk()?, identity)?;
    let blocks = blocks.with_segment_bytes(home.layout().block_segment_bytes);
    let again = replay_blocks(&mut replica, &blocks, ledger.height())?;
    let saver = Saver::new(state_store, saved.as_ref().map(|(state, _)| state.clone()));
    let member = Member::new(id, genesis, key, replica, Journal::new(wal), saved, again);
    let executor = Executor::new(genesis.clone(), id, key.clone(), ledger, blocks);
    Ok(Booted { member, executor, saver })
}

type OpenedState = (StateStore, Option<(State, CheckpointCertificate)>);

fn open_state<P: Place>(
    home: &P,
    genesis: &Genesis,
    config: &Config,
    identity: Digest,
) -> Result<OpenedState, BootError> {
    let store = home.open_state(identity)?;
    let Some(saved) = store.load()? else { return Ok((store, None)) };
    let bad = |text: String| BootError::BadState(text);
    let SavedState { header, certificate } = SavedState::decode(&saved.meta).map_err(|error| bad(error.to_string()))?;
    let certificate = CheckpointCertificate::check(certificate, config.committee(), config.keyring())
        .map_err(|error: NotACertificate| bad(error.to_string()))?;
    let records = saved.entries.iter().map(|(_, bytes)| bytes);
    let state = State::load(header, records).map_err(|error| bad(error.to_string()))?;
    if state.root() != certificate.vote().root || state.height() != certificate.vote().sequence {
        return Err(bad(format!("its root is {}, and {} was signed", state.root(), certificate.vote().root)));
    }
    // Judged as a whole as well: supply and counts.
    Ledger::from_state(genesis, state.clone()).map_err(|error| bad(error.to_string()))?;
    Ok((store, Some((state, certificate))))
}

fn replay_blocks<D: Disk>(
    replica: &mut Replica,
    blocks: &BlockStore<D>,
    height: SequenceNumber,
) -> Result<Vec<Block>, BootError> {
    let mut again = Vec::new();
    let mut next = height.next();
    for stored in blocks.iter_from(next) {
        let (sequence, bytes) = stored?;
        if sequence != next {
            break; // A gap: what comes after it will come from the others.
        }
        let block = open_block(&bytes)
            .map_err(BadLogRecord::from)
            .and_then(|stored| Ok(replica.replay_block(stored)?))
            .map_err(|cause| BootError::Block { sequence, cause })?;
        again.push(block);
        next = next.next();
    }
    Ok(again)
}
