//! `bezant init`: a network directory.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::bail;
use bezant_node::cluster::Directory;
use bezant_node::config::{InitClient, InitOptions, Network, Placement, parse_parameters};
use bezant_types::Amount;
use bezant_types::genesis::Parameters;
use bezant_types::keys::Role;
use serde::Serialize;

use crate::print::StyleArguments;
use crate::text;

/// Make a network: its genesis, and a home with key, configuration and empty log for each replica and client
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bezant init ./net --replicas 4 --client gateway:write --client alice:write:1000 --client ops:admin
  bezant start --home ./net/replica-0       and so on for each replica, on its own machine if you like
  bezant gateway --home ./net/clients/gateway

  bezant init ./net --address a.example:7401 --address b.example:7401 --address c.example:7401 \\
      --address d.example:7401 --protocol request_timeout_ms=5000

Each home is whole by itself: move it to where its replica is to run. The genesis is what all
members have agreed on, and part of every signature and of every log: whoever changes it afterwards
has another network. So what should not be as usual is said here: where the replicas are, and what
stands under [protocol] in the genesis.toml that this writes.")]
pub(crate) struct Init {
    /// The directory: empty, or not there yet
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// How many replicas: 3f + 1 stay right although f of them lie, so 4 or more
    #[arg(long, value_name = "N", default_value_t = 4, conflicts_with = "addresses")]
    replicas: usize,
    /// Where a replica can be reached. Given once for each, in the order of their ids, instead of --replicas
    #[arg(long = "address", value_name = "HOST:PORT", conflicts_with_all = ["host", "base_port"])]
    addresses: Vec<String>,
    /// A protocol parameter that is not to be as usual; may be given many times
    #[arg(long = "protocol", value_name = "NAME=VALUE")]
    protocol: Vec<String>,
    /// Replica 0 listens on this port, replica 1 on the next, and so on
    #[arg(long, value_name = "PORT", default_value_t = 7401)]
    base_port: u16,
    /// The machine on which all of them run, by name or address
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: String,
    /// What people call the network
    #[arg(long, value_name = "NAME", default_value = "bezant")]
    name: String,
    /// A client: name:role:balance with role read, write or admin; the balance may be left out. May be given many times
    #[arg(long = "client", value_name = "NAME:ROLE[:BALANCE]")]
    clients: Vec<ClientArgument>,
    #[command(flatten)]
    style: StyleArguments,
}

/// `name:role:balance`.
#[derive(Clone, Debug)]
struct ClientArgument(InitClient);

impl FromStr for ClientArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let (name, role, balance) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        if name.is_empty() || parts.next().is_some() {
            return Err("write it as name:role or name:role:balance, such as alice:write:1000".into());
        }
        let role = match role {
            Some("read") => Role::Read,
            Some("write") => Role::Write,
            Some("admin") => Role::Admin,
            Some(other) => return Err(format!("there is no role {other:?}: it is read, write or admin")),
            None => return Err("the role is missing: write it as name:role, with role read, write or admin".into()),
        };
        let units = match balance {
            None => 0,
            Some(number) => number
                .parse()
                .map_err(|_| format!("the balance {number:?} is not a whole number from 0 to {}", u64::MAX))?,
        };
        Ok(Self(InitClient { name: name.to_owned(), role, balance: Amount::new(units) }))
    }
}

#[derive(Serialize)]
struct Facts {
    network: String,
    genesis: String,
    genesis_file: PathBuf,
    replicas: Vec<ReplicaFacts>,
    clients: Vec<ClientFacts>,
}

#[derive(Serialize)]
struct ReplicaFacts {
    id: u16,
    address: String,
    home: PathBuf,
}

#[derive(Serialize)]
struct ClientFacts {
    name: String,
    role: &'static str,
    balance: u64,
    account: String,
    home: PathBuf,
}

impl Init {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let placement = if self.addresses.is_empty() {
            Placement::Consecutive { replicas: self.replicas, host: self.host, base_port: self.base_port }
        } else {
            Placement::Addresses(self.addresses)
        };
        let options = InitOptions {
            name: self.name,
            placement,
            clients: self.clients.into_iter().map(|client| client.0).collect(),
            parameters: parameters(&self.protocol)?,
        };
        let network = Directory::new(&self.directory).make(&options)?;
        self.style.style().print(&facts(network), describe)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The standard parameters but for `settings`, each `name=value`. A value that is no bare number is a text with a unit.
fn parameters(settings: &[String]) -> anyhow::Result<Parameters> {
    let mut lines = String::new();
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else {
            bail!("--protocol {setting:?}: write it as name=value, such as request_timeout_ms=5000");
        };
        let value = value.trim();
        let number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let value = if number { value.to_owned() } else { format!("{value:?}") };
        lines.push_str(&format!("{} = {value}\n", name.trim()));
    }
    Ok(parse_parameters("--protocol", lines)?)
}

fn facts(network: Network) -> Facts {
    let Network { genesis, genesis_path, replicas, clients } = network;
    let ids = genesis.committee().members();
    let replicas = ids.zip(genesis.replicas()).zip(replicas).map(|((id, entry), home)| ReplicaFacts {
        id: id.get(),
        address: entry.address.clone(),
        home,
    });
    let balance = |account| genesis.balances().iter().find(|grant| grant.account == account);
    let clients = genesis.clients().iter().zip(clients).map(|(client, (_, home))| ClientFacts {
        name: client.name.clone(),
        role: role_name(client.role),
        balance: balance(client.key).map_or(0, |grant| grant.amount.units()),
        account: client.key.to_string(),
        home,
    });
    Facts {
        network: genesis.name().to_owned(),
        genesis: genesis.digest().to_string(),
        genesis_file: genesis_path,
        replicas: replicas.collect(),
        clients: clients.collect(),
    }
}

fn describe(facts: &Facts) -> String {
    let replicas = facts.replicas.iter().map(|one| {
        vec![format!("replica {}", one.id), one.address.clone(), String::new(), one.home.display().to_string()]
    });
    let clients = facts.clients.iter().map(|one| {
        let rights = format!("{}, {}", one.role, text::amount(one.balance));
        vec![one.name.clone(), rights, text::short(&one.account).to_owned(), one.home.display().to_string()]
    });
    format!(
        "network {:?}, genesis {}… in {}\n\n{}\n\nStart each with `bezant start --home HOME`.",
        facts.network,
        text::short(&facts.genesis),
        facts.genesis_file.display(),
        text::table(&["name", "address or rights", "account", "home"], replicas.chain(clients)),
    )
}

/// A role as it is written in the genesis.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Write => "write",
        Role::Admin => "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_named_with_its_role_and_what_it_starts_with() {
        let ClientArgument(client) = "alice:write:1000".parse().unwrap();
        assert_eq!((client.name.as_str(), client.role, client.balance), ("alice", Role::Write, Amount::new(1000)));
        let ClientArgument(client) = "ops:admin".parse().unwrap();
        assert_eq!((client.role, client.balance), (Role::Admin, Amount::ZERO));
    }

    #[test]
    fn parameters_are_set_by_name() {
        let set = parameters(&["request_timeout_ms=5 s".into(), "window = 512".into()]).unwrap();
        assert_eq!((set.request_timeout_ms, set.window), (5_000, 512));
        let words = parameters(&["window=512".into(), "piepline=2".into()]).unwrap_err().to_string();
        assert!(words.contains("--protocol:2") && words.contains("Did you mean `pipeline`?"), "{words}");
        assert!(parameters(&["window".into()]).unwrap_err().to_string().contains("name=value"));
    }

    #[test]
    fn what_is_wrong_with_a_client_is_said() {
        for (text, words) in [
            ("alice", "role is missing"),
            ("alice:owner", "no role \"owner\""),
            ("alice:write:lots", "not a whole number"),
            ("alice:write:-1", "not a whole number"),
            ("alice:write:1:2", "name:role:balance"),
            (":write", "name:role"),
        ] {
            let error = text.parse::<ClientArgument>().unwrap_err();
            assert!(error.contains(words), "{text:?} gives {error:?}");
        }
    }
}
