//! Changing a tree: all writes of a checkpoint in one pass, each touched node hashed once.

use alloc::sync::Arc;

use bezant_types::Digest;

use super::{Draft, Leaf, Node, Prefix, Side};
use crate::item::{Item, Key};

/// What a key is to hold from now on: a leaf, or nothing.
pub(crate) struct Update {
    pub(crate) key_hash: Digest,
    pub(crate) leaf: Option<Arc<Leaf>>,
}

impl Update {
    /// `key` is to hold `item`.
    pub(crate) fn write(key: Key, item: Item) -> Self {
        let key_hash = key.digest();
        Self { key_hash, leaf: Some(Draft::new(key_hash, key, item).finish()) }
    }

    fn node(&self) -> Node {
        self.leaf.as_ref().map_or(Node::Empty, |leaf| Node::Leaf(leaf.clone()))
    }
}

/// The tree at `depth` after `updates`, which are in strictly ascending order of key digest. A part in which nothing
/// really changes stays the same node.
pub(crate) fn merge(node: &Node, depth: usize, updates: &[Update]) -> Node {
    debug_assert!(updates.is_sorted_by(|a, b| a.key_hash < b.key_hash));
    pass(node, depth, updates)
}

fn pass(node: &Node, depth: usize, updates: &[Update]) -> Node {
    match (node, updates) {
        (_, []) => return node.clone(),
        (Node::Empty, [one]) => return one.node(),
        (Node::Leaf(leaf), [one]) if leaf.key_hash == one.key_hash => return unless_equal(node, one.node()),
        (Node::Empty | Node::Leaf(_) | Node::Branch(_), _) => {}
    }
    // Distinct digests differ within 256 bits, so the recursion ends before `depth` does.
    let middle = updates.partition_point(|update| Side::of(&update.key_hash, depth) == Side::Left);
    let (to_left, to_right) = updates.split_at(middle);
    let (left, right) = node.split(depth);
    // Read before going down, although needed only on the way up. The siblings of a path are seldom in the processor's
    // cache, and these reads overlap with those further down; taking a reference, the first touch otherwise, waits.
    let (old_left, old_right) = (left.hash(), right.hash());
    let (new_left, new_right) = (pass(left, depth + 1, to_left), pass(right, depth + 1, to_right));
    if new_left.hash() == old_left && new_right.hash() == old_right {
        return node.clone();
    }
    Node::join(new_left, new_right)
}

fn unless_equal(old: &Node, new: Node) -> Node {
    if old.hash() == new.hash() { old.clone() } else { new }
}

/// `base` at `depth` with whole subtrees replaced: `parts` are disjoint and in ascending order.
pub(crate) fn graft(base: &Node, depth: usize, parts: &[(Prefix, Node)]) -> Node {
    match parts {
        [] => return base.clone(),
        [(prefix, node)] if prefix.len() == depth => return node.clone(),
        [..] => {}
    }
    let middle = parts.partition_point(|(prefix, _)| prefix.side(depth) == Side::Left);
    let (to_left, to_right) = parts.split_at(middle);
    let (left, right) = base.split(depth);
    Node::join(graft(left, depth + 1, to_left), graft(right, depth + 1, to_right))
}
