//! The host's loop. See the head of [`crate::replica`].

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bezant_pbft::{Fault, Input};
use bezant_store::LogError;
use tokio::sync::mpsc;

use crate::replica::answers::Answers;
use crate::replica::bearers::Bearers;
use crate::replica::boot::{Booted, ReplicaOptions, boot};
use crate::replica::effects::Host;
use crate::replica::evidence::Convictions;
use crate::replica::executor::{Done, Executor, ExecutorError, Task};
use crate::replica::journal::Journal;
use crate::replica::questions::Questions;
use crate::replica::saver::{Saver, SaverError};
use crate::replica::seen::Seen;
use crate::replica::state_transfer::StateFetch;
use crate::replica::timers::Timers;
use crate::replica::turn::{Backlog, Turn};
use crate::transport::{EventReceiver, Mesh, MeshConfig, listen};

/// The most events of one turn.
const TURN_EVENTS: usize = 4096;

/// Why a replica stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// It did not come up.
    #[error(transparent)]
    Boot(#[from] crate::replica::boot::BootError),
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
pub async fn run(options: ReplicaOptions, shutdown: impl Future<Output = ()>) -> Result<(), ReplicaError> {
    // The port first: a replica that cannot have it leaves its home as it was.
    let listener = listen(&options.address()?)?;
    let (options, booted) = boot_apart(options).await?;
    let ReplicaOptions { home, genesis, key, limits, .. } = options;
    let config = MeshConfig { genesis: genesis.clone(), key: key.clone(), listener, limits };
    let (mesh, mut events) = Mesh::start(config).await?;

    let (done_sender, mut done) = mpsc::unbounded_channel();
    let (failure_sender, mut failures) = mpsc::unbounded_channel();
    let Booted { id, replica, wal, blocks, state_store, saved, ledger, again } = booted;
    let last = saved.as_ref().map(|(state, _)| state.clone());
    let (saver, saver_thread) = Saver { store: state_store, last: last.clone(), failed: failure_sender }.start()?;
    let seen = Arc::new(Mutex::new(Seen::new(genesis.parameters().client_window)));
    if let Some(state) = &last {
        seen.lock().unwrap_or_else(PoisonError::into_inner).reload(state);
    }
    let executor = Executor {
        genesis: genesis.clone(),
        id,
        key: key.clone(),
        ledger,
        blocks,
        seen: seen.clone(),
        saver: saver.clone(),
        done: done_sender,
    };
    let (executor, executor_thread) = executor.start()?;
    for block in again {
        // They are in the block store and proven; the clients have their replies or will ask again.
        let _ = executor.send(Task::Execute { block: Box::new(block), view: replica.report().view });
    }

    let keyring = genesis.keyring();
    let convictions = Convictions::load(&home, &keyring);
    let mut host = Host {
        id,
        genesis_digest: genesis.digest(),
        genesis,
        key,
        keyring,
        home,
        replica,
        log: Journal::new(wal),
        mesh,
        timers: Timers::default(),
        executor,
        saver,
        seen,
        states: saved.iter().map(|(state, _)| (state.height(), state.clone())).collect(),
        stable: saved,
        state_fetch: StateFetch::None,
        rations: BTreeMap::new(),
        questions: Questions::default(),
        answers: Answers::default(),
        convictions,
        started: Instant::now(),
    };
    tracing::info!("replica {id} is up, executed to {}", host.replica.report().executed);
    let result = work(&mut host, &mut events, &mut done, &mut failures, shutdown).await;
    let Host { mesh, executor, saver, home, .. } = host;
    mesh.shutdown().await;
    // The threads end when nobody can ask them anything more; what they have begun they finish.
    drop((executor, saver));
    let ended =
        tokio::task::spawn_blocking(move || (executor_thread.join().is_ok(), saver_thread.join().is_ok())).await;
    let (executor_ended, saver_ended) = ended.unwrap_or((false, false));
    drop(home);
    result?;
    last_words(&mut done, &mut failures)?;
    if !executor_ended {
        return Err(ExecutorError::Gone.into());
    }
    if !saver_ended {
        return Err(SaverError::Gone.into());
    }
    Ok(())
}

/// Reads the home on a thread of its own: other tasks of this process go on meanwhile.
async fn boot_apart(options: ReplicaOptions) -> Result<(ReplicaOptions, Booted), ReplicaError> {
    let read = tokio::task::spawn_blocking(move || {
        let booted = boot(&options);
        (options, booted)
    });
    match read.await {
        Ok((options, booted)) => Ok((options, booted?)),
        Err(lost) => std::panic::resume_unwind(lost.into_panic()),
    }
}

/// Turn after turn, until `shutdown` completes or the replica cannot go on.
async fn work(
    host: &mut Host,
    events: &mut EventReceiver,
    done: &mut mpsc::UnboundedReceiver<Done>,
    failures: &mut mpsc::UnboundedReceiver<SaverError>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ReplicaError> {
    let (keyring, mut backlog, mut bearers) = (host.keyring.clone(), Backlog::default(), Bearers::default());
    let mut shutdown = pin!(shutdown);
    host.turn(VecDeque::from([Ok(Input::Start)])).await?;
    loop {
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
            failure = failures.recv() => return Err(failure.unwrap_or(SaverError::Gone).into()),
            report = done.recv() => (Some(report.ok_or(ExecutorError::Gone)?), None),
            Some(event) = events.recv() => (None, Some(event)),
            // What waits needs no event to go on; the connections go first.
            () = tokio::task::yield_now(), if !backlog.is_empty() => (None, None),
            () = timer => (None, None),
        };
        let mut turn = Turn::begin(&keyring, Instant::now(), &mut backlog, &mut bearers);
        turn.reports.extend(report);
        event.into_iter().for_each(|event| turn.take(event, &mut backlog, &mut bearers));
        while let Ok(report) = done.try_recv() {
            turn.reports.push(report);
        }
        while turn.events < TURN_EVENTS {
            let Some(event) = events.try_recv() else { break };
            turn.take(event, &mut backlog, &mut bearers);
        }
        let arrived = turn.verify(host.genesis.parameters(), &mut bearers);
        let inputs = host.admit(arrived);
        host.turn(inputs).await?;
    }
}

/// What the threads said after the loop had ended.
fn last_words(
    done: &mut mpsc::UnboundedReceiver<Done>,
    failures: &mut mpsc::UnboundedReceiver<SaverError>,
) -> Result<(), ReplicaError> {
    while let Ok(report) = done.try_recv() {
        if let Done::Failed(error) = report {
            return Err(error.into());
        }
    }
    failures.try_recv().map_or(Ok(()), |failure| Err(failure.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_says_at_last_is_heard() {
        let (done_sender, mut done) = mpsc::unbounded_channel();
        let (failed, mut failures) = mpsc::unbounded_channel();
        assert!(last_words(&mut done, &mut failures).is_ok());
        failed.send(SaverError::Gone).unwrap();
        assert!(matches!(last_words(&mut done, &mut failures), Err(ReplicaError::Saver(_))));
        done_sender.send(Done::Failed(ExecutorError::Gone)).unwrap();
        assert!(matches!(last_words(&mut done, &mut failures), Err(ReplicaError::Executor(_))));
    }
}
