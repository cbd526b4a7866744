//! A replica as its home describes it, from start to stop.

use std::future::Future;
use std::path::Path;

use bezant_store::{Home, HomeError};

use crate::config::{self, ReplicaConfig};
use crate::replica::{ReplicaError, ReplicaOptions, Resume, run};

/// Why a replica does not run, or ran no longer.
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
}

impl From<ReplicaError> for StartError {
    fn from(error: ReplicaError) -> Self {
        Self::Replica(Box::new(error))
    }
}

/// Runs the replica whose home this is, until `shutdown` completes or it cannot go on. `listen` overrides where its
/// configuration says that it listens.
///
/// # Errors
/// [`StartError`] says why it stopped and what to do.
pub async fn serve_replica(
    home: &Path,
    listen: Option<String>,
    resume: Resume,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let config = ReplicaConfig::load(home)?;
    let ReplicaConfig { id, key, genesis, limits, .. } = config;
    let listen = listen.unwrap_or(config.listen);
    tracing::info!("replica {id} of {:?} listens on {listen}", genesis.name());
    let home = Home::open(home)?;
    run(ReplicaOptions { home, genesis, key, listen: Some(listen), limits, resume }, shutdown).await?;
    tracing::info!("replica {id} has stopped");
    Ok(())
}
