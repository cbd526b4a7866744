//! Requests: what waits, what is under way, and what it came to.
//!
//! # What may be under way together
//!
//! Request number `n` lives in slot `n mod W` of the client's window (see [`numbers`](super::numbers)), and executing a
//! number makes every lower one in its slot expire, executed or not. So two numbers under way at once must not share a
//! slot: the lower one would be lost whenever the group happens to order the higher one first. Numbers that span less
//! than W cannot share one. What is enforced here is that bound on what is under way, and the slots themselves: fewer
//! than W requests, and a number whose slot is taken is skipped. One slow request then costs one number in every W,
//! where a rule about the span alone would hold up the whole client until it is answered.
//!
//! A request that was given up keeps no slot. If it is still ordered one day, either nobody has used its slot since,
//! and it executes once as it might have before; or somebody has, and it never will.
//!
//! # What counts
//!
//! The tally of replies is [`bezant_pbft::client`]'s, one for each request since each has a deadline of its own. Here
//! is what surrounds it: cheap checks before the signature, the form of the outcome, and refusals, of which f + 1 alike
//! are believed as well: one honest replica found a fault that every honest replica finds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bezant_pbft::client::{Client as Tally, ClientEffect, Patience};
use bezant_pbft::message::Reply;
use bezant_types::codec::encoded_len;
use bezant_types::transaction::Receipt;
use bezant_types::{Bundle, Moment, Outcome, ReplicaId, RequestNumber, Transaction, Verified};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::Options;
use super::error::{Fate, NoQuorum, SubmitError};
use super::ignored::Ignored;
use super::network::Network;
use super::numbers::Numbers;
use super::time::millis;
use crate::wire::{ASK, Ask, Refusal};

/// Takes what a request came to.
pub(super) type SubmitReply = oneshot::Sender<Result<Vec<Receipt>, SubmitError>>;

/// Transactions that a caller wants executed as one request.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) transactions: Vec<Transaction>,
    pub(super) since: Moment,
    pub(super) deadline: Moment,
    pub(super) reply: SubmitReply,
}

/// What waits and what is under way.
pub(super) struct Requests {
    network: Arc<Network>,
    retry: Duration,
    most_under_way: usize,
    most_bytes: usize,
    most_waiting: usize,
    slots: u64,
    waiting: VecDeque<Waiting>,
    under_way: BTreeMap<RequestNumber, UnderWay>,
    bytes: usize,
}

struct Waiting {
    submission: Submission,
    size: usize,
}

struct UnderWay {
    tally: Tally,
    frame: Bytes,
    /// How many operations each of its transactions has.
    shape: Vec<usize>,
    answered: BTreeSet<ReplicaId>,
    refusals: BTreeMap<ReplicaId, Refusal>,
    since: Moment,
    fate: Fate,
    reply: SubmitReply,
}

/// What a reply says about this client's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbering {
    /// Nothing new.
    Sound,
    /// Somebody has used higher ones.
    Behind,
}

impl Requests {
    pub(super) fn new(network: Arc<Network>, options: &Options) -> Self {
        let window = network.genesis.parameters().client_window;
        Self {
            retry: options.retry,
            most_under_way: options.most_under_way.clamp(1, window as usize - 1),
            most_bytes: options.most_bytes_under_way,
            most_waiting: options.most_waiting,
            slots: u64::from(window),
            waiting: VecDeque::new(),
            under_way: BTreeMap::new(),
            bytes: 0,
            network,
        }
    }

    /// Lets a submission wait for its turn, or turns it away.
    pub(super) fn admit(&mut self, mut submission: Submission) {
        let transactions = std::mem::take(&mut submission.transactions);
        // The number is of fixed length, so the limits can be checked before there is one.
        let bundle = Bundle { number: RequestNumber::ZERO, transactions };
        let refusal = match bundle.validate(self.network.genesis.parameters()) {
            Err(bad) => Some(SubmitError::NotSent(bad.to_string())),
            Ok(()) if self.waiting.len() >= self.most_waiting => {
                Some(SubmitError::NotSent(format!("{} others wait already: try again later", self.waiting.len())))
            }
            Ok(()) => None,
        };
        match refusal {
            Some(error) => answer(submission.reply, Err(error)),
            None => {
                let size = encoded_len(&bundle);
                submission.transactions = bundle.transactions;
                self.waiting.push_back(Waiting { submission, size });
            }
        }
    }

    /// Whether something waits and may start.
    pub(super) fn can_start(&self) -> bool {
        let fits = |size: usize| self.under_way.is_empty() || self.bytes.saturating_add(size) <= self.most_bytes;
        self.under_way.len() < self.most_under_way && self.waiting.front().is_some_and(|next| fits(next.size))
    }

    /// Starts what has waited longest, and says what to send to every replica. `None` if nothing may start, or there is
    /// no number for it.
    pub(super) fn start(&mut self, now: Moment, numbers: &mut Numbers) -> Option<Bytes> {
        if !self.can_start() {
            return None;
        }
        let taken: BTreeSet<_> = self.under_way.keys().map(|number| number.get() % self.slots).collect();
        let number = numbers.take(|number| !taken.contains(&(number.get() % self.slots)))?;
        let Waiting { submission, .. } = self.waiting.pop_front()?;
        let Submission { transactions, since, deadline, reply } = submission;
        let shape = transactions.iter().map(|one| one.operations.len()).collect();
        let patience = Patience { retry_ms: millis(self.retry), give_up_ms: deadline.since(now) };
        let mut tally = Tally::new(self.network.account, self.network.committee, patience, number);
        let frame = match tally.submit(now, self.network.sign(Bundle { number, transactions })) {
            ClientEffect::Send(signed) => Bytes::from(ASK.seal(&Ask::Submit(signed))),
            ClientEffect::Done(..) | ClientEffect::NoQuorum { .. } => unreachable!("a request that starts is sent"),
        };
        self.bytes += frame.len();
        let (answered, refusals) = (BTreeSet::new(), BTreeMap::new());
        let fate = Fate::NotSent;
        let one = UnderWay { tally, frame: frame.clone(), shape, answered, refusals, since, fate, reply };
        let before = self.under_way.insert(number, one);
        assert!(before.is_none(), "a number is used once");
        Some(frame)
    }

    /// Turns away everything that waits: there are no numbers for it.
    pub(super) fn refuse_waiting(&mut self, why: &str) {
        for Waiting { submission, .. } in self.waiting.drain(..) {
            answer(submission.reply, Err(SubmitError::NotSent(why.to_owned())));
        }
    }

    /// What a replica needs that has just been connected.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.under_way.values().map(|one| &one.frame)
    }

    /// Everything that is under way was handed to some replica's connection.
    pub(super) fn on_sent(&mut self) {
        self.under_way.values_mut().for_each(|one| one.fate = Fate::Unknown);
    }

    /// What can be said of a reply before its signature is checked.
    pub(super) fn admit_reply(&self, from: ReplicaId, reply: &Reply) -> Result<(), Ignored> {
        if reply.client != self.network.account {
            return Err(Ignored::OtherClient);
        }
        let one = self.under_way.get(&reply.number).ok_or(Ignored::NotUnderWay)?;
        if one.answered.contains(&from) {
            return Err(Ignored::AnsweredBefore);
        }
        if fits(&reply.outcome, &one.shape) { Ok(()) } else { Err(Ignored::WrongShape) }
    }

    /// A replica has signed what a request came to.
    pub(super) fn on_reply(&mut self, reply: &Verified<Reply>) -> Numbering {
        let number = reply.message().number;
        // Once more: an earlier reply of the same turn may have settled it.
        if self.admit_reply(reply.signer(), reply.message()).is_err() {
            return Numbering::Sound;
        }
        let Some(one) = self.under_way.get_mut(&number) else { return Numbering::Sound };
        one.answered.insert(reply.signer());
        let Some(ClientEffect::Done(_, outcome)) = one.tally.on_reply(reply) else { return Numbering::Sound };
        let numbering = match outcome {
            Outcome::Executed(_) | Outcome::NotKept { .. } => Numbering::Sound,
            Outcome::Expired | Outcome::NumberReused => Numbering::Behind,
        };
        self.settle(number, receipts(outcome));
        numbering
    }

    /// A replica did not take a request.
    pub(super) fn on_refusal(
        &mut self,
        from: ReplicaId,
        number: RequestNumber,
        refusal: Refusal,
    ) -> Result<(), Ignored> {
        let needed = self.network.committee.weak_quorum();
        let one = self.under_way.get_mut(&number).ok_or(Ignored::NotUnderWay)?;
        let refusal = match refusal {
            // A replica that is busy now may not be when it is asked again: that is what retrying is for.
            Refusal::Busy => Refusal::Busy,
            Refusal::Bad(why) => Refusal::Bad(quoted(&why)),
        };
        one.refusals.insert(from, refusal.clone());
        let alike = one.refusals.values().filter(|other| **other == refusal).count();
        if let Refusal::Bad(why) = refusal
            && needed <= alike
        {
            self.settle(number, Err(SubmitError::Refused(why)));
        }
        Ok(())
    }

    /// When [`Self::on_time`] is next worth calling.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        let waiting = self.waiting.iter().map(|one| one.submission.deadline);
        let under_way = self.under_way.values().filter_map(|one| one.tally.next_deadline());
        waiting.chain(under_way).min()
    }

    /// Time has passed: says what to send again, to every replica.
    pub(super) fn on_time(&mut self, now: Moment, unreachable: &[ReplicaId]) -> Vec<Bytes> {
        self.expire_waiting(now);
        let mut again = Vec::new();
        let mut late = Vec::new();
        for (number, one) in &mut self.under_way {
            if one.reply.is_closed() {
                late.push((*number, SubmitError::ShuttingDown));
                continue;
            }
            for effect in one.tally.on_time(now) {
                match effect {
                    ClientEffect::Send(_) => again.push(one.frame.clone()),
                    ClientEffect::NoQuorum { number, answered, versions } => {
                        let needed = self.network.committee.weak_quorum();
                        let waited = Duration::from_millis(now.since(one.since));
                        let refused = one.refusals.iter().map(|(id, why)| (*id, why.to_string())).collect();
                        // Of `answered` answers in so many versions: at most so many in one version, and fewer than
                        // needed.
                        let alike = (answered + 1).saturating_sub(versions.max(1)).min(needed - 1);
                        let unreachable = unreachable.to_vec();
                        let fate = one.fate;
                        let error = NoQuorum { waited, needed, alike, answered, versions, refused, unreachable, fate };
                        late.push((number, SubmitError::NoQuorum(Box::new(error))));
                    }
                    ClientEffect::Done(..) => unreachable!("time alone answers nothing"),
                }
            }
        }
        for (number, error) in late {
            self.settle(number, Err(error));
        }
        again
    }

    fn expire_waiting(&mut self, now: Moment) {
        let under_way = self.under_way.len();
        let kept = std::mem::take(&mut self.waiting).into_iter().filter_map(|one| {
            if one.submission.reply.is_closed() {
                return None;
            }
            if now < one.submission.deadline {
                return Some(one);
            }
            let why = format!("{under_way} others were under way and not answered in time");
            answer(one.submission.reply, Err(SubmitError::NotSent(why)));
            None
        });
        self.waiting = kept.collect();
    }

    /// The client is stopping.
    pub(super) fn abort(&mut self) {
        for Waiting { submission, .. } in self.waiting.drain(..) {
            answer(submission.reply, Err(SubmitError::NotSent("the client is stopping".to_owned())));
        }
        for (_, one) in std::mem::take(&mut self.under_way) {
            answer(one.reply, Err(SubmitError::ShuttingDown));
        }
        self.bytes = 0;
    }

    fn settle(&mut self, number: RequestNumber, result: Result<Vec<Receipt>, SubmitError>) {
        if let Some(one) = self.under_way.remove(&number) {
            self.bytes -= one.frame.len();
            answer(one.reply, result);
        }
    }
}

fn answer(reply: SubmitReply, result: Result<Vec<Receipt>, SubmitError>) {
    // If nobody waits any more, nobody is to be told.
    let _ = reply.send(result);
}

fn receipts(outcome: Outcome) -> Result<Vec<Receipt>, SubmitError> {
    match outcome {
        Outcome::Executed(receipts) => Ok(receipts),
        Outcome::Expired => Err(SubmitError::Expired),
        Outcome::NumberReused => Err(SubmitError::NumberReused),
        Outcome::NotKept { outcome } => Err(SubmitError::NotKept { outcome }),
    }
}

/// Whether an outcome has a receipt for each transaction, and each receipt an answer for each operation. What passes
/// can be taken apart without a further look.
fn fits(outcome: &Outcome, shape: &[usize]) -> bool {
    let one_fits = |(receipt, operations): (&Receipt, &usize)| match receipt {
        Ok(answers) => answers.len() == *operations,
        Err(refused) => refused.operation as usize <= *operations,
    };
    match outcome {
        Outcome::Executed(receipts) => receipts.len() == shape.len() && receipts.iter().zip(shape).all(one_fits),
        Outcome::Expired | Outcome::NumberReused | Outcome::NotKept { .. } => true,
    }
}

/// A replica's words, bounded and without control characters.
pub(super) fn quoted(text: &str) -> String {
    text.chars()
        .take(LONGEST_QUOTE)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

const LONGEST_QUOTE: usize = 256;
