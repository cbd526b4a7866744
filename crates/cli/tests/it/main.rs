//! The binary as people and programs use it: real processes, sockets, keys and disks.
//!
//! Each test makes a network of its own in a temporary directory and waits for conditions, never for time. Children
//! hold a pipe to the test and end with it, however it ends.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test that meets something else shall fail")]

mod damaged_homes;
mod faults;
mod history;
mod load;
mod network;
mod process;
mod proofs;
mod redis;
mod redis_tools;
mod refused_commands;
mod refused_nodes;
mod traitors;
mod up_and_down;
