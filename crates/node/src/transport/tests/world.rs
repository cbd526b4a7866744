//! A small network, and peers that do not play by the rules.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bezant_types::genesis::{ClientEntry, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::{AccountId, Genesis, ReplicaId, SecretKey};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::super::door::{Doorkeeper, Party, greet};
use super::super::tls::{Channel, Tls};
use super::super::{ClientMesh, ClientMeshConfig, Event, EventReceiver, From, Limits, Mesh, MeshConfig, Reason};

pub(super) const DEADLINE: Duration = Duration::from_secs(20);
pub(super) const ALICE: u8 = 100;
pub(super) const BOB: u8 = 101;
pub(super) const STRANGER: u8 = 200;

/// Four replicas with keys 0 to 3, and two clients.
pub(super) struct World {
    pub(super) genesis: Genesis,
    pub(super) limits: Limits,
    listeners: Vec<TcpListener>,
}

pub(super) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

pub(super) fn account(seed: u8) -> AccountId {
    key(seed).account()
}

pub(super) fn replica(id: u16) -> ReplicaId {
    ReplicaId::new(id)
}

/// A payload of `length` bytes that is recognisable.
pub(super) fn payload(tag: u8, length: usize) -> Bytes {
    (0..length).map(|i| tag.wrapping_add(i as u8)).collect()
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_parameters(Parameters::standard())
    }

    pub(super) fn with_parameters(parameters: Parameters) -> Self {
        let listeners: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let limits = Limits {
            keepalive: Duration::from_millis(100),
            min_backoff: Duration::from_millis(5),
            max_backoff: Duration::from_millis(100),
            handshakes_per_second: 100_000,
            ..Limits::for_network(&parameters)
        };
        Self { genesis: genesis(&listeners, parameters), limits, listeners }
    }

    /// The same places, another genesis.
    pub(super) fn other_genesis(&self) -> Genesis {
        let parameters = Parameters { pipeline: 3, ..Parameters::standard() };
        genesis(&self.listeners, parameters)
    }

    /// Another handle to a listener.
    pub(super) fn listener(&self, id: u16) -> TcpListener {
        self.listeners[id as usize].try_clone().unwrap()
    }

    pub(super) fn address(&self, id: u16) -> SocketAddr {
        self.listeners[id as usize].local_addr().unwrap()
    }

    pub(super) async fn start(&self, id: u16) -> (Mesh, EventReceiver) {
        self.start_with(id, self.genesis.clone(), self.limits.clone()).await
    }

    pub(super) async fn start_with(&self, id: u16, genesis: Genesis, limits: Limits) -> (Mesh, EventReceiver) {
        // A second handle to the same socket: the port stays ours while the mesh is down.
        let listener = self.listener(id);
        Mesh::start(MeshConfig { genesis, key: key(id as u8), listener, limits }).await.unwrap()
    }

    /// Starts replica `id` where the genesis has replica `place`.
    pub(super) async fn start_behind(&self, place: u16, id: u16) -> (Mesh, EventReceiver) {
        let (genesis, limits) = (self.genesis.clone(), self.limits.clone());
        let config = MeshConfig { genesis, key: key(id as u8), listener: self.listener(place), limits };
        Mesh::start(config).await.unwrap()
    }

    pub(super) async fn client(&self, seed: u8) -> (ClientMesh, EventReceiver) {
        let config = ClientMeshConfig { genesis: self.genesis.clone(), key: key(seed), limits: self.limits.clone() };
        ClientMesh::start(config).await.unwrap()
    }

    /// Opens a TLS channel to a replica with any key.
    pub(super) async fn channel(&self, to: u16, seed: u8) -> Channel {
        let socket = TcpStream::connect(self.address(to)).await.unwrap();
        Tls::new(&key(seed)).unwrap().connect(socket).await.unwrap()
    }

    /// Connects to a replica and greets it as `who`, with any key.
    pub(super) async fn intrude(&self, to: u16, seed: u8, who: Party) -> Result<Channel, Reason> {
        let keyring = self.genesis.keyring();
        let hello = Doorkeeper { keyring, me: who, my_key: account(seed) }.hello();
        self.intrude_with(to, seed, &hello).await
    }

    pub(super) async fn intrude_with(&self, to: u16, seed: u8, hello: &[u8]) -> Result<Channel, Reason> {
        let mut channel = self.channel(to, seed).await;
        greet(&mut channel.stream, hello, |_| Ok(())).await.map(|()| channel)
    }
}

fn genesis(listeners: &[TcpListener], parameters: Parameters) -> Genesis {
    let replicas = listeners
        .iter()
        .zip(0..)
        .map(|(listener, seed)| ReplicaEntry {
            key: account(seed),
            address: listener.local_addr().unwrap().to_string(),
        })
        .collect();
    let client = |name: &str, seed| ClientEntry { name: name.into(), key: account(seed), role: Role::Write };
    Genesis::new("test".into(), replicas, vec![client("alice", ALICE), client("bob", BOB)], vec![], parameters).unwrap()
}

/// The next event; fails if none comes.
pub(super) async fn next(receiver: &mut EventReceiver) -> Event {
    timeout(DEADLINE, receiver.recv()).await.expect("no event came").expect("the mesh ended")
}

/// The next frame, whatever else happens before.
pub(super) async fn next_frame(receiver: &mut EventReceiver) -> (From, Bytes) {
    loop {
        if let Event::Frame { from, bytes } = next(receiver).await {
            return (from, bytes);
        }
    }
}

/// Waits until somebody that `wanted` recognises is connected.
pub(super) async fn connected(receiver: &mut EventReceiver, wanted: impl Fn(From) -> bool) -> From {
    loop {
        if let Event::Connected(from) = next(receiver).await
            && wanted(from)
        {
            return from;
        }
    }
}

/// Waits until somebody is disconnected, and says who and why.
pub(super) async fn disconnected(receiver: &mut EventReceiver) -> (From, Reason) {
    loop {
        if let Event::Disconnected(from, reason) = next(receiver).await {
            return (from, reason);
        }
    }
}

/// Waits until `holds`; fails if it never does.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "never happened: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until all replicas are connected both ways.
pub(super) async fn until_meshed(meshes: &[&Mesh]) {
    let expected = |mesh: &&Mesh| mesh.peers().iter().filter(|peer| peer.connected && peer.heard).count();
    until("all replicas connected", || meshes.iter().all(|mesh| expected(mesh) >= meshes.len() - 1)).await;
}

/// Writes a raw frame.
pub(super) async fn write_frame(channel: &mut Channel, bytes: &[u8]) {
    channel.stream.write_all(&(bytes.len() as u32).to_le_bytes()).await.unwrap();
    channel.stream.write_all(bytes).await.unwrap();
    channel.stream.flush().await.unwrap();
}

/// Waits until the other side has closed.
pub(super) async fn until_closed(mut stream: impl AsyncReadExt + Unpin) {
    let mut buffer = [0; 1024];
    let end = async { while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {} };
    timeout(DEADLINE, end).await.expect("the other side did not close");
}
