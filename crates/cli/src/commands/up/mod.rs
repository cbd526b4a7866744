//! `bezant up`: a whole network on this machine.
//!
//! Everything that can be refused is refused before anything is made or started: a directory that runs already, another
//! number of replicas than the network has, a port that somebody else holds.

mod detach;
mod network;
mod ready;
mod supervise;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use bezant_node::cluster::Directory;

/// Where `up` keeps a network unless it is told otherwise.
pub(crate) const DEFAULT_HOME: &str = "./bezant-data";

/// Run a network on this machine: replicas and a gateway for Redis clients. Makes it on first use
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant up                                             four replicas and a gateway, until Ctrl-C
  bezant up --detach                                    the same in the background, until `bezant down`
  bezant up --home ./seven --replicas 7 --redis 127.0.0.1:6379

First use makes keys, genesis and configuration in the directory, with the clients gateway (write),
cli (admin), alice and bob (write), and with balances to pay from. Later uses go on from what is on
disk there.

Whoever reaches the Redis address acts with the gateway's key: it must be a loopback address.")]
pub(crate) struct Up {
    /// The network's directory
    #[arg(long, value_name = "DIR", default_value = DEFAULT_HOME)]
    home: PathBuf,
    /// How many replicas a new network gets [default: 4]
    #[arg(long, value_name = "N")]
    replicas: Option<usize>,
    /// Replicas of a new network listen from this port on, or the next ones that are free [default: 7401]
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// Where Redis clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7379")]
    redis: SocketAddr,
    /// Where /healthz, /status and /metrics are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7380")]
    http: SocketAddr,
    /// Return as soon as the group answers, and leave it running
    #[arg(long)]
    detach: bool,
    /// This is the process that `--detach` leaves running
    #[arg(long, hide = true)]
    detached: bool,
}

impl Up {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if self.detached {
            detach::leave_terminal();
        }
        let directory = Directory::new(&self.home);
        let genesis = network::find_or_make(&directory, &self)?;
        if self.detach {
            detach::run(&directory, &self).await
        } else {
            supervise::run(&directory, &genesis, &self).await
        }
    }
}
