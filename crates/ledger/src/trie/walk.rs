//! Reading a tree: its leaves in order, and where two trees differ.

use alloc::vec::Vec;

use super::{Leaf, Node};

/// The leaves of a subtree in ascending order of key digest.
pub(crate) struct Leaves<'a> {
    /// What is still to be visited, nearest last. At most one node per level.
    stack: Vec<&'a Node>,
}

impl<'a> Leaves<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { stack: alloc::vec![node] }
    }
}

impl<'a> Iterator for Leaves<'a> {
    type Item = &'a Leaf;

    fn next(&mut self) -> Option<&'a Leaf> {
        loop {
            match self.stack.pop()? {
                Node::Empty => {}
                Node::Leaf(leaf) => return Some(leaf),
                Node::Branch(branch) => {
                    self.stack.push(&branch.right);
                    self.stack.push(&branch.left);
                }
            }
        }
    }
}

/// One key at which two trees differ.
pub(crate) enum Difference<'a> {
    /// Only the old tree has it.
    Removed(&'a Leaf),
    /// The new tree has it, and the old one does not or holds something else.
    Written(&'a Leaf),
}

/// Calls `visit` with each key at which `new` differs from `old`, in ascending order. Subtrees that the two share, or
/// that have equal hashes, are not entered: the cost is that of what changed.
pub(crate) fn differences<'a>(old: &'a Node, new: &'a Node, visit: &mut impl FnMut(Difference<'a>)) {
    descend(old, new, 0, visit);
}

fn descend<'a>(old: &'a Node, new: &'a Node, depth: usize, visit: &mut impl FnMut(Difference<'a>)) {
    if old.hash() == new.hash() {
        return;
    }
    match (old, new) {
        (Node::Empty, _) => new.leaves().for_each(|leaf| visit(Difference::Written(leaf))),
        (_, Node::Empty) => old.leaves().for_each(|leaf| visit(Difference::Removed(leaf))),
        (Node::Leaf(before), Node::Leaf(after)) if before.key_hash == after.key_hash => {
            visit(Difference::Written(after));
        }
        (Node::Leaf(_) | Node::Branch(_), Node::Leaf(_) | Node::Branch(_)) => {
            let ((old_left, old_right), (new_left, new_right)) = (old.split(depth), new.split(depth));
            descend(old_left, new_left, depth + 1, visit);
            descend(old_right, new_right, depth + 1, visit);
        }
    }
}
