//! bezant-store
