//! What a client knows before it asks: the network, and who it is there.

use bezant_types::{AccountId, Bundle, Committee, Digest, Genesis, Keyring, SecretKey, Verified};

/// The network as one of its clients sees it.
pub(super) struct Network {
    pub(super) genesis: Genesis,
    pub(super) committee: Committee,
    pub(super) keyring: Keyring,
    pub(super) account: AccountId,
    digest: Digest,
    key: SecretKey,
}

impl Network {
    pub(super) fn new(genesis: Genesis, key: SecretKey) -> Self {
        let (committee, keyring, digest) = (genesis.committee(), genesis.keyring(), genesis.digest());
        Self { account: key.account(), genesis, committee, keyring, digest, key }
    }

    pub(super) fn sign(&self, bundle: Bundle) -> Verified<Bundle> {
        Verified::sign(bundle, self.account, &self.key, self.digest)
    }
}
