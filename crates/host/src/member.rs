//! What a member does with what has arrived: inputs into the core, durable records, outputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bezant_engine::{Engine, Now};
use bezant_ledger::State;
use bezant_ledger::divergence::{self, Claim};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::packet::{Message, Outgoing};
use bezant_pbft::{Block, Effect, Input, Recipients, Replica, Report};
use bezant_store::{Disk, LogError};
use bezant_types::{AccountId, Committee, Digest, Genesis, Moment, ReplicaId, Request, SecretKey, SequenceNumber};

use crate::answers::{Answers, NotNow};
use crate::arrived::Arrived;
use crate::executor::{Done, Task};
use crate::journal::Journal;
use crate::output::{Output, To};
use crate::packets::in_packets;
use crate::saver::Save;
use crate::seen::Seen;
use crate::state_transfer::{Ration, StateFetch};
use crate::timers::Timers;

/// A replica around its core. See the head of the crate for how it is driven.
#[derive(Debug)]
pub struct Member<D> {
    pub(crate) id: ReplicaId,
    committee: Committee,
    genesis_digest: Digest,
    key: SecretKey,
    replica: Replica,
    log: Journal<D>,
    timers: Timers,
    /// What was executed, by the executor's reports.
    seen: Seen,
    answers: Answers,
    /// States at checkpoints from the last stable one but one on: at most as many as fit two windows, by pointer.
    pub(crate) states: BTreeMap<SequenceNumber, State>,
    /// The last stable state with its certificate.
    stable: Option<(State, CheckpointCertificate)>,
    pub(crate) state_fetch: StateFetch,
    pub(crate) rations: BTreeMap<ReplicaId, Ration>,
    /// Blocks that were read back, to be executed again before all others.
    again: Vec<Block>,
    /// What is to be stepped. Bounded by what the host lets arrive between two rounds, and what the core says to
    /// itself about that.
    queue: VecDeque<Queued>,
}

/// What is to be stepped.
#[derive(Debug)]
enum Queued {
    Input(Input),
    /// The state that was fetched is installed and durable.
    Restored {
        state: State,
        certificate: CheckpointCertificate,
    },
}

impl<D: Disk> Member<D> {
    pub(crate) fn new(
        id: ReplicaId,
        genesis: &Genesis,
        key: &SecretKey,
        replica: Replica,
        log: Journal<D>,
        saved: Option<(State, CheckpointCertificate)>,
        again: Vec<Block>,
    ) -> Self {
        let mut seen = Seen::new(genesis.parameters().client_window);
        if let Some((state, _)) = &saved {
            seen.reload(state);
        }
        Self {
            id,
            committee: genesis.committee(),
            genesis_digest: genesis.digest(),
            key: key.clone(),
            replica,
            log,
            timers: Timers::default(),
            seen,
            answers: Answers::default(),
            states: saved.iter().map(|(state, _)| (state.height(), state.clone())).collect(),
            stable: saved,
            state_fetch: StateFetch::None,
            rations: BTreeMap::new(),
            again,
            queue: VecDeque::from([Queued::Input(Input::Start)]),
        }
    }

    /// Takes what has arrived, and the timers that have run out: answers what needs no agreement, and queues the rest.
    /// What comes out says nothing that must not be forgotten, so it waits for no sync.
    pub fn admit(&mut self, now: Now, arrived: Arrived) -> Vec<Output> {
        let Arrived { reports, connected, requests, messages, piece_requests, pieces } = arrived;
        let mut out = Vec::new();
        for done in reports {
            self.on_done(done, &mut out);
        }
        for peer in connected {
            self.queue(Input::Connected(peer));
        }
        let mut submitted = Vec::new();
        for (bearer, request) in requests {
            if self.was_executed(&request) {
                self.answer_again(bearer, request, &mut out);
            } else {
                submitted.push(request);
            }
        }
        if !submitted.is_empty() {
            self.queue(Input::Submit(submitted));
        }
        for message in messages {
            self.queue_message(message);
        }
        for (peer, request) in piece_requests {
            self.on_piece_request(now.moment, peer, request);
        }
        for (peer, piece) in pieces {
            self.on_piece(now.moment, peer, piece, &mut out);
        }
        self.tick_transfers(now.moment, &mut out);
        for timer in self.timers.take_due(now.moment) {
            self.queue(Input::Timeout(timer));
        }
        out
    }

    /// Steps what is queued, makes what came of it durable with one append and one sync, and only then says what is to
    /// be done. What the replica says to itself is queued for the next round.
    ///
    /// # Errors
    /// [`LogError`]. What happened to the last records is not known, so nothing more may be said: the host stops, and
    /// what was to be done is not done.
    pub fn round(&mut self, now: Now) -> Result<Vec<Output>, LogError> {
        let view = self.replica.view();
        let again = std::mem::take(&mut self.again).into_iter();
        let mut out: Vec<_> =
            again.map(|block| Output::Execute(Task::Execute { block: Box::new(block), view })).collect();
        let mut steps = Vec::new();
        for queued in take_steps(&mut self.queue) {
            steps.push(match queued {
                Queued::Input(input) => input,
                Queued::Restored { state, certificate } => {
                    self.states.insert(state.height(), state);
                    self.on_state_restored(now.moment, &mut out);
                    Input::Restored { certificate }
                }
            });
        }
        for effect in bezant_engine::turn(&mut self.replica, &mut self.log, now, steps)? {
            self.perform(now.moment, effect, &mut out)?;
            if let Some(Output::Halt(_)) = out.last() {
                break;
            }
        }
        Ok(out)
    }

    /// Whether there is something for another [`Self::round`].
    pub fn has_more(&self) -> bool {
        !self.queue.is_empty()
    }

    /// When [`Self::admit`] is to be called although nothing has arrived.
    pub fn wake_at(&self) -> Option<Moment> {
        self.timers.next().into_iter().chain(self.transfers_wake_at()).min()
    }

    /// Which replica it is.
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// The core, for whoever watches.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The last stable state that is here, with its certificate.
    pub fn stable(&self) -> Option<&(State, CheckpointCertificate)> {
        self.stable.as_ref()
    }

    /// Whether it is fetching or installing the state of others.
    pub fn is_fetching_state(&self) -> bool {
        !matches!(self.state_fetch, StateFetch::None)
    }

    /// How many bytes of log a recovery would read.
    pub fn log_bytes(&self) -> u64 {
        self.log.size()
    }

    /// Members whose last claim contradicts what a quorum signed at the same height. One that is merely behind is not
    /// among them.
    pub fn diverged(&self, standing: &Report) -> BTreeSet<ReplicaId> {
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
        let found = divergence::compare(self.committee, &claims);
        found.into_iter().flat_map(|one| one.diverged).map(|claim| claim.replica).collect()
    }

    pub(crate) fn committee(&self) -> Committee {
        self.committee
    }

    fn queue(&mut self, input: Input) {
        self.queue.push_back(Queued::Input(input));
    }

    /// What executor and saver report becomes an input.
    fn on_done(&mut self, done: Done, out: &mut Vec<Output>) {
        match done {
            Done::Applied { sequence, checkpoint, executed } => {
                // Before the requests that came with this report are looked at.
                executed.iter().for_each(|one| self.seen.insert(one.client, one.number));
                let root = checkpoint.map(|state| {
                    let root = state.root();
                    self.states.insert(sequence, state);
                    root
                });
                self.queue(Input::Applied { sequence, executed, root });
            }
            Done::Answered { client, number } => self.answers.end(client, number),
            Done::Installed { state, certificate, seen } => {
                self.seen = seen;
                out.push(Output::Save(Save::Fetched { state, certificate }));
            }
            Done::Restored { state, certificate } => self.queue.push_back(Queued::Restored { state, certificate }),
        }
    }

    fn was_executed(&self, request: &Request) -> bool {
        self.seen.contains(request.client(), request.number())
    }

    /// Rule P-1: what was executed is not ordered again. But a primary may have ordered it twice, and then a slot waits
    /// for the body although it will execute as nothing.
    fn queue_message(&mut self, message: Message) {
        let Message::Requests(requests) = message else { return self.queue(Input::Message(message)) };
        let (executed, new): (Vec<_>, _) = requests.into_iter().partition(|request| self.was_executed(request));
        self.queue(Input::Message(Message::Requests(new)));
        if !executed.is_empty() {
            self.queue(Input::Bodies(executed));
        }
    }

    /// Rule P-1: a request that was executed is answered from what is kept, if its own client brings it.
    fn answer_again(&mut self, bearer: AccountId, request: Request, out: &mut Vec<Output>) {
        let (client, number) = (request.client(), request.number());
        if bearer != client {
            return;
        }
        match self.answers.begin(client, number) {
            Ok(()) => out.push(Output::Execute(Task::Answer { request, view: self.replica.view() })),
            Err(NotNow::UnderWay) => {}
            Err(NotNow::TooMany) => out.push(Output::Busy { client, number }),
        }
    }

    fn perform(&mut self, now: Moment, effect: Effect, out: &mut Vec<Output>) -> Result<(), LogError> {
        match effect {
            Effect::Send(to, outgoing) => self.send(to, outgoing, out),
            Effect::Deliver(block) => {
                let view = self.replica.view();
                out.push(Output::Execute(Task::Execute { block: Box::new(block), view }));
            }
            Effect::SetTimer(timer, after_ms) => self.timers.set(now, timer, after_ms),
            Effect::CancelTimer(timer) => self.timers.cancel(timer),
            Effect::Stable(certificate) => self.on_stable(certificate, out)?,
            Effect::FetchState(certificate) => self.fetch_state(now, certificate, out),
            Effect::Accuse(member, evidence) => out.push(Output::Accuse(member, evidence)),
            Effect::Ignored(source, reason) => out.push(Output::Ignored(source, reason)),
            Effect::Busy { client, number } => out.push(Output::Busy { client, number }),
            Effect::Entered(view) => out.push(Output::Entered(view)),
            Effect::Halt(fault) => out.push(Output::Halt(fault)),
        }
        Ok(())
    }

    /// Law 4: what goes to all goes to oneself too, on the same road, and is counted when it comes back.
    fn send(&mut self, to: Recipients, outgoing: Outgoing, out: &mut Vec<Output>) {
        for message in in_packets(outgoing.sign(self.id, &self.key, self.genesis_digest)) {
            match to {
                Recipients::One(peer) if peer == self.id => self.queue(Input::Message(message)),
                Recipients::One(peer) => out.push(Output::Send { to: To::One(peer), message }),
                Recipients::Others => out.push(Output::Send { to: To::Others, message }),
                Recipients::All => {
                    out.push(Output::Send { to: To::Others, message: message.clone() });
                    self.queue(Input::Message(message));
                }
            }
        }
    }

    fn on_stable(&mut self, certificate: CheckpointCertificate, out: &mut Vec<Output>) -> Result<(), LogError> {
        let sequence = certificate.vote().sequence;
        let before = self.stable.as_ref().map_or(SequenceNumber::ZERO, |(state, _)| state.height());
        self.states = self.states.split_off(&before);
        if let Some(state) = self.states.get(&sequence).cloned() {
            out.push(Output::Save(Save::Stable { state: state.clone(), certificate: certificate.clone() }));
            self.stable = Some((state, certificate));
            out.push(Output::Stable(sequence));
        }
        if self.log.is_long() {
            self.log.compact(&self.replica.dump())?;
        }
        Ok(())
    }
}

/// Takes what is stepped before the next sync: everything, up to the news that a state is there. What the core asked
/// for before it heard that is then performed while the state is still being installed, as the core believed it was
/// when it asked.
fn take_steps(queue: &mut VecDeque<Queued>) -> VecDeque<Queued> {
    let restored = queue.iter().skip(1).position(|queued| matches!(queued, Queued::Restored { .. }));
    let end = restored.map_or(queue.len(), |behind_first| behind_first + 1);
    queue.drain(..end).collect()
}

#[cfg(test)]
mod tests {
    use bezant_pbft::Timer;

    use super::*;
    use crate::fixture::{certify, genesis, history};

    #[test]
    fn what_was_asked_for_before_a_state_was_installed_is_performed_before_that_is_told() {
        let genesis = genesis();
        let state = history(&genesis, 1).1.remove(1);
        let endorsed = certify(&genesis, &state);
        let certificate = CheckpointCertificate::check(endorsed, genesis.committee(), &genesis.keyring()).unwrap();
        let restored = || Queued::Restored { state: state.clone(), certificate: certificate.clone() };
        let other = || Queued::Input(Input::Timeout(Timer::Status));
        let mut queue = VecDeque::from([other(), other(), restored(), other(), restored()]);
        let sizes: Vec<_> = std::iter::repeat_with(|| take_steps(&mut queue).len()).take(4).collect();
        assert_eq!(sizes, [2, 2, 1, 0]);
    }
}
