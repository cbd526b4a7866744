//! SHA-256 digests, always with a domain.
//!
//! SHA-256 and not BLAKE3, because what this system hashes most are Merkle nodes of 64 bytes, on which the processor's
//! SHA extensions win; and one hash function is easier to reason about than two.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::Digest as _;
use sha2::Sha256;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Takes 32 bytes that are already a digest.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of `value`'s canonical bytes under `domain`.
    pub fn of<T: BorshSerialize + ?Sized>(domain: &str, value: &T) -> Self {
        let mut hasher = Hasher::new(domain);
        hasher.update_encoded(value);
        hasher.finish()
    }

    /// The digest of raw bytes without a domain. For building hash trees, whose nodes carry their own tags.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = hex::encode(&self.0[..4]);
        write!(f, "Digest({text}…)")
    }
}

impl FromStr for Digest {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text).map(Self)
    }
}

/// A digest in the making. It starts with its domain, length first, so that no two domains share an input.
#[derive(Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts a digest in `domain`, which has at most 255 bytes.
    pub fn new(domain: &str) -> Self {
        let length = u8::try_from(domain.len()).expect("domains are short constants of this code base");
        let mut hasher = Sha256::new();
        hasher.update([length]);
        hasher.update(domain.as_bytes());
        Self(hasher)
    }

    /// Adds raw bytes. The caller sees to it that they cannot run into what follows.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds a value's canonical bytes, which are self-delimiting.
    pub fn update_encoded<T: BorshSerialize + ?Sized>(&mut self, value: &T) {
        let mut bytes = Vec::new();
        value.serialize(&mut bytes).expect("writing to memory does not fail");
        self.0.update(&bytes);
    }

    /// The digest.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// A text that was to be 64 hexadecimal digits and is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, found {found} characters{}", if *.digits { "" } else { ", not all of them hexadecimal" })]
pub struct NotHex {
    found: usize,
    digits: bool,
}

pub(crate) fn parse_hex(text: &str) -> Result<[u8; 32], NotHex> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| NotHex {
        found: text.chars().count(),
        digits: text.bytes().all(|byte| byte.is_ascii_hexdigit()),
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_part_of_the_digest() {
        assert_ne!(Digest::of("a", &1u8), Digest::of("b", &1u8));
        // The same bytes in a row, split differently between domain and content.
        let mut left = Hasher::new("ab");
        left.update(b"c");
        let mut right = Hasher::new("a");
        right.update(b"bc");
        assert_ne!(left.finish(), right.finish());
    }

    #[test]
    fn bytes_hash_as_the_standard_says() {
        // FIPS 180-4, the one-block example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of_bytes(b"abc"), expected.parse().unwrap());
    }
}
