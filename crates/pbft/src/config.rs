//! What a replica knows of its network.

use alloc::sync::Arc;

use bezant_types::genesis::Parameters;
use bezant_types::{Committee, Genesis, Keyring, ReplicaId};

/// A replica's place in its network. The same for all members but for `id`: the genesis digest in every signature and
/// in the handshake sees to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    id: ReplicaId,
    committee: Committee,
    keyring: Arc<Keyring>,
    parameters: Arc<HashableParameters>,
}

/// Parameters are covered by the genesis digest, which the keyring hashes.
#[derive(Debug, PartialEq, Eq)]
struct HashableParameters(Parameters);

impl core::hash::Hash for HashableParameters {
    fn hash<H: core::hash::Hasher>(&self, _: &mut H) {}
}

impl Config {
    /// The place of replica `id` in the network of `genesis`, or `None` if there is no such replica.
    pub fn new(genesis: &Genesis, id: ReplicaId) -> Option<Self> {
        let committee = genesis.committee();
        committee.contains(id).then(|| Self {
            id,
            committee,
            keyring: Arc::new(genesis.keyring()),
            parameters: Arc::new(HashableParameters(genesis.parameters().clone())),
        })
    }

    /// This replica.
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// The group.
    pub fn committee(&self) -> Committee {
        self.committee
    }

    /// Everybody's public keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What the group agreed on.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters.0
    }
}
