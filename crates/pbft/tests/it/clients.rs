//! Clients, rules P-7 and P-8, and hazards 72 to 81.

use bezant_pbft::packet::Packet;
use bezant_pbft::{Input, Timer};
use bezant_types::genesis::Parameters;
use bezant_types::{Bundle, Request, Signed, View};

use crate::network::{client_key, small};
use crate::oracle::Kind;
use crate::world::World;

impl World {
    /// A host passes a request on although its ledger has executed it.
    pub(crate) fn input_request(&mut self, node: u16, bundle: &Signed<Bundle>) {
        let verified = bundle.clone().verify(&self.members.keyring).expect("a client's bundle");
        let request = Request::new(verified, self.members.genesis.parameters()).expect("within the limits");
        self.input(node, Input::Submit(vec![request]));
    }

    /// How many requests the primary owes to this replica.
    fn waiting(&self, node: u16) -> usize {
        self.node(node).replica.as_ref().map(|replica| replica.report().waiting).expect("it is up")
    }
}

/// Rule P-8: what reached only backups is passed on in time, all of it, and the primary keeps its view.
#[test]
fn requests_that_only_backups_have_are_passed_on_to_the_primary() {
    let mut w = World::new(4, small(), 51);
    w.links.client_cut.insert((0, 0));
    for _ in 0..30 {
        w.ask(0);
    }
    w.finish_within(900);
    assert!(w.replicas().into_iter().all(|node| w.view(node) == 0));
}

/// Rule P-8: the whole time has to pass, and not a moment more.
#[test]
fn a_backup_waits_for_the_whole_timeout_before_it_asks_for_another_primary() {
    let mut w = World::among_puppets(2);
    let (bundle, _) = w.bundle_and_batch(1);
    w.links.delay = (1, 1);
    w.give(2, &bundle);
    w.run(390);
    assert_eq!(w.word(2, Kind::ViewChange, 1, 0), None);
    let passed_on = |packet: &Packet| matches!(packet, Packet::Requests(some) if some[..] == [bundle.clone()]);
    let sent = w.sent.as_ref().expect("kept");
    assert!(sent.iter().any(|(from, to, packet)| (*from, *to) == (2, 0) && passed_on(packet)), "half-way it relays");
    w.run(10);
    assert!(w.word(2, Kind::ViewChange, 1, 0).is_some());
}

/// Rule P-8: a backup watches the oldest request. When that one executes, the next has its full time.
#[test]
fn the_timer_starts_again_when_the_watched_request_executes() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    w.links.delay = (1, 1);
    let bundles: Vec<_> = (1..=2).map(|number| m.bundle(0, number, "x")).collect();
    bundles.iter().for_each(|bundle| w.give(2, bundle));
    w.run(300);
    let batch = m.batch(w.now, &bundles[..1]);
    w.tell(2, &m.decided(0, 1, &batch, &[0, 1, 3]));
    w.run(390);
    assert_eq!(w.word(2, Kind::ViewChange, 1, 0), None);
    w.run(20);
    assert!(w.word(2, Kind::ViewChange, 1, 0).is_some());
}

/// A backup that hears of some requests of a client only, and from the primary what was decided every 100 ms.
struct Counter {
    world: World,
    last: u64,
}

impl Counter {
    fn new(known: &[(usize, u64)]) -> Self {
        let mut world = World::among_puppets(2);
        world.links.delay = (1, 1);
        for (client, number) in known {
            let bundle = world.members.bundle(*client, *number, "x");
            world.give(2, &bundle);
        }
        Self { world, last: 0 }
    }

    /// The next block holds this request, and 100 ms pass.
    fn serve(&mut self, client: usize, number: u64) {
        let m = self.world.members.clone();
        let w = &mut self.world;
        let bundle = m.bundle(client, number, "x");
        let batch = m.batch(w.now, std::slice::from_ref(&bundle));
        self.last += 1;
        w.tell(2, &Packet::Requests(vec![bundle]));
        w.tell(2, &m.decided(0, self.last, &batch, &[0, 1, 3]));
        w.run(100);
    }

    fn leaves(&self) -> bool {
        self.world.word(2, Kind::ViewChange, 1, 0).is_some()
    }
}

/// Rule P-8, hazard 81: a client shows a backup its tenth request and the primary all of them, faster than the group
/// can execute them. That takes longer than the timeout, and is not the primary's fault.
#[test]
fn a_flood_is_served_in_its_order_and_moves_no_view() {
    let mut counter = Counter::new(&[(0, 10)]);
    for number in 1..10 {
        counter.serve(0, number);
        assert!(!counter.leaves(), "after {number}");
    }
    counter.world.run(450);
    assert!(counter.leaves(), "what is not served any more is owed");
}

/// Rule P-8: the same flood backwards. What the primary learns of too late comes before the rest when it is passed on.
#[test]
fn a_flood_in_descending_order_moves_no_view() {
    let mut w = World::new(4, small(), 59);
    w.links.delay = (1, 1);
    w.replicas().into_iter().for_each(|node| w.node_mut(node).execute_ms = 30);
    for number in (1..=400).rev() {
        let bundle = w.members.bundle(0, number, "x");
        let to = if number % 2 == 0 { 0 } else { 2 + (number / 2 % 2) as u16 };
        w.give(to, &bundle);
        w.run(2);
    }
    w.run(10_000);
    assert!(w.replicas().into_iter().all(|node| w.view(node) == 0), "nobody left");
}

/// Rule P-8, hazard 46: a primary that serves a client's later requests, and never the first, is left.
#[test]
fn a_request_that_others_of_its_client_overtake_is_owed() {
    let mut counter = Counter::new(&[(0, 1)]);
    for number in 2..6 {
        counter.serve(0, number);
    }
    counter.world.run(50);
    assert!(counter.leaves());
}

/// Rule P-8: ordering again what was executed before serves nobody.
#[test]
fn what_was_executed_before_satisfies_nobody_who_watches() {
    let mut counter = Counter::new(&[]);
    counter.serve(0, 1);
    let second = counter.world.members.bundle(0, 2, "x");
    counter.world.give(2, &second);
    for _ in 0..4 {
        assert!(!counter.leaves());
        counter.serve(0, 1);
    }
    counter.world.run(50);
    assert!(counter.leaves());
}

/// Rule V-5: nor is it progress, for which a timeout that has doubled would be halved again.
#[test]
fn what_was_executed_before_is_no_progress() {
    for (again, stays, leaves) in [(true, 750, 850), (false, 550, 650)] {
        let mut counter = Counter::new(&[]);
        counter.serve(0, 1);
        let (m, w) = (counter.world.members.clone(), &mut counter.world);
        let waiting = m.bundle(1, 1, "x");
        w.give(2, &waiting);
        w.run(420);
        assert!(w.word(2, Kind::ViewChange, 1, 0).is_some(), "nothing was done in this view");
        w.tell(2, &m.new_view(1, m.empty_view_changes(1, &[0, 1, 3]), vec![]));
        assert_eq!(w.view(2), 1);
        let repeated = m.bundle(0, if again { 1 } else { 2 }, "x");
        let batch = m.batch(w.now, std::slice::from_ref(&repeated));
        w.tell(2, &Packet::Requests(vec![repeated]));
        w.tell(2, &m.decided(1, 2, &batch, &[0, 1, 3]));
        w.run(stays);
        assert_eq!(w.word(2, Kind::ViewChange, 2, 0), None, "{again}");
        w.run(leaves - stays);
        assert!(w.word(2, Kind::ViewChange, 2, 0).is_some(), "{again}");
    }
}

/// Rule P-8, hazard 46: a client that is always served hides none that is not, whichever came first.
#[test]
fn who_is_served_goes_to_the_end_of_the_line() {
    for censored in [0, 1] {
        let flooder = 1 - censored;
        for order in [[(flooder, 30), (censored, 9)], [(censored, 9), (flooder, 30)]] {
            let mut counter = Counter::new(&order);
            for number in 1..7 {
                counter.serve(flooder, number);
            }
            assert!(counter.leaves(), "client {censored} is censored: {order:?}");
        }
    }
}

/// Rule P-8, hazard 46: nor does one that shows the backup ever lower numbers, just before each is served.
#[test]
fn a_watch_that_ends_sends_its_client_to_the_end_of_the_line() {
    let mut counter = Counter::new(&[(0, 100), (1, 1)]);
    for step in 1..7 {
        let lower = counter.world.members.bundle(0, 100 - 10 * step, "x");
        counter.world.give(2, &lower);
        counter.serve(0, 105 - 10 * step);
    }
    assert!(counter.leaves());
}

/// Rule P-8: whoever is served makes room in the line, watched or not, so that one who is not is soon at its head.
#[test]
fn nobody_waits_to_be_watched_until_all_others_were() {
    let mut counter = Counter::new(&[(0, 30), (1, 30), (2, 1)]);
    for (client, number) in [(1, 1), (0, 1), (1, 2), (0, 2), (1, 3)] {
        counter.serve(client, number);
    }
    counter.world.run(50);
    assert!(counter.leaves());
}

/// Rule P-8: what is watched is passed on although a flood leaves room for nothing else.
#[test]
fn what_is_watched_is_passed_on_whatever_else_waits() {
    let mut counter = Counter::new(&[]);
    let m = counter.world.members.clone();
    let large = "x".repeat(200_000);
    for number in 1..25 {
        counter.world.give(2, &m.bundle(0, number, &large));
    }
    let of_another = m.bundle(1, 1, "x");
    counter.world.give(2, &of_another);
    let first = m.bundle(0, 1, &large);
    let batch = m.batch(counter.world.now, std::slice::from_ref(&first));
    counter.world.tell(2, &m.decided(0, 1, &batch, &[0, 1, 3]));
    counter.world.run(300);
    let sent = counter.world.sent.as_ref().expect("kept");
    let passed_on = |packet: &Packet| matches!(packet, Packet::Requests(some) if some.contains(&of_another));
    assert!(sent.iter().any(|(from, to, packet)| (*from, *to) == (2, 0) && passed_on(packet)));
}

/// Rule P-8: however much a client signs under one number, one of it is passed on.
#[test]
fn what_is_passed_on_is_bounded() {
    let mut counter = Counter::new(&[]);
    let m = counter.world.members.clone();
    let large = "x".repeat(1_000_000);
    for serial in 0..20 {
        counter.world.give(2, &m.bundle(0, 1, &format!("{serial}{large}")));
    }
    counter.world.run(300);
    let sent = counter.world.sent.as_ref().expect("kept");
    let passed_on = sent.iter().filter(|(from, _, packet)| *from == 2 && matches!(packet, Packet::Requests(_)));
    let most = passed_on.map(|(.., packet)| packet.encode().len()).max();
    assert!(most.expect("something is passed on") < 6 << 20, "{most:?} bytes in one message");
}

/// Rule P-8, hazard 81: a client fills its share at the primary with later requests, and shows its first to the backups
/// only. What they pass on takes the place of what is not yet due.
#[test]
fn a_full_share_keeps_out_nothing_that_is_watched() {
    let mut w = World::new(4, small(), 61);
    w.links.delay = (1, 1);
    w.replicas().into_iter().for_each(|node| w.node_mut(node).execute_ms = 20);
    let (m, text) = (w.members.clone(), "x".repeat(400_000));
    let mut next = 1_000;
    let mut fill = |w: &mut World, how_many: u64| {
        for _ in 0..how_many {
            let bundle = m.bundle(0, next, &text);
            next += 2;
            w.replicas().into_iter().for_each(|node| w.send_request(0, node, &bundle));
        }
    };
    let first = m.bundle(0, 1, &"y".repeat(1_000_000));
    [1, 2, 3].into_iter().for_each(|node| w.send_request(0, node, &first));
    fill(&mut w, 90);
    w.run(5);
    for _ in 0..60 {
        fill(&mut w, 2);
        w.run(10);
    }
    assert!(w.replicas().into_iter().all(|node| w.view(node) == 0), "nobody left");
}

/// Rule P-8, hazard 46: a primary whose accomplices have their places before its victim, and are served at the last
/// moment, gains half a timeout by each of them at most: time in line counts.
#[test]
fn accomplices_in_the_line_buy_half_a_timeout_each() {
    let mut counter = Counter::new(&[(0, 1), (1, 1), (2, 1)]);
    let begun = counter.world.now;
    counter.world.run(150);
    counter.serve(0, 2);
    counter.serve(0, 1);
    assert!(!counter.leaves(), "the first is served after 250 ms");
    counter.world.run(60);
    counter.serve(1, 1);
    assert!(!counter.leaves(), "the second in the half of the timeout that it has");
    counter.world.run(150);
    assert!(counter.leaves(), "{} ms later the third, who has waited since the beginning", counter.world.now - begun);
}

/// Rule P-8: who has stood in line for long is not passed on at once when its turn comes, or in a group that many
/// clients keep busy each of them would be, with 4 MiB of the others.
#[test]
fn who_is_served_soon_after_its_turn_came_is_not_passed_on() {
    let mut counter = Counter::new(&[(0, 1), (1, 1)]);
    counter.world.run(250);
    let relayed = |w: &World| {
        let sent = w.sent.as_ref().expect("kept");
        sent.iter().filter(|(from, _, packet)| *from == 2 && matches!(packet, Packet::Requests(_))).count()
    };
    assert_eq!(relayed(&counter.world), 1, "half-way, all that waits");
    let m = counter.world.members.clone();
    let batch = m.batch(counter.world.now, &[m.bundle(0, 1, "x")]);
    counter.world.tell(2, &m.decided(0, 1, &batch, &[0, 1, 3]));
    assert_eq!(relayed(&counter.world), 1, "it is the other's turn");
    counter.world.run(10);
    assert_eq!(relayed(&counter.world), 2, "and nothing happens for a thirty-second part of the timeout");
}

/// Rule P-8: a backup that falls behind for a moment, now and then, goes on watching.
#[test]
fn falling_behind_for_a_moment_forgets_nobody() {
    let mut counter = Counter::new(&[(1, 1), (0, 9)]);
    let (w, mut sequence) = (&mut counter.world, 0);
    while w.word(2, Kind::ViewChange, 1, 0).is_none() {
        sequence += 1;
        assert!(sequence < 6, "it has lost sight of what it watches");
        let m = w.members.clone();
        let seal = bezant_pbft::message::Batch::Seal { timestamp: m.batch(w.now, &[]).timestamp() };
        // An empty block changes nothing.
        let root = w.node(2).ledger.root;
        w.tell(2, &Packet::Stable(m.stable(sequence, root, &[0, 1, 3])));
        w.tell(2, &m.decided(0, sequence, &seal, &[0, 1, 3]));
        w.run(170);
    }
}

/// Rule P-8: a backup that is behind when the time is over blames its own delay.
#[test]
fn a_backup_that_is_behind_blames_nobody() {
    let mut counter = Counter::new(&[(1, 1)]);
    let w = &mut counter.world;
    let m = w.members.clone();
    let seal = |w: &World| bezant_pbft::message::Batch::Seal { timestamp: m.batch(w.now, &[]).timestamp() };
    let root = w.node(2).ledger.root;
    w.run(385);
    w.tell(2, &Packet::Stable(m.stable(1, root, &[0, 1, 3])));
    w.run(20);
    assert_eq!(w.word(2, Kind::ViewChange, 1, 0), None, "it is behind");
    w.tell(2, &m.decided(0, 1, &seal(w), &[0, 1, 3]));
    w.run(420);
    assert!(w.word(2, Kind::ViewChange, 1, 0).is_some(), "it is behind no more");
}

/// Rule P-8: a proposal that does not execute is watched as well, though no request waits.
#[test]
fn a_slot_that_does_not_execute_is_watched_too() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let seal = bezant_pbft::message::Batch::Seal { timestamp: m.batch(w.now, &[]).timestamp() };
    w.tell(2, &m.pre_prepare(0, 1, &seal));
    assert_eq!(w.prepared(2, 0, 1), Some(seal.digest()));
    w.run(420);
    assert!(w.word(2, Kind::ViewChange, 1, 0).is_some());
}

/// Rule P-7: a traitor's replies are one vote; with it, and one replica down, the client still gets its f + 1.
#[test]
fn a_client_is_served_by_f_plus_one_honest_replicas() {
    let mut w = World::unstarted(4, small(), 52);
    w.node_mut(3).traitor = Some(crate::traitors::Traitor::Silent);
    w.start_all();
    w.work(5);
}

/// Hazard 74: requests of one client overtake each other, and all are executed.
#[test]
fn a_client_has_many_requests_under_way_at_once() {
    let mut w = World::new(4, small(), 53);
    w.links.delay = (1, 60);
    for _ in 0..40 {
        w.ask(0);
    }
    w.finish();
    w.converge();
    assert_eq!(w.executed(0), 40);
}

/// Hazard 73: the last number is a number like any other.
#[test]
fn the_last_request_number_hurts_nobody() {
    let mut w = World::new(4, small(), 54);
    let last = w.members.bundle(1, u64::MAX, "last");
    for node in w.replicas() {
        w.send_request(1, node, &last);
    }
    w.work(2);
    w.run(100);
    assert!(w.node(0).ledger.outcome(client_key(1).account(), last.message.number).is_some());
}

/// Hazard 72: two requests under one number: the first in order wins everywhere, alike.
#[test]
fn of_two_requests_under_one_number_one_is_executed() {
    let mut w = World::new(4, small(), 55);
    let (a, b) = (w.members.bundle(1, 1, "a"), w.members.bundle(1, 1, "b"));
    for node in w.replicas() {
        w.send_request(1, node, if node % 2 == 0 { &a } else { &b });
        w.send_request(1, node, if node % 2 == 0 { &b } else { &a });
    }
    w.run(1_000);
    w.converge();
    assert_eq!(w.executed(0), 1);
    assert!(w.replicas().into_iter().all(|node| w.view(node) == 0), "and nobody is blamed for it");
}

/// Hazard 72: whoever waits for the other one waits no more, and blames nobody.
#[test]
fn the_loser_of_two_requests_under_one_number_is_owed_by_nobody() {
    let mut w = World::new(4, small(), 59);
    for number in 1..=10 {
        let (a, b) = (w.members.bundle(1, number, "a"), w.members.bundle(1, number, "b"));
        for node in w.replicas() {
            w.send_request(1, node, if node < 2 { &a } else { &b });
        }
        w.run(1_000);
    }
    w.converge();
    assert_eq!(w.executed(0), 10);
    assert!(w.replicas().into_iter().all(|node| w.view(node) == 0), "an honest primary keeps its view");
    assert!(w.replicas().into_iter().all(|node| w.waiting(node) == 0));
}

/// Hazard 73: an old number that comes late is void in the same way.
#[test]
fn what_has_left_its_clients_window_is_owed_by_nobody() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let window = u64::from(small().client_window);
    let (old, last) = (m.bundle(0, 1, "old"), m.bundle(0, 1 + window, "last"));
    let others =
        [m.bundle(0, 2, "another place"), m.bundle(0, 1 + 2 * window, "a later one"), m.bundle(1, 1, "not its")];
    others.iter().chain([&old, &last]).for_each(|bundle| w.give(2, bundle));
    assert_eq!(w.waiting(2), 5);
    let batch = m.batch(w.now, std::slice::from_ref(&last));
    w.tell(2, &m.decided(0, 1, &batch, &[0, 1, 3]));
    assert_eq!(w.waiting(2), 3, "the others wait on");
}

/// Rule P-1: a primary may order again what was executed. Its body fills the slot, and is owed by nobody, whatever
/// becomes of the slot.
#[test]
fn the_body_of_what_was_executed_fills_a_slot_and_does_not_wait() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let bundle = m.bundle(0, 1, "x");
    w.give(2, &bundle);
    w.tell(2, &m.decided(0, 1, &m.batch(w.now, std::slice::from_ref(&bundle)), &[0, 1, 3]));
    // Another one under its number, which this replica has never seen.
    let other = m.bundle(0, 1, "y");
    let again = m.batch(w.now, std::slice::from_ref(&other));
    w.tell(2, &m.pre_prepare(0, 2, &again));
    assert_eq!(w.prepared(2, 0, 2), None, "the body is not here");
    w.tell(2, &Packet::Requests(vec![other]));
    assert_eq!(w.prepared(2, 0, 2), Some(again.digest()));
    assert_eq!(w.waiting(2), 0);
}

/// Hazard 81: a client that floods fills its own share. It is told, and the others are served meanwhile.
#[test]
fn a_client_that_floods_fills_its_own_share_only() {
    let parameters = Parameters { request_timeout_ms: 60_000, max_view_change_timeout_ms: 60_000, ..small() };
    let mut w = World::puppets(4, &[1], parameters);
    let text = "x".repeat(1 << 20);
    for number in 1..=40 {
        let bundle = w.members.bundle(0, number, &text);
        w.input_request(1, &bundle);
    }
    assert_eq!(w.waiting(1), 31, "32 MiB of requests of a little more than one");
    let busy = w.ignored.iter().filter(|(.., reason)| *reason == bezant_pbft::ignored::Ignored::ClientQuota).count();
    assert_eq!(busy, 9);
    let other = w.members.bundle(1, 1, "small");
    w.input_request(1, &other);
    assert_eq!(w.waiting(1), 32);
    w.input_request(1, &other);
    assert_eq!(w.waiting(1), 32, "the same request waits once");
}

/// Hazard 81: a primary takes from the clients in turn, so whoever has a lot waiting makes nobody else wait for it.
#[test]
fn a_client_with_a_backlog_makes_nobody_else_wait_for_it() {
    let mut w = World::new(4, small(), 58);
    w.links.delay = (1, 1);
    for _ in 0..200 {
        w.ask(0);
    }
    w.run(5);
    for client in [1, 2] {
        w.ask(client);
    }
    w.run_until(60, "the others are served at once", |w| w.clients[1..].iter().all(|host| host.done.len() == 1));
    assert!(w.clients[0].done.len() < 100, "{} of the backlog are done", w.clients[0].done.len());
    w.finish();
    assert_eq!(w.clients[0].done.len(), 200);
}

/// Hazard 80: after a view change the clients' repetitions do not keep the group from working.
#[test]
fn a_group_recovers_from_the_repetitions_of_all_its_clients() {
    let mut w = World::new(4, small(), 56);
    w.crash(0);
    for _ in 0..40 {
        for client in 0..3 {
            w.ask(client);
        }
    }
    w.run(3_000);
    w.restart(0);
    w.finish();
    w.converge();
    assert_eq!(w.executed(1), 120);
}

/// A request whose proposal failed with its view is taken again when its client repeats it, also by a replica that had
/// it from its log only.
#[test]
fn a_request_whose_slot_failed_is_ordered_after_all() {
    let mut w = World::new(4, small(), 57);
    w.lose(|_, _, packet| matches!(packet, Packet::Prepare(_)));
    w.ask(0);
    w.run(100);
    w.replicas().into_iter().for_each(|node| w.crash(node));
    w.replicas().into_iter().filter(|node| *node != 0).for_each(|node| w.restart(node));
    w.lose(|_, to, packet| to == 0 && !matches!(packet, Packet::Status(_)));
    w.run(2_000);
    w.heal();
    w.finish();
}

/// Rule P-1: what is in a block already does not wait to be ordered again.
#[test]
fn a_request_that_was_executed_is_not_ordered_again() {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(1, &bundle);
    w.tell(1, &m.decided(0, 1, &batch, &[0, 2, 3]));
    w.run(5);
    w.input_request(1, &bundle);
    assert_eq!(w.waiting(1), 0);
    assert_eq!(w.ignored.last().map(|(.., reason)| *reason), Some(bezant_pbft::ignored::Ignored::Duplicate));
}

/// A timer carries its view: one that fires late says nothing about this one.
#[test]
fn the_timers_of_earlier_views_are_ignored() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let (bundle, _) = w.bundle_and_batch(1);
    w.give(2, &bundle);
    for peer in [0, 3] {
        w.tell(2, &Packet::ViewChange(m.view_change(peer, 3, None, vec![])));
    }
    let timeout = |w: &mut World, timer| w.input(2, Input::Timeout(timer));
    timeout(&mut w, Timer::NewView(View::new(1)));
    assert_eq!(w.view(2), 3);
    w.tell(2, &m.new_view(3, m.empty_view_changes(3, &[0, 1, 3]), vec![]));
    assert!(w.node(2).timers.contains_key(&Timer::Progress(View::new(3))), "it watches the new primary");
    for _ in 0..3 {
        timeout(&mut w, Timer::Progress(View::new(1)));
        timeout(&mut w, Timer::NewView(View::new(3)));
        timeout(&mut w, Timer::Seal(View::ZERO));
    }
    assert_eq!((w.view(2), w.standing(2)), (3, bezant_pbft::message::Standing::Normal));
    timeout(&mut w, Timer::Progress(View::new(3)));
    timeout(&mut w, Timer::Progress(View::new(3)));
    assert_eq!(w.view(2), 4, "its own counts");
}
