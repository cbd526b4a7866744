//! The upper levels of a subtree: drawing them, and checking them against a hash.

use alloc::vec::Vec;

use bezant_types::Digest;

use super::Lie;
use super::message::{Outline, Token};
use crate::trie::{Node, Prefix, Side, branch_hash};

/// A part of a subtree, by its place and hash.
pub(super) type Part = (Prefix, Digest);

/// Opens the branches of `node` that weigh more than `enough`, down to `levels` below it.
pub(super) fn draw(node: &Node, levels: usize, enough: u64) -> Outline {
    let mut tokens = Vec::new();
    open(node, levels.min(Outline::MAX_LEVELS), enough, &mut tokens);
    Outline(tokens)
}

fn open(node: &Node, levels: usize, enough: u64, tokens: &mut Vec<Token>) {
    match node {
        Node::Branch(branch) if levels > 0 && node.weight() > enough => {
            tokens.push(Token::Open);
            open(branch.child(Side::Left), levels - 1, enough, tokens);
            open(branch.child(Side::Right), levels - 1, enough, tokens);
        }
        Node::Empty | Node::Leaf(_) | Node::Branch(_) => tokens.push(Token::Closed(node.hash())),
    }
}

/// The closed parts of an outline of the subtree at `prefix`, if it hashes to `hash`. The hash is the whole proof: if
/// it is right, then each part lies where it is said to lie and has the hash that it is said to have.
pub(super) fn check(prefix: Prefix, hash: Digest, outline: &Outline) -> Result<Vec<Part>, Lie> {
    // An outline of nothing but the question itself would let a peer keep us asking for ever.
    if !matches!(outline.0.first(), Some(Token::Open)) {
        return Err(Lie::MalformedOutline);
    }
    let (mut tokens, mut parts) = (outline.0.iter(), Vec::new());
    let found = read(prefix, Outline::MAX_LEVELS, &mut tokens, &mut parts).ok_or(Lie::MalformedOutline)?;
    if tokens.next().is_some() {
        return Err(Lie::MalformedOutline);
    }
    if found == hash { Ok(parts) } else { Err(Lie::OtherOutline) }
}

/// The hash of the subtree that the next tokens describe; `None` if they end too early or go too deep.
fn read<'a>(
    prefix: Prefix,
    levels: usize,
    tokens: &mut impl Iterator<Item = &'a Token>,
    parts: &mut Vec<Part>,
) -> Option<Digest> {
    match tokens.next()? {
        Token::Closed(hash) => {
            parts.push((prefix, *hash));
            Some(*hash)
        }
        Token::Open => {
            let levels = levels.checked_sub(1)?;
            let left = read(prefix.child(Side::Left)?, levels, tokens, parts)?;
            let right = read(prefix.child(Side::Right)?, levels, tokens, parts)?;
            Some(branch_hash(&left, &right))
        }
    }
}
