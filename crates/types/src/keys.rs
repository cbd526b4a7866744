//! Ed25519 keys, and the one rule for which signatures are valid.
//!
//! The rule is ZIP 215 (as implemented by `ed25519-zebra`): the cofactored equation, for a check alone and for a check
//! in a batch. Under RFC 8032's looser wording, libraries differ on signatures with a low-order component, and some
//! accept in a batch what they refuse alone; with such a library one crafted vote could split honest replicas. What ZIP
//! 215 leaves open is that a signature's bytes can be varied by its owner, so signatures identify nothing here.
//!
//! A member that publishes a key of small order can be impersonated by anybody. That is the same as publishing its
//! private key, which no rule prevents: it is one of the f.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_zebra::{VerificationKey, VerificationKeyBytes, batch};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::digest::Hasher;
use crate::{AccountId, Digest, ReplicaId};

/// A signature's bytes. Whether they are valid is for [`Keyring`] to say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes 64 bytes as a signature.
    pub const fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}…)", hex::encode(&self.0[..4]))
    }
}

/// A private key. It is wiped from memory when dropped, and never printed.
#[derive(Clone)]
pub struct SecretKey {
    key: ed25519_zebra::SigningKey,
    memory: SharedMemory,
}

impl SecretKey {
    /// The key of a 32-byte seed (RFC 8032, section 5.1.5). The caller brings the randomness.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { key: ed25519_zebra::SigningKey::from(seed), memory: SharedMemory::default() }
    }

    /// The same key, which does not compute again what it remembers to have signed.
    #[must_use]
    pub fn remembering(mut self, memory: Arc<dyn Memory>) -> Self {
        self.memory = SharedMemory::new(memory);
        self
    }

    /// The seed, for writing it to a key file.
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.key.to_bytes())
    }

    /// The public key, which is also the account that this key signs for.
    pub fn account(&self) -> AccountId {
        AccountId::new(self.key.verification_key().into())
    }

    /// Signs a digest. Deterministic (RFC 8032): the same digest gives the same bytes.
    pub(crate) fn sign(&self, digest: &Digest) -> Signature {
        let compute = || Signature(self.key.sign(digest.as_bytes()).to_bytes());
        let Some(memory) = &self.memory.0 else { return compute() };
        let account = self.account();
        memory.signature(&account, digest).unwrap_or_else(|| {
            let signature = compute();
            memory.note_signature(&account, digest, &signature);
            signature
        })
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.account())
    }
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Role {
    /// Read entries, balances and proofs.
    Read,
    /// Also change what its account may change.
    Write,
    /// Also ask replicas for their full operational state.
    Admin,
}

/// Remembers signatures that were found to be valid, and signatures that were made.
///
/// Whether a signature is valid is a function of who signed, what, and the signature, and the digest names the first
/// two; a signature that is made is a function of the key and the digest. So remembering changes how long checking and
/// signing take, and nothing else. It pays where the same votes are checked again and again: in many certificates, or
/// by many replicas in one process. That a key signs the same again happens in simulated worlds only, which are many
/// and alike.
pub trait Memory: Send + Sync {
    /// Whether the signature of what has this digest is known to be valid.
    fn knows(&self, digest: &Digest, signature: &Signature) -> bool;
    /// It is valid.
    fn note(&self, digest: &Digest, signature: &Signature);
    /// What the key of this account made of this digest, if that is known.
    fn signature(&self, account: &AccountId, digest: &Digest) -> Option<Signature>;
    /// It made this.
    fn note_signature(&self, account: &AccountId, digest: &Digest, signature: &Signature);
}

/// A memory that several keyrings and keys share. It is no part of a network's identity.
#[derive(Clone, Default)]
pub(crate) struct SharedMemory(Option<Arc<dyn Memory>>);

impl SharedMemory {
    pub(crate) fn new(memory: Arc<dyn Memory>) -> Self {
        Self(Some(memory))
    }

    fn knows(&self, claim: &Claim) -> bool {
        let Claim { key, digest, signature } = claim;
        // What a key has made is valid for that key, and for no other.
        let made = |memory: &dyn Memory| memory.signature(&AccountId::new((*key).into()), digest) == Some(*signature);
        self.0.as_deref().is_some_and(|memory| made(memory) || memory.knows(digest, signature))
    }

    fn note(&self, claim: &Claim) {
        if let Some(memory) = &self.0 {
            memory.note(&claim.digest, &claim.signature);
        }
    }
}

impl PartialEq for SharedMemory {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SharedMemory {}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a memory" } else { "no memory" })
    }
}

/// The public keys of all members and known clients of one network, and the genesis digest under which they sign.
#[derive(Clone)]
pub struct Keyring {
    genesis: Digest,
    replicas: Vec<VerificationKey>,
    clients: BTreeMap<AccountId, (VerificationKey, Role)>,
    memory: SharedMemory,
}

/// A public key that is not a point of the curve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not an Ed25519 public key")]
pub struct BadPublicKey(pub AccountId);

impl Keyring {
    /// Collects the keys of a network, replicas in the order of their ids.
    ///
    /// # Errors
    /// [`BadPublicKey`] names the first that is none.
    pub fn new(
        genesis: Digest,
        replicas: impl IntoIterator<Item = AccountId>,
        clients: impl IntoIterator<Item = (AccountId, Role)>,
    ) -> Result<Self, BadPublicKey> {
        let parse = |key: AccountId| VerificationKey::try_from(*key.as_bytes()).map_err(|_| BadPublicKey(key));
        Ok(Self {
            genesis,
            replicas: replicas.into_iter().map(parse).collect::<Result<_, _>>()?,
            clients: clients
                .into_iter()
                .map(|(key, role)| Ok((key, (parse(key)?, role))))
                .collect::<Result<_, BadPublicKey>>()?,
            memory: SharedMemory::default(),
        })
    }

    pub(crate) fn remembering(self, memory: SharedMemory) -> Self {
        Self { memory, ..self }
    }

    /// Checks one signature.
    pub(crate) fn holds(&self, claim: &Claim) -> bool {
        if self.memory.knows(claim) {
            return true;
        }
        let valid = is_valid(claim);
        if valid {
            self.memory.note(claim);
        }
        valid
    }

    /// Checks many signatures together.
    pub(crate) fn hold(&self, claims: &[Claim]) -> Vec<bool> {
        if self.memory.0.is_none() {
            return are_valid(claims);
        }
        let mut valid: Vec<bool> = claims.iter().map(|claim| self.memory.knows(claim)).collect();
        let unknown = || claims.iter().zip(&valid).filter(|(_, known)| !**known).map(|(claim, _)| claim.clone());
        let verdicts = are_valid(&unknown().collect::<Vec<_>>());
        let places: Vec<usize> = (0..claims.len()).filter(|place| !valid[*place]).collect();
        for (place, holds) in places.into_iter().zip(verdicts) {
            valid[place] = holds;
            if holds {
                self.memory.note(&claims[place]);
            }
        }
        valid
    }

    /// The digest under which everything in this network is signed.
    pub fn genesis(&self) -> Digest {
        self.genesis
    }

    /// What `client` may do, or `None` if it is not known here.
    pub fn role(&self, client: AccountId) -> Option<Role> {
        self.clients.get(&client).map(|(_, role)| *role)
    }

    /// The public key of `replica`, or `None` if it is not a member.
    pub fn replica_key(&self, replica: ReplicaId) -> Option<AccountId> {
        self.replicas.get(replica.index()).map(|key| AccountId::new((*key).into()))
    }

    /// Which replica has this public key, if any.
    pub fn replica_of(&self, key: AccountId) -> Option<ReplicaId> {
        let index = self.replicas.iter().position(|known| <[u8; 32]>::from(*known) == *key.as_bytes())?;
        u16::try_from(index).ok().map(ReplicaId::new)
    }

    pub(crate) fn replica(&self, id: ReplicaId) -> Option<&VerificationKey> {
        self.replicas.get(id.index())
    }

    pub(crate) fn client(&self, id: AccountId) -> Option<&VerificationKey> {
        self.clients.get(&id).map(|(key, _)| key)
    }
}

/// Two keyrings are equal if they belong to the same network: the genesis digest covers all keys.
impl PartialEq for Keyring {
    fn eq(&self, other: &Self) -> bool {
        self.genesis == other.genesis
    }
}

impl Eq for Keyring {}

impl core::hash::Hash for Keyring {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.genesis.hash(state);
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({:?}, {} replicas, {} clients)", self.genesis, self.replicas.len(), self.clients.len())
    }
}

/// One signature that is to be checked: whose, of what.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) key: VerificationKey,
    pub(crate) digest: Digest,
    pub(crate) signature: Signature,
}

/// Checks one signature.
fn is_valid(claim: &Claim) -> bool {
    claim.key.verify(&ed25519_zebra::Signature::from_bytes(&claim.signature.0), claim.digest.as_bytes()).is_ok()
}

/// Checks many signatures together, and says of each what [`is_valid`] would have said.
///
/// A batch that fails is halved until the bad ones are found, but only as long as one half of it holds: a few bad ones
/// are found quickly, and many cost no more than a few times what checking each alone would. A liar that could have
/// every level of halves checked would make us work the more the more it lies.
///
/// The batch equation needs coefficients that the signers could not foresee; they are drawn from a hash over the whole
/// batch, so that checking stays a pure function.
fn are_valid(claims: &[Claim]) -> Vec<bool> {
    if claims.len() < SMALLEST_BATCH {
        return claims.iter().map(is_valid).collect();
    }
    let mut verdicts = Vec::with_capacity(claims.len());
    if all_valid(claims) {
        verdicts.resize(claims.len(), true);
    } else {
        search(claims, &mut verdicts);
    }
    verdicts
}

/// Below this many a batch costs more than its parts.
const SMALLEST_BATCH: usize = 3;
/// Up to this many of a batch that failed are checked one by one: halves would cost as much.
const SMALLEST_SEARCH: usize = 16;

/// Finds the bad ones among claims that do not all hold.
fn search(claims: &[Claim], verdicts: &mut Vec<bool>) {
    if claims.len() <= SMALLEST_SEARCH {
        return verdicts.extend(claims.iter().map(is_valid));
    }
    let (left, right) = claims.split_at(claims.len() / 2);
    match (all_valid(left), all_valid(right)) {
        (true, false) => {
            verdicts.extend(left.iter().map(|_| true));
            search(right, verdicts);
        }
        (false, true) => {
            search(left, verdicts);
            verdicts.extend(right.iter().map(|_| true));
        }
        // Bad ones everywhere; or, which has never been seen, a whole that fails in halves that hold.
        (false, false) | (true, true) => verdicts.extend(claims.iter().map(is_valid)),
    }
}

fn all_valid(claims: &[Claim]) -> bool {
    let mut verifier = batch::Verifier::new();
    let mut seed = Hasher::new("bezant/batch-coefficients");
    for claim in claims {
        let key = VerificationKeyBytes::from(claim.key);
        seed.update(key.as_ref());
        seed.update(claim.digest.as_bytes());
        seed.update(&claim.signature.0);
        let signature = ed25519_zebra::Signature::from_bytes(&claim.signature.0);
        verifier.queue((key, signature, claim.digest.as_bytes()));
    }
    verifier.verify(ChaCha20Rng::from_seed(*seed.finish().as_bytes())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(seed: u8, content: u8) -> Claim {
        let key = SecretKey::from_seed([seed; 32]);
        let digest = Digest::of("test", &content);
        Claim {
            key: VerificationKey::try_from(*key.account().as_bytes()).unwrap(),
            digest,
            signature: key.sign(&digest),
        }
    }

    /// Knows what it was told, and nothing else.
    struct Notes(BTreeMap<(Digest, [u8; 64]), ()>);

    impl Memory for Notes {
        fn knows(&self, digest: &Digest, signature: &Signature) -> bool {
            self.0.contains_key(&(*digest, signature.0))
        }

        fn note(&self, _: &Digest, _: &Signature) {}

        fn signature(&self, account: &AccountId, digest: &Digest) -> Option<Signature> {
            (*account == key(1).account() && *digest == Digest::of("test", &1u8)).then_some(Signature([7; 64]))
        }

        fn note_signature(&self, account: &AccountId, digest: &Digest, signature: &Signature) {
            let key = [1, 2].map(key).into_iter().find(|key| key.account() == *account);
            assert_eq!(*signature, key.expect("whose it is").sign(digest));
        }
    }

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    #[test]
    fn what_a_key_has_made_is_valid_for_that_key_alone() {
        let made = Claim { signature: Signature([7; 64]), ..claim(1, 1) };
        let keyring = Keyring::new(Digest::new([0; 32]), [], []).unwrap();
        let keyring = keyring.remembering(SharedMemory::new(Arc::new(Notes(BTreeMap::new()))));
        assert!(keyring.holds(&made), "it believes its memory");
        for other in [Claim { key: claim(2, 1).key, ..made.clone() }, Claim { digest: claim(1, 2).digest, ..made }] {
            assert!(!keyring.holds(&other));
        }
    }

    #[test]
    fn what_is_remembered_is_not_signed_again_and_everything_else_is() {
        let (one, other) = (Digest::of("test", &1u8), Digest::of("test", &2u8));
        let remembering = |seed| key(seed).remembering(Arc::new(Notes(BTreeMap::new())));
        assert_eq!(remembering(1).sign(&one), Signature([7; 64]), "it believes its memory");
        assert_eq!(remembering(1).sign(&other), key(1).sign(&other));
        assert_eq!(remembering(2).sign(&one), key(2).sign(&one));
    }

    #[test]
    fn what_is_remembered_is_not_checked_again_and_everything_else_is() {
        let bad = Claim { signature: Signature([7; 64]), ..claim(1, 1) };
        let lie = Notes(BTreeMap::from([((bad.digest, bad.signature.0), ())]));
        let keyring = Keyring::new(Digest::new([0; 32]), [], []).unwrap();
        assert_eq!(keyring.hold(&[claim(1, 1), bad.clone(), claim(2, 2)]), [true, false, true]);
        let keyring = keyring.remembering(SharedMemory::new(Arc::new(lie)));
        assert!(keyring.holds(&bad), "it believes its memory");
        let other = Claim { signature: Signature([8; 64]), ..claim(1, 1) };
        assert_eq!(keyring.hold(&[other.clone(), bad, claim(2, 2)]), [false, true, true]);
        assert!(!keyring.holds(&other));
    }

    #[test]
    fn a_batch_finds_exactly_the_bad_signatures() {
        for bad in 0..17usize {
            let mut claims: Vec<_> = (0..17).map(|i| claim(i % 4, i)).collect();
            claims[bad].signature.0[40] ^= 1;
            claims[(bad + 5) % 17].digest = Digest::of("test", &99u8);
            let verdicts = are_valid(&claims);
            for (i, verdict) in verdicts.iter().enumerate() {
                assert_eq!(*verdict, i != bad && i != (bad + 5) % 17, "signature {i}");
                assert_eq!(*verdict, is_valid(&claims[i]), "signature {i} alone");
            }
        }
    }

    #[test]
    fn bad_signatures_are_found_wherever_and_however_many_they_are() {
        let good: Vec<_> = (0..70).map(|i| claim(i % 4, i)).collect();
        let patterns: [fn(usize) -> bool; 5] =
            [|_| true, |i| i == 69, |i| i < 35, |i| i == 0 || i == 69, |i| (16..20).contains(&i)];
        for is_bad in patterns {
            let mut claims = good.clone();
            claims.iter_mut().enumerate().filter(|(i, _)| is_bad(*i)).for_each(|(_, one)| one.signature.0[40] ^= 1);
            let expected: Vec<_> = (0..claims.len()).map(|i| !is_bad(i)).collect();
            assert_eq!(are_valid(&claims), expected);
        }
    }

    /// The eight points of small order in their canonical encodings (ZIP 215 test vectors; Chalkias et al. 2020).
    const SMALL_ORDER: [&str; 8] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];

    #[test]
    fn small_order_points_are_judged_alike_alone_and_in_a_batch() {
        // ZIP 215: every pair (A, R) of small-order points with s = 0 is valid for every message, by the cofactored
        // equation. What matters is that both ways of checking say the same.
        for a in SMALL_ORDER {
            for r in SMALL_ORDER {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&hex::decode(r).unwrap());
                let key: [u8; 32] = hex::decode(a).unwrap().try_into().unwrap();
                let odd = Claim {
                    key: VerificationKey::try_from(key).unwrap(),
                    digest: Digest::of("test", "Zcash"),
                    signature: Signature(signature),
                };
                let claims = [claim(1, 1), odd, claim(2, 2), claim(3, 3)];
                assert!(is_valid(&claims[1]), "A = {a}, R = {r}");
                assert_eq!(are_valid(&claims), [true; 4], "A = {a}, R = {r}");
            }
        }
    }

    #[test]
    fn nobody_signs_for_the_fee_account() {
        assert!(VerificationKey::try_from(*AccountId::FEES.as_bytes()).is_err());
    }

    #[test]
    fn a_keyring_names_the_key_that_is_none() {
        let good = SecretKey::from_seed([1; 32]).account();
        let bad = AccountId::FEES;
        assert_eq!(Keyring::new(Digest::new([0; 32]), [good, bad], []).unwrap_err(), BadPublicKey(bad));
    }
}
