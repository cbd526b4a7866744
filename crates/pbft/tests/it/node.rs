//! A replica with its disk, its executor and its timers, as a host would hold them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;

use bezant_engine::{Engine, Log};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::record::{self, Record};
use bezant_pbft::{Block, Config, Ready, Replica, StoredBlock, Timer};
use bezant_types::codec;

use crate::ledger::Ledger;
use crate::network::{Members, id};
use crate::oracle::{Statement, Words, implied};
use crate::traitors::Traitor;

/// Where a crash strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    /// After the step, before its records are durable: they are lost.
    BeforeSync,
    /// The records are durable, none of the effects has happened.
    AfterSync,
    /// The records are durable, the first half of the effects has happened.
    HalfWay,
}

/// What survives a crash.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) log: Vec<Vec<u8>>,
    pub(crate) blocks: BTreeMap<u64, Vec<u8>>,
    pub(crate) state: Option<(Ledger, CheckpointCertificate)>,
    /// All that the records ever written let this replica say.
    pub(crate) licensed: BTreeSet<Statement>,
    /// The last stable checkpoint that was ever on record.
    pub(crate) stable: u64,
    /// How often records were made durable.
    pub(crate) syncs: u64,
}

impl Log<Record> for Disk {
    type Error = Infallible;

    fn append(&mut self, records: &[Record]) -> Result<(), Infallible> {
        self.licensed.extend(records.iter().filter_map(implied));
        for record in records {
            if let Record::Stable(proof) = record {
                self.stable = self.stable.max(proof.vote.sequence.get());
            }
        }
        self.log.extend(records.iter().map(|record| record::FORMAT.seal(record)));
        self.syncs += 1;
        Ok(())
    }
}

/// A log that only listens: shows what would be written.
#[derive(Default)]
pub(crate) struct Draft(pub(crate) Vec<Record>);

impl Log<Record> for Draft {
    type Error = Infallible;

    fn append(&mut self, records: &[Record]) -> Result<(), Infallible> {
        self.0.extend_from_slice(records);
        Ok(())
    }
}

/// Decodes a log as it lies on disk.
pub(crate) fn decode_log(log: &[Vec<u8>]) -> Vec<Record> {
    log.iter().map(|bytes| record::FORMAT.open(bytes, usize::MAX).expect("a record that was written")).collect()
}

/// A member of the world. Without a replica it is down, or a puppet whose words are written by the test.
pub(crate) struct Node {
    pub(crate) replica: Option<Replica>,
    pub(crate) puppet: bool,
    pub(crate) traitor: Option<Traitor>,
    pub(crate) disk: Disk,
    pub(crate) ledger: Ledger,
    /// States at checkpoints, from the last stable one but one on.
    pub(crate) states: BTreeMap<u64, Ledger>,
    pub(crate) executor: VecDeque<Block>,
    pub(crate) executing: bool,
    pub(crate) timers: BTreeMap<Timer, u64>,
    pub(crate) pending: Ready,
    pub(crate) sync_scheduled: bool,
    /// How long a sync takes. Steps meanwhile share the next one. Zero: each step by itself.
    pub(crate) sync_ms: u64,
    pub(crate) execute_ms: u64,
    /// How far its wall clock is ahead, in milliseconds.
    pub(crate) skew_ms: i64,
    /// What of the world happens to one life happens to no other.
    pub(crate) life: u64,
    pub(crate) doom: Option<(u64, CrashPoint)>,
    /// Whether the log is compacted at every stable checkpoint.
    pub(crate) compacts: bool,
    /// How long it takes until a stable state is saved. `None`: never.
    pub(crate) save_ms: Option<u64>,
    pub(crate) fetching: Option<CheckpointCertificate>,
    pub(crate) words: Words,
    pub(crate) delivered: u64,
    pub(crate) last_stable: u64,
    pub(crate) halted: bool,
    /// Its executor begins from something else than the genesis.
    pub(crate) bit_rot: bool,
}

impl Node {
    pub(crate) fn new(members: &Members, index: u16) -> Self {
        let config = Config::new(&members.genesis, id(index)).expect("a member");
        Self {
            replica: Some(Replica::new(config)),
            puppet: false,
            traitor: None,
            disk: Disk::default(),
            ledger: Ledger::new(),
            states: BTreeMap::new(),
            executor: VecDeque::new(),
            executing: false,
            timers: BTreeMap::new(),
            pending: Ready::default(),
            sync_scheduled: false,
            sync_ms: 0,
            execute_ms: 0,
            skew_ms: 0,
            life: 0,
            doom: None,
            compacts: true,
            save_ms: Some(5),
            fetching: None,
            words: Words::default(),
            delivered: 0,
            last_stable: 0,
            halted: false,
            bit_rot: false,
        }
    }

    /// Honest so far as this test knows: neither puppet nor traitor.
    pub(crate) fn honest(&self) -> bool {
        !self.puppet && self.traitor.is_none()
    }

    pub(crate) fn up(&self) -> bool {
        self.replica.is_some()
    }

    /// Everything in memory is gone.
    pub(crate) fn crash(&mut self) {
        self.replica = None;
        self.pending = Ready::default();
        self.executor.clear();
        self.executing = false;
        self.timers.clear();
        self.states.clear();
        self.fetching = None;
        self.sync_scheduled = false;
        self.doom = None;
        self.life += 1;
    }

    /// Comes back from what is on disk: state, log, blocks, in the order in which a host takes them.
    pub(crate) fn recover(&mut self, members: &Members, index: u16) {
        let config = Config::new(&members.genesis, id(index)).expect("a member");
        let replica = self.boot(Replica::new(config), true);
        self.replica = Some(replica);
    }

    /// Comes back without its log (rule A-1).
    pub(crate) fn recover_without_log(&mut self, members: &Members, index: u16) {
        let config = Config::new(&members.genesis, id(index)).expect("a member");
        self.disk.log = vec![record::FORMAT.seal(&Record::LogLost)];
        let replica = self.boot(Replica::without_log(config), false);
        self.replica = Some(replica);
    }

    fn boot(&mut self, mut replica: Replica, with_log: bool) -> Replica {
        self.ledger = Ledger::new();
        if let Some((ledger, certificate)) = &self.disk.state {
            self.ledger = ledger.clone();
            self.states.insert(ledger.height, ledger.clone());
            replica.resume(certificate.clone());
        }
        if self.bit_rot {
            self.ledger.root = bezant_types::Digest::of("test", "bit rot");
        }
        if with_log {
            for record in decode_log(&self.disk.log) {
                replica.replay(record).expect("what this replica wrote is its past");
            }
        }
        self.delivered = self.ledger.height;
        while let Some(bytes) = self.disk.blocks.get(&(self.delivered + 1)) {
            let stored: StoredBlock = codec::decode(bytes, usize::MAX).expect("a block that was written");
            let block = replica.replay_block(stored).expect("a block that was executed");
            self.executor.push_back(block);
            self.delivered += 1;
        }
        replica
    }
}
