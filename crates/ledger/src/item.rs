//! What the state holds: [`Key`] names one thing, [`Item`] is what it holds, [`record`] is the pair as bytes.

use alloc::vec::Vec;

use bezant_types::codec::{DecodeError, decode, encode};
use bezant_types::digest::Hasher;
use bezant_types::genesis::MAX_FRAME;
use bezant_types::{AccountId, Amount, Digest, Outcome, RequestNumber};
use borsh::{BorshDeserialize, BorshSerialize};

/// Names one leaf of the state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Key {
    /// The entry of this key.
    Entry(Vec<u8>),
    /// What this account holds.
    Account(AccountId),
    /// One slot of a client's window of request numbers.
    Window {
        /// Whose window.
        client: AccountId,
        /// Which slot: the request number modulo the window's size.
        slot: u32,
    },
}

/// What one leaf of the state holds. Its kind is that of its [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Item {
    /// Under [`Key::Entry`].
    Entry {
        /// The account that created it.
        owner: AccountId,
        /// Who else may write it, in ascending order, without the owner.
        grants: Vec<AccountId>,
        /// Its value.
        value: Vec<u8>,
    },
    /// Under [`Key::Account`]. Never zero: an account that holds nothing has no leaf.
    Balance(Amount),
    /// Under [`Key::Window`].
    Window {
        /// The highest request number executed in this slot.
        number: RequestNumber,
        /// The digest of that request.
        request: Digest,
        /// What it came to.
        kept: Kept,
    },
}

/// What is remembered of an executed request's outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Kept {
    /// The canonical bytes of the [`Outcome`]. Bytes, because an outcome of many small answers takes twenty times as
    /// much memory when decoded, and is rarely asked for again.
    Whole(Vec<u8>),
    /// The [`Outcome::digest`] of one that was too large to keep.
    Digest(Digest),
}

impl Kept {
    /// The longest outcome that is kept whole, in canonical bytes.
    pub const MAX_WHOLE_BYTES: usize = 64 << 10;

    /// What is remembered of `outcome`.
    pub fn of(outcome: &Outcome) -> Self {
        let bytes = encode(outcome);
        if bytes.len() <= Self::MAX_WHOLE_BYTES { Self::Whole(bytes) } else { Self::Digest(outcome.digest()) }
    }

    /// What a retransmission is answered with.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are those of no outcome. [`crate::Ledger::from_state`] lets no such state in.
    pub fn outcome(&self) -> Result<Outcome, DecodeError> {
        match self {
            Self::Whole(bytes) => decode(bytes, Self::MAX_WHOLE_BYTES),
            Self::Digest(outcome) => Ok(Outcome::NotKept { outcome: *outcome }),
        }
    }
}

impl Key {
    /// The leaf's place in the trie.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Entry(key) => Self::entry_digest(key),
            Self::Account(_) | Self::Window { .. } => digest_in_place(KEY_DOMAIN, self),
        }
    }

    /// [`Self::digest`] of `Key::Entry(key)`, without owning the key.
    pub fn entry_digest(key: &[u8]) -> Digest {
        let mut hasher = Hasher::new(KEY_DOMAIN);
        let length = u32::try_from(key.len()).expect("no frame, and so no key, has 4 GiB");
        hasher.update(&[0]);
        hasher.update(&length.to_le_bytes());
        hasher.update(key);
        hasher.finish()
    }

    /// The number of canonical bytes.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Entry(key) => 5 + key.len() as u64,
            Self::Account(_) => 33,
            Self::Window { .. } => 37,
        }
    }
}

impl Item {
    /// What a leaf commits to.
    pub fn digest(&self) -> Digest {
        digest_in_place("bezant/item", self)
    }

    /// The number of canonical bytes.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Entry { owner: _, grants, value } => 41 + 32 * grants.len() as u64 + value.len() as u64,
            Self::Balance(_) => 9,
            Self::Window { number: _, request: _, kept: Kept::Whole(bytes) } => 46 + bytes.len() as u64,
            Self::Window { number: _, request: _, kept: Kept::Digest(_) } => 74,
        }
    }

    /// Whether this is what a leaf of this key may hold.
    pub fn belongs_under(&self, key: &Key) -> bool {
        match (key, self) {
            (Key::Entry(_), Self::Entry { .. })
            | (Key::Account(_), Self::Balance(_))
            | (Key::Window { .. }, Self::Window { .. }) => true,
            (Key::Entry(_), Self::Balance(_) | Self::Window { .. })
            | (Key::Account(_), Self::Entry { .. } | Self::Window { .. })
            | (Key::Window { .. }, Self::Entry { .. } | Self::Balance(_)) => false,
        }
    }
}

/// A leaf as bytes: the key's canonical bytes, then the item's. What is written to disk and travels in a transfer.
pub fn record(key: &Key, item: &Item) -> Vec<u8> {
    encode(&(key, item))
}

/// The leaf of [`record`].
///
/// # Errors
/// [`DecodeError`] if these are the canonical bytes of no leaf.
pub fn parse_record(bytes: &[u8]) -> Result<(Key, Item), DecodeError> {
    decode(bytes, MAX_FRAME)
}

const KEY_DOMAIN: &str = "bezant/key";

/// `Digest::of(domain, value)` without first copying the value's bytes to a buffer.
fn digest_in_place<T: BorshSerialize>(domain: &str, value: &T) -> Digest {
    struct Sink(Hasher);
    impl borsh::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> borsh::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> borsh::io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(Hasher::new(domain));
    value.serialize(&mut sink).expect("hashing does not fail");
    sink.0.finish()
}
