//! Inputs that get far: what honest members and clients say, and what they keep.

use std::sync::OnceLock;

use bezant_ledger::transfer::{self, Detail, PieceId, PieceRequest, Wanted};
use bezant_ledger::{Key, Ledger, State};
use bezant_node::wire::{ASK, Ask, PEER, PeerFrame, Refusal, TELL, Tell};
use bezant_pbft::certificate::{Endorsed, PreparedProof};
use bezant_pbft::message::{
    Batch, Checkpoint, Commit, Fetch, NewView, PrePrepare, Prepare, Reply, Standing, Status, ViewChange,
};
use bezant_pbft::packet::{Decided, Packet};
use bezant_pbft::record::{self, Bodies, Record};
use bezant_sim::memory::shared;
use bezant_store::disk::Disk as _;
use bezant_store::{MemoryDisk, Wal};
use bezant_types::genesis::{ClientEntry, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::{
    Bundle, Digest, Genesis, Operation, Outcome, ReplicaId, Request, RequestNumber, SecretKey, SequenceNumber,
    Signable, Signature, Signed, Timestamp, Transaction, Verified, View,
};

use crate::decoders::log_settings;

/// How many replicas the network has.
pub(crate) const REPLICAS: u16 = 4;

/// A replica's key. A run signs and checks the same few words again and again, and each time costs more than all that
/// the replica does about them: what was signed once is remembered.
pub(crate) fn key(replica: u16) -> SecretKey {
    static KEYS: OnceLock<Vec<SecretKey>> = OnceLock::new();
    let make = |replica| SecretKey::from_seed([1 + replica as u8; 32]).remembering(shared());
    let keys = KEYS.get_or_init(|| (0..REPLICAS).map(make).collect());
    keys.get(usize::from(replica)).cloned().unwrap_or_else(|| make(replica))
}

fn client_key() -> SecretKey {
    SecretKey::from_seed([200; 32]).remembering(shared())
}

/// A network with small windows.
pub(crate) fn network() -> Genesis {
    let replica = |index| ReplicaEntry { key: key(index).account(), address: format!("r{index}:1") };
    let client = ClientEntry { name: "client".into(), key: client_key().account(), role: Role::Write };
    let parameters = Parameters { checkpoint_interval: 2, window: 8, pipeline: 4, ..Parameters::standard() };
    Genesis::new("fuzz".into(), (0..REPLICAS).map(replica).collect(), vec![client], vec![], parameters)
        .expect("a sound genesis")
        .remembering(shared())
}

fn digest() -> Digest {
    static DIGEST: OnceLock<Digest> = OnceLock::new();
    *DIGEST.get_or_init(|| network().digest())
}

pub(crate) fn sign<M: Signable<Signer = ReplicaId>>(by: u16, message: M) -> Signed<M> {
    Verified::sign(message, ReplicaId::new(by), &key(by), digest()).into_signed()
}

pub(crate) fn bundle(number: u64) -> Signed<Bundle> {
    let operation = Operation::Append { key: b"key".to_vec(), suffix: number.to_le_bytes().to_vec() };
    let bundle = Bundle { number: RequestNumber::new(number), transactions: vec![Transaction::single(operation)] };
    Verified::sign(bundle, client_key().account(), &client_key(), digest()).into_signed()
}

/// One of the client's first few requests. They are made once: a run names hundreds, and a signature costs more than
/// all that the replica does about one.
pub(crate) fn request(number: u64) -> Request {
    static REQUESTS: OnceLock<Vec<Request>> = OnceLock::new();
    let make = |number| {
        let (genesis, keyring) = crate::decoders::network();
        let verified = bundle(number).verify(keyring).expect("signed by its client");
        Request::new(verified, genesis.parameters()).expect("within the limits")
    };
    let requests = REQUESTS.get_or_init(|| (0..8).map(make).collect());
    usize::try_from(number).ok().and_then(|at| requests.get(at)).cloned().unwrap_or_else(|| make(number))
}

pub(crate) fn batch(number: u64) -> Batch {
    Batch::Requests { timestamp: Timestamp::new(1_000), requests: vec![request(number).digest()] }
}

fn signatures<M: Signable<Signer = ReplicaId>>(signers: &[u16], message: &M) -> Vec<(ReplicaId, Signature)> {
    signers.iter().map(|by| (ReplicaId::new(*by), sign(*by, message.clone()).signature)).collect()
}

pub(crate) fn stable(sequence: u64, root: Digest) -> Endorsed<Checkpoint> {
    let vote = Checkpoint { sequence: SequenceNumber::new(sequence), root };
    Endorsed { signatures: signatures(&[0, 1, 2], &vote), vote }
}

pub(crate) fn decided(sequence: u64, batch: Batch) -> Decided {
    let vote = Commit { view: View::ZERO, sequence: SequenceNumber::new(sequence), digest: batch.digest() };
    Decided { commits: Endorsed { signatures: signatures(&[0, 1, 2], &vote), vote }, batch }
}

fn prepared(sequence: u64, digest: Digest) -> PreparedProof {
    let (view, sequence) = (View::ZERO, SequenceNumber::new(sequence));
    let pre_prepare = sign(0, PrePrepare { view, sequence, digest }).signature;
    PreparedProof {
        view,
        sequence,
        digest,
        pre_prepare,
        prepares: signatures(&[1, 2], &Prepare { view, sequence, digest }),
    }
}

fn view_change(by: u16) -> Signed<ViewChange> {
    let prepared = vec![prepared(3, batch(1).digest()), prepared(4, batch(2).digest())];
    sign(by, ViewChange { view: View::new(1), checkpoint: Some(stable(2, Digest::new([5; 32]))), prepared })
}

fn all_packets() -> Vec<Packet> {
    let (view, sequence, digest) = (View::ZERO, SequenceNumber::new(1), batch(1).digest());
    let status = Status { view, standing: Standing::Normal, stable: sequence, executed: sequence };
    let proposals = vec![batch(1).digest(), batch(2).digest()];
    vec![
        Packet::PrePrepare(sign(0, PrePrepare { view, sequence, digest }), Some(batch(1))),
        Packet::PrePrepare(sign(0, PrePrepare { view, sequence, digest }), None),
        Packet::Prepare(sign(1, Prepare { view, sequence, digest })),
        Packet::Commit(sign(2, Commit { view, sequence, digest })),
        Packet::Checkpoint(sign(3, Checkpoint { sequence, root: digest })),
        Packet::ViewChange(view_change(2)),
        Packet::NewView(sign(
            1,
            NewView { view: View::new(1), view_changes: (0..3).map(view_change).collect(), proposals },
        )),
        Packet::Status(sign(1, status)),
        Packet::Fetch(sign(1, Fetch { requests: vec![digest; 3], batches: vec![(sequence, digest)] })),
        Packet::Requests(vec![bundle(1), bundle(2)]),
        Packet::Batch(sequence, batch(1)),
        Packet::Decided(decided(1, batch(1))),
        Packet::Stable(stable(2, digest)),
    ]
}

pub(crate) fn packets() -> Vec<Vec<u8>> {
    all_packets().iter().map(Packet::encode).collect()
}

pub(crate) fn records() -> Vec<Vec<u8>> {
    let (view, sequence, digest) = (View::ZERO, SequenceNumber::new(1), batch(1).digest());
    let proposal = PrePrepare { view, sequence, digest };
    let bodies = Bodies { batch: batch(1), requests: vec![bundle(1)] };
    let records = [
        Record::Proposed(proposal, Some(bodies.clone())),
        Record::Accepted(sign(0, proposal), None),
        Record::Bodies(sequence, bodies),
        Record::Prepared(prepared(1, digest)),
        Record::Checkpoint(Checkpoint { sequence, root: digest }),
        Record::ViewChange(view_change(1).message),
        Record::Stable(stable(2, digest)),
        Record::LogLost,
        Record::SilentUntil(sequence),
    ];
    records.iter().map(|one| record::FORMAT.seal(one)).collect()
}

pub(crate) fn a_key() -> Key {
    Key::Entry(b"key".to_vec())
}

/// The state after a block.
pub(crate) fn a_state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| {
        let mut ledger = Ledger::new(&network());
        ledger.execute(SequenceNumber::new(1), Timestamp::new(1_000), &[request(1), request(2)]);
        ledger.checkpoint()
    })
}

pub(crate) fn proofs() -> Vec<Vec<u8>> {
    let keys = [a_key(), Key::Entry(b"none".to_vec()), Key::Account(client_key().account())];
    keys.iter().map(|key| bezant_types::codec::encode(&a_state().prove(key))).collect()
}

fn questions() -> Vec<PieceRequest> {
    let root = a_state().root();
    let header = PieceRequest { id: PieceId::new(0), wanted: Wanted::Header { root } };
    let transfer::Content::Header { trie_root, .. } = transfer::serve(a_state(), &header, 1 << 16).content else {
        return vec![header];
    };
    let subtree = |id, detail| {
        let wanted = Wanted::Subtree { prefix: bezant_ledger::Prefix::ROOT, hash: trie_root, detail };
        PieceRequest { id: PieceId::new(id), wanted }
    };
    vec![header, subtree(1, Detail::Leaves), subtree(2, Detail::Hashes)]
}

pub(crate) fn pieces() -> Vec<Vec<u8>> {
    let serve = |request| bezant_types::codec::encode(&transfer::serve(a_state(), request, 1 << 16));
    questions().iter().map(serve).collect()
}

pub(crate) fn peer_frames() -> Vec<Vec<u8>> {
    let packets = all_packets().into_iter().map(PeerFrame::Packet);
    let asked = questions().into_iter().map(PeerFrame::AskPiece);
    let served = questions().into_iter().map(|one| PeerFrame::Piece(transfer::serve(a_state(), &one, 1 << 16)));
    packets.chain(asked).chain(served).map(|frame| PEER.seal(&frame)).collect()
}

pub(crate) fn asks() -> Vec<Vec<u8>> {
    let at_least = SequenceNumber::new(1);
    let asks = [
        Ask::Submit(bundle(1)),
        Ask::Prove { id: 1, key: a_key(), at_least },
        Ask::Root { id: 2, at_least },
        Ask::Status { id: 3 },
    ];
    asks.iter().map(|ask| ASK.seal(ask)).collect()
}

pub(crate) fn tells() -> Vec<Vec<u8>> {
    let number = RequestNumber::new(1);
    let outcome = Outcome::Executed(vec![Ok(vec![bezant_types::transaction::Answer::Integer(3)])]);
    let reply = Reply { client: client_key().account(), number, view: View::ZERO, outcome };
    let tells = [
        Tell::Reply(sign(1, reply)),
        Tell::Refused { number, refusal: Refusal::Busy },
        Tell::Root { id: 1, checkpoint: Some(stable(1, a_state().root())) },
    ];
    tells.iter().map(|tell| TELL.seal(tell)).collect()
}

pub(crate) fn resp() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 7] = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n",
        b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"SET k \"a b\\x00\" 'c'\r\n",
        b"PING\r\n\r\nPING\n",
        b"*2\r\n$4\r\nMGET\r\n$5000\r\n",
        b"*0\r\n*-1\r\n",
        b"*100\r\n$1\r\na\r\n",
    ];
    texts.iter().map(|text| text.to_vec()).collect()
}

/// What the log's first file is called.
pub(crate) fn log_file_name() -> String {
    let disk = MemoryDisk::new();
    Wal::create(disk.clone(), log_settings(), &[]).expect("an empty disk takes a log");
    disk.list().expect("a disk in memory").remove(0)
}

pub(crate) fn logs() -> Vec<Vec<u8>> {
    let file = |appends: u64| {
        let disk = MemoryDisk::new();
        let mut log = Wal::create(disk.clone(), log_settings(), &[b"first".to_vec()]).expect("an empty disk");
        for nth in 0..appends {
            log.append_and_sync(&[vec![nth as u8; 100], vec![1; 10]]).expect("room");
        }
        let name = log_file_name();
        let length = disk.len(&name).expect("the file is there");
        disk.read_at(&name, 0, usize::try_from(length).expect("a small file")).expect("the file is there")
    };
    vec![file(0), file(1), file(5)]
}

pub(crate) fn genesis() -> Vec<Vec<u8>> {
    vec![b"window = 256\ncheckpoint_interval = 64\nrequest_timeout = \"2s\"\n".to_vec(), b"pipeline = 8\n".to_vec()]
}

pub(crate) fn scenarios() -> Vec<Vec<u8>> {
    let text = "bezant scenario 1\n# A comment.\nseed 7\nreplicas 4\nclients 2\ntraitor 2 slow\nrest 9s\nparameter window 8\n\
                network 1ms 20ms loss 3 duplicates 5 bandwidth 100000\npause 2s\nat 0ms lose commit prepare from 0 to 1 2\n\
                at 10ms ask 0 set k v\nat 1s crash 1 tears\nat 2s cut 0 from 1 2 3\nat 3s delay from 0 by 300ms\n\
                at 4s stabilise\nrun 20s\nexpect answered\nexpect view 1\n";
    vec![text.as_bytes().to_vec()]
}
