//! Certificates: votes of a quorum that anybody can check, whoever hands them over.
//!
//! Two forms of each. What travels ([`Endorsed`], [`PreparedProof`]) promises nothing. What has been checked
//! ([`Certificate`], [`PreparedCertificate`]) has private fields and two constructors: from the wire, against the
//! network's keys; and from the replica's own tally of verified votes. Whoever holds one may rely on it.
//!
//! A certificate names the vote once and then only signatures, so votes for different views, slots or digests cannot be
//! mixed in one (hazard 36): there is nowhere to write them. Signers ascend strictly, so none counts twice (hazard 2).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bezant_types::signed::{Unverified, verify_all};
use bezant_types::{Committee, Digest, Keyring, ReplicaId, SequenceNumber, Signable, Signature, View};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::message::{Checkpoint, Commit, PrePrepare, Prepare};

/// Signatures in order of signer.
pub type Signatures = Vec<(ReplicaId, Signature)>;

/// A vote and signatures under it, as they travel. Nothing about them has been checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Endorsed<V> {
    /// What is said to have been signed.
    pub vote: V,
    /// Who is said to have signed it.
    pub signatures: Signatures,
}

/// Why a certificate is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACertificate {
    /// Too few or too many signatures: exactly a quorum is expected, so that a certificate has one size.
    #[error("{found} signatures where exactly {expected} are needed")]
    Count {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// Signers are not in strictly ascending order, so somebody might count twice.
    #[error("the signers are not distinct and in order")]
    Order,
    /// The primary's prepare is not one: its pre-prepare already counts.
    #[error("the primary's own prepare was counted")]
    PrimaryPrepared,
    /// Some signature is not valid, or its signer not a member.
    #[error(transparent)]
    Signature(#[from] Unverified),
}

fn check_signers(signatures: &Signatures, expected: usize) -> Result<(), NotACertificate> {
    if signatures.len() != expected {
        return Err(NotACertificate::Count { found: signatures.len(), expected });
    }
    if signatures.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return Err(NotACertificate::Order);
    }
    Ok(())
}

/// The same vote of a quorum.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize)]
pub struct Certificate<V>(Endorsed<V>);

/// Proves that a state root is right (rule C-1).
pub type CheckpointCertificate = Certificate<Checkpoint>;
/// Proves that a batch is committed, in every view (rule P-5).
pub type CommitCertificate = Certificate<Commit>;

impl<V: Signable<Signer = ReplicaId>> Certificate<V> {
    /// Checks what somebody handed over.
    ///
    /// # Errors
    /// [`NotACertificate`] says what is wrong with it.
    pub fn check(endorsed: Endorsed<V>, committee: Committee, keyring: &Keyring) -> Result<Self, NotACertificate> {
        check_signers(&endorsed.signatures, committee.quorum())?;
        verify_all(&endorsed.vote, &endorsed.signatures, keyring)?;
        Ok(Self(endorsed))
    }

    /// Assembles a certificate from votes that this replica verified one by one, if there are enough.
    pub(crate) fn assemble(
        vote: V,
        signatures: impl Iterator<Item = (ReplicaId, Signature)>,
        committee: Committee,
    ) -> Option<Self> {
        let distinct: BTreeMap<_, _> = signatures.collect();
        if distinct.len() < committee.quorum() {
            return None;
        }
        let signatures = distinct.into_iter().take(committee.quorum()).collect();
        Some(Self(Endorsed { vote, signatures }))
    }

    /// What the quorum signed.
    pub fn vote(&self) -> &V {
        &self.0.vote
    }

    /// Who signed.
    pub fn signers(&self) -> impl Iterator<Item = ReplicaId> {
        self.0.signatures.iter().map(|(signer, _)| *signer)
    }

    /// The form that travels.
    pub fn as_endorsed(&self) -> &Endorsed<V> {
        &self.0
    }
}

/// The primary's pre-prepare and a quorum less one of prepares, as they travel. Nothing about them has been checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct PreparedProof {
    /// The view in which it prepared.
    pub view: View,
    /// The slot.
    pub sequence: SequenceNumber,
    /// The batch, by digest.
    pub digest: Digest,
    /// The signature of the primary of `view` under the pre-prepare.
    pub pre_prepare: Signature,
    /// Signatures of backups under the prepare.
    pub prepares: Signatures,
}

/// Proves that a batch prepared: no other batch can have prepared for the same view and sequence number (rule P-4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize)]
pub struct PreparedCertificate(PreparedProof);

impl PreparedCertificate {
    /// Checks what somebody handed over.
    ///
    /// # Errors
    /// [`NotACertificate`] says what is wrong with it.
    pub fn check(proof: PreparedProof, committee: Committee, keyring: &Keyring) -> Result<Self, NotACertificate> {
        check_signers(&proof.prepares, committee.prepares())?;
        let primary = committee.primary(proof.view);
        if proof.prepares.iter().any(|(signer, _)| *signer == primary) {
            return Err(NotACertificate::PrimaryPrepared);
        }
        let PreparedProof { view, sequence, digest, pre_prepare, ref prepares } = proof;
        verify_all(&PrePrepare { view, sequence, digest }, &[(primary, pre_prepare)], keyring)?;
        verify_all(&Prepare { view, sequence, digest }, prepares, keyring)?;
        Ok(Self(proof))
    }

    /// Assembles a certificate from votes that this replica verified one by one, if there are enough. A prepare of the
    /// view's primary is left out.
    pub(crate) fn assemble(
        pre_prepare: PrePrepare,
        signature: Signature,
        prepares: impl Iterator<Item = (ReplicaId, Signature)>,
        committee: Committee,
    ) -> Option<Self> {
        let PrePrepare { view, sequence, digest } = pre_prepare;
        let primary = committee.primary(view);
        let distinct: BTreeMap<_, _> = prepares.filter(|(signer, _)| *signer != primary).collect();
        if distinct.len() < committee.prepares() {
            return None;
        }
        let prepares = distinct.into_iter().take(committee.prepares()).collect();
        Some(Self(PreparedProof { view, sequence, digest, pre_prepare: signature, prepares }))
    }

    /// The view in which it prepared.
    pub fn view(&self) -> View {
        self.0.view
    }

    /// The slot.
    pub fn sequence(&self) -> SequenceNumber {
        self.0.sequence
    }

    /// The batch, by digest.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The primary's signature and who prepared: all of them hold the batch.
    pub fn holders(&self, committee: Committee) -> impl Iterator<Item = ReplicaId> {
        core::iter::once(committee.primary(self.0.view)).chain(self.0.prepares.iter().map(|(signer, _)| *signer))
    }

    /// The form that travels.
    pub fn as_proof(&self) -> &PreparedProof {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bezant_types::{SecretKey, Verified};

    use super::*;

    fn key(replica: u16) -> SecretKey {
        SecretKey::from_seed([replica as u8 + 1; 32])
    }

    fn network() -> (Committee, Keyring) {
        let keyring = Keyring::new(Digest::new([0; 32]), (0..4).map(|i| key(i).account()), []).unwrap();
        (Committee::new(4).unwrap(), keyring)
    }

    fn sign<M: Signable<Signer = ReplicaId>>(message: M, replica: u16) -> (ReplicaId, Signature) {
        let id = ReplicaId::new(replica);
        (id, Verified::sign(message, id, &key(replica), Digest::new([0; 32])).signature())
    }

    const VIEW: View = View::new(1);
    const SEQUENCE: SequenceNumber = SequenceNumber::new(3);

    fn digest() -> Digest {
        Digest::of("test", &1u8)
    }

    /// Replica 1 is the primary of view 1.
    fn proof() -> PreparedProof {
        let (view, sequence, digest) = (VIEW, SEQUENCE, digest());
        PreparedProof {
            view,
            sequence,
            digest,
            pre_prepare: sign(PrePrepare { view, sequence, digest }, 1).1,
            prepares: [0, 2].map(|i| sign(Prepare { view, sequence, digest }, i)).to_vec(),
        }
    }

    fn check(proof: PreparedProof) -> Result<PreparedCertificate, NotACertificate> {
        let (committee, keyring) = network();
        PreparedCertificate::check(proof, committee, &keyring)
    }

    #[test]
    fn a_pre_prepare_and_two_prepares_make_a_prepared_certificate() {
        check(proof()).unwrap();
    }

    #[test]
    fn a_prepared_certificate_holds_together_or_not_at_all() {
        let bad = Err(NotACertificate::Signature(Unverified::BadSignature));
        assert_eq!(check(PreparedProof { view: View::new(5), ..proof() }), bad, "another view of the same primary");
        assert_eq!(check(PreparedProof { sequence: SEQUENCE.next(), ..proof() }), bad, "another slot");
        assert_eq!(check(PreparedProof { digest: Digest::new([9; 32]), ..proof() }), bad, "another batch");
        let foreign = Prepare { view: View::ZERO, sequence: SEQUENCE, digest: digest() };
        let mixed = PreparedProof { prepares: vec![sign(foreign, 0), proof().prepares[1]], ..proof() };
        assert_eq!(check(mixed), bad, "a prepare of another view");
        let commit = Commit { view: VIEW, sequence: SEQUENCE, digest: digest() };
        let disguised = PreparedProof { prepares: vec![sign(commit, 0), proof().prepares[1]], ..proof() };
        assert_eq!(check(disguised), bad, "a commit in the place of a prepare");
        let backup = PreparedProof { pre_prepare: proof().prepares[0].1, ..proof() };
        assert_eq!(check(backup), bad, "a pre-prepare that the primary did not sign");
    }

    #[test]
    fn the_primarys_prepare_does_not_count() {
        let (view, sequence, digest) = (VIEW, SEQUENCE, digest());
        let primary = sign(Prepare { view, sequence, digest }, 1);
        let with_primary = PreparedProof { prepares: vec![proof().prepares[0], primary], ..proof() };
        assert_eq!(check(with_primary), Err(NotACertificate::PrimaryPrepared));
        let (committee, _) = network();
        let vote = PrePrepare { view, sequence, digest };
        let votes = [proof().prepares[0], primary];
        assert_eq!(PreparedCertificate::assemble(vote, proof().pre_prepare, votes.into_iter(), committee), None);
    }

    #[test]
    fn one_signer_twice_is_not_two() {
        let twice = PreparedProof { prepares: vec![proof().prepares[0]; 2], ..proof() };
        assert_eq!(check(twice), Err(NotACertificate::Order));
        let one = PreparedProof { prepares: vec![proof().prepares[0]], ..proof() };
        assert_eq!(check(one), Err(NotACertificate::Count { found: 1, expected: 2 }));
        let (committee, _) = network();
        let vote = Checkpoint { sequence: SEQUENCE, root: digest() };
        let votes = [sign(vote, 0), sign(vote, 0), sign(vote, 2)];
        assert_eq!(Certificate::assemble(vote, votes.into_iter(), committee), None);
    }

    #[test]
    fn a_certificate_needs_exactly_a_quorum_of_members() {
        let (committee, keyring) = network();
        let vote = Checkpoint { sequence: SEQUENCE, root: digest() };
        let of = |signers: &[u16]| Endorsed { vote, signatures: signers.iter().map(|i| sign(vote, *i)).collect() };
        let check = |endorsed| CheckpointCertificate::check(endorsed, committee, &keyring);
        check(of(&[0, 2, 3])).unwrap();
        assert_eq!(check(of(&[0, 2])), Err(NotACertificate::Count { found: 2, expected: 3 }));
        assert_eq!(check(of(&[0, 1, 2, 3])), Err(NotACertificate::Count { found: 4, expected: 3 }));
        assert_eq!(check(of(&[0, 3, 2])), Err(NotACertificate::Order));
        assert_eq!(check(of(&[0, 2, 4])), Err(NotACertificate::Signature(Unverified::UnknownSigner)));
    }
}
