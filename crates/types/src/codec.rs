//! Canonical, bounded bytes.
//!
//! borsh with strict ordering gives each value exactly one encoding. This module adds what borsh leaves to its caller:
//! a bound on the input before anything is read, refusal of trailing bytes, and for files a magic and a version.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

/// Why bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than this kind of value may have.
    #[error("{found} bytes where at most {limit} are allowed")]
    TooLarge {
        /// How many there were.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Not the one canonical encoding of any value of this type.
    #[error("malformed or non-canonical bytes")]
    Malformed,
    /// The magic at the start is another one.
    #[error("the magic is {found:02x?} where {expected:02x?} was expected: this is some other kind of data")]
    WrongMagic {
        /// What is there.
        found: [u8; 4],
        /// What should be there.
        expected: [u8; 4],
    },
    /// The magic is right, the version is not.
    #[error("format version {found}, but this program reads version {expected}")]
    WrongVersion {
        /// What is there.
        found: u16,
        /// What this program reads.
        expected: u16,
    },
}

/// The canonical bytes of `value`.
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory does not fail")
}

/// The number of canonical bytes of `value`.
pub fn encoded_len<T: BorshSerialize + ?Sized>(value: &T) -> usize {
    borsh::object_length(value).expect("counting bytes does not fail")
}

/// The value whose canonical bytes are exactly `bytes`, of which there may be `limit`.
///
/// # Errors
/// [`DecodeError::TooLarge`] before anything is read; [`DecodeError::Malformed`] for everything else, trailing bytes
/// included.
pub fn decode<T: BorshDeserialize>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLarge { found: bytes.len(), limit });
    }
    T::try_from_slice(bytes).map_err(|_| DecodeError::Malformed)
}

/// The head of a kind of file or frame: four bytes that name it and the version of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Names the kind.
    pub magic: [u8; 4],
    /// Raised with each change of the format.
    pub version: u16,
}

impl Format {
    /// How many bytes the head has.
    pub const HEAD: usize = 6;

    /// The head's bytes: the magic, then the version, little endian.
    pub const fn head(self) -> [u8; Self::HEAD] {
        let [a, b, c, d] = self.magic;
        let [low, high] = self.version.to_le_bytes();
        [a, b, c, d, low, high]
    }

    /// The head followed by the canonical bytes of `value`.
    pub fn seal<T: BorshSerialize + ?Sized>(self, value: &T) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::HEAD + encoded_len(value));
        bytes.extend_from_slice(&self.head());
        value.serialize(&mut bytes).expect("writing to memory does not fail");
        bytes
    }

    /// What follows the head.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] if there is no whole head, [`DecodeError::WrongMagic`],
    /// [`DecodeError::WrongVersion`].
    pub fn strip(self, bytes: &[u8]) -> Result<&[u8], DecodeError> {
        let (head, rest) = bytes.split_first_chunk::<{ Self::HEAD }>().ok_or(DecodeError::Malformed)?;
        let [a, b, c, d, low, high] = *head;
        if [a, b, c, d] != self.magic {
            return Err(DecodeError::WrongMagic { found: [a, b, c, d], expected: self.magic });
        }
        let found = u16::from_le_bytes([low, high]);
        if found != self.version {
            return Err(DecodeError::WrongVersion { found, expected: self.version });
        }
        Ok(rest)
    }

    /// The value behind the head. See [`decode`] for `limit`, which covers head and value.
    ///
    /// # Errors
    /// As [`Self::strip`] and [`decode`].
    pub fn open<T: BorshDeserialize>(self, bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
        if bytes.len() > limit {
            return Err(DecodeError::TooLarge { found: bytes.len(), limit });
        }
        decode(self.strip(bytes)?, limit)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec;

    use super::*;

    const FORMAT: Format = Format { magic: *b"TEST", version: 3 };

    #[test]
    fn what_was_sealed_opens() {
        let bytes = FORMAT.seal(&vec![1u8, 2]);
        assert_eq!(FORMAT.open::<Vec<u8>>(&bytes, 64), Ok(vec![1, 2]));
    }

    #[test]
    fn another_magic_version_or_size_is_refused_by_name() {
        let bytes = FORMAT.seal(&7u8);
        let other = Format { magic: *b"NOPE", ..FORMAT };
        assert!(matches!(other.open::<u8>(&bytes, 64), Err(DecodeError::WrongMagic { .. })));
        let newer = Format { version: 4, ..FORMAT };
        assert_eq!(newer.open::<u8>(&bytes, 64), Err(DecodeError::WrongVersion { found: 3, expected: 4 }));
        assert!(matches!(FORMAT.open::<u8>(&bytes, 6), Err(DecodeError::TooLarge { .. })));
        assert_eq!(FORMAT.open::<u8>(&bytes[..5], 64), Err(DecodeError::Malformed));
    }

    #[test]
    fn a_second_encoding_of_a_value_is_refused() {
        assert_eq!(decode::<u8>(&[1, 0], 8), Err(DecodeError::Malformed), "trailing bytes");
        assert_eq!(decode::<bool>(&[2], 8), Err(DecodeError::Malformed), "a third truth value");
        assert_eq!(decode::<Option<u8>>(&[2, 0], 8), Err(DecodeError::Malformed), "a third option tag");
        let unsorted = [2, 0, 0, 0, 2, 0, 1, 0];
        assert_eq!(decode::<BTreeMap<u8, u8>>(&unsorted, 8), Err(DecodeError::Malformed), "keys out of order");
        let twice = [2, 0, 0, 0, 1, 0, 1, 0];
        assert_eq!(decode::<BTreeMap<u8, u8>>(&twice, 8), Err(DecodeError::Malformed), "a key twice");
    }

    #[test]
    fn a_length_prefix_alone_allocates_nothing() {
        assert_eq!(decode::<Vec<u64>>(&[0xff; 4], 8), Err(DecodeError::Malformed));
    }
}
