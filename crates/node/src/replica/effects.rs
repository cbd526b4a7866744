//! What a replica does with a turn: inputs into the core, durable records, effects out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc as sync_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bezant_ledger::State;
use bezant_ledger::divergence::{self, Claim};
use bezant_ledger::transfer::TransferInput;
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::evidence::Evidence;
use bezant_pbft::packet::{Message, Outgoing};
use bezant_pbft::{Effect, Input, Ready, Recipients, Replica};
use bezant_store::Home;
use bezant_types::codec::encode;
use bezant_types::signed::Verdicts;
use bezant_types::{
    Bundle, Digest, Genesis, ReplicaId, Request, RequestNumber, SecretKey, SequenceNumber, Timestamp, Verified,
};
use bytes::Bytes;

use crate::replica::executor::{Done, Task};
use crate::replica::host::{ReplicaError, Turn};
use crate::replica::journal::Journal;
use crate::replica::questions::Question;
use crate::replica::saver::Save;
use crate::replica::seen::Seen;
use crate::replica::state_transfer::{Fetch, Fetched, Ration};
use crate::replica::timers::Timers;
use crate::transport::{ConnectionId, Mesh};
use crate::wire::{PEER, PeerFrame, Refusal, TELL, Tell};

/// A replica at work.
pub(super) struct Host {
    pub(super) id: ReplicaId,
    pub(super) genesis: Genesis,
    pub(super) genesis_digest: Digest,
    pub(super) key: SecretKey,
    pub(super) home: Home,
    pub(super) replica: Replica,
    pub(super) log: Journal,
    pub(super) mesh: Mesh,
    pub(super) timers: Timers,
    pub(super) executor: sync_mpsc::Sender<Task>,
    pub(super) saver: sync_mpsc::Sender<Save>,
    pub(super) seen: Arc<Mutex<Seen>>,
    /// States at checkpoints from the last stable one but one on: at most as many as fit two windows, by pointer.
    pub(super) states: BTreeMap<SequenceNumber, State>,
    /// The last stable state with its certificate.
    pub(super) stable: Option<(State, CheckpointCertificate)>,
    pub(super) fetch: Option<Fetch>,
    pub(super) rations: BTreeMap<ReplicaId, Ration>,
    pub(super) questions: VecDeque<Question>,
    pub(super) accused: BTreeSet<ReplicaId>,
    pub(super) started: Instant,
}

impl Host {
    /// Checks the signatures of a turn, answers what needs no agreement, and makes inputs of the rest.
    pub(super) fn admit(&mut self, turn: Turn<'_>) -> VecDeque<Result<Input, Done>> {
        let Turn { batch, packets, requests, asks, pieces, connected, reports, .. } = turn;
        let verdicts = batch.verify();
        let mut inputs = VecDeque::new();
        inputs.extend(reports.into_iter().map(Err));
        inputs.extend(connected.into_iter().map(|peer| Ok(Input::Connected(peer))));
        let mut submitted = Vec::new();
        for (connection, number, ticket) in requests {
            match self.admit_request(&verdicts, ticket) {
                Ok(request) => submitted.extend(self.unless_executed(request)),
                Err(reason) => self.refuse(connection, number, reason),
            }
        }
        if !submitted.is_empty() {
            inputs.push_back(Ok(Input::Submit(submitted)));
        }
        for pending in packets {
            match pending.redeem(&verdicts, self.genesis.parameters()) {
                Ok(Message::Requests(requests)) => {
                    let new = requests.into_iter().filter_map(|request| self.unless_executed(request)).collect();
                    inputs.push_back(Ok(Input::Message(Message::Requests(new))));
                }
                Ok(message) => inputs.push_back(Ok(Input::Message(message))),
                Err(error) => tracing::warn!("a packet was turned away: {error}"),
            }
        }
        for (peer, frame) in pieces {
            self.on_piece_frame(peer, frame);
        }
        for (account, connection, ask) in asks {
            self.on_ask(account, connection, ask);
        }
        self.tick_fetch();
        inputs.extend(self.timers.take_due().into_iter().map(|timer| Ok(Input::Timeout(timer))));
        inputs
    }

    fn admit_request(
        &self,
        verdicts: &Verdicts,
        ticket: bezant_types::signed::Ticket<Bundle>,
    ) -> Result<Request, Refusal> {
        let verified: Verified<Bundle> = verdicts.redeem(ticket).map_err(|error| Refusal::Bad(error.to_string()))?;
        Request::new(verified, self.genesis.parameters()).map_err(|error| Refusal::Bad(error.to_string()))
    }

    /// Rule P-1: a request that was executed is answered from what is kept, and not ordered again.
    fn unless_executed(&self, request: Request) -> Option<Request> {
        let executed = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.contains(request.client(), request.number())
        };
        if !executed {
            return Some(request);
        }
        let view = self.replica.view();
        // If the executor has gone, the loop is about to hear why.
        let _ = self.executor.send(Task::Answer { request, view });
        None
    }

    fn refuse(&self, connection: ConnectionId, number: RequestNumber, refusal: Refusal) {
        self.mesh.reply(connection, Bytes::from(TELL.seal(&Tell::Refused { number, refusal })));
    }

    /// Steps the core with everything that is there, until it has nothing more to say to itself.
    pub(super) async fn turn(&mut self, mut inputs: VecDeque<Result<Input, Done>>) -> Result<(), ReplicaError> {
        while !inputs.is_empty() {
            let mut ready = Ready::default();
            let now = wall_clock();
            for input in std::mem::take(&mut inputs) {
                let input = match input {
                    Ok(input) => Some(input),
                    Err(done) => self.on_done(done)?,
                };
                if let Some(input) = input {
                    ready.join(self.replica.step(now, input));
                }
            }
            for effect in ready.persist(&mut self.log)? {
                self.perform(effect, &mut inputs)?;
            }
            self.mesh.flush();
            if !inputs.is_empty() {
                // Lets the connections write what was flushed before the next sync holds the thread.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// What the executor reports becomes an input, or an answer to a client.
    fn on_done(&mut self, done: Done) -> Result<Option<Input>, ReplicaError> {
        match done {
            Done::Applied { sequence, checkpoint, replies } => {
                for (client, frame) in replies {
                    self.mesh.reply(client, frame);
                }
                let root = checkpoint.map(|state| {
                    let root = state.root();
                    self.states.insert(sequence, state);
                    root
                });
                Ok(Some(Input::Applied { sequence, root }))
            }
            Done::Answered(client, frame) => {
                self.mesh.reply(client, frame);
                Ok(None)
            }
            Done::Restored { state, certificate } => {
                self.states.insert(state.height(), state);
                Ok(Some(Input::Restored { certificate }))
            }
            Done::Failed(error) => Err(error.into()),
        }
    }

    fn perform(&mut self, effect: Effect, inputs: &mut VecDeque<Result<Input, Done>>) -> Result<(), ReplicaError> {
        match effect {
            Effect::Send(to, outgoing) => self.send(to, outgoing, inputs),
            Effect::Deliver(block) => {
                let task = Task::Execute { block: Box::new(block), view: self.replica.view() };
                // If the executor has gone, the loop is about to hear why.
                let _ = self.executor.send(task);
            }
            Effect::SetTimer(timer, after_ms) => self.timers.set(timer, after_ms),
            Effect::CancelTimer(timer) => self.timers.cancel(timer),
            Effect::Stable(certificate) => self.on_stable(certificate)?,
            Effect::FetchState(certificate) => self.fetch_state(certificate),
            Effect::Accuse(member, evidence) => self.accuse(member, &evidence),
            Effect::Ignored(source, reason) => match source {
                Some(source) => tracing::debug!("ignored a message of replica {source}: {reason}"),
                None => tracing::debug!("ignored a message: {reason}"),
            },
            Effect::Busy { client, number } => {
                let told = Tell::Refused { number, refusal: Refusal::Busy };
                self.mesh.reply(client, Bytes::from(TELL.seal(&told)));
            }
            Effect::Entered(view) => tracing::info!("entered view {view}, primary {}", self.replica.report().primary),
            Effect::Halt(fault) => return Err(ReplicaError::Halted(fault)),
        }
        Ok(())
    }

    /// Law 4: what goes to all goes to oneself too, on the same road, and is counted when it comes back.
    fn send(&self, to: Recipients, outgoing: Outgoing, inputs: &mut VecDeque<Result<Input, Done>>) {
        let message = outgoing.sign(self.id, &self.key, self.genesis_digest);
        let frame = || Bytes::from(PEER.seal(&PeerFrame::Packet(message.to_packet())));
        match to {
            Recipients::One(peer) if peer == self.id => inputs.push_back(Ok(Input::Message(message))),
            Recipients::One(peer) => self.mesh.send(peer, frame()),
            Recipients::Others => self.send_others(&frame()),
            Recipients::All => {
                self.send_others(&frame());
                inputs.push_back(Ok(Input::Message(message)));
            }
        }
    }

    fn send_others(&self, frame: &Bytes) {
        for peer in self.genesis.committee().members().filter(|peer| *peer != self.id) {
            self.mesh.send(peer, frame.clone());
        }
    }

    fn on_stable(&mut self, certificate: CheckpointCertificate) -> Result<(), ReplicaError> {
        let sequence = certificate.vote().sequence;
        let before = self.stable.as_ref().map_or(SequenceNumber::ZERO, |(state, _)| state.height());
        self.states = self.states.split_off(&before);
        if let Some(state) = self.states.get(&sequence).cloned() {
            // If the saver has gone, the loop is about to hear why.
            let _ = self.saver.send(Save::Stable { state: state.clone(), certificate: certificate.clone() });
            self.stable = Some((state, certificate));
            self.answer_questions();
        }
        if self.log.is_long() {
            self.log.compact(&self.replica.dump())?;
        }
        Ok(())
    }

    fn fetch_state(&mut self, certificate: CheckpointCertificate) {
        let fetched = match &mut self.fetch {
            Some(fetch) => fetch.retarget(certificate),
            None => {
                let local = self.states.last_key_value().map(|(_, state)| state.clone());
                let fetch = Fetch::begin(certificate, self.genesis.committee(), self.id, local);
                self.fetch.insert(fetch).step(TransferInput::Tick)
            }
        };
        self.go_on_fetching(fetched);
    }

    fn tick_fetch(&mut self) {
        let due = self.fetch.as_ref().and_then(Fetch::wake_at).is_some_and(|at| at <= tokio::time::Instant::now());
        if due && let Some(fetch) = &mut self.fetch {
            let fetched = fetch.step(TransferInput::Tick);
            self.go_on_fetching(fetched);
        }
    }

    fn go_on_fetching(&mut self, fetched: Fetched) {
        for (peer, request) in fetched.ask {
            self.mesh.send(peer, Bytes::from(PEER.seal(&PeerFrame::AskPiece(request))));
        }
        self.mesh.flush();
        if let Some((state, certificate)) = fetched.finished {
            self.fetch = None;
            // If the executor has gone, the loop is about to hear why.
            let _ = self.executor.send(Task::Restore { state, certificate });
        }
    }

    fn on_piece_frame(&mut self, peer: ReplicaId, frame: PeerFrame) {
        match frame {
            PeerFrame::Packet(_) => {}
            PeerFrame::AskPiece(request) => {
                // The newest first: most of what anybody wants is in it, whichever state it is wanted for.
                let states = self.states.values().rev();
                let ration = self.rations.entry(peer).or_insert_with(Ration::new);
                if let Some(piece) = ration.serve(states, &request) {
                    self.mesh.send(peer, Bytes::from(PEER.seal(&PeerFrame::Piece(piece))));
                    self.mesh.flush();
                }
            }
            PeerFrame::Piece(piece) => {
                if let Some(fetch) = &mut self.fetch {
                    let fetched = fetch.step(TransferInput::Piece { from: peer, piece });
                    self.go_on_fetching(fetched);
                }
            }
        }
    }

    fn accuse(&mut self, member: ReplicaId, evidence: &Evidence) {
        if !self.accused.insert(member) {
            return; // Convicted already; more of it proves no more.
        }
        let bytes = encode(evidence);
        let name = format!("replica-{member}-{}", &Digest::of_bytes(&bytes).to_string()[..16]);
        tracing::warn!("replica {member} contradicted itself: the proof is kept as evidence/{name}");
        let kept = self.home.evidence().and_then(|folder| folder.save(&name, &bytes));
        if let Err(error) = kept {
            tracing::error!("the evidence could not be kept: {error}");
        }
    }

    /// When the loop must wake although nothing arrives.
    pub(super) fn wake_at(&self) -> Option<tokio::time::Instant> {
        self.timers.next().into_iter().chain(self.fetch.as_ref().and_then(Fetch::wake_at)).min()
    }

    pub(super) fn tell(&self, connection: ConnectionId, tell: &Tell) {
        self.mesh.reply(connection, Bytes::from(TELL.seal(tell)));
    }

    /// Members whose last claim contradicts what a quorum signed at the same height. One that is merely behind is not
    /// among them.
    pub(super) fn diverged(&self) -> BTreeSet<ReplicaId> {
        let said = self.replica.report().claims;
        let mut claims: Vec<_> =
            said.into_iter().map(|(replica, height, root)| Claim { replica, height, root }).collect();
        if let Some((_, certificate)) = &self.stable {
            let vote = certificate.vote();
            claims.extend(certificate.signers().map(|replica| Claim {
                replica,
                height: vote.sequence,
                root: vote.root,
            }));
        }
        let found = divergence::compare(self.genesis.committee(), &claims);
        found.into_iter().flat_map(|one| one.diverged).map(|claim| claim.replica).collect()
    }
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
