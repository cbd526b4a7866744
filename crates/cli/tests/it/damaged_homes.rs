//! Disks that come back other than they were left: what is damaged is refused with an instruction that works, and what
//! a crash may leave behind is not taken for damage.

use std::fs;
use std::path::{Path, PathBuf};

use crate::network::{Network, contents};
use crate::process::{bezant, wait_for};
use crate::redis::{Reply, bulk};

/// A network that has executed something and saved its state, and was stopped.
fn stopped() -> Network {
    // A short window, so that a recovered replica has not long to be silent.
    let mut network = Network::made_with(&["checkpoint_interval=8", "window=16", "pipeline=4"]);
    network.start_all();
    let mut redis = network.redis();
    for number in 0..100 {
        let set = redis.call(&["SET", &format!("k{number}"), &number.to_string()]).unwrap();
        assert_eq!(set, Reply::Simple("OK".into()));
    }
    network.wait_all_equal();
    network.stop_all();
    network
}

/// The file of a home's log that holds something, and how many bytes of it are written: it is made longer, of zeros.
fn log_file(home: &Path) -> (PathBuf, usize) {
    let files = contents(&home.join("log"));
    let written = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let (path, bytes) = files.into_iter().max_by_key(|(_, bytes)| written(bytes)).expect("there is a log");
    let length = written(&bytes);
    (path, length)
}

fn change(path: &Path, damage: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    damage(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Starts a replica that must refuse with `words`, and that must come back with `--recover`.
fn refused_then_recovered(network: &mut Network, id: u16, words: &[&str]) {
    let home = network.home(id);
    let before = contents(&home);
    bezant(&["start", "--home", &home.display().to_string()]).refused(words);
    assert!(contents(&home) == before, "the home was changed by a replica that did not start");
    for other in (0..4).filter(|other| *other != id) {
        network.start(other);
    }
    network.start_gateway();
    network.wait_answer();
    network.start_with(id, &["--recover"]);
    // Its silence ends with a checkpoint that it has not voted for, and checkpoints come with requests.
    let mut redis = network.redis();
    wait_for("the recovered replica at work", || {
        for count in 0..8 {
            let _ = redis.call(&["SET", "again", &count.to_string()]);
        }
        let status = network.status();
        let back = &status["replicas"][usize::from(id)];
        let level = back["stable"].as_u64() >= status["replicas"][usize::from((id + 1) % 4)]["stable"].as_u64();
        if back["standing"] == "normal" && back["votes_from"].is_null() && level {
            Ok(())
        } else {
            Err(format!("{status:#}"))
        }
    });
    network.wait_all_equal();
    assert_eq!(redis.call(&["GET", "k99"]).unwrap(), bulk("99"));
    network.stop_all();
    let report = bezant(&["verify", "home", &home.display().to_string()]).text();
    assert!(report.contains("everything holds"), "{report}");
}

#[test]
fn a_damaged_log_is_refused_and_recover_brings_the_replica_back() {
    let mut network = stopped();
    let (path, written) = log_file(&network.home(1));
    change(&path, |bytes| {
        // Inside a record: between records there are zeros that mean nothing.
        let inside = |at: &usize| bytes[*at - 8..*at + 8].iter().all(|byte| *byte != 0);
        let at = (written / 2..written - 8).find(inside).expect("the log holds signatures");
        bytes[at] ^= 1;
    });
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    refused_then_recovered(&mut network, 1, &[&name, "is damaged, and it is no torn write", "--recover"]);
}

#[test]
fn a_missing_log_is_refused_and_recover_brings_the_replica_back() {
    let mut network = stopped();
    fs::remove_dir_all(network.home(2).join("log")).unwrap();
    refused_then_recovered(&mut network, 2, &["there is no log here", "may have voted before", "--recover"]);
}

#[test]
fn a_torn_tail_of_the_log_is_cut_and_the_replica_goes_on() {
    let mut network = stopped();
    let (path, written) = log_file(&network.home(0));
    // The last write did not reach the disk as a whole.
    change(&path, |bytes| bytes[written - 3..written].fill(0));
    network.start_all();
    assert_eq!(network.redis().call(&["SET", "after", "wards"]).unwrap(), Reply::Simple("OK".into()));
    network.wait_all_equal();
}

#[test]
fn a_damaged_state_is_refused_and_recover_brings_the_replica_back() {
    let mut network = stopped();
    let path = network.home(3).join("state.redb");
    change(&path, |bytes| {
        // A value of the ledger: whatever the store makes of it, the root that a quorum signed does not fit any more.
        let places: Vec<usize> = (0..bytes.len() - 3).filter(|at| &bytes[*at..*at + 3] == b"k99").collect();
        assert!(!places.is_empty(), "the entry is not in the file");
        places.iter().for_each(|at| bytes[at + 2] = b'8');
    });
    refused_then_recovered(&mut network, 3, &["state", "--recover"]);
}

#[test]
fn a_state_file_that_is_none_is_refused_and_recover_brings_the_replica_back() {
    let mut network = stopped();
    fs::write(network.home(3).join("state.redb"), b"this is no state").unwrap();
    refused_then_recovered(&mut network, 3, &["state.redb", "--recover"]);
}

#[test]
fn a_damaged_block_is_found_by_verify_and_named() {
    let network = stopped();
    let home = network.home(1);
    let (path, bytes) = contents(&home.join("blocks")).into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
    let at = bytes.windows(3).rposition(|part| part == b"k50").expect("the block with this request");
    change(&path, |bytes| bytes[at + 2] = b'1');
    let report = bezant(&["verify", "home", &home.display().to_string()]);
    assert!(!report.status.success());
    let said = format!("{}{}", String::from_utf8_lossy(&report.stdout), report.stderr);
    assert!(said.contains("damaged"), "{said}");
}
