//! Running the binary: to its end, or as a child that ends with the test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The binary under test.
pub(crate) const BEZANT: &str = env!("CARGO_BIN_EXE_bezant");

/// Long enough for a machine that is busy with other things, and still an end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `probe` finds something. Panics with `what` was waited for, and what was seen last.
pub(crate) fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match probe() {
            Ok(found) => return found,
            Err(seen) if deadline <= Instant::now() => {
                panic!("{what} has not come within {} s. Last seen: {seen}", PATIENCE.as_secs())
            }
            Err(_) => std::thread::sleep(Duration::from_millis(15)),
        }
    }
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) command: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Output {
    /// The standard output of a command that did what it was asked.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        assert!(self.status.success(), "{} failed: {}\n{}", self.command, self.stderr, self.lossy());
        self.lossy()
    }

    /// The JSON that a command printed, whatever its status.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let parsed = serde_json::from_slice(&self.stdout);
        parsed.unwrap_or_else(|error| {
            panic!("{} printed no JSON: {error}\n{}\n{}", self.command, self.lossy(), self.stderr)
        })
    }

    /// Checks that the command was refused, that nothing was printed as a fact, and that the error has all `words`.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) {
        assert!(!self.status.success(), "{} was not refused: {}", self.command, self.lossy());
        for part in words {
            assert!(self.stderr.contains(part), "{} says, without {part:?}:\n{}", self.command, self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{} panicked:\n{}", self.command, self.stderr);
    }

    fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs the binary to its end.
pub(crate) fn bezant<A: AsRef<OsStr>>(arguments: &[A]) -> Output {
    let mut command = Command::new(BEZANT);
    command.args(arguments);
    run(command)
}

/// Runs a command to its end, which must come.
pub(crate) fn run(mut command: Command) -> Output {
    let shown = format!("{command:?}").replace(BEZANT, "bezant");
    let mut child = command
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if deadline <= Instant::now() {
            let _ = child.kill();
            let _ = child.wait();
            let said = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
            panic!("{shown} has not ended within {} s: {said}", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap()).into_owned();
    Output { command: shown, status, stdout: stdout.join().unwrap(), stderr }
}

fn collect(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// A process that runs beside the test, and not for longer.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    /// The child hears of our end by it.
    _alive: Option<ChildStdin>,
}

impl Daemon {
    /// Starts the binary; what it says goes to `log`, anew.
    pub(crate) fn start<A: AsRef<OsStr>>(arguments: &[A], log: &Path) -> Self {
        let output = File::create(log).unwrap();
        let mut child = Command::new(BEZANT)
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let _alive = child.stdin.take();
        Self { child, log: log.to_owned(), _alive }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Checks that it still runs.
    #[track_caller]
    pub(crate) fn expect_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended with {status}:\n{}", self.log.display(), self.said());
        }
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let (child, log) = (&mut self.child, &self.log);
        wait_for(&format!("the end of {}", log.display()), || child.try_wait().unwrap().ok_or("it runs".to_owned()))
    }

    /// Ends it as a crash of the machine would, without any word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Asks it to stop, and checks that it does so in order.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{} ended with {status}:\n{}", self.log.display(), self.said());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), abridged(&self.said()));
        }
    }
}

/// The end of a log, and if a process panicked, where and how.
fn abridged(log: &str) -> String {
    let part = |from: usize, to: usize| String::from_utf8_lossy(&log.as_bytes()[from..to.min(log.len())]).into_owned();
    let tail = part(log.len().saturating_sub(3_000), log.len());
    match log.find("panicked at") {
        Some(at) => format!("{}\n[…]\n{tail}", part(at.saturating_sub(500), at + 4_000)),
        None => tail,
    }
}

/// Sends a signal to a process that this test has started.
pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Whether there is such a process, and it is not merely waiting to be reaped.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
