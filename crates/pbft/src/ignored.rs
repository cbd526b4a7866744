//! Every refusal has a name, and says whom it accuses.

use bezant_types::ReplicaId;

use crate::certificate::NotACertificate;

/// Why a message was ignored. An ignored message has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It belongs to a view that this replica has left.
    #[error("it belongs to an earlier view")]
    OldView,
    /// It needs a view that this replica has not entered.
    #[error("it belongs to a view that has not begun here")]
    NotInView,
    /// Its sequence number is at or below the low water mark.
    #[error("its sequence number is at or below the low water mark")]
    BelowWindow,
    /// Its sequence number is above the high water mark.
    #[error("its sequence number is above the high water mark")]
    AboveWindow,
    /// It is known already.
    #[error("it is known already")]
    Duplicate,
    /// Its signer said something else before. That is evidence.
    #[error("its signer has said the contrary before")]
    Contradiction,
    /// Only the primary of its view may say this.
    #[error("only the primary may say this")]
    NotThePrimary,
    /// The primary's pre-prepare is its prepare.
    #[error("the primary does not prepare")]
    PrimaryPrepare,
    /// The batch is not the one that the pre-prepare names.
    #[error("the batch does not have the digest that was signed")]
    WrongDigest,
    /// A new proposal must bring its batch.
    #[error("a new proposal comes without its batch")]
    BatchMissing,
    /// The batch is empty, too long, names a request twice, or is null where none is called for.
    #[error("the batch is malformed")]
    MalformedBatch,
    /// The bodies of the batch are larger than the group allows.
    #[error("the requests of the batch are too large together")]
    BatchTooLarge,
    /// The primary's clock is too far from this replica's.
    #[error("the batch's timestamp is too far from this replica's clock")]
    Timestamp,
    /// The proposal is not what the new view obliges its primary to.
    #[error("the proposal differs from what the new view prescribes")]
    NotInPlan,
    /// Another batch is proven to be committed there.
    #[error("another batch is committed there")]
    DecidedOtherwise,
    /// A certificate in it is none.
    #[error("a certificate in it is not valid: {0}")]
    BadCertificate(NotACertificate),
    /// The view changes in a new view are not a quorum, not distinct, not in order, or not for that view.
    #[error("its view changes are not a quorum for its view")]
    NotAQuorum,
    /// A view change names slots out of its window, out of order, or prepared in its own view or later.
    #[error("its prepared slots are out of order or range")]
    BadPreparedSet,
    /// The proposals of a new view are not those that follow from its view changes.
    #[error("its proposals do not follow from its view changes")]
    WrongProposals,
    /// Nobody asked for it.
    #[error("nobody asked for it")]
    Unasked,
    /// The client has too many bytes waiting here.
    #[error("the client has too much waiting: it may try again later")]
    ClientQuota,
    /// It asks for more at once than anybody may.
    #[error("it asks for too much at once")]
    TooMuch,
    /// This replica has done enough for its signer in this interval. Said again later, it is looked at.
    #[error("enough was done for its signer for now")]
    Rationed,
    /// This replica has lost its log and takes no part in votes yet.
    #[error("this replica is recovering and takes no part yet")]
    Recovering,
}

/// Whom an ignored message speaks against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nobody: delays, repetition and reordering explain it.
    Nobody,
    /// Its signer: no honest replica signs such a thing.
    Signer,
    /// Whoever handed it over, who may be anybody: the message itself is unsigned.
    Bearer,
}

impl Ignored {
    /// Whom this speaks against. Exhaustive on purpose: a new reason must decide.
    pub fn blame(self) -> Blame {
        match self {
            Self::OldView
            | Self::NotInView
            | Self::BelowWindow
            | Self::AboveWindow
            | Self::Duplicate
            // Clocks differ without malice, and a batch is judged again in the next view.
            | Self::Timestamp
            | Self::Unasked
            | Self::ClientQuota
            | Self::Rationed
            // Whoever was told something else shows it, and has no batch to show.
            | Self::BatchMissing
            | Self::Recovering => Blame::Nobody,
            // The batch travels beside the signature, so only its digest is the primary's word.
            Self::WrongDigest => Blame::Bearer,
            Self::Contradiction
            | Self::NotThePrimary
            | Self::PrimaryPrepare
            | Self::MalformedBatch
            | Self::BatchTooLarge
            | Self::NotInPlan
            | Self::DecidedOtherwise
            | Self::NotAQuorum
            | Self::BadPreparedSet
            | Self::WrongProposals
            | Self::TooMuch => Blame::Signer,
            Self::BadCertificate(_) => Blame::Signer,
        }
    }
}

/// Who signed what was ignored, if it was signed by a replica.
pub type Source = Option<ReplicaId>;
