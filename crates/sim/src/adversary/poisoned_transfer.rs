//! Serves pieces of state that are none.
//!
//! *Paper or hazard* — state transfer is the part that production systems were attacked at (CometBFT ASA-2025-001,
//! Parity's warp sync); hazards 64, 66, 67, 68.
//!
//! *Power* — one member that a replica asks for state.
//!
//! *Goal* — that a replica installs a state that is wrong, never finishes, or fills its memory.
//!
//! *Strategy* — the contents of another piece, a flipped byte, half of it; the right contents in answer to another
//! question; headers that differ each time and promise more than there is; an outline that never ends; or that it has
//! nothing. A header it mostly serves rightly, or it would not be asked for what follows.
//!
//! *Defences* — every piece hashes to what was asked for or its sender is a liar (rule L-10); who lied is left out for
//! good, who has nothing rests longer each time; a frame bounds a piece.
//!
//! *What the model leaves out* — serving rightly and very slowly: the transfer asks others meanwhile, which is tested
//! with it.

use bezant_ledger::Header;
use bezant_ledger::transfer::{Content, Outline, Piece, PieceId, PieceRequest, Token, Wanted};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Amount, Digest, ReplicaId, SequenceNumber, Timestamp};

use super::{Adversary, Corrupted, honestly};

/// See the module's head.
#[derive(Clone, Debug)]
pub struct PoisonedTransfer {
    /// What it served before.
    last: Option<Content>,
    /// Counts headers, each another.
    headers: u64,
}

impl PoisonedTransfer {
    /// One that was not asked yet.
    pub fn new() -> Self {
        Self { last: None, headers: 0 }
    }

    /// A header that nobody ever gave.
    fn header(&mut self, me: &mut Corrupted) -> Content {
        self.headers += 1;
        let header = Header {
            height: SequenceNumber::new(self.headers),
            timestamp: Timestamp::new(me.dice.any()),
            supply: Amount::new(u64::MAX),
            entries: u64::MAX,
            bytes: u64::MAX,
        };
        Content::Header { header, trie_root: me.bogus_digest() }
    }
}

impl Default for PoisonedTransfer {
    fn default() -> Self {
        Self::new()
    }
}

/// The same with one byte changed.
fn bruised(me: &mut Corrupted, content: Content) -> Content {
    let bogus = me.bogus_digest();
    match content {
        Content::Unknown => Content::Leaves(vec![]),
        Content::Header { header, .. } => Content::Header { header, trie_root: bogus },
        Content::Leaves(mut bytes) => {
            let place = usize::try_from(me.dice.below(bytes.len() as u64)).unwrap_or(0);
            match bytes.get_mut(place) {
                Some(byte) => *byte ^= 1 << me.dice.below(8),
                None => bytes.push(0),
            }
            Content::Leaves(bytes)
        }
        Content::Outline(_) => {
            Content::Outline(Outline::new(vec![Token::Open, Token::Closed(bogus), Token::Closed(bogus)]))
        }
    }
}

impl Adversary for PoisonedTransfer {
    fn on_saying(&mut self, _: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        honestly(message)
    }

    fn on_serving(&mut self, me: &mut Corrupted, _: ReplicaId, piece: Piece) -> Vec<Piece> {
        let Piece { answers, content } = piece;
        let last = self.last.replace(content.clone());
        if matches!(content, Content::Header { .. }) && me.dice.below(4) != 0 {
            return vec![Piece { answers, content }];
        }
        let poisoned = match me.dice.below(12) {
            0 => Content::Unknown,
            // The most dangerous of all: it reads like a state.
            1 | 9..=11 => bruised(me, content),
            2 => last.unwrap_or(Content::Unknown),
            3 => self.header(me),
            4 => Content::Leaves(vec![0xff; 1 << 16]),
            5 => Content::Outline(Outline::new(vec![Token::Open; Outline::MAX_TOKENS])),
            6 => Content::Outline(Outline::new(vec![Token::Closed(Digest::new([0; 32]))])),
            // Right, but in answer to another question.
            7 => {
                let other = PieceRequest { id: PieceId::new(me.dice.any()), ..answers };
                return vec![Piece { answers: other, content: content.clone() }, Piece { answers, content }];
            }
            // As above, of another state.
            _ => {
                let wanted = Wanted::Header { root: me.bogus_digest() };
                return vec![Piece { answers: PieceRequest { wanted, ..answers }, content }];
            }
        };
        vec![Piece { answers, content: poisoned }]
    }
}

#[cfg(test)]
mod tests {
    use bezant_types::codec;

    use super::super::tests::{Stage, piece};
    use super::*;

    #[test]
    fn what_it_serves_is_seldom_what_was_asked_for_and_always_decodes() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(1, &[]), PoisonedTransfer::new());
        let honest = piece(Content::Leaves(vec![1, 2, 3]));
        let mut wrong = 0;
        for _ in 0..200 {
            let served = liar.on_serving(&mut me, ReplicaId::new(2), honest.clone());
            for piece in &served {
                assert_eq!(Piece::decode(&codec::encode(piece)).as_ref(), Ok(piece));
            }
            wrong += usize::from(!served.contains(&honest));
        }
        assert!(wrong > 120, "{wrong}");
    }

    #[test]
    fn no_two_of_its_headers_are_alike() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(1, &[]), PoisonedTransfer::new());
        let headers: Vec<_> = (0..20).map(|_| liar.header(&mut me)).collect();
        assert!(headers.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
