//! Everything that reads bytes which somebody else may have written.

use std::sync::OnceLock;

use bezant_ledger::Proof;
use bezant_ledger::transfer::{Piece, Transfer, TransferInput};
use bezant_node::resp::{Limits, Parsed, Parser};
use bezant_node::wire;
use bezant_pbft::packet::{self, Packet};
use bezant_pbft::record::{self, Record};
use bezant_sim::scenario::Scenario;
use bezant_store::disk::Disk as _;
use bezant_store::wal::Settings;
use bezant_store::{MemoryDisk, Wal};
use bezant_types::genesis::MAX_FRAME;
use bezant_types::{Digest, Genesis, Keyring, Moment, ReplicaId};

use crate::corpus;

/// A network to judge signatures by.
pub(crate) fn network() -> &'static (Genesis, Keyring) {
    static NETWORK: OnceLock<(Genesis, Keyring)> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let genesis = corpus::network();
        let keyring = genesis.keyring();
        (genesis, keyring)
    })
}

pub(crate) fn packet(bytes: &[u8]) {
    if let Ok(packet) = packet::FORMAT.open::<Packet>(bytes, MAX_FRAME) {
        assert_eq!(packet.encode(), bytes, "one packet has one encoding");
        let (genesis, keyring) = network();
        if let Ok(message) = packet.clone().verify(keyring, genesis.parameters()) {
            assert_eq!(message.to_packet(), packet, "checking changes nothing");
        }
    }
}

pub(crate) fn record(bytes: &[u8]) {
    if let Ok(record) = record::FORMAT.open::<Record>(bytes, MAX_FRAME) {
        assert_eq!(record::FORMAT.seal(&record), bytes, "one record has one encoding");
    }
}

pub(crate) fn peer_frame(bytes: &[u8]) {
    if let Ok(frame) = wire::PEER.open::<wire::PeerFrame>(bytes, MAX_FRAME) {
        assert_eq!(wire::PEER.seal(&frame), bytes, "one frame has one encoding");
    }
}

pub(crate) fn ask(bytes: &[u8]) {
    if let Ok(ask) = wire::ASK.open::<wire::Ask>(bytes, MAX_FRAME) {
        assert_eq!(wire::ASK.seal(&ask), bytes, "one question has one encoding");
    }
}

pub(crate) fn tell(bytes: &[u8]) {
    if let Ok(tell) = wire::TELL.open::<wire::Tell>(bytes, MAX_FRAME) {
        assert_eq!(wire::TELL.seal(&tell), bytes, "one answer has one encoding");
    }
}

/// Redis clients' bytes, in one piece and in two: what is parsed must not depend on where they were cut.
pub(crate) fn resp(bytes: &[u8]) {
    let limits = Limits { arguments: 64, argument_bytes: 1 << 12, command_bytes: 1 << 14 };
    let parse = |cuts: &[usize]| {
        let mut parser = Parser::new(limits);
        let (mut from, mut buffer, mut parsed) = (0, Vec::new(), Vec::new());
        for cut in cuts {
            buffer.extend_from_slice(&bytes[from..*cut]);
            from = *cut;
            loop {
                match parser.next(&buffer) {
                    Ok(Some(Parsed::Command(one))) => parsed.push(format!("{:?}", one.iter().collect::<Vec<_>>())),
                    Ok(Some(Parsed::TooLarge(why))) => parsed.push(format!("{why:?}")),
                    Ok(None) => break,
                    Err(error) => {
                        parsed.push(error.to_string());
                        return parsed;
                    }
                }
            }
            buffer.drain(..parser.release());
        }
        parsed
    };
    let whole = parse(&[bytes.len()]);
    let halves = parse(&[bytes.len() / 2, bytes.len()]);
    assert_eq!(whole, halves, "a cut changes nothing");
}

pub(crate) fn proof(bytes: &[u8]) {
    if let Ok(proof) = Proof::decode(bytes) {
        let key = corpus::a_key();
        let judged = proof.verify(corpus::a_state().root(), &key);
        assert!(judged.is_err() || bytes == corpus::proofs()[0] || judged == Ok(None), "nothing false is proven");
    }
}

pub(crate) fn piece(bytes: &[u8]) {
    if let Ok(piece) = Piece::decode(bytes) {
        let state = corpus::a_state();
        let peers = (0..3).map(ReplicaId::new).collect();
        let mut transfer = Transfer::new(state.root(), state.height(), peers, None);
        let _ = transfer.step(Moment::ZERO, TransferInput::Tick);
        for from in 0..4 {
            let input = TransferInput::Piece { from: ReplicaId::new(from), piece: piece.clone() };
            let _ = transfer.step(Moment::new(1), input);
        }
    }
}

/// The bytes are a file of the log.
pub(crate) fn log(bytes: &[u8]) {
    let mut disk = MemoryDisk::new();
    let name = corpus::log_file_name();
    if disk.create(&name, bytes.len() as u64).is_err() || disk.write_at(&name, 0, bytes).is_err() {
        return;
    }
    if let Ok((mut log, records)) = Wal::open(disk.clone(), log_settings()) {
        log.append_and_sync(&[b"one more".to_vec()]).expect("a log that opens takes records");
        drop(log);
        let (_, again) = Wal::open(disk, log_settings()).expect("a log that was opened opens again");
        assert_eq!(again[..records.len()], records[..], "what was read stays");
        assert_eq!(again.last().map(Vec::as_slice), Some(&b"one more"[..]));
    }
}

pub(crate) fn log_settings() -> Settings {
    Settings { identity: Digest::new([7; 32]), segment_bytes: 8 << 10 }
}

pub(crate) fn genesis(bytes: &[u8]) {
    if let Ok(text) = String::from_utf8(bytes.to_vec())
        && let Ok(parameters) = bezant_node::config::parse_parameters("here", text)
    {
        let _ = format!("{parameters:?}");
    }
}

pub(crate) fn scenario(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(scenario) = text.parse::<Scenario>()
    {
        let printed = scenario.to_string();
        assert_eq!(printed.parse::<Scenario>().as_ref(), Ok(&scenario), "what is printed is read again:\n{printed}");
    }
}
