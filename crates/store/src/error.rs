//! What can be wrong with a log, and what to do about it.

use std::io;

use bezant_types::Digest;
use bezant_types::codec::DecodeError;

/// Why a log or a block store could not do what was asked. The text is for the operator: it says what is wrong, where,
/// and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The disk refused.
    #[error("{path}: {action} failed: {source}. {}", remedy(source))]
    Disk {
        /// The file.
        path: String,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Something was written or synced in vain before, and what is on disk since then is not known.
    #[error(
        "closed after a failure, since what is on disk after a failed write or sync cannot be known ({cause}). Stop \
         this replica, mend the cause and start it again: it recovers what is really there"
    )]
    Poisoned {
        /// The failure.
        cause: String,
    },
    /// There is no log.
    #[error(
        "{path}: there is no log here. This replica may have voted before, and voting again without its log could \
         contradict those votes. Restore the log, or start with `--recover`: it rejoins by state transfer, without \
         voting where it may have voted before. (`init` makes the log of a new replica.)"
    )]
    Missing {
        /// Where it should be.
        path: String,
    },
    /// There is a log where a new one was to be made.
    #[error("{path}: there is a log already, and it is never replaced by a new one. Open it, or set it aside first")]
    Exists {
        /// Its first file.
        path: String,
    },
    /// The file is of another kind or version.
    #[error("{path}: {source}. {}", format_remedy(source, *remedy))]
    WrongFormat {
        /// The file.
        path: String,
        /// What differs.
        source: DecodeError,
        /// What to do.
        remedy: Remedy,
    },
    /// The file belongs to another replica or another network.
    #[error(
        "{path}: this file belongs to replica {found}, and this one is {expected}: a key, a genesis or a log was \
         copied from elsewhere. Put back the files that belong together; two replicas must never share a log or a key"
    )]
    WrongIdentity {
        /// The file.
        path: String,
        /// Whose it is.
        found: Digest,
        /// Whose it should be.
        expected: Digest,
    },
    /// The head of a file is damaged.
    #[error("{path}: the head of this file is damaged. {remedy}")]
    DamagedHead {
        /// The file.
        path: String,
        /// What to do.
        remedy: Remedy,
    },
    /// A file is shorter than it was made.
    #[error("{path}: {found} bytes, but this file was made with {expected}: it was cut off. {remedy}")]
    CutOff {
        /// The file.
        path: String,
        /// How many bytes it has.
        found: u64,
        /// How many it had.
        expected: u64,
        /// What to do.
        remedy: Remedy,
    },
    /// A file of the sequence is missing.
    #[error("{path}: this file is missing, although the file after it is there. {remedy}")]
    MissingSegment {
        /// The file.
        path: String,
        /// What to do.
        remedy: Remedy,
    },
    /// A frame that had been synced is damaged.
    #[error(
        "{path}: frame {frame} at byte {offset} is damaged, and it is no torn write, since {proof} was written after \
         it had been synced. {remedy}"
    )]
    Hole {
        /// The file.
        path: String,
        /// Where in the file, in bytes.
        offset: u64,
        /// The index of the frame (in the block store: its sequence number).
        frame: u64,
        /// What shows that it was whole once.
        proof: Proof,
        /// What to do.
        remedy: Remedy,
    },
    /// More bytes than fit in one frame.
    #[error("{found} bytes in one append, where at most {limit} fit: split it")]
    TooLarge {
        /// How many there were.
        found: u64,
        /// How many there may be.
        limit: u64,
    },
}

/// What shows that a damaged frame was whole once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A later frame of the same file says so.
    Frame(u64),
    /// The head of the same file says so: the file was born with it.
    Head,
    /// The file after it says so.
    Segment(u64),
    /// It was whole when this process read it before.
    Index,
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frame(index) => write!(f, "frame {index}"),
            Self::Head => f.write_str("the head of this file"),
            Self::Segment(number) => write!(f, "file number {number}"),
            Self::Index => f.write_str("the index of this file"),
        }
    }
}

/// What the operator can do about a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// For the write-ahead log.
    RecoverReplica,
    /// For the block store.
    RefetchBlocks,
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RecoverReplica => {
                "Restore this file from a copy made after this replica last ran (an older copy would make it forget \
                 votes), or start with `--recover`: it sets the log aside and rejoins by state transfer, without \
                 voting where it may have voted before"
            }
            Self::RefetchBlocks => {
                "Blocks are kept for audit and the other replicas have them too: restore this file from a copy, or \
                 move the whole directory away, and this replica keeps blocks anew from its last checkpoint on"
            }
        })
    }
}

fn format_remedy(error: &DecodeError, remedy: Remedy) -> String {
    match error {
        DecodeError::WrongVersion { .. } => {
            "Start this replica with the version of the program that wrote the file; it has not been changed".to_owned()
        }
        DecodeError::WrongMagic { .. } | DecodeError::TooLarge { .. } | DecodeError::Malformed => remedy.to_string(),
    }
}

/// What to do about a refusal of the operating system.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind::{NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let kind = error.kind();
    if matches!(kind, StorageFull | QuotaExceeded) {
        "The disk is full: free some space and start again. What was not synced was not sent, so nothing is lost"
    } else if matches!(kind, PermissionDenied | ReadOnlyFilesystem) {
        "Check who owns the directory and how it is mounted, then start again"
    } else if kind == NotFound {
        "Check that nobody moves files while this replica runs, then start again"
    } else {
        "Check the device (`dmesg`, `smartctl`) before starting again. What was not synced was not sent, so nothing is \
         lost"
    }
}
