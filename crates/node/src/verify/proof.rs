//! Proofs and checkpoints, against the genesis.

use bezant_ledger::BadProof;
use bezant_pbft::certificate::{CheckpointCertificate, Endorsed, NotACertificate};
use bezant_pbft::message::Checkpoint;
use bezant_types::{Committee, Genesis, Keyring, SequenceNumber};

use super::Finding;
use crate::wire::CertifiedProof;

/// Why a proof proves nothing in this network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// The checkpoint is not signed by a quorum of this network.
    #[error("no quorum of this network signed the checkpoint: {0}")]
    Checkpoint(#[from] NotACertificate),
    /// The proof does not lead from the key to the root that was signed.
    #[error("the proof does not hold: {0}")]
    Proof(#[from] BadProof),
    /// The header is that of another height than was signed. More than f members are malicious, or all have one fault.
    #[error("the state is of height {header}, and the checkpoint of {checkpoint}")]
    Height {
        /// What the header says.
        header: SequenceNumber,
        /// What was signed.
        checkpoint: SequenceNumber,
    },
}

/// Checks that a quorum of `genesis` signed the checkpoint.
///
/// # Errors
/// [`NotACertificate`] says what is wrong with it.
pub fn verify_checkpoint(
    genesis: &Genesis,
    checkpoint: Endorsed<Checkpoint>,
) -> Result<CheckpointCertificate, NotACertificate> {
    CheckpointCertificate::check(checkpoint, genesis.committee(), &genesis.keyring())
}

/// Checks that a quorum of `genesis` signed the checkpoint, and that the proof leads from the key to its root.
///
/// # Errors
/// [`NotProven`] says what does not hold.
pub fn verify_proof(genesis: &Genesis, proof: &CertifiedProof) -> Result<Finding, NotProven> {
    check_proof(proof, genesis.committee(), &genesis.keyring())
}

/// [`verify_proof`] for whoever has the keys at hand.
pub(crate) fn check_proof(
    proof: &CertifiedProof,
    committee: Committee,
    keyring: &Keyring,
) -> Result<Finding, NotProven> {
    let CertifiedProof { checkpoint, key, proof } = proof;
    // Hashing first: it is cheaper than signatures, and refuses all but proofs of the very root that was claimed.
    let item = proof.verify(checkpoint.vote.root, key)?;
    let certificate = CheckpointCertificate::check(checkpoint.clone(), committee, keyring)?;
    let (header, signed) = (proof.header(), certificate.vote().sequence);
    if header.height != signed {
        return Err(NotProven::Height { header: header.height, checkpoint: signed });
    }
    Ok(Finding { key: key.clone(), item, header, certificate })
}
