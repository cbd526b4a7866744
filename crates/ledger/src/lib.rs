//! The ledger: a deterministic state machine whose whole state is one value with one root.
//!
//! Replicas agree on an order of blocks; this crate says what a block does. It knows nothing of agreement, sockets,
//! disks or clocks: a block is a sequence number, a time and requests, and comes in as an argument. Nothing in it
//! depends on anything but the genesis and the blocks, so honest replicas never differ, and nothing that a client asks
//! for can make it fail: every wish has an answer or a [named refusal](bezant_types::transaction::Refusal).
//!
//! # The model
//!
//! *Accounts* hold amounts of one currency. *Entries* are keys with a value, an owner, and grants. Each *client* has a
//! window of request numbers with the outcomes of what it asked for. All three are leaves of one tree: [`Key`] names a
//! leaf, [`Item`] is what it holds.
//!
//! A [`State`] is that tree with a [`Header`], as it was at one height. It never changes and is cloned by pointer;
//! proofs, transfers and writing to disk work on it while execution goes on. The [`Ledger`] is the latest state with
//! what was written since: reads look there first, and [`Ledger::checkpoint`] merges it into the tree, in one pass in
//! which each touched node is hashed once.
//!
//! The state lives in memory, as in Redis. `max_state_bytes` of the genesis bounds the canonical bytes of all keys and
//! items. In memory a leaf takes about 400 bytes more than its canonical ones, and during a checkpoint interval what
//! was rewritten is there twice.
//!
//! | part | file |
//! |---|---|
//! | leaves and their bytes | `item` |
//! | the tree: shape, merging, comparing | `trie`, `trie/merge`, `trie/walk`, `trie/prefix` |
//! | what was written since the last checkpoint, and taking it back | `overlay` |
//! | a request, its transactions, who may do what | `ledger`, `window`, `apply`, `authority`, `integer` |
//! | states as values, proofs, checking a state from elsewhere | `state`, `proof`, `audit` |
//! | fetching a state from peers | [`transfer`] |
//! | comparing checkpoints | [`divergence`] |
//!
//! # The rules
//!
//! * **L-1 Order.** Blocks execute in sequence, without a gap. A gap is a bug of the host and stops it.
//! * **L-2 Time.** The ledger's time is the latest timestamp that any block carried: it never runs backwards, whatever
//!   a primary writes into a block.
//! * **L-3 Exactly once.** A request number lives in slot n mod W of its client's window. A slot that holds n and the
//!   same request digest answers with what is kept; n and another digest, with `NumberReused` (hazard 72); a higher
//!   number, with `Expired`; otherwise the request is new, is executed, and takes the slot. Requests within W of each
//!   other may come in any order (hazard 74). The window is part of the state, hence of the root and of every transfer
//!   (hazard 69). Every executed request is recorded, also one whose transactions were all refused. Number 0 is a
//!   number like any other, and a client that asks for the last one spoils that slot for itself and nothing else
//!   (hazard 73).
//! * **L-4 All or none.** A transaction's operations all apply or leave no trace. The transactions of a request are
//!   independent of each other, and see those before them.
//! * **L-5 Authority.** An entry belongs to the account that created it. Its owner and whoever has a grant write it;
//!   only its owner grants and revokes, to at most [`MAX_GRANTS`] accounts. Deleting removes owner and grants.
//!   Everybody reads. A client whose role is to read changes nothing, its own balance included; one that the genesis
//!   does not know gets nothing done and leaves no trace (hazard 75).
//! * **L-6 Money.** Balances always add up to what the genesis gave out: checked after every block. A fee is paid if,
//!   and only if, its transaction applies. Nobody pays into the fee account directly.
//! * **L-7 Limits.** Keys, values, the answers to one request and the state as a whole have the sizes that the genesis
//!   allows. A full state refuses what would make it larger, never what makes it smaller, and always records outcomes.
//! * **L-8 The root** is a function of the content and the header: neither the order of writes, nor when checkpoints
//!   were made, nor how the state came here leaves a trace in it (hazard 22).
//! * **L-9 Proofs** show what a key holds, or that it holds nothing, to whoever trusts a root.
//! * **L-10 Transfer** takes nothing that does not hash to what a trusted root says must be there (hazards 64 to 68).
//! * **L-11 Divergence** names all who contradict a quorum at the same height, and nobody else (hazards 22, 88).
//! * **L-12 No input panics** (hazard 86). Assertions guard our own invariants only.
//!
//! # Deviations and choices
//!
//! * Castro and Liskov (1999, section 4.1) keep the last reply of each client and compare timestamps. A window of
//!   numbers lets a client have many requests under way, and takes from the primary the power to cancel one by ordering
//!   a later one.
//! * A kept outcome longer than [`Kept::MAX_WHOLE_BYTES`] is replaced by its digest: whoever asks again is told
//!   `NotKept`, and can compare. Otherwise a client could pin gigabytes in every replica by reading large values.
//! * Conditions are judged before authority: a `Set` that is not to overwrite anything answers that it did not, whoever
//!   owns what is there. Reads are open, so this tells nobody anything new.
//! * The windows count towards `max_state_bytes` but are never refused by it. They are bounded by themselves: clients
//!   of the genesis, times W, times 64 KiB.
//! * The tree's leaves are at the places of their keys' digests. Somebody who grinds keys can make a path longer by a
//!   level for each doubling of the work, which costs others a hash more per update; the depth cannot exceed 256.

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
