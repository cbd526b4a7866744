//! The world in a box: the replicas that run in production, in virtual time, against every malice, from one seed.
//!
//! Nothing is re-implemented here. A simulated machine runs `bezant_host`'s member around the same core, the same
//! ledger and the same log, on a disk in memory that tears, forgets what was not synced and fills up. What is simulated
//! is what surrounds a machine: the network, the clock, the disk, the moment of a crash, and the members that lie.

pub mod adversary;
mod agenda;
pub mod campaign;
mod clientele;
pub mod clock;
pub mod cost;
pub mod dice;
pub mod draw;
pub mod exhaustive;
mod fate;
pub mod language;
mod machine;
pub mod memory;
pub mod minimise;
pub mod network;
pub mod oracle;
mod people;
mod process;
pub mod rounds;
pub mod scenario;
pub mod sight;
mod step;
pub mod trace;
pub mod twins;
mod words;
mod workload;
pub mod world;
