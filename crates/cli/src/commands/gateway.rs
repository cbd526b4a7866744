//! `bezant gateway`: Redis clients' way to the ledger.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use bezant_node::cluster::{GatewayAddresses, serve_gateway};

use crate::shutdown::{self, Watched};

/// Run a gateway for Redis clients, until Ctrl-C or SIGTERM
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bezant gateway --home ./net/clients/gateway
  redis-cli -p 7379 SET greeting hello

It acts with the key of the client whose directory it is given. Whoever reaches its Redis address
acts with that key as well, so it must be a loopback address. At the HTTP address it serves
/healthz, /status and /metrics.")]
pub(crate) struct Gateway {
    /// The client's directory
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// Where Redis clients connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7379")]
    redis: SocketAddr,
    /// Where /healthz, /status and /metrics are served
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7380")]
    http: SocketAddr,
    /// Stop when standard input ends: whoever holds its other end is gone then
    #[arg(long, hide = true)]
    supervised: bool,
}

impl Gateway {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let watched = if self.supervised { Watched::BySupervisor } else { Watched::BySignals };
        let addresses = GatewayAddresses { redis: self.redis, http: Some(self.http) };
        serve_gateway(&self.home, addresses, shutdown::requested(watched)?).await?;
        Ok(ExitCode::SUCCESS)
    }
}
