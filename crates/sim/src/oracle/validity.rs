//! Validity: nothing is executed that no client asked for.

use std::collections::{BTreeMap, HashMap, HashSet};

use bezant_ledger::Execution;
use bezant_pbft::Block;
use bezant_types::signed::signing_digest;
use bezant_types::{AccountId, Bundle, Digest, Keyring, ReplicaId, SequenceNumber, Verified};

use super::{Oracle, Property, Setting};
use crate::sight::{ClientIndex, Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "validity",
    claim: "every request that is delivered or executed was signed by a client of the genesis, and an honest client's is \
            one that it asked for, body and all",
};

/// Who may ask, what was asked, and what the blocks hold.
#[derive(Debug)]
pub(super) struct Validity {
    keyring: Keyring,
    clients: HashMap<AccountId, Honesty>,
    /// What honest clients asked for.
    asked: HashSet<Digest>,
    /// What corrupted clients signed, as far as this oracle has checked it.
    signed: HashSet<Digest>,
    /// The requests of each block that was delivered.
    blocks: BTreeMap<SequenceNumber, Vec<Digest>>,
}

#[derive(Clone, Copy, Debug)]
enum Honesty {
    Honest,
    Corrupted,
}

impl Validity {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        let honesty = |index| {
            if setting.corrupted_clients.contains(&ClientIndex(index)) { Honesty::Corrupted } else { Honesty::Honest }
        };
        let clients = setting.genesis.clients().iter().enumerate();
        Self {
            keyring: setting.genesis.keyring(),
            clients: clients.map(|(index, client)| (client.key, honesty(index))).collect(),
            asked: HashSet::new(),
            signed: HashSet::new(),
            blocks: BTreeMap::new(),
        }
    }

    fn on_asked(&mut self, bundle: &Verified<Bundle>) {
        self.asked.insert(bundle.digest());
    }

    fn on_delivered(&mut self, replica: ReplicaId, block: &Block) -> Result<(), String> {
        let (sequence, named) = (block.sequence(), block.batch.requests());
        if !block.requests.iter().map(bezant_types::Request::digest).eq(named.iter().copied()) {
            return Err(format!("replica {replica} delivers block {sequence} with other bodies than its batch names"));
        }
        if self.blocks.contains_key(&sequence) {
            // Another batch there is for the oracle of agreement to see.
            return Ok(());
        }
        for request in &block.requests {
            // Computed anew from the body: what a request says of its own digest is the door's verdict.
            let signed = request.as_signed();
            let digest = signing_digest(self.keyring.genesis(), signed.signer, &signed.message);
            let about = || format!("request {} of client {}", signed.message.number, signed.signer);
            if digest != request.digest() {
                return Err(format!("replica {replica} delivers {} at {sequence} under another digest", about()));
            }
            match self.clients.get(&signed.signer) {
                Some(Honesty::Honest) if self.asked.contains(&digest) => {}
                Some(Honesty::Honest) => {
                    let text = "which that client, who is honest, never asked for so";
                    return Err(format!("replica {replica} delivers {} at {sequence}, {text}", about()));
                }
                Some(Honesty::Corrupted) => {
                    if !self.signed.contains(&digest) {
                        if signed.clone().verify(&self.keyring).is_err() {
                            let text = "which that client did not sign";
                            return Err(format!("replica {replica} delivers {} at {sequence}, {text}", about()));
                        }
                        self.signed.insert(digest);
                    }
                }
                None => {
                    return Err(format!("replica {replica} delivers {} at {sequence}, a stranger's", about()));
                }
            }
        }
        self.blocks.insert(sequence, named.to_vec());
        Ok(())
    }

    fn on_executed(
        &self,
        replica: ReplicaId,
        sequence: SequenceNumber,
        executions: &[Execution],
    ) -> Result<(), String> {
        let Some(requests) = self.blocks.get(&sequence) else {
            return Err(format!("replica {replica} executes block {sequence}, which nobody delivered"));
        };
        if !executions.iter().map(|one| one.request).eq(requests.iter().copied()) {
            return Err(format!("replica {replica} executes other requests at {sequence} than block {sequence} holds"));
        }
        Ok(())
    }
}

impl Oracle for Validity {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, _: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Asked { bundle, .. } => {
                self.on_asked(bundle);
                Ok(())
            }
            Sight::Delivered { replica, block } => self.on_delivered(replica, block),
            Sight::Executed { replica, sequence, executions, .. } => self.on_executed(replica, sequence, executions),
            Sight::Booted { .. }
            | Sight::Crashed { .. }
            | Sight::Said { .. }
            | Sight::Installed { .. }
            | Sight::Stable { .. }
            | Sight::Entered { .. }
            | Sight::Accused { .. }
            | Sight::Halted { .. }
            | Sight::Weighed { .. }
            | Sight::Heard { .. }
            | Sight::Answered { .. }
            | Sight::Stabilised => Ok(()),
        }
    }
}
