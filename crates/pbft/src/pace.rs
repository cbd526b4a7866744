//! The watch over the primary's pace (rule P-9).
//!
//! # The adversary
//!
//! A primary that does everything right, and late. Silence costs it its view after one timeout (rule P-8), so it waits
//! for nine tenths of that before each proposal, or orders one request at a time while thousands wait, and the group
//! crawls at a speed that no timeout notices (Amir et al., *Prime*, DSN 2008; Clement et al., *Aardvark*, NSDI 2009;
//! Aublin et al., *RBFT*, ICDCS 2013).
//!
//! # What is judged
//!
//! Not the speed of the group, which depends on load, disks and distance, but what only the primary decides: how long
//! it lets work lie although it could have proposed it. The measure is the group's own. A backup knows how long it
//! takes from accepting a proposal to executing it; an honest primary needs less than that to propose what it holds,
//! because agreement takes several trips and a proposal one. So the primary's **allowance** for each piece of work is
//! four times the smoothed time of agreement, at least a thirty-second part of the request timeout and at most all of
//! it.
//!
//! 1. Work is *owed* while this backup holds a request that no proposal of the view holds. An opportunity is *missed*
//!    while something is owed and the pipeline has room; and with each proposal that leaves owed work behind although
//!    there was room for it in the batch.
//! 2. Once a whole allowance was missed, what is owed is passed on to the primary, which may never have had it: a
//!    client that avoids the primary must not be able to move views.
//! 3. If it goes on missing opportunities an allowance later, that runs up a **debt**. While it works, an eighth of the
//!    time pays debt off, and a sixty-fourth while there is nothing to do. A debt of half a timeout costs it its view.
//!
//! So beyond two allowances for each piece of work, a primary that keeps its view wastes at most an eighth of the
//! group's time, and half a timeout once. What the model leaves out: a primary that proposes early to some backups and
//! late to others inflates the measure of the former; it is the latter that complain, and `f + 1` of them suffice
//! (rule V-6).

use alloc::collections::BTreeMap;

use bezant_types::{Moment, SequenceNumber, View};

use crate::catch_up::HELP_BYTES;
use crate::packet::{Message, Outgoing};
use crate::ready::{Effect, Outbox, Recipients, Timer};
use crate::replica::Replica;

/// How many times the smoothed time of agreement a primary has for a proposal.
const ALLOWANCE: u64 = 4;
/// The least part of the request timeout that it has.
const LEAST_PART: u64 = 32;
/// Debts are counted in sixty-fourths of a millisecond: a millisecond at work pays off eight of them, one without work
/// one.
const FINE: u64 = 64;
const PAID_AT_WORK: u64 = 8;
const PAID_AT_REST: u64 = 1;
/// The weight of a new sample in the smoothed time of agreement is one eighth.
const SMOOTHING: u64 = 8;

/// What the primary owes to this backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Owed {
    #[default]
    Nothing,
    /// The request that arrived then has no place yet. The primary may not have it.
    Work(u64),
    /// Everything that arrived up to then was passed on to the primary at that moment.
    PassedOn { last: u64, at: Moment },
}

/// What a backup knows of its primary's pace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pace {
    /// The smoothed time of agreement in eighths of a millisecond, once one was measured. It is the group's and
    /// outlives views.
    agreement: Option<u64>,
    /// When the proposals under way were accepted. At most a window of them.
    accepted: BTreeMap<SequenceNumber, Moment>,
    owed: Owed,
    /// How long the primary has let the owed work lie although there was room, in milliseconds.
    missed: u64,
    /// In sixty-fourths of a millisecond.
    debt: u64,
    /// The moment of this step, and what is true from it on.
    now: Moment,
    missing: bool,
    busy: bool,
    armed: bool,
}

impl Pace {
    /// The moment of this step.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// Another primary begins without debt.
    pub(crate) fn new_view(&mut self) {
        *self = Self { agreement: self.agreement, now: self.now, ..Self::default() };
    }

    pub(crate) fn accepted(&mut self, sequence: SequenceNumber) {
        self.accepted.insert(sequence, self.now);
    }

    pub(crate) fn executed(&mut self, sequence: SequenceNumber) {
        if let Some(accepted) = self.accepted.remove(&sequence) {
            let sample = self.now.since(accepted);
            let before = self.agreement.unwrap_or(sample * SMOOTHING);
            self.agreement = Some(before - before / SMOOTHING + sample);
        }
        self.accepted = self.accepted.split_off(&sequence);
    }

    /// Time has passed.
    fn pass(&mut self, now: Moment, allowance: u64) {
        let passed = now.since(self.now);
        self.now = self.now.max(now);
        if self.missing {
            let before = self.missed;
            self.missed = before.saturating_add(passed);
            if let Owed::PassedOn { .. } = self.owed {
                let beyond = self.missed.max(allowance) - before.max(allowance);
                self.debt = self.debt.saturating_add(beyond.saturating_mul(FINE));
            }
        } else {
            let rate = if self.busy { PAID_AT_WORK } else { PAID_AT_REST };
            self.debt = self.debt.saturating_sub(passed.saturating_mul(rate));
        }
    }

    fn settle(&mut self) {
        self.owed = Owed::Nothing;
        self.missed = 0;
    }
}

impl Replica {
    /// How long a primary may let a piece of work lie, in milliseconds. Unmeasured, as long as rule P-8 lets it.
    fn allowance_ms(&self) -> u64 {
        let timeout = self.timeout_ms();
        self.usual_ms().map_or(timeout, |usual| usual.clamp((timeout / LEAST_PART).min(timeout), timeout))
    }

    /// Four times the smoothed time of agreement, in milliseconds: what a group that works stays below.
    pub(crate) fn usual_ms(&self) -> Option<u64> {
        self.pace.agreement.map(|eighths| (eighths / SMOOTHING).saturating_mul(ALLOWANCE))
    }

    /// Whether this backup can tell a slow primary from its own delay.
    fn judges_pace(&self) -> bool {
        self.is_active() && self.id() != self.primary() && !self.is_behind() && !self.is_outrun()
    }

    /// Whether the primary of this view could propose another batch, as far as this backup can see.
    fn has_room(&self) -> bool {
        let proposed = self.slots.iter().rev().find(|(_, slot)| slot.proposal.is_some()).map(|(sequence, _)| *sequence);
        let last = proposed.max(self.plan.last()).unwrap_or(self.executed).max(self.settled());
        let carried_over = self.plan.last().is_none_or(|last| last <= self.executed);
        carried_over && last < self.high() && last.since(self.executed) < self.config.parameters().pipeline
    }

    /// A new proposal was accepted. One that leaves owed work behind, and had room for it, misses an opportunity.
    pub(crate) fn judge_proposal(&mut self, sequence: SequenceNumber, out: &mut Outbox) {
        let Some(slot) = self.slots.get(&sequence) else { return };
        let payload = slot.proposal.and_then(|proposal| slot.payload(&proposal.digest));
        for digest in payload.iter().flat_map(|payload| payload.batch().requests()) {
            self.pool.mark_proposed(digest);
        }
        let Some(left) = self.pool.oldest_unproposed().filter(|_| self.judges_pace()) else { return };
        let parameters = self.config.parameters();
        let next = self.pool.arrived(left).map_or(0, bezant_types::Request::size);
        let max_bytes = parameters.max_batch_bytes as usize;
        // What a batch without all its bodies weighs is not known.
        let full = payload.filter(|payload| payload.is_complete()).is_none_or(|payload| {
            payload.batch().requests().len() >= parameters.max_batch_requests as usize
                || payload.bytes().saturating_add(next) > max_bytes
                // Another order, and a large request was the next: at least every other batch is half full.
                || payload.bytes() > max_bytes / 2
        });
        let now = self.pace.now;
        let allowance = self.allowance_ms();
        if full {
            return self.pace.settle();
        }
        // What is left behind counts only if the primary can have had it when it proposed: an allowance later.
        match self.pace.owed {
            Owed::Nothing | Owed::Work(_) => {
                if self.pool.since(left).is_some_and(|since| now.since(since) > allowance) {
                    self.pass_on(out);
                }
            }
            Owed::PassedOn { last, at } => {
                if left <= last && now.since(at) > allowance {
                    self.pace.debt = self.pace.debt.saturating_add(allowance.saturating_mul(FINE));
                }
            }
        }
    }

    /// Time has passed since the last step.
    pub(crate) fn pass_time(&mut self, now: Moment) {
        let allowance = self.allowance_ms();
        self.pace.pass(now, allowance);
    }

    /// Rule P-9, after every step.
    pub(crate) fn watch_pace(&mut self, out: &mut Outbox) {
        let allowance = self.allowance_ms();
        let judges = self.judges_pace();
        let oldest = if judges { self.pool.oldest_unproposed() } else { None };
        match (self.pace.owed, oldest) {
            (_, None) => self.pace.settle(),
            (Owed::Nothing, Some(_)) => {}
            (Owed::Work(watched), Some(oldest)) if watched == oldest => {}
            (Owed::PassedOn { last, .. }, Some(oldest)) if oldest <= last => {}
            (Owed::Work(_) | Owed::PassedOn { .. }, Some(_)) => self.pace.settle(),
        }
        if let (Owed::Nothing, Some(oldest)) = (self.pace.owed, oldest) {
            self.pace.owed = Owed::Work(oldest);
        }
        if matches!(self.pace.owed, Owed::Work(_)) && self.pace.missed >= allowance {
            self.pass_on(out);
        }
        let budget = self.timeout_ms() / 2;
        if judges && self.pace.debt >= budget.saturating_mul(FINE) {
            return self.start_view_change(self.view.next(), out);
        }
        self.pace.missing = oldest.is_some() && self.has_room();
        self.pace.busy = self.pool.len() > 0;
        if self.pace.missing && !self.pace.armed {
            let left = match self.pace.owed {
                Owed::Nothing | Owed::Work(_) => allowance.saturating_sub(self.pace.missed),
                Owed::PassedOn { .. } => {
                    allowance.saturating_sub(self.pace.missed).saturating_add(budget - self.pace.debt / FINE)
                }
            };
            self.pace.armed = true;
            out.effect(Effect::SetTimer(Timer::Pace(self.view), left.max(1)));
        }
    }

    /// The primary may never have had what it owes: a client need not have sent it there.
    fn pass_on(&mut self, out: &mut Outbox) {
        let waiting = self.pool.unproposed(HELP_BYTES);
        let last = waiting.last().and_then(|request| self.pool.arrival(&request.digest()));
        let Some(last) = last else { return };
        self.pace.owed = Owed::PassedOn { last, at: self.pace.now };
        self.pace.missed = 0;
        out.send(Recipients::One(self.primary()), Outgoing::Proven(Message::Requests(waiting)));
    }

    /// Time to look again. The timer is never cancelled: one that finds nothing amiss is one step.
    pub(crate) fn on_pace_timeout(&mut self, view: View) {
        if view == self.view {
            self.pace.armed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64) -> SequenceNumber {
        SequenceNumber::new(sequence)
    }

    /// One agreement that takes so long, beginning now.
    fn agree(pace: &mut Pace, sequence: u64, ms: u64) {
        pace.accepted(at(sequence));
        pace.pass(Moment::new(pace.now().get() + ms), 0);
        pace.executed(at(sequence));
    }

    #[test]
    fn the_first_measure_counts_whole_and_each_later_one_an_eighth() {
        let mut pace = Pace::default();
        agree(&mut pace, 1, 30);
        assert_eq!(pace.agreement, Some(30 * 8));
        agree(&mut pace, 2, 70);
        assert_eq!(pace.agreement, Some(35 * 8));
        agree(&mut pace, 3, 35);
        assert_eq!(pace.agreement, Some(35 * 8));
    }

    #[test]
    fn a_new_primary_inherits_the_measure_and_nothing_else() {
        let mut pace = Pace::default();
        agree(&mut pace, 1, 30);
        (pace.missed, pace.debt, pace.missing, pace.armed) = (7, 7, true, true);
        pace.owed = Owed::Work(7);
        pace.accepted(at(2));
        let (agreement, now) = (pace.agreement, pace.now());
        pace.new_view();
        assert_eq!(pace, Pace { agreement, now, ..Pace::default() });
        assert!(agreement.is_some() && now > Moment::default());
    }
}
