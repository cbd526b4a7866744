//! What one replica of a test has found out about a signature, the others need not compute again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};

use bezant_types::keys::Memory;
use bezant_types::{AccountId, Digest, Signature};

/// All signatures of one process: a test makes some ten thousand of them.
#[derive(Default)]
struct Known {
    valid: Mutex<HashSet<(Digest, Signature)>>,
    made: Mutex<HashMap<(AccountId, Digest), Signature>>,
}

/// The memory that all replicas and clients share.
pub(crate) fn shared() -> Arc<dyn Memory> {
    static KNOWN: LazyLock<Arc<Known>> = LazyLock::new(Arc::default);
    KNOWN.clone()
}

impl Memory for Known {
    fn knows(&self, digest: &Digest, signature: &Signature) -> bool {
        self.valid.lock().expect("no test panics in here").contains(&(*digest, *signature))
    }

    fn note(&self, digest: &Digest, signature: &Signature) {
        self.valid.lock().expect("no test panics in here").insert((*digest, *signature));
    }

    fn signature(&self, account: &AccountId, digest: &Digest) -> Option<Signature> {
        self.made.lock().expect("no test panics in here").get(&(*account, *digest)).copied()
    }

    fn note_signature(&self, account: &AccountId, digest: &Digest, signature: &Signature) {
        self.made.lock().expect("no test panics in here").insert((*account, *digest), *signature);
    }
}
