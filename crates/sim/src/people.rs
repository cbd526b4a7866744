//! Who takes part in a world: keys, genesis, parameters.

use bezant_types::genesis::{ClientEntry, Grant, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::{Genesis, SecretKey};

use crate::memory::shared;
use crate::scenario::Scenario;
use crate::workload::OPENING_BALANCE;

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
    let longest = parameters.max_value_bytes;
    if scenario.values > longest as usize {
        return Err(format!("values of {} bytes are too long: {longest} is the most here", scenario.values));
    }
    let key = |kind: u8, index: usize| {
        let mut seed = [kind; 32];
        seed[..8].copy_from_slice(&(index as u64).to_le_bytes());
        SecretKey::from_seed(seed).remembering(shared())
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
        .remembering(shared());
    Ok(People { genesis, replica_keys, client_keys, corrupted_client_keys })
}
