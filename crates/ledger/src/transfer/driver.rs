//! The fetching side.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use bezant_types::{Digest, ReplicaId, SequenceNumber};
use borsh::BorshDeserialize;

use super::message::{Content, Detail, Piece, PieceId, PieceRequest, Wanted};
use super::outline;
use super::peers::Peers;
use super::serve::SMALL_BYTES;
use super::{Ignored, Lie, Moment, Progress, TransferFailed, TransferInput, TransferOutput};
use crate::item::{Item, Key};
use crate::state::{Header, State};
use crate::trie::{EMPTY_HASH, Node, Prefix, Update, graft, merge};

/// Fetches the state of a trusted root from peers that are not trusted.
pub struct Transfer {
    target: Target,
    /// The replica's own state, as it was before.
    own: Option<State>,
    /// What is held already: the replica's own old tree, with all that was fetched for earlier targets put in its place.
    /// As a whole it is the tree of no state; each subtree of it is what its hash says.
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
    /// Verified subtrees. Disjoint; together with what is wanted and under way they cover the tree.
    done: BTreeMap<Prefix, Node>,
    done_bytes: u64,
    /// Subtrees still to be asked for, the next one last: depth first, which keeps the list short.
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
        self.flights.clear();
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
                        self.on_subtree(prefix, node);
                        Verdict::Right
                    }
                    Err(lie) => Verdict::Lie(lie),
                }
            }
            (Wanted::Subtree { prefix, hash, .. }, Content::Outline(drawn)) => {
                match outline::check(prefix, hash, &drawn) {
                    Ok(parts) => {
                        parts.into_iter().for_each(|(prefix, hash)| self.on_part(prefix, hash));
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
        self.phase = Phase::Tree(Tree { header, trie_root, done: BTreeMap::new(), done_bytes: 0, wanted: Vec::new() });
        self.on_part(Prefix::ROOT, trie_root);
    }

    /// The target has a subtree of this hash at this place.
    fn on_part(&mut self, prefix: Prefix, hash: Digest) {
        let held = self.held.at(&prefix);
        if hash == EMPTY_HASH {
            self.on_subtree(prefix, Node::Empty);
        } else if held.hash() == hash {
            let node = held.clone();
            self.on_subtree(prefix, node);
        } else {
            let similar = held.weight() > SMALL_BYTES as u64;
            let detail = if similar { Detail::Hashes } else { Detail::Leaves };
            self.put_back(Wanted::Subtree { prefix, hash, detail });
        }
    }

    /// A whole subtree is there.
    fn on_subtree(&mut self, prefix: Prefix, node: Node) {
        if let Phase::Tree(tree) = &mut self.phase {
            tree.done_bytes = tree.done_bytes.saturating_add(node.weight());
            tree.done.insert(prefix, node);
        }
    }

    /// Something is to be asked for, for the first time or again.
    fn put_back(&mut self, wanted: Wanted) {
        match (&mut self.phase, wanted) {
            (Phase::Header { asked }, Wanted::Header { .. }) => *asked = Asked::No,
            (Phase::Tree(tree), Wanted::Subtree { .. }) => tree.wanted.push(wanted),
            (Phase::Header { .. } | Phase::Tree(_) | Phase::Over, Wanted::Header { .. } | Wanted::Subtree { .. }) => {}
        }
    }

    /// Nothing more is expected of a liar; what it was asked for, others are.
    fn leave_out(&mut self, liar: ReplicaId) {
        self.peers.lied(liar);
        for wanted in self.take_flights(|flight| flight.peer == liar) {
            self.put_back(wanted);
        }
    }

    fn expire(&mut self, now: Moment) {
        let late: Vec<_> = self.flights.values().filter(|flight| flight.deadline <= now).map(|f| f.peer).collect();
        for wanted in self.take_flights(|flight| flight.deadline <= now) {
            self.put_back(wanted);
        }
        for peer in late {
            self.peers.landed(peer);
            self.peers.failed(peer, now);
        }
    }

    fn take_flights(&mut self, which: impl Fn(&Flight) -> bool) -> Vec<Wanted> {
        let taken = self.flights.values().filter(|flight| which(flight)).map(|flight| flight.wanted).collect();
        self.flights.retain(|_, flight| !which(flight));
        taken
    }

    /// The replica's own state may be the target: then there is nothing to ask.
    fn recognise(&mut self) {
        if let (Phase::Header { .. }, Some(own)) = (&self.phase, &self.own)
            && own.root() == self.target.root
        {
            let (header, trie_root, held) = (own.header(), own.trie_root(), own.trie().clone());
            let done = BTreeMap::from([(Prefix::ROOT, held)]);
            self.phase = Phase::Tree(Tree { header, trie_root, done, done_bytes: header.bytes, wanted: Vec::new() });
        }
    }

    fn ask(&mut self, now: Moment, out: &mut Vec<TransferOutput>) {
        while let Some(wanted) = self.next_wanted() {
            let Some((peer, deadline)) = self.peers.take_turn(now) else { return };
            self.mark_asked();
            let request = PieceRequest { id: self.next_id, wanted };
            self.next_id = self.next_id.next();
            self.flights.insert(request.id, Flight { peer, wanted, deadline });
            out.push(TransferOutput::Send { to: peer, request });
        }
    }

    fn next_wanted(&self) -> Option<Wanted> {
        match &self.phase {
            Phase::Header { asked: Asked::No } => Some(Wanted::Header { root: self.target.root }),
            Phase::Tree(tree) => tree.wanted.last().copied(),
            Phase::Header { asked: Asked::Yes } | Phase::Over => None,
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
            Phase::Tree(tree) if tree.wanted.is_empty() && self.flights.is_empty() => {
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
        self.flights.clear();
        out.push(last);
    }
}

impl Tree {
    /// `base`, with what is done in its place.
    fn over(&self, base: &Node) -> Node {
        let parts: Vec<_> = self.done.iter().map(|(prefix, node)| (*prefix, node.clone())).collect();
        graft(base, 0, &parts)
    }
}

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
