//! Coming back: with its log, and without it.
//!
//! **With its log** (rule R-2), a replica is what it was. [`Engine::replay`](bezant_engine::Engine::replay) takes the
//! records in order, [`Replica::resume`] tells it how far its ledger has executed,
//! [`Input::Start`](crate::Input::Start) says again what it had said in its view. It does not matter whether a record's
//! message was sent before the crash: votes are said once more, the same bytes, and count once.
//!
//! **Without its log** (rule A-1), it might contradict what it said before, and every such member is one of the f until
//! the group has moved past all that it can have voted on. It cannot have voted above its high water mark; its low
//! water mark was a checkpoint that a quorum had executed; whoever executed it has a stable checkpoint not more than a
//! window below. So with M the highest stable checkpoint that a quorum of others can prove, it never voted above M +
//! 2L. It stays silent until a checkpoint there is stable: it executes, answers clients, and helps others with proofs,
//! but signs no vote, no view change and no checkpoint. A view that it had asked for and nobody has reached yet is not
//! covered by that. Whoever heard it ask says so, in the silent one's own signed words, and it is bound to them as if
//! it had its log. What this cannot exclude: a view change that no honest member heard, or remembers after a restart of
//! its own. Until the group passes such a view the member still counts among the f.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bezant_types::{Digest, ReplicaId, Request, SequenceNumber, Signed};

use crate::catch_up::Fetching;
use crate::certificate::{CheckpointCertificate, CommitCertificate, NotACertificate, PreparedCertificate};
use crate::config::Config;
use crate::message::{Checkpoint, PrePrepare, Status};
use crate::new_view::Plan;
use crate::packet::{Outgoing, Rejected};
use crate::ready::{Block, Outbox, Recipients, StoredBlock};
use crate::record::{Bodies, Record};
use crate::replica::{Delivered, Phase, Replica, sequence_of};
use crate::slot::{Payload, Progress, Slot, Vote};

/// Whether a replica has a vote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Silence {
    /// It remembers all that it said.
    Voting,
    /// It has lost its log and asks how far it may have voted. Of each peer that proved it: its stable checkpoint.
    Asking(BTreeMap<ReplicaId, SequenceNumber>),
    /// It votes for nothing before a checkpoint at or above this is stable.
    Until(SequenceNumber),
}

impl Silence {
    pub(crate) fn may_vote(&self) -> bool {
        matches!(self, Self::Voting)
    }

    pub(crate) fn until(&self) -> Option<SequenceNumber> {
        match self {
            Self::Until(sequence) => Some(*sequence),
            Self::Voting | Self::Asking(_) => None,
        }
    }

    /// Says whether the silence ends with this stable checkpoint.
    pub(crate) fn ends_at(&mut self, low: SequenceNumber) -> bool {
        let ends = matches!(self, Self::Until(sequence) if *sequence <= low);
        if ends {
            *self = Self::Voting;
        }
        ends
    }
}

/// Why what was found on disk cannot be this replica's past.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// A certificate in it is none.
    #[error("a certificate in it is not valid: {0}")]
    Certificate(#[from] NotACertificate),
    /// A request or a message in it is not authentic.
    #[error("a message in it is not authentic: {0}")]
    Rejected(#[from] Rejected),
    /// Bodies are not those of the batch, or the batch not the one that is named.
    #[error("its batch or its requests are not the ones that it names")]
    WrongBodies,
    /// A new view in it does not hold.
    #[error("a new view in it does not hold")]
    BadNewView,
}

impl Replica {
    /// A replica that has lost its log. It has a past that it does not know (rule A-1).
    pub fn without_log(config: Config) -> Self {
        Self { silence: Silence::Asking(BTreeMap::new()), ..Self::new(config) }
    }

    /// Tells the replica, before anything is replayed, that its ledger holds the state of `checkpoint`.
    pub fn resume(&mut self, checkpoint: CheckpointCertificate) {
        let Checkpoint { sequence, root } = *checkpoint.vote();
        assert!(self.executed == SequenceNumber::ZERO, "a replica resumes once, before anything else");
        self.delivered = sequence;
        self.executed = sequence;
        self.last_checkpoint = sequence;
        self.roots.insert(sequence, root);
        self.next = sequence.next();
        self.stable = Some(checkpoint);
    }

    /// Takes one record of the log, in the order in which they were written.
    pub(crate) fn on_record(&mut self, record: Record) -> Result<(), BadRecord> {
        match record {
            Record::Proposed(vote, bodies) => {
                self.replay_bodies(vote.sequence, bodies)?;
                if vote.view == self.view && self.phase == Phase::Normal && self.low() < vote.sequence {
                    let slot = self.slot_mut(vote.sequence);
                    slot.announced = Some(vote.digest);
                    slot.vote_for(vote.digest);
                    self.next = self.next.max(vote.sequence.next());
                }
            }
            Record::Accepted(signed, bodies) => {
                let vote = signed.message;
                self.replay_bodies(vote.sequence, bodies)?;
                if vote.view == self.view && self.phase == Phase::Normal && self.low() < vote.sequence {
                    let slot = self.slot_mut(vote.sequence);
                    slot.proposal = Some(Vote { view: vote.view, digest: vote.digest, signature: signed.signature });
                    slot.progress = slot.progress.max(Progress::Accepted);
                    slot.vote_for(vote.digest);
                }
            }
            Record::Bodies(sequence, bodies) => {
                let digest = bodies.batch.digest();
                self.replay_bodies(sequence, Some(bodies))?;
                if let Some(slot) = self.slots.get_mut(&sequence) {
                    slot.vote_for(digest);
                }
            }
            Record::Prepared(proof) => {
                let certificate = PreparedCertificate::check(proof, self.config.committee(), self.config.keyring())?;
                self.replay_prepared(certificate);
            }
            Record::Checkpoint(Checkpoint { sequence, root }) => {
                if self.executed < sequence {
                    self.roots.insert(sequence, root);
                }
            }
            Record::ViewChange(message) => {
                if message.view > self.view {
                    self.leave_view(message.view, &mut Outbox::default());
                    self.asked = Some(message);
                }
            }
            Record::NewView(message) => {
                if message.view == self.view && self.phase != Phase::Normal {
                    self.opening = Some(message);
                }
            }
            Record::Entered(signed) => {
                let verified = signed.verify(self.config.keyring()).map_err(Rejected::from)?;
                let quorum = self.check_quorum(verified.message());
                let plan: Plan =
                    quorum.and_then(|()| self.check_new_view(&verified)).map_err(|_| BadRecord::BadNewView)?;
                self.enter_view(verified, plan, &mut Outbox::default());
            }
            Record::Stable(endorsed) => {
                let certificate =
                    CheckpointCertificate::check(endorsed, self.config.committee(), self.config.keyring())?;
                if self.settled() < certificate.vote().sequence {
                    self.next = self.next.max(certificate.vote().sequence.next());
                    self.ahead = Some(certificate);
                }
            }
            Record::LogLost => self.silence = Silence::Asking(BTreeMap::new()),
            Record::SilentUntil(sequence) => {
                self.silence = Silence::Until(sequence);
                self.silence.ends_at(self.low());
            }
        }
        Ok(())
    }

    fn replay_bodies(&mut self, sequence: SequenceNumber, bodies: Option<Bodies>) -> Result<(), BadRecord> {
        let Some(bodies) = bodies else { return Ok(()) };
        let (batch, requests) = (bodies.batch.clone(), self.check_bodies(bodies)?);
        if sequence <= self.low() {
            return Ok(());
        }
        let mut payload = Payload::new(batch, |digest| requests.iter().find(|one| one.digest() == *digest).cloned());
        payload.recorded = true;
        for request in &requests {
            self.placed.insert(request.digest(), sequence);
        }
        self.slot_mut(sequence).keep(payload);
        Ok(())
    }

    fn check_bodies(&self, bodies: Bodies) -> Result<Vec<Request>, BadRecord> {
        let (keyring, parameters) = (self.config.keyring(), self.config.parameters());
        let mut batch = bezant_types::signed::Batch::new(keyring);
        let tickets: Vec<_> = bodies.requests.into_iter().map(|signed| batch.queue(signed)).collect();
        let verdicts = batch.verify();
        let requests = tickets
            .into_iter()
            .map(|ticket| {
                let verified = verdicts.redeem(ticket).map_err(Rejected::from)?;
                Ok(Request::new(verified, parameters).map_err(Rejected::from)?)
            })
            .collect::<Result<Vec<_>, BadRecord>>()?;
        let named = requests.iter().map(Request::digest);
        if named.eq(bodies.batch.requests().iter().copied()) { Ok(requests) } else { Err(BadRecord::WrongBodies) }
    }

    fn replay_prepared(&mut self, certificate: PreparedCertificate) {
        let (view, sequence) = (certificate.view(), certificate.sequence());
        if sequence <= self.low() {
            return;
        }
        let current = view == self.view && self.phase == Phase::Normal;
        let slot = self.slot_mut(sequence);
        if slot.prepared.as_ref().is_none_or(|known| known.view() <= view) {
            if current {
                slot.progress = Progress::Prepared;
                let signature = certificate.as_proof().pre_prepare;
                slot.proposal = Some(Vote { view, digest: certificate.digest(), signature });
            }
            slot.prepared = Some(certificate);
        }
    }

    /// Takes a block from the block store that the ledger is about to execute again: the one after the last. The host
    /// executes it and says [`Input::Applied`](crate::Input::Applied) after the start.
    ///
    /// # Errors
    /// [`BadRecord`] if its certificate, its batch or its requests do not hold.
    pub fn replay_block(&mut self, stored: StoredBlock) -> Result<Block, BadRecord> {
        let block = self.check_block(stored)?;
        let sequence = block.sequence();
        if sequence != self.delivered.next() {
            return Err(BadRecord::WrongBodies);
        }
        self.delivered = sequence;
        self.replayed = sequence;
        self.next = self.next.max(sequence.next());
        for request in &block.requests {
            self.placed.insert(request.digest(), sequence);
        }
        let decided =
            crate::packet::Decided { commits: block.certificate.as_endorsed().clone(), batch: block.batch.clone() };
        self.recent.insert(sequence, Delivered { decided, requests: block.requests.clone() });
        self.forget_old_blocks();
        Ok(block)
    }

    /// Checks a stored block as strictly as a live one.
    ///
    /// # Errors
    /// [`BadRecord`] says what does not hold.
    pub fn check_block(&self, stored: StoredBlock) -> Result<Block, BadRecord> {
        let StoredBlock { commits, batch, requests } = stored;
        let certificate = CommitCertificate::check(commits, self.config.committee(), self.config.keyring())?;
        if batch.digest() != certificate.vote().digest {
            return Err(BadRecord::WrongBodies);
        }
        let requests = self.check_bodies(Bodies { batch: batch.clone(), requests })?;
        let checkpoint = self.is_checkpoint(certificate.vote().sequence, &batch);
        Ok(Block { batch, requests, certificate, checkpoint })
    }

    /// Says again what this replica had said and may not have been heard to say.
    pub(crate) fn on_start(&mut self, out: &mut Outbox) {
        // What replaying asked of the host was never asked.
        self.fetching = Fetching::default();
        let (committee, view) = (self.config.committee(), self.view);
        self.slots.values_mut().for_each(|slot| slot.want_what_matters(committee, view));
        if self.ahead.is_some() {
            self.on_behind(out);
        }
        if self.silence.may_vote() {
            for (sequence, root) in &self.roots {
                if self.low() < *sequence {
                    let checkpoint = Checkpoint { sequence: *sequence, root: *root };
                    out.send(Recipients::All, Outgoing::Checkpoint(checkpoint));
                }
            }
            match self.phase {
                Phase::ViewChanging(_) => {
                    if let Some(message) = self.asked.clone() {
                        out.send(Recipients::All, Outgoing::ViewChange(message));
                    }
                    if let Some(message) = self.opening.clone() {
                        out.send(Recipients::All, Outgoing::NewView(message));
                    }
                }
                Phase::Normal => {
                    let sequences: Vec<_> = self.slots.keys().copied().collect();
                    for sequence in sequences {
                        self.repeat_votes(sequence, Recipients::All, out);
                    }
                }
            }
        }
        self.on_status_timeout(out);
    }

    /// Everything that this replica must not forget, as the records of a fresh log.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        records.extend(self.proven().map(|certificate| Record::Stable(certificate.as_endorsed().clone())));
        match &self.silence {
            Silence::Voting => {}
            Silence::Asking(_) => records.push(Record::LogLost),
            Silence::Until(sequence) => records.push(Record::SilentUntil(*sequence)),
        }
        // What prepared comes before the view in which it is carried forward; the proposals of the view come after.
        for (sequence, slot) in &self.slots {
            // Also the bodies of what it voted for in views that failed: a proof may name it as their holder.
            records.extend(slot.vouched().filter_map(|digest| dump_bodies(*sequence, slot, digest)));
            records.extend(slot.prepared.as_ref().map(|certificate| Record::Prepared(certificate.as_proof().clone())));
        }
        let above = self.roots.range(self.low().next()..);
        records
            .extend(above.map(|(sequence, root)| Record::Checkpoint(Checkpoint { sequence: *sequence, root: *root })));
        records.extend(self.asked.clone().map(Record::ViewChange));
        records.extend(self.opening.clone().map(Record::NewView));
        records.extend(self.new_view.as_ref().map(|message| Record::Entered(message.as_signed().clone())));
        for (sequence, slot) in &self.slots {
            self.dump_votes(*sequence, slot, &mut records);
        }
        records
    }

    /// What this replica has said about a slot in the current view.
    fn dump_votes(&self, sequence: SequenceNumber, slot: &Slot, records: &mut Vec<Record>) {
        let view = self.view;
        if let Some(digest) = slot.announced {
            records.push(Record::Proposed(PrePrepare { view, sequence, digest }, None));
        } else if slot.progress >= Progress::Accepted
            && let Some(Vote { digest, signature, .. }) = slot.proposal
        {
            let message = PrePrepare { view, sequence, digest };
            records.push(Record::Accepted(Signed { signer: self.primary(), message, signature }, None));
        }
        if slot.progress == Progress::Prepared
            && let Some(certificate) = &slot.prepared
        {
            records.push(Record::Prepared(certificate.as_proof().clone()));
        }
    }

    /// A peer's status, seen by a replica that has lost its log.
    pub(crate) fn on_answer(&mut self, peer: ReplicaId, status: &Status, out: &mut Outbox) {
        let proven = sequence_of(self.stable.as_ref()).max(sequence_of(self.ahead.as_ref()));
        let (quorum, window) = (self.config.committee().quorum(), self.config.parameters().window);
        let Silence::Asking(answers) = &mut self.silence else { return };
        // A claim without proof does not count: or one liar could silence this replica for ever.
        if status.stable <= proven {
            answers.insert(peer, status.stable);
        }
        if answers.len() >= quorum {
            let until = proven.saturating_add(2 * window);
            out.record(Record::SilentUntil(until));
            self.silence = Silence::Until(until);
        }
    }
}

fn dump_bodies(sequence: SequenceNumber, slot: &Slot, digest: Digest) -> Option<Record> {
    let payload = slot.payload(&digest)?;
    Some(Record::Bodies(sequence, Bodies::of(payload.batch(), &payload.complete()?)))
}
