//! `bezant start`: one replica.

use std::path::PathBuf;
use std::process::ExitCode;

use bezant_node::cluster::serve_replica;
use bezant_node::replica::Resume;

use crate::shutdown::{self, Watched};

/// Run a replica on its home, until Ctrl-C or SIGTERM
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant start --home ./net/replica-0
  bezant start --home ./net/replica-0 --recover     after its log was lost or damaged

A replica that lost its log may have voted before and would contradict itself. With --recover it
sets aside what log there is, fetches the state from the others and checks it against what a quorum
signed, and stays silent until it cannot contradict itself any more; `bezant status` tells from
where on it votes. Recover one replica at a time, and never more than f of them.")]
pub(crate) struct Start {
    /// The replica's home
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// Come back without a log, from the others' state
    #[arg(long)]
    recover: bool,
    /// Listen here instead of where node.toml or the genesis says
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Stop when standard input ends: whoever holds its other end is gone then
    #[arg(long, hide = true)]
    supervised: bool,
}

impl Start {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let resume = if self.recover { Resume::WithoutLog } else { Resume::WithLog };
        let watched = if self.supervised { Watched::BySupervisor } else { Watched::BySignals };
        serve_replica(&self.home, self.listen, resume, shutdown::requested(watched)?).await?;
        Ok(ExitCode::SUCCESS)
    }
}
