//! Messages and their signatures: [`Signed`] claims, [`Verified`] has been checked.
//!
//! # What a signature covers
//!
//! The SHA-256 digest of: the tag `bezant/signed/1`; the genesis digest; the message's own domain; its signer; the
//! message's canonical bytes. A signature on a prepare is therefore none on a commit, none in another network, and none
//! by another member. The same digest identifies the message: equal digests are equal messages of equal signers,
//! whatever their signature bytes.
//!
//! # The door
//!
//! `Verified<M>` has three ways in: [`Signed::verify`], [`Batch::verify`], and signing it oneself ([`Verified::sign`]):
//! whoever holds the private key needs no proof that the signature is its own.

use alloc::vec::Vec;
use core::fmt::Debug;
use core::hash::Hash;

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_zebra::VerificationKey;

use crate::digest::Hasher;
use crate::keys::Claim;
use crate::{AccountId, Digest, Keyring, ReplicaId, SecretKey, Signature};

/// A message that is only ever sent signed.
pub trait Signable: Clone + Debug + PartialEq + Eq + BorshSerialize + BorshDeserialize {
    /// Keeps signatures on this kind of message apart from all others. Unique in the code base, never reused.
    const DOMAIN: &'static str;
    /// Who signs this kind of message.
    type Signer: Signer;
}

/// An identity whose public key a [`Keyring`] knows.
pub trait Signer: Copy + Debug + Ord + Hash + BorshSerialize + BorshDeserialize {
    #[doc(hidden)]
    fn key(self, keyring: &Keyring) -> Option<&VerificationKey>;
}

impl Signer for ReplicaId {
    fn key(self, keyring: &Keyring) -> Option<&VerificationKey> {
        keyring.replica(self)
    }
}

impl Signer for AccountId {
    fn key(self, keyring: &Keyring) -> Option<&VerificationKey> {
        keyring.client(self)
    }
}

/// A message with a claim about who signed it. Nothing about it has been checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Signed<M: Signable> {
    /// Who is said to have signed.
    pub signer: M::Signer,
    /// What is said to have been signed.
    pub message: M,
    /// The proof, to be checked.
    pub signature: Signature,
}

/// Why a signed message was not accepted at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The claimed signer is neither a member nor a known client of this network.
    #[error("the signer is not known in this network")]
    UnknownSigner,
    /// The signature is not the signer's on this message in this network.
    #[error("the signature is not valid")]
    BadSignature,
}

/// What `signer` signs when it signs `message` in the network of `genesis`.
pub fn signing_digest<M: Signable>(genesis: Digest, signer: M::Signer, message: &M) -> Digest {
    let mut hasher = Hasher::new("bezant/signed/1");
    hasher.update(genesis.as_bytes());
    hasher.update_encoded(M::DOMAIN);
    hasher.update_encoded(&signer);
    hasher.update_encoded(message);
    hasher.finish()
}

impl<M: Signable> Signed<M> {
    /// Checks the signature against the network's keys.
    ///
    /// # Errors
    /// [`Unverified`] says which part failed.
    pub fn verify(self, keyring: &Keyring) -> Result<Verified<M>, Unverified> {
        let claim = self.claim(keyring)?;
        if !keyring.holds(&claim) {
            return Err(Unverified::BadSignature);
        }
        Ok(Verified { digest: claim.digest, signed: self })
    }

    fn claim(&self, keyring: &Keyring) -> Result<Claim, Unverified> {
        let key = *self.signer.key(keyring).ok_or(Unverified::UnknownSigner)?;
        let digest = signing_digest(keyring.genesis(), self.signer, &self.message);
        Ok(Claim { key, digest, signature: self.signature })
    }
}

/// A message whose signature has been checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verified<M: Signable> {
    signed: Signed<M>,
    digest: Digest,
}

impl<M: Signable> Verified<M> {
    /// Signs `message` as `signer`. `key` must be the one that the network knows `signer` by, or nobody else will
    /// accept the result.
    pub fn sign(message: M, signer: M::Signer, key: &SecretKey, genesis: Digest) -> Self {
        let digest = signing_digest(genesis, signer, &message);
        Self { signed: Signed { signer, message, signature: key.sign(&digest) }, digest }
    }

    /// Who signed.
    pub fn signer(&self) -> M::Signer {
        self.signed.signer
    }

    /// What was signed.
    pub fn message(&self) -> &M {
        &self.signed.message
    }

    /// The signature.
    pub fn signature(&self) -> Signature {
        self.signed.signature
    }

    /// What identifies the message: the digest that was signed.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The form that travels.
    pub fn as_signed(&self) -> &Signed<M> {
        &self.signed
    }

    /// The form that travels, without a copy.
    pub fn into_signed(self) -> Signed<M> {
        self.signed
    }
}

/// Checks the same thing said by several replicas: one message, many signatures. The shape of every certificate.
///
/// Says nothing about how many there must be, or whether they are distinct: that is the certificate's business.
///
/// # Errors
/// [`Unverified`] for the first signer that is unknown, or if any signature is bad.
pub fn verify_all<M: Signable>(
    message: &M,
    signatures: &[(M::Signer, Signature)],
    keyring: &Keyring,
) -> Result<(), Unverified> {
    let claims = signatures
        .iter()
        .map(|(signer, signature)| {
            let key = *signer.key(keyring).ok_or(Unverified::UnknownSigner)?;
            Ok(Claim { key, digest: signing_digest(keyring.genesis(), *signer, message), signature: *signature })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if keyring.hold(&claims).into_iter().all(|valid| valid) { Ok(()) } else { Err(Unverified::BadSignature) }
}

/// Signatures of any kinds of messages, checked together: what arrives in one turn of the host's loop.
///
/// [`Batch::queue`] gives a ticket, [`Batch::verify`] checks them all, [`Verdicts::redeem`] takes the ticket back.
pub struct Batch<'k> {
    keyring: &'k Keyring,
    claims: Vec<Claim>,
}

/// A message that waits for its batch to be checked.
#[derive(Debug)]
pub struct Ticket<M: Signable> {
    signed: Signed<M>,
    claim: Result<(usize, Digest), Unverified>,
}

/// What a batch found.
pub struct Verdicts {
    claims: Vec<Claim>,
    valid: Vec<bool>,
}

impl<'k> Batch<'k> {
    /// An empty batch.
    pub fn new(keyring: &'k Keyring) -> Self {
        Self { keyring, claims: Vec::new() }
    }

    /// Adds a message.
    pub fn queue<M: Signable>(&mut self, signed: Signed<M>) -> Ticket<M> {
        let claim = signed.claim(self.keyring).map(|claim| {
            let digest = claim.digest;
            self.claims.push(claim);
            (self.claims.len() - 1, digest)
        });
        Ticket { signed, claim }
    }

    /// Checks everything that was added.
    pub fn verify(self) -> Verdicts {
        let valid = self.keyring.hold(&self.claims);
        Verdicts { claims: self.claims, valid }
    }
}

impl Verdicts {
    /// The message, if its signature was valid.
    ///
    /// # Errors
    /// [`Unverified`], also for a ticket that was drawn from another batch.
    pub fn redeem<M: Signable>(&self, ticket: Ticket<M>) -> Result<Verified<M>, Unverified> {
        let (index, digest) = ticket.claim?;
        let same_batch = self
            .claims
            .get(index)
            .is_some_and(|claim| claim.digest == digest && claim.signature == ticket.signed.signature);
        if !same_batch || !self.valid.get(index).is_some_and(|valid| *valid) {
            return Err(Unverified::BadSignature);
        }
        Ok(Verified { digest, signed: ticket.signed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Role;

    #[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
    struct Ping(u64);
    impl Signable for Ping {
        const DOMAIN: &'static str = "test/ping";
        type Signer = ReplicaId;
    }

    /// Encodes to the same bytes as a ping.
    #[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
    struct Pong(u64);
    impl Signable for Pong {
        const DOMAIN: &'static str = "test/pong";
        type Signer = ReplicaId;
    }

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    fn keyring(genesis: u8) -> Keyring {
        let replicas = (0..4).map(|i| key(i).account());
        Keyring::new(Digest::new([genesis; 32]), replicas, [(key(9).account(), Role::Write)]).unwrap()
    }

    fn ping(signer: u16, seed: u8) -> Signed<Ping> {
        Verified::sign(Ping(7), ReplicaId::new(signer), &key(seed), Digest::new([0; 32])).into_signed()
    }

    #[test]
    fn a_members_signature_is_accepted_alone_and_in_a_batch() {
        let ring = keyring(0);
        let verified = ping(2, 2).verify(&ring).unwrap();
        assert_eq!(verified.signer(), ReplicaId::new(2));
        let mut batch = Batch::new(&ring);
        let tickets: Vec<_> = (0..4).map(|i| batch.queue(ping(i, i as u8))).collect();
        let verdicts = batch.verify();
        for ticket in tickets {
            verdicts.redeem(ticket).unwrap();
        }
    }

    #[test]
    fn a_signature_is_none_for_another_member_kind_or_network() {
        let ring = keyring(0);
        assert_eq!(ping(3, 2).verify(&ring), Err(Unverified::BadSignature), "replica 2 signs as 3");
        assert_eq!(ping(2, 2).verify(&keyring(1)), Err(Unverified::BadSignature), "another genesis");
        let Signed { signer, signature, .. } = ping(2, 2);
        let pong = Signed { signer, message: Pong(7), signature };
        assert_eq!(pong.verify(&ring), Err(Unverified::BadSignature), "another kind of message");
        let moved = Signed { signer: ReplicaId::new(3), ..ping(2, 2) };
        assert_eq!(moved.verify(&ring), Err(Unverified::BadSignature), "another signer's field");
    }

    #[test]
    fn an_index_out_of_range_is_an_unknown_signer() {
        for index in [4, u16::MAX] {
            assert_eq!(ping(index, 2).verify(&keyring(0)), Err(Unverified::UnknownSigner));
        }
    }

    #[test]
    fn a_batch_refuses_what_is_refused_alone() {
        let ring = keyring(0);
        let mut batch = Batch::new(&ring);
        let good = batch.queue(ping(0, 0));
        let forged = batch.queue(ping(1, 2));
        let stranger = batch.queue(ping(7, 2));
        let also_good = batch.queue(ping(3, 3));
        let verdicts = batch.verify();
        assert!(verdicts.redeem(good).is_ok());
        assert_eq!(verdicts.redeem(forged), Err(Unverified::BadSignature));
        assert_eq!(verdicts.redeem(stranger), Err(Unverified::UnknownSigner));
        assert!(verdicts.redeem(also_good).is_ok());
    }

    #[test]
    fn a_ticket_of_another_batch_is_worth_nothing() {
        let ring = keyring(0);
        let mut first = Batch::new(&ring);
        let forged = first.queue(ping(1, 2));
        let mut second = Batch::new(&ring);
        let good = second.queue(ping(1, 1));
        let verdicts = second.verify();
        assert_eq!(verdicts.redeem(forged), Err(Unverified::BadSignature));
        assert!(verdicts.redeem(good).is_ok());
    }

    #[test]
    fn a_certificate_fails_with_one_bad_or_foreign_signature() {
        let ring = keyring(0);
        let votes: Vec<_> = (0..3).map(|i| (ReplicaId::new(i), ping(i, i as u8).signature)).collect();
        assert_eq!(verify_all(&Ping(7), &votes, &ring), Ok(()));
        assert_eq!(verify_all(&Ping(8), &votes, &ring), Err(Unverified::BadSignature));
        let mut foreign = votes.clone();
        foreign[2].0 = ReplicaId::new(4);
        assert_eq!(verify_all(&Ping(7), &foreign, &ring), Err(Unverified::UnknownSigner));
        let mut swapped = votes;
        swapped[0].0 = ReplicaId::new(3);
        assert_eq!(verify_all(&Ping(7), &swapped, &ring), Err(Unverified::BadSignature));
    }
}
