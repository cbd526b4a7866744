//! The exhaustive scheduler: every order of deliveries, timeouts and crashes of a small world.
//!
//! Four replicas, of which one may be corrupted, a request or two, a view or two, no disks and no clock: small enough
//! that a machine tries everything that can happen, large enough for what went wrong in other implementations. What is
//! stepped is the core that runs in production, [`bezant_pbft::Replica`], and nothing else.
//!
//! # What can happen
//!
//! * Any message that was ever said may arrive at any replica that it was meant for, now. What was said is never taken
//!   away, so repetition and reordering are included, and loss is what never arrives.
//! * Any timer that is set may run out.
//! * A replica may crash and come back with its log, so many times in the world.
//! * The corrupted member may say anything from a menu to anybody at any time: every vote for every batch of the world,
//!   view changes with every prepared set that the votes said so far can prove (none, the latest, a stale one), and new
//!   views on every quorum of view changes.
//!
//! A replica hears its own messages, and its executor answers, in the same step. The corrupted member needs no state:
//! whatever it can say follows from what the others have said.
//!
//! # How it is made fast
//!
//! A replica sees nothing of the world but what arrives. So its states are few, a few thousand where the world has
//! millions, and each is computed once and kept in a table (`local.rs`). A state of the world is then a handful of
//! numbers, one for each honest replica: the set of messages that were said follows from them. States are told apart
//! exactly, not by a hash of them, so no collision can hide one.
//!
//! # What is judged
//!
//! In every state, from what the replicas said and delivered, by code that shares nothing with theirs (`judge.rs`):
//! agreement; no honest member contradicts itself; no vote in a view that its voter has left; what has committed is
//! what anybody commits to later; nobody honest is accused; no replica halts and no assertion fails.
//!
//! # Two ways through
//!
//! * [`breadth_first`] takes every state, nearest first. Where it ends by itself, the small world has no bad state.
//! * [`delay_bounded`] follows a deterministic schedule (first in, first out; then the alarm that was set first) and
//!   deviates from it in at most `d` places, in all ways (Emmi, Qadeer and Rakamaric, *Delay-bounded scheduling*, POPL
//!   2011). It reaches whole view changes, which lie deeper than breadth can go.
//!
//! What the model leaves out: time (so the watch over the pace never complains), state transfer, status messages and
//! fetching (nothing that was said is ever out of reach), and the host around the core.

mod bits;
mod breadth;
mod delays;

mod judge;
mod local;
mod menu;
mod small;
mod states;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::breadth::breadth_first;
pub use self::delays::{DelayReport, delay_bounded};

/// How large a small world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The corrupted member, if there is one.
    pub traitor: Option<u16>,
    /// How many requests there are, each for a sequence number of its own.
    pub slots: u64,
    /// How many views: nothing that belongs to a later one arrives, and no alarm rings in the last.
    pub views: u64,
    /// How many crashes there are.
    pub crashes: u8,
    /// Every so many sequence numbers a checkpoint; `None`: no checkpoints.
    pub checkpoint_interval: Option<u64>,
}

impl Bounds {
    /// One request, one view, no crashes.
    pub const fn smallest(traitor: Option<u16>) -> Self {
        Self { traitor, slots: 1, views: 1, crashes: 0, checkpoint_interval: None }
    }
}

/// When to stop although there is more.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// After so many states.
    pub states: usize,
    /// After so many steps from the beginning.
    pub depth: usize,
    /// After this time.
    pub time: Duration,
}

/// What a search has seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Different states of the world.
    pub states: usize,
    /// Steps that changed something.
    pub transitions: u64,
    /// The depth up to which every state was taken.
    pub depth: usize,
    /// Different states of single replicas.
    pub local_states: usize,
    /// Different messages that were said or could be.
    pub messages: usize,
    /// Whether there is nothing more.
    pub exhausted: bool,
    /// What is wrong, and how it came to that.
    pub crime: Option<Crime>,
    /// How long it took.
    pub seconds: f64,
}

/// A state that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crime {
    /// What is wrong with it.
    pub what: String,
    /// What happened, from the beginning.
    pub path: Vec<String>,
}
