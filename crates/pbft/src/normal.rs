//! The normal case: pre-prepare, prepare, commit (Castro and Liskov 1999, section 4.2), and the watch over the primary.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bezant_types::{
    AccountId, Digest, Moment, ReplicaId, Request, RequestNumber, SequenceNumber, Signed, Timestamp, Verified, View,
};

use crate::catch_up::HELP_BYTES;
use crate::evidence::{Evidence, Pair};
use crate::ignored::Ignored;
use crate::message::{Batch, Commit, PrePrepare, Prepare};
use crate::packet::{Message, Outgoing};
use crate::ready::{Effect, Outbox, Recipients, Timer};
use crate::record::{Bodies, Record};
use crate::replica::{Half, Replica, Watch, Work};
use crate::slot::{Counted, Payload, Progress, Slot, Vote};

/// Nothing is passed on before this part of the timeout: where many clients stand in line for long, each would be.
const PATIENCE: u64 = 32;

impl Replica {
    /// Rules P-1 and P-8: a client's request, from itself or passed on by a peer. It waits until it is executed, and
    /// fills the slots that lack it.
    pub(crate) fn on_request(&mut self, request: Request, out: &mut Outbox) {
        self.supply(&request, out);
        let (client, number, digest) = (request.client(), request.number(), request.digest());
        let place = self.placed.get(&digest).copied();
        let block = place.and_then(|sequence| self.recent.get(&sequence));
        if block.is_some_and(|block| block.decided.batch.requests().contains(&digest)) {
            // Committed already. Once it is executed, the host answers from the ledger.
            return out.ignore(None, Ignored::Duplicate);
        }
        if let Err(reason) = self.pool.admit(self.pace.now(), request) {
            out.ignore(None, reason);
            if reason == Ignored::ClientQuota {
                out.effect(Effect::Busy { client, number });
            }
        }
        // A slot that is under way may hold it. If its view fails, the request is here to be proposed again.
        let slot = place.and_then(|sequence| self.slots.get(&sequence));
        let proposed =
            slot.and_then(|slot| slot.payload(&slot.proposal?.digest)).and_then(|payload| payload.body(&digest));
        if proposed.is_some() {
            self.pool.mark_proposed(&digest);
        }
    }

    /// Puts a body wherever a slot lacks it, and goes on with the slots that it completes.
    pub(crate) fn supply(&mut self, request: &Request, out: &mut Outbox) {
        let lacking: BTreeSet<_> = self.incomplete();
        for sequence in lacking {
            if self.slot_mut(sequence).supply(request) {
                self.accept(sequence, out);
                self.deliver(out);
            }
        }
    }

    /// As primary: orders what waits, in as few batches as the pipeline leaves room for. Idle, a request is proposed at
    /// once; under load requests gather while earlier batches are under way.
    pub(crate) fn propose(&mut self, now: Timestamp, out: &mut Outbox) {
        while self.may_propose() && self.pool.has_unproposed() {
            let parameters = self.config.parameters();
            let (requests, bytes) = (parameters.max_batch_requests as usize, parameters.max_batch_bytes as usize);
            let requests = self.pool.propose(requests, bytes);
            let digests = requests.iter().map(Request::digest).collect();
            let batch = Batch::Requests { timestamp: now, requests: digests };
            let payload = Payload::new(batch, |digest| requests.iter().find(|one| one.digest() == *digest).cloned());
            self.announce(payload, out);
        }
    }

    /// Whether this replica is the primary and the pipeline and the window have room for another batch.
    pub(crate) fn may_propose(&self) -> bool {
        self.is_active()
            && self.primary() == self.id()
            // There is no sequence number after the last.
            && self.low() < self.next
            && self.next <= self.high()
            && self.next.since(self.executed.next()) < self.config.parameters().pipeline
    }

    /// As primary: proposes a batch for the next sequence number.
    pub(crate) fn announce(&mut self, mut payload: Payload, out: &mut Outbox) {
        let sequence = self.next;
        self.next = sequence.next();
        payload.recorded = true;
        let batch = payload.batch().clone();
        let bodies = Bodies::of(&batch, &payload.complete().expect("a primary proposes requests that it holds"));
        let pre_prepare = PrePrepare { view: self.view, sequence, digest: batch.digest() };
        let slot = self.slot_mut(sequence);
        slot.keep(payload);
        slot.announced = Some(pre_prepare.digest);
        slot.vote_for(pre_prepare.digest);
        out.record(Record::Proposed(pre_prepare, Some(bodies)));
        out.send(Recipients::All, Outgoing::PrePrepare(pre_prepare, Some(batch)));
    }

    /// Rule P-2: a proposal of the view's primary.
    pub(crate) fn on_pre_prepare(
        &mut self,
        now: Timestamp,
        vote: Verified<PrePrepare>,
        batch: Option<Batch>,
        out: &mut Outbox,
    ) {
        if let Err(reason) = self.admit_pre_prepare(now, &vote, batch.as_ref()) {
            self.refuse_vote(vote.signer(), vote.message().sequence, reason, out);
            self.on_bad_proposal(&vote, reason, out);
            return self.learn_batch(&vote, batch);
        }
        let PrePrepare { view, sequence, digest } = *vote.message();
        assert!(self.is_active() && view == self.view, "admitted proposals belong to the view");
        let payload = batch.map(|batch| Payload::new(batch, |wanted| self.find_request(wanted).cloned()));
        let signer = vote.signer();
        let slot = self.slot_mut(sequence);
        slot.proposal = Some(Vote { view, digest, signature: vote.signature() });
        match payload {
            Some(payload) => slot.keep(payload),
            None => slot.want(digest, [signer]),
        }
        self.examine(sequence, signer, out);
        self.confront_all(sequence, out);
        if signer != self.id() && self.plan.get(sequence).is_none() {
            self.judge_proposal(sequence, out);
        }
        self.accept(sequence, out);
    }

    /// Rule V-7: a replica that takes no part in the view keeps the batch all the same. If a quorum commits to it, it
    /// has it.
    fn learn_batch(&mut self, vote: &Verified<PrePrepare>, batch: Option<Batch>) {
        let PrePrepare { view, sequence, digest } = *vote.message();
        let from_primary = vote.signer() == self.config.committee().primary(view);
        let wanted = self.delivered < sequence && sequence <= self.high() && self.decided_at(sequence).is_none();
        let Some(batch) = batch.filter(|batch| batch.digest() == digest) else { return };
        if self.is_active() || !from_primary || !wanted {
            return;
        }
        let payload = Payload::new(batch, |wanted| self.find_request(wanted).cloned());
        self.slot_mut(sequence).keep(payload);
    }

    fn admit_pre_prepare(
        &self,
        now: Timestamp,
        vote: &Verified<PrePrepare>,
        batch: Option<&Batch>,
    ) -> Result<(), Ignored> {
        let PrePrepare { view, sequence, digest } = *vote.message();
        if !self.silence.may_vote() {
            return Err(Ignored::Recovering);
        }
        if view < self.view {
            return Err(Ignored::OldView);
        }
        if view > self.view || !self.is_active() {
            return Err(Ignored::NotInView);
        }
        if vote.signer() != self.primary() {
            return Err(Ignored::NotThePrimary);
        }
        self.admit_sequence(sequence)?;
        if sequence <= self.settled() {
            return Err(Ignored::BelowWindow); // A checkpoint at or above it is proven: the view's own, or a later one.
        }
        let slot = self.slots.get(&sequence);
        if slot.and_then(Slot::told).is_some_and(|known| known.digest != digest) {
            return Err(Ignored::Contradiction);
        }
        if slot.is_some_and(|slot| slot.proposal.is_some()) {
            return Err(Ignored::Duplicate);
        }
        // Decided in this view or before it: an honest primary knows, for it proposed it, or the new view prescribes
        // it.
        if self.decided_at(sequence).is_some_and(|decided| decided != digest) && self.plan.get(sequence).is_none() {
            return Err(Ignored::DecidedOtherwise);
        }
        // The batch is looked at before anything is kept: a batch under a wrong digest must not occupy the slot (hazard
        // 10).
        if batch.is_some_and(|batch| batch.digest() != digest) {
            return Err(Ignored::WrongDigest);
        }
        match (self.plan.get(sequence), batch) {
            // Rules V-3 and V-4: repeated as prescribed. Its time was judged when it was new.
            (Some(prescribed), _) if prescribed == digest => Ok(()),
            (Some(_), _) => Err(Ignored::NotInPlan),
            (None, None) => Err(Ignored::BatchMissing),
            // Its own, said again after a restart: what it dated then is not judged by today's clock.
            (None, Some(_)) if self.slots.get(&sequence).is_some_and(|slot| slot.announced == Some(digest)) => Ok(()),
            (None, Some(batch)) => self.admit_new_batch(now, batch),
        }
    }

    fn decided_at(&self, sequence: SequenceNumber) -> Option<Digest> {
        let in_slot = self.slots.get(&sequence).and_then(|slot| slot.committed.as_ref()).map(|one| one.vote().digest);
        in_slot.or_else(|| self.recent.get(&sequence).map(|block| block.decided.commits.vote.digest))
    }

    fn admit_new_batch(&self, now: Timestamp, batch: &Batch) -> Result<(), Ignored> {
        match batch {
            Batch::Null => return Err(Ignored::MalformedBatch),
            Batch::Seal { .. } => {}
            Batch::Requests { requests, .. } => {
                let limit = self.config.parameters().max_batch_requests as usize;
                if requests.is_empty() || requests.len() > limit {
                    return Err(Ignored::MalformedBatch);
                }
                if requests.iter().collect::<BTreeSet<_>>().len() < requests.len() {
                    return Err(Ignored::MalformedBatch);
                }
            }
        }
        let (theirs, ours) = (batch.timestamp().get(), now.get());
        if theirs.abs_diff(ours) > self.config.parameters().max_clock_skew_ms {
            return Err(Ignored::Timestamp);
        }
        Ok(())
    }

    fn admit_sequence(&self, sequence: SequenceNumber) -> Result<(), Ignored> {
        if sequence <= self.low() {
            return Err(Ignored::BelowWindow);
        }
        if sequence > self.high() {
            return Err(Ignored::AboveWindow);
        }
        Ok(())
    }

    /// The consequences of a proposal that no honest primary makes.
    fn on_bad_proposal(&mut self, vote: &Verified<PrePrepare>, reason: Ignored, out: &mut Outbox) {
        if reason == Ignored::Contradiction {
            let PrePrepare { view, sequence, .. } = *vote.message();
            let known = self.slots.get(&sequence).and_then(Slot::told);
            let known = known.expect("a contradiction contradicts something");
            self.expose(sequence, known, vote, out);
            let Vote { digest, signature, .. } = known;
            let first = Signed { signer: vote.signer(), message: PrePrepare { view, sequence, digest }, signature };
            out.effect(Effect::Accuse(vote.signer(), Evidence::PrePrepares(Pair::of(first, vote))));
        }
        if reason == Ignored::BatchMissing {
            let PrePrepare { view, sequence, digest } = *vote.message();
            self.slot_mut(sequence).heard = Some(Vote { view, digest, signature: vote.signature() });
        }
        if reason == Ignored::DecidedOtherwise {
            self.examine_refused(vote, out);
        }
        let dishonest = matches!(
            reason,
            Ignored::Contradiction | Ignored::NotInPlan | Ignored::MalformedBatch | Ignored::DecidedOtherwise
        );
        if dishonest {
            self.distrust_primary(out);
        }
    }

    /// Once the proposal of a slot is here with all bodies: puts both on record and says so (a primary has done that
    /// when it proposed).
    pub(crate) fn accept(&mut self, sequence: SequenceNumber, out: &mut Outbox) {
        let (active, view) = (self.is_active(), self.view);
        let (is_primary, signer) = (self.primary() == self.id(), self.primary());
        let max_bytes = self.config.parameters().max_batch_bytes as usize;
        let Some(slot) = self.slots.get_mut(&sequence) else { return };
        let Some(Vote { digest, signature, .. }) = slot.proposal else { return };
        if !active || slot.progress != Progress::Silent {
            return;
        }
        let decided = slot.committed.as_ref().map(|certificate| *certificate.vote());
        if let Some(decided) = decided.filter(|decided| decided.digest != digest) {
            // The proposal came first and its bodies, or the certificate, only now. A certificate outweighs a proposal.
            out.ignore(Some(signer), Ignored::DecidedOtherwise);
            if decided.view <= view {
                self.distrust_primary(out);
            }
            return;
        }
        let Some(payload) = slot.payload_mut(&digest) else { return };
        let Some(requests) = payload.complete() else { return };
        if requests.len() > 1 && payload.bytes() > max_bytes && self.plan.get(sequence).is_none() {
            out.ignore(Some(signer), Ignored::BatchTooLarge);
            return self.distrust_primary(out);
        }
        let bodies = (!payload.recorded).then(|| Bodies::of(payload.batch(), &requests));
        payload.recorded = true;
        slot.vote_for(digest);
        slot.progress = Progress::Accepted;
        for request in &requests {
            self.pool.mark_proposed(&request.digest());
            self.placed.insert(request.digest(), sequence);
        }
        self.pace.accepted(sequence);
        if !is_primary {
            let message = PrePrepare { view, sequence, digest };
            out.record(Record::Accepted(Signed { signer, message, signature }, bodies));
            out.send(Recipients::All, Outgoing::Prepare(Prepare { view, sequence, digest }));
        } else if let Some(bodies) = bodies {
            // It proposed again what an earlier view prepared, and had to fetch the bodies: now it vouches for them.
            out.record(Record::Bodies(sequence, bodies));
        }
        self.advance_slot(sequence, out);
    }

    /// Rule P-3: a backup's prepare. It may come before the pre-prepare.
    pub(crate) fn on_prepare(&mut self, vote: Verified<Prepare>, out: &mut Outbox) {
        let Prepare { view, sequence, digest } = *vote.message();
        let admitted = self.admit_vote(view, sequence).and_then(|()| {
            if vote.signer() == self.config.committee().primary(view) {
                return Err(Ignored::PrimaryPrepare);
            }
            Ok(())
        });
        if let Err(reason) = admitted {
            return self.refuse_vote(vote.signer(), sequence, reason, out);
        }
        let slot = self.slot_mut(sequence);
        let counted = slot.prepares.count(vote.signer(), Vote { view, digest, signature: vote.signature() });
        let evidence = |known: Vote| {
            let message = Prepare { view, sequence, digest: known.digest };
            Evidence::Prepares(Pair::of(Signed { signer: vote.signer(), message, signature: known.signature }, &vote))
        };
        if self.was_counted(counted, &vote, evidence, out) {
            self.examine(sequence, vote.signer(), out);
            self.confront(sequence, vote.signer(), out);
            self.advance_slot(sequence, out);
        }
    }

    /// Rule P-5: a replica's commit. It may come before anything else of its slot.
    pub(crate) fn on_commit(&mut self, vote: Verified<Commit>, out: &mut Outbox) {
        let Commit { view, sequence, digest } = *vote.message();
        // Also of a view that this replica has left: a quorum of them proves what was decided there (rule V-7).
        if let Err(reason) = self.admit_sequence(sequence) {
            return self.refuse_vote(vote.signer(), sequence, reason, out);
        }
        let slot = self.slot_mut(sequence);
        let counted = slot.commits.count(vote.signer(), Vote { view, digest, signature: vote.signature() });
        let evidence = |known: Vote| {
            let message = Commit { view, sequence, digest: known.digest };
            Evidence::Commits(Pair::of(Signed { signer: vote.signer(), message, signature: known.signature }, &vote))
        };
        if self.was_counted(counted, &vote, evidence, out) {
            self.examine(sequence, vote.signer(), out);
            self.examine_commits(sequence, vote.signer(), out);
            self.decide(*vote.message(), out);
        }
    }

    /// Rules P-5 and V-7: whether this commit completes a quorum.
    fn decide(&mut self, commit: Commit, out: &mut Outbox) {
        let (committee, id) = (self.config.committee(), self.id());
        let Some(slot) = self.slots.get_mut(&commit.sequence).filter(|slot| slot.committed.is_none()) else { return };
        let Some(certificate) = slot.try_committed(commit, committee) else { return };
        slot.want(commit.digest, certificate.signers().filter(|signer| *signer != id));
        slot.committed = Some(certificate);
        self.deliver(out);
    }

    /// Votes of this view are counted, votes of later views kept (of each replica only the last), for this replica may
    /// learn of the view a moment later than the voter.
    fn admit_vote(&self, view: View, sequence: SequenceNumber) -> Result<(), Ignored> {
        if view < self.view {
            return Err(Ignored::OldView);
        }
        self.admit_sequence(sequence)
    }

    fn refuse_vote(&mut self, signer: ReplicaId, sequence: SequenceNumber, reason: Ignored, out: &mut Outbox) {
        if reason == Ignored::AboveWindow {
            self.note_beyond(signer, sequence, out);
        }
        out.ignore(Some(signer), reason);
    }

    fn was_counted<M: bezant_types::Signable<Signer = ReplicaId>>(
        &self,
        counted: Counted,
        vote: &Verified<M>,
        evidence: impl FnOnce(Vote) -> Evidence,
        out: &mut Outbox,
    ) -> bool {
        let reason = match counted {
            Counted::Yes => return true,
            Counted::Duplicate => Ignored::Duplicate,
            Counted::Superseded => Ignored::OldView,
            Counted::Contradicts(known) => {
                out.effect(Effect::Accuse(vote.signer(), evidence(known)));
                Ignored::Contradiction
            }
        };
        out.ignore(Some(vote.signer()), reason);
        false
    }

    /// Rule P-4: whether the prepares of a slot now amount to a certificate. Then, and only then, it commits.
    pub(crate) fn advance_slot(&mut self, sequence: SequenceNumber, out: &mut Outbox) {
        let (active, view, committee) = (self.is_active(), self.view, self.config.committee());
        let Some(slot) = self.slots.get_mut(&sequence) else { return };
        if active && slot.progress == Progress::Accepted {
            let Some(certificate) = slot.try_prepared(sequence, committee) else { return };
            assert!(certificate.view() == view, "only the current view's proposal is counted");
            let commit = Commit { view, sequence, digest: certificate.digest() };
            out.record(Record::Prepared(certificate.as_proof().clone()));
            slot.prepared = Some(certificate);
            slot.progress = Progress::Prepared;
            out.send(Recipients::All, Outgoing::Commit(commit));
        }
    }

    /// Rule P-8: a backup watches the client at the head of the line. Work that came later does not move its timer, so
    /// a primary that serves everybody but one client is caught when it is that client's turn (hazard 46).
    pub(crate) fn watch_primary(&mut self, out: &mut Outbox) {
        let backup = self.is_active() && self.id() != self.primary();
        if !backup && self.watch.take().is_some() {
            return out.effect(Effect::CancelTimer(Timer::Progress(self.view)));
        }
        // Who is behind for a moment judges nobody meanwhile, and forgets nothing.
        if !backup || self.is_behind() {
            return;
        }
        let still_owed = |work| match work {
            Work::Request { client, number } => self.pool.waits(client, number),
            Work::Slot(sequence) => self.executed < sequence,
        };
        let now = self.pace.now();
        match self.watch {
            Some(Watch { work, served: false, .. }) if still_owed(work) => return,
            Some(Watch { work: Work::Request { client, .. }, .. }) => self.pool.step_back(now, client),
            Some(_) | None => {}
        }
        let Some((work, since)) = self.oldest_work() else {
            if self.watch.take().is_some() {
                out.effect(Effect::CancelTimer(Timer::Progress(self.view)));
            }
            return;
        };
        // The time in line counts, or each client before it would buy a primary that ignores it a whole timeout. What
        // the group usually needs is left to the primary before anything is passed on, and half of the timeout after
        // it.
        let (timeout, half) = (self.timeout_ms(), self.timeout_ms() / 2);
        let needs = self.usual_ms().unwrap_or_default().max(timeout / PATIENCE).min(half);
        let waited = since.map_or(0, |since| now.since(since));
        self.watch = Some(Watch { work, half: Half::First, served: false });
        out.effect(Effect::SetTimer(Timer::Progress(self.view), half.saturating_sub(waited).max(needs)));
    }

    /// What is to be watched, and since when it has had its place in line.
    fn oldest_work(&self) -> Option<(Work, Option<Moment>)> {
        let slot = || {
            let proposed = self.slots.range(self.executed.next()..).find(|(_, slot)| slot.proposal.is_some());
            let prescribed = self.plan.last().filter(|last| *last > self.executed);
            proposed.map(|(sequence, _)| *sequence).or(prescribed).map(|sequence| (Work::Slot(sequence), None))
        };
        let request = self.pool.head();
        request.map(|(client, since, number)| (Work::Request { client, number }, Some(since))).or_else(slot)
    }

    /// A request was executed for the first time. If it is what this backup watches, or what its client had asked for
    /// before that, then the client is served in its order, and its own flood is all that it has to wait for.
    pub(crate) fn note_service(&mut self, of: AccountId, executed: RequestNumber) {
        if let Some(Watch { work: Work::Request { client, number }, served, .. }) = &mut self.watch
            && *client == of
            && executed <= *number
        {
            *served = true;
        }
    }

    /// Half of the primary's time is over: make sure that it has the request. All of it is over: ask for another
    /// primary.
    pub(crate) fn on_progress_timeout(&mut self, view: View, out: &mut Outbox) {
        let Some(Watch { work, half, .. }) = self.watch.filter(|_| view == self.view && self.is_active()) else {
            return;
        };
        match half {
            _ if self.is_behind() => out.effect(Effect::SetTimer(Timer::Progress(view), self.timeout_ms() / 2)),
            Half::First => self.pass_on_work(work, out),
            Half::Second => {
                self.watch = None;
                self.start_view_change(view.next(), out);
            }
        }
    }

    /// The second half begins with passing on all that the primary seems not to have, and not what is watched alone: a
    /// client that cannot reach the primary would be served one request at a time. What is watched comes first, or a
    /// flood would leave no room for it.
    fn pass_on_work(&mut self, work: Work, out: &mut Outbox) {
        self.watch = Some(Watch { work, half: Half::Second, served: false });
        out.effect(Effect::SetTimer(Timer::Progress(self.view), self.timeout_ms() / 2));
        let watched = match work {
            Work::Request { client, number } => self.pool.unproposed_of(client, number).cloned(),
            Work::Slot(_) => None,
        };
        let others = self.pool.unproposed(HELP_BYTES);
        let is_watched = |one: &Request| watched.as_ref().is_some_and(|watched| watched.digest() == one.digest());
        let others: Vec<Request> = others.into_iter().filter(|one| !is_watched(one)).collect();
        let waiting: Vec<Request> = watched.into_iter().chain(others).collect();
        if !waiting.is_empty() {
            out.send(Recipients::One(self.primary()), Outgoing::Proven(Message::Requests(waiting)));
        }
    }
}
