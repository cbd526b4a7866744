//! The replica: its state, and the one door through which things happen to it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bezant_engine::{Engine, Now};
use bezant_types::{AccountId, Digest, ReplicaId, Request, RequestNumber, SequenceNumber, Timestamp, Verified, View};

use crate::catch_up::{Fetching, Peer};
use crate::certificate::CheckpointCertificate;
use crate::checkpoint::Claims;
use crate::config::Config;
use crate::message::{NewView, Standing, ViewChange};
use crate::new_view::Plan;
use crate::pace::Pace;
use crate::packet::{Decided, Message};
use crate::pool::Pool;
use crate::ready::{Block, Effect, Input, Outbox, Ready, Timer};
use crate::record::Record;
use crate::restart::{BadRecord, Silence};
use crate::slot::Slot;
use crate::view_change::ValidViewChange;

/// What a replica does in its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// It follows the view's primary.
    Normal,
    /// It has asked for the view and waits for it to begin. Nothing of an earlier view is ever said again (rule V-1).
    ViewChanging(Stage),
}

/// How far a view change has come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Fewer than a quorum have been heard to want the view.
    Gathering,
    /// A quorum wants it: its primary owes a new-view message, and the timer runs (rule V-5).
    Waiting,
}

/// The piece of work by which a backup judges its primary (rule P-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// A client's request.
    Request {
        /// Whose.
        client: AccountId,
        /// Its number.
        number: RequestNumber,
    },
    /// A slot that was proposed, or that the new view prescribes, and that has not executed.
    Slot(SequenceNumber),
}

/// What a backup watches, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Watch {
    pub(crate) work: Work,
    pub(crate) half: Half,
    /// Whether the client was served in its order since the watch began.
    pub(crate) served: bool,
}

/// The two halves of the time that a primary has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Half {
    /// The primary may not have the request: at the end it is passed on.
    First,
    /// The primary has it: at the end another view is asked for.
    Second,
}

/// A delivered block, kept for those who are a little behind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Delivered {
    pub(crate) decided: Decided,
    pub(crate) requests: Vec<Request>,
}

/// A PBFT replica, without sockets, disk, clock or key. See the head of the crate for the rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    pub(crate) config: Config,
    pub(crate) view: View,
    pub(crate) phase: Phase,
    /// What the current view began with.
    pub(crate) new_view: Option<Verified<NewView>>,
    /// The view change with which this replica asked for the awaited view.
    pub(crate) asked: Option<ViewChange>,
    /// As primary of the awaited view: the message with which this replica opens it.
    pub(crate) opening: Option<NewView>,
    /// What the view change obliges the primary to propose again.
    pub(crate) plan: Plan,
    /// View changes for this view or later ones: of each replica the one for the highest view.
    pub(crate) view_changes: BTreeMap<ReplicaId, ValidViewChange>,
    /// View changes in a row without progress: the exponent of the timeout.
    pub(crate) fruitless: u32,
    pub(crate) watch: Option<Watch>,
    /// What its primary owes it (rule P-9).
    pub(crate) pace: Pace,

    /// The last stable checkpoint that this replica has executed or fetched: the low water mark. `None`: the genesis.
    pub(crate) stable: Option<CheckpointCertificate>,
    /// A later stable checkpoint that it has not executed yet.
    pub(crate) ahead: Option<CheckpointCertificate>,
    pub(crate) claims: Claims,
    /// The state roots that this replica computed at checkpoints above the low water mark.
    pub(crate) roots: BTreeMap<SequenceNumber, Digest>,
    /// The last sequence number at which this replica took a checkpoint.
    pub(crate) last_checkpoint: SequenceNumber,
    /// While the seal timer runs: what was executed when it was set.
    pub(crate) seal_armed: Option<SequenceNumber>,

    pub(crate) slots: BTreeMap<SequenceNumber, Slot>,
    /// The last blocks that were delivered, at most a window of them.
    pub(crate) recent: BTreeMap<SequenceNumber, Delivered>,
    /// Where a request that is no longer in the pool can be found: in a slot or a recent block.
    pub(crate) placed: BTreeMap<Digest, SequenceNumber>,
    pub(crate) pool: Pool,
    /// As primary: the next sequence number to propose for.
    pub(crate) next: SequenceNumber,
    /// The last sequence number whose block was handed to the executor.
    pub(crate) delivered: SequenceNumber,
    /// The last sequence number that the executor reported.
    pub(crate) executed: SequenceNumber,
    /// The last block that was read back after a restart, to be executed again.
    pub(crate) replayed: SequenceNumber,

    pub(crate) peers: BTreeMap<ReplicaId, Peer>,
    pub(crate) fetching: Fetching,
    pub(crate) silence: Silence,
}

/// Where a replica stands, for its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its view.
    pub view: View,
    /// How it stands to it.
    pub standing: Standing,
    /// The primary of the view.
    pub primary: ReplicaId,
    /// The last sequence number that it executed.
    pub executed: SequenceNumber,
    /// Its last stable checkpoint; `None` is the genesis.
    pub stable: Option<CheckpointCertificate>,
    /// Requests that wait to be executed.
    pub waiting: usize,
    /// If it lost its log: the checkpoint from which on it votes again, once that is known.
    pub silent_until: Option<SequenceNumber>,
    /// The last checkpoint that each peer vouched for.
    pub claims: Vec<(ReplicaId, SequenceNumber, Digest)>,
}

impl Engine for Replica {
    type Input = Input;
    type Record = Record;
    type Effect = Effect;
    type BadRecord = BadRecord;

    fn step(&mut self, now: Now, input: Input) -> Ready {
        let mut out = Outbox::default();
        self.on_input(now, input, &mut out);
        out.close()
    }

    fn replay(&mut self, record: Record) -> Result<(), BadRecord> {
        self.on_record(record)
    }

    fn dump(&self) -> Vec<Record> {
        self.records()
    }
}

impl Replica {
    /// A replica at the start of its network: view 0, nothing executed.
    pub fn new(config: Config) -> Self {
        let pool = Pool::new(config.parameters().client_window);
        Self {
            config,
            view: View::ZERO,
            phase: Phase::Normal,
            new_view: None,
            asked: None,
            opening: None,
            plan: Plan::empty(),
            view_changes: BTreeMap::new(),
            fruitless: 0,
            watch: None,
            pace: Pace::default(),
            stable: None,
            ahead: None,
            claims: Claims::default(),
            roots: BTreeMap::new(),
            last_checkpoint: SequenceNumber::ZERO,
            seal_armed: None,
            slots: BTreeMap::new(),
            recent: BTreeMap::new(),
            placed: BTreeMap::new(),
            pool,
            next: SequenceNumber::ZERO.next(),
            replayed: SequenceNumber::ZERO,
            delivered: SequenceNumber::ZERO,
            executed: SequenceNumber::ZERO,
            peers: BTreeMap::new(),
            fetching: Fetching::default(),
            silence: Silence::Voting,
        }
    }

    fn on_input(&mut self, now: Now, input: Input, out: &mut Outbox) {
        self.pass_time(now.moment);
        match input {
            Input::Start => self.on_start(out),
            Input::Submit(requests) => requests.into_iter().for_each(|request| self.on_request(request, out)),
            Input::Bodies(requests) => requests.iter().for_each(|request| self.supply(request, out)),
            Input::Message(message) => self.on_message(now.wall, message, out),
            Input::Connected(peer) => self.on_connected(peer, out),
            Input::Timeout(timer) => self.on_timeout(now.wall, timer, out),
            Input::Applied { sequence, executed, root } => self.on_applied(sequence, &executed, root, out),
            Input::Restored { certificate } => self.on_restored(certificate, out),
        }
        self.propose(now.wall, out);
        self.watch_primary(out);
        self.watch_pace(out);
        self.watch_bodies(out);
        self.watch_seal(out);
    }

    fn on_message(&mut self, now: Timestamp, message: Message, out: &mut Outbox) {
        match message {
            Message::PrePrepare(vote, batch) => self.on_pre_prepare(now, vote, batch, out),
            Message::Prepare(vote) => self.on_prepare(vote, out),
            Message::Commit(vote) => self.on_commit(vote, out),
            Message::Checkpoint(vote) => self.on_checkpoint(vote, out),
            Message::ViewChange(message) => self.on_view_change(message, out),
            Message::NewView(message) => self.on_new_view(message, out),
            Message::Status(status) => self.on_status(status, out),
            Message::Fetch(fetch) => self.on_fetch(fetch, out),
            Message::Requests(requests) => requests.into_iter().for_each(|one| self.on_request(one, out)),
            Message::Batch(sequence, batch) => self.on_batch(sequence, batch, out),
            Message::Decided(decided) => self.on_decided(decided, out),
            Message::Stable(endorsed) => self.on_stable_message(endorsed, out),
        }
    }

    fn on_timeout(&mut self, now: Timestamp, timer: Timer, out: &mut Outbox) {
        match timer {
            Timer::Progress(view) => self.on_progress_timeout(view, out),
            Timer::NewView(view) => self.on_new_view_timeout(view, out),
            Timer::Pace(view) => self.on_pace_timeout(view),
            Timer::Seal(view) => self.on_seal_timeout(now, view, out),
            Timer::Status => self.on_status_timeout(out),
            Timer::Fetch => self.on_fetch_timeout(out),
            Timer::CatchUp => self.on_catch_up_timeout(out),
        }
    }

    /// Its view.
    pub fn view(&self) -> View {
        self.view
    }

    /// Where this replica stands.
    pub fn report(&self) -> Report {
        Report {
            view: self.view,
            standing: self.standing(),
            primary: self.config.committee().primary(self.view),
            executed: self.executed,
            stable: self.stable.clone(),
            waiting: self.pool.len(),
            silent_until: self.silence.until(),
            claims: self.claims.latest(),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        if !self.silence.may_vote() {
            return Standing::Recovering;
        }
        match self.phase {
            Phase::Normal => Standing::Normal,
            Phase::ViewChanging(_) => Standing::ViewChanging,
        }
    }

    pub(crate) fn id(&self) -> ReplicaId {
        self.config.id()
    }

    pub(crate) fn primary(&self) -> ReplicaId {
        self.config.committee().primary(self.view)
    }

    /// Whether the group is ahead. Whoever is behind cannot tell a slow primary from its own delay; the others can.
    pub(crate) fn is_behind(&self) -> bool {
        self.ahead.is_some() || self.fetching.is_fetching_state() || self.executed < self.replayed
    }

    /// Whether somebody honest votes for what lies above this replica's window. Whatever such a one proposes is refused
    /// here, so nothing can be said about its pace.
    pub(crate) fn is_outrun(&self) -> bool {
        self.count_beyond(self.high()) >= self.config.committee().weak_quorum()
    }

    /// Whether this replica follows its view's primary and has a vote.
    pub(crate) fn is_active(&self) -> bool {
        self.phase == Phase::Normal && self.silence.may_vote()
    }

    /// Rule C-2: the low water mark.
    pub(crate) fn low(&self) -> SequenceNumber {
        sequence_of(self.stable.as_ref())
    }

    /// The last checkpoint that is proven to be stable, executed here or not. What lies at or below it is settled: this
    /// replica proposes and accepts nothing there any more. After a restart it may have forgotten what it said there,
    /// for its log was compacted behind this checkpoint, while its saved state may be an older one.
    pub(crate) fn proven(&self) -> Option<&CheckpointCertificate> {
        self.ahead.as_ref().or(self.stable.as_ref())
    }

    /// The sequence number of [`Self::proven`].
    pub(crate) fn settled(&self) -> SequenceNumber {
        sequence_of(self.proven())
    }

    /// Rule C-2: the high water mark.
    pub(crate) fn high(&self) -> SequenceNumber {
        self.low().saturating_add(self.config.parameters().window)
    }

    pub(crate) fn slot_mut(&mut self, sequence: SequenceNumber) -> &mut Slot {
        debug_assert!(self.low() < sequence, "slots below the low water mark are gone");
        self.slots.entry(sequence).or_default()
    }

    /// The time that a primary has, doubled with every view change in a row that brought no progress (rule V-5).
    pub(crate) fn timeout_ms(&self) -> u64 {
        let parameters = self.config.parameters();
        let doubled = parameters.request_timeout_ms.saturating_mul(1 << self.fruitless.min(32));
        doubled.min(parameters.max_view_change_timeout_ms)
    }

    /// Hands committed blocks to the executor, in order and without a gap (rule P-6).
    pub(crate) fn deliver(&mut self, out: &mut Outbox) {
        while !self.fetching.is_fetching_state() {
            let sequence = self.delivered.next();
            let Some(slot) = self.slots.get(&sequence) else { return };
            let Some(certificate) = slot.committed.clone() else { return };
            let Some(payload) = slot.payload(&certificate.vote().digest) else { return };
            let Some(requests) = payload.complete() else { return };
            let batch = payload.batch().clone();
            self.delivered = sequence;
            for digest in batch.requests() {
                self.placed.insert(*digest, sequence);
            }
            let decided = Decided { commits: certificate.as_endorsed().clone(), batch: batch.clone() };
            self.recent.insert(sequence, Delivered { decided, requests: requests.clone() });
            self.forget_old_blocks();
            let checkpoint = self.is_checkpoint(sequence, &batch);
            out.effect(Effect::Deliver(Block { batch, requests, certificate, checkpoint }));
        }
    }

    pub(crate) fn forget_old_blocks(&mut self) {
        while self.recent.len() as u64 > self.config.parameters().window {
            let Some((sequence, old)) = self.recent.pop_first() else { return };
            for digest in old.decided.batch.requests() {
                if self.placed.get(digest) == Some(&sequence) {
                    self.placed.remove(digest);
                }
            }
        }
    }

    /// The primary of the current view has done what no honest primary does: ask for the next one at once.
    pub(crate) fn distrust_primary(&mut self, out: &mut Outbox) {
        if self.is_active() && self.id() != self.primary() {
            self.start_view_change(self.view.next(), out);
        }
    }

    /// Every slot that has not been delivered, by ascending sequence.
    pub(crate) fn undelivered(&self) -> impl Iterator<Item = (SequenceNumber, &Slot)> {
        self.slots.range(self.delivered.next()..).map(|(sequence, slot)| (*sequence, slot))
    }

    /// Where each waiting body or batch is missing.
    pub(crate) fn incomplete(&self) -> BTreeSet<SequenceNumber> {
        self.undelivered()
            .filter(|(_, slot)| !slot.wanted.is_empty() || slot.payloads().any(|payload| !payload.is_complete()))
            .map(|(sequence, _)| sequence)
            .collect()
    }
}

/// The sequence number of a stable checkpoint; the genesis is at zero.
pub(crate) fn sequence_of(stable: Option<&CheckpointCertificate>) -> SequenceNumber {
    stable.map_or(SequenceNumber::ZERO, |certificate| certificate.vote().sequence)
}
