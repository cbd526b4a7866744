//! What an adversary costs a group that does everything right: the same group, clients, network and seeds, with it and
//! without it.
//!
//! The corrupted member is the one that can do most ([`Setting`]). The network is fair and as wide as a good line
//! (`LINE`), or a flood would cost nothing; the clients ask again a little after each answer, so that what they get
//! in a given time falls as answers come later. What is counted is what the honest clients see: their answers, and the
//! longest that one of them waited, and what the honest machines sent. Messages cost their time on the line and syncs
//! theirs on the disk; processors cost nothing, so work that an adversary makes others do is seen by its bytes only.

use std::ops::Range;

use crate::campaign::run;
use crate::scenario::{Damage, Flow, Kind, Scenario, Span, Step, Weather};
use crate::world::Failure;
use crate::{adversary, adversary::client};

/// How many bytes the line of each machine carries in a second.
const LINE: u64 = 4 << 20;
/// How many bytes what they write has where bodies are large.
const LARGE_VALUES: usize = 4_000;
/// How many honest clients ask.
const CLIENTS: usize = 4;
/// How long they rest between an answer and the next request, in the mean.
const PAUSE: Span = Span::millis(50);

/// How many requests a batch holds at most, and how long it takes to execute, where batches are small.
const LADEN_BATCH: u64 = 4;
const LADEN_EXECUTION: Span = Span::millis(20);

/// Who is corrupted.
#[derive(Clone, Copy, Debug)]
pub enum Foe {
    /// A member.
    Member(adversary::Kind),
    /// A member whose key two honest machines hold.
    Twins,
    /// A client.
    Client(client::Kind),
}

/// What a group did for its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests of honest clients that were answered.
    pub answered: u64,
    /// The longest that one of them waited, answered or not, in microseconds.
    pub longest_wait_us: u64,
    /// How many bytes a second an honest machine gave to its line, in the mean of all worlds and machines.
    pub sent_per_second: u64,
    /// The highest view in any of the worlds.
    pub view: u64,
    /// In how many worlds somebody was accused.
    pub accusing: u64,
    /// What went wrong that must not, by seed.
    pub failures: Vec<(u64, Failure)>,
}

impl Foe {
    /// Everybody there is.
    pub fn all() -> Vec<Self> {
        let members = adversary::all().iter().copied().map(Self::Member);
        let clients = client::all().iter().copied().map(Self::Client);
        members.chain([Self::Twins]).chain(clients).collect()
    }

    /// By what people type.
    ///
    /// # Errors
    /// Who there is.
    pub fn named(name: &str) -> Result<Self, String> {
        let all = Self::all();
        let names: Vec<_> = all.iter().map(Self::name).collect();
        let unknown = || format!("there is no adversary {name:?}: choose one of {}", names.join(", "));
        all.iter().find(|foe| foe.name() == name).copied().ok_or_else(unknown)
    }

    /// What people type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Member(kind) => kind.name,
            Self::Twins => "twins",
            Self::Client(kind) => kind.name,
        }
    }
}

/// What the group is doing meanwhile, so that there is something to do harm to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// It works. Replica 0, the first primary, is corrupted.
    Work,
    /// The network loses the first primary's proposals for a while, so another view begins: replica 1 opens it, and is
    /// corrupted.
    NewView,
    /// Replica 3 was away and fetches the state from the others: the header from replica 0, and what is below it from
    /// replica 1, which is corrupted.
    Transfer,
    /// Two other views begin, one after the other. Replica 3 alone prepares something in the first and is away in the
    /// second, and takes part again in the third, whose primary needs it. Replica 3 is corrupted.
    TwoViews,
    /// A batch is small and takes long to execute, so that what waits has to wait its turn. Replica 0 is corrupted.
    Laden,
    /// What clients write is large, so that whoever is asked for it sends much. Replica 3 is corrupted.
    Large,
    /// Replica 0 alone decides what replica 3 has prepared and replica 2 has not seen, and is cut off; the view
    /// changes of replica 3 come late. Replica 1, who has prepared it too, opens another view, and is corrupted.
    DecidedAlone,
    /// Replica 1 is cut off, and so is one of the machines of replica 0 if there are two.
    Parted,
}

impl Setting {
    /// Where this foe does its harm.
    pub fn of(foe: Foe) -> Self {
        match foe.name() {
            "equivocating-new-view" | "forged-certificates" => Self::NewView,
            "stale-certificates" => Self::TwoViews,
            "flooding" => Self::Laden,
            "fetch-flood" => Self::Large,
            "amnesia" => Self::DecidedAlone,
            "twins" => Self::Parted,
            "poisoned-transfer" => Self::Transfer,
            _ => Self::Work,
        }
    }

    /// What is going on, in a few words.
    pub fn description(self) -> &'static str {
        match self {
            Self::Work => "nobody",
            Self::NewView => "nobody, in a view change",
            Self::Transfer => "nobody, in a state transfer",
            Self::TwoViews => "nobody, in two view changes",
            Self::Laden => "nobody, in small batches",
            Self::Large => "nobody, with large values",
            Self::DecidedAlone => "nobody, and one alone decides",
            Self::Parted => "nobody, in a partition",
        }
    }
}

/// The world of one seed.
pub fn scenario(setting: Setting, foe: Option<Foe>, seed: u64, time: Span) -> Scenario {
    let network = Weather { bandwidth: Some(LINE), ..Weather::FAIR };
    let mut scenario = Scenario { pause: Some(PAUSE), network, ..Scenario::quiet(seed, 4, CLIENTS, time) };
    let corrupted = match setting {
        Setting::Work | Setting::Laden | Setting::Parted => 0,
        Setting::NewView | Setting::Transfer | Setting::DecidedAlone => 1,
        Setting::TwoViews | Setting::Large => 3,
    };
    match foe {
        None => {}
        Some(Foe::Member(kind)) => scenario.traitors.push((corrupted, kind.name.to_owned())),
        Some(Foe::Twins) => scenario.twins.push(corrupted),
        Some(Foe::Client(kind)) => scenario.corrupted_clients.push(kind.name.to_owned()),
    }
    let lose = |kinds: &[Kind], to: &[u16]| Step::Lose(Flow { kinds: kinds.to_vec(), from: vec![], to: to.to_vec() });
    let (begin, end) = (Span::millis(1_000), Span::millis(8_000));
    scenario.steps = match setting {
        Setting::Work => Vec::new(),
        Setting::Large => {
            scenario.values = LARGE_VALUES;
            Vec::new()
        }
        Setting::DecidedAlone => vec![
            (begin, lose(&[Kind::PrePrepare, Kind::Prepare], &[2])),
            (begin, lose(&[Kind::Commit], &[1, 2, 3])),
            (begin, lose(&[Kind::Decided], &[])),
            (begin, Step::Lose(Flow { kinds: vec![Kind::ViewChange], from: vec![3], to: Vec::new() })),
            (Span::millis(1_300), Step::Cut(vec![0], vec![1, 2, 3])),
            (Span::millis(6_000), Step::Heal),
        ],
        Setting::NewView => {
            let proposals = Flow { kinds: vec![Kind::PrePrepare], from: vec![0], to: Vec::new() };
            vec![(begin, Step::Lose(proposals)), (end, Step::Heal)]
        }
        Setting::Laden => {
            scenario.parameters.push(("max-batch-requests".to_owned(), LADEN_BATCH));
            (0..4).map(|one| (Span::micros(0), Step::SlowExecution(one, LADEN_EXECUTION))).collect()
        }
        Setting::TwoViews => {
            // No checkpoint comes between, which would settle it.
            let parameters = [("checkpoint-interval", 512), ("window", 1_024), ("seal-after-ms", 60_000)];
            scenario.parameters.extend(parameters.map(|(name, value)| (name.to_owned(), value)));
            let away = || Step::Cut(vec![3], vec![0, 1, 2]);
            let (parted, second, third) = (Span::millis(1_300), Span::millis(3_300), Span::millis(3_600));
            vec![
                (begin, lose(&[Kind::Prepare], &[0, 1, 2])),
                (begin, lose(&[Kind::Commit], &[])),
                (parted, away()),
                (second, Step::Heal),
                (second, away()),
                (third, Step::Crash(1, Damage::Keeps)),
                (third, Step::Heal),
                (end, Step::Restart(1)),
            ]
        }
        Setting::Parted => {
            let alone = scenario.twins.is_empty();
            let (these, those) = if alone { (vec![1], vec![0, 2, 3]) } else { (vec![0, 1], vec![2, 3, 4]) };
            vec![(Span::millis(0), Step::Cut(these, those)), (end, Step::Heal)]
        }
        Setting::Transfer => vec![(begin, Step::Crash(3, Damage::Keeps)), (end, Step::Restart(3))],
    };
    scenario
}

/// Runs the worlds of these seeds.
pub fn measure(setting: Setting, foe: Option<Foe>, seeds: Range<u64>, time: Span) -> Cost {
    let mut cost = Cost::default();
    let (worlds, mut sent) = (seeds.end.saturating_sub(seeds.start), 0u64);
    for seed in seeds {
        let report = run(&scenario(setting, foe, seed, time), false);
        cost.answered += report.answered;
        cost.longest_wait_us = cost.longest_wait_us.max(report.longest_wait_us).max(report.longest_unanswered_us);
        sent += report.sent_bytes;
        cost.view = cost.view.max(report.view);
        cost.accusing += u64::from(!report.accused.is_empty());
        cost.failures.extend(report.failure.map(|(_, failure)| (seed, failure)));
    }
    let milliseconds = worlds.saturating_mul(time.as_millis());
    cost.sent_per_second = sent.saturating_mul(1_000).checked_div(milliseconds).unwrap_or_default();
    cost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_name_and_a_scenario_that_can_be_written_down() {
        for foe in Foe::all() {
            assert_eq!(Foe::named(foe.name()).map(|one| one.name()), Ok(foe.name()));
            let scenario = scenario(Setting::of(foe), Some(foe), 1, Span::millis(2_000));
            assert_eq!(scenario.to_string().parse(), Ok(scenario));
        }
        assert!(Foe::named("polite").unwrap_err().contains("twins"));
    }

    #[test]
    fn a_silent_primary_costs_a_timeout_and_nothing_after_it() {
        let time = Span::millis(10_000);
        let (without, with) =
            (measure(Setting::Work, None, 0..1, time), measure(Setting::Work, Foe::named("silent").ok(), 0..1, time));
        assert_eq!((without.view, without.failures.len()), (0, 0));
        assert!(without.longest_wait_us < 100_000, "{without:?}");
        assert_eq!((with.view, with.failures.len()), (1, 0));
        assert!((1_000_000..4_000_000).contains(&with.longest_wait_us), "{with:?}");
        assert!(with.answered * 10 > without.answered * 6, "{} of {}", with.answered, without.answered);
    }

    #[test]
    fn who_is_not_answered_to_the_end_is_not_left_out() {
        let mut lonely = scenario(Setting::Work, None, 0, Span::millis(3_000));
        lonely.steps = [0, 1].map(|one| (Span::millis(1_000), Step::Crash(one, Damage::Keeps))).to_vec();
        let report = run(&lonely, false);
        assert!(report.longest_unanswered_us > 1_500_000, "{}", report.longest_unanswered_us);
    }
}
