//! The executor: one thread per replica that owns the ledger and the block store.
//!
//! It executes committed blocks in order, beside the host's loop, keeps each for audit, and signs the replies. The loop
//! never waits for it; the window does, since a checkpoint that is not executed cannot become stable (rule C-3).
//! Retransmissions are answered when no block waits, so that asking for old answers holds up no new ones.
//!
//! # What is durable when
//!
//! Before the executor reports a checkpoint, all blocks up to it are synced. The log may then be compacted behind a
//! stable checkpoint at any time: state store and block store together always reach at least as far as the log's
//! beginning.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bezant_ledger::{Execution, Ledger, State};
use bezant_pbft::Block;
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::message::Reply;
use bezant_store::{BlockError, BlockStore, HostDisk};
use bezant_types::{
    AccountId, Digest, Genesis, ReplicaId, Request, RequestNumber, SecretKey, SequenceNumber, Verified, View,
};
use bytes::Bytes;
use tokio::sync::mpsc as async_mpsc;

use crate::replica::saver::{Save, SaverError};
use crate::replica::seen::Seen;
use crate::saved::seal_block;
use crate::wire::{TELL, Tell};

/// What the loop asks of the executor.
pub(super) enum Task {
    /// Execute a block. `view` goes into the replies.
    Execute { block: Box<Block>, view: View },
    /// Answer a request that was executed before.
    Answer { request: Request, view: View },
    /// Replace the ledger by a state that was fetched and verified.
    Restore { state: State, certificate: CheckpointCertificate },
}

/// What the executor reports.
pub(super) enum Done {
    /// A block was executed.
    Applied {
        /// Its place.
        sequence: SequenceNumber,
        /// The state after it, if it was a checkpoint.
        checkpoint: Option<State>,
        /// Frames for the clients.
        replies: Vec<(AccountId, Bytes)>,
    },
    /// A request was answered from what is kept.
    Answered { client: AccountId, number: RequestNumber, reply: Bytes },
    /// The ledger was replaced.
    Restored { state: State, certificate: CheckpointCertificate },
    /// It cannot go on.
    Failed(ExecutorError),
}

/// Why the executor stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The block store.
    #[error(transparent)]
    Blocks(#[from] BlockError),
    /// A state that was verified piece by piece does not hold as a whole.
    #[error("the fetched state does not hold: {0}")]
    State(#[from] bezant_ledger::BadState),
    /// The state store.
    #[error(transparent)]
    Saver(#[from] SaverError),
    /// The thread could not be started.
    #[error("could not start a thread: {0}")]
    Thread(std::io::Error),
    /// The thread ended without a report: it panicked.
    #[error("the thread that executes blocks is gone: it panicked, and its last words stand above this line")]
    Gone,
}

/// What the executor needs.
pub(super) struct Executor {
    pub(super) genesis: Genesis,
    pub(super) id: ReplicaId,
    pub(super) key: SecretKey,
    pub(super) ledger: Ledger,
    pub(super) blocks: BlockStore<HostDisk>,
    pub(super) seen: Arc<Mutex<Seen>>,
    pub(super) saver: mpsc::Sender<Save>,
    pub(super) done: async_mpsc::UnboundedSender<Done>,
}

impl Executor {
    /// Starts the thread. It ends when the sender of tasks is dropped, or after it has reported a failure. The channels
    /// have no bound of their own: at most a window of blocks is ever under way.
    pub(super) fn start(self) -> Result<(mpsc::Sender<Task>, thread::JoinHandle<()>), ExecutorError> {
        let (tasks, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("executor".into())
            .spawn(move || self.run(&receiver))
            .map_err(ExecutorError::Thread)?;
        Ok((tasks, thread))
    }

    fn run(mut self, tasks: &mpsc::Receiver<Task>) {
        let mut waiting = Waiting::default();
        while let Some(task) = waiting.next(tasks) {
            let done = self.perform(task).unwrap_or_else(Done::Failed);
            let failed = matches!(done, Done::Failed(_));
            if self.done.send(done).is_err() || failed {
                return; // The loop is gone, or will be.
            }
        }
        if let Err(error) = self.blocks.sync() {
            tracing::warn!("the last blocks may have to be fetched again: {error}");
        }
    }

    fn perform(&mut self, task: Task) -> Result<Done, ExecutorError> {
        match task {
            Task::Execute { block, view } => self.execute(&block, view),
            Task::Answer { request, view } => Ok(self.answer(&request, view)),
            Task::Restore { state, certificate } => self.restore(state, certificate),
        }
    }

    fn execute(&mut self, block: &Block, view: View) -> Result<Done, ExecutorError> {
        let sequence = block.sequence();
        if sequence == self.blocks.next() {
            self.blocks.append(sequence, &seal_block(block))?;
        } else if self.blocks.next() < sequence {
            // Blocks are missing before this one: they were lost, or covered by a state that was fetched.
            self.blocks.begin_at(sequence)?;
            self.blocks.append(sequence, &seal_block(block))?;
        }
        let executions = self.ledger.execute(sequence, block.batch.timestamp(), &block.requests);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            executions.iter().for_each(|one| seen.insert(one.client, one.number));
        }
        let replies = executions.iter().map(|one| (one.client, self.reply(one, view))).collect();
        let checkpoint = if block.checkpoint {
            self.blocks.sync()?;
            Some(self.ledger.checkpoint())
        } else {
            None
        };
        Ok(Done::Applied { sequence, checkpoint, replies })
    }

    fn answer(&self, request: &Request, view: View) -> Done {
        let client = request.client();
        // `Seen` knew the number, so the ledger does too, unless its window moved on in between: then it is expired.
        let number = request.number();
        let outcome = self.ledger.kept(request).map_or(bezant_types::Outcome::Expired, |kept| (*kept).clone());
        let reply = self.frame(Reply { client, number, view, outcome });
        Done::Answered { client, number, reply }
    }

    fn reply(&self, execution: &Execution, view: View) -> Bytes {
        let Execution { client, number, outcome, .. } = execution;
        self.frame(Reply { client: *client, number: *number, view, outcome: (**outcome).clone() })
    }

    fn frame(&self, reply: Reply) -> Bytes {
        let signed = Verified::sign(reply, self.id, &self.key, self.genesis_digest()).into_signed();
        Bytes::from(TELL.seal(&Tell::Reply(signed)))
    }

    fn genesis_digest(&self) -> Digest {
        self.genesis.digest()
    }

    fn restore(&mut self, state: State, certificate: CheckpointCertificate) -> Result<Done, ExecutorError> {
        self.ledger = Ledger::from_state(&self.genesis, state.clone())?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).reload(&state);
        let next = state.height().next();
        if self.blocks.next() < next {
            self.blocks.begin_at(next)?;
        }
        let (durable, wait) = mpsc::channel();
        let save = Save::Replace { state: state.clone(), certificate: certificate.clone(), durable };
        self.saver.send(save).map_err(|_| SaverError::Gone)?;
        wait.recv().map_err(|_| SaverError::Gone)?;
        Ok(Done::Restored { state, certificate })
    }
}

/// Tasks that were taken from the channel. Blocks and states keep their order and come first.
#[derive(Default)]
struct Waiting {
    blocks: VecDeque<Task>,
    answers: VecDeque<Task>,
}

impl Waiting {
    /// The next task; waits until there is one. `None` once nobody can ask any more and everything is done.
    fn next(&mut self, tasks: &mpsc::Receiver<Task>) -> Option<Task> {
        tasks.try_iter().for_each(|task| self.push(task));
        self.pop().or_else(|| {
            self.push(tasks.recv().ok()?);
            self.pop()
        })
    }

    fn push(&mut self, task: Task) {
        match task {
            Task::Execute { .. } | Task::Restore { .. } => self.blocks.push_back(task),
            Task::Answer { .. } => self.answers.push_back(task),
        }
    }

    fn pop(&mut self) -> Option<Task> {
        self.blocks.pop_front().or_else(|| self.answers.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use bezant_pbft::{Config, Replica};

    use super::*;
    use crate::verify::fixture::{block, genesis, replica};

    #[test]
    fn blocks_are_taken_in_order_and_before_retransmissions() {
        let genesis = genesis();
        let judge = Replica::new(Config::new(&genesis, replica(0)).unwrap());
        let made = |sequence| Box::new(judge.check_block(block(&genesis, sequence, "key", "value")).unwrap());
        let request = made(1).requests[0].clone();
        let (sender, tasks) = mpsc::channel();
        let view = View::ZERO;
        for sequence in 1..=3 {
            sender.send(Task::Answer { request: request.clone(), view }).unwrap();
            sender.send(Task::Execute { block: made(sequence), view }).unwrap();
        }
        drop(sender);
        let mut waiting = Waiting::default();
        let taken = std::iter::from_fn(|| waiting.next(&tasks)).map(|task| match task {
            Task::Execute { block, .. } => block.sequence().get(),
            Task::Answer { .. } => 0,
            Task::Restore { .. } => panic!("none was sent"),
        });
        assert_eq!(taken.collect::<Vec<_>>(), [1, 2, 3, 0, 0, 0]);
    }
}
