//! Proofs: what a key holds, or that it holds nothing, checked against a state root alone (rule L-9).
//!
//! A proof carries the header and the path from the root down to where the key is, or would be. Whoever has a root that
//! a quorum signed needs nobody's word for the rest. Absence is proven by what is found in the key's place: an empty
//! subtree, or the single leaf of another key.

use alloc::vec::Vec;

use bezant_types::Digest;
use bezant_types::codec::{DecodeError, decode};
use bezant_types::genesis::MAX_FRAME;
use borsh::io::{Read, Result as IoResult};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::bounded::read_list;
use crate::item::{Item, Key};
use crate::state::{Header, State};
use crate::trie::{EMPTY_HASH, MAX_DEPTH, Node, Side, branch_hash, leaf_hash};

/// Shows what one key holds in the state of one root.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Proof {
    header: Header,
    path: Path,
    end: End,
}

/// The hashes of the subtrees beside the key's path, from the root downwards.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize)]
struct Path(Vec<Digest>);

/// What is found in the key's place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
enum End {
    /// The key itself, which holds this.
    Here(Item),
    /// Nothing.
    Empty,
    /// The only leaf of this subtree, and it is another key's.
    Other { key_hash: Digest, item_hash: Digest },
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// It leads to another root.
    #[error("the proof leads to the root {found}, not to the one it was to be checked against")]
    WrongRoot {
        /// Where it leads.
        found: Digest,
    },
    /// It shows a leaf that does not lie on the key's path.
    #[error("the proof shows another key's leaf, and not where this key would be")]
    WrongPlace,
    /// What it shows is of another kind than the key.
    #[error("the proof shows something of another kind than the key asks for")]
    WrongKind,
}

impl Proof {
    /// The most bytes of an encoded proof.
    pub const MAX_BYTES: usize = MAX_FRAME;

    /// Reads a proof from its canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if these are the bytes of none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, Self::MAX_BYTES)
    }

    /// What `key` holds in the state of `root`: `None` if the proof shows that it holds nothing.
    ///
    /// # Errors
    /// [`BadProof`] if it shows neither.
    pub fn verify(&self, root: Digest, key: &Key) -> Result<Option<Item>, BadProof> {
        let key_hash = key.digest();
        let (bottom, item) = match &self.end {
            End::Here(item) if !item.belongs_under(key) => return Err(BadProof::WrongKind),
            End::Here(item) => (leaf_hash(&key_hash, &item.digest()), Some(item)),
            End::Empty => (EMPTY_HASH, None),
            End::Other { key_hash: other, .. } if !self.path.could_end_at(&key_hash, other) => {
                return Err(BadProof::WrongPlace);
            }
            End::Other { key_hash: other, item_hash } => (leaf_hash(other, item_hash), None),
        };
        let found = self.header.root(self.path.root(&key_hash, bottom));
        if found == root { Ok(item.cloned()) } else { Err(BadProof::WrongRoot { found }) }
    }

    /// The header of the state. To be relied on once [`Self::verify`] agreed.
    pub fn header(&self) -> Header {
        self.header
    }
}

impl Path {
    /// Whether `other` is another key that shares `key_hash`'s path down to its end.
    fn could_end_at(&self, key_hash: &Digest, other: &Digest) -> bool {
        let shared = |depth| Side::of(key_hash, depth) == Side::of(other, depth);
        key_hash != other && (0..self.0.len()).all(shared)
    }

    /// The hash at the top, given the one at the bottom.
    fn root(&self, key_hash: &Digest, bottom: Digest) -> Digest {
        self.0.iter().enumerate().rev().fold(bottom, |below, (depth, beside)| match Side::of(key_hash, depth) {
            Side::Left => branch_hash(&below, beside),
            Side::Right => branch_hash(beside, &below),
        })
    }
}

impl BorshDeserialize for Path {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        read_list(reader, MAX_DEPTH).map(Self)
    }
}

impl State {
    /// Proves what `key` holds, or that it holds nothing.
    pub fn prove(&self, key: &Key) -> Proof {
        let key_hash = key.digest();
        let (mut node, mut path) = (self.trie(), Vec::new());
        let end = loop {
            match node {
                Node::Empty => break End::Empty,
                Node::Leaf(leaf) if leaf.key_hash == key_hash => break End::Here(leaf.item.clone()),
                Node::Leaf(leaf) => {
                    break End::Other { key_hash: leaf.key_hash, item_hash: leaf.item.digest() };
                }
                Node::Branch(_) => {
                    let (left, right) = node.split(path.len());
                    let (on, beside) = match Side::of(&key_hash, path.len()) {
                        Side::Left => (left, right),
                        Side::Right => (right, left),
                    };
                    path.push(beside.hash());
                    node = on;
                }
            }
        };
        Proof { header: self.header(), path: Path(path), end }
    }
}
