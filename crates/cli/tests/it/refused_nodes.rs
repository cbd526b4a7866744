//! Processes that must not run: each is refused with cause and remedy, and its home stays as it was.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::network::{Network, contents};
use crate::process::{Output, bezant};

/// Starts a replica that must refuse, and checks that its home was not touched.
#[track_caller]
fn start_refused(network: &Network, id: u16, words: &[&str]) -> Output {
    let home = network.home(id);
    let before = contents(&home);
    let output = bezant(&["start", "--home", &home.display().to_string()]);
    output.refused(words);
    assert!(contents(&home) == before, "the home was changed by a replica that did not start");
    output
}

#[test]
fn a_key_that_others_can_read_is_refused_until_it_is_closed() {
    let network = Network::made();
    let key = network.home(0).join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    start_refused(&network, 0, &["mode 0644", "wider than 0600", "chmod 600"]);
    let key = network.client("cli").join("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    network.cli(&["get", "k"]).refused(&["mode 0640", "chmod 600"]);
}

#[test]
fn a_key_of_somebody_else_is_refused_by_name() {
    let network = Network::made();
    fs::copy(network.home(1).join("key"), network.aside("key-1")).unwrap();
    fs::copy(network.client("alice").join("key"), network.home(0).join("key")).unwrap();
    start_refused(&network, 0, &["key of the client \"alice\", not of a replica"]);
    fs::copy(network.aside("key-1"), network.home(0).join("key")).unwrap();
    start_refused(&network, 0, &["belongs to replica", "two replicas must never share a log or a key"]);
    let home = network.home(0).display().to_string();
    bezant(&["gateway", "--home", &home]).refused(&["client.toml", "no such file"]);
}

#[test]
fn a_second_process_on_a_home_is_refused() {
    let mut network = Network::started();
    let pid = network.replica(2).pid().to_string();
    let home = network.home(2).display().to_string();
    for more in [&[][..], &["--recover"]] {
        let output = bezant(&[&["start", "--home", &home], more].concat());
        output.refused(&["in use by process", &pid, "Stop that process first"]);
    }
    assert_eq!(network.cli(&["status", "--json"]).json()["verdict"], "healthy");
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let network = Network::made();
    let replica = network.base_port + 1;
    let held = TcpListener::bind(("127.0.0.1", replica)).unwrap();
    start_refused(&network, 1, &[&format!("another process listens on 127.0.0.1:{replica}"), "stop it or choose"]);
    let root = network.root().display().to_string();
    let (redis, http) = (format!("127.0.0.1:{}", network.redis_port()), format!("127.0.0.1:{}", network.http_port()));
    let up = |redis: &str, http: &str| bezant(&["up", "--home", &root, "--redis", redis, "--http", http]);
    up(&redis, &http).refused(&["replica 1 is to listen on", &replica.to_string(), "Stop that one"]);
    let taken = format!("127.0.0.1:{replica}");
    up(&taken, &http).refused(&["--redis", &taken, "is taken by another process", "choose another port"]);
    up(&redis, &taken).refused(&["--http", &taken, "is taken by another process"]);
    up("0.0.0.0:1", &http).refused(&["--redis 0.0.0.0:1 can be reached from other machines", "loopback"]);
    let gateway = |redis: &str| {
        let home = network.client("gateway").display().to_string();
        bezant(&["gateway", "--home", &home, "--redis", redis, "--http", &http])
    };
    gateway(&taken).refused(&[&taken, "is taken by another program", "choose another port"]);
    gateway("0.0.0.0:1").refused(&["can be reached from other machines"]);
    drop(held);
}

#[test]
fn a_typing_mistake_in_a_configuration_is_named_by_line() {
    let network = Network::made();
    let config = network.home(0).join("node.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("[limits]", "[limits]\nkeepalvie = \"1 s\"")).unwrap();
    let line = 1 + text.lines().position(|line| line == "[limits]").unwrap() + 1;
    start_refused(&network, 0, &[&format!("node.toml:{line}: unknown field `keepalvie`. Did you mean `keepalive`?")]);

    let genesis = network.home(1).join("genesis.toml");
    let text = fs::read_to_string(&genesis).unwrap();
    fs::write(&genesis, text.replace("role = \"admin\"", "role = \"adnim\"")).unwrap();
    let line = 1 + text.lines().position(|line| line == "role = \"admin\"").unwrap();
    start_refused(&network, 1, &[&format!("genesis.toml:{line}: "), "adnim"]);
    fs::write(&genesis, text.replacen("window = ", "windwo = ", 1)).unwrap();
    start_refused(&network, 1, &["unknown field `windwo`. Did you mean `window`?"]);
}

#[test]
fn a_replica_with_another_genesis_is_refused_by_its_own_log() {
    let network = Network::made();
    let genesis = network.home(3).join("genesis.toml");
    let text = fs::read_to_string(&genesis).unwrap();
    let line = text.lines().find(|line| line.starts_with("max_clock_skew_ms = ")).unwrap();
    fs::write(&genesis, text.replace(line, "max_clock_skew_ms = 1234")).unwrap();
    start_refused(
        &network,
        3,
        &["this file belongs to replica", "a key, a genesis or a log was copied from elsewhere"],
    );
}

#[test]
fn a_replica_with_another_genesis_is_refused_by_the_others() {
    let mut network = Network::started();
    network.kill(3);
    // A whole home of another network at the same addresses.
    let other = network.aside("other").display().to_string();
    bezant(&["init", &other, "--base-port", &network.base_port.to_string()]).text();
    let home = format!("{other}/replica-3");
    let stranger =
        crate::process::Daemon::start(&["start", "--supervised", "--home", &home], &network.aside("stranger.log"));
    crate::process::wait_for("the refusal", || {
        let said = stranger.said();
        if said.contains("other genesis") && said.contains("give all nodes the same genesis.toml") {
            Ok(())
        } else {
            Err(said)
        }
    });
    network.cli(&["set", "k", "v"]).text();
    assert_eq!(network.cli(&["status", "--json"]).json()["verdict"], "healthy");
}

#[test]
fn a_home_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere").display().to_string();
    bezant(&["start", "--home", &nowhere]).refused(&["no such file", "--home", "init"]);
    bezant(&["gateway", "--home", &nowhere]).refused(&["no such file", "--home"]);
    bezant(&["verify", "home", &nowhere]).refused(&["there is no home here"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
