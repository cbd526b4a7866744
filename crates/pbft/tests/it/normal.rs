//! The normal case, rules P-1 to P-6: what a backup accepts, what counts, what is executed.

use bezant_pbft::Config;
use bezant_pbft::ignored::Ignored;
use bezant_pbft::message::Batch;
use bezant_pbft::packet::Packet;
use bezant_types::genesis::Parameters;
use bezant_types::{Committee, Digest, Genesis, SecretKey, Signed, Timestamp, Verified};

use crate::network::{EPOCH, Members, client_key, id, small};
use crate::oracle::Kind;
use crate::script::four;
use crate::world::World;

/// Replica 1, a backup of view 0, has request 1 and hears everything from puppets.
fn backup() -> (World, Members, Batch) {
    let mut w = World::among_puppets(1);
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(1, &bundle);
    let members = w.members.clone();
    (w, members, batch)
}

/// Rules P-1 to P-6 together.
#[test]
fn what_clients_ask_is_executed_everywhere_alike() {
    let mut w = World::new(4, small(), 1);
    w.work(10);
    w.converge();
    assert_eq!(w.executed(0), 30);
    assert_eq!(w.view(0), 0);
}

/// Rule P-2.
#[test]
fn a_backup_prepares_what_its_primary_proposes() {
    let (mut w, m, batch) = backup();
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &batch)), None);
    assert_eq!(w.prepared(1, 0, 1), Some(batch.digest()));
}

/// Rule P-2: it is the primary's of the view, and the view is active.
#[test]
fn a_proposal_of_anybody_else_or_for_another_view_is_refused() {
    let (mut w, m, batch) = backup();
    let by_a_backup = m.pre_prepare_by(2, 0, 1, batch.digest(), Some(batch.clone()));
    assert_eq!(w.told(1, &by_a_backup), Some(Ignored::NotThePrimary));
    assert_eq!(w.told(1, &m.pre_prepare(4, 1, &batch)), Some(Ignored::NotInView), "view 4 has the same primary");
    assert_eq!(w.prepared(1, 0, 1), None);
    assert_eq!(w.prepared(1, 4, 1), None);
}

/// Hazard 10: the bad digest must not occupy the slot.
#[test]
fn a_batch_under_a_wrong_digest_does_not_occupy_the_slot() {
    let (mut w, m, batch) = backup();
    let poisoned = m.pre_prepare_by(0, 0, 1, Digest::of("test", "else"), Some(batch.clone()));
    assert_eq!(w.told(1, &poisoned), Some(Ignored::WrongDigest));
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &batch)), None);
    assert_eq!(w.prepared(1, 0, 1), Some(batch.digest()));
}

/// Rule P-2: what is new comes with its batch.
#[test]
fn a_new_proposal_without_its_batch_is_refused() {
    let (mut w, m, batch) = backup();
    assert_eq!(w.told(1, &m.pre_prepare_by(0, 0, 1, batch.digest(), None)), Some(Ignored::BatchMissing));
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &batch)), None);
}

/// Hazard 16: at the water marks and at the ends of the number range.
#[test]
fn proposals_and_votes_outside_the_window_are_refused() {
    let (mut w, m, batch) = backup();
    let digest = batch.digest();
    for (sequence, expected) in
        [(0, Ignored::BelowWindow), (13, Ignored::AboveWindow), (u64::MAX, Ignored::AboveWindow)]
    {
        assert_eq!(w.told(1, &m.pre_prepare(0, sequence, &batch)), Some(expected));
        assert_eq!(w.told(1, &m.prepare(2, 0, sequence, digest)), Some(expected));
        assert_eq!(w.told(1, &m.commit(2, 0, sequence, digest)), Some(expected));
    }
    for sequence in [1, 12] {
        assert_eq!(w.told(1, &m.pre_prepare(0, sequence, &batch)), None);
        assert_eq!(w.told(1, &m.commit(2, 0, sequence, digest)), None);
        assert_eq!(w.prepared(1, 0, sequence), Some(digest));
    }
}

/// Rule P-2 and hazards 11 and 13: null where none is called for, empty, too long, one request twice. The primary
/// signed the digest of it, so the primary is to blame, and is given up.
#[test]
fn a_malformed_batch_is_refused_and_costs_the_primary_its_view() {
    let one = Digest::of("test", "one");
    let dated = |requests: Vec<Digest>| Batch::Requests { timestamp: Timestamp::new(EPOCH), requests };
    let five = (0..5u8).map(|i| Digest::of("test", &i)).collect();
    for batch in [Batch::Null, dated(vec![]), dated(vec![one, one]), dated(five)] {
        let (mut w, m, _) = backup();
        assert_eq!(w.told(1, &m.pre_prepare(0, 1, &batch)), Some(Ignored::MalformedBatch));
        assert_eq!(w.prepared(1, 0, 1), None);
        assert!(w.word(1, Kind::ViewChange, 1, 0).is_some(), "{batch:?}");
    }
}

/// Rule P-2: the primary's clock. Refused without blame, to the millisecond.
#[test]
fn a_proposal_from_another_time_is_refused() {
    let (mut w, m, batch) = backup();
    let skew = w.members.genesis.parameters().max_clock_skew_ms;
    let dated =
        |timestamp| Batch::Requests { timestamp: Timestamp::new(timestamp), requests: batch.requests().to_vec() };
    w.links.delay = (1, 1);
    let arrival = EPOCH + w.now + 1;
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &dated(arrival + skew + 1))), Some(Ignored::Timestamp));
    let arrival = EPOCH + w.now + 1;
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &dated(arrival - skew - 1))), Some(Ignored::Timestamp));
    assert_eq!(w.word(1, Kind::ViewChange, 1, 0), None, "clocks differ without malice");
    let arrival = EPOCH + w.now + 1;
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &dated(arrival + skew))), None);
    let arrival = EPOCH + w.now + 1;
    assert_eq!(w.told(1, &m.pre_prepare(0, 2, &dated(arrival - skew))), None);
}

/// Rule P-2: together no larger than the group allows, unless a single request is.
#[test]
fn a_batch_with_too_many_bytes_is_refused_when_its_bodies_are_known() {
    let parameters = Parameters { max_batch_bytes: 200, ..small() };
    let mut w = World::puppets(4, &[1], parameters);
    let m = w.members.clone();
    let bundles = [m.bundle(0, 1, &"x".repeat(100)), m.bundle(0, 2, &"y".repeat(100))];
    bundles.iter().for_each(|bundle| w.give(1, bundle));
    let batch = m.batch(w.now, &bundles);
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &batch)), Some(Ignored::BatchTooLarge));
    assert_eq!(w.prepared(1, 0, 1), None);
    assert!(w.word(1, Kind::ViewChange, 1, 0).is_some());

    let mut w = World::puppets(4, &[1], Parameters { max_batch_bytes: 200, ..small() });
    let large = m.bundle(0, 1, &"x".repeat(300));
    w.give(1, &large);
    let batch = m.batch(w.now, &[large]);
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &batch)), None);
    assert_eq!(w.prepared(1, 0, 1), Some(batch.digest()));
}

/// Rule P-2: a primary fills a batch to its last byte, and whoever refused that would depose it.
#[test]
fn a_batch_may_be_as_large_as_the_group_allows() {
    let m = four();
    let bundles = [m.bundle(0, 1, "x"), m.bundle(0, 2, "y")];
    let size = |bundle: &Signed<bezant_types::Bundle>| {
        let verified = bundle.clone().verify(&m.keyring).expect("a client's bundle");
        bezant_types::Request::new(verified, m.genesis.parameters()).expect("within the limits").size()
    };
    let together = u32::try_from(bundles.iter().map(size).sum::<usize>()).expect("they are small");
    for (most, refused) in [(together, None), (together - 1, Some(Ignored::BatchTooLarge))] {
        let mut w = World::puppets(4, &[1], Parameters { max_batch_bytes: most, ..small() });
        let m = w.members.clone();
        let bundles = [m.bundle(0, 1, "x"), m.bundle(0, 2, "y")];
        bundles.iter().for_each(|bundle| w.give(1, bundle));
        let batch = m.batch(w.now, &bundles);
        assert_eq!(w.told(1, &m.pre_prepare(0, 1, &batch)), refused);
    }
}

/// Rule P-2: as many batches as the pipeline is long are under way at once, and no more; what waits is proposed
/// together when the first is executed.
#[test]
fn a_primary_proposes_as_far_as_the_pipeline_reaches() {
    let mut w = World::among_puppets(0);
    let m = w.members.clone();
    (1..=6).for_each(|number| w.give(0, &m.bundle(0, number, "x")));
    let proposed = |w: &World| (1..=6).filter(|sequence| w.word(0, Kind::PrePrepare, 0, *sequence).is_some()).count();
    assert_eq!(proposed(&w), 4);
    let first = w.word(0, Kind::PrePrepare, 0, 1).expect("proposed");
    for backup in [1, 2] {
        w.tell(0, &m.prepare(backup, 0, 1, first));
        w.tell(0, &m.commit(backup, 0, 1, first));
    }
    w.run(20);
    assert_eq!((w.height(0), proposed(&w)), (1, 5));
}

/// Rule P-8: a client is told to wait when its share is full, and for no other reason.
#[test]
fn only_a_client_whose_share_is_full_is_told_to_wait() {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    let large = "x".repeat(1_000_000);
    (1..=33).for_each(|number| w.give(1, &m.bundle(0, number, &large)));
    assert_eq!(w.busy, [], "the share of a client is 32 MiB");
    w.give(1, &m.bundle(0, 2, &large));
    assert_eq!((w.busy.as_slice(), w.ignored.len()), ([].as_slice(), 1), "it waits already");
    w.give(1, &m.bundle(0, 34, &large));
    w.give(1, &m.bundle(1, 35, &large));
    assert_eq!(w.busy, [(1, 34)], "there is room for the others");
}

/// Rule V-7: what anybody else proposes displaces nothing that a replica outside the view has learnt from the primary.
#[test]
fn outside_its_view_a_replica_learns_batches_from_the_primary_alone() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let bundles = [m.bundle(0, 1, "a"), m.bundle(0, 2, "b")];
    bundles.iter().for_each(|bundle| w.give(2, bundle));
    let [batch, other] = [&bundles[..1], &bundles[1..]].map(|some| m.batch(w.now, some));
    for peer in [0, 3] {
        w.tell(2, &Packet::ViewChange(m.view_change(peer, 1, None, vec![])));
    }
    assert_eq!(w.told(2, &m.pre_prepare(0, 1, &batch)), Some(Ignored::OldView));
    assert_eq!(w.told(2, &m.pre_prepare_by(3, 0, 1, other.digest(), Some(other))), Some(Ignored::OldView));
    for member in [0, 1, 3] {
        w.transmit(member, 2, &m.commit(member, 0, 1, batch.digest()));
    }
    w.run(5);
    assert_eq!(w.height(2), 1, "nothing had to be fetched");
}

/// Rule P-8: whoever is primary watches nobody.
#[test]
fn a_primary_does_not_watch_itself() {
    let mut w = World::among_puppets(0);
    let (bundle, _) = w.bundle_and_batch(1);
    w.give(0, &bundle);
    assert!(!w.node(0).timers.keys().any(|timer| matches!(timer, bezant_pbft::Timer::Progress(_))));
}

/// Rule P-5: what a quorum has committed to is asked for from those who did.
#[test]
fn whoever_committed_to_a_batch_is_asked_for_it_first() {
    let mut w = World::puppets(7, &[1], small());
    let m = w.members.clone();
    let (_, batch) = w.bundle_and_batch(1);
    for member in 2..=6 {
        w.tell(1, &m.commit(member, 0, 1, batch.digest()));
    }
    w.run(12);
    let sent = w.sent.as_ref().expect("kept").iter();
    let asked: Vec<u16> = sent
        .filter(|(from, _, packet)| *from == 1 && matches!(packet, Packet::Fetch(_)))
        .map(|(_, to, _)| *to)
        .collect();
    assert_eq!(asked.first(), Some(&2), "{asked:?}");
}

/// Rule P-2 and hazards 1 and 25: the second proposal for a slot is evidence, and is not kept.
#[test]
fn a_backup_does_not_prepare_two_digests_for_one_sequence_number() {
    let (mut w, m, batch) = backup();
    let (_, other) = w.bundle_and_batch(2);
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    let before = w.memory(1);
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &batch)), Some(Ignored::Duplicate));
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &other)), Some(Ignored::Contradiction));
    assert_eq!(w.prepared(1, 0, 1), Some(batch.digest()));
    assert_eq!(w.accusations_of(0), 1);
    assert!(w.word(1, Kind::ViewChange, 1, 0).is_some(), "and the primary is given up");
    assert!(w.memory(1) < before + 2_000, "the second batch is not kept");
}

/// Hazard 13 and rule P-1: a request that its client did not sign, or that no member of the network signed, is turned
/// away with the packet that holds it; and one that breaks a limit of the genesis.
#[test]
fn requests_that_are_not_authentic_are_turned_away_at_the_door() {
    let m = four();
    let verify = |packet: Packet| packet.verify(&m.keyring, m.genesis.parameters()).is_ok();
    let good = m.bundle(0, 1, "good");
    assert!(verify(Packet::Requests(vec![good.clone()])));
    let mut changed = good.clone();
    changed.message.number = bezant_types::RequestNumber::new(2);
    assert!(!verify(Packet::Requests(vec![good.clone(), changed])), "one bad signature condemns the packet");
    let stranger = SecretKey::from_seed([99; 32]);
    let foreign = Verified::sign(good.message.clone(), stranger.account(), &stranger, m.genesis.digest()).into_signed();
    assert!(!verify(Packet::Requests(vec![foreign])));
    let mut empty = good.message.clone();
    empty.transactions.clear();
    let key = client_key(0);
    let empty = Verified::sign(empty, key.account(), &key, m.genesis.digest()).into_signed();
    assert!(!verify(Packet::Requests(vec![empty])));
}

/// Hazards 6, 7 and 8: a member index out of range, another's name, another kind of message, another network.
#[test]
fn votes_that_their_signer_did_not_cast_are_turned_away_at_the_door() {
    let m = four();
    let verify = |packet: Packet| packet.verify(&m.keyring, m.genesis.parameters()).is_ok();
    let digest = Digest::of("test", "any");
    let Packet::Prepare(good) = m.prepare(2, 0, 1, digest) else { unreachable!() };
    assert!(verify(Packet::Prepare(good.clone())));
    for stranger in [4, u16::MAX, 3] {
        assert!(!verify(Packet::Prepare(Signed { signer: id(stranger), ..good.clone() })), "{stranger}");
    }
    let commit = bezant_pbft::message::Commit { view: good.message.view, sequence: good.message.sequence, digest };
    assert!(!verify(Packet::Commit(Signed { signer: id(2), message: commit, signature: good.signature })));
    let elsewhere = Members::new(4, Parameters { seal_after_ms: 7, ..small() });
    assert!(!verify(elsewhere.prepare(2, 0, 1, digest)), "the same keys, another genesis");
}

/// Hazard 14: replicas with other parameters are in another network: their votes do not verify here.
#[test]
fn a_replica_is_configured_by_the_genesis_and_nothing_else() {
    let m = four();
    assert!(Config::new(&m.genesis, id(3)).is_some());
    assert!(Config::new(&m.genesis, id(4)).is_none(), "not a member");
}

/// Rule P-3 and hazard 4.
#[test]
fn the_primarys_prepare_is_refused_and_does_not_count() {
    let (mut w, m, batch) = backup();
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    assert_eq!(w.told(1, &m.prepare(0, 0, 1, batch.digest())), Some(Ignored::PrimaryPrepare));
    assert_eq!(w.committed(1, 0, 1), None, "its own prepare and the primary's are one short");
    w.tell(1, &m.prepare(3, 0, 1, batch.digest()));
    assert_eq!(w.committed(1, 0, 1), Some(batch.digest()));
}

/// Rule P-4 and hazards 2 and 3: prepares count once per backup, and for their digest and view only.
#[test]
fn prepares_count_once_each_and_for_their_own_batch_only() {
    let mut w = World::puppets(7, &[1], small());
    let m = w.members.clone();
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(1, &bundle);
    let (digest, other) = (batch.digest(), Digest::of("test", "other"));
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    w.tell(1, &m.prepare(2, 0, 1, digest));
    assert_eq!(w.told(1, &m.prepare(2, 0, 1, digest)), Some(Ignored::Duplicate));
    w.tell(1, &m.prepare(2, 0, 1, digest));
    w.tell(1, &m.prepare(3, 0, 1, other));
    w.tell(1, &m.prepare(4, 0, 2, digest));
    w.tell(1, &m.prepare(5, 1, 1, digest));
    assert_eq!(w.committed(1, 0, 1), None, "itself and replica 2, twice, are not a quorum less one");
    w.tell(1, &m.prepare(4, 0, 1, digest));
    assert_eq!(w.committed(1, 0, 1), None);
    w.tell(1, &m.prepare(6, 0, 1, digest));
    assert_eq!(w.committed(1, 0, 1), Some(digest), "four backups and the primary's proposal are");
}

/// Rule P-5 and hazards 2 and 3: the same for commits. A quorum of them is proof by itself: it needs no prepares here.
#[test]
fn commits_count_once_each_and_a_quorum_of_them_decides() {
    let (mut w, m, batch) = backup();
    let (digest, other) = (batch.digest(), Digest::of("test", "other"));
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    w.tell(1, &m.commit(0, 0, 1, digest));
    assert_eq!(w.told(1, &m.commit(0, 0, 1, digest)), Some(Ignored::Duplicate));
    w.tell(1, &m.commit(2, 1, 1, digest));
    w.tell(1, &m.prepare(2, 0, 1, digest));
    assert_eq!(w.committed(1, 0, 1), Some(digest));
    assert_eq!(w.height(1), 0, "its own commit and replica 0's, twice");
    w.tell(1, &m.commit(3, 0, 1, other));
    assert_eq!(w.height(1), 0, "replica 3 committed to something else");
    assert_eq!(w.told(1, &m.commit(3, 0, 1, digest)), Some(Ignored::Contradiction));
    assert_eq!(w.accusations_of(3), 1);
    assert_eq!(w.told(1, &m.commit(2, 0, 1, digest)), Some(Ignored::OldView), "replica 2 has left this view");

    let (mut w, m, batch) = backup();
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    for voter in [0, 2] {
        w.tell(1, &m.commit(voter, 0, 1, batch.digest()));
    }
    assert_eq!(w.height(1), 0, "two commits");
    w.tell(1, &m.commit(3, 0, 1, batch.digest()));
    assert_eq!(w.height(1), 1, "a quorum, although nothing prepared here");
    assert_eq!(w.committed(1, 0, 1), None, "and so it commits to nothing itself");
}

/// Evidence: one backup, two prepares.
#[test]
fn two_prepares_of_one_backup_convict_it() {
    let (mut w, m, batch) = backup();
    w.tell(1, &m.prepare(2, 0, 1, batch.digest()));
    assert_eq!(w.told(1, &m.prepare(2, 0, 1, Digest::of("test", "x"))), Some(Ignored::Contradiction));
    assert_eq!(w.accusations_of(2), 1);
}

/// Hazard 5: a slot's messages in every order. Each order commits.
#[test]
fn a_slot_commits_in_whatever_order_its_messages_arrive() {
    let m = four();
    let bundle = m.bundle(0, 1, "text");
    let batch = m.batch(0, std::slice::from_ref(&bundle));
    let digest = batch.digest();
    let messages = [
        Packet::Requests(vec![bundle]),
        m.pre_prepare(0, 1, &batch),
        m.prepare(3, 0, 1, digest),
        m.commit(0, 0, 1, digest),
        m.commit(2, 0, 1, digest),
    ];
    for order in orders(messages.len()) {
        let mut w = World::among_puppets(1);
        order.iter().for_each(|index| w.tell(1, &messages[*index]));
        w.run(5);
        assert_eq!(w.height(1), 1, "{order:?}");
    }
}

fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = orders(n - 1);
    let insert = |order: &Vec<usize>, place: usize| {
        let mut longer = order.clone();
        longer.insert(place, n - 1);
        longer
    };
    shorter.iter().flat_map(|order| (0..n).map(|place| insert(order, place)).collect::<Vec<_>>()).collect()
}

/// Rule P-6.
#[test]
fn slots_commit_in_any_order_and_execute_in_theirs() {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    let bundles: Vec<_> = (1..=3).map(|number| m.bundle(0, number, "text")).collect();
    bundles.iter().for_each(|bundle| w.give(1, bundle));
    for sequence in [3, 1, 2] {
        assert_eq!(w.height(1), if sequence == 2 { 1 } else { 0 });
        let batch = m.batch(w.now, &bundles[sequence as usize - 1..sequence as usize]);
        w.tell(1, &m.pre_prepare(0, sequence, &batch));
        w.tell(1, &m.prepare(2, 0, sequence, batch.digest()));
        [0, 2].iter().for_each(|voter| w.tell(1, &m.commit(*voter, 0, sequence, batch.digest())));
    }
    w.run(5);
    assert_eq!((w.height(1), w.executed(1)), (3, 3));
}

/// Rule P-1 and hazard 39: a request that was ordered before becomes a no-op; hazard 72: a second request under one
/// number is another request, and the ledger's to refuse.
#[test]
fn a_request_that_is_ordered_twice_is_executed_once() {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    let (bundle, twin) = (m.bundle(0, 1, "text"), m.bundle(0, 1, "other"));
    w.give(1, &bundle);
    w.give(1, &twin);
    for (sequence, one) in [(1, &bundle), (2, &bundle), (3, &twin)] {
        let batch = m.batch(w.now, std::slice::from_ref(one));
        assert_eq!(w.told(1, &m.pre_prepare(0, sequence, &batch)), None);
        // What was executed is kept, and what it made void is not: whoever orders it brings it.
        w.tell(1, &Packet::Requests(vec![one.clone()]));
        w.tell(1, &m.prepare(2, 0, sequence, batch.digest()));
        [0, 2].iter().for_each(|voter| w.tell(1, &m.commit(*voter, 0, sequence, batch.digest())));
    }
    w.run(5);
    assert_eq!((w.height(1), w.executed(1)), (3, 1));
}

/// Hazard 12: as many votes as the quorum of the committee says, and not one fewer, for every small size.
#[test]
fn a_slot_needs_exactly_a_quorum_whatever_the_size_of_the_group() {
    for n in 4..=10u16 {
        let committee = Committee::new(n.into()).unwrap();
        let mut w = World::puppets(n, &[1], small());
        let m = w.members.clone();
        let (bundle, batch) = w.bundle_and_batch(1);
        let digest = batch.digest();
        w.give(1, &bundle);
        w.tell(1, &m.pre_prepare(0, 1, &batch));
        let others: Vec<u16> = (2..n).collect();
        // The proposal, its own prepare, and those of the others.
        for (heard, voter) in others.iter().enumerate().take(committee.quorum() - 2) {
            assert_eq!(w.committed(1, 0, 1), None, "n = {n}, {heard} prepares");
            w.tell(1, &m.prepare(*voter, 0, 1, digest));
        }
        assert_eq!(w.committed(1, 0, 1), Some(digest), "n = {n}");
        for (heard, voter) in others.iter().enumerate().take(committee.quorum() - 1) {
            assert_eq!(w.height(1), 0, "n = {n}, {heard} commits");
            w.tell(1, &m.commit(*voter, 0, 1, digest));
        }
        w.run(5);
        assert_eq!(w.height(1), 1, "n = {n}");
    }
}

/// Hazard 17: a window without room for a second checkpoint stalls agreement.
#[test]
fn a_window_below_two_checkpoint_intervals_is_refused() {
    let m = four();
    let with = |window| {
        let parameters = Parameters { window, ..small() };
        Genesis::new("test".into(), m.genesis.replicas().to_vec(), vec![], vec![], parameters)
    };
    assert!(with(4).is_err(), "L = K");
    assert!(with(7).is_err(), "L < 2K");
    assert!(with(8).is_ok(), "L = 2K");
}
