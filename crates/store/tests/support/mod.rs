//! What the tests of this crate share.
#![allow(dead_code, reason = "each test program uses its part")]

use bezant_store::wal::Settings;
use bezant_types::Digest;

/// The identity of the replica that the tests are about.
pub(crate) fn identity() -> Digest {
    Digest::new([7; 32])
}

/// Files of eight sectors, so that a short script crosses from one to the next.
pub(crate) fn small_files() -> Settings {
    Settings { segment_bytes: 4096, ..Settings::new(identity()) }
}

/// SplitMix64: a die that falls the same way for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
