//! Properties that must hold in every world, one a file.
//!
//! An oracle sees what an observer beside the machines would see ([`Sight`]), keeps its own books, and shares no code
//! with what it judges: none asks a replica for its opinion. It says nothing, or names a crime.

use std::fmt;

use bezant_types::{Genesis, ReplicaId};

use crate::sight::{Sight, When};

/// Something that must not happen has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The oracle that noticed.
    pub oracle: &'static str,
    /// What was seen, in a sentence with names and numbers.
    pub crime: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.crime)
    }
}

/// What is true of a world before it begins.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// The network.
    pub genesis: &'a Genesis,
    /// The corrupted replicas.
    pub corrupted: &'a [ReplicaId],
    /// How long after [`Sight::Stabilised`] everything asked must be answered, in milliseconds.
    pub liveness_ms: u64,
}

/// A property, and the books that are kept to judge it.
pub trait Oracle {
    /// Its name, as `bezant sim list` shows it.
    fn name(&self) -> &'static str;

    /// The property, in a sentence.
    fn claim(&self) -> &'static str;

    /// Something happened.
    ///
    /// # Errors
    /// The crime, if that must not happen.
    fn on_sight(&mut self, when: When, sight: &Sight<'_>) -> Result<(), String>;

    /// The world is over.
    ///
    /// # Errors
    /// The crime, if something that had to happen did not.
    fn at_end(&mut self, when: When) -> Result<(), String> {
        let _ = when;
        Ok(())
    }
}

/// All oracles.
pub fn all(_setting: &Setting<'_>) -> Vec<Box<dyn Oracle>> {
    Vec::new()
}

/// The names of all oracles, and what each of them claims.
pub fn claims() -> Vec<(&'static str, &'static str)> {
    Vec::new()
}
