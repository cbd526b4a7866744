use std::os::unix::fs::MetadataExt as _;

use tempfile::TempDir;

use super::*;
use crate::config::{ClientConfig, ReplicaConfig, read_genesis, read_key};

fn on_ports(replicas: usize, host: &str, base_port: u16) -> Placement {
    Placement::Consecutive { replicas, host: host.into(), base_port }
}

fn options() -> InitOptions {
    let client = |name: &str, role, balance| InitClient { name: name.into(), role, balance: Amount::new(balance) };
    InitOptions {
        name: "demo".into(),
        placement: on_ports(4, "127.0.0.1", 7401),
        clients: vec![client("gateway", Role::Write, 1000), client("auditor", Role::Read, 0)],
        parameters: Parameters::standard(),
    }
}

fn made() -> (TempDir, PathBuf, Network) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("network");
    let network = init(&directory, &options()).unwrap();
    (parent, directory, network)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Rewrites a file by `change`.
fn edit(path: &Path, change: impl Fn(String) -> String) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, change(text)).unwrap();
}

#[test]
fn every_part_of_a_new_network_loads() {
    let (parent, directory, network) = made();
    assert_eq!(read_genesis(&network.genesis_path).unwrap().digest(), network.genesis.digest());
    for (id, home) in network.replicas.iter().enumerate() {
        let config = ReplicaConfig::load(home).unwrap();
        assert_eq!(config.id.index(), id);
        assert_eq!(config.listen, format!("127.0.0.1:{}", 7401 + id));
        assert_eq!(config.genesis.digest(), network.genesis.digest());
        assert_eq!((mode(home), mode(&home.join("key"))), (0o700, 0o600));
    }
    let (name, home) = &network.clients[0];
    let config = ClientConfig::load(home).unwrap();
    assert_eq!((config.name.as_str(), name.as_str(), config.role), ("gateway", "gateway", Role::Write));
    assert_eq!((mode(home), mode(&home.join("key"))), (0o700, 0o600));
    assert_eq!(network.genesis.supply(), Amount::new(1000));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is left beside {}", directory.display());
}

#[test]
fn a_network_is_never_made_over_anything() {
    let (_parent, directory, network) = made();
    let before = read_key(&network.replicas[0].join("key")).unwrap().account();
    let words = init(&directory, &options()).unwrap_err().to_string();
    assert!(words.contains("a network is never made over another. Choose another directory"), "{words}");
    assert_eq!(read_key(&network.replicas[0].join("key")).unwrap().account(), before);
    let file = directory.with_file_name("file");
    fs::write(&file, "precious").unwrap();
    assert!(matches!(init(&file, &options()), Err(Error::NotEmpty { .. })));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn an_empty_directory_will_do() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("deep/down");
    fs::create_dir_all(&directory).unwrap();
    init(&directory, &options()).unwrap();
}

#[test]
fn too_few_replicas_are_refused_with_the_reason() {
    let parent = tempfile::tempdir().unwrap();
    for replicas in 0..4 {
        let directory = parent.path().join("network");
        let words = init(&directory, &InitOptions { placement: on_ports(replicas, "::1", 1), ..options() })
            .unwrap_err()
            .to_string();
        assert!(words.contains("n >= 3f + 1") && words.contains("at least 4 for f = 1"), "{words}");
        assert!(!directory.exists(), "nothing is left behind");
    }
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("network");
    let twice = InitOptions { clients: vec![options().clients[0].clone(); 2], ..options() };
    let escape = InitClient { name: "../../etc".into(), ..options().clients[0].clone() };
    let cases = [
        (InitOptions { placement: on_ports(4, "h", 65_533), ..options() }, "65533: the last port is 65535"),
        (InitOptions { placement: on_ports(101, "h", 1), ..options() }, "at most 100 are supported"),
        (InitOptions { placement: on_ports(70_000, "h", 1), ..options() }, "do not fit"),
        (twice, "appears twice"),
        (InitOptions { clients: vec![escape], ..options() }, "letters, digits"),
        (InitOptions { name: "my network".into(), ..options() }, "letters, digits"),
        (InitOptions { parameters: Parameters { window: 1, ..Parameters::standard() }, ..options() }, "window must be"),
    ];
    for (options, words) in cases {
        let found = init(&directory, &options).unwrap_err().to_string();
        assert!(found.contains(words), "{found} is without {words}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "something is left behind");
    }
}

#[test]
fn a_client_cannot_be_named_out_of_the_directory() {
    let parent = tempfile::tempdir().unwrap();
    for name in [".", "..", "..."] {
        let directory = parent.path().join(format!("network{}", name.len()));
        let client = InitClient { name: name.into(), ..options().clients[0].clone() };
        let network = init(&directory, &InitOptions { clients: vec![client], ..options() }).unwrap();
        let home = fs::canonicalize(&network.clients[0].1).unwrap();
        assert!(home.starts_with(fs::canonicalize(directory.join("clients")).unwrap()) && home.join("key").exists());
    }
}

#[test]
fn an_ipv6_host_gets_its_brackets() {
    let parent = tempfile::tempdir().unwrap();
    let network =
        init(&parent.path().join("n"), &InitOptions { placement: on_ports(4, "::1", 7401), ..options() }).unwrap();
    assert_eq!(network.genesis.replicas()[0].address, "[::1]:7401");
}

#[test]
fn replicas_can_have_addresses_of_their_own() {
    let parent = tempfile::tempdir().unwrap();
    let addresses = ["one:1", "two:2", "three:3", "four:4"].map(str::to_owned);
    let apart = InitOptions { placement: Placement::Addresses(addresses.to_vec()), ..options() };
    let network = init(&parent.path().join("n"), &apart).unwrap();
    let found: Vec<_> = network.genesis.replicas().iter().map(|replica| replica.address.clone()).collect();
    assert_eq!(found, addresses);
    let few = InitOptions { placement: Placement::Addresses(addresses[..3].to_vec()), ..options() };
    assert!(matches!(init(&parent.path().join("few"), &few), Err(Error::TooFewReplicas(3))));
}

#[test]
fn a_key_that_the_genesis_does_not_name_is_refused_with_both_names() {
    let (_parent, _, network) = made();
    let (_other_parent, _, other) = made();
    let (home, foreign) = (&network.replicas[0], &other.replicas[0]);
    fs::copy(foreign.join("key"), home.join("key")).unwrap();
    let words = ReplicaConfig::load(home).unwrap_err().to_string();
    let key = read_key(&foreign.join("key")).unwrap().account().to_string();
    let digest = network.genesis.digest().to_string();
    for part in [key.as_str(), "not the key of any replica", "genesis.toml", &digest[..8], "Use the genesis.toml"] {
        assert!(words.contains(part), "{words} is without {part}");
    }
}

#[test]
fn a_key_in_the_wrong_place_says_whose_it_is() {
    let (_parent, _, network) = made();
    let (replica, client) = (&network.replicas[2], &network.clients[0].1);
    fs::copy(client.join("key"), network.replicas[0].join("key")).unwrap();
    let words = ReplicaConfig::load(&network.replicas[0]).unwrap_err().to_string();
    assert!(words.contains("the key of the client \"gateway\", not of a replica"), "{words}");
    fs::copy(replica.join("key"), client.join("key")).unwrap();
    let words = ClientConfig::load(client).unwrap_err().to_string();
    assert!(words.contains("the key of replica 2, not of a client"), "{words}");
}

#[test]
fn a_replicas_own_configuration_is_read_and_its_mistakes_are_named() {
    let (_parent, _, network) = made();
    let home = &network.replicas[0];
    let config = home.join("node.toml");
    let good = fs::read_to_string(&config).unwrap();
    edit(&config, |text| text.replace("#listen = \"127.0.0.1:7401\"", "listen = \"0.0.0.0:9000\""));
    edit(&config, |text| text.replace("#connections_per_client = 16", "connections_per_client = 3"));
    let loaded = ReplicaConfig::load(home).unwrap();
    assert_eq!((loaded.listen.as_str(), loaded.limits.connections_per_client), ("0.0.0.0:9000", 3));
    let cases = [
        ("listen = \"nowhere\"", "node.toml:1: listen = \"nowhere\" is not of the form host:port"),
        ("lisen = \"0.0.0.0:1\"", "node.toml:1: unknown field `lisen`. Did you mean `listen`?"),
        ("\n[limits]\nidle_timeout = \"1 ms\"", "node.toml:3: idle_timeout must be at least twice keepalive"),
        ("\n[limits]\nkeepalive = \"1 h\"", "node.toml:3: idle_timeout must be at least twice keepalive"),
        ("\n[limits]\nreplica_frame = 5", "node.toml:3: unknown field `replica_frame`"),
        ("genesis = \"elsewhere.toml\"", "elsewhere.toml: there is no such file"),
    ];
    for (text, words) in cases {
        fs::write(&config, text).unwrap();
        let found = ReplicaConfig::load(home).unwrap_err().to_string();
        assert!(found.contains(words), "{found} is without {words}");
    }
    fs::write(&config, good.replace("#listen", "genesis = \"../genesis.toml\"\n#listen")).unwrap();
    assert!(ReplicaConfig::load(home).is_ok(), "a path is relative to the home");
}

#[test]
fn a_directory_that_is_no_home_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let words = ReplicaConfig::load(parent.path()).unwrap_err().to_string();
    assert!(words.contains("node.toml: there is no such file. Give the right directory with `--home`"), "{words}");
}
