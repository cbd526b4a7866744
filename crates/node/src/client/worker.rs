//! The one task that owns the connections and all that is under way.
//!
//! It works in turns: wait for a command, an event or a deadline; take what else has come, up to a bound, so that a
//! replica which sends without end cannot keep deadlines from being met; decide; and write once to each replica.
//!
//! What is sent goes to the replicas that are connected. One that is not gets everything that is then under way when
//! its connection comes up, whether that is its first or the one after a crash: so nothing is lost with a connection,
//! and no queue of outdated requests builds up for a replica that is away.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bezant_types::{ReplicaId, Transaction};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::Options;
use super::door::{self, Heard};
use super::ignored::{Faults, Ignored};
use super::known::{Group, Known};
use super::network::Network;
use super::numbers::Numbers;
use super::questions::{Query, Questions};
use super::requests::{Numbering, Requests, Submission, SubmitReply};
use super::time::Clock;
use crate::transport::{ClientMesh, Event, EventReceiver, From};
use crate::wire::Tell;

/// What a handle asks of the worker.
#[derive(Debug)]
pub(super) enum Command {
    Submit { transactions: Vec<Transaction>, since: Instant, deadline: Instant, reply: SubmitReply },
    Ask { query: Query, deadline: Instant },
    Group { reply: oneshot::Sender<Group> },
    Stop { done: oneshot::Sender<()> },
}

pub(super) struct Worker {
    network: Arc<Network>,
    mesh: ClientMesh,
    events: EventReceiver,
    commands: mpsc::Receiver<Command>,
    clock: Clock,
    /// `None` while a block is being reserved, which happens within one call.
    numbers: Option<Numbers>,
    connected: BTreeSet<ReplicaId>,
    requests: Requests,
    questions: Questions,
    known: Known,
    faults: Faults,
}

/// What woke the worker.
enum Woken {
    Command(Option<Command>),
    Event(Option<Event>),
    Time,
}

impl Worker {
    pub(super) fn new(
        network: Arc<Network>,
        (mesh, events): (ClientMesh, EventReceiver),
        commands: mpsc::Receiver<Command>,
        numbers: Numbers,
        options: &Options,
    ) -> Self {
        Self {
            mesh,
            events,
            commands,
            clock: Clock::start(),
            numbers: Some(numbers),
            connected: BTreeSet::new(),
            requests: Requests::new(network.clone(), options),
            questions: Questions::new(network.clone(), options),
            known: Known::new(network.committee),
            faults: Faults::default(),
            network,
        }
    }

    /// Works until it is told to stop, or every handle is gone.
    pub(super) async fn run(mut self) {
        let mut last = None;
        while last.is_none() {
            last = match self.wait().await {
                Woken::Command(Some(command)) => self.on_commands(command),
                Woken::Event(Some(event)) => {
                    self.on_events(event);
                    None
                }
                Woken::Time => None,
                Woken::Command(None) | Woken::Event(None) => Some(None),
            };
            self.on_time();
            self.start_requests().await;
            self.mesh.flush();
        }
        self.requests.abort();
        self.questions.abort();
        self.mesh.shutdown().await;
        if let Some(Some(done)) = last {
            let _ = done.send(());
        }
    }

    async fn wait(&mut self) -> Woken {
        let deadline = self.next_deadline();
        tokio::select! {
            command = self.commands.recv() => Woken::Command(command),
            event = self.events.recv() => Woken::Event(event),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Woken::Time,
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let due = [self.requests.next_deadline(), self.questions.next_deadline()].into_iter().flatten().min();
        let due = due.and_then(|moment| self.clock.instant(moment));
        let look = self.questions.watch_connections().then(|| Instant::now() + LOOK);
        due.into_iter().chain(look).min()
    }

    /// Does what was asked for. Says whom to tell when it was to stop.
    fn on_commands(&mut self, first: Command) -> Option<Option<oneshot::Sender<()>>> {
        let mut next = Some(first);
        for taken in 1..=TURN {
            match next? {
                Command::Stop { done } => return Some(Some(done)),
                Command::Group { reply } => {
                    // If nobody waits any more, nobody is to be told.
                    let _ = reply.send(self.known.group(self.connected.iter().copied().collect()));
                }
                Command::Ask { query, deadline } => {
                    let frame = self.questions.ask(self.clock.now(), self.clock.at(deadline), query);
                    frame.iter().for_each(|frame| self.send_all(frame));
                }
                Command::Submit { transactions, since, deadline, reply } => {
                    let (since, deadline) = (self.clock.at(since), self.clock.at(deadline));
                    self.requests.admit(Submission { transactions, since, deadline, reply });
                }
            }
            // What is taken is done, so none is taken at the end of the turn.
            next = if taken < TURN { self.commands.try_recv().ok() } else { None };
        }
        None
    }

    fn on_events(&mut self, first: Event) {
        let mut frames = Vec::new();
        let mut next = Some(first);
        for taken in 1..=TURN {
            match next {
                None => break,
                Some(Event::Frame { from: From::Replica(id), bytes }) => frames.push((id, bytes)),
                Some(Event::Connected(From::Replica(id))) => self.on_connected(id),
                Some(Event::Disconnected(From::Replica(id), reason)) => {
                    tracing::debug!(replica = %id, %reason, "disconnected");
                    self.connected.remove(&id);
                }
                Some(
                    Event::Frame { from: From::Client(..), .. }
                    | Event::Connected(From::Client(..))
                    | Event::Disconnected(From::Client(..), _),
                ) => unreachable!("nobody dials a client"),
            }
            next = if taken < TURN { self.events.try_recv() } else { None };
        }
        self.on_frames(frames);
    }

    fn on_connected(&mut self, id: ReplicaId) {
        self.connected.insert(id);
        for frame in self.requests.frames().chain(self.questions.frames()) {
            self.mesh.send(id, frame.clone());
        }
        self.requests.on_sent();
    }

    fn on_frames(&mut self, frames: Vec<(ReplicaId, Bytes)>) {
        let admit = |from, tell: &Tell| match tell {
            Tell::Reply(signed) => self.requests.admit_reply(from, &signed.message),
            Tell::Refused { .. } => Ok(()),
            Tell::Proof { .. } | Tell::Root { .. } | Tell::Status { .. } | Tell::Unanswerable { .. } => {
                self.questions.admit(from, tell)
            }
        };
        for (from, heard) in door::open(&self.network.keyring, frames, admit) {
            if let Err(reason) = heard.and_then(|heard| self.on_heard(from, heard)) {
                self.faults.note(from, &reason);
            }
        }
    }

    fn on_heard(&mut self, from: ReplicaId, heard: Heard) -> Result<(), Ignored> {
        let learnt = match heard {
            Heard::Reply(reply) => {
                self.known.on_view(from, reply.message().view);
                let numbering = self.requests.on_reply(&reply);
                if let (Numbering::Behind, Some(numbers)) = (numbering, &mut self.numbers) {
                    numbers.skip_to_clock();
                }
                return Ok(());
            }
            Heard::Refused(number, refusal) => return self.requests.on_refusal(from, number, refusal),
            Heard::Proof(id, proof) => self.questions.on_proof(from, id, *proof)?,
            Heard::Root(id, checkpoint) => self.questions.on_root(from, id, checkpoint)?,
            Heard::Report(id, report) => self.questions.on_report(id, report)?,
            Heard::Unanswerable(id, reason) => self.questions.on_unanswerable(from, id, reason)?,
            Heard::Forged(id, reason) => return Err(self.questions.on_forged(from, id, reason)),
        };
        self.known.on_learnt(from, learnt);
        Ok(())
    }

    fn on_time(&mut self) {
        let now = self.clock.now();
        let unreachable: Vec<_> = self.network.committee.members().filter(|id| !self.connected.contains(id)).collect();
        let mut again = self.requests.on_time(now, &unreachable);
        again.extend(self.questions.on_time(now, || self.mesh.peers()));
        again.iter().for_each(|frame| self.send_all(frame));
    }

    /// Starts what waits, as far as there is room and there are numbers.
    async fn start_requests(&mut self) {
        while self.requests.can_start() {
            self.reserve_numbers().await;
            let (now, Some(numbers)) = (self.clock.now(), &mut self.numbers) else { return };
            match self.requests.start(now, numbers) {
                Some(frame) => self.send_all(&frame),
                None => return,
            }
            if !self.connected.is_empty() {
                self.requests.on_sent();
            }
        }
    }

    /// Sees to it that there are numbers. The disk may be slow, but that is once in tens of thousands of requests.
    async fn reserve_numbers(&mut self) {
        let Some(mut numbers) = self.numbers.take_if(|numbers| numbers.are_low()) else { return };
        let reserved = tokio::task::spawn_blocking(move || {
            let result = numbers.reserve();
            (numbers, result)
        });
        match reserved.await {
            Ok((numbers, result)) => {
                if let Err(error) = result {
                    tracing::error!(%error, "no request numbers could be reserved");
                    // What is left of the last block is still good.
                    if numbers.are_used_up() {
                        self.requests.refuse_waiting(&error.to_string());
                    }
                }
                self.numbers = Some(numbers);
            }
            Err(lost) => self.requests.refuse_waiting(&format!("the task that reserves numbers was lost: {lost}")),
        }
    }

    fn send_all(&self, frame: &Bytes) {
        for id in &self.connected {
            self.mesh.send(*id, frame.clone());
        }
    }
}

/// The most commands or events of one turn.
const TURN: usize = 256;
/// How often to look whether a replica can be reached while somebody waits to know.
const LOOK: Duration = Duration::from_millis(20);
