//! Who takes part in a world: keys, genesis, parameters.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex};

use bezant_types::genesis::{ClientEntry, Grant, Parameters, ReplicaEntry};
use bezant_types::keys::{Memory, Role};
use bezant_types::{AccountId, Digest, Genesis, SecretKey, Signature};

use crate::scenario::Scenario;
use crate::workload::OPENING_BALANCE;

/// What is known of signatures, by all machines of all worlds of this process.
///
/// The machines of a world check the same votes: what one has found to be valid the others need not compute again. And
/// worlds with the same people have much in common: the status of an idle member, the votes of a view change in which
/// nothing was prepared, the requests of a client that floods.
#[derive(Default)]
struct Recollection {
    valid: Mutex<Ages<(Digest, Signature), ()>>,
    made: Mutex<Ages<(AccountId, Digest), Signature>>,
}

static RECOLLECTION: LazyLock<Arc<Recollection>> = LazyLock::new(Arc::default);

impl Memory for Recollection {
    fn knows(&self, digest: &Digest, signature: &Signature) -> bool {
        self.valid.lock().is_ok_and(|mut valid| valid.get((*digest, *signature)).is_some())
    }

    fn note(&self, digest: &Digest, signature: &Signature) {
        if let Ok(mut valid) = self.valid.lock() {
            valid.insert((*digest, *signature), ());
        }
    }

    fn signature(&self, account: &AccountId, digest: &Digest) -> Option<Signature> {
        self.made.lock().ok()?.get((*account, *digest))
    }

    fn note_signature(&self, account: &AccountId, digest: &Digest, signature: &Signature) {
        if let Ok(mut made) = self.made.lock() {
            made.insert((*account, *digest), *signature);
        }
    }
}

/// A map that forgets what has not been asked for in a long time.
struct Ages<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Ages<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V: Copy> Ages<K, V> {
    fn get(&mut self, key: K) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        let value = self.old.remove(&key)?;
        self.insert(key, value);
        Some(value)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= MOST_SIGNATURES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// How many signatures of each age are remembered, each of them about a hundred bytes.
const MOST_SIGNATURES: usize = 1 << 17;

/// Keys and genesis of a world. The keys follow from the numbers, so that the same scenario has the same people.
pub(crate) struct People {
    pub(crate) genesis: Genesis,
    pub(crate) replica_keys: Vec<SecretKey>,
    pub(crate) client_keys: Vec<SecretKey>,
    pub(crate) corrupted_client_keys: Vec<SecretKey>,
}

/// Parameters that make a short world long: small windows, short timeouts, checkpoints often.
pub(crate) const BRISK: Parameters = Parameters {
    checkpoint_interval: 8,
    window: 32,
    pipeline: 4,
    max_batch_requests: 16,
    max_batch_bytes: 1 << 16,
    max_bundle_bytes: 1 << 16,
    max_bundle_operations: 64,
    max_key_bytes: 64,
    max_value_bytes: 1 << 12,
    max_reply_bytes: 1 << 16,
    max_state_bytes: 1 << 24,
    client_window: 32,
    max_clock_skew_ms: 60_000,
    request_timeout_ms: 2_000,
    max_view_change_timeout_ms: 16_000,
    seal_after_ms: 500,
    status_interval_ms: 500,
};

/// Names a parameter of the genesis.
fn parameter<'a>(parameters: &'a mut Parameters, name: &str) -> Option<Slot<'a>> {
    let p = parameters;
    Some(match name {
        "checkpoint-interval" => Slot::Wide(&mut p.checkpoint_interval),
        "window" => Slot::Wide(&mut p.window),
        "pipeline" => Slot::Wide(&mut p.pipeline),
        "max-batch-requests" => Slot::Narrow(&mut p.max_batch_requests),
        "max-batch-bytes" => Slot::Narrow(&mut p.max_batch_bytes),
        "client-window" => Slot::Narrow(&mut p.client_window),
        "max-clock-skew-ms" => Slot::Wide(&mut p.max_clock_skew_ms),
        "request-timeout-ms" => Slot::Wide(&mut p.request_timeout_ms),
        "max-view-change-timeout-ms" => Slot::Wide(&mut p.max_view_change_timeout_ms),
        "seal-after-ms" => Slot::Wide(&mut p.seal_after_ms),
        "status-interval-ms" => Slot::Wide(&mut p.status_interval_ms),
        _unknown => return None,
    })
}

enum Slot<'a> {
    Wide(&'a mut u64),
    Narrow(&'a mut u32),
}

/// Makes the people of a scenario.
///
/// # Errors
/// What in it cannot be.
pub(crate) fn people(scenario: &Scenario) -> Result<People, String> {
    let mut parameters = BRISK;
    for (name, value) in &scenario.parameters {
        match parameter(&mut parameters, name).ok_or_else(|| format!("there is no parameter `{name}`"))? {
            Slot::Wide(slot) => *slot = *value,
            Slot::Narrow(slot) => {
                *slot = u32::try_from(*value).map_err(|_| format!("{value} is too much for `{name}`"))?;
            }
        }
    }
    let key = |kind: u8, index: usize| {
        let mut seed = [kind; 32];
        seed[..8].copy_from_slice(&(index as u64).to_le_bytes());
        SecretKey::from_seed(seed).remembering(RECOLLECTION.clone())
    };
    let replica_keys: Vec<_> = (0..usize::from(scenario.replicas)).map(|index| key(1, index)).collect();
    let client_keys: Vec<_> = (0..scenario.clients).map(|index| key(2, index)).collect();
    let corrupted_client_keys: Vec<_> = (0..scenario.corrupted_clients.len()).map(|index| key(3, index)).collect();
    let replicas = replica_keys.iter().enumerate();
    let replicas = replicas.map(|(index, key)| ReplicaEntry { key: key.account(), address: format!("r{index}:1") });
    let all_clients = client_keys.iter().chain(&corrupted_client_keys);
    let clients = all_clients.enumerate().map(|(index, key)| ClientEntry {
        name: format!("c{index}"),
        key: key.account(),
        role: Role::Write,
    });
    let balances = client_keys.iter().map(|key| Grant { account: key.account(), amount: OPENING_BALANCE });
    let genesis = Genesis::new("sim".into(), replicas.collect(), clients.collect(), balances.collect(), parameters)
        .map_err(|error| error.to_string())?
        .remembering(RECOLLECTION.clone());
    Ok(People { genesis, replica_keys, client_keys, corrupted_client_keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_now_and_then_is_not_forgotten() {
        let mut ages = Ages::default();
        for number in 0..3 * MOST_SIGNATURES {
            ages.insert(number, number);
            assert_eq!(ages.get(0), Some(0), "{number}");
        }
        assert_eq!(ages.get(1), None);
        assert!(ages.young.len() + ages.old.len() <= 2 * MOST_SIGNATURES);
    }
}
