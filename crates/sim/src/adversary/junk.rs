//! Says every kind of message with small mistakes.
//!
//! *Paper or hazard* — structure-aware fuzzing, from inside the group; hazards 6, 7, 8, 9, 11, 13, 16, 27, 36, 83, 93.
//!
//! *Power* — one member. Colluders' keys sign what they are named under.
//!
//! *Goal* — a panic, an unchecked sum, memory without bound, or a message that is taken for more than it is.
//!
//! *Strategy* — what the honest replica inside says, and what others said, once more with something wrong: bits of the
//! encoding flipped where the result still decodes; numbers off by one, zero and huge; digests exchanged; lists empty,
//! doubled, reversed, far too long; parts of one message in another. Signed again where it holds the key, sometimes
//! under its own name, else with the signature that is no longer valid.
//!
//! *Defences* — bounded canonical decoding; one check of every signature at the door; admission of every field before
//! anything is kept ([`bezant_pbft::ignored`]); cheap checks before dear ones.
//!
//! *What the model leaves out* — bytes that do not decode. They never get to a replica: decoders have fuzz targets of
//! their own.

use bezant_pbft::message::{Batch, Fetch, NewView, Standing, Status, ViewChange};
use bezant_pbft::packet::{Decided, FORMAT, Message, Packet};
use bezant_types::genesis::MAX_FRAME;
use bezant_types::{Digest, ReplicaId, RequestNumber, SequenceNumber, Signable, Signed, Timestamp, View};

use super::forge::{redated, reversed};
use super::notes::Recent;
use super::{Adversary, Corrupted, Hearing, honestly};
use crate::dice::Dice;

/// How many messages it keeps to make junk of.
const MEMORY: usize = 64;
/// How many pieces of junk it sends of itself in a tick.
const PER_TICK: usize = 4;
/// One list in so many becomes far too long: such messages are large, and a few of them are enough.
const LONG_ONE_IN: u64 = 64;
/// How long such a list is.
const LONG: usize = 70_000;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Junk {
    permille: u64,
    seen: Recent<Packet>,
}

impl Junk {
    /// Spoils so many of a thousand of its messages, and makes some more of itself.
    pub fn new(permille: u64) -> Self {
        Self { permille, seen: Recent::new(MEMORY) }
    }
}

impl Adversary for Junk {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        let packet = message.to_packet();
        self.seen.note(packet.clone());
        if !me.dice.permille(self.permille) {
            return honestly(message);
        }
        let junk = spoil(me, &packet);
        if me.dice.permille(500) { vec![junk] } else { vec![junk, packet] }
    }

    fn on_hearing(&mut self, _: &mut Corrupted, _: ReplicaId, message: &Message) -> Hearing {
        self.seen.note(message.to_packet());
        Hearing::Passes
    }

    fn on_tick(&mut self, me: &mut Corrupted) {
        for _ in 0..PER_TICK {
            let Some(packet) = self.seen.pick(&mut me.dice).cloned() else { return };
            let junk = spoil(me, &packet);
            let others = me.others();
            if let Some(to) = me.dice.pick(&others).copied() {
                me.tell(to, junk);
            }
        }
    }
}

/// A packet with something wrong.
fn spoil(me: &mut Corrupted, packet: &Packet) -> Packet {
    let flipped = if me.dice.permille(300) { flip(&mut me.dice, packet) } else { None };
    flipped.unwrap_or_else(|| twist(me, packet.clone()))
}

/// Flips a few bits of the encoding, where the result is still one of a packet.
fn flip(dice: &mut Dice, packet: &Packet) -> Option<Packet> {
    let bytes = packet.encode();
    (0..16).find_map(|_| {
        let mut bytes = bytes.clone();
        for _ in 0..dice.between(1, 3) {
            let place = usize::try_from(dice.below(bytes.len() as u64)).ok()?;
            *bytes.get_mut(place)? ^= 1 << dice.below(8);
        }
        FORMAT.open(&bytes, MAX_FRAME).ok()
    })
}

/// A number near this one, or far from every other.
fn odd(dice: &mut Dice, number: u64) -> u64 {
    let near = [number.wrapping_add(1), number.wrapping_sub(1), number ^ (1 << dice.below(64))];
    let far = [0, 1, 1 << 60, u64::MAX - 1, u64::MAX];
    let numbers: &[u64] = if dice.permille(500) { &near } else { &far };
    *dice.pick(numbers).unwrap_or(&number)
}

fn odd_view(dice: &mut Dice, view: &mut View) {
    *view = View::new(odd(dice, view.get()));
}

fn odd_sequence(dice: &mut Dice, sequence: &mut SequenceNumber) {
    *sequence = SequenceNumber::new(odd(dice, sequence.get()));
}

fn odd_digest(me: &mut Corrupted, digest: &mut Digest) {
    let bogus = me.bogus_digest();
    let zero = Digest::new([0; 32]);
    *digest = *me.dice.pick(&[bogus, zero, Batch::Null.digest()]).unwrap_or(&bogus);
}

/// A list with something wrong.
fn odd_list<T: Clone>(dice: &mut Dice, list: &mut Vec<T>) {
    if let Some(first) = list.first().cloned()
        && dice.below(LONG_ONE_IN) == 0
    {
        // As long as a frame takes, but no longer: the transport would not carry it.
        let room = LONG.min(MAX_FRAME / 2 / size_of_val(&first).max(64));
        return list.resize(room, first);
    }
    match dice.below(6) {
        0 => list.clear(),
        1 => drop(list.pop()),
        2 => list.reverse(),
        3 => list.extend_from_within(..),
        4 if list.len() > 1 => list.rotate_left(1),
        _ => {
            if let Some(last) = list.last().cloned() {
                list.push(last);
            }
        }
    }
}

/// Signs what was changed again, if that can be done; sometimes under its own name, whoever said it.
fn again<M: Signable<Signer = ReplicaId>>(me: &mut Corrupted, signed: Signed<M>) -> Signed<M> {
    let signer = if me.dice.permille(300) { me.id() } else { signed.signer };
    let stranger = me.dice.permille(20);
    match me.sign_as(signer, signed.message.clone()) {
        Some(genuine) if stranger => Signed { signer: ReplicaId::new(u16::MAX), ..genuine },
        Some(genuine) => genuine,
        None => signed,
    }
}

/// Spoils view, place or digest.
fn odd_vote(me: &mut Corrupted, view: &mut View, sequence: &mut SequenceNumber, digest: &mut Digest) {
    match me.dice.below(3) {
        0 => odd_view(&mut me.dice, view),
        1 => odd_sequence(&mut me.dice, sequence),
        _ => odd_digest(me, digest),
    }
}

/// Changes one field or list.
fn twist(me: &mut Corrupted, packet: Packet) -> Packet {
    match packet {
        Packet::PrePrepare(mut vote, mut batch) => {
            let known = &mut vote.message;
            match me.dice.below(3) {
                0 => odd_vote(me, &mut known.view, &mut known.sequence, &mut known.digest),
                1 => batch = None,
                _ => {
                    batch = batch.map(|batch| odd_batch(me, batch));
                    // Half of them under the digest of what they are, to get past the first check.
                    if let Some(batch) = batch.as_ref().filter(|_| me.dice.permille(500)) {
                        known.digest = batch.digest();
                    }
                }
            }
            Packet::PrePrepare(again(me, vote), batch)
        }
        Packet::Prepare(mut vote) => {
            let known = &mut vote.message;
            odd_vote(me, &mut known.view, &mut known.sequence, &mut known.digest);
            // One kind of vote in the shape of another.
            let commit =
                bezant_pbft::message::Commit { view: known.view, sequence: known.sequence, digest: known.digest };
            let vote = again(me, vote);
            let disguised = Signed { signer: vote.signer, message: commit, signature: vote.signature };
            if me.dice.permille(200) { Packet::Commit(disguised) } else { Packet::Prepare(vote) }
        }
        Packet::Commit(mut vote) => {
            let known = &mut vote.message;
            odd_vote(me, &mut known.view, &mut known.sequence, &mut known.digest);
            Packet::Commit(again(me, vote))
        }
        Packet::Checkpoint(mut vote) => {
            match me.dice.below(2) {
                0 => odd_sequence(&mut me.dice, &mut vote.message.sequence),
                _ => odd_digest(me, &mut vote.message.root),
            }
            Packet::Checkpoint(again(me, vote))
        }
        Packet::ViewChange(mut change) => {
            odd_view_change(me, &mut change.message);
            Packet::ViewChange(again(me, change))
        }
        Packet::NewView(mut opening) => {
            odd_new_view(me, &mut opening.message);
            Packet::NewView(again(me, opening))
        }
        Packet::Status(mut status) => {
            odd_status(me, &mut status.message);
            Packet::Status(again(me, status))
        }
        Packet::Fetch(mut fetch) => {
            let Fetch { requests, batches } = &mut fetch.message;
            match me.dice.below(3) {
                0 => odd_list(&mut me.dice, requests),
                1 => odd_list(&mut me.dice, batches),
                _ => batches.iter_mut().for_each(|(sequence, _)| odd_sequence(&mut me.dice, sequence)),
            }
            Packet::Fetch(again(me, fetch))
        }
        Packet::Requests(mut bundles) => {
            if let Some(first) = bundles.first_mut().filter(|_| me.dice.permille(500)) {
                first.message.number = RequestNumber::new(odd(&mut me.dice, first.message.number.get()));
            } else {
                odd_list(&mut me.dice, &mut bundles);
            }
            Packet::Requests(bundles)
        }
        Packet::Batch(mut sequence, batch) => {
            odd_sequence(&mut me.dice, &mut sequence);
            let batch = odd_batch(me, batch);
            Packet::Batch(sequence, batch)
        }
        Packet::Decided(Decided { mut commits, mut batch }) => {
            let known = &mut commits.vote;
            match me.dice.below(3) {
                0 => odd_vote(me, &mut known.view, &mut known.sequence, &mut known.digest),
                1 => odd_list(&mut me.dice, &mut commits.signatures),
                _ => batch = odd_batch(me, batch),
            }
            Packet::Decided(Decided { commits, batch })
        }
        Packet::Stable(mut endorsed) => {
            match me.dice.below(3) {
                0 => odd_sequence(&mut me.dice, &mut endorsed.vote.sequence),
                1 => odd_digest(me, &mut endorsed.vote.root),
                _ => odd_list(&mut me.dice, &mut endorsed.signatures),
            }
            Packet::Stable(endorsed)
        }
    }
}

fn odd_batch(me: &mut Corrupted, batch: Batch) -> Batch {
    let timestamp = Timestamp::new(odd(&mut me.dice, batch.timestamp().get()));
    let mut requests = batch.requests().to_vec();
    match me.dice.below(5) {
        0 => Batch::Null,
        1 => Batch::Seal { timestamp },
        2 => Batch::Requests { timestamp, requests },
        3 => redated(&batch).and_then(|batch| reversed(&batch)).unwrap_or(batch),
        _ => {
            odd_list(&mut me.dice, &mut requests);
            Batch::Requests { timestamp: batch.timestamp(), requests }
        }
    }
}

fn odd_view_change(me: &mut Corrupted, change: &mut ViewChange) {
    let ViewChange { view, checkpoint, prepared } = change;
    match me.dice.below(4) {
        0 => odd_view(&mut me.dice, view),
        1 => odd_list(&mut me.dice, prepared),
        2 => match checkpoint {
            Some(endorsed) if me.dice.permille(500) => odd_list(&mut me.dice, &mut endorsed.signatures),
            Some(endorsed) => odd_sequence(&mut me.dice, &mut endorsed.vote.sequence),
            None => odd_view(&mut me.dice, view),
        },
        _ => {
            if let Some(proof) = prepared.first_mut() {
                odd_vote(me, &mut proof.view, &mut proof.sequence, &mut proof.digest);
                odd_list(&mut me.dice, &mut proof.prepares);
            }
        }
    }
}

fn odd_new_view(me: &mut Corrupted, opening: &mut NewView) {
    let NewView { view, view_changes, proposals } = opening;
    match me.dice.below(4) {
        0 => odd_view(&mut me.dice, view),
        1 => odd_list(&mut me.dice, proposals),
        2 => {
            // View changes are large: a list of them is made long by other means.
            view_changes.extend_from_within(..);
            if me.dice.permille(500) {
                view_changes.reverse();
            }
        }
        _ => {
            if let Some(change) = view_changes.first_mut() {
                odd_view_change(me, &mut change.message);
            }
        }
    }
}

fn odd_status(me: &mut Corrupted, status: &mut Status) {
    match me.dice.below(4) {
        0 => odd_view(&mut me.dice, &mut status.view),
        1 => odd_sequence(&mut me.dice, &mut status.stable),
        2 => odd_sequence(&mut me.dice, &mut status.executed),
        _ => {
            let any = [Standing::Normal, Standing::ViewChanging, Standing::Recovering];
            status.standing = *me.dice.pick(&any).unwrap_or(&status.standing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Stage;
    use super::*;

    /// Nothing that it says makes a decoder or the door panic, some of it gets through, and some of it does not.
    #[test]
    fn junk_decodes_and_is_judged() {
        let stage = Stage::new(4);
        let mut me = stage.traitor(1, &[]);
        for message in stage.everything(1) {
            let honest = message.to_packet();
            let junk: Vec<_> = (0..300).map(|_| spoil(&mut me, &honest)).collect();
            let accepted = junk.iter().filter(|packet| stage.receive(packet).is_some()).count();
            let changed = junk.iter().filter(|packet| **packet != honest).count();
            assert!(changed > 100, "{changed} of {honest:?} differ");
            assert!(accepted > 0, "none of {honest:?} gets through the door");
        }
    }

    #[test]
    fn what_others_signed_it_can_only_sign_as_itself_or_not_at_all() {
        let stage = Stage::new(4);
        let mut me = stage.traitor(1, &[]);
        let honest = stage.commit(2, 0, 1).to_packet();
        for _ in 0..300 {
            let junk = spoil(&mut me, &honest);
            if let Some(Message::Commit(vote)) = stage.receive(&junk) {
                assert!(vote.signer() == me.id() || junk == honest);
            }
        }
    }

    #[test]
    fn some_lists_are_far_too_long_and_still_travel() {
        let stage = Stage::new(4);
        let mut me = stage.traitor(1, &[]);
        let fetch = stage.everything(1).into_iter().find(|one| matches!(one, Message::Fetch(_))).unwrap().to_packet();
        let longest = (0..600).map(|_| spoil(&mut me, &fetch).encode().len()).max().unwrap();
        assert!(longest > Fetch::LIMIT * 32, "{longest}");
    }
}
