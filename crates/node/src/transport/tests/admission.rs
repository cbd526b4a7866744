//! Who gets in, who does not, and what each is told.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::super::door::{Doorkeeper, Party};
use super::super::{ClientMesh, ClientMeshConfig, Error, Limits, Mesh, MeshConfig, Reason, listen};
use super::world::*;
use crate::transport::From;

#[tokio::test]
async fn members_and_known_clients_get_in() {
    let world = World::new();
    let (mesh, mut events) = world.start(0).await;
    let (_other, _) = world.start(1).await;
    let (_alice, _) = world.client(ALICE).await;
    connected(&mut events, |from| matches!(from, From::Client(who, _) if who == account(ALICE))).await;
    until("replica 1 is connected", || mesh.peers()[0].connected && mesh.peers()[0].heard).await;
}

#[tokio::test]
async fn a_stranger_is_told_that_its_key_is_in_no_list() {
    let world = World::new();
    let (_mesh, _) = world.start(0).await;
    for who in [Party::Client, Party::Replica(replica(1))] {
        let reason = world.intrude(0, STRANGER, who).await.err().unwrap().to_string();
        assert!(reason.contains("neither a replica's nor a client's"), "{reason}");
        assert!(reason.contains(&account(STRANGER).to_string()), "{reason}");
    }
}

#[tokio::test]
async fn a_client_cannot_pass_for_a_member() {
    let world = World::new();
    let (_mesh, _) = world.start(0).await;
    let reason = world.intrude(0, ALICE, Party::Replica(replica(1))).await.err().unwrap().to_string();
    assert!(reason.contains("claims to be replica 1, but holds the key of a client"), "{reason}");
}

#[tokio::test]
async fn a_node_does_not_let_its_own_key_in() {
    let world = World::new();
    let (_mesh, _) = world.start(0).await;
    let reason = world.intrude(0, 0, Party::Replica(replica(0))).await.err().unwrap().to_string();
    assert!(reason.contains("no two processes may use one key"), "{reason}");
}

#[tokio::test]
async fn another_genesis_is_refused_and_both_sides_say_so() {
    let world = World::new();
    let (ours, _) = world.start(0).await;
    let (theirs, _) = world.start_with(1, world.other_genesis(), world.limits.clone()).await;
    let error = |mesh: &Mesh| mesh.peers()[0].last_error.clone().unwrap_or_default();
    until("both were refused", || error(&ours).contains("refused by") && error(&theirs).contains("refused by")).await;
    let short = |genesis: bezant_types::Digest| genesis.to_string()[..8].to_owned();
    let (a, b) = (short(world.genesis.digest()), short(world.other_genesis().digest()));
    // Said by the other side, so "theirs" is ours.
    let words = format!("refused by {}: other genesis (theirs {a}…, ours {b}…)", world.address(1));
    assert!(error(&ours).starts_with(&words), "{}", error(&ours));
    let words = format!("refused by {}: other genesis (theirs {b}…, ours {a}…)", world.address(0));
    assert!(error(&theirs).starts_with(&words), "{}", error(&theirs));
    assert!(!ours.peers()[0].connected && !ours.peers()[0].heard);
}

#[tokio::test]
async fn another_protocol_version_is_refused_and_told() {
    let world = World::new();
    let (_mesh, _) = world.start(0).await;
    let keyring = world.genesis.keyring();
    let mut hello = Doorkeeper { keyring, me: Party::Client, my_key: account(ALICE) }.hello();
    hello[4] = 9;
    let reason = world.intrude_with(0, ALICE, &hello).await.err().unwrap().to_string();
    assert!(reason.contains("other protocol version (theirs 9, ours 1)"), "{reason}");
}

#[tokio::test]
async fn a_dialer_that_is_led_to_another_member_refuses_it() {
    let world = World::new();
    let (dialer, _events) = world.start(0).await;
    // Who controls the network leads what is meant for replica 1 to replica 2.
    let (_misled, _) = world.start_behind(1, 2).await;
    let words =
        format!("we refused {}: replica 1 was expected at this address, and replica 2 answers", world.address(1));
    let error = || dialer.peers()[0].last_error.clone().unwrap_or_default();
    until("replica 2 is refused", || error().starts_with(&words)).await;
}

#[tokio::test]
async fn a_key_that_the_genesis_does_not_name_does_not_start() {
    let world = World::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (genesis, limits) = (world.genesis.clone(), world.limits.clone());
    let config = MeshConfig { genesis: genesis.clone(), key: key(ALICE), listener, limits: limits.clone() };
    let error = Mesh::start(config).await.err().unwrap();
    assert!(matches!(error, Error::NotAReplica { .. }));
    assert!(error.to_string().contains(&account(ALICE).to_string()), "{error}");
    let error = ClientMesh::start(ClientMeshConfig { genesis, key: key(0), limits }).await.err().unwrap();
    assert!(matches!(error, Error::NotAClient { .. }));
}

#[test]
fn an_address_in_use_is_named_with_the_remedy() {
    let world = World::new();
    let address = world.address(0).to_string();
    let words = listen(&address).unwrap_err().to_string();
    assert_eq!(words, format!("another process listens on {address}; stop it or choose another port"));
    let words = listen("192.0.2.1:1").unwrap_err().to_string();
    assert!(words.contains("192.0.2.1:1") && words.contains("choose an address"), "{words}");
}

#[tokio::test]
async fn plaintext_and_garbage_are_closed_and_harm_nobody() {
    let world = World::new();
    let (_mesh, mut events) = world.start(0).await;
    let inputs: [&[u8]; 4] = [b"GET / HTTP/1.1\r\n\r\n", b"*1\r\n$4\r\nPING\r\n", &[0xff; 4096], &[0; 4096]];
    for input in inputs {
        let mut socket = TcpStream::connect(world.address(0)).await.unwrap();
        socket.write_all(input).await.unwrap();
        until_closed(socket).await;
    }
    // A well-formed TLS record header that announces a handshake and does not deliver.
    let mut socket = TcpStream::connect(world.address(0)).await.unwrap();
    socket.write_all(&[0x16, 3, 1, 0xff, 0xff, 1]).await.unwrap();
    let (_alice, _) = world.client(ALICE).await;
    connected(&mut events, |from| matches!(from, From::Client(..))).await;
}

#[tokio::test]
async fn garbage_instead_of_a_greeting_is_closed() {
    let world = World::new();
    let (_mesh, _) = world.start(0).await;
    let mut channel = world.channel(0, ALICE).await;
    channel.stream.write_all(&[0xff; 64]).await.unwrap();
    channel.stream.flush().await.unwrap();
    until_closed(channel.stream).await;
    let reason = world.intrude_with(0, ALICE, b"garbage").await.err().unwrap().to_string();
    assert!(reason.contains("malformed"), "{reason}");
}

#[tokio::test]
async fn a_peer_that_shows_no_key_does_not_get_a_channel() {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;

    let world = World::new();
    let (_mesh, _) = world.start(0).await;
    // An ordinary TLS client with certificates as browsers use them, trusting nobody and showing nothing.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let socket = TcpStream::connect(world.address(0)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    assert!(connector.connect(ServerName::try_from("bezant").unwrap(), socket).await.is_err());
}

#[tokio::test]
async fn silent_connections_do_not_keep_others_out() {
    let world = World::new();
    let limits = Limits { pending_handshakes: 3, ..world.limits.clone() };
    let (_mesh, mut events) = world.start_with(0, world.genesis.clone(), limits).await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(TcpStream::connect(world.address(0)).await.unwrap());
    }
    let (_alice, _) = world.client(ALICE).await;
    connected(&mut events, |from| matches!(from, From::Client(..))).await;
}

#[tokio::test]
async fn a_handshake_has_a_deadline_as_a_whole() {
    let world = World::new();
    let limits = Limits { handshake_timeout: Duration::from_millis(200), ..world.limits.clone() };
    let (_mesh, _) = world.start_with(0, world.genesis.clone(), limits).await;
    until_closed(TcpStream::connect(world.address(0)).await.unwrap()).await;
    // Through TLS and then silent: the same deadline.
    until_closed(world.channel(0, ALICE).await.stream).await;
}

#[tokio::test]
async fn a_client_has_a_bounded_number_of_connections_and_is_told() {
    let mut world = World::new();
    world.limits.connections_per_client = 2;
    let (_mesh, _) = world.start(0).await;
    let first = world.intrude(0, ALICE, Party::Client).await.unwrap();
    let _second = world.intrude(0, ALICE, Party::Client).await.unwrap();
    let refused = world.intrude(0, ALICE, Party::Client).await.err().unwrap();
    assert!(matches!(&refused, Reason::Refused(words) if words.contains("already has 2 connections")), "{refused}");
    assert!(world.intrude(0, BOB, Party::Client).await.is_ok(), "another client is not affected");
    drop(first);
    let start = tokio::time::Instant::now();
    while world.intrude(0, ALICE, Party::Client).await.is_err() {
        assert!(start.elapsed() < DEADLINE, "the place was not given back");
    }
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_cut_off_before_tls() {
    let world = World::new();
    let limits = Limits { handshakes_per_second: 2, ..world.limits.clone() };
    let (_mesh, _) = world.start_with(0, world.genesis.clone(), limits).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(TcpStream::connect(world.address(0)).await.unwrap());
    }
    until_closed(TcpStream::connect(world.address(0)).await.unwrap()).await;
}
