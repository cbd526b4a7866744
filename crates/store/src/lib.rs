//! What a replica keeps on disk, and how it comes back from a crash.
//!
//! This crate knows bytes, digests and sequence numbers. It does not know what a vote, a block or an account is: what
//! its records mean is the caller's affair, and so is whether a loaded state is the right one.
//!
//! | part | holds | durable | if damaged |
//! |---|---|---|---|
//! | [`wal`] | what this replica must not forget having said | when [`Wal::sync`] returns | refuses to start |
//! | [`blocks`] | committed blocks, for audit and for peers | when [`BlockStore::sync`] returns | says which block |
//! | [`state`] | the entries of the last durable checkpoint | when a call returns | refuses to open |
//! | [`home`] | the directory of all that, with its lock, and [`evidence`] | when a call returns | says which file |
//!
//! A replica comes up from any [`Place`] where these lie: a [`Home`], or a [`MemoryHome`] whose disks fail on command.
//!
//! # The model
//!
//! The machine may stop at any moment. Of what was written and not synced, any sector of 512 bytes may then be old or
//! new, in any combination; what was synced is kept. A process may die while the machine goes on. A sync may fail,
//! once, and what it should have saved is then gone, whatever later syncs say. The disk may run full. A stored bit may
//! rot. [`MemoryDisk`] does all of this, and `tests/` stops it after every single operation of scripted runs.
//!
//! Not in the model: a disk that reports a sync and has not done it, and an operator who puts back an *older* copy of
//! the log. To the replica both look like having voted less than it did; nothing on this disk can show otherwise.
//!
//! # The rules of the log
//!
//! * **W-1** Records whose sync has returned are recovered, all of them, in order.
//! * **W-2** What is recovered is a prefix of what was appended, by whole appends: nothing is invented, no append is
//!   there in part.
//! * **W-3** What is recovered is durable before it is returned, for the replica will send again what it finds.
//! * **W-4** A torn tail is cut, and overwritten with zeros, before anything is written behind it: an old frame cannot
//!   come back to life behind a new one.
//! * **W-5** A damaged frame that had been synced is never taken for a torn tail if anything shows otherwise; and each
//!   frame says which ones were synced before it. The log is then left as it is and refused, with an instruction.
//! * **W-6** A compaction is visible as a whole, after it is durable, and not before.
//! * **W-7** After a failed write or sync every later call fails. No sync is ever tried twice.
//! * **W-8** A log is created, opened or set aside, each by its own call. A lost log is never mistaken for a new one.
//! * **W-9** Nothing is allocated on the word of a length field: a length is believed if so many bytes are there.
//!
//! The block store obeys W-2, W-4, W-5, W-7 and W-9 as well. It is not needed for safety, so it is made when it is not
//! there.
//!
//! # Order between the parts
//!
//! Each part is whole after a crash; that they fit together is the caller's doing, by this order at a checkpoint: sync
//! the blocks up to it, then save the state, then compact the log. A crash between two of these leaves a log that
//! reaches further back than it needs to, or blocks that the state has not caught up with, and both are replayed. The
//! other way round would leave a gap that only peers can fill (hazards 62 and 63).
//!
//! # What this does not promise
//!
//! * The very last append that was synced, and what was synced together with it, is vouched for by nothing behind it.
//!   If it rots while the replica is down it looks like a torn tail and is cut. To tell the two apart would take a
//!   second synced write per turn. (What a log was created with or compacted to is vouched for by the head of its
//!   file.)
//! * If the last file of the log is removed whole, the log ends before it. `lost-<n>/` is how to remove a log.
//! * Checksums find accidents. Whoever can write to a home can forge anything in it, and holds its key besides.
//!
//! # Measured
//!
//! `cargo run --release -p bezant-store --example measure` prints what an append and its sync cost here, against a file
//! that simply grows. See that program for a table of one run.

pub mod blocks;
pub mod disk;
mod error;
pub mod evidence;
mod files;
mod frame;
pub mod home;
mod memory_home;
pub mod place;
mod segments;
pub mod state;
pub mod wal;

pub use blocks::{BlockError, BlockStore};
pub use disk::{Disk, HostDisk, MemoryDisk};
pub use error::{LogError, Proof, Remedy};
pub use files::{Access, write_atomically};
pub use home::{Home, HomeError};
pub use memory_home::MemoryHome;
pub use place::{Layout, Place};
pub use state::{StateError, StateStore};
pub use wal::Wal;
