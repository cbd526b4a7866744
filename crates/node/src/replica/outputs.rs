//! What a replica does with the outputs of its member: frames for the mesh, tasks for the threads, files for evidence.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bezant_engine::Now;
use bezant_host::{Member, Output, To};
use bezant_ledger::transfer::PieceRequest;
use bezant_pbft::packet::{Message, Packet};
use bezant_store::{Home, HostDisk};
use bezant_types::{Digest, Genesis, Keyring, Moment, ReplicaId, SecretKey, Timestamp};
use bytes::Bytes;

use crate::replica::evidence::Convictions;
use crate::replica::host::ReplicaError;
use crate::replica::interference::Between;
use crate::replica::questions::Questions;
use crate::replica::threads::{Report, Tasks};
use crate::replica::turn::Brought;
use crate::transport::{ConnectionId, Mesh};
use crate::verify::EvidenceFile;
use crate::wire::{PEER, PeerFrame, Refusal, TELL, Tell};

/// A replica at work.
pub(super) struct Host {
    pub(super) member: Member<HostDisk>,
    pub(super) genesis: Genesis,
    pub(super) genesis_digest: Digest,
    pub(super) key: SecretKey,
    pub(super) keyring: Keyring,
    pub(super) home: Home,
    pub(super) mesh: Mesh,
    pub(super) tasks: Tasks,
    pub(super) questions: Questions,
    pub(super) convictions: Convictions,
    pub(super) between: Option<Between>,
    pub(super) started: Instant,
}

impl Host {
    /// Everything that a turn has brought, until the replica has nothing more to say to itself.
    pub(super) async fn turn(&mut self, brought: Brought, reports: Vec<Report>) -> Result<(), ReplicaError> {
        let Brought { mut arrived, mut messages, refused, asks } = brought;
        for Report { done, replies } in reports {
            for (client, frame) in replies {
                match self.between {
                    None => self.mesh.reply(client, frame),
                    Some(_) => self.answer_otherwise(client, &frame),
                }
            }
            arrived.reports.push(done);
        }
        if let Some(between) = &mut self.between {
            between.hear(&mut messages);
            between.take_requests(&mut arrived.requests);
        }
        arrived.messages = messages.into_iter().map(|(_, message)| message).collect();
        for (connection, number, refusal) in refused {
            self.tell(connection, &Tell::Refused { number, refusal });
        }
        self.on_asks(asks);
        let outputs = self.member.admit(self.now(), arrived);
        self.perform_all(outputs)?;
        while self.member.has_more() {
            let outputs = self.member.round(self.now())?;
            self.perform_all(outputs)?;
            if self.member.has_more() {
                // Lets the connections write what was flushed before the next sync holds the thread.
                tokio::task::yield_now().await;
            }
        }
        self.interfere(Instant::now());
        Ok(())
    }

    /// One write per peer for all of it.
    fn perform_all(&mut self, outputs: Vec<Output>) -> Result<(), ReplicaError> {
        let performed = outputs.into_iter().try_for_each(|output| self.perform(output));
        self.mesh.flush();
        performed
    }

    fn perform(&mut self, output: Output) -> Result<(), ReplicaError> {
        match output {
            Output::Send { to, message } => match self.between {
                None => self.say(to, &message),
                Some(_) => self.say_otherwise(to, &message),
            },
            Output::AskPiece { to, request } => self.ask_piece(to, request),
            Output::Piece { to, piece } => {
                let pieces = match &mut self.between {
                    None => vec![piece],
                    Some(between) => between.serve(to, piece),
                };
                pieces.into_iter().for_each(|piece| self.mesh.send(to, seal(&PeerFrame::Piece(piece))));
            }
            Output::Execute(task) => self.tasks.execute(task),
            Output::Save(save) => self.tasks.save(save),
            Output::Busy { client, number } => {
                let told = Tell::Refused { number, refusal: Refusal::Busy };
                self.mesh.reply(client, Bytes::from(TELL.seal(&told)));
            }
            Output::Accuse(member, evidence) => {
                let file = EvidenceFile { genesis: self.genesis_digest, evidence };
                self.convictions.accuse(member, &file, &self.home);
            }
            Output::Ignored(source, reason) => match source {
                Some(source) => tracing::debug!("ignored a message of replica {source}: {reason}"),
                None => tracing::debug!("ignored a message: {reason}"),
            },
            Output::Entered(view) => {
                tracing::info!("entered view {view}, primary {}", self.genesis.committee().primary(view));
            }
            Output::Stable(_) => self.answer_questions(),
            Output::Halt(fault) => return Err(ReplicaError::Halted(fault)),
        }
        Ok(())
    }

    /// A message to all others is encoded once.
    fn say(&self, to: To, message: &Message) {
        let frame = seal(&PeerFrame::Packet(message.to_packet()));
        match to {
            To::One(peer) => self.mesh.send(peer, frame),
            To::Others => self.others().for_each(|peer| self.mesh.send(peer, frame.clone())),
        }
    }

    pub(super) fn send_packet(&self, to: ReplicaId, packet: Packet) {
        self.mesh.send(to, seal(&PeerFrame::Packet(packet)));
    }

    pub(super) fn ask_piece(&self, to: ReplicaId, request: PieceRequest) {
        self.mesh.send(to, seal(&PeerFrame::AskPiece(request)));
    }

    pub(super) fn others(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        let me = self.member.id();
        self.genesis.committee().members().filter(move |peer| *peer != me)
    }

    fn now(&self) -> Now {
        let elapsed = self.started.elapsed().as_millis();
        Now { wall: wall_clock(), moment: Moment::new(u64::try_from(elapsed).unwrap_or(u64::MAX)) }
    }

    /// When the loop must wake although nothing arrives.
    pub(super) fn wake_at(&self) -> Option<tokio::time::Instant> {
        let of_member = |at: Moment| self.started.checked_add(Duration::from_millis(at.get()));
        let member = self.member.wake_at().and_then(of_member);
        let between = self.between.as_ref().map(Between::wake_at);
        member.into_iter().chain(between).min().map(tokio::time::Instant::from_std)
    }

    pub(super) fn tell(&self, connection: ConnectionId, tell: &Tell) {
        self.mesh.reply(connection, Bytes::from(TELL.seal(tell)));
    }
}

fn seal(frame: &PeerFrame) -> Bytes {
    Bytes::from(PEER.seal(frame))
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
