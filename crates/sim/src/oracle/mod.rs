//! Properties that must hold in every world, one a file.
//!
//! An oracle sees what an observer beside the machines would see ([`Sight`]), keeps its own books, and shares no code
//! with what it judges: none asks a replica for its opinion. It says nothing, or names a crime.
//!
//! # What every world owes its oracles
//!
//! * Sights come in the order in which things happened. What one step of a replica brings about is shown in the order
//!   of its effects, at one moment.
//! * [`Sight::Booted`] is shown for every start, the first included, before anything else of that life.
//! * At most f members are corrupted or have lost their log, unless the world means to break agreement. Then it takes
//!   only those of the [`PROPERTIES`] that hold even so.
//!
//! # What they cost
//!
//! A world of ten virtual minutes shows some hundred thousand sights to each of them. So a sight that does not concern
//! an oracle costs it one branch, one that does costs a look into a map, and sentences are written for crimes only.
//! Books are forgotten behind the last checkpoint that is stable everywhere, where the property allows it. Where an
//! oracle uses a map without order, it only looks things up: what it says does not depend on any order.

mod accountability;
mod agreement;
mod bounded_memory;
mod durability;
mod exactly_once;
mod linearizable;
mod liveness;
mod members;
mod no_contradiction;
mod old_view;
mod prepared_survives;
mod quorums;
mod statement;
mod validity;
mod water_marks;

use std::fmt;

use bezant_types::{Genesis, ReplicaId};

use crate::sight::{ClientIndex, Sight, When};

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
    /// The corrupted clients. All others of the genesis are honest, and whatever they ask is shown.
    pub corrupted_clients: &'a [ClientIndex],
    /// How long after [`Sight::Stabilised`] everything asked must be answered, in milliseconds.
    pub liveness_ms: u64,
}

/// What an oracle watches over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name, as `bezant sim list` shows it.
    pub name: &'static str,
    /// The property, in a sentence.
    pub claim: &'static str,
}

/// A property, and the books that are kept to judge it.
pub trait Oracle: Send {
    /// What it watches over.
    fn property(&self) -> Property;

    /// Its name.
    fn name(&self) -> &'static str {
        self.property().name
    }

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

/// Everything that is watched over, in the order of [`all`].
pub const PROPERTIES: [Property; 13] = [
    agreement::PROPERTY,
    quorums::PROPERTY,
    validity::PROPERTY,
    exactly_once::PROPERTY,
    durability::PROPERTY,
    no_contradiction::PROPERTY,
    old_view::PROPERTY,
    prepared_survives::PROPERTY,
    water_marks::PROPERTY,
    bounded_memory::PROPERTY,
    liveness::PROPERTY,
    linearizable::PROPERTY,
    accountability::PROPERTY,
];

/// The names of all oracles, and what each of them claims.
pub fn claims() -> Vec<(&'static str, &'static str)> {
    PROPERTIES.iter().map(|property| (property.name, property.claim)).collect()
}

/// An oracle for each of the [`PROPERTIES`].
pub fn all(setting: &Setting<'_>) -> Vec<Box<dyn Oracle>> {
    vec![
        Box::new(agreement::Agreement::default()),
        Box::new(quorums::Quorums::new(setting)),
        Box::new(validity::Validity::new(setting)),
        Box::new(exactly_once::ExactlyOnce::new(setting)),
        Box::new(durability::Durability::new(setting)),
        Box::new(no_contradiction::NoContradiction::default()),
        Box::new(old_view::OldView::default()),
        Box::new(prepared_survives::PreparedSurvives::new(setting)),
        Box::new(water_marks::WaterMarks::new(setting)),
        Box::new(bounded_memory::BoundedMemory::new(setting)),
        Box::new(liveness::Liveness::new(setting)),
        Box::new(linearizable::Linearizable::new(setting)),
        Box::new(accountability::Accountability::new(setting)),
    ]
}
