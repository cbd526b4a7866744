//! The fetching side.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::{fmt, mem};

use bezant_types::{Digest, Moment, ReplicaId, SequenceNumber};
use borsh::BorshDeserialize;

use super::message::{Content, Detail, Piece, PieceId, PieceRequest, Wanted};
use super::outline::{self, Part};
use super::peers::Peers;
use super::serve::SMALL_BYTES;
use super::{Ignored, Lie, Progress, TransferFailed, TransferInput, TransferOutput};
use crate::item::{Item, Key};
use crate::state::{Header, State};
use crate::trie::{EMPTY_HASH, Node, Prefix, Update, graft, merge};

/// Fetches the state of a trusted root from peers that are not trusted.
pub struct Transfer {
    target: Target,
    /// The replica's own state, as it was before.
    own: Option<State>,
    /// What is held already: the replica's own old tree, with all that was fetched for earlier targets put in its
    /// place. As a whole it is the tree of no state; each subtree of it is what its hash says.
    held: Node,
    phase: Phase,
    peers: Peers,
    flights: BTreeMap<PieceId, Flight>,
    next_id: PieceId,
    fetched_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Target {
    root: Digest,
    height: SequenceNumber,
}

enum Phase {
    /// The header is not known yet. `asked`: a request for it is under way.
    Header { asked: Asked },
    /// The header is known, and the tree is being collected.
    Tree(Tree),
    /// Finished or failed.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    No,
}

/// The target's tree, as far as it is known.
struct Tree {
    header: Header,
    trie_root: Digest,
    /// Verified subtrees.
    done: BTreeMap<Prefix, Node>,
    done_bytes: u64,
    /// Subtrees of which only the hash is known. Disjoint from each other and from those that are done, and together
    /// with these the whole tree.
    open: BTreeMap<Prefix, Digest>,
    /// Those of the open ones that nobody is being asked for, the next one last: depth first, which keeps the list
    /// short.
    wanted: Vec<Wanted>,
}

/// A request under way.
struct Flight {
    peer: ReplicaId,
    wanted: Wanted,
    deadline: Moment,
}

impl Transfer {
    /// A transfer of the state of `root` and `height`, which a certificate vouches for, from `peers`. Subtrees that the
    /// replica's own state `local` has already are not fetched.
    pub fn new(root: Digest, height: SequenceNumber, peers: Vec<ReplicaId>, local: Option<State>) -> Self {
        let held = local.as_ref().map_or(Node::Empty, |state| state.trie().clone());
        Self {
            target: Target { root, height },
            own: local,
            held,
            phase: Phase::Header { asked: Asked::No },
            peers: Peers::new(peers),
            flights: BTreeMap::new(),
            next_id: PieceId::default(),
            fetched_bytes: 0,
        }
    }

    /// Takes one input, and says what is to be done.
    pub fn step(&mut self, now: Moment, input: TransferInput) -> Vec<TransferOutput> {
        let mut out = Vec::new();
        match input {
            TransferInput::Tick => {}
            TransferInput::Piece { from, piece } => self.on_piece(now, from, piece, &mut out),
            TransferInput::Retarget { root, height } => self.retarget(root, height),
        }
        self.expire(now);
        self.peers.wake(now);
        self.recognise();
        self.ask(now, &mut out);
        self.conclude(&mut out);
        out
    }

    /// Aims at another state. What was fetched so far is kept and used where the new state has it too. Peers that were
    /// silent are asked again, liars are not.
    pub fn retarget(&mut self, root: Digest, height: SequenceNumber) {
        let target = Target { root, height };
        if target == self.target && !matches!(self.phase, Phase::Over) {
            return;
        }
        if let Phase::Tree(tree) = &self.phase {
            self.held = tree.over(&self.held);
        }
        self.target = target;
        self.phase = Phase::Header { asked: Asked::No };
        // The old header is of no use any more. Subtrees that are under way may be: most are the same in the new state.
        let is_header = |flight: &Flight| matches!(flight.wanted, Wanted::Header { .. });
        for flight in self.take_flights(is_header) {
            self.peers.landed(flight.peer);
        }
        self.peers.forgive();
    }

    /// When the transfer wants its next [`TransferInput::Tick`], if no piece comes before.
    pub fn wake_at(&self) -> Option<Moment> {
        let deadline = self.flights.values().map(|flight| flight.deadline).min();
        match self.phase {
            Phase::Over => None,
            Phase::Header { .. } | Phase::Tree(_) => deadline.into_iter().chain(self.peers.wake_at()).min(),
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let (total_bytes, held_bytes) = match &self.phase {
            Phase::Tree(tree) => (tree.header.bytes, tree.done_bytes),
            Phase::Header { .. } | Phase::Over => (0, 0),
        };
        Progress { total_bytes, held_bytes, fetched_bytes: self.fetched_bytes }
    }

    fn on_piece(&mut self, now: Moment, from: ReplicaId, piece: Piece, out: &mut Vec<TransferOutput>) {
        if let Err(reason) = self.admit_piece(from, &piece) {
            return out.push(TransferOutput::Ignored { from, reason });
        }
        let PieceRequest { id, wanted } = piece.answers;
        self.flights.remove(&id);
        self.peers.landed(from);
        match self.judge(wanted, piece.content, out) {
            Verdict::Right => self.peers.succeeded(from),
            Verdict::Unknown => {
                self.put_back(wanted);
                self.peers.failed(from, now);
            }
            Verdict::Lie(lie) => {
                self.put_back(wanted);
                self.leave_out(from);
                out.push(TransferOutput::Blame { replica: from, lie });
            }
        }
    }

    fn admit_piece(&self, from: ReplicaId, piece: &Piece) -> Result<(), Ignored> {
        if matches!(self.phase, Phase::Over) {
            return Err(Ignored::Over);
        }
        let flight = self.flights.get(&piece.answers.id);
        let asked = flight.is_some_and(|flight| flight.peer == from && flight.wanted == piece.answers.wanted);
        if asked { Ok(()) } else { Err(Ignored::Unasked) }
    }

    /// Takes what is right, and says whether it was. Nothing is taken before it hashes to what was asked for.
    fn judge(&mut self, wanted: Wanted, content: Content, out: &mut Vec<TransferOutput>) -> Verdict {
        match (wanted, content) {
            (_, Content::Unknown) => Verdict::Unknown,
            (Wanted::Header { root }, Content::Header { header, trie_root }) => {
                if header.root(trie_root) != root {
                    return Verdict::Lie(Lie::Header);
                }
                self.on_header(header, trie_root, out);
                Verdict::Right
            }
            (Wanted::Subtree { prefix, hash, .. }, Content::Leaves(bytes)) => {
                match check_leaves(prefix, hash, &bytes) {
                    Ok(node) => {
                        self.fetched_bytes = self.fetched_bytes.saturating_add(node.weight());
                        self.on_fetched(prefix, node);
                        Verdict::Right
                    }
                    Err(lie) => Verdict::Lie(lie),
                }
            }
            (Wanted::Subtree { prefix, hash, .. }, Content::Outline(drawn)) => {
                match outline::check(prefix, hash, &drawn) {
                    Ok(parts) => {
                        self.on_outline(prefix, hash, parts);
                        Verdict::Right
                    }
                    Err(lie) => Verdict::Lie(lie),
                }
            }
            (Wanted::Header { .. }, Content::Leaves(_) | Content::Outline(_))
            | (Wanted::Subtree { .. }, Content::Header { .. }) => Verdict::Lie(Lie::OtherKind),
        }
    }

    /// The header is right: it hashes to the root.
    fn on_header(&mut self, header: Header, trie_root: Digest, out: &mut Vec<TransferOutput>) {
        let (certified, found) = (self.target.height, header.height);
        if certified != found {
            self.end(out, TransferOutput::Failed(TransferFailed::WrongHeight { certified, found }));
            return;
        }
        self.phase = Phase::Tree(Tree::new(header, trie_root));
        self.on_part(Prefix::ROOT, trie_root);
    }

    /// A subtree arrived, of the target or of an earlier one.
    fn on_fetched(&mut self, prefix: Prefix, node: Node) {
        if self.is_open(prefix, node.hash()) {
            self.on_subtree(prefix, node);
        } else {
            self.held = graft(&self.held, 0, &[(prefix, node)]);
        }
    }

    fn on_outline(&mut self, prefix: Prefix, hash: Digest, parts: Vec<Part>) {
        if self.is_open(prefix, hash) {
            if let Phase::Tree(tree) = &mut self.phase {
                tree.open.remove(&prefix);
            }
            parts.into_iter().for_each(|(prefix, hash)| self.on_part(prefix, hash));
        }
    }

    /// The target has a subtree of this hash at this place.
    fn on_part(&mut self, prefix: Prefix, hash: Digest) {
        if let Some(node) = self.held_subtree(prefix, hash) {
            self.on_subtree(prefix, node);
        } else if let Phase::Tree(tree) = &mut self.phase {
            tree.open.insert(prefix, hash);
            let is_this = |flight: &Flight| match flight.wanted {
                Wanted::Header { .. } => false,
                Wanted::Subtree { prefix: at, hash: of, .. } => at == prefix && of == hash,
            };
            if !self.flights.values().any(is_this) {
                let similar = self.held.at(&prefix).weight() > SIMILAR_BYTES;
                let detail = if similar { Detail::Hashes } else { Detail::Leaves };
                tree.wanted.push(Wanted::Subtree { prefix, hash, detail });
            }
        }
    }

    fn held_subtree(&self, prefix: Prefix, hash: Digest) -> Option<Node> {
        if hash == EMPTY_HASH {
            return Some(Node::Empty);
        }
        let held = self.held.at(&prefix);
        (held.hash() == hash).then(|| held.clone())
    }

    /// A whole subtree of the target is there.
    fn on_subtree(&mut self, prefix: Prefix, node: Node) {
        if let Phase::Tree(tree) = &mut self.phase {
            tree.open.remove(&prefix);
            tree.done_bytes = tree.done_bytes.saturating_add(node.weight());
            tree.done.insert(prefix, node);
        }
    }

    fn is_open(&self, prefix: Prefix, hash: Digest) -> bool {
        matches!(&self.phase, Phase::Tree(tree) if tree.open.get(&prefix) == Some(&hash))
    }

    /// Something that was asked for did not come. It is asked for again, unless the target has changed meanwhile.
    fn put_back(&mut self, wanted: Wanted) {
        let still_open = match wanted {
            Wanted::Header { .. } => false,
            Wanted::Subtree { prefix, hash, .. } => self.is_open(prefix, hash),
        };
        match &mut self.phase {
            Phase::Header { asked } if matches!(wanted, Wanted::Header { .. }) => *asked = Asked::No,
            Phase::Tree(tree) if still_open => tree.wanted.push(wanted),
            Phase::Header { .. } | Phase::Tree(_) | Phase::Over => {}
        }
    }

    /// Nothing more is expected of a liar; what it was asked for, others are.
    fn leave_out(&mut self, liar: ReplicaId) {
        self.peers.lied(liar);
        for flight in self.take_flights(|flight| flight.peer == liar) {
            self.put_back(flight.wanted);
        }
    }

    fn expire(&mut self, now: Moment) {
        for Flight { peer, wanted, .. } in self.take_flights(|flight| flight.deadline <= now) {
            self.put_back(wanted);
            self.peers.landed(peer);
            self.peers.failed(peer, now);
        }
    }

    fn take_flights(&mut self, which: impl Fn(&Flight) -> bool) -> Vec<Flight> {
        let flights = mem::take(&mut self.flights).into_iter();
        let (taken, rest): (BTreeMap<_, _>, BTreeMap<_, _>) = flights.partition(|(_, flight)| which(flight));
        self.flights = rest;
        taken.into_values().collect()
    }

    /// The replica's own state may be the target: then there is nothing to ask.
    fn recognise(&mut self) {
        if let (Phase::Header { .. }, Some(own)) = (&self.phase, &self.own)
            && own.root() == self.target.root
        {
            let (header, trie_root, held) = (own.header(), own.trie_root(), own.trie().clone());
            self.phase = Phase::Tree(Tree::new(header, trie_root));
            self.on_subtree(Prefix::ROOT, held);
        }
    }

    fn ask(&mut self, now: Moment, out: &mut Vec<TransferOutput>) {
        while let Some(wanted) = self.next_wanted() {
            if let Some((prefix, node)) = self.came_late(wanted) {
                self.mark_asked();
                self.on_subtree(prefix, node);
                continue;
            }
            let Some((peer, deadline)) = self.peers.take_turn(now) else { return };
            self.mark_asked();
            self.send(Flight { peer, wanted, deadline }, out);
        }
        // Nothing is left to ask for: what doubtful peers have not delivered yet, sound ones are asked for instead.
        // Otherwise a silent peer's last request would hold up the end, for longer each time.
        while let Some(id) = self.doubtful_flight() {
            let Some((peer, deadline)) = self.peers.take_sound_turn(now) else { return };
            let Some(Flight { peer: doubtful, wanted, .. }) = self.flights.remove(&id) else { return };
            self.peers.landed(doubtful);
            self.send(Flight { peer, wanted, deadline }, out);
        }
    }

    fn send(&mut self, flight: Flight, out: &mut Vec<TransferOutput>) {
        let request = PieceRequest { id: self.next_id, wanted: flight.wanted };
        self.next_id = self.next_id.next();
        out.push(TransferOutput::Send { to: flight.peer, request });
        self.flights.insert(request.id, flight);
    }

    /// A request to a doubtful peer for something that the target still lacks.
    fn doubtful_flight(&self) -> Option<PieceId> {
        let is_needed = |wanted| match wanted {
            Wanted::Header { .. } => true,
            Wanted::Subtree { prefix, hash, .. } => self.is_open(prefix, hash),
        };
        let mut flights = self.flights.iter();
        flights.find(|(_, one)| self.peers.is_doubtful(one.peer) && is_needed(one.wanted)).map(|(id, _)| *id)
    }

    fn next_wanted(&self) -> Option<Wanted> {
        match &self.phase {
            Phase::Header { asked: Asked::No } => Some(Wanted::Header { root: self.target.root }),
            Phase::Tree(tree) => tree.wanted.last().copied(),
            Phase::Header { asked: Asked::Yes } | Phase::Over => None,
        }
    }

    /// What is wanted may have come in the meantime, as an answer that was meant for an earlier target.
    fn came_late(&self, wanted: Wanted) -> Option<(Prefix, Node)> {
        match wanted {
            Wanted::Header { .. } => None,
            Wanted::Subtree { prefix, hash, .. } => self.held_subtree(prefix, hash).map(|node| (prefix, node)),
        }
    }

    fn mark_asked(&mut self) {
        match &mut self.phase {
            Phase::Header { asked } => *asked = Asked::Yes,
            Phase::Tree(tree) => drop(tree.wanted.pop()),
            Phase::Over => {}
        }
    }

    fn conclude(&mut self, out: &mut Vec<TransferOutput>) {
        match &self.phase {
            Phase::Tree(tree) if tree.open.is_empty() => {
                let trie = tree.over(&Node::Empty);
                assert_eq!(trie.hash(), tree.trie_root, "L-10: each part was verified, so the whole is right");
                let state = State::new(tree.header, trie);
                self.held = state.trie().clone();
                self.own = Some(state.clone());
                self.end(out, TransferOutput::Finished(state));
            }
            Phase::Header { .. } | Phase::Tree(_) => {
                if let Some(reason) = self.peers.all_gone() {
                    if let Phase::Tree(tree) = &self.phase {
                        self.held = tree.over(&self.held);
                    }
                    self.end(out, TransferOutput::Failed(reason));
                }
            }
            Phase::Over => {}
        }
    }

    fn end(&mut self, out: &mut Vec<TransferOutput>, last: TransferOutput) {
        self.phase = Phase::Over;
        for flight in mem::take(&mut self.flights).into_values() {
            self.peers.landed(flight.peer);
        }
        out.push(last);
    }
}

impl Tree {
    fn new(header: Header, trie_root: Digest) -> Self {
        let (done, open) = (BTreeMap::new(), BTreeMap::new());
        Self { header, trie_root, done, done_bytes: 0, open, wanted: Vec::new() }
    }

    /// `base`, with what is done in its place.
    fn over(&self, base: &Node) -> Node {
        let parts: Vec<_> = self.done.iter().map(|(prefix, node)| (*prefix, node.clone())).collect();
        graft(base, 0, &parts)
    }
}

/// A replica that holds more than this of what may be much the same compares hashes before it fetches. Several times
/// what the other side sends whole, or every second comparison would be one level deep.
const SIMILAR_BYTES: u64 = 4 * SMALL_BYTES as u64;

/// What a piece was worth.
enum Verdict {
    Right,
    Unknown,
    Lie(Lie),
}

/// The subtree at `prefix` that has these leaves, if it hashes to `hash`.
fn check_leaves(prefix: Prefix, hash: Digest, mut bytes: &[u8]) -> Result<Node, Lie> {
    let mut updates: Vec<Update> = Vec::new();
    while !bytes.is_empty() {
        let (key, item) = <(Key, Item)>::deserialize(&mut bytes).map_err(|_| Lie::MalformedRecords)?;
        let update = Update::write(key, item);
        let ascending = updates.last().is_none_or(|last| last.key_hash < update.key_hash);
        if !ascending || !prefix.covers(&update.key_hash) {
            return Err(Lie::MalformedRecords);
        }
        updates.push(update);
    }
    let node = merge(&Node::Empty, prefix.len(), &updates);
    if node.hash() == hash { Ok(node) } else { Err(Lie::OtherRecords) }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("root", &self.target.root)
            .field("height", &self.target.height)
            .field("progress", &self.progress())
            .field("under_way", &self.flights.len())
            .finish_non_exhaustive()
    }
}
