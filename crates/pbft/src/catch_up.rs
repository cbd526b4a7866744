//! Helping those who missed something: status messages, proofs, bodies by digest, and when none of it reaches far
//! enough, the state of a checkpoint.
//!
//! Nothing is acknowledged and nothing retransmitted blindly. Every replica says now and then where it stands; whoever
//! is ahead answers with what the other lacks: the new view, the stable checkpoint, committed blocks with their
//! certificates, its own votes again. What is learnt this way is checked exactly as strictly as what comes live (hazard
//! 65). In a view change it goes on, so that a replica that has left its view still learns what the others commit (rule
//! V-7).
//!
//! A replica that learns late of a checkpoint refuses what lies above its window, and once its window moves has missed
//! it (hazard 18). It says at once where it stands then, and has its peers' votes again without waiting for the next
//! status.
//!
//! Help is rationed: a few answers a peer and status interval, bounded in blocks and bytes, so that asking costs the
//! asker about as much as the asked (hazard 70).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bezant_types::codec::encoded_len;
use bezant_types::{Digest, ReplicaId, Request, SequenceNumber, Verified};

use crate::certificate::{CheckpointCertificate, CommitCertificate, Endorsed};
use crate::ignored::Ignored;
use crate::message::{Batch, Checkpoint, Commit, Fetch, PrePrepare, Prepare, Standing, Status};
use crate::packet::{Decided, Message, Outgoing};
use crate::ready::{Effect, Fault, Outbox, Recipients, Timer};
use crate::replica::{Replica, sequence_of};
use crate::slot::{Payload, Progress};

/// The most blocks in one answer to a status.
const HELP_BLOCKS: usize = 64;
/// The most statuses of one peer that are answered in one status interval, the first aside only if its window has moved
/// since the one before.
const HELPS_PER_INTERVAL: u32 = 4;
/// The most bytes of bodies in one answer to a fetch, a first body of any size aside.
pub(crate) const HELP_BYTES: usize = 4 << 20;
/// The most fetches of one peer that are answered in one status interval.
const FETCHES_PER_INTERVAL: u32 = 64;
/// The most bytes with which they are answered, the last answer aside.
const FETCHED_BYTES_PER_INTERVAL: usize = 8 * HELP_BYTES;
/// The most view changes and new views of one peer whose certificates are checked in one status interval. An honest one
/// sends one for each view, and views last longer than that.
const CHECKS_PER_INTERVAL: u32 = 8;
/// How long to wait for a body to come by itself before asking for it, in milliseconds.
const FETCH_PATIENCE_MS: u64 = 10;
/// The most that the interval between two rounds of asking grows to, in milliseconds.
const FETCH_PATIENCE_MAX_MS: u64 = 640;

/// What is known of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    /// Its last status.
    pub(crate) status: Option<Status>,
    /// How many of its statuses were answered in this interval.
    helped: u32,
    /// Whether it has connected in this interval.
    connected: bool,
    /// The highest sequence number that it voted for while that lay above this replica's window.
    beyond: SequenceNumber,
    /// How many of its fetches were answered in this interval, and with how many bytes.
    fetches: u32,
    fetched_bytes: usize,
    /// How many of its view changes and new views were checked in this interval.
    checked: u32,
}

/// What this replica is waiting for from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fetching {
    /// How many rounds of asking for bodies have gone by; `None` while no body is missing.
    round: Option<u32>,
    /// The stable checkpoint whose blocks are waited for, while the catch-up timer runs.
    awaited: Option<SequenceNumber>,
    /// The checkpoint whose state the host is fetching.
    state: Option<SequenceNumber>,
}

impl Fetching {
    pub(crate) fn is_fetching_state(&self) -> bool {
        self.state.is_some()
    }

    pub(crate) fn caught_up(&mut self, out: &mut Outbox) {
        if self.awaited.take().is_some() {
            out.effect(Effect::CancelTimer(Timer::CatchUp));
        }
    }
}

impl Replica {
    fn status(&self) -> Status {
        // What it can prove, not how far its window is: a member that lost its log relies on that (rule A-1).
        Status { view: self.view, standing: self.standing(), stable: self.settled(), executed: self.executed }
    }

    pub(crate) fn send_status(&self, to: Recipients, out: &mut Outbox) {
        out.send(to, Outgoing::Status(self.status()));
    }

    /// A member votes for what lies above this replica's window. Once a weak quorum does, somebody honest is there, and
    /// this replica asks for what it lacks: that may be a checkpoint that others know to be stable.
    pub(crate) fn note_beyond(&mut self, member: ReplicaId, sequence: SequenceNumber, out: &mut Outbox) {
        let was_outrun = self.is_outrun();
        let beyond = &mut self.peers.entry(member).or_default().beyond;
        *beyond = sequence.max(*beyond);
        if !was_outrun && self.is_outrun() {
            self.send_status(Recipients::Others, out);
        }
    }

    /// The window moves. Whoever votes above it still will say so again.
    pub(crate) fn forget_beyond(&mut self) {
        self.peers.values_mut().for_each(|peer| peer.beyond = SequenceNumber::ZERO);
    }

    /// How many members have voted for something above `high`.
    pub(crate) fn count_beyond(&self, high: SequenceNumber) -> usize {
        self.peers.values().filter(|peer| peer.beyond > high).count()
    }

    pub(crate) fn on_connected(&mut self, peer: ReplicaId, out: &mut Outbox) {
        if peer != self.id() && self.config.committee().contains(peer) {
            // Once in an interval: or one that connects again and again would be helped each time.
            let known = self.peers.entry(peer).or_default();
            if !core::mem::replace(&mut known.connected, true) {
                known.helped = 0;
            }
            self.send_status(Recipients::One(peer), out);
        }
    }

    pub(crate) fn on_status_timeout(&mut self, out: &mut Outbox) {
        for peer in self.peers.values_mut() {
            peer.helped = 0;
            peer.connected = false;
            peer.fetches = 0;
            peer.fetched_bytes = 0;
            peer.checked = 0;
        }
        self.send_status(Recipients::Others, out);
        out.effect(Effect::SetTimer(Timer::Status, self.config.parameters().status_interval_ms));
    }

    /// Rule V-7 and hazards 49 to 53: a peer says where it stands; help it if it stands still behind this replica.
    pub(crate) fn on_status(&mut self, message: Verified<Status>, out: &mut Outbox) {
        let (peer, status) = (message.signer(), *message.message());
        if peer == self.id() {
            return out.ignore(Some(peer), Ignored::Duplicate);
        }
        let window = self.config.parameters().window;
        let last = self.slots.last_key_value().map_or(SequenceNumber::ZERO, |(sequence, _)| *sequence);
        let known = self.peers.entry(peer).or_default();
        let before = known.status.replace(status);
        let stands_still = before.is_none_or(|before| before.executed == status.executed);
        // It may have refused what lay above its window.
        let high = before.map_or(last, |before| before.stable.saturating_add(window));
        let has_moved = before.is_some_and(|before| before.stable < status.stable);
        if known.helped >= if has_moved { HELPS_PER_INTERVAL } else { 1 } {
            return out.ignore(Some(peer), Ignored::Duplicate);
        }
        let is_first = known.helped == 0;
        known.helped += 1;
        let to = Recipients::One(peer);
        self.help_with_view(to, &status, out);
        self.help_with_checkpoint(to, &status, out);
        if stands_still || self.executed.since(status.executed) > 2 * self.config.parameters().pipeline {
            self.help_with_blocks(to, &status, out);
        }
        if stands_still && is_first {
            self.help_with_votes(to, &status, status.executed, out);
        } else if high < last {
            self.help_with_votes(to, &status, high, out);
        }
        if status.standing == Standing::Recovering {
            self.remind(peer, &status, out);
            self.send_status(to, out);
        }
        self.on_answer(peer, &status, out);
    }

    fn help_with_view(&self, to: Recipients, status: &Status, out: &mut Outbox) {
        let behind = status.view < self.view || (status.view == self.view && status.standing == Standing::ViewChanging);
        if !behind {
            return;
        }
        if let Some(new_view) = &self.new_view {
            out.send(to, Outgoing::Proven(Message::NewView(new_view.clone())));
        }
        if let Some(asked) = &self.asked {
            out.send(to, Outgoing::ViewChange(asked.clone()));
        }
        if let Some(opening) = &self.opening {
            out.send(to, Outgoing::NewView(opening.clone()));
        }
    }

    fn help_with_checkpoint(&self, to: Recipients, status: &Status, out: &mut Outbox) {
        if let Some(stable) = self.proven()
            && status.stable < self.settled()
        {
            out.send(to, Outgoing::Proven(Message::Stable(stable.as_endorsed().clone())));
        }
        // At its low water mark it has a certificate, which says more than its vote; and if it fetched that state, it
        // never vouched for it.
        if self.silence.may_vote() {
            for (sequence, root) in self.roots.range(status.stable.max(self.low()).next()..) {
                let checkpoint = Checkpoint { sequence: *sequence, root: *root };
                out.send(to, Outgoing::Checkpoint(checkpoint));
            }
        }
    }

    fn help_with_blocks(&self, to: Recipients, status: &Status, out: &mut Outbox) {
        if !self.recent.contains_key(&status.executed.next()) {
            return; // It lacks more than this replica kept: blocks with a gap before them would not help.
        }
        let decided = self.recent.range(status.executed.next()..).take(HELP_BLOCKS);
        for (_, block) in decided {
            out.send(to, Outgoing::Proven(Message::Decided(block.decided.clone())));
        }
    }

    /// What this replica said about slots that are not decided, once more. The same votes: nothing new is said here.
    fn help_with_votes(&self, to: Recipients, status: &Status, above: SequenceNumber, out: &mut Outbox) {
        if !self.is_active() || status.view != self.view {
            return;
        }
        for (sequence, _) in self.slots.range(above.max(status.executed).max(self.delivered).next()..) {
            self.repeat_votes(*sequence, to, out);
        }
    }

    /// Says again what this replica has said about a slot in this view.
    pub(crate) fn repeat_votes(&self, sequence: SequenceNumber, to: Recipients, out: &mut Outbox) {
        let Some(slot) = self.slots.get(&sequence) else { return };
        let view = self.view;
        if let Some(digest) = slot.announced {
            let batch = slot.payload(&digest).map(|payload| payload.batch().clone());
            out.send(to, Outgoing::PrePrepare(PrePrepare { view, sequence, digest }, batch));
        }
        let Some(proposal) = slot.proposal else { return };
        let digest = proposal.digest;
        if slot.progress >= Progress::Accepted && self.primary() != self.id() {
            out.send(to, Outgoing::Prepare(Prepare { view, sequence, digest }));
        }
        if slot.progress >= Progress::Prepared {
            out.send(to, Outgoing::Commit(Commit { view, sequence, digest }));
        }
    }

    /// Rule V-7: a committed batch with its proof, whatever the view.
    pub(crate) fn on_decided(&mut self, decided: Decided, out: &mut Outbox) {
        match self.admit_decided(decided) {
            Ok((certificate, batch)) => {
                let Commit { sequence, digest, .. } = *certificate.vote();
                assert!(self.delivered < sequence && sequence <= self.high(), "admitted blocks are wanted");
                let payload = Payload::new(batch, |wanted| self.find_request(wanted).cloned());
                let slot = self.slots.entry(sequence).or_default();
                slot.committed = Some(certificate);
                slot.keep(payload);
                debug_assert!(slot.payload(&digest).is_some());
                self.examine_signers(sequence, out);
                self.deliver(out);
            }
            Err(Refused::Ignored(reason)) => out.ignore(None, reason),
            Err(Refused::Broken(sequence)) => out.effect(Effect::Halt(Fault::Broken { sequence })),
        }
    }

    fn admit_decided(&self, decided: Decided) -> Result<(CommitCertificate, Batch), Refused> {
        let Decided { commits, batch } = decided;
        let Commit { sequence, digest, .. } = commits.vote;
        if sequence <= self.delivered || self.fetching.is_fetching_state() {
            return Err(Refused::Ignored(Ignored::BelowWindow));
        }
        if sequence > self.high() {
            return Err(Refused::Ignored(Ignored::AboveWindow));
        }
        let slot = self.slots.get(&sequence);
        let known = slot.and_then(|slot| slot.committed.as_ref());
        let here = slot.is_some_and(|slot| slot.payload(&digest).is_some());
        if here && known.is_some_and(|known| known.vote().digest == digest) {
            return Err(Refused::Ignored(Ignored::Duplicate));
        }
        if batch.digest() != digest {
            return Err(Refused::Ignored(Ignored::WrongDigest));
        }
        let certificate = CommitCertificate::check(commits, self.config.committee(), self.config.keyring())
            .map_err(|error| Refused::Ignored(Ignored::BadCertificate(error)))?;
        let contradicted = known.is_some_and(|known| known.vote().digest != digest);
        if contradicted { Err(Refused::Broken(sequence)) } else { Ok((certificate, batch)) }
    }

    /// A stable checkpoint with its proof.
    pub(crate) fn on_stable_message(&mut self, endorsed: Endorsed<Checkpoint>, out: &mut Outbox) {
        let sequence = endorsed.vote.sequence;
        if sequence <= self.low() {
            return out.ignore(None, Ignored::BelowWindow);
        }
        if sequence <= sequence_of(self.ahead.as_ref()) {
            return out.ignore(None, Ignored::Duplicate);
        }
        match CheckpointCertificate::check(endorsed, self.config.committee(), self.config.keyring()) {
            Ok(certificate) => self.on_stable(certificate, out),
            Err(error) => out.ignore(None, Ignored::BadCertificate(error)),
        }
    }

    /// The group has a stable checkpoint that this replica has not executed. Others keep the last window of blocks, so
    /// within it they are waited for; beyond it only the state helps.
    pub(crate) fn on_behind(&mut self, out: &mut Outbox) {
        let target = sequence_of(self.ahead.as_ref());
        if self.delivered >= target {
            return; // The executor is on its way there.
        }
        if let Some(state) = self.fetching.state {
            if state < target {
                self.fetch_state(out);
            }
            return;
        }
        if target.since(self.delivered) > self.config.parameters().window {
            self.fetch_state(out);
        } else if self.fetching.awaited.is_none() {
            self.fetching.awaited = Some(target);
            out.effect(Effect::SetTimer(Timer::CatchUp, self.config.parameters().request_timeout_ms));
        }
    }

    /// The time for the blocks up to a stable checkpoint is over. If they have come, those up to a later one have a
    /// time of their own.
    pub(crate) fn on_catch_up_timeout(&mut self, out: &mut Outbox) {
        let Some(awaited) = self.fetching.awaited.take() else { return };
        if self.delivered < awaited {
            self.fetch_state(out);
        } else {
            self.on_behind(out);
        }
    }

    /// Rule C-4: fetch the state of the last stable checkpoint. Until it is here nothing is delivered: the executor has
    /// one ledger, and it is about to be replaced.
    fn fetch_state(&mut self, out: &mut Outbox) {
        let Some(certificate) = self.ahead.clone() else { return };
        self.fetching.caught_up(out);
        self.fetching.state = Some(certificate.vote().sequence);
        out.effect(Effect::FetchState(certificate));
    }

    /// The host has installed the state of a checkpoint that this replica had found to be stable.
    pub(crate) fn on_restored(&mut self, certificate: CheckpointCertificate, out: &mut Outbox) {
        let Checkpoint { sequence, root } = *certificate.vote();
        let asked = self.fetching.state;
        assert!(asked.is_some_and(|last| sequence <= last), "a state comes because it was asked for");
        assert!(self.executed < sequence, "a state that is fetched lies ahead");
        // A later one may have been asked for while this one was being installed. The host is fetching it already and
        // will replace its ledger once more, so nothing may be delivered before that. What it fetches then is what has
        // changed since this state, so it gets shorter each time (hazard 67).
        self.fetching.state = asked.filter(|last| sequence < *last);
        self.delivered = sequence;
        self.executed = sequence;
        self.last_checkpoint = sequence;
        self.roots.insert(sequence, root);
        self.recent.clear();
        // Some of what waits was executed in blocks that this replica never saw. Clients will ask again for the rest.
        self.pool.clear();
        self.advance(certificate, out);
        self.deliver(out);
        if self.ahead.is_some() {
            self.on_behind(out);
        }
    }

    /// Keeps asking for bodies while any is missing.
    pub(crate) fn watch_bodies(&mut self, out: &mut Outbox) {
        let missing = !self.fetching.is_fetching_state() && !self.incomplete().is_empty();
        match self.fetching.round {
            None if missing => {
                self.fetching.round = Some(0);
                out.effect(Effect::SetTimer(Timer::Fetch, FETCH_PATIENCE_MS));
            }
            Some(_) if !missing => {
                self.fetching.round = None;
                out.effect(Effect::CancelTimer(Timer::Fetch));
            }
            None | Some(_) => {}
        }
    }

    /// Rule V-4: asks for what is missing: first those who vouched for it, then everybody in turn.
    pub(crate) fn on_fetch_timeout(&mut self, out: &mut Outbox) {
        let Some(round) = self.fetching.round else { return };
        self.fetching.round = Some(round.saturating_add(1));
        let patience = FETCH_PATIENCE_MS.saturating_mul(1 << round.min(16)).min(FETCH_PATIENCE_MAX_MS);
        out.effect(Effect::SetTimer(Timer::Fetch, patience));
        let mut wanted: BTreeMap<ReplicaId, Fetch> = BTreeMap::new();
        for sequence in self.incomplete() {
            let Some(slot) = self.slots.get(&sequence) else { continue };
            for (digest, holders) in &slot.wanted {
                if let Some(one) = self.choose(holders.iter().copied().collect(), round) {
                    add(&mut wanted, one, |fetch| fetch.batches.push((sequence, *digest)), |fetch| fetch.batches.len());
                }
            }
            let vouchers: Vec<_> = slot.vouchers(self.config.committee(), self.view).collect();
            if let Some(one) = self.choose(vouchers, round) {
                for digest in slot.payloads().flat_map(Payload::missing) {
                    add(&mut wanted, one, |fetch| fetch.requests.push(digest), |fetch| fetch.requests.len());
                }
            }
        }
        for (peer, fetch) in wanted {
            out.send(Recipients::One(peer), Outgoing::Fetch(fetch));
        }
    }

    /// Somebody to ask: in even rounds one of those who should have it, in odd rounds anybody, each in turn.
    fn choose(&self, holders: Vec<ReplicaId>, round: u32) -> Option<ReplicaId> {
        let holders: Vec<_> = holders.into_iter().filter(|one| *one != self.id()).collect();
        let everybody: Vec<_> = self.config.committee().members().filter(|one| *one != self.id()).collect();
        let from = if round.is_multiple_of(2) && !holders.is_empty() { holders } else { everybody };
        let turn = usize::try_from(round / 2).unwrap_or(0);
        from.get(turn.checked_rem(from.len())?).copied()
    }

    /// A peer lacks bodies.
    pub(crate) fn on_fetch(&mut self, message: Verified<Fetch>, out: &mut Outbox) {
        let peer = message.signer();
        let Fetch { requests, batches } = message.message();
        if requests.len() > Fetch::LIMIT || batches.len() > Fetch::LIMIT {
            return out.ignore(Some(peer), Ignored::TooMuch);
        }
        let known = self.peers.entry(peer).or_default();
        let rationed = known.fetches >= FETCHES_PER_INTERVAL || known.fetched_bytes >= FETCHED_BYTES_PER_INTERVAL;
        if rationed || peer == self.config.id() {
            return out.ignore(Some(peer), Ignored::Rationed);
        }
        known.fetches += 1;
        let to = Recipients::One(peer);
        let mut bytes = 0usize;
        let mut found = Vec::new();
        for request in
            requests.iter().collect::<BTreeSet<_>>().into_iter().filter_map(|digest| self.find_request(digest))
        {
            bytes = bytes.saturating_add(request.size());
            if !found.is_empty() && bytes > HELP_BYTES {
                break;
            }
            found.push(request.clone());
        }
        if !found.is_empty() {
            out.send(to, Outgoing::Proven(Message::Requests(found)));
        }
        for (sequence, digest) in batches.iter().collect::<BTreeSet<_>>() {
            if let Some(batch) = self.find_batch(*sequence, digest) {
                bytes = bytes.saturating_add(encoded_len(batch));
                if bytes > HELP_BYTES {
                    break;
                }
                out.send(to, Outgoing::Proven(Message::Batch(*sequence, batch.clone())));
            }
        }
        self.peers.entry(peer).or_default().fetched_bytes += bytes;
    }

    /// Whether the dear checks of a view change or new view of this peer are still to be paid for in this interval.
    pub(crate) fn may_check(&mut self, peer: ReplicaId) -> bool {
        let checked = &mut self.peers.entry(peer).or_default().checked;
        *checked = checked.saturating_add(1);
        *checked <= CHECKS_PER_INTERVAL
    }

    pub(crate) fn find_request(&self, digest: &Digest) -> Option<&Request> {
        if let Some(request) = self.pool.get(digest) {
            return Some(request);
        }
        let sequence = self.placed.get(digest)?;
        let recent = self.recent.get(sequence).and_then(|block| {
            let index = block.decided.batch.requests().iter().position(|one| one == digest)?;
            block.requests.get(index)
        });
        recent.or_else(|| self.slots.get(sequence)?.payloads().find_map(|payload| payload.body(digest)))
    }

    fn find_batch(&self, sequence: SequenceNumber, digest: &Digest) -> Option<&Batch> {
        let in_slot = self.slots.get(&sequence).and_then(|slot| slot.payload(digest)).map(Payload::batch);
        let recent = || self.recent.get(&sequence).map(|block| &block.decided.batch);
        in_slot.or_else(|| recent().filter(|batch| batch.digest() == *digest))
    }

    /// A batch that was asked for by its digest.
    pub(crate) fn on_batch(&mut self, sequence: SequenceNumber, batch: Batch, out: &mut Outbox) {
        let digest = batch.digest();
        let asked = self.slots.get(&sequence).is_some_and(|slot| slot.wanted.contains_key(&digest));
        if !asked {
            return out.ignore(None, Ignored::Unasked);
        }
        let payload = {
            let this = &*self;
            Payload::new(batch, |wanted| this.find_request(wanted).cloned())
        };
        self.slot_mut(sequence).keep(payload);
        self.accept(sequence, out);
        self.deliver(out);
    }
}

/// Adds to the fetch for `peer` unless that is full.
fn add(
    wanted: &mut BTreeMap<ReplicaId, Fetch>,
    peer: ReplicaId,
    push: impl FnOnce(&mut Fetch),
    len: impl FnOnce(&Fetch) -> usize,
) {
    let fetch = wanted.entry(peer).or_insert(Fetch { requests: Vec::new(), batches: Vec::new() });
    if len(fetch) < Fetch::LIMIT {
        push(fetch);
    }
}

/// Why a decided block was not taken.
enum Refused {
    Ignored(Ignored),
    /// It is valid and contradicts another valid one.
    Broken(SequenceNumber),
}
