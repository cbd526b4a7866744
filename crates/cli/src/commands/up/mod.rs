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

use crate::traitor::{self, Appointment, USUAL_SEED};

/// Where `up` keeps a network unless it is told otherwise.
pub(crate) const DEFAULT_HOME: &str = "./bezant-data";

/// Run a network on this machine: replicas and a gateway for Redis clients. Makes it on first use
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant up                                             four replicas and a gateway, until Ctrl-C
  bezant up --detach                                    the same in the background, until `bezant down`
  bezant up --home ./seven --replicas 7 --redis 127.0.0.1:6379
  bezant up --home ./lab --traitor 2=equivocate     replica 2 lies; `status` shows who was caught

First use makes keys, genesis and configuration in the directory, with the clients gateway (write),
cli (admin), alice and bob (write), and with balances to pay from. Later uses go on from what is on
disk there.

Whoever reaches the Redis address acts with the gateway's key: it must be a loopback address.

A traitor is a replica that says what an adversary wants said, with its own key and no other: one
that equivocates, or any of those that `bezant sim list` names. Up to f of them change nothing for
clients. Their keys are convicted for good: do this to networks that you can throw away.")]
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
    /// Let a replica lie, as in 2=equivocate. May be given more than once
    #[arg(long = "traitor", value_name = "N=ADVERSARY", help_heading = "For experiments")]
    traitors: Vec<Appointment>,
    /// What traitors leave to chance is drawn from this number
    #[arg(
        long,
        value_name = "N",
        default_value_t = USUAL_SEED,
        requires = "traitors",
        help_heading = "For experiments"
    )]
    traitor_seed: u64,
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
        if !self.detached {
            // To standard error at once; what the process in the background says comes when the group answers.
            for warning in traitor::warnings(&self.traitors, genesis.committee()) {
                eprintln!("{warning}");
            }
        }
        if self.detach {
            detach::run(&directory, &self).await
        } else {
            supervise::run(&directory, &genesis, &self).await
        }
    }
}
