//! Learning what was decided: a certificate outweighs a proposal, and a quorum of votes is a certificate.

use bezant_pbft::message::Standing;
use bezant_pbft::packet::Packet;

use crate::script::four;
use crate::world::World;

/// A primary that proposes one batch, hands over the proof of another, and only then the bodies of the first must not
/// make an honest replica stop: it is one liar, and no broken group.
#[test]
fn a_certificate_outweighs_a_proposal_that_waited_for_its_bodies() {
    let m = four();
    let mut w = World::among_puppets(1);
    let (late, decided) = (m.bundle(0, 1, "late"), m.bundle(0, 2, "decided"));
    let (proposed, committed) = (m.batch(0, std::slice::from_ref(&late)), m.batch(0, std::slice::from_ref(&decided)));
    w.tell(1, &m.pre_prepare(0, 2, &proposed));
    w.tell(1, &m.decided(0, 2, &committed, &[0, 2, 3]));
    w.tell(1, &Packet::Requests(vec![late]));
    w.run(5);
    assert!(w.halted.is_empty(), "{:?}", w.halted);
    assert_eq!(w.prepared(1, 0, 2), None, "it does not vote against a certificate");
    assert_eq!(w.standing(1), Standing::ViewChanging, "and it leaves the primary that lied");
}

/// Rule V-7: a replica that has left the view learns what the others decide in it from their votes.
#[test]
fn a_replica_that_left_the_view_learns_what_the_others_decide_there() {
    let m = four();
    let mut w = World::among_puppets(1);
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(1, &bundle);
    w.run_until(60_000, "it gives up on the silent primary", |w| w.standing(1) == Standing::ViewChanging);
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    for voter in [0, 2] {
        w.tell(1, &m.commit(voter, 0, 1, batch.digest()));
    }
    assert_eq!(w.height(1), 0, "two commits are no quorum");
    w.tell(1, &m.commit(3, 0, 1, batch.digest()));
    w.run(5);
    assert_eq!(w.height(1), 1);
    assert_eq!(w.committed(1, 0, 1), None, "it says nothing in the view that it left");
}
