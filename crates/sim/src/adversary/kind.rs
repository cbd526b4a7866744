//! The list of adversaries, as people choose from it.

use std::fmt;
use std::str::FromStr;

use super::{
    Adversary, Amnesia, ByzzFuzz, Censoring, EquivocatingNewView, EquivocatingPrimary, EquivocatingVoter, FetchFlood,
    ForgedCertificates, Junk, LyingAnswers, LyingCheckpoints, PoisonedTransfer, Replaying, Silent, Slow,
    StaleCertificates, ViewChangeStorm, WatermarkExhaustion,
};
use crate::dice::Dice;

/// A kind of adversary.
#[derive(Clone, Copy)]
pub struct Kind {
    /// What people type.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// Which hazards it plays, by the numbers that the tests of the engine cite, too.
    pub hazards: &'static [u8],
    build: fn(&mut Dice) -> Box<dyn Adversary>,
}

impl Kind {
    /// One of this kind, with the usual parameters. What is left to chance in them is drawn from `dice`.
    pub fn build(&self, dice: &mut Dice) -> Box<dyn Adversary> {
        (self.build)(dice)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({})", self.name)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

/// There is no adversary of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no adversary {name:?}: choose one of {}", names().join(", "))]
pub struct UnknownKind {
    /// What was asked for.
    pub name: String,
}

/// What people may type.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|kind| kind.name).collect()
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = ALL.iter().find(|kind| kind.name == name);
        found.copied().ok_or_else(|| UnknownKind { name: name.to_owned() })
    }
}

/// All kinds of adversaries.
pub fn all() -> &'static [Kind] {
    &ALL
}

/// How many rounds of a ByzzFuzz plan are looked at, and how many of them have a process fault.
const BYZZFUZZ: (u64, usize) = (24, 4);

static ALL: [Kind; 19] = [
    Kind {
        name: "silent",
        description: "hears everything and says nothing",
        hazards: &[2, 5, 47, 53],
        build: |_| Box::new(Silent::to_everybody()),
    },
    Kind {
        name: "silent-to-some",
        description: "takes part, but never says anything to one half of the others",
        hazards: &[5, 52, 53],
        build: |_| Box::new(Silent::to_half()),
    },
    Kind {
        name: "slow",
        description: "as primary holds each proposal back for nine tenths of the request timeout",
        hazards: &[44, 45],
        build: |_| Box::new(Slow::new(900)),
    },
    Kind {
        name: "equivocating-primary",
        description: "as primary proposes one batch to some and another to the others, and votes for both with every \
                      key that it holds",
        hazards: &[1, 3, 10, 48],
        build: |_| Box::new(EquivocatingPrimary::new()),
    },
    Kind {
        name: "equivocating-new-view",
        description: "as primary of a new view opens it twice, on different quorums of view changes, leaving out what \
                      suits it",
        hazards: &[30, 32, 33, 38],
        build: |_| Box::new(EquivocatingNewView::new()),
    },
    Kind {
        name: "equivocating-voter",
        description: "prepares and commits several digests for one slot, too early, and whatever each one wants to hear",
        hazards: &[2, 3, 4, 5, 24],
        build: |_| Box::new(EquivocatingVoter::new()),
    },
    Kind {
        name: "censoring",
        description: "as primary leaves out the requests of one client and serves all others",
        hazards: &[46, 47, 74],
        build: |_| Box::new(Censoring::of_first_client()),
    },
    Kind {
        name: "amnesia",
        description: "forgets its log right after voting, comes back as if it had never spoken, and votes otherwise",
        hazards: &[29, 54, 55, 57],
        build: |_| Box::new(Amnesia::new(100)),
    },
    Kind {
        name: "replaying",
        description: "repeats to everybody, out of season, what it has heard from others and said itself",
        hazards: &[7, 18, 33, 72, 91],
        build: |_| Box::new(Replaying::new(8)),
    },
    Kind {
        name: "junk",
        description: "says every kind of message with small mistakes: flipped bits, odd numbers, swapped fields, lists \
                      empty and far too long",
        hazards: &[6, 7, 8, 9, 11, 13, 16, 27, 36, 83, 93],
        build: |_| Box::new(Junk::new(250)),
    },
    Kind {
        name: "forged-certificates",
        description: "its view changes, new views and proofs rest on forged certificates, with higher views to hide the \
                      valid ones, and prescribe what does not follow",
        hazards: &[29, 30, 31, 33, 34, 35, 36, 37, 65],
        build: |_| Box::new(ForgedCertificates::new()),
    },
    Kind {
        name: "stale-certificates",
        description: "its view changes and new views rest on certificates that are genuine and out of date, and leave \
                      out the newer ones",
        hazards: &[29, 30, 32, 33, 38],
        build: |_| Box::new(StaleCertificates::new()),
    },
    Kind {
        name: "lying-checkpoints",
        description: "vouches for states that never were, near and at 2^60, differently to each, and lies about where \
                      it stands",
        hazards: &[19, 20, 22, 37, 66],
        build: |_| Box::new(LyingCheckpoints::new()),
    },
    Kind {
        name: "lying-answers",
        description: "tells clients that their requests came to something else, and says so several times",
        hazards: &[77, 78, 88],
        build: |_| Box::new(LyingAnswers::new()),
    },
    Kind {
        name: "poisoned-transfer",
        description: "serves pieces of state with wrong contents or of other places, ever different headers, and \
                      nothing at all",
        hazards: &[64, 66, 67, 68],
        build: |_| Box::new(PoisonedTransfer::new()),
    },
    Kind {
        name: "view-change-storm",
        description: "asks for the next view, the one after it and every one up to a million beyond, all the time",
        hazards: &[23, 42, 43, 80],
        build: |_| Box::new(ViewChangeStorm::new(8)),
    },
    Kind {
        name: "watermark-exhaustion",
        description: "as primary proposes at the high water mark and leaves gaps below",
        hazards: &[15, 16, 17, 31],
        build: |_| Box::new(WatermarkExhaustion::new()),
    },
    Kind {
        name: "fetch-flood",
        description: "asks for bodies, pieces of state and help all the time, so that the others work for it",
        hazards: &[66, 70, 82, 93],
        build: |_| Box::new(FetchFlood::new(400)),
    },
    Kind {
        name: "byzzfuzz",
        description: "changes what it says in a few protocol rounds to a few receivers by very little: a view or a \
                      sequence number by one, a digest for another",
        hazards: &[1, 3, 8, 16, 29, 36],
        build: |dice| Box::new(ByzzFuzz::drawn(dice, BYZZFUZZ.0, BYZZFUZZ.1)),
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_those_that_there_are() {
        let error = "polite".parse::<Kind>().unwrap_err().to_string();
        assert!(error.starts_with("there is no adversary \"polite\": choose one of silent, "), "{error}");
        assert!(all().iter().all(|kind| error.contains(kind.name)));
    }

    #[test]
    fn each_is_found_by_its_name_and_says_what_it_does() {
        let names: BTreeSet<_> = all().iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), all().len());
        for kind in all() {
            assert_eq!(kind.name.parse(), Ok(*kind));
            assert!(kind.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", kind.name);
            assert!(!kind.description.is_empty() && !kind.description.ends_with('.'));
            assert!(kind.hazards.iter().all(|hazard| (1..=94).contains(hazard)) && !kind.hazards.is_empty());
        }
    }
}
