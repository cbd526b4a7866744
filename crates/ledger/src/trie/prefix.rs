//! The place of a subtree: the first bits of a key digest.

use core::fmt;

use bezant_types::Digest;
use borsh::io::{Error, ErrorKind, Read, Result};
use borsh::{BorshDeserialize, BorshSerialize};

use super::MAX_DEPTH;

/// Which half of a subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where the next bit is 0.
    Left,
    /// Where the next bit is 1.
    Right,
}

impl Side {
    /// In which half of a subtree at `depth` this digest lies. `depth` is below 256.
    pub(crate) fn of(digest: &Digest, depth: usize) -> Self {
        if digest.as_bytes()[depth / 8] & (0x80 >> (depth % 8)) == 0 { Self::Left } else { Self::Right }
    }
}

/// The first bits of a key digest: they name the subtree of all keys that begin so.
///
/// One prefix has one encoding: the bits after its length are zero, and decoding refuses anything else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Prefix {
    bits: Digest,
    length: u16,
}

impl Prefix {
    /// The prefix of no bits: the whole tree.
    pub const ROOT: Self = Self { bits: Digest::new([0; 32]), length: 0 };

    /// How many bits.
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether this is the whole tree.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The prefix of one half, or `None` at the full length of a digest.
    pub fn child(&self, side: Side) -> Option<Self> {
        if self.len() == MAX_DEPTH {
            return None;
        }
        let mut bits = *self.bits.as_bytes();
        match side {
            Side::Left => {}
            Side::Right => bits[self.len() / 8] |= 0x80 >> (self.len() % 8),
        }
        Some(Self { bits: Digest::new(bits), length: self.length + 1 })
    }

    /// Whether `digest` begins so.
    pub fn covers(&self, digest: &Digest) -> bool {
        let (whole, rest) = (self.len() / 8, self.len() % 8);
        let (ours, theirs) = (self.bits.as_bytes(), digest.as_bytes());
        ours[..whole] == theirs[..whole] && (rest == 0 || (ours[whole] ^ theirs[whole]) >> (8 - rest) == 0)
    }

    /// The bit at `depth`, which is below the length.
    pub(crate) fn side(&self, depth: usize) -> Side {
        debug_assert!(depth < self.len());
        Side::of(&self.bits, depth)
    }
}

impl BorshDeserialize for Prefix {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
        let bits = Digest::deserialize_reader(reader)?;
        let length = u16::deserialize_reader(reader)?;
        let prefix = Self { bits, length };
        let zero_after = |from: usize| (from..MAX_DEPTH).all(|depth| Side::of(&bits, depth) == Side::Left);
        if prefix.len() > MAX_DEPTH || !zero_after(prefix.len()) {
            return Err(Error::new(ErrorKind::InvalidData, "not a canonical prefix"));
        }
        Ok(prefix)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prefix(")?;
        for depth in 0..self.len() {
            f.write_str(match self.side(depth) {
                Side::Left => "0",
                Side::Right => "1",
            })?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use bezant_types::codec::{decode, encode};

    use super::*;

    #[test]
    fn a_prefix_is_written_bit_by_bit() {
        assert!(Prefix::ROOT.is_empty());
        let half = Prefix::ROOT.child(Side::Right).expect("it has halves");
        let quarter = half.child(Side::Left).expect("it has halves");
        assert!(!half.is_empty());
        assert_eq!(format!("{:?} {quarter:?}", Prefix::ROOT), "Prefix() Prefix(10)");
    }

    #[test]
    fn a_prefix_is_as_long_as_a_digest_at_most() {
        let mut prefix = Prefix::ROOT;
        while let Some(longer) = prefix.child(Side::Right) {
            prefix = longer;
        }
        assert_eq!(prefix.len(), MAX_DEPTH);
        let mut bytes = encode(&prefix);
        assert_eq!(decode::<Prefix>(&bytes, 99), Ok(prefix));
        bytes[32..].copy_from_slice(&257u16.to_le_bytes());
        assert!(decode::<Prefix>(&bytes, 99).is_err());
    }
}
