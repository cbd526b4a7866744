//! The deterministic state machine.

#![no_std]

extern crate alloc;

mod apply;
mod audit;
mod authority;
mod bounded;
pub mod divergence;
mod integer;
mod item;
mod ledger;
mod overlay;
mod proof;
mod state;
pub mod transfer;
mod trie;
mod window;

pub use audit::{BadState, Flaw};
pub use authority::MAX_GRANTS;
pub use item::{Item, Kept, Key, parse_record, record};
pub use ledger::{Execution, Ledger};
pub use proof::{BadProof, Proof};
pub use state::{BadRecords, Change, Header, State};
pub use trie::{Prefix, Side};
