//! Files that hold a proof.
//!
//! Binary, or the same bytes in hexadecimal digits, which is how a Redis client prints what `PROVE` answered. Whoever
//! made the file is not trusted: its size is bounded before it is read, and what it says is for
//! [`verify_proof`](super::verify_proof) to judge.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use bezant_store::{Access, write_atomically};
use bezant_types::codec::DecodeError;
use bezant_types::genesis::MAX_FRAME;

use crate::wire::{CertifiedProof, PROOF_FILE};

/// Reads and writes files that hold a [`CertifiedProof`].
pub struct ProofFile;

/// Why a proof file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ProofFileError {
    /// The system refused.
    #[error("{path}: {action} failed: {source}")]
    Disk {
        /// The file.
        path: String,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It holds no proof.
    #[error("{path}: this is not a proof file: {source}")]
    NotAProof {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: DecodeError,
    },
}

impl ProofFile {
    /// The most bytes that a proof has, as [`Self::encode`] gives them.
    pub const MAX_BYTES: usize = MAX_FRAME;

    /// The bytes of a proof file.
    pub fn encode(proof: &CertifiedProof) -> Vec<u8> {
        PROOF_FILE.seal(proof)
    }

    /// What [`Self::encode`] gave, or the same in hexadecimal digits.
    ///
    /// # Errors
    /// [`DecodeError`] if it is neither.
    pub fn decode(bytes: &[u8]) -> Result<CertifiedProof, DecodeError> {
        let text = bytes.trim_ascii();
        if bytes.starts_with(&PROOF_FILE.magic) || text.is_empty() || !text.iter().all(u8::is_ascii_hexdigit) {
            return PROOF_FILE.open(bytes, Self::MAX_BYTES);
        }
        if text.len() / 2 > Self::MAX_BYTES {
            return Err(DecodeError::TooLarge { found: text.len() / 2, limit: Self::MAX_BYTES });
        }
        let bytes = hex::decode(text).map_err(|_| DecodeError::Malformed)?;
        PROOF_FILE.open(&bytes, Self::MAX_BYTES)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ProofFileError`] says which file and why.
    pub fn read(path: &Path) -> Result<CertifiedProof, ProofFileError> {
        let shown = path.display().to_string();
        let failed = |source| ProofFileError::Disk { path: shown.clone(), action: "reading", source };
        let mut bytes = Vec::new();
        File::open(path).map_err(failed)?.take(MOST_ON_DISK).read_to_end(&mut bytes).map_err(failed)?;
        Self::decode(&bytes).map_err(|source| ProofFileError::NotAProof { path: shown, source })
    }

    /// Writes a file, whole or not at all, over what may be there.
    ///
    /// # Errors
    /// [`ProofFileError`] says which file and why.
    pub fn write(path: &Path, proof: &CertifiedProof) -> Result<(), ProofFileError> {
        write_atomically(path, &Self::encode(proof), Access::Public).map_err(|source| ProofFileError::Disk {
            path: path.display().to_string(),
            action: "writing",
            source,
        })
    }
}

/// Hexadecimal digits, a line's end, and one byte more, by which a file that is too large is known.
const MOST_ON_DISK: u64 = 2 * MAX_FRAME as u64 + 64;
