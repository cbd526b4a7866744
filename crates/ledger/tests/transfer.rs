//! Verified state transfer over a small simulated network (rule L-10; hazards 64 to 70).
//!
//! Time is virtual and nothing is random: each test is one schedule, the same every time.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test that meets something else shall fail")]

mod world;

use std::collections::{BTreeMap, BTreeSet};

use bezant_ledger::transfer::{
    Content, Detail, Ignored, Lie, Outline, Piece, PieceId, PieceRequest, Progress, Token, Transfer, TransferFailed,
    TransferInput, TransferOutput, Wanted, serve,
};
use bezant_ledger::{Item, Key, Ledger, Prefix, Side, State, record};
use bezant_types::codec::encode;
use bezant_types::{Digest, Moment, ReplicaId, SequenceNumber, Transaction};
use world::*;

const LIMIT: usize = 16 << 10;

/// A peer, and how it answers.
enum Peer {
    /// As it should, from the states that it has.
    Honest(Vec<State>),
    /// Not at all.
    Silent,
    /// With what it makes of the right answer.
    Liar(State, Lying),
}

type Lying = fn(PieceRequest, Content) -> Content;

struct Net {
    transfer: Transfer,
    peers: BTreeMap<ReplicaId, Peer>,
    latency: u64,
    now: u64,
    /// Answers under way, by arrival.
    wire: BTreeMap<(u64, u64), (ReplicaId, Piece)>,
    sequence: u64,
    blamed: Vec<(ReplicaId, Lie)>,
    ignored: usize,
    received_bytes: usize,
    asked: BTreeMap<ReplicaId, usize>,
    most_under_way: usize,
    /// Until when it is waited for what a silent peer was asked for.
    unanswered: Vec<(u64, Wanted)>,
    /// How often something was asked for while it was under way.
    twice: usize,
    /// How often an honest peer had not got what it was asked for.
    unknown: usize,
}

fn replica(i: u16) -> ReplicaId {
    ReplicaId::new(i)
}

impl Net {
    fn new(target: &State, local: Option<State>, peers: Vec<Peer>) -> Self {
        let peers: BTreeMap<_, _> = (1..).map(replica).zip(peers).collect();
        let transfer = Transfer::new(target.root(), target.height(), peers.keys().copied().collect(), local);
        Self {
            transfer,
            peers,
            latency: 5,
            now: 1_000_000,
            wire: BTreeMap::new(),
            sequence: 0,
            blamed: vec![],
            ignored: 0,
            received_bytes: 0,
            asked: BTreeMap::new(),
            most_under_way: 0,
            unanswered: vec![],
            twice: 0,
            unknown: 0,
        }
    }

    /// Runs until the transfer ends, or `events` pieces have arrived.
    fn run_for(&mut self, events: usize) -> Option<Result<State, TransferFailed>> {
        let mut input = TransferInput::Tick;
        for _ in 0..events {
            if let Some(end) = self.step(input) {
                return Some(end);
            }
            let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
            let wake = self.transfer.wake_at().map(Moment::get);
            let next = arrival.into_iter().chain(wake).min().expect("a transfer that is not over waits for something");
            self.now = self.now.max(next);
            input = match self.wire.first_entry() {
                Some(entry) if entry.key().0 <= self.now => {
                    let (from, piece) = entry.remove();
                    TransferInput::Piece { from, piece }
                }
                _ => TransferInput::Tick,
            };
        }
        None
    }

    fn run(&mut self) -> Result<State, TransferFailed> {
        self.run_for(1_000_000).expect("the transfer ends")
    }

    fn step(&mut self, input: TransferInput) -> Option<Result<State, TransferFailed>> {
        let mut end = None;
        for output in self.transfer.step(Moment::new(self.now), input) {
            assert!(end.is_none(), "nothing comes after the end");
            match output {
                TransferOutput::Send { to, request } => self.send(to, request),
                TransferOutput::Blame { replica, lie } => self.blamed.push((replica, lie)),
                TransferOutput::Ignored { .. } => self.ignored += 1,
                TransferOutput::Finished(state) => end = Some(Ok(state)),
                TransferOutput::Failed(reason) => end = Some(Err(reason)),
            }
        }
        end
    }

    fn send(&mut self, to: ReplicaId, request: PieceRequest) {
        let request: PieceRequest = borsh::from_slice(&encode(&request)).unwrap();
        *self.asked.entry(to).or_default() += 1;
        let coming = self.wire.values().map(|(_, piece)| piece.answers.wanted);
        let awaited = self.unanswered.iter().filter(|(until, _)| self.now < *until).map(|(_, wanted)| *wanted);
        self.twice += coming.chain(awaited).filter(|wanted| same(*wanted, request.wanted)).count();
        let piece = match &self.peers[&to] {
            Peer::Silent => return self.unanswered.push((self.now + 2_000, request.wanted)),
            Peer::Honest(states) => {
                let mut answers = states.iter().map(|state| serve(state, &request, LIMIT));
                let unknown = Piece { answers: request, content: Content::Unknown };
                let answer = answers.find(|piece| !piece.is_unknown());
                self.unknown += usize::from(answer.is_none());
                answer.unwrap_or(unknown)
            }
            Peer::Liar(state, lie) => {
                Piece { answers: request, content: lie(request, serve(state, &request, LIMIT).content) }
            }
        };
        let bytes = encode(&piece);
        self.received_bytes += bytes.len();
        self.sequence += 1;
        let piece = Piece::decode(&bytes).unwrap();
        self.wire.insert((self.now + self.latency + u64::from(to.get()), self.sequence), (to, piece));
        self.most_under_way = self.most_under_way.max(self.wire.len());
    }

    fn liars(&self) -> BTreeSet<ReplicaId> {
        self.blamed.iter().map(|(replica, _)| *replica).collect()
    }
}

/// Whether two questions are about the same thing, however it is to be told.
fn same(one: Wanted, other: Wanted) -> bool {
    match (one, other) {
        (Wanted::Subtree { prefix, hash, .. }, Wanted::Subtree { prefix: place, hash: what, .. }) => {
            (prefix, hash) == (place, what)
        }
        _ => one == other,
    }
}

/// A world with so many entries of about 500 bytes.
fn world_of(entries: usize) -> World {
    let mut w = World::with(bezant_types::genesis::Parameters { max_state_bytes: 64 << 20, ..parameters() });
    write(&mut w, 0..entries, "x");
    w
}

fn write(w: &mut World, entries: std::ops::Range<usize>, with: &str) {
    for chunk in entries.collect::<Vec<_>>().chunks(500) {
        let one = |i: &usize| Transaction::single(set(&format!("key {i}"), &format!("{i} {}", with.repeat(450))));
        w.run(ALICE, chunk.iter().map(one).collect());
    }
}

fn honest(state: &State) -> Peer {
    Peer::Honest(vec![state.clone()])
}

#[test]
fn a_replica_without_anything_fetches_all_of_it_and_can_go_on() {
    let mut w = world_of(3000);
    let target = w.checkpoint();
    let mut net = Net::new(&target, None, (0..3).map(|_| honest(&target)).collect());
    let state = net.run().unwrap();
    assert_eq!(state, target);
    assert_eq!(state.changes_since(&target), []);
    let mut ledger = Ledger::from_state(&w.genesis, state).unwrap();
    assert_eq!(ledger, w.ledger);
    assert_eq!(ledger.checkpoint(), target);
    assert_eq!((net.blamed.len(), net.ignored), (0, 0));
    let bytes = target.bytes() as usize;
    assert!(net.received_bytes < bytes + bytes / 10, "{} bytes for a state of {bytes}", net.received_bytes);
    assert!(net.most_under_way <= 3 * 8, "{} pieces were under way at once", net.most_under_way);
    let shares: Vec<_> = net.asked.values().collect();
    assert!(shares.iter().all(|asked| **asked > 30), "all peers carry their share: {shares:?}");
}

#[test]
fn a_transfer_tells_how_far_it_is() {
    let target = world_of(3000).checkpoint();
    let mut net = Net::new(&target, None, vec![honest(&target)]);
    let seen = |net: &Net| {
        let Progress { total_bytes, held_bytes, fetched_bytes } = net.transfer.progress();
        (total_bytes, held_bytes, fetched_bytes)
    };
    assert_eq!(seen(&net), (0, 0, 0), "before the header nothing is known");
    assert!(net.run_for(30).is_none());
    let (total, some, fetched) = seen(&net);
    assert_eq!(total, target.bytes());
    assert!(0 < some && some < total && some <= fetched, "{some} of {total} held, {fetched} fetched");
    assert!(net.run_for(30).is_none());
    let (_, more, _) = seen(&net);
    assert!(some < more && more < total, "{some}, then {more} of {total}");
}

#[test]
fn states_of_every_small_size_arrive() {
    for entries in [0, 1, 2, 3, 17] {
        let target = world_of(entries).checkpoint();
        assert_eq!(Net::new(&target, None, vec![honest(&target)]).run().unwrap(), target);
    }
    let nothing = State::load(World::new().checkpoint().header(), Vec::<Vec<u8>>::new()).unwrap();
    assert_eq!(Net::new(&nothing, None, vec![honest(&nothing)]).run().unwrap(), nothing);
}

#[test]
fn what_the_replica_has_already_is_not_fetched() {
    let mut w = world_of(3000);
    let local = w.checkpoint();
    write(&mut w, 100..110, "y");
    let target = w.checkpoint();
    let mut net = Net::new(&target, Some(local), vec![honest(&target), honest(&target)]);
    assert_eq!(net.run().unwrap(), target);
    let bytes = target.bytes() as usize;
    assert!(net.received_bytes < bytes / 8, "{} bytes for ten entries of a state of {bytes}", net.received_bytes);
}

#[test]
fn a_replica_that_has_the_state_asks_nobody() {
    let target = world_of(100).checkpoint();
    let mut net = Net::new(&target, Some(target.clone()), vec![]);
    assert_eq!(net.run().unwrap(), target);
    assert!(net.asked.is_empty());
}

#[test]
fn old_states_with_more_and_with_less_become_the_target() {
    let mut w = world_of(600);
    let many = w.checkpoint();
    for i in 0..590 {
        w.one(ALICE, delete(&format!("key {i}"))).unwrap();
    }
    let few = w.checkpoint();
    for (local, target) in [(&many, &few), (&few, &many)] {
        let mut net = Net::new(target, Some(local.clone()), vec![honest(target)]);
        assert_eq!(&net.run().unwrap(), target);
    }
}

/// Ways to lie about a piece, each with the name that it is blamed by.
fn lies() -> Vec<(&'static str, Lying)> {
    vec![
        ("flips a bit of every record", |_, content| match content {
            Content::Leaves(mut bytes) => {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                Content::Leaves(bytes)
            }
            Content::Unknown | Content::Header { .. } | Content::Outline(_) => content,
        }),
        ("sends no leaves", |_, content| match content {
            Content::Leaves(_) => Content::Leaves(vec![]),
            Content::Unknown | Content::Header { .. } | Content::Outline(_) => content,
        }),
        ("sends each leaf twice", |_, content| match content {
            Content::Leaves(bytes) => Content::Leaves(bytes.repeat(2)),
            Content::Unknown | Content::Header { .. } | Content::Outline(_) => content,
        }),
        ("makes up outlines without end", |request, content| match content {
            Content::Header { .. } => content,
            Content::Leaves(_) | Content::Outline(_) | Content::Unknown => {
                let made_up = |i: u8| Token::Closed(Digest::of("made up", &(i, request)));
                Content::Outline(Outline::new(vec![Token::Open, made_up(0), made_up(1)]))
            }
        }),
        ("answers a question with itself", |request, content| match request.wanted {
            Wanted::Header { .. } => content,
            Wanted::Subtree { hash, .. } => Content::Outline(Outline::new(vec![Token::Closed(hash)])),
        }),
        ("sends another header", |_, content| match content {
            Content::Header { mut header, trie_root } => {
                header.height = SequenceNumber::new(1 << 60);
                Content::Header { header, trie_root }
            }
            Content::Unknown | Content::Leaves(_) | Content::Outline(_) => content,
        }),
        ("sends another tree's root", |_, content| match content {
            Content::Header { header, .. } => Content::Header { header, trie_root: Digest::new([7; 32]) },
            Content::Unknown | Content::Leaves(_) | Content::Outline(_) => content,
        }),
        ("sends a header for everything", |_, _| Content::Header {
            header: World::new().checkpoint().header(),
            trie_root: Digest::new([7; 32]),
        }),
        ("opens more than the outline says", |_, content| match content {
            Content::Outline(_) => Content::Outline(Outline::new(vec![Token::Open; 8000])),
            Content::Unknown | Content::Leaves(_) | Content::Header { .. } => content,
        }),
        ("sends what is not asked after the outline", |_, content| match content {
            Content::Outline(outline) => {
                let mut bytes = encode(&outline);
                let count = u32::from_le_bytes(bytes[..4].try_into().unwrap()) + 1;
                bytes[..4].copy_from_slice(&count.to_le_bytes());
                bytes.push(0);
                Content::Outline(borsh::from_slice(&bytes).unwrap())
            }
            Content::Unknown | Content::Leaves(_) | Content::Header { .. } => content,
        }),
    ]
}

#[test]
fn a_liar_is_named_and_left_out_whatever_the_lie_and_the_state_arrives() {
    let target = world_of(1500).checkpoint();
    let plain = {
        let mut net = Net::new(&target, None, vec![honest(&target), honest(&target)]);
        net.run().unwrap();
        net.received_bytes
    };
    for (name, lie) in lies() {
        let mut caught = 0;
        // The first is asked for the header, the second for the root of the tree, and all for the leaves.
        for place in [0, 1] {
            let mut peers = vec![honest(&target), honest(&target), honest(&target)];
            peers[place] = Peer::Liar(target.clone(), lie);
            let mut net = Net::new(&target, None, peers);
            assert_eq!(net.run().unwrap(), target, "a peer that {name}");
            let liar = replica(place as u16 + 1);
            assert!(
                net.blamed.iter().all(|(blamed, _)| *blamed == liar),
                "beside a peer that {name}: {:?}",
                net.blamed
            );
            assert!(net.blamed.len() <= 1, "a peer that {name} is blamed once, and then not asked again");
            caught += net.blamed.len();
            let wasted = net.received_bytes.saturating_sub(plain);
            assert!(wasted < 20 * LIMIT, "a peer that {name} wasted {wasted} bytes");
        }
        assert!(caught > 0, "a peer that {name} was never caught");
    }
}

#[test]
fn two_liars_of_three_cannot_keep_the_state_away() {
    let target = world_of(500).checkpoint();
    for (name, lie) in lies() {
        for (other, second) in lies() {
            let peers = vec![Peer::Liar(target.clone(), lie), Peer::Liar(target.clone(), second), honest(&target)];
            let mut net = Net::new(&target, None, peers);
            assert_eq!(net.run().unwrap(), target, "{name}, {other}");
            assert!(!net.liars().contains(&replica(3)), "an honest peer was blamed beside: {name}, {other}");
        }
    }
}

#[test]
fn a_poisoned_record_of_a_key_elsewhere_is_refused() {
    let target = world_of(1500).checkpoint();
    let elsewhere: Lying = |_, content| match content {
        Content::Leaves(mut bytes) => {
            bytes.extend(record(&Key::Entry(b"poison".into()), &bezant_ledger::Item::Balance(Default::default())));
            Content::Leaves(bytes)
        }
        Content::Unknown | Content::Header { .. } | Content::Outline(_) => content,
    };
    let mut net = Net::new(&target, None, vec![Peer::Liar(target.clone(), elsewhere), honest(&target)]);
    assert_eq!(net.run().unwrap(), target);
    assert_eq!(net.liars(), BTreeSet::from([replica(1)]));
}

#[test]
fn silent_peers_cost_time_and_are_not_blamed() {
    let target = world_of(1500).checkpoint();
    let mut net = Net::new(&target, None, vec![Peer::Silent, honest(&target), Peer::Silent]);
    let started = net.now;
    assert_eq!(net.run().unwrap(), target);
    assert_eq!(net.blamed, []);
    let took = net.now - started;
    assert!(took < 10_000, "{took} ms");
    assert!(net.asked[&replica(1)] <= 16, "a silent peer is asked {} times", net.asked[&replica(1)]);
}

#[test]
fn when_nobody_is_left_it_fails_and_says_why() {
    let target = world_of(100).checkpoint();
    let (_, lie) = lies()[7];
    let mut net = Net::new(&target, None, vec![Peer::Silent, Peer::Liar(target.clone(), lie), Peer::Honest(vec![])]);
    let failed = net.run().unwrap_err();
    assert_eq!(failed, TransferFailed::NobodyLeft { liars: 1, silent: 2 });
    assert!(failed.to_string().contains("1 sent wrong data"), "{failed}");
    let asked: usize = net.asked.values().sum();
    assert!(asked < 40, "{asked} requests");
    // Over is over.
    assert_eq!(net.transfer.wake_at(), None);
    assert_eq!(net.transfer.step(Moment::new(net.now), TransferInput::Tick), []);
    let mut alone = Net::new(&target, None, vec![]);
    assert_eq!(alone.run(), Err(TransferFailed::NobodyLeft { liars: 0, silent: 0 }));
}

#[test]
fn after_a_failure_a_new_target_starts_it_again_but_forgives_no_liar() {
    let target = world_of(100).checkpoint();
    let (_, lie) = lies()[7];
    let mut net = Net::new(&target, None, vec![Peer::Honest(vec![]), Peer::Liar(target.clone(), lie)]);
    net.run().unwrap_err();
    net.peers.insert(replica(1), honest(&target));
    let asked = net.asked[&replica(2)];
    assert!(net.step(TransferInput::Retarget { root: target.root(), height: target.height() }).is_none());
    assert_eq!(net.run().unwrap(), target);
    assert_eq!(net.asked[&replica(2)], asked);
}

#[test]
fn a_certificate_with_another_height_than_its_state_is_refused() {
    let target = world_of(1).checkpoint();
    let mut net = Net::new(&target, None, vec![honest(&target)]);
    net.transfer = Transfer::new(target.root(), SequenceNumber::new(999), vec![replica(1)], None);
    let failed = TransferFailed::WrongHeight { certified: SequenceNumber::new(999), found: target.height() };
    assert_eq!(net.run(), Err(failed));
    assert_eq!(net.blamed, []);
}

#[test]
fn a_target_that_keeps_moving_is_caught_up_with() {
    let mut w = world_of(2000);
    let mut target = w.checkpoint();
    let whole = target.bytes() as usize;
    let mut net = Net::new(&target, None, vec![honest(&target), honest(&target), honest(&target)]);
    let mut moves = 0;
    // The whole takes some 100 pieces. Between two moves 15 can arrive, and 5 of the entries are rewritten.
    let end = loop {
        match net.run_for(15) {
            Some(end) => break end.unwrap(),
            None => moves += 1,
        }
        write(&mut w, moves % 100 * 20..moves % 100 * 20 + 5, &moves.to_string()[..1]);
        target = w.checkpoint();
        for peer in net.peers.values_mut() {
            // The others keep only the newest state, so nothing older can be had from anybody.
            *peer = honest(&target);
        }
        net.step(TransferInput::Retarget { root: target.root(), height: target.height() });
        assert!(moves < 1000, "it never ends");
    };
    assert_eq!(end, target);
    assert!(moves > 5, "the target moved {moves} times");
    assert_eq!(net.blamed, [], "peers that have moved on are no liars");
    assert!(net.received_bytes < 3 * whole, "{} bytes for a state of {whole}", net.received_bytes);
}

#[test]
fn what_is_under_way_when_the_target_moves_is_not_asked_for_again() {
    let mut w = world_of(2000);
    let first = w.checkpoint();
    write(&mut w, 0..3, "y");
    let second = w.checkpoint();
    let both = || Peer::Honest(vec![first.clone(), second.clone()]);
    for pieces in 2..20 {
        let last = if pieces % 2 == 0 { both() } else { Peer::Silent };
        let mut net = Net::new(&first, None, vec![both(), both(), last]);
        assert!(net.run_for(pieces).is_none());
        net.step(TransferInput::Retarget { root: second.root(), height: second.height() });
        assert_eq!(net.run().unwrap(), second);
        assert_eq!((net.twice, net.unknown), (0, 0), "after {pieces} pieces");
    }
}

/// What was asked of a peer that stays silent is asked of another, unless the target that it was for has changed.
#[test]
fn a_question_that_failed_is_not_repeated_when_its_target_is_past() {
    let mut w = world_of(2000);
    let first = w.checkpoint();
    write(&mut w, 0..2000, "y");
    let second = w.checkpoint();
    let mut net = Net::new(&first, None, vec![honest(&first), honest(&first), Peer::Silent]);
    assert!(net.run_for(12).is_none());
    assert!(net.asked[&replica(3)] > 1, "the silent one was asked for parts of the tree");
    net.latency = 900; // It is waited for so long that its time is over before the rest is there.
    [1, 2]
        .into_iter()
        .for_each(|one| _ = net.peers.insert(replica(one), Peer::Honest(vec![first.clone(), second.clone()])));
    net.step(TransferInput::Retarget { root: second.root(), height: second.height() });
    assert!(net.run_for(3).is_none(), "the new header is there");
    [1, 2].into_iter().for_each(|one| _ = net.peers.insert(replica(one), honest(&second)));
    assert_eq!(net.run().unwrap(), second);
    assert_eq!(net.unknown, 0);
}

#[test]
fn peers_that_are_behind_serve_what_they_share_with_the_target() {
    let mut w = world_of(1500);
    let behind = w.checkpoint();
    write(&mut w, 0..3, "y");
    let target = w.checkpoint();
    let mut net = Net::new(&target, None, vec![honest(&behind), honest(&target)]);
    net.latency = 400;
    assert_eq!(net.run().unwrap(), target);
    assert_eq!(net.blamed, []);
    assert!(net.asked[&replica(1)] > 8, "asked {} times", net.asked[&replica(1)]);
}

#[test]
fn answers_that_nobody_waits_for_change_nothing_and_blame_nobody() {
    let target = world_of(10).checkpoint();
    let mut transfer = Transfer::new(target.root(), target.height(), vec![replica(1), replica(2)], None);
    let first = transfer.step(Moment::new(0), TransferInput::Tick);
    let [TransferOutput::Send { to, request }] = first[..] else { panic!("one question: {first:?}") };
    assert_eq!(to, replica(1));
    let right = serve(&target, &request, LIMIT);
    let unasked = |from, piece| TransferInput::Piece { from, piece };
    let ignored = |from| vec![TransferOutput::Ignored { from, reason: Ignored::Unasked }];
    // From another peer; with another id; about another question.
    assert_eq!(transfer.step(Moment::new(1), unasked(replica(2), right.clone())), ignored(replica(2)));
    let other_id = Piece { answers: PieceRequest { id: PieceId::new(77), ..request }, content: right.content.clone() };
    assert_eq!(transfer.step(Moment::new(1), unasked(replica(1), other_id)), ignored(replica(1)));
    let wanted = Wanted::Header { root: Digest::new([9; 32]) };
    let other = Piece { answers: PieceRequest { wanted, ..request }, content: Content::Leaves(vec![1]) };
    assert_eq!(transfer.step(Moment::new(1), unasked(replica(1), other)), ignored(replica(1)));
    // Too late: it has been asked of somebody else.
    let again = transfer.step(Moment::new(10_000), TransferInput::Tick);
    assert!(matches!(again[..], [TransferOutput::Send { to, .. }] if to == replica(2)), "{again:?}");
    assert_eq!(transfer.step(Moment::new(10_000), unasked(replica(1), right)), ignored(replica(1)));
}

#[test]
fn a_server_answers_only_for_what_it_has_and_within_its_limit() {
    let target = world_of(1500).checkpoint();
    let ask = |wanted| serve(&target, &PieceRequest { id: PieceId::new(1), wanted }, LIMIT);
    assert!(ask(Wanted::Header { root: Digest::new([1; 32]) }).is_unknown());
    let wrong = Wanted::Subtree { prefix: Prefix::ROOT, hash: Digest::new([1; 32]), detail: Detail::Leaves };
    assert!(ask(wrong).is_unknown());
    let elsewhere = Prefix::ROOT.child(Side::Left).unwrap();
    let misplaced = Wanted::Subtree { prefix: elsewhere, hash: target.trie_root(), detail: Detail::Leaves };
    assert!(ask(misplaced).is_unknown());
    for limit in [0, 1, 100, 1 << 10, LIMIT, 1 << 20] {
        for detail in [Detail::Leaves, Detail::Hashes] {
            let wanted = Wanted::Subtree { prefix: Prefix::ROOT, hash: target.trie_root(), detail };
            let piece = serve(&target, &PieceRequest { id: PieceId::new(1), wanted }, limit);
            assert!(encode(&piece).len() <= limit + 300, "{} bytes where the limit is {limit}", encode(&piece).len());
            match piece.content {
                Content::Outline(_) => {}
                Content::Leaves(_) => assert!(limit as u64 >= target.bytes() && detail == Detail::Leaves),
                Content::Unknown | Content::Header { .. } => panic!("the server has it"),
            }
        }
    }
}

#[test]
fn a_record_larger_than_the_limit_is_served_alone() {
    let mut w = World::new();
    w.one(ALICE, set("big", &"x".repeat(4096))).unwrap();
    w.one(ALICE, set("small", "x")).unwrap();
    let target = w.checkpoint();
    let mut transfer = Transfer::new(target.root(), target.height(), vec![replica(1)], None);
    let mut inputs = vec![TransferInput::Tick];
    let mut finished = None;
    while let Some(input) = inputs.pop() {
        for output in transfer.step(Moment::new(0), input) {
            match output {
                TransferOutput::Send { to, request } => {
                    inputs.push(TransferInput::Piece { from: to, piece: serve(&target, &request, 10) });
                }
                TransferOutput::Finished(state) => finished = Some(state),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(finished, Some(target));
}

#[test]
fn a_subtree_with_a_record_that_comes_twice_is_a_lie() {
    let target = world_of(300).checkpoint();
    let again: Lying = |_, content| match content {
        Content::Leaves(bytes) => {
            let mut rest = &bytes[..];
            let _: (Key, Item) = borsh::BorshDeserialize::deserialize(&mut rest).unwrap();
            Content::Leaves([&bytes[..bytes.len() - rest.len()], &bytes].concat())
        }
        other => other,
    };
    let mut net = Net::new(&target, None, vec![Peer::Liar(target.clone(), again), honest(&target)]);
    assert_eq!(net.run().unwrap(), target);
    assert_eq!(net.blamed, [(replica(1), Lie::MalformedRecords)]);
}
