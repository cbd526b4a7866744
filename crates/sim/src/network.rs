//! The network between machines and clients.
//!
//! It keeps its own bound: until [`Network::stabilise`] it may delay, lose, repeat and reorder as its weather says and
//! its rules add; from then on every message between honest members arrives within the delays of [`Weather::FAIR`].
//! Adversaries do not decide what happens here; what they can delay is what they say themselves (partial synchrony,
//! Dwork, Lynch and Stockmeyer 1988, in the form with an unknown moment of stabilisation).

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::scenario::{Flow, Kind, Span, Weather};

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A replica's machine.
    Replica(u16),
    /// A client.
    Client(usize),
}

impl End {
    fn replica(self) -> Option<u16> {
        match self {
            Self::Replica(one) => Some(one),
            Self::Client(_) => None,
        }
    }
}

/// What happens to messages on their way.
#[derive(Clone, Debug)]
pub struct Network {
    weather: Weather,
    rules: Vec<Rule>,
    dice: Dice,
    /// When each link will have carried what it was given. The links that one end sends over share its line evenly, as
    /// connections do; what is under way already keeps the pace that it began with.
    busy_until: BTreeMap<(End, End), u64>,
    /// How many bytes each end has given to its line.
    carried: BTreeMap<End, u64>,
    stable: bool,
}

#[derive(Clone, Debug)]
enum Rule {
    Cut(Vec<u16>, Vec<u16>),
    Lose(Flow),
    Delay(Flow, Span),
}

/// When a message arrives: once, twice or never.
pub type Arrivals = [Option<u64>; 2];

impl Network {
    /// A network in this weather.
    pub fn new(weather: Weather, dice: Dice) -> Self {
        let (busy_until, carried) = (BTreeMap::new(), BTreeMap::new());
        Self { weather, rules: Vec::new(), dice, busy_until, carried, stable: false }
    }

    /// How many bytes the line of this end has carried; nobody counts where lines have no bound.
    pub fn carried(&self, from: End) -> u64 {
        self.carried.get(&from).copied().unwrap_or_default()
    }

    /// Nothing passes between these replicas and those. Clients reach those.
    pub fn cut(&mut self, these: Vec<u16>, those: Vec<u16>) {
        self.rules.push(Rule::Cut(these, those));
    }

    /// Messages of a flow are lost.
    pub fn lose(&mut self, flow: Flow) {
        self.rules.push(Rule::Lose(flow));
    }

    /// Messages of a flow come later.
    pub fn delay(&mut self, flow: Flow, by: Span) {
        self.rules.push(Rule::Delay(flow, by));
    }

    /// All rules end.
    pub fn heal(&mut self) {
        self.rules.clear();
    }

    /// From now on the bound is kept.
    pub fn stabilise(&mut self) {
        self.heal();
        self.weather = Weather::FAIR;
        self.busy_until.clear();
        self.stable = true;
    }

    /// The longest that a message takes once the network is stable, in microseconds.
    pub fn bound_us() -> u64 {
        Weather::FAIR.most.as_micros() * STRETCH
    }

    /// Sends `bytes` at `now`; says when they arrive, in microseconds.
    pub fn send(&mut self, now: u64, from: End, to: End, kind: Kind, bytes: impl FnOnce() -> usize) -> Arrivals {
        let lost = self.rules.iter().any(|rule| rule.loses(kind, from, to)) || self.dice.permille(self.weather.loss);
        if lost {
            return [None, None];
        }
        let late: u64 = self.rules.iter().map(|rule| rule.delays(kind, from, to)).sum();
        let start = match self.weather.bandwidth {
            None => now,
            Some(per_second) => {
                let links = (from, End::Replica(0))..=(from, End::Client(usize::MAX));
                let others = self.busy_until.range(links).filter(|((_, other), until)| *other != to && **until > now);
                let sharing = 1 + others.count() as u64;
                let bytes = bytes() as u64;
                *self.carried.entry(from).or_default() += bytes;
                let takes = bytes.saturating_mul(1_000_000).saturating_mul(sharing) / per_second.max(1);
                let free = self.busy_until.entry((from, to)).or_default();
                *free = (*free).max(now).saturating_add(takes);
                *free
            }
        };
        let first = start + late + self.delay_us();
        let again = self.dice.permille(self.weather.duplicates).then(|| start + late + self.delay_us());
        [Some(first), again]
    }

    fn delay_us(&mut self) -> u64 {
        let Weather { least, most, .. } = self.weather;
        let usual = self.dice.between(least.as_micros(), most.as_micros());
        // A tail: what usually takes one, now and then takes eight.
        if self.dice.below(16) == 0 { usual * self.dice.between(1, STRETCH) } else { usual }
    }

    /// Whether it keeps its bound.
    pub fn is_stable(&self) -> bool {
        self.stable
    }
}

impl Rule {
    fn loses(&self, kind: Kind, from: End, to: End) -> bool {
        match self {
            Self::Cut(these, those) => {
                let side = |end: End| match end {
                    End::Client(_) => Some(true),
                    End::Replica(one) if those.contains(&one) => Some(true),
                    End::Replica(one) if these.contains(&one) => Some(false),
                    End::Replica(_) => None,
                };
                matches!((side(from), side(to)), (Some(a), Some(b)) if a != b)
            }
            Self::Lose(flow) => flow.covers(kind, from.replica(), to.replica()),
            Self::Delay(..) => false,
        }
    }

    fn delays(&self, kind: Kind, from: End, to: End) -> u64 {
        match self {
            Self::Delay(flow, by) if flow.covers(kind, from.replica(), to.replica()) => by.as_micros(),
            Self::Delay(..) | Self::Cut(..) | Self::Lose(_) => 0,
        }
    }
}

/// How many times the usual delay the longest is.
const STRETCH: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn network(loss: u64) -> Network {
        let weather =
            Weather { least: Span::millis(1), most: Span::millis(50), loss, duplicates: 200, ..Weather::FAIR };
        Network::new(weather, Dice::new(1))
    }

    fn send(network: &mut Network, kind: Kind, from: u16, to: u16) -> Arrivals {
        network.send(1_000, End::Replica(from), End::Replica(to), kind, || 100)
    }

    #[test]
    fn once_stable_everything_arrives_within_the_bound() {
        let mut network = network(500);
        network.cut(vec![0], vec![1, 2, 3]);
        assert_eq!(send(&mut network, Kind::Commit, 0, 1), [None, None]);
        network.stabilise();
        for _ in 0..1_000 {
            let [first, again] = send(&mut network, Kind::Commit, 0, 1);
            assert!(first.is_some_and(|at| at <= 1_000 + Network::bound_us()), "{first:?}");
            assert_eq!(again, None);
        }
    }

    #[test]
    fn it_loses_repeats_and_reorders() {
        let mut network = network(300);
        let sent: Vec<_> = (0..1_000).map(|_| send(&mut network, Kind::Prepare, 0, 1)).collect();
        let arrived: Vec<u64> = sent.iter().filter_map(|[first, _]| *first).collect();
        assert!((600..800).contains(&arrived.len()), "{}", arrived.len());
        assert!(sent.iter().filter(|[_, again]| again.is_some()).count() > 50);
        assert!(!arrived.is_sorted());
    }

    #[test]
    fn a_cut_parts_groups_and_leaves_the_clients_with_those() {
        let mut network = network(0);
        network.cut(vec![0, 1], vec![2, 3]);
        let mut passes = |from, to| network.send(0, from, to, Kind::Ask, || 1)[0].is_some();
        let (replica, client) = (End::Replica, End::Client(0));
        assert!(passes(replica(0), replica(1)) && passes(replica(2), replica(3)) && passes(client, replica(2)));
        assert!(!passes(replica(0), replica(2)) && !passes(replica(3), replica(1)) && !passes(client, replica(0)));
    }

    #[test]
    fn a_flow_names_kinds_senders_and_receivers() {
        let mut network = network(0);
        network.lose(Flow { kinds: vec![Kind::Commit], from: vec![0], to: vec![1, 2] });
        assert_eq!(send(&mut network, Kind::Commit, 0, 1), [None, None]);
        assert!(send(&mut network, Kind::Commit, 0, 3)[0].is_some());
        assert!(send(&mut network, Kind::Prepare, 0, 1)[0].is_some());
        assert!(send(&mut network, Kind::Commit, 3, 1)[0].is_some());
        network.heal();
        assert!(send(&mut network, Kind::Commit, 0, 1)[0].is_some());
    }

    #[test]
    fn a_narrow_link_carries_one_message_after_the_other() {
        let weather = Weather { bandwidth: Some(1_000), ..Weather::FAIR };
        let mut network = Network::new(weather, Dice::new(2));
        let arrivals: Vec<u64> = (0..3).filter_map(|_| send(&mut network, Kind::Batch, 0, 1)[0]).collect();
        assert!(arrivals.windows(2).all(|pair| pair[1] - pair[0] > 90_000), "{arrivals:?}");
    }

    #[test]
    fn the_links_of_an_end_share_its_line() {
        let weather = Weather { bandwidth: Some(1_000), ..Weather::FAIR };
        let mut network = Network::new(weather, Dice::new(2));
        let mut takes = |from, to| {
            let arrival = network.send(0, End::Replica(from), End::Replica(to), Kind::Batch, || 100)[0];
            arrival.map_or(0, |at| at / 90_000)
        };
        assert_eq!((takes(0, 1), takes(0, 2), takes(0, 3)), (1, 2, 3));
        assert_eq!(takes(1, 0), 1, "another has a line of its own");
        let carried = [0, 1, 2].map(|one| network.carried(End::Replica(one)));
        assert_eq!(carried, [300, 100, 0]);
    }
}
