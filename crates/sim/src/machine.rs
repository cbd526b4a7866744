//! A machine of the simulated network: a home in memory, clocks, and the process that runs on it.
//!
//! The process is what runs in production: `bezant_host`'s member, executor and saver, booted from the home by the same
//! code. What is simulated is how long things take and when they stop. A round's records are synced when the round
//! returns, and what it wants done happens a sync's time later; a crash in between finds the records on the disk and
//! nobody told.

use bezant_host::{Arrived, Booted, Executor, Member, Output, Resume, Saver, boot, create_log};
use bezant_pbft::record::{self, Record};
use bezant_store::disk::memory::Crash;
use bezant_store::place::{Layout, Part, Place};
use bezant_store::{MemoryDisk, MemoryHome, Wal};
use bezant_types::{Genesis, ReplicaId, SecretKey};

use crate::adversary::{Adversary, Corrupted};
use crate::clock::Clock;
use crate::scenario::Damage;

/// Files this small are begun anew often, so that recovery meets many of them.
const LAYOUT: Layout = Layout { log_segment_bytes: 256 << 10, block_segment_bytes: 256 << 10 };

/// What runs while a machine is up.
pub(crate) struct Process {
    pub(crate) member: Member<MemoryDisk>,
    pub(crate) executor: Executor<MemoryDisk>,
    pub(crate) saver: Saver,
}

/// What is to go wrong at the next opportunity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doom {
    /// The process ends after its next sync, when so many of a thousand messages have left.
    AfterSync(u64),
    /// The disks stop on their own; what that does to what was not synced.
    AtWrite(Damage),
}

/// A corrupted replica's mind.
pub(crate) struct Traitor {
    pub(crate) mind: Corrupted,
    pub(crate) adversary: Box<dyn Adversary>,
}

/// A machine.
pub(crate) struct Machine {
    pub(crate) id: ReplicaId,
    key: SecretKey,
    pub(crate) home: MemoryHome,
    pub(crate) clock: Clock,
    pub(crate) process: Option<Process>,
    /// Counts processes: what was scheduled for one happens to no other.
    pub(crate) life: u64,
    pub(crate) inbox: Arrived,
    /// Whether a turn, or its end, is scheduled.
    pub(crate) busy: bool,
    pub(crate) executing: bool,
    pub(crate) saving: bool,
    /// When it is scheduled to wake although nothing arrives.
    pub(crate) wakes_at: Option<u64>,
    pub(crate) sync_us: u64,
    pub(crate) execute_us: u64,
    pub(crate) save_us: u64,
    pub(crate) doom: Option<Doom>,
    pub(crate) traitor: Option<Traitor>,
    /// Whether its key has a second machine.
    pub(crate) twin: bool,
    /// Whether something is going to go wrong with its disks, or has.
    pub(crate) faulty_disk: bool,
    /// Whether it stopped for good, with the reason on its screen.
    pub(crate) halted: bool,
    /// Whether its log was lost, so that an operator has to say `--recover`.
    pub(crate) log_lost: bool,
}

impl Machine {
    /// A machine that was never started, with an empty log.
    pub(crate) fn new(id: ReplicaId, key: SecretKey, genesis: &Genesis) -> Self {
        let home = MemoryHome::new(LAYOUT);
        create_log(&home, genesis, &key).expect("an empty home takes a log");
        Self {
            id,
            key,
            home,
            clock: Clock::default(),
            process: None,
            life: 0,
            inbox: Arrived::default(),
            busy: false,
            executing: false,
            saving: false,
            wakes_at: None,
            sync_us: 200,
            execute_us: 50,
            save_us: 2_000,
            doom: None,
            traitor: None,
            twin: false,
            faulty_disk: false,
            halted: false,
            log_lost: false,
        }
    }

    /// Whether the oracles hold it to anything.
    pub(crate) fn honest(&self) -> bool {
        self.traitor.is_none() && !self.twin
    }

    pub(crate) fn up(&self) -> bool {
        self.process.is_some()
    }

    /// Starts the process from what lies on the disks. Gives what the log held, for the oracles.
    ///
    /// # Errors
    /// What the operator would read.
    pub(crate) fn boot(&mut self, world_us: u64, genesis: &Genesis, resume: Resume) -> Result<Vec<Record>, String> {
        self.clock.start(world_us);
        let records = match resume {
            Resume::WithLog => self.records(genesis)?,
            Resume::WithoutLog => Vec::new(),
        };
        let Booted { member, executor, saver } =
            boot(&self.home, genesis, &self.key, resume).map_err(|error| error.to_string())?;
        self.process = Some(Process { member, executor, saver });
        self.log_lost = false;
        Ok(records)
    }

    /// What the log holds, read by itself.
    fn records(&self, genesis: &Genesis) -> Result<Vec<Record>, String> {
        let identity = bezant_host::saved::identity(genesis.digest(), self.key.account());
        let disk = self.home.log_disk().map_err(|error| error.to_string())?;
        let (_, sealed) = Wal::open(disk, self.home.layout().log(identity)).map_err(|error| error.to_string())?;
        let open = |bytes: &Vec<u8>| record::FORMAT.open(bytes, usize::MAX).map_err(|error| error.to_string());
        sealed.iter().map(open).collect()
    }

    /// The process ends, and of what was not synced so much is lost.
    pub(crate) fn crash(&mut self, damage: Damage, coin: u64) {
        // In this order, or a store that is dropped would shut down cleanly, as nothing does that is killed.
        self.home.stop();
        self.process = None;
        self.home.restart(match damage {
            Damage::Loses => Crash::LosesUnsynced,
            Damage::Keeps => Crash::KeepsUnsynced,
            Damage::Tears => Crash::TearsUnsynced { seed: coin },
        });
        self.life += 1;
        self.faulty_disk = false;
        self.inbox = Arrived::default();
        (self.busy, self.executing, self.saving, self.wakes_at, self.doom) = (false, false, false, None, None);
    }

    /// The disks are replaced by empty ones.
    pub(crate) fn replace_disks(&mut self) {
        self.home = MemoryHome::new(LAYOUT);
        self.log_lost = true;
    }

    /// The log is replaced by an empty one that does not say that anything was lost: what no honest operator does.
    pub(crate) fn begin_anew(&mut self, genesis: &Genesis) {
        self.home = MemoryHome::new(LAYOUT);
        create_log(&self.home, genesis, &self.key).expect("an empty home takes a log");
    }

    /// All that was to go wrong with the disks does not.
    pub(crate) fn mend(&self) {
        for part in [Part::Log, Part::Blocks, Part::State] {
            self.home.disk(part).mend();
        }
    }

    /// Tells a traitor the time.
    pub(crate) fn mind_the_time(&mut self, world_us: u64) {
        let moment = self.clock.now(world_us).moment;
        if let Some(traitor) = &mut self.traitor {
            traitor.mind.now = moment;
        }
    }

    /// What its disks do with what was not synced when they fail it.
    pub(crate) fn damage(&self) -> Damage {
        match self.doom {
            Some(Doom::AtWrite(damage)) => damage,
            Some(Doom::AfterSync(_)) | None => Damage::Loses,
        }
    }

    /// How many disk operations its parts have seen.
    pub(crate) fn operations(&self) -> u64 {
        self.home.disk(Part::Log).operations()
    }

    /// The machine stops after so many more operations of the log's disk.
    pub(crate) fn stop_after(&self, operations: u64) {
        self.home.disk(Part::Log).stop_after(operations);
    }

    /// What of a round's outputs still happens if the process ends while it says them.
    pub(crate) fn survive(&self, outputs: &mut Vec<Output>) -> bool {
        let Some(Doom::AfterSync(permille)) = self.doom else { return false };
        let left = outputs.len() as u64 * permille / 1_000;
        outputs.truncate(usize::try_from(left).unwrap_or(outputs.len()));
        true
    }
}
