//! Four whole replicas in this process, over real sockets and disks, and what a client and a malicious member get from
//! them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use bezant_host::{Resume, create_log};
use bezant_ledger::Key;
use bezant_node::client::{Client, Options, QueryError};
use bezant_node::replica::{ReplicaError, ReplicaOptions, run};
use bezant_node::transport::{
    ClientMesh, ClientMeshConfig, Event, EventReceiver, From, Limits, Mesh, MeshConfig, listen,
};
use bezant_node::wire::{ASK, Ask, PEER, PeerFrame, TELL, Tell};
use bezant_pbft::message::Commit;
use bezant_pbft::packet::Packet;
use bezant_store::Home;
use bezant_types::genesis::{ClientEntry, MAX_FRAME, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::transaction::{Answer, Condition, SetAnswer};
use bezant_types::{
    Bundle, Digest, Genesis, Operation, Outcome, ReplicaId, RequestNumber, SecretKey, SequenceNumber, Signature,
    Signed, Transaction, Verified, View,
};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(15);
const CLIENT: u8 = 100;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn set(key: &str, value: &str) -> Transaction {
    let (key, value) = (key.into(), value.into());
    Transaction::single(Operation::Set { key, value, condition: Condition::Always, answer: SetAnswer::Written })
}

fn get(key: &str) -> Transaction {
    Transaction::single(Operation::Get { key: key.into() })
}

/// A network with a home for each replica. Keys 0 to 3 are theirs.
struct Group {
    genesis: Genesis,
    limits: Limits,
    homes: TempDir,
    running: Vec<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ReplicaError>>,
}

impl Group {
    fn new() -> Self {
        Self::with(Parameters::standard())
    }

    fn with(parameters: Parameters) -> Self {
        // All at once, so that they differ; released when they are about to be used.
        let ports: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let replicas = ports.iter().zip(0..).map(|(port, seed)| ReplicaEntry {
            key: key(seed).account(),
            address: port.local_addr().unwrap().to_string(),
        });
        let client = ClientEntry { name: "client".into(), key: key(CLIENT).account(), role: Role::Write };
        let parameters = Parameters { status_interval_ms: 100, seal_after_ms: 50, ..parameters };
        let genesis =
            Genesis::new("test".into(), replicas.collect(), vec![client], Vec::new(), parameters.clone()).unwrap();
        let limits = Limits {
            min_backoff: Duration::from_millis(5),
            max_backoff: Duration::from_millis(50),
            handshakes_per_second: 100_000,
            ..Limits::for_network(&parameters)
        };
        Self { genesis, limits, homes: tempfile::tempdir().unwrap(), running: Vec::new() }
    }

    fn start(&mut self, id: u8) {
        let home = Home::create(&self.homes.path().join(format!("replica-{id}"))).unwrap();
        create_log(&home, &self.genesis, &key(id)).unwrap();
        let options = ReplicaOptions {
            home,
            genesis: self.genesis.clone(),
            key: key(id),
            listen: None,
            limits: self.limits.clone(),
            resume: Resume::WithLog,
            interference: None,
        };
        let (stop, stopped) = oneshot::channel();
        // Also when the test is over without saying so.
        let ended = tokio::spawn(run(options, async { stopped.await.unwrap_or_default() }));
        self.running.push(Running { stop, ended });
    }

    async fn client(&self) -> Client {
        let options = Options { limits: self.limits.clone(), ..Options::for_network(&self.genesis) };
        Client::connect(self.genesis.clone(), key(CLIENT), options).await.unwrap()
    }

    /// Stops all replicas, none of which must have failed.
    async fn stop(self) {
        for Running { stop, .. } in &self.running {
            assert!(!stop.is_closed(), "a replica ended by itself");
        }
        for Running { stop, ended } in self.running {
            stop.send(()).unwrap();
            timeout(PATIENCE, ended).await.expect("it stops when it is told to").unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_group_keeps_what_is_written_and_refuses_what_it_cannot_answer() {
    let mut group = Group::new();
    (0..4).for_each(|id| group.start(id));
    let client = group.client().await;
    client.execute(set("colour", "blue"), soon()).await.unwrap().unwrap();
    let answers = client.execute(get("colour"), soon()).await.unwrap().unwrap();
    assert_eq!(answers, [Answer::Value(Some(b"blue".to_vec()))]);

    let height = client.height(soon()).await.unwrap();
    let proven = client.prove(Key::Entry(b"colour".to_vec()), height, soon()).await.unwrap();
    assert!(proven.finding.item.is_some());

    let longest = group.genesis.parameters().max_key_bytes as usize;
    let too_long = client.prove(Key::Entry(vec![7; longest + 1]), height, soon()).await;
    assert!(matches!(&too_long, Err(QueryError::Refused(why)) if why.contains("longer than")), "{too_long:?}");
    let start = Instant::now();
    let too_far = client.root(SequenceNumber::MAX, soon()).await;
    assert!(matches!(&too_far, Err(QueryError::NoAnswer { rejected, .. }) if rejected.len() == 4), "{too_far:?}");
    assert!(start.elapsed() < PATIENCE / 2, "everybody has said so");
    client.shutdown().await;
    group.stop().await;
}

#[tokio::test]
async fn a_retransmission_is_answered_with_what_is_kept_and_not_executed_again() {
    let mut group = Group::new();
    (0..4).for_each(|id| group.start(id));
    let (genesis, limits) = (group.genesis.clone(), group.limits.clone());
    let (mesh, mut events) = ClientMesh::start(ClientMeshConfig { genesis, key: key(CLIENT), limits }).await.unwrap();
    let genesis = group.genesis.digest();
    let submit = |number: u64| {
        let add = Transaction::single(Operation::Add { key: b"count".to_vec(), delta: 1 });
        let bundle = Bundle { number: RequestNumber::new(number), transactions: vec![add] };
        let signed = Verified::sign(bundle, key(CLIENT).account(), &key(CLIENT), genesis).into_signed();
        mesh.send_all(&Bytes::from(ASK.seal(&Ask::Submit(signed))));
        mesh.flush();
    };
    let counted = |n: i64| Outcome::Executed(vec![Ok(vec![Answer::Integer(n)])]);
    submit(1);
    assert_eq!(replies(&mut events, 1).await, vec![counted(1); 4]);
    for _ in 0..3 {
        submit(1);
        assert_eq!(replies(&mut events, 1).await, vec![counted(1); 4]);
    }
    submit(2);
    assert_eq!(replies(&mut events, 2).await, vec![counted(2); 4]);
    mesh.shutdown().await;
    group.stop().await;
}

/// What each of the four replicas answers to this request.
async fn replies(events: &mut EventReceiver, number: u64) -> Vec<Outcome> {
    let mut outcomes = BTreeMap::new();
    let all = async {
        while outcomes.len() < 4 {
            let Some(Event::Frame { from: From::Replica(id), bytes }) = events.recv().await else { continue };
            if let Tell::Reply(signed) = TELL.open(&bytes, MAX_FRAME).unwrap()
                && signed.message.number == RequestNumber::new(number)
            {
                assert_eq!(signed.signer, id);
                outcomes.insert(id, signed.message.outcome);
            }
        }
    };
    timeout(PATIENCE, all).await.expect("every replica answers");
    outcomes.into_values().collect()
}

#[tokio::test]
async fn a_replica_that_comes_late_fetches_the_state_and_votes_on_it() {
    let short = Parameters { checkpoint_interval: 4, window: 8, pipeline: 2, ..Parameters::standard() };
    let mut group = Group::with(short);
    (0..3).for_each(|id| group.start(id));
    let client = group.client().await;
    for i in 0..24 {
        client.execute(set(&format!("key-{i}"), "value"), soon()).await.unwrap().unwrap();
    }
    let height = client.height(soon()).await.unwrap();
    group.start(3);
    let caught_up = async {
        loop {
            let mut statuses = client.status(soon()).await;
            let last = statuses.pop().and_then(|status| status.report.ok());
            if last.is_some_and(|report| report.executed >= height && !report.fetching_state) {
                return;
            }
        }
    };
    timeout(PATIENCE, caught_up).await.expect("the late replica catches up");
    // Without replica 0, which is the primary, every quorum needs the late one.
    let Running { stop, ended } = group.running.remove(0);
    stop.send(()).unwrap();
    timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap();
    let answers = client.execute(get("key-3"), soon()).await.unwrap().unwrap();
    assert_eq!(answers, [Answer::Value(Some(b"value".to_vec()))]);
    client.shutdown().await;
    group.stop().await;
}

#[tokio::test]
async fn a_member_that_sends_junk_does_not_stop_the_others() {
    let mut group = Group::new();
    (0..3).for_each(|id| group.start(id));
    let vandal = tokio::spawn(vandalise(group.genesis.clone(), group.limits.clone()));
    let client = group.client().await;
    let start = Instant::now();
    for i in 0..20 {
        let key = format!("key-{i}");
        client.execute(set(&key, "value"), soon()).await.unwrap().unwrap();
        let answers = client.execute(get(&key), soon()).await.unwrap().unwrap();
        assert_eq!(answers, [Answer::Value(Some(b"value".to_vec()))]);
    }
    assert!(start.elapsed() < PATIENCE, "the others are hardly slower for it: {:?}", start.elapsed());
    client.shutdown().await;
    assert!(!vandal.is_finished());
    vandal.abort();
    group.stop().await;
}

/// Replica 3: to every frame that it gets it answers everybody with forged votes in others' names, more forged requests
/// than a packet may have and as many as it may, what others said of themselves, and noise.
async fn vandalise(genesis: Genesis, limits: Limits) {
    let me = ReplicaId::new(3);
    let listener = listen(&genesis.replicas()[me.index()].address).unwrap();
    let config = MeshConfig { genesis: genesis.clone(), key: key(3), listener, limits };
    let (mesh, mut events) = Mesh::start(config).await.unwrap();
    let others: Vec<_> = genesis.committee().members().filter(|id| *id != me).collect();
    let junk = junk(&genesis);
    let mut heard = Vec::new();
    while let Some(event) = events.recv().await {
        let Event::Frame { bytes, .. } = event else { continue };
        if let Ok(PeerFrame::Packet(Packet::Status(_))) = PEER.open(&bytes, MAX_FRAME) {
            heard.push(Bytes::copy_from_slice(&bytes));
            heard.drain(..heard.len().saturating_sub(8));
        }
        for frame in junk.iter().chain(&heard) {
            others.iter().for_each(|id| mesh.send(*id, frame.clone()));
        }
        mesh.flush();
    }
}

fn junk(genesis: &Genesis) -> Vec<Bytes> {
    let signature = Signature::new([9; 64]);
    let vote = Commit { view: View::ZERO, sequence: SequenceNumber::new(1), digest: Digest::new([1; 32]) };
    let votes = genesis.committee().members().map(|signer| Packet::Commit(Signed { signer, message: vote, signature }));
    let request = |number| {
        let message = Bundle { number: RequestNumber::new(number), transactions: vec![set("key", "forged")] };
        Signed { signer: key(CLIENT).account(), message, signature }
    };
    let requests = [1024, 5000].map(|count| Packet::Requests((0..count).map(request).collect()));
    let packets = votes.chain(requests).map(|packet| Bytes::from(PEER.seal(&PeerFrame::Packet(packet))));
    packets.chain([Bytes::from_static(b"noise"), Bytes::from(vec![0xff; 1 << 16])]).collect()
}
