//! `bezant forensics`: two replicas disagree, and somebody is to blame.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bezant_node::cluster::Directory;
use bezant_node::config::read_genesis;
use bezant_node::verify::{CulpritFacts, HomeFacts, Inquest, InquestFacts, InquestVerdict, Span, WantedFacts, inquest};

use crate::print::StyleArguments;
use crate::text;

/// Find out who is to blame when two replicas hold different histories
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant forensics ./bezant-data/replica-0 ./bezant-data/replica-1
  bezant forensics ./one ./other --genesis ./genesis.toml --out ./culprits
  bezant evidence verify ./culprits/replica-2-1.evidence --genesis ./genesis.toml

Both replicas must be stopped. While at most f replicas lie their histories do not differ. If they
do, their homes convict at least f + 1 of those who lied, by what they signed themselves: an honest
replica is never among them, whoever hands over a home, and whatever was written into it.

The exit status is 0 if the homes agree, or if at least f + 1 are convicted.")]
pub(crate) struct Forensics {
    /// The home of one of them
    #[arg(value_name = "HOME_A")]
    one: PathBuf,
    /// The home of the other
    #[arg(value_name = "HOME_B")]
    other: PathBuf,
    /// The genesis of the network [default: the one in the homes, if it is one]
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Write what convicts each culprit into this folder, for `bezant evidence verify`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    style: StyleArguments,
}

impl Forensics {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { one, other, genesis, out, style } = self;
        if let (Ok(a), Ok(b)) = (fs::canonicalize(&one), fs::canonicalize(&other))
            && a == b
        {
            bail!("{}: this is one home, given twice. Give the homes of two replicas", one.display());
        }
        let genesis = match genesis {
            Some(path) => read_genesis(&path)?,
            None => {
                let [ours, theirs] = [&one, &other].map(|home| read_genesis(&Directory::new(home).genesis()));
                let (ours, theirs) = (ours?, theirs?);
                if ours.digest() != theirs.digest() {
                    bail!(
                        "{} and {} hold different genesis files, so these are two networks, or one file was exchanged. Give the \
                         genesis that you trust with --genesis",
                        one.display(),
                        other.display()
                    );
                }
                ours
            }
        };
        let Inquest { facts, evidence } = inquest(&genesis, [&one, &other])?;
        if let Some(folder) = out {
            fs::create_dir_all(&folder).with_context(|| unwritable(&folder))?;
            for (number, (replica, file)) in evidence.iter().enumerate() {
                let path = folder.join(format!("replica-{replica}-{}.evidence", number + 1));
                fs::write(&path, file.encode()).with_context(|| unwritable(&path))?;
            }
        }
        style.style().print(&facts, describe)?;
        Ok(match facts.verdict {
            InquestVerdict::Agree | InquestVerdict::Convicted => ExitCode::SUCCESS,
            InquestVerdict::MoreWanted | InquestVerdict::Altered => ExitCode::FAILURE,
        })
    }
}

fn unwritable(path: &Path) -> String {
    format!("{}: the evidence cannot be written. Check the path, its owner and the free space", path.display())
}

fn describe(facts: &InquestFacts) -> String {
    let InquestFacts { network, genesis, homes, disagreements, culprits, wanted, .. } = facts;
    let mut lines = vec![format!("network {network:?}, genesis {}…", text::short(genesis))];
    for home in homes {
        lines.push(describe_home(home));
        lines.extend(home.problems.iter().map(|problem| format!("  left out   {problem}")));
    }
    let shown = disagreements.iter().take(MOST_SHOWN);
    lines.extend(shown.map(|one| format!("disagree   at {}: {}", text::thousands(one.sequence), one.what)));
    if disagreements.len() > MOST_SHOWN {
        let more = disagreements.len() - MOST_SHOWN;
        lines.push(format!("           and {}", text::count(more as u64, "more disagreement")));
    }
    for CulpritFacts { replica, convictions } in culprits {
        let what: Vec<_> = convictions.iter().map(|one| one.what.as_str()).collect();
        lines.push(format!("CULPRIT    replica {replica}: {}", what.join("; ")));
    }
    for WantedFacts { sequence, view, holders } in wanted {
        lines.push(format!(
            "wanted     how view {view} was entered, for number {}: the homes of {} may show it",
            text::thousands(*sequence),
            text::replicas(holders)
        ));
    }
    lines.push(verdict(facts));
    lines.join("\n")
}

fn describe_home(home: &HomeFacts) -> String {
    let HomeFacts { path, replica, blocks, records, evidence, .. } = home;
    let owner = replica.map_or_else(|| "nothing is kept here".to_owned(), |id| format!("replica {id}"));
    let spans: Vec<_> = blocks
        .iter()
        .map(|Span { first, last }| format!("{} to {}", text::thousands(*first), text::thousands(*last)))
        .collect();
    let spans = if spans.is_empty() { "no blocks".to_owned() } else { format!("blocks {}", spans.join(", ")) };
    format!(
        "home       {}: {owner}, {spans}, {} of log, {} of evidence",
        path.display(),
        text::count(*records, "record"),
        text::count(*evidence, "piece")
    )
}

fn verdict(facts: &InquestFacts) -> String {
    let InquestFacts { at_least, culprits, first_difference, .. } = facts;
    let place = first_difference.map_or_else(String::new, text::thousands);
    match facts.verdict {
        InquestVerdict::Agree if culprits.is_empty() => "the two homes agree".to_owned(),
        InquestVerdict::Agree => "the two homes agree, although somebody lied".to_owned(),
        InquestVerdict::Convicted => format!(
            "{} convicted, of at least {at_least} who must have lied: more than f, which is what the group bears",
            text::count(culprits.len() as u64, "member")
        ),
        InquestVerdict::MoreWanted => format!(
            "only {} convicted, of at least {at_least} who must have lied. Hold each of these homes against those that are wanted",
            text::count(culprits.len() as u64, "member")
        ),
        InquestVerdict::Altered => format!(
            "the blocks differ at {place}, and no two quorums contradict each other: somebody wrote into a home. `bezant verify \
             home` says into which"
        ),
    }
}

/// Of a history that differs to its end the first lines say enough.
const MOST_SHOWN: usize = 5;
