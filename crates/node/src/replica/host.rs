//! The host's loop. See the head of [`crate::replica`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bezant_pbft::evidence::Evidence;
use bezant_pbft::packet::{Packet, Pending};
use bezant_pbft::{Fault, Input};
use bezant_store::{Home, LogError};
use bezant_types::codec::decode;
use bezant_types::genesis::MAX_FRAME;
use bezant_types::signed::{self, Ticket};
use bezant_types::{AccountId, Bundle, Keyring, ReplicaId, RequestNumber};
use tokio::sync::mpsc;

use crate::replica::boot::{Booted, ReplicaOptions, boot};
use crate::replica::effects::Host;
use crate::replica::executor::{Done, Executor, ExecutorError, Task};
use crate::replica::journal::Journal;
use crate::replica::saver::{Saver, SaverError};
use crate::replica::seen::Seen;
use crate::replica::timers::Timers;
use crate::transport::{ConnectionId, Event, From as Sender, Mesh, MeshConfig, listen};
use crate::wire::{ASK, Ask, PEER, PeerFrame};

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
    let booted = boot(&options)?;
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
    let accused = convicted(&home, &keyring);
    let mut host = Host {
        id,
        genesis_digest: genesis.digest(),
        genesis,
        key,
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
        fetch: None,
        rations: BTreeMap::new(),
        questions: VecDeque::new(),
        accused,
        started: Instant::now(),
    };
    tracing::info!("replica {id} is up, executed to {}", host.replica.report().executed);
    let mut shutdown = pin!(shutdown);
    let result = async {
        host.turn(VecDeque::from([Ok(Input::Start)])).await?;
        loop {
            let wake = host.wake_at();
            let timer = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let mut turn = Turn::new(&keyring);
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                Some(error) = failures.recv() => return Err(ReplicaError::from(error)),
                Some(report) = done.recv() => turn.reports.push(report),
                Some(event) = events.recv() => turn.take(event),
                () = timer => {}
            }
            while let Ok(report) = done.try_recv() {
                turn.reports.push(report);
            }
            while turn.events < TURN_EVENTS {
                let Some(event) = events.try_recv() else { break };
                turn.take(event);
            }
            let inputs = host.admit(turn);
            host.turn(inputs).await?;
        }
    }
    .await;
    let Host { mesh, executor, saver, home, .. } = host;
    mesh.shutdown().await;
    // The threads end when nobody can ask them anything more; what they have begun they finish.
    drop((executor, saver));
    let _ = executor_thread.join();
    let _ = saver_thread.join();
    drop(home);
    result
}

/// The members that evidence in this home convicts. What does not convict anybody is left alone.
fn convicted(home: &Home, keyring: &Keyring) -> BTreeSet<ReplicaId> {
    let Ok(evidence) = home.evidence() else { return BTreeSet::new() };
    let names = evidence.names().unwrap_or_default();
    let files = names.iter().filter_map(|name| evidence.read(name).ok().flatten());
    files.filter_map(|bytes| decode::<Evidence>(&bytes, MAX_FRAME).ok()?.verify(keyring).ok()).collect()
}

/// What has arrived in one turn, with all its signatures in one batch.
pub(super) struct Turn<'k> {
    pub(super) batch: signed::Batch<'k>,
    pub(super) packets: Vec<Pending>,
    pub(super) requests: Vec<(ConnectionId, RequestNumber, Ticket<Bundle>)>,
    pub(super) asks: Vec<(AccountId, ConnectionId, Ask)>,
    pub(super) pieces: Vec<(ReplicaId, PeerFrame)>,
    pub(super) connected: Vec<ReplicaId>,
    pub(super) reports: Vec<Done>,
    events: usize,
}

impl<'k> Turn<'k> {
    fn new(keyring: &'k Keyring) -> Self {
        Self {
            batch: signed::Batch::new(keyring),
            packets: Vec::new(),
            requests: Vec::new(),
            asks: Vec::new(),
            pieces: Vec::new(),
            connected: Vec::new(),
            reports: Vec::new(),
            events: 0,
        }
    }

    fn take(&mut self, event: Event) {
        self.events += 1;
        match event {
            Event::Connected(Sender::Replica(peer)) => self.connected.push(peer),
            Event::Connected(Sender::Client(..)) => {}
            Event::Disconnected(from, reason) => tracing::debug!("{from} disconnected: {reason}"),
            Event::Frame { from: Sender::Replica(peer), bytes } => match PEER.open(&bytes, MAX_FRAME) {
                Ok(PeerFrame::Packet(packet)) => self.take_packet(packet),
                Ok(frame @ (PeerFrame::AskPiece(_) | PeerFrame::Piece(_))) => self.pieces.push((peer, frame)),
                Err(error) => tracing::warn!("replica {peer} sent a frame that cannot be read: {error}"),
            },
            Event::Frame { from: Sender::Client(account, connection), bytes } => match ASK.open(&bytes, MAX_FRAME) {
                Ok(Ask::Submit(bundle)) => {
                    self.requests.push((connection, bundle.message.number, self.batch.queue(bundle)));
                }
                Ok(ask @ (Ask::Prove { .. } | Ask::Root { .. } | Ask::Status { .. })) => {
                    self.asks.push((account, connection, ask));
                }
                Err(error) => tracing::warn!("client {account} sent a frame that cannot be read: {error}"),
            },
        }
    }

    fn take_packet(&mut self, packet: Packet) {
        let pending = packet.queue(&mut self.batch);
        self.packets.push(pending);
    }
}
