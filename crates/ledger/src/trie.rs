//! The state's tree: a compact binary Merkle trie over key digests, persistent and shared.
//!
//! A subtree without a leaf is `Empty`, one with a single leaf *is* that leaf, and any other is a `Branch` at the next
//! bit of the key digests. The shape, and with it the root, is therefore a function of the content alone: neither the
//! order of writes nor how they were batched leaves a trace (rule L-8).
//!
//! Nodes are shared by `Arc` and never change. A write copies the path above it; everything else belongs to the old and
//! the new tree alike. The depth is at most 256, the bits of a digest, so recursion and dropping are bounded, too.
//!
//! A leaf of a subtree that is deeper than the leaf's own node can be thought of at any depth below it: [`Node::split`]
//! does so, and that is what keeps every algorithm here to a few cases.

mod merge;
mod prefix;
mod walk;

use alloc::sync::Arc;

use bezant_types::Digest;

pub(crate) use self::merge::{Update, graft, merge};
pub use self::prefix::{Prefix, Side};
pub(crate) use self::walk::{Difference, Leaves, differences};
use crate::item::{Item, Key};

/// A subtree.
#[derive(Clone)]
pub(crate) enum Node {
    Empty,
    Leaf(Arc<Leaf>),
    Branch(Arc<Branch>),
}

/// One key with what it holds.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) hash: Digest,
    pub(crate) key_hash: Digest,
    pub(crate) key: Key,
    pub(crate) item: Item,
}

/// Two subtrees, together with at least two leaves.
pub(crate) struct Branch {
    hash: Digest,
    /// The canonical bytes of all keys and items below. Not part of the hash: it follows from the content.
    weight: u64,
    left: Node,
    right: Node,
}

/// What stands for the hash of an empty subtree. Nothing is known that hashes to it.
pub(crate) const EMPTY_HASH: Digest = Digest::new([0; 32]);

/// The deepest that a node can be.
pub(crate) const MAX_DEPTH: usize = 256;

static EMPTY: Node = Node::Empty;

impl Node {
    pub(crate) fn hash(&self) -> Digest {
        match self {
            Self::Empty => EMPTY_HASH,
            Self::Leaf(leaf) => leaf.hash,
            Self::Branch(branch) => branch.hash,
        }
    }

    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Leaf(leaf) => leaf.weight(),
            Self::Branch(branch) => branch.weight,
        }
    }

    /// The leaf of this key digest, if there is one.
    pub(crate) fn get(&self, key_hash: &Digest) -> Option<&Leaf> {
        let (mut node, mut depth) = (self, 0);
        loop {
            match node {
                Self::Empty => return None,
                Self::Leaf(leaf) => return (leaf.key_hash == *key_hash).then_some(leaf),
                Self::Branch(branch) => {
                    node = branch.child(Side::of(key_hash, depth));
                    depth += 1;
                }
            }
        }
    }

    /// What lies below `prefix`.
    pub(crate) fn at(&self, prefix: &Prefix) -> &Self {
        let mut node = self;
        for depth in 0..prefix.len() {
            match node {
                Self::Empty => return node,
                Self::Leaf(leaf) => return if prefix.covers(&leaf.key_hash) { node } else { &EMPTY },
                Self::Branch(branch) => node = branch.child(prefix.side(depth)),
            }
        }
        node
    }

    /// The two halves of the subtree at `depth`. A single leaf is one of them, and the other is empty.
    pub(crate) fn split(&self, depth: usize) -> (&Self, &Self) {
        match self {
            Self::Empty => (&EMPTY, &EMPTY),
            Self::Leaf(leaf) => match Side::of(&leaf.key_hash, depth) {
                Side::Left => (self, &EMPTY),
                Side::Right => (&EMPTY, self),
            },
            Self::Branch(branch) => (&branch.left, &branch.right),
        }
    }

    /// The subtree of two halves. The one place where the shape is decided: a lone leaf rises, a lone branch does not,
    /// because its place says what its leaves have in common.
    pub(crate) fn join(left: Self, right: Self) -> Self {
        match (&left, &right) {
            (Self::Empty, Self::Empty | Self::Leaf(_)) => right,
            (Self::Leaf(_), Self::Empty) => left,
            (Self::Empty, Self::Branch(_))
            | (Self::Leaf(_), Self::Leaf(_) | Self::Branch(_))
            | (Self::Branch(_), _) => Self::Branch(Arc::new(Branch {
                hash: branch_hash(&left.hash(), &right.hash()),
                weight: left.weight().saturating_add(right.weight()),
                left,
                right,
            })),
        }
    }

    /// All leaves, in ascending order of key digest.
    pub(crate) fn leaves(&self) -> Leaves<'_> {
        Leaves::new(self)
    }
}

impl Leaf {
    pub(crate) fn weight(&self) -> u64 {
        self.key.weight() + self.item.weight()
    }
}

/// A leaf that may still change: it is hashed when it enters a tree, and not with every write.
#[derive(Clone)]
pub(crate) struct Draft(Arc<Leaf>);

impl Draft {
    /// `key`, whose digest is `key_hash`, is to hold `item`.
    pub(crate) fn new(key_hash: Digest, key: Key, item: Item) -> Self {
        Self(Arc::new(Leaf { key_hash, hash: EMPTY_HASH, key, item }))
    }

    /// `leaf`, to be changed.
    pub(crate) fn of(leaf: &Leaf) -> Self {
        Self(Arc::new(leaf.clone()))
    }

    pub(crate) fn item(&self) -> &Item {
        &self.0.item
    }

    pub(crate) fn item_mut(&mut self) -> &mut Item {
        &mut Arc::make_mut(&mut self.0).item
    }

    /// The leaf, hashed.
    pub(crate) fn finish(mut self) -> Arc<Leaf> {
        let leaf = Arc::make_mut(&mut self.0);
        leaf.hash = leaf_hash(&leaf.key_hash, &leaf.item.digest());
        self.0
    }
}

impl Branch {
    pub(crate) fn child(&self, side: Side) -> &Node {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }
}

/// SHA-256 of the tag 0, the key's digest and the item's.
pub(crate) fn leaf_hash(key_hash: &Digest, item_hash: &Digest) -> Digest {
    tagged(0, key_hash, item_hash)
}

/// SHA-256 of the tag 1 and the hashes of the two halves. The tags keep a leaf from being passed off as a branch.
pub(crate) fn branch_hash(left: &Digest, right: &Digest) -> Digest {
    tagged(1, left, right)
}

fn tagged(tag: u8, left: &Digest, right: &Digest) -> Digest {
    let mut preimage = [0; 65];
    preimage[0] = tag;
    preimage[1..33].copy_from_slice(left.as_bytes());
    preimage[33..].copy_from_slice(right.as_bytes());
    Digest::of_bytes(&preimage)
}

#[cfg(test)]
mod tests;
