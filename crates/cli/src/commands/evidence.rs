//! `bezant evidence`: who was caught contradicting itself, and whether that is true.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{anyhow, bail};
use bezant_node::cluster::Directory;
use bezant_node::config::read_genesis;
use bezant_node::verify::{ConvictionFacts, EvidenceFile};
use bezant_types::Genesis;
use clap::Subcommand;
use serde::Serialize;

use super::DEFAULT_HOME;
use crate::print::StyleArguments;
use crate::text;

/// Judge the proofs that replicas keep of others that contradicted themselves
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant evidence list --home ./bezant-data
  bezant evidence verify ./bezant-data/replica-1/evidence/replica-2-0123456789abcdef.evidence \\
      --genesis ./genesis.toml

Evidence is two statements that contradict each other, signed by one member. An honest replica never
signs two such statements, so nobody needs to be believed but the genesis.")]
pub(crate) struct Evidence {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Whom a file convicts, of what, and by which two statements
    #[command(after_help = "\
Example:
  bezant evidence verify replica-2-0123456789abcdef.evidence --genesis ./genesis.toml

The exit status is 0 only if the file convicts a member of the network of this genesis.")]
    Verify {
        /// The file
        file: PathBuf,
        /// The genesis of the network [default: the one in the home where the file lies]
        #[arg(long, value_name = "FILE")]
        genesis: Option<PathBuf>,
        #[command(flatten)]
        style: StyleArguments,
    },
    /// The files that a replica keeps, or all replicas of a network, and whom each convicts
    #[command(after_help = "Example:\n  bezant evidence list --home ./bezant-data")]
    List {
        /// The network's directory, or a replica's home
        #[arg(long, value_name = "DIR", default_value = DEFAULT_HOME)]
        home: PathBuf,
        #[command(flatten)]
        style: StyleArguments,
    },
}

/// A file in a list.
#[derive(Serialize)]
struct Listed {
    file: PathBuf,
    /// Whom it convicts, and of what.
    #[serde(flatten)]
    judged: Judged,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Judged {
    Convicts { replica: u16, what: String },
    ConvictsNobody { why: String },
}

impl Evidence {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Verify { file, genesis, style } => {
                let read = EvidenceFile::read(&file)?;
                let genesis = match genesis {
                    Some(path) => read_genesis(&path)?,
                    None => read_genesis(&genesis_beside(&file)?)?,
                };
                let facts = convict(&genesis, &read)
                    .map_err(|why| anyhow!("{}: this convicts nobody: {why}", file.display()))?;
                style.style().print(&facts, ToString::to_string)?;
            }
            What::List { home, style } => {
                let listed = list(&home)?;
                style.style().print(&listed, |listed| describe(listed))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn convict(genesis: &Genesis, file: &EvidenceFile) -> Result<ConvictionFacts, bezant_node::verify::NotConvicted> {
    let convicted = file.convict(genesis)?;
    Ok(ConvictionFacts::new(genesis, convicted, &file.evidence))
}

/// The genesis in the home in whose folder a file lies.
fn genesis_beside(file: &Path) -> anyhow::Result<PathBuf> {
    let absolute = std::path::absolute(file)?;
    let home = absolute.parent().and_then(Path::parent);
    let genesis = home.map(|home| Directory::new(home).genesis()).filter(|genesis| genesis.exists());
    genesis.ok_or_else(|| {
        anyhow!(
            "{}: this does not lie in the home of a replica, so there is no genesis to judge it by. Give that of the network \
             with --genesis",
            file.display()
        )
    })
}

fn list(home: &Path) -> anyhow::Result<Vec<Listed>> {
    let directory = Directory::new(home);
    // Both have it.
    if !directory.holds_a_network() {
        bail!(
            "{}: there is neither a network nor a replica's home here. Give the directory of one with --home",
            home.display()
        );
    }
    let genesis = directory.read_genesis()?;
    let replicas = genesis.committee().members().map(|id| directory.replica(id));
    let mut homes: Vec<_> = replicas.filter(|home| home.is_dir()).collect();
    if homes.is_empty() {
        homes.push(home.to_owned());
    }
    let mut listed = Vec::new();
    for home in homes {
        for path in EvidenceFile::list(&home)? {
            let facts = EvidenceFile::read(&path)
                .map_err(|error| error.to_string())
                .and_then(|file| convict(&genesis, &file).map_err(|why| why.to_string()));
            let judged = match facts {
                Ok(ConvictionFacts { replica, what, .. }) => Judged::Convicts { replica, what },
                Err(why) => Judged::ConvictsNobody { why },
            };
            listed.push(Listed { file: path, judged });
        }
    }
    Ok(listed)
}

fn describe(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no replica here has seen another contradict itself".to_owned();
    }
    let row = |one: &Listed| {
        let (replica, what) = match &one.judged {
            Judged::Convicts { replica, what } => (replica.to_string(), what.clone()),
            Judged::ConvictsNobody { why } => ("-".to_owned(), format!("convicts nobody: {why}")),
        };
        vec![one.file.display().to_string(), replica, what]
    };
    text::table(&["file", "convicts", "of what"], listed.iter().map(row))
}
