//! What a new view stands on and begins with, rules V-1 to V-4: every way in which one can be wrong.

use bezant_pbft::certificate::PreparedProof;
use bezant_pbft::ignored::Ignored;
use bezant_pbft::message::{Batch, NewView, Standing, ViewChange};
use bezant_pbft::packet::Packet;
use bezant_types::genesis::Parameters;
use bezant_types::{Digest, Signed, Timestamp, View};

use crate::network::{EPOCH, Members, at, id, small};
use crate::oracle::Kind;
use crate::world::World;

/// A batch that nobody needs to hold.
fn batch(name: &str) -> Batch {
    Batch::Requests { timestamp: Timestamp::new(EPOCH), requests: vec![Digest::of("test", name)] }
}

fn null() -> Digest {
    Batch::Null.digest()
}

/// Replica 2, which has left view 0 with the puppets 0, 1 and 3 and waits for replica 1 to open view 1.
fn waiting() -> (World, Members) {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    for peer in [0, 3] {
        w.tell(2, &Packet::ViewChange(m.view_change(peer, 1, None, vec![])));
    }
    assert_eq!((w.view(2), w.standing(2)), (1, Standing::ViewChanging));
    (w, m)
}

/// Replica 2 hears a new view of these view changes with these proposals.
fn hear(view_changes: Vec<Signed<ViewChange>>, proposals: Vec<Digest>) -> (World, Option<Ignored>) {
    let (mut w, m) = waiting();
    let reason = w.told(2, &m.new_view(1, view_changes, proposals));
    (w, reason)
}

/// It was refused for this reason, and the next view is asked for at once (hazard 33).
fn refuses(view_changes: Vec<Signed<ViewChange>>, proposals: Vec<Digest>, what: &str) -> Ignored {
    let (w, reason) = hear(view_changes, proposals);
    assert!(w.word(2, Kind::ViewChange, 2, 0).is_some(), "the next view is asked for: {what}");
    reason.unwrap_or_else(|| panic!("accepted {what}"))
}

/// A view change of `by` for view 1 with one sound proof.
fn carrying(m: &Members, by: u16, proofs: Vec<PreparedProof>) -> Signed<ViewChange> {
    m.view_change(by, 1, None, proofs)
}

/// Rule V-2.
#[test]
fn a_sound_new_view_is_entered() {
    let (_, m) = waiting();
    let (w, reason) = hear(m.empty_view_changes(1, &[0, 1, 3]), vec![]);
    assert_eq!(reason, None);
    assert_eq!((w.view(2), w.standing(2)), (1, Standing::Normal));
    let proof = m.prepared(0, 2, batch("b").digest(), &[1, 3]);
    let changes =
        vec![carrying(&m, 0, vec![proof]), m.view_change(1, 1, None, vec![]), m.view_change(3, 1, None, vec![])];
    let (w, reason) = hear(changes, vec![null(), batch("b").digest()]);
    assert_eq!((reason, w.standing(2)), (None, Standing::Normal));
}

/// Rule V-3, hazard 33, and the mutant that does not check the view changes of a new view: each variant by itself.
#[test]
fn a_new_view_stands_on_a_quorum_of_distinct_view_changes_for_its_view() {
    let (_, m) = waiting();
    let of = |view, signers: &[u16]| m.empty_view_changes(view, signers);
    assert_eq!(refuses(of(1, &[0, 3]), vec![], "too few"), Ignored::NotAQuorum);
    assert_eq!(refuses(of(1, &[0, 1, 2, 3]), vec![], "too many"), Ignored::NotAQuorum);
    assert_eq!(refuses(vec![], vec![], "none"), Ignored::NotAQuorum);
    assert_eq!(refuses(of(1, &[0, 0, 3]), vec![], "one twice"), Ignored::NotAQuorum);
    assert_eq!(refuses(of(1, &[1, 1, 1]), vec![], "the primary thrice"), Ignored::NotAQuorum);
    assert_eq!(refuses(of(1, &[3, 1, 0]), vec![], "out of order"), Ignored::NotAQuorum);
    assert_eq!(refuses(of(2, &[0, 1, 3]), vec![], "for another view"), Ignored::NotAQuorum);
    let mixed = [of(1, &[0, 1]), of(5, &[3])].concat();
    assert_eq!(refuses(mixed, vec![], "one for another view"), Ignored::NotAQuorum);
    let mut forged = of(1, &[0, 1, 3]);
    forged[2].signature = forged[1].signature;
    assert!(matches!(refuses(forged, vec![], "one forged"), Ignored::BadCertificate(_)));
    let mut foreign = of(1, &[0, 1, 3]);
    foreign[2].signer = id(7);
    assert!(matches!(refuses(foreign, vec![], "one of a stranger"), Ignored::BadCertificate(_)));
}

/// Rule V-2: only the view's primary opens it. Nobody else's attempt costs the view anything.
#[test]
fn a_new_view_of_anybody_but_its_primary_is_ignored() {
    let (mut w, m) = waiting();
    let message = NewView { view: View::new(1), view_changes: m.empty_view_changes(1, &[0, 1, 3]), proposals: vec![] };
    assert_eq!(w.told(2, &Packet::NewView(m.sign(3, message))), Some(Ignored::NotThePrimary));
    assert_eq!(w.word(2, Kind::ViewChange, 2, 0), None);
    assert_eq!(w.told(2, &m.new_view(1, m.empty_view_changes(1, &[0, 1, 3]), vec![])), None);
}

/// Rule V-3 and hazard 34: O is recomputed, and one difference is too many.
#[test]
fn a_new_view_with_other_proposals_than_follow_is_refused() {
    let (_, m) = waiting();
    let (b, d) = (batch("b").digest(), batch("d").digest());
    let proofs = vec![m.prepared(0, 2, b, &[1, 3]), m.prepared(0, 3, d, &[1, 3])];
    let changes =
        || vec![carrying(&m, 0, proofs.clone()), m.view_change(1, 1, None, vec![]), m.view_change(3, 1, None, vec![])];
    let sound = vec![null(), b, d];
    assert_eq!(hear(changes(), sound.clone()).1, None);
    let wrong = [
        (vec![null(), b], "the last is missing"),
        (vec![b, d], "the gap is missing"),
        (vec![null(), b, d, null()], "one too many"),
        (vec![null(), d, b], "two in the wrong order"),
        (vec![null(), b, batch("x").digest()], "another digest"),
        (vec![batch("x").digest(), b, d], "the gap filled with a batch"),
        (vec![null(); 3], "null for everything: the first mutant"),
        (vec![], "nothing at all"),
    ];
    for (proposals, what) in wrong {
        assert_eq!(refuses(changes(), proposals, what), Ignored::WrongProposals, "{what}");
    }
}

/// Rule V-2 and hazard 30: of two proofs for one slot the one with the higher view counts, whoever brings it and
/// whichever comes first. Kills the mutant that takes the first.
#[test]
fn the_proof_with_the_highest_view_counts_in_whatever_order_the_proofs_come() {
    let (old, new) = (batch("old").digest(), batch("new").digest());
    for newer_first in [false, true] {
        let mut w = World::among_puppets(3);
        let m = w.members.clone();
        let early = m.prepared(0, 1, old, &[1, 2]);
        let late = m.prepared(1, 1, new, &[0, 3]);
        let (first, second) = if newer_first { (late, early) } else { (early, late) };
        let changes = vec![
            m.view_change(0, 2, None, vec![first]),
            m.view_change(1, 2, None, vec![second]),
            m.view_change(2, 2, None, vec![]),
        ];
        assert_eq!(w.told(3, &m.new_view(2, changes.clone(), vec![old])), Some(Ignored::WrongProposals));
        assert_eq!(w.told(3, &m.new_view(2, changes, vec![new])), None);
        assert_eq!(w.view(3), 2);
    }
}

/// The same, of the primary that computes it.
#[test]
fn a_new_primary_proposes_what_has_the_highest_view() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let (old, new) = (batch("old").digest(), batch("new").digest());
    w.tell(2, &Packet::ViewChange(m.view_change(0, 2, None, vec![m.prepared(1, 1, new, &[0, 3])])));
    w.tell(2, &Packet::ViewChange(m.view_change(3, 2, None, vec![m.prepared(0, 1, old, &[1, 2])])));
    w.run(5);
    assert_eq!(w.word(2, Kind::PrePrepare, 2, 1), Some(new));
}

/// Rules V-1 and V-2, hazards 35 to 37: a view change with one thing in it that does not hold is refused whole, and so
/// is a new view that contains it.
#[test]
fn a_view_change_holds_together_or_not_at_all() {
    let (_, m) = waiting();
    let d = batch("b").digest();
    let sound = || m.prepared(0, 2, d, &[1, 3]);
    let root = Digest::of("test", "root");
    let stable = |sequence, signers: &[u16]| Some(m.stable(sequence, root, signers));
    let proof = |change: &dyn Fn(&mut PreparedProof)| {
        let mut proof = sound();
        change(&mut proof);
        vec![proof]
    };
    let bad: Vec<(&str, Signed<ViewChange>)> = vec![
        ("prepared in the view that it asks for", carrying(&m, 0, vec![m.prepared(1, 2, d, &[0, 3])])),
        (
            "prepared in a later view: a higher view without substance",
            carrying(&m, 0, vec![m.prepared(5, 2, d, &[0, 3])]),
        ),
        ("one slot twice", carrying(&m, 0, vec![sound(), sound()])),
        ("out of order", carrying(&m, 0, vec![m.prepared(0, 3, d, &[1, 3]), sound()])),
        ("above the window", carrying(&m, 0, vec![m.prepared(0, 13, d, &[1, 3])])),
        ("at slot zero", carrying(&m, 0, vec![m.prepared(0, 0, d, &[1, 3])])),
        ("too few prepares", carrying(&m, 0, vec![m.prepared(0, 2, d, &[1])])),
        ("no prepares", carrying(&m, 0, vec![m.prepared(0, 2, d, &[])])),
        ("too many prepares", carrying(&m, 0, vec![m.prepared(0, 2, d, &[1, 2, 3])])),
        ("one prepare twice", carrying(&m, 0, vec![m.prepared(0, 2, d, &[3, 3])])),
        ("prepares out of order", carrying(&m, 0, vec![m.prepared(0, 2, d, &[3, 1])])),
        ("the primary's prepare", carrying(&m, 0, vec![m.prepared(0, 2, d, &[0, 1])])),
        ("another digest", carrying(&m, 0, proof(&|p| p.digest = batch("x").digest()))),
        ("another slot", carrying(&m, 0, proof(&|p| p.sequence = at(3)))),
        ("no pre-prepare", carrying(&m, 0, proof(&|p| p.pre_prepare = p.prepares[0].1))),
        ("a stranger's prepare", carrying(&m, 0, proof(&|p| p.prepares[1].0 = id(9)))),
        ("a good proof and a bad one", carrying(&m, 0, vec![sound(), m.prepared(0, 3, d, &[1])])),
        ("a checkpoint of two", m.view_change(0, 1, stable(4, &[0, 3]), vec![])),
        ("a checkpoint of one thrice", m.view_change(0, 1, stable(4, &[0, 0, 0]), vec![])),
        ("a checkpoint of nobody", m.view_change(0, 1, stable(4, &[]), vec![])),
        ("a proof at its checkpoint", m.view_change(0, 1, stable(4, &[0, 1, 3]), vec![m.prepared(0, 4, d, &[1, 3])])),
        ("a proof above its window", m.view_change(0, 1, stable(4, &[0, 1, 3]), vec![m.prepared(0, 17, d, &[1, 3])])),
        ("a checkpoint at the end of all numbers", m.view_change(0, 1, stable(u64::MAX, &[0]), vec![sound()])),
    ];
    for (what, change) in bad {
        let mut w = World::among_puppets(2);
        let reason = w.told(2, &Packet::ViewChange(change.clone()));
        let named = matches!(reason, Some(Ignored::BadPreparedSet | Ignored::BadCertificate(_)));
        assert!(named, "{what}: {reason:?}");
        w.tell(2, &Packet::ViewChange(m.view_change(3, 1, None, vec![])));
        assert_eq!(w.view(2), 0, "{what}: it does not count towards a weak quorum");
        let changes = vec![change, m.view_change(1, 1, None, vec![]), m.view_change(3, 1, None, vec![])];
        refuses(changes, vec![], what);
    }
    for good in [
        carrying(&m, 0, vec![sound()]),
        m.view_change(0, 1, stable(4, &[0, 1, 3]), vec![m.prepared(0, 16, d, &[1, 3])]),
        m.view_change(0, 1, stable(u64::MAX, &[0, 1, 3]), vec![]),
    ] {
        let mut w = World::among_puppets(2);
        assert_eq!(w.told(2, &Packet::ViewChange(good)), None);
    }
}

/// Hazard 35: a bogus proof with a higher view neither wins nor hides the valid one.
#[test]
fn a_bogus_proof_does_not_hide_a_valid_one() {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    let (good, bogus) = (batch("good").digest(), batch("bogus").digest());
    let forged = PreparedProof { view: View::new(0), ..m.prepared(4, 1, bogus, &[1, 2]) };
    let liar = m.view_change(2, 1, None, vec![forged]);
    assert!(matches!(w.told(1, &Packet::ViewChange(liar)), Some(Ignored::BadCertificate(_))));
    w.tell(1, &Packet::ViewChange(m.view_change(0, 1, None, vec![m.prepared(0, 1, good, &[1, 3])])));
    w.tell(1, &Packet::ViewChange(m.view_change(3, 1, None, vec![])));
    w.run(5);
    assert_eq!(w.word(1, Kind::PrePrepare, 1, 1), Some(good));
}

/// Rule V-2, hazards 31, 32 and 38: members with three different checkpoints. What lies at or below the highest proven
/// one is settled; what lies between it and the last proof is null where nothing prepared.
#[test]
fn a_new_view_begins_at_the_highest_proven_checkpoint() {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    let d = |sequence: u64| batch(&format!("{sequence}")).digest();
    let root = Digest::of("test", "root");
    let proofs = |range: std::ops::RangeInclusive<u64>| range.map(|n| m.prepared(0, n, d(n), &[1, 2])).collect();
    let eight = Some(m.stable(8, root, &[0, 2, 3]));
    w.tell(1, &Packet::ViewChange(m.view_change(0, 1, eight, vec![m.prepared(0, 11, d(11), &[1, 2])])));
    w.tell(1, &Packet::ViewChange(m.view_change(3, 1, Some(m.stable(4, root, &[0, 2, 3])), proofs(5..=9))));
    w.run(5);
    let proposed = |sequence| w.word(1, Kind::PrePrepare, 1, sequence);
    let proposals: Vec<_> = (1..=12).map(proposed).collect();
    let expected = [vec![None; 8], vec![Some(d(9)), Some(null()), Some(d(11)), None]].concat();
    assert_eq!(proposals, expected);
    assert!(w.word(1, Kind::NewView, 1, 0).is_some());
}

/// Rule V-4: what the new view prescribes is accepted, and nothing else in those slots, from its primary.
#[test]
fn the_primary_of_a_new_view_is_held_to_what_it_prescribes() {
    let setup = || {
        let (mut w, m) = waiting();
        let b = batch("b");
        let changes = vec![
            carrying(&m, 0, vec![m.prepared(0, 2, b.digest(), &[1, 3])]),
            m.view_change(1, 1, None, vec![]),
            m.view_change(3, 1, None, vec![]),
        ];
        assert_eq!(w.told(2, &m.new_view(1, changes, vec![null(), b.digest()])), None);
        (w, m, b)
    };
    let (mut w, m, b) = setup();
    assert_eq!(w.told(2, &m.pre_prepare(1, 2, &batch("x"))), Some(Ignored::NotInPlan));
    assert!(w.word(2, Kind::ViewChange, 2, 0).is_some());
    let (mut w, m, _) = setup();
    assert_eq!(w.told(2, &m.pre_prepare(1, 1, &b)), Some(Ignored::NotInPlan), "a batch where null is prescribed");
    let (mut w, m, b) = setup();
    assert_eq!(w.told(2, &m.pre_prepare_by(1, 1, 1, null(), None)), None);
    assert_eq!(w.prepared(2, 1, 1), Some(null()), "null needs no body");
    assert_eq!(w.told(2, &m.pre_prepare_by(1, 1, 2, b.digest(), None)), None);
    assert_eq!(w.told(2, &m.pre_prepare(0, 3, &b)), Some(Ignored::OldView), "the old view is over");
    assert_eq!(w.told(2, &m.prepare(3, 0, 3, b.digest())), Some(Ignored::OldView));
    assert_eq!(w.told(2, &m.commit(3, 0, 3, b.digest())), None, "a commit is proof in any view");
}

/// Rule V-6: whoever had gone further when a view began has gone further still.
#[test]
fn view_changes_for_later_views_outlive_the_beginning_of_one() {
    let (mut w, m) = waiting();
    w.tell(2, &Packet::ViewChange(m.view_change(3, 5, None, vec![])));
    assert_eq!(w.told(2, &m.new_view(1, m.empty_view_changes(1, &[0, 1, 3]), vec![])), None);
    assert_eq!((w.view(2), w.standing(2)), (1, Standing::Normal));
    w.tell(2, &Packet::ViewChange(m.view_change(0, 7, None, vec![])));
    assert_eq!(w.view(2), 5);
}

/// Rule V-4: what lies at or below a replica's own checkpoint is settled there, whatever others prescribe.
#[test]
fn bodies_below_the_water_mark_are_not_asked_for() {
    for (checkpoint, asks) in [(4, false), (3, true)] {
        let mut w = World::puppets(4, &[2], Parameters { checkpoint_interval: checkpoint, ..small() });
        let m = w.members.clone();
        for sequence in 1..=checkpoint {
            let bundle = m.bundle(0, sequence, "x");
            w.give(2, &bundle);
            w.tell(2, &m.decided(0, sequence, &m.batch(w.now, &[bundle]), &[0, 1, 3]));
        }
        let root = w.node(2).ledger.root;
        [0, 1, 3].into_iter().for_each(|peer| w.transmit(peer, 2, &m.checkpoint(peer, checkpoint, root)));
        w.run(5);
        assert_eq!(w.stable(2), checkpoint);
        for peer in [0, 3] {
            w.tell(2, &Packet::ViewChange(m.view_change(peer, 1, None, vec![])));
        }
        let prescribed: Vec<Digest> = (1..=4).map(|n: u64| batch(&n.to_string()).digest()).collect();
        let proofs = (1..).zip(&prescribed).map(|(n, digest)| m.prepared(0, n, *digest, &[1, 3])).collect();
        let changes =
            vec![carrying(&m, 0, proofs), m.view_change(1, 1, None, vec![]), m.view_change(3, 1, None, vec![])];
        w.sent = Some(vec![]);
        assert_eq!(w.told(2, &m.new_view(1, changes, prescribed)), None);
        w.run(30);
        let asked = w.sent.iter().flatten().any(|(from, _, packet)| *from == 2 && matches!(packet, Packet::Fetch(_)));
        assert_eq!(asked, asks, "of a checkpoint at {checkpoint}");
    }
}

/// Rules P-8 and V-4: what the new view prescribes is owed although no client asks for it.
#[test]
fn a_new_primary_that_does_not_go_on_with_what_prepared_is_left() {
    for prescribes in [true, false] {
        let (mut w, m) = waiting();
        let (proofs, proposals) = if prescribes {
            (vec![m.prepared(0, 1, batch("b").digest(), &[1, 3])], vec![batch("b").digest()])
        } else {
            (vec![], vec![])
        };
        let changes =
            vec![carrying(&m, 0, proofs), m.view_change(1, 1, None, vec![]), m.view_change(3, 1, None, vec![])];
        assert_eq!(w.told(2, &m.new_view(1, changes, proposals)), None);
        w.run(1_700);
        assert_eq!(w.word(2, Kind::ViewChange, 2, 0).is_some(), prescribes);
    }
}

/// A primary that opens its view twice, differently, convicts itself; the same message again is only a repetition.
#[test]
fn two_new_views_for_one_view_convict_their_primary() {
    let (mut w, m) = waiting();
    let first = m.new_view(1, m.empty_view_changes(1, &[0, 1, 3]), vec![]);
    assert_eq!(w.told(2, &first), None);
    assert_eq!(w.told(2, &first), Some(Ignored::Duplicate));
    let second = m.new_view(1, m.empty_view_changes(1, &[0, 1, 2]), vec![]);
    assert_eq!(w.told(2, &second), Some(Ignored::Contradiction));
    assert_eq!(w.accusations_of(1), 1);
    assert_eq!(w.view(2), 1);
    let zero = m.new_view(0, m.empty_view_changes(0, &[0, 1, 3]), vec![]);
    assert_eq!(w.told(2, &zero), Some(Ignored::OldView));
    let mut fresh = World::among_puppets(2);
    assert_eq!(fresh.told(2, &zero), Some(Ignored::OldView), "nobody opens view 0");
}

/// Two stories for one view convict their teller; the same story again, or one for an earlier view, adds nothing.
#[test]
fn two_view_changes_of_one_member_for_one_view_convict_it() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let story = m.view_change(3, 5, None, vec![]);
    assert_eq!(w.told(2, &Packet::ViewChange(story.clone())), None);
    assert_eq!(w.told(2, &Packet::ViewChange(story)), Some(Ignored::Duplicate));
    let other = m.view_change(3, 5, None, vec![m.prepared(0, 1, null(), &[1, 2])]);
    assert_eq!(w.told(2, &Packet::ViewChange(other)), Some(Ignored::Contradiction));
    assert_eq!(w.accusations_of(3), 1);
    let earlier = m.view_change(3, 4, None, vec![]);
    assert_eq!(w.told(2, &Packet::ViewChange(earlier)), Some(Ignored::OldView));
    assert_eq!(w.told(2, &Packet::ViewChange(m.view_change(0, 0, None, vec![]))), Some(Ignored::OldView));
    w.tell(2, &Packet::ViewChange(m.view_change(0, 5, None, vec![])));
    assert_eq!(w.view(2), 5);
    let behind = m.view_change(1, 4, None, vec![]);
    assert_eq!(w.told(2, &Packet::ViewChange(behind)), Some(Ignored::OldView), "the wait is for view 5");
}

/// Rule V-2: a view is opened by its primary, and with view changes for exactly that view.
#[test]
fn a_view_is_opened_by_its_primary_and_for_those_who_want_it() {
    let mut w = World::among_puppets(3);
    let m = w.members.clone();
    for peer in [0, 1, 2] {
        w.tell(3, &Packet::ViewChange(m.view_change(peer, 1, None, vec![])));
    }
    assert_eq!((w.view(3), w.word(3, Kind::NewView, 1, 0)), (1, None), "replica 1 is its primary");
    let mut w = World::among_puppets(2);
    w.tell(2, &Packet::ViewChange(m.view_change(0, 2, None, vec![])));
    w.tell(2, &Packet::ViewChange(m.view_change(3, 3, None, vec![])));
    w.run(5);
    assert_eq!((w.view(2), w.word(2, Kind::NewView, 2, 0)), (2, None), "one of three wants another view");
    w.tell(2, &Packet::ViewChange(m.view_change(1, 2, None, vec![])));
    assert!(w.word(2, Kind::NewView, 2, 0).is_some());
}

/// Hazard 93: checking a view change or a new view costs many signatures, so of each member a few are checked in an
/// interval and the rest ignored without blame. An honest member never says so many.
#[test]
fn the_dear_checks_of_one_member_are_rationed() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    w.links.delay = (1, 1);
    w.run(41);
    let reasons = |w: &World, by: u16| -> Vec<Ignored> {
        w.ignored.iter().filter(|(_, source, _)| *source == Some(by)).map(|(.., reason)| *reason).collect()
    };
    for view in 1..=12 {
        w.transmit(3, 2, &Packet::ViewChange(m.view_change(3, view, None, vec![])));
        let opening = 4 * view - 3;
        w.transmit(1, 2, &m.new_view(opening, m.empty_view_changes(opening, &[0, 1, 3]), vec![null()]));
    }
    w.run(1);
    assert_eq!(reasons(&w, 3), [Ignored::Rationed; 4]);
    assert_eq!(reasons(&w, 1), [vec![Ignored::WrongProposals; 8], vec![Ignored::Rationed; 4]].concat());
    w.run(45);
    assert_eq!(w.told(2, &Packet::ViewChange(m.view_change(3, 12, None, vec![]))), None, "the next interval");
}
