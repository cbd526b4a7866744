//! What waits to be sent, and how bundles are cut from it and their receipts handed back. Pure: no channel is awaited
//! here, no clock is read.
//!
//! # Why a group waits for its own
//!
//! All connections act as one client, and each bundle is one request of it. Bundles that are under way together are
//! ordered as the primary likes: the later may be executed first. So a connection's unanswered commands must never be in
//! two bundles at once, or `SET k 1`, `SET k 2` in one pipeline could leave 1. Inside a bundle the order is fixed. Hence
//! the rule: a connection hands over one *group* at a time, which is what its pipeline held, and waits for all of its
//! verdicts; and of a group only a prefix is under way, and the rest goes when the prefix is answered.
//! Commands of different connections that overlap in time have no order, so any is right; a command that starts after
//! another was answered goes into a bundle that is sent after that answer was in. That is linearizability.
//!
//! A command whose bundle got no quorum may still be executed later. Its error says so; whoever goes on after it has
//! been told.
//!
//! # When answers do not fit
//!
//! The genesis bounds the answers to one bundle, and nobody knows how long a value is before it was read. The queue
//! bets on what it has seen lately. If the bet is lost, the ledger refuses what no longer fits, and did nothing of it;
//! the refused part of a group is sent again by itself as long as that cannot change its meaning: everything behind the
//! first refused command either was refused likewise, or only reads.

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
    /// It waited in vain for earlier ones to be answered, and was not sent: it was not executed.
    #[error(
        "the group did not answer earlier commands for {}: this command was not sent and not executed",
        Seconds(*.waited)
    )]
    NotSent { waited: Duration },
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

/// What a connection wants executed, in order.
#[derive(Debug)]
pub(crate) struct Group {
    /// Not answered yet, and not under way.
    waiting: VecDeque<(Transaction, OrderSize)>,
    verdicts: Vec<Verdict>,
    reply: oneshot::Sender<Vec<Verdict>>,
    since: Instant,
    company: Company,
}

/// Whether a bundle may hold anything besides this group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Any,
    None,
}

impl Group {
    /// A group, and where its verdicts will be. They are as many as `orders`, in their order.
    pub(crate) fn new(
        orders: VecDeque<(Transaction, OrderSize)>,
        since: Instant,
    ) -> (Self, oneshot::Receiver<Vec<Verdict>>) {
        let (reply, verdicts) = oneshot::channel();
        let answered = Vec::with_capacity(orders.len());
        (Self { waiting: orders, verdicts: answered, reply, since, company: Company::Any }, verdicts)
    }

    /// Nothing of it is left to be sent. Nobody listens any more if the connection has broken.
    fn finish(self) {
        let _ = self.reply.send(self.verdicts);
    }

    /// What was not sent will not be.
    fn give_up(mut self, waited: Duration) -> usize {
        let unsent = self.waiting.len();
        self.verdicts.extend(self.waiting.drain(..).map(|_| Err(Failure::NotSent { waited })));
        self.finish();
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

/// The groups that wait.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: BundleLimits,
    /// Those of which a prefix was answered. They go first, and are in order of `since`, as are the others.
    resumed: VecDeque<Group>,
    fresh: VecDeque<Group>,
    commands: usize,
    /// How many bytes the next value read is expected to have at most.
    expected_value: usize,
}

impl Queue {
    pub(crate) fn new(limits: BundleLimits) -> Self {
        Self { limits, resumed: VecDeque::new(), fresh: VecDeque::new(), commands: 0, expected_value: 0 }
    }

    pub(crate) fn push(&mut self, group: Group) {
        self.commands += group.waiting.len();
        self.fresh.push_back(group);
    }

    /// How many commands wait.
    pub(crate) fn commands(&self) -> usize {
        self.commands
    }

    /// When the group that has waited longest was queued.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.resumed.front().into_iter().chain(self.fresh.front()).map(|group| group.since).min()
    }

    /// Answers every group that was queued at `before` or earlier, and says how many commands that were.
    pub(crate) fn expire(&mut self, before: Instant, waited: Duration) -> usize {
        let mut unsent = 0;
        for groups in [&mut self.resumed, &mut self.fresh] {
            let count = groups.iter().take_while(|group| group.since <= before).count();
            unsent += groups.drain(..count).map(|group| group.give_up(waited)).sum::<usize>();
        }
        self.commands -= unsent;
        unsent
    }

    /// The next bundle: as many groups as fit, in the order in which they came. The first command always fits: what
    /// does not fit a bundle by itself was refused before it was queued.
    pub(crate) fn take(&mut self) -> Option<Bundled> {
        let mut load = Load { limits: self.limits, expected_value: self.expected_value, size: OrderSize::default() };
        let mut bundle = Bundled { transactions: Vec::new(), parts: Vec::new() };
        while let Some(mut group) = self.resumed.pop_front().or_else(|| self.fresh.pop_front()) {
            if group.reply.is_closed() {
                self.commands -= group.waiting.len();
                continue;
            }
            let alone = group.company == Company::None;
            if alone && !bundle.parts.is_empty() {
                self.resumed.push_front(group);
                break;
            }
            let mut sent = Vec::with_capacity(group.waiting.len());
            while let Some((_, size)) = group.waiting.front() {
                if !load.admit(size, bundle.transactions.is_empty()) {
                    break;
                }
                let Some((transaction, size)) = group.waiting.pop_front() else { break };
                sent.push((size, may_be_sent_again(&transaction, &size).then(|| transaction.clone())));
                bundle.transactions.push(transaction);
            }
            self.commands -= sent.len();
            let full = !group.waiting.is_empty();
            if sent.is_empty() {
                self.resumed.push_front(group);
                break;
            }
            bundle.parts.push(Part { group, sent });
            if full || alone {
                break;
            }
        }
        (!bundle.parts.is_empty()).then_some(bundle)
    }

    /// Hands the outcome of a bundle to the groups it was made of.
    pub(crate) fn settle(&mut self, parts: Vec<Part>, outcome: Result<Vec<Receipt>, Failure>, now: Instant) {
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
                    self.hand_back(part, own, is_first, now);
                    is_first = IsFirst::No;
                }
            }
            Err(failure) => {
                for Part { mut group, sent } in parts {
                    group.verdicts.extend(sent.iter().map(|_| Err(failure.clone())));
                    // The rest was never sent, and must not overtake what may still be executed.
                    let waited = now.saturating_duration_since(group.since);
                    group.give_up(waited);
                }
            }
        }
    }

    fn hand_back(&mut self, part: Part, receipts: Vec<Receipt>, is_first: IsFirst, now: Instant) {
        let Part { mut group, mut sent } = part;
        // The first command of a bundle has all the room that there is: its refusal stands.
        let judged = match is_first {
            IsFirst::Yes => 1,
            IsFirst::No => 0,
        };
        let refused = receipts.iter().skip(judged).position(no_room).map(|index| index + judged);
        let again = refused.filter(|from| sent.iter().skip(*from).all(|(_, copy)| copy.is_some()));
        let settled = again.unwrap_or(receipts.len());
        group.verdicts.extend(receipts.into_iter().take(settled).map(Ok));
        for (size, copy) in sent.drain(settled..).rev() {
            if let Some(transaction) = copy {
                group.waiting.push_front((transaction, size));
            }
        }
        if group.waiting.is_empty() {
            return group.finish();
        }
        if again.is_some() {
            group.company = Company::None;
        }
        group.since = now;
        self.commands += group.waiting.len();
        self.resumed.push_back(group);
    }

    /// Expect the largest value of the last bundle, and forget a larger one by and by.
    fn learn(&mut self, receipts: &[Receipt]) {
        let answers = receipts.iter().flatten().flatten();
        let values = answers.map(|answer| if let Answer::Value(Some(value)) = answer { value.len() } else { 0 });
        let largest = values.max().unwrap_or(0);
        self.expected_value = largest.max(self.expected_value - self.expected_value / 8);
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
    /// Adds a transaction if it fits; the first one always does.
    fn admit(&mut self, more: &OrderSize, is_first: bool) -> bool {
        let sum = OrderSize {
            bytes: self.size.bytes + more.bytes,
            operations: self.size.operations + more.operations,
            values: self.size.values + more.values,
        };
        let fits = sum.bytes + BUNDLE_HEAD <= self.limits.bytes
            && sum.operations <= self.limits.operations
            && sum.operations.saturating_mul(ANSWER_HEAD) + sum.values.saturating_mul(self.expected_value)
                <= self.limits.answer_bytes;
        if fits || is_first {
            self.size = sum;
        }
        fits || is_first
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
