//! What the gateway knows without asking: the network it serves, whose key it holds, the limits, and who has which
//! name.

use std::collections::BTreeMap;
use std::time::Duration;

use bezant_types::genesis::Parameters;
use bezant_types::transaction::{Refusal, printable};
use bezant_types::{AccountId, Digest, Genesis};

use super::commands::too_large;
use crate::resp::{Limits, Reply};

/// Facts of the genesis, and of the client whose key the gateway holds. They do not change while it runs.
#[derive(Clone, Debug)]
pub struct Facts {
    network: String,
    genesis: Digest,
    client: String,
    account: AccountId,
    replicas: usize,
    names: BTreeMap<String, AccountId>,
    parameters: Parameters,
}

/// The gateway's key belongs to no client of the genesis, so every replica would turn it away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account {0} is no client of the network {1:?}: use the key of a client that its genesis names")]
pub struct NotAClient(AccountId, String);

impl Facts {
    /// The facts for a gateway that acts as `account` in the network of `genesis`.
    ///
    /// # Errors
    /// [`NotAClient`].
    pub fn new(genesis: &Genesis, account: AccountId) -> Result<Self, NotAClient> {
        let client = genesis.clients().iter().find(|client| client.key == account);
        let client = client.ok_or_else(|| NotAClient(account, genesis.name().to_owned()))?;
        Ok(Self {
            network: genesis.name().to_owned(),
            genesis: genesis.digest(),
            client: client.name.clone(),
            account,
            replicas: genesis.replicas().len(),
            names: genesis.clients().iter().map(|client| (client.name.clone(), client.key)).collect(),
            parameters: genesis.parameters().clone(),
        })
    }

    /// What people call the network.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The network's identity.
    pub fn genesis(&self) -> Digest {
        self.genesis
    }

    /// The name of the client as which the gateway acts.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Its account.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// How many replicas the network has.
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// What the members agreed on.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The largest command that can make sense: what fits a bundle, and `MSET` has two arguments for an operation.
    pub(super) fn limits(&self) -> Limits {
        let Parameters { max_bundle_bytes, max_bundle_operations, max_value_bytes, max_key_bytes, .. } =
            self.parameters;
        Limits {
            arguments: (max_bundle_operations as usize).saturating_mul(2).saturating_add(2),
            argument_bytes: max_value_bytes.max(max_key_bytes) as usize,
            command_bytes: (max_bundle_bytes as usize).saturating_add(64 << 10),
        }
    }

    /// How long the gateway waits for the group before it says that there is no quorum: time for one view change.
    pub(super) fn default_patience(&self) -> Duration {
        Duration::from_millis(self.parameters.request_timeout_ms.saturating_mul(2).saturating_add(1_000))
    }

    /// `bytes` as a key, unless it is too long for one.
    pub(super) fn key(&self, bytes: &[u8]) -> Result<Vec<u8>, Reply> {
        let (found, limit) = (bytes.len() as u64, u64::from(self.parameters.max_key_bytes));
        if found > limit { Err(too_large(Refusal::KeyTooLong { found, limit })) } else { Ok(bytes.to_vec()) }
    }

    /// `bytes` as a value, unless it is too long for one.
    pub(super) fn value(&self, bytes: &[u8]) -> Result<Vec<u8>, Reply> {
        let (found, limit) = (bytes.len() as u64, u64::from(self.parameters.max_value_bytes));
        if found > limit { Err(too_large(Refusal::ValueTooLong { found, limit })) } else { Ok(bytes.to_vec()) }
    }

    /// An account by its 64 hexadecimal digits, or by its name in the genesis. Digits win over a name that looks so.
    pub(super) fn find_account(&self, text: &[u8]) -> Result<AccountId, Reply> {
        let known = std::str::from_utf8(text).ok();
        let found = known.and_then(|text| text.parse().ok().or_else(|| self.names.get(text).copied()));
        found.ok_or_else(|| {
            let shown = printable(text.get(..text.len().min(64)).unwrap_or_default());
            let remedy = "give 64 hexadecimal digits, or the name of a client of the genesis";
            Reply::Error(format!("ERR unknown account '{shown}': {remedy}"))
        })
    }
}
