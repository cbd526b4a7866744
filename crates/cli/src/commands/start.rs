//! `bezant start`: one replica.

use std::path::PathBuf;
use std::process::ExitCode;

use bezant_node::cluster::{ReplicaStart, serve_replica};
use bezant_node::config::ReplicaConfig;
use bezant_node::replica::Resume;

use crate::shutdown::{self, Watched};
use crate::traitor::{Kind, USUAL_SEED};

/// Run a replica on its home, until Ctrl-C or SIGTERM
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant start --home ./net/replica-0
  bezant start --home ./net/replica-0 --recover     after its log was lost or damaged

A replica that lost its log may have voted before and would contradict itself. With --recover it
sets aside what log there is, fetches the state from the others and checks it against what a quorum
signed, and stays silent until it cannot contradict itself any more; `bezant status` tells from
where on it votes. Recover one replica at a time, and never more than f of them.

A traitor says what an adversary wants said, with this replica's key. The key is convicted by it for
good, so do that to networks that you can throw away.")]
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
    /// Let this replica lie: equivocate, or one of the adversaries of `bezant sim list`
    #[arg(long, value_name = "ADVERSARY", help_heading = "For experiments")]
    traitor: Option<Kind>,
    /// What the traitor leaves to chance is drawn from this number
    #[arg(long, value_name = "N", default_value_t = USUAL_SEED, requires = "traitor", help_heading = "For experiments")]
    traitor_seed: u64,
    /// Stop when standard input ends: whoever holds its other end is gone then
    #[arg(long, hide = true)]
    supervised: bool,
}

impl Start {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let resume = if self.recover { Resume::WithoutLog } else { Resume::WithLog };
        let watched = if self.supervised { Watched::BySupervisor } else { Watched::BySignals };
        let config = ReplicaConfig::load(&self.home)?;
        let interference = self.traitor.map(|kind| {
            let (id, name, what) = (config.id, kind.name(), kind.description());
            tracing::warn!("replica {id} is a traitor ({name}, seed {}): {what}", self.traitor_seed);
            kind.in_place_of(&config, self.traitor_seed)
        });
        let start = ReplicaStart { config, listen: self.listen, resume, interference };
        serve_replica(start, shutdown::requested(watched)?).await?;
        Ok(ExitCode::SUCCESS)
    }
}
