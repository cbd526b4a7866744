//! Opening the stores in a home without its key: with each member's identity, until one fits.

use std::path::Path;

use bezant_host::saved::identity;
use bezant_store::{BlockError, BlockStore, Home, HostDisk, LogError, Place, StateError, StateStore, Wal};
use bezant_types::{Digest, Genesis, ReplicaId};

use super::VerifyError;

/// A store and whose it is, if there is one.
pub(super) type Owned<T> = Option<(T, ReplicaId)>;

/// The blocks.
pub(super) fn open_blocks(genesis: &Genesis, home: &Home) -> Result<Owned<BlockStore<HostDisk>>, VerifyError> {
    let path = home.paths().blocks();
    // Opening would make what is not there.
    if !has_entries(&path) {
        return Ok(None);
    }
    let open = |identity| {
        let disk = home.blocks_disk().map_err(VerifyError::Home)?;
        BlockStore::open(disk, identity).map_err(VerifyError::Blocks)
    };
    let is_foreign =
        |error: &VerifyError| matches!(error, VerifyError::Blocks(BlockError::Log(LogError::WrongIdentity { .. })));
    open_as_owner(genesis, &path, open, is_foreign).map(Some)
}

/// The saved state.
pub(super) fn open_state(genesis: &Genesis, home: &Home) -> Result<Owned<StateStore>, VerifyError> {
    let path = home.paths().state();
    if !path.exists() {
        return Ok(None);
    }
    let open = |identity| StateStore::open(&path, identity).map_err(VerifyError::State);
    let is_foreign = |error: &VerifyError| matches!(error, VerifyError::State(StateError::WrongIdentity { .. }));
    open_as_owner(genesis, &path, open, is_foreign).map(Some)
}

/// The records of the log.
pub(super) fn read_log(genesis: &Genesis, home: &Home) -> Result<Owned<Vec<Vec<u8>>>, VerifyError> {
    let path = home.paths().log();
    if !has_entries(&path) {
        return Ok(None);
    }
    let open = |identity| {
        let disk = home.log_disk().map_err(VerifyError::Home)?;
        let (_, records) = Wal::open(disk, home.layout().log(identity)).map_err(VerifyError::Log)?;
        Ok(records)
    };
    let is_foreign = |error: &VerifyError| matches!(error, VerifyError::Log(LogError::WrongIdentity { .. }));
    open_as_owner(genesis, &path, open, is_foreign).map(Some)
}

fn open_as_owner<T>(
    genesis: &Genesis,
    path: &Path,
    open: impl Fn(Digest) -> Result<T, VerifyError>,
    is_foreign: impl Fn(&VerifyError) -> bool,
) -> Result<(T, ReplicaId), VerifyError> {
    for (id, entry) in genesis.committee().members().zip(genesis.replicas()) {
        match open(identity(genesis.digest(), entry.key)) {
            Ok(store) => return Ok((store, id)),
            Err(error) if is_foreign(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(VerifyError::OtherNetwork {
        path: path.display().to_string(),
        network: genesis.name().to_owned(),
        genesis: genesis.digest(),
    })
}

fn has_entries(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}
