//! The members, their keys and parameters; how messages are forged with given keys; what the links do to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bezant_pbft::certificate::{Endorsed, PreparedProof, Signatures};
use bezant_pbft::message::{
    Batch, Checkpoint, Commit, Fetch, NewView, PrePrepare, Prepare, Standing, Status, ViewChange,
};
use bezant_pbft::packet::{Decided, Packet};
use bezant_types::genesis::{ClientEntry, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::{
    Bundle, Committee, Digest, Genesis, Keyring, Operation, ReplicaId, RequestNumber, SecretKey, SequenceNumber,
    Signable, Signature, Signed, Timestamp, Transaction, Verified, View,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::memory;

/// How many clients every network has.
pub(crate) const CLIENTS: usize = 3;
/// What the wall clock shows when a world begins, in milliseconds.
pub(crate) const EPOCH: u64 = 10_000_000;

/// Randomness from one seed.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What the links do. Delays in milliseconds, chances in percent.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    pub(crate) delay: (u64, u64),
    pub(crate) loss: u64,
    pub(crate) duplicates: u64,
    /// One-way cuts between replicas.
    pub(crate) cut: BTreeSet<(u16, u16)>,
    /// Cuts between a client and a replica, both ways.
    pub(crate) client_cut: BTreeSet<(usize, u16)>,
}

impl Links {
    pub(crate) fn kind() -> Self {
        Self { delay: (1, 3), loss: 0, duplicates: 0, cut: BTreeSet::new(), client_cut: BTreeSet::new() }
    }
}

/// Parameters with a small window, so that a test sees many checkpoints.
pub(crate) fn small() -> Parameters {
    Parameters {
        checkpoint_interval: 4,
        window: 12,
        pipeline: 4,
        max_batch_requests: 4,
        request_timeout_ms: 400,
        max_view_change_timeout_ms: 3_200,
        seal_after_ms: 100,
        status_interval_ms: 40,
        ..Parameters::standard()
    }
}

/// A network's keys: all of them, for whoever forges.
#[derive(Clone)]
pub(crate) struct Members {
    pub(crate) genesis: Genesis,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) committee: Committee,
}

pub(crate) fn replica_key(replica: u16) -> SecretKey {
    SecretKey::from_seed([replica as u8 + 1; 32]).remembering(memory::shared())
}

pub(crate) fn client_key(client: usize) -> SecretKey {
    SecretKey::from_seed([client as u8 + 200; 32]).remembering(memory::shared())
}

pub(crate) fn id(replica: u16) -> ReplicaId {
    ReplicaId::new(replica)
}

pub(crate) fn at(sequence: u64) -> SequenceNumber {
    SequenceNumber::new(sequence)
}

impl Members {
    pub(crate) fn new(n: u16, parameters: Parameters) -> Self {
        let replicas = (0..n)
            .map(|i| ReplicaEntry { key: replica_key(i).account(), address: format!("replica:{}", 7400 + i) })
            .collect();
        let clients = (0..CLIENTS)
            .map(|i| ClientEntry { name: format!("client-{i}"), key: client_key(i).account(), role: Role::Write })
            .collect();
        let genesis = Genesis::new("test".into(), replicas, clients, vec![], parameters).expect("a sound genesis");
        let genesis = genesis.remembering(memory::shared());
        Self { keyring: Arc::new(genesis.keyring()), committee: genesis.committee(), genesis }
    }

    pub(crate) fn sign<M: Signable<Signer = ReplicaId>>(&self, by: u16, message: M) -> Signed<M> {
        Verified::sign(message, id(by), &replica_key(by), self.genesis.digest()).into_signed()
    }

    pub(crate) fn bundle(&self, client: usize, number: u64, text: &str) -> Signed<Bundle> {
        let operation = Operation::Append { key: b"story".to_vec(), suffix: text.as_bytes().to_vec() };
        let bundle = Bundle { number: RequestNumber::new(number), transactions: vec![Transaction::single(operation)] };
        let key = client_key(client);
        Verified::sign(bundle, key.account(), &key, self.genesis.digest()).into_signed()
    }

    pub(crate) fn digest_of(&self, bundle: &Signed<Bundle>) -> Digest {
        bundle.clone().verify(&self.keyring).expect("an honest client's bundle").digest()
    }

    /// A batch of these requests, dated `now` milliseconds after the world began.
    pub(crate) fn batch(&self, now: u64, bundles: &[Signed<Bundle>]) -> Batch {
        let requests = bundles.iter().map(|one| self.digest_of(one)).collect();
        Batch::Requests { timestamp: Timestamp::new(EPOCH + now), requests }
    }

    pub(crate) fn primary(&self, view: u64) -> u16 {
        self.committee.primary(View::new(view)).get()
    }

    pub(crate) fn pre_prepare(&self, view: u64, sequence: u64, batch: &Batch) -> Packet {
        self.pre_prepare_by(self.primary(view), view, sequence, batch.digest(), Some(batch.clone()))
    }

    pub(crate) fn pre_prepare_by(
        &self,
        by: u16,
        view: u64,
        sequence: u64,
        digest: Digest,
        batch: Option<Batch>,
    ) -> Packet {
        Packet::PrePrepare(self.sign(by, PrePrepare { view: View::new(view), sequence: at(sequence), digest }), batch)
    }

    pub(crate) fn prepare(&self, by: u16, view: u64, sequence: u64, digest: Digest) -> Packet {
        Packet::Prepare(self.sign(by, Prepare { view: View::new(view), sequence: at(sequence), digest }))
    }

    pub(crate) fn commit(&self, by: u16, view: u64, sequence: u64, digest: Digest) -> Packet {
        Packet::Commit(self.sign(by, Commit { view: View::new(view), sequence: at(sequence), digest }))
    }

    pub(crate) fn checkpoint(&self, by: u16, sequence: u64, root: Digest) -> Packet {
        Packet::Checkpoint(self.sign(by, Checkpoint { sequence: at(sequence), root }))
    }

    pub(crate) fn status(&self, by: u16, view: u64, standing: Standing, stable: u64, executed: u64) -> Packet {
        let status = Status { view: View::new(view), standing, stable: at(stable), executed: at(executed) };
        Packet::Status(self.sign(by, status))
    }

    pub(crate) fn fetch(&self, by: u16, requests: Vec<Digest>, batches: Vec<(SequenceNumber, Digest)>) -> Packet {
        Packet::Fetch(self.sign(by, Fetch { requests, batches }))
    }

    fn signatures<M: Signable<Signer = ReplicaId>>(&self, signers: &[u16], message: &M) -> Signatures {
        signers.iter().map(|one| (id(*one), self.signature(*one, message))).collect()
    }

    pub(crate) fn signature<M: Signable<Signer = ReplicaId>>(&self, by: u16, message: &M) -> Signature {
        self.sign(by, message.clone()).signature
    }

    /// A prepared proof with the prepares of `backups`, sound if they are distinct, in order and enough.
    pub(crate) fn prepared(&self, view: u64, sequence: u64, digest: Digest, backups: &[u16]) -> PreparedProof {
        let (view, sequence) = (View::new(view), at(sequence));
        let primary = self.committee.primary(view).get();
        PreparedProof {
            view,
            sequence,
            digest,
            pre_prepare: self.signature(primary, &PrePrepare { view, sequence, digest }),
            prepares: self.signatures(backups, &Prepare { view, sequence, digest }),
        }
    }

    pub(crate) fn commits(&self, view: u64, sequence: u64, digest: Digest, signers: &[u16]) -> Endorsed<Commit> {
        let vote = Commit { view: View::new(view), sequence: at(sequence), digest };
        Endorsed { signatures: self.signatures(signers, &vote), vote }
    }

    pub(crate) fn decided(&self, view: u64, sequence: u64, batch: &Batch, signers: &[u16]) -> Packet {
        let commits = self.commits(view, sequence, batch.digest(), signers);
        Packet::Decided(Decided { commits, batch: batch.clone() })
    }

    pub(crate) fn stable(&self, sequence: u64, root: Digest, signers: &[u16]) -> Endorsed<Checkpoint> {
        let vote = Checkpoint { sequence: at(sequence), root };
        Endorsed { signatures: self.signatures(signers, &vote), vote }
    }

    pub(crate) fn view_change(
        &self,
        by: u16,
        view: u64,
        checkpoint: Option<Endorsed<Checkpoint>>,
        prepared: Vec<PreparedProof>,
    ) -> Signed<ViewChange> {
        self.sign(by, ViewChange { view: View::new(view), checkpoint, prepared })
    }

    /// View changes without any proof, of each of `signers`.
    pub(crate) fn empty_view_changes(&self, view: u64, signers: &[u16]) -> Vec<Signed<ViewChange>> {
        signers.iter().map(|one| self.view_change(*one, view, None, vec![])).collect()
    }

    pub(crate) fn new_view(&self, view: u64, view_changes: Vec<Signed<ViewChange>>, proposals: Vec<Digest>) -> Packet {
        let message = NewView { view: View::new(view), view_changes, proposals };
        Packet::NewView(self.sign(self.primary(view), message))
    }
}
