//! Exactly once: each client's window of request numbers (rule L-3).
//!
//! The window is a ring of W slots in the replicated state; request number n lives in slot n mod W, so parallel
//! requests may be ordered in any order within W. It is part of the root, of snapshots and of transfers: a replica that
//! was restored answers a replay exactly as one that was there (hazard 69). A remembered "highest number" instead would
//! drop parallel requests, and let a primary censor one request by ordering a later one (hazard 74).

use bezant_types::{AccountId, Digest, Outcome, RequestNumber};

use crate::item::{Item, Kept, Key};
use crate::overlay::Overlay;

/// What the window says of a request.
pub(crate) enum Recall {
    /// Nothing: it is new. Its outcome goes here.
    New(Place),
    /// It was executed, or never will be, and this is the answer.
    Known(Outcome),
}

/// The slot of one request number.
pub(crate) struct Place {
    at: Digest,
    key: Key,
}

/// Looks up a request of `client`. `size` is the window's, at least 16.
pub(crate) fn recall(
    overlay: &Overlay,
    size: u32,
    client: AccountId,
    number: RequestNumber,
    request: Digest,
) -> Recall {
    let key = Key::Window { client, slot: slot(size, number) };
    let at = key.digest();
    match overlay.read(&at) {
        None => Recall::New(Place { at, key }),
        Some(Item::Window { number: last, .. }) if *last < number => Recall::New(Place { at, key }),
        Some(Item::Window { number: last, .. }) if *last > number => Recall::Known(Outcome::Expired),
        Some(Item::Window { number: _, request: first, .. }) if *first != request => {
            Recall::Known(Outcome::NumberReused)
        }
        Some(Item::Window { number: _, request: _, kept }) => {
            Recall::Known(kept.outcome().expect("what was kept was encoded here or checked in from_state"))
        }
        Some(Item::Entry { .. } | Item::Balance(_)) => unreachable!("a window's leaf holds a window slot"),
    }
}

/// Remembers what a new request came to.
pub(crate) fn remember(overlay: &mut Overlay, place: Place, number: RequestNumber, request: Digest, kept: Kept) {
    overlay.write(place.at, place.key, Some(Item::Window { number, request, kept }));
    overlay.commit();
}

/// The slot in which `number` lives.
pub(crate) fn slot(size: u32, number: RequestNumber) -> u32 {
    let slot = number.get() % u64::from(size.max(1));
    u32::try_from(slot).expect("a remainder by a u32 fits one")
}
