//! Verification offline: with the genesis in hand, and nobody's word.
//!
//! **The adversary** hands over the bytes: a proof that somebody sent, a replica's directory that somebody copied, or
//! altered. What is accepted here rests on the genesis alone. A state root is right because a quorum signed it; a proof
//! because it leads to that root; a block because a quorum committed to it; and a whole history because executing it
//! again, from the first block on, gives the roots that were signed.
//!
//! * [`verify_checkpoint`] and [`verify_proof`] judge what fits a file, see [`ProofFile`].
//! * [`EvidenceFile`] holds two statements of one member that contradict each other, and convicts it.
//! * [`inquest()`] names whom two homes that disagree convict.
//! * [`verify_home`] judges a replica's data directory, which no replica may be running on, and [`Report`]s on it.
//!
//! **Not promised.** Freshness: an old proof stays true of its height for ever. And of a history no certificate covers
//! yet (the blocks behind the last checkpoint), only that a quorum ordered it, not what it leads to.

mod evidence;
mod finding;
#[cfg(test)]
pub(crate) mod fixture;
mod home;
mod inquest;
mod proof;
mod proof_file;
mod report;
mod stores;
#[cfg(test)]
mod tests;

pub use evidence::{ConvictionFacts, EvidenceFile, EvidenceFileError, NotConvicted, Offence, StatementFacts};
pub use finding::{Finding, FindingFacts, Holding, Subject};
pub use home::{VerifyError, verify_home, verify_home_of};
pub use inquest::{
    CulpritFacts, DisagreementFacts, HomeFacts, Inquest, InquestFacts, InquestVerdict, WantedFacts, inquest,
};
pub(crate) use proof::check_proof;
pub use proof::{NotProven, verify_checkpoint, verify_proof};
pub use proof_file::{ProofFile, ProofFileError};
pub use report::{BlocksReport, ExecutionReport, Problem, ProblemKind, Report, Root, Span, StateReport};
