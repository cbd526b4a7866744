//! Checking a state that was not executed here, before execution relies on it.
//!
//! A root that a quorum signed already says that the state is right. This is the second wall: a state loaded from a
//! damaged disk under a damaged header, or one of another network, is refused with its reason, and what execution takes
//! for granted (an account's leaf holds a balance, a kept outcome decodes) holds from the start.

use alloc::collections::BTreeSet;

use bezant_types::genesis::Parameters;
use bezant_types::{AccountId, Amount, Genesis, Outcome};

use crate::authority::MAX_GRANTS;
use crate::item::{Item, Kept, Key};
use crate::overlay::Totals;
use crate::state::State;
use crate::window::slot;

/// Why a state cannot be one of this network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadState {
    /// The header's supply is another than the genesis gave out.
    #[error(
        "the state says that there are {found} units of money, the genesis gave out {expected}: it belongs to another network"
    )]
    Supply {
        /// What the header says.
        found: Amount,
        /// What the genesis says.
        expected: Amount,
    },
    /// The balances do not add up to the supply.
    #[error("the balances add up to {found}, but there are {expected} units of money")]
    Balances {
        /// Their sum.
        found: u128,
        /// The supply.
        expected: Amount,
    },
    /// The header's count of entries is wrong.
    #[error("the header says {header} entries, there are {found}")]
    Entries {
        /// What the header says.
        header: u64,
        /// How many there are.
        found: u64,
    },
    /// The header's count of bytes is wrong.
    #[error("the header says {header} bytes, there are {found}")]
    Bytes {
        /// What the header says.
        header: u64,
        /// How many there are.
        found: u64,
    },
    /// One key holds what it cannot hold.
    #[error("{key:?}: {flaw}")]
    Leaf {
        /// Which key.
        key: Key,
        /// What is wrong with it.
        flaw: Flaw,
    },
}

/// What one leaf cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// An account without a balance, or the like.
    #[error("it holds something of another kind")]
    WrongKind,
    /// Longer than the genesis allows.
    #[error("the key is longer than the genesis allows")]
    KeyTooLong,
    /// Longer than the genesis allows.
    #[error("the value is longer than the genesis allows")]
    ValueTooLong,
    /// Too many, out of order, twice, the owner's own, or the fee account's.
    #[error("its grants are not in order")]
    Grants,
    /// Zero is written as no leaf.
    #[error("a balance of zero")]
    ZeroBalance,
    /// A window of somebody whom the genesis does not know.
    #[error("a window of an unknown client")]
    UnknownClient,
    /// A request number that lives in another slot.
    #[error("a request number in another's slot")]
    WrongSlot,
    /// The kept outcome is none, or one that is never kept.
    #[error("the kept outcome is not one of an executed request")]
    Outcome,
}

/// Checks all of `state`, and counts it.
pub(crate) fn audit(genesis: &Genesis, state: &State) -> Result<Totals, BadState> {
    let (found, expected) = (state.supply(), genesis.supply());
    if found != expected {
        return Err(BadState::Supply { found, expected });
    }
    let clients: BTreeSet<_> = genesis.clients().iter().map(|client| client.key).collect();
    let mut totals = Totals::default();
    for (key, item) in state.items() {
        check_leaf(genesis.parameters(), &clients, key, item)
            .map_err(|flaw| BadState::Leaf { key: key.clone(), flaw })?;
        totals = totals.plus(Totals::of(key, Some(item)));
    }
    if totals.held != u128::from(expected.units()) {
        return Err(BadState::Balances { found: totals.held, expected });
    }
    if totals.entries != state.entries() {
        return Err(BadState::Entries { header: state.entries(), found: totals.entries });
    }
    if totals.bytes != state.bytes() {
        return Err(BadState::Bytes { header: state.bytes(), found: totals.bytes });
    }
    Ok(totals)
}

fn check_leaf(parameters: &Parameters, clients: &BTreeSet<AccountId>, key: &Key, item: &Item) -> Result<(), Flaw> {
    let require = |holds: bool, flaw: Flaw| if holds { Ok(()) } else { Err(flaw) };
    match (key, item) {
        (Key::Entry(key), Item::Entry { owner, grants, value }) => {
            require(key.len() <= parameters.max_key_bytes as usize, Flaw::KeyTooLong)?;
            require(value.len() <= parameters.max_value_bytes as usize, Flaw::ValueTooLong)?;
            let ordered = grants.is_sorted_by(|a, b| a < b) && grants.len() <= MAX_GRANTS;
            require(ordered && !grants.contains(owner) && !grants.contains(&AccountId::FEES), Flaw::Grants)
        }
        (Key::Account(_), Item::Balance(amount)) => require(*amount != Amount::ZERO, Flaw::ZeroBalance),
        (Key::Window { client, slot: place }, Item::Window { number, request: _, kept }) => {
            require(clients.contains(client), Flaw::UnknownClient)?;
            require(slot(parameters.client_window, *number) == *place, Flaw::WrongSlot)?;
            check_kept(kept)
        }
        (Key::Entry(_) | Key::Account(_) | Key::Window { .. }, _) => Err(Flaw::WrongKind),
    }
}

fn check_kept(kept: &Kept) -> Result<(), Flaw> {
    match kept {
        Kept::Digest(_) => Ok(()),
        Kept::Whole(_) => match kept.outcome() {
            Ok(Outcome::Executed(_)) => Ok(()),
            Ok(Outcome::Expired | Outcome::NumberReused | Outcome::NotKept { .. }) | Err(_) => Err(Flaw::Outcome),
        },
    }
}
