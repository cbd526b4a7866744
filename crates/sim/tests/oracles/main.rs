//! Each oracle on trial: by hand-made sights that it must accept, and by hand-made crimes that it must not let pass. An
//! oracle that cannot complain is worth nothing.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod accountability;
mod agreement;
mod clients;
mod durability;
mod linearizable;
mod memory;
mod network;
mod views;
mod votes;

use bezant_sim::oracle::{PROPERTIES, Setting, all};

/// What `bezant sim list` shows is what judges.
#[test]
fn each_property_has_its_oracle_and_a_name_of_its_own() {
    let setting = Setting { genesis: network::genesis(), corrupted: &[], corrupted_clients: &[], liveness_ms: 1 };
    let judged: Vec<_> = all(&setting).iter().map(|oracle| oracle.property()).collect();
    assert_eq!(judged, PROPERTIES);
    for property in PROPERTIES {
        assert_eq!(PROPERTIES.iter().filter(|one| one.name == property.name).count(), 1, "{}", property.name);
        assert!(!property.claim.is_empty());
    }
}
