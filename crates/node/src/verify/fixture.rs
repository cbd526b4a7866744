//! A network whose keys the tests hold, and a short true history of it.

use bezant_ledger::{Key, State};
use bezant_types::Genesis;

#[path = "../../../host/src/fixture.rs"]
mod network;

pub(crate) use self::network::*;
use crate::wire::CertifiedProof;

pub(crate) fn prove(genesis: &Genesis, state: &State, key: Key) -> CertifiedProof {
    CertifiedProof { checkpoint: certify(genesis, state), proof: state.prove(&key), key }
}
