//! The native client: asks the group, and believes no single replica.
//!
//! **The adversary** is up to f of the replicas. Each may be silent, answer wrongly, answer first, answer on many
//! connections, answer a thousand times, replay what it or another said before, or send what is no answer at all. And
//! the network may lose any frame. The client promises its caller that
//!
//! * an outcome was signed by f + 1 distinct replicas, one of which is honest (rule P-7); replies are compared by
//!   request number and outcome and by nothing else (hazard 78), and counted by the key that signed, never by
//!   connection (hazard 77);
//! * a proof or a checkpoint was signed by a quorum and covers what was asked for, so one honest answer is enough, and
//!   a lie is known for one;
//! * there is an answer by the deadline, if need be [`SubmitError::NoQuorum`], which says how many answered, how many
//!   versions of the truth they gave, and whether the request can have been executed;
//! * no request number is used twice, see [`numbers`], and what is under way cannot push itself out of the window, see
//!   [`requests`].
//!
//! ```text
//! Client (handle) ──┐                 ┌── requests: f + 1 equal replies ──┐
//! Client (handle) ──┼── commands ──> worker ── door: signatures in batches ── mesh ──> every replica
//! gateway's seam ───┘                 └── questions: one valid answer ────┘
//! ```
//!
//! One task, the `worker`, owns the connections and everything that is under way; a [`Client`] is a handle to it. What
//! the parts decide is decided without I/O and on a clock that is passed in, so that tests can set it.

mod door;
mod error;
mod handle;
mod ignored;
mod known;
mod network;
pub mod numbers;
mod options;
mod questions;
pub mod requests;
mod serve;
mod time;
mod worker;

#[cfg(test)]
mod tests;

pub use error::{ConnectError, Fate, NoQuorum, QueryError, SubmitError};
pub use handle::Client;
pub use known::Group;
pub use numbers::{NUMBERS_FILE, NumberSource, NumbersError};
pub use options::Options;
pub use questions::{Proven, ReplicaStatus, Unreachable};
pub use serve::serve;
