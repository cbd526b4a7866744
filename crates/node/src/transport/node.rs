//! What every connection of a node needs.

use std::sync::Arc;

use bezant_types::{Genesis, SecretKey};

use super::door::{Doorkeeper, Party};
use super::error::Error;
use super::inbox::Inbox;
use super::limits::Limits;
use super::tls::Tls;

/// One identity in one network.
pub(super) struct Node {
    pub(super) tls: Tls,
    pub(super) door: Doorkeeper,
    pub(super) limits: Limits,
    pub(super) inbox: Arc<Inbox>,
}

impl Node {
    pub(super) fn new(genesis: &Genesis, key: &SecretKey, me: Party, limits: Limits) -> Result<Arc<Self>, Error> {
        limits.validate()?;
        let door = Doorkeeper { keyring: genesis.keyring(), me, my_key: key.account() };
        Ok(Arc::new(Self { tls: Tls::new(key)?, door, limits, inbox: Arc::default() }))
    }
}
