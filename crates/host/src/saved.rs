//! What a replica's stores hold, as bytes: to [`bezant_store`] these are opaque.
//!
//! One place, so that what the replica writes is what `verify` reads. Nothing here is believed because it was found on
//! one's own disk: a block is checked against its certificate and a state against its root whenever they are loaded.

use bezant_ledger::{Header, State};
use bezant_pbft::certificate::{CheckpointCertificate, Endorsed};
use bezant_pbft::message::Checkpoint;
use bezant_pbft::{Block, StoredBlock};
use bezant_types::codec::{DecodeError, Format};
use bezant_types::{AccountId, Digest};
use borsh::{BorshDeserialize, BorshSerialize};

/// The head of the state store's meta.
pub const STATE: Format = Format { magic: *b"BZSM", version: 1 };
/// The head of every block in the block store.
pub const BLOCK: Format = Format { magic: *b"BZBK", version: 1 };

/// What the entries in the state store are: the meta that is saved beside them, in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SavedState {
    /// What the root commits to beside the entries.
    pub header: Header,
    /// A quorum's signatures under the root.
    pub certificate: Endorsed<Checkpoint>,
}

impl SavedState {
    /// What to save beside the entries of `state`, which `certificate` vouches for.
    pub fn of(state: &State, certificate: &CheckpointCertificate) -> Self {
        Self { header: state.header(), certificate: certificate.as_endorsed().clone() }
    }

    /// The bytes to save.
    pub fn encode(&self) -> Vec<u8> {
        STATE.seal(self)
    }

    /// What [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if these are other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        STATE.open(bytes, MOST_STATE_BYTES)
    }
}

/// A block as it is kept.
pub fn seal_block(block: &Block) -> Vec<u8> {
    BLOCK.seal(&block.to_stored())
}

/// What [`seal_block`] wrote. For [`bezant_pbft::Replica::check_block`] to judge.
///
/// # Errors
/// [`DecodeError`] if these are other bytes.
pub fn open_block(bytes: &[u8]) -> Result<StoredBlock, DecodeError> {
    BLOCK.open(bytes, MOST_BLOCK_BYTES)
}

/// Whose a home is: log, blocks and state of another network or key are refused when they are opened.
pub fn identity(genesis: Digest, key: AccountId) -> Digest {
    Digest::of("bezant/home/1", &(genesis, key))
}

/// A header and a certificate of at most 100 signatures.
const MOST_STATE_BYTES: usize = 64 << 10;
/// What the block store holds at most under one number.
const MOST_BLOCK_BYTES: usize = 512 << 20;

#[cfg(test)]
mod tests {
    use bezant_pbft::certificate::Signatures;
    use bezant_types::{Amount, SequenceNumber, Timestamp};

    use super::*;

    fn saved() -> SavedState {
        let header = Header {
            height: SequenceNumber::new(64),
            timestamp: Timestamp::new(1),
            supply: Amount::new(2),
            entries: 3,
            bytes: 4,
        };
        let vote = Checkpoint { sequence: header.height, root: Digest::new([7; 32]) };
        SavedState { header, certificate: Endorsed { vote, signatures: Signatures::new() } }
    }

    #[test]
    fn what_was_saved_is_read_back() {
        assert_eq!(SavedState::decode(&saved().encode()), Ok(saved()));
    }

    #[test]
    fn another_kind_of_bytes_is_no_saved_state_and_no_block() {
        assert!(matches!(open_block(&saved().encode()), Err(DecodeError::WrongMagic { .. })));
        let bytes = saved().encode();
        assert_eq!(SavedState::decode(&bytes[..bytes.len() - 1]), Err(DecodeError::Malformed));
        assert!(matches!(SavedState::decode(&vec![0; MOST_STATE_BYTES + 1]), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn the_format_of_a_saved_state_is_a_decision() {
        let golden = Digest::of_bytes(&saved().encode()).to_string();
        assert_eq!(golden, "d96b51ef9dd9002757ae60fd545c3185b521a521025730f6dc9f9a559789d8b5");
    }

    #[test]
    fn each_network_and_each_key_has_homes_of_its_own() {
        let of = |genesis, key| identity(Digest::new([genesis; 32]), AccountId::new([key; 32]));
        assert_ne!(of(1, 1), of(2, 1));
        assert_ne!(of(1, 1), of(1, 2));
    }
}
