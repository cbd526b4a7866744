//! Who may change an entry (rule L-5).

use bezant_types::AccountId;
use bezant_types::transaction::Refusal;

/// The most accounts that an entry's owner can let write it.
pub const MAX_GRANTS: usize = 64;

/// The owner may write, and whoever has a grant.
pub(crate) fn may_write(sender: AccountId, owner: AccountId, grants: &[AccountId]) -> Result<(), Refusal> {
    if sender == owner || grants.binary_search(&sender).is_ok() { Ok(()) } else { Err(Refusal::NotYours { owner }) }
}

/// Only the owner says who else may write.
pub(crate) fn must_own(sender: AccountId, owner: AccountId) -> Result<(), Refusal> {
    if sender == owner { Ok(()) } else { Err(Refusal::NotOwner { owner }) }
}
