//! The gateway over real sockets and the real ledger, with the replicas between them left out.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too")]

#[path = "support/client.rs"]
mod client;
mod support;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bezant_node::gateway::{BindError, Exposure, Facts, Gateway, Options, seam};
use bezant_types::genesis::Parameters;
use bezant_types::keys::Role;
use client::Client;
use support::{Group, Kindness, gateway_key, genesis};
use tokio::sync::oneshot;

/// A running gateway, and its group if it has one.
struct World {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    gateway: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Setup {
    role: Option<Role>,
    parameters: Option<fn(&mut Parameters)>,
    options: Option<fn(&mut Options)>,
    kindness: Option<Kindness>,
}

impl Setup {
    async fn start(self) -> World {
        let (world, requests) = self.without_group().await;
        tokio::spawn(requests);
        world
    }

    /// The gateway, and the group as a future that nobody has to drive.
    async fn without_group(self) -> (World, impl Future<Output = ()>) {
        let genesis = genesis(self.role.unwrap_or(Role::Write), self.parameters.unwrap_or(|_| ()));
        let facts = Facts::new(&genesis, gateway_key().account()).unwrap();
        let mut options = Options::standard(SocketAddr::from(([127, 0, 0, 1], 0)), &facts);
        self.options.unwrap_or(|_| ())(&mut options);
        let gateway = Gateway::bind(options, facts).await.unwrap();
        let address = gateway.local_addr();
        let (link, requests) = seam::seam();
        let (stop, stopped) = oneshot::channel::<()>();
        let gateway = tokio::spawn(gateway.run(link, async {
            let _ = stopped.await;
        }));
        let group = Group::new(genesis, self.kindness.unwrap_or(Kindness::Fifo), Duration::ZERO);
        (World { address, stop, gateway }, group.serve(requests))
    }
}

impl World {
    async fn new() -> Self {
        Setup::default().start().await
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }
}

#[tokio::test]
async fn commands_do_what_redis_does() {
    let world = World::new().await;
    let mut client = world.client().await;
    let script = [
        ("PING", "+PONG"),
        ("ECHO hi", "\"hi\""),
        ("GET k", "nil"),
        ("SET k v", "+OK"),
        ("GET k", "\"v\""),
        ("SET k w NX", "nil"),
        ("SET k w XX GET", "\"v\""),
        ("SET new w XX", "nil"),
        ("SETNX k x", ":0"),
        ("SETNX n 41", ":1"),
        ("INCR n", ":42"),
        ("DECRBY n 50", ":-8"),
        ("INCR k", "-ERR value is not an integer or out of range"),
        ("APPEND k 123", ":4"),
        ("STRLEN k", ":4"),
        ("TYPE k", "+string"),
        ("TYPE none", "+none"),
        ("MSET a 1 b 2", "+OK"),
        ("MGET a none b", "[\"1\", nil, \"2\"]"),
        ("EXISTS a b none a", ":3"),
        ("DBSIZE", ":4"),
        ("DEL a b none", ":2"),
        ("GETDEL k", "\"w123\""),
        ("GETDEL k", "nil"),
        ("BALANCE", ":1000"),
        ("TRANSFER bob 10", "+OK"),
        ("BALANCE bob", ":10"),
        ("TRANSFER bob 991", "-OVERDRAFT the account holds 990, which does not cover 991"),
        ("OWNER none", "nil"),
        ("GRANT n bob", ":1"),
        ("GRANT n bob", ":0"),
        ("REVOKE n bob", ":1"),
        ("GRANT none bob", "-ERR there is no such entry"),
    ];
    for (line, reply) in script {
        assert_eq!(client.ask(line).await, reply, "{line}");
    }
    assert_eq!(client.ask("OWNER n").await, format!("\"{}\"", gateway_key().account()));
}

#[tokio::test]
async fn resp3_is_spoken_from_the_hello_on() {
    let world = World::new().await;
    let mut client = world.client().await;
    let replies = client.pipeline(&["GET k", "HELLO 3", "GET k", "CONFIG GET save", "RESET", "CONFIG GET save"]).await;
    assert_eq!(replies[0], "nil");
    assert!(replies[1].starts_with("{\"server\": \"bezant\""), "{}", replies[1]);
    assert_eq!(replies[2..], ["nil", "{\"save\": \"\"}", "+RESET", "[\"save\", \"\"]"]);
    client.write(b"HELLO 3\r\n").await;
    client.reply().await;
    client.write(b"GET k\r\n").await;
    let mut raw = [0; 3];
    tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut raw).await.unwrap();
    assert_eq!(&raw, b"_\r\n");
}

#[tokio::test]
async fn a_proof_covers_what_was_acknowledged_before() {
    let world = World::new().await;
    let mut client = world.client().await;
    let replies = client.pipeline(&["SET k 1", "SET k 2", "PROVE k", "SET k 3", "PROVE none", "ROOT"]).await;
    assert!(replies[2].starts_with("[\"found\", :1, \"value\", \"2\", \"owner\", "), "{}", replies[2]);
    assert!(replies[2].contains("\"signed_by\", [:0, :1, :2], \"proof\", "));
    assert!(replies[4].starts_with("[\"found\", :0, \"sequence\", "), "{}", replies[4]);
    assert!(replies[5].starts_with("[\"sequence\", :"), "{}", replies[5]);
    assert!(client.ask("PROVE BALANCE gateway").await.starts_with("[\"balance\", :1000, "));
}

#[tokio::test]
async fn a_client_that_may_only_read_is_told_so() {
    let world = Setup { role: Some(Role::Read), ..Setup::default() }.start().await;
    let mut client = world.client().await;
    assert_eq!(client.ask("SET k v").await, "-NOPERM this client may only read");
    assert_eq!(client.ask("GET k").await, "nil");
}

/// Whatever the order of bundles, a pipeline's commands take effect in the order in which they were sent.
#[tokio::test]
async fn pipelines_keep_their_order_although_bundles_are_reordered() {
    for seed in 0..8 {
        let narrow: fn(&mut Parameters) = |parameters| parameters.max_bundle_operations = 16;
        let kindness = Some(Kindness::AnyOrder(seed));
        let world = Setup { parameters: Some(narrow), kindness, ..Setup::default() }.start().await;
        let mut tasks = Vec::new();
        for number in 0..12 {
            let mut client = world.client().await;
            tasks.push(tokio::spawn(async move {
                // Longer than a bundle, so that a pipeline is cut.
                let lines: Vec<_> = (0..40)
                    .flat_map(|i| [format!("SET k{number} {i}"), format!("GET k{number}"), "INCR all".into()])
                    .collect();
                let replies = client.pipeline(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
                let mut counted = Vec::new();
                for (i, three) in replies.chunks(3).enumerate() {
                    assert_eq!(three[..2], ["+OK".to_owned(), format!("\"{i}\"")], "seed {seed}");
                    counted.push(three[2].trim_start_matches(':').parse::<u32>().unwrap());
                }
                assert!(counted.is_sorted(), "seed {seed}: {counted:?}");
                counted
            }));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, (1..=12 * 40).collect::<Vec<_>>(), "seed {seed}: each executed once");
    }
}

/// A read that starts after a write was answered sees it, on whatever connection.
#[tokio::test]
async fn what_was_acknowledged_is_seen_by_everybody_afterwards() {
    for seed in 0..4 {
        let world = Setup { kindness: Some(Kindness::AnyOrder(seed)), ..Setup::default() }.start().await;
        let mut noise = Vec::new();
        for number in 0..8 {
            let mut client = world.client().await;
            noise.push(tokio::spawn(async move {
                for i in 0..200 {
                    assert_eq!(client.ask(&format!("SET noise{number} {i}")).await, "+OK");
                }
            }));
        }
        let (mut writer, mut reader) = (world.client().await, world.client().await);
        for i in 0..200 {
            assert_eq!(writer.ask(&format!("SET k {i}")).await, "+OK");
            assert_eq!(reader.ask("GET k").await, format!("\"{i}\""), "seed {seed}");
        }
        for task in noise {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn without_a_quorum_there_is_an_error_and_the_connection_stays_usable() {
    let impatient: fn(&mut Options) = |options| options.patience = Duration::from_millis(200);
    let (world, group) = Setup { options: Some(impatient), ..Setup::default() }.without_group().await;
    let mut client = world.client().await;
    let replies = client.pipeline(&["PING", "SET k v", "GET k"]).await;
    assert_eq!(replies[0], "+PONG");
    for reply in &replies[1..] {
        assert!(reply.starts_with("-NOQUORUM no answer within "), "{reply}");
        assert!(reply.ends_with("the command may or may not have been executed"), "{reply}");
    }
    assert!(client.ask("PROVE k").await.starts_with("-NOQUORUM "));
    let info = client.ask("INFO").await;
    assert!(info.contains("loading:0") && info.contains("failed_bundles:2"), "INFO needs no quorum: {info}");
    tokio::spawn(group);
    assert_eq!(client.ask("SET k w").await, "+OK");
    assert_eq!(client.ask("GET k").await, "\"w\"");
}

#[tokio::test]
async fn an_oversized_value_is_refused_with_its_limit_and_the_connection_goes_on() {
    let world = World::new().await;
    let mut client = world.client().await;
    let large = "x".repeat((1 << 20) + 1);
    let replies = client.pipeline(&["SET k before", &format!("SET k {large}"), "GET k"]).await;
    assert_eq!(replies, ["+OK", "-TOOLARGE an argument has 1048577 bytes, at most 1048576 are allowed", "\"before\""]);
    let largest = "y".repeat(1 << 20);
    assert_eq!(client.ask(&format!("SET k {largest}")).await, "+OK");
    assert_eq!(client.ask("STRLEN k").await, ":1048576");
    assert_eq!(client.ask("GET k").await, format!("\"{largest}\""));
    assert_eq!(client.ask("APPEND k z").await, "-TOOLARGE the value has 1048577 bytes, at most 1048576 are allowed");
    assert!(client.ask("MGET k k k k k").await.starts_with("-TOOLARGE the answer would exceed 4194304 bytes"));
    // Each fits a bundle alone; together they do not, and nobody notices.
    for reply in client.pipeline(&["GET k"; 9]).await {
        assert_eq!(reply.len(), largest.len() + 2);
    }
}

#[tokio::test]
async fn bytes_that_are_no_resp_get_an_error_and_the_end() {
    let world = World::new().await;
    let cases: [(&[u8], &str); 3] = [
        (b"*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'"),
        (b"*abc\r\n", "-ERR Protocol error: invalid multibulk length"),
        (b"GET \"k\r\n", "-ERR Protocol error: unbalanced quotes in request"),
    ];
    for (bytes, words) in cases {
        let mut client = world.client().await;
        client.write(b"PING\r\n").await;
        client.write(bytes).await;
        assert_eq!(client.reply().await, "+PONG");
        assert_eq!(client.reply().await, words);
        assert_eq!(client.try_reply().await, None);
    }
}

#[tokio::test]
async fn a_browser_is_cut_off_before_its_body_is_read_as_commands() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.write(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET k stolen\r\n").await;
    assert_eq!(client.try_reply().await, None);
    assert_eq!(world.client().await.ask("GET k").await, "nil");
}

#[tokio::test]
async fn a_command_may_arrive_byte_by_byte_and_a_half_close_is_no_end() {
    let world = World::new().await;
    let mut client = world.client().await;
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\nGET k\r\n" {
        client.write(&[*byte]).await;
    }
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    assert_eq!(client.reply().await, "+OK");
    assert_eq!(client.reply().await, "\"v\"");
    assert_eq!(client.try_reply().await, None);
}

#[tokio::test]
async fn quit_answers_and_closes() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(&["SET k v", "QUIT", "SET k w"]).await;
    assert_eq!(client.reply().await, "+OK");
    assert_eq!(client.reply().await, "+OK");
    assert_eq!(client.try_reply().await, None);
    assert_eq!(world.client().await.ask("GET k").await, "\"v\"");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let world = Setup { options: Some(|options| options.most_clients = 2), ..Setup::default() }.start().await;
    let (mut one, mut two) = (world.client().await, world.client().await);
    assert_eq!((one.ask("PING").await.as_str(), two.ask("PING").await.as_str()), ("+PONG", "+PONG"));
    let mut three = world.client().await;
    assert_eq!(three.reply().await, "-ERR max number of clients reached");
    assert_eq!(three.try_reply().await, None);
    one.send(&["QUIT"]).await;
    while one.try_reply().await.is_some() {}
    // The place is free once the gateway has seen the end of the first.
    while world.client().await.ask("PING").await != "+PONG" {}
}

#[tokio::test]
async fn half_a_large_command_does_not_hold_memory_for_ever() {
    let options: fn(&mut Options) = |options| options.stall = Duration::from_millis(100);
    let world = Setup { options: Some(options), ..Setup::default() }.start().await;
    let mut client = world.client().await;
    client.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n").await;
    client.write(&[b'x'; 500_000]).await;
    assert_eq!(client.reply().await, "-ERR Protocol error: the command was not complete within 0.1 s");
    assert_eq!(client.try_reply().await, None);
    // A small one may take its time.
    let mut slow = world.client().await;
    slow.write(b"*1\r\n$4\r\nPI").await;
    let mut other = world.client().await;
    let info = other.ask("INFO memory").await;
    assert!(info.contains("connection_bytes:0\\r\\n"), "{info}");
    slow.write(b"NG\r\n").await;
    assert_eq!(slow.reply().await, "+PONG");
}

#[tokio::test]
async fn connections_that_would_hold_too_much_together_are_refused_and_the_others_served() {
    let options: fn(&mut Options) = |options| {
        options.stall = Duration::from_millis(200);
        options.bytes_in_all = 1_500_000;
    };
    let world = Setup { options: Some(options), ..Setup::default() }.start().await;
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let mut client = world.client().await;
        client.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n").await;
        client.write(&[b'x'; 900_000]).await;
        greedy.push(client);
    }
    let mut modest = world.client().await;
    assert_eq!(modest.ask("SET small 1").await, "+OK");
    for mut client in greedy {
        let reply = client.try_reply().await;
        assert!(reply.is_none_or(|text| text.starts_with("-ERR ")));
    }
    let value = "x".repeat(1_000_000);
    assert_eq!(modest.ask(&format!("SET k {value}")).await, "+OK");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_replies_is_cut_off() {
    let options: fn(&mut Options) = |options| options.stall = Duration::from_millis(50);
    let world = Setup { options: Some(options), ..Setup::default() }.start().await;
    let mut client = world.client().await;
    let value = "x".repeat(100_000);
    client.ask(&format!("SET k {value}")).await;
    // Far more than the sockets hold between them.
    let lines = vec!["GET k"; 400];
    let mut sloth = world.client().await;
    sloth.send(&lines).await;
    let mut left = String::new();
    while !left.contains("connected_clients:1\\r\\n") {
        left = client.ask("INFO clients").await;
    }
    assert_eq!(client.ask("PING").await, "+PONG");
}

#[tokio::test]
async fn other_machines_are_refused_unless_forced() {
    let genesis = genesis(Role::Write, |_| ());
    let facts = Facts::new(&genesis, gateway_key().account()).unwrap();
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut options = Options::standard(everywhere, &facts);
    let refused = Gateway::bind(options.clone(), facts.clone()).await.unwrap_err();
    assert!(matches!(refused, BindError::NotLoopback(address) if address == everywhere));
    assert!(refused.to_string().contains("no authentication"), "{refused}");
    options.exposure = Exposure::UnauthenticatedToEveryone;
    Gateway::bind(options, facts).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let world = World::new().await;
    let genesis = genesis(Role::Write, |_| ());
    let facts = Facts::new(&genesis, gateway_key().account()).unwrap();
    let taken = Gateway::bind(Options::standard(world.address, &facts), facts).await.unwrap_err();
    assert!(taken.to_string().contains("is taken by another program"), "{taken}");
}

#[tokio::test]
async fn a_key_of_no_client_is_refused() {
    let genesis = genesis(Role::Write, |_| ());
    let stranger = bezant_types::SecretKey::from_seed([55; 32]).account();
    assert!(Facts::new(&genesis, stranger).unwrap_err().to_string().contains("no client of the network"));
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_closes_the_rest() {
    let (world, group) = Setup::default().without_group().await;
    let (mut busy, mut idle) = (world.client().await, world.client().await);
    assert_eq!(idle.ask("PING").await, "+PONG");
    busy.send(&["SET k v"]).await;
    let mut info = String::new();
    while !info.contains("bundles_in_flight:1\\r\\n") {
        info = idle.ask("INFO stats").await;
    }
    world.stop.send(()).unwrap();
    assert_eq!(idle.try_reply().await, None);
    tokio::spawn(group);
    assert_eq!(busy.reply().await, "+OK");
    assert_eq!(busy.try_reply().await, None);
    world.gateway.await.unwrap();
}
