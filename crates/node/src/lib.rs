//! bezant-node

pub mod resp;
