//! A replica around the pure core, without sockets, threads or clocks.
//!
//! Everything that a replica does besides agreeing is here: its log, its timers, executing what was agreed on, keeping
//! it, fetching the state of others and serving its own, coming up from what lies on its disks. Nobody waits here, and
//! time is an argument; the crate's `clippy.toml` keeps clocks, threads and channels out. The node drives it with
//! tokio, threads and the machine's clocks, the simulator in virtual time, so what the simulator breaks is what would
//! break in the node.
//!
//! # Three parts
//!
//! | part | what it does | who drives it |
//! |---|---|---|
//! | [`Member`] | agrees: takes what has arrived, steps the core, says what is to be done | the host's loop |
//! | [`Executor`] | executes blocks, keeps them for audit, signs replies | beside the loop, in order |
//! | [`Saver`] | writes stable and fetched states to the state store | beside the loop, in order |
//!
//! [`boot()`] makes all three from a home. They share nothing: what one wants of another is an [`Output`] of the
//! member, and what came of it goes back to the member as a [`Done`]. How long either takes is the host's affair.
//!
//! # Driving a member
//!
//! ```ignore
//! let outputs = member.admit(now, arrived);        // answers what needs no agreement, queues the rest
//! outputs.into_iter().for_each(|output| host.perform(output));
//! while member.has_more() {
//!     let outputs = member.round(now)?;            // steps, one append and one sync, then what is to be done
//!     outputs.into_iter().for_each(|output| host.perform(output));
//! }
//! // Until something arrives, a report comes, or `member.wake_at()` has passed.
//! ```
//!
//! `host.perform` gives [`Output::Execute`] to [`Executor::queue`] and [`Output::Save`] to [`Saver::queue`]; what their
//! `work` reports arrives with the next [`Arrived`]. If anything fails, the host stops all three: what happened to the
//! last records is then not known, and nothing more may be said. Whatever it stops at, [`boot()`] goes on from there.
//!
//! # The adversary
//!
//! Peers and clients decide what arrives, when and how often. Whoever hosts a member bounds what they may have waiting,
//! and checks signatures at the door; this crate bounds what a member does for each: retransmissions (`answers`) and
//! pieces of state (`state_transfer`) have quotas.

mod answers;
mod arrived;
mod boot;
mod executor;
#[cfg(test)]
mod fixture;
mod journal;
mod member;
mod output;
mod packets;
pub mod saved;
mod saver;
mod seen;
mod state_transfer;
#[cfg(test)]
mod tests;
mod timers;

pub use arrived::Arrived;
pub use boot::{BadLogRecord, BootError, Booted, Resume, boot, create_log, replica_of};
pub use executor::{Done, Executor, ExecutorError, Performed, Task};
pub use member::Member;
pub use output::{Output, To};
pub use packets::MAX_REQUESTS;
pub use saver::{Save, Saver};
pub use seen::Seen;
