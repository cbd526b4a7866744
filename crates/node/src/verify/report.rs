//! What the verification of a home found.

use std::fmt;

use bezant_types::{Digest, SequenceNumber};
use serde::Serialize;

/// What was found in a replica's data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What people call the network.
    pub network: String,
    /// The network's identity.
    pub genesis: String,
    /// Whose directory this is; `None` if nothing is kept here yet.
    pub replica: Option<u16>,
    /// The blocks.
    pub blocks: BlocksReport,
    /// What executing them again gave.
    pub execution: ExecutionReport,
    /// The saved state; `None` while none has been saved.
    pub state: Option<StateReport>,
    /// Everything that does not hold, in the order in which it was found.
    pub problems: Vec<Problem>,
    /// How many more there were than are listed.
    pub unlisted_problems: u64,
}

/// The committed blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlocksReport {
    /// How many were read and found in order.
    pub sound: u64,
    /// How many are kept.
    pub kept: u64,
    /// The stretches without a gap.
    pub runs: Vec<Span>,
    /// What is missing between them. A gap is what a replica skipped by state transfer.
    pub gaps: Vec<Span>,
    /// Requests in them.
    pub requests: u64,
    /// Transactions in those.
    pub transactions: u64,
    /// Bytes of the blocks.
    pub bytes: u64,
}

/// What executing the blocks again gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExecutionReport {
    /// The blocks that were executed, from the genesis or from the saved state on.
    pub executed: Vec<Span>,
    /// The roots that it led to where a quorum's signature was found, and that agree with it.
    pub confirmed: Vec<Root>,
    /// Where it ended.
    pub end: Option<Root>,
}

/// The saved state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateReport {
    /// Its height and root, as computed from its entries.
    pub root: Root,
    /// The replicas that signed the root.
    pub signers: Vec<u16>,
    /// How many entries it holds.
    pub entries: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// The sum of all balances.
    pub supply: u64,
    /// Whether executing the blocks from the genesis leads to the same root; `None` if they do not reach from there to
    /// here.
    pub reached_from_genesis: Option<bool>,
}

/// A state root and its height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Root {
    /// The height.
    pub sequence: u64,
    /// The root.
    pub root: String,
}

/// Consecutive sequence numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Of which kind.
    pub kind: ProblemKind,
    /// The block that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<u64>,
    /// What is wrong, for a person.
    pub what: String,
}

/// What kind of thing does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// A block cannot be read.
    Damaged,
    /// A block is read and is not what a quorum committed.
    NotCommitted,
    /// Execution leads to another root than a quorum signed.
    Diverged,
    /// The saved state is not what a quorum signed, or cannot be read.
    State,
}

impl Report {
    /// Whether everything that was found holds.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn complain(&mut self, kind: ProblemKind, block: Option<SequenceNumber>, what: impl fmt::Display) {
        if self.problems.len() >= MOST_PROBLEMS {
            self.unlisted_problems += 1;
            return;
        }
        self.problems.push(Problem { kind, block: block.map(SequenceNumber::get), what: what.to_string() });
    }
}

impl Root {
    pub(super) fn new(sequence: SequenceNumber, root: Digest) -> Self {
        Self { sequence: sequence.get(), root: root.to_string() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.block {
            Some(block) => write!(f, "block {block}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// A directory that is wrong from end to end is not worth a line for each block.
const MOST_PROBLEMS: usize = 100;
