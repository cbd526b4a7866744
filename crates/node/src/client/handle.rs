//! What a program holds: a handle to the worker.

use std::sync::Arc;

use bezant_ledger::Key;
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_types::transaction::{Answer, Receipt};
use bezant_types::{AccountId, Genesis, Operation, SecretKey, SequenceNumber, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Options;
use super::error::{ConnectError, QueryError, SubmitError};
use super::known::Group;
use super::network::Network;
use super::numbers::Numbers;
use super::questions::{Proven, Query, ReplicaStatus};
use super::worker::{Command, Worker};
use crate::transport::{ClientMesh, ClientMeshConfig};

/// A client of the group. Cheap to clone; all clones are one client, which ends when the last of them is dropped or one
/// of them is [shut down](Self::shutdown).
#[derive(Clone, Debug)]
pub struct Client {
    account: AccountId,
    commands: mpsc::Sender<Command>,
}

impl Client {
    /// Starts connecting to all replicas. Returns at once: what is asked before a replica is connected reaches it then.
    /// Must be called on a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`ConnectError`] if the key is no client's, the limits cannot be, or the file of request numbers cannot be used.
    pub async fn connect(genesis: Genesis, key: SecretKey, options: Options) -> Result<Self, ConnectError> {
        let mesh_config =
            ClientMeshConfig { genesis: genesis.clone(), key: key.clone(), limits: options.limits.clone() };
        let transport = ClientMesh::start(mesh_config).await?;
        let network = Arc::new(Network::new(genesis, key));
        let (account, window) = (network.account, network.genesis.parameters().client_window);
        // Reads and writes one small file, before anything else depends on this task.
        let numbers = Numbers::open(options.numbers.clone(), account, window)?;
        let (commands, received) = mpsc::channel(COMMANDS);
        tokio::spawn(Worker::new(network, transport, received, numbers, &options).run());
        Ok(Self { account, commands })
    }

    /// Whose key signs.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Has transactions executed as one request, each applied or not by itself, in this order. The receipts are as
    /// many, in the same order, and f + 1 replicas vouch for them.
    ///
    /// If the future is dropped the request may or may not be executed.
    ///
    /// # Errors
    /// [`SubmitError`], at the deadline at the latest, says what is known about the request.
    pub async fn submit(&self, transactions: Vec<Transaction>, deadline: Instant) -> Result<Vec<Receipt>, SubmitError> {
        let (reply, outcome) = oneshot::channel();
        let command = Command::Submit { transactions, since: Instant::now(), deadline, reply };
        let gone = || SubmitError::NotSent("the client has stopped".to_owned());
        self.commands.send(command).await.map_err(|_| gone())?;
        outcome.await.unwrap_or(Err(SubmitError::ShuttingDown))
    }

    /// Has one transaction executed.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn execute(&self, transaction: Transaction, deadline: Instant) -> Result<Receipt, SubmitError> {
        let receipts = self.submit(vec![transaction], deadline).await?;
        Ok(receipts.into_iter().next().expect("there is a receipt for each transaction"))
    }

    /// Where in the order we are. A checkpoint from here on covers everything that was acknowledged to anybody before.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn height(&self, deadline: Instant) -> Result<SequenceNumber, SubmitError> {
        let receipt = self.execute(Transaction::single(Operation::Height), deadline).await?;
        match receipt.as_deref() {
            Ok([Answer::Height(height)]) => Ok(*height),
            Ok(_) => Err(SubmitError::Refused("the group answered something else than a height".to_owned())),
            Err(refused) => Err(SubmitError::Refused(refused.to_string())),
        }
    }

    /// A proof of what the ledger holds under `key` at a checkpoint that covers `at_least`.
    ///
    /// With [`Self::height`] for `at_least`, the proof shows all that was acknowledged before it was asked for.
    ///
    /// # Errors
    /// [`QueryError`], at the deadline at the latest.
    pub async fn prove(&self, key: Key, at_least: SequenceNumber, deadline: Instant) -> Result<Proven, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Query::Prove { key, at_least, reply }, deadline).await?;
        answer.await.unwrap_or(Err(QueryError::ShuttingDown))
    }

    /// A checkpoint that covers `at_least`; `None` if f + 1 replicas say that there is none but the genesis.
    ///
    /// # Errors
    /// [`QueryError`], at the deadline at the latest.
    pub async fn root(
        &self,
        at_least: SequenceNumber,
        deadline: Instant,
    ) -> Result<Option<CheckpointCertificate>, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Query::Root { at_least, reply }, deadline).await?;
        answer.await.unwrap_or(Err(QueryError::ShuttingDown))
    }

    /// What each replica says of itself, in order of their ids, or why it says nothing. Ends before the deadline once
    /// every replica has answered or cannot be reached. Empty only if the client is stopping.
    pub async fn status(&self, deadline: Instant) -> Vec<ReplicaStatus> {
        let (reply, answer) = oneshot::channel();
        match self.ask(Query::Status { reply }, deadline).await {
            Ok(()) => answer.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// What is known of the group without asking it.
    pub async fn group(&self) -> Group {
        let (reply, group) = oneshot::channel();
        match self.commands.send(Command::Group { reply }).await {
            Ok(()) => group.await.unwrap_or_default(),
            Err(_) => Group::default(),
        }
    }

    /// Ends the client, for all its handles: whoever waits for an answer gets an error, what is queued is sent for a
    /// bounded time, and the connections are closed.
    pub async fn shutdown(self) {
        let (done, ended) = oneshot::channel();
        if self.commands.send(Command::Stop { done }).await.is_ok() {
            // It ends in any case; an error only says that it ended by itself.
            let _ = ended.await;
        }
    }

    async fn ask(&self, query: Query, deadline: Instant) -> Result<(), QueryError> {
        self.commands.send(Command::Ask { query, deadline }).await.map_err(|_| QueryError::ShuttingDown)
    }
}

/// How many commands wait for the worker before their senders do.
const COMMANDS: usize = 64;
