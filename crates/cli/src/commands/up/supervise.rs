//! Starting the processes of a network, watching them, and stopping them.

use std::env::current_exe;
use std::ffi::OsString;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use bezant_node::cluster::{Directory, Exit, ProcessFacts, Program, RunFacts, RunLock, Supervisor};
use bezant_types::Genesis;
use tokio::time::interval;

use super::network::GATEWAY;
use super::{Up, ready};
use crate::shutdown::{self, Watched};
use crate::{print, text};

/// Runs the network until it is asked to stop.
pub(super) async fn run(directory: &Directory, genesis: &Genesis, up: &Up) -> anyhow::Result<ExitCode> {
    let lock = RunLock::acquire(directory)?;
    let mut stop = pin!(shutdown::requested(Watched::BySignals)?);
    let mut supervisor = Supervisor::new();
    let mut facts = RunFacts { pid: std::process::id(), ready: false, processes: Vec::new() };
    for (program, address, role) in programs(directory, genesis, up) {
        let name = program.name.clone();
        let pid = supervisor.start(&current_exe()?, program)?;
        facts.processes.push(ProcessFacts { name, pid, address, role });
    }
    lock.publish(&facts)?;
    print::line(&process_table(&facts))?;

    let started = Instant::now();
    let became = {
        let mut answered = pin!(ready::answered(up.redis));
        let mut patience = interval(NOTE_EVERY);
        patience.tick().await;
        loop {
            tokio::select! {
                () = &mut answered => break Became::Ready,
                () = &mut stop => break Became::Unwanted,
                exit = supervisor.next_exit() => break Became::Incomplete(exit),
                _ = patience.tick() => {
                    let seconds = started.elapsed().as_secs();
                    print::line(&format!("the group does not answer yet, after {seconds} s: see {}", logs(directory)))?;
                }
            }
        }
    };
    match became {
        Became::Ready => {}
        Became::Unwanted => return finish(directory, supervisor).await,
        Became::Incomplete(exit) => {
            let others = supervisor.stop(PATIENCE).await;
            let complaints: Vec<_> = [exit].iter().chain(&others).map(|exit| obituary(directory, exit)).collect();
            bail!("the network did not start, and was stopped again.\n{}", complaints.join("\n"));
        }
    }
    print::line(&format!(
        "ready after {:.1} s. Try `redis-cli -p {} SET greeting hello`, and `bezant status --home {}`",
        started.elapsed().as_secs_f64(),
        up.redis.port(),
        directory.root().display()
    ))?;
    // After what it says: whoever waits for this reads that.
    facts.ready = true;
    lock.publish(&facts)?;
    loop {
        tokio::select! {
            () = &mut stop => return finish(directory, supervisor).await,
            exit = supervisor.next_exit() => {
                eprintln!("{}", obituary(directory, &exit));
                if supervisor.running().next().is_none() {
                    bail!("nothing is left running");
                }
                eprintln!("{}", what_now(directory, &exit.name));
            }
        }
    }
}

/// How the start of a network ended.
enum Became {
    Ready,
    Unwanted,
    Incomplete(Exit),
}

async fn finish(directory: &Directory, supervisor: Supervisor) -> anyhow::Result<ExitCode> {
    print::line("stopping")?;
    let unwell = supervisor.stop(PATIENCE).await;
    if unwell.is_empty() {
        print::line("stopped; `bezant up` goes on from here")?;
        return Ok(ExitCode::SUCCESS);
    }
    let complaints: Vec<_> = unwell.iter().map(|exit| obituary(directory, exit)).collect();
    bail!("stopped, but not all ended well.\n{}", complaints.join("\n"));
}

/// What is to be started, where it listens and what it does. The gateway last: it is the first to stop.
fn programs(directory: &Directory, genesis: &Genesis, up: &Up) -> Vec<(Program, String, String)> {
    let program = |name: &str, arguments: &[OsString]| Program {
        name: name.to_owned(),
        arguments: arguments.to_vec(),
        log: directory.log(name),
    };
    let replicas = genesis.committee().members().zip(genesis.replicas()).map(|(id, entry)| {
        let mut arguments: Vec<OsString> =
            vec!["start".into(), "--supervised".into(), "--home".into(), directory.replica(id).into()];
        let mut role = "replica".to_owned();
        if let Some(one) = up.traitors.iter().find(|one| one.replica == id.get()) {
            arguments.extend(["--traitor".into(), one.kind.name().into()]);
            arguments.extend(["--traitor-seed".into(), up.traitor_seed.to_string().into()]);
            role = format!("replica, traitor: {}", one.kind.name());
        }
        (program(&format!("replica-{id}"), &arguments), entry.address.clone(), role)
    });
    let arguments = [
        "gateway".into(),
        "--supervised".into(),
        "--home".into(),
        directory.client(GATEWAY).into(),
        "--redis".into(),
        up.redis.to_string().into(),
        "--http".into(),
        up.http.to_string().into(),
    ];
    let served = format!("{}, http {}", up.redis, up.http);
    replicas.chain([(program("gateway", &arguments), served, "Redis gateway".to_owned())]).collect()
}

fn process_table(facts: &RunFacts) -> String {
    let supervisor = vec!["up".into(), facts.pid.to_string(), String::new(), "supervisor".into()];
    let others = facts
        .processes
        .iter()
        .map(|one| vec![one.name.clone(), one.pid.to_string(), one.address.clone(), one.role.clone()]);
    text::table(&["name", "pid", "address", "role"], others.chain([supervisor]))
}

/// How a process ended, with its last words.
fn obituary(directory: &Directory, exit: &Exit) -> String {
    let mut text = format!("{} {}", exit.name, exit.manner());
    if exit.last_words.is_empty() {
        text.push_str(" without a word");
    } else {
        text.push_str(&format!(". The end of {}:", directory.log(&exit.name).display()));
    }
    for line in &exit.last_words {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}

fn what_now(directory: &Directory, name: &str) -> String {
    let (command, home) =
        if name == "gateway" { ("gateway", directory.client(GATEWAY)) } else { ("start", directory.root().join(name)) };
    format!("The others go on. Start it again with `bezant {command} --home {}`", home.display())
}

fn logs(directory: &Directory) -> String {
    directory.root().join("logs").display().to_string()
}

/// How often it is said that the group does not answer yet.
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// How long children have to stop, the gateway first and then the replicas.
const PATIENCE: Duration = Duration::from_secs(20);
