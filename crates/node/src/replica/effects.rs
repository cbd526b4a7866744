//! What a replica does with a turn: inputs into the core, durable records, effects out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc as sync_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bezant_engine::{Engine, Now};
use bezant_ledger::State;
use bezant_ledger::divergence::{self, Claim};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::packet::{Message, Outgoing};
use bezant_pbft::{Effect, Input, Recipients, Replica, Report};
use bezant_store::Home;
use bezant_types::{Digest, Genesis, Keyring, Moment, ReplicaId, Request, SecretKey, SequenceNumber, Timestamp};
use bytes::Bytes;

use crate::replica::answers::{Answers, NotNow};
use crate::replica::evidence::Convictions;
use crate::replica::executor::{Done, Task};
use crate::replica::host::ReplicaError;
use crate::replica::journal::Journal;
use crate::replica::questions::Questions;
use crate::replica::saver::Save;
use crate::replica::seen::Seen;
use crate::replica::state_transfer::{Ration, StateFetch};
use crate::replica::timers::Timers;
use crate::replica::turn::{Arrived, MAX_REQUESTS, Submitter};
use crate::transport::{ConnectionId, Mesh};
use crate::wire::{PEER, PeerFrame, Refusal, TELL, Tell};

/// A replica at work.
pub(super) struct Host {
    pub(super) id: ReplicaId,
    pub(super) genesis: Genesis,
    pub(super) genesis_digest: Digest,
    pub(super) key: SecretKey,
    pub(super) keyring: Keyring,
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
    pub(super) state_fetch: StateFetch,
    pub(super) rations: BTreeMap<ReplicaId, Ration>,
    pub(super) questions: Questions,
    pub(super) answers: Answers,
    pub(super) convictions: Convictions,
    pub(super) started: Instant,
}

impl Host {
    /// Answers what needs no agreement, and makes inputs of the rest.
    pub(super) fn admit(&mut self, arrived: Arrived) -> VecDeque<Result<Input, Done>> {
        let Arrived { messages, requests, asks, pieces, connected, reports } = arrived;
        let mut inputs = VecDeque::new();
        inputs.extend(reports.into_iter().map(Err));
        inputs.extend(connected.into_iter().map(|peer| Ok(Input::Connected(peer))));
        let mut submitted = Vec::new();
        for (submitter, request) in requests {
            match request {
                Ok(request) if self.was_executed(&request) => self.answer_again(submitter, request),
                Ok(request) => submitted.push(request),
                Err(reason) => self.refuse(submitter, reason),
            }
        }
        if !submitted.is_empty() {
            inputs.push_back(Ok(Input::Submit(submitted)));
        }
        for message in messages {
            inputs.push_back(Ok(Input::Message(self.without_executed(message))));
        }
        for (peer, frame) in pieces {
            self.on_piece_frame(peer, frame);
        }
        self.on_asks(asks);
        self.tick_transfers();
        inputs.extend(self.timers.take_due().into_iter().map(|timer| Ok(Input::Timeout(timer))));
        inputs
    }

    fn was_executed(&self, request: &Request) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.contains(request.client(), request.number())
    }

    /// Rule P-1: what was executed is not ordered again. But a primary may have ordered it twice, and then a slot waits
    /// for the body although it will execute as nothing: such a one is let through.
    fn without_executed(&self, message: Message) -> Message {
        let Message::Requests(mut requests) = message else { return message };
        requests.retain(|request| !self.was_executed(request) || self.replica.lacks(&request.digest()));
        Message::Requests(requests)
    }

    /// Rule P-1: a request that was executed is answered from what is kept, if its own client brings it.
    fn answer_again(&mut self, submitter: Submitter, request: Request) {
        if submitter.account != request.client() {
            return;
        }
        match self.answers.begin(request.client(), request.number()) {
            Ok(()) => {
                let view = self.replica.view();
                // If the executor has gone, the loop is about to hear why.
                let _ = self.executor.send(Task::Answer { request, view });
            }
            Err(NotNow::UnderWay) => {}
            Err(NotNow::TooMany) => self.refuse(submitter, Refusal::Busy),
        }
    }

    fn refuse(&self, submitter: Submitter, refusal: Refusal) {
        let Submitter { connection, number, .. } = submitter;
        self.tell(connection, &Tell::Refused { number, refusal });
    }

    /// Steps the core with everything that is there, until it has nothing more to say to itself.
    pub(super) async fn turn(&mut self, mut inputs: VecDeque<Result<Input, Done>>) -> Result<(), ReplicaError> {
        while !inputs.is_empty() {
            let mut steps = Vec::new();
            for input in take_steps(&mut inputs) {
                match input {
                    Ok(input) => steps.push(input),
                    Err(done) => steps.extend(self.on_done(done)?),
                }
            }
            let now = Now { wall: wall_clock(), moment: self.moment() };
            for effect in bezant_engine::turn(&mut self.replica, &mut self.log, now, steps)? {
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
            Done::Answered { client, number, reply } => {
                self.answers.end(client, number);
                self.mesh.reply(client, reply);
                Ok(None)
            }
            Done::Restored { state, certificate } => {
                self.states.insert(state.height(), state);
                self.on_state_installed();
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
            Effect::Accuse(member, evidence) => self.convictions.accuse(member, &evidence, &self.home),
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
        for message in in_packets(outgoing.sign(self.id, &self.key, self.genesis_digest)) {
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

    fn moment(&self) -> Moment {
        Moment::new(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When the loop must wake although nothing arrives.
    pub(super) fn wake_at(&self) -> Option<tokio::time::Instant> {
        let transfers = self.transfers_wake_at().map(tokio::time::Instant::from_std);
        self.timers.next().into_iter().chain(transfers).min()
    }

    pub(super) fn tell(&self, connection: ConnectionId, tell: &Tell) {
        self.mesh.reply(connection, Bytes::from(TELL.seal(tell)));
    }

    /// Members whose last claim contradicts what a quorum signed at the same height. One that is merely behind is not
    /// among them.
    pub(super) fn diverged(&self, standing: &Report) -> BTreeSet<ReplicaId> {
        let said = standing.claims.iter();
        let mut claims: Vec<_> =
            said.map(|(replica, height, root)| Claim { replica: *replica, height: *height, root: *root }).collect();
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

/// Takes what is stepped before the next sync: everything, up to the news that a state is installed. What the core
/// asked for before it heard that is then performed while the state is still being installed, as the core believed it
/// was when it asked.
fn take_steps(inputs: &mut VecDeque<Result<Input, Done>>) -> VecDeque<Result<Input, Done>> {
    let installed = inputs.iter().skip(1).position(|input| matches!(input, Err(Done::Restored { .. })));
    let end = installed.map_or(inputs.len(), |behind_first| behind_first + 1);
    inputs.drain(..end).collect()
}

/// A message as the packets that it travels in: requests are many, and no packet is larger than what is taken.
fn in_packets(message: Message) -> Vec<Message> {
    match message {
        Message::Requests(requests) if requests.len() > MAX_REQUESTS => {
            requests.chunks(MAX_REQUESTS).map(|some| Message::Requests(some.to_vec())).collect()
        }
        Message::Requests(_)
        | Message::PrePrepare(..)
        | Message::Prepare(_)
        | Message::Commit(_)
        | Message::Checkpoint(_)
        | Message::ViewChange(_)
        | Message::NewView(_)
        | Message::Status(_)
        | Message::Fetch(_)
        | Message::Batch(..)
        | Message::Decided(_)
        | Message::Stable(_) => vec![message],
    }
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use bezant_pbft::Timer;
    use bezant_types::{Bundle, RequestNumber, Verified};

    use super::*;
    use crate::verify::fixture::{ALICE, account, certify, genesis, history, key, set};

    #[test]
    fn what_was_asked_for_before_a_state_was_installed_is_performed_before_that_is_told() {
        let genesis = genesis();
        let state = history(&genesis, 1).1.remove(1);
        let endorsed = certify(&genesis, &state);
        let certificate = CheckpointCertificate::check(endorsed, genesis.committee(), &genesis.keyring()).unwrap();
        let restored = || Err(Done::Restored { state: state.clone(), certificate: certificate.clone() });
        let other = || Ok(Input::Timeout(Timer::Status));
        let mut inputs = VecDeque::from([other(), other(), restored(), other(), restored()]);
        let sizes: Vec<_> = std::iter::repeat_with(|| take_steps(&mut inputs).len()).take(4).collect();
        assert_eq!(sizes, [2, 2, 1, 0]);
    }

    #[test]
    fn many_requests_travel_in_packets_that_are_taken() {
        let genesis = genesis();
        let request = |number| {
            let bundle = Bundle { number: RequestNumber::new(number), transactions: vec![set("key", "value")] };
            let verified = Verified::sign(bundle, account(ALICE), &key(ALICE), genesis.digest());
            Request::new(verified, genesis.parameters()).unwrap()
        };
        let requests: Vec<_> = (0..MAX_REQUESTS as u64 + 1).map(request).collect();
        let sizes = |count: usize| -> Vec<usize> {
            let packets = in_packets(Message::Requests(requests[..count].to_vec())).into_iter();
            packets.filter_map(|one| if let Message::Requests(some) = one { Some(some.len()) } else { None }).collect()
        };
        assert_eq!(sizes(MAX_REQUESTS), [MAX_REQUESTS]);
        assert_eq!(sizes(MAX_REQUESTS + 1), [MAX_REQUESTS, 1]);
    }
}
