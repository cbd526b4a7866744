//! A network whose replicas say what a test wants them to say, over the real transport and with real keys.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bezant_pbft::message::{Reply, Standing};
use bezant_types::genesis::Parameters;
use bezant_types::transaction::Answer;
use bezant_types::{
    Bundle, Genesis, Operation, Outcome, ReplicaId, RequestNumber, SequenceNumber, Signed, Transaction, Verified, View,
};
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::super::{Client, NumberSource, Options};
use crate::transport::{Event, EventReceiver, From, Limits, Mesh, MeshConfig};
pub(super) use crate::verify::fixture::*;
use crate::wire::{ASK, Ask, Refusal, StatusReport, TELL, Tell};

/// How long a test waits for what must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What a replica answers to what it is asked, and to how many asks before.
pub(super) type Script = Box<dyn FnMut(&Voice, &Ask, usize) -> Vec<Tell> + Send>;

/// Four places for replicas.
pub(super) struct World {
    pub(super) genesis: Genesis,
    limits: Limits,
    listeners: Vec<TcpListener>,
}

/// A replica that runs.
pub(super) struct Running {
    heard: Arc<Mutex<Vec<Ask>>>,
    task: JoinHandle<()>,
}

/// A replica's id and key, to sign with.
#[derive(Clone)]
pub(super) struct Voice {
    pub(super) id: ReplicaId,
    genesis: Genesis,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Parameters { client_window: 16, ..Parameters::standard() })
    }

    pub(super) fn with(parameters: Parameters) -> Self {
        let listeners: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = |at: usize| listeners[at].local_addr().unwrap().to_string();
        let limits = Limits {
            keepalive: Duration::from_millis(100),
            min_backoff: Duration::from_millis(5),
            max_backoff: Duration::from_millis(50),
            handshakes_per_second: 100_000,
            ..Limits::for_network(&parameters)
        };
        Self { genesis: genesis_at([0, 1, 2, 3].map(address), parameters), limits, listeners }
    }

    pub(super) fn voice(&self, id: u16) -> Voice {
        Voice { id: replica(id), genesis: self.genesis.clone() }
    }

    /// Starts replica `id`. A second handle to its listener stays with the world, so that its port does.
    pub(super) async fn start(&self, id: u16, script: Script) -> Running {
        let listener = self.listeners[id as usize].try_clone().unwrap();
        let (genesis, limits) = (self.genesis.clone(), self.limits.clone());
        let config = MeshConfig { genesis, key: key(id as u8), listener, limits };
        let mesh = Mesh::start(config).await.unwrap();
        let heard = Arc::default();
        let task = tokio::spawn(act(mesh, self.voice(id), script, Arc::clone(&heard)));
        Running { heard, task }
    }

    /// Starts all four, each with a script.
    pub(super) async fn start_all(&self, script: impl Fn(u16) -> Script) -> [Running; 4] {
        [
            self.start(0, script(0)).await,
            self.start(1, script(1)).await,
            self.start(2, script(2)).await,
            self.start(3, script(3)).await,
        ]
    }

    /// What suits a test: quick to ask again.
    pub(super) fn options(&self) -> Options {
        Options { limits: self.limits.clone(), retry: Duration::from_millis(50), ..Options::for_network(&self.genesis) }
    }

    /// As [`Self::options`], but nothing is ever asked again by itself.
    pub(super) fn patient(&self) -> Options {
        Options { retry: Duration::from_secs(3_600), ..self.options() }
    }

    pub(super) fn numbered(&self, path: PathBuf) -> Options {
        Options { numbers: NumberSource::File(path), ..self.options() }
    }

    pub(super) async fn client(&self) -> Client {
        self.client_with(self.options()).await
    }

    /// A client that is connected to so many replicas: what follows waits for answers and not for handshakes.
    pub(super) async fn client_of(&self, replicas: usize) -> Client {
        let client = self.client().await;
        until_connected(&client, replicas).await;
        client
    }

    pub(super) async fn client_with(&self, options: Options) -> Client {
        Client::connect(self.genesis.clone(), key(ALICE), options).await.unwrap()
    }
}

impl Running {
    /// All that was asked.
    pub(super) fn asks(&self) -> Vec<Ask> {
        self.heard.lock().unwrap().clone()
    }

    /// The numbers of the requests that came, in order, repetitions included.
    pub(super) fn numbers(&self) -> Vec<RequestNumber> {
        self.asks()
            .iter()
            .filter_map(|ask| match ask {
                Ask::Submit(signed) => Some(signed.message.number),
                Ask::Prove { .. } | Ask::Root { .. } | Ask::Status { .. } => None,
            })
            .collect()
    }

    /// Waits until it has been asked so often.
    pub(super) async fn until_asked(&self, times: usize) {
        until("asked", || self.heard.lock().unwrap().len() >= times).await;
    }

    /// Dies, with all its connections.
    pub(super) async fn kill(mut self) {
        self.task.abort();
        // Its only end is being aborted.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn act((mesh, mut events): (Mesh, EventReceiver), voice: Voice, mut script: Script, heard: Arc<Mutex<Vec<Ask>>>) {
    while let Some(event) = events.recv().await {
        if let Event::Frame { from: From::Client(account, _), bytes } = event {
            let ask: Ask = ASK.open(&bytes, bytes.len()).unwrap();
            let before = {
                let mut heard = heard.lock().unwrap();
                heard.push(ask.clone());
                heard.len() - 1
            };
            for tell in script(&voice, &ask, before) {
                mesh.reply(account, Bytes::from(TELL.seal(&tell)));
            }
            mesh.flush();
        }
    }
}

impl Voice {
    /// A signed reply to Alice.
    pub(super) fn reply(&self, number: RequestNumber, view: u64, outcome: Outcome) -> Tell {
        Tell::Reply(self.signed_reply(number, view, outcome))
    }

    pub(super) fn signed_reply(&self, number: RequestNumber, view: u64, outcome: Outcome) -> Signed<Reply> {
        let reply = Reply { client: account(ALICE), number, view: View::new(view), outcome };
        Verified::sign(reply, self.id, &key(self.id.get() as u8), self.genesis.digest()).into_signed()
    }

    /// Whatever this replica likes to sign.
    pub(super) fn sign_reply(&self, reply: Reply) -> Tell {
        let signed = Verified::sign(reply, self.id, &key(self.id.get() as u8), self.genesis.digest());
        Tell::Reply(signed.into_signed())
    }

    pub(super) fn report(&self, id: u64, report: StatusReport) -> Tell {
        let signed = Verified::sign(report, self.id, &key(self.id.get() as u8), self.genesis.digest());
        Tell::Status { id, report: Box::new(signed.into_signed()) }
    }
}

/// The request in an ask, if it is one.
pub(super) fn bundle(ask: &Ask) -> Option<&Bundle> {
    match ask {
        Ask::Submit(signed) => Some(&signed.message),
        Ask::Prove { .. } | Ask::Root { .. } | Ask::Status { .. } => None,
    }
}

/// What an honest replica finds: everything is done, at height 7.
pub(super) fn truth(bundle: &Bundle) -> Outcome {
    let answer = |operation: &Operation| {
        if *operation == Operation::Height { Answer::Height(SequenceNumber::new(7)) } else { Answer::Done }
    };
    let receipts = bundle.transactions.iter().map(|one| Ok(one.operations.iter().map(answer).collect()));
    Outcome::Executed(receipts.collect())
}

/// Another outcome of the same form.
pub(super) fn lie(bundle: &Bundle) -> Outcome {
    let receipts = bundle.transactions.iter().map(|one| Ok(vec![Answer::NotDone; one.operations.len()]));
    Outcome::Executed(receipts.collect())
}

/// A script that answers requests only.
pub(super) fn replies(mut answer: impl FnMut(&Voice, &Bundle, usize) -> Vec<Tell> + Send + 'static) -> Script {
    Box::new(move |voice, ask, before| bundle(ask).map_or_else(Vec::new, |bundle| answer(voice, bundle, before)))
}

pub(super) fn honest() -> Script {
    replies(|voice, bundle, _| vec![voice.reply(bundle.number, 0, truth(bundle))])
}

pub(super) fn liar() -> Script {
    replies(|voice, bundle, _| vec![voice.reply(bundle.number, 0, lie(bundle))])
}

pub(super) fn silent() -> Script {
    Box::new(|_, _, _| Vec::new())
}

pub(super) fn refusing(refusal: Refusal) -> Script {
    replies(move |_, bundle, _| vec![Tell::Refused { number: bundle.number, refusal: refusal.clone() }])
}

pub(super) fn report(view: u64) -> StatusReport {
    StatusReport {
        view: View::new(view),
        standing: Standing::Normal,
        primary: replica(0),
        executed: SequenceNumber::new(9),
        stable: None,
        waiting: 0,
        silent_until: None,
        fetching_state: false,
        entries: 0,
        state_bytes: 0,
        log_bytes: 0,
        accused: Vec::new(),
        uptime_s: 1,
        peers: Vec::new(),
    }
}

pub(super) fn one_set() -> Vec<Transaction> {
    vec![set("key", "value")]
}

pub(super) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

pub(super) fn within(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

/// Waits until a client is connected to exactly so many replicas.
pub(super) async fn until_connected(client: &Client, replicas: usize) {
    let looking = async {
        while client.group().await.connected.len() != replicas {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never connected to {replicas}"));
}

/// Waits until `holds`; fails if it never does.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let looking = async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}
