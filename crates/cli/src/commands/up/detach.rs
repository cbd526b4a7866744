//! `up --detach`: the supervisor as a process of its own, in no terminal.

use std::env::current_exe;
use std::fs::{self, File, OpenOptions};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::bail;
use bezant_node::cluster::{Directory, RunFacts};
use tokio::time::{Instant, sleep};

use super::Up;
use crate::print;

/// Makes this process the leader of a session without a terminal, so that closing the terminal does not end it.
pub(super) fn leave_terminal() {
    // Refused to a process that leads its group already, and such a one has left.
    let _ = rustix::process::setsid();
}

/// Starts the supervisor and waits until the network is ready.
pub(super) async fn run(directory: &Directory, up: &Up) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let mut supervisor = start(directory, up)?;
    loop {
        if let Some(status) = supervisor.try_wait()? {
            let said = fs::read_to_string(directory.log("up")).unwrap_or_default();
            bail!("the network did not start ({status}).\n{}", said.trim().trim_start_matches("error: "));
        }
        let facts = RunFacts::read(directory).filter(|facts| facts.pid == supervisor.id() && facts.ready);
        if facts.is_some() {
            break;
        }
        if PATIENCE <= started.elapsed() {
            bail!(
                "the group has not answered for {} s, but it is still running, under process {}. See `bezant status` and {}; \
                 stop it with `bezant down`",
                PATIENCE.as_secs(),
                supervisor.id(),
                directory.log("up").display()
            );
        }
        sleep(Duration::from_millis(20)).await;
    }
    let said = fs::read_to_string(directory.log("up")).unwrap_or_default();
    print::line(said.trim())?;
    print::line(&format!("running in the background; `bezant down --home {}` stops it", directory.root().display()))?;
    Ok(ExitCode::SUCCESS)
}

fn start(directory: &Directory, up: &Up) -> anyhow::Result<Child> {
    let log = directory.log("up");
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    // Begun anew each time: it tells of one run, and little.
    let output: File = OpenOptions::new().write(true).create(true).truncate(true).open(&log)?;
    let mut command = Command::new(current_exe()?);
    command.args(["up", "--detached", "--home"]).arg(directory.root());
    command.args(["--redis", &up.redis.to_string(), "--http", &up.http.to_string()]);
    for one in &up.traitors {
        command.args(["--traitor", &one.to_string()]);
    }
    if !up.traitors.is_empty() {
        command.args(["--traitor-seed", &up.traitor_seed.to_string()]);
    }
    command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
    Ok(command.spawn()?)
}

/// How long a network has to become ready before the user is told to look for the reason.
const PATIENCE: Duration = Duration::from_secs(120);
