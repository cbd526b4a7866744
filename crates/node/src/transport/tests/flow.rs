//! Frames on their way: intact, in order, within bounds, and again after a break.

use std::time::Duration;

use bezant_types::genesis::Parameters;
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener as TokioListener;
use tokio::time::timeout;

use super::super::door::{Doorkeeper, Party, greet};
use super::super::tls::Tls;
use super::super::{Limits, Reason};
use super::world::*;
use crate::transport::{Event, From};

#[tokio::test]
async fn frames_between_all_replicas_arrive_intact_and_in_order() {
    let world = World::new();
    let mut nodes = Vec::new();
    for id in 0..4 {
        nodes.push(world.start(id).await);
    }
    until_meshed(&nodes.iter().map(|(mesh, _)| mesh).collect::<Vec<_>>()).await;
    let sizes = [1, 200, 16_384, 16_380, 3, 70_000, 1_000_000, 17];
    for (mesh, _) in &nodes {
        for to in (0..4).map(replica).filter(|to| *to != mesh.me()) {
            for (index, size) in sizes.iter().enumerate() {
                let tag = mesh.me().get() as u8 * 50 + index as u8;
                mesh.send(to, payload(tag, *size));
            }
        }
        mesh.flush();
    }
    for (me, (_, events)) in nodes.iter_mut().enumerate() {
        let mut expected = [0usize; 4];
        for _ in 0..3 * sizes.len() {
            let (from, bytes) = next_frame(events).await;
            let From::Replica(sender) = from else { panic!("{from}") };
            let index = expected[sender.index()];
            assert!(bytes == payload(sender.get() as u8 * 50 + index as u8, sizes[index]), "{sender} to {me}, {index}");
            expected[sender.index()] += 1;
        }
        assert_eq!(expected.iter().sum::<usize>(), 3 * sizes.len());
    }
}

#[tokio::test]
async fn the_largest_frame_passes() {
    let world = World::new();
    let (sender, _events) = world.start(0).await;
    let (_receiver, mut events) = world.start(1).await;
    until("connected", || sender.peers()[0].connected).await;
    let frame = payload(7, world.limits.replica_frame);
    sender.send(replica(1), frame.clone());
    sender.flush();
    assert!(next_frame(&mut events).await.1 == frame);
}

#[tokio::test]
async fn a_client_hears_answers_on_the_connection_it_asked_on_or_on_all() {
    let world = World::new();
    let (mesh, mut events) = world.start(0).await;
    let (first, mut first_events) = world.client(ALICE).await;
    let (_second, mut second_events) = world.client(ALICE).await;
    let (_bob, mut bob_events) = world.client(BOB).await;
    for events in [&mut first_events, &mut second_events, &mut bob_events] {
        connected(events, |from| from == From::Replica(replica(0))).await;
    }
    first.send(replica(0), Bytes::from_static(b"request"));
    first.flush();
    let (from, bytes) = next_frame(&mut events).await;
    let From::Client(who, connection) = from else { panic!("{from}") };
    assert_eq!((who, &bytes[..]), (account(ALICE), &b"request"[..]));
    mesh.reply(connection, Bytes::from_static(b"to the asker"));
    mesh.reply(account(ALICE), Bytes::from_static(b"to alice"));
    mesh.reply(account(BOB), Bytes::from_static(b"to bob"));
    mesh.flush();
    assert_eq!(&next_frame(&mut first_events).await.1[..], b"to the asker");
    assert_eq!(&next_frame(&mut first_events).await.1[..], b"to alice");
    assert_eq!(&next_frame(&mut second_events).await.1[..], b"to alice");
    assert_eq!(&next_frame(&mut bob_events).await.1[..], b"to bob");
}

#[tokio::test]
async fn a_replica_that_restarts_is_found_again_and_gets_what_was_queued_meanwhile() {
    let world = World::new();
    let (stays, _stays_events) = world.start(0).await;
    let (leaves, leaves_events) = world.start(1).await;
    until_meshed(&[&stays, &leaves]).await;
    leaves.shutdown().await;
    drop(leaves_events);
    until("the loss is noticed", || !stays.peers()[0].connected && !stays.peers()[0].heard).await;
    stays.send(replica(1), Bytes::from_static(b"while you were away"));
    stays.flush();
    let (back, mut events) = world.start(1).await;
    assert_eq!(&next_frame(&mut events).await.1[..], b"while you were away");
    until_meshed(&[&stays, &back]).await;
    back.send(replica(0), Bytes::from_static(b"here again"));
}

#[tokio::test]
async fn a_shutdown_sends_what_is_queued_and_frees_the_port() {
    let world = World::new();
    let (leaves, _events) = world.start(0).await;
    let (_stays, mut events) = world.start(1).await;
    until("connected", || leaves.peers()[0].connected).await;
    for tag in 0..100 {
        leaves.send(replica(1), payload(tag, 10_000));
    }
    leaves.shutdown().await;
    for tag in 0..100 {
        assert!(next_frame(&mut events).await.1 == payload(tag, 10_000));
    }
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_and_never_waits() {
    let mut world = World::new();
    world.limits.outgoing_while_down = 100_000;
    let (mesh, _events) = world.start(0).await;
    // Nobody accepts at replica 1.
    let sent = 10_000u32;
    timeout(DEADLINE, async {
        for number in 0..sent {
            mesh.send(replica(1), Bytes::copy_from_slice(&[number.to_le_bytes(); 250].concat()));
        }
        mesh.flush();
    })
    .await
    .unwrap();
    let status = &mesh.peers()[0];
    assert!(status.queued_bytes <= 100_000, "{status:?}");
    let kept = u64::from(sent) - status.dropped_frames;
    assert!((1..=100).contains(&kept), "{status:?}");
    // The latest are the ones that were kept.
    let (_other, mut events) = world.start(1).await;
    for number in u64::from(sent) - kept..u64::from(sent) {
        assert_eq!(next_frame(&mut events).await.1[..4], (number as u32).to_le_bytes());
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_costs_a_bounded_queue() {
    let mut world = World::new();
    world.limits.replica_frame = 64 << 10;
    world.limits.outgoing_per_replica = 1 << 20;
    world.limits.idle_timeout = DEADLINE;
    let (mesh, _events) = world.start(0).await;
    // Replica 1 greets and then leaves its socket alone.
    let listener = world.listener(1);
    listener.set_nonblocking(true).unwrap();
    let listener = TokioListener::from_std(listener).unwrap();
    let (socket, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    let mut channel = Tls::new(&key(1)).unwrap().accept(socket).await.unwrap();
    let keyring = world.genesis.keyring();
    let hello = Doorkeeper { keyring, me: Party::Replica(replica(1)), my_key: account(1) }.hello();
    greet(&mut channel.stream, &hello, |_| Ok(())).await.unwrap();
    until("connected", || mesh.peers()[0].connected).await;
    // More than any socket buffer holds.
    for round in 0..2_000u32 {
        mesh.send(replica(1), payload(round as u8, 60_000));
        mesh.flush();
        if round % 16 == 0 {
            tokio::task::yield_now().await;
        }
        assert!(mesh.peers()[0].queued_bytes <= 1 << 20);
    }
    assert!(mesh.peers()[0].dropped_frames > 0);
}

#[tokio::test]
async fn a_flooding_client_is_held_at_its_budget_and_delays_nobody() {
    let parameters = Parameters { max_bundle_bytes: 64 << 10, max_value_bytes: 1 << 10, ..Parameters::standard() };
    let mut world = World::with_parameters(parameters);
    world.limits.incoming_per_client = 1 << 20;
    let (_mesh, mut events) = world.start(0).await;
    let mut floods = Vec::new();
    for connection in 0..3 {
        let mut channel = world.intrude(0, ALICE, Party::Client).await.unwrap();
        floods.push(tokio::spawn(async move {
            let frame = payload(connection, 1000);
            for sent in 0u64.. {
                let write = timeout(Duration::from_millis(500), write_frame(&mut channel, &frame)).await;
                if write.is_err() {
                    return (sent, channel);
                }
            }
            unreachable!("the flood is not held back")
        }));
    }
    let mut channels = Vec::new();
    for flood in floods {
        let (sent, channel) = timeout(DEADLINE, flood).await.expect("the flood is held back").unwrap();
        assert!(sent > 0);
        channels.push(channel);
    }
    // Another client gets through, although the host holds on to all that the flood sent.
    let mut bob = world.intrude(0, BOB, Party::Client).await.unwrap();
    write_frame(&mut bob, b"me too").await;
    let (mut held, mut from_bob) = (Vec::new(), 0);
    while let Ok(Some(event)) = timeout(Duration::from_millis(300), events.recv()).await {
        match event {
            Event::Frame { from: From::Client(who, _), .. } if who == account(BOB) => from_bob += 1,
            Event::Frame { bytes, .. } => held.push(bytes),
            Event::Connected(_) | Event::Disconnected(..) => (),
        }
    }
    assert_eq!(from_bob, 1);
    let bytes: usize = held.iter().map(Bytes::len).sum();
    assert!(bytes <= 1 << 20, "{bytes} bytes of one client");
    assert!(bytes > 1 << 19, "{bytes}: the budget was used");
    // Given back: the flood goes on.
    drop(held);
    assert!(matches!(next(&mut events).await, Event::Frame { .. }));
}

#[tokio::test]
async fn a_frame_beyond_the_limit_ends_the_connection_by_name() {
    let world = World::new();
    let (_mesh, mut events) = world.start(0).await;
    let mut channel = world.intrude(0, ALICE, Party::Client).await.unwrap();
    let found = world.limits.client_frame + 1;
    channel.stream.write_all(&(found as u32).to_le_bytes()).await.unwrap();
    channel.stream.flush().await.unwrap();
    let (from, reason) = disconnected(&mut events).await;
    assert!(matches!(from, From::Client(who, _) if who == account(ALICE)));
    assert_eq!(reason, Reason::TooLarge { found, limit: world.limits.client_frame });
    until_closed(channel.stream).await;
}

#[tokio::test]
async fn a_connection_without_a_sign_of_life_is_given_up() {
    let world = World::new();
    let limits = Limits { idle_timeout: Duration::from_millis(300), ..world.limits.clone() };
    let (_mesh, mut events) = world.start_with(0, world.genesis.clone(), limits).await;
    let channel = world.intrude(0, ALICE, Party::Client).await.unwrap();
    assert_eq!(disconnected(&mut events).await.1, Reason::Silent(300));
    until_closed(channel.stream).await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_by_signs_of_life() {
    let mut world = World::new();
    world.limits.keepalive = Duration::from_millis(20);
    world.limits.idle_timeout = Duration::from_secs(1);
    let (mesh, _events) = world.start(0).await;
    let (_other, _other_events) = world.start(1).await;
    until("connected", || mesh.peers()[0].connected).await;
    let since = mesh.peers()[0].since;
    until("two idle timeouts have passed", || since.elapsed() > Duration::from_millis(2_100)).await;
    assert!(mesh.peers()[0].connected && mesh.peers()[0].since == since);
}

#[tokio::test]
async fn a_members_newer_connection_replaces_the_older() {
    let world = World::new();
    let (mesh, mut events) = world.start(0).await;
    let older = world.intrude(0, 1, Party::Replica(replica(1))).await.unwrap();
    let mut newer = world.intrude(0, 1, Party::Replica(replica(1))).await.unwrap();
    until_closed(older.stream).await;
    write_frame(&mut newer, b"still here").await;
    let (from, bytes) = next_frame(&mut events).await;
    assert_eq!((from, &bytes[..]), (From::Replica(replica(1)), &b"still here"[..]));
    assert!(mesh.peers()[0].heard);
}
