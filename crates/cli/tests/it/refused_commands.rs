//! Commands that cannot be done: each is refused with cause and remedy, and changes nothing.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::network::Network;
use crate::process::bezant;
use crate::redis::{Reply, bulk};

#[test]
fn an_account_pays_what_it_has_and_no_more() {
    let network = Network::started();
    let pay = |amount: &str| network.cli(&["transfer", "bob", amount, "--as", "alice"]);
    pay("1001").refused(&["holds 1000, which does not cover 1001", "Nothing was changed", "Pay less"]);
    pay("18446744073709551616").refused(&["more than there can be", "at most 18,446,744,073,709,551,615 units"]);
    pay("18446744073709551615").refused(&["does not cover"]);
    pay("-5").refused(&["whole number of units, from 0"]);
    pay("0.5").refused(&["whole number of units"]);
    let mut redis = network.redis();
    let words = redis.refused(&["TRANSFER", "bob", "1000001"]);
    assert!(words.contains("1000000") && words.contains("1000001"), "{words}");
    redis.refused(&["TRANSFER", "bob", "18446744073709551616"]);
    network.cli(&["transfer", "carol", "1"]).refused(&["no account \"carol\"", "alice, bob"]);

    assert_eq!(network.cli(&["balance", "alice"]).text(), "alice has 1,000 units\n");
    assert_eq!(network.cli(&["balance", "bob"]).text(), "bob has 1,000 units\n");
    assert_eq!(network.cli(&["balance", "gateway"]).text(), "gateway has 1,000,000 units\n");
    pay("1000").text();
    assert_eq!(network.cli(&["balance", "alice"]).text(), "alice has 0 units\n", "all of it can be paid");
}

/// The file, the line, and what would be right; and a file that is not there.
#[test]
fn a_script_that_is_no_scenario_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("mine.txt");
    let sim = || bezant(&["sim".as_ref(), "--script".as_ref(), script.as_os_str()]);
    sim().refused(&["mine.txt", "No such file"]);
    fs::write(&script, "bezant scenario 1\nat 1s crash 9\n").unwrap();
    sim().refused(&["mine.txt is not a scenario: line 2: there is no machine 9: there are 4"]);
}

#[test]
fn an_entry_is_its_owners_to_write() {
    let network = Network::started();
    network.cli(&["set", "mine", "first", "--as", "alice"]).text();
    let set = |value: &str| network.cli(&["set", "mine", value, "--as", "bob"]);
    set("second").refused(&["belongs to", "has not granted you", "GRANT"]);
    network.cli(&["del", "mine", "--as", "bob"]).refused(&["belongs to"]);
    let words = network.redis().refused(&["SET", "mine", "third"]);
    assert!(words.contains("belongs to"), "{words}");
    assert_eq!(network.cli(&["get", "mine", "--as", "bob"]).text(), "first\n", "all may read");
    network.cli(&["set", "new", "value", "--as", "reader"]).refused(&["may only read", "--as"]);
    assert_eq!(network.cli(&["get", "mine", "--as", "reader"]).text(), "first\n");
}

#[test]
fn a_value_beyond_the_limit_is_refused_and_the_limit_is_told() {
    let mut network = Network::made_with(&["max_value_bytes=1000", "max_key_bytes=50"]);
    network.start_all();
    let (long, longest) = ("v".repeat(1001), "v".repeat(1000));
    network.cli(&["set", "k", &long]).refused(&["1001 bytes, at most 1000", "several keys"]);
    network.cli(&["set", &"k".repeat(51), "v"]).refused(&["the key has 51 bytes, at most 50"]);
    let mut redis = network.redis();
    let words = redis.refused(&["SET", "k", &long]);
    assert!(words.contains("1001") && words.contains("1000"), "{words}");
    network.cli(&["get", "k"]).refused(&["no entry"]);
    network.cli(&["set", "k", &longest]).text();
    assert_eq!(redis.call(&["GET", "k"]).unwrap(), bulk(&longest));
    let words = redis.refused(&["SET", "k", &"v".repeat(100_000)]);
    assert!(words.contains("1000"), "{words}");
}

#[test]
fn a_client_that_the_genesis_does_not_know_is_refused_at_home() {
    let network = Network::made();
    let key = network.client("alice").join("key");
    fs::remove_file(&key).unwrap();
    bezant(&["keygen", "--out", &key.display().to_string()]).text();
    let words = network.cli(&["get", "k", "--as", "alice"]);
    words.refused(&["not the key of any client", "genesis.toml", "Use the genesis.toml"]);
    network.cli(&["get", "k", "--as", "carol"]).refused(&["\"carol\" has no directory", "alice, bob, cli"]);
    let again = bezant(&["keygen", "--out", &key.display().to_string()]);
    again.refused(&["there is a key already", "no key is ever overwritten"]);
}

#[test]
fn a_client_of_another_network_is_refused_with_the_reason() {
    let network = Network::started();
    // The same addresses, other keys: somebody made the network anew and kept using the old homes.
    let other = network.aside("other").display().to_string();
    let port = network.base_port.to_string();
    bezant(&["init", &other, "--base-port", &port, "--client", "cli:admin"]).text();
    let words = bezant(&["get", "k", "--home", &other, "--timeout", "2"]);
    words.refused(&["was not executed", "other genesis", "give all nodes the same genesis.toml"]);
    let status = bezant(&["status", "--home", &other, "--timeout", "2"]);
    assert!(!status.status.success());
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(text.contains("NO QUORUM") && text.contains("other genesis"), "{text}");
    assert_eq!(network.cli(&["status", "--json"]).json()["verdict"], "healthy");
}

#[test]
fn without_a_quorum_the_answer_is_an_error_in_bounded_time() {
    let mut network = Network::started();
    network.cli(&["set", "k", "v"]).text();
    network.kill(0);
    network.kill(1);
    let words = network.redis().refused(&["SET", "k", "w"]);
    assert!(words.starts_with("NOQUORUM") && words.contains("may or may not have been executed"), "{words}");
    let words = network.cli(&["set", "k", "w", "--timeout", "2"]);
    words.refused(&["may or may not have been executed", "replica 0 at", "Connection refused", "bezant up"]);
    let status = network.cli(&["status", "--timeout", "2"]);
    assert!(!status.status.success());
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("NO QUORUM") && text.contains("unreachable: replica 1"), "{text}");
    network.start(0);
    network.wait_answer();
    network.cli(&["set", "k", "x"]).text();
    assert_eq!(network.cli(&["get", "k"]).text(), "x\n");
}

#[test]
fn bytes_that_are_no_frame_harm_nobody() {
    let mut network = Network::started();
    let scribbles: [&[u8]; 4] = [b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096], &[0; 16], b"\x16\x03\x01\xff\xff"];
    for id in 0..4 {
        for scribble in scribbles {
            let mut stream = TcpStream::connect(("127.0.0.1", network.base_port + id)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let _ = stream.write_all(scribble);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            // It is closed, at the latest by the limit on handshakes. What it says before that is TLS's business.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        network.replica(id).expect_alive();
    }
    assert_eq!(network.redis().call(&["SET", "k", "v"]).unwrap(), Reply::Simple("OK".into()));
    assert_eq!(network.status()["verdict"], "healthy");
}

#[test]
fn arguments_that_make_no_sense_are_refused_before_anything_happens() {
    let folder = tempfile::tempdir().unwrap();
    let net = folder.path().join("net").display().to_string();
    bezant(&["init", &net, "--replicas", "3"]).refused(&["3 replicas are too few", "n >= 3f + 1", "at least 4"]);
    bezant(&["init", &net, "--protocol", "widnow=4"]).refused(&["--protocol:1", "Did you mean `window`?"]);
    bezant(&["init", &net, "--protocol", "window=4"]).refused(&["window must be at least twice checkpoint_interval"]);
    bezant(&["init", &net, "--client", "alice:owner"]).refused(&["there is no role \"owner\""]);
    bezant(&["init", &net, "--base-port", "65534"]).refused(&["the last port is 65535", "Choose a lower one"]);
    bezant(&["up", "--home", &net, "--replicas", "3"]).refused(&["3 replicas are too few", "at least 4"]);
    bezant(&["get", "k", "--home", &net]).refused(&["there is no network here", "bezant up", "--home"]);
    bezant(&["status", "--home", &net]).refused(&["there is no network here"]);
    bezant(&["down", "--home", &net]).refused(&["there is no network here"]);
    bezant(&["gte", "k"]).refused(&["unrecognized subcommand", "similar"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was made");
}

#[test]
fn every_command_has_help_with_an_example() {
    let commands = [
        "up",
        "down",
        "status",
        "keygen",
        "init",
        "start",
        "gateway",
        "get",
        "set",
        "del",
        "transfer",
        "balance",
        "prove",
        "verify",
        "evidence",
        "forensics",
        "sim",
    ];
    for command in commands {
        let help = bezant(&[command, "--help"]).text();
        assert!(help.contains("Example") && help.contains(&format!("  bezant {command}")), "{help}");
    }
    for what in ["proof", "checkpoint", "home"] {
        assert!(bezant(&["verify", what, "--help"]).text().contains("Example"));
    }
    for what in ["verify", "list"] {
        assert!(bezant(&["evidence", what, "--help"]).text().contains("Example"));
    }
}
