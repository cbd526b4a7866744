//! `bezant prove`: what the ledger holds, for somebody who trusts no single replica.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use bezant_ledger::Key;
use bezant_node::verify::{FindingFacts, ProofFile};
use serde::Serialize;

use super::data::hex;
use super::verify::describe_finding;
use crate::connect::ClientArguments;
use crate::print::StyleArguments;

/// Prove what an entry or account holds, or that there is no such entry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant prove greeting --out greeting.proof
  bezant prove --balance alice --out alice.proof
  bezant verify proof greeting.proof --genesis ./bezant-data/genesis.toml

The proof is of a checkpoint that a quorum of replicas signed, and that covers everything that was
acknowledged before this was asked. Whoever has the genesis can check it, offline and without trust
in anybody. It waits for the next checkpoint, which the group makes within a second of the last
request.")]
pub(crate) struct Prove {
    /// Which entry; any bytes
    #[arg(required_unless_present = "balance", conflicts_with = "balance")]
    key: Option<OsString>,
    /// Prove what this account holds: the name of a client, or 64 hexadecimal digits
    #[arg(long, value_name = "ACCOUNT")]
    balance: Option<String>,
    /// Where to write the proof
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArguments,
    #[command(flatten)]
    style: StyleArguments,
}

#[derive(Serialize)]
struct Facts {
    #[serde(flatten)]
    finding: FindingFacts,
    /// Where the proof is, if it was written to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// The proof itself, if it was not; `bezant verify proof` reads these digits from a file as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_hex: Option<String>,
}

impl Prove {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let session = self.client.connect().await?;
        let key = match (self.key, &self.balance) {
            (_, Some(account)) => Key::Account(session.find_account(account)?),
            (key, None) => Key::Entry(key.unwrap_or_default().into_vec()),
        };
        let deadline = session.deadline();
        let height = match session.client.height(deadline).await {
            Ok(height) => height,
            Err(error) => return Err(session.explain(error).await),
        };
        let proven = session.client.prove(key, height, deadline).await?;
        session.close().await;
        if let Some(path) = &self.out {
            ProofFile::write(path, &proven.proof)?;
        }
        let proof_hex = self.out.is_none().then(|| hex(&ProofFile::encode(&proven.proof)));
        let facts = Facts { finding: proven.finding.facts(), file: self.out, proof_hex };
        self.style.style().print(&facts, |facts| {
            let finding = describe_finding(&facts.finding);
            match &facts.file {
                Some(file) => format!("{finding}\nThe proof is in {}", file.display()),
                None => format!("{finding}\nThe proof was checked, and not kept: --out FILE writes it"),
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
