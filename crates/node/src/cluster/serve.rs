//! A replica or gateway as its directory describes it, from start to stop.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::path::Path;

use bezant_host::Resume;
use bezant_store::{Home, HomeError};

use crate::client::{self, Client, ConnectError, NumberSource, serve};
use crate::config::{self, ClientConfig, ReplicaConfig};
use crate::gateway::seam::seam;
use crate::gateway::{self, BindError, Facts, Gateway, NotAClient};
use crate::http::{self, HttpError, Metrics, Sources};
use crate::replica::{Interference, ReplicaError, ReplicaOptions, run};

/// Why a replica or gateway does not run, or ran no longer.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// Its home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// What happened then.
    #[error(transparent)]
    Replica(Box<ReplicaError>),
    /// A gateway's key.
    #[error(transparent)]
    NotAClient(#[from] NotAClient),
    /// The address for Redis clients.
    #[error(transparent)]
    Redis(#[from] BindError),
    /// The address for HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The way to the replicas.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl From<ReplicaError> for StartError {
    fn from(error: ReplicaError) -> Self {
        Self::Replica(Box::new(error))
    }
}

/// How a replica is started that has its directory.
pub struct ReplicaStart {
    /// What its directory says of it.
    pub config: ReplicaConfig,
    /// Where it listens, if not where its configuration says.
    pub listen: Option<String>,
    /// Whether it has its log.
    pub resume: Resume,
    /// Who comes between it and the world. Nobody, but in experiments.
    pub interference: Option<Box<dyn Interference>>,
}

/// Runs a replica until `shutdown` completes or it cannot go on.
///
/// # Errors
/// [`StartError`] says why it stopped and what to do.
pub async fn serve_replica(start: ReplicaStart, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    let ReplicaStart { config, listen, resume, interference } = start;
    let ReplicaConfig { home, id, key, genesis, listen: configured, limits } = config;
    let listen = listen.unwrap_or(configured);
    tracing::info!("replica {id} of {:?} listens on {listen}", genesis.name());
    let home = Home::open(&home)?;
    run(ReplicaOptions { home, genesis, key, listen: Some(listen), limits, resume, interference }, shutdown).await?;
    tracing::info!("replica {id} has stopped");
    Ok(())
}

/// Where a gateway serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayAddresses {
    /// Redis clients.
    pub redis: SocketAddr,
    /// The pages of [`crate::http`], if any.
    pub http: Option<SocketAddr>,
}

/// Runs a gateway with the key of the client whose directory this is, until `shutdown` completes. Then its clients get
/// the replies that they wait for.
///
/// # Errors
/// [`StartError`] says why it does not run and what to do.
pub async fn serve_gateway(
    home: &Path,
    addresses: GatewayAddresses,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let ClientConfig { name, key, genesis, limits, .. } = ClientConfig::load(home)?;
    let facts = Facts::new(&genesis, key.account())?;
    let gateway = Gateway::bind(gateway::Options::standard(addresses.redis, &facts), facts).await?;
    let pages = match addresses.http {
        Some(address) => Some(http::bind(address).await?),
        None => None,
    };
    let numbers = NumberSource::File(home.join(client::NUMBERS_FILE));
    let options = client::Options { limits, numbers, ..client::Options::for_network(&genesis) };
    let client = Client::connect(genesis.clone(), key, options).await?;
    let (link, requests) = seam();
    let (requests, latency) = http::measured(requests);
    let metrics = Metrics::new(gateway.counters(), latency);
    let pages = pages.map(|listener| {
        let sources = Sources { client: client.clone(), genesis: genesis.clone(), metrics };
        tokio::spawn(http::serve(listener, sources))
    });
    tracing::info!("the gateway of {:?} serves as client {name:?} on {}", genesis.name(), gateway.local_addr());

    // It ends when the gateway has dropped its end of the seam, after the last reply.
    let service = tokio::spawn(serve(client.clone(), requests, pending()));
    gateway.run(link, shutdown).await;
    if service.await.is_err() {
        tracing::error!("the native client was lost");
    }
    if let Some(pages) = pages {
        pages.abort();
    }
    client.shutdown().await;
    tracing::info!("the gateway has stopped");
    Ok(())
}
