//! What every decoder and the replica itself must survive: any bytes.
//!
//! A [`Target`] takes bytes that an adversary chose. It must not panic, must not allocate on the word of a length, and
//! what it decodes must encode to the same bytes: one value, one encoding (hazards 9 and 27). [`Target::corpus`] are
//! inputs that get far; [`Mutator`] changes them.
//!
//! Two drivers share the targets. `tests/bounded.rs` runs a fixed number of mutations from fixed seeds with the stable
//! toolchain, in every run of the tests. `fuzz/` hands the same functions to libFuzzer, which looks at coverage and
//! runs for as long as one likes: see `docs/testing.md`.

mod corpus;
mod decoders;
mod handling;
mod mutator;

pub use mutator::Mutator;

/// Something that takes an adversary's bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// What it is called, here and in `fuzz/`.
    pub name: &'static str,
    /// Takes the bytes. Panics if something is wrong with the code.
    pub take: fn(&[u8]),
    /// Inputs that get far.
    pub corpus: fn() -> Vec<Vec<u8>>,
    /// How many mutations the bounded run tries: less for what costs more.
    pub tries: u64,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({})", self.name)
    }
}

/// All targets.
pub const TARGETS: [Target; 12] = [
    Target { name: "packet", take: decoders::packet, corpus: corpus::packets, tries: 20_000 },
    Target { name: "record", take: decoders::record, corpus: corpus::records, tries: 20_000 },
    Target { name: "peer-frame", take: decoders::peer_frame, corpus: corpus::peer_frames, tries: 20_000 },
    Target { name: "ask", take: decoders::ask, corpus: corpus::asks, tries: 20_000 },
    Target { name: "tell", take: decoders::tell, corpus: corpus::tells, tries: 20_000 },
    Target { name: "resp", take: decoders::resp, corpus: corpus::resp, tries: 40_000 },
    Target { name: "proof", take: decoders::proof, corpus: corpus::proofs, tries: 20_000 },
    Target { name: "piece", take: decoders::piece, corpus: corpus::pieces, tries: 10_000 },
    Target { name: "log", take: decoders::log, corpus: corpus::logs, tries: 2_000 },
    Target { name: "genesis", take: decoders::genesis, corpus: corpus::genesis, tries: 1_000 },
    Target { name: "scenario", take: decoders::scenario, corpus: corpus::scenarios, tries: 10_000 },
    Target { name: "handling", take: handling::handling, corpus: handling::corpus, tries: 400 },
];

/// The target of this name.
///
/// # Panics
/// If there is none: a driver that runs nothing proves nothing.
pub fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).expect("a driver names a target that there is")
}
