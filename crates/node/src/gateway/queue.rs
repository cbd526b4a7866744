//! What waits to be sent, and how bundles are cut from it and their receipts handed back. Pure: no channel is awaited
//! here, no clock is read.
//!
//! # Why a group waits for its own
//!
//! All connections act as one client, and each bundle is one request of it. Bundles that are under way together are
//! ordered as the primary likes: the later may be executed first. So a connection's unanswered commands must never be
//! in two bundles at once, or `SET k 1`, `SET k 2` in one pipeline could leave 1. Inside a bundle the order is fixed.
//! Hence the rule: a connection hands over one *group* at a time, which is what its pipeline held. As much of it as
//! fits goes into one bundle; when that is answered, the verdicts and the rest go back to the connection, which hands
//! the rest over again once its client has taken the replies. So a pipeline of large reads never piles up answers here
//! either. Commands of different connections that overlap in time have no order, so any is right; a command that starts
//! after another was answered goes into a bundle that is sent after that answer was in. That is linearizability.
//!
//! A command whose bundle got no quorum may still be executed later. Its error says so; whoever goes on after it has
//! been told.
//!
//! # When answers do not fit
//!
//! The genesis bounds the answers to one bundle, and nobody knows how long a value is before it was read. The queue
//! bets on what it has seen lately. If the bet is lost, the ledger refuses what no longer fits, and did nothing of it;
//! the refused part of a group goes back to be sent again, in a bundle of its own, as long as that cannot change its
//! meaning: everything behind the first refused command either was refused likewise, or only reads.

use std::collections::VecDeque;
use std::time::Duration;

use bezant_types::genesis::Parameters;
use bezant_types::transaction::{Answer, Operation, Receipt, Refusal, Refused, Transaction};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::commands::{BUNDLE_HEAD, OrderSize};
use super::seam::{Seconds, SubmitError};

/// What became of one command: its receipt, or the reason why there is none.
pub(crate) type Verdict = Result<Receipt, Failure>;

/// Why a command has no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// It waited in vain for earlier ones to be answered, or for their replies to be taken: it was not executed.
    #[error(
        "earlier commands were not answered for {}, so this one was not sent: it was not executed",
        Seconds(*.waited)
    )]
    NotSent { waited: Duration },
    /// An earlier command of the same pipeline has no receipt, so this one was held back.
    #[error("an earlier command of this pipeline failed, so this one was not sent: it was not executed")]
    HeldBack,
    /// The native client did not keep its deadline.
    #[error("no answer within {}: the command may or may not have been executed", Seconds(*.waited))]
    Silent { waited: Duration },
    /// The native client says why.
    #[error("{0}")]
    Submit(SubmitError),
    /// Not as many receipts as transactions.
    #[error("the outcome does not match the request, which may have been executed: this is a fault of the program")]
    Malformed,
}

/// What a connection wants executed, in order, and has not been answered.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) orders: VecDeque<(Transaction, OrderSize)>,
    company: Company,
}

/// Whether a bundle may hold anything besides this group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Company {
    #[default]
    Any,
    None,
}

impl From<VecDeque<(Transaction, OrderSize)>> for Wanted {
    fn from(orders: VecDeque<(Transaction, OrderSize)>) -> Self {
        Self { orders, company: Company::Any }
    }
}

/// What became of the first commands of a group, at least one, and what is to be handed over again.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) rest: Wanted,
}

/// What a connection has handed over.
#[derive(Debug)]
pub(crate) struct Group {
    wanted: Wanted,
    reply: oneshot::Sender<Settled>,
    since: Instant,
}

impl Group {
    /// A group, and where its verdicts will be.
    pub(crate) fn new(wanted: Wanted, since: Instant) -> (Self, oneshot::Receiver<Settled>) {
        let (reply, settled) = oneshot::channel();
        (Self { wanted, reply, since }, settled)
    }

    /// Gives verdicts and rest back. Nobody listens any more if the connection has broken.
    fn settle(self, verdicts: Vec<Verdict>) {
        let _ = self.reply.send(Settled { verdicts, rest: self.wanted });
    }

    /// After these verdicts nothing more of the group is sent, for this reason.
    fn give_up(mut self, mut verdicts: Vec<Verdict>, why: &Failure) -> usize {
        let unsent = self.wanted.orders.len();
        verdicts.extend(self.wanted.orders.drain(..).map(|_| Err(why.clone())));
        self.settle(verdicts);
        unsent
    }
}

/// The limits of a bundle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BundleLimits {
    pub(crate) bytes: usize,
    pub(crate) operations: usize,
    pub(crate) answer_bytes: usize,
}

impl BundleLimits {
    pub(crate) fn of(parameters: &Parameters) -> Self {
        Self {
            bytes: parameters.max_bundle_bytes as usize,
            operations: parameters.max_bundle_operations as usize,
            answer_bytes: parameters.max_reply_bytes as usize,
        }
    }
}

/// Transactions that are ready to be sent, and whose they are.
#[derive(Debug)]
pub(crate) struct Bundled {
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) parts: Vec<Part>,
}

/// What one group has in a bundle.
#[derive(Debug)]
pub(crate) struct Part {
    group: Group,
    /// For each of its transactions in the bundle: its size, and a copy if it may be sent again.
    sent: Vec<(OrderSize, Option<Transaction>)>,
}

/// The groups that wait, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: BundleLimits,
    groups: VecDeque<Group>,
    commands: usize,
    /// How many bytes the next value read is expected to have at most.
    expected_value: usize,
}

impl Queue {
    pub(crate) fn new(limits: BundleLimits) -> Self {
        Self { limits, groups: VecDeque::new(), commands: 0, expected_value: 0 }
    }

    pub(crate) fn push(&mut self, group: Group) {
        self.commands += group.wanted.orders.len();
        self.groups.push_back(group);
    }

    /// How many commands wait.
    pub(crate) fn commands(&self) -> usize {
        self.commands
    }

    /// When the group that has waited longest was queued.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.groups.front().map(|group| group.since)
    }

    /// Answers every group that was queued at `before` or earlier, and says how many commands that were.
    pub(crate) fn expire(&mut self, before: Instant, waited: Duration) -> usize {
        let count = self.groups.iter().take_while(|group| group.since <= before).count();
        let why = Failure::NotSent { waited };
        let unsent = self.groups.drain(..count).map(|group| group.give_up(Vec::new(), &why)).sum();
        self.commands -= unsent;
        unsent
    }

    /// The next bundle: as many groups as fit, in the order in which they came. The first command always fits: what
    /// does not fit a bundle by itself was refused before it was queued.
    pub(crate) fn take(&mut self) -> Option<Bundled> {
        let mut load = Load { limits: self.limits, expected_value: self.expected_value, size: OrderSize::default() };
        let mut bundle = Bundled { transactions: Vec::new(), parts: Vec::new() };
        while let Some(mut group) = self.groups.pop_front() {
            let waiting = group.wanted.orders.len();
            if group.reply.is_closed() {
                self.commands -= waiting;
                continue;
            }
            let alone = group.wanted.company == Company::None;
            let sent = if alone && !bundle.parts.is_empty() {
                Vec::new()
            } else {
                load.fill(&mut group, &mut bundle.transactions)
            };
            if sent.is_empty() {
                self.groups.push_front(group);
                break;
            }
            self.commands -= waiting;
            let full = sent.len() < waiting;
            bundle.parts.push(Part { group, sent });
            if full || alone {
                break;
            }
        }
        (!bundle.parts.is_empty()).then_some(bundle)
    }

    /// Hands the outcome of a bundle to the groups that it was made of.
    pub(crate) fn settle(&mut self, parts: Vec<Part>, outcome: Result<Vec<Receipt>, Failure>) {
        let sent: usize = parts.iter().map(|part| part.sent.len()).sum();
        let outcome =
            outcome.and_then(|receipts| if receipts.len() == sent { Ok(receipts) } else { Err(Failure::Malformed) });
        match outcome {
            Ok(receipts) => {
                self.learn(&receipts);
                let mut receipts = receipts.into_iter();
                let mut is_first = IsFirst::Yes;
                for part in parts {
                    let own = receipts.by_ref().take(part.sent.len()).collect();
                    part.hand_back(own, is_first);
                    is_first = IsFirst::No;
                }
            }
            Err(failure) => {
                for Part { group, sent } in parts {
                    let verdicts = sent.iter().map(|_| Err(failure.clone())).collect();
                    // The rest was never sent, and must not overtake what may still be executed.
                    group.give_up(verdicts, &Failure::HeldBack);
                }
            }
        }
    }

    /// Expect the largest value of the last bundle, and forget a larger one by and by.
    fn learn(&mut self, receipts: &[Receipt]) {
        let answers = receipts.iter().flatten().flatten();
        let values = answers.map(|answer| if let Answer::Value(Some(value)) = answer { value.len() } else { 0 });
        let largest = values.max().unwrap_or(0);
        self.expected_value = largest.max(self.expected_value - self.expected_value / 8);
    }
}

impl Part {
    fn hand_back(self, receipts: Vec<Receipt>, is_first: IsFirst) {
        let Self { mut group, mut sent } = self;
        // The first command of a bundle has all the room that there is: its refusal stands.
        let judged = match is_first {
            IsFirst::Yes => 1,
            IsFirst::No => 0,
        };
        let refused = receipts.iter().skip(judged).position(no_room).map(|index| index + judged);
        let again = refused.filter(|from| sent.iter().skip(*from).all(|(_, copy)| copy.is_some()));
        let settled = again.unwrap_or(receipts.len());
        for (size, copy) in sent.drain(settled..).rev() {
            if let Some(transaction) = copy {
                group.wanted.orders.push_front((transaction, size));
            }
        }
        group.wanted.company = if again.is_some() { Company::None } else { Company::Any };
        group.settle(receipts.into_iter().take(settled).map(Ok).collect());
    }
}

#[derive(Clone, Copy)]
enum IsFirst {
    Yes,
    No,
}

/// What a bundle in the making holds.
struct Load {
    limits: BundleLimits,
    expected_value: usize,
    size: OrderSize,
}

impl Load {
    /// Moves as much of the group as fits, and notes for each what it takes to send it again.
    fn fill(&mut self, group: &mut Group, bundle: &mut Vec<Transaction>) -> Vec<(OrderSize, Option<Transaction>)> {
        let mut sent = Vec::with_capacity(group.wanted.orders.len());
        while let Some((_, size)) = group.wanted.orders.front() {
            let is_first = if bundle.is_empty() { IsFirst::Yes } else { IsFirst::No };
            if !self.admit(size, is_first) {
                break;
            }
            let Some((transaction, size)) = group.wanted.orders.pop_front() else { break };
            sent.push((size, may_be_sent_again(&transaction, &size).then(|| transaction.clone())));
            bundle.push(transaction);
        }
        sent
    }

    /// Adds a transaction if it fits; the first one always does.
    fn admit(&mut self, more: &OrderSize, is_first: IsFirst) -> bool {
        let sum = OrderSize {
            bytes: self.size.bytes + more.bytes,
            operations: self.size.operations + more.operations,
            values: self.size.values + more.values,
        };
        let fits = sum.bytes + BUNDLE_HEAD <= self.limits.bytes
            && sum.operations <= self.limits.operations
            && sum.operations.saturating_mul(ANSWER_HEAD) + sum.values.saturating_mul(self.expected_value)
                <= self.limits.answer_bytes;
        let admitted = match is_first {
            IsFirst::Yes => true,
            IsFirst::No => fits,
        };
        if admitted {
            self.size = sum;
        }
        admitted
    }
}

/// Nothing was done of a transaction that was refused for want of room, and a transaction that only reads can be done
/// twice. Copies are kept of those for which one or the other may come true.
fn may_be_sent_again(transaction: &Transaction, size: &OrderSize) -> bool {
    size.values > 0 || !transaction.operations.iter().any(Operation::writes)
}

/// Whether a transaction was refused because the answers of its bundle were too large.
fn no_room(receipt: &Receipt) -> bool {
    matches!(receipt, Err(Refused { reason: Refusal::AnswerTooLarge { .. }, .. }))
}

/// More than an answer without a value takes, with its share of the receipt.
const ANSWER_HEAD: usize = 48;

#[cfg(test)]
mod tests;
