//! What waits to be sent to one peer.
//!
//! **The adversary** is a peer that does not read, or is away for a week. Its queue is bounded in bytes; when it is
//! full the oldest frames are dropped and counted. Nothing here ever waits, so no peer can hold up the host. Dropping
//! is safe because the protocol expects the network to lose messages, and the oldest are the ones most likely to be
//! obsolete.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// A bounded queue of frames towards one peer.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    ready: Notify,
    /// The largest frame that the peer accepts.
    largest: usize,
    /// The most bytes that may wait while the peer is connected, and while it is not.
    while_up: usize,
    while_down: usize,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<Bytes>,
    bytes: usize,
    dropped: u64,
    phase: Phase,
    /// Whether something was queued that the writer was not yet told of.
    untold: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Down,
    Up,
    Closing,
}

/// What a writer is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Frames were put into its batch.
    Send,
    /// Everything was sent and no more will come.
    Close,
}

/// How a queue is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backlog {
    pub(super) bytes: usize,
    pub(super) dropped: u64,
}

impl Outbox {
    pub(super) fn new(largest: usize, while_up: usize, while_down: usize) -> Self {
        let state = State { frames: VecDeque::new(), bytes: 0, dropped: 0, phase: Phase::Down, untold: false };
        Self { state: Mutex::new(state), ready: Notify::new(), largest, while_up, while_down }
    }

    /// Queues a frame. It leaves with the next [`Self::wake`]; says whether it is the first to wait for that.
    pub(super) fn push(&self, frame: Bytes) -> bool {
        if frame.is_empty() || frame.len() > self.largest {
            tracing::error!(
                bytes = frame.len(),
                limit = self.largest,
                "a frame that no peer would accept was not sent"
            );
            self.lock().dropped += 1;
            return false;
        }
        let mut state = self.lock();
        let bound = match state.phase {
            Phase::Up => self.while_up,
            Phase::Down => self.while_down,
            Phase::Closing => return false,
        };
        state.bytes += cost(&frame);
        state.frames.push_back(frame);
        state.trim(bound);
        !std::mem::replace(&mut state.untold, true)
    }

    /// Tells the writer that there is something to send.
    pub(super) fn wake(&self) {
        self.lock().untold = false;
        self.ready.notify_one();
    }

    /// The peer is connected.
    pub(super) fn up(&self) {
        self.enter(Phase::Up, self.while_up);
    }

    /// The peer is not connected: only the latest frames are kept for it.
    pub(super) fn down(&self) {
        self.enter(Phase::Down, self.while_down);
    }

    fn enter(&self, phase: Phase, bound: usize) {
        let mut state = self.lock();
        if state.phase != Phase::Closing {
            state.phase = phase;
            state.trim(bound);
        }
    }

    /// Takes no more, and lets the writer end when it has sent what is here.
    pub(super) fn close(&self) {
        self.lock().phase = Phase::Closing;
        self.wake();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().phase == Phase::Closing
    }

    /// Waits for frames and moves up to `bytes` of them into `batch`, but at least one.
    pub(super) async fn next(&self, batch: &mut Vec<Bytes>, bytes: usize) -> Next {
        loop {
            let ready = self.ready.notified();
            {
                let mut state = self.lock();
                if !state.frames.is_empty() {
                    state.take(batch, bytes);
                    if !state.frames.is_empty() {
                        self.ready.notify_one();
                    }
                    return Next::Send;
                }
                if state.phase == Phase::Closing {
                    return Next::Close;
                }
            }
            ready.await;
        }
    }

    /// Waits until nothing more may be sent.
    pub(super) async fn closed(&self) {
        loop {
            let ready = self.ready.notified();
            if self.is_closing() {
                return;
            }
            ready.await;
        }
    }

    pub(super) fn backlog(&self) -> Backlog {
        let state = self.lock();
        Backlog { bytes: state.bytes, dropped: state.dropped }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn trim(&mut self, bound: usize) {
        while self.bytes > bound
            && let Some(oldest) = self.frames.pop_front()
        {
            self.bytes -= cost(&oldest);
            self.dropped += 1;
        }
    }

    fn take(&mut self, batch: &mut Vec<Bytes>, bytes: usize) {
        let mut taken = 0;
        while taken < bytes
            && let Some(frame) = self.frames.pop_front()
        {
            self.bytes -= cost(&frame);
            taken += frame.len();
            batch.push(frame);
        }
        if self.frames.is_empty() {
            self.frames.shrink_to(KEPT_CAPACITY);
        }
    }
}

/// The outboxes into which something was put since they were last woken, so that a turn of the host ends in one write
/// per peer.
#[derive(Debug, Default)]
pub(super) struct Dirty(Mutex<Vec<Arc<Outbox>>>);

impl Dirty {
    pub(super) fn push(&self, outbox: &Arc<Outbox>, frame: Bytes) {
        if outbox.push(frame) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(outbox.clone());
        }
    }

    pub(super) fn flush(&self) {
        for outbox in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            outbox.wake();
        }
    }
}

/// What a queued frame costs: its bytes and its place. The bytes are shared with other peers' queues, and counted in
/// each.
fn cost(frame: &Bytes) -> usize {
    frame.len() + size_of::<Bytes>()
}

const KEPT_CAPACITY: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8) -> Bytes {
        Bytes::from(vec![tag; 100])
    }

    fn room(frames: usize) -> usize {
        frames * cost(&frame(0))
    }

    async fn drain(outbox: &Outbox) -> Vec<u8> {
        let mut batch = Vec::new();
        assert_eq!(outbox.next(&mut batch, usize::MAX).await, Next::Send);
        batch.iter().map(|frame| frame[0]).collect()
    }

    #[tokio::test]
    async fn a_full_queue_drops_the_oldest_and_counts_them() {
        let outbox = Outbox::new(100, room(3), room(1));
        outbox.up();
        (0..10).for_each(|tag| _ = outbox.push(frame(tag)));
        assert_eq!(outbox.backlog(), Backlog { bytes: room(3), dropped: 7 });
        assert_eq!(drain(&outbox).await, [7, 8, 9]);
        assert_eq!(outbox.backlog(), Backlog { bytes: 0, dropped: 7 });
    }

    #[tokio::test]
    async fn less_is_kept_for_a_peer_that_is_away() {
        let outbox = Outbox::new(100, room(3), room(1));
        outbox.up();
        (0..3).for_each(|tag| _ = outbox.push(frame(tag)));
        outbox.down();
        assert_eq!(outbox.backlog(), Backlog { bytes: room(1), dropped: 2 });
        outbox.push(frame(9));
        assert_eq!(drain(&outbox).await, [9]);
    }

    #[test]
    fn a_frame_that_the_peer_would_refuse_is_not_queued() {
        let outbox = Outbox::new(99, room(3), room(3));
        outbox.push(frame(1));
        outbox.push(Bytes::new());
        assert_eq!(outbox.backlog(), Backlog { bytes: 0, dropped: 2 });
    }

    #[tokio::test]
    async fn a_closing_queue_gives_what_it_has_takes_no_more_and_ends() {
        let outbox = Outbox::new(100, room(3), room(3));
        outbox.push(frame(1));
        outbox.close();
        outbox.push(frame(2));
        outbox.up();
        assert_eq!(drain(&outbox).await, [1]);
        assert_eq!(outbox.next(&mut Vec::new(), 1).await, Next::Close);
        outbox.closed().await;
    }

    #[tokio::test]
    async fn a_batch_is_bounded_and_the_rest_follows_unasked() {
        let outbox = Outbox::new(100, room(9), room(9));
        (0..5).for_each(|tag| _ = outbox.push(frame(tag)));
        let mut sizes = Vec::new();
        for _ in 0..3 {
            let mut batch = Vec::new();
            outbox.next(&mut batch, 200).await;
            sizes.push(batch.len());
        }
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[tokio::test]
    async fn frames_of_a_turn_wait_for_the_flush() {
        let (dirty, outbox) = (Dirty::default(), Arc::new(Outbox::new(100, room(3), room(3))));
        let mut batch = Vec::new();
        let mut next = Box::pin(outbox.next(&mut batch, usize::MAX));
        assert!(futures_ready(&mut next).await.is_none(), "nothing to send yet");
        dirty.push(&outbox, frame(1));
        dirty.push(&outbox, frame(2));
        assert!(futures_ready(&mut next).await.is_none(), "not flushed yet");
        dirty.flush();
        assert_eq!(next.await, Next::Send);
        assert_eq!(batch.len(), 2);
    }

    /// Polls once.
    async fn futures_ready<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
