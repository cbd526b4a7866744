//! The network that `up` runs: the one that is in the directory, or a new one.

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::bail;
use bezant_node::cluster::{Directory, RunError, RunLock, free_base_port, is_free};
use bezant_node::config::{InitClient, InitOptions, Placement};
use bezant_types::genesis::Parameters;
use bezant_types::keys::Role;
use bezant_types::{Amount, Committee, Genesis};

use super::Up;
use crate::{print, traitor};

/// The client as which the gateway acts.
pub(super) const GATEWAY: &str = "gateway";

/// The network of `directory`, ready to be started. Refuses what could not run.
pub(super) fn find_or_make(directory: &Directory, up: &Up) -> anyhow::Result<Genesis> {
    if let Some(pid) = RunLock::holder(directory)? {
        return Err(RunError::Running { directory: directory.root().to_owned(), pid }.into());
    }
    for (flag, address) in [("--redis", up.redis), ("--http", up.http)] {
        check_served_address(flag, address)?;
    }
    if directory.holds_a_network() { find(directory, up) } else { make(directory, up) }
}

fn find(directory: &Directory, up: &Up) -> anyhow::Result<Genesis> {
    let genesis = directory.read_genesis()?;
    let shown = directory.root().display();
    let size = genesis.committee().size();
    if let Some(wanted) = up.replicas.filter(|wanted| *wanted != size) {
        bail!(
            "{shown}: this network has {size} replicas, not {wanted}. Its members are fixed in its genesis, so a group of \
             {wanted} is another network: leave --replicas away, or make it elsewhere with --home"
        );
    }
    traitor::admit(&up.traitors, genesis.committee())?;
    let homes = genesis.committee().members().map(|id| directory.replica(id));
    for home in homes.chain([directory.client(GATEWAY)]) {
        if !home.is_dir() {
            bail!(
                "{}: this part of the network is not here. `up` runs networks that are here as a whole; where its parts were \
                 moved elsewhere, run each with `bezant start --home` or `bezant gateway --home`",
                home.display()
            );
        }
    }
    for (id, replica) in genesis.committee().members().zip(genesis.replicas()) {
        let Some(address) = replica.address.to_socket_addrs().ok().and_then(|mut all| all.next()) else {
            bail!("replica {id}: its address {} cannot be resolved. Correct it in the genesis", replica.address);
        };
        match is_free(address) {
            Ok(true) => {}
            Ok(false) => bail!(
                "replica {id} is to listen on {address}, and another process does. Stop that one (`ss -ltnp` names it; an \
                 earlier replica of this network, perhaps). The address is part of the genesis, which cannot be changed \
                 once the network has run"
            ),
            Err(error) => bail!("replica {id} is to listen on {address}: {error}. `up` runs networks of this machine"),
        }
    }
    Ok(genesis)
}

fn make(directory: &Directory, up: &Up) -> anyhow::Result<Genesis> {
    let replicas = up.replicas.unwrap_or(USUAL_REPLICAS);
    // A size that no network can have is refused below, with better words.
    if let Ok(committee) = Committee::new(replicas) {
        traitor::admit(&up.traitors, committee)?;
    }
    // Too many ports is too many replicas as well, and that is refused with better words.
    let ports = u16::try_from(replicas).unwrap_or(1).clamp(1, MOST_PORTS);
    let preferred = up.base_port.unwrap_or(USUAL_PORT);
    let Some(base_port) = free_base_port(preferred, ports) else {
        bail!(
            "no {ports} ports in a row are free on 127.0.0.1 from {preferred} on. Choose lower ones with --base-port"
        );
    };
    let client = |name: &str, role, units| InitClient { name: name.into(), role, balance: Amount::new(units) };
    let options = InitOptions {
        name: "bezant".into(),
        placement: Placement::Consecutive { replicas, host: "127.0.0.1".into(), base_port },
        clients: vec![
            client(GATEWAY, Role::Write, 1_000_000),
            client("cli", Role::Admin, 1_000_000),
            client("alice", Role::Write, 1_000),
            client("bob", Role::Write, 1_000),
        ],
        parameters: Parameters::standard(),
    };
    let network = directory.make(&options)?;
    let names: Vec<_> = network.clients.iter().map(|(name, _)| name.as_str()).collect();
    print::line(&format!(
        "made a network of {replicas} replicas in {}, with the clients {}",
        directory.root().display(),
        names.join(", ")
    ))?;
    Ok(network.genesis)
}

fn check_served_address(flag: &str, address: SocketAddr) -> anyhow::Result<()> {
    if !address.ip().is_loopback() {
        bail!(
            "{flag} {address} can be reached from other machines, and nothing there asks who is calling. Use a loopback \
             address such as 127.0.0.1:{}",
            address.port()
        );
    }
    match is_free(address) {
        Ok(true) => Ok(()),
        Ok(false) => bail!(
            "{flag} {address} is taken by another process. Stop that one (`ss -ltnp` names it), or choose another port, as in \
             {flag} {}:{}",
            address.ip(),
            address.port().checked_add(1_000).unwrap_or(7_379)
        ),
        Err(error) => bail!("{flag} {address} cannot be listened on: {error}. Choose another address"),
    }
}

const USUAL_REPLICAS: usize = 4;
const USUAL_PORT: u16 = 7401;
/// More than a network can have replicas.
const MOST_PORTS: u16 = 128;
