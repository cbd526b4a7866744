//! `bezant verify`: proofs, checkpoints and whole homes, offline.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use bezant_node::config::read_genesis;
use bezant_node::verify::{
    FindingFacts, Holding, ProofFile, Report, Span, Subject, verify_checkpoint, verify_home, verify_home_of,
    verify_proof,
};
use clap::Subcommand;
use serde::Serialize;

use crate::print::StyleArguments;
use crate::text;

/// Check a proof, a checkpoint or a replica's whole home, offline
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant verify proof greeting.proof --genesis ./bezant-data/genesis.toml
  bezant verify checkpoint greeting.proof --genesis ./bezant-data/genesis.toml
  bezant verify home ./bezant-data/replica-0        while the replica does not run

Nothing is believed but the genesis. The exit status is 0 only if everything holds.")]
pub(crate) struct Verify {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What a proof file shows, and whether a quorum stands behind it
    #[command(after_help = "Example:\n  bezant verify proof greeting.proof --genesis ./bezant-data/genesis.toml")]
    Proof {
        /// The proof: as `bezant prove --out` wrote it, or the hexadecimal digits that PROVE answers
        file: PathBuf,
        /// The genesis of the network
        #[arg(long, value_name = "FILE")]
        genesis: PathBuf,
        #[command(flatten)]
        style: StyleArguments,
    },
    /// Whether a quorum signed the checkpoint in a proof file
    #[command(after_help = "Example:\n  bezant verify checkpoint greeting.proof --genesis ./bezant-data/genesis.toml")]
    Checkpoint {
        /// The file
        file: PathBuf,
        /// The genesis of the network
        #[arg(long, value_name = "FILE")]
        genesis: PathBuf,
        #[command(flatten)]
        style: StyleArguments,
    },
    /// Whether the blocks and the state in a replica's home are what a quorum committed and signed
    #[command(after_help = "Example:\n  bezant verify home ./bezant-data/replica-0")]
    Home {
        /// The home
        #[arg(value_name = "DIR")]
        home: PathBuf,
        /// The genesis of the network [default: the one in the home]
        #[arg(long, value_name = "FILE")]
        genesis: Option<PathBuf>,
        #[command(flatten)]
        style: StyleArguments,
    },
}

#[derive(Serialize)]
struct CheckpointFacts {
    sequence: u64,
    root: String,
    signers: Vec<u16>,
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Proof { file, genesis, style } => {
                let (genesis, proof) = (read_genesis(&genesis)?, ProofFile::read(&file)?);
                let finding =
                    verify_proof(&genesis, &proof).map_err(|why| anyhow!("{}: NOT PROVEN: {why}", file.display()))?;
                style.style().print(&finding.facts(), |facts| format!("proven: {}", describe_finding(facts)))?;
            }
            What::Checkpoint { file, genesis, style } => {
                let (genesis, proof) = (read_genesis(&genesis)?, ProofFile::read(&file)?);
                let certificate = verify_checkpoint(&genesis, proof.checkpoint).map_err(|why| {
                    anyhow!("{}: no quorum of this network signed this checkpoint: {why}", file.display())
                })?;
                let facts = CheckpointFacts {
                    sequence: certificate.vote().sequence.get(),
                    root: certificate.vote().root.to_string(),
                    signers: certificate.signers().map(|signer| signer.get()).collect(),
                };
                style.style().print(&facts, |facts| {
                    let CheckpointFacts { sequence, root, signers } = facts;
                    format!(
                        "holds: the state at {} has the root {root}, signed by {}",
                        text::thousands(*sequence),
                        text::replicas(signers)
                    )
                })?;
            }
            What::Home { home, genesis, style } => {
                let report = match genesis {
                    Some(path) => verify_home_of(&read_genesis(&path)?, &home)?,
                    None => verify_home(&home)?,
                };
                style.style().print(&report, describe_report)?;
                if !report.is_sound() {
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a proof shows, in a sentence and its grounds.
pub(super) fn describe_finding(facts: &FindingFacts) -> String {
    let subject = match &facts.subject {
        Subject::Entry { key, .. } => format!("the entry {key:?}"),
        Subject::Account { account } => format!("the account {account}"),
        Subject::Window { client, slot } => format!("slot {slot} of the window of {client}"),
    };
    let holds = match (&facts.holds, &facts.subject) {
        (Some(Holding::Entry { value, owner, .. }), _) => format!("holds {value:?}, owned by {owner}"),
        (Some(Holding::Balance { units }), _) => format!("holds {}", text::amount(*units)),
        (Some(Holding::Request { number, request, .. }), _) => format!("holds request {number}, {request}"),
        (None, Subject::Account { .. }) => format!("holds {}", text::amount(0)),
        (None, Subject::Entry { .. } | Subject::Window { .. }) => "does not exist".to_owned(),
    };
    format!(
        "{subject} {holds}\n  at sequence number {}, state root {}, signed by {}",
        text::thousands(facts.sequence),
        facts.root,
        text::replicas(&facts.signers)
    )
}

fn describe_report(report: &Report) -> String {
    let Report { network, genesis, replica, blocks, execution, state, problems, unlisted_problems } = report;
    let owner = replica.map_or_else(|| "a home where nothing is kept yet".to_owned(), |id| format!("replica {id}"));
    let mut lines = vec![format!("{owner} of {network:?}, genesis {}…", text::short(genesis))];
    lines.push(format!(
        "blocks     {} kept ({}), {} of them sound, with {} and {}; {}",
        text::thousands(blocks.kept),
        spans(&blocks.runs),
        text::thousands(blocks.sound),
        text::count(blocks.requests, "request"),
        text::count(blocks.transactions, "transaction"),
        text::size(blocks.bytes),
    ));
    if !blocks.gaps.is_empty() {
        lines.push(format!("gaps       {}: what the replica skipped by state transfer", spans(&blocks.gaps)));
    }
    let end = execution.end.as_ref().map_or_else(String::new, |end| format!(", to root {}…", text::short(&end.root)));
    lines.push(format!(
        "executed   {} again{end}; {} confirmed by a quorum's signatures",
        spans(&execution.executed),
        text::count(execution.confirmed.len() as u64, "root")
    ));
    if let Some(state) = state {
        lines.push(format!(
            "state      at {}, root {}…, signed by {}; {} in {}, supply {}",
            text::thousands(state.root.sequence),
            text::short(&state.root.root),
            text::replicas(&state.signers),
            if state.entries == 1 {
                "1 entry".to_owned()
            } else {
                format!("{} entries", text::thousands(state.entries))
            },
            text::size(state.bytes),
            text::amount(state.supply),
        ));
    }
    lines.extend(problems.iter().map(|problem| format!("PROBLEM    {problem}")));
    if *unlisted_problems > 0 {
        lines.push(format!("           and {}", text::count(*unlisted_problems, "more problem")));
    }
    lines.push(if problems.is_empty() { "everything holds".to_owned() } else { "this home does not hold".to_owned() });
    lines.join("\n")
}

fn spans(spans: &[Span]) -> String {
    if spans.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<_> =
        spans.iter().map(|span| format!("{} to {}", text::thousands(span.first), text::thousands(span.last))).collect();
    shown.join(", ")
}
