//! Programs that people use: redis-cli, redis-benchmark and redis-py against a gateway. A program that is not installed
//! is said to be missing, and its test claims nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too")]

mod support;

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use bezant_node::gateway::{Facts, Gateway, Options, seam};
use bezant_types::keys::Role;
use support::{Group, Kindness, gateway_key, genesis};
use tokio::process::Command;

async fn start() -> SocketAddr {
    let genesis = genesis(Role::Write, |_| ());
    let facts = Facts::new(&genesis, gateway_key().account()).unwrap();
    let options = Options::standard(SocketAddr::from(([127, 0, 0, 1], 0)), &facts);
    let gateway = Gateway::bind(options, facts).await.unwrap();
    let address = gateway.local_addr();
    let (link, requests) = seam::seam();
    tokio::spawn(gateway.run(link, std::future::pending()));
    tokio::spawn(Group::new(genesis, Kindness::AnyOrder(1), Duration::ZERO).serve(requests));
    address
}

/// What a program printed, or none if it is not installed.
async fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).kill_on_drop(true).output().await {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("{program} cannot be run ({error}): nothing was tested");
            None
        }
    }
}

fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{err}")
}

#[tokio::test]
async fn redis_cli_reads_and_writes_in_both_protocols() {
    let port = start().await.port().to_string();
    for version in ["-2", "-3"] {
        let cases: [(&[&str], &str); 7] = [
            (&["SET", "greeting", "hello"], "OK\n"),
            (&["GET", "greeting"], "hello\n"),
            (&["MGET", "greeting", "none"], "hello\n\n"),
            (&["EXISTS", "greeting"], "1\n"),
            (&["GET"], "ERR wrong number of arguments for 'get' command\n\n"),
            (&["EXPIRE", "greeting", "1"], "ERR EXPIRE is not supported: nothing expires here\n\n"),
            (&["BALANCE"], "1000\n"),
        ];
        for (arguments, expected) in cases {
            let all = [&["-p", &port, version], arguments].concat();
            let Some(output) = run("redis-cli", &all).await else { return };
            assert_eq!(text(&output), expected, "{version} {arguments:?}");
        }
        let Some(output) = run("redis-cli", &["-p", &port, version, "INFO"]).await else { return };
        assert!(text(&output).contains("loading:0"));
        let Some(output) = run("redis-cli", &["-p", &port, version, "PROVE", "greeting"]).await else { return };
        assert!(text(&output).contains("signed_by"));
    }
}

#[tokio::test]
async fn redis_benchmark_sees_no_error() {
    let port = start().await.port().to_string();
    for version in [None, Some("-3")] {
        for pipeline in ["1", "16"] {
            let mut arguments =
                vec!["-p", &port, "-t", "ping,set,get,incr,mset", "-n", "2000", "-P", pipeline, "-r", "50"];
            arguments.extend(["-q", "--csv"]);
            arguments.extend(version);
            let Some(output) = run("redis-benchmark", &arguments).await else { return };
            let text = text(&output);
            assert!(output.status.success(), "{text}");
            for name in ["PING_INLINE", "SET", "GET", "INCR", "MSET (10 keys)"] {
                assert!(text.contains(&format!("\"{name}\",")), "{name} is missing in {text}");
            }
            assert!(!text.contains("rror"), "{text}");
        }
    }
}

#[tokio::test]
async fn redis_py_works_in_both_protocols() {
    let port = start().await.port().to_string();
    let probe = run("python3", &["-c", "import redis"]).await;
    if !probe.is_some_and(|output| output.status.success()) {
        eprintln!("redis-py is not installed: nothing was tested");
        return;
    }
    for protocol in ["2", "3"] {
        let Some(output) = run("python3", &["-c", REDIS_PY, &port, protocol]).await else { return };
        assert!(output.status.success() && text(&output) == "done\n", "protocol {protocol}: {}", text(&output));
    }
}

const REDIS_PY: &str = r#"
import sys, redis
r = redis.Redis(port=int(sys.argv[1]), protocol=int(sys.argv[2]), client_name="test")
for k in ("a", "b", "n", "big"): r.delete(k)
assert r.ping() is True
assert r.set("a", b"\x00\xff\r\n") is True and r.get("a") == b"\x00\xff\r\n"
assert r.set("a", 1, nx=True) is None and r.set("a", "x", xx=True, get=True) == b"\x00\xff\r\n"
assert r.mset({"a": 1, "b": 2}) is True and r.mget("a", "none", "b") == [b"1", None, b"2"]
assert r.incr("n", 5) == 5 and r.decr("n") == 4 and r.append("n", "2") == 2 and r.strlen("n") == 2
assert r.setnx("n", 1) is False and r.exists("a", "b", "none") == 2 and r.type("a") == b"string"
assert r.getdel("a") == b"1" and r.get("a") is None and r.delete("a", "b") == 1
assert r.client_getname() in (b"test", "test") and isinstance(r.client_id(), int) and len(r.client_list()) >= 1
assert r.info()["loading"] == 0 and r.config_get("appendonly") in ({"appendonly": "yes"}, {b"appendonly": b"yes"})
assert "get" in r.command() and r.command_count() > 20
assert r.execute_command("BALANCE") == 1000
p = r.pipeline(transaction=False)
for i in range(5000): p.set("p%d" % i, i); p.get("p%d" % i)
replies = p.execute()
assert replies[0::2] == [True] * 5000 and replies[1::2] == [b"%d" % i for i in range(5000)]
big = b"x" * (1 << 20)
assert r.set("big", big) and r.get("big") == big
def fails(kind, words, f, *a, **k):
    try: f(*a, **k)
    except kind as e: assert words in str(e), e
    else: assert False, words
fails(redis.ResponseError, "at most 1048576 are allowed", r.set, "big", big + b"x")
fails(redis.ResponseError, "nothing expires here", r.set, "a", 1, ex=5)
fails(redis.ResponseError, "MULTI is not supported", lambda: r.pipeline().set("a", 1).execute())
assert r.get("a") is None
fails(redis.ResponseError, "value is not an integer", r.incr, "big")
fails(redis.ResponseError, "OVERDRAFT", r.execute_command, "TRANSFER", "bob", 10**9)
assert r.ping() is True
print("done")
"#;
