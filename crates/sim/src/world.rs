//! One world: machines, clients, a network and a scenario, in virtual time.
//!
//! Events are taken in order of time, and of scheduling where times are equal, so that a scenario has one course. After
//! each thing that an observer beside the machines would see, every oracle is told ([`Sight`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use bezant_host::Output;
use bezant_ledger::transfer::{Piece, PieceRequest};
use bezant_pbft::message::Reply;
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Bundle, Genesis, Keyring, Moment, ReplicaId, Request, Signed, Verified};

use crate::adversary;
use crate::adversary::client::Schemer;
use crate::agenda::Agenda;
use crate::clientele::{Asker, Liar};
use crate::dice::Dice;
use crate::machine::{Machine, Traitor};
use crate::network::{End, Network};
use crate::oracle::{Oracle, Setting, Violation};
use crate::rounds::{Watch, fuzzer};
use crate::scenario::{Expectation, Kind, Scenario, Span};
use crate::sight::{ClientIndex, Sight};
use crate::trace::{self, Lookout, Trace, Who};
use crate::{people, workload};

/// Something that will happen. What belongs to one process carries the number of its life.
pub(crate) enum Event {
    /// Something arrives at a machine.
    Arrives { at: u16, from: End, what: Parcel },
    /// An answer arrives at a client.
    Answer { client: usize, reply: Arc<Verified<Reply>> },
    /// A machine reads what has arrived.
    Turn { at: u16, life: u64 },
    /// A machine's sync is done: what the round wanted done happens.
    Release { at: u16, life: u64, outputs: Vec<Output> },
    /// A machine wakes although nothing has arrived.
    Wake { at: u16, life: u64 },
    /// A machine's executor is done with a task.
    Executed { at: u16, life: u64 },
    /// A machine's saver is done.
    Saved { at: u16, life: u64 },
    /// A machine that went down by itself comes up again.
    Reboot { at: u16, life: u64 },
    /// A client wants to ask, if its pause is over and nothing is outstanding.
    Asks { client: usize },
    /// A client's patience may be over.
    ClientTime { client: usize },
    /// The next step of the scenario.
    Step(usize),
    /// Corrupted members may do something of their own; bounded memory is looked at.
    Tick,
    /// A corrupted client sends something that it held back.
    HandsIn { client: usize, at: u16, bundle: Arc<Signed<Bundle>> },
    /// A corrupted member says something that it held back.
    Tells { at: u16, to: ReplicaId, packet: Arc<Packet> },
}

/// What travels to a machine.
#[derive(Clone)]
pub(crate) enum Parcel {
    /// From an honest member: signed by it, so it need not be verified again; the type says so.
    Message(Arc<Message>),
    /// From a corrupted one: bytes as good as any, to be verified at the door.
    Packet(Arc<Packet>),
    Request(Request),
    /// From a corrupted client: to be verified at the door.
    Bundle(Arc<Signed<Bundle>>),
    AskPiece(PieceRequest),
    Piece(Piece),
}

/// Why a world came to a bad end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An oracle complained.
    Violation(Violation),
    /// A replica's own assertion, or the simulator's.
    Panic(String),
    /// What the scenario's author expected did not happen.
    Unexpected(String),
    /// The scenario names something that there is not.
    Nonsense(String),
}

/// What came of a world.
#[derive(Clone, Debug)]
pub struct Report {
    /// Why it failed, and when, in microseconds of world time.
    pub failure: Option<(u64, Failure)>,
    /// Events that happened.
    pub events: u64,
    /// Requests that honest clients asked, and that were answered.
    pub asked: u64,
    /// Those of them that were answered.
    pub answered: u64,
    /// The longest that anybody waited for an answer, in microseconds.
    pub longest_wait_us: u64,
    /// The longest that anybody waits at the end for an answer that has not come, in microseconds.
    pub longest_unanswered_us: u64,
    /// How many bytes an honest machine gave to its line, in the mean; nobody counts where lines have no bound.
    pub sent_bytes: u64,
    /// The highest view that an honest replica entered.
    pub view: u64,
    /// Who was accused by whom.
    pub accused: Vec<(u16, u16)>,
    /// The highest sequence number that an honest replica executed.
    pub height: u64,
    /// The trace.
    pub trace: Trace,
}

/// A world.
pub struct World {
    pub(crate) scenario: Scenario,
    pub(crate) genesis: Genesis,
    pub(crate) keyring: Keyring,
    pub(crate) machines: Vec<Machine>,
    pub(crate) clients: Vec<Asker>,
    /// Corrupted clients; on the network they come after the honest ones.
    pub(crate) liars: Vec<Liar>,
    pub(crate) network: Network,
    pub(crate) rounds: Watch,
    pub(crate) dice: Dice,
    pub(crate) now: u64,
    pub(crate) trace: Trace,
    pub(crate) lookout: Lookout,
    pub(crate) oracles: Vec<Box<dyn Oracle>>,
    pub(crate) failure: Option<(u64, Failure)>,
    pub(crate) stable: bool,
    pub(crate) accused: Vec<(u16, u16)>,
    pub(crate) halted: Vec<u16>,
    pub(crate) view: u64,
    pub(crate) height: u64,
    pub(crate) asked_at: BTreeMap<(usize, u64), u64>,
    pub(crate) longest_wait_us: u64,
    agenda: Agenda,
    events: u64,
}

impl World {
    /// A world before its first moment.
    ///
    /// # Errors
    /// What the scenario names that there is not.
    pub fn new(scenario: &Scenario, trace: Trace) -> Result<Self, String> {
        let people = people::people(scenario)?;
        let genesis = people.genesis;
        let corrupted: Vec<ReplicaId> =
            genesis.committee().members().filter(|one| scenario.is_corrupted(one.get())).collect();
        let honest_clients = people.client_keys.len();
        let corrupted_clients: Vec<ClientIndex> =
            (0..people.corrupted_client_keys.len()).map(|index| ClientIndex(honest_clients + index)).collect();
        let setting = Setting {
            genesis: &genesis,
            corrupted: &corrupted,
            corrupted_clients: &corrupted_clients,
            liveness_ms: scenario.liveness_ms(),
        };
        let oracles = crate::oracle::all(&setting);
        let seed = scenario.seed;
        let mut machines = Vec::new();
        for (index, key) in people.replica_keys.iter().enumerate() {
            let id = ReplicaId::new(u16::try_from(index).map_err(|_| "too many replicas".to_owned())?);
            let mut machine = Machine::new(id, key.clone(), &genesis);
            machine.twin = scenario.twins.contains(&id.get());
            if let Some((_, name)) = scenario.traitors.iter().find(|(one, _)| *one == id.get()) {
                let kind: adversary::Kind = name.parse().map_err(|error: adversary::UnknownKind| error.to_string())?;
                let keys = corrupted.iter().map(|one| (*one, people.replica_keys[one.index()].clone())).collect();
                let mut dice = Dice::stream(seed, 1_000 + u64::from(id.get()));
                let adversary = match fuzzer(&scenario.rounds).filter(|_| name == "byzzfuzz") {
                    Some(fuzzer) => Box::new(fuzzer),
                    None => kind.build(&mut dice),
                };
                let mind = adversary::Corrupted::new(id, keys, genesis.clone(), dice);
                machine.traitor = Some(Traitor { mind, adversary });
            }
            machines.push(machine);
        }
        for twin in &scenario.twins {
            let mut machine =
                Machine::new(ReplicaId::new(*twin), people.replica_keys[usize::from(*twin)].clone(), &genesis);
            machine.twin = true;
            machines.push(machine);
        }
        let clients =
            people.client_keys.iter().enumerate().map(|(index, key)| {
                Asker::new(key.clone(), genesis.committee(), Dice::stream(seed, 2_000 + index as u64))
            });
        let mut liars = Vec::new();
        for (index, (name, key)) in scenario.corrupted_clients.iter().zip(people.corrupted_client_keys).enumerate() {
            let kind: adversary::client::Kind =
                name.parse().map_err(|error: adversary::client::UnknownKind| error.to_string())?;
            let dice = Dice::stream(seed, 3_000 + index as u64);
            liars.push(Liar { mind: Schemer::new(key, genesis.clone(), dice), client: kind.build() });
        }
        Ok(Self {
            clients: clients.collect(),
            liars,
            network: Network::new(scenario.network, Dice::stream(seed, 1)),
            rounds: Watch::new(&scenario.rounds, machines.len()),
            dice: Dice::stream(seed, 2),
            keyring: genesis.keyring(),
            scenario: scenario.clone(),
            genesis,
            machines,
            now: 0,
            trace,
            lookout: lookout(scenario),
            oracles,
            failure: None,
            stable: false,
            accused: Vec::new(),
            halted: Vec::new(),
            view: 0,
            height: 0,
            asked_at: BTreeMap::new(),
            longest_wait_us: 0,
            agenda: Agenda::default(),
            events: 0,
        })
    }

    /// Runs the world to its end.
    pub fn run(mut self) -> Report {
        self.begin();
        let end = self.scenario.run.as_micros();
        while self.failure.is_none() {
            let Some((at, event)) = self.agenda.next_until(end) else { break };
            self.now = at;
            self.events += 1;
            self.happen(event);
        }
        self.now = self.now.max(end);
        self.judge_end();
        let longest_unanswered_us = self.asked_at.values().map(|asked| self.now - asked).max().unwrap_or_default();
        let sum = |count: fn(&Asker) -> u64| self.clients.iter().map(count).sum();
        Report {
            sent_bytes: self.sent_bytes(),
            asked: sum(|one| one.asked),
            answered: sum(|one| one.answered),
            failure: self.failure,
            events: self.events,
            longest_wait_us: self.longest_wait_us,
            longest_unanswered_us,
            view: self.view,
            accused: self.accused,
            height: self.height,
            trace: self.trace,
        }
    }

    /// How many bytes an honest machine gave to its line, in the mean.
    pub(crate) fn sent_bytes(&self) -> u64 {
        let honest = || (0u16..).zip(&self.machines).filter(|(_, machine)| machine.honest());
        let sent: u64 = honest().map(|(at, _)| self.network.carried(End::Replica(at))).sum();
        sent.checked_div(honest().count() as u64).unwrap_or_default()
    }

    fn begin(&mut self) {
        for index in 0..self.machines.len() as u16 {
            self.start(index, bezant_host::Resume::WithLog);
        }
        for (index, (at, _)) in self.scenario.steps.clone().iter().enumerate() {
            self.schedule_at(at.as_micros(), Event::Step(index));
        }
        if self.scenario.pause.is_some() {
            (0..self.clients.len()).for_each(|client| self.pause(client));
        }
        self.schedule(TICK_US, Event::Tick);
    }

    pub(crate) fn schedule(&mut self, after: u64, event: Event) {
        self.schedule_at(self.now + after, event);
    }

    pub(crate) fn schedule_at(&mut self, at: u64, event: Event) {
        self.agenda.insert(at.max(self.now), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives { at, from, what } => self.on_arrival(at, from, what),
            Event::Answer { client, reply } => self.on_answer(client, &reply),
            Event::Turn { at, life } if self.lives(at, life) => self.turn(at),
            Event::Release { at, life, outputs } if self.lives(at, life) => self.release(at, outputs),
            Event::Wake { at, life } if self.lives(at, life) => self.on_wake(at),
            Event::Executed { at, life } if self.lives(at, life) => self.on_executed(at),
            Event::Saved { at, life } if self.lives(at, life) => self.on_saved(at),
            Event::Reboot { at, life } if self.lives(at, life) => self.on_reboot(at),
            Event::Turn { .. } | Event::Release { .. } | Event::Wake { .. } => {}
            Event::Executed { .. } | Event::Saved { .. } | Event::Reboot { .. } => {}
            Event::Asks { client } => self.on_pause_over(client),
            Event::ClientTime { client } => self.on_client_time(client),
            Event::Step(index) => {
                if let Some((_, step)) = self.scenario.steps.get(index).cloned() {
                    self.take_step(&step);
                }
            }
            Event::Tick => self.on_tick(),
            Event::HandsIn { client, at, bundle } => self.hand_in(client, at, &Parcel::Bundle(bundle)),
            Event::Tells { at, to, packet } => self.transmit(at, to, Parcel::Packet(packet)),
        }
    }

    fn lives(&self, at: u16, life: u64) -> bool {
        self.machines[usize::from(at)].life == life
    }

    pub(crate) fn machine(&mut self, at: u16) -> &mut Machine {
        &mut self.machines[usize::from(at)]
    }

    /// The oracles are told.
    pub(crate) fn see(&mut self, sight: &Sight<'_>) {
        let when = Moment::new(self.now / 1_000);
        for oracle in &mut self.oracles {
            if let Err(crime) = oracle.on_sight(when, sight) {
                let violation = Violation { oracle: oracle.name(), crime };
                if self.failure.is_none() {
                    self.failure = Some((self.now, Failure::Violation(violation)));
                }
            }
        }
    }

    pub(crate) fn note(&mut self, who: Who, what: &str, text: std::fmt::Arguments<'_>) {
        if self.is_watched() {
            let line = trace::line(self.now, who, what, text);
            self.lookout.look(&line);
            self.trace.write(line);
        }
    }

    /// Whether anybody reads what is noted.
    pub(crate) fn is_watched(&self) -> bool {
        self.trace.is_on() || self.lookout.is_open()
    }

    /// Hands something to whoever has the key of `to`.
    pub(crate) fn transmit(&mut self, from: u16, to: ReplicaId, what: Parcel) {
        for at in 0..self.machines.len() as u16 {
            if self.machines[usize::from(at)].id == to && at != from {
                let end = End::Replica(from);
                let arrivals = self.network.send(self.now, end, End::Replica(at), what.kind(), || what.bytes());
                for arrival in arrivals.into_iter().flatten() {
                    self.schedule_at(arrival, Event::Arrives { at, from: end, what: what.clone() });
                }
            }
        }
    }

    fn on_pause_over(&mut self, client: usize) {
        if !self.clients[client].is_waiting() {
            let accounts: Vec<_> = self.clients.iter().map(Asker::account).collect();
            let asker = &mut self.clients[client];
            let (number, values) = (asker.asked, self.scenario.values);
            let author = workload::Author { client, number, accounts: &accounts, values };
            let transactions = workload::draw(&mut asker.dice, author);
            self.ask(client, transactions);
        }
    }

    pub(crate) fn pause(&mut self, client: usize) {
        let Some(pause) = self.scenario.pause.map(Span::as_micros) else { return };
        if self.quiet(client) {
            return;
        }
        let after = self.clients[client].dice.below(2 * pause + 1);
        self.schedule(after, Event::Asks { client });
    }

    /// Towards its end a world asks nothing more, so that what was asked can be answered.
    fn quiet(&self, _client: usize) -> bool {
        let run = self.scenario.run.as_micros();
        self.now > run - run / 8
    }

    /// A client asks for something.
    pub(crate) fn ask(&mut self, client: usize, transactions: Vec<bezant_types::Transaction>) {
        let now = Moment::new(self.now / 1_000);
        let (digest, parameters) = (self.keyring.genesis(), self.genesis.parameters().clone());
        let (bundle, request) = self.clients[client].ask(now, digest, &parameters, transactions);
        self.asked_at.insert((client, request.number().get()), self.now);
        self.note(Who::Client(client), "asks", format_args!("{}", bundle.message()));
        self.see(&Sight::Asked { client: ClientIndex(client), bundle: &bundle });
        self.send_request(client, &request);
        if let Some(at) = self.clients[client].next_deadline() {
            self.schedule_at(at.get() * 1_000, Event::ClientTime { client });
        }
    }

    pub(crate) fn send_request(&mut self, client: usize, request: &Request) {
        for at in 0..self.machines.len() as u16 {
            self.hand_in(client, at, &Parcel::Request(request.clone()));
        }
    }

    /// A client hands something to a machine.
    pub(crate) fn hand_in(&mut self, client: usize, at: u16, what: &Parcel) {
        let (from, to) = (End::Client(client), End::Replica(at));
        let arrivals = self.network.send(self.now, from, to, what.kind(), || what.bytes());
        for arrival in arrivals.into_iter().flatten() {
            self.schedule_at(arrival, Event::Arrives { at, from, what: what.clone() });
        }
    }
}

/// The lines of the trace that a scenario's author speaks of.
fn lookout(scenario: &Scenario) -> Lookout {
    let words = |one: &Expectation| match one {
        Expectation::Seen(words) | Expectation::Unseen(words) => Some(words.clone()),
        Expectation::Answered
        | Expectation::View(_)
        | Expectation::LaterThan(_)
        | Expectation::Accused(_)
        | Expectation::NobodyAccused
        | Expectation::Height(_)
        | Expectation::Violated(_)
        | Expectation::Halted(_)
        | Expectation::ServedWithin(_)
        | Expectation::SentAtMost(_) => None,
    };
    Lookout::new(scenario.expectations.iter().filter_map(words).collect())
}

impl Parcel {
    fn kind(&self) -> Kind {
        match self {
            Self::Message(message) => Kind::of(message),
            Self::Packet(packet) => Kind::of_packet(packet),
            Self::Request(_) | Self::Bundle(_) => Kind::Ask,
            Self::AskPiece(_) | Self::Piece(_) => Kind::Piece,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.to_packet().encode().len(),
            Self::Packet(packet) => packet.encode().len(),
            Self::Request(request) => request.size(),
            Self::Bundle(bundle) => bezant_types::codec::encoded_len(&**bundle),
            Self::AskPiece(_) => 64,
            Self::Piece(piece) => bezant_types::codec::encoded_len(piece),
        }
    }
}

/// How often corrupted members may do something of their own.
pub(crate) const TICK_US: u64 = adversary::TICK_MS * 1_000;
