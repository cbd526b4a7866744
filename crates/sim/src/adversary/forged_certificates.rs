//! View changes, new views and proofs that rest on forged certificates.
//!
//! *Paper or hazard* — the view change is where most implementations broke (Castro and Liskov 1999, section 4.4);
//! hazards 29, 30, 31, 33, 34, 35, 36, 37, 65.
//!
//! *Power* — one member, as primary of a new view and as a member of its quorum. With colluders' keys some certificates
//! are less forged.
//!
//! *Goal* — that something which prepared is dropped, that something which did not is prescribed, that a window moves
//! without a quorum.
//!
//! *Strategy* — its view change carries proofs of a higher view for other digests, proofs that are mixed, short,
//! doubled, out of order or out of range, and checkpoints that nobody vouched for. Its new view has too few view
//! changes, or one of them twice, and of those that it has the ones that say least, its own for one; or has some of
//! other views, or changed; or prescribes more, less, something else or nothing. Where it would get away with a view in
//! which nothing had prepared, it proposes another batch for what had. Now and then it helps others with blocks and
//! checkpoints that are proven by nobody.
//!
//! *Defences* — certificates have one shape and private fields ([`bezant_pbft::certificate`]); a view change with one
//! bad proof is refused whole and never hides another (rule V-3); everybody computes what a new view prescribes (V-2,
//! V-3); what is learnt by help is checked as strictly as what comes live.
//!
//! *What the model leaves out* — signatures that are crafted to be valid for one way of checking and not for another:
//! those are tested with the keys.

use std::collections::BTreeMap;

use bezant_pbft::certificate::PreparedProof;
use bezant_pbft::message::{Batch, Checkpoint, Commit, NewView, PrePrepare, ViewChange};
use bezant_pbft::packet::{Decided, Message, Packet};
use bezant_types::{ReplicaId, SequenceNumber, Signed, View};

use super::forge::{endorsed, prepared, redated};
use super::notes::Notes;
use super::{Adversary, Corrupted, Hearing, honestly};

/// What is wrong with a view change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forgery {
    /// Each proof is hidden by one of a higher view for another digest.
    HigherView,
    /// A slot that nobody prepared.
    Invented,
    /// Other digest under genuine signatures.
    OtherDigest,
    /// Other view under genuine signatures.
    OtherView,
    /// Signatures of one proof under another.
    Mixed,
    /// Too few prepares.
    Short,
    /// One prepare several times.
    Doubled,
    /// The primary's signature as a prepare.
    PrimaryPrepares,
    /// A slot twice.
    SlotTwice,
    /// Slots in descending order.
    Descending,
    /// A slot above the window.
    AboveWindow,
    /// Prepared in the view that is asked for, or later.
    FutureView,
    /// A checkpoint that nobody vouched for.
    Checkpoint,
    /// A genuine checkpoint certificate with a signer twice.
    CheckpointTwice,
}

const FORGERIES: [Forgery; 14] = [
    Forgery::HigherView,
    Forgery::Invented,
    Forgery::OtherDigest,
    Forgery::OtherView,
    Forgery::Mixed,
    Forgery::Short,
    Forgery::Doubled,
    Forgery::PrimaryPrepares,
    Forgery::SlotTwice,
    Forgery::Descending,
    Forgery::AboveWindow,
    Forgery::FutureView,
    Forgery::Checkpoint,
    Forgery::CheckpointTwice,
];

/// What is wrong with a new view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    TooFew,
    OneTwice,
    OtherView,
    Unsorted,
    Changed,
    ForgedOwn,
    Extra,
    Missing,
    Swapped,
    Nulls,
    OtherDigest,
    Nothing,
}

const OPENINGS: [Opening; 12] = [
    Opening::TooFew,
    Opening::OneTwice,
    Opening::OtherView,
    Opening::Unsorted,
    Opening::Changed,
    Opening::ForgedOwn,
    Opening::Extra,
    Opening::Missing,
    Opening::Swapped,
    Opening::Nulls,
    Opening::OtherDigest,
    Opening::Nothing,
];

/// See the module's head.
#[derive(Clone, Debug)]
pub struct ForgedCertificates {
    notes: Notes,
    /// What it tells everybody in this view: a lie that is the same for all is convicted by nothing but itself.
    view_change: Option<(View, Packet)>,
    /// How it opens this view, for the same reason.
    opening: Option<(View, Packet)>,
    /// The view that it opened as if little had prepared.
    forgetful: Option<View>,
    /// The last batches that were proposed.
    batches: BTreeMap<SequenceNumber, Batch>,
}

/// How many batches it remembers.
const BATCHES: usize = 64;

impl ForgedCertificates {
    /// One that has not lied yet.
    pub fn new() -> Self {
        Self { notes: Notes::new(), view_change: None, opening: None, forgetful: None, batches: BTreeMap::new() }
    }

    fn note_batch(&mut self, message: &Message) {
        if let Message::PrePrepare(vote, Some(batch)) = message {
            self.batches.insert(vote.message().sequence, batch.clone());
            if self.batches.len() > BATCHES {
                self.batches.pop_first();
            }
        }
    }

    /// What it proposes for a slot about which its view change said nothing.
    fn proposes(&self, me: &Corrupted, PrePrepare { view, sequence, .. }: PrePrepare) -> Option<Vec<Packet>> {
        let other = self.batches.get(&sequence).filter(|_| self.forgetful == Some(view)).and_then(redated)?;
        let digest = other.digest();
        let proposal = Packet::PrePrepare(me.sign(PrePrepare { view, sequence, digest }), Some(other));
        Some(vec![proposal, Packet::Commit(me.sign(Commit { view, sequence, digest }))])
    }
}

impl Default for ForgedCertificates {
    fn default() -> Self {
        Self::new()
    }
}

impl Adversary for ForgedCertificates {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        self.notes.said(me, message);
        self.note_batch(message);
        if !me.signed(message) {
            return honestly(message);
        }
        if let Message::ViewChange(change) = message {
            let view = change.message().view;
            if let Some(lie) = again(me, &self.view_change, view) {
                return vec![lie];
            }
            let forgery = *me.dice.pick(&FORGERIES).unwrap_or(&Forgery::HigherView);
            let forged = forge(me, forgery, change.message().clone());
            let lie = Packet::ViewChange(me.sign(forged));
            self.view_change = Some((view, lie.clone()));
            return if me.dice.permille(150) { vec![lie, message.to_packet()] } else { vec![lie] };
        }
        if let Message::NewView(opening) = message {
            let view = opening.message().view;
            if let Some(lie) = again(me, &self.opening, view) {
                return vec![lie];
            }
            let wrong = *me.dice.pick(&OPENINGS).unwrap_or(&Opening::Nothing);
            let opening = misopen(me, wrong, opening.message().clone());
            let lie = Packet::NewView(me.sign(opening));
            self.opening = Some((view, lie.clone()));
            self.forgetful = [Opening::TooFew, Opening::OneTwice].contains(&wrong).then_some(view);
            return vec![lie];
        }
        if let Message::PrePrepare(vote, _) = message
            && let Some(other) = self.proposes(me, *vote.message())
        {
            return other;
        }
        honestly(message)
    }

    fn on_hearing(&mut self, _: &mut Corrupted, _: ReplicaId, message: &Message) -> Hearing {
        self.notes.heard(message);
        self.note_batch(message);
        Hearing::Passes
    }

    fn on_tick(&mut self, me: &mut Corrupted) {
        let others = me.others();
        let Some(to) = me.dice.pick(&others).copied() else { return };
        let ahead = me.dice.between(1, me.genesis().parameters().window);
        let sequence = self.notes.executed.saturating_add(ahead);
        if me.dice.permille(100) {
            let batch = Batch::Seal { timestamp: bezant_types::Timestamp::new(me.now.get()) };
            let commits = endorsed(me, Commit { view: self.notes.view, sequence, digest: batch.digest() });
            me.tell(to, Packet::Decided(Decided { commits, batch }));
        }
        if me.dice.permille(100) {
            let root = me.bogus_digest();
            let stable = endorsed(me, Checkpoint { sequence, root });
            me.tell(to, Packet::Stable(stable));
        }
    }
}

/// The lie of this view, most of the time.
fn again(me: &mut Corrupted, told: &Option<(View, Packet)>, view: View) -> Option<Packet> {
    let (_, lie) = told.as_ref().filter(|(known, _)| *known == view)?;
    (!me.dice.permille(100)).then(|| lie.clone())
}

/// A view change with this mistake, if it has what the mistake takes.
fn forge(me: &mut Corrupted, forgery: Forgery, mut honest: ViewChange) -> ViewChange {
    let low = honest.checkpoint.as_ref().map_or(SequenceNumber::ZERO, |stable| stable.vote.sequence);
    let before = honest.view.saturating_sub(1);
    let bogus = me.bogus_digest();
    let proofs = &mut honest.prepared;
    match forgery {
        Forgery::HigherView => proofs.iter_mut().for_each(|one| *one = prepared(me, before, one.sequence, bogus)),
        Forgery::Invented => proofs.push(prepared(me, before, last(proofs, low).next(), bogus)),
        Forgery::OtherDigest => proofs.iter_mut().for_each(|one| one.digest = bogus),
        Forgery::OtherView => proofs.iter_mut().for_each(|one| one.view = View::new(one.view.get() ^ 1)),
        Forgery::Mixed => {
            let prepares: Vec<_> = proofs.iter().map(|one| one.prepares.clone()).collect();
            let rotated = prepares.iter().cycle().skip(1);
            proofs.iter_mut().zip(rotated).for_each(|(one, other)| one.prepares.clone_from(other));
        }
        Forgery::Short => proofs.iter_mut().for_each(|one| one.prepares.truncate(1)),
        Forgery::Doubled => proofs.iter_mut().for_each(|one| {
            if let [first, .., last] = &mut one.prepares[..] {
                *last = *first;
            }
        }),
        Forgery::PrimaryPrepares => {
            for one in proofs.iter_mut() {
                let primary = (me.primary(one.view), one.pre_prepare);
                if let Some(first) = one.prepares.first_mut() {
                    *first = primary;
                }
                one.prepares.sort();
            }
        }
        Forgery::SlotTwice => proofs.extend(proofs.last().cloned()),
        Forgery::Descending => proofs.reverse(),
        Forgery::AboveWindow => {
            let above = low.saturating_add(me.genesis().parameters().window).next();
            proofs.push(prepared(me, before, above, bogus));
        }
        Forgery::FutureView => proofs.push(prepared(me, honest.view.next(), last(proofs, low).next(), bogus)),
        Forgery::Checkpoint => {
            let ahead = me.dice.between(1, me.genesis().parameters().window);
            let vote = Checkpoint { sequence: low.saturating_add(ahead), root: bogus };
            honest.checkpoint = Some(endorsed(me, vote));
            proofs.retain(|one| one.sequence > vote.sequence);
        }
        Forgery::CheckpointTwice => {
            if let Some(stable) = &mut honest.checkpoint
                && let [first, second, ..] = &mut stable.signatures[..]
            {
                *second = *first;
            }
        }
    }
    honest
}

fn last(proofs: &[PreparedProof], low: SequenceNumber) -> SequenceNumber {
    proofs.last().map_or(low, |one| one.sequence)
}

/// A new view with this mistake, if it has what the mistake takes.
fn misopen(me: &mut Corrupted, wrong: Opening, mut honest: NewView) -> NewView {
    let NewView { view, view_changes, proposals } = &mut honest;
    let null = Batch::Null.digest();
    match wrong {
        Opening::TooFew => {
            *view_changes = poorest(me, view_changes);
            *proposals = super::forge::obliged(view_changes);
        }
        Opening::OneTwice => {
            *view_changes = poorest(me, view_changes);
            view_changes.extend(view_changes.last().cloned());
            *proposals = super::forge::obliged(view_changes);
        }
        Opening::OtherView => {
            let other = view.next();
            let own = me.id();
            for change in view_changes.iter_mut().filter(|change| change.signer == own) {
                *change = me.sign(ViewChange { view: other, ..change.message.clone() });
            }
        }
        Opening::Unsorted => view_changes.reverse(),
        // Another's view change without its proofs: the signature is no longer good, and a replica that trusts what
        // it has heard from that member before must not fail to notice.
        Opening::Changed => {
            if let Some(change) = view_changes.last_mut() {
                change.message.prepared.clear();
                change.message.checkpoint = None;
            }
        }
        Opening::ForgedOwn => {
            let own = me.id();
            for change in view_changes.iter_mut().filter(|change| change.signer == own) {
                let forged = forge(me, Forgery::HigherView, change.message.clone());
                *change = me.sign(forged);
            }
            *proposals = super::forge::obliged(view_changes);
        }
        Opening::Extra => proposals.push(me.bogus_digest()),
        Opening::Missing => drop(proposals.pop()),
        Opening::Swapped => proposals.reverse(),
        Opening::Nulls => proposals.fill(null),
        Opening::OtherDigest => {
            let bogus = me.bogus_digest();
            if let Some(last) = proposals.last_mut() {
                *last = bogus;
            }
        }
        Opening::Nothing => proposals.clear(),
    }
    honest
}

/// All but one of the view changes: those that say least, its own without any proof among them.
fn poorest(me: &mut Corrupted, view_changes: &[Signed<ViewChange>]) -> Vec<Signed<ViewChange>> {
    let own = me.id();
    let mut few: Vec<_> = view_changes.iter().filter(|change| change.signer != own).cloned().collect();
    few.sort_by_key(|change| change.message.prepared.len());
    few.truncate(view_changes.len().saturating_sub(2));
    let mine = view_changes.iter().filter(|change| change.signer == own);
    few.extend(mine.map(|change| me.sign(ViewChange { prepared: vec![], ..change.message.clone() })));
    few.sort_by_key(|change| change.signer);
    few
}

#[cfg(test)]
mod tests {
    use bezant_pbft::certificate::{CheckpointCertificate, PreparedCertificate};

    use super::super::forge::obliged;
    use super::super::tests::Stage;
    use super::*;

    /// Whether an honest member has any ground to believe it.
    fn holds(stage: &Stage, signed: &Signed<ViewChange>) -> bool {
        let (committee, keyring) = (stage.genesis().committee(), stage.keyring());
        let Ok(verified) = signed.clone().verify(keyring) else { return false };
        let ViewChange { view, checkpoint, prepared } = verified.message();
        let low = checkpoint.as_ref().map_or(0, |stable| stable.vote.sequence.get());
        let high = low + stage.genesis().parameters().window;
        let ascending = prepared.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
        let in_range = |one: &PreparedProof| (low + 1..=high).contains(&one.sequence.get()) && one.view < *view;
        ascending
            && prepared.iter().all(in_range)
            && checkpoint.iter().all(|one| CheckpointCertificate::check(one.clone(), committee, keyring).is_ok())
            && prepared.iter().all(|one| PreparedCertificate::check(one.clone(), committee, keyring).is_ok())
    }

    #[test]
    fn no_forged_view_change_holds_and_each_is_its_own_word() {
        let stage = Stage::new(4);
        let mut me = stage.traitor(1, &[]);
        let honest = stage.view_change(1, 6);
        assert!(holds(&stage, honest.as_signed()));
        for forgery in FORGERIES {
            let forged = forge(&mut me, forgery, honest.message().clone());
            let packet = Packet::ViewChange(me.sign(forged.clone()));
            assert!(matches!(stage.receive(&packet), Some(Message::ViewChange(one)) if one.signer() == me.id()));
            assert!(!holds(&stage, &me.sign(forged)), "{forgery:?}");
        }
    }

    #[test]
    fn no_new_view_of_its_follows_from_its_view_changes() {
        let stage = Stage::new(4);
        let mut me = stage.traitor(1, &[]);
        let honest = stage.new_view(1, 5);
        let follows = |opening: &NewView| {
            let NewView { view, view_changes, proposals } = opening;
            view_changes.len() == stage.genesis().committee().quorum()
                && view_changes.windows(2).all(|pair| pair[0].signer < pair[1].signer)
                && view_changes.iter().all(|one| one.message.view == *view && holds(&stage, one))
                && obliged(view_changes) == *proposals
        };
        assert!(follows(honest.message()));
        for wrong in OPENINGS {
            let opening = misopen(&mut me, wrong, honest.message().clone());
            assert!(!follows(&opening), "{wrong:?}");
            assert!(stage.receive(&Packet::NewView(me.sign(opening))).is_some());
        }
    }

    /// With a quorum's keys nothing is a forgery: the bound f is what protects.
    #[test]
    fn what_a_quorum_of_traitors_proves_holds() {
        let stage = Stage::new(4);
        let mut me = stage.traitor(1, &[0, 2]);
        let honest = ViewChange { prepared: vec![], ..stage.view_change(1, 4).message().clone() };
        let forged = forge(&mut me, Forgery::Checkpoint, honest);
        assert!(holds(&stage, &me.sign(forged)));
    }

    #[test]
    fn most_of_the_time_it_tells_everybody_the_same() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(1, &[]), ForgedCertificates::new());
        let honest = Message::ViewChange(stage.view_change(1, 6));
        let told: Vec<_> =
            (0..20).filter_map(|_| liar.on_saying(&mut me, ReplicaId::new(0), &honest).into_iter().next()).collect();
        let same = told.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!((10..19).contains(&same), "{same}");
    }
}
