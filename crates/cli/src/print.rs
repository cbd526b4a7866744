//! To standard output: facts as text or as JSON.

use std::io::{ErrorKind, Write as _};

use serde::Serialize;

/// How facts are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// For people.
    Text,
    /// For programs: one JSON document.
    Json,
}

/// `--json`, for commands that print facts.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct StyleArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl StyleArguments {
    /// What was asked for.
    pub(crate) fn style(self) -> Style {
        if self.json { Style::Json } else { Style::Text }
    }
}

impl Style {
    /// Prints `facts`, or what `text` makes of them.
    pub(crate) fn print<T: Serialize>(self, facts: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        match self {
            Self::Text => line(&text(facts)),
            Self::Json => line(&serde_json::to_string_pretty(facts)?),
        }
    }
}

/// Prints a text and the end of its line.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    bytes(text.trim_end().as_bytes())
}

/// Prints bytes as they are, and the end of a line.
pub(crate) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        // The reader has seen enough, as `head` does. That is no failure of ours.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}
