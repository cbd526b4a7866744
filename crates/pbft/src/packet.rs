//! The wire: what travels between replicas, before ([`Packet`]) and after ([`Message`]) its signatures are checked.

use alloc::vec::Vec;

use bezant_types::codec::Format;
use bezant_types::genesis::Parameters;
use bezant_types::signed::{self, Ticket, Unverified, Verdicts};
use bezant_types::transaction::BadBundle;
use bezant_types::{Bundle, Digest, Keyring, ReplicaId, Request, SecretKey, SequenceNumber, Signed, Verified};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::certificate::Endorsed;
use crate::message::{Batch, Checkpoint, Commit, Fetch, NewView, PrePrepare, Prepare, Status, ViewChange};

/// The head of every packet.
pub const FORMAT: Format = Format { magic: *b"BZPB", version: 1 };

/// A committed batch with its proof.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Decided {
    /// A quorum of commits, to be checked.
    pub commits: Endorsed<Commit>,
    /// What they commit to.
    pub batch: Batch,
}

/// What replicas send each other, as it is encoded. Nothing in it has been checked.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Packet {
    /// A proposal with the batch that it names by digest. Without the batch if it repeats an earlier view's proposal.
    PrePrepare(Signed<PrePrepare>, Option<Batch>),
    /// A vote.
    Prepare(Signed<Prepare>),
    /// A vote.
    Commit(Signed<Commit>),
    /// A vote.
    Checkpoint(Signed<Checkpoint>),
    /// See [`ViewChange`].
    ViewChange(Signed<ViewChange>),
    /// See [`NewView`].
    NewView(Signed<NewView>),
    /// See [`Status`].
    Status(Signed<Status>),
    /// See [`Fetch`].
    Fetch(Signed<Fetch>),
    /// Requests, passed on: each proves itself by its client's signature.
    Requests(Vec<Signed<Bundle>>),
    /// A batch that was fetched: it proves itself by its digest.
    Batch(SequenceNumber, Batch),
    /// A committed batch: it proves itself by its certificate.
    Decided(Decided),
    /// A stable checkpoint: it proves itself by its certificate.
    Stable(Endorsed<Checkpoint>),
}

/// What a replica accepts from the network: signatures of senders and clients have been checked; what is nested in view
/// changes, new views and certificates is checked where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// See [`Packet::PrePrepare`].
    PrePrepare(Verified<PrePrepare>, Option<Batch>),
    /// A vote.
    Prepare(Verified<Prepare>),
    /// A vote.
    Commit(Verified<Commit>),
    /// A vote.
    Checkpoint(Verified<Checkpoint>),
    /// See [`ViewChange`].
    ViewChange(Verified<ViewChange>),
    /// See [`NewView`].
    NewView(Verified<NewView>),
    /// See [`Status`].
    Status(Verified<Status>),
    /// See [`Fetch`].
    Fetch(Verified<Fetch>),
    /// See [`Packet::Requests`].
    Requests(Vec<Request>),
    /// See [`Packet::Batch`].
    Batch(SequenceNumber, Batch),
    /// See [`Packet::Decided`].
    Decided(Decided),
    /// See [`Packet::Stable`].
    Stable(Endorsed<Checkpoint>),
}

/// Why a packet was turned away at the door.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A signature is not valid, or its signer unknown.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// A request in it breaks a limit.
    #[error(transparent)]
    Bundle(#[from] BadBundle),
}

impl Packet {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        FORMAT.seal(self)
    }

    /// Over whose channel alone this may come, if that matters. A status or a fetch says how its signer stands now.
    /// Kept and handed over by another it would still be authentic, and would use up the help that its signer is due,
    /// or tell a replica without its log how little the group had done long ago (rule A-1). The host turns it away.
    pub fn only_from(&self) -> Option<ReplicaId> {
        match self {
            Self::Status(signed) => Some(signed.signer),
            Self::Fetch(signed) => Some(signed.signer),
            Self::PrePrepare(..)
            | Self::Prepare(_)
            | Self::Commit(_)
            | Self::Checkpoint(_)
            | Self::ViewChange(_)
            | Self::NewView(_)
            | Self::Requests(_)
            | Self::Batch(..)
            | Self::Decided(_)
            | Self::Stable(_) => None,
        }
    }

    /// Checks this packet alone.
    ///
    /// # Errors
    /// [`Rejected`] says why it is turned away.
    pub fn verify(self, keyring: &Keyring, parameters: &Parameters) -> Result<Message, Rejected> {
        let mut batch = signed::Batch::new(keyring);
        let pending = self.queue(&mut batch);
        pending.redeem(&batch.verify(), parameters)
    }

    /// Puts the packet's signatures into a batch that is checked together.
    pub fn queue(self, batch: &mut signed::Batch<'_>) -> Pending {
        match self {
            Self::PrePrepare(vote, content) => Pending::PrePrepare(batch.queue(vote), content),
            Self::Prepare(vote) => Pending::Prepare(batch.queue(vote)),
            Self::Commit(vote) => Pending::Commit(batch.queue(vote)),
            Self::Checkpoint(vote) => Pending::Checkpoint(batch.queue(vote)),
            Self::ViewChange(message) => Pending::ViewChange(batch.queue(message)),
            Self::NewView(message) => Pending::NewView(batch.queue(message)),
            Self::Status(message) => Pending::Status(batch.queue(message)),
            Self::Fetch(message) => Pending::Fetch(batch.queue(message)),
            Self::Requests(bundles) => {
                Pending::Requests(bundles.into_iter().map(|bundle| batch.queue(bundle)).collect())
            }
            Self::Batch(sequence, content) => Pending::Proven(Message::Batch(sequence, content)),
            Self::Decided(decided) => Pending::Proven(Message::Decided(decided)),
            Self::Stable(endorsed) => Pending::Proven(Message::Stable(endorsed)),
        }
    }
}

/// A packet whose signatures wait in a batch.
#[derive(Debug)]
pub enum Pending {
    #[doc(hidden)]
    PrePrepare(Ticket<PrePrepare>, Option<Batch>),
    #[doc(hidden)]
    Prepare(Ticket<Prepare>),
    #[doc(hidden)]
    Commit(Ticket<Commit>),
    #[doc(hidden)]
    Checkpoint(Ticket<Checkpoint>),
    #[doc(hidden)]
    ViewChange(Ticket<ViewChange>),
    #[doc(hidden)]
    NewView(Ticket<NewView>),
    #[doc(hidden)]
    Status(Ticket<Status>),
    #[doc(hidden)]
    Fetch(Ticket<Fetch>),
    #[doc(hidden)]
    Requests(Vec<Ticket<Bundle>>),
    #[doc(hidden)]
    Proven(Message),
}

impl Pending {
    /// The message, once its batch was checked.
    ///
    /// # Errors
    /// [`Rejected`] says why it is turned away.
    pub fn redeem(self, verdicts: &Verdicts, parameters: &Parameters) -> Result<Message, Rejected> {
        Ok(match self {
            Self::PrePrepare(ticket, batch) => Message::PrePrepare(verdicts.redeem(ticket)?, batch),
            Self::Prepare(ticket) => Message::Prepare(verdicts.redeem(ticket)?),
            Self::Commit(ticket) => Message::Commit(verdicts.redeem(ticket)?),
            Self::Checkpoint(ticket) => Message::Checkpoint(verdicts.redeem(ticket)?),
            Self::ViewChange(ticket) => Message::ViewChange(verdicts.redeem(ticket)?),
            Self::NewView(ticket) => Message::NewView(verdicts.redeem(ticket)?),
            Self::Status(ticket) => Message::Status(verdicts.redeem(ticket)?),
            Self::Fetch(ticket) => Message::Fetch(verdicts.redeem(ticket)?),
            Self::Requests(tickets) => Message::Requests(
                tickets
                    .into_iter()
                    .map(|ticket| Ok(Request::new(verdicts.redeem(ticket)?, parameters)?))
                    .collect::<Result<_, Rejected>>()?,
            ),
            Self::Proven(message) => message,
        })
    }
}

impl Message {
    /// The form that travels.
    pub fn to_packet(&self) -> Packet {
        match self {
            Self::PrePrepare(vote, batch) => Packet::PrePrepare(vote.as_signed().clone(), batch.clone()),
            Self::Prepare(vote) => Packet::Prepare(vote.as_signed().clone()),
            Self::Commit(vote) => Packet::Commit(vote.as_signed().clone()),
            Self::Checkpoint(vote) => Packet::Checkpoint(vote.as_signed().clone()),
            Self::ViewChange(message) => Packet::ViewChange(message.as_signed().clone()),
            Self::NewView(message) => Packet::NewView(message.as_signed().clone()),
            Self::Status(message) => Packet::Status(message.as_signed().clone()),
            Self::Fetch(message) => Packet::Fetch(message.as_signed().clone()),
            Self::Requests(requests) => {
                Packet::Requests(requests.iter().map(|request| request.as_signed().clone()).collect())
            }
            Self::Batch(sequence, batch) => Packet::Batch(*sequence, batch.clone()),
            Self::Decided(decided) => Packet::Decided(decided.clone()),
            Self::Stable(endorsed) => Packet::Stable(endorsed.clone()),
        }
    }
}

/// What a replica wants said. The host signs it: no key lives in the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A proposal; with its batch unless it repeats an earlier view's.
    PrePrepare(PrePrepare, Option<Batch>),
    /// A vote.
    Prepare(Prepare),
    /// A vote.
    Commit(Commit),
    /// A vote.
    Checkpoint(Checkpoint),
    /// See [`ViewChange`].
    ViewChange(ViewChange),
    /// See [`NewView`].
    NewView(NewView),
    /// See [`Status`].
    Status(Status),
    /// See [`Fetch`].
    Fetch(Fetch),
    /// What needs no signature of this replica: proven by itself, or said and signed by somebody before.
    Proven(Message),
}

impl Outgoing {
    /// Signs as `replica`. Ed25519 is deterministic, so what is said again after a restart is the same bytes.
    pub fn sign(self, replica: ReplicaId, key: &SecretKey, genesis: Digest) -> Message {
        match self {
            Self::PrePrepare(vote, batch) => Message::PrePrepare(Verified::sign(vote, replica, key, genesis), batch),
            Self::Prepare(vote) => Message::Prepare(Verified::sign(vote, replica, key, genesis)),
            Self::Commit(vote) => Message::Commit(Verified::sign(vote, replica, key, genesis)),
            Self::Checkpoint(vote) => Message::Checkpoint(Verified::sign(vote, replica, key, genesis)),
            Self::ViewChange(message) => Message::ViewChange(Verified::sign(message, replica, key, genesis)),
            Self::NewView(message) => Message::NewView(Verified::sign(message, replica, key, genesis)),
            Self::Status(message) => Message::Status(Verified::sign(message, replica, key, genesis)),
            Self::Fetch(message) => Message::Fetch(Verified::sign(message, replica, key, genesis)),
            Self::Proven(message) => message,
        }
    }
}
