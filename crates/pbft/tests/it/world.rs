//! A group in virtual time: real replicas, and around them a network, disks, executors and clients that all fail on
//! command. One seed decides everything. After every event the oracle looks.

use std::collections::{BTreeMap, VecDeque};

use bezant_engine::{Engine, Now};
use bezant_pbft::client::{Client, Patience};
use bezant_pbft::forensics::Inquiry;
use bezant_pbft::packet::{self, Message, Packet};
use bezant_pbft::{Effect, Executed, Fault, Input, Recipients, Timer};
use bezant_types::genesis::Parameters;
use bezant_types::{Moment, ReplicaId, Request, RequestNumber, SequenceNumber, Timestamp, codec};

use crate::clientele::ClientHost;
use crate::network::{CLIENTS, Dice, EPOCH, Links, Members, client_key, id, replica_key};
use crate::node::{CrashPoint, Draft, Node};
use crate::oracle::{History, describe, statement};

pub(crate) const LIMIT: usize = 32 << 20;
const TRACE_LINES: usize = 400;

/// Something that will happen. What belongs to one life of a replica carries its number.
pub(crate) enum Event {
    Packet { from: u16, to: u16, bytes: Vec<u8> },
    Own { node: u16, life: u64, bytes: Vec<u8> },
    Request { client: usize, to: u16, bytes: Vec<u8> },
    Reply { client: usize, bytes: Vec<u8> },
    ClientTime { client: usize },
    Timer { node: u16, timer: Timer, generation: u64 },
    Sync { node: u16, life: u64 },
    Execute { node: u16, life: u64 },
    Transfer { node: u16, life: u64 },
    Save { node: u16, life: u64, sequence: u64 },
    Restart { node: u16, life: u64 },
}

/// A rule of a script about the network: what does not arrive.
type Filter = Box<dyn Fn(u16, u16, &Packet) -> bool>;
/// A rule of a script about the network: by how much what arrives is late.
type Delay = Box<dyn Fn(u16, u16, &Packet) -> u64>;

pub(crate) struct World {
    pub(crate) members: Members,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<ClientHost>,
    pub(crate) links: Links,
    pub(crate) dice: Dice,
    pub(crate) now: u64,
    pub(crate) history: History,
    pub(crate) ignored: Vec<(u16, Option<u16>, bezant_pbft::ignored::Ignored)>,
    /// Which requests were turned away by whom because too much of their client waits.
    pub(crate) busy: Vec<(u16, u64)>,
    /// Everything that honest members decided or wrote down, for whoever asks who is to blame.
    pub(crate) inquiry: Inquiry,
    /// Who accused whom, with evidence that convicts.
    pub(crate) accused: Vec<(u16, u16)>,
    pub(crate) halted: Vec<(u16, Fault)>,
    pub(crate) expect_halts: bool,
    /// Every packet that a replica sent to another, if somebody wants to know.
    pub(crate) sent: Option<Vec<(u16, u16, Packet)>>,
    pub(crate) transfers: u64,
    filters: Vec<Filter>,
    delays: Vec<Delay>,
    queue: BTreeMap<(u64, u64), Event>,
    serial: u64,
    seed: u64,
    trace: VecDeque<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, the last {} events:", self.seed, self.trace.len());
            for line in &self.trace {
                eprintln!("  {line}");
            }
        }
    }
}

impl World {
    /// `n` replicas, started, on a kind network.
    pub(crate) fn new(n: u16, parameters: Parameters, seed: u64) -> Self {
        let mut world = Self::unstarted(n, parameters, seed);
        world.start_all();
        world
    }

    /// As [`Self::new`], before anybody was started: for choosing traitors and disks.
    pub(crate) fn unstarted(n: u16, parameters: Parameters, seed: u64) -> Self {
        let members = Members::new(n, parameters);
        let patience = Patience { retry_ms: 600, give_up_ms: 1 << 40 };
        let client = |index: usize| {
            let account = client_key(index).account();
            let client = Client::new(account, members.committee, patience, RequestNumber::new(1));
            ClientHost { client, done: BTreeMap::new(), gave_up: vec![], texts: 0 }
        };
        Self {
            nodes: (0..n).map(|index| Node::new(&members, index)).collect(),
            clients: (0..CLIENTS).map(client).collect(),
            inquiry: Inquiry::new(&members.genesis),
            members,
            links: Links::kind(),
            dice: Dice::new(seed),
            now: 0,
            history: History::default(),
            ignored: vec![],
            busy: vec![],
            accused: vec![],
            halted: vec![],
            expect_halts: false,
            sent: None,
            transfers: 0,
            filters: vec![],
            delays: vec![],
            queue: BTreeMap::new(),
            serial: 0,
            seed,
            trace: VecDeque::new(),
        }
    }

    pub(crate) fn start_all(&mut self) {
        for node in self.replicas() {
            if self.node(node).up() {
                self.input(node, Input::Start);
            }
        }
    }

    pub(crate) fn replicas(&self) -> Vec<u16> {
        self.members.committee.members().map(ReplicaId::get).collect()
    }

    pub(crate) fn node(&self, node: u16) -> &Node {
        &self.nodes[node as usize]
    }

    pub(crate) fn node_mut(&mut self, node: u16) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        let line = format!("{:>6} {}", self.now, line());
        self.trace.push_back(line);
    }

    /// Loses every packet of which `filter` says so, from now on.
    pub(crate) fn lose(&mut self, filter: impl Fn(u16, u16, &Packet) -> bool + 'static) {
        self.filters.push(Box::new(filter));
    }

    /// Makes every packet late by as many milliseconds as `delay` says, from now on.
    pub(crate) fn delay(&mut self, delay: impl Fn(u16, u16, &Packet) -> u64 + 'static) {
        self.delays.push(Box::new(delay));
    }

    /// The network is kind again.
    pub(crate) fn heal(&mut self) {
        self.note(|| "the network heals".into());
        self.filters.clear();
        self.delays.clear();
        self.links = Links::kind();
    }

    pub(crate) fn schedule(&mut self, after: u64, event: Event) {
        self.serial += 1;
        self.queue.insert((self.now + after, self.serial), event);
    }

    /// The next event happens. Status timers run for ever, so there is always one while a replica is up.
    pub(crate) fn tick(&mut self) -> bool {
        let Some(((time, _), event)) = self.queue.pop_first() else { return false };
        self.now = self.now.max(time);
        match event {
            Event::Packet { from, to, bytes } => self.arrive(from, to, &bytes),
            Event::Request { client, to, bytes } => self.on_client_request(client, to, &bytes),
            Event::Reply { client, bytes } => self.on_reply(client, &bytes),
            Event::ClientTime { client } => self.on_client_time(client),
            Event::Timer { node, timer, generation } => {
                if self.node(node).timers.get(&timer) == Some(&generation) {
                    self.node_mut(node).timers.remove(&timer);
                    if !matches!(timer, Timer::Status) {
                        self.note(|| format!("{node}: {timer:?} runs out"));
                    }
                    self.input(node, Input::Timeout(timer));
                }
            }
            Event::Own { node, life, bytes } if self.node(node).life == life => self.arrive(node, node, &bytes),
            Event::Sync { node, life } if self.node(node).life == life => self.sync(node),
            Event::Execute { node, life } if self.node(node).life == life => self.execute(node),
            Event::Transfer { node, life } if self.node(node).life == life => self.transfer(node),
            Event::Save { node, life, sequence } if self.node(node).life == life => self.save(node, sequence),
            Event::Restart { node, life } if self.node(node).life == life => self.restart(node),
            Event::Own { .. }
            | Event::Sync { .. }
            | Event::Execute { .. }
            | Event::Transfer { .. }
            | Event::Save { .. }
            | Event::Restart { .. } => {}
        }
        true
    }

    /// One step of a replica, and when its disk is done the effects.
    pub(crate) fn input(&mut self, node: u16, input: Input) {
        let skewed = (EPOCH + self.now).checked_add_signed(self.node(node).skew_ms).expect("a sane clock");
        let moment = Moment::new(self.now);
        let this = self.node_mut(node);
        let Some(replica) = this.replica.as_mut() else { return };
        let ready = replica.step(Now { wall: Timestamp::new(skewed), moment }, input);
        this.pending.join(ready);
        if this.sync_ms == 0 {
            self.sync(node);
        } else if !this.sync_scheduled {
            this.sync_scheduled = true;
            let (after, life) = (this.sync_ms, this.life);
            self.schedule(after, Event::Sync { node, life });
        }
    }

    /// Makes everything durable that was stepped, then lets it be seen.
    fn sync(&mut self, node: u16) {
        let this = self.node_mut(node);
        this.sync_scheduled = false;
        let mut draft = Draft::default();
        let Ok(mut effects) = std::mem::take(&mut this.pending).persist(&mut draft);
        let mut crashes = false;
        if this.honest() {
            draft.0.iter().for_each(|record| self.inquiry.examine_record(record));
        }
        let this = self.node_mut(node);
        if !draft.0.is_empty() {
            let doom = this.doom.filter(|(sync, _)| *sync == this.disk.syncs + 1).map(|(_, point)| point);
            if doom != Some(CrashPoint::BeforeSync) {
                let Ok(()) = bezant_engine::Log::append(&mut this.disk, &draft.0);
            }
            match doom {
                Some(CrashPoint::BeforeSync | CrashPoint::AfterSync) => effects.clear(),
                Some(CrashPoint::HalfWay) => effects.truncate(effects.len() / 2),
                None => {}
            }
            crashes = doom.is_some();
        }
        for effect in effects {
            self.perform(node, effect);
        }
        if crashes {
            self.crash(node);
        }
    }

    fn perform(&mut self, node: u16, effect: Effect) {
        match effect {
            Effect::Send(to, outgoing) => {
                let message = outgoing.sign(id(node), &replica_key(node), self.members.genesis.digest());
                self.send(node, to, &message);
            }
            Effect::Deliver(block) => {
                if self.node(node).honest() {
                    let sequence = block.sequence().get();
                    let expected = self.node(node).delivered + 1;
                    assert_eq!(sequence, expected, "replica {node} delivers without a gap, each block once");
                    self.node_mut(node).delivered = sequence;
                    self.inquiry.examine_block(&block.to_stored());
                    let agreed = self.history.deliver(sequence, block.batch.digest());
                    self.judge(node, agreed);
                }
                self.node_mut(node).executor.push_back(block);
                self.wake_executor(node);
            }
            Effect::SetTimer(timer, after) => {
                self.serial += 1;
                let generation = self.serial;
                self.node_mut(node).timers.insert(timer, generation);
                self.schedule(after, Event::Timer { node, timer, generation });
            }
            Effect::CancelTimer(timer) => drop(self.node_mut(node).timers.remove(&timer)),
            Effect::Stable(certificate) => self.on_stable(node, certificate.vote().sequence.get()),
            Effect::FetchState(certificate) => {
                self.note(|| format!("{node}: fetches the state of {}", certificate.vote().sequence));
                let idle = self.node_mut(node).fetching.replace(certificate).is_none();
                let life = self.node(node).life;
                if idle {
                    self.schedule(5, Event::Transfer { node, life });
                }
            }
            Effect::Accuse(member, evidence) => {
                let convicted = evidence.verify(&self.members.keyring).map(ReplicaId::get);
                assert_eq!(convicted, Ok(member.get()), "evidence convicts whom it accuses");
                assert!(!self.node(member.get()).honest(), "replica {node} accuses honest {member}");
                self.note(|| format!("{node}: accuses {member}"));
                self.accused.push((node, member.get()));
            }
            Effect::Ignored(source, reason) => {
                self.note(|| format!("{node}: ignores ({reason:?}) of {source:?}"));
                self.ignored.push((node, source.map(ReplicaId::get), reason));
            }
            Effect::Busy { client, number } => {
                self.note(|| format!("{node}: too busy for {client:?} {number}"));
                self.busy.push((node, number.get()));
            }
            Effect::Entered(view) => self.note(|| format!("{node}: enters view {view}")),
            Effect::Halt(fault) => {
                self.note(|| format!("{node}: halts: {fault}"));
                assert!(self.expect_halts || !self.node(node).honest(), "replica {node} halts: {fault}");
                self.halted.push((node, fault));
                self.crash(node);
                self.node_mut(node).halted = true;
            }
        }
    }

    fn judge(&self, node: u16, verdict: Result<(), String>) {
        if let Err(crime) = verdict {
            panic!("replica {node} {crime}");
        }
    }

    fn send(&mut self, from: u16, to: Recipients, message: &Message) {
        let packet = message.to_packet();
        if self.node(from).honest() {
            self.oversee(from, &packet);
        }
        for peer in self.replicas() {
            let meant = match to {
                Recipients::All => true,
                Recipients::Others => peer != from,
                Recipients::One(one) => one.get() == peer,
            };
            if !meant {
                continue;
            }
            if peer == from {
                let (life, bytes) = (self.node(from).life, packet.encode());
                self.schedule(0, Event::Own { node: from, life, bytes });
                continue;
            }
            match self.node(from).traitor {
                Some(traitor) => {
                    for twisted in traitor.twist(&self.members, &mut self.dice, from, peer, message) {
                        self.transmit(from, peer, &twisted);
                    }
                }
                None => self.transmit(from, peer, &packet),
            }
        }
    }

    /// The oracle hears what an honest member says.
    fn oversee(&mut self, from: u16, packet: &Packet) {
        let Some((signer, statement)) = statement(packet).filter(|(signer, _)| *signer == from) else { return };
        let window = self.members.genesis.parameters().window;
        let node = &mut self.nodes[signer as usize];
        let verdict = node.words.hear(statement);
        let licensed = node.disk.licensed.contains(&statement);
        // Through all its lives: what it said before a crash it may say again.
        let low = node.last_stable.max(node.disk.stable);
        self.judge(from, verdict);
        assert!(licensed, "replica {from} says {statement:?}, which its log does not hold");
        assert!(statement.0.sequence <= low + window, "replica {from} says {statement:?} above its window");
    }

    /// Puts a packet on the wire, where things happen to it. Scripts use it to speak for puppets.
    pub(crate) fn transmit(&mut self, from: u16, to: u16, packet: &Packet) {
        if let Some(sent) = &mut self.sent {
            sent.push((from, to, packet.clone()));
        }
        let lost = self.links.cut.contains(&(from, to))
            || self.filters.iter().any(|filter| filter(from, to, packet))
            || self.dice.chance(self.links.loss);
        if lost {
            return;
        }
        let copies = if self.dice.chance(self.links.duplicates) { 2 } else { 1 };
        let bytes = packet.encode();
        let late: u64 = self.delays.iter().map(|delay| delay(from, to, packet)).sum();
        for _ in 0..copies {
            let (least, most) = self.links.delay;
            let delay = late + least + self.dice.below(most - least + 1);
            self.schedule(delay, Event::Packet { from, to, bytes: bytes.clone() });
        }
    }

    fn arrive(&mut self, from: u16, to: u16, bytes: &[u8]) {
        let packet: Packet = packet::FORMAT.open(bytes, LIMIT).expect("what was encoded decodes");
        assert_eq!(packet.encode(), bytes, "one value, one encoding");
        if !self.node(to).up() {
            return;
        }
        if !matches!(packet, Packet::Status(_)) {
            self.note(|| format!("{from} -> {to}: {}", describe(&packet)));
        }
        if let Some(traitor) = self.node(to).traitor
            && let Some(said) = traitor.on_hearing(&mut self.dice, &packet)
        {
            let whom = self.dice.below(self.nodes.len() as u64) as u16;
            self.transmit(to, whom, &said);
        }
        if packet.only_from().is_some_and(|signer| signer.get() != from) {
            return self.note(|| format!("{to}: turned away: not from its signer"));
        }
        match packet.verify(&self.members.keyring, self.members.genesis.parameters()) {
            Ok(Message::Requests(requests)) => {
                let (executed, new) = requests.into_iter().partition(|one| self.was_executed(to, one));
                self.input(to, Input::Message(Message::Requests(new)));
                self.input(to, Input::Bodies(executed));
            }
            Ok(message) => self.input(to, Input::Message(message)),
            Err(rejected) => self.note(|| format!("{to}: turned away: {rejected}")),
        }
    }

    fn was_executed(&self, node: u16, request: &Request) -> bool {
        self.node(node).ledger.outcome(request.client(), request.number()).is_some()
    }

    fn wake_executor(&mut self, node: u16) {
        let this = self.node_mut(node);
        if !this.executing && !this.executor.is_empty() {
            this.executing = true;
            let (after, life) = (this.execute_ms, this.life);
            self.schedule(after, Event::Execute { node, life });
        }
    }

    fn execute(&mut self, node: u16) {
        let this = self.node_mut(node);
        this.executing = false;
        let Some(block) = this.executor.pop_front() else { return };
        let sequence = block.sequence();
        let fresh = |one: &Request| this.ledger.outcome(one.client(), one.number()).is_none();
        let fate = |one: &Request| Executed { client: one.client(), number: one.number(), fresh: fresh(one) };
        let executed = block.requests.iter().map(fate).collect();
        let answers = this.ledger.execute(&block);
        let root = this.ledger.root;
        this.disk.blocks.insert(sequence.get(), codec::encode(&block.to_stored()));
        let wanted = block.checkpoint.then_some(root);
        if block.checkpoint {
            this.states.insert(sequence.get(), this.ledger.clone());
        }
        if self.node(node).honest() {
            let agreed = self.history.reach(sequence.get(), root);
            self.judge(node, agreed);
        }
        for (account, number, outcome) in answers {
            let client = (0..CLIENTS).find(|one| client_key(*one).account() == account).expect("a known client");
            self.reply(node, client, number, outcome);
        }
        self.input(node, Input::Applied { sequence, executed, root: wanted });
        self.wake_executor(node);
    }

    fn on_stable(&mut self, node: u16, sequence: u64) {
        let this = self.node_mut(node);
        let before = std::mem::replace(&mut this.last_stable, sequence);
        this.states = this.states.split_off(&before);
        if this.compacts
            && let Some(replica) = &this.replica
        {
            let records = replica.dump();
            this.disk.log.clear();
            let Ok(()) = bezant_engine::Log::append(&mut this.disk, &records);
            this.disk.syncs -= 1;
        }
        let life = this.life;
        if let Some(after) = this.save_ms {
            self.schedule(after, Event::Save { node, life, sequence });
        }
    }

    fn save(&mut self, node: u16, sequence: u64) {
        let this = self.node_mut(node);
        let certificate = this.replica.as_ref().and_then(|replica| replica.report().stable);
        if let Some(certificate) = certificate.filter(|one| one.vote().sequence.get() == sequence)
            && let Some(ledger) = this.states.get(&sequence).cloned()
        {
            this.disk.blocks = this.disk.blocks.split_off(&(sequence + 1));
            this.disk.state = Some((ledger, certificate));
        }
    }

    /// Copies the state from somebody within reach who has it, once the executor has nothing more to do.
    fn transfer(&mut self, node: u16) {
        let Some(certificate) = self.node(node).fetching.clone() else { return };
        let life = self.node(node).life;
        let (sequence, root) = (certificate.vote().sequence.get(), certificate.vote().root);
        let reachable = |peer: &u16| *peer != node && self.node(*peer).up() && !self.links.cut.contains(&(*peer, node));
        let found = self
            .replicas()
            .into_iter()
            .filter(reachable)
            .find_map(|peer| self.node(peer).states.get(&sequence).filter(|ledger| ledger.root == root).cloned());
        let Some(ledger) = found.filter(|_| !self.node(node).executing) else {
            return self.schedule(10, Event::Transfer { node, life });
        };
        self.note(|| format!("{node}: has the state of {sequence}"));
        self.transfers += 1;
        let this = self.node_mut(node);
        this.fetching = None;
        this.delivered = sequence;
        this.ledger = ledger.clone();
        this.states.insert(sequence, ledger.clone());
        this.disk.state = Some((ledger, certificate.clone()));
        this.disk.blocks = this.disk.blocks.split_off(&(sequence + 1));
        self.input(node, Input::Restored { certificate });
    }

    pub(crate) fn crash(&mut self, node: u16) {
        self.note(|| format!("{node}: crashes"));
        self.node_mut(node).crash();
    }

    pub(crate) fn restart(&mut self, node: u16) {
        if self.node(node).up() || self.node(node).puppet || self.node(node).halted {
            return;
        }
        self.note(|| format!("{node}: restarts"));
        let this = &mut self.nodes[node as usize];
        this.recover(&self.members, node);
        self.wake_executor(node);
        self.input(node, Input::Start);
    }

    pub(crate) fn restart_without_log(&mut self, node: u16) {
        self.note(|| format!("{node}: restarts without its log"));
        let this = &mut self.nodes[node as usize];
        this.recover_without_log(&self.members, node);
        self.wake_executor(node);
        self.input(node, Input::Start);
    }

    pub(crate) fn restart_later(&mut self, node: u16, after: u64) {
        let life = self.node(node).life;
        self.schedule(after, Event::Restart { node, life });
    }

    /// When the next event happens.
    pub(crate) fn next_event(&self) -> Option<u64> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// The last stable checkpoint of a replica.
    pub(crate) fn stable(&self, node: u16) -> u64 {
        let replica = self.node(node).replica.as_ref().expect("a replica that is up");
        replica.report().stable.map_or(SequenceNumber::ZERO, |one| one.vote().sequence).get()
    }
}
