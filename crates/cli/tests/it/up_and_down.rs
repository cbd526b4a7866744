//! `up` and `down`: a network with one command, and without surprises.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::network::{SIZE, free_ports};
use crate::process::{Daemon, Output, bezant, is_alive, send, wait_for};
use crate::redis::{Redis, Reply, bulk};

/// A place for a network, and the addresses that it is to use.
struct Place {
    folder: TempDir,
    port: u16,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), port: free_ports() }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let address = |offset| format!("127.0.0.1:{}", self.port + offset);
        let (home, base) = (self.home().display().to_string(), self.port.to_string());
        let (redis, http) = (address(SIZE), address(SIZE + 1));
        let usual = ["up", "--home", &home, "--base-port", &base, "--redis", &redis, "--http", &http];
        usual.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    }

    fn up(&self, more: &[&str]) -> Output {
        bezant(&self.arguments(more))
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        let home = self.home().display().to_string();
        bezant(&[arguments, &["--home", &home]].concat())
    }

    fn redis(&self) -> Redis {
        Redis::connect(self.port + SIZE).unwrap()
    }

    /// What `up` says that it runs.
    fn running(&self) -> Value {
        serde_json::from_slice(&fs::read(self.home().join("up.json")).unwrap()).unwrap()
    }

    fn pid_of(&self, name: &str) -> u32 {
        let running = self.running();
        let processes = running["processes"].as_array().unwrap();
        let process = processes.iter().find(|one| one["name"] == name).unwrap();
        u32::try_from(process["pid"].as_u64().unwrap()).unwrap()
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port + SIZE + 1)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in fs::read_dir(self.home().join("logs")).into_iter().flatten().flatten() {
                eprintln!("--- {}\n{}", entry.path().display(), fs::read_to_string(entry.path()).unwrap_or_default());
            }
        }
        // Whatever the test left running.
        let home = self.home().display().to_string();
        if self.home().join("up.lock").exists() {
            let _ = std::process::Command::new(crate::process::BEZANT).args(["down", "--home", &home]).output();
        }
    }
}

#[test]
fn one_command_makes_a_network_and_another_run_goes_on_from_disk() {
    let place = Place::new();
    let first = place.up(&["--detach"]).text();
    for words in
        ["made a network of 4 replicas", "replica-3", "Redis gateway", "supervisor", "ready after", "bezant down"]
    {
        assert!(first.contains(words), "{words} is missing in\n{first}");
    }
    assert!(first.contains(&format!("127.0.0.1:{}", place.port)), "{first}");
    assert_eq!(place.redis().call(&["SET", "greeting", "hello"]).unwrap(), Reply::Simple("OK".into()));
    let status = place.cli(&["status"]).text();
    assert!(status.contains("healthy: a quorum works in one view") && status.contains("3 of 3"), "{status}");
    assert_eq!(place.cli(&["down"]).text(), "stopped\n");
    assert_eq!(place.cli(&["down"]).text(), "nothing is running here\n");
    assert!(TcpStream::connect(("127.0.0.1", place.port + SIZE)).is_err(), "the gateway is gone");

    let second = place.up(&["--detach"]).text();
    assert!(!second.contains("made a network"), "{second}");
    assert_eq!(place.redis().call(&["GET", "greeting"]).unwrap(), bulk("hello"));
    assert_eq!(place.cli(&["get", "greeting"]).text(), "hello\n");
    place.cli(&["down"]).text();
}

#[test]
fn a_network_that_runs_is_not_started_twice_nor_with_another_size() {
    let place = Place::new();
    place.up(&["--detach"]).text();
    place.up(&[]).refused(&["running already", "bezant status", "bezant down"]);
    place.up(&["--detach"]).refused(&["running already"]);
    assert_eq!(place.cli(&["status", "--json"]).json()["verdict"], "healthy");
    place.cli(&["down"]).text();
    place.up(&["--replicas", "7"]).refused(&["has 4 replicas, not 7", "fixed in its genesis", "--home"]);
    place.up(&["--detach", "--replicas", "4"]).text();
    place.cli(&["down"]).text();
}

#[test]
fn a_traitor_of_up_is_announced_and_caught_and_one_that_cannot_be_is_refused() {
    let place = Place::new();
    place.up(&["--traitor", "4=silent"]).refused(&["no replica 4 among 4", "0 to 3"]);
    place.up(&["--traitor", "2=silent", "--traitor", "2=slow"]).refused(&["one way at a time"]);
    place.up(&["--traitor", "2=polite"]).refused(&["no adversary \"polite\"", "equivocating-primary"]);
    assert!(!place.home().exists(), "nothing is made for what is refused");

    let first = place.up(&["--detach", "--traitor", "2=equivocate"]);
    assert!(first.stderr.contains("replica 2 is a traitor (equivocate)"), "{}", first.stderr);
    assert!(!first.stderr.contains("warning"), "{}", first.stderr);
    assert!(first.text().contains("traitor: equivocate"), "{}", first.text());
    wait_for("the traitor caught", || {
        let set = place.redis().call(&["SET", "k", "v"]).unwrap();
        assert_eq!(set, Reply::Simple("OK".into()));
        let status = place.cli(&["status"]).text();
        if status.contains("caught: replica 2 contradicted itself") { Ok(()) } else { Err(status) }
    });
    place.cli(&["down"]).text();

    // More than f: whoever wants to see that may, and is told.
    let many = place.up(&["--detach", "--traitor", "1=slow", "--traitor", "2=slow"]);
    assert!(many.stderr.contains("2 traitors among 4 replicas are more than 1"), "{}", many.stderr);
    assert!(many.stderr.contains("its own key only"), "{}", many.stderr);
    place.cli(&["down"]);
}

#[test]
fn a_child_that_dies_is_reported_and_the_others_go_on() {
    let place = Place::new();
    let mut up = Daemon::start(&place.arguments(&[]), &place.folder.path().join("up.log"));
    let said = |words: &str| wait_for(words, || Some(()).filter(|()| up.said().contains(words)).ok_or(up.said()));
    said("ready after");
    send(place.pid_of("replica-2"), Signal::KILL);
    said("replica-2 was killed by signal 9");
    let start = format!("bezant start --home {}", place.home().join("replica-2").display());
    said(&start);
    assert_eq!(place.redis().call(&["SET", "k", "v"]).unwrap(), Reply::Simple("OK".into()));
    let status = place.cli(&["status"]).text();
    assert!(status.contains("unreachable: replica 2"), "{status}");

    let home = place.home().join("replica-2").display().to_string();
    let again = Daemon::start(&["start", "--home", &home], &place.folder.path().join("again.log"));
    wait_for("the replica at work again", || {
        let status = place.cli(&["status", "--json"]).json();
        let back = status["replicas"][2]["standing"] == "normal";
        if back { Ok(()) } else { Err(format!("{status:#}")) }
    });
    again.stop();
    up.signal(Signal::INT);
    let status = up.wait();
    assert!(status.success() && up.said().contains("stopped"), "{status}: {}", up.said());
}

#[test]
fn a_supervisor_that_is_killed_leaves_nothing_behind() {
    let place = Place::new();
    place.up(&["--detach"]).text();
    assert_eq!(place.redis().call(&["SET", "k", "v"]).unwrap(), Reply::Simple("OK".into()));
    let supervisor = u32::try_from(place.running()["pid"].as_u64().unwrap()).unwrap();
    let names = ["replica-0", "replica-1", "replica-2", "replica-3", "gateway"];
    let children: Vec<u32> = names.iter().map(|name| place.pid_of(name)).collect();
    send(supervisor, Signal::KILL);
    wait_for("the end of the children", || {
        let alive: Vec<_> = children.iter().filter(|pid| is_alive(**pid)).collect();
        if alive.is_empty() { Ok(()) } else { Err(format!("{alive:?} are alive")) }
    });
    place.up(&["--detach"]).text();
    assert_eq!(place.redis().call(&["GET", "k"]).unwrap(), bulk("v"));
    place.cli(&["down"]).text();
}

#[test]
fn the_gateway_tells_its_health_status_and_metrics_over_http() {
    let place = Place::new();
    place.up(&["--detach"]).text();
    let mut redis = place.redis();
    for _ in 0..10 {
        assert!(matches!(redis.call(&["INCR", "n"]).unwrap(), Reply::Integer(_)));
    }
    let health = place.get("/healthz");
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("ok\n"), "{health}");
    let status = place.get("/status");
    let body: Value = serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["verdict"], body["replicas"].as_array().unwrap().len()), (&Value::from("healthy"), 4));
    let metrics = place.get("/metrics");
    for line in
        ["bezant_requests_total 1", "bezant_bundle_seconds_count", "bezant_replicas_connected 4", "bezant_view 0"]
    {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(place.get("/nothing").starts_with("HTTP/1.1 404"));
    for name in ["replica-0", "replica-1"] {
        send(place.pid_of(name), Signal::KILL);
    }
    wait_for("poor health", || {
        let health = place.get("/healthz");
        if health.starts_with("HTTP/1.1 503") { Ok(()) } else { Err(health) }
    });
    place.cli(&["down"]);
}
