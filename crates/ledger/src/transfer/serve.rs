//! The serving side: one question, one answer, from a state that does not change meanwhile.

use alloc::vec::Vec;

use borsh::BorshSerialize;

use super::message::{Content, Detail, Outline, Piece, PieceRequest, Wanted};
use super::outline;
use crate::state::State;
use crate::trie::Node;

/// Answers `request` from `state`, with about `limit` bytes at most; a single record may be larger.
///
/// A subtree is served to whoever names its hash, whatever state it is wanted for: a peer that has moved on still has
/// most of the state that is being fetched.
pub fn serve(state: &State, request: &PieceRequest, limit: usize) -> Piece {
    let content = match request.wanted {
        Wanted::Header { root } if root == state.root() => {
            Content::Header { header: state.header(), trie_root: state.trie_root() }
        }
        Wanted::Header { .. } => Content::Unknown,
        Wanted::Subtree { prefix, hash, detail } => {
            let node = state.trie().at(&prefix);
            if node.hash() == hash { subtree(node, detail, limit) } else { Content::Unknown }
        }
    };
    Piece { answers: *request, content }
}

/// Below this many bytes a subtree is sent whole even to somebody who would rather compare hashes.
pub(super) const SMALL_BYTES: usize = 4 << 10;

fn subtree(node: &Node, detail: Detail, limit: usize) -> Content {
    let enough = match detail {
        Detail::Leaves => limit,
        Detail::Hashes => limit.min(SMALL_BYTES),
    } as u64;
    match node {
        Node::Branch(_) if node.weight() > enough => Content::Outline(outline::draw(node, levels(limit), enough)),
        Node::Empty | Node::Leaf(_) | Node::Branch(_) => Content::Leaves(records(node)),
    }
}

/// How many levels of hashes fit `limit` bytes, 33 each at the lowest level and 1 above; at least one level.
fn levels(limit: usize) -> usize {
    let widest = (limit / 34).max(2);
    (widest.ilog2() as usize).min(Outline::MAX_LEVELS)
}

fn records(node: &Node) -> Vec<u8> {
    let mut bytes = Vec::new();
    for leaf in node.leaves() {
        (&leaf.key, &leaf.item).serialize(&mut bytes).expect("writing to memory does not fail");
    }
    bytes
}
