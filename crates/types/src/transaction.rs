//! What clients ask of the ledger, and what they are told.
//!
//! A [`Transaction`] is a list of [`Operation`]s that apply all or none. A [`Bundle`] is several independent
//! transactions of one client under one request number and one signature: it is PBFT's *request* (Castro and Liskov
//! 1999, section 4.1), and the unit that is ordered, and executed exactly once. One signature over many commands is
//! what makes a gateway fast.
//!
//! The network (genesis digest) and the client are not fields: the signature covers both, see [`crate::signed`].

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::encoded_len;
use crate::genesis::Parameters;
use crate::{AccountId, Amount, Digest, RequestNumber, SequenceNumber, Signable, Verified};

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Operation {
    /// The value of an entry. Answers [`Answer::Value`].
    Get {
        /// Which entry.
        key: Vec<u8>,
    },
    /// Writes an entry, and creates it, owned by the sender, if there is none. Answers [`Answer::Done`],
    /// [`Answer::NotDone`] if the condition does not hold, or [`Answer::Value`] for [`SetAnswer::Previous`].
    Set {
        /// Which entry.
        key: Vec<u8>,
        /// What it is to hold.
        value: Vec<u8>,
        /// When to write.
        condition: Condition,
        /// What to answer.
        answer: SetAnswer,
    },
    /// Removes an entry with its owner and grants. Answers [`Answer::Flag`]: whether there was one.
    Delete {
        /// Which entry.
        key: Vec<u8>,
    },
    /// Removes an entry and answers what it held, as [`Answer::Value`].
    Take {
        /// Which entry.
        key: Vec<u8>,
    },
    /// Whether there is such an entry. Answers [`Answer::Flag`].
    Exists {
        /// Which entry.
        key: Vec<u8>,
    },
    /// The length of the value in bytes, 0 if there is no entry. Answers [`Answer::Integer`].
    Length {
        /// Which entry.
        key: Vec<u8>,
    },
    /// Lengthens a value, or creates the entry. Answers [`Answer::Integer`]: the new length in bytes.
    Append {
        /// Which entry.
        key: Vec<u8>,
        /// What to add at its end.
        suffix: Vec<u8>,
    },
    /// Adds to a value that is a decimal 64-bit integer; no entry counts as 0. Answers [`Answer::Integer`]: the sum.
    Add {
        /// Which entry.
        key: Vec<u8>,
        /// How much.
        delta: i64,
    },
    /// Pays from the sender's account. Answers [`Answer::Done`].
    Transfer {
        /// To whom.
        to: AccountId,
        /// How much.
        amount: Amount,
    },
    /// What an account holds. Answers [`Answer::Balance`].
    Balance {
        /// Whose.
        account: AccountId,
    },
    /// To whom an entry belongs. Answers [`Answer::Owner`].
    Owner {
        /// Which entry.
        key: Vec<u8>,
    },
    /// Lets another account write an entry of the sender's. Answers [`Answer::Flag`]: whether that is new.
    Grant {
        /// Which entry.
        key: Vec<u8>,
        /// To whom.
        to: AccountId,
    },
    /// Takes a grant back. Answers [`Answer::Flag`]: whether there was one.
    Revoke {
        /// Which entry.
        key: Vec<u8>,
        /// From whom.
        from: AccountId,
    },
    /// The number of entries. Answers [`Answer::Integer`].
    Size,
    /// The sequence number at which this executes. Answers [`Answer::Height`]. A checkpoint at or above it covers
    /// everything that was acknowledged before.
    Height,
}

impl Operation {
    /// Whether this may change the state.
    pub fn writes(&self) -> bool {
        match self {
            Self::Set { .. }
            | Self::Delete { .. }
            | Self::Take { .. }
            | Self::Append { .. }
            | Self::Add { .. }
            | Self::Transfer { .. }
            | Self::Grant { .. }
            | Self::Revoke { .. } => true,
            Self::Get { .. }
            | Self::Exists { .. }
            | Self::Length { .. }
            | Self::Balance { .. }
            | Self::Owner { .. }
            | Self::Size
            | Self::Height => false,
        }
    }
}

/// When a `Set` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Condition {
    /// In any case.
    Always,
    /// If there is no such entry (Redis `NX`).
    IfAbsent,
    /// If there is one (Redis `XX`).
    IfPresent,
}

/// What a `Set` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum SetAnswer {
    /// Whether it wrote.
    Written,
    /// What the entry held before, whether or not it wrote (Redis `GET`).
    Previous,
}

/// Operations that apply all or none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// Paid by the sender to [`AccountId::FEES`] if the transaction applies. Consortium members usually say zero; on an
    /// open chain it buys a place.
    pub fee: Amount,
    /// The steps, in order.
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// A transaction of one step without a fee.
    pub fn single(operation: Operation) -> Self {
        Self { fee: Amount::ZERO, operations: alloc::vec![operation] }
    }
}

/// Independent transactions of one client: PBFT's request. Each applies or not by itself, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Bundle {
    /// Chosen by the client, each at most once.
    pub number: RequestNumber,
    /// What is asked for.
    pub transactions: Vec<Transaction>,
}

impl Signable for Bundle {
    const DOMAIN: &'static str = "bezant/bundle";
    type Signer = AccountId;
}

/// Why a bundle is refused before it is ordered. A function of the bundle and the genesis alone, so that all replicas
/// refuse the same ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBundle {
    /// Nothing in it.
    #[error("the request holds no transaction, or a transaction without an operation")]
    Empty,
    /// Too many bytes in all.
    #[error("the request has {found} bytes, at most {limit} are allowed: split it")]
    TooLarge {
        /// How many there are.
        found: usize,
        /// `max_bundle_bytes` of the genesis.
        limit: usize,
    },
    /// Too many operations in all.
    #[error("the request has {found} operations, at most {limit} are allowed: split it")]
    TooManyOperations {
        /// How many there are.
        found: usize,
        /// `max_bundle_operations` of the genesis.
        limit: usize,
    },
}

impl Bundle {
    /// Checks the limits that hold before ordering. Sizes of single keys and values are the ledger's to judge.
    ///
    /// # Errors
    /// [`BadBundle`] says which limit.
    pub fn validate(&self, parameters: &Parameters) -> Result<(), BadBundle> {
        let empty = self.transactions.is_empty() || self.transactions.iter().any(|one| one.operations.is_empty());
        if empty {
            return Err(BadBundle::Empty);
        }
        let operations = self.transactions.iter().map(|one| one.operations.len()).sum::<usize>();
        let limit = parameters.max_bundle_operations as usize;
        if operations > limit {
            return Err(BadBundle::TooManyOperations { found: operations, limit });
        }
        let (found, limit) = (encoded_len(self), parameters.max_bundle_bytes as usize);
        if found > limit {
            return Err(BadBundle::TooLarge { found, limit });
        }
        Ok(())
    }
}

/// A bundle whose signature was checked, shared and not copied: what the engines order and the ledger executes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    bundle: Arc<Verified<Bundle>>,
    size: usize,
}

impl Request {
    /// Admits a verified bundle.
    ///
    /// # Errors
    /// [`BadBundle`] if it breaks a limit.
    pub fn new(bundle: Verified<Bundle>, parameters: &Parameters) -> Result<Self, BadBundle> {
        bundle.message().validate(parameters)?;
        let size = encoded_len(bundle.as_signed());
        Ok(Self { bundle: Arc::new(bundle), size })
    }

    /// What identifies the request and is ordered in its stead.
    pub fn digest(&self) -> Digest {
        self.bundle.digest()
    }

    /// Who asks.
    pub fn client(&self) -> AccountId {
        self.bundle.signer()
    }

    /// The client's number for it.
    pub fn number(&self) -> RequestNumber {
        self.bundle.message().number
    }

    /// What is asked for.
    pub fn transactions(&self) -> &[Transaction] {
        &self.bundle.message().transactions
    }

    /// The form that travels.
    pub fn as_signed(&self) -> &crate::Signed<Bundle> {
        self.bundle.as_signed()
    }

    /// Its size on the wire, in bytes.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// What one operation answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Answer {
    /// It was done.
    Done,
    /// Its condition did not hold, so nothing was done.
    NotDone,
    /// The value, if there is an entry.
    Value(Option<Vec<u8>>),
    /// A number.
    Integer(i64),
    /// Yes or no.
    Flag(bool),
    /// An account's balance.
    Balance(Amount),
    /// An entry's owner, if there is an entry.
    Owner(Option<AccountId>),
    /// Where in the order this was executed.
    Height(SequenceNumber),
}

/// Why a transaction was not applied. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize, thiserror::Error)]
pub enum Refusal {
    /// A client that may only read asked for a change.
    #[error("this client may only read")]
    ReadOnly,
    /// The key is longer than the genesis allows.
    #[error("the key has {found} bytes, at most {limit} are allowed")]
    KeyTooLong {
        /// Its length.
        found: u64,
        /// `max_key_bytes` of the genesis.
        limit: u64,
    },
    /// The value is, or would become, longer than the genesis allows.
    #[error("the value has {found} bytes, at most {limit} are allowed")]
    ValueTooLong {
        /// Its length.
        found: u64,
        /// `max_value_bytes` of the genesis.
        limit: u64,
    },
    /// The state would outgrow what the members agreed to hold.
    #[error("the ledger is full: its members agreed to hold at most {limit} bytes; delete something first")]
    StateFull {
        /// `max_state_bytes` of the genesis.
        limit: u64,
    },
    /// The answers would not fit a reply.
    #[error("the answer would exceed {limit} bytes: ask for less at once")]
    AnswerTooLarge {
        /// `max_reply_bytes` of the genesis.
        limit: u64,
    },
    /// The entry belongs to another account, which has not granted the sender a right to write.
    #[error("the entry belongs to {owner}, who has not granted you a right to write it")]
    NotYours {
        /// To whom it belongs.
        owner: AccountId,
    },
    /// Only the owner may do this.
    #[error("only the owner, {owner}, may do this")]
    NotOwner {
        /// To whom it belongs.
        owner: AccountId,
    },
    /// There is no such entry to grant or revoke on.
    #[error("there is no such entry")]
    NoSuchEntry,
    /// The entry has as many grants as it can have.
    #[error("the entry already has {limit} grants, the most that it can have: revoke one first")]
    TooManyGrants {
        /// The most that an entry can have.
        limit: u64,
    },
    /// The value is not a decimal 64-bit integer.
    #[error("value is not an integer or out of range")]
    NotAnInteger,
    /// The sum is not a 64-bit integer.
    #[error("increment or decrement would overflow")]
    IntegerOverflow,
    /// The sender has less than it would pay.
    #[error("the account holds {balance}, which does not cover {needed}")]
    Overdraft {
        /// What the account holds.
        balance: Amount,
        /// What was to be paid.
        needed: Amount,
    },
    /// The receiver's balance, or amount and fee together, would not fit the number range.
    #[error("the amount would overflow a balance")]
    AmountOverflow,
    /// The fee account receives fees and nothing else.
    #[error("nobody can pay into the fee account directly, or hold rights in its name")]
    ReservedAccount,
}

/// A refused transaction: which of its operations could not be done, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Refused {
    /// Index of the operation; for a fee that cannot be paid, the number of operations.
    pub operation: u32,
    /// Why.
    pub reason: Refusal,
}

/// What became of one transaction: an answer for each operation, or the reason why none was done.
pub type Receipt = Result<Vec<Answer>, Refused>;

/// What became of a request. All honest replicas find the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Outcome {
    /// It was executed, and this is what each of its transactions came to.
    Executed(Vec<Receipt>),
    /// Its number has left the client's window, so that nobody knows any more whether it was executed. It was not
    /// executed now.
    Expired,
    /// Its number belongs to another request of the same client, which was executed. This one was not.
    NumberReused,
    /// It was executed before, but what it came to was too large to be kept.
    NotKept {
        /// The digest of the outcome.
        outcome: Digest,
    },
}

impl Outcome {
    /// What replies are compared by.
    pub fn digest(&self) -> Digest {
        Digest::of("bezant/outcome", self)
    }
}

/// A short text for logs and errors: how a refused transaction is told to a person.
impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "operation {}: {}", self.operation, self.reason)
    }
}

/// The text of a key or value for a person: as it is if printable, else escaped.
pub fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().map(char::from).collect()
}
