//! bezant-node
