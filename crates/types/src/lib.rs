//! What every part of Bezant speaks of: quantities, digests, keys, signed messages, committees, requests, the genesis.
//!
//! This crate knows nothing of agreement, execution, sockets, disks or clocks. It is `no_std` so that the compiler
//! keeps it that way. Three ideas carry the rest of the house:
//!
//! * **Quantities are types** ([`quantity`]): a [`View`] is not a [`SequenceNumber`], and neither is made from a bare
//!   `u64` by accident. An [`Amount`] cannot wrap.
//! * **Verified at the door** ([`signed`]): bytes decode to [`Signed<M>`], which promises nothing. Only a check against
//!   the [`Keyring`] turns it into [`Verified<M>`], the one form that protocol code accepts. What is signed is a digest
//!   over a domain tag, the genesis digest, the signer and the message, so no signature means anything anywhere else.
//! * **One rule of validity** ([`keys`]): ZIP 215, under which checking alone and checking in a batch agree by
//!   construction. A signature is never an identity; digests are.
//!
//! # Canonical bytes
//!
//! Everything that is hashed, sent or stored is encoded by [`codec`]: borsh with strict ordering, so that one value has
//! exactly one encoding. Each encoded type has a golden hash in `tests/golden.rs` of its crate: changing a format is a
//! decision, not an accident.

#![no_std]

extern crate alloc;

pub mod codec;
pub mod digest;
pub mod genesis;
pub mod keys;
pub mod quantity;
pub mod quorum;
pub mod signed;
pub mod transaction;
mod wording;

pub use digest::Digest;
pub use genesis::Genesis;
pub use keys::{Keyring, SecretKey, Signature};
pub use quantity::{AccountId, Amount, Moment, ReplicaId, RequestNumber, SequenceNumber, Timestamp, View};
pub use quorum::Committee;
pub use signed::{Signable, Signed, Verified};
pub use transaction::{Bundle, Operation, Outcome, Request, Transaction};
