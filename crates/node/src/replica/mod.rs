//! A replica as a process: sockets, threads and clocks around a [`bezant_host::Member`].
//!
//! # The turn of the loop
//!
//! One task per replica (`host`) does everything that touches the protocol, in turns. The turn is the unit of
//! batching, so that load makes batches and idleness makes none:
//!
//! 1. take what has arrived, a bounded number of events, one of each sender in rotation;
//! 2. decode within bounds, and check the signatures of the turn, each bearer's in one batch;
//! 3. hand it to the member; a round of it steps the core with each input and makes the records durable, with one
//!    append and one sync, before it says what is to be done;
//! 4. do that: encode and queue for peers, hand blocks to the executor and states to the saver (`outputs`);
//! 5. flush: one write per peer;
//! 6. what the replica said to itself is another round: back to step 3, in the same turn.
//!
//! If a round fails, the replica stops: what happened to the records is not known.
//!
//! Beside the loop run the executor (ledger, block store, replies) and the saver (state store), each on a thread
//! (`threads`), fed in order; their reports arrive like everything else.
//!
//! # The adversary
//!
//! Peers and clients decide what arrives, when and how often. The transport bounds what they may have waiting in bytes
//! and serves them in rotation; this module bounds what it does for each: a turn has a bounded number of events, and of
//! each bearer a bounded number of signatures (`turn`); whoever hands over junk is not read for a while (`bearers`);
//! questions have quotas (`questions`). What the member does for each is bounded there.

mod bearers;
mod evidence;
mod host;
mod interference;
mod outputs;
mod questions;
mod threads;
mod turn;

pub use bezant_host::Resume;
pub use host::{ReplicaError, ReplicaOptions, run};
pub use interference::{Act, Hearing, Interference};
pub use threads::{ExecutorError, SaverError};
