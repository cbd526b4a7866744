//! Signatures that are made and checked once in a process, and not by every machine of every world again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex};

use bezant_types::keys::Memory;
use bezant_types::{AccountId, Digest, Signature};

/// What is known of signatures, by all machines of all worlds of this process.
///
/// The machines of a world check the same votes: what one has found to be valid the others need not compute again. And
/// worlds with the same people have much in common: the status of an idle member, the votes of a view change in which
/// nothing was prepared, the requests of a client that floods.
#[derive(Default)]
struct Recollection {
    valid: Mutex<Ages<(Digest, Signature), ()>>,
    made: Mutex<Ages<(AccountId, Digest), Signature>>,
}

/// The memory that all worlds of this process share.
pub fn shared() -> Arc<dyn Memory> {
    static RECOLLECTION: LazyLock<Arc<Recollection>> = LazyLock::new(Arc::default);
    RECOLLECTION.clone()
}

impl Memory for Recollection {
    fn knows(&self, digest: &Digest, signature: &Signature) -> bool {
        self.valid.lock().is_ok_and(|mut valid| valid.get((*digest, *signature)).is_some())
    }

    fn note(&self, digest: &Digest, signature: &Signature) {
        if let Ok(mut valid) = self.valid.lock() {
            valid.insert((*digest, *signature), ());
        }
    }

    fn signature(&self, account: &AccountId, digest: &Digest) -> Option<Signature> {
        self.made.lock().ok()?.get((*account, *digest))
    }

    fn note_signature(&self, account: &AccountId, digest: &Digest, signature: &Signature) {
        if let Ok(mut made) = self.made.lock() {
            made.insert((*account, *digest), *signature);
        }
    }
}

/// A map that forgets what has not been asked for in a long time.
struct Ages<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Ages<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V: Copy> Ages<K, V> {
    fn get(&mut self, key: K) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        let value = self.old.remove(&key)?;
        self.insert(key, value);
        Some(value)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= MOST_SIGNATURES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// How many signatures of each age are remembered, each of them about a hundred bytes.
const MOST_SIGNATURES: usize = 1 << 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_now_and_then_is_not_forgotten() {
        let mut ages = Ages::default();
        for number in 0..3 * MOST_SIGNATURES {
            ages.insert(number, number);
            assert_eq!(ages.get(0), Some(0), "{number}");
        }
        assert_eq!(ages.get(1), None);
        assert!(ages.young.len() + ages.old.len() <= 2 * MOST_SIGNATURES);
    }
}
