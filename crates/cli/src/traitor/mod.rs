//! Replicas that lie on purpose, so that one can watch the others bear it.
//!
//! The liars are the simulator's; here they get between a real replica and its sockets. Each has its own replica's key
//! and no other: several traitors of one command line are several processes that share a purpose and no secret. What
//! colluders do with each other's keys is to be seen in `bezant sim`.

mod equivocator;

use std::str::FromStr;
use std::time::{Duration, Instant};

use bezant_ledger::transfer::Piece;
use bezant_node::config::ReplicaConfig;
use bezant_node::replica::{Act, Hearing, Interference};
use bezant_pbft::message::Reply;
use bezant_pbft::packet::{Message, Packet};
use bezant_sim::adversary::{self, Adversary, Corrupted, Deed, TICK_MS};
use bezant_sim::dice::Dice;
use bezant_types::{Committee, Moment, ReplicaId, Request};

use self::equivocator::Equivocator;

/// A way to lie, by the name that people type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of the simulator's.
    One(adversary::Kind),
    /// See [`Equivocator`].
    Equivocate,
}

impl FromStr for Kind {
    type Err = adversary::UnknownKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == EQUIVOCATE { Ok(Self::Equivocate) } else { name.parse().map(Self::One) }
    }
}

impl Kind {
    /// What people type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One(kind) => kind.name,
            Self::Equivocate => EQUIVOCATE,
        }
    }

    /// What it does.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::One(kind) => kind.description,
            Self::Equivocate => "proposes different batches to each as primary, and votes for different ones as backup",
        }
    }

    /// A traitor in the place of this replica. The same seed makes the same choices, as far as the same happens.
    pub(crate) fn in_place_of(self, replica: &ReplicaConfig, seed: u64) -> Box<dyn Interference> {
        let ReplicaConfig { id, key, genesis, .. } = replica;
        let mut dice = Dice::stream(seed, u64::from(id.get()));
        let adversary: Box<dyn Adversary> = match self {
            Self::One(kind) => kind.build(&mut dice),
            Self::Equivocate => Box::new(Equivocator::new()),
        };
        let mind = Corrupted::new(*id, vec![(*id, key.clone())], genesis.clone(), dice);
        Box::new(Traitor { mind, adversary, began: Instant::now() })
    }
}

/// `2=silent`: which replica lies, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appointment {
    pub(crate) replica: u16,
    pub(crate) kind: Kind,
}

/// What is no [`Appointment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAppointment(String);

impl std::error::Error for NoAppointment {}

impl std::fmt::Display for NoAppointment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Appointment {
    type Err = NoAppointment;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no_pair = || NoAppointment("give a replica and how it lies, as in 2=equivocate".to_owned());
        let (replica, kind) = text.split_once('=').ok_or_else(no_pair)?;
        let replica = replica.parse().map_err(|_| no_pair())?;
        let kind = kind.parse().map_err(|error: adversary::UnknownKind| NoAppointment(error.to_string()))?;
        Ok(Self { replica, kind })
    }
}

impl std::fmt::Display for Appointment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.replica, self.kind.name())
    }
}

/// Refuses what cannot be: a traitor that is no replica, or two in one place.
pub(crate) fn admit(traitors: &[Appointment], committee: Committee) -> anyhow::Result<()> {
    for (index, one) in traitors.iter().enumerate() {
        let Appointment { replica, .. } = one;
        if usize::from(*replica) >= committee.size() {
            anyhow::bail!(
                "--traitor {one}: there is no replica {replica} among {}, which are 0 to {}. Choose one of these",
                committee.size(),
                committee.size() - 1
            );
        }
        if let Some(other) = traitors.iter().take(index).find(|other| other.replica == *replica) {
            anyhow::bail!(
                "--traitor {other} and --traitor {one}: a replica lies in one way at a time. Choose one of them"
            );
        }
    }
    Ok(())
}

/// What a person should know who has appointed traitors.
pub(crate) fn warnings(traitors: &[Appointment], committee: Committee) -> Vec<String> {
    let mut warnings: Vec<String> = traitors
        .iter()
        .map(|one| format!("replica {} is a traitor ({}): {}", one.replica, one.kind.name(), one.kind.description()))
        .collect();
    if traitors.len() > 1 {
        warnings.push("each traitor has its own key only: they share a purpose, and no secret".to_owned());
    }
    if traitors.len() > committee.max_faulty() {
        warnings.push(format!(
            "warning: {} traitors among {} replicas are more than {}, which is what such a group bears. It may stand still, \
             and its replicas may come to differ. Afterwards throw this network away",
            traitors.len(),
            committee.size(),
            committee.max_faulty()
        ));
    }
    warnings
}

/// A corrupted replica's mind, between a real replica and the world.
struct Traitor {
    mind: Corrupted,
    adversary: Box<dyn Adversary>,
    began: Instant,
}

impl Traitor {
    /// Whoever lies knows the time. It begins with the process, and goes on when the replica forgets.
    fn mind_the_time(&mut self) {
        let elapsed = self.began.elapsed().as_millis();
        self.mind.now = Moment::new(u64::try_from(elapsed).unwrap_or(u64::MAX));
    }
}

impl Interference for Traitor {
    fn on_saying(&mut self, to: ReplicaId, message: &Message) -> Vec<Packet> {
        self.mind_the_time();
        self.adversary.on_saying(&mut self.mind, to, message)
    }

    fn on_hearing(&mut self, from: ReplicaId, message: &Message) -> Hearing {
        self.mind_the_time();
        heard(self.adversary.on_hearing(&mut self.mind, from, message))
    }

    fn on_request(&mut self, request: &Request) -> Hearing {
        self.mind_the_time();
        heard(self.adversary.on_request(&mut self.mind, request))
    }

    fn on_answering(&mut self, reply: Reply) -> Vec<Reply> {
        self.mind_the_time();
        self.adversary.on_answering(&mut self.mind, reply)
    }

    fn on_serving(&mut self, to: ReplicaId, piece: Piece) -> Vec<Piece> {
        self.mind_the_time();
        self.adversary.on_serving(&mut self.mind, to, piece)
    }

    fn on_tick(&mut self) {
        self.mind_the_time();
        self.adversary.on_tick(&mut self.mind);
    }

    fn tick_every(&self) -> Duration {
        Duration::from_millis(TICK_MS)
    }

    fn take_acts(&mut self) -> Vec<Act> {
        let me = self.mind.id();
        let act = |deed| match deed {
            // In the name of another it has no channel to speak on.
            Deed::Tell { from, .. } if from != me => None,
            Deed::Tell { to, packet, after_ms, .. } => {
                Some(Act::Tell { to, packet, after: Duration::from_millis(after_ms) })
            }
            Deed::Ask { to, request } => Some(Act::Ask { to, request }),
            Deed::Forget => Some(Act::Forget),
        };
        self.mind.take_deeds().into_iter().filter_map(act).collect()
    }
}

fn heard(hearing: adversary::Hearing) -> Hearing {
    match hearing {
        adversary::Hearing::Passes => Hearing::Passes,
        adversary::Hearing::Dropped => Hearing::Dropped,
    }
}

const EQUIVOCATE: &str = "equivocate";

/// From where traitors draw unless they are told. With this one replica 0, as primary of view 0, tells everybody both
/// of its stories and is caught at once; with others it may split the group for long before two of its statements meet.
pub(crate) const USUAL_SEED: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn appoint(texts: &[&str]) -> Vec<Appointment> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_adversary_can_be_appointed_and_one_that_equivocates_in_any_place() {
        for kind in adversary::all() {
            let one: Appointment = format!("3={}", kind.name).parse().unwrap();
            assert_eq!((one.replica, one.kind), (3, Kind::One(*kind)));
            assert_eq!(one.to_string(), format!("3={}", kind.name));
        }
        assert_eq!(appoint(&["2=equivocate"])[0].to_string(), "2=equivocate");
        for text in ["silent", "=silent", "x=silent", "70000=silent"] {
            let words = text.parse::<Appointment>().unwrap_err().to_string();
            assert!(words.contains("as in 2=equivocate"), "{text}: {words}");
        }
        let words = "2=polite".parse::<Appointment>().unwrap_err().to_string();
        assert!(words.contains("no adversary \"polite\": choose one of silent"), "{words}");
    }

    #[test]
    fn traitors_are_distinct_members_and_too_many_are_warned_of() {
        let committee = Committee::new(4).unwrap();
        let refused = |texts: &[&str]| admit(&appoint(texts), committee).unwrap_err().to_string();
        assert!(refused(&["4=silent"]).contains("no replica 4 among 4, which are 0 to 3"));
        assert!(refused(&["2=silent", "2=slow"]).contains("one way at a time"));
        let all = appoint(&["0=silent", "1=silent", "2=silent", "3=silent"]);
        assert!(admit(&all, committee).is_ok(), "whoever wants to see that");
        let warned = |count: usize| warnings(&all[..count], committee).join("\n");
        assert!(warned(1).contains("replica 0 is a traitor (silent): hears everything"));
        assert!(!warned(1).contains("warning") && !warned(1).contains("secret"));
        assert!(warned(2).contains("2 traitors among 4 replicas are more than 1") && warned(2).contains("secret"));
    }
}
