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
//!
//! Two kinds of order need not be tried, because where one of them explains the rest, so does another. Call a request
//! *ready* if it was asked before the first answer in the list. It may be moved to the front of any order of what is in
//! the list, and what it overtakes may come after it: none of that was answered before it was asked.
//! * A ready request that changes nothing and is answered rightly comes next: behind it, all is as it was.
//! * Of two ready requests of one client that are alike in what they ask and were told, the one answered first comes
//!   first. In an order with the other one first, they change places; what is between them stays right, for it cannot
//!   tell them apart, and the place of the one answered first was early enough for both.

use std::collections::{HashMap, HashSet};
use std::fmt;

use bezant_types::{Bundle, Outcome};

use super::Call;
use super::model::Model;

/// What stands in the list: a request, or its answer.
#[derive(Clone, Copy, Debug)]
struct Event {
    request: usize,
    is_call: bool,
}

/// Why a history is not called linearizable.
#[derive(Debug)]
pub(super) enum Unexplained {
    /// No order explains it. Of so many requests, this is the latest that was reached whose answer does not fit.
    Never { calls: usize, stuck: Box<Call> },
    /// There may be an order: so many requests have too many of them.
    Undecided { calls: usize },
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never { calls, stuck } => {
                let Call { client, number, transactions, .. } = &**stuck;
                let bundle = Bundle { number: *number, transactions: transactions.clone() };
                let told = stuck.told().map(|told| Outcome::Executed(told.to_vec()).to_string());
                write!(
                    f,
                    "no single copy could have given these answers: in a group of {calls} requests, none of the orders \
                     explains what client {} was told about its request {bundle} (it came to: {})",
                    client.0,
                    told.as_deref().unwrap_or("nothing was told")
                )
            }
            Self::Undecided { calls } => write!(
                f,
                "undecided: the order of the blocks does not explain the answers to a group of {calls} requests, and \
                 after {MOST_ATTEMPTS} attempts at others neither has one been found nor have all been tried"
            ),
        }
    }
}

/// Looks for an order.
///
/// # Errors
/// If there is none, or if it would take too long to know.
pub(super) fn search(calls: &[&Call], first: Model) -> Result<(), Unexplained> {
    let mut search = Search::new(calls, first);
    let mut next = Next::Front;
    let mut farthest = (0, 0);
    while search.list.answers > 0 {
        if search.attempts > MOST_ATTEMPTS {
            return Err(Unexplained::Undecided { calls: calls.len() });
        }
        next = match next {
            Next::Front => search.settle(),
            Next::At(at) if search.list.events[at].is_call => search.attempt(at),
            Next::At(at) => {
                farthest = farthest.max((search.placed.len(), search.list.events[at].request));
                Next::Back
            }
            Next::Back => match search.back() {
                Some(next) => next,
                None => {
                    return Err(Unexplained::Never { calls: calls.len(), stuck: Box::new(calls[farthest.1].clone()) });
                }
            },
        }
    }
    Ok(())
}

/// Where the search goes on.
enum Next {
    /// A request was placed: from the front.
    Front,
    /// With what stands here in the list.
    At(usize),
    /// The last placement was wrong.
    Back,
}

struct Search<'a> {
    calls: &'a [&'a Call],
    list: List,
    /// For each request, those that are alike and go before it if they are ready.
    before: Vec<Vec<usize>>,
    model: Model,
    placed: Vec<Placed>,
    /// The requests that are placed.
    print: u128,
    tried: HashSet<u128>,
    /// How often a request was executed.
    attempts: u64,
}

struct Placed {
    request: usize,
    before: Model,
    /// Whether nothing else needs to be tried in its place.
    only: bool,
}

impl<'a> Search<'a> {
    fn new(calls: &'a [&'a Call], model: Model) -> Self {
        let (list, before) = (List::new(calls), alike(calls));
        Self { calls, list, before, model, placed: Vec::new(), print: 0, tried: HashSet::new(), attempts: 0 }
    }

    /// Places a ready request that changes nothing, if there is one.
    fn settle(&mut self) -> Next {
        let mut at = self.list.front();
        while let Event { request, is_call: true } = self.list.events[at] {
            let answered = self.calls[request].answer.is_some();
            if let Some(next) = self.execute(request).filter(|next| answered && *next == self.model) {
                return self.place(request, next, true).unwrap_or(Next::Back);
            }
            at = self.list.after(at);
        }
        Next::At(self.list.front())
    }

    /// Places the request that stands here, if it may come next.
    fn attempt(&mut self, at: usize) -> Next {
        let request = self.list.events[at].request;
        let is_second = self.before[request].iter().any(|one| self.list.is_ready(*one));
        let next = if is_second { None } else { self.execute(request) };
        next.and_then(|next| self.place(request, next, false)).unwrap_or(Next::At(self.list.after(at)))
    }

    /// The copy after this request, if its client was told what it comes to.
    fn execute(&mut self, request: usize) -> Option<Model> {
        self.attempts += 1;
        let call = self.calls[request];
        let mut next = self.model.clone();
        next.execute(call.account, call.role, &call.transactions, call.told()).then_some(next)
    }

    /// Unless what would follow was tried before.
    fn place(&mut self, request: usize, next: Model, only: bool) -> Option<Next> {
        let print = self.print ^ mark(request as u64);
        if !self.tried.insert(print ^ mark(!next.fingerprint())) {
            return None;
        }
        self.print = print;
        let before = std::mem::replace(&mut self.model, next);
        self.placed.push(Placed { request, before, only });
        self.list.take(request);
        Some(Next::Front)
    }

    /// Takes back the last placement that had an alternative.
    fn back(&mut self) -> Option<Next> {
        loop {
            let Placed { request, before, only } = self.placed.pop()?;
            self.print ^= mark(request as u64);
            self.model = before;
            let behind = self.list.put_back(request);
            if !only {
                return Some(Next::At(behind));
            }
        }
    }
}

/// For each request, those of the same client that ask and were told the same, and were told it earlier.
fn alike(calls: &[&Call]) -> Vec<Vec<usize>> {
    let mut alike: HashMap<_, Vec<usize>> = HashMap::new();
    for (request, call) in calls.iter().enumerate() {
        alike.entry((call.account, &call.transactions, call.told())).or_default().push(request);
    }
    let mut before = vec![Vec::new(); calls.len()];
    for mut requests in alike.into_values() {
        let told = |one: &usize| calls[*one].answer.as_ref().map_or(usize::MAX, |(told, _)| *told);
        requests.sort_by_key(|one| (told(one), *one));
        for (index, request) in requests.iter().enumerate() {
            // What was answered before this one was asked is placed long since when this one is ready.
            let overlap = |one: &&usize| calls[*request].asked < told(one);
            before[*request] = requests[..index].iter().filter(overlap).copied().collect();
        }
    }
    before
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
    /// Whether each request has left the list.
    taken: Vec<bool>,
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
        Self { events, next, previous, call_of, answer_of, taken: vec![false; calls.len()], answers }
    }

    fn front(&self) -> usize {
        self.next[self.events.len()]
    }

    fn after(&self, at: usize) -> usize {
        self.next[at]
    }

    /// Whether a request is in the list and was asked before the first answer in it.
    fn is_ready(&self, request: usize) -> bool {
        let mut at = self.front();
        while at != self.call_of[request] && self.events.get(at).is_some_and(|event| event.is_call) {
            at = self.next[at];
        }
        !self.taken[request] && at == self.call_of[request]
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
        self.taken[request] = true;
        self.unlink(self.call_of[request]);
        if let Some(answer) = self.answer_of[request] {
            self.unlink(answer);
            self.answers -= 1;
        }
    }

    /// Puts back what was taken last, and gives the place behind its call.
    fn put_back(&mut self, request: usize) -> usize {
        self.taken[request] = false;
        if let Some(answer) = self.answer_of[request] {
            self.link(answer);
            self.answers += 1;
        }
        let call = self.call_of[request];
        self.link(call);
        self.next[call]
    }
}

/// How often a search executes a request before it is given up: some seconds' work.
const MOST_ATTEMPTS: u64 = 500_000;
