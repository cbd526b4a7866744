//! `bezant get`, `set` and `del`: entries of the ledger.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::ExitCode;

use anyhow::bail;
use bezant_types::Operation;
use bezant_types::transaction::{Answer, Condition, SetAnswer, printable};
use serde::Serialize;

use crate::connect::ClientArguments;
use crate::print::{self, Style, StyleArguments};
use crate::text;

/// Print what an entry holds
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant get greeting
  bezant get greeting --json

The read is ordered among all writes, and f + 1 replicas vouch for the answer. The value is printed
byte for byte. Without such an entry nothing is printed, and the exit status is 1.")]
pub(crate) struct Get {
    /// Which entry; any bytes
    key: OsString,
    #[command(flatten)]
    client: ClientArguments,
    #[command(flatten)]
    style: StyleArguments,
}

/// Write an entry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bezant set greeting 'hello, world'

A new entry belongs to the client that writes it; others can write it once its owner has granted
them to. When this returns, a quorum of replicas has the entry on disk.")]
pub(crate) struct Set {
    /// Which entry; any bytes
    key: OsString,
    /// What it is to hold; any bytes
    #[arg(allow_hyphen_values = true)]
    value: OsString,
    #[command(flatten)]
    client: ClientArguments,
    #[command(flatten)]
    style: StyleArguments,
}

/// Remove entries, all or none
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bezant del greeting farewell

Says how many there were. If one of them may not be removed, none is.")]
pub(crate) struct Del {
    /// Which entries; any bytes
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<OsString>,
    #[command(flatten)]
    client: ClientArguments,
    #[command(flatten)]
    style: StyleArguments,
}

/// Bytes as text with escapes, and as hexadecimal digits so that nothing is lost.
#[derive(Serialize)]
struct Entry {
    key: String,
    found: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
}

#[derive(Serialize)]
struct Written {
    key: String,
    bytes: usize,
}

#[derive(Serialize)]
struct Removed {
    removed: usize,
    asked: usize,
}

impl Get {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let session = self.client.connect().await?;
        let key = self.key.into_vec();
        let shown = printable(&key);
        let answer = session.execute(Operation::Get { key }).await?;
        session.close().await;
        let Answer::Value(value) = answer else {
            bail!("the group answered a read with {answer:?}: this is a fault of Bezant");
        };
        match (self.style.style(), value) {
            (Style::Text, Some(value)) => print::bytes(&value)?,
            (Style::Text, None) => bail!("there is no entry {shown:?}"),
            (style @ Style::Json, value) => {
                let entry = Entry {
                    key: shown,
                    found: value.is_some(),
                    value: value.as_deref().map(printable),
                    value_hex: value.as_deref().map(hex),
                    bytes: value.as_ref().map(Vec::len),
                };
                style.print(&entry, |_| String::new())?;
                return Ok(if entry.found { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let session = self.client.connect().await?;
        let (key, value) = (self.key.into_vec(), self.value.into_vec());
        let written = Written { key: printable(&key), bytes: value.len() };
        let set = Operation::Set { key, value, condition: Condition::Always, answer: SetAnswer::Written };
        session.execute(set).await?;
        session.close().await;
        self.style.style().print(&written, |written| {
            format!("{:?} holds {} now", written.key, text::count(written.bytes as u64, "byte"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Del {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let session = self.client.connect().await?;
        let asked = self.keys.len();
        let deletions = self.keys.into_iter().map(|key| Operation::Delete { key: key.into_vec() });
        let answers = session.execute_all(deletions.collect()).await?;
        session.close().await;
        let removed = answers.iter().filter(|answer| **answer == Answer::Flag(true)).count();
        self.style.style().print(&Removed { removed, asked }, |facts| {
            format!("removed {} of {}", facts.removed, text::count(facts.asked as u64, "key"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
