//! Child processes: started together, watched, stopped together.
//!
//! Each child hears of its supervisor's death by the end of its standard input, and stops then: a supervisor that was
//! killed leaves no replica behind that holds ports and locks. A child is in a process group of its own, so that Ctrl-C
//! in a terminal reaches the supervisor alone, which then stops the children in order.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What to start.
#[derive(Clone, Debug)]
pub struct Program {
    /// What it is called here.
    pub name: String,
    /// The arguments of the executable.
    pub arguments: Vec<OsString>,
    /// Where its output goes.
    pub log: PathBuf,
}

/// A child that has ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Which.
    pub name: String,
    /// How.
    pub status: Result<ExitStatus, String>,
    /// The last lines that it wrote, oldest first.
    pub last_words: Vec<String>,
}

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Its log.
    #[error("{}: opening the log failed: {source}. Check the path, its owner and the free space", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The executable.
    #[error("{}: could not be started: {source}", path.display())]
    Executable {
        /// The executable.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The children of this process. Dropping it kills them.
#[derive(Debug)]
pub struct Supervisor {
    children: Vec<Running>,
    exits: mpsc::UnboundedReceiver<Exit>,
    report: mpsc::UnboundedSender<Exit>,
}

#[derive(Debug)]
struct Running {
    name: String,
    pid: u32,
    orders: mpsc::UnboundedSender<Order>,
    watcher: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Stop,
    Kill,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// Nothing is running yet.
    pub fn new() -> Self {
        let (report, exits) = mpsc::unbounded_channel();
        Self { children: Vec::new(), exits, report }
    }

    /// Starts a child and gives its number. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`SpawnError`].
    pub fn start(&mut self, executable: &Path, program: Program) -> Result<u32, SpawnError> {
        let Program { name, arguments, log } = program;
        let (output, written) = open_log(&log).map_err(|source| SpawnError::Log { path: log.clone(), source })?;
        let failed = |source| SpawnError::Executable { path: executable.to_owned(), source };
        let errors = output.try_clone().map_err(failed)?;
        let mut command = Command::new(executable);
        command.args(arguments).stdin(Stdio::piped()).stdout(output).stderr(errors).process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        let (orders, received) = mpsc::unbounded_channel();
        let report = self.report.clone();
        let of = name.clone();
        let watcher = tokio::spawn(async move {
            let status = watch(child, received).await;
            let last_words = last_lines(&log, written).unwrap_or_default();
            // Nobody listens any more when the supervisor itself is being dropped.
            let _ = report.send(Exit { name: of, status: status.map_err(|error| error.to_string()), last_words });
        });
        self.children.push(Running { name, pid, orders, watcher });
        Ok(pid)
    }

    /// The children that run: name and number.
    pub fn running(&self) -> impl Iterator<Item = (&str, u32)> {
        let alive = self.children.iter().filter(|child| !child.watcher.is_finished());
        alive.map(|child| (child.name.as_str(), child.pid))
    }

    /// Waits until a child ends by itself.
    pub async fn next_exit(&mut self) -> Exit {
        // The sender lives as long as the supervisor, so that this waits for ever when nothing runs.
        match self.exits.recv().await {
            Some(exit) => exit,
            None => std::future::pending().await,
        }
    }

    /// A child that has ended by itself, if any has since the last time.
    pub fn try_next_exit(&mut self) -> Option<Exit> {
        self.exits.try_recv().ok()
    }

    /// Asks the children to stop, the last one started first, so that a gateway answers its clients while there are
    /// replicas. A child that takes longer than `patience` is killed. Gives all that did not end well.
    pub async fn stop(mut self, patience: Duration) -> Vec<Exit> {
        let mut unwell = Vec::new();
        let mut children: Vec<Running> = std::mem::take(&mut self.children);
        // The last child alone, then all others at once.
        let last = children.split_off(children.len().saturating_sub(1));
        for group in [last, children] {
            for child in &group {
                // A child that has ended takes no orders.
                let _ = child.orders.send(Order::Stop);
            }
            for mut child in group {
                if timeout(patience, &mut child.watcher).await.is_err() {
                    let _ = child.orders.send(Order::Kill);
                    let _ = child.watcher.await;
                }
            }
        }
        while let Ok(exit) = self.exits.try_recv() {
            if !exit.is_clean() {
                unwell.push(exit);
            }
        }
        unwell
    }
}

impl Exit {
    /// Whether it ended as one that was asked to stop does.
    pub fn is_clean(&self) -> bool {
        self.status.as_ref().is_ok_and(ExitStatus::success)
    }

    /// How it ended, in words.
    pub fn manner(&self) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        match &self.status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with status {code}"),
                (None, Some(signal)) => format!("was killed by signal {signal}"),
                (None, None) => "ended".to_owned(),
            },
            Err(error) => format!("is lost: {error}"),
        }
    }
}

async fn watch(mut child: Child, mut orders: mpsc::UnboundedReceiver<Order>) -> io::Result<ExitStatus> {
    // Held to the end: closing it tells the child that it is alone.
    let _alive = child.stdin.take();
    loop {
        tokio::select! {
            status = child.wait() => return status,
            order = orders.recv() => match order {
                Some(Order::Stop) => terminate(&child),
                Some(Order::Kill) | None => child.start_kill()?,
            },
        }
    }
}

fn terminate(child: &Child) {
    // The number is still the child's: it is not reaped before `wait` returned.
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(Err(error)) = pid.map(|pid| kill_process(pid, Signal::TERM)) {
        tracing::debug!("a child could not be asked to stop: {error}");
    }
}

/// Opens a log for appending, and gives its length. A long one is set aside first.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::metadata(path).is_ok_and(|log| log.len() > LONG_LOG) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// The last lines of a log that were written after byte `from`.
pub(super) fn last_lines(path: &Path, from: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES).max(from);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    Ok(lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)).map(|line| (*line).to_owned()).collect())
}

/// Beyond this many bytes a log is set aside when its process is started again.
const LONG_LOG: u64 = 16 << 20;
/// How much of a log is looked at for the last lines.
const TAIL_BYTES: u64 = 16 << 10;
/// How many lines are shown of a process that died.
const TAIL_LINES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str, folder: &Path) -> Program {
        Program {
            name: name.into(),
            arguments: vec!["-c".into(), script.into()],
            log: folder.join(format!("{name}.log")),
        }
    }

    const SHELL: &str = "/bin/sh";

    #[tokio::test]
    async fn a_child_that_dies_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("one.log"), "of an earlier run\n").unwrap();
        let mut supervisor = Supervisor::new();
        supervisor.start(Path::new(SHELL), shell("one", "echo out of cheese >&2; exit 3", folder.path())).unwrap();
        let exit = supervisor.next_exit().await;
        assert_eq!((exit.name.as_str(), exit.manner().as_str()), ("one", "ended with status 3"));
        assert_eq!(exit.last_words, ["out of cheese"]);
        assert_eq!(supervisor.running().count(), 0);
    }

    #[tokio::test]
    async fn children_are_asked_to_stop_and_the_deaf_are_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut supervisor = Supervisor::new();
        let polite = "trap 'exit 0' TERM; while :; do read line || exit 7; done";
        supervisor.start(Path::new(SHELL), shell("polite", polite, folder.path())).unwrap();
        let deaf = "trap '' TERM; echo ready; read line";
        supervisor.start(Path::new(SHELL), shell("deaf", deaf, folder.path())).unwrap();
        while last_lines(&folder.path().join("deaf.log"), 0).unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let unwell = supervisor.stop(Duration::from_millis(300)).await;
        assert_eq!(unwell.iter().map(|exit| exit.name.as_str()).filter(|name| *name == "deaf").count(), 1);
        let deaf = unwell.iter().find(|exit| exit.name == "deaf").unwrap();
        assert_eq!(deaf.manner(), "was killed by signal 9");
    }
}
