//! As primary leaves out one client.
//!
//! *Paper or hazard* — Aublin et al., *RBFT*, ICDCS 2013 (an unfair primary); hazards 46, 47, 74.
//!
//! *Power* — one member, as primary.
//!
//! *Goal* — that one client is never served, while the group looks healthy.
//!
//! *Strategy* — while it leads, the honest replica inside does not hear of the victim, but for what it asked others for
//! because it must execute it; so all that it says is in order. What it had heard before it led the adversary strips
//! from each batch, signs what is left and votes for it. A batch that would be empty becomes a seal, so that no gap
//! gives it away. What a new view obliges it to propose it leaves alone, or it would be caught at once. It passes none
//! of the victim's requests on either.
//!
//! *Defences* — clients send to all, so every backup knows what is owed; rule P-8 follows the oldest work and not any
//! work; rule P-9 counts a batch with room in it that leaves owed work behind.
//!
//! *What the model leaves out* — it does not serve the victim now and then to stay below the bound.

use std::collections::{BTreeMap, BTreeSet};

use bezant_pbft::message::{Batch, Commit, NewView, PrePrepare, Prepare};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{AccountId, Digest, ReplicaId, Request, SequenceNumber, View};

use super::corrupted::signer;
use super::notes::{Notes, Recent};
use super::{Adversary, Corrupted, Hearing, honestly};

/// How many requests of its victim it recognises, and how many slots it remembers to have changed.
const MEMORY: usize = 1024;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Censoring {
    victim: Option<AccountId>,
    owed: Recent<Digest>,
    /// What the honest replica inside has asked others for.
    fetched: Recent<Digest>,
    notes: Notes,
    /// What the last new view of its own prescribes.
    prescribed: BTreeSet<Digest>,
    stripped: BTreeMap<(View, SequenceNumber), Batch>,
}

impl Censoring {
    /// Censors this client.
    pub fn of(victim: AccountId) -> Self {
        Self { victim: Some(victim), ..Self::of_first_client() }
    }

    /// Censors the first client of the genesis.
    pub fn of_first_client() -> Self {
        Self {
            victim: None,
            owed: Recent::new(MEMORY),
            fetched: Recent::new(MEMORY),
            notes: Notes::new(),
            prescribed: BTreeSet::new(),
            stripped: BTreeMap::new(),
        }
    }

    /// Whether the honest replica inside must not hear of this request.
    fn hides(&self, me: &Corrupted, request: &Request) -> bool {
        let leads = me.genesis().committee().primary(self.notes.view) == me.id();
        let needed = || self.fetched.iter().any(|one| *one == request.digest());
        leads && self.is_victim(me, request.client()) && !needed()
    }

    fn is_victim(&self, me: &Corrupted, client: AccountId) -> bool {
        let first = || me.genesis().clients().first().map(|entry| entry.key);
        self.victim.or_else(first) == Some(client)
    }

    fn note(&mut self, me: &Corrupted, request: &Request) {
        if self.is_victim(me, request.client()) {
            self.owed.note(request.digest());
        }
    }

    /// What is proposed instead, if anything: the same whenever it is asked, although more is known of the victim by
    /// then, and whether the batch is said along or was said before.
    fn stripped_of(&mut self, vote: PrePrepare, batch: Option<&Batch>) -> Option<Batch> {
        let known = self.stripped.get(&(vote.view, vote.sequence));
        known.cloned().or_else(|| self.strip(vote, batch?))
    }

    fn strip(&mut self, vote: PrePrepare, batch: &Batch) -> Option<Batch> {
        let key = (vote.view, vote.sequence);
        let Batch::Requests { timestamp, requests } = batch else { return None };
        let is_owed = |digest: &&Digest| self.owed.iter().any(|one| one == *digest);
        let rest: Vec<_> = requests.iter().filter(|digest| !is_owed(digest)).copied().collect();
        if rest.len() == requests.len() || self.prescribed.contains(&vote.digest) {
            return None;
        }
        let timestamp = *timestamp;
        let stripped =
            if rest.is_empty() { Batch::Seal { timestamp } } else { Batch::Requests { timestamp, requests: rest } };
        self.stripped.insert(key, stripped.clone());
        if self.stripped.len() > MEMORY {
            self.stripped.pop_first();
        }
        Some(stripped)
    }
}

impl Adversary for Censoring {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        if let Message::Requests(requests) = message {
            let others = requests.iter().filter(|request| !self.is_victim(me, request.client()));
            let others: Vec<_> = others.map(|request| request.as_signed().clone()).collect();
            return if others.is_empty() { vec![] } else { vec![Packet::Requests(others)] };
        }
        self.notes.said(me, message);
        if !me.signed(message) {
            return honestly(message);
        }
        if let Message::Fetch(fetch) = message {
            fetch.message().requests.iter().for_each(|digest| self.fetched.note(*digest));
        }
        if let Message::NewView(opening) = message {
            let NewView { proposals, .. } = opening.message();
            self.prescribed = proposals.iter().copied().collect();
        }
        if let Message::PrePrepare(vote, batch) = message
            && let Some(stripped) = self.stripped_of(*vote.message(), batch.as_ref())
        {
            let vote = PrePrepare { digest: stripped.digest(), ..*vote.message() };
            return vec![Packet::PrePrepare(me.sign(vote), batch.is_some().then_some(stripped))];
        }
        honestly(message)
    }

    fn on_hearing(&mut self, me: &mut Corrupted, from: ReplicaId, message: &Message) -> Hearing {
        if let Message::Requests(requests) = message {
            requests.iter().for_each(|request| self.note(me, request));
            if requests.iter().any(|request| self.hides(me, request)) {
                return Hearing::Dropped;
            }
        }
        // The honest replica inside stands by what it proposed and does not vote for what is left of it.
        if let Message::Prepare(vote) = message
            && signer(message) == Some(from)
        {
            let Prepare { view, sequence, digest } = *vote.message();
            let ours = self.stripped.get(&(view, sequence)).is_some_and(|batch| batch.digest() == digest);
            if ours {
                let commit = me.sign(Commit { view, sequence, digest });
                me.tell(from, Packet::Commit(commit));
            }
        }
        Hearing::Passes
    }

    fn on_request(&mut self, me: &mut Corrupted, request: &Request) -> Hearing {
        self.note(me, request);
        if self.hides(me, request) { Hearing::Dropped } else { Hearing::Passes }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Deed;
    use bezant_pbft::message::Fetch;

    use super::super::tests::{Stage, client_key};
    use super::*;

    #[test]
    fn what_it_proposes_is_what_it_was_to_propose_without_its_victims_requests() {
        let stage = Stage::new(4);
        let (mut me, mut censor) = (stage.traitor(0, &[]), Censoring::of(client_key(1).account()));
        for client in 0..3 {
            let hearing = if client == 1 { Hearing::Dropped } else { Hearing::Passes };
            assert_eq!(censor.on_request(&mut me, &stage.request(client, 1)), hearing);
        }
        // It may have heard of them before it led.
        let said = censor.on_saying(&mut me, ReplicaId::new(2), &stage.pre_prepare(0, 0, 1));
        let Some(Message::PrePrepare(vote, Some(batch))) = said.first().and_then(|one| stage.receive(one)) else {
            panic!("a proposal: {said:?}")
        };
        assert_eq!(vote.message().digest, batch.digest());
        assert_eq!(batch.requests(), [stage.request(0, 1).digest(), stage.request(2, 1).digest()]);
        let again = censor.on_saying(&mut me, ReplicaId::new(3), &stage.pre_prepare(0, 0, 1));
        assert_eq!(again, said, "everybody hears the same");
        let Message::PrePrepare(honest, _) = stage.pre_prepare(0, 0, 1) else { panic!("a proposal") };
        let again = censor.on_saying(&mut me, ReplicaId::new(3), &Message::PrePrepare(honest, None));
        let [Packet::PrePrepare(again, None)] = &again[..] else { panic!("the same, shorter: {again:?}") };
        assert_eq!(again, vote.as_signed(), "and once more");

        let vote = Prepare { view: View::ZERO, sequence: SequenceNumber::new(1), digest: batch.digest() };
        let prepare = stage.receive(&Packet::Prepare(stage.traitor(2, &[]).sign(vote))).unwrap();
        censor.on_hearing(&mut me, ReplicaId::new(2), &prepare);
        let deeds = me.take_deeds();
        assert!(matches!(&deeds[..], [Deed::Tell { packet: Packet::Commit(commit), .. }]
            if commit.message.digest == batch.digest()));
    }

    #[test]
    fn a_batch_of_its_victims_requests_only_becomes_a_seal() {
        let stage = Stage::new(4);
        let mut censor = Censoring::of_first_client();
        let mut me = stage.traitor(0, &[]);
        censor.on_request(&mut me, &stage.request(0, 1));
        let requests = vec![stage.request(0, 1).digest()];
        let batch = Batch::Requests { timestamp: bezant_types::Timestamp::new(5), requests };
        let vote = PrePrepare { view: View::ZERO, sequence: SequenceNumber::new(1), digest: batch.digest() };
        assert_eq!(censor.strip(vote, &batch), Some(Batch::Seal { timestamp: batch.timestamp() }));
    }

    #[test]
    fn what_it_must_execute_it_hears_of() {
        let stage = Stage::new(4);
        let (mut me, mut censor) = (stage.traitor(0, &[]), Censoring::of_first_client());
        let waiting = Message::Requests(vec![stage.request(0, 1), stage.request(1, 1)]);
        assert_eq!(censor.on_hearing(&mut me, ReplicaId::new(2), &waiting), Hearing::Dropped);
        let fetch = me.sign(Fetch { requests: vec![stage.request(0, 1).digest()], batches: vec![] });
        let fetch = stage.receive(&Packet::Fetch(fetch)).unwrap();
        censor.on_saying(&mut me, ReplicaId::new(2), &fetch);
        assert_eq!(censor.on_hearing(&mut me, ReplicaId::new(2), &waiting), Hearing::Passes);
        assert_eq!(censor.on_request(&mut me, &stage.request(0, 2)), Hearing::Dropped);
        let mut backup = stage.traitor(1, &[]);
        let mut censor = Censoring::of_first_client();
        assert_eq!(censor.on_request(&mut backup, &stage.request(0, 1)), Hearing::Passes, "it does not lead");
    }

    #[test]
    fn it_passes_on_what_others_asked_for() {
        let stage = Stage::new(4);
        let (mut me, mut censor) = (stage.traitor(1, &[]), Censoring::of_first_client());
        let waiting = Message::Requests(vec![stage.request(0, 1), stage.request(1, 1)]);
        let said = censor.on_saying(&mut me, ReplicaId::new(0), &waiting);
        assert_eq!(said, vec![Packet::Requests(vec![stage.bundle(1, 1)])]);
    }
}
