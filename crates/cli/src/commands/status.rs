//! `bezant status`: who is where, and who disagrees.

use std::process::ExitCode;

use bezant_node::cluster::{Answer, Conviction, GroupFacts, ReplicaFacts, Verdict};

use crate::connect::ClientArguments;
use crate::print::StyleArguments;
use crate::text;

/// Ask every replica where it stands, and compare
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant status
  bezant status --json | jq '.replicas[].executed'

The exit status is 0 if a quorum of replicas works in one view and its states agree. Each replica
speaks for itself; that a checkpoint is shown means that a quorum signed it. Connections between
replicas are told to admins only: the client `cli` of a network that `up` made is one.")]
pub(crate) struct Status {
    #[command(flatten)]
    client: ClientArguments,
    #[command(flatten)]
    style: StyleArguments,
}

impl Status {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let session = self.client.connect().await?;
        let facts = GroupFacts::ask(&session.client, &session.genesis, session.deadline()).await;
        session.close().await;
        self.style.style().print(&facts, describe)?;
        Ok(match facts.verdict {
            Verdict::Healthy => ExitCode::SUCCESS,
            Verdict::NotSettled | Verdict::NoQuorum => ExitCode::FAILURE,
        })
    }
}

fn describe(facts: &GroupFacts) -> String {
    let head = [
        "replica",
        "address",
        "view",
        "standing",
        "primary",
        "height",
        "checkpoint",
        "state root",
        "peers",
        "log",
        "up",
    ];
    let rows = facts.replicas.iter().map(|replica| row(replica, facts));
    format!(
        "network {:?}, genesis {}…\n\n{}\n\n{}",
        facts.network,
        text::short(&facts.genesis),
        text::table(&head, rows),
        remarks(facts).join("\n")
    )
}

fn row(replica: &ReplicaFacts, facts: &GroupFacts) -> Vec<String> {
    let mut cells = vec![replica.id.to_string(), replica.address.clone()];
    match &replica.answer {
        Answer::Unreachable { .. } => cells.extend(["-", "unreachable"].map(str::to_owned)),
        Answer::Report { view, standing, primary, executed, stable, root, peers, log_bytes, uptime_s, .. } => {
            let connected = peers.iter().filter(|peer| peer.connected).count();
            let peers = if peers.is_empty() { "?".into() } else { format!("{connected} of {}", peers.len()) };
            let diverged = facts.diverged.contains(&replica.id);
            cells.extend([
                view.to_string(),
                if diverged { "DIVERGED".to_owned() } else { (*standing).to_owned() },
                primary.to_string(),
                text::thousands(*executed),
                text::thousands(*stable),
                root.as_deref().map_or_else(|| "-".into(), |root| format!("{}…", text::short(root))),
                peers,
                text::size(*log_bytes),
                text::duration(*uptime_s),
            ]);
        }
    }
    cells
}

/// What a person should know beside the table: first what all of it comes to.
fn remarks(facts: &GroupFacts) -> Vec<String> {
    let size = facts.replicas.len();
    let verdict = match facts.verdict {
        Verdict::Healthy => "healthy",
        Verdict::NotSettled => "NOT SETTLED",
        Verdict::NoQuorum => "NO QUORUM",
    };
    let mut remarks = vec![format!("{verdict}: {} (a quorum is {} of {size})", facts.verdict, facts.quorum)];
    for replica in &facts.replicas {
        match &replica.answer {
            Answer::Unreachable { why } => {
                remarks.push(format!("unreachable: replica {} at {}: {why}", replica.id, replica.address));
            }
            Answer::Report { standing, votes_from, fetching_state, .. } => {
                remarks.extend(recovery(replica.id, standing, *votes_from, *fetching_state));
            }
        }
    }
    if !facts.diverged.is_empty() {
        remarks.push(format!(
            "diverged: {} has another state than the group at the same height. Stop it, keep its home for examination \
             (`bezant verify home`), and start it with --recover",
            text::replicas(&facts.diverged)
        ));
    }
    remarks.extend(facts.convicted.iter().map(conviction));
    remarks
}

fn conviction(conviction: &Conviction) -> String {
    let Conviction { replica, by, certain } = conviction;
    let by = text::replicas(by);
    if *certain {
        format!("caught: replica {replica} contradicted itself; the proof is in the evidence folder of {by}")
    } else {
        format!(
            "accused: replica {replica} contradicted itself, says {by} with a proof in the evidence folder, and might lie: \
             `bezant evidence verify` judges the proof"
        )
    }
}

fn recovery(id: u16, standing: &str, votes_from: Option<u64>, fetching_state: bool) -> Option<String> {
    let fetching = if fetching_state { ", and is fetching the others' state" } else { "" };
    match votes_from {
        Some(from) => Some(format!(
            "recovering: replica {id} lost its log{fetching}; it votes again from sequence number {} on",
            text::thousands(from)
        )),
        None if standing == "recovering" => {
            Some(format!("recovering: replica {id} lost its log{fetching}; from where on it votes is not known yet"))
        }
        None if fetching_state => Some(format!("catching up: replica {id} is fetching the others' state")),
        None => None,
    }
}
