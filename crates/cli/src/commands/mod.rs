//! The sub-commands. Each is a module: its arguments, what it does, how it tells.

mod data;
mod down;
mod evidence;
mod forensics;
mod gateway;
mod init;
mod keygen;
mod payments;
mod prove;
mod sim;
mod start;
mod status;
mod up;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;
use tracing::level_filters::LevelFilter;

pub(crate) use up::DEFAULT_HOME;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Up),
    Down(down::Down),
    Status(status::Status),
    Keygen(keygen::Keygen),
    Init(init::Init),
    Start(start::Start),
    Gateway(gateway::Gateway),
    Get(data::Get),
    Set(data::Set),
    Del(data::Del),
    Transfer(payments::Transfer),
    Balance(payments::Balance),
    Prove(prove::Prove),
    Verify(verify::Verify),
    Evidence(evidence::Evidence),
    Forensics(forensics::Forensics),
    Sim(sim::Sim),
}

impl Command {
    /// What is logged unless somebody says otherwise: a process tells what it does, a tool only what is wrong.
    pub(crate) fn usual_level(&self) -> LevelFilter {
        match self {
            Self::Start(_) | Self::Gateway(_) => LevelFilter::INFO,
            Self::Up(_)
            | Self::Down(_)
            | Self::Status(_)
            | Self::Keygen(_)
            | Self::Init(_)
            | Self::Get(_)
            | Self::Set(_)
            | Self::Del(_)
            | Self::Transfer(_)
            | Self::Balance(_)
            | Self::Prove(_)
            | Self::Verify(_)
            | Self::Evidence(_)
            | Self::Forensics(_)
            | Self::Sim(_) => LevelFilter::ERROR,
        }
    }

    /// Does it.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Up(up) => up.run().await,
            Self::Down(down) => down.run().await,
            Self::Status(status) => status.run().await,
            Self::Keygen(keygen) => keygen.run(),
            Self::Init(init) => init.run(),
            Self::Start(start) => start.run().await,
            Self::Gateway(gateway) => gateway.run().await,
            Self::Get(get) => get.run().await,
            Self::Set(set) => set.run().await,
            Self::Del(del) => del.run().await,
            Self::Transfer(transfer) => transfer.run().await,
            Self::Balance(balance) => balance.run().await,
            Self::Prove(prove) => prove.run().await,
            Self::Verify(verify) => verify.run(),
            Self::Evidence(evidence) => evidence.run(),
            Self::Forensics(forensics) => forensics.run(),
            Self::Sim(sim) => sim.run(),
        }
    }
}
