//! The genesis: what all members of a network agreed on before it started.
//!
//! Members and their keys, clients and their roles, initial balances, and every parameter on which replicas must agree
//! to behave alike. Its digest is the network's identity: it is part of every signature and of the handshake, so two
//! nodes that differ in one parameter do not talk to each other at all (hazard 14 of the rules: a certificate that is
//! valid here and not there).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::keys::{BadPublicKey, Keyring, Memory, Role, SharedMemory};
use crate::quorum::BadCommitteeSize;
use crate::{AccountId, Amount, Committee, Digest};

/// The largest frame that any node sends or accepts, in bytes. Every other size is checked against it.
pub const MAX_FRAME: usize = 32 << 20;

/// A replica as the genesis names it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReplicaEntry {
    /// Its public key.
    pub key: AccountId,
    /// Where it listens, `host:port`.
    pub address: String,
}

/// A client as the genesis names it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ClientEntry {
    /// What people call it.
    pub name: String,
    /// Its public key, which is also its account.
    pub key: AccountId,
    /// What it may do.
    pub role: Role,
}

/// What an account holds at the start.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Grant {
    /// Whose.
    pub account: AccountId,
    /// How much.
    pub amount: Amount,
}

/// What replicas must agree on to behave alike. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Parameters {
    /// A checkpoint every so many sequence numbers (K of the paper).
    pub checkpoint_interval: u64,
    /// How many sequence numbers may be under way above the last stable checkpoint (L of the paper).
    pub window: u64,
    /// How many batches a primary keeps under way before it lets requests gather into the next.
    pub pipeline: u64,
    /// The most requests in a batch.
    pub max_batch_requests: u32,
    /// The most bytes of requests in a batch, unless a single request is larger.
    pub max_batch_bytes: u32,
    /// The most bytes of one request.
    pub max_bundle_bytes: u32,
    /// The most operations in one request.
    pub max_bundle_operations: u32,
    /// The longest key.
    pub max_key_bytes: u32,
    /// The longest value.
    pub max_value_bytes: u32,
    /// The most bytes of answers to one request.
    pub max_reply_bytes: u32,
    /// The most bytes of keys and values that the ledger holds.
    pub max_state_bytes: u64,
    /// How many request numbers of a client are remembered with their outcomes.
    pub client_window: u32,
    /// How far a primary's clock may be from a backup's for its batch to be accepted.
    pub max_clock_skew_ms: u64,
    /// How long a backup waits for a request to execute before it asks for another primary.
    pub request_timeout_ms: u64,
    /// The longest that the doubling timeout of a view change grows to.
    pub max_view_change_timeout_ms: u64,
    /// How long the group may rest on executed batches before the primary seals them with a checkpoint.
    pub seal_after_ms: u64,
    /// How often a replica tells the others where it stands.
    pub status_interval_ms: u64,
}

impl Parameters {
    /// Values that suit a handful of replicas on one machine or in one region.
    pub const fn standard() -> Self {
        Self {
            checkpoint_interval: 64,
            window: 256,
            pipeline: 8,
            max_batch_requests: 1024,
            max_batch_bytes: 2 << 20,
            max_bundle_bytes: 4 << 20,
            max_bundle_operations: 8192,
            max_key_bytes: 1 << 10,
            max_value_bytes: 1 << 20,
            max_reply_bytes: 4 << 20,
            max_state_bytes: 4 << 30,
            client_window: 256,
            max_clock_skew_ms: 60_000,
            request_timeout_ms: 2_000,
            max_view_change_timeout_ms: 60_000,
            seal_after_ms: 250,
            status_interval_ms: 500,
        }
    }

    /// Checks each parameter alone and against the others, for a group of `committee`.
    ///
    /// # Errors
    /// [`BadParameter`] names the first that does not hold, and what would.
    pub fn validate(&self, committee: Committee) -> Result<(), BadParameter> {
        let require = |holds: bool, name: &'static str, rule: &'static str| {
            if holds { Ok(()) } else { Err(BadParameter { name, rule }) }
        };
        let frame = MAX_FRAME as u64;
        require(self.checkpoint_interval >= 1, "checkpoint_interval", "must be at least 1")?;
        // Rule C-2. With L < 2K a replica that waits for a checkpoint to become stable would have no room to go on.
        require(
            self.window >= 2 * self.checkpoint_interval.min(u64::MAX / 2),
            "window",
            "must be at least twice checkpoint_interval, or agreement stalls at each checkpoint",
        )?;
        require(self.window <= 1 << 16, "window", "must be at most 65536")?;
        require(
            new_view_bytes(committee, self.window) <= frame,
            "window",
            "is too large for so many replicas: a new-view message with its certificates would not fit a frame of 32 MiB",
        )?;
        require((1..=self.window).contains(&self.pipeline), "pipeline", "must be between 1 and window")?;
        require((1..=1 << 16).contains(&self.max_batch_requests), "max_batch_requests", "must be between 1 and 65536")?;
        let half = frame / 2;
        require((1..=half).contains(&self.max_batch_bytes.into()), "max_batch_bytes", "must be between 1 and 16 MiB")?;
        require(
            (1024..=half).contains(&self.max_bundle_bytes.into()),
            "max_bundle_bytes",
            "must be between 1 KiB and 16 MiB",
        )?;
        require(
            (1..=1 << 20).contains(&self.max_bundle_operations),
            "max_bundle_operations",
            "must be between 1 and 1048576",
        )?;
        require((1..=1 << 16).contains(&self.max_key_bytes), "max_key_bytes", "must be between 1 and 65536")?;
        require(
            self.max_value_bytes as u64 + self.max_key_bytes as u64 + 1024 <= self.max_bundle_bytes as u64,
            "max_value_bytes",
            "must leave room for a key and 1 KiB in max_bundle_bytes",
        )?;
        require(
            (self.max_value_bytes as u64 + 1024..=half).contains(&self.max_reply_bytes.into()),
            "max_reply_bytes",
            "must hold a value and 1 KiB, and be at most 16 MiB",
        )?;
        require(self.max_state_bytes >= 1 << 20, "max_state_bytes", "must be at least 1 MiB")?;
        require((16..=1 << 16).contains(&self.client_window), "client_window", "must be between 16 and 65536")?;
        require(self.max_clock_skew_ms >= 1, "max_clock_skew_ms", "must be at least 1")?;
        require(
            (20..=3_600_000).contains(&self.request_timeout_ms),
            "request_timeout_ms",
            "must be between 20 ms and an hour",
        )?;
        require(
            (self.request_timeout_ms..=86_400_000).contains(&self.max_view_change_timeout_ms),
            "max_view_change_timeout_ms",
            "must be at least request_timeout_ms and at most a day",
        )?;
        require((1..=3_600_000).contains(&self.seal_after_ms), "seal_after_ms", "must be between 1 ms and an hour")?;
        // A lost message is sent again when its receiver's status shows that it stands still. That must happen before
        // the receiver gives up on the primary.
        require(
            (5..=self.request_timeout_ms / 4).contains(&self.status_interval_ms),
            "status_interval_ms",
            "must be at least 5 ms and at most a quarter of request_timeout_ms",
        )
    }
}

/// An upper bound for a new-view message: a quorum of view changes, each with a prepared certificate for every slot of
/// the window and a checkpoint certificate. 66 bytes a signature with its signer, 160 for what else a slot needs.
fn new_view_bytes(committee: Committee, window: u64) -> u64 {
    let signatures = 66 * committee.quorum() as u64;
    committee.quorum() as u64 * (window.saturating_mul(signatures + 160) + signatures + 1024)
}

/// A parameter that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {rule}")]
pub struct BadParameter {
    /// Which one, as it is spelt in the genesis file.
    pub name: &'static str,
    /// What must hold.
    pub rule: &'static str,
}

/// Why a genesis is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGenesis {
    /// Wrong number of replicas.
    #[error(transparent)]
    Committee(#[from] BadCommitteeSize),
    /// A parameter is out of range.
    #[error(transparent)]
    Parameter(#[from] BadParameter),
    /// A key is none.
    #[error(transparent)]
    Key(#[from] BadPublicKey),
    /// One key for two members or clients. Whoever holds it would count twice.
    #[error("the key {0} appears twice: each replica and each client needs a key of its own")]
    KeyTwice(AccountId),
    /// Two replicas at one place.
    #[error("the address {0} appears twice")]
    AddressTwice(String),
    /// Not `host:port`.
    #[error("the address {0:?} is not of the form host:port")]
    BadAddress(String),
    /// A name that people could not use.
    #[error("the name {0:?} must have 1 to 64 letters, digits, dots, dashes or underscores")]
    BadName(String),
    /// Two clients of one name.
    #[error("the client name {0:?} appears twice")]
    NameTwice(String),
    /// Two lines for one account.
    #[error("the balance of {0} is given twice")]
    BalanceTwice(AccountId),
    /// The fee account starts empty.
    #[error("the fee account cannot start with a balance")]
    FeeBalance,
    /// More money than can be counted.
    #[error("the initial balances add up to more than {}", u64::MAX)]
    TooMuchMoney,
}

/// A validated genesis.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize)]
pub struct Genesis {
    name: String,
    replicas: Vec<ReplicaEntry>,
    clients: Vec<ClientEntry>,
    balances: Vec<Grant>,
    parameters: Parameters,
    #[borsh(skip)]
    memory: SharedMemory,
}

impl Genesis {
    /// Checks and assembles a genesis. Balances are put in order of account; replicas and clients keep theirs.
    ///
    /// # Errors
    /// [`BadGenesis`] says what is wrong.
    pub fn new(
        name: String,
        replicas: Vec<ReplicaEntry>,
        clients: Vec<ClientEntry>,
        mut balances: Vec<Grant>,
        parameters: Parameters,
    ) -> Result<Self, BadGenesis> {
        let committee = Committee::new(replicas.len())?;
        parameters.validate(committee)?;
        check_name(&name)?;
        let (mut keys, mut addresses, mut names) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for key in replicas.iter().map(|one| one.key).chain(clients.iter().map(|one| one.key)) {
            if !keys.insert(key) {
                return Err(BadGenesis::KeyTwice(key));
            }
        }
        for ReplicaEntry { address, .. } in &replicas {
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty() && address.len() <= 255);
            if !port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0)) {
                return Err(BadGenesis::BadAddress(address.clone()));
            }
            if !addresses.insert(address) {
                return Err(BadGenesis::AddressTwice(address.clone()));
            }
        }
        for client in &clients {
            check_name(&client.name)?;
            if !names.insert(&client.name) {
                return Err(BadGenesis::NameTwice(client.name.clone()));
            }
        }
        balances.sort_by_key(|grant| grant.account);
        if let Some(pair) = balances.windows(2).find(|pair| pair[0].account == pair[1].account) {
            return Err(BadGenesis::BalanceTwice(pair[0].account));
        }
        if balances.iter().any(|grant| grant.account == AccountId::FEES) {
            return Err(BadGenesis::FeeBalance);
        }
        Amount::checked_sum(balances.iter().map(|grant| grant.amount)).ok_or(BadGenesis::TooMuchMoney)?;
        let genesis = Self { name, replicas, clients, balances, parameters, memory: SharedMemory::default() };
        genesis.try_keyring()?;
        Ok(genesis)
    }

    /// The same network, whose keyrings remember signatures that they found to be valid.
    #[must_use]
    pub fn remembering(self, memory: Arc<dyn Memory>) -> Self {
        Self { memory: SharedMemory::new(memory), ..self }
    }

    /// The network's identity.
    pub fn digest(&self) -> Digest {
        Digest::of("bezant/genesis/1", self)
    }

    /// What people call the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The replicas, in the order of their ids.
    pub fn replicas(&self) -> &[ReplicaEntry] {
        &self.replicas
    }

    /// The clients.
    pub fn clients(&self) -> &[ClientEntry] {
        &self.clients
    }

    /// The initial balances, in order of account.
    pub fn balances(&self) -> &[Grant] {
        &self.balances
    }

    /// The sum of all balances, at the start and for ever.
    pub fn supply(&self) -> Amount {
        Amount::checked_sum(self.balances.iter().map(|grant| grant.amount)).expect("checked when the genesis was made")
    }

    /// What all replicas must agree on.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The group.
    pub fn committee(&self) -> Committee {
        Committee::new(self.replicas.len()).expect("checked when the genesis was made")
    }

    /// Everybody's public keys.
    pub fn keyring(&self) -> Keyring {
        self.try_keyring().expect("checked when the genesis was made")
    }

    fn try_keyring(&self) -> Result<Keyring, BadPublicKey> {
        let clients = self.clients.iter().map(|client| (client.key, client.role));
        let keyring = Keyring::new(self.digest(), self.replicas.iter().map(|replica| replica.key), clients)?;
        Ok(keyring.remembering(self.memory.clone()))
    }
}

fn check_name(name: &str) -> Result<(), BadGenesis> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(BadGenesis::BadName(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;
    use crate::SecretKey;

    struct Parts {
        replicas: Vec<ReplicaEntry>,
        clients: Vec<ClientEntry>,
        balances: Vec<Grant>,
        parameters: Parameters,
    }

    fn account(seed: u8) -> AccountId {
        SecretKey::from_seed([seed; 32]).account()
    }

    fn parts() -> Parts {
        Parts {
            replicas: (0..4)
                .map(|i| ReplicaEntry { key: account(i), address: format!("127.0.0.1:{}", 7401 + u16::from(i)) })
                .collect(),
            clients: alloc::vec![ClientEntry { name: "alice".into(), key: account(9), role: Role::Write }],
            balances: alloc::vec![Grant { account: account(9), amount: Amount::new(100) }],
            parameters: Parameters::standard(),
        }
    }

    fn check(change: impl FnOnce(&mut Parts)) -> Result<Genesis, BadGenesis> {
        let mut parts = parts();
        change(&mut parts);
        Genesis::new("test".into(), parts.replicas, parts.clients, parts.balances, parts.parameters)
    }

    #[test]
    fn the_standard_parameters_hold_for_the_usual_sizes() {
        for n in [4, 5, 7, 10, 13, 16] {
            Parameters::standard().validate(Committee::new(n).unwrap()).unwrap();
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_named() {
        assert!(check(|_| ()).is_ok());
        let refusals = [
            (check(|p| drop(p.replicas.pop())).unwrap_err(), "at least 4 are needed"),
            (check(|p| p.parameters.window = 127).unwrap_err(), "window must be at least twice"),
            (check(|p| p.parameters.checkpoint_interval = u64::MAX).unwrap_err(), "window must be at least twice"),
            (check(|p| p.replicas[1].key = account(9)).unwrap_err(), "appears twice"),
            (check(|p| p.replicas[1].address = "127.0.0.1:7401".into()).unwrap_err(), "appears twice"),
            (check(|p| p.replicas[1].address = "localhost".into()).unwrap_err(), "host:port"),
            (check(|p| p.replicas[1].address = "localhost:0".into()).unwrap_err(), "host:port"),
            (check(|p| p.clients[0].name = "a b".into()).unwrap_err(), "letters"),
            (check(|p| p.clients.push(ClientEntry { key: account(8), ..p.clients[0].clone() })).unwrap_err(), "twice"),
            (check(|p| p.clients[0].key = AccountId::FEES).unwrap_err(), "not an Ed25519 public key"),
            (check(|p| p.balances.push(p.balances[0].clone())).unwrap_err(), "given twice"),
            (
                check(|p| p.balances.push(Grant { account: account(1), amount: Amount::new(u64::MAX) })).unwrap_err(),
                "add up",
            ),
            (
                check(|p| p.balances.push(Grant { account: AccountId::FEES, amount: Amount::new(1) })).unwrap_err(),
                "fee account",
            ),
        ];
        for (error, words) in refusals {
            assert!(error.to_string().contains(words), "{error:?} reads {error}, without {words:?}");
        }
    }

    #[test]
    fn a_group_too_large_for_its_window_is_refused() {
        let many = Committee::new(100).unwrap();
        assert_eq!(Parameters::standard().validate(many).unwrap_err().name, "window");
        let narrow = Parameters { checkpoint_interval: 16, window: 64, pipeline: 4, ..Parameters::standard() };
        narrow.validate(many).unwrap();
    }

    #[test]
    fn every_part_is_in_the_digest() {
        let base = check(|_| ()).unwrap().digest();
        assert_ne!(base, check(|p| p.parameters.seal_after_ms += 1).unwrap().digest());
        assert_ne!(base, check(|p| p.replicas.swap(0, 1)).unwrap().digest());
        assert_ne!(base, check(|p| p.clients[0].role = Role::Read).unwrap().digest());
        assert_ne!(base, check(|p| p.balances[0].amount = Amount::new(1)).unwrap().digest());
    }
}
