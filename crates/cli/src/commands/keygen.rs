//! `bezant keygen`: a private key.

use std::path::PathBuf;
use std::process::ExitCode;

use bezant_node::config::{generate_key, write_key};
use serde::Serialize;

use crate::print::StyleArguments;

/// Make a private key, for a replica or client of a network that is put together by hand
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bezant keygen --out carol.key     prints the public key, for the genesis.toml of the network

The file is readable by its owner alone (mode 0600), and never written over another.")]
pub(crate) struct Keygen {
    /// Where to write the private key
    #[arg(long, value_name = "FILE", default_value = "key")]
    out: PathBuf,
    #[command(flatten)]
    style: StyleArguments,
}

#[derive(Serialize)]
struct Facts {
    public_key: String,
    file: PathBuf,
}

impl Keygen {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let key = generate_key()?;
        write_key(&self.out, &key)?;
        let facts = Facts { public_key: key.account().to_string(), file: self.out };
        self.style.style().print(&facts, |facts| {
            format!(
                "public key   {}\nprivate key  in {}, for nobody else's eyes",
                facts.public_key,
                facts.file.display()
            )
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
