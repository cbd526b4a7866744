//! `bezant down`: stops what `up` started.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use bezant_node::cluster::{Directory, RunLock};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::up::DEFAULT_HOME;
use crate::print;

/// Stop the network that `up` started here
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bezant down --home ./bezant-data

The gateway answers what it has begun, the replicas finish their turn; then all of it is on disk,
and `bezant up` goes on from there.")]
pub(crate) struct Down {
    /// The network's directory
    #[arg(long, value_name = "DIR", default_value = DEFAULT_HOME)]
    home: PathBuf,
}

impl Down {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let directory = Directory::new(&self.home);
        if !directory.holds_a_network() {
            bail!(
                "{}: there is no network here. Give the directory that `bezant up` used, with --home",
                self.home.display()
            );
        }
        let Some(pid) = RunLock::holder(&directory)? else {
            print::line("nothing is running here")?;
            return Ok(ExitCode::SUCCESS);
        };
        let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            bail!("{}: the network is starting or stopping at this moment. Try again", self.home.display());
        };
        match kill_process(process, Signal::TERM) {
            // Gone in this very moment, which is what was wanted.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => bail!("process {pid} could not be asked to stop: {error}. Ask as the user who started it"),
        }
        let deadline = Instant::now() + PATIENCE;
        while RunLock::holder(&directory)?.is_some() {
            if deadline <= Instant::now() {
                bail!("{}", overdue(&self.home, pid));
            }
            sleep(Duration::from_millis(20)).await;
        }
        print::line("stopped")?;
        Ok(ExitCode::SUCCESS)
    }
}

fn overdue(home: &Path, pid: u32) -> String {
    format!(
        "process {pid} was asked to stop and has not within {} s. See {}, or end it with `kill -9 {pid}`: its children then \
         stop by themselves, and nothing that was acknowledged is lost",
        PATIENCE.as_secs(),
        home.join("logs").display()
    )
}

/// Longer than a supervisor gives its children, one after another.
const PATIENCE: Duration = Duration::from_secs(60);
