//! bezant-ledger
