//! A network of four, the keys of all its members, and how to say things in their names. Replica 3 and client 2 are
//! corrupted.

use std::sync::{Arc, LazyLock};

use bezant_ledger::Execution;
use bezant_pbft::Block;
use bezant_pbft::certificate::{CommitCertificate, Endorsed, PreparedProof, Signatures};
use bezant_pbft::message::{Batch, Checkpoint, Commit, NewView, PrePrepare, Prepare, ViewChange};
use bezant_pbft::packet::{Message, Packet};
use bezant_sim::oracle::{Oracle, Setting, all};
use bezant_sim::sight::{ClientIndex, Sight};
use bezant_types::genesis::{ClientEntry, Grant, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::transaction::{Answer, Outcome};
use bezant_types::{
    Amount, Bundle, Digest, Genesis, Keyring, Moment, Operation, ReplicaId, Request, RequestNumber, SecretKey,
    SequenceNumber, Signable, Signature, Signed, Timestamp, Transaction, Verified, View,
};

/// How many sequence numbers the network has under way.
pub(crate) const WINDOW: u64 = 12;
/// How many milliseconds it has to answer when all is calm.
pub(crate) const LIVENESS_MS: u64 = 5_000;
/// The client that lies.
pub(crate) const LIAR: usize = 2;

static GENESIS: LazyLock<Genesis> = LazyLock::new(|| {
    let replicas = (0..4).map(|i| ReplicaEntry { key: replica_key(i).account(), address: format!("r:{}", 7400 + i) });
    let clients =
        (0..3).map(|i| ClientEntry { name: format!("client-{i}"), key: client_key(i).account(), role: Role::Write });
    let parameters = Parameters {
        checkpoint_interval: 4,
        window: WINDOW,
        pipeline: 4,
        max_batch_requests: 4,
        client_window: 16,
        ..Parameters::standard()
    };
    let balances = vec![Grant { account: client_key(0).account(), amount: Amount::new(100) }];
    Genesis::new("test".into(), replicas.collect(), clients.collect(), balances, parameters).unwrap()
});
static KEYRING: LazyLock<Keyring> = LazyLock::new(|| GENESIS.keyring());

pub(crate) fn genesis() -> &'static Genesis {
    &GENESIS
}

fn replica_key(replica: u16) -> SecretKey {
    SecretKey::from_seed([replica as u8 + 1; 32])
}

pub(crate) fn client_key(client: usize) -> SecretKey {
    SecretKey::from_seed([client as u8 + 200; 32])
}

pub(crate) fn id(replica: u16) -> ReplicaId {
    ReplicaId::new(replica)
}

pub(crate) fn at(sequence: u64) -> SequenceNumber {
    SequenceNumber::new(sequence)
}

pub(crate) fn view(view: u64) -> View {
    View::new(view)
}

/// Some digest.
pub(crate) fn digest(seed: u8) -> Digest {
    Digest::new([seed; 32])
}

pub(crate) fn sign<M: Signable<Signer = ReplicaId>>(by: u16, message: M) -> Signed<M> {
    Verified::sign(message, id(by), &replica_key(by), GENESIS.digest()).into_signed()
}

fn signature<M: Signable<Signer = ReplicaId>>(by: u16, message: &M) -> Signature {
    sign(by, message.clone()).signature
}

fn signatures<M: Signable<Signer = ReplicaId>>(signers: &[u16], message: &M) -> Signatures {
    signers.iter().map(|one| (id(*one), signature(*one, message))).collect()
}

pub(crate) fn message(packet: Packet) -> Message {
    packet.verify(&KEYRING, GENESIS.parameters()).unwrap()
}

fn primary(in_view: u64) -> u16 {
    GENESIS.committee().primary(view(in_view)).get()
}

pub(crate) fn pre_prepare(by: u16, in_view: u64, sequence: u64, digest: Digest) -> Message {
    let vote = PrePrepare { view: view(in_view), sequence: at(sequence), digest };
    message(Packet::PrePrepare(sign(by, vote), None))
}

pub(crate) fn prepare(by: u16, in_view: u64, sequence: u64, digest: Digest) -> Message {
    message(Packet::Prepare(sign(by, Prepare { view: view(in_view), sequence: at(sequence), digest })))
}

pub(crate) fn commit(by: u16, in_view: u64, sequence: u64, digest: Digest) -> Message {
    message(Packet::Commit(sign(by, Commit { view: view(in_view), sequence: at(sequence), digest })))
}

pub(crate) fn checkpoint(by: u16, sequence: u64, root: Digest) -> Message {
    message(Packet::Checkpoint(sign(by, Checkpoint { sequence: at(sequence), root })))
}

/// A proof that this prepared, by the backups among replicas 0 to 3 that are named.
pub(crate) fn proof(in_view: u64, sequence: u64, digest: Digest, backups: &[u16]) -> PreparedProof {
    let (in_view, sequence, primary) = (view(in_view), at(sequence), primary(in_view));
    PreparedProof {
        view: in_view,
        sequence,
        digest,
        pre_prepare: signature(primary, &PrePrepare { view: in_view, sequence, digest }),
        prepares: signatures(backups, &Prepare { view: in_view, sequence, digest }),
    }
}

pub(crate) fn stable(sequence: u64, root: Digest, signers: &[u16]) -> Endorsed<Checkpoint> {
    let vote = Checkpoint { sequence: at(sequence), root };
    Endorsed { signatures: signatures(signers, &vote), vote }
}

pub(crate) fn change(
    in_view: u64,
    checkpoint: Option<Endorsed<Checkpoint>>,
    prepared: Vec<PreparedProof>,
) -> ViewChange {
    ViewChange { view: view(in_view), checkpoint, prepared }
}

pub(crate) fn view_change(by: u16, change: ViewChange) -> Message {
    message(Packet::ViewChange(sign(by, change)))
}

/// A new view with these view changes, whether or not its proposals follow from them.
pub(crate) fn opening(in_view: u64, changes: &[(u16, ViewChange)], proposals: &[Digest]) -> NewView {
    let view_changes = changes.iter().map(|(by, change)| sign(*by, change.clone())).collect();
    NewView { view: view(in_view), view_changes, proposals: proposals.to_vec() }
}

pub(crate) fn new_view(message: NewView) -> Message {
    let by = primary(message.view.get());
    self::message(Packet::NewView(sign(by, message)))
}

pub(crate) fn get(key: &str) -> Operation {
    Operation::Get { key: key.into() }
}

pub(crate) fn add(key: &str, delta: i64) -> Operation {
    Operation::Add { key: key.into(), delta }
}

pub(crate) fn request(client: usize, number: u64, operation: Operation) -> Request {
    let bundle = Bundle { number: RequestNumber::new(number), transactions: vec![Transaction::single(operation)] };
    signed_request(client, client, bundle)
}

/// A request in the name of one client under the key of another.
pub(crate) fn signed_request(client: usize, key: usize, bundle: Bundle) -> Request {
    let account = client_key(client).account();
    let verified = Verified::sign(bundle, account, &client_key(key), GENESIS.digest());
    Request::new(verified, GENESIS.parameters()).unwrap()
}

pub(crate) fn verified(request: &Request) -> Verified<Bundle> {
    request.as_signed().clone().verify(&KEYRING).unwrap()
}

pub(crate) fn batch(requests: &[Request]) -> Batch {
    Batch::Requests { timestamp: Timestamp::new(1), requests: requests.iter().map(Request::digest).collect() }
}

/// A block that replicas 0, 1 and 2 have committed to in view 0.
pub(crate) fn block(sequence: u64, requests: &[Request]) -> Block {
    block_by(sequence, requests, &[0, 1, 2])
}

pub(crate) fn block_by(sequence: u64, requests: &[Request], signers: &[u16]) -> Block {
    let batch = batch(requests);
    let vote = Commit { view: View::ZERO, sequence: at(sequence), digest: batch.digest() };
    let endorsed = Endorsed { signatures: signatures(signers, &vote), vote };
    let certificate = CommitCertificate::check(endorsed, GENESIS.committee(), &KEYRING).unwrap();
    Block { batch, requests: requests.to_vec(), certificate, checkpoint: false }
}

/// That the operations of a request were answered with this.
pub(crate) fn outcome(answer: Answer) -> Outcome {
    Outcome::Executed(vec![Ok(vec![answer])])
}

pub(crate) fn execution(request: &Request, outcome: Outcome, fresh: bool) -> Execution {
    let (client, number, request) = (request.client(), request.number(), request.digest());
    Execution { client, number, request, outcome: Arc::new(outcome), fresh }
}

/// One oracle on trial.
pub(crate) struct Trial {
    oracle: Box<dyn Oracle>,
    now: u64,
}

impl Trial {
    /// The oracle of that name, in a world whose corrupted members are replica 3 and, if it is said so, client 2.
    pub(crate) fn of(name: &str) -> Self {
        Self::with_clients(name, &[])
    }

    pub(crate) fn with_lying_client(name: &str) -> Self {
        Self::with_clients(name, &[ClientIndex(LIAR)])
    }

    fn with_clients(name: &str, corrupted_clients: &[ClientIndex]) -> Self {
        let corrupted = [id(3)];
        let setting = Setting { genesis: &GENESIS, corrupted: &corrupted, corrupted_clients, liveness_ms: LIVENESS_MS };
        let oracle = all(&setting).into_iter().find(|oracle| oracle.name() == name).expect("an oracle of that name");
        Self { oracle, now: 0 }
    }

    pub(crate) fn pass(&mut self, milliseconds: u64) -> &mut Self {
        self.now += milliseconds;
        self
    }

    pub(crate) fn judge(&mut self, sight: &Sight<'_>) -> Result<(), String> {
        self.oracle.on_sight(Moment::new(self.now), sight)
    }

    /// Must have nothing to say against this.
    #[track_caller]
    pub(crate) fn accepts(&mut self, sight: Sight<'_>) -> &mut Self {
        if let Err(crime) = self.judge(&sight) {
            panic!("{crime}");
        }
        self
    }

    /// Must call this a crime, in a sentence that holds these words.
    #[track_caller]
    pub(crate) fn refuses(&mut self, sight: Sight<'_>, words: &str) {
        let crime = self.judge(&sight).expect_err("a crime went by");
        assert!(crime.contains(words), "{crime}");
    }

    #[track_caller]
    pub(crate) fn accepts_the_end(&mut self) {
        self.oracle.at_end(Moment::new(self.now)).unwrap();
    }

    #[track_caller]
    pub(crate) fn refuses_the_end(&mut self, words: &str) {
        let crime = self.oracle.at_end(Moment::new(self.now)).expect_err("a crime went by");
        assert!(crime.contains(words), "{crime}");
    }

    /// A message leaves replica `by`, to everybody.
    #[track_caller]
    pub(crate) fn says(&mut self, by: u16, message: &Message) -> &mut Self {
        for to in 0..4 {
            self.accepts(said(by, to, message));
        }
        self
    }

    /// All of `by` say what `message` makes for them.
    #[track_caller]
    pub(crate) fn all_say(&mut self, by: &[u16], message: impl Fn(u16) -> Message) -> &mut Self {
        for one in by {
            self.says(*one, &message(*one));
        }
        self
    }

    #[track_caller]
    pub(crate) fn refuses_to_hear(&mut self, by: u16, message: &Message, words: &str) {
        self.refuses(said(by, by, message), words);
    }

    #[track_caller]
    pub(crate) fn boots(&mut self, replica: u16, stable: u64) -> &mut Self {
        self.accepts(booted(replica, &[], stable))
    }

    #[track_caller]
    pub(crate) fn loses_its_log(&mut self, replica: u16) -> &mut Self {
        let (replica, stable) = (id(replica), SequenceNumber::ZERO);
        self.accepts(Sight::Booted { replica, records: &[], stable, without_log: true })
    }

    #[track_caller]
    pub(crate) fn asks(&mut self, client: usize, request: &Request) -> &mut Self {
        self.accepts(Sight::Asked { client: ClientIndex(client), bundle: &verified(request) })
    }
}

pub(crate) fn said(by: u16, to: u16, message: &Message) -> Sight<'_> {
    Sight::Said { replica: id(by), to: id(to), message }
}

pub(crate) fn booted<'a>(replica: u16, records: &'a [bezant_pbft::record::Record], stable: u64) -> Sight<'a> {
    Sight::Booted { replica: id(replica), records, stable: at(stable), without_log: false }
}

pub(crate) fn delivered(replica: u16, block: &Block) -> Sight<'_> {
    Sight::Delivered { replica: id(replica), block }
}

pub(crate) fn executed<'a>(
    replica: u16,
    sequence: u64,
    executions: &'a [Execution],
    root: Option<Digest>,
) -> Sight<'a> {
    Sight::Executed { replica: id(replica), sequence: at(sequence), executions, root }
}

pub(crate) fn installed(replica: u16, sequence: u64, root: Digest) -> Sight<'static> {
    Sight::Installed { replica: id(replica), sequence: at(sequence), root }
}

pub(crate) fn is_stable(replica: u16, sequence: u64, root: Digest) -> Sight<'static> {
    Sight::Stable { replica: id(replica), sequence: at(sequence), root }
}

pub(crate) fn entered(replica: u16, in_view: u64) -> Sight<'static> {
    Sight::Entered { replica: id(replica), view: view(in_view) }
}

pub(crate) fn heard(replica: u16, message: &Message) -> Sight<'_> {
    Sight::Heard { replica: id(replica), from: id(3), message }
}

pub(crate) fn answered<'a>(client: usize, number: u64, outcome: &'a Outcome) -> Sight<'a> {
    Sight::Answered { client: ClientIndex(client), number: RequestNumber::new(number), outcome }
}
