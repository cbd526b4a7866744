//! The executor: owns the ledger and the block store.
//!
//! It executes committed blocks in order, beside the member's rounds, keeps each for audit, and signs the replies. The
//! member never waits for it; the window does, since a checkpoint that is not executed cannot become stable (rule C-3).
//! Retransmissions are answered when no block waits, so that asking for old answers holds up no new ones.
//!
//! # What is durable when
//!
//! Before the executor reports a checkpoint, all blocks up to it are synced. The log may then be compacted behind a
//! stable checkpoint at any time: state store and block store together always reach at least as far as the log's
//! beginning.
//!
//! A state that was fetched is not durable when the executor has installed it. The member has it saved, and tells the
//! core only then.

use std::collections::VecDeque;

use bezant_ledger::{Execution, Ledger, State};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::message::Reply;
use bezant_pbft::{Block, Executed};
use bezant_store::{BlockError, BlockStore, Disk};
use bezant_types::{
    AccountId, Genesis, Outcome, ReplicaId, Request, RequestNumber, SecretKey, SequenceNumber, Verified, View,
};

use crate::saved::seal_block;
use crate::seen::Seen;

/// What a member asks of its executor.
#[derive(Clone, Debug)]
pub enum Task {
    /// Execute a block.
    Execute {
        /// The block.
        block: Box<Block>,
        /// What goes into the replies.
        view: View,
    },
    /// Answer a request that was executed before.
    Answer {
        /// The request.
        request: Request,
        /// What goes into the reply.
        view: View,
    },
    /// Replace the ledger by a state that was fetched and verified.
    Install {
        /// The state.
        state: State,
        /// What vouches for it.
        certificate: CheckpointCertificate,
    },
}

/// What executor and saver report.
#[derive(Clone, Debug)]
pub enum Done {
    /// A block was executed.
    Applied {
        /// Its place.
        sequence: SequenceNumber,
        /// The state after it, if it was a checkpoint.
        checkpoint: Option<State>,
        /// The requests in it.
        executed: Vec<Executed>,
    },
    /// A request was answered from what is kept.
    Answered {
        /// Whose.
        client: AccountId,
        /// Which.
        number: RequestNumber,
    },
    /// The ledger was replaced by a state that is not durable yet.
    Installed {
        /// The state.
        state: State,
        /// What vouches for it.
        certificate: CheckpointCertificate,
        /// The requests that were executed before it.
        seen: Seen,
    },
    /// The state that was installed is durable.
    Restored {
        /// The state.
        state: State,
        /// What vouches for it.
        certificate: CheckpointCertificate,
    },
}

/// What came of a task.
#[derive(Debug)]
pub struct Performed {
    /// For the member.
    pub done: Done,
    /// For the clients, each at all its connections.
    pub replies: Vec<Verified<Reply>>,
    /// What became of each request of a block, for whoever watches.
    pub executions: Vec<Execution>,
}

/// Why the executor cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The block store.
    #[error(transparent)]
    Blocks(#[from] BlockError),
    /// A state that was verified piece by piece does not hold as a whole.
    #[error("the fetched state does not hold: {0}")]
    State(#[from] bezant_ledger::BadState),
}

/// Executes what was agreed on.
#[derive(Debug)]
pub struct Executor<D> {
    genesis: Genesis,
    id: ReplicaId,
    key: SecretKey,
    ledger: Ledger,
    blocks: BlockStore<D>,
    waiting: Waiting,
}

impl<D: Disk> Executor<D> {
    pub(crate) fn new(genesis: Genesis, id: ReplicaId, key: SecretKey, ledger: Ledger, blocks: BlockStore<D>) -> Self {
        Self { genesis, id, key, ledger, blocks, waiting: Waiting::default() }
    }

    /// Takes a task. At most a window of blocks is ever under way, and a few answers for each client.
    pub fn queue(&mut self, task: Task) {
        self.waiting.push(task);
    }

    /// Performs the next task; `None` if there is none.
    ///
    /// # Errors
    /// [`ExecutorError`]. The executor must not be used any more.
    pub fn work(&mut self) -> Result<Option<Performed>, ExecutorError> {
        let Some(task) = self.waiting.pop() else { return Ok(None) };
        Ok(Some(match task {
            Task::Execute { block, view } => self.execute(&block, view)?,
            Task::Answer { request, view } => self.answer(&request, view),
            Task::Install { state, certificate } => self.install(state, certificate)?,
        }))
    }

    /// Makes the last blocks durable, which no checkpoint covers yet. A replica that ends without it has them from the
    /// others again.
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn sync(&mut self) -> Result<(), BlockError> {
        self.blocks.sync()
    }

    /// The ledger, for whoever watches.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn execute(&mut self, block: &Block, view: View) -> Result<Performed, ExecutorError> {
        let sequence = block.sequence();
        if sequence == self.blocks.next() {
            self.blocks.append(sequence, &seal_block(block))?;
        } else if self.blocks.next() < sequence {
            // Blocks are missing before this one: they were lost, or covered by a state that was fetched.
            self.blocks.begin_at(sequence)?;
            self.blocks.append(sequence, &seal_block(block))?;
        }
        let executions = self.ledger.execute(sequence, block.batch.timestamp(), &block.requests);
        let fate = |&Execution { client, number, fresh, .. }: &Execution| Executed { client, number, fresh };
        let executed = executions.iter().map(fate).collect();
        let replies = executions.iter().map(|one| self.reply(one, view)).collect();
        let checkpoint = if block.checkpoint {
            self.blocks.sync()?;
            Some(self.ledger.checkpoint())
        } else {
            None
        };
        Ok(Performed { done: Done::Applied { sequence, checkpoint, executed }, replies, executions })
    }

    fn answer(&self, request: &Request, view: View) -> Performed {
        let (client, number) = (request.client(), request.number());
        // `Seen` knew the number, so the ledger does too, unless its window moved on in between: then it is expired.
        let outcome = self.ledger.kept(request).map_or(Outcome::Expired, |kept| (*kept).clone());
        let replies = vec![self.sign(Reply { client, number, view, outcome })];
        Performed { done: Done::Answered { client, number }, replies, executions: Vec::new() }
    }

    fn reply(&self, execution: &Execution, view: View) -> Verified<Reply> {
        let Execution { client, number, outcome, .. } = execution;
        self.sign(Reply { client: *client, number: *number, view, outcome: (**outcome).clone() })
    }

    fn sign(&self, reply: Reply) -> Verified<Reply> {
        Verified::sign(reply, self.id, &self.key, self.genesis.digest())
    }

    fn install(&mut self, state: State, certificate: CheckpointCertificate) -> Result<Performed, ExecutorError> {
        self.ledger = Ledger::from_state(&self.genesis, state.clone())?;
        let mut seen = Seen::new(self.genesis.parameters().client_window);
        seen.reload(&state);
        let next = state.height().next();
        if self.blocks.next() < next {
            self.blocks.begin_at(next)?;
        }
        Ok(Performed {
            done: Done::Installed { state, certificate, seen },
            replies: Vec::new(),
            executions: Vec::new(),
        })
    }
}

/// Tasks that wait. Blocks and states keep their order and come first.
#[derive(Debug, Default)]
struct Waiting {
    blocks: VecDeque<Task>,
    answers: VecDeque<Task>,
}

impl Waiting {
    fn push(&mut self, task: Task) {
        match task {
            Task::Execute { .. } | Task::Install { .. } => self.blocks.push_back(task),
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
    use crate::fixture::{block, genesis, replica};

    #[test]
    fn blocks_are_taken_in_order_and_before_retransmissions() {
        let genesis = genesis();
        let judge = Replica::new(Config::new(&genesis, replica(0)).unwrap());
        let made = |sequence| Box::new(judge.check_block(block(&genesis, sequence, "key", "value")).unwrap());
        let request = made(1).requests[0].clone();
        let mut waiting = Waiting::default();
        let view = View::ZERO;
        for sequence in 1..=3 {
            waiting.push(Task::Answer { request: request.clone(), view });
            waiting.push(Task::Execute { block: made(sequence), view });
        }
        let taken = std::iter::from_fn(|| waiting.pop()).map(|task| match task {
            Task::Execute { block, .. } => block.sequence().get(),
            Task::Answer { .. } => 0,
            Task::Install { .. } => panic!("none was sent"),
        });
        assert_eq!(taken.collect::<Vec<_>>(), [1, 2, 3, 0, 0, 0]);
    }
}
