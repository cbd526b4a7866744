//! Replicas that lie, in a real group: clients notice nothing, and who contradicts itself is caught.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::network::{Network, SIZE};
use crate::process::{Daemon, bezant, wait_for};
use crate::redis::{Reply, bulk};

/// A running network in which these replicas lie.
fn with_traitors(traitors: &[(u16, &str)]) -> Network {
    let mut network = Network::made();
    for id in 0..SIZE {
        match traitors.iter().find(|(traitor, _)| *traitor == id) {
            Some((_, kind)) => network.start_with(id, &["--traitor", kind]),
            None => network.start(id),
        }
    }
    network.start_gateway();
    network.wait_answer();
    network
}

/// What clients are promised: every answer right, whoever gives it.
fn serve(network: &Network, writes: usize) {
    let mut redis = network.redis();
    for count in 1..=writes {
        assert_eq!(redis.call(&["INCR", "count"]).unwrap(), Reply::Integer(count as i64));
    }
    assert_eq!(redis.call(&["GET", "count"]).unwrap(), bulk(&writes.to_string()));
    let payment = network.cli(&["transfer", "bob", "5", "--as", "alice"]);
    assert!(payment.status.success(), "{}", payment.stderr);
    assert!(network.cli(&["get", "count"]).text().starts_with(&writes.to_string()));
}

/// The proofs that a replica keeps.
fn evidence(network: &Network, id: u16) -> Vec<PathBuf> {
    let folder = fs::read_dir(network.home(id).join("evidence"));
    folder.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// The genesis of a network that is made beside this one.
fn genesis_of_another(network: &Network) -> String {
    let root = network.aside("another");
    bezant(&["init", &root.display().to_string()]).text();
    root.join("genesis.toml").display().to_string()
}

fn caught(status: &Value) -> Vec<u64> {
    let convicted = status["convicted"].as_array().unwrap();
    convicted.iter().filter(|one| one["certain"] == true).filter_map(|one| one["replica"].as_u64()).collect()
}

#[test]
fn a_primary_that_equivocates_is_replaced_and_caught_and_clients_are_served() {
    let mut network = with_traitors(&[(0, "equivocating-primary")]);
    serve(&network, 20);
    let status = network.wait_status("the traitor caught", |status| (caught(status) == [0]).then(|| status.clone()));
    assert_ne!(status["replicas"][1]["primary"], 0, "{status:#}");
    let witnesses = status["convicted"][0]["by"].as_array().unwrap().clone();
    for witness in witnesses {
        let id = u16::try_from(witness.as_u64().unwrap()).unwrap();
        let names = evidence(&network, id);
        assert!(names.iter().any(|path| path.to_string_lossy().contains("replica-0-")), "{names:?}");
    }
    let words = network.cli(&["status"]).text();
    assert!(words.contains("caught: replica 0 contradicted itself") && words.contains("healthy"), "{words}");
}

#[test]
fn a_primary_that_says_nothing_is_replaced_and_nobody_is_accused() {
    let mut network = with_traitors(&[(0, "silent")]);
    serve(&network, 20);
    network.wait_status("health in a later view", |status| {
        let later = status["replicas"][1]["view"].as_u64()? > 0 && status["verdict"] == "healthy";
        (later && status["convicted"] == json!([])).then_some(())
    });
}

#[test]
fn clients_believe_no_replica_that_lies_to_them() {
    let mut network = with_traitors(&[(1, "lying-answers")]);
    serve(&network, 40);
    network.wait_all_equal();
}

#[test]
fn a_backup_that_forgets_lives_in_a_scratch_folder_and_its_home_stays_as_it_was() {
    let mut network = with_traitors(&[(2, "amnesia")]);
    serve(&network, 20);
    let scratch = network.home(2).join("scratch");
    wait_for("a forgetful traitor", || {
        let mut redis = network.redis();
        redis.call(&["INCR", "more"]).map_err(|error| error.to_string())?;
        if scratch.join("log").is_dir() { Ok(()) } else { Err("it remembers".to_owned()) }
    });
    network.replicas.iter_mut().flatten().for_each(Daemon::expect_alive);
    network.stop_all();
    // The log in its own home is the one that it had before.
    network.start(2);
    network.wait_status("the replica from its own home", |status| {
        (status["replicas"][2]["answer"] == "report").then_some(())
    });
}

#[test]
fn evidence_convinces_whoever_has_the_genesis_and_nobody_else() {
    let mut network = with_traitors(&[(2, "equivocate")]);
    let file = wait_for("evidence", || {
        let set = network.redis().call(&["SET", "k", "v"]).map_err(|error| error.to_string())?;
        let found = [0, 1, 3].into_iter().flat_map(|id| evidence(&network, id)).next();
        found.ok_or_else(|| format!("{set:?}"))
    });
    network.stop_all();
    let (file, genesis) = (file.display().to_string(), network.genesis().display().to_string());
    let verify = |file: &str, genesis: &str| bezant(&["evidence", "verify", file, "--genesis", genesis]);
    let words = verify(&file, &genesis).text();
    for part in ["convicted: replica 2", "it signed", "and also", "signature", "genesis", "key"] {
        assert!(words.contains(part), "{part} is missing in\n{words}");
    }
    let facts = bezant(&["evidence", "verify", "--json", &file]).json();
    assert_eq!(facts["replica"], 2);
    assert_ne!(facts["first"]["says"], facts["second"]["says"]);
    let listed = network.cli(&["evidence", "list"]).text();
    assert!(listed.contains(&file) && listed.contains("two batches"), "{listed}");

    // Somebody else's genesis, another file, a bit that rotted, a file that is not there, and one without its home.
    verify(&file, &genesis_of_another(&network)).refused(&["convicts nobody", "another", "--genesis"]);
    verify(&genesis, &genesis).refused(&["this is no evidence", "folder `evidence`"]);
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let aside = network.aside("damaged.evidence").display().to_string();
    fs::write(&aside, &bytes).unwrap();
    verify(&aside, &genesis).refused(&["convicts nobody", "signature is not valid", "damaged it, or lied"]);
    fs::write(&aside, &bytes[..bytes.len() - 1]).unwrap();
    verify(&aside, &genesis).refused(&["this is no evidence", "malformed"]);
    verify("nowhere", &genesis).refused(&["nowhere", "reading failed"]);
    bezant(&["evidence", "verify", &aside]).refused(&["this is no evidence"]);
    fs::copy(&file, &aside).unwrap();
    bezant(&["evidence", "verify", &aside]).refused(&["no genesis to judge it by", "--genesis"]);
    bezant(&["evidence", "list", "--home", "nowhere"]).refused(&["neither a network nor", "--home"]);
}

#[test]
fn two_homes_of_a_group_that_bore_a_traitor_agree_and_name_nobody_honest() {
    let mut network = with_traitors(&[(0, "equivocating-primary")]);
    serve(&network, 20);
    network.wait_status("the traitor caught", |status| (caught(status) == [0]).then_some(()));
    let home = |id: u16| network.home(id).display().to_string();
    let (one, other) = (home(1), home(2));
    bezant(&["forensics", &one, &other]).refused(&["in use"]);
    network.stop_all();
    let report = bezant(&["forensics", "--json", &one, &other]).json();
    assert_eq!(report["verdict"], "agree", "{report:#}");
    assert_eq!(report["disagreements"], json!([]));
    for culprit in report["culprits"].as_array().unwrap() {
        assert_eq!(culprit["replica"], 0, "{report:#}");
    }
    let words = bezant(&["forensics", &one, &other]).text();
    assert!(words.contains("the two homes agree"), "{words}");
    bezant(&["forensics", &one, &one]).refused(&["given twice"]);
    bezant(&["forensics", &one, "nowhere"]).refused(&["nowhere"]);
    let genesis = genesis_of_another(&network);
    bezant(&["forensics", &one, &other, "--genesis", &genesis]).refused(&["no replica of the network"]);
}
