//! Leaving a view whose primary fails, and entering the next (Castro and Liskov 1999, section 4.4).
//!
//! This is where other implementations broke. What must hold, and where it is seen to:
//!
//! * A view change carries proof for all that its sender prepared above its stable checkpoint:
//!   [`Replica::start_view_change`].
//! * A view change with one bad proof is refused whole, so that a bad proof cannot shadow a good one:
//!   [`ValidViewChange::check`].
//! * A new view stands on a quorum of distinct, valid view changes for exactly that view: `admit_new_view`.
//! * What it begins with is recomputed by everybody, and choses the proof with the highest view: [`Plan::compute`].
//! * After its view change a replica says nothing in any earlier view: every `Send` of a vote passes `is_active`.

use alloc::vec::Vec;

use bezant_types::{Committee, Keyring, ReplicaId, Verified, View};

use crate::certificate::{CheckpointCertificate, PreparedCertificate};
use crate::config::Config;
use crate::evidence::{Evidence, Pair};
use crate::ignored::{Blame, Ignored};
use crate::message::{Batch, NewView, PrePrepare, Status, ViewChange};
use crate::new_view::Plan;
use crate::packet::{Message, Outgoing};
use crate::ready::{Effect, Outbox, Recipients, Timer};
use crate::record::Record;
use crate::replica::{Phase, Replica, Stage, sequence_of};
use crate::slot::Payload;

/// A view change all of whose proofs hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ValidViewChange {
    message: Verified<ViewChange>,
    checkpoint: Option<CheckpointCertificate>,
    prepared: Vec<PreparedCertificate>,
}

impl ValidViewChange {
    /// Checks everything that a view change claims. Cheap checks come before signatures.
    pub(crate) fn check(message: Verified<ViewChange>, config: &Config) -> Result<Self, Ignored> {
        let (committee, keyring) = (config.committee(), config.keyring());
        let ViewChange { view, checkpoint, prepared } = message.message();
        let low = checkpoint.as_ref().map_or(sequence_of(None), |endorsed| endorsed.vote.sequence);
        let high = low.saturating_add(config.parameters().window);
        let in_order = prepared.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
        let in_range = prepared.iter().all(|one| low < one.sequence && one.sequence <= high && one.view < *view);
        if !in_order || !in_range {
            return Err(Ignored::BadPreparedSet);
        }
        let checkpoint = checkpoint
            .clone()
            .map(|endorsed| CheckpointCertificate::check(endorsed, committee, keyring))
            .transpose()
            .map_err(Ignored::BadCertificate)?;
        let prepared = check_all(prepared, committee, keyring)?;
        Ok(Self { message, checkpoint, prepared })
    }

    fn view(&self) -> View {
        self.message.message().view
    }

    pub(crate) fn checkpoint(&self) -> Option<&CheckpointCertificate> {
        self.checkpoint.as_ref()
    }

    pub(crate) fn prepared(&self) -> &[PreparedCertificate] {
        &self.prepared
    }
}

fn check_all(
    proofs: &[crate::certificate::PreparedProof],
    committee: Committee,
    keyring: &Keyring,
) -> Result<Vec<PreparedCertificate>, Ignored> {
    let check = |proof: &crate::certificate::PreparedProof| {
        PreparedCertificate::check(proof.clone(), committee, keyring).map_err(Ignored::BadCertificate)
    };
    proofs.iter().map(check).collect()
}

impl Replica {
    /// Rule V-1: gives up on every view below `target`, and says what it must not forget.
    pub(crate) fn start_view_change(&mut self, target: View, out: &mut Outbox) {
        assert!(target >= self.view, "view changes lead upwards");
        // There is no view after the last.
        if !self.silence.may_vote() || target == self.view {
            return;
        }
        // The proof counts, not whether this replica has executed that far. After a restart its low water mark may be
        // an old one, and slots that prepared up to the later high water mark would lie out of its window.
        let above = self.slots.range(self.settled().next()..);
        let prepared = above.filter_map(|(_, slot)| slot.prepared.as_ref());
        let message = ViewChange {
            view: target,
            checkpoint: self.proven().map(|certificate| certificate.as_endorsed().clone()),
            prepared: prepared.map(|certificate| certificate.as_proof().clone()).collect(),
        };
        self.leave_view(target, out);
        self.asked = Some(message.clone());
        out.record(Record::ViewChange(message.clone()));
        out.send(Recipients::All, Outgoing::ViewChange(message));
    }

    /// From here on only checkpoints, view changes, new views and proofs are accepted.
    pub(crate) fn leave_view(&mut self, target: View, out: &mut Outbox) {
        if self.watch.take().is_some() {
            out.effect(Effect::CancelTimer(Timer::Progress(self.view)));
        }
        if let Phase::ViewChanging(Stage::Waiting) = self.phase {
            out.effect(Effect::CancelTimer(Timer::NewView(self.view)));
        }
        if self.seal_armed.take().is_some() {
            out.effect(Effect::CancelTimer(Timer::Seal(self.view)));
        }
        self.fruitless = self.fruitless.saturating_add(1);
        self.view = target;
        self.phase = Phase::ViewChanging(Stage::Gathering);
        self.new_view = None;
        self.asked = None;
        self.opening = None;
        self.plan = Plan::empty();
        for slot in self.slots.values_mut() {
            slot.enter_view(target);
        }
    }

    /// Rules V-5 and V-6: a member gives up on a primary.
    pub(crate) fn on_view_change(&mut self, message: Verified<ViewChange>, out: &mut Outbox) {
        let signer = message.signer();
        if signer == self.id() && !self.silence.may_vote() {
            return self.recall(message, out);
        }
        if let Err(reason) = self.admit_view_change(&message) {
            if reason == Ignored::Contradiction {
                let known = &self.view_changes.get(&signer).expect("a contradiction contradicts something").message;
                let pair = Pair::of(known.as_signed().clone(), &message);
                out.effect(Effect::Accuse(signer, Evidence::ViewChanges(pair)));
            }
            return out.ignore(Some(signer), reason);
        }
        if !self.may_check(signer) {
            return out.ignore(Some(signer), Ignored::Rationed);
        }
        let valid = match ValidViewChange::check(message, &self.config) {
            Ok(valid) => valid,
            Err(reason) => return out.ignore(Some(signer), reason),
        };
        self.view_changes.insert(signer, valid);
        self.join_others(out);
        self.gather(out);
    }

    /// Rule A-1: a member that lost its log does not know which view it had asked for.
    pub(crate) fn remind(&self, peer: ReplicaId, status: &Status, out: &mut Outbox) {
        if let Some(asked) = self.view_changes.get(&peer).filter(|asked| asked.view() > status.view) {
            out.send(Recipients::One(peer), Outgoing::Proven(Message::ViewChange(asked.message.clone())));
        }
    }

    /// Rule A-1: what this replica asked for in the life that it has forgotten, from a peer that heard it. It is bound
    /// to that as if it had its log: it stays out of the views below.
    fn recall(&mut self, message: Verified<ViewChange>, out: &mut Outbox) {
        let (signer, asked) = (message.signer(), message.message().clone());
        if asked.view <= self.view {
            return out.ignore(Some(signer), Ignored::OldView);
        }
        if !self.may_check(signer) {
            return out.ignore(Some(signer), Ignored::Rationed);
        }
        let valid = match ValidViewChange::check(message, &self.config) {
            Ok(valid) => valid,
            Err(reason) => return out.ignore(Some(signer), reason),
        };
        self.leave_view(asked.view, out);
        self.asked = Some(asked.clone());
        out.record(Record::ViewChange(asked));
        self.view_changes.insert(signer, valid);
        self.gather(out);
    }

    /// The silence of rule A-1 is over in the middle of a view change: what this replica had asked for it asks for
    /// again, and its timer, which meant nothing meanwhile, runs from now on.
    pub(crate) fn speak_up(&mut self, out: &mut Outbox) {
        let Phase::ViewChanging(_) = self.phase else { return };
        self.phase = Phase::ViewChanging(Stage::Gathering);
        if let Some(asked) = self.asked.clone() {
            out.send(Recipients::All, Outgoing::ViewChange(asked));
        }
        self.gather(out);
    }

    fn admit_view_change(&self, message: &Verified<ViewChange>) -> Result<(), Ignored> {
        let view = message.message().view;
        match self.phase {
            Phase::Normal if view <= self.view => return Err(Ignored::OldView),
            Phase::ViewChanging(_) if view < self.view => return Err(Ignored::OldView),
            Phase::Normal | Phase::ViewChanging(_) => {}
        }
        match self.view_changes.get(&message.signer()) {
            Some(known) if known.view() > view => Err(Ignored::OldView),
            Some(known) if known.view() == view && known.message.digest() == message.digest() => {
                Err(Ignored::Duplicate)
            }
            Some(known) if known.view() == view => Err(Ignored::Contradiction),
            Some(_) | None => Ok(()),
        }
    }

    /// Rule V-6: f + 1 members beyond one's view cannot all be malicious: join the nearest of their views. One alone
    /// moves nobody, however far it says it is (hazard 42).
    fn join_others(&mut self, out: &mut Outbox) {
        let beyond: Vec<View> =
            self.view_changes.values().map(ValidViewChange::view).filter(|v| *v > self.view).collect();
        if beyond.len() >= self.config.committee().weak_quorum()
            && let Some(nearest) = beyond.into_iter().min()
        {
            self.start_view_change(nearest, out);
        }
    }

    /// Rule V-5: once a quorum has come as far as the view that this replica waits for, the timer runs.
    ///
    /// Whoever has gone on to a later view counts: of each member only its last view change is kept and repeated, so a
    /// quorum for exactly this view may never be seen here, and without a timer this replica would wait for ever while
    /// the others wait for it.
    fn gather(&mut self, out: &mut Outbox) {
        let come = self.view_changes.values().filter(|change| change.view() >= self.view).count();
        if self.phase == Phase::ViewChanging(Stage::Gathering) && come >= self.config.committee().quorum() {
            self.phase = Phase::ViewChanging(Stage::Waiting);
            out.effect(Effect::SetTimer(Timer::NewView(self.view), self.timeout_ms()));
        }
        self.open_view(out);
    }

    /// Rule V-2: the primary of the awaited view opens it, once a quorum wants exactly this view.
    fn open_view(&mut self, out: &mut Outbox) {
        let committee = self.config.committee();
        let wanting = self.view_changes.values().filter(|change| change.view() == self.view);
        let quorum: Vec<&ValidViewChange> = wanting.take(committee.quorum()).collect();
        let awaited = self.phase != Phase::Normal && self.primary() == self.id() && self.silence.may_vote();
        // Having opened a view before a crash, it does not open it again with other view changes.
        if awaited && quorum.len() == committee.quorum() && self.opening.is_none() {
            let proposals = Plan::compute(&quorum, committee).proposals().to_vec();
            let view_changes = quorum.iter().map(|change| change.message.as_signed().clone()).collect();
            let message = NewView { view: self.view, view_changes, proposals };
            self.opening = Some(message.clone());
            out.record(Record::NewView(message.clone()));
            out.send(Recipients::All, Outgoing::NewView(message));
        }
    }

    /// Rule V-5: a quorum waited for the primary of this view in vain.
    pub(crate) fn on_new_view_timeout(&mut self, view: View, out: &mut Outbox) {
        if view == self.view && self.phase == Phase::ViewChanging(Stage::Waiting) {
            self.start_view_change(view.next(), out);
        }
    }

    /// Rule V-3: the primary of a view opens it.
    pub(crate) fn on_new_view(&mut self, message: Verified<NewView>, out: &mut Outbox) {
        let signer = message.signer();
        if let Err(reason) = self.admit_new_view(&message) {
            if reason == Ignored::Contradiction {
                let known = self.new_view.as_ref().expect("a contradiction contradicts something");
                let pair = Pair::of(known.as_signed().clone(), &message);
                out.effect(Effect::Accuse(signer, Evidence::NewViews(pair)));
            }
            out.ignore(Some(signer), reason);
            return self.on_bad_new_view(&message, reason, out);
        }
        if !self.may_check(signer) {
            return out.ignore(Some(signer), Ignored::Rationed);
        }
        match self.check_new_view(&message) {
            Ok(plan) => {
                out.record(Record::Entered(message.as_signed().clone()));
                self.enter_view(message, plan, out);
                self.repropose(out);
            }
            Err(reason) => {
                out.ignore(Some(signer), reason);
                self.on_bad_new_view(&message, reason, out);
            }
        }
    }

    /// The primary of the awaited view opens it wrongly: nothing better will come of it (hazard 33).
    fn on_bad_new_view(&mut self, message: &Verified<NewView>, reason: Ignored, out: &mut Outbox) {
        let awaited = message.message().view == self.view && self.phase != Phase::Normal;
        if awaited && reason.blame() == Blame::Signer && reason != Ignored::NotThePrimary {
            self.start_view_change(self.view.next(), out);
        }
    }

    fn admit_new_view(&self, message: &Verified<NewView>) -> Result<(), Ignored> {
        let NewView { view, .. } = message.message();
        if message.signer() != self.config.committee().primary(*view) {
            return Err(Ignored::NotThePrimary);
        }
        if *view < self.view || *view == View::ZERO {
            return Err(Ignored::OldView);
        }
        if *view == self.view && self.phase == Phase::Normal {
            let same = self.new_view.as_ref().is_some_and(|known| known.digest() == message.digest());
            return Err(if same { Ignored::Duplicate } else { Ignored::Contradiction });
        }
        self.check_quorum(message.message())
    }

    /// The cheap parts of rule V-3: as many view changes as a quorum, for this view, distinct and in order.
    pub(crate) fn check_quorum(&self, NewView { view, view_changes, .. }: &NewView) -> Result<(), Ignored> {
        let distinct = view_changes.windows(2).all(|pair| pair[0].signer < pair[1].signer);
        let for_this = view_changes.iter().all(|change| change.message.view == *view);
        if view_changes.len() != self.config.committee().quorum() || !distinct || !for_this {
            return Err(Ignored::NotAQuorum);
        }
        Ok(())
    }

    /// The dear parts of V-3: every view change holds, and the proposals are those that follow.
    pub(crate) fn check_new_view(&self, message: &Verified<NewView>) -> Result<Plan, Ignored> {
        let NewView { view_changes, proposals, .. } = message.message();
        let mut valid = Vec::with_capacity(view_changes.len());
        for signed in view_changes {
            let known = self.view_changes.get(&signed.signer).filter(|known| known.message.as_signed() == signed);
            let one = match known {
                Some(known) => known.clone(),
                None => {
                    let verified = signed
                        .clone()
                        .verify(self.config.keyring())
                        .map_err(|error| Ignored::BadCertificate(error.into()))?;
                    ValidViewChange::check(verified, &self.config)?
                }
            };
            valid.push(one);
        }
        let plan = Plan::compute(&valid.iter().collect::<Vec<_>>(), self.config.committee());
        if plan.proposals() != proposals { Err(Ignored::WrongProposals) } else { Ok(plan) }
    }

    /// The view begins. What it prescribes is wanted, what waited may have to be proposed again.
    pub(crate) fn enter_view(&mut self, message: Verified<NewView>, plan: Plan, out: &mut Outbox) {
        let view = message.message().view;
        if view > self.view {
            // Others left without this replica. It leaves too, without having asked.
            self.leave_view(view, out);
        }
        if let Phase::ViewChanging(Stage::Waiting) = self.phase {
            out.effect(Effect::CancelTimer(Timer::NewView(view)));
        }
        self.phase = Phase::Normal;
        self.asked = None;
        self.opening = None;
        self.new_view = Some(message);
        self.view_changes.retain(|_, change| change.view() > view);
        self.pool.release(self.pace.now());
        self.pace.new_view();
        self.next = plan.last().unwrap_or(plan.base()).max(self.settled()).next();
        let (low, high) = (self.low(), self.high());
        for (sequence, digest, holders) in plan.slots().filter(|(sequence, ..)| low < *sequence && *sequence <= high) {
            let slot = self.slots.entry(sequence).or_default();
            if digest == Batch::Null.digest() {
                slot.keep(Payload::new(Batch::Null, |_| None));
            } else {
                slot.want(digest, holders.iter().copied());
            }
        }
        self.mark_carried(&plan);
        let checkpoint = plan.checkpoint().cloned();
        self.plan = plan;
        out.effect(Effect::Entered(view));
        if let Some(certificate) = checkpoint {
            self.on_stable(certificate, out);
        }
    }

    /// What is on its way to the executor, and what the view change carries over, need not be proposed again.
    fn mark_carried(&mut self, plan: &Plan) {
        let executing = self.recent.range(self.executed.next()..).flat_map(|(_, block)| block.decided.batch.requests());
        let payloads = plan.slots().filter_map(|(sequence, digest, _)| self.slots.get(&sequence)?.payload(&digest));
        let carried = payloads.flat_map(|payload| payload.batch().requests());
        for digest in executing.chain(carried) {
            self.pool.mark_proposed(digest);
        }
    }

    /// As primary of a view that has just begun: proposes what the view changes prescribe, under the new view's number.
    /// The batches are with the others already, or can be fetched; only digests are ordered.
    pub(crate) fn repropose(&mut self, out: &mut Outbox) {
        if self.primary() != self.id() || !self.is_active() {
            return;
        }
        let (low, high) = (self.settled(), self.high());
        let prescribed: Vec<_> = self.plan.slots().map(|(sequence, digest, _)| (sequence, digest)).collect();
        for (sequence, digest) in prescribed.into_iter().filter(|(sequence, _)| low < *sequence && *sequence <= high) {
            let pre_prepare = PrePrepare { view: self.view, sequence, digest };
            if self.slot_mut(sequence).announced.replace(digest).is_some() {
                continue;
            }
            out.record(Record::Proposed(pre_prepare, None));
            let batch = self.slot_mut(sequence).payload(&digest).map(|payload| payload.batch().clone());
            out.send(Recipients::All, Outgoing::PrePrepare(pre_prepare, batch));
        }
    }
}
