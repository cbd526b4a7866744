//! Practical Byzantine fault tolerance, as a deterministic participant without sockets, disk, clock or key.
#![no_std]

extern crate alloc;

mod catch_up;
pub mod certificate;
mod checkpoint;
pub mod client;
mod config;
pub mod evidence;
pub mod ignored;
pub mod message;
mod new_view;
mod normal;
pub mod packet;
mod pool;
mod ready;
pub mod record;
mod replica;
mod restart;
mod slot;
mod view_change;

pub use config::Config;
pub use ready::{Block, Effect, Fault, Input, Log, Ready, Recipients, StoredBlock, Timer};
pub use replica::{Replica, Report};
pub use restart::BadRecord;
