//! A replica among members that say anything, in any order.
//!
//! The bytes choose what is said: of which kind, by whom, for which view, slot and batch, with which proofs; which
//! timer runs out; when the executor is done. All are signed, for what is not is stopped at the door. Three of four
//! members saying anything is more than the replica tolerates, so agreement is not judged here: only that it neither
//! panics nor grows, and that it may stop with a name for what cannot be.

use bezant_engine::{Engine, Log, Now};
use bezant_pbft::message::{
    Batch, Checkpoint, Commit, Fetch, NewView, PrePrepare, Prepare, Standing, Status, ViewChange,
};
use bezant_pbft::packet::{Message, Packet};
use bezant_pbft::record::Record;
use bezant_pbft::{Block, Config, Effect, Executed, Input, Replica, Timer};
use bezant_types::{Digest, Moment, ReplicaId, Request, SequenceNumber, Timestamp, View};

use crate::corpus::{REPLICAS, batch, bundle, decided, request, sign, stable};
use crate::decoders::network;

/// Which replica is real.
const REAL: u16 = 1;
/// The most steps of one run.
const STEPS: usize = 160;

struct Paper(Vec<Record>);

impl Log<Record> for Paper {
    type Error = std::convert::Infallible;

    fn append(&mut self, records: &[Record]) -> Result<(), Self::Error> {
        self.0.extend_from_slice(records);
        Ok(())
    }
}

struct Run<'b> {
    bytes: &'b [u8],
    replica: Replica,
    log: Paper,
    delivered: Vec<Block>,
    heard: Vec<ViewChange>,
    moment: u64,
    halted: bool,
}

pub(crate) fn handling(bytes: &[u8]) {
    let (genesis, _) = network();
    let config = Config::new(genesis, ReplicaId::new(REAL)).expect("a member");
    let replica = Replica::new(config);
    let mut run =
        Run { bytes, replica, log: Paper(vec![]), delivered: vec![], heard: vec![], moment: 0, halted: false };
    run.step(Input::Start);
    for _ in 0..STEPS {
        if run.bytes.is_empty() || run.halted {
            break;
        }
        run.turn();
    }
    if !run.halted {
        run.restart();
    }
}

impl Run<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    fn view(&mut self) -> View {
        let edge = [0, 0, 0, 1, 1, 2, 3, u64::MAX];
        View::new(edge[usize::from(self.below(8))])
    }

    fn sequence(&mut self) -> SequenceNumber {
        let edge = [1, 1, 2, 3, 4, 5, 8, 9, 10, 16, 0, u64::MAX];
        SequenceNumber::new(edge[usize::from(self.below(12))])
    }

    fn batch(&mut self) -> Batch {
        match self.below(6) {
            0 => Batch::Null,
            1 => Batch::Seal { timestamp: Timestamp::new(1_000) },
            number => batch(u64::from(number)),
        }
    }

    fn other(&mut self) -> u16 {
        [0, 2, 3][usize::from(self.below(3))]
    }

    fn root(&mut self) -> Digest {
        Digest::of("fuzz", &self.below(2))
    }

    fn turn(&mut self) {
        self.moment += u64::from(self.below(4)) * 100;
        let by = self.other();
        let (view, sequence, batch) = (self.view(), self.sequence(), self.batch());
        let digest = batch.digest();
        let packet = match self.below(18) {
            0 | 1 => Packet::PrePrepare(sign(primary(view), PrePrepare { view, sequence, digest }), Some(batch)),
            2 => Packet::PrePrepare(sign(by, PrePrepare { view, sequence, digest }), None),
            3 | 4 => Packet::Prepare(sign(by, Prepare { view, sequence, digest })),
            5 | 6 => Packet::Commit(sign(by, Commit { view, sequence, digest })),
            7 => Packet::Checkpoint(sign(by, Checkpoint { sequence, root: self.root() })),
            8 | 9 => {
                let checkpoint = (self.below(3) == 0).then(|| stable(2, Digest::of("fuzz", &0u8)));
                let message = ViewChange { view, checkpoint, prepared: vec![] };
                self.heard.push(message.clone());
                Packet::ViewChange(sign(by, message))
            }
            10 => {
                let message =
                    self.heard.last().cloned().unwrap_or(ViewChange { view, checkpoint: None, prepared: vec![] });
                let view = message.view;
                let view_changes = (0..REPLICAS - 1).map(|one| sign(one, message.clone())).collect();
                let proposals = if self.below(2) == 0 { vec![] } else { vec![digest] };
                Packet::NewView(sign(primary(view), NewView { view, view_changes, proposals }))
            }
            11 => {
                let status = Status { view, standing: Standing::Normal, stable: sequence, executed: sequence };
                Packet::Status(sign(by, status))
            }
            12 => Packet::Fetch(sign(by, Fetch { requests: vec![digest], batches: vec![(sequence, digest)] })),
            13 => Packet::Decided(decided(sequence.get(), batch)),
            14 => Packet::Stable(stable(sequence.get(), Digest::of("fuzz", &self.below(2)))),
            15 => Packet::Requests(vec![bundle(u64::from(self.below(6)))]),
            16 => return self.timeout(),
            _ => return self.apply(),
        };
        let (genesis, keyring) = network();
        if let Ok(message) = packet.verify(keyring, genesis.parameters()) {
            self.step(Input::Message(message));
        }
    }

    fn timeout(&mut self) {
        let view = self.replica.view();
        let timers = [
            Timer::Progress(view),
            Timer::NewView(view),
            Timer::Pace(view),
            Timer::Seal(view),
            Timer::Status,
            Timer::Fetch,
            Timer::CatchUp,
        ];
        let timer = timers[usize::from(self.below(7))];
        self.step(Input::Timeout(timer));
        let submitted = request(u64::from(self.below(6)));
        self.step(Input::Submit(vec![submitted]));
    }

    /// The executor is done with a block.
    fn apply(&mut self) {
        if !self.delivered.is_empty() {
            let block = self.delivered.remove(0);
            let root = block.checkpoint.then(|| Digest::of("fuzz", &0u8));
            let fate = |one: &Request| Executed { client: one.client(), number: one.number(), fresh: true };
            let executed = block.requests.iter().map(fate).collect();
            let sequence = block.sequence();
            self.step(Input::Applied { sequence, executed, root });
        }
    }

    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while !inputs.is_empty() && !self.halted {
            let now = Now { wall: Timestamp::new(1_000), moment: Moment::new(self.moment) };
            let Ok(effects) = bezant_engine::turn(&mut self.replica, &mut self.log, now, std::mem::take(&mut inputs));
            for effect in effects {
                inputs.extend(self.perform(effect));
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Input> {
        let (genesis, keyring) = network();
        match effect {
            Effect::Send(bezant_pbft::Recipients::All, message) => {
                let id = ReplicaId::new(REAL);
                let own: Message = message.sign(id, &crate::corpus::key(REAL), genesis.digest());
                assert!(own.to_packet().verify(keyring, genesis.parameters()).is_ok(), "it says what others accept");
                Some(Input::Message(own))
            }
            Effect::Deliver(block) => {
                self.delivered.push(block);
                None
            }
            Effect::FetchState(certificate) => {
                self.delivered.clear();
                Some(Input::Restored { certificate })
            }
            Effect::Halt(_) => {
                self.halted = true;
                None
            }
            Effect::Send(..)
            | Effect::SetTimer(..)
            | Effect::CancelTimer(_)
            | Effect::Stable(_)
            | Effect::Accuse(..)
            | Effect::Ignored(..)
            | Effect::Busy { .. }
            | Effect::Entered(_) => None,
        }
    }

    /// What it wrote is a past that it takes for its own.
    fn restart(&mut self) {
        let (genesis, _) = network();
        let mut again = Replica::new(Config::new(genesis, ReplicaId::new(REAL)).expect("a member"));
        for record in std::mem::take(&mut self.log.0) {
            again.replay(record).expect("what this replica wrote is its past");
        }
    }
}

fn primary(view: View) -> u16 {
    network().0.committee().primary(view).get()
}

/// Runs that begin well: a batch that commits, a view that changes.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let normal = [0u8, 0, 0, 0, 2, 0].repeat(12);
    let mixed: Vec<u8> = (0..600u32).map(|nth| (nth.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let other: Vec<u8> = (0..900u32).map(|nth| (nth.wrapping_mul(40_503) >> 7) as u8).collect();
    vec![normal, mixed, other]
}
