//! Rule P-9: the primary is watched for its pace, and nobody else can make it look slow. Hazards 44 and 45.

use bezant_pbft::Timer;
use bezant_pbft::ignored::Ignored;
use bezant_pbft::message::Batch;
use bezant_pbft::packet::Packet;
use bezant_types::genesis::Parameters;
use bezant_types::{Bundle, Request, Signed};

use crate::network::small;
use crate::oracle::Kind;
use crate::world::World;

/// The request timeout of these worlds, in milliseconds.
const TIMEOUT: u64 = 400;

impl World {
    /// Every client asks again as soon as it is answered, for so long; gives how many answers came.
    fn served_in(&mut self, ms: u64) -> usize {
        let done = |w: &World| w.clients.iter().map(|host| host.done.len()).sum::<usize>();
        let (before, end) = (done(self), self.now + ms);
        while self.next_event().is_some_and(|at| at <= end) {
            for client in 0..self.clients.len() {
                if self.clients[client].client.outstanding() == 0 {
                    self.ask(client);
                }
            }
            self.tick();
        }
        done(self) - before
    }

    fn views(&self) -> Vec<u64> {
        self.replicas().into_iter().map(|node| self.view(node)).collect()
    }
}

fn proposes(packet: &Packet) -> bool {
    matches!(packet, Packet::PrePrepare(..))
}

/// Hazard 45: whatever it waits for before each proposal, it is replaced, and the group works again as before.
#[test]
fn a_primary_just_below_the_timeout_is_replaced_and_throughput_comes_back() {
    let baseline = World::new(4, small(), 301).served_in(1_000);
    for late in [TIMEOUT / 10, TIMEOUT / 4, TIMEOUT / 2, TIMEOUT * 9 / 10] {
        let mut w = World::new(4, small(), 301);
        // An honest start: the group has learnt how fast it is.
        w.served_in(200);
        w.delay(move |from, _, packet| if from == 0 && proposes(packet) { late } else { 0 });
        w.served_in(1_200);
        let served = w.served_in(1_000);
        assert!(served * 10 >= baseline * 9, "{late} ms late: {served} of {baseline} requests");
        assert_eq!(w.views(), [1; 4], "and nobody else is");
    }
}

/// The bound of the rule: half a timeout of debt, and two allowances of four times the time of agreement.
#[test]
fn the_time_that_a_slow_primary_wastes_is_bounded() {
    let mut w = World::new(4, small(), 302);
    w.links.delay = (1, 1);
    w.served_in(200);
    w.delay(|from, _, packet| if from == 0 && proposes(packet) { 360 } else { 0 });
    let asked = w.now;
    w.ask(0);
    w.run_until(1_000, "it is replaced", |w| w.views().iter().all(|view| *view == 1));
    let took = w.now - asked;
    assert!(took <= TIMEOUT / 2 + 2 * 4 * 6 + 10, "{took} ms");
}

/// Hazard 44: timeouts that grew in fruitless views fall back with progress, and the allowance with them.
#[test]
fn what_makes_timeouts_grow_buys_no_slowness() {
    let mut w = World::new(4, small(), 303);
    w.served_in(200);
    w.lose(|_, _, packet| matches!(packet, Packet::NewView(_) | Packet::PrePrepare(..)));
    w.ask(0);
    w.run(3_000);
    w.heal();
    w.finish();
    let primary = w.members.primary(w.view(0));
    w.delay(move |from, _, packet| if from == primary && proposes(packet) { 300 } else { 0 });
    let view = w.view(0);
    w.served_in(1_500);
    assert!(w.views().into_iter().all(|now| now > view), "{:?}", w.views());
}

/// An honest primary is not slow because the network is, or its disks, or its executor.
#[test]
fn an_honest_primary_keeps_its_view_at_every_latency_and_load() {
    for (seed, (least, most)) in [(1, 1), (1, 30), (20, 20), (5, 60), (60, 60)].into_iter().enumerate() {
        for (sync, execute) in [(0, 0), (7, 0), (0, 9), (15, 15)] {
            let mut w = World::new(4, small(), 310 + seed as u64);
            w.links.delay = (least, most);
            for node in w.replicas() {
                (w.node_mut(node).sync_ms, w.node_mut(node).execute_ms) = (sync, execute);
            }
            (0..15).for_each(|round| _ = w.ask(round % 3));
            w.served_in(1_500);
            assert_eq!(w.views(), [0; 4], "delays of {least} to {most} ms, syncs of {sync}, execution of {execute}");
        }
    }
}

/// A pause now and then is forgiven: debts are paid off.
#[test]
fn a_primary_that_pauses_now_and_then_keeps_its_view() {
    let mut w = World::new(4, small(), 304);
    w.served_in(200);
    for _ in 0..8 {
        w.delay(|from, _, packet| if from == 0 && proposes(packet) { 40 } else { 0 });
        w.served_in(50);
        w.heal();
        w.served_in(700);
    }
    assert_eq!(w.views(), [0; 4]);
}

/// A client that avoids the primary moves no view, however long it goes on.
#[test]
fn a_client_that_avoids_the_primary_does_not_make_it_look_slow() {
    let mut w = World::new(4, small(), 305);
    w.served_in(200);
    w.links.client_cut.extend([(0, 0), (1, 0), (2, 0)]);
    w.served_in(6_000);
    assert_eq!(w.views(), [0; 4]);
    let relayed = w.clients.iter().map(|host| host.done.len()).sum::<usize>();
    assert!(relayed > 400, "an allowance later they are passed on: {relayed}");
}

/// Hazard 45, in the other way: on time, and one request at a time while many wait.
#[test]
fn a_primary_that_orders_one_request_at_a_time_is_replaced() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let bundles: Vec<_> = (1..=200).map(|number| m.bundle(0, number, "x")).collect();
    let input = |w: &mut World, some: &[_]| some.iter().for_each(|bundle| w.input_request(2, bundle));
    let order = |w: &mut World, sequence: u64, some: &[_]| {
        let batch = m.batch(w.now, some);
        w.transmit(0, 2, &m.pre_prepare(0, sequence, &batch));
        w.run(6);
        w.tell(2, &m.decided(0, sequence, &batch, &[0, 1, 3]));
        let at = sequence - sequence % 4;
        let root = w.node(2).states.get(&at).map(|ledger| ledger.root);
        for (peer, root) in [0, 1, 3].into_iter().zip(std::iter::repeat(root)).filter_map(|(p, r)| Some((p, r?))) {
            w.transmit(peer, 2, &m.checkpoint(peer, at, root));
        }
        w.run(2);
    };
    // An honest start, of full batches.
    for sequence in 1..=4 {
        let some = &bundles[4 * (sequence as usize - 1)..4 * sequence as usize];
        input(&mut w, some);
        order(&mut w, sequence, some);
    }
    input(&mut w, &bundles[16..]);
    let begun = w.now;
    for (sequence, bundle) in (5..).zip(&bundles[16..]) {
        if w.word(2, Kind::ViewChange, 1, 0).is_some() {
            break;
        }
        order(&mut w, sequence, std::slice::from_ref(bundle));
    }
    assert!(w.word(2, Kind::ViewChange, 1, 0).is_some(), "an open backlog of full batches");
    assert!(w.now - begun < 2 * TIMEOUT, "long before the oldest would have been the watched one: {}", w.now - begun);
}

/// Hazard 18: whoever learns late of checkpoints refuses honest proposals, and must not count them as missing.
#[test]
fn late_checkpoints_do_not_make_an_honest_primary_look_slow() {
    let parameters = Parameters { window: 8, ..small() };
    let mut w = World::new(4, parameters, 309);
    w.delay(|_, to, packet| if [1, 2].contains(&to) && matches!(packet, Packet::Checkpoint(_)) { 40 } else { 0 });
    w.served_in(4_000);
    assert!(w.ignored.iter().any(|(.., reason)| *reason == Ignored::AboveWindow));
    assert_eq!(w.views(), [0; 4]);
}

/// That somebody is ahead is believed when f + 1 say so: the primary alone cannot excuse itself by proposals that
/// nobody can accept.
#[test]
fn proposals_above_the_window_excuse_nobody() {
    for (voters, excused) in [(&[0][..], false), (&[0, 3], true)] {
        let mut w = World::among_puppets(2);
        let m = w.members.clone();
        let seal = |time: u64| Batch::Seal { timestamp: m.batch(time, &[]).timestamp() };
        // The group has learnt how fast it is.
        for sequence in 1..=3 {
            let batch = seal(w.now);
            w.transmit(0, 2, &m.pre_prepare(0, sequence, &batch));
            w.run(6);
            w.tell(2, &m.decided(0, sequence, &batch, &[0, 1, 3]));
        }
        w.give(2, &m.bundle(0, 1, "x"));
        for voter in voters {
            let batch = seal(w.now);
            let above =
                if *voter == 0 { m.pre_prepare(0, 13, &batch) } else { m.prepare(*voter, 0, 13, batch.digest()) };
            assert_eq!(w.told(2, &above), Some(Ignored::AboveWindow));
        }
        w.run(300);
        assert_eq!(w.word(2, Kind::ViewChange, 1, 0).is_some(), !excused, "{voters:?}");
    }
}

/// The excuse ends when the window moves, unless they vote above that one, too. Liars that vote for 2^60 make it last
/// no longer.
#[test]
fn the_excuse_of_late_checkpoints_ends_with_the_window() {
    [13, 30].into_iter().for_each(excuse_ends);
}

/// The honest one of two votes for this sequence number.
fn excuse_ends(honest: u64) {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    for sequence in 1..=4 {
        let bundle = m.bundle(1, sequence, "x");
        w.give(2, &bundle);
        let batch = m.batch(w.now, &[bundle]);
        w.transmit(0, 2, &m.pre_prepare(0, sequence, &batch));
        w.run(6);
        w.tell(2, &m.decided(0, sequence, &batch, &[0, 1, 3]));
    }
    w.give(2, &m.bundle(0, 1, "x"));
    w.sent = Some(vec![]);
    for (voter, sequence) in [(0, honest), (3, 1 << 60)] {
        w.tell(2, &m.prepare(if voter == 0 { 1 } else { voter }, 0, sequence, bezant_types::Digest::new([7; 32])));
    }
    let asks = |w: &World| {
        let sent = w.sent.as_ref().expect("kept");
        sent.iter().filter(|(from, to, packet)| (*from, *to) == (2, 0) && matches!(packet, Packet::Status(_))).count()
    };
    assert!(asks(&w) > 0, "it asks at once for what it lacks");
    let root = w.node(2).ledger.root;
    [0, 1, 3].into_iter().for_each(|peer| w.transmit(peer, 2, &m.checkpoint(peer, 4, root)));
    w.run(300);
    assert_eq!(w.stable(2), 4);
    assert!(w.word(2, Kind::ViewChange, 1, 0).is_some());
}

/// Whoever judges nothing passes nothing on either: with each proposal it would send all that waits.
#[test]
fn a_backup_that_is_outrun_does_not_pass_on_its_pool_with_each_proposal() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    // The group has learnt how fast it is.
    for sequence in 1..=3 {
        let seal = Batch::Seal { timestamp: m.batch(w.now, &[]).timestamp() };
        w.transmit(0, 2, &m.pre_prepare(0, sequence, &seal));
        w.run(6);
        w.tell(2, &m.decided(0, sequence, &seal, &[0, 1, 3]));
    }
    for number in 1..=4 {
        w.give(2, &m.bundle(0, number, "x"));
    }
    for voter in [1, 3] {
        w.tell(2, &m.prepare(voter, 0, 13, bezant_types::Digest::new([7; 32])));
    }
    w.run(100);
    w.sent = Some(vec![]);
    for sequence in 4..=12 {
        let seal = Batch::Seal { timestamp: m.batch(w.now, &[]).timestamp() };
        w.tell(2, &m.pre_prepare(0, sequence, &seal));
    }
    let sent = w.sent.take().expect("kept");
    assert!(!sent.iter().any(|(from, _, packet)| *from == 2 && matches!(packet, Packet::Requests(_))));
}

/// Replica 2, whose primary orders and decides at once, among puppets that vouch for every checkpoint.
struct Quick {
    world: World,
    last: u64,
}

impl Quick {
    fn new(parameters: Parameters) -> Self {
        let mut world = World::puppets(4, &[2], parameters);
        world.links.delay = (1, 1);
        Self { world, last: 0 }
    }

    /// The primary proposes these requests of client 0, which the backup has.
    fn propose(&mut self, bundles: &[Signed<Bundle>]) -> Batch {
        let m = self.world.members.clone();
        let batch = m.batch(self.world.now, bundles);
        self.last += 1;
        self.world.transmit(0, 2, &Packet::Requests(bundles.to_vec()));
        self.world.tell(2, &m.pre_prepare(0, self.last, &batch));
        assert_eq!(self.world.prepared(2, 0, self.last), Some(batch.digest()));
        batch
    }

    fn decide(&mut self, sequence: u64, batch: &Batch) {
        let decided = self.world.members.decided(0, sequence, batch, &[0, 1, 3]);
        self.world.tell(2, &decided);
    }

    /// So many batches in time: the group has learnt how fast it is.
    fn work(&mut self, batches: u64) {
        for _ in 0..batches {
            let bundle = self.bundle("x");
            let batch = self.propose(&[bundle]);
            self.decide(self.last, &batch);
        }
    }

    /// A request that no other is like.
    fn bundle(&self, text: &str) -> Signed<Bundle> {
        self.world.members.bundle(0, 1_000 + self.last, text)
    }

    /// A request of client 1 is passed on, and then left behind by batch after batch, while the pipeline is full: until
    /// the backup asks for another primary, or so many times. Gives how many times. Then it is served, and the work
    /// is sealed.
    fn leave_behind(&mut self, number: u64, most: usize) -> usize {
        let m = self.world.members.clone();
        let waiting = m.bundle(1, number, "x");
        self.world.give(2, &waiting);
        self.world.run(260);
        let new = |quick: &mut Self| {
            let bundle = quick.bundle("x");
            (quick.last + 1, quick.propose(&[bundle]))
        };
        let mut under_way: std::collections::VecDeque<_> = (0..4).map(|_| new(self)).collect();
        for time in 1..=most {
            let (sequence, first) = under_way.pop_front().expect("four are");
            self.world.transmit(3, 2, &m.decided(0, sequence, &first, &[0, 1, 3]));
            under_way.push_back(new(self));
            if self.world.word(2, Kind::ViewChange, 1, 0).is_some() {
                return time;
            }
        }
        under_way.drain(..).for_each(|(sequence, batch)| self.decide(sequence, &batch));
        let batch = self.propose(&[waiting]);
        self.decide(self.last, &batch);
        self.last += 1;
        let seal = Batch::Seal { timestamp: m.batch(self.world.now, &[]).timestamp() };
        self.decide(self.last, &seal);
        most
    }

    /// How often it has passed on what waits.
    fn passes_on(&self) -> usize {
        let sent = self.world.sent.as_ref().expect("kept").iter();
        sent.filter(|(from, _, packet)| *from == 2 && matches!(packet, Packet::Requests(_))).count()
    }
}

/// However fast a group is, a thirty-second part of the timeout is left to its primary.
#[test]
fn an_allowance_has_a_least_length() {
    let mut quick = Quick::new(small());
    for _ in 0..8 {
        let bundle = quick.bundle("x");
        let batch = quick.world.members.batch(quick.world.now, std::slice::from_ref(&bundle));
        quick.last += 1;
        quick.world.transmit(0, 2, &Packet::Requests(vec![bundle]));
        quick.world.transmit(0, 2, &quick.world.members.pre_prepare(0, quick.last, &batch));
        quick.decide(quick.last, &batch);
    }
    quick.world.run(TIMEOUT); // Before it was measured, it was to be looked at again after that time.
    let waiting = quick.world.members.bundle(1, 1, "x");
    quick.world.give(2, &waiting);
    quick.world.run(5);
    assert_eq!(quick.passes_on(), 0, "after 9 ms");
    quick.world.run(4);
    assert_eq!(quick.passes_on(), 1, "after 12 ms");
}

/// Rule P-9: while the pipeline or the window is full nothing is missed, however long that lasts.
#[test]
fn a_primary_without_room_misses_nothing() {
    for (before, under_way, has_room) in [(0, 3, true), (0, 4, false), (9, 2, true), (9, 3, false)] {
        let mut quick = Quick::new(small());
        quick.work(before.max(1));
        for _ in 0..under_way {
            let bundle = quick.bundle("x");
            quick.propose(&[bundle]);
        }
        let waiting = quick.world.members.bundle(1, 1, "x");
        quick.world.give(2, &waiting);
        quick.world.run(100);
        assert_eq!(quick.passes_on() > 0, has_room, "{under_way} under way above {before}");
    }
}

/// Rule P-9: nor does one whose new view prescribes what to do first.
#[test]
fn a_primary_that_carries_over_misses_nothing() {
    for prescribes in [true, false] {
        let mut quick = Quick::new(small());
        quick.work(3);
        let m = quick.world.members.clone();
        let batch = m.batch(quick.world.now, &[m.bundle(2, 1, "x")]);
        let (proofs, proposals) = if prescribes {
            (vec![m.prepared(0, 4, batch.digest(), &[1, 3])], vec![Batch::Null.digest(); 3])
        } else {
            (vec![], vec![])
        };
        let proposals = proposals.into_iter().chain(prescribes.then(|| batch.digest())).collect();
        for peer in [0, 3] {
            quick.world.tell(2, &Packet::ViewChange(m.view_change(peer, 1, None, vec![])));
        }
        let changes = vec![
            m.view_change(0, 1, None, proofs),
            m.view_change(1, 1, None, vec![]),
            m.view_change(3, 1, None, vec![]),
        ];
        assert_eq!(quick.world.told(2, &m.new_view(1, changes, proposals)), None);
        quick.world.give(2, &m.bundle(1, 1, "x"));
        quick.world.run(100);
        assert_eq!(quick.passes_on() == 0, prescribes);
    }
}

/// Rule P-9: what is left behind is owed if there was room for it in the batch. There was none if the batch has as many
/// requests as it may have, or would have been too large, or is more than half full (another order, perhaps).
#[test]
fn a_full_batch_leaves_nothing_behind() {
    let size = |bytes: usize| {
        let m = Quick::new(small()).world.members.clone();
        let verified = m.bundle(0, 1_000, &"x".repeat(bytes)).verify(&m.keyring).expect("a client's bundle");
        Request::new(verified, m.genesis.parameters()).expect("within the limits").size()
    };
    let (small_one, large) = (size(10), size(1_000));
    let cases = [
        ("as large as it may be with what waits", 10, 1_000, small_one + large, false),
        ("too small for what waits", 10, 1_000, small_one + large - 1, true),
        ("more than half full", 1_000, 10, 2 * large - 1, true),
        ("half full", 1_000, 10, 2 * large, false),
    ];
    for (what, proposed, waits, most, full) in cases {
        let mut quick = Quick::new(Parameters { max_batch_bytes: most as u32, ..small() });
        quick.work(1);
        let first = quick.bundle("x");
        let first = quick.propose(&[first]);
        for _ in 0..3 {
            let bundle = quick.bundle("x");
            quick.propose(&[bundle]);
        }
        let waiting = quick.world.members.bundle(1, 1_000, &"x".repeat(waits));
        quick.world.give(2, &waiting);
        quick.world.run(100);
        assert_eq!(quick.passes_on(), 0, "there was no room until now");
        quick.decide(2, &first);
        let bundle = quick.bundle(&"x".repeat(proposed));
        quick.propose(&[bundle]);
        assert_eq!(quick.passes_on() == 0, full, "{what}");
    }
}

/// Rule P-9: what the primary leaves behind, an allowance after it was passed on, runs up a debt with each batch that
/// had room for it, though the pipeline is full for all the rest of the time. What came later is owed by nobody yet.
#[test]
fn leaving_behind_what_was_passed_on_runs_up_a_debt() {
    for older in [true, false] {
        let mut quick = Quick::new(Parameters { checkpoint_interval: 32, window: 96, ..small() });
        quick.work(8);
        let m = quick.world.members.clone();
        let passed_on = m.bundle(1, 1, "x");
        quick.world.give(2, &passed_on);
        quick.world.run(100);
        assert_eq!(quick.passes_on(), 1);
        if !older {
            let batch = quick.propose(std::slice::from_ref(&passed_on));
            quick.decide(quick.last, &batch);
        }
        let mut under_way: std::collections::VecDeque<_> = (0..4)
            .map(|_| {
                let bundle = quick.bundle("x");
                quick.propose(&[bundle])
            })
            .collect();
        quick.world.give(2, &m.bundle(2, 1, "x"));
        let served = (1..30).find(|_| {
            let first = under_way.pop_front().expect("four are");
            quick.world.transmit(3, 2, &m.decided(0, quick.last - 3, &first, &[0, 1, 3]));
            let bundle = quick.bundle("x");
            under_way.push_back(quick.propose(&[bundle]));
            quick.world.word(2, Kind::ViewChange, 1, 0).is_some()
        });
        assert_eq!(served.is_some(), older, "{served:?}");
    }
}

/// Rule P-9: while nothing is to be done debts are paid off slowly, or a primary of a group that rests now and then
/// would have no debt to fear.
#[test]
fn debts_outlast_a_rest() {
    let parameters = Parameters {
        checkpoint_interval: 64,
        window: 192,
        request_timeout_ms: 4_000,
        max_view_change_timeout_ms: 8_000,
        ..small()
    };
    let begin = || {
        let mut quick = Quick::new(parameters.clone());
        quick.work(8);
        quick
    };
    let most = begin().leave_behind(1, 60);
    assert!((6..30).contains(&most), "{most} times");
    let mut quick = begin();
    assert_eq!(quick.leave_behind(1, most - 4), most - 4);
    quick.world.run(12_000);
    let more = quick.leave_behind(2, 60);
    assert!(more < most / 2 + 2, "{more} times more, after {most} less four");
}

/// Rule P-9: each piece of work has an allowance of its own.
#[test]
fn whoever_serves_each_in_time_is_late_for_none() {
    let mut quick = Quick::new(Parameters { checkpoint_interval: 32, window: 96, ..small() });
    quick.work(8);
    let m = quick.world.members.clone();
    let bundles: Vec<_> = (1..=40).map(|number| m.bundle(1, number, "x")).collect();
    quick.world.give(2, &bundles[0]);
    for pair in bundles.windows(2) {
        quick.world.give(2, &pair[1]);
        let batch = quick.propose(&pair[..1]);
        quick.decide(quick.last, &batch);
    }
    assert_eq!(quick.passes_on(), 0);
}

/// A backlog is no debt: whoever proposes full batches works as fast as it can.
#[test]
fn a_primary_with_a_backlog_that_proposes_full_batches_keeps_its_view() {
    let mut w = World::new(4, Parameters { max_batch_requests: 1, ..small() }, 306);
    w.links.delay = (10, 10);
    (0..60).for_each(|round| _ = w.ask(round % 3));
    w.served_in(5_000);
    assert_eq!(w.views(), [0; 4]);
}

/// Deviation 6: what an idle group has acknowledged is sealed, or somebody else seals it.
#[test]
fn a_primary_that_never_seals_is_replaced() {
    let mut w = World::new(4, small(), 307);
    w.lose(|from, _, packet| from == 0 && matches!(packet, Packet::PrePrepare(_, Some(Batch::Seal { .. }))));
    w.ask(0);
    w.finish();
    w.converge();
    assert_eq!(w.views(), [1; 4]);
    assert!(w.stable(1) > 0);
}

/// An idle, sealed group is at rest: no timer accuses anybody.
#[test]
fn an_idle_group_keeps_its_view() {
    let mut w = World::new(4, small(), 308);
    w.work(3);
    w.run(20_000);
    assert_eq!(w.views(), [0; 4]);
    let looks = |timer: &Timer| matches!(timer, Timer::Pace(_) | Timer::Seal(_) | Timer::Progress(_) | Timer::Fetch);
    assert!(w.replicas().into_iter().all(|node| !w.node(node).timers.keys().any(looks)));
}
