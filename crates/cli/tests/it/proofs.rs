//! The native client, proofs, and verification without a network.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use crate::network::{Network, SIZE};
use crate::process::bezant;
use crate::redis::{Reply, bulk};

#[test]
fn the_native_client_writes_reads_and_pays() {
    let network = Network::started();
    assert!(network.cli(&["set", "greeting", "hello, world"]).text().contains("12 bytes"));
    assert_eq!(network.cli(&["get", "greeting"]).text(), "hello, world\n");
    let entry = network.cli(&["get", "greeting", "--json"]).json();
    assert_eq!((entry["value"].as_str(), entry["bytes"].as_u64()), (Some("hello, world"), Some(12)));
    assert_eq!(network.redis().call(&["GET", "greeting"]).unwrap(), bulk("hello, world"), "one ledger for all");

    let paid = network.cli(&["transfer", "bob", "25", "--as", "alice"]).text();
    assert!(paid.contains("alice paid 25 units to bob, and has 975 units left"), "{paid}");
    assert_eq!(network.cli(&["balance", "bob"]).text(), "bob has 1,025 units\n");
    assert_eq!(network.cli(&["balance", "--as", "alice", "--json"]).json()["units"], 975);

    assert_eq!(network.cli(&["del", "greeting", "nothing"]).text(), "removed 1 of 2 keys\n");
    network.cli(&["get", "greeting"]).refused(&["there is no entry \"greeting\""]);
    assert_eq!(network.cli(&["get", "greeting", "--json"]).json()["found"], false);
}

#[test]
fn a_value_that_is_no_text_is_kept_byte_for_byte() {
    let network = Network::started();
    let value = b"\xff\xfe not \x01 UTF-8";
    let root = network.root();
    let set: [&OsStr; 5] =
        ["set".as_ref(), "bytes".as_ref(), OsStr::from_bytes(value), "--home".as_ref(), root.as_os_str()];
    bezant(&set).text();
    let got = network.cli(&["get", "bytes"]);
    assert_eq!(got.stdout, [value.as_slice(), b"\n"].concat());
    assert_eq!(network.cli(&["get", "bytes", "--json"]).json()["value_hex"], "fffe206e6f742001205554462d38");
}

#[test]
fn a_proof_convinces_whoever_has_the_genesis_and_nobody_else() {
    let mut network = Network::started();
    network.cli(&["set", "greeting", "hello"]).text();
    let (proof, absence, money) = (network.aside("a.proof"), network.aside("b.proof"), network.aside("c.proof"));
    let path = |path: &std::path::Path| path.display().to_string();
    let proven = network.cli(&["prove", "greeting", "--out", &path(&proof)]).text();
    assert!(proven.contains("holds \"hello\"") && proven.contains("signed by replicas"), "{proven}");
    network.cli(&["prove", "nothing", "--out", &path(&absence)]).text();
    network.cli(&["prove", "--balance", "alice", "--out", &path(&money)]).text();
    let digits = network.aside("d.proof");
    let Reply::Array(fields) = network.redis().call(&["PROVE", "greeting"]).unwrap() else { panic!("no proof") };
    let at = fields.iter().position(|field| *field == bulk("proof")).expect("a field of that name");
    let Reply::Bulk(Some(proof_itself)) = &fields[at + 1] else { panic!("no proof in {fields:?}") };
    fs::write(&digits, proof_itself).unwrap();
    network.stop_all();

    let genesis = path(&network.genesis());
    let verify = |what: &str, file: &str| bezant(&["verify", what, file, "--genesis", &genesis]);
    assert!(verify("proof", &path(&proof)).text().contains("proven: the entry \"greeting\" holds \"hello\""));
    assert!(verify("proof", &path(&absence)).text().contains("the entry \"nothing\" does not exist"));
    assert!(verify("proof", &path(&money)).text().contains("holds 1,000 units"));
    assert!(verify("proof", &path(&digits)).text().contains("holds \"hello\""), "as a Redis client prints it");
    assert!(verify("checkpoint", &path(&proof)).text().contains("signed by replicas"));

    let mut forged = fs::read(&proof).unwrap();
    let at = forged.windows(5).position(|part| part == b"hello").unwrap();
    forged[at] = b'j';
    fs::write(&proof, &forged).unwrap();
    verify("proof", &path(&proof)).refused(&["NOT PROVEN", "does not hold"]);
    fs::write(&proof, "hello").unwrap();
    verify("proof", &path(&proof)).refused(&["not a proof file"]);

    let other = Network::made();
    let foreign = bezant(&["verify", "proof", &path(&absence), "--genesis", &path(&other.genesis())]);
    foreign.refused(&["NOT PROVEN", "no quorum of this network signed"]);
}

#[test]
fn a_stopped_home_is_verified_offline_and_a_running_one_is_left_alone() {
    let mut network = Network::started();
    let mut redis = network.redis();
    for number in 0..50 {
        assert_eq!(redis.call(&["SET", &format!("k{number}"), "v"]).unwrap(), Reply::Simple("OK".into()));
    }
    network.wait_all_equal();
    let home = network.home(1).display().to_string();
    bezant(&["verify", "home", &home]).refused(&["in use by process", "Stop that process first"]);
    network.stop_all();
    let report = bezant(&["verify", "home", &home]).text();
    assert!(report.contains("replica 1 of \"bezant\"") && report.contains("everything holds"), "{report}");
    for id in 0..SIZE {
        let json = bezant(&["verify", "home", "--json", &network.home(id).display().to_string()]).json();
        assert_eq!(json["replica"], id);
        assert!(json["blocks"]["requests"].as_u64().unwrap() > 0, "{json:#}");
    }
}
