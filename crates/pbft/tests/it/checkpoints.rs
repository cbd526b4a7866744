//! Checkpoints and water marks, rules C-1 to C-4, and what they bound.

use std::cell::Cell;
use std::rc::Rc;

use bezant_pbft::ignored::Ignored;
use bezant_pbft::message::Standing;
use bezant_pbft::packet::Packet;
use bezant_pbft::{Fault, Input, Timer};
use bezant_types::{Digest, View};

use crate::network::{Members, small};
use crate::oracle::Kind;
use crate::world::World;

/// Replica 1, to whom puppets commit batch after batch.
struct Lone {
    w: World,
    m: Members,
    next: u64,
}

impl Lone {
    fn new() -> Self {
        let w = World::among_puppets(1);
        Self { m: w.members.clone(), w, next: 1 }
    }

    /// Slots up to `last` are committed at replica 1.
    fn commit_to(&mut self, last: u64) {
        while self.next <= last {
            let sequence = self.next;
            let bundle = self.m.bundle(0, sequence, "text");
            self.w.give(1, &bundle);
            let batch = self.m.batch(self.w.now, &[bundle]);
            self.w.tell(1, &self.m.decided(0, sequence, &batch, &[0, 2, 3]));
            self.next += 1;
        }
        self.w.run(5);
        assert_eq!(self.w.height(1), last);
    }

    fn root(&self) -> Digest {
        self.w.node(1).ledger.root
    }
}

/// Rule C-1: every K sequence numbers, of the state after exactly that many.
#[test]
fn a_replica_vouches_for_its_state_every_k_sequence_numbers() {
    let mut one = Lone::new();
    one.commit_to(3);
    assert_eq!(one.w.word(1, Kind::Checkpoint, 0, 3), None);
    one.commit_to(4);
    let root = one.root();
    one.commit_to(5);
    assert_eq!(one.w.word(1, Kind::Checkpoint, 0, 4), Some(root));
}

/// Rule C-1: an idle group seals what it executed.
#[test]
fn an_idle_group_rests_on_a_stable_checkpoint() {
    let mut w = World::new(4, small(), 2);
    w.ask(0);
    w.finish();
    w.converge();
    assert!(w.stable(0) >= 1);
    let sealed = w.history.height();
    w.run(5_000);
    assert_eq!(w.history.height(), sealed, "one seal is enough");
    w.input(0, Input::Timeout(Timer::Seal(View::ZERO)));
    w.run(1_000);
    assert_eq!(w.history.height(), sealed, "a late timer finds nothing to seal");
}

/// Deviation 6: a primary that works meanwhile has time to seal what it has done since.
#[test]
fn work_that_goes_on_need_not_be_sealed_yet() {
    for goes_on in [true, false] {
        let mut one = Lone::new();
        one.commit_to(1);
        one.w.run(450);
        if goes_on {
            one.commit_to(2);
        }
        one.w.run(100);
        assert_eq!(one.w.word(1, Kind::ViewChange, 1, 0).is_none(), goes_on);
    }
}

/// Rules C-1 and C-2, hazard 2: a quorum of distinct members for one root, and the window moves.
#[test]
fn a_checkpoint_is_stable_with_a_quorum_of_equal_and_distinct_vouchers() {
    let mut one = Lone::new();
    one.commit_to(4);
    let root = one.root();
    one.w.tell(1, &one.m.checkpoint(2, 4, root));
    assert_eq!(one.w.told(1, &one.m.checkpoint(2, 4, root)), Some(Ignored::Duplicate));
    one.w.tell(1, &one.m.checkpoint(3, 4, Digest::of("test", "other")));
    assert_eq!(one.w.stable(1), 0, "itself and replica 2, twice, and another root");
    one.w.tell(1, &one.m.checkpoint(0, 4, root));
    assert_eq!(one.w.stable(1), 4);
    assert_eq!(one.w.told(1, &one.m.checkpoint(3, 4, root)), Some(Ignored::BelowWindow));
    let (_, batch) = one.w.bundle_and_batch(9);
    assert_eq!(one.w.told(1, &one.m.pre_prepare(0, 4, &batch)), Some(Ignored::BelowWindow));
    assert_eq!(one.w.told(1, &one.m.pre_prepare(0, 16, &batch)), None, "the window has moved");
    assert_eq!(one.w.told(1, &one.m.pre_prepare(0, 17, &batch)), Some(Ignored::AboveWindow));
}

/// Evidence: two states at one sequence number.
#[test]
fn two_checkpoints_of_one_member_for_one_sequence_number_convict_it() {
    let mut one = Lone::new();
    let (a, b) = (Digest::of("test", "a"), Digest::of("test", "b"));
    one.w.tell(1, &one.m.checkpoint(3, 4, a));
    assert_eq!(one.w.told(1, &one.m.checkpoint(3, 4, b)), Some(Ignored::Contradiction));
    one.w.tell(1, &one.m.checkpoint(3, 1 << 60, a));
    assert_eq!(one.w.told(1, &one.m.checkpoint(3, 1 << 60, b)), Some(Ignored::Contradiction));
    assert_eq!(one.w.accusations_of(3), 2);
    one.w.tell(1, &one.m.checkpoint(3, 1 << 50, b));
    assert_eq!(
        one.w.told(1, &one.m.checkpoint(3, 1 << 60, b)),
        Some(Ignored::Contradiction),
        "the latest is remembered"
    );
}

/// Rule C-3 and hazard 19: the window follows execution, whatever others say.
#[test]
fn the_window_does_not_move_past_what_was_executed() {
    let mut one = Lone::new();
    one.commit_to(3);
    let mut elsewhere = Lone::new();
    elsewhere.commit_to(4);
    let root = elsewhere.root();
    for member in [0, 2, 3] {
        one.w.tell(1, &one.m.checkpoint(member, 4, root));
    }
    assert_eq!(one.w.stable(1), 0);
    assert_eq!(one.w.transfers, 0, "the missing block may still come");
    one.commit_to(4);
    assert_eq!(one.w.stable(1), 4);
}

/// Rule C-4 and hazard 20: f members, however far they say they are, move nothing and cost nothing.
#[test]
fn f_members_that_claim_to_be_far_ahead_move_nobody() {
    let mut one = Lone::new();
    one.commit_to(4);
    let before = one.w.memory(1);
    for i in 0..500 {
        one.w.tell(1, &one.m.checkpoint(3, (1 << 60) + i * 7, Digest::of("test", &i)));
    }
    assert!(one.w.memory(1) < before + 2_000, "one claim is remembered");
    assert_eq!((one.w.stable(1), one.w.transfers), (0, 0));
    assert_eq!(one.w.view(1), 0);
}

/// Rule C-4: f + 1 members beyond the window: an honest one is. The replica asks, and a proof starts a transfer.
#[test]
fn f_plus_one_members_beyond_the_window_make_a_replica_ask() {
    let mut one = Lone::new();
    one.w.run(1);
    let root = Digest::of("test", "far");
    let statuses = |w: &World| {
        let sent = w.sent.as_ref().expect("kept");
        sent.iter().filter(|(from, _, packet)| *from == 1 && matches!(packet, Packet::Status(_))).count()
    };
    one.w.links.delay = (1, 1);
    one.w.tell(1, &one.m.checkpoint(2, 40, root));
    let before = statuses(&one.w);
    one.w.transmit(3, 1, &one.m.checkpoint(3, 40, root));
    one.w.run(1);
    assert_eq!(statuses(&one.w), before + 3, "it says where it stands, to everybody");
    let proof = Packet::Stable(one.m.stable(40, root, &[0, 2, 3]));
    one.w.tell(1, &proof);
    assert!(one.w.node(1).fetching.is_some(), "beyond the window only the state helps");
}

/// Rule C-1, hazard 65: a stable checkpoint that is handed over proves itself or is nothing.
#[test]
fn a_stable_checkpoint_is_checked_like_any_certificate() {
    let mut one = Lone::new();
    let root = Digest::of("test", "far");
    let mut forged = one.m.stable(40, root, &[0, 2, 3]);
    forged.vote.root = Digest::of("test", "else");
    for bad in [forged, one.m.stable(40, root, &[0, 2]), one.m.stable(40, root, &[2, 2, 3])] {
        assert!(matches!(one.w.told(1, &Packet::Stable(bad)), Some(Ignored::BadCertificate(_))));
    }
    assert!(one.w.node(1).fetching.is_none());
    let good = Packet::Stable(one.m.stable(40, root, &[0, 2, 3]));
    assert_eq!(one.w.told(1, &good), None);
    assert_eq!(one.w.told(1, &good), Some(Ignored::Duplicate));
    let old = Packet::Stable(one.m.stable(36, root, &[0, 2, 3]));
    assert_eq!(one.w.told(1, &old), Some(Ignored::Duplicate), "an older one adds nothing");
    assert_eq!(one.w.told(1, &Packet::Stable(one.m.stable(0, root, &[0, 2, 3]))), Some(Ignored::BelowWindow));
}

/// Hazard 18: two backups that learn late of a checkpoint refuse what lies above their window, and get it again.
#[test]
fn late_checkpoints_cost_no_view_change() {
    let mut w = World::new(4, small(), 3);
    let late = Rc::new(Cell::new(true));
    let filter = late.clone();
    w.lose(move |_, to, packet| {
        let about_checkpoints = matches!(packet, Packet::Checkpoint(_) | Packet::Stable(_));
        filter.get() && to >= 2 && about_checkpoints
    });
    for _ in 0..20 {
        w.ask(0);
        w.run(12);
    }
    assert!(w.ignored.iter().any(|(node, _, reason)| *node >= 2 && *reason == Ignored::AboveWindow));
    late.set(false);
    w.finish();
    assert!(w.replicas().into_iter().all(|node| w.view(node) == 0));
}

/// Hazards 21 and 87: agreement runs ahead of a slow executor, by a window at most; checkpoints are of what it
/// executed.
#[test]
fn a_slow_executor_vouches_for_what_it_has_executed() {
    let mut w = World::unstarted(4, small(), 4);
    w.node_mut(2).execute_ms = 40;
    w.start_all();
    for _ in 0..20 {
        w.ask(0);
        w.ask(1);
        w.run(10);
        let ahead = w.node(2).delivered - w.height(2);
        assert!(ahead <= w.members.genesis.parameters().window);
    }
    w.finish();
    w.converge();
}

/// Hazards 22 and 88: one replica that computes something else stops and says why; the others go on.
#[test]
fn a_replica_whose_execution_diverges_halts_alone() {
    let mut w = World::new(4, small(), 5);
    w.expect_halts = true;
    w.work(1);
    w.node_mut(3).traitor = Some(crate::traitors::Traitor::Diverged);
    w.node_mut(3).ledger.root = Digest::of("test", "bit rot");
    w.work(6);
    w.run(500);
    assert!(matches!(w.halted[..], [(3, Fault::Diverged { .. })]), "{:?}", w.halted);
    w.work(2);
}

/// A restart that executes the same blocks to another state is noticed too.
#[test]
fn a_replica_that_executes_its_past_differently_halts() {
    let mut w = World::unstarted(4, small(), 6);
    w.expect_halts = true;
    w.node_mut(3).save_ms = None;
    w.node_mut(3).compacts = false;
    w.start_all();
    w.work(2);
    w.converge();
    w.crash(3);
    w.node_mut(3).traitor = Some(crate::traitors::Traitor::Diverged);
    w.node_mut(3).bit_rot = true;
    w.restart(3);
    w.run(500);
    assert!(matches!(w.halted[..], [(3, Fault::Inconsistent { .. })]), "{:?}", w.halted);
}

/// Hazards 23 and 24: one member's votes, for ever new digests, views and slots, are one entry a slot.
#[test]
fn a_flood_of_votes_from_one_member_is_bounded() {
    let mut one = Lone::new();
    let fill = |one: &mut Lone, salt: u64| {
        for i in 0..50_000 {
            let digest = Digest::of("test", &(salt, i));
            let (view, sequence) = (salt * 100_000 + i, 1 + i % 12);
            let prepare = one.m.prepare(3, view + u64::from(view % 4 == 3), sequence, digest);
            one.w.transmit(3, 1, &prepare);
            one.w.transmit(3, 1, &one.m.commit(3, view, sequence, digest));
        }
        one.w.run(5);
        one.w.memory(1)
    };
    let once = fill(&mut one, 1);
    let again = fill(&mut one, 2);
    assert!(again < once + 1_000, "{once} then {again}");
}

/// Rule C-2: of what was delivered the last window of blocks is kept, for those behind, and no more.
#[test]
fn a_window_of_blocks_is_kept_for_those_behind() {
    for (behind, helped) in [(12, 12), (13, 0)] {
        let mut w = World::new(4, small(), 11);
        w.work(8);
        w.converge();
        w.crash(3);
        w.run(100);
        let height = w.height(1);
        assert!(height > 13, "{height}");
        let m = w.members.clone();
        let status = m.status(3, 0, Standing::Normal, w.stable(1), height - behind);
        w.sent = Some(vec![]);
        w.transmit(3, 1, &status);
        w.run(5);
        let sent = w.sent.iter().flatten();
        let blocks = sent.filter(|(from, to, packet)| (*from, *to) == (1, 3) && matches!(packet, Packet::Decided(_)));
        assert_eq!(blocks.count(), helped, "{behind} blocks behind");
    }
}

/// Hazard 26: nor does a group that is well remember more and more.
#[test]
fn what_a_replica_remembers_does_not_grow_with_its_history() {
    let mut w = World::new(4, small(), 8);
    let sizes = [30, 60].map(|rounds| {
        w.work(rounds);
        w.converge();
        w.memory(1)
    });
    assert!(sizes[1] < sizes[0] + 2_000, "{sizes:?}");
}

/// Hazard 26: what the others remember does not grow while one replica is down.
#[test]
fn memory_and_log_are_bounded_while_one_replica_is_down() {
    let mut w = World::new(4, small(), 7);
    w.crash(3);
    let mut sizes = vec![];
    for _ in 0..3 {
        w.work(20);
        w.run(500);
        sizes.push((w.memory(0), w.node(0).disk.log.len(), w.node(0).disk.blocks.len()));
    }
    let (first, last) = (sizes[0], sizes[2]);
    assert!(last.0 < first.0 * 3 / 2 && last.1 < first.1 + 60, "{sizes:?}");
    w.restart(3);
    w.converge();
}
