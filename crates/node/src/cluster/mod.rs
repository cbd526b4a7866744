//! A network whose processes all run on this machine: making it, starting its processes, and keeping an eye on them.
//!
//! Nothing here is part of the protocol. A replica that `up` starts is the same program with the same home as one that
//! a service manager starts on a machine of its own; this is the service manager for people who have none.
//!
//! ```text
//! <directory>/
//!     genesis.toml  replica-0/ …  clients/<name>/ …       the network, see crate::config
//!     up.lock                                             held by the process that supervises
//!     up.json                                             what it started, for whoever asks
//!     logs/<name>.log                                     what each process had to say
//! ```
//!
//! **The adversary** is mishap: a second supervisor over the same homes, a supervisor that is killed and leaves its
//! children behind, a child that dies and is not missed. The lock refuses the first; children end when the pipe to
//! their supervisor breaks; a death is reported with the child's last words, and nothing is started again in silence.

mod directory;
mod facts;
mod ports;
mod running;
mod serve;
mod supervisor;

pub use directory::{Directory, MakeError};
pub use facts::{Answer, Conviction, GroupFacts, PeerFacts, ReplicaFacts, Verdict};
pub use ports::{free_base_port, is_free};
pub use running::{ProcessFacts, RunError, RunFacts, RunLock};
pub use serve::{GatewayAddresses, ReplicaStart, StartError, serve_gateway, serve_replica};
pub use supervisor::{Exit, Program, SpawnError, Supervisor};
