//! The part of Bezant that touches sockets, files and clocks: the only async crate.
//!
//! What a replica does without any of these is in [`bezant_host`]; here it gets its network, its threads and its time.
//! Each module is a chapter: who it defends against stands at its head.

pub mod client;
pub mod cluster;
pub mod config;
pub mod gateway;
pub mod http;
pub mod replica;
pub mod resp;
pub mod transport;
pub mod verify;
pub mod wire;
