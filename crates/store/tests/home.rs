//! A home: one process, one owner, one history.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use bezant_store::evidence::{Kept, MAX_BYTES, MAX_FILES};
use bezant_store::home::Paths;
use bezant_store::place::Part;
use bezant_store::wal::Settings;
use bezant_store::{Home, HomeError, LogError, Place, Wal};
use support::identity;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_home_is_private_and_is_never_made_over_another() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("network/replica-0");
    let home = Home::create(&root).unwrap();
    assert_eq!(mode(&root), 0o700);
    assert_eq!(home.paths(), &Paths::new(&root));
    drop(home);
    let error = Home::create(&root).unwrap_err();
    assert!(matches!(error, HomeError::NotEmpty { .. }), "{error}");
    Home::open(&root).unwrap();
    let error = Home::open(&directory.path().join("nowhere")).unwrap_err();
    assert!(error.to_string().contains("Make one with `init`"), "{error}");
}

#[test]
fn a_second_opening_is_refused_and_names_path_and_process() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::create(directory.path()).unwrap();
    let text = Home::open(directory.path()).unwrap_err().to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    assert!(text.contains(&directory.path().display().to_string()), "{text}");
    drop(home);
    Home::open(directory.path()).unwrap();
}

/// Not a test of its own: the second process of the test below.
#[test]
fn second_process() {
    let Some(root) = std::env::var_os("BEZANT_STORE_SECOND_PROCESS") else { return };
    let _home = Home::open(root.as_ref()).unwrap();
    println!("\nlocked");
    std::thread::park();
}

#[test]
fn the_lock_holds_between_processes_and_falls_with_a_killed_one() {
    let directory = tempfile::tempdir().unwrap();
    drop(Home::create(directory.path()).unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["second_process", "--exact", "--nocapture"])
        .env("BEZANT_STORE_SECOND_PROCESS", directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "locked"));
    let error = Home::open(directory.path()).unwrap_err();
    assert!(matches!(&error, HomeError::InUse { pid, .. } if *pid == child.id().to_string()), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    Home::open(directory.path()).unwrap();
}

#[test]
fn a_home_whose_log_is_lost_is_refused_until_it_recovers_on_purpose() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::create(directory.path()).unwrap();
    let settings = Settings { segment_bytes: 8192, ..Settings::new(identity()) };
    let mut log = Wal::create(home.log_disk().unwrap(), settings, &[]).unwrap();
    log.append_and_sync(&[b"a vote".to_vec()]).unwrap();
    drop(log);
    fs::write(home.paths().state(), "state").unwrap();

    fs::remove_dir_all(home.paths().log()).unwrap();
    let error = Wal::open(home.log_disk().unwrap(), settings).unwrap_err();
    assert!(matches!(error, LogError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("`--recover`"), "{error}");

    let lost = home.set_aside(&[Part::Log, Part::State]).unwrap().unwrap();
    assert_eq!(lost, directory.path().join("lost-1"));
    assert_eq!(fs::read(lost.join("state.redb")).unwrap(), b"state");
    assert!(!home.paths().state().exists() && !home.paths().log().exists());
    let recovering = vec![b"recovering".to_vec()];
    drop(Wal::create(home.log_disk().unwrap(), settings, &recovering).unwrap());
    assert_eq!(Wal::open(home.log_disk().unwrap(), settings).unwrap().1, recovering);

    assert_eq!(home.set_aside(&[Part::Log]).unwrap(), Some(directory.path().join("lost-2")));
    assert_eq!(home.set_aside(&[Part::Log, Part::State, Part::Blocks]).unwrap(), None, "nothing is left to move");
}

#[test]
fn evidence_is_kept_once_within_bounds_and_under_plain_names_only() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::create(directory.path()).unwrap();
    let evidence = home.evidence().unwrap();
    assert_eq!(evidence.save("replica-2-view-7", b"two votes").unwrap(), Kept::New);
    assert_eq!(evidence.save("replica-2-view-7", b"other bytes").unwrap(), Kept::Already);
    assert_eq!(evidence.read("replica-2-view-7").unwrap(), Some(b"two votes".to_vec()));
    assert_eq!(evidence.read("replica-3").unwrap(), None);
    for name in ["", "../key", "a/b", "A", "a.b", &"a".repeat(97)] {
        assert!(matches!(evidence.save(name, b"x"), Err(HomeError::EvidenceName { .. })), "{name:?}");
        assert!(matches!(evidence.read(name), Err(HomeError::EvidenceName { .. })), "{name:?}");
    }
    let large = vec![0; MAX_BYTES + 1];
    assert!(matches!(evidence.save("large", &large), Err(HomeError::EvidenceSize { .. })));

    for number in 1..MAX_FILES {
        fs::write(home.paths().evidence().join(format!("{number}.evidence")), "x").unwrap();
    }
    assert_eq!(evidence.save("one-too-many", b"x").unwrap(), Kept::NoRoom);
    assert_eq!(evidence.save("replica-2-view-7", b"x").unwrap(), Kept::Already);
    assert_eq!(evidence.names().unwrap().len(), MAX_FILES);
}
