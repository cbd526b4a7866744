//! Helping and being helped: rules V-4, V-7 and C-4, bodies by digest, blocks by certificate, states by checkpoint.

use bezant_pbft::Input;
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::ignored::Ignored;
use bezant_pbft::message::{Batch, Fetch, Standing};
use bezant_pbft::packet::Packet;
use bezant_types::codec::encoded_len;
use bezant_types::genesis::Parameters;
use bezant_types::{Bundle, Digest, Signed};

use crate::network::{Members, at, small};
use crate::oracle::Kind;
use crate::script::PATIENCE;
use crate::world::World;

fn lone() -> (World, Members, Signed<Bundle>, Batch) {
    let mut w = World::among_puppets(1);
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(1, &bundle);
    let m = w.members.clone();
    (w, m, bundle, batch)
}

/// What replica 1 sent to `to` since the script last looked.
fn answers(w: &mut World, to: u16) -> Vec<Packet> {
    let sent = w.sent.replace(vec![]).expect("kept");
    sent.into_iter().filter(|(from, peer, _)| (*from, *peer) == (1, to)).map(|(.., packet)| packet).collect()
}

/// Rule V-7 and hazard 65: a block that is handed over is checked as strictly as a live one.
#[test]
fn a_decided_block_proves_itself_or_is_nothing() {
    let (mut w, m, _, batch) = lone();
    let digest = batch.digest();
    let decided =
        |commits, batch: &Batch| Packet::Decided(bezant_pbft::packet::Decided { commits, batch: batch.clone() });
    for signers in [&[0, 2][..], &[0, 0, 2], &[2, 0, 3], &[0, 2, 9], &[0, 1, 2, 3]] {
        let reason = w.told(1, &decided(m.commits(0, 1, digest, signers), &batch));
        assert!(matches!(reason, Some(Ignored::BadCertificate(_))), "{signers:?}");
    }
    let mut moved = m.commits(0, 2, digest, &[0, 2, 3]);
    moved.vote.sequence = at(1);
    assert!(matches!(w.told(1, &decided(moved, &batch)), Some(Ignored::BadCertificate(_))));
    assert_eq!(w.told(1, &decided(m.commits(0, 1, digest, &[0, 2, 3]), &Batch::Null)), Some(Ignored::WrongDigest));
    assert_eq!(w.told(1, &m.decided(0, 13, &batch, &[0, 2, 3])), Some(Ignored::AboveWindow));
    assert_eq!(w.told(1, &m.decided(0, u64::MAX, &batch, &[0, 2, 3])), Some(Ignored::AboveWindow));
    assert_eq!(w.told(1, &m.decided(0, 2, &batch, &[0, 2, 3])), None, "it waits for the one before it");
    assert_eq!(w.told(1, &m.decided(0, 2, &batch, &[0, 1, 2])), Some(Ignored::Duplicate));
    assert_eq!(w.height(1), 0);
    assert_eq!(w.told(1, &m.decided(7, 1, &batch, &[0, 2, 3])), None, "whatever the view");
    assert_eq!(w.height(1), 2);
    assert_eq!(w.told(1, &m.decided(0, 1, &batch, &[0, 2, 3])), Some(Ignored::BelowWindow));
}

/// Two valid certificates for one slot: more than f lie, and going on would be worse than stopping.
#[test]
fn two_valid_certificates_for_one_slot_stop_the_replica() {
    let (mut w, m, _, batch) = lone();
    w.expect_halts = true;
    w.tell(1, &m.decided(0, 2, &batch, &[0, 2, 3]));
    w.tell(1, &m.decided(0, 2, &Batch::Null, &[0, 2, 3]));
    assert!(matches!(w.halted[..], [(1, bezant_pbft::Fault::Broken { .. })]));
}

/// A proposal against a commit that is proven is a lie of the primary, not the end of the world: one traitor must not
/// be able to stop honest replicas one after the other.
#[test]
fn a_proposal_against_a_proven_commit_costs_the_primary_its_view_and_nothing_else() {
    for executed in [false, true] {
        let (mut w, m, _, batch) = lone();
        let slot = if executed { 1 } else { 2 };
        w.tell(1, &m.decided(0, slot, &batch, &[0, 2, 3]));
        w.run(5);
        assert_eq!(w.height(1), u64::from(executed));
        let other = m.batch(w.now, &[m.bundle(0, 2, "x")]);
        assert_eq!(w.told(1, &m.pre_prepare(0, slot, &other)), Some(Ignored::DecidedOtherwise));
        assert_eq!(w.prepared(1, 0, slot), None);
        assert!(w.word(1, Kind::ViewChange, 1, 0).is_some());
    }
}

/// The same after a restart, when the block store alone remembers what was decided.
#[test]
fn a_proposal_against_a_stored_block_is_refused() {
    let (mut w, m, _, batch) = lone();
    w.tell(1, &m.decided(0, 1, &batch, &[0, 2, 3]));
    w.run(5);
    w.crash(1);
    w.restart(1);
    w.run(5);
    assert_eq!(w.height(1), 1);
    let other = m.batch(w.now, &[m.bundle(0, 2, "x")]);
    assert_eq!(w.told(1, &m.pre_prepare(0, 1, &other)), Some(Ignored::DecidedOtherwise));
    w.tell(1, &Packet::Requests(vec![m.bundle(0, 2, "x")]));
    assert_eq!(w.prepared(1, 0, 1), None);
}

/// Rule V-4 and hazard 48: a body that did not come is asked for, from whoever vouched for it, then from anybody; the
/// proposal is accepted when it is here, and not before.
#[test]
fn a_missing_body_is_fetched_before_anything_is_said() {
    let (mut w, m, ..) = lone();
    let bundle = m.bundle(1, 1, "unknown here");
    let batch = m.batch(w.now, std::slice::from_ref(&bundle));
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    w.run(350);
    assert_eq!(w.prepared(1, 0, 1), None);
    let asked: Vec<u16> = [0, 2, 3]
        .into_iter()
        .filter(|peer| {
            let sent = w.sent.as_ref().expect("kept").iter().filter(|(from, to, _)| (*from, to) == (1, peer));
            sent.into_iter().any(
                |(.., packet)| matches!(packet, Packet::Fetch(signed) if signed.message.requests == batch.requests()),
            )
        })
        .collect();
    assert_eq!(asked, [0, 2, 3]);
    w.tell(1, &Packet::Requests(vec![bundle]));
    assert_eq!(w.prepared(1, 0, 1), Some(batch.digest()));
    assert!(!w.node(1).timers.contains_key(&bezant_pbft::Timer::Fetch), "nothing is missing any more");
}

/// Rule V-4: a batch that the new view prescribes and that is not here is asked for by digest; what nobody asked for is
/// not taken.
#[test]
fn a_batch_is_fetched_by_its_digest_and_taken_only_if_it_was_asked_for() {
    let (mut w, m, bundle, batch) = lone();
    assert_eq!(w.told(1, &Packet::Batch(at(1), batch.clone())), Some(Ignored::Unasked));
    let mut w = World::among_puppets(2);
    w.give(2, &bundle);
    let proof = m.prepared(0, 1, batch.digest(), &[1, 3]);
    let changes = vec![
        m.view_change(0, 1, None, vec![proof]),
        m.view_change(1, 1, None, vec![]),
        m.view_change(3, 1, None, vec![]),
    ];
    w.tell(2, &m.new_view(1, changes, vec![batch.digest()]));
    w.tell(2, &m.pre_prepare_by(1, 1, 1, batch.digest(), None));
    w.run(30);
    let sent = w.sent.as_ref().expect("kept");
    let wanted = [(at(1), batch.digest())];
    let asks = |packet: &Packet| matches!(packet, Packet::Fetch(signed) if signed.message.batches == wanted);
    assert!(sent.iter().any(|(from, _, packet)| *from == 2 && asks(packet)));
    assert_eq!(w.told(2, &Packet::Batch(at(1), Batch::Null)), Some(Ignored::Unasked), "another batch");
    assert_eq!(w.told(2, &Packet::Batch(at(2), batch.clone())), Some(Ignored::Unasked), "another slot");
    assert_eq!(w.told(2, &Packet::Batch(at(1), batch.clone())), None);
    assert_eq!(w.prepared(2, 1, 1), Some(batch.digest()));
}

/// Hazard 70: a fetch is answered once for each thing, up to a bound, and not for ever.
#[test]
fn what_a_fetch_brings_is_bounded() {
    let parameters = Parameters { max_batch_requests: 4096, status_interval_ms: 100, ..small() };
    let mut w = World::puppets(4, &[1], parameters);
    let m = w.members.clone();
    let requests = (0..4_000u64).map(|i| Digest::of("test", &i)).collect();
    let batch = Batch::Requests { timestamp: m.batch(w.now, &[]).timestamp(), requests };
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    w.sent = Some(vec![]);
    w.transmit(2, 1, &m.fetch(2, vec![], vec![(at(1), batch.digest()); Fetch::LIMIT]));
    w.run(5);
    let bytes: usize = answers(&mut w, 2).iter().map(encoded_len).sum();
    assert!(bytes < 2 * encoded_len(&batch), "{bytes} bytes for one thing asked for often");
    let too_many = m.fetch(2, vec![Digest::of("test", "x"); Fetch::LIMIT + 1], vec![]);
    w.transmit(2, 1, &too_many);
    w.run(5);
    assert_eq!(w.ignored.last().map(|(.., reason)| *reason), Some(Ignored::TooMuch));
    let too_many = m.fetch(2, vec![], vec![(at(1), batch.digest()); Fetch::LIMIT + 1]);
    w.transmit(2, 1, &too_many);
    w.run(5);
    assert_eq!(w.ignored.last().map(|(.., reason)| *reason), Some(Ignored::TooMuch));
    w.sent = Some(vec![]);
    for _ in 0..400 {
        w.transmit(2, 1, &m.fetch(2, vec![], vec![(at(1), batch.digest())]));
    }
    w.run(4);
    assert!(answers(&mut w, 2).len() <= 260, "so many in one interval");
}

/// Hazard 70: a few large things asked for again and again cost more than many small ones, so bytes are counted, too.
#[test]
fn the_bytes_that_a_peer_fetches_are_rationed() {
    let parameters = Parameters { max_batch_requests: 32_000, status_interval_ms: 100, ..small() };
    let mut w = World::puppets(4, &[1], parameters);
    let m = w.members.clone();
    let requests = (0..32_000u64).map(|i| Digest::of("test", &i)).collect();
    let batch = Batch::Requests { timestamp: m.batch(w.now, &[]).timestamp(), requests };
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    w.run(5);
    w.sent = Some(vec![]);
    w.links.delay = (1, 1);
    for _ in 0..60 {
        w.transmit(2, 1, &m.fetch(2, vec![], vec![(at(1), batch.digest())]));
    }
    w.run(3);
    let ration = 32 << 20;
    assert_eq!(answers(&mut w, 2).len(), ration / encoded_len(&batch) + 1, "until the ration is used up");
    assert_eq!(w.ignored.last().map(|(.., reason)| *reason), Some(Ignored::Rationed));
    w.transmit(3, 1, &m.fetch(3, vec![], vec![(at(1), batch.digest())]));
    w.run(3);
    assert_eq!(answers(&mut w, 3).len(), 1, "another peer has a ration of its own");
    w.run(150);
    w.transmit(2, 1, &m.fetch(2, vec![], vec![(at(1), batch.digest())]));
    w.run(3);
    assert_eq!(
        answers(&mut w, 2).iter().filter(|packet| matches!(packet, Packet::Batch(..))).count(),
        1,
        "a new ration"
    );
}

/// Hazard 70: one answer to a status in an interval, and nothing for oneself.
#[test]
fn help_is_rationed() {
    let (mut w, m, _, batch) = lone();
    w.tell(1, &m.decided(0, 1, &batch, &[0, 2, 3]));
    w.run(60);
    w.sent = Some(vec![]);
    w.links.delay = (1, 1);
    for _ in 0..20 {
        w.transmit(2, 1, &m.status(2, 0, Standing::Normal, 0, 0));
    }
    w.run(2);
    let helped = answers(&mut w, 2).iter().filter(|packet| matches!(packet, Packet::Decided(_))).count();
    assert_eq!(helped, 1);
    assert!(w.ignored.iter().any(|(_, source, reason)| *source == Some(2) && *reason == Ignored::Duplicate));
    w.run(60);
    w.transmit(2, 1, &m.status(2, 0, Standing::Normal, 0, 0));
    w.run(2);
    let again = answers(&mut w, 2).iter().filter(|packet| matches!(packet, Packet::Decided(_))).count();
    assert_eq!(again, 1, "in the next interval it is helped again");
}

/// Hazard 70: nor does it help to claim that one's window moves.
#[test]
fn whoever_says_that_its_window_moves_is_helped_a_few_times() {
    let (mut w, m, _, batch) = lone();
    w.tell(1, &m.decided(0, 1, &batch, &[0, 2, 3]));
    w.run(60);
    w.sent = Some(vec![]);
    w.links.delay = (1, 1);
    for stable in 0..20 {
        w.transmit(2, 1, &m.status(2, 0, Standing::Normal, stable, 0));
    }
    w.run(2);
    let helped = answers(&mut w, 2).iter().filter(|packet| matches!(packet, Packet::Decided(_))).count();
    assert_eq!(helped, 4);
}

/// Hazard 70: votes are repeated once, and then only those that lie above the window that the asker said it had.
#[test]
fn votes_are_not_repeated_as_often_as_a_window_is_said_to_move() {
    let (mut w, m, bundle, batch) = lone();
    let _ = bundle;
    w.tell(1, &m.pre_prepare(0, 1, &batch));
    w.run(60);
    w.sent = Some(vec![]);
    w.links.delay = (1, 1);
    for stable in 0..4 {
        w.transmit(2, 1, &m.status(2, 0, Standing::Normal, stable, 0));
    }
    w.run(2);
    let repeated = answers(&mut w, 2).iter().filter(|packet| matches!(packet, Packet::Prepare(_))).count();
    assert_eq!(repeated, 1);
}

/// Rule C-2: nobody says where it stands at every checkpoint, but whoever refused something.
#[test]
fn a_window_that_moves_is_told_only_by_who_refused_something() {
    let mut w = World::new(4, small(), 46);
    w.sent = Some(vec![]);
    let statuses = |w: &World| {
        let sent = w.sent.as_ref().expect("kept");
        sent.iter().filter(|(.., packet)| matches!(packet, Packet::Status(_))).count()
    };
    let begun = w.now;
    w.work(20);
    assert!(w.stable(0) >= 8, "several checkpoints");
    let intervals = (w.now - begun) / small().status_interval_ms + 1;
    assert!(statuses(&w) as u64 <= 4 * 3 * intervals, "{} statuses in {intervals} intervals", statuses(&w));
}

/// Hazard 18: what was refused above the window is asked for as soon as that moves, and repeated then although the
/// asker does not stand still.
#[test]
fn what_was_refused_above_the_window_is_had_again_when_that_moves() {
    let parameters = Parameters {
        status_interval_ms: 10_000,
        request_timeout_ms: 40_000,
        max_view_change_timeout_ms: 40_000,
        ..small()
    };
    let mut w = World::new(4, parameters, 45);
    w.links.delay = (1, 1);
    w.delay(|_, to, packet| if to >= 2 && matches!(packet, Packet::Checkpoint(_)) { 60 } else { 0 });
    for _ in 0..60 {
        w.ask(0);
    }
    w.finish_within(2_000);
    assert!(w.ignored.iter().any(|(node, _, reason)| *node >= 2 && *reason == Ignored::AboveWindow));
    assert!(w.replicas().into_iter().all(|node| w.view(node) == 0));
}

/// A peer that moves by itself is not sent what it is about to get anyway.
#[test]
fn only_who_stands_still_is_helped_with_blocks() {
    let (mut w, m, _, batch) = lone();
    w.tell(1, &m.decided(0, 1, &batch, &[0, 2, 3]));
    w.tell(1, &m.decided(0, 2, &Batch::Null, &[0, 2, 3]));
    let decided = |w: &mut World, executed| {
        w.run(60);
        w.sent = Some(vec![]);
        w.transmit(2, 1, &m.status(2, 0, Standing::Normal, 0, executed));
        w.run(4);
        answers(w, 2).iter().filter(|packet| matches!(packet, Packet::Decided(_))).count()
    };
    assert_eq!(decided(&mut w, 0), 2);
    assert_eq!(decided(&mut w, 1), 0);
    assert_eq!(decided(&mut w, 1), 1);
}

/// A status or a fetch that somebody kept misleads: it must come over its signer's own channel. Everything else proves
/// itself, whoever brings it.
#[test]
fn a_status_or_a_fetch_comes_from_its_signer_only() {
    let (mut w, m, _, batch) = lone();
    assert_eq!(m.status(2, 0, Standing::Normal, 0, 0).only_from().map(|id| id.get()), Some(2));
    assert_eq!(m.fetch(3, vec![], vec![]).only_from().map(|id| id.get()), Some(3));
    assert_eq!(m.pre_prepare(0, 1, &batch).only_from(), None);
    w.tell(1, &m.decided(0, 1, &batch, &[0, 2, 3]));
    w.run(60);
    w.sent = Some(vec![]);
    w.transmit(3, 1, &m.status(2, 0, Standing::Normal, 0, 0));
    w.run(4);
    assert!(answers(&mut w, 2).is_empty());
}

/// Rule C-4 and hazard 67: who was away for longer than the others remember blocks gets a state, and the blocks after
/// it.
#[test]
fn a_replica_that_was_away_for_long_comes_back_by_state_transfer() {
    let mut w = World::new(4, small(), 41);
    w.isolate(3);
    w.work(20);
    w.reconnect(3);
    w.ask(0);
    w.converge();
    assert_eq!(w.transfers, 1);
    assert!(w.accused.is_empty());
}

/// A replica that missed less than a window is helped with blocks and needs no state.
#[test]
fn a_replica_that_was_away_for_a_moment_is_helped_with_blocks() {
    let mut w = World::new(4, small(), 42);
    w.isolate(3);
    w.work(2);
    w.reconnect(3);
    w.converge();
    assert_eq!(w.transfers, 0);
}

/// The host installs one state while a later one has just been asked for: both come, in that order, and both are taken.
#[test]
fn a_state_that_is_overtaken_while_it_is_installed_is_taken_and_so_is_the_later_one() {
    let (mut w, m, ..) = lone();
    let checkpoint = |sequence| m.stable(sequence, Digest::of("test", &sequence), &[0, 2, 3]);
    let restored = |sequence| {
        let certificate = CheckpointCertificate::check(checkpoint(sequence), m.committee, &m.keyring);
        Input::Restored { certificate: certificate.expect("sound") }
    };
    w.tell(1, &Packet::Stable(checkpoint(40)));
    w.tell(1, &Packet::Stable(checkpoint(44)));
    let batch = Batch::Null;
    let meanwhile = w.told(1, &m.decided(0, 1, &batch, &[0, 2, 3]));
    assert_eq!(meanwhile, Some(Ignored::BelowWindow), "the ledger is about to be replaced");
    w.input(1, restored(40));
    assert_eq!(w.stable(1), 40);
    w.input(1, restored(44));
    assert_eq!(w.stable(1), 44);
    w.run(60);
    w.sent = Some(vec![]);
    w.transmit(2, 1, &m.status(2, 0, Standing::Normal, 0, 0));
    w.run(5);
    let helped = answers(&mut w, 2);
    assert!(helped.iter().any(|packet| matches!(packet, Packet::Stable(_))), "it hands over the proof");
    assert!(!helped.iter().any(|packet| matches!(packet, Packet::Checkpoint(_))), "and vouches for nothing");
}

/// Rule C-4: blocks that do not come are not waited for longer than a primary is.
#[test]
fn a_state_is_fetched_when_the_blocks_before_it_do_not_come() {
    let (mut w, m, ..) = lone();
    w.tell(1, &Packet::Stable(m.stable(8, Digest::of("test", "far"), &[0, 2, 3])));
    w.run(350);
    assert!(w.node(1).fetching.is_none());
    w.run(100);
    assert!(w.node(1).fetching.is_some());
}

/// A status of one's own, reflected, is nobody's.
#[test]
fn a_reflected_status_is_ignored() {
    let (mut w, m, ..) = lone();
    let own = m.status(1, 0, Standing::Normal, 0, 0).verify(&m.keyring, m.genesis.parameters()).expect("its own");
    w.sent = Some(vec![]);
    w.input(1, Input::Message(own));
    assert_eq!(w.ignored.last().map(|(.., reason)| *reason), Some(Ignored::Duplicate));
}

/// Hazard 67: the group moves on while a slow replica fetches; it catches up under load.
#[test]
fn a_slow_transfer_under_load_ends() {
    let mut w = World::new(4, small(), 43);
    w.isolate(3);
    w.work(10);
    w.reconnect(3);
    w.node_mut(3).execute_ms = 10;
    for _ in 0..60 {
        w.ask(0);
        w.ask(1);
        w.run(15);
    }
    w.finish();
    w.converge();
}

/// Hazards 69 and 72: after a transfer, old requests are not executed again, whoever repeats them.
#[test]
fn an_old_request_is_not_executed_again_after_a_transfer() {
    let mut w = World::new(4, small(), 44);
    w.isolate(3);
    w.work(20);
    w.reconnect(3);
    w.converge();
    let before = w.executed(3);
    let old = w.members.bundle(0, 1, "0/1");
    for node in w.replicas() {
        w.input_request(node, &old);
    }
    w.run(1_000);
    w.converge();
    assert_eq!(w.executed(3), before);
}

/// Hazard 66: nothing that a peer claims about itself moves anybody; only proofs do.
#[test]
fn a_peer_that_lies_about_where_it_stands_moves_nobody() {
    let (mut w, m, ..) = lone();
    let before = w.memory(1);
    for i in 1..50u64 {
        w.transmit(3, 1, &m.status(3, i * 1_000, Standing::Normal, i << 40, i << 40));
        w.run(50);
    }
    w.transmit(3, 1, &m.status(3, 0, Standing::ViewChanging, 0, 0));
    w.run(50);
    assert_eq!((w.stable(1), w.height(1)), (0, 0));
    assert!(w.node(1).fetching.is_none());
    assert!(w.memory(1) < before + 2_000);
}

/// Rule V-4, hazard 48: the new primary lacks the bodies of what it must propose again, and gets them.
#[test]
fn a_new_primary_fetches_the_bodies_of_what_it_must_propose_again() {
    let mut w = World::new(4, small(), 45);
    w.links.client_cut.extend([(0, 1), (1, 1)]);
    w.lose(|_, to, packet| to == 1 && matches!(packet, Packet::PrePrepare(..) | Packet::Requests(_)));
    w.lose(|_, _, packet| matches!(packet, Packet::Commit(_) | Packet::Decided(_)));
    w.ask(0);
    w.ask(1);
    w.run(60);
    w.crash(0);
    w.heal();
    w.finish();
    w.restart(0);
    w.converge();
}

/// A batch that a prepared proof names and whose holders are gone: the view fails, and the next ones too, until
/// somebody who has it is back. Nothing is decided otherwise meanwhile.
#[test]
fn a_batch_that_nobody_has_is_waited_for_and_not_replaced() {
    let mut w = World::new(4, small(), 46);
    w.lose(|_, to, packet| to == 3 && matches!(packet, Packet::PrePrepare(..)));
    w.links.client_cut.insert((0, 3));
    w.lose(|_, to, packet| to == 3 && matches!(packet, Packet::Requests(_)));
    w.lose(|_, _, packet| matches!(packet, Packet::Commit(_) | Packet::Decided(_)));
    w.ask(0);
    w.run(60);
    let digest = w.committed(1, 0, 1).expect("it prepared");
    w.crash(0);
    w.crash(2);
    w.heal();
    w.links.client_cut.insert((0, 3));
    w.run(3_000);
    w.restart(2);
    w.finish();
    assert_eq!(w.history.batch_at(1), Some(digest));
    w.restart(0);
    w.heal();
    w.run_until(PATIENCE, "all have it", |w| w.honest().into_iter().all(|node| w.height(node) >= 1));
}
