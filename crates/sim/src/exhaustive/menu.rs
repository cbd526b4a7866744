//! What the corrupted member of a small world can say: everything that its key and what others have said allow, within
//! the batches of the world.
//!
//! It proposes and votes for each batch in each slot of each view. It asks for each view with every set of certificates
//! that can be put together from votes: none at all, the latest, a stale one. As the primary of a view it opens it on
//! every quorum of view changes, with what follows from them, and once with nothing.

use std::collections::BTreeMap;

use bezant_pbft::certificate::PreparedProof;
use bezant_pbft::message::{Commit, NewView, PrePrepare, Prepare, ViewChange};
use bezant_pbft::packet::Message;
use bezant_types::{Digest, ReplicaId, SequenceNumber, Signable, Signature, Signed, Verified, View};

use super::bits::Bits;
use super::small::Small;
use crate::adversary::forge::obliged;

/// Whether the menu was written before something new was said.
pub(super) struct Menu {
    pub(super) stale: bool,
}

/// Something that the corrupted member can say, and which letters must have been said before.
type Dish = (Message, Bits);

impl Menu {
    pub(super) fn new() -> Self {
        Self { stale: true }
    }

    /// The menu as it is now.
    pub(super) fn write(small: &Small) -> Vec<Dish> {
        let Some(pen) = Pen::of(small) else { return Vec::new() };
        let mut dishes: Vec<Dish> = pen.votes().into_iter().map(|message| (message, Bits::default())).collect();
        for view in 1..small.bounds.views {
            dishes.extend(pen.view_changes(View::new(view)));
            dishes.extend(pen.new_views(View::new(view)));
        }
        dishes
    }
}

struct Pen<'a> {
    small: &'a Small,
    id: ReplicaId,
}

/// A vote that somebody gave, or that the corrupted member can give, and what must have been said for it.
type Given = (ReplicaId, Signature, Bits);

impl<'a> Pen<'a> {
    fn of(small: &'a Small) -> Option<Self> {
        small.group.traitor.map(|id| Self { small, id })
    }

    fn sign<M: Signable<Signer = ReplicaId>>(&self, message: M) -> Verified<M> {
        let key = self.small.group.traitor_key.as_ref().expect("who has a traitor has its key");
        Verified::sign(message, self.id, key, self.small.group.genesis.digest())
    }

    fn primary(&self, view: View) -> ReplicaId {
        self.small.group.genesis.committee().primary(view)
    }

    /// Views, slots and batches of this world.
    fn matters(&self, views: u64) -> impl Iterator<Item = (View, SequenceNumber, usize, Digest)> {
        let batches = &self.small.batches;
        (0..views).flat_map(move |view| {
            batches.iter().enumerate().flat_map(move |(slot, two)| {
                let place = (View::new(view), SequenceNumber::new(slot as u64 + 1));
                two.iter().enumerate().map(move |(which, batch)| (place.0, place.1, which, batch.digest()))
            })
        })
    }

    fn votes(&self) -> Vec<Message> {
        let mut votes = Vec::new();
        for (view, sequence, which, digest) in self.matters(self.small.bounds.views) {
            if self.primary(view) == self.id {
                let batch = self.small.batches[sequence.get() as usize - 1][which].clone();
                votes.push(Message::PrePrepare(self.sign(PrePrepare { view, sequence, digest }), Some(batch)));
            } else {
                votes.push(Message::Prepare(self.sign(Prepare { view, sequence, digest })));
            }
            votes.push(Message::Commit(self.sign(Commit { view, sequence, digest })));
        }
        votes
    }

    /// For each slot the certificates of views before this one that can be put together.
    fn certificates(&self, before: View) -> BTreeMap<SequenceNumber, Vec<(PreparedProof, Bits)>> {
        let committee = self.small.group.genesis.committee();
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (view, sequence, _, digest) in self.matters(before.get()) {
            let vote = PrePrepare { view, sequence, digest };
            for (_, pre_prepare, proposed) in self.given(&vote, pre_prepare_of, self.primary(view) == self.id) {
                let prepare = Prepare { view, sequence, digest };
                let backups = self.given(&prepare, prepare_of, self.primary(view) != self.id);
                for chosen in subsets(&backups, committee.prepares()) {
                    let needs = chosen.iter().fold(proposed, |all, (_, _, needs)| all.with(needs));
                    let prepares = chosen.iter().map(|(who, signature, _)| (*who, *signature)).collect();
                    let proof = PreparedProof { view, sequence, digest, pre_prepare, prepares };
                    found.entry(sequence).or_default().push((proof, needs));
                }
            }
        }
        found
    }

    /// Everybody's vote for this, by ascending replica.
    fn given<M: Signable<Signer = ReplicaId>>(
        &self,
        vote: &M,
        of: impl Fn(&Message) -> Option<&Verified<M>>,
        own: bool,
    ) -> Vec<Given> {
        let mut given: BTreeMap<ReplicaId, Given> = BTreeMap::new();
        for (number, letter) in self.small.letters.iter().enumerate().filter(|(_, letter)| letter.needs.is_none()) {
            if let Some(said) = of(&letter.message).filter(|said| said.message() == vote) {
                let one = (said.signer(), said.signature(), Bits::of([number]));
                given.entry(said.signer()).or_insert(one);
            }
        }
        if own {
            given.insert(self.id, (self.id, self.sign(vote.clone()).signature(), Bits::default()));
        }
        given.into_values().collect()
    }

    fn view_changes(&self, view: View) -> Vec<Dish> {
        let mut sets: Vec<(Vec<PreparedProof>, Bits)> = vec![(Vec::new(), Bits::default())];
        for proofs in self.certificates(view).into_values() {
            let mut more = Vec::new();
            for (set, needs) in &sets {
                for (proof, also) in &proofs {
                    let mut set = set.clone();
                    set.push(proof.clone());
                    more.push((set, needs.with(also)));
                }
            }
            sets.extend(more);
        }
        let say = |prepared| Message::ViewChange(self.sign(ViewChange { view, checkpoint: None, prepared }));
        sets.into_iter().map(|(prepared, needs)| (say(prepared), needs)).collect()
    }

    fn new_views(&self, view: View) -> Vec<Dish> {
        if self.primary(view) != self.id {
            return Vec::new();
        }
        let mut asked: Vec<(Signed<ViewChange>, Bits)> = Vec::new();
        for (number, letter) in self.small.letters.iter().enumerate() {
            if let Message::ViewChange(change) = &letter.message
                && change.message().view == view
            {
                let needs = letter.needs.unwrap_or_else(|| Bits::of([number]));
                asked.push((change.as_signed().clone(), needs));
            }
        }
        asked.sort_by_key(|(change, _)| change.signer);
        let quorum = self.small.group.genesis.committee().quorum();
        let mut dishes = Vec::new();
        for chosen in subsets(&asked, quorum) {
            if chosen.windows(2).any(|pair| pair[0].0.signer == pair[1].0.signer) {
                continue;
            }
            let view_changes: Vec<_> = chosen.iter().map(|(change, _)| change.clone()).collect();
            let needs = chosen.iter().fold(Bits::default(), |all, (_, needs)| all.with(needs));
            let proposals = obliged(&view_changes);
            if !proposals.is_empty() {
                let nothing = NewView { view, view_changes: view_changes.clone(), proposals: Vec::new() };
                dishes.push((Message::NewView(self.sign(nothing)), needs));
            }
            dishes.push((Message::NewView(self.sign(NewView { view, view_changes, proposals })), needs));
        }
        dishes
    }
}

fn pre_prepare_of(message: &Message) -> Option<&Verified<PrePrepare>> {
    if let Message::PrePrepare(vote, _) = message { Some(vote) } else { None }
}

fn prepare_of(message: &Message) -> Option<&Verified<Prepare>> {
    if let Message::Prepare(vote) = message { Some(vote) } else { None }
}

/// All choices of so many, in order.
fn subsets<T: Clone>(all: &[T], count: usize) -> Vec<Vec<T>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut found = Vec::new();
    for (index, first) in all.iter().enumerate() {
        for mut rest in subsets(&all[index + 1..], count - 1) {
            rest.insert(0, first.clone());
            found.push(rest);
        }
    }
    found
}
