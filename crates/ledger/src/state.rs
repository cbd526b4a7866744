//! A state as a value.
//!
//! A [`State`] is what the ledger held at one height. It never changes and is cloned by pointer, so proofs, transfers
//! to others and the writing to disk all work on it while execution goes on.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use bezant_types::codec::DecodeError;
use bezant_types::{Amount, Digest, SequenceNumber, Timestamp};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::item::{Item, Key, parse_record, record};
use crate::trie::{Difference, Leaf, Node, Update, differences, merge};

/// What a state root commits to beside the trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// The sequence number of the last block that was executed.
    pub height: SequenceNumber,
    /// The ledger's time.
    pub timestamp: Timestamp,
    /// The sum of all balances.
    pub supply: Amount,
    /// How many entries there are.
    pub entries: u64,
    /// The canonical bytes of all keys and items.
    pub bytes: u64,
}

impl Header {
    /// The state root: what replicas sign at a checkpoint.
    pub fn root(&self, trie_root: Digest) -> Digest {
        Digest::of("bezant/state/1", &(self, trie_root))
    }
}

/// What the ledger held at one height.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    header: Header,
    trie: Node,
    root: Digest,
}

/// What became of one key between two states: what the store writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Change {
    /// The key's digest, by which records are ordered.
    pub key_hash: Digest,
    /// The key and what it now holds, as [`record`] writes it; `None` if the key is gone.
    pub record: Option<Vec<u8>>,
}

/// Records that make no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecords {
    /// Not the bytes of a record.
    #[error("record {index} is damaged: {cause}")]
    Damaged {
        /// Which, counted from 0.
        index: usize,
        /// What is wrong with it.
        cause: DecodeError,
    },
    /// Two records for one key.
    #[error("two records for the key of digest {key_hash}")]
    KeyTwice {
        /// Which key, by its digest.
        key_hash: Digest,
    },
}

impl State {
    pub(crate) fn new(header: Header, trie: Node) -> Self {
        let root = header.root(trie.hash());
        Self(Arc::new(Inner { header, trie, root }))
    }

    /// Rebuilds a state from its header and all its [`record`]s, in any order. The result is as good as its
    /// [`root`](Self::root), which the caller compares with a certificate.
    ///
    /// # Errors
    /// [`BadRecords`] names the first record that is none.
    pub fn load<R: AsRef<[u8]>>(header: Header, records: impl IntoIterator<Item = R>) -> Result<Self, BadRecords> {
        let mut updates = Vec::new();
        for (index, bytes) in records.into_iter().enumerate() {
            let (key, item) = parse_record(bytes.as_ref()).map_err(|cause| BadRecords::Damaged { index, cause })?;
            updates.push(Update::write(key, item));
        }
        updates.sort_unstable_by_key(|update| update.key_hash);
        for pair in updates.windows(2) {
            if let [one, two] = pair
                && one.key_hash == two.key_hash
            {
                return Err(BadRecords::KeyTwice { key_hash: one.key_hash });
            }
        }
        Ok(Self::new(header, merge(&Node::Empty, 0, &updates)))
    }

    /// What replicas compare and sign: the digest over the header and the trie.
    pub fn root(&self) -> Digest {
        self.0.root
    }

    /// What the root commits to beside the trie.
    pub fn header(&self) -> Header {
        self.0.header
    }

    /// The hash of the trie's root node.
    pub fn trie_root(&self) -> Digest {
        self.0.trie.hash()
    }

    /// The sequence number of the last block that was executed.
    pub fn height(&self) -> SequenceNumber {
        self.0.header.height
    }

    /// The ledger's time.
    pub fn timestamp(&self) -> Timestamp {
        self.0.header.timestamp
    }

    /// The sum of all balances.
    pub fn supply(&self) -> Amount {
        self.0.header.supply
    }

    /// How many entries there are.
    pub fn entries(&self) -> u64 {
        self.0.header.entries
    }

    /// The canonical bytes of all keys and items.
    pub fn bytes(&self) -> u64 {
        self.0.header.bytes
    }

    /// What `key` holds.
    pub fn get(&self, key: &Key) -> Option<&Item> {
        self.0.trie.get(&key.digest()).map(|leaf| &leaf.item)
    }

    /// Everything it holds, in ascending order of key digest.
    pub fn items(&self) -> impl Iterator<Item = (&Key, &Item)> {
        self.0.trie.leaves().map(|leaf| (&leaf.key, &leaf.item))
    }

    /// Everything it holds, as what a store that is still empty has to write.
    pub fn records(&self) -> impl Iterator<Item = Change> + '_ {
        self.0.trie.leaves().map(written)
    }

    /// What a store that holds `earlier` has to write so that it holds this, in ascending order of key digest. Takes
    /// time in proportion to the result. (`earlier` need not be earlier, or related.)
    pub fn changes_since(&self, earlier: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        differences(&earlier.0.trie, &self.0.trie, &mut |difference| {
            changes.push(match difference {
                Difference::Removed(leaf) => Change { key_hash: leaf.key_hash, record: None },
                Difference::Written(leaf) => written(leaf),
            });
        });
        changes
    }

    pub(crate) fn trie(&self) -> &Node {
        &self.0.trie
    }
}

fn written(leaf: &Leaf) -> Change {
    Change { key_hash: leaf.key_hash, record: Some(record(&leaf.key, &leaf.item)) }
}

/// Equal roots are equal states.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.root().hash(state);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("root", &self.root()).field("header", &self.0.header).finish_non_exhaustive()
    }
}
