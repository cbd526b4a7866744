//! Logs: to standard error, for people or for programs.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// For whom logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

/// Starts logging. `RUST_LOG` decides what is logged, and `usual` if it says nothing.
pub(crate) fn start(format: Format, usual: LevelFilter) {
    let filter = EnvFilter::builder().with_default_directive(usual.into()).from_env_lossy();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Text => logs.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        Format::Json => logs.json().init(),
    }
}
