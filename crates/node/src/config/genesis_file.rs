//! `genesis.toml`: reading it into a [`Genesis`], and writing one that a person can read.
//!
//! ```toml
//! name = "demo"
//!
//! [[replica]]                     # in the order of their ids, 0 first; at least four
//! key = "03a1…"
//! address = "127.0.0.1:7401"
//!
//! [[client]]
//! name = "gateway"
//! key = "8a2c…"
//! role = "write"                  # read, write or admin
//! balance = 1000                  # optional
//!
//! [[balance]]                     # optional: for accounts that are no clients
//! account = "77f0…"
//! amount = 5
//!
//! [protocol]                      # optional: see Parameters
//! max_value_bytes = "1 MiB"
//! ```
//!
//! What [`Genesis::new`] refuses is traced back to the line that is to blame: for something that appears twice, the
//! second.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use bezant_store::{Access, write_atomically};
use bezant_types::genesis::{BadGenesis, ClientEntry, Grant, Parameters, ReplicaEntry};
use bezant_types::keys::{BadPublicKey, Role};
use bezant_types::{AccountId, Amount, Genesis};
use serde::Deserialize;
use toml::Spanned;

use super::document::Document;
use super::error::Error;
use super::fields::Protocol;
use super::units::{Money, PublicKey};

/// Reads and validates a genesis file.
///
/// # Errors
/// [`Error`] names file and line, and says what to do.
pub fn read_genesis(path: &Path) -> Result<Genesis, Error> {
    let remedy = "Copy the genesis.toml that the other members have, or make a new network with `init`";
    parse(&Document::read(path, remedy)?)
}

/// Writes a genesis file, whole or not at all, with comments.
///
/// # Errors
/// [`Error::Disk`].
pub fn write_genesis(path: &Path, genesis: &Genesis) -> Result<(), Error> {
    write_atomically(path, to_text(genesis).as_bytes(), Access::Public)
        .map_err(|source| Error::disk(path, "writing the genesis", source))
}

/// The standard parameters but for `settings`, lines such as they stand in `[protocol]`. `place` is what complaints
/// call the place where the lines come from. Whether the parameters go together is for [`Genesis::new`] to say.
///
/// # Errors
/// [`Error::Line`].
pub fn parse_parameters(place: &str, settings: String) -> Result<Parameters, Error> {
    let document = Document::new(Path::new(place), settings);
    document.parse::<Protocol>()?.over(Parameters::standard(), &document)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    #[serde(default)]
    replica: Vec<ReplicaSection>,
    #[serde(default)]
    client: Vec<ClientSection>,
    #[serde(default)]
    balance: Vec<BalanceSection>,
    #[serde(default)]
    protocol: Protocol,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplicaSection {
    key: Spanned<PublicKey>,
    address: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientSection {
    name: Spanned<String>,
    key: Spanned<PublicKey>,
    role: RoleName,
    balance: Option<Spanned<Money>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BalanceSection {
    account: Spanned<PublicKey>,
    amount: Spanned<Money>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoleName {
    Read,
    Write,
    Admin,
}

fn parse(document: &Document) -> Result<Genesis, Error> {
    let file: File = document.parse()?;
    let parameters = file.protocol.over(Parameters::standard(), document)?;
    let replicas = file
        .replica
        .iter()
        .map(|replica| ReplicaEntry { key: replica.key.get_ref().0, address: replica.address.get_ref().clone() });
    let clients = file.client.iter().map(|client| ClientEntry {
        name: client.name.get_ref().clone(),
        key: client.key.get_ref().0,
        role: role_of(client.role),
    });
    let balances = file.balances().map(|(account, amount, _)| Grant { account, amount });
    let name = file.name.get_ref().clone();
    Genesis::new(name, replicas.collect(), clients.collect(), balances.collect(), parameters).map_err(|bad| {
        let (span, remedy) = file.blame(&bad);
        document.complain(span, bad.to_string(), remedy)
    })
}

impl File {
    /// All balances with where they stand: the clients' own, then the others.
    fn balances(&self) -> impl Iterator<Item = (AccountId, Amount, Range<usize>)> {
        let of_clients = self.client.iter().filter_map(|client| {
            let balance = client.balance.as_ref()?;
            Some((client.key.get_ref().0, balance.get_ref().0, balance.span()))
        });
        let others =
            self.balance.iter().map(|one| (one.account.get_ref().0, one.amount.get_ref().0, one.account.span()));
        of_clients.chain(others)
    }

    /// Where the fault stands, and what to do about it.
    fn blame(&self, bad: &BadGenesis) -> (Range<usize>, &'static str) {
        let keys = || self.replica.iter().map(|one| &one.key).chain(self.client.iter().map(|one| &one.key));
        let key = |wanted: &AccountId| keys().rfind(|key| key.get_ref().0 == *wanted).map(Spanned::span);
        let addresses = || self.replica.iter().map(|one| &one.address);
        let address = |wanted: &String| addresses().rfind(|one| one.get_ref() == wanted).map(Spanned::span);
        let names = || std::iter::once(&self.name).chain(self.client.iter().map(|one| &one.name));
        let name = |wanted: &String| names().rfind(|one| one.get_ref() == wanted).map(Spanned::span);
        let balance = |wanted: &AccountId| self.balances().filter(|one| one.0 == *wanted).map(|(.., span)| span).last();
        let (span, remedy) = match bad {
            BadGenesis::Committee(_) => (
                self.replica.last().map(|one| one.key.span()),
                "There is one [[replica]] section for each replica; `init --replicas 4` makes them",
            ),
            BadGenesis::Parameter(bad) => (
                self.blame_parameter(bad.name, bad.rule),
                "Change it in [protocol]; what is left out there has its standard value",
            ),
            BadGenesis::Key(BadPublicKey(bad)) => {
                (key(bad).or_else(|| balance(bad)), "Put in the public key that `keygen` printed")
            }
            BadGenesis::KeyTwice(twice) => (key(twice), "Make another key with `keygen`"),
            BadGenesis::AddressTwice(twice) => (address(twice), "Give each replica its own port or machine"),
            BadGenesis::BadAddress(bad) => (address(bad), "Write it like 192.0.2.1:7401, or [2001:db8::1]:7401"),
            BadGenesis::BadName(bad) => (name(bad), "Choose another name"),
            BadGenesis::NameTwice(twice) => (name(twice), "Choose another name"),
            BadGenesis::BalanceTwice(twice) => (balance(twice), "Keep one of the two"),
            BadGenesis::FeeBalance => (balance(&AccountId::FEES), "Remove it"),
            BadGenesis::TooMuchMoney => (self.overflowing_balance(), "Lower some of them"),
        };
        (span.unwrap_or(self.name.span()), remedy)
    }

    /// The parameter itself, or if it has its standard value, the one that its rule speaks of.
    fn blame_parameter(&self, parameter: &str, rule: &str) -> Option<Range<usize>> {
        let spoken_of = || rule.split(|char: char| char != '_' && !char.is_ascii_alphanumeric());
        self.protocol.span_of(parameter).or_else(|| spoken_of().find_map(|word| self.protocol.span_of(word)))
    }

    /// The balance with which the sum leaves the range.
    fn overflowing_balance(&self) -> Option<Range<usize>> {
        let mut sum = Amount::ZERO;
        self.balances().find_map(|(_, amount, span)| match sum.checked_add(amount) {
            Some(more) => {
                sum = more;
                None
            }
            None => Some(span),
        })
    }
}

fn role_of(name: RoleName) -> Role {
    match name {
        RoleName::Read => Role::Read,
        RoleName::Write => Role::Write,
        RoleName::Admin => Role::Admin,
    }
}

/// A role as it is written in the file.
fn role_text(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Write => "write",
        Role::Admin => "admin",
    }
}

/// The text of a genesis file. Reading it gives the same genesis, with the same digest.
pub fn to_text(genesis: &Genesis) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let committee = genesis.committee();
    let mut text = format!(
        "# The genesis of a Bezant network: what all members agreed on before it started. Its digest is the network's\n\
         # identity, so every node needs the same content (comments aside), and a change makes another network.\n\n\
         name = {}\n\n\
         # The replicas in the order of their ids. {} of them stay right although {} may be malicious.\n",
        quoted(genesis.name()),
        committee.size(),
        committee.max_faulty(),
    );
    for (id, replica) in genesis.replicas().iter().enumerate() {
        let address = quoted(&replica.address);
        let _ = write!(text, "\n[[replica]] # {id}\nkey = \"{}\"\naddress = {address}\n", replica.key);
    }
    text.push_str(
        "\n# The clients. Roles: read; write (also change what is its own); admin (also see replicas' inner state).\n",
    );
    let mut written = BTreeSet::new();
    for client in genesis.clients() {
        let (name, role) = (quoted(&client.name), role_text(client.role));
        let _ = write!(text, "\n[[client]]\nname = {name}\nkey = \"{}\"\nrole = \"{role}\"\n", client.key);
        if let Some(grant) = genesis.balances().iter().find(|grant| grant.account == client.key) {
            written.insert(grant.account);
            let _ = writeln!(text, "balance = {}", Money(grant.amount));
        }
    }
    for grant in genesis.balances().iter().filter(|grant| !written.contains(&grant.account)) {
        let _ = write!(text, "\n[[balance]]\naccount = \"{}\"\namount = {}\n", grant.account, Money(grant.amount));
    }
    text.push_str(
        "\n# Sizes may be numbers of bytes or texts like \"4 MiB\"; times milliseconds or texts like \"250 ms\".\n",
    );
    text.push_str("[protocol]\n");
    text.push_str(&Protocol::write(genesis.parameters(), ""));
    text
}

#[cfg(test)]
mod tests;
