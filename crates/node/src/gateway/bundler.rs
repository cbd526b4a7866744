//! Gathers the commands of all connections into bundles: one signature, one place in the order, for many commands.
//!
//! **When a bundle goes.** If nothing is under way, at once: one client alone waits for nobody. Otherwise when a slot
//! is free and at least as many commands wait as are under way on average in a slot, or a whole bundle's worth: so load
//! makes large bundles by itself, and no timer ever delays a command. What waits goes at the latest when what is under
//! way has been answered.
//!
//! **Not while answers pile up.** As long as clients that do not take their replies overdraw the [`super::budget`],
//! nothing is sent, so that there are never more answers in memory than the budget and what is in flight. They are cut
//! off soon, see [`super::connection`].
//!
//! **Never silence.** A submission has a deadline, and the native client keeps it. If it does not, its bundle is given
//! up a moment later; and what waits behind lost bundles is answered after the same patience, with the comfort that it
//! was not sent.

use std::sync::Arc;
use std::time::Duration;

use bezant_types::transaction::{Receipt, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::queue::{BundleLimits, Failure, Group, Part, Queue};
use super::registry::{Surroundings, count};
use super::seam::{Submission, SubmitError};

/// The one task that talks to the native client.
pub(crate) struct Bundler {
    around: Arc<Surroundings>,
    groups: mpsc::Receiver<Group>,
    submissions: mpsc::Sender<Submission>,
    queue: Queue,
    in_flight: JoinSet<Answered>,
    commands_in_flight: usize,
}

struct Answered {
    parts: Vec<Part>,
    commands: usize,
    outcome: Result<Vec<Receipt>, Failure>,
}

impl Bundler {
    pub(crate) fn new(
        around: Arc<Surroundings>,
        groups: mpsc::Receiver<Group>,
        submissions: mpsc::Sender<Submission>,
    ) -> Self {
        let queue = Queue::new(BundleLimits::of(around.facts.parameters()));
        Self { around, groups, submissions, queue, in_flight: JoinSet::new(), commands_in_flight: 0 }
    }

    /// Works until every connection is gone and everything is answered.
    pub(crate) async fn run(mut self) {
        let patience = self.around.options.patience;
        loop {
            while self.may_send() && self.send() {}
            let expiry = self.queue.oldest().map(|since| since + patience);
            tokio::select! {
                group = self.groups.recv() => match group {
                    Some(group) => self.on_group(group),
                    None => break,
                },
                Some(answered) = self.in_flight.join_next() => self.on_answered(answered),
                () = self.around.budget.not_overdrawn(), if self.around.budget.is_overdrawn() => {}
                () = sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => self.on_expiry(patience),
            }
        }
        // The connections are gone, so nobody waits for a verdict.
        self.in_flight.shutdown().await;
    }

    fn on_group(&mut self, group: Group) {
        self.queue.push(group);
        // Whatever else has arrived travels with it.
        while let Ok(group) = self.groups.try_recv() {
            self.queue.push(group);
        }
    }

    fn on_answered(&mut self, answered: Result<Answered, tokio::task::JoinError>) {
        let counters = &self.around.counters;
        counters.bundles_in_flight.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        // A task that was lost took its groups along; their connections see the reply channel close.
        let Ok(Answered { parts, commands, outcome }) = answered else { return };
        self.commands_in_flight -= commands;
        if let Err(failure) = &outcome {
            count(&counters.failed_bundles, 1);
            tracing::warn!(%failure, commands, "a bundle failed");
        }
        self.queue.settle(parts, outcome);
    }

    fn on_expiry(&mut self, patience: Duration) {
        let now = Instant::now();
        let Some(before) = now.checked_sub(patience) else { return };
        let unsent = self.queue.expire(before, patience);
        if unsent > 0 {
            count(&self.around.counters.unsent_commands, unsent);
            tracing::warn!(commands = unsent, "commands were not sent: the group does not answer");
        }
    }

    fn may_send(&self) -> bool {
        let (waiting, slots) = (self.queue.commands(), self.around.options.bundles_in_flight);
        let busy = self.in_flight.len();
        match busy {
            _ if self.around.budget.is_overdrawn() => false,
            0 => waiting > 0,
            _ if busy >= slots => false,
            _ => waiting > 0 && waiting * busy >= self.commands_in_flight,
        }
    }

    fn send(&mut self) -> bool {
        let Some(bundle) = self.queue.take() else { return false };
        let commands = bundle.transactions.len();
        let counters = &self.around.counters;
        count(&counters.bundles, 1);
        count(&counters.bundles_in_flight, 1);
        count(&counters.ordered_commands, commands);
        self.commands_in_flight += commands;
        let (submissions, patience) = (self.submissions.clone(), self.around.options.patience);
        self.in_flight.spawn(async move {
            let outcome = submit(&submissions, bundle.transactions, patience).await;
            Answered { parts: bundle.parts, commands, outcome }
        });
        true
    }
}

async fn submit(
    submissions: &mpsc::Sender<Submission>,
    transactions: Vec<Transaction>,
    patience: Duration,
) -> Result<Vec<Receipt>, Failure> {
    let deadline = Instant::now() + patience;
    let (reply, outcome) = oneshot::channel();
    let exchange = async {
        let gone = Failure::Submit(SubmitError::ShuttingDown);
        submissions.send(Submission { transactions, deadline, reply }).await.map_err(|_| gone.clone())?;
        outcome.await.map_err(|_| gone)?.map_err(Failure::Submit)
    };
    timeout_at(deadline + GRACE, exchange).await.unwrap_or(Err(Failure::Silent { waited: patience + GRACE }))
}

/// How much later than its deadline the native client may answer before it is given up.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
