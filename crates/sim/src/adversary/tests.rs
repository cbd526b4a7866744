//! A stage on which traitors are watched: a network whose keys are all known, and honest messages of every kind. And
//! what holds of every traitor.

use std::collections::BTreeSet;

use bezant_ledger::transfer::{Content, Piece, PieceId, PieceRequest, Wanted};
use bezant_pbft::certificate::{Endorsed, PreparedProof};
use bezant_pbft::message::{
    Batch, Checkpoint, Commit, Fetch, NewView, PrePrepare, Prepare, Reply, Standing, Status, ViewChange,
};
use bezant_pbft::packet::{Decided, FORMAT, Message, Packet};
use bezant_types::genesis::{ClientEntry, MAX_FRAME, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::{
    Bundle, Digest, Genesis, Keyring, Moment, Operation, Outcome, ReplicaId, Request, RequestNumber, SecretKey,
    SequenceNumber, Signable, Signed, Timestamp, Transaction, Verified, View,
};

use super::corrupted::signer;
use super::{Adversary, Corrupted, Deed, TICK_MS, all};
use crate::dice::Dice;

/// A network whose keys are all known.
pub(super) struct Stage {
    genesis: Genesis,
    keyring: Keyring,
}

pub(super) fn client_key(client: u8) -> SecretKey {
    SecretKey::from_seed([200 + client; 32])
}

fn replica_key(replica: u16) -> SecretKey {
    SecretKey::from_seed([u8::try_from(replica).unwrap() + 1; 32])
}

fn at(sequence: u64) -> SequenceNumber {
    SequenceNumber::new(sequence)
}

impl Stage {
    pub(super) fn new(n: u16) -> Self {
        let replicas = (0..n)
            .map(|i| ReplicaEntry { key: replica_key(i).account(), address: format!("replica:{}", 7400 + i) })
            .collect();
        let clients = (0..3)
            .map(|i| ClientEntry { name: format!("client-{i}"), key: client_key(i).account(), role: Role::Write })
            .collect();
        let genesis = Genesis::new("stage".into(), replicas, clients, vec![], Parameters::standard()).unwrap();
        Self { keyring: genesis.keyring(), genesis }
    }

    pub(super) fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    pub(super) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// A traitor with its own key and those of its colluders, seed 1.
    pub(super) fn traitor(&self, id: u16, colluders: &[u16]) -> Corrupted {
        let keys = std::iter::once(&id).chain(colluders).map(|one| (ReplicaId::new(*one), replica_key(*one)));
        Corrupted::new(ReplicaId::new(id), keys.collect(), self.genesis.clone(), Dice::new(1))
    }

    fn verified<M: Signable<Signer = ReplicaId>>(&self, by: u16, message: M) -> Verified<M> {
        Verified::sign(message, ReplicaId::new(by), &replica_key(by), self.genesis.digest())
    }

    pub(super) fn bundle(&self, client: u8, number: u64) -> Signed<Bundle> {
        let operation = Operation::Append { key: b"story".to_vec(), suffix: b"word ".to_vec() };
        let bundle = Bundle { number: RequestNumber::new(number), transactions: vec![Transaction::single(operation)] };
        let key = client_key(client);
        Verified::sign(bundle, key.account(), &key, self.genesis.digest()).into_signed()
    }

    pub(super) fn request(&self, client: u8, number: u64) -> Request {
        let bundle = self.bundle(client, number).verify(&self.keyring).unwrap();
        Request::new(bundle, self.genesis.parameters()).unwrap()
    }

    /// One request of each client.
    pub(super) fn batch(&self, sequence: u64) -> Batch {
        let requests = (0..3).map(|client| self.request(client, sequence).digest()).collect();
        Batch::Requests { timestamp: Timestamp::new(10_000 + sequence), requests }
    }

    pub(super) fn pre_prepare(&self, by: u16, view: u64, sequence: u64) -> Message {
        let batch = self.batch(sequence);
        let vote = PrePrepare { view: View::new(view), sequence: at(sequence), digest: batch.digest() };
        Message::PrePrepare(self.verified(by, vote), Some(batch))
    }

    pub(super) fn prepare(&self, by: u16, view: u64, sequence: u64) -> Message {
        let digest = self.batch(sequence).digest();
        Message::Prepare(self.verified(by, Prepare { view: View::new(view), sequence: at(sequence), digest }))
    }

    pub(super) fn commit(&self, by: u16, view: u64, sequence: u64) -> Message {
        let digest = self.batch(sequence).digest();
        Message::Commit(self.verified(by, Commit { view: View::new(view), sequence: at(sequence), digest }))
    }

    pub(super) fn checkpoint(&self, by: u16, sequence: u64) -> Message {
        Message::Checkpoint(self.verified(by, Checkpoint { sequence: at(sequence), root: root(sequence) }))
    }

    pub(super) fn status(&self, by: u16, view: u64, executed: u64) -> Message {
        let status =
            Status { view: View::new(view), standing: Standing::Normal, stable: at(0), executed: at(executed) };
        Message::Status(self.verified(by, status))
    }

    pub(super) fn stable(&self, sequence: u64) -> Endorsed<Checkpoint> {
        let vote = Checkpoint { sequence: at(sequence), root: root(sequence) };
        let quorum = u16::try_from(self.genesis.committee().quorum()).unwrap();
        let signatures = (0..quorum).map(|one| (ReplicaId::new(one), self.verified(one, vote).signature())).collect();
        Endorsed { vote, signatures }
    }

    pub(super) fn prepared(&self, view: u64, sequence: u64) -> PreparedProof {
        let committee = self.genesis.committee();
        let (view, sequence, digest) = (View::new(view), at(sequence), self.batch(sequence).digest());
        let primary = committee.primary(view);
        let vote = Prepare { view, sequence, digest };
        let backups = committee.members().filter(|one| *one != primary).take(committee.prepares());
        let prepares = backups.map(|one| (one, self.verified(one.get(), vote).signature())).collect();
        let pre_prepare = self.verified(primary.get(), PrePrepare { view, sequence, digest }).signature();
        PreparedProof { view, sequence, digest, pre_prepare, prepares }
    }

    /// For this view, above a checkpoint at 64, with slots 65 and 66 prepared in the view before.
    pub(super) fn view_change(&self, by: u16, view: u64) -> Verified<ViewChange> {
        let prepared = vec![self.prepared(view - 1, 65), self.prepared(view - 1, 66)];
        self.verified(by, ViewChange { view: View::new(view), checkpoint: Some(self.stable(64)), prepared })
    }

    pub(super) fn new_view(&self, by: u16, view: u64) -> Verified<NewView> {
        let quorum = u16::try_from(self.genesis.committee().quorum()).unwrap();
        let view_changes: Vec<_> = (0..quorum).map(|one| self.view_change(one, view).into_signed()).collect();
        let proposals = super::forge::obliged(&view_changes);
        self.verified(by, NewView { view: View::new(view), view_changes, proposals })
    }

    /// A message of each kind, by this member where a member signs it, in a view whose primary it is.
    pub(super) fn everything(&self, by: u16) -> Vec<Message> {
        let view = u64::try_from(self.genesis.committee().size()).unwrap() + u64::from(by);
        let batch = self.batch(3);
        let vote = Commit { view: View::new(view), sequence: at(3), digest: batch.digest() };
        let signatures = (0..3).map(|one| (ReplicaId::new(one), self.verified(one, vote).signature())).collect();
        let fetch = Fetch { requests: vec![self.request(0, 1).digest()], batches: vec![(at(3), batch.digest())] };
        vec![
            self.status(by, view, 2),
            self.pre_prepare(by, view, 3),
            self.prepare(by, view, 3),
            self.commit(by, view, 3),
            self.checkpoint(by, 64),
            Message::ViewChange(self.view_change(by, view)),
            Message::NewView(self.new_view(by, view)),
            Message::Fetch(self.verified(by, fetch)),
            Message::Requests(vec![self.request(0, 1), self.request(1, 1)]),
            Message::Batch(at(3), batch.clone()),
            Message::Decided(Decided { commits: Endorsed { vote, signatures }, batch }),
            Message::Stable(self.stable(64)),
        ]
    }

    /// What an honest member's door makes of a packet, which must survive the trip.
    pub(super) fn receive(&self, packet: &Packet) -> Option<Message> {
        let bytes = packet.encode();
        assert!(bytes.len() <= MAX_FRAME, "a packet of {} bytes does not fit a frame", bytes.len());
        assert_eq!(FORMAT.open::<Packet>(&bytes, MAX_FRAME).as_ref(), Ok(packet));
        packet.clone().verify(&self.keyring, self.genesis.parameters()).ok()
    }

    /// What an adversary does when everything happens to it.
    pub(super) fn play(&self, adversary: &mut dyn Adversary, me: &mut Corrupted) -> Vec<(ReplicaId, Packet)> {
        let mut said = vec![];
        let others: Vec<_> = me.others().into_iter().map(|one| (one, self.everything(one.get()))).collect();
        let own = self.everything(me.id().get());
        let requests = [0, 1, 2].map(|client| self.request(client, 3));
        for tick in 0..12 {
            me.now = Moment::new(tick * TICK_MS);
            for (other, messages) in &others {
                for message in messages {
                    adversary.on_hearing(me, *other, message);
                }
            }
            for request in &requests {
                adversary.on_request(me, request);
            }
            for message in &own {
                for to in me.others() {
                    said.extend(adversary.on_saying(me, to, message).into_iter().map(|packet| (to, packet)));
                }
            }
            adversary.on_tick(me);
            for deed in me.take_deeds() {
                if let Deed::Tell { from, to, packet, .. } = deed {
                    assert!(me.is(from) && from != to);
                    said.push((to, packet));
                }
            }
        }
        said
    }
}

fn root(sequence: u64) -> Digest {
    Digest::of("stage/root", &sequence)
}

pub(super) fn reply() -> Reply {
    Reply {
        client: client_key(0).account(),
        number: RequestNumber::new(1),
        view: View::ZERO,
        outcome: Outcome::Executed(vec![]),
    }
}

pub(super) fn piece(content: Content) -> Piece {
    Piece { answers: PieceRequest { id: PieceId::new(1), wanted: Wanted::Header { root: root(1) } }, content }
}

#[test]
fn no_adversary_has_a_signature_that_it_could_not_make_or_hear() {
    let stage = Stage::new(7);
    let genuine: Vec<Packet> = (0..7).flat_map(|by| stage.everything(by)).map(|one| one.to_packet()).collect();
    for kind in all() {
        let mut me = stage.traitor(1, &[2]);
        let mut adversary = kind.build(&mut Dice::new(7));
        for (_, packet) in stage.play(adversary.as_mut(), &mut me) {
            let Some(message) = stage.receive(&packet) else { continue };
            if let Some(signer) = signer(&message)
                && !me.is(signer)
            {
                let heard = |one: &&Packet| without_batch(one) == without_batch(&packet);
                assert!(genuine.iter().any(|one| heard(&one)), "{} made {packet:?}", kind.name);
            }
        }
    }
}

/// The batch travels beside the signature.
fn without_batch(packet: &Packet) -> Packet {
    if let Packet::PrePrepare(vote, _) = packet { Packet::PrePrepare(vote.clone(), None) } else { packet.clone() }
}

#[test]
fn the_same_seed_lies_the_same_lies() {
    let stage = Stage::new(4);
    for kind in all() {
        let play = || stage.play(kind.build(&mut Dice::new(3)).as_mut(), &mut stage.traitor(1, &[]));
        assert!(play() == play(), "{}", kind.name);
    }
}

#[test]
fn no_adversary_says_more_in_a_tick_than_a_network_carries() {
    let stage = Stage::new(4);
    for kind in all() {
        let mut me = stage.traitor(1, &[]);
        let mut adversary = kind.build(&mut Dice::new(5));
        stage.play(adversary.as_mut(), &mut me);
        adversary.on_tick(&mut me);
        assert!(me.take_deeds().len() <= 2_048, "{}", kind.name);
    }
}

#[test]
fn every_adversary_but_the_quiet_ones_says_something_dishonest() {
    let stage = Stage::new(4);
    let honest: BTreeSet<Vec<u8>> =
        (0..4).flat_map(|by| stage.everything(by)).map(|one| one.to_packet().encode()).collect();
    let quiet = ["silent", "silent-to-some", "slow", "amnesia", "replaying", "lying-answers", "poisoned-transfer"];
    for kind in all().iter().filter(|kind| !quiet.contains(&kind.name)) {
        let mut adversary = kind.build(&mut Dice::new(3));
        let said = stage.play(adversary.as_mut(), &mut stage.traitor(1, &[]));
        assert!(said.iter().any(|(_, packet)| !honest.contains(&packet.encode())), "{}", kind.name);
    }
}
