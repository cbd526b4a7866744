//! The search for an order in which one copy gives all the answers: that of Wing and Gong (1993), with the memory of
//! Lowe (2017), which keeps it from trying again what failed before.
//!
//! Calls and answers stand in a list by time. A request may come next in the order if it was asked before the first
//! answer in the list. If the copy then answers as the client was told, the request leaves the list and the search goes
//! on from its front; if not, the next one is tried; at an answer whose request has not been placed, the last placement
//! was wrong. A pair of placed requests and state is tried once. Such pairs are remembered by fingerprint: of 128 bits
//! for the requests and the state together, so that a coincidence is not to be expected in all worlds ever simulated.
//!
//! When no more answers stand in the list, all is explained. Requests without an answer may still be in it: they were
//! executed later, or never.

use std::collections::HashSet;

use super::Call;
use super::model::Model;

/// What stands in the list: a request, or its answer.
#[derive(Clone, Copy, Debug)]
struct Event {
    request: usize,
    is_call: bool,
}

/// Looks for an order.
///
/// # Errors
/// If there is none: which answer cannot be explained, the latest that was reached.
pub(super) fn search(calls: &[&Call], first: Model) -> Result<(), String> {
    let mut list = List::new(calls);
    let mut model = first;
    let mut placed: Vec<(usize, Model)> = Vec::new();
    let mut print = 0u128;
    let mut tried: HashSet<u128> = HashSet::new();
    let mut at = list.front();
    let mut farthest = (0, 0);
    while list.answers > 0 {
        let Event { request, is_call } = list.events[at];
        if is_call {
            let call = calls[request];
            let told = call.answer.as_ref().map(|(_, receipts)| receipts.as_slice());
            let mut next = model.clone();
            let explained = next.execute(call.account, call.role, &call.transactions, told);
            let print_then = print ^ mark(request as u64);
            if explained && tried.insert(print_then ^ mark(!next.fingerprint())) {
                print = print_then;
                placed.push((request, std::mem::replace(&mut model, next)));
                list.take(request);
                at = list.front();
            } else {
                at = list.after(at);
            }
        } else {
            farthest = farthest.max((placed.len(), request));
            let Some((last, before)) = placed.pop() else {
                return Err(complaint(calls, calls[farthest.1]));
            };
            print ^= mark(last as u64);
            model = before;
            at = list.put_back(last);
        }
    }
    Ok(())
}

fn complaint(calls: &[&Call], stuck: &Call) -> String {
    let Call { client, number, transactions, answer, .. } = stuck;
    let told = answer.as_ref().map(|(_, receipts)| receipts);
    format!(
        "no single copy could have given these answers: in a group of {} requests, none of the orders explains what client \
         {} was told about its request {number}: {transactions:?} came to {told:?}",
        calls.len(),
        client.0
    )
}

/// A random-looking number of 128 bits for each index (the finaliser of SplitMix64, twice).
fn mark(index: u64) -> u128 {
    let half = |seed: u64| {
        let mut bits = index.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(bits ^ (bits >> 31))
    };
    (half(1) << 64) | half(0x5851_f42d_4c95_7f2d)
}

/// The calls and answers by time, from which requests are taken and put back in reverse order.
struct List {
    events: Vec<Event>,
    /// Neighbours of each event. One place before the first and behind the last is the end, which has index `events`.
    next: Vec<usize>,
    previous: Vec<usize>,
    call_of: Vec<usize>,
    answer_of: Vec<Option<usize>>,
    /// How many answers are in the list.
    answers: usize,
}

impl List {
    fn new(calls: &[&Call]) -> Self {
        let mut timed: Vec<(usize, Event)> = Vec::with_capacity(2 * calls.len());
        for (request, call) in calls.iter().enumerate() {
            timed.push((call.asked, Event { request, is_call: true }));
            timed.extend(call.answer.iter().map(|(told, _)| (*told, Event { request, is_call: false })));
        }
        timed.sort_by_key(|(time, _)| *time);
        let events: Vec<Event> = timed.into_iter().map(|(_, event)| event).collect();
        let end = events.len();
        let (mut call_of, mut answer_of) = (vec![end; calls.len()], vec![None; calls.len()]);
        for (index, event) in events.iter().enumerate() {
            if event.is_call {
                call_of[event.request] = index;
            } else {
                answer_of[event.request] = Some(index);
            }
        }
        // A ring through the end.
        let next = (0..=end).map(|index| if index == end { 0 } else { index + 1 }).collect();
        let previous = (0..=end).map(|index| if index == 0 { end } else { index - 1 }).collect();
        let answers = answer_of.iter().flatten().count();
        Self { events, next, previous, call_of, answer_of, answers }
    }

    fn front(&self) -> usize {
        self.next[self.events.len()]
    }

    fn after(&self, at: usize) -> usize {
        self.next[at]
    }

    fn unlink(&mut self, at: usize) {
        let (before, behind) = (self.previous[at], self.next[at]);
        self.next[before] = behind;
        self.previous[behind] = before;
    }

    fn link(&mut self, at: usize) {
        let (before, behind) = (self.previous[at], self.next[at]);
        self.next[before] = at;
        self.previous[behind] = at;
    }

    fn take(&mut self, request: usize) {
        self.unlink(self.call_of[request]);
        if let Some(answer) = self.answer_of[request] {
            self.unlink(answer);
            self.answers -= 1;
        }
    }

    /// Puts back what was taken last, and gives the place behind its call.
    fn put_back(&mut self, request: usize) -> usize {
        if let Some(answer) = self.answer_of[request] {
            self.link(answer);
            self.answers += 1;
        }
        let call = self.call_of[request];
        self.link(call);
        self.next[call]
    }
}
