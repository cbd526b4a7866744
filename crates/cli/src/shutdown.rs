//! When a process is to stop.

use std::io::Read as _;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Who watches over this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// A person, or a service manager: signals say when to stop.
    BySignals,
    /// A supervisor that holds the other end of standard input: its end says so as well, for the supervisor is gone
    /// then.
    BySupervisor,
}

/// Completes at SIGTERM or Ctrl-C, or when the supervisor is gone. Listening begins at once, so that no signal is
/// missed before this is first polled.
pub(crate) fn requested(watched: Watched) -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let orphaned = match watched {
        Watched::BySignals => None,
        Watched::BySupervisor => Some(end_of_input()?),
    };
    Ok(async move {
        let orphaned = async {
            match orphaned {
                // An error means that the thread is gone, and it only goes with the input.
                Some(end) => drop(end.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping: asked to"),
            _ = interrupt.recv() => tracing::info!("stopping: interrupted"),
            () = orphaned => tracing::warn!("stopping: the supervisor is gone"),
        }
    })
}

/// A thread of its own, because a runtime would wait for a read that never returns when the process stops otherwise.
fn end_of_input() -> std::io::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("supervisor".into()).spawn(move || {
        let mut ignored = [0; 64];
        while std::io::stdin().read(&mut ignored).is_ok_and(|read| read > 0) {}
        // Nobody waits for it when the process is stopping already.
        let _ = ended.send(());
    })?;
    Ok(end)
}
