//! Crashes and restarts with the log.

use bezant_engine::{Engine, Log};
use bezant_pbft::Input;
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::ignored::Ignored;
use bezant_pbft::message::Standing;
use bezant_pbft::packet::Packet;
use bezant_pbft::record::Record;

use crate::network::{id, small};
use crate::node::{CrashPoint, decode_log};
use crate::oracle::Kind;
use crate::script::PATIENCE;
use crate::world::World;

const POINTS: [CrashPoint; 3] = [CrashPoint::BeforeSync, CrashPoint::AfterSync, CrashPoint::HalfWay];

/// A group that works, in which `node` crashes at its `sync`th sync and comes back.
fn crash_at(node: u16, sync: u64, point: CrashPoint, compacts: bool) {
    let mut w = World::unstarted(4, small(), sync);
    for one in w.replicas() {
        w.node_mut(one).compacts = compacts;
        w.node_mut(one).sync_ms = u64::from(one % 2);
        w.node_mut(one).save_ms = if compacts { Some(40) } else { None };
    }
    w.node_mut(node).doom = Some((sync, point));
    w.start_all();
    for _ in 0..5 {
        w.ask(0);
        w.ask(1);
        w.run(25);
    }
    w.restart(node);
    w.finish();
    w.work(1);
    w.converge();
}

/// Rule on restart, hazards 54, 55 and 59: at every sync of a backup and of the primary, before it, after it, and in
/// the middle of what follows it. The oracle compares all that was ever said.
#[test]
fn a_crash_at_any_point_contradicts_nothing_and_loses_nothing() {
    for sync in 1..=22 {
        for (index, point) in POINTS.into_iter().enumerate() {
            // Every point of every sync, half of them at the primary, with and without a compacted log.
            let turn = sync + index as u64;
            crash_at((turn % 2) as u16, sync, point, turn % 4 < 2);
        }
    }
}

/// The same through a view change: the old primary dies for good, and one of the rest at every point of the change.
#[test]
fn a_crash_at_any_point_of_a_view_change_contradicts_nothing() {
    for later in 1..=8 {
        for point in POINTS {
            for node in [1, 2].into_iter().filter(|node| later % 2 == u64::from(node % 2) || later > 4) {
                let mut w = World::new(4, small(), later);
                w.work(1);
                w.ask(0);
                w.run(2);
                w.crash(0);
                let sync = w.node(node).disk.syncs + later;
                w.node_mut(node).doom = Some((sync, point));
                w.ask(1);
                w.run(700);
                w.restart(node);
                w.finish();
                w.node_mut(node).doom = None;
                w.restart(node);
                w.restart(0);
                w.work(1);
                w.converge();
            }
        }
    }
}

/// Rule R-2: after a restart the same bytes are said again.
#[test]
fn a_restarted_replica_says_the_same_bytes_again() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(2, &bundle);
    w.tell(2, &m.pre_prepare(0, 1, &batch));
    w.tell(2, &m.prepare(1, 0, 1, batch.digest()));
    let votes = |w: &World| -> Vec<Vec<u8>> {
        let sent = w.sent.as_ref().expect("kept").iter().filter(|(from, to, _)| (*from, *to) == (2, 0));
        let votes = sent.filter(|(.., packet)| matches!(packet, Packet::Prepare(_) | Packet::Commit(_)));
        votes.map(|(.., packet)| packet.encode()).collect()
    };
    let before = votes(&w);
    assert_eq!(before.len(), 2);
    w.crash(2);
    w.sent = Some(vec![]);
    w.restart(2);
    w.run(5);
    assert_eq!(votes(&w), before);
    let other = m.batch(w.now, &[m.bundle(0, 2, "x")]);
    assert_eq!(w.told(2, &m.pre_prepare(0, 1, &other)), Some(Ignored::Contradiction));
}

/// Rule R-1 and hazard 55: what was not synced was not said, and is gone.
#[test]
fn a_vote_that_was_not_durable_was_not_said() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let (bundle, batch) = w.bundle_and_batch(1);
    let other = m.bundle(0, 2, "x");
    let second = m.batch(w.now, std::slice::from_ref(&other));
    w.give(2, &bundle);
    w.give(2, &other);
    w.node_mut(2).doom = Some((1, CrashPoint::BeforeSync));
    w.tell(2, &m.pre_prepare(0, 1, &batch));
    assert_eq!(w.prepared(2, 0, 1), None);
    w.restart(2);
    w.give(2, &other);
    w.tell(2, &m.pre_prepare(0, 1, &second));
    assert_eq!(w.prepared(2, 0, 1), Some(second.digest()), "it is free to vote otherwise");
}

/// Hazards 58 and 59: all crash at once after voting, before any certificate formed. They proceed from their logs.
#[test]
fn a_group_that_crashed_between_votes_and_certificates_proceeds() {
    for kind in [Kind::PrePrepare, Kind::Prepare, Kind::Commit] {
        let mut w = World::new(4, small(), 31);
        w.work(1);
        w.lose(move |_, _, packet| {
            crate::oracle::statement(packet).is_some_and(|(_, (matter, _))| matter.kind == kind)
        });
        w.ask(0);
        w.run(100);
        w.replicas().into_iter().for_each(|node| w.crash(node));
        w.heal();
        w.replicas().into_iter().for_each(|node| w.restart(node));
        w.finish_within(500);
        w.work(1);
        w.converge();
    }
}

/// The same, and the power stays off for longer than clocks may differ: the proposals on disk are too old to be
/// accepted by those who had not accepted them. The next view orders the requests again.
#[test]
fn a_group_that_was_down_for_long_proceeds_although_its_proposals_are_old() {
    let mut w = World::new(4, small(), 32);
    w.work(1);
    w.lose(|_, _, packet| matches!(packet, Packet::PrePrepare(..)));
    w.ask(0);
    w.run(100);
    w.replicas().into_iter().for_each(|node| w.crash(node));
    w.heal();
    w.now += 10 * w.members.genesis.parameters().max_clock_skew_ms;
    w.replicas().into_iter().for_each(|node| w.restart(node));
    w.finish();
    w.converge();
}

/// The same with nobody to spare: two backups had accepted the proposal, and the primary counts its own although it is
/// old.
#[test]
fn a_primary_stands_by_its_own_old_proposal() {
    let mut w = World::new(4, small(), 38);
    w.work(1);
    w.lose(|_, _, packet| matches!(packet, Packet::Prepare(_)));
    w.ask(0);
    w.run(60);
    w.replicas().into_iter().for_each(|node| w.crash(node));
    w.heal();
    w.now += 10 * w.members.genesis.parameters().max_clock_skew_ms;
    [0, 1, 2].into_iter().for_each(|node| w.restart(node));
    w.run(200);
    assert!(w.honest().into_iter().all(|node| w.view(node) == 0));
    assert!(w.honest().into_iter().all(|node| w.executed(node) == 4));
}

/// Hazards 62 and 63: the saved state and the blocks lie behind the log by any distance. A compacted log, an older
/// state.
#[test]
fn an_old_saved_state_and_a_young_log_make_one_replica() {
    for save_ms in [None, Some(1), Some(700)] {
        for compacts in [false, true] {
            let mut w = World::unstarted(4, small(), 33);
            w.replicas().into_iter().for_each(|node| {
                w.node_mut(node).save_ms = save_ms;
                w.node_mut(node).compacts = compacts;
            });
            w.start_all();
            for _ in 0..4 {
                w.work(3);
                w.ask(0);
                w.run(3);
                w.replicas().into_iter().for_each(|node| w.crash(node));
                w.replicas().into_iter().for_each(|node| w.restart(node));
                w.finish();
            }
            w.converge();
            assert_eq!(w.view(0), 0, "an honest primary comes back as the primary that it was");
        }
    }
}

/// A stable checkpoint settles what is below it, also for a replica whose saved state is older and whose log was
/// compacted: it has forgotten what it said there, so it says nothing there any more.
#[test]
fn nobody_votes_below_a_proven_checkpoint_after_a_restart() {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    w.node_mut(1).save_ms = None;
    for sequence in 1..=4 {
        let bundle = m.bundle(0, sequence, "text");
        w.give(1, &bundle);
        let batch = m.batch(w.now, &[bundle]);
        w.tell(1, &m.pre_prepare(0, sequence, &batch));
        w.tell(1, &m.prepare(2, 0, sequence, batch.digest()));
        [0, 2].iter().for_each(|voter| w.tell(1, &m.commit(*voter, 0, sequence, batch.digest())));
    }
    w.run(5);
    let root = w.node(1).ledger.root;
    [2, 3].iter().for_each(|peer| w.tell(1, &m.checkpoint(*peer, 4, root)));
    assert_eq!(w.stable(1), 4);
    w.crash(1);
    w.node_mut(1).disk.blocks.clear();
    w.restart(1);
    w.run(5);
    let (_, other) = w.bundle_and_batch(9);
    for sequence in 1..=4 {
        assert_eq!(w.told(1, &m.pre_prepare(0, sequence, &other)), Some(Ignored::BelowWindow));
    }
    assert_eq!(w.told(1, &m.pre_prepare(0, 5, &other)), None);
}

/// The view change of a replica whose saved state is old, but whose log knows of a later stable checkpoint, is valid:
/// its proofs lie within a window of the checkpoint that it names.
#[test]
fn a_view_change_after_a_restart_starts_from_the_proven_checkpoint() {
    let mut w = World::unstarted(4, small(), 34);
    w.replicas().into_iter().for_each(|node| {
        w.node_mut(node).save_ms = None;
        w.node_mut(node).compacts = false;
        w.node_mut(node).execute_ms = 1;
    });
    w.start_all();
    w.work(12);
    w.converge();
    w.lose(|_, _, packet| matches!(packet, Packet::Commit(_)));
    for _ in 0..6 {
        w.ask(0);
    }
    w.run(50);
    w.replicas().into_iter().for_each(|node| {
        w.crash(node);
        w.node_mut(node).execute_ms = 200;
    });
    w.lose(|_, _, packet| matches!(packet, Packet::Checkpoint(_) | Packet::Stable(_)));
    w.restart(1);
    w.restart(2);
    w.restart(3);
    w.run(20 * 400);
    let bad = w.ignored.iter().filter(|(.., reason)| matches!(reason, Ignored::BadPreparedSet)).count();
    assert_eq!(bad, 0, "no honest view change is refused");
    w.heal();
    w.finish();
}

/// What [`Engine::dump`] writes makes the same replica: at random moments of a troubled life the log is
/// compacted, and the compacted log replays to a replica that would write the same.
#[test]
fn a_compacted_log_says_what_the_long_one_said() {
    for seed in 0..3 {
        let mut w = World::unstarted(4, small(), seed);
        w.replicas().into_iter().for_each(|node| w.node_mut(node).compacts = false);
        w.links.loss = 10;
        w.start_all();
        for round in 0..60 {
            w.ask((round % 3) as usize);
            let pause = w.dice.below(60);
            w.run(pause);
            let node = w.dice.below(4) as u16;
            w.compact(node);
            let (before, _) = (w.records(node), w.crash(node));
            w.restart(node);
            assert_eq!(w.records(node), before, "replica {node} in round {round}");
        }
        w.heal();
        w.finish();
        w.converge();
    }
}

/// A compacted log keeps what was said: votes, what prepared before a view was left, the view change, the view.
#[test]
fn a_compacted_log_keeps_votes_proofs_and_views() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let again = |w: &mut World| {
        w.compact(2);
        w.crash(2);
        w.sent = Some(vec![]);
        w.restart(2);
        w.run(5);
        let sent = w.sent.iter().flatten().filter(|(from, to, _)| (*from, *to) == (2, 0));
        sent.filter_map(|(.., packet)| crate::oracle::statement(packet))
            .map(|(_, said)| said.0.kind)
            .collect::<Vec<_>>()
    };
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(2, &bundle);
    w.tell(2, &m.pre_prepare(0, 1, &batch));
    assert_eq!(again(&mut w), [Kind::Prepare]);
    w.tell(2, &m.prepare(1, 0, 1, batch.digest()));
    assert_eq!(again(&mut w), [Kind::Prepare, Kind::Commit]);
    let change = |w: &mut World, view| {
        for peer in [0, 3] {
            w.tell(2, &Packet::ViewChange(m.view_change(peer, view, None, vec![])));
        }
    };
    change(&mut w, 1);
    assert_eq!(again(&mut w), [Kind::ViewChange]);
    change(&mut w, 3);
    let last = w.sent.iter().flatten().rev().find_map(|(_, _, packet)| {
        if let Packet::ViewChange(signed) = packet {
            (signed.signer == id(2)).then(|| signed.message.clone())
        } else {
            None
        }
    });
    assert_eq!(last.map(|change| (change.view.get(), change.prepared.len())), Some((3, 1)), "the proof is still there");
    let proof = m.prepared(0, 1, batch.digest(), &[1, 2]);
    let changes = vec![
        m.view_change(0, 3, None, vec![proof]),
        m.view_change(1, 3, None, vec![]),
        m.view_change(3, 3, None, vec![]),
    ];
    w.tell(2, &m.new_view(3, changes, vec![batch.digest()]));
    w.tell(2, &m.pre_prepare_by(3, 3, 1, batch.digest(), None));
    assert_eq!(again(&mut w), [Kind::Prepare]);
    assert_eq!((w.view(2), w.standing(2)), (3, Standing::Normal));
    w.tell(2, &m.prepare(1, 3, 1, batch.digest()));
    assert_eq!(again(&mut w), [Kind::Prepare, Kind::Commit]);
    change(&mut w, 4);
    let last = w.sent.iter().flatten().rev().find_map(|(_, _, packet)| {
        if let Packet::ViewChange(signed) = packet { Some(signed.message.clone()) } else { None }
    });
    let proof = m.prepared(3, 1, batch.digest(), &[1, 2]);
    assert_eq!(last.map(|change| change.prepared), Some(vec![proof]), "of the highest view");
}

/// A log that holds votes and not their batch: whoever vouched for it is asked.
#[test]
fn a_replica_whose_log_lacks_a_batch_asks_for_it() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let (_, batch) = w.bundle_and_batch(1);
    w.crash(2);
    let proof = m.prepared(0, 1, batch.digest(), &[1, 3]);
    let Packet::PrePrepare(accepted, _) = m.pre_prepare(0, 1, &batch) else { unreachable!("it is one") };
    let Ok(()) = w.node_mut(2).disk.append(&[Record::Accepted(accepted, None), Record::Prepared(proof)]);
    w.sent = Some(vec![]);
    w.restart(2);
    w.run(15);
    let wants = |packet: &Packet| matches!(packet, Packet::Fetch(one) if one.message.batches.len() == 1);
    assert!(w.sent.iter().flatten().any(|(from, _, packet)| *from == 2 && wants(packet)));
}

/// Rule P-8: while it executes again what it had executed, a replica is behind, and that is nobody's fault.
#[test]
fn a_replica_that_executes_again_blames_nobody() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    w.node_mut(2).save_ms = None;
    for sequence in 1..=3 {
        let bundle = m.bundle(0, sequence, "text");
        w.give(2, &bundle);
        w.tell(2, &m.decided(0, sequence, &m.batch(w.now, &[bundle]), &[0, 1, 3]));
    }
    w.crash(2);
    w.node_mut(2).execute_ms = 150;
    w.restart(2);
    w.sent = Some(vec![]);
    w.give(2, &m.bundle(1, 1, "text"));
    w.run(400);
    let passes_on = |w: &World| {
        let sent = w.sent.iter().flatten();
        sent.filter(|(from, _, packet)| *from == 2 && matches!(packet, Packet::Requests(_))).count()
    };
    assert_eq!(passes_on(&w), 0, "450 ms of execution are not over");
    w.run(300);
    assert_eq!(passes_on(&w), 1);
}

/// A compacted log keeps the message with which a primary opens a view: it never opens it with another.
#[test]
fn a_compacted_log_keeps_the_opening_of_a_view() {
    let mut w = World::among_puppets(1);
    let m = w.members.clone();
    for peer in [0, 2] {
        w.transmit(peer, 1, &Packet::ViewChange(m.view_change(peer, 1, None, vec![])));
    }
    w.run_until(PATIENCE, "it opens view 1", |w| w.word(1, Kind::NewView, 1, 0).is_some());
    assert_eq!(w.standing(1), Standing::ViewChanging, "its own message has not come back yet");
    w.compact(1);
    w.crash(1);
    w.restart(1);
    let proof = m.prepared(0, 1, bezant_types::Digest::of("test", "x"), &[1, 2]);
    w.tell(1, &Packet::ViewChange(m.view_change(3, 1, None, vec![proof])));
    w.tell(1, &Packet::ViewChange(m.view_change(0, 1, None, vec![])));
    assert_eq!((w.view(1), w.standing(1)), (1, Standing::Normal), "with the same message, or the oracle would cry");
}

/// What a backup voted for in a view that failed it goes on holding through a compaction and a restart: a proof may
/// name it as a holder although the batch never prepared here.
#[test]
fn bodies_that_were_vouched_for_survive_compaction() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(2, &bundle);
    w.tell(2, &m.pre_prepare(0, 1, &batch));
    for peer in [0, 3] {
        w.tell(2, &Packet::ViewChange(m.view_change(peer, 1, None, vec![])));
    }
    w.compact(2);
    w.crash(2);
    w.restart(2);
    w.sent = Some(vec![]);
    w.transmit(1, 2, &m.fetch(1, vec![m.digest_of(&bundle)], vec![(crate::network::at(1), batch.digest())]));
    w.run(5);
    let answers: Vec<_> = w.sent.iter().flatten().filter(|(from, ..)| *from == 2).map(|(.., packet)| packet).collect();
    assert!(answers.iter().any(|packet| matches!(packet, Packet::Batch(_, found) if *found == batch)));
    assert!(answers.iter().any(|packet| matches!(packet, Packet::Requests(found) if found[..] == [bundle.clone()])));
}

/// Records that are not this replica's past are refused by name: whatever the log is asked to believe is checked.
#[test]
fn a_log_is_believed_only_as_far_as_it_proves_itself() {
    let w = World::among_puppets(2);
    let m = w.members.clone();
    let digest = bezant_types::Digest::of("test", "x");
    let (bundle, batch) = w.bundle_and_batch(1);
    let stranger = m.bundle(0, 2, "other");
    let bodies = |requests: Vec<_>| bezant_pbft::record::Bodies { batch: batch.clone(), requests };
    let Packet::NewView(opening) = m.new_view(1, m.empty_view_changes(1, &[0, 1]), vec![]) else { unreachable!() };
    let mut forged = bundle.clone();
    forged.message.number = bezant_types::RequestNumber::new(5);
    let bad = [
        Record::Prepared(m.prepared(0, 1, digest, &[1])),
        Record::Stable(m.stable(4, digest, &[0, 1])),
        Record::Entered(opening),
        Record::Bodies(crate::network::at(1), bodies(vec![])),
        Record::Bodies(crate::network::at(1), bodies(vec![stranger])),
        Record::Bodies(crate::network::at(1), bodies(vec![forged])),
    ];
    for record in bad {
        let mut replica = bezant_pbft::Replica::new(bezant_pbft::Config::new(&m.genesis, id(2)).expect("a member"));
        assert!(replica.replay(record.clone()).is_err(), "{record:?}");
    }
    let mut replica = bezant_pbft::Replica::new(bezant_pbft::Config::new(&m.genesis, id(2)).expect("a member"));
    assert!(replica.replay(Record::Bodies(crate::network::at(1), bodies(vec![bundle.clone()]))).is_ok());
    let stored = |signers: &[u16], batch: &bezant_pbft::message::Batch| bezant_pbft::StoredBlock {
        commits: m.commits(0, 1, batch.digest(), signers),
        batch: batch.clone(),
        requests: vec![bundle.clone()],
    };
    let null = bezant_pbft::message::Batch::Null;
    assert!(replica.replay_block(stored(&[0, 1], &batch)).is_err(), "two commits");
    assert!(replica.replay_block(stored(&[0, 1, 3], &null)).is_err(), "a body that the batch does not name");
    let swapped = bezant_pbft::StoredBlock { batch: null.clone(), requests: vec![], ..stored(&[0, 1, 3], &batch) };
    assert!(replica.replay_block(swapped).is_err(), "another batch than was committed");
    let late =
        bezant_pbft::StoredBlock { commits: m.commits(0, 2, batch.digest(), &[0, 1, 3]), ..stored(&[0], &batch) };
    assert!(replica.replay_block(late).is_err(), "not the next block");
    assert!(replica.replay_block(stored(&[0, 1, 3], &batch)).is_ok());
}

/// A host that restarts a replica that was waiting for blocks or for a state: it asks again, for nobody else remembers.
#[test]
fn a_replica_that_was_behind_when_it_crashed_asks_again() {
    let mut w = World::new(4, small(), 37);
    w.isolate(3);
    w.work(12);
    w.reconnect(3);
    w.run_until(PATIENCE, "it needs a state", |w| w.node(3).fetching.is_some());
    w.compact(3);
    w.crash(3);
    w.restart(3);
    w.run(50);
    assert!(w.node(3).fetching.is_some() || w.transfers > 0, "although the others are idle");
    w.converge();
}

impl World {
    /// Rewrites a replica's log with what it must not forget.
    fn compact(&mut self, node: u16) {
        let records = self.records(node);
        let disk = &mut self.node_mut(node).disk;
        disk.log.clear();
        let Ok(()) = disk.append(&records);
        assert_eq!(decode_log(&disk.log), records);
    }

    fn records(&self, node: u16) -> Vec<Record> {
        self.node(node).replica.as_ref().map(Engine::dump).unwrap_or_default()
    }
}

/// The certificate type is what a host hands back: it cannot be made up.
#[test]
fn a_restored_state_comes_with_a_certificate_that_was_checked() {
    let w = World::among_puppets(2);
    let m = w.members.clone();
    let check = |signers: &[u16]| {
        let endorsed = m.stable(40, bezant_types::Digest::of("test", "far"), signers);
        CheckpointCertificate::check(endorsed, m.committee, &m.keyring)
    };
    assert!(check(&[0, 1]).is_err());
    let _ = check(&[0, 1, 3]).map(|certificate| Input::Restored { certificate }).expect("a sound certificate");
}
