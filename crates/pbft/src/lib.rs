//! bezant-pbft
