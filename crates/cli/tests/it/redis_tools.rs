//! The tools that people have: redis-cli, redis-benchmark, redis-py. Where they are not installed these tests say so
//! and pass, but not in continuous integration.

use std::process::Command;

use crate::network::Network;
use crate::process::{Output, run};

/// The command, if the tool is there.
fn tool(name: &str, probe: &[&str]) -> Option<Command> {
    let there = Command::new(name).args(probe).output().is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "{name} {probe:?} must work in continuous integration");
    if !there {
        eprintln!("SKIPPED: {name} {probe:?} does not work here");
    }
    there.then(|| Command::new(name))
}

fn redis_cli(network: &Network, arguments: &[&str]) -> Option<Output> {
    let mut command = tool("redis-cli", &["--version"])?;
    command.args(["-p", &network.redis_port().to_string()]).args(arguments);
    Some(run(command))
}

#[test]
fn redis_cli_reads_and_writes() {
    let network = Network::started();
    let Some(set) = redis_cli(&network, &["SET", "greeting", "hello"]) else { return };
    assert_eq!(set.text(), "OK\n");
    let say = |arguments: &[&str]| redis_cli(&network, arguments).unwrap().text();
    assert_eq!(say(&["GET", "greeting"]), "hello\n");
    assert_eq!(say(&["-3", "GET", "greeting"]), "hello\n", "RESP3");
    assert_eq!(say(&["INCR", "n"]), "1\n");
    assert_eq!(say(&["MSET", "a", "1", "b", "2"]), "OK\n");
    assert_eq!(say(&["MGET", "a", "b"]), "1\n2\n");
    assert_eq!(say(&["TRANSFER", "alice", "5"]).trim(), "OK");
    assert!(say(&["INFO"]).contains("network:bezant"), "{}", say(&["INFO"]));
    assert!(say(&["LPUSH", "list", "1"]).contains("ERR"), "what is not supported says so");
}

#[test]
fn redis_benchmark_runs() {
    let mut network = Network::started();
    let Some(mut command) = tool("redis-benchmark", &["--version"]) else { return };
    let port = network.redis_port().to_string();
    command.args(["-p", &port, "-t", "set,get", "-n", "2000", "-c", "20", "-P", "4", "-d", "100", "--csv"]);
    let text = run(command).text();
    assert!(text.contains("\"SET\"") && text.contains("\"GET\""), "{text}");
    network.wait_all_equal();
}

#[test]
fn redis_py_works() {
    let network = Network::started();
    let Some(mut command) = tool("python3", &["-c", "import redis"]) else { return };
    let script = format!(
        "import redis\n\
         for protocol in (2, 3):\n\
         \x20   r = redis.Redis(port={}, protocol=protocol, decode_responses=True)\n\
         \x20   assert r.ping()\n\
         \x20   assert r.set('k', 'v') and r.get('k') == 'v'\n\
         \x20   assert r.set('k', 'w', nx=True) is None and r.set('k', 'w', xx=True, get=True) == 'v'\n\
         \x20   assert r.mset({{'a': 1, 'b': 2}}) and r.mget('a', 'b', 'none') == ['1', '2', None]\n\
         \x20   assert r.incr('a', 41) == 42 and r.delete('a', 'b') == 2 and r.exists('a') == 0\n\
         \x20   p = r.pipeline(transaction=False)\n\
         \x20   [p.set(f'p{{i}}', i) for i in range(100)]\n\
         \x20   assert all(p.execute()) and r.get('p99') == '99'\n\
         \x20   try:\n\
         \x20       r.lpush('list', 1)\n\
         \x20       raise AssertionError('not refused')\n\
         \x20   except redis.ResponseError as e:\n\
         \x20       pass\n\
         print('fine')\n",
        network.redis_port()
    );
    command.args(["-c", &script]);
    assert_eq!(run(command).text().trim(), "fine");
}
