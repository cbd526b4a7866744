//! The host's loop. See the head of [`crate::replica`].

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Instant;

use bezant_host::{BootError, Booted, Resume, boot, create_log, replica_of};
use bezant_pbft::Fault;
use bezant_store::{Home, HomeError, HostDisk, LogError};
use bezant_types::{Genesis, SecretKey};

use crate::replica::bearers::Bearers;
use crate::replica::evidence::Convictions;
use crate::replica::interference::{Between, Interference};
use crate::replica::outputs::Host;
use crate::replica::questions::Questions;
use crate::replica::threads::{self, ExecutorError, Reports, SaverError};
use crate::replica::turn::{Backlog, Brought, Turn};
use crate::transport::{EventReceiver, Limits, Mesh, MeshConfig, listen};

/// The most events of one turn.
const TURN_EVENTS: usize = 4096;
/// Where a replica lives that was made to forget, below its home.
const SCRATCH: &str = "scratch";

/// What a replica is started with.
pub struct ReplicaOptions {
    /// Its home, locked.
    pub home: Home,
    /// The network.
    pub genesis: Genesis,
    /// Its key.
    pub key: SecretKey,
    /// Where it listens, if not where the genesis says that it can be reached.
    pub listen: Option<String>,
    /// What peers may cost it.
    pub limits: Limits,
    /// Whether it has its log.
    pub resume: Resume,
    /// Who comes between it and the world. Nobody, but in experiments.
    pub interference: Option<Box<dyn Interference>>,
}

impl ReplicaOptions {
    /// Where it listens.
    fn address(&self) -> Result<String, BootError> {
        let own = &self.genesis.replicas()[replica_of(&self.genesis, &self.key)?.index()].address;
        Ok(self.listen.as_ref().unwrap_or(own).clone())
    }
}

/// Why a replica stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// It did not come up.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The network.
    #[error(transparent)]
    Transport(#[from] crate::transport::Error),
    /// The log. What happened to the last records is not known, so nothing more may be said.
    #[error("the log failed, and a replica that cannot remember must not vote: {0}")]
    Log(#[from] LogError),
    /// Execution.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// Saving the state.
    #[error(transparent)]
    Saver(#[from] SaverError),
    /// Agreement.
    #[error("{0}")]
    Halted(Fault),
}

/// Runs a replica until `shutdown` completes or it cannot go on.
///
/// # Errors
/// [`ReplicaError`] says why it stopped and what to do.
pub async fn run(mut options: ReplicaOptions, shutdown: impl Future<Output = ()>) -> Result<(), ReplicaError> {
    let mut shutdown = pin!(shutdown);
    // Held to the end, also while a replica that forgets lives elsewhere.
    let mut own_home = None;
    loop {
        match live(options, shutdown.as_mut()).await? {
            End::Asked => return Ok(()),
            End::Forgot(forgetful) => options = begin_anew(*forgetful, &mut own_home)?,
        }
    }
}

/// How a life of a replica ended, if it did not fail.
enum End {
    /// It was asked to stop.
    Asked,
    /// It renounced its log: with what it is to begin anew.
    Forgot(Box<ReplicaOptions>),
}

/// From coming up to the end.
async fn live(options: ReplicaOptions, shutdown: Pin<&mut impl Future<Output = ()>>) -> Result<End, ReplicaError> {
    // The port first: a replica that cannot have it leaves its home as it was.
    let listener = listen(&options.address()?)?;
    let (options, booted) = boot_apart(options).await?;
    let ReplicaOptions { home, genesis, key, listen, limits, resume, interference } = options;
    let config = MeshConfig { genesis: genesis.clone(), key: key.clone(), listener, limits: limits.clone() };
    let (mesh, mut events) = Mesh::start(config).await?;

    let Booted { member, executor, saver } = booted;
    let (tasks, mut reports, threads) = threads::start(executor, saver)?;

    let keyring = genesis.keyring();
    let convictions = Convictions::load(&home, &genesis);
    let started = Instant::now();
    let mut host = Host {
        member,
        genesis_digest: genesis.digest(),
        genesis,
        key,
        keyring,
        home,
        mesh,
        tasks,
        questions: Questions::default(),
        convictions,
        between: interference.map(|who| Between::new(who, started)),
        started,
    };
    tracing::info!("replica {} is up, executed to {}", host.member.id(), host.member.replica().report().executed);
    let result = work(&mut host, &mut events, &mut reports, shutdown).await;
    let forgets = host.is_to_forget();
    let Host { member, mesh, tasks, home, genesis, key, between, .. } = host;
    mesh.shutdown().await;
    // The threads end when nobody can ask them anything more; what they have begun they finish.
    drop((tasks, member));
    let ended = tokio::task::spawn_blocking(move || threads.join()).await;
    result?;
    reports.last_words()?;
    ended.unwrap_or_else(|lost| std::panic::resume_unwind(lost.into_panic()))?;
    if !forgets {
        return Ok(End::Asked);
    }
    let interference = between.map(Between::into_who);
    Ok(End::Forgot(Box::new(ReplicaOptions { home, genesis, key, listen, limits, resume, interference })))
}

/// Gives a replica that renounced its log an empty one. Its own home is left as it is: it is locked for as long as the
/// process lives, and what its key has said meanwhile is not in it.
fn begin_anew(options: ReplicaOptions, own_home: &mut Option<Home>) -> Result<ReplicaOptions, BootError> {
    let ReplicaOptions { home, genesis, key, .. } = options;
    // The first time it leaves its own home, and later the last scratch folder, which is closed before it is removed.
    let own = match own_home {
        None => own_home.insert(home),
        Some(own) => {
            drop(home);
            own
        }
    };
    let scratch = own.paths().root().join(SCRATCH);
    match std::fs::remove_dir_all(&scratch) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            let path = scratch.display().to_string();
            return Err(HomeError::Disk { path, action: "removing what is to be forgotten", source }.into());
        }
        Ok(()) | Err(_) => {}
    }
    tracing::warn!("forgetting everything that was said, and beginning anew in {}", scratch.display());
    let home = Home::create(&scratch)?;
    create_log(&home, &genesis, &key)?;
    Ok(ReplicaOptions { home, genesis, key, resume: Resume::WithLog, ..options })
}

/// Reads the home on a thread of its own: other tasks of this process go on meanwhile.
async fn boot_apart(options: ReplicaOptions) -> Result<(ReplicaOptions, Booted<HostDisk>), ReplicaError> {
    let read = tokio::task::spawn_blocking(move || {
        let booted = boot(&options.home, &options.genesis, &options.key, options.resume);
        (options, booted)
    });
    match read.await {
        Ok((options, booted)) => Ok((options, booted?)),
        Err(lost) => std::panic::resume_unwind(lost.into_panic()),
    }
}

/// Turn after turn, until `shutdown` completes, the replica is to forget, or it cannot go on.
async fn work(
    host: &mut Host,
    events: &mut EventReceiver,
    reports: &mut Reports,
    mut shutdown: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), ReplicaError> {
    let (keyring, mut backlog, mut bearers) = (host.keyring.clone(), Backlog::default(), Bearers::default());
    host.turn(Brought::default(), Vec::new()).await?;
    while !host.is_to_forget() {
        let wake = host.wake_at();
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let (report, event) = tokio::select! {
            // In this order: what has failed is heard although peers never fall silent.
            biased;
            () = &mut shutdown => return Ok(()),
            report = reports.next() => (Some(report?), None),
            Some(event) = events.recv() => (None, Some(event)),
            // What waits needs no event to go on; the connections go first.
            () = tokio::task::yield_now(), if !backlog.is_empty() => (None, None),
            () = timer => (None, None),
        };
        let mut turn = Turn::begin(&keyring, Instant::now(), &mut backlog, &mut bearers);
        event.into_iter().for_each(|event| turn.take(event, &mut backlog, &mut bearers));
        let mut reported = Vec::from_iter(report);
        while let Some(report) = reports.try_next()? {
            reported.push(report);
        }
        while turn.events < TURN_EVENTS {
            let Some(event) = events.try_recv() else { break };
            turn.take(event, &mut backlog, &mut bearers);
        }
        let brought = turn.verify(host.genesis.parameters(), &mut bearers);
        host.turn(brought, reported).await?;
    }
    Ok(())
}
