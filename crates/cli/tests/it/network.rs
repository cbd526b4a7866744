//! A network of four replicas and a gateway, in a temporary directory.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Daemon, Output, bezant, wait_for};
use crate::redis::{Redis, Reply};

/// How many replicas a network has here.
pub(crate) const SIZE: u16 = 4;

/// A network. Its processes end with it.
pub(crate) struct Network {
    pub(crate) replicas: Vec<Option<Daemon>>,
    pub(crate) gateway: Option<Daemon>,
    pub(crate) base_port: u16,
    folder: TempDir,
    _turn: Turn,
}

impl Network {
    /// A new network, of which nothing runs yet. Impatient, so that a view change does not take seconds.
    pub(crate) fn made() -> Self {
        Self::made_with(&[])
    }

    /// The same with other parameters, `name=value`.
    pub(crate) fn made_with(parameters: &[&str]) -> Self {
        let turn = Turn::take();
        let base_port = free_ports();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("net").display().to_string();
        let port = base_port.to_string();
        let mut arguments = vec!["init", &root, "--base-port", &port];
        let clients = ["gateway:write:1000000", "cli:admin:1000", "alice:write:1000", "bob:write:1000", "reader:read"];
        arguments.extend(clients.iter().flat_map(|client| ["--client", client]));
        let usual = ["request_timeout_ms=1000", "status_interval_ms=100", "seal_after_ms=100"];
        arguments.extend(usual.iter().chain(parameters).flat_map(|parameter| ["--protocol", parameter]));
        bezant(&arguments).text();
        Self { replicas: (0..SIZE).map(|_| None).collect(), gateway: None, base_port, folder, _turn: turn }
    }

    /// A new network that runs and answers.
    pub(crate) fn started() -> Self {
        let mut network = Self::made();
        network.start_all();
        network
    }

    /// Starts everything, and waits until the group answers.
    pub(crate) fn start_all(&mut self) {
        for id in 0..SIZE {
            self.start(id);
        }
        self.start_gateway();
        self.wait_answer();
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("net")
    }

    /// Beside the network, for what a test needs to put somewhere.
    pub(crate) fn aside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn genesis(&self) -> PathBuf {
        self.root().join("genesis.toml")
    }

    pub(crate) fn home(&self, id: u16) -> PathBuf {
        self.root().join(format!("replica-{id}"))
    }

    pub(crate) fn client(&self, name: &str) -> PathBuf {
        self.root().join("clients").join(name)
    }

    pub(crate) fn redis_port(&self) -> u16 {
        self.base_port + SIZE
    }

    pub(crate) fn http_port(&self) -> u16 {
        self.base_port + SIZE + 1
    }

    /// Starts a replica.
    pub(crate) fn start(&mut self, id: u16) {
        self.start_with(id, &[]);
    }

    /// Starts a replica with more arguments.
    pub(crate) fn start_with(&mut self, id: u16, more: &[&str]) {
        let home = self.home(id).display().to_string();
        let mut arguments = vec!["start", "--supervised", "--home", &home];
        arguments.extend(more);
        let replica = Daemon::start(&arguments, &self.aside(&format!("replica-{id}.log")));
        self.replicas[usize::from(id)] = Some(replica);
    }

    pub(crate) fn start_gateway(&mut self) {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port)).to_string();
        let (home, redis) = (self.client("gateway").display().to_string(), address(self.redis_port()));
        let http = address(self.http_port());
        let arguments = ["gateway", "--supervised", "--home", &home, "--redis", &redis, "--http", &http];
        self.gateway = Some(Daemon::start(&arguments, &self.aside("gateway.log")));
    }

    /// A running replica.
    pub(crate) fn replica(&mut self, id: u16) -> &mut Daemon {
        self.replicas[usize::from(id)].as_mut().expect("it was started")
    }

    /// Ends a replica without a word.
    pub(crate) fn kill(&mut self, id: u16) {
        self.replicas[usize::from(id)].take().expect("it runs").kill();
    }

    /// Stops everything in order: the gateway, then the replicas.
    pub(crate) fn stop_all(&mut self) {
        self.gateway.take().into_iter().for_each(Daemon::stop);
        for replica in &mut self.replicas {
            replica.take().into_iter().for_each(Daemon::stop);
        }
    }

    /// Runs a sub-command on this network.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        let root = self.root().display().to_string();
        let home = ["--home", &root];
        // What follows a `--` is no option.
        let at = arguments.iter().position(|argument| *argument == "--").unwrap_or(arguments.len());
        let (before, after) = arguments.split_at(at);
        bezant(&[before, &home, after].concat())
    }

    /// What `status --json` prints.
    pub(crate) fn status(&self) -> Value {
        self.cli(&["status", "--json", "--timeout", "3"]).json()
    }

    /// A connection to the gateway.
    pub(crate) fn redis(&self) -> Redis {
        Redis::connect(self.redis_port()).unwrap()
    }

    /// Waits until the group answers through the gateway.
    pub(crate) fn wait_answer(&mut self) {
        let port = self.redis_port();
        let daemons = self.replicas.iter_mut().chain([&mut self.gateway]);
        let mut daemons: Vec<_> = daemons.flatten().collect();
        wait_for("an answer of the group", || {
            daemons.iter_mut().for_each(|daemon| daemon.expect_alive());
            let answer = Redis::connect(port).and_then(|mut redis| redis.call(&["DBSIZE"]));
            match answer {
                Ok(Reply::Integer(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// Waits until a status is as wanted. What was started must not end meanwhile.
    pub(crate) fn wait_status<T>(&mut self, what: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        wait_for(what, || {
            self.replicas.iter_mut().chain([&mut self.gateway]).flatten().for_each(Daemon::expect_alive);
            let status = self.status();
            wanted(&status).ok_or_else(|| format!("{status:#}"))
        })
    }

    /// Waits until all four work in one view, have executed everything and have the same certified state root of it.
    pub(crate) fn wait_all_equal(&mut self) {
        self.wait_status("one state root on all four", |status| {
            let replicas = status["replicas"].as_array()?;
            let first = &replicas[0];
            let equal = replicas.iter().all(|one| {
                one["standing"] == "normal"
                    && one["stable"] == one["executed"]
                    && ["view", "stable", "root"].iter().all(|field| one[field] == first[field])
            });
            (equal && first["root"].is_string() && status["diverged"] == Value::Array(vec![])).then_some(())
        });
    }
}

/// The replica that is the primary, as most say.
pub(crate) fn primary(status: &Value) -> Option<u16> {
    let replicas = status["replicas"].as_array()?;
    let said: Vec<u64> = replicas.iter().filter_map(|one| one["primary"].as_u64()).collect();
    let most = said.iter().max_by_key(|one| said.iter().filter(|other| other == one).count())?;
    u16::try_from(*most).ok()
}

/// The highest view that a replica is in.
pub(crate) fn view(status: &Value) -> u64 {
    let replicas = status["replicas"].as_array().unwrap();
    replicas.iter().filter_map(|one| one["view"].as_u64()).max().unwrap_or_default()
}

/// Every file below `folder` with what it holds, but for locks, which name whoever came last.
pub(crate) fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != "LOCK") {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

/// The first of six free ports in a row, below those that the system gives to outgoing connections. Each caller in this
/// process gets others.
pub(crate) fn free_ports() -> u16 {
    const WIDTH: u16 = 8;
    const BLOCKS: u16 = 2_200;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap();
    for _ in 0..BLOCKS {
        let block = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % BLOCKS;
        let base = 12_000 + block * WIDTH;
        if (base..base + WIDTH).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("no free ports");
}

/// Leave to run a network: two at a time, or a small machine measures its scheduler.
struct Turn;

static RUNNING: Mutex<usize> = Mutex::new(0);
static CHANGED: Condvar = Condvar::new();
const MOST_AT_ONCE: usize = 2;

impl Turn {
    fn take() -> Self {
        let running = CHANGED.wait_while(running(), |running| *running >= MOST_AT_ONCE);
        *running.unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *running() -= 1;
        CHANGED.notify_one();
    }
}

fn running() -> MutexGuard<'static, usize> {
    RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
