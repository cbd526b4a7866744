use std::time::Duration;

use bezant_types::{Digest, ReplicaId};

use super::judge::{Facts, judge};
use super::*;

const LIMITS: Limits = Limits { states: 20_000_000, depth: usize::MAX, time: Duration::from_secs(600) };

/// The numbers are the protocol's: whoever changes what a replica remembers or says changes them, and should know why.
#[test]
fn one_slot_in_one_view_with_a_lying_backup_has_exactly_these_states_and_none_is_bad() {
    let report = breadth_first(Bounds::smallest(Some(3)), LIMITS).unwrap();
    assert_eq!(report.crime, None);
    assert!(report.exhausted);
    let found = (report.states, report.transitions, report.depth, report.local_states, report.messages);
    // One of the messages is the proposal that the liar is shown when it prepares something else.
    assert_eq!(found, (1_031_169, 6_161_674, 18, 575, 11));
}

#[test]
fn the_nearest_states_of_a_lying_primary_and_two_views_are_good() {
    let limits = Limits { states: 300_000, ..LIMITS };
    let bounds = Bounds { views: 2, ..Bounds::smallest(Some(0)) };
    let report = breadth_first(bounds, limits).unwrap();
    assert_eq!(report.crime, None);
    assert!(!report.exhausted && report.depth > 4, "{report:?}");
}

#[test]
fn whoever_crashes_and_comes_back_says_nothing_else() {
    let bounds = Bounds { crashes: 1, ..Bounds::smallest(Some(0)) };
    let report = breadth_first(bounds, Limits { states: 200_000, ..LIMITS }).unwrap();
    assert_eq!(report.crime, None);
    let bounds = Bounds { crashes: 1, slots: 2, views: 2, traitor: None, checkpoint_interval: Some(1) };
    let report = delay_bounded(bounds, 1, LIMITS).unwrap();
    assert_eq!((&report.crime, report.exhausted), (&None, true));
    assert!(report.complete > 0, "{report:?}");
}

#[test]
fn delays_reach_what_lies_behind_a_view_change() {
    let bounds = Bounds { views: 3, ..Bounds::smallest(Some(0)) };
    let report = delay_bounded(bounds, 0, LIMITS).unwrap();
    assert_eq!((&report.crime, report.exhausted), (&None, true));
    assert_eq!((report.ploys, report.courses), (108, 108));
    assert!(report.with_new_view > 50 && report.complete > 50, "{report:?}");
    let report = delay_bounded(Bounds::smallest(Some(1)), 1, LIMITS).unwrap();
    assert_eq!((&report.crime, report.exhausted), (&None, true));
    assert!(report.courses > 500, "{report:?}");
}

#[test]
fn there_is_no_fifth_member() {
    assert!(breadth_first(Bounds::smallest(Some(4)), LIMITS).is_err());
}

fn facts(delivered: &[u8], commits: &[(u64, u64, u8)]) -> Facts {
    let digest = |one: u8| Digest::new([one; 32]);
    Facts {
        delivered: delivered.iter().copied().map(digest).collect(),
        commits: commits.iter().map(|(view, slot, what)| (*view, *slot, digest(*what))).collect(),
    }
}

fn verdict(of: &[Facts]) -> Result<(), String> {
    let honest: Vec<_> = of.iter().enumerate().map(|(at, facts)| (ReplicaId::new(at as u16), facts)).collect();
    judge(&honest, 3, 1)
}

#[test]
fn the_judge_wants_agreement_and_what_committed_to_survive() {
    let nothing = || facts(&[], &[]);
    assert_eq!(verdict(&[facts(&[1, 2], &[]), facts(&[1], &[]), nothing()]), Ok(()));
    assert!(verdict(&[facts(&[1, 2], &[]), facts(&[1, 3], &[]), nothing()]).is_err(), "two batches at 2");
    assert!(verdict(&[facts(&[], &[(0, 1, 1)]), facts(&[], &[(0, 1, 2)]), nothing()]).is_err(), "two in one view");
    let alone = [facts(&[], &[(0, 1, 1)]), facts(&[], &[(1, 1, 2)]), nothing()];
    assert_eq!(verdict(&alone), Ok(()), "one commit and the traitor's are no quorum");
    let quorum = [facts(&[], &[(0, 1, 1)]), facts(&[], &[(0, 1, 1), (1, 1, 2)]), nothing()];
    assert!(verdict(&quorum).is_err(), "a quorum committed to the first");
}
