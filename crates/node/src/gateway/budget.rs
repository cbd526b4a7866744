//! The bytes that all connections of a gateway may hold together.
//!
//! **Adversary.** Ten thousand connections that each announce a large value and send most of it, or that pipeline reads
//! of large values and never take the answers. Each alone is within its bounds; together they would take the machine's
//! memory. So what a connection holds beyond a small allowance is charged here. Input waits for room, and a connection
//! whose command does not get room in time is closed. Answers are already in memory when their size is known, so they
//! are charged without asking, and as long as the budget is overdrawn nobody gets room for more.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A number of bytes, and who waits for some of them.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    freed: Notify,
}

/// What one connection has taken of the budget. It gives everything back when dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    held: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0), freed: Notify::new() }
    }

    pub(crate) fn share(&self) -> Share<'_> {
        Share { budget: self, held: 0 }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether more is held than there should be.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.used() > self.limit
    }

    /// Waits until no more is held than there should be.
    pub(crate) async fn not_overdrawn(&self) {
        self.freed_until(|| !self.is_overdrawn()).await;
    }

    /// Waits until `holds`, which is looked at whenever something is given back.
    async fn freed_until(&self, mut holds: impl FnMut() -> bool) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Registered before looking, so that what is freed in between is not missed.
            freed.as_mut().enable();
            if holds() {
                return;
            }
            freed.await;
        }
    }

    fn try_take(&self, bytes: usize) -> bool {
        let room = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_ok()
    }
}

impl Share<'_> {
    /// Holds at least `bytes` from now on, once there is room.
    pub(crate) async fn grow(&mut self, bytes: usize) {
        let budget = self.budget;
        budget.freed_until(|| self.try_grow(bytes)).await;
    }

    /// Holds at least `bytes` if there is room now.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.held);
        if more > 0 && !self.budget.try_take(more) {
            return false;
        }
        self.held += more;
        true
    }

    /// Takes note of `bytes` more that are held already, room or not.
    pub(crate) fn overdraw(&mut self, bytes: usize) {
        self.budget.used.fetch_add(bytes, Ordering::AcqRel);
        self.held += bytes;
    }

    /// Gives back `bytes`.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.shrink(self.held.saturating_sub(bytes));
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let less = self.held.saturating_sub(bytes);
        if less > 0 {
            self.held -= less;
            self.budget.used.fetch_sub(less, Ordering::AcqRel);
            self.budget.freed.notify_waiters();
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = Budget::new(100);
        let mut one = budget.share();
        assert!(one.try_grow(60));
        assert!(one.try_grow(40), "it holds that much already");
        let mut two = budget.share();
        assert!(!two.try_grow(41));
        assert!(two.try_grow(40));
        drop(one);
        assert_eq!(budget.used(), 40);
        assert!(two.try_grow(100));
    }

    #[test]
    fn an_overdrawn_budget_has_no_room() {
        let budget = Budget::new(100);
        let mut one = budget.share();
        one.overdraw(150);
        let mut two = budget.share();
        assert!(budget.is_overdrawn() && !two.try_grow(1));
        one.give_back(140);
        assert!(!budget.is_overdrawn() && two.try_grow(90));
    }

    #[tokio::test]
    async fn who_waits_for_room_gets_it_when_there_is_some() {
        let budget = Arc::new(Budget::new(100));
        let mut one = budget.share();
        assert!(one.try_grow(100));
        let waiting = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move {
                let mut two = budget.share();
                two.grow(50).await;
            }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        one.shrink(50);
        waiting.await.unwrap();
        budget.not_overdrawn().await;
    }
}
