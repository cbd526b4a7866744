//! Accountability: whoever contradicts itself in front of an honest replica is convicted by it, and nobody else is.
//!
//! # Who must be accused
//!
//! A replica remembers a bounded part of what it heard, so what it owes is bounded, too. It must accuse a corrupted
//! member of whom it heard, in one life,
//!
//! * two prepares, or two commits, for one slot in one view, both within its window, while it has not gone on to a
//!   later view and the member has not voted there in a later one;
//! * two checkpoints at one sequence number within its window;
//! * a pre-prepare that differs from the one it has itself prepared, in the view that it works in;
//! * two view changes for a view above its own, the first of which was valid and the last it had from that member;
//! * two new views of the view that it works in, both after it entered.
//!
//! Checking a view change is dear and rationed, so the last two kinds are owed only for the first few messages of a
//! member.
//!
//! The accusation may take a while. When the message is looked at, in that turn or one before it, the window may have
//! moved past the slot, or the view have ended: then nothing is owed. How long a turn takes, only the disk knows; but
//! what a replica says and does comes at the end of turns. So what happens within the first few moments at which it
//! says or does anything excuses it, and what happens later does not. Accusations of one kind against one member are
//! one duty, for a liar decides how often it lies.
//!
//! # Who must not be
//!
//! An honest member, ever, with one exception: one that lost its log may ask again for a view that nobody had reached,
//! and tell another story (what rule A-1 cannot exclude). And no evidence is given that does not convict: it is checked
//! here anew, and by the code that a third party would use.

mod duties;
mod verdict;

use std::collections::{BTreeMap, HashSet};

use bezant_pbft::evidence::Evidence;
use bezant_pbft::packet::Message;
use bezant_pbft::record::Record;
use bezant_types::codec::encode;
use bezant_types::{Committee, Digest, Keyring, ReplicaId, SequenceNumber, View};

use self::duties::Ear;
use super::members::Members;
use super::statement::{Kind, Matter, Statement};
use super::{Oracle, Property, Setting};
use crate::sight::{Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "accountability",
    claim: "every contradiction that one honest replica hears becomes an accusation whose evidence convicts, and no honest \
            replica is ever accused",
};

/// How long an accusation may take, in milliseconds.
const PATIENCE_MS: u64 = 10_000;
/// At so many moments a replica may show something before a message that it heard was looked at: at the end of the turn
/// that was under way, and of the one that looks at it, whose outcome may come in two parts.
const MOMENTS: u64 = 3;

/// What each honest replica heard and owes, and which evidence was checked.
#[derive(Debug)]
pub(super) struct Accountability {
    committee: Committee,
    keyring: Keyring,
    window: u64,
    corrupted: Members,
    lost_log: Members,
    /// No stable checkpoint lies above the highest that an honest replica vouched for.
    highest_checkpoint: SequenceNumber,
    ears: BTreeMap<ReplicaId, Ear>,
    /// By hearer, liar and kind.
    owed: BTreeMap<(ReplicaId, ReplicaId, Kind), Duty>,
    sound: HashSet<Digest>,
}

/// An accusation that somebody owes.
#[derive(Clone, Copy, Debug)]
struct Duty {
    since: When,
    /// At how many moments the hearer had shown something before.
    moments: u64,
    matter: Matter,
}

impl Accountability {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        Self {
            committee: setting.genesis.committee(),
            keyring: setting.genesis.keyring(),
            window: setting.genesis.parameters().window,
            corrupted: setting.corrupted.iter().copied().collect(),
            lost_log: Members::default(),
            highest_checkpoint: SequenceNumber::ZERO,
            ears: BTreeMap::new(),
            owed: BTreeMap::new(),
            sound: HashSet::new(),
        }
    }

    fn on_booted(&mut self, replica: ReplicaId, records: &[Record], stable: SequenceNumber, without_log: bool) {
        if without_log {
            self.lost_log.insert(replica);
        }
        let mut ear = Ear::new(stable, self.window);
        // A replica without its log votes for nothing for a while, and judges no proposal.
        ear.judges_proposals = !without_log;
        for record in records {
            match record {
                Record::ViewChange(message) => ear.leave(message.view),
                Record::NewView(message) => ear.leave(message.view),
                Record::Entered(signed) => ear.enter(signed.message.view),
                Record::LogLost | Record::SilentUntil(_) => ear.judges_proposals = false,
                Record::Proposed(..)
                | Record::Accepted(..)
                | Record::Bodies(..)
                | Record::Prepared(_)
                | Record::Checkpoint(_)
                | Record::Stable(_) => {}
            }
        }
        self.ears.insert(replica, ear);
        self.release(replica, |_| true);
    }

    fn on_said(&mut self, replica: ReplicaId, message: &Message) {
        let Some(Statement { matter, content, .. }) = Statement::by(replica, message) else { return };
        match matter.kind {
            Kind::ViewChange => self.on_view(replica, matter.view, Ear::leave),
            Kind::Checkpoint => self.highest_checkpoint = self.highest_checkpoint.max(matter.sequence),
            Kind::Prepare => self.ear(replica).prepared(matter, content),
            Kind::PrePrepare | Kind::Commit | Kind::NewView => {}
        }
    }

    fn on_view(&mut self, replica: ReplicaId, view: View, go_on: impl FnOnce(&mut Ear, View)) {
        go_on(self.ear(replica), view);
        self.excuse(replica, |matter| match matter.kind {
            Kind::PrePrepare | Kind::Prepare | Kind::Commit | Kind::NewView => matter.view < view,
            Kind::ViewChange => matter.view <= view,
            Kind::Checkpoint => false,
        });
    }

    fn on_stable(&mut self, replica: ReplicaId, sequence: SequenceNumber) {
        self.ear(replica).advance(sequence);
        self.excuse(replica, |matter| matter.kind.has_sequence() && matter.sequence <= sequence);
    }

    /// Nothing is owed for these matters if it heard of them only now.
    fn excuse(&mut self, replica: ReplicaId, over: impl Fn(Matter) -> bool) {
        let moments = self.ear(replica).moments;
        self.release(replica, |duty| over(duty.matter) && moments <= duty.moments + MOMENTS);
    }

    fn on_heard(&mut self, when: When, replica: ReplicaId, message: &Message) {
        let (committee, settled) = (self.committee, self.highest_checkpoint);
        let Some(statement) = Statement::of(message).filter(|one| self.corrupted.contains(one.signer)) else { return };
        let ear = self.ears.entry(replica).or_insert_with(|| Ear::new(SequenceNumber::ZERO, self.window));
        let contradicted = match message {
            Message::ViewChange(change) => ear.hear_view_change(change, committee, &self.keyring),
            Message::NewView(_) => ear.hear_new_view(statement, committee),
            Message::PrePrepare(..) => settled < statement.matter.sequence && ear.hear_proposal(statement, committee),
            Message::Prepare(_) => ear.hear_prepare(statement, committee),
            Message::Commit(_) => ear.hear_vote(statement),
            Message::Checkpoint(_) => ear.hear_checkpoint(statement),
            Message::Status(_)
            | Message::Fetch(_)
            | Message::Requests(_)
            | Message::Batch(..)
            | Message::Decided(_)
            | Message::Stable(_) => false,
        };
        let key = (replica, statement.signer, statement.matter.kind);
        if contradicted && !ear.has_accused.contains(&(statement.signer, statement.matter.kind)) {
            let (moments, matter) = (ear.moments, statement.matter);
            self.owed.entry(key).or_insert(Duty { since: when, moments, matter });
        }
    }

    fn on_accused(&mut self, replica: ReplicaId, member: ReplicaId, evidence: &Evidence) -> Result<(), String> {
        let kind = verdict::kind(evidence);
        if let Some(kind) = kind {
            self.ear(replica).has_accused.insert((member, kind));
            self.owed.remove(&(replica, member, kind));
        }
        let about = || format!("replica {replica} accuses replica {member}");
        if !self.corrupted.contains(member) {
            let of_views = matches!(kind, Some(Kind::ViewChange | Kind::NewView));
            if !of_views || !self.lost_log.contains(member) {
                return Err(format!("{}, which is honest, with {}", about(), verdict::words(evidence)));
            }
        }
        let digest = Digest::of_bytes(&encode(evidence));
        if self.sound.contains(&digest) {
            return Ok(());
        }
        if let Err(flaw) = verdict::judge(evidence, member, &self.keyring) {
            return Err(format!("{} with {} that do not convict: {flaw}", about(), verdict::words(evidence)));
        }
        match evidence.verify(&self.keyring) {
            Ok(convicted) if convicted == member => {
                self.sound.insert(digest);
                Ok(())
            }
            Ok(convicted) => Err(format!("{} with evidence that convicts replica {convicted}", about())),
            Err(reason) => Err(format!("{} with evidence that nobody accepts: {reason}", about())),
        }
    }

    fn ear(&mut self, replica: ReplicaId) -> &mut Ear {
        let window = self.window;
        self.ears.entry(replica).or_insert_with(|| Ear::new(SequenceNumber::ZERO, window))
    }

    fn release(&mut self, replica: ReplicaId, released: impl Fn(&Duty) -> bool) {
        self.owed.retain(|(hearer, ..), duty| *hearer != replica || !released(duty));
    }

    fn judge_owed(&self, now: When) -> Result<(), String> {
        match self.owed.iter().find(|(_, duty)| now.since(duty.since) > PATIENCE_MS) {
            Some(((hearer, liar, _), Duty { since, matter, moments: _ })) => Err(format!(
                "replica {hearer} heard replica {liar} contradict itself with {matter} at {since} ms, and has not accused \
                 it at {now} ms"
            )),
            None => Ok(()),
        }
    }
}

impl Oracle for Accountability {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, when: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Booted { replica, records, stable, without_log } => {
                self.on_booted(replica, records, stable, without_log);
            }
            Sight::Crashed { replica } | Sight::Halted { replica, .. } => self.release(replica, |_| true),
            Sight::Said { replica, message, .. } => {
                self.ear(replica).shows_something(when);
                self.on_said(replica, message);
            }
            Sight::Stable { replica, sequence, .. } => {
                self.ear(replica).shows_something(when);
                self.on_stable(replica, sequence);
            }
            Sight::Entered { replica, view } => {
                self.ear(replica).shows_something(when);
                self.on_view(replica, view, Ear::enter);
            }
            Sight::Accused { replica, member, evidence } => return self.on_accused(replica, member, evidence),
            Sight::Heard { replica, message, .. } => {
                self.on_heard(when, replica, message);
                return self.judge_owed(when);
            }
            Sight::Delivered { .. }
            | Sight::Executed { .. }
            | Sight::Installed { .. }
            | Sight::Weighed { .. }
            | Sight::Asked { .. }
            | Sight::Answered { .. }
            | Sight::Stabilised => {}
        }
        Ok(())
    }

    fn at_end(&mut self, when: When) -> Result<(), String> {
        self.judge_owed(when)
    }
}
