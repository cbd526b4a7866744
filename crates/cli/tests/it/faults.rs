//! Crashes under load. Each test ends with the same three questions: could one copy have given these answers, was every
//! increment executed exactly once, and do all replicas have one certified state; and with an audit of every home.

use std::fs;

use crate::load::Load;
use crate::network::{Network, SIZE, primary, view};
use crate::process::bezant;

/// Enough operations for something to be under way at any moment.
const SOME: usize = 60;

/// Ends a test: nothing acknowledged is lost, nothing is executed twice, and the replicas do not differ.
fn judge(mut network: Network, load: Load) {
    load.finish();
    network.wait_all_equal();
    network.stop_all();
    for id in 0..SIZE {
        let report = bezant(&["verify", "home", "--json", &network.home(id).display().to_string()]);
        report.text();
        assert_eq!(report.json()["problems"].as_array().map(Vec::len), Some(0));
    }
}

/// Waits until a replica takes part again: it works in the group's view and has executed what the others have.
fn wait_back(network: &mut Network, id: u16) {
    network.wait_status(&format!("replica {id} at work again"), |status| {
        let replicas = status["replicas"].as_array()?;
        let executed = |index: usize| replicas[index]["executed"].as_u64();
        let slowest = (0..usize::from(SIZE)).filter(|index| *index != usize::from(id)).filter_map(executed).min()?;
        let back = &replicas[usize::from(id)];
        let level = executed(usize::from(id))? + 64 > slowest;
        (back["standing"] == "normal" && back["view"].as_u64()? == view(status) && level).then_some(())
    });
}

#[test]
fn any_one_replica_is_killed_and_comes_back() {
    let mut network = Network::started();
    let load = Load::start(network.redis_port(), 1);
    for id in 0..SIZE {
        load.wait_answers(SOME);
        network.kill(id);
        load.wait_answers(SOME);
        network.start(id);
        wait_back(&mut network, id);
    }
    load.wait_answers(SOME);
    judge(network, load);
}

#[test]
fn the_primary_is_killed_and_the_service_goes_on_in_a_new_view() {
    let mut network = Network::started();
    let load = Load::start(network.redis_port(), 2);
    load.wait_answers(SOME);
    let before = network.status();
    let old = primary(&before).unwrap();
    network.kill(old);
    load.wait_answers(SOME);
    let after = network.wait_status("a new view with another primary", |status| {
        (view(status) > view(&before) && status["verdict"] == "healthy").then(|| status.clone())
    });
    assert_ne!(primary(&after), Some(old));
    assert_eq!(after["replicas"][usize::from(old)]["answer"], "unreachable");
    network.start(old);
    wait_back(&mut network, old);
    judge(network, load);
}

#[test]
fn all_four_are_killed_at_once_and_nothing_acknowledged_is_lost() {
    let mut network = Network::started();
    let load = Load::start(network.redis_port(), 3);
    for _ in 0..2 {
        load.wait_answers(SOME);
        for id in 0..SIZE {
            network.kill(id);
        }
        for id in 0..SIZE {
            network.start(id);
        }
    }
    load.wait_answers(SOME);
    judge(network, load);
}

#[test]
fn a_replica_whose_disk_was_emptied_comes_back_by_verified_state_transfer() {
    // A short window: what the replica lost is soon further back than the others keep blocks for whoever lags.
    let mut network = Network::made_with(&["checkpoint_interval=8", "window=16", "pipeline=4"]);
    network.start_all();
    let load = Load::start(network.redis_port(), 4);
    load.wait_answers(3 * SOME);
    let lost = 2;
    network.kill(lost);
    let home = network.home(lost);
    fs::remove_dir_all(home.join("log")).unwrap();
    fs::remove_dir_all(home.join("blocks")).unwrap();
    fs::remove_file(home.join("state.redb")).unwrap();

    let refused = bezant(&["start", "--home", &home.display().to_string()]);
    refused.refused(&["there is no log here", "--recover"]);
    load.wait_answers(SOME);
    network.start_with(lost, &["--recover"]);
    wait_back(&mut network, lost);
    let said = network.replica(lost).said();
    assert!(said.contains("fetched the state"), "it came back by other means:\n{said}");
    load.wait_answers(SOME);
    judge(network, load);
}
