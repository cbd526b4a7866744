//! Many seeds, all faults at once: the network loses, repeats, reorders and splits; replicas crash between step and
//! sync, between sync and effects, or all together; one member lies. `BEZANT_SEEDS` says how many seeds of each kind.

use bezant_types::genesis::Parameters;

use crate::network::small;
use crate::node::CrashPoint;
use crate::traitors::{TRAITORS, Traitor};
use crate::world::World;

/// How long chaos lasts, in virtual milliseconds.
const CHAOS_MS: u64 = 3_000;
/// How long the group may take to answer everything once the network is kind again.
const RECOVERY_MS: u64 = 40_000;

fn seeds(default: u64) -> u64 {
    std::env::var("BEZANT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// One world with everything that can go wrong, and after it the proof that nothing did.
fn ordeal(n: u16, traitor: Option<Traitor>, seed: u64) {
    let mut w = World::unstarted(n, parameters(seed), seed);
    let liar = traitor.map(|traitor| {
        let liar = w.dice.below(n.into()) as u16;
        w.node_mut(liar).traitor = Some(traitor);
        liar
    });
    for node in w.replicas() {
        let (sync, execute, compacts) = (w.dice.below(4), w.dice.below(4), w.dice.chance(50));
        let save = [Some(5), Some(300), None][w.dice.below(3) as usize];
        let this = w.node_mut(node);
        (this.sync_ms, this.execute_ms, this.compacts, this.save_ms) = (sync, execute, compacts, save);
    }
    w.links.delay = (1, 1 + w.dice.below(40));
    w.links.loss = w.dice.below(15);
    w.links.duplicates = w.dice.below(15);
    w.start_all();
    while w.now < CHAOS_MS {
        strike(&mut w, liar);
        let client = w.dice.below(3) as usize;
        w.ask(client);
        let pause = 10 + w.dice.below(150);
        w.run(pause);
    }
    w.heal();
    for node in w.replicas() {
        w.node_mut(node).doom = None;
        w.restart(node);
    }
    w.finish_within(RECOVERY_MS);
    w.agree(RECOVERY_MS);
    let asked: usize = w.clients.iter().map(|host| host.done.len()).sum();
    for node in w.honest() {
        assert_eq!(w.executed(node), asked, "replica {node} executed each request once");
    }
    let findings = w.inquiry.conclude();
    assert!(findings.disagreements.is_empty(), "{:?}", findings.disagreements);
    let blamed: Vec<u16> = findings.culprits.keys().map(|one| one.get()).filter(|one| Some(*one) != liar).collect();
    assert!(blamed.is_empty(), "forensics convicts {blamed:?}, who are honest: {:?}", findings.culprits);
}

fn parameters(seed: u64) -> Parameters {
    // A narrow window and a wide one; checkpoints at every batch and rarely.
    match seed % 3 {
        0 => Parameters { checkpoint_interval: 1, window: 2, pipeline: 2, ..small() },
        1 => small(),
        _ => Parameters { checkpoint_interval: 2, window: 8, max_batch_requests: 1, ..small() },
    }
}

/// One blow: a cut, a crash, a power failure, or nothing.
fn strike(w: &mut World, liar: Option<u16>) {
    let n = w.nodes.len() as u64;
    let node = w.dice.below(n) as u16;
    let peer = w.dice.below(n) as u16;
    match w.dice.below(12) {
        0 if Some(node) != liar => w.isolate(node),
        1 => drop(w.links.cut.insert((node, peer))),
        2 | 3 => w.reconnect(node),
        4 | 5 if Some(node) != liar && w.node(node).up() => {
            let points = [CrashPoint::BeforeSync, CrashPoint::AfterSync, CrashPoint::HalfWay];
            let point = points[w.dice.below(3) as usize];
            let sync = w.node(node).disk.syncs + 1 + w.dice.below(4);
            w.node_mut(node).doom = Some((sync, point));
        }
        6 if Some(node) != liar => {
            w.crash(node);
            let after = w.dice.below(600);
            w.restart_later(node, after);
        }
        7 if w.dice.chance(30) => {
            for node in w.replicas() {
                w.crash(node);
                let after = w.dice.below(50);
                w.restart_later(node, after);
            }
        }
        8 | 9 => {
            for node in w.replicas() {
                w.restart(node);
            }
        }
        _ => {}
    }
}

fn campaign(n: u16, traitors: &[Option<Traitor>], default: u64) {
    for seed in 0..seeds(default) {
        for (index, traitor) in traitors.iter().enumerate() {
            let seed = seed * 1_000 + u64::from(n) * 100 + index as u64;
            eprintln!("n = {n}, {traitor:?}, seed {seed}");
            ordeal(n, *traitor, seed);
        }
    }
}

fn traitors() -> Vec<Option<Traitor>> {
    TRAITORS.into_iter().map(Some).collect()
}

#[test]
fn four_honest_replicas_survive_network_and_crashes() {
    campaign(4, &[None], 8);
}

#[test]
fn four_replicas_survive_one_traitor_of_each_kind_and_crashes() {
    campaign(4, &traitors(), 2);
}

#[test]
fn seven_replicas_survive_one_traitor_of_each_kind_and_crashes() {
    campaign(7, &traitors(), 1);
}

#[test]
fn five_and_six_replicas_keep_their_larger_quorums() {
    campaign(5, &[None, Some(Traitor::TwoFacedPrimary)], 1);
    campaign(6, &[None, Some(Traitor::TwoFacedVoter)], 1);
}
