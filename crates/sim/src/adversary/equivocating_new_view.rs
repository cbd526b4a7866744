//! As primary of a new view opens it twice.
//!
//! *Paper or hazard* — Castro and Liskov 1999, section 4.4 leave the choice of the quorum to the primary; hazards 30,
//! 32, 33, 38.
//!
//! *Power* — the primary of a view that begins.
//!
//! *Goal* — that two honest members enter one view with different plans, or with one that leaves out as much as can be
//! left out.
//!
//! *Strategy* — it collects view changes beyond a quorum and opens the view on as many different quorums as it can,
//! each with what really follows from it. Its own view change, and those of its colluders, say that nothing prepared.
//! Each new view is valid by itself; every member is told one, now and then two.
//!
//! *Defences* — whatever quorum is chosen, it shares an honest member with every quorum that prepared (rule V-2), so
//! the plans agree on all that may be committed; votes are by view and digest; two openings are evidence.
//!
//! *What the model leaves out* — its colluders' own view changes are replaced only here: what they tell others
//! themselves is their adversary's business.

use std::collections::BTreeMap;

use bezant_pbft::message::{NewView, ViewChange};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{ReplicaId, Signed, View};

use super::forge::obliged;
use super::{Adversary, Corrupted, Hearing, honestly};

/// See the module's head.
#[derive(Clone, Debug)]
pub struct EquivocatingNewView {
    /// The last view change of each member.
    heard: BTreeMap<ReplicaId, Signed<ViewChange>>,
}

impl EquivocatingNewView {
    /// One that has heard nothing yet.
    pub fn new() -> Self {
        Self { heard: BTreeMap::new() }
    }

    /// Valid openings of a view, on different quorums.
    fn openings(&self, me: &Corrupted, view: View, honest: &NewView) -> Vec<NewView> {
        let mut known: BTreeMap<_, _> = self
            .heard
            .iter()
            .map(|(signer, change)| (*signer, change.clone()))
            .chain(honest.view_changes.iter().map(|change| (change.signer, change.clone())))
            .filter(|(_, change)| change.message.view == view)
            .collect();
        for liar in me.held() {
            known.extend(
                me.sign_as(liar, ViewChange { view, checkpoint: None, prepared: vec![] }).map(|one| (liar, one)),
            );
        }
        let all: Vec<_> = known.into_values().collect();
        let quorum = me.genesis().committee().quorum();
        if all.len() < quorum {
            return vec![];
        }
        // Quorums that leave out a run of members, each beginning somewhere else.
        (0..all.len())
            .map(|first| {
                let mut view_changes: Vec<_> = all.iter().cycle().skip(first).take(quorum).cloned().collect();
                view_changes.sort_by_key(|change| change.signer);
                NewView { view, proposals: obliged(&view_changes), view_changes }
            })
            .collect()
    }
}

impl Default for EquivocatingNewView {
    fn default() -> Self {
        Self::new()
    }
}

impl Adversary for EquivocatingNewView {
    fn on_saying(&mut self, me: &mut Corrupted, to: ReplicaId, message: &Message) -> Vec<Packet> {
        if let Message::NewView(opening) = message
            && me.signed(message)
        {
            let openings = self.openings(me, opening.message().view, opening.message());
            let Some(one) = openings.get(to.index() % openings.len().max(1)) else { return honestly(message) };
            let mut said = vec![Packet::NewView(me.sign(one.clone()))];
            if me.dice.permille(200) {
                said.push(message.to_packet());
            }
            return said;
        }
        honestly(message)
    }

    fn on_hearing(&mut self, _: &mut Corrupted, _: ReplicaId, message: &Message) -> Hearing {
        if let Message::ViewChange(change) = message {
            self.heard.insert(change.signer(), change.as_signed().clone());
        }
        Hearing::Passes
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Stage;
    use super::*;

    #[test]
    fn it_opens_one_view_on_several_quorums_each_valid_and_forgetful() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(1, &[]), EquivocatingNewView::new());
        for other in [0, 2, 3] {
            let change = Message::ViewChange(stage.view_change(other, 5));
            liar.on_hearing(&mut me, ReplicaId::new(other), &change);
        }
        let honest = stage.new_view(1, 5);
        let openings = liar.openings(&me, View::new(5), honest.message());
        let distinct = |one: &NewView| openings.iter().filter(|other| *other == one).count() == 1;
        assert!(openings.len() == 4 && openings.iter().all(distinct));
        for NewView { view, view_changes, proposals } in &openings {
            assert_eq!(view_changes.len(), stage.genesis().committee().quorum());
            assert!(view_changes.windows(2).all(|pair| pair[0].signer < pair[1].signer));
            let genuine = |one: &Signed<ViewChange>| one.clone().verify(stage.keyring()).is_ok();
            assert!(view_changes.iter().all(|one| one.message.view == *view && genuine(one)));
            assert_eq!(*proposals, obliged(view_changes));
        }
        let message = Message::NewView(honest);
        let mut told = |to| liar.on_saying(&mut me, ReplicaId::new(to), &message).swap_remove(0);
        assert_ne!(told(0), told(2));
    }
}
