//! Faults that belong to protocol rounds: ByzzFuzz (Winter, Buse, de Graaf, von Gleissenthall and Kulahcioglu Ozkan,
//! *Randomized testing of Byzantine fault tolerant algorithms*, OOPSLA 2023).
//!
//! What goes wrong is tied to how far the protocol has come and not to the clock: in a round, as its sender counts
//! rounds, the corrupted member says something slightly different to some, or what is said across the parts of a
//! partition is lost. A few such faults in a few rounds are a small scope that can be searched densely.
//!
//! The corrupted member's part is played by [`ByzzFuzz`]; the network's part by `Watch`, which counts the rounds of
//! every machine.
//!
//! ```text
//! traitor 2 byzzfuzz
//! round 3 mutates digest to 0 1
//! round 5 parts 0 from 1 2 from 3
//! ```

use std::collections::BTreeSet;
use std::fmt;

use bezant_pbft::packet::Message;
use bezant_types::{Committee, ReplicaId};

use crate::adversary::ByzzFuzz;
use crate::adversary::byzzfuzz::{Mutation, NetworkFault, Plan, ProcessFault, Round, Rounds};
use crate::dice::Dice;
use crate::scenario::{Expectation, Scenario, Span, Step};
use crate::words::{BadScenario, Words};

/// How small the scope is: the paper's r, c and d.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Faults happen in the first so many rounds.
    pub rounds: u64,
    /// So many times the corrupted member says something else.
    pub process_faults: usize,
    /// So many times the network parts.
    pub network_faults: usize,
}

/// Something that goes wrong in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoundFault {
    /// The corrupted member says something slightly different.
    Process(ProcessFault),
    /// The network loses what crosses a partition.
    Network(NetworkFault),
}

/// Mutations by name.
const MUTATIONS: [(Mutation, &str); 6] = [
    (Mutation::ViewUp, "view-up"),
    (Mutation::ViewDown, "view-down"),
    (Mutation::SequenceUp, "sequence-up"),
    (Mutation::SequenceDown, "sequence-down"),
    (Mutation::Digest, "digest"),
    (Mutation::Omission, "omission"),
];

/// When the network is whole again.
const CALM_AT: Span = Span::millis(10_000);
/// How long a world lasts after that.
const CALM: Span = Span::millis(60_000);

/// Draws the scenario of a seed: four replicas, two clients that ask for a few things, and faults in the first rounds.
pub fn draw(scope: Scope, seed: u64) -> Scenario {
    let mut dice = Dice::stream(seed, 4);
    let committee = Committee::new(4).expect("four replicas are a group");
    let Scope { rounds, process_faults, network_faults } = scope;
    let Plan { corrupted, process, network } =
        Plan::drawn(&mut dice, committee, rounds, process_faults, network_faults);
    let run = Span::micros(CALM_AT.as_micros() + CALM.as_micros());
    let mut scenario = Scenario::quiet(seed, 4, 2, run);
    scenario.traitors = vec![(corrupted.get(), "byzzfuzz".to_owned())];
    scenario.rounds = process.into_iter().map(RoundFault::Process).collect();
    scenario.rounds.extend(network.into_iter().map(RoundFault::Network));
    // A checkpoint now and then, so that the rounds around one are among the first.
    scenario.parameters = [("checkpoint-interval", 2), ("window", 4), ("pipeline", 2)]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
    for (round, client) in (0..3).flat_map(|round| [(round, 0), (round, 1)]) {
        let what = ["set", &format!("k{client}"), &format!("v{round}")].map(str::to_owned).to_vec();
        scenario.steps.push((Span::millis(1 + 20 * round), Step::Ask(client, what)));
    }
    scenario.steps.push((CALM_AT, Step::Stabilise));
    scenario.expectations = vec![Expectation::Answered];
    scenario
}

/// The corrupted member of these faults; `None` if they say nothing of it, and it draws its own.
pub(crate) fn fuzzer(faults: &[RoundFault]) -> Option<ByzzFuzz> {
    let process = faults.iter().filter_map(|fault| match fault {
        RoundFault::Process(fault) => Some(fault.clone()),
        RoundFault::Network(_) => None,
    });
    (!faults.is_empty()).then(|| ByzzFuzz::new(process.collect()))
}

/// Counts the rounds of every machine, and knows when the network parts.
pub(crate) struct Watch {
    faults: Vec<NetworkFault>,
    machines: Vec<Rounds>,
}

impl Watch {
    pub(crate) fn new(faults: &[RoundFault], machines: usize) -> Self {
        let network = faults.iter().filter_map(|fault| match fault {
            RoundFault::Network(fault) => Some(fault.clone()),
            RoundFault::Process(_) => None,
        });
        Self { faults: network.collect(), machines: vec![Rounds::new(); machines] }
    }

    /// A machine says or hears something. The round that it belongs to there.
    pub(crate) fn round(&mut self, machine: u16, message: &Message) -> Option<Round> {
        if self.faults.is_empty() {
            return None;
        }
        self.machines.get_mut(usize::from(machine))?.of(message)
    }

    /// Whether the network loses what is said in this round.
    pub(crate) fn loses(&self, round: Option<Round>, from: ReplicaId, to: ReplicaId) -> bool {
        round.is_some_and(|round| self.faults.iter().any(|fault| fault.cuts(round, from, to)))
    }
}

impl RoundFault {
    /// The members that it names.
    pub(crate) fn members(&self) -> Vec<u16> {
        match self {
            Self::Process(fault) => fault.receivers.iter().map(|one| one.get()).collect(),
            Self::Network(fault) => fault.parts.iter().flatten().map(|one| one.get()).collect(),
        }
    }

    pub(crate) fn take(words: &mut Words<'_>) -> Result<Self, BadScenario> {
        let round = Round(words.number("the number of a round")?);
        let members = |words: &mut Words<'_>| -> BTreeSet<ReplicaId> {
            words.numbers().into_iter().map(ReplicaId::new).collect()
        };
        match words.word("mutates or parts")? {
            "mutates" => {
                let known = MUTATIONS.iter().find(|(_, name)| words.takes(name)).map(|(mutation, _)| *mutation);
                let names = || MUTATIONS.map(|(_, name)| name).join(", ");
                let mutation = known.ok_or_else(|| words.error(format!("say what: {}", names())))?;
                words.takes("to");
                Ok(Self::Process(ProcessFault { round, receivers: members(words), mutation }))
            }
            "parts" => {
                let mut parts = vec![members(words)];
                while words.takes("from") {
                    parts.push(members(words));
                }
                Ok(Self::Network(NetworkFault { round, parts }))
            }
            other => Err(words.error(format!("`{other}` is none of mutates, parts"))),
        }
    }
}

impl fmt::Display for RoundFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(ProcessFault { round, receivers, mutation }) => {
                let name = MUTATIONS.iter().find(|(one, _)| one == mutation).map_or("", |(_, name)| name);
                write!(f, "{} mutates {name} to", round.0)?;
                receivers.iter().try_for_each(|one| write!(f, " {one}"))
            }
            Self::Network(NetworkFault { round, parts }) => {
                write!(f, "{} parts", round.0)?;
                for (index, part) in parts.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { " from" })?;
                    part.iter().try_for_each(|one| write!(f, " {one}"))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::run;

    const SCOPE: Scope = Scope { rounds: 12, process_faults: 2, network_faults: 2 };

    #[test]
    fn a_scenario_of_rounds_can_be_written_down_and_read_again() {
        for seed in 0..20 {
            let scenario = draw(SCOPE, seed);
            assert_eq!((scenario.rounds.len(), scenario.traitors.len()), (4, 1));
            assert_eq!(scenario.to_string().parse(), Ok(scenario), "seed {seed}");
        }
    }

    #[test]
    fn faults_in_the_first_rounds_break_nothing() {
        for seed in 0..20 {
            let report = run(&draw(SCOPE, seed), false);
            assert_eq!(report.failure, None, "seed {seed}");
            assert_eq!(report.answered, 6);
        }
    }

    #[test]
    fn the_network_parts_in_its_round_and_in_no_other() {
        let mut watch = Watch::new(&[fault("1 parts 0 from 1 2 3")], 4);
        let round = watch.round(0, &crate::adversary::byzzfuzz::tests::proposal());
        assert!(watch.loses(round, ReplicaId::new(0), ReplicaId::new(1)));
        assert!(!watch.loses(round, ReplicaId::new(1), ReplicaId::new(2)));
        assert!(!watch.loses(None, ReplicaId::new(0), ReplicaId::new(1)));
    }

    /// The first proposals reach nobody, and nobody has said anything that could be repeated: another primary helps.
    #[test]
    fn a_primary_that_is_parted_in_all_first_rounds_loses_its_view() {
        let mut scenario = draw(Scope { process_faults: 0, network_faults: 0, ..SCOPE }, 1);
        scenario.traitors.clear();
        let view = |scenario: &Scenario| {
            let report = run(scenario, false);
            assert_eq!(report.failure, None);
            report.view
        };
        assert_eq!(view(&scenario), 0);
        scenario.rounds = (1..=30).map(|round| fault(&format!("{round} parts 0 from 1 2 3"))).collect();
        assert!(view(&scenario) > 0);
    }

    fn fault(line: &str) -> RoundFault {
        RoundFault::take(&mut Words::new(1, line)).unwrap()
    }

    #[test]
    fn nonsense_about_rounds_is_refused() {
        let base = draw(SCOPE, 0).to_string();
        for line in ["round x parts 0", "round 1 sings", "round 1 mutates mood to 0", "round 1 parts 0 from 9"] {
            let text = base.replacen("run ", &format!("{line}\nrun "), 1);
            assert!(text.parse::<Scenario>().is_err(), "{line}");
        }
    }
}
