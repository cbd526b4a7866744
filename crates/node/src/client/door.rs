//! Verified at the door: frames go in, what a replica has really said comes out.
//!
//! Cheap checks first (hazard 32): a frame that is no answer, that answers nothing under way, or that its sender has
//! answered before is dropped before a signature is looked at. The signatures of a turn are then checked in one batch.
//! Who said something is who signed it, and nobody may bring what another has signed: a member that could hand in its
//! colleagues' old replies would choose when they count.

use bezant_pbft::message::Reply;
use bezant_types::codec::DecodeError;
use bezant_types::genesis::MAX_FRAME;
use bezant_types::signed::{Batch, Ticket};
use bezant_types::{Keyring, ReplicaId, RequestNumber, Verified};
use bytes::Bytes;

use bezant_pbft::certificate::Endorsed;
use bezant_pbft::message::Checkpoint;

use super::ignored::Ignored;
use crate::wire::{CertifiedProof, Refusal, StatusReport, TELL, Tell, Unanswerable};

/// What a replica said. Signatures have been checked; what proves itself has yet to.
#[derive(Debug)]
pub(super) enum Heard {
    Reply(Verified<Reply>),
    Refused(RequestNumber, Refusal),
    Proof(u64, Box<CertifiedProof>),
    Root(u64, Option<Endorsed<Checkpoint>>),
    Report(u64, Verified<StatusReport>),
    Unanswerable(u64, Unanswerable),
    /// A report that its sender did not sign.
    Forged(u64, Ignored),
}

enum Pending {
    Reply(Ticket<Reply>),
    Report(u64, Ticket<StatusReport>),
    Plain(Heard),
}

/// Opens the frames of a turn, each with the replica whose channel it came on. `admit` judges what needs no signature.
pub(super) fn open(
    keyring: &Keyring,
    frames: Vec<(ReplicaId, Bytes)>,
    admit: impl Fn(ReplicaId, &Tell) -> Result<(), Ignored>,
) -> Vec<(ReplicaId, Result<Heard, Ignored>)> {
    let mut batch = Batch::new(keyring);
    let pending: Vec<_> = frames
        .into_iter()
        .map(|(from, bytes)| {
            let admitted = decode(&bytes).map_err(Ignored::from).and_then(|tell| {
                check_sender(from, &tell)?;
                admit(from, &tell)?;
                Ok(tell)
            });
            (from, admitted.map(|tell| queue(tell, &mut batch)))
        })
        .collect();
    let verdicts = batch.verify();
    let redeem = |pending| match pending {
        Pending::Plain(heard) => Ok(heard),
        Pending::Reply(ticket) => Ok(Heard::Reply(verdicts.redeem(ticket)?)),
        Pending::Report(id, ticket) => Ok(match verdicts.redeem(ticket) {
            Ok(report) => Heard::Report(id, report),
            Err(unverified) => Heard::Forged(id, unverified.into()),
        }),
    };
    pending.into_iter().map(|(from, pending)| (from, pending.and_then(redeem))).collect()
}

fn decode(bytes: &[u8]) -> Result<Tell, DecodeError> {
    TELL.open(bytes, MAX_FRAME)
}

fn check_sender(from: ReplicaId, tell: &Tell) -> Result<(), Ignored> {
    let signer = match tell {
        Tell::Reply(signed) => signed.signer,
        Tell::Status { report, .. } => report.signer,
        Tell::Refused { .. } | Tell::Proof { .. } | Tell::Root { .. } | Tell::Unanswerable { .. } => return Ok(()),
    };
    if signer == from { Ok(()) } else { Err(Ignored::NotTheSender(signer)) }
}

fn queue(tell: Tell, batch: &mut Batch<'_>) -> Pending {
    match tell {
        Tell::Reply(signed) => Pending::Reply(batch.queue(signed)),
        Tell::Status { id, report } => Pending::Report(id, batch.queue(*report)),
        Tell::Refused { number, refusal } => Pending::Plain(Heard::Refused(number, refusal)),
        Tell::Proof { id, proof } => Pending::Plain(Heard::Proof(id, Box::new(proof))),
        Tell::Unanswerable { id, reason } => Pending::Plain(Heard::Unanswerable(id, reason)),
        Tell::Root { id, checkpoint } => Pending::Plain(Heard::Root(id, checkpoint)),
    }
}
