//! What travels in a transfer.

use alloc::vec::Vec;

use bezant_types::Digest;
use bezant_types::codec::{DecodeError, decode};
use bezant_types::genesis::MAX_FRAME;
use borsh::io::{Read, Result as IoResult};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::bounded::read_list;
use crate::state::Header;
use crate::trie::Prefix;

/// Which request of a transfer. Meaningful to the one who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct PieceId(u64);

impl PieceId {
    /// The request of this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(super) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// Asks for one piece of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct PieceRequest {
    /// Which request.
    pub id: PieceId,
    /// For what.
    pub wanted: Wanted,
}

/// What is asked for, and what it must hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Wanted {
    /// The header of the state of this root.
    Header {
        /// The state root.
        root: Digest,
    },
    /// A subtree.
    Subtree {
        /// Where.
        prefix: Prefix,
        /// The hash that it has.
        hash: Digest,
        /// In what form.
        detail: Detail,
    },
}

/// In what form a subtree is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Detail {
    /// Its leaves, if they fit a piece.
    Leaves,
    /// Its hashes, unless it is very small: the one who asks holds something similar, and expects to need little of it.
    Hashes,
}

/// Answers a request. It repeats the question, so that an answer that comes too late is not taken for a lie about the
/// next one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Piece {
    /// The request.
    pub answers: PieceRequest,
    /// The answer.
    pub content: Content,
}

impl Piece {
    /// Reads a piece from its canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if these are the bytes of none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, MAX_FRAME)
    }

    /// Whether it says that the sender does not have what was asked for.
    pub fn is_unknown(&self) -> bool {
        self.content == Content::Unknown
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Content {
    /// The one who was asked does not have that state, or not that subtree in the one it has.
    Unknown,
    /// A state's header, and the hash of its trie's root node.
    Header {
        /// The header.
        header: Header,
        /// The trie's root.
        trie_root: Digest,
    },
    /// All leaves of a subtree: their records one after the other, in ascending order of key digest. Bytes and not a
    /// list, so that decoding a piece takes no more memory than the piece has.
    Leaves(Vec<u8>),
    /// The upper levels of a subtree.
    Outline(Outline),
}

/// The upper levels of a subtree in preorder: a branch that is opened is a [`Token::Open`], followed by its two halves;
/// one that is not is a [`Token::Closed`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize)]
pub struct Outline(pub(super) Vec<Token>);

impl Outline {
    /// The most tokens of an outline.
    pub const MAX_TOKENS: usize = (2 << Self::MAX_LEVELS) - 1;
    /// The most levels that an outline opens.
    pub(super) const MAX_LEVELS: usize = 12;

    /// Takes tokens as an outline. Whether they are one is for the receiver to find out.
    pub fn new(tokens: Vec<Token>) -> Self {
        Self(tokens)
    }
}

/// One node of an [`Outline`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Token {
    /// A branch whose two halves follow.
    Open,
    /// A subtree of this hash; of the zero digest, if it is empty.
    Closed(Digest),
}

impl BorshDeserialize for Outline {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        read_list(reader, Self::MAX_TOKENS).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bezant_types::codec::encode;

    use super::*;

    #[test]
    fn a_list_that_is_too_long_is_refused_before_it_is_read() {
        assert_eq!(Outline::MAX_TOKENS, 8_191, "twelve levels, and what they open");
        let request = PieceRequest { id: PieceId::new(1), wanted: Wanted::Header { root: Digest::new([0; 32]) } };
        for (tokens, fits) in [(Outline::MAX_TOKENS, true), (Outline::MAX_TOKENS + 1, false)] {
            let outline = Content::Outline(Outline::new(vec![Token::Open; tokens]));
            assert_eq!(Piece::decode(&encode(&Piece { answers: request, content: outline })).is_ok(), fits, "{tokens}");
        }
    }
}
