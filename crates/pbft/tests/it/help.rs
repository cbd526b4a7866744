//! What a replica gives to those who are behind and asks of those who are ahead, and no more: every message that need
//! not be sent is one that a liar can have sent again and again (hazard 70).

use bezant_pbft::ignored::Ignored;
use bezant_pbft::message::{Batch, Fetch, Standing};
use bezant_pbft::packet::Packet;
use bezant_pbft::{Input, Timer};
use bezant_types::codec::encoded_len;
use bezant_types::genesis::Parameters;
use bezant_types::{Digest, ReplicaId};

use crate::network::{Members, at, id, small};
use crate::world::World;

/// Replica 1 among puppets that have committed so many blocks with it, and vouched for the fourth and the eighth.
fn after(blocks: u64) -> (World, Members) {
    let (w, m, _) = after_batches(blocks);
    (w, m)
}

/// The same, and the batches.
fn after_batches(blocks: u64) -> (World, Members, Vec<Batch>) {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    let mut batches = vec![];
    for sequence in 1..=blocks {
        let bundle = m.bundle(0, sequence, "text");
        w.give(1, &bundle);
        batches.push(m.batch(w.now, &[bundle]));
        w.tell(1, &m.decided(0, sequence, batches.last().expect("just pushed"), &[0, 2, 3]));
        if sequence == 4 || sequence == 8 {
            let root = w.node(1).ledger.root;
            [0, 2, 3].into_iter().for_each(|peer| w.transmit(peer, 1, &m.checkpoint(peer, sequence, root)));
            w.run(5);
        }
    }
    assert_eq!(w.height(1), blocks);
    (w, m, batches)
}

/// What replica 1 says to replica 2 when that says where it stands, in an interval of its own.
fn answers(w: &mut World, status: &Packet) -> Vec<Packet> {
    w.run(60);
    w.sent = Some(vec![]);
    w.transmit(2, 1, status);
    w.run(4);
    let sent = w.sent.replace(vec![]).expect("kept");
    let answers = sent.into_iter().filter(|(from, to, _)| (*from, *to) == (1, 2)).map(|(.., packet)| packet);
    answers.filter(|packet| !matches!(packet, Packet::Status(_))).collect()
}

/// Replica 1 among puppets, in a view that replica 2 has opened.
fn in_view_two() -> (World, Members) {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    for peer in [0, 3] {
        w.tell(1, &Packet::ViewChange(m.view_change(peer, 2, None, vec![])));
    }
    assert_eq!(w.told(1, &m.new_view(2, m.empty_view_changes(2, &[0, 2, 3]), vec![])), None);
    assert_eq!((w.view(1), w.standing(1)), (2, Standing::Normal));
    (w, m)
}

#[test]
fn a_new_view_is_shown_to_whoever_has_not_entered_it() {
    let (mut w, m) = in_view_two();
    let mut shown = |view, standing| {
        let answers = answers(&mut w, &m.status(2, view, standing, 0, 0));
        answers.iter().any(|packet| matches!(packet, Packet::NewView(_)))
    };
    assert!(shown(1, Standing::Normal) && shown(1, Standing::ViewChanging) && shown(2, Standing::ViewChanging));
    assert!(!shown(2, Standing::Normal) && !shown(3, Standing::ViewChanging));
}

#[test]
fn votes_are_repeated_for_those_in_the_same_view() {
    let (mut w, m) = in_view_two();
    let bundle = m.bundle(0, 1, "text");
    w.give(1, &bundle);
    w.tell(1, &m.pre_prepare(2, 1, &m.batch(w.now, &[bundle])));
    let mut votes = |view| {
        let answers = answers(&mut w, &m.status(2, view, Standing::Normal, 0, 0));
        answers.iter().filter(|packet| matches!(packet, Packet::Prepare(_))).count()
    };
    assert_eq!((votes(1), votes(2)), (0, 1));
}

#[test]
fn a_stable_checkpoint_is_proven_to_whoever_has_an_earlier_one() {
    let (mut w, m) = after(5);
    let mut proofs = |stable| {
        let answers = answers(&mut w, &m.status(2, 0, Standing::Normal, stable, 5));
        answers.iter().filter(|packet| matches!(packet, Packet::Stable(_))).count()
    };
    assert_eq!((proofs(0), proofs(4)), (1, 0));
}

/// A peer that moves by itself gets blocks only when it is far behind: more than two pipelines.
#[test]
fn whoever_is_two_pipelines_behind_is_helped_although_it_moves() {
    for (behind, helped) in [(8, false), (9, true)] {
        let (mut w, m) = after(11);
        answers(&mut w, &m.status(2, 0, Standing::Normal, 0, 1));
        let answers = answers(&mut w, &m.status(2, 0, Standing::Normal, 0, 11 - behind));
        assert_eq!(answers.iter().any(|packet| matches!(packet, Packet::Decided(_))), helped, "{behind}");
    }
}

/// A peer that connects is told where this replica stands, and may be helped at once.
#[test]
fn a_peer_that_connects_is_told_and_may_ask() {
    let (mut w, m) = after(1);
    let status = m.status(2, 0, Standing::Normal, 0, 0);
    let told = |w: &mut World, peer| {
        w.sent = Some(vec![]);
        w.input(1, Input::Connected(peer));
        w.run(1);
        let sent = w.sent.iter().flatten();
        sent.filter(|(from, to, packet)| (*from, *to) == (1, peer.get()) && matches!(packet, Packet::Status(_))).count()
    };
    assert!(!answers(&mut w, &status).is_empty());
    assert_eq!(told(&mut w, id(2)), 1);
    w.transmit(2, 1, &status);
    w.run(3);
    let decided = w.sent.iter().flatten().any(|(.., packet)| matches!(packet, Packet::Decided(_)));
    assert!(decided, "in the same interval");
    let again = (0..20).map(|_| {
        told(&mut w, id(2));
        w.transmit(2, 1, &status);
        w.run(1);
        w.sent.iter().flatten().filter(|(.., packet)| matches!(packet, Packet::Decided(_))).count()
    });
    assert!(again.sum::<usize>() <= 4, "twice in an interval, and not as often as it connects");
    let before = w.memory(1);
    assert_eq!((told(&mut w, id(1)), told(&mut w, ReplicaId::new(9))), (0, 0), "itself, and nobody");
    assert!(w.memory(1) <= before + 10, "and remembers nothing of them");
}

/// One member that votes for what lies above the window again and again has nobody ask for help; a second one has,
/// once.
#[test]
fn votes_above_the_window_are_no_lever() {
    let (mut w, m) = after(1);
    let parts = |w: &World| w.sent.iter().flatten().filter(|(from, _, packet)| *from == 1 && is_status(packet)).count();
    let is_regular = |w: &World, before: u64| 3 * ((w.now - before) / 40 + 1);
    let before = w.now;
    w.sent = Some(vec![]);
    for sequence in 20..60 {
        w.transmit(3, 1, &m.prepare(3, 0, sequence, Digest::new([7; 32])));
    }
    w.run(5);
    assert!(parts(&w) as u64 <= is_regular(&w, before), "one liar");
    w.tell(1, &m.prepare(2, 0, 20, Digest::new([7; 32])));
    let asked = parts(&w);
    for sequence in 21..60 {
        w.transmit(2, 1, &m.prepare(2, 0, sequence, Digest::new([7; 32])));
    }
    w.run(5);
    assert!(parts(&w) - asked <= 3, "and two of them once");
}

fn is_status(packet: &Packet) -> bool {
    matches!(packet, Packet::Status(_))
}

/// The window's last slot belongs to it, and blocks may arrive in any order.
#[test]
fn a_block_at_the_high_water_mark_is_taken() {
    let (mut w, m) = after(0);
    let (_, batch) = w.bundle_and_batch(1);
    assert_eq!(w.told(1, &m.decided(0, 13, &batch, &[0, 2, 3])), Some(Ignored::AboveWindow));
    assert_eq!(w.told(1, &m.decided(0, 12, &batch, &[0, 2, 3])), None);
}

/// Rule C-4: blocks are waited for within a window, because others keep as many; beyond it the state is fetched at
/// once.
#[test]
fn a_window_of_blocks_is_waited_for() {
    for (stable, at_once) in [(12, false), (13, true)] {
        let (mut w, m) = after(0);
        w.tell(1, &Packet::Stable(m.stable(stable, Digest::of("test", "far"), &[0, 2, 3])));
        assert_eq!(w.node(1).fetching.is_some(), at_once);
        assert_eq!(w.node(1).timers.contains_key(&Timer::CatchUp), !at_once);
    }
}

/// Rule C-4: what is here and not yet executed is not waited for, and once it is executed nothing is.
#[test]
fn a_replica_that_has_the_blocks_does_not_fetch_the_state() {
    let (mut w, m) = after(0);
    let mut model = after(4).0;
    let root = model.node(1).ledger.root;
    model.run(1);
    w.node_mut(1).execute_ms = 200;
    w.tell(1, &Packet::Stable(m.stable(4, root, &[0, 2, 3])));
    assert!(w.node(1).timers.contains_key(&Timer::CatchUp));
    for sequence in 1..=4 {
        let bundle = m.bundle(0, sequence, "text");
        w.give(1, &bundle);
        w.tell(1, &m.decided(0, sequence, &m.batch(w.now, &[bundle]), &[0, 2, 3]));
    }
    w.run(500);
    assert!(w.node(1).fetching.is_none() && w.height(1) < 4, "the time is over, and the executor on its way");
}

/// Rule C-4: the blocks before each stable checkpoint have their own time. A replica that is always a little behind
/// gets them in time and fetches no state.
#[test]
fn the_blocks_before_a_later_checkpoint_have_their_own_time() {
    let (mut w, m) = after(0);
    let mut model = after(8).0;
    let root_at = |sequence: u64| model.node(1).states.get(&sequence).map(|ledger| ledger.root).expect("a checkpoint");
    let roots = [root_at(4), root_at(8)];
    model.run(1);
    w.node_mut(1).execute_ms = 40;
    w.tell(1, &Packet::Stable(m.stable(4, roots[0], &[0, 2, 3])));
    w.run(200);
    for sequence in 1..=4 {
        let bundle = m.bundle(0, sequence, "text");
        w.give(1, &bundle);
        w.tell(1, &m.decided(0, sequence, &m.batch(w.now, &[bundle]), &[0, 2, 3]));
    }
    w.tell(1, &Packet::Stable(m.stable(8, roots[1], &[0, 2, 3])));
    let begun = w.now;
    w.run(300);
    assert!(w.node(1).fetching.is_none(), "after {} ms", w.now - begun);
    w.run(300);
    assert!(w.node(1).fetching.is_some(), "but they do not come");
}

/// Whoever has caught up by blocks is not interrupted by what it waited for.
#[test]
fn the_wait_for_blocks_ends_with_the_last() {
    let mut w = World::new(4, small(), 47);
    w.isolate(3);
    w.work(3);
    w.reconnect(3);
    w.converge();
    assert!(!w.node(3).timers.contains_key(&Timer::CatchUp));
    assert!(w.node(3).fetching.is_none());
}

/// Rule C-4: with the state that it asked for a replica takes part again, from the next block on.
#[test]
fn after_a_transfer_the_next_block_is_executed() {
    let mut w = World::new(4, small(), 48);
    w.isolate(3);
    w.work(20);
    w.reconnect(3);
    w.converge();
    let height = w.height(3);
    w.ask(0);
    w.finish();
    w.run(20);
    assert_eq!((w.height(0), w.height(3)), (height + 1, height + 1));
}

/// Rule V-4: in even rounds those who vouched for a batch are asked for it in turn, in odd rounds everybody is; never
/// the replica itself.
#[test]
fn whoever_should_have_a_batch_is_asked_first_and_then_all_in_turn() {
    let mut w = World::puppets(7, &[5], small());
    let m = w.members.clone();
    w.links.delay = (1, 1);
    let (_, batch) = w.bundle_and_batch(1);
    for member in [1, 2, 3, 4, 6] {
        w.transmit(member, 5, &m.commit(member, 0, 1, batch.digest()));
    }
    w.run(2_000);
    let sent = w.sent.iter().flatten();
    let asked: Vec<u16> = sent
        .filter(|(from, _, packet)| *from == 5 && matches!(packet, Packet::Fetch(_)))
        .map(|(_, to, _)| *to)
        .take(8)
        .collect();
    assert_eq!(asked, [1, 0, 2, 1, 3, 2, 4, 3]);
}

/// Whoever lacks more than a fetch may name asks for as much as it may: more would be refused.
#[test]
fn a_fetch_names_no_more_than_it_may() {
    let mut w = World::puppets(4, &[1], Parameters { max_batch_requests: 32_000, ..small() });
    let m = w.members.clone();
    let requests = (0..Fetch::LIMIT as u64 + 9).map(|i| Digest::of("test", &i)).collect();
    let batch = Batch::Requests { timestamp: m.batch(w.now, &[]).timestamp(), requests };
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    w.run(20);
    let fetched = w.sent.iter().flatten().find_map(|(from, _, packet)| {
        if let (1, Packet::Fetch(fetch)) = (*from, packet) { Some(fetch.message.requests.len()) } else { None }
    });
    assert_eq!(fetched, Some(Fetch::LIMIT));
}

/// As many things as a fetch may name are fetched, and answered up to 4 MiB, of which the first may be more.
#[test]
fn a_fetch_is_answered_to_its_last_item_and_its_last_byte() {
    let (mut w, m) = after(1);
    let unknown = |count: usize| vec![Digest::new([9; 32]); count];
    let places = |count: usize| vec![(at(1), Digest::new([9; 32])); count];
    assert_eq!(reason(&mut w, &m.fetch(2, unknown(Fetch::LIMIT), places(Fetch::LIMIT))), None);
    assert_eq!(reason(&mut w, &m.fetch(2, unknown(Fetch::LIMIT + 1), vec![])), Some(Ignored::TooMuch));
    assert_eq!(reason(&mut w, &m.fetch(2, unknown(Fetch::LIMIT + 2), vec![])), Some(Ignored::TooMuch));
    assert_eq!(reason(&mut w, &m.fetch(2, vec![], places(Fetch::LIMIT + 2))), Some(Ignored::TooMuch));
}

fn reason(w: &mut World, packet: &Packet) -> Option<Ignored> {
    let before = w.ignored.len();
    w.transmit(2, 1, packet);
    w.run(4);
    w.ignored[before..].iter().find(|(node, ..)| *node == 1).map(|(.., reason)| *reason)
}

#[test]
fn an_answer_to_a_fetch_has_four_mebibytes_at_most() {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    let large = "x".repeat(1_000_000);
    let bundles: Vec<_> = (1..=6).map(|number| m.bundle(0, number, &large)).collect();
    bundles.iter().for_each(|bundle| w.give(1, bundle));
    let wanted = bundles.iter().map(|bundle| m.digest_of(bundle)).collect();
    w.run(60);
    w.sent = Some(vec![]);
    w.transmit(2, 1, &m.fetch(2, wanted, vec![]));
    w.run(4);
    let requests = w.sent.iter().flatten().find_map(|(from, _, packet)| {
        if let (1, Packet::Requests(requests)) = (*from, packet) { Some(requests.len()) } else { None }
    });
    assert_eq!(requests, Some(4));
}

/// Batches count with the requests, and an answer ends before the one that would make it too large.
#[test]
fn batches_share_the_bytes_of_an_answer() {
    let mut w = World::puppets(4, &[1], Parameters { max_batch_requests: 32_000, ..small() });
    let m = w.members.clone();
    let timestamp = m.batch(w.now, &[]).timestamp();
    let digests = |n: u64| (0..30_000u64).map(|i| Digest::of("test", &(n, i))).collect();
    let batches: Vec<_> = (1..=6).map(|n| Batch::Requests { timestamp, requests: digests(n) }).collect();
    (1..).zip(&batches).for_each(|(sequence, batch)| w.tell(1, &m.pre_prepare(0, sequence, batch)));
    let places = (1..).zip(&batches).map(|(sequence, batch)| (at(sequence), batch.digest())).collect();
    w.run(60);
    w.sent = Some(vec![]);
    w.transmit(2, 1, &m.fetch(2, vec![], places));
    w.run(4);
    assert_eq!(given(&w), (4 << 20) / encoded_len(&batches[0]));
}

/// A batch that was executed is given under its own digest and sequence number, as long as its block is kept.
#[test]
fn a_batch_of_the_past_is_given_under_its_own_name() {
    let (mut w, m, batches) = after_batches(5);
    for (sequence, digest, expected) in
        [(2, batches[1].digest(), 1), (3, batches[1].digest(), 0), (2, Digest::new([9; 32]), 0)]
    {
        w.sent = Some(vec![]);
        w.transmit(2, 1, &m.fetch(2, vec![], vec![(at(sequence), digest)]));
        w.run(4);
        assert_eq!(given(&w), expected);
    }
}

fn given(w: &World) -> usize {
    let sent = w.sent.iter().flatten();
    sent.filter(|(from, _, packet)| *from == 1 && matches!(packet, Packet::Batch(..))).count()
}
