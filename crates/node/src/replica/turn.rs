//! One turn: what has arrived, decoded within bounds, its signatures checked together.
//!
//! **The adversary** is a member or client that wants its frames to cost the others their turn. So
//!
//! * the signatures of each bearer are a batch of their own: one that hands over junk has *its* batch taken apart, and
//!   costs the others none of theirs;
//! * in each turn a bearer has a budget of signatures, those nested in certificates included. What exceeds it waits for
//!   the next turn, in order, in [`Backlog`]: its bytes stay charged to the bearer, so that the transport stops reading
//!   from it;
//! * what says how its sender stands now is taken from that sender's own channel alone;
//! * a bearer that goes on handing over junk is not even decoded, see [`Bearers`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bezant_host::{Arrived, MAX_REQUESTS};
use bezant_ledger::transfer::{Piece, PieceRequest};
use bezant_pbft::certificate::PreparedProof;
use bezant_pbft::message::ViewChange;
use bezant_pbft::packet::{Message, Packet, Pending};
use bezant_types::genesis::{MAX_FRAME, Parameters};
use bezant_types::signed::{self, Ticket};
use bezant_types::{AccountId, Bundle, Keyring, ReplicaId, Request, RequestNumber};
use bytes::Bytes;

use crate::replica::bearers::{Bearer, Bearers, Improper};
use crate::transport::{ConnectionId, Event, From as Sender};
use crate::wire::{ASK, Ask, PEER, PeerFrame, Refusal};

/// A bearer's signatures in one turn, one packet more or less: some fifty milliseconds of work if they are good, and a
/// few times that if they are junk.
const SIGNATURES_PER_BEARER: usize = 1024;

/// What has arrived.
pub(super) struct Turn<'k> {
    keyring: &'k Keyring,
    now: Instant,
    lanes: BTreeMap<Bearer, Lane<'k>>,
    packets: Vec<(ReplicaId, Pending)>,
    requests: Vec<(Submitter, Ticket<Bundle>)>,
    asks: Vec<(AccountId, ConnectionId, Ask)>,
    piece_requests: Vec<(ReplicaId, PieceRequest)>,
    pieces: Vec<(ReplicaId, Piece)>,
    connected: Vec<ReplicaId>,
    pub(super) events: usize,
}

struct Lane<'k> {
    batch: signed::Batch<'k>,
    signatures: usize,
}

/// Who handed over a request, and where a refusal goes.
#[derive(Clone, Copy, Debug)]
struct Submitter {
    account: AccountId,
    connection: ConnectionId,
    number: RequestNumber,
}

/// What a turn has brought, after the door.
#[derive(Default)]
pub(super) struct Brought {
    /// For the member, but for what follows.
    pub(super) arrived: Arrived,
    /// Agreement: for the member as well, and from whom each came.
    pub(super) messages: Vec<(ReplicaId, Message)>,
    /// Requests that are not what they should be.
    pub(super) refused: Vec<(ConnectionId, RequestNumber, Refusal)>,
    /// What clients ask that needs no agreement.
    pub(super) asks: Vec<(AccountId, ConnectionId, Ask)>,
}

/// Frames that wait because their bearers' budgets were used up. Bounded by what the transport lets each bearer occupy.
#[derive(Debug, Default)]
pub(super) struct Backlog(BTreeMap<Bearer, VecDeque<(Sender, Bytes)>>);

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'k> Turn<'k> {
    /// A turn that begins with what the last one left.
    pub(super) fn begin(keyring: &'k Keyring, now: Instant, backlog: &mut Backlog, bearers: &mut Bearers) -> Self {
        let mut turn = Self {
            keyring,
            now,
            lanes: BTreeMap::new(),
            packets: Vec::new(),
            requests: Vec::new(),
            asks: Vec::new(),
            piece_requests: Vec::new(),
            pieces: Vec::new(),
            connected: Vec::new(),
            events: 0,
        };
        for (bearer, frames) in &mut backlog.0 {
            while turn.has_room(*bearer) {
                let Some((sender, bytes)) = frames.pop_front() else { break };
                turn.read(sender, &bytes, bearers);
            }
        }
        backlog.0.retain(|_, frames| !frames.is_empty());
        turn
    }

    /// Takes an event, or lets it wait.
    pub(super) fn take(&mut self, event: Event, backlog: &mut Backlog, bearers: &mut Bearers) {
        self.events += 1;
        match event {
            Event::Connected(Sender::Replica(peer)) => self.connected.push(peer),
            Event::Connected(Sender::Client(..)) => {}
            Event::Disconnected(from, reason) => tracing::debug!("{from} disconnected: {reason}"),
            Event::Frame { from, bytes } => {
                let bearer = Bearer::of(from);
                // In order: behind what waits already.
                if let Some(waiting) = backlog.0.get_mut(&bearer) {
                    waiting.push_back((from, bytes));
                } else if self.has_room(bearer) {
                    self.read(from, &bytes, bearers);
                } else {
                    backlog.0.entry(bearer).or_default().push_back((from, bytes));
                }
            }
        }
    }

    fn has_room(&self, bearer: Bearer) -> bool {
        self.lanes.get(&bearer).is_none_or(|lane| lane.signatures < SIGNATURES_PER_BEARER)
    }

    fn read(&mut self, from: Sender, bytes: &[u8], bearers: &mut Bearers) {
        let bearer = Bearer::of(from);
        if bearers.admit(bearer, self.now).is_err() {
            return;
        }
        let read = match from {
            Sender::Replica(peer) => self.read_peer(peer, bytes),
            Sender::Client(account, connection) => self.read_client(account, connection, bytes),
        };
        if let Err(improper) = read {
            bearers.on_fault(bearer, &improper, self.now);
        }
    }

    fn read_peer(&mut self, peer: ReplicaId, bytes: &[u8]) -> Result<(), Improper> {
        match PEER.open(bytes, MAX_FRAME)? {
            PeerFrame::Packet(packet) => {
                admit_packet(peer, &packet)?;
                let lane = self.lane(Bearer::Replica(peer), signatures_in(&packet));
                let pending = packet.queue(&mut lane.batch);
                self.packets.push((peer, pending));
            }
            PeerFrame::AskPiece(request) => self.piece_requests.push((peer, request)),
            PeerFrame::Piece(piece) => self.pieces.push((peer, piece)),
        }
        Ok(())
    }

    fn read_client(&mut self, account: AccountId, connection: ConnectionId, bytes: &[u8]) -> Result<(), Improper> {
        match ASK.open(bytes, MAX_FRAME)? {
            Ask::Submit(bundle) => {
                let submitter = Submitter { account, connection, number: bundle.message.number };
                let lane = self.lane(Bearer::Client(account), 1);
                let ticket = lane.batch.queue(bundle);
                self.requests.push((submitter, ticket));
            }
            ask @ (Ask::Prove { .. } | Ask::Root { .. } | Ask::Status { .. }) => {
                self.asks.push((account, connection, ask));
            }
        }
        Ok(())
    }

    fn lane(&mut self, bearer: Bearer, signatures: usize) -> &mut Lane<'k> {
        let keyring = self.keyring;
        let lane =
            self.lanes.entry(bearer).or_insert_with(|| Lane { batch: signed::Batch::new(keyring), signatures: 0 });
        lane.signatures = lane.signatures.saturating_add(signatures);
        lane
    }

    /// Checks the signatures, each bearer's together. What does not hold is laid to its bearer.
    pub(super) fn verify(self, parameters: &Parameters, bearers: &mut Bearers) -> Brought {
        let Self { now, lanes, packets, requests, asks, piece_requests, pieces, connected, .. } = self;
        let verdicts: BTreeMap<_, _> = lanes.into_iter().map(|(bearer, lane)| (bearer, lane.batch.verify())).collect();
        let of = |bearer| verdicts.get(&bearer).expect("whoever handed something over has a lane");
        let mut arrived = Arrived { piece_requests, pieces, connected, ..Arrived::default() };
        let mut messages = Vec::with_capacity(packets.len());
        for (peer, pending) in packets {
            let bearer = Bearer::Replica(peer);
            match pending.redeem(of(bearer), parameters) {
                Ok(message) => messages.push((peer, message)),
                Err(rejected) => bearers.on_fault(bearer, &rejected.into(), now),
            }
        }
        let mut refused = Vec::new();
        for (Submitter { account, connection, number }, ticket) in requests {
            let bearer = Bearer::Client(account);
            let request = match of(bearer).redeem(ticket) {
                Ok(bundle) => Request::new(bundle, parameters).map_err(|bad| Refusal::Bad(bad.to_string())),
                Err(unverified) => {
                    bearers.on_fault(bearer, &unverified.into(), now);
                    Err(Refusal::Bad(unverified.to_string()))
                }
            };
            match request {
                Ok(request) => arrived.requests.push((account, request)),
                Err(refusal) => refused.push((connection, number, refusal)),
            }
        }
        Brought { arrived, messages, refused, asks }
    }
}

/// What can be said of a packet before its signatures are checked.
fn admit_packet(peer: ReplicaId, packet: &Packet) -> Result<(), Improper> {
    if let Some(signer) = packet.only_from()
        && signer != peer
    {
        return Err(Improper::SecondHand(signer));
    }
    match packet {
        Packet::Requests(requests) if requests.len() > MAX_REQUESTS => {
            Err(Improper::TooManyRequests { found: requests.len(), limit: MAX_REQUESTS })
        }
        Packet::Requests(_)
        | Packet::PrePrepare(..)
        | Packet::Prepare(_)
        | Packet::Commit(_)
        | Packet::Checkpoint(_)
        | Packet::ViewChange(_)
        | Packet::NewView(_)
        | Packet::Status(_)
        | Packet::Fetch(_)
        | Packet::Batch(..)
        | Packet::Decided(_)
        | Packet::Stable(_) => Ok(()),
    }
}

/// How many signatures a packet makes this replica check, here or in the core.
fn signatures_in(packet: &Packet) -> usize {
    match packet {
        Packet::PrePrepare(..)
        | Packet::Prepare(_)
        | Packet::Commit(_)
        | Packet::Checkpoint(_)
        | Packet::Status(_)
        | Packet::Fetch(_)
        | Packet::Batch(..) => 1,
        Packet::ViewChange(signed) => 1 + signatures_in_view_change(&signed.message),
        Packet::NewView(signed) => {
            let nested = signed.message.view_changes.iter().map(|one| 1 + signatures_in_view_change(&one.message));
            1 + nested.sum::<usize>()
        }
        Packet::Requests(requests) => requests.len().max(1),
        Packet::Decided(decided) => decided.commits.signatures.len().max(1),
        Packet::Stable(endorsed) => endorsed.signatures.len().max(1),
    }
}

fn signatures_in_view_change(message: &ViewChange) -> usize {
    let in_proof = |proof: &PreparedProof| 1 + proof.prepares.len();
    let checkpoint = message.checkpoint.as_ref().map_or(0, |endorsed| endorsed.signatures.len());
    checkpoint + message.prepared.iter().map(in_proof).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use bezant_pbft::message::{Commit, Standing, Status};
    use bezant_types::{Digest, Genesis, SequenceNumber, Signature, Signed, Verified, View};

    use super::*;
    use crate::verify::fixture::{ALICE, account, genesis, key, replica};

    fn commit(genesis: &Genesis, signer: u16, sequence: u64) -> Packet {
        let vote = Commit { view: View::ZERO, sequence: SequenceNumber::new(sequence), digest: Digest::new([1; 32]) };
        Packet::Commit(Verified::sign(vote, replica(signer), &key(signer as u8), genesis.digest()).into_signed())
    }

    fn status(genesis: &Genesis, signer: u16) -> Packet {
        let status = Status {
            view: View::ZERO,
            standing: Standing::Normal,
            stable: SequenceNumber::ZERO,
            executed: SequenceNumber::ZERO,
        };
        Packet::Status(Verified::sign(status, replica(signer), &key(signer as u8), genesis.digest()).into_signed())
    }

    fn requests(count: usize) -> Packet {
        let message = Bundle { number: RequestNumber::ZERO, transactions: Vec::new() };
        let forged = Signed { signer: account(ALICE), message, signature: Signature::new([9; 64]) };
        Packet::Requests(vec![forged; count])
    }

    fn from(peer: u16, packet: Packet) -> Event {
        let bytes = Bytes::from(PEER.seal(&PeerFrame::Packet(packet)));
        Event::Frame { from: Sender::Replica(replica(peer)), bytes }
    }

    /// A door, and what has come through it.
    struct Door {
        genesis: Genesis,
        keyring: Keyring,
        backlog: Backlog,
        bearers: Bearers,
        now: Instant,
    }

    impl Door {
        fn new() -> Self {
            let genesis = genesis();
            let (keyring, now) = (genesis.keyring(), Instant::now());
            Self { genesis, keyring, backlog: Backlog::default(), bearers: Bearers::default(), now }
        }

        fn turn(&mut self, events: Vec<Event>) -> Vec<Message> {
            let Self { genesis, keyring, backlog, bearers, now } = self;
            let mut turn = Turn::begin(keyring, *now, backlog, bearers);
            events.into_iter().for_each(|event| turn.take(event, backlog, bearers));
            let brought = turn.verify(genesis.parameters(), bearers);
            brought.messages.into_iter().map(|(_, message)| message).collect()
        }

        fn hears(&mut self, peer: u16) -> bool {
            self.bearers.admit(Bearer::Replica(replica(peer)), self.now).is_ok()
        }
    }

    #[test]
    fn a_status_is_taken_from_its_signer_and_from_nobody_else() {
        let mut door = Door::new();
        let (own, replayed) = (status(&door.genesis, 1), status(&door.genesis, 1));
        assert_eq!(door.turn(vec![from(1, own)]).len(), 1);
        assert_eq!(door.turn(vec![from(2, replayed)]), []);
        let vote = commit(&door.genesis, 1, 1);
        assert_eq!(door.turn(vec![from(2, vote)]).len(), 1, "a vote may be passed on");
    }

    #[test]
    fn junk_costs_its_bearer_its_hearing_and_the_claimed_signer_nothing() {
        let mut door = Door::new();
        let forged = |sequence| {
            let Packet::Commit(mut signed) = commit(&genesis(), 1, sequence) else { panic!("a commit") };
            signed.signature = Signature::new([7; 64]);
            Packet::Commit(signed)
        };
        let honest = commit(&door.genesis, 1, 1);
        let mut events: Vec<_> = (0..50).map(|sequence| from(3, forged(sequence))).collect();
        events.insert(20, from(1, honest));
        assert_eq!(door.turn(events).len(), 1);
        assert!(!door.hears(3));
        assert!(door.hears(1));
        let late = commit(&door.genesis, 3, 2);
        assert_eq!(door.turn(vec![from(3, late)]), [], "even what would hold is not read during the pause");
    }

    #[test]
    fn a_packet_of_more_requests_than_are_passed_on_together_is_refused() {
        let refused = |count| {
            let packet = requests(count);
            matches!(admit_packet(replica(3), &packet), Err(Improper::TooManyRequests { .. }))
        };
        assert!(!refused(MAX_REQUESTS));
        assert!(refused(MAX_REQUESTS + 1));
    }

    #[test]
    fn what_exceeds_a_bearers_budget_waits_for_the_next_turn_in_order() {
        let mut door = Door::new();
        let (genesis, extra) = (door.genesis.clone(), 10);
        let sent = (SIGNATURES_PER_BEARER + extra) as u64;
        let mut events: Vec<_> = (0..sent).map(|sequence| from(3, commit(&genesis, 3, sequence))).collect();
        events.push(from(1, commit(&genesis, 1, 7)));
        let sequences = |messages: Vec<Message>, signer: u16| -> Vec<u64> {
            let commits = messages.into_iter().filter_map(|message| {
                let Message::Commit(vote) = message else { return None };
                (vote.signer() == replica(signer)).then(|| vote.message().sequence.get())
            });
            commits.collect()
        };
        let first = door.turn(events);
        assert_eq!(sequences(first.clone(), 1), [7], "another bearer is not held up");
        assert_eq!(sequences(first, 3), (0..SIGNATURES_PER_BEARER as u64).collect::<Vec<_>>());
        assert!(!door.backlog.is_empty());
        let second = door.turn(vec![from(3, commit(&genesis, 3, sent))]);
        assert_eq!(sequences(second, 3), (SIGNATURES_PER_BEARER as u64..=sent).collect::<Vec<_>>());
        assert!(door.backlog.is_empty());
    }

    #[test]
    fn signatures_nested_in_certificates_count() {
        let Packet::Commit(one) = commit(&genesis(), 1, 1) else { panic!("a commit") };
        let signatures = vec![(replica(1), one.signature); 3];
        let commits = bezant_pbft::certificate::Endorsed { vote: one.message, signatures };
        let decided = bezant_pbft::packet::Decided { commits, batch: bezant_pbft::message::Batch::Null };
        assert_eq!(signatures_in(&Packet::Decided(decided)), 3);
        assert_eq!(signatures_in(&requests(9)), 9);
    }
}
