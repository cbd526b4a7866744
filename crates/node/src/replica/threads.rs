//! The threads beside the loop: the executor's and the saver's, each fed in order.
//!
//! The channels have no bound of their own: at most a window of blocks is ever under way, a few answers for each
//! client, and a state or two.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use bezant_host::{Done, Executor, Performed, Save, Saver, Task};
use bezant_store::{HostDisk, StateError};
use bezant_types::AccountId;
use bytes::Bytes;
use tokio::sync::mpsc as async_mpsc;

use crate::replica::host::ReplicaError;
use crate::wire::{TELL, Tell};

/// What a thread reports.
#[derive(Debug)]
pub(super) struct Report {
    /// For the member.
    pub(super) done: Done,
    /// Frames for the clients.
    pub(super) replies: Vec<(AccountId, Bytes)>,
}

/// Why the executor stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// Executing, or keeping what was executed.
    #[error(transparent)]
    Work(#[from] bezant_host::ExecutorError),
    /// The thread could not be started.
    #[error("could not start a thread: {0}")]
    Thread(std::io::Error),
    /// The thread ended without a report: it panicked.
    #[error("the thread that executes blocks is gone: it panicked, and its last words stand above this line")]
    Gone,
}

/// Why the saver stopped.
#[derive(Debug, thiserror::Error)]
pub enum SaverError {
    /// The state store.
    #[error(transparent)]
    Store(#[from] StateError),
    /// The thread has ended: it said why, or it panicked.
    #[error("the thread that saves the state is gone: why it ended stands above this line")]
    Gone,
    /// The thread could not be started.
    #[error("could not start a thread: {0}")]
    Thread(std::io::Error),
}

/// The way to the threads. They end when it is dropped; what they have begun they finish.
pub(super) struct Tasks {
    executor: mpsc::Sender<Task>,
    saver: mpsc::Sender<Save>,
}

/// What the threads report.
pub(super) struct Reports {
    executor: async_mpsc::UnboundedReceiver<Result<Report, ExecutorError>>,
    saver: async_mpsc::UnboundedReceiver<Result<Report, SaverError>>,
}

/// To wait for the threads' end.
pub(super) struct Threads {
    executor: JoinHandle<()>,
    saver: JoinHandle<()>,
}

/// Starts both threads.
pub(super) fn start(executor: Executor<HostDisk>, saver: Saver) -> Result<(Tasks, Reports, Threads), ReplicaError> {
    let (tasks, executor_tasks) = mpsc::channel();
    let (saves, saver_tasks) = mpsc::channel();
    let (done, executor_reports) = async_mpsc::unbounded_channel();
    let (saved, saver_reports) = async_mpsc::unbounded_channel();
    let saver_thread = thread::Builder::new()
        .name("saver".into())
        .spawn(move || save(saver, &saver_tasks, &saved))
        .map_err(SaverError::Thread)?;
    let executor_thread = thread::Builder::new()
        .name("executor".into())
        .spawn(move || execute(executor, &executor_tasks, &done))
        .map_err(ExecutorError::Thread)?;
    Ok((
        Tasks { executor: tasks, saver: saves },
        Reports { executor: executor_reports, saver: saver_reports },
        Threads { executor: executor_thread, saver: saver_thread },
    ))
}

impl Tasks {
    /// If the executor has gone, the loop is about to hear why.
    pub(super) fn execute(&self, task: Task) {
        let _ = self.executor.send(task);
    }

    /// If the saver has gone, the loop is about to hear why.
    pub(super) fn save(&self, save: Save) {
        let _ = self.saver.send(save);
    }
}

impl Reports {
    /// The next report. May be dropped before it is there.
    pub(super) async fn next(&mut self) -> Result<Report, ReplicaError> {
        tokio::select! {
            biased;
            saved = self.saver.recv() => Ok(saved.ok_or(SaverError::Gone)??),
            done = self.executor.recv() => Ok(done.ok_or(ExecutorError::Gone)??),
        }
    }

    /// A report that is there already.
    pub(super) fn try_next(&mut self) -> Result<Option<Report>, ReplicaError> {
        if let Ok(saved) = self.saver.try_recv() {
            return Ok(Some(saved?));
        }
        if let Ok(done) = self.executor.try_recv() {
            return Ok(Some(done?));
        }
        Ok(None)
    }

    /// What the threads said after the loop had ended.
    pub(super) fn last_words(&mut self) -> Result<(), ReplicaError> {
        while self.try_next()?.is_some() {}
        Ok(())
    }
}

impl Threads {
    /// Waits until both have ended, which they do once nobody can ask them anything more.
    pub(super) fn join(self) -> Result<(), ReplicaError> {
        let (executor, saver) = (self.executor.join(), self.saver.join());
        executor.map_err(|_| ExecutorError::Gone)?;
        saver.map_err(|_| SaverError::Gone)?;
        Ok(())
    }
}

/// The executor's thread. It ends when there is nobody left to give it tasks, or after it has reported a failure.
fn execute(
    mut executor: Executor<HostDisk>,
    tasks: &mpsc::Receiver<Task>,
    done: &async_mpsc::UnboundedSender<Result<Report, ExecutorError>>,
) {
    loop {
        tasks.try_iter().for_each(|task| executor.queue(task));
        let report = match executor.work() {
            Ok(None) => match tasks.recv() {
                Ok(task) => {
                    executor.queue(task);
                    continue;
                }
                Err(mpsc::RecvError) => break,
            },
            Ok(Some(performed)) => Ok(seal(performed)),
            Err(error) => Err(error.into()),
        };
        let failed = report.is_err();
        if done.send(report).is_err() || failed {
            return; // The loop is gone, or will be.
        }
    }
    if let Err(error) = executor.sync() {
        tracing::warn!("the last blocks may have to be fetched again: {error}");
    }
}

fn seal(performed: Performed) -> Report {
    let Performed { done, replies, .. } = performed;
    let frame = |reply: bezant_types::Verified<bezant_pbft::message::Reply>| {
        (reply.message().client, Bytes::from(TELL.seal(&Tell::Reply(reply.into_signed()))))
    };
    Report { done, replies: replies.into_iter().map(frame).collect() }
}

/// The saver's thread. It ends when there is nobody left to give it states and everything is written, or after it has
/// reported a failure.
fn save(
    mut saver: Saver,
    saves: &mpsc::Receiver<Save>,
    saved: &async_mpsc::UnboundedSender<Result<Report, SaverError>>,
) {
    while let Ok(first) = saves.recv() {
        saver.queue(first);
        saves.try_iter().for_each(|save| saver.queue(save));
        let report = match saver.work() {
            Ok(None) => continue,
            Ok(Some(done)) => Ok(Report { done, replies: Vec::new() }),
            Err(error) => Err(error.into()),
        };
        let failed = report.is_err();
        if saved.send(report).is_err() || failed {
            return; // The loop is gone, or will be.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_says_at_last_is_heard() {
        let (done, executor) = async_mpsc::unbounded_channel();
        let (saved, saver) = async_mpsc::unbounded_channel();
        let mut reports = Reports { executor, saver };
        assert!(reports.last_words().is_ok());
        saved.send(Err(SaverError::Gone)).unwrap();
        assert!(matches!(reports.last_words(), Err(ReplicaError::Saver(_))));
        done.send(Err(ExecutorError::Gone)).unwrap();
        assert!(matches!(reports.last_words(), Err(ReplicaError::Executor(_))));
    }
}
