//! Twins: Byzantine behaviour from honest code (Bano, Sonnino, Chursin, Perelman, Li, Ching and Malkhi, *Twins: BFT
//! systems made robust*, OPODIS 2021).
//!
//! One member has a **twin**: a second machine with the same key and the same program. Neither lies, and yet together
//! they equivocate, forget and vote twice as soon as they see different things. What they see is decided by
//! partitions: a **scenario** says, for each of R rounds, which of the five machines can reach each other, and which
//! member it is that has a twin. All of them are enumerated.
//!
//! In the paper a scenario also names each round's leader. In PBFT the primary follows from the view, so choosing who
//! is twinned chooses in which views the primary is: with replica 0 the first, with replica 1 the second. A round lasts
//! a little longer than it takes to lose patience, so that a round can end in another view than it began.
//!
//! # What need not be tried
//!
//! The twins are alike: exchanging them in all rounds gives the same course. Replicas that are primary of none of the
//! views that R rounds can reach are alike, too. Of all scenarios that such exchanges turn into each other one is run.
//! How many there are follows from Burnside's lemma: the mean, over all exchanges, of how many scenarios an exchange
//! leaves as they are; and a partition sequence stays as it is if each of its partitions does.

use std::collections::BTreeSet;

use bezant_types::{Committee, ReplicaId, View};

use crate::dice::Dice;
use crate::scenario::{Expectation, Flow, Scenario, Span, Step};

/// How many replicas there are, and machines: one more.
const REPLICAS: u16 = 4;
const MACHINES: usize = REPLICAS as usize + 1;
/// The machine of the twin.
const TWIN: usize = MACHINES - 1;
/// How long a round lasts: longer than the request timeout of the simulator's parameters.
const ROUND: Span = Span::millis(3_000);
/// How much time there is for everything to be answered when the network is whole again.
const CALM: Span = Span::millis(60_000);

/// A partition of the machines: for each the number of its part. Parts are numbered in the order of their first
/// machines, so that equal partitions are equal arrays.
type Parts = [usize; MACHINES];

/// All scenarios of so many rounds.
#[derive(Clone, Debug)]
pub struct Space {
    rounds: u32,
    partitions: Vec<Parts>,
}

impl Space {
    /// The space of so many rounds, at most six: beyond that there are more scenarios than numbers here.
    ///
    /// # Errors
    /// A sentence that says so.
    pub fn new(rounds: u32) -> Result<Self, String> {
        if !(1..=6).contains(&rounds) {
            return Err(format!("{rounds} rounds are not between 1 and 6"));
        }
        Ok(Self { rounds, partitions: partitions() })
    }

    /// How many scenarios there are when none is left out for being like another.
    pub fn all(&self) -> u64 {
        u64::from(REPLICAS) * self.courses()
    }

    fn courses(&self) -> u64 {
        (self.partitions.len() as u64).pow(self.rounds)
    }

    /// How many scenarios are unlike each other, by Burnside's lemma.
    pub fn unlike(&self) -> u64 {
        let of = |twinned| {
            let exchanges = exchanges(twinned, self.rounds);
            let kept = |exchange: &[usize; MACHINES]| {
                let same = |parts: &&Parts| exchanged(parts, exchange) == **parts;
                (self.partitions.iter().filter(same).count() as u64).pow(self.rounds)
            };
            exchanges.iter().map(kept).sum::<u64>() / exchanges.len() as u64
        };
        (0..REPLICAS).map(of).sum()
    }

    /// The numbers of scenarios that are unlike each other: of those that are alike, the lowest.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.all()).filter(|number| self.lowest(*number) == *number)
    }

    /// So many of them, as the dice say; all if there are no more.
    pub fn sample(&self, seed: u64, count: usize) -> Vec<u64> {
        if self.unlike() <= count as u64 {
            return self.numbers().collect();
        }
        let mut dice = Dice::new(seed);
        let mut chosen = BTreeSet::new();
        while chosen.len() < count {
            chosen.insert(self.lowest(dice.below(self.all())));
        }
        chosen.into_iter().collect()
    }

    /// Of all scenarios that are like this one, the lowest.
    fn lowest(&self, number: u64) -> u64 {
        let (twinned, course) = self.course(number);
        let like = |exchange: &[usize; MACHINES]| {
            let parts = course.iter().map(|one| exchanged(&self.partitions[*one], exchange));
            parts.fold(u64::from(twinned), |number, parts| {
                let index = self.partitions.binary_search(&parts).expect("an exchanged partition is one");
                number * self.partitions.len() as u64 + index as u64
            })
        };
        exchanges(twinned, self.rounds).iter().map(like).min().unwrap_or(number)
    }

    /// Who is twinned, and the partition of each round.
    fn course(&self, mut number: u64) -> (u16, Vec<usize>) {
        let base = self.partitions.len() as u64;
        let mut course = Vec::new();
        for _ in 0..self.rounds {
            course.push((number % base) as usize);
            number /= base;
        }
        course.reverse();
        ((number % u64::from(REPLICAS)) as u16, course)
    }

    /// The scenario of a number.
    pub fn scenario(&self, number: u64) -> Scenario {
        let (twinned, course) = self.course(number);
        let end = ROUND.as_micros() * u64::from(self.rounds);
        let mut scenario = Scenario::quiet(number, REPLICAS, 2, Span::micros(end + CALM.as_micros()));
        scenario.comment = vec![format!("Twins, {} rounds, scenario {number}.", self.rounds)];
        scenario.twins = vec![twinned];
        for (round, index) in course.into_iter().enumerate() {
            let at = ROUND.as_micros() * round as u64;
            if round > 0 {
                scenario.steps.push((Span::micros(at), Step::Heal));
            }
            for part in cuts(&self.partitions[index]) {
                scenario.steps.push((Span::micros(at), Step::Lose(part)));
            }
            for client in 0..2 {
                let what = ["set", &format!("k{client}"), &format!("v{round}")].map(str::to_owned).to_vec();
                scenario.steps.push((Span::micros(at + 1_000), Step::Ask(client, what)));
            }
        }
        scenario.steps.push((Span::micros(end), Step::Stabilise));
        scenario.expectations = vec![Expectation::Answered];
        scenario
    }
}

/// What is lost: whatever leaves a part for another one. Clients reach everybody.
fn cuts(parts: &Parts) -> Vec<Flow> {
    let count = parts.iter().max().map_or(0, |last| last + 1);
    let side = |part: usize, inside: bool| -> Vec<u16> {
        let machines = parts.iter().zip(0..).filter(|(of, _)| (**of == part) == inside);
        machines.map(|(_, machine)| machine).collect()
    };
    let parted = (0..count).filter(|_| count > 1);
    parted.map(|part| Flow { kinds: Vec::new(), from: side(part, true), to: side(part, false) }).collect()
}

/// All partitions of the machines, in order.
fn partitions() -> Vec<Parts> {
    fn grow(parts: &mut Parts, machine: usize, count: usize, found: &mut Vec<Parts>) {
        if machine == MACHINES {
            return found.push(*parts);
        }
        for part in 0..=count {
            parts[machine] = part;
            grow(parts, machine + 1, count.max(part + 1), found);
        }
    }
    let mut found = Vec::new();
    grow(&mut [0; MACHINES], 0, 0, &mut found);
    found
}

/// The partition in which each machine stands where its counterpart stood.
fn exchanged(parts: &Parts, exchange: &[usize; MACHINES]) -> Parts {
    let mut names = Vec::new();
    exchange.map(|machine| {
        let part = parts[machine];
        names.iter().position(|name| *name == part).unwrap_or_else(|| {
            names.push(part);
            names.len() - 1
        })
    })
}

/// All exchanges of machines that are alike: the twins with each other, and replicas that no round can make primary.
fn exchanges(twinned: u16, rounds: u32) -> Vec<[usize; MACHINES]> {
    let committee = Committee::new(usize::from(REPLICAS)).expect("four replicas are a group");
    // A round is long enough for one view change, so these are the views that R rounds can reach.
    let primaries: BTreeSet<ReplicaId> =
        (0..=u64::from(rounds)).map(|view| committee.primary(View::new(view))).collect();
    let alike: Vec<usize> = committee
        .members()
        .filter(|one| one.get() != twinned && !primaries.contains(one))
        .map(ReplicaId::index)
        .collect();
    let identity: [usize; MACHINES] = std::array::from_fn(|machine| machine);
    let mut found = vec![identity];
    for (index, one) in alike.iter().enumerate() {
        // Every permutation is one of the earlier ones, and then an exchange with one of the machines before.
        let before = found.clone();
        for other in &alike[..index] {
            found.extend(before.iter().map(|exchange| swapped(exchange, *one, *other)));
        }
    }
    let with_twins: Vec<_> = found.iter().map(|one| swapped(one, usize::from(twinned), TWIN)).collect();
    found.extend(with_twins);
    found
}

fn swapped(exchange: &[usize; MACHINES], one: usize, other: usize) -> [usize; MACHINES] {
    let mut swapped = *exchange;
    swapped.swap(one, other);
    swapped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::run;

    /// The Bell number of five.
    const PARTITIONS: u64 = 52;

    #[test]
    fn as_many_scenarios_are_enumerated_as_the_formula_says() {
        for rounds in 1..=2 {
            let space = Space::new(rounds).unwrap();
            assert_eq!(space.all(), 4 * PARTITIONS.pow(rounds));
            assert_eq!(space.numbers().count() as u64, space.unlike(), "{rounds} rounds");
        }
    }

    /// By hand: exchanging the twins leaves a partition as it is if they are together, of which there are as many as
    /// partitions of four, or each is alone: as many as partitions of three.
    #[test]
    fn the_counts_are_those_of_burnsides_lemma_by_hand() {
        let twins_only = |rounds| (PARTITIONS.pow(rounds) + (15 + 5u64).pow(rounds)) / 2;
        assert_eq!(Space::new(2).unwrap().unlike(), 3 * twins_only(2) + twins_only(2));
        assert_eq!(Space::new(3).unwrap().unlike(), 4 * twins_only(3));
        assert_eq!([1, 2, 3].map(|rounds| Space::new(rounds).unwrap().unlike()), [124, 6_208, 297_216]);
        assert!(Space::new(0).is_err() && Space::new(7).is_err());
    }

    #[test]
    fn a_scenario_can_be_written_down_and_read_again() {
        let space = Space::new(2).unwrap();
        for number in space.sample(1, 50) {
            let scenario = space.scenario(number);
            assert_eq!(scenario.to_string().parse(), Ok(scenario), "{number}");
        }
    }

    #[test]
    fn a_sample_of_twins_breaks_nothing() {
        let space = Space::new(2).unwrap();
        let sample = space.sample(7, 24);
        assert_eq!(sample.len(), 24);
        for number in sample {
            let report = run(&space.scenario(number), false);
            assert_eq!(report.failure, None, "scenario {number}");
            assert!(report.answered >= 4);
        }
    }
}
