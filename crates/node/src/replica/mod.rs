//! A replica as a process: the host around the pure core.
//!
//! # The turn of the loop
//!
//! One task per replica (`host`) does everything that touches the protocol, in turns. The turn is the unit of
//! batching, so that load makes batches and idleness makes none:
//!
//! 1. take what has arrived, a bounded number of events, one of each sender in rotation;
//! 2. decode within bounds, and check the signatures of the turn, each bearer's in one batch;
//! 3. step the core with each input, and join what comes out;
//! 4. make the records of the turn durable with one append and one sync;
//! 5. release the effects: sign, queue for peers, set timers, hand blocks to the executor;
//! 6. what the replica said to itself goes back to step 3, in the same turn;
//! 7. flush: one write per peer.
//!
//! Nothing is said before step 4 returned. If it fails, the replica stops: what happened to the records is not known.
//!
//! Beside the loop run the `executor` (ledger, block store, replies) and the `saver` (state store), each a thread,
//! fed in order; their results come back as inputs.
//!
//! # The adversary
//!
//! Peers and clients decide what arrives, when and how often. The transport bounds what they may have waiting in bytes
//! and serves them in rotation; this module bounds what it does for each: a turn has a bounded number of events, and of
//! each bearer a bounded number of signatures (`turn`); whoever hands over junk is not read for a while
//! (`bearers`); retransmissions (`answers`), questions (`questions`) and pieces of state (`state_transfer`)
//! have quotas.

mod answers;
mod bearers;
mod boot;
mod effects;
mod evidence;
mod executor;
mod host;
mod journal;
mod questions;
mod saver;
mod seen;
mod state_transfer;
mod timers;
mod turn;

pub use boot::{BootError, ReplicaOptions, Resume, create_log};
pub use executor::ExecutorError;
pub use host::{ReplicaError, run};
pub use saver::SaverError;
