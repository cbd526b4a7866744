//! Four replicas in virtual time, on disks in memory. What one says arrives with the others in their next turn, each
//! turn takes a millisecond, and when nobody has anything to do, time goes on to the next who wakes.

use std::collections::{BTreeMap, BTreeSet};

use bezant_engine::Now;
use bezant_ledger::State;
use bezant_pbft::packet::Message;
use bezant_store::disk::memory::Crash;
use bezant_store::{Layout, MemoryDisk, MemoryHome};
use bezant_types::genesis::Parameters;
use bezant_types::{
    Bundle, Digest, Genesis, Moment, Outcome, ReplicaId, Request, RequestNumber, SequenceNumber, Timestamp, Verified,
    View,
};

use crate::fixture::{ALICE, account, genesis_at, key, replica, set};
use crate::{Arrived, Booted, Done, Output, Resume, To, boot, create_log};

/// A network whose checkpoints are so near each other that little work goes past a window.
pub(super) fn small() -> Genesis {
    let parameters = Parameters {
        checkpoint_interval: 2,
        window: 4,
        pipeline: 1,
        seal_after_ms: 20,
        status_interval_ms: 100,
        ..Parameters::standard()
    };
    genesis_at([1, 2, 3, 4].map(|port| format!("127.0.0.1:{port}")), parameters)
}

/// A statement by which a replica is bound: its kind, view and sequence number.
pub(super) type Matter = (&'static str, View, SequenceNumber);

/// When a replica crashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrashPoint {
    pub(super) who: usize,
    /// After so many of its rounds.
    pub(super) rounds: u64,
    pub(super) last_round: LastRound,
    pub(super) crash: Crash,
}

/// What became of the outputs of the round before the crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastRound {
    /// They were performed.
    Performed,
    /// Nothing of them was.
    Lost,
}

pub(super) struct World {
    pub(super) genesis: Genesis,
    pub(super) machines: Vec<Machine>,
    /// What clients were told: by whom, about which request.
    pub(super) replies: BTreeMap<(ReplicaId, RequestNumber), Vec<Outcome>>,
    pub(super) crash_at: Option<CrashPoint>,
    now: u64,
}

/// A replica with what is around it.
pub(super) struct Machine {
    pub(super) booted: Booted<MemoryDisk>,
    /// Neither hears nor is heard.
    pub(super) cut_off: bool,
    /// Whose work waits.
    pub(super) held: Option<Held>,
    /// The states that were fetched and installed.
    pub(super) installed: Vec<SequenceNumber>,
    /// By what it is bound.
    pub(super) said: BTreeMap<Matter, Digest>,
    pub(super) rounds: u64,
    home: MemoryHome,
    arrived: Arrived,
    started: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Executor,
    Saver,
}

impl World {
    pub(super) fn new() -> Self {
        let genesis = small();
        let machine = |seed| {
            let home = MemoryHome::new(Layout { log_segment_bytes: 32 << 10, block_segment_bytes: 4 << 10 });
            create_log(&home, &genesis, &key(seed)).unwrap();
            Machine {
                booted: boot(&home, &genesis, &key(seed), Resume::WithLog).unwrap(),
                cut_off: false,
                held: None,
                installed: Vec::new(),
                said: BTreeMap::new(),
                home,
                arrived: Arrived::default(),
                rounds: 0,
                started: 0,
            }
        };
        let machines = (0..4).map(machine).collect();
        Self { genesis, machines, replies: BTreeMap::new(), crash_at: None, now: 0 }
    }

    /// Alice asks all replicas for something, in a request of this number.
    pub(super) fn ask(&mut self, number: u64) {
        let (name, value) = (format!("key-{}", number % 3), format!("value-{number}"));
        let bundle = Bundle { number: RequestNumber::new(number), transactions: vec![set(&name, &value)] };
        let signed = Verified::sign(bundle, account(ALICE), &key(ALICE), self.genesis.digest());
        let request = Request::new(signed, self.genesis.parameters()).unwrap();
        for machine in self.machines.iter_mut().filter(|machine| !machine.cut_off) {
            machine.arrived.requests.push((account(ALICE), request.clone()));
        }
    }

    /// Alice asks, and waits until a quorum has answered.
    pub(super) fn work(&mut self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.ask(number);
            self.run_until("a quorum answers", |world| world.answers(number) >= 3);
        }
    }

    /// How many replicas have answered.
    pub(super) fn answers(&self, number: u64) -> usize {
        (0..4).filter(|id| self.replies.contains_key(&(replica(*id), RequestNumber::new(number)))).count()
    }

    pub(super) fn run_until(&mut self, what: &str, happened: impl Fn(&Self) -> bool) {
        let end = self.now + 60_000;
        while !happened(self) {
            assert!(self.now < end, "not within a minute: {what}; executed: {:?}", self.heights());
            self.step();
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.step();
        }
    }

    pub(super) fn heights(&self) -> Vec<u64> {
        (0..4).map(|id| self.height(id)).collect()
    }

    pub(super) fn height(&self, id: usize) -> u64 {
        self.machines[id].booted.member.replica().report().executed.get()
    }

    /// The last stable checkpoint that a replica has.
    pub(super) fn stable(&self, id: usize) -> Option<&State> {
        self.machines[id].booted.member.stable().map(|(state, _)| state)
    }

    /// Whether all have executed the same, and a stable checkpoint covers it.
    pub(super) fn is_settled(&self) -> bool {
        let settled = self.stable(0).map_or(0, |state| state.height().get());
        self.heights() == [settled; 4] && (0..4).all(|id| self.stable(id) == self.stable(0))
    }

    pub(super) fn crash(&mut self, id: usize, crash: Crash) {
        let (genesis, now) = (self.genesis.clone(), self.now);
        let machine = &mut self.machines[id];
        let executed = machine.booted.member.replica().report().executed;
        let restored = machine.installed.iter().filter(|height| **height <= executed).max().copied();
        machine.home.restart(crash);
        machine.booted = boot(&machine.home, &genesis, &key(id as u8), Resume::WithLog).unwrap();
        let kept = machine.booted.member.stable().map_or(SequenceNumber::ZERO, |(state, _)| state.height());
        assert!(restored <= Some(kept), "the core was told that it has {restored:?}, and {kept} is there");
        machine.arrived = Arrived::default();
        machine.started = now;
    }

    /// Whether the crash that was to happen has happened.
    pub(super) fn crashed(&self) -> bool {
        self.crash_at.is_some_and(|point| point.rounds <= self.machines[point.who].rounds)
    }

    /// A turn of everybody.
    fn step(&mut self) {
        let worked: Vec<bool> = (0..4).map(|id| self.turn(id)).collect();
        self.now = if worked.contains(&true) {
            self.now + 1
        } else {
            let wake = |machine: &Machine| Some(machine.started + machine.booted.member.wake_at()?.get());
            let next = self.machines.iter().filter_map(wake).min().expect("a replica always says where it stands");
            next.max(self.now + 1)
        };
    }

    fn turn(&mut self, id: usize) -> bool {
        let now = self.clock(id);
        let machine = &mut self.machines[id];
        let arrived = std::mem::take(&mut machine.arrived);
        let outputs = machine.booted.member.admit(now, arrived);
        let mut worked = !outputs.is_empty();
        self.perform(id, outputs);
        while self.machines[id].booted.member.has_more() {
            worked = true;
            let outputs = self.machines[id].booted.member.round(now).unwrap();
            self.machines[id].rounds += 1;
            let rounds = self.machines[id].rounds;
            match self.crash_at.filter(|point| (point.who, point.rounds) == (id, rounds)) {
                None => self.perform(id, outputs),
                Some(point) => {
                    if point.last_round == LastRound::Performed {
                        self.perform(id, outputs);
                    }
                    self.crash(id, point.crash);
                    self.expect_it_says_again(id);
                }
            }
        }
        self.work_beside(id) || worked
    }

    fn clock(&self, id: usize) -> Now {
        let wall = Timestamp::new(1_700_000_000_000 + self.now);
        Now { wall, moment: Moment::new(self.now - self.machines[id].started) }
    }

    fn perform(&mut self, id: usize, outputs: Vec<Output>) {
        let me = replica(id as u16);
        for output in outputs {
            match output {
                Output::Send { to, message } => {
                    self.machines[id].hold_to_its_word(&message);
                    match to {
                        To::One(peer) => self.tell(id, peer, |arrived| arrived.messages.push(message)),
                        To::Others => (0..4).map(replica).filter(|peer| *peer != me).for_each(|peer| {
                            self.tell(id, peer, |arrived| arrived.messages.push(message.clone()));
                        }),
                    }
                }
                Output::AskPiece { to, request } => {
                    self.tell(id, to, |arrived| arrived.piece_requests.push((me, request)));
                }
                Output::Piece { to, piece } => self.tell(id, to, |arrived| arrived.pieces.push((me, piece))),
                Output::Execute(task) => self.machines[id].booted.executor.queue(task),
                Output::Save(save) => self.machines[id].booted.saver.queue(save),
                Output::Accuse(..) | Output::Halt(_) => panic!("replica {id}, where all are honest: {output:?}"),
                Output::Busy { .. } | Output::Ignored(..) | Output::Entered(_) | Output::Stable(_) => {}
            }
        }
    }

    fn tell(&mut self, from: usize, to: ReplicaId, put: impl FnOnce(&mut Arrived)) {
        if !self.machines[from].cut_off && !self.machines[to.index()].cut_off {
            put(&mut self.machines[to.index()].arrived);
        }
    }

    /// What executor and saver do while the member does something else.
    fn work_beside(&mut self, id: usize) -> bool {
        let Self { machines, replies, .. } = self;
        let Machine { booted, held, installed, arrived, .. } = &mut machines[id];
        let before = arrived.reports.len();
        while *held != Some(Held::Executor)
            && let Some(performed) = booted.executor.work().unwrap()
        {
            if let Done::Installed { state, .. } = &performed.done {
                installed.push(state.height());
            }
            for reply in performed.replies {
                let told = replies.entry((reply.signer(), reply.message().number)).or_default();
                told.push(reply.message().outcome.clone());
            }
            arrived.reports.push(performed.done);
        }
        if *held != Some(Held::Saver) {
            arrived.reports.extend(booted.saver.work().unwrap());
        }
        arrived.reports.len() > before
    }

    /// What a replica said before it crashed, and that is not behind a stable checkpoint, it says first thing again.
    fn expect_it_says_again(&mut self, id: usize) {
        let now = self.clock(id);
        let machine = &mut self.machines[id];
        let low = machine.booted.member.stable().map_or(SequenceNumber::ZERO, |(state, _)| state.height());
        let outputs = machine.booted.member.round(now).unwrap();
        let sent = outputs.iter().filter_map(|output| {
            let Output::Send { to: To::Others, message } = output else { return None };
            matter(message).map(|(matter, _)| matter)
        });
        let again: BTreeSet<Matter> = sent.collect();
        for matter in machine.said.keys().filter(|(_, _, sequence)| low < *sequence) {
            assert!(again.contains(matter), "replica {id} does not say {matter:?} again: {again:?}");
        }
        self.perform(id, outputs);
    }
}

impl Machine {
    /// Rule R-2: what it says again is the same, byte for byte.
    fn hold_to_its_word(&mut self, message: &Message) {
        if let Some((matter, digest)) = matter(message) {
            let before = *self.said.entry(matter).or_insert(digest);
            assert_eq!(digest, before, "it said otherwise before about {matter:?}");
        }
    }
}

/// What a message binds its signer to, and the digest of its bytes.
fn matter(message: &Message) -> Option<(Matter, Digest)> {
    let matter = match message {
        Message::PrePrepare(vote, _) => ("pre-prepare", vote.message().view, vote.message().sequence),
        Message::Prepare(vote) => ("prepare", vote.message().view, vote.message().sequence),
        Message::Commit(vote) => ("commit", vote.message().view, vote.message().sequence),
        Message::Checkpoint(vote) => ("checkpoint", View::ZERO, vote.message().sequence),
        Message::ViewChange(_)
        | Message::NewView(_)
        | Message::Status(_)
        | Message::Fetch(_)
        | Message::Requests(_)
        | Message::Batch(..)
        | Message::Decided(_)
        | Message::Stable(_) => return None,
    };
    Some((matter, Digest::of_bytes(&message.to_packet().encode())))
}
