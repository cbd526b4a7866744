//! Acting as a client of a network: finding its directory, connecting, and saying what went wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use bezant_node::client::{Client, NUMBERS_FILE, NumberSource, Options, SubmitError};
use bezant_node::cluster::Directory;
use bezant_node::config::{CLIENT_CONFIG, ClientConfig};
use bezant_types::transaction::{Answer, Refusal, printable};
use bezant_types::{AccountId, Genesis, Operation, Transaction};
use tokio::time::Instant;

use crate::commands::DEFAULT_HOME;

/// Where the network is, and as whom to act.
#[derive(Debug, clap::Args)]
pub(crate) struct ClientArguments {
    /// The network's directory, or a client's own
    #[arg(long, value_name = "DIR", default_value = DEFAULT_HOME)]
    home: PathBuf,
    /// As which client of the network [default: cli]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// How many seconds the group has to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// A client at work.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) genesis: Genesis,
    timeout: Duration,
}

impl ClientArguments {
    /// Reads who we are and begins to connect.
    pub(crate) async fn connect(&self) -> anyhow::Result<Session> {
        let home = find_client(&self.home, self.name.as_deref())?;
        let ClientConfig { name, key, genesis, limits, .. } = ClientConfig::load(&home)?;
        if let Some(wanted) = self.name.as_ref().filter(|wanted| **wanted != name) {
            bail!(
                "{}: this is the directory of the client {name:?}, not of {wanted:?}. Give one or the other",
                home.display()
            );
        }
        let numbers = NumberSource::File(home.join(NUMBERS_FILE));
        let options = Options { limits, numbers, ..Options::for_network(&genesis) };
        let client = Client::connect(genesis.clone(), key, options).await?;
        Ok(Session { client, genesis, timeout: Duration::from_secs(self.timeout) })
    }
}

impl Session {
    /// When an answer is due that is asked for now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Has one operation executed.
    pub(crate) async fn execute(&self, operation: Operation) -> anyhow::Result<Answer> {
        let mut answers = self.execute_all(vec![operation]).await?;
        answers
            .pop()
            .ok_or_else(|| anyhow!("the group executed the request and answered nothing: this is a fault of Bezant"))
    }

    /// Has operations executed, all or none.
    pub(crate) async fn execute_all(&self, operations: Vec<Operation>) -> anyhow::Result<Vec<Answer>> {
        let transaction = Transaction { operations, ..Transaction::single(Operation::Size) };
        match self.client.execute(transaction, self.deadline()).await {
            Ok(Ok(answers)) => Ok(answers),
            Ok(Err(refused)) => bail!("{}. Nothing was changed. {}", refused.reason, remedy(&refused.reason)),
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// An error with what is known of the replicas that could not be reached.
    pub(crate) async fn explain(&self, error: SubmitError) -> anyhow::Error {
        let reasons = match &error {
            SubmitError::NoQuorum(why) if !why.unreachable.is_empty() => self.reasons().await,
            SubmitError::NoQuorum(_) => String::new(),
            SubmitError::Expired
            | SubmitError::NumberReused
            | SubmitError::NotKept { .. }
            | SubmitError::Refused(_)
            | SubmitError::NotSent(_)
            | SubmitError::ShuttingDown => return anyhow!("{error}"),
        };
        anyhow!("{error}.{reasons}\nIf the network is not running, `bezant up` starts it")
    }

    async fn reasons(&self) -> String {
        let statuses = self.client.status(Instant::now() + Duration::from_secs(1)).await;
        let silent = statuses.iter().filter_map(|one| Some((one.id, &one.address, one.report.as_ref().err()?)));
        silent.map(|(id, address, why)| format!("\n  replica {id} at {address}: {why}")).collect()
    }

    /// An account by its 64 hexadecimal digits, or by the name that a client has in the genesis.
    pub(crate) fn find_account(&self, text: &str) -> anyhow::Result<AccountId> {
        let named = || self.genesis.clients().iter().find(|client| client.name == text).map(|client| client.key);
        let found = text.parse().ok().or_else(named);
        found.ok_or_else(|| {
            let names: Vec<_> = self.genesis.clients().iter().map(|client| client.name.as_str()).collect();
            let shown = printable(text.as_bytes().get(..64).unwrap_or(text.as_bytes()));
            anyhow!(
                "there is no account {shown:?}. Give its 64 hexadecimal digits, or the name of a client: {}",
                names.join(", ")
            )
        })
    }

    /// What a person calls an account: its name in the genesis, or the start of its digits.
    pub(crate) fn name_of(&self, account: AccountId) -> String {
        let known = self.genesis.clients().iter().find(|client| client.key == account);
        known.map_or_else(|| account.to_string(), |client| client.name.clone())
    }

    /// Says good-bye.
    pub(crate) async fn close(self) {
        self.client.shutdown().await;
    }
}

/// The directory of a client: `home` itself, or in the network that `home` is.
fn find_client(home: &Path, name: Option<&str>) -> anyhow::Result<PathBuf> {
    if home.join(CLIENT_CONFIG).exists() {
        return Ok(home.to_owned());
    }
    let directory = Directory::new(home);
    if !directory.holds_a_network() {
        bail!(
            "{}: there is no network here. `bezant up` makes one and runs it; if it is elsewhere, give its directory with --home",
            home.display()
        );
    }
    let name = name.unwrap_or(USUAL_CLIENT);
    let client = directory.client(name);
    if client.join(CLIENT_CONFIG).exists() {
        return Ok(client);
    }
    let mut others: Vec<String> = fs::read_dir(home.join("clients"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    others.sort();
    let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
    bail!("{}: the client {name:?} has no directory here. Choose one with --as: {others}", client.display())
}

/// What to do about a refusal.
fn remedy(reason: &Refusal) -> &'static str {
    match reason {
        Refusal::ReadOnly => "Act as a client with the role write or admin, with --as",
        Refusal::KeyTooLong { .. } => "Use a shorter key; the limit is in the genesis",
        Refusal::ValueTooLong { .. } => "Spread it over several keys; the limit is in the genesis",
        Refusal::StateFull { .. } => "Delete what is not needed",
        Refusal::AnswerTooLarge { .. } => "Ask for less at once",
        Refusal::NotYours { .. } => "Its owner can let you, with `GRANT key account` through a gateway",
        Refusal::NotOwner { .. } => "Act as its owner, with --as",
        Refusal::NoSuchEntry => "Look at the spelling of the key",
        Refusal::TooManyGrants { .. } => "Revoke a grant that is not needed",
        Refusal::NotAnInteger => "Use another key, or set this one to a whole number first",
        Refusal::IntegerOverflow => "Use a smaller step",
        Refusal::Overdraft { .. } => "Pay less, or have somebody pay this account first",
        Refusal::AmountOverflow => "Pay less at once",
        Refusal::ReservedAccount => "Choose another account",
    }
}

/// As whom the native commands act unless they are told otherwise.
const USUAL_CLIENT: &str = "cli";
