//! What a proof has shown, for programs and for people.

use bezant_ledger::{Header, Item, Kept, Key};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_types::transaction::printable;
use serde::Serialize;

/// What a verified proof shows: what one key held at one height, or that it held nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was asked about.
    pub key: Key,
    /// What it held, if anything.
    pub item: Option<Item>,
    /// The state's header.
    pub header: Header,
    /// Who vouches for the state.
    pub certificate: CheckpointCertificate,
}

/// A [`Finding`] in words and numbers, as it is printed. Bytes are shown as text with escapes, and as hexadecimal
/// digits so that nothing is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingFacts {
    /// What was asked about.
    pub subject: Subject,
    /// What it held; absent if it held nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holding>,
    /// The height of the state.
    pub sequence: u64,
    /// The root of the state.
    pub root: String,
    /// The replicas that signed it.
    pub signers: Vec<u16>,
    /// The ledger's time at that height, in milliseconds since 1970.
    pub timestamp_ms: u64,
}

/// What a proof is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// An entry.
    Entry {
        /// Its key, printable.
        key: String,
        /// Its key, in hexadecimal digits.
        key_hex: String,
    },
    /// An account's balance.
    Account {
        /// The account.
        account: String,
    },
    /// A slot of a client's window of request numbers.
    Window {
        /// Whose window.
        client: String,
        /// Which slot.
        slot: u32,
    },
}

/// What a proven key holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Holding {
    /// An entry.
    Entry {
        /// Its value, printable.
        value: String,
        /// Its value, in hexadecimal digits.
        value_hex: String,
        /// To whom it belongs.
        owner: String,
        /// Who else may write it.
        grants: Vec<String>,
    },
    /// A balance.
    Balance {
        /// In smallest units.
        units: u64,
    },
    /// The last request in a slot of a client's window.
    Request {
        /// Its number.
        number: u64,
        /// Its digest.
        request: String,
        /// Whether its outcome is kept whole, and not as a digest only.
        outcome_kept: bool,
    },
}

impl Finding {
    /// The finding as it is printed.
    pub fn facts(&self) -> FindingFacts {
        FindingFacts {
            subject: Subject::of(&self.key),
            holds: self.item.as_ref().map(Holding::of),
            sequence: self.certificate.vote().sequence.get(),
            root: self.certificate.vote().root.to_string(),
            signers: self.certificate.signers().map(|signer| signer.get()).collect(),
            timestamp_ms: self.header.timestamp.get(),
        }
    }
}

impl Subject {
    fn of(key: &Key) -> Self {
        match key {
            Key::Entry(key) => Self::Entry { key: printable(key), key_hex: hex::encode(key) },
            Key::Account(account) => Self::Account { account: account.to_string() },
            Key::Window { client, slot } => Self::Window { client: client.to_string(), slot: *slot },
        }
    }
}

impl Holding {
    fn of(item: &Item) -> Self {
        match item {
            Item::Entry { owner, grants, value } => Self::Entry {
                value: printable(value),
                value_hex: hex::encode(value),
                owner: owner.to_string(),
                grants: grants.iter().map(ToString::to_string).collect(),
            },
            Item::Balance(amount) => Self::Balance { units: amount.units() },
            Item::Window { number, request, kept } => Self::Request {
                number: number.get(),
                request: request.to_string(),
                outcome_kept: match kept {
                    Kept::Whole(_) => true,
                    Kept::Digest(_) => false,
                },
            },
        }
    }
}
