//! The part of Bezant that touches sockets, files and clocks: the only async crate.
//!
//! The protocol ([`bezant_pbft`]), the ledger ([`bezant_ledger`]) and the stores ([`bezant_store`]) know nothing of
//! each other; here they meet. Each module is a chapter: who it defends against stands at its head.

pub mod client;
pub mod cluster;
pub mod config;
pub mod gateway;
pub mod http;
pub mod replica;
pub mod resp;
pub mod saved;
pub mod transport;
pub mod verify;
pub mod wire;
