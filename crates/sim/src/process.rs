//! What happens on a world's machines: processes start, read, sync, speak, execute and save.

use std::sync::Arc;

use bezant_host::{Done, Output, Resume, To};
use bezant_pbft::packet::Message;
use bezant_types::{Moment, ReplicaId, Request, SequenceNumber};

use crate::adversary::{Deed, Hearing};
use crate::machine::{Process, Traitor};
use crate::network::End;
use crate::scenario::{Damage, Kind};
use crate::sight::Sight;
use crate::trace::{Brief, Served, Short, Sought, Who};
use crate::world::{Event, Failure, Parcel, TICK_US, World};

impl World {
    /// A machine's process starts. What the operator would have to do after a bad start is done here too.
    pub(crate) fn start(&mut self, at: u16, resume: Resume) {
        let now = self.now;
        let genesis = self.genesis.clone();
        let machine = self.machine(at);
        if machine.up() || machine.halted {
            return;
        }
        let resume = if machine.log_lost { Resume::WithoutLog } else { resume };
        let (id, honest) = (machine.id, machine.honest());
        match machine.boot(now, &genesis, resume) {
            Ok(records) => {
                self.note(Who::Machine(at), "starts", format_args!("{resume:?}, {} records", records.len()));
                if honest {
                    let without_log = resume == Resume::WithoutLog;
                    let process = self.machine(at).process.as_ref();
                    let saved = process.and_then(|process| process.member.stable());
                    let stable = saved.map(|(state, _)| state.height()).unwrap_or_default();
                    self.see(&Sight::Booted { replica: id, records: &records, stable, without_log });
                }
                let others = self.machines.iter().enumerate().filter(|(_, other)| other.up() && other.id != id);
                let up: Vec<(u16, ReplicaId)> = others.map(|(index, other)| (index as u16, other.id)).collect();
                self.machine(at).inbox.connected = up.iter().map(|(_, id)| *id).collect();
                for (other, _) in up {
                    self.machine(other).inbox.connected.push(id);
                    self.wake_up(other);
                }
                self.wake_up(at);
            }
            Err(error) => {
                self.note(Who::Machine(at), "fails", format_args!("to start: {error}"));
                if !std::mem::take(&mut self.machine(at).faulty_disk) {
                    let what = format!("replica {id} cannot start from what a crash left: {error}");
                    return self.fail(Failure::Unexpected(what));
                }
                // Its disk failed it while it was starting.
                let coin = self.dice.any();
                let machine = self.machine(at);
                machine.crash(machine.damage(), coin);
                let life = machine.life;
                self.schedule(MENDED_US, Event::Reboot { at, life });
            }
        }
    }

    /// A machine's process ends.
    pub(crate) fn crash(&mut self, at: u16, damage: Damage) {
        if !self.machine(at).up() {
            return;
        }
        let coin = self.dice.any();
        let machine = self.machine(at);
        machine.crash(damage, coin);
        let (id, honest) = (machine.id, machine.honest());
        self.note(Who::Machine(at), "crashes", format_args!("and {damage} what was not synced"));
        if honest {
            self.see(&Sight::Crashed { replica: id });
        }
    }

    /// Something is in a machine's inbox: it reads it when it is not busy.
    pub(crate) fn wake_up(&mut self, at: u16) {
        let machine = self.machine(at);
        if machine.up() && !machine.busy {
            machine.busy = true;
            let life = machine.life;
            self.schedule(TURN_US, Event::Turn { at, life });
        }
    }

    pub(crate) fn on_arrival(&mut self, at: u16, from: End, what: Parcel) {
        if !self.machines[usize::from(at)].up() {
            return;
        }
        let sender = match from {
            End::Replica(index) => Some(self.machines[usize::from(index)].id),
            End::Client(_) => None,
        };
        match (what, sender) {
            (Parcel::Message(message), Some(sender)) => self.hear(at, sender, Arc::unwrap_or_clone(message)),
            (Parcel::Packet(packet), Some(sender)) => {
                let only_from = packet.only_from();
                let verified = (*packet).clone().verify(&self.keyring, self.genesis.parameters());
                match verified {
                    Ok(message) if only_from.is_none_or(|signer| signer == sender) => self.hear(at, sender, message),
                    Ok(_) => self.note(Who::Machine(at), "refuses", format_args!("what {sender} passed on of another")),
                    Err(error) => self.note(Who::Machine(at), "refuses", format_args!("of {sender}: {error}")),
                }
            }
            (Parcel::Request(request), _) => self.take_request(at, request),
            (Parcel::Bundle(bundle), _) => {
                let verified = (*bundle).clone().verify(&self.keyring).map_err(|error| error.to_string());
                let parameters = self.genesis.parameters();
                let taken = verified.and_then(|one| Request::new(one, parameters).map_err(|error| error.to_string()));
                match taken {
                    Ok(request) => self.take_request(at, request),
                    Err(error) => self.note(Who::Machine(at), "refuses", format_args!("of a client: {error}")),
                }
            }
            (Parcel::AskPiece(request), Some(sender)) => {
                self.machine(at).inbox.piece_requests.push((sender, request));
            }
            (Parcel::Piece(piece), Some(sender)) => self.machine(at).inbox.pieces.push((sender, piece)),
            (Parcel::Message(_) | Parcel::Packet(_) | Parcel::AskPiece(_) | Parcel::Piece(_), None) => {}
        }
        self.wake_up(at);
    }

    /// A client's request, signatures checked.
    fn take_request(&mut self, at: u16, request: Request) {
        if let Some(traitor) = &mut self.machine(at).traitor
            && traitor.adversary.on_request(&mut traitor.mind, &request) == Hearing::Dropped
        {
            return;
        }
        let submitter = request.client();
        self.machine(at).inbox.requests.push((submitter, request));
    }

    fn hear(&mut self, at: u16, sender: ReplicaId, message: Message) {
        if !matches!(message, Message::Status(_)) {
            self.note(Who::Machine(at), "hears", format_args!("{} from {sender}", Brief(&message)));
        }
        let (id, world_us) = (self.machines[usize::from(at)].id, self.now);
        self.rounds.round(at, &message);
        self.machine(at).mind_the_time(world_us);
        if let Some(traitor) = &mut self.machine(at).traitor {
            let hearing = traitor.adversary.on_hearing(&mut traitor.mind, sender, &message);
            self.do_deeds(at);
            if hearing == Hearing::Dropped {
                return;
            }
        } else if self.is_corrupted(sender) && self.machines[usize::from(at)].honest() {
            self.see(&Sight::Heard { replica: id, from: sender, message: &message });
        }
        self.machine(at).inbox.messages.push(message);
    }

    fn is_corrupted(&self, id: ReplicaId) -> bool {
        self.scenario.is_corrupted(id.get())
    }

    /// A machine reads what has arrived.
    pub(crate) fn turn(&mut self, at: u16) {
        let world_us = self.now;
        let machine = self.machine(at);
        machine.wakes_at = None;
        let now = machine.clock.now(world_us);
        let arrived = std::mem::take(&mut machine.inbox);
        let Some(process) = &mut machine.process else { return };
        let outputs = process.member.admit(now, arrived);
        self.perform(at, outputs);
        self.round(at);
    }

    /// A machine steps, and what it must not forget is synced.
    fn round(&mut self, at: u16) {
        let world_us = self.now;
        let machine = self.machine(at);
        let now = machine.clock.now(world_us);
        let before = machine.operations();
        let Some(process) = &mut machine.process else { return };
        if !process.member.has_more() {
            return self.rest(at);
        }
        match process.member.round(now) {
            Ok(outputs) => {
                let wrote = machine.operations() != before;
                let after = if wrote { machine.sync_us } else { 0 };
                let life = machine.life;
                self.schedule(after, Event::Release { at, life, outputs });
            }
            Err(error) => self.crash_by_disk(at, &error.to_string()),
        }
    }

    /// A disk failed a process, which says so to its operator and ends; with the disk mended it starts again after a
    /// while. On a sound disk no process has a reason to.
    fn crash_by_disk(&mut self, at: u16, error: &str) {
        self.note(Who::Machine(at), "stops", format_args!("{error}"));
        let machine = self.machine(at);
        if machine.honest() && !machine.faulty_disk {
            let what = format!("replica {} stops on a sound disk: {error}", machine.id);
            return self.fail(Failure::Unexpected(what));
        }
        let damage = machine.damage();
        self.crash(at, damage);
        let life = self.machine(at).life;
        self.schedule(MENDED_US, Event::Reboot { at, life });
    }

    /// A machine's sync is done: what the round wanted done happens, and the next round begins.
    pub(crate) fn release(&mut self, at: u16, mut outputs: Vec<Output>) {
        let dies = self.machine(at).survive(&mut outputs);
        self.perform(at, outputs);
        if dies {
            self.crash(at, Damage::Loses);
            let life = self.machine(at).life;
            return self.schedule(MENDED_US, Event::Reboot { at, life });
        }
        self.round(at);
    }

    /// Nothing more to step: the machine waits for what arrives, or for its next timer.
    fn rest(&mut self, at: u16) {
        let world_us = self.now;
        let machine = self.machine(at);
        machine.busy = false;
        let arrived = !machine.inbox.is_empty();
        if arrived {
            return self.wake_up(at);
        }
        let Some(wake) = machine.process.as_ref().and_then(|process| process.member.wake_at()) else { return };
        let when = machine.clock.when(world_us, wake);
        machine.wakes_at = Some(when);
        let life = machine.life;
        self.schedule_at(when, Event::Wake { at, life });
    }

    pub(crate) fn on_wake(&mut self, at: u16) {
        // An earlier plan to wake, overtaken by a turn that made its own.
        let now = self.now;
        if self.machine(at).wakes_at == Some(now) {
            self.wake_up(at);
        }
    }

    fn perform(&mut self, at: u16, outputs: Vec<Output>) {
        for output in outputs {
            if !self.machine(at).up() {
                return;
            }
            self.perform_one(at, output);
        }
    }

    fn perform_one(&mut self, at: u16, output: Output) {
        let machine = self.machine(at);
        let (id, life, honest) = (machine.id, machine.life, machine.honest());
        match output {
            Output::Send { to, message } => self.say(at, to, message),
            Output::AskPiece { to, request } => {
                self.note(Who::Machine(at), "asks", format_args!("{to} for {}", Sought(&request.wanted)));
                self.transmit(at, to, Parcel::AskPiece(request));
            }
            Output::Piece { to, piece } => {
                let pieces = match &mut self.machine(at).traitor {
                    Some(traitor) => traitor.adversary.on_serving(&mut traitor.mind, to, piece),
                    None => vec![piece],
                };
                for piece in pieces {
                    let (sought, served) = (Sought(&piece.answers.wanted), Served(&piece.content));
                    self.note(Who::Machine(at), "serves", format_args!("{to} with {served} for {sought}"));
                    self.transmit(at, to, Parcel::Piece(piece));
                }
            }
            Output::Execute(task) => {
                if let (true, bezant_host::Task::Execute { block, .. }) = (honest, &task) {
                    self.note(Who::Machine(at), "delivers", format_args!("n{}", block.sequence()));
                    self.see(&Sight::Delivered { replica: id, block });
                }
                let machine = self.machine(at);
                if let Some(Process { executor, .. }) = &mut machine.process {
                    executor.queue(task);
                }
                if !std::mem::replace(&mut machine.executing, true) {
                    let after = machine.execute_us;
                    self.schedule(after, Event::Executed { at, life });
                }
            }
            Output::Save(save) => {
                if let Some(Process { saver, .. }) = &mut machine.process {
                    saver.queue(save);
                }
                if !std::mem::replace(&mut machine.saving, true) {
                    let after = machine.save_us;
                    self.schedule(after, Event::Saved { at, life });
                }
            }
            Output::Busy { client, number } => {
                self.note(Who::Machine(at), "busy", format_args!("for {client:?} {number}"));
            }
            Output::Accuse(member, evidence) => {
                self.note(Who::Machine(at), "accuses", format_args!("{member}"));
                if honest {
                    self.accused.push((id.get(), member.get()));
                    self.see(&Sight::Accused { replica: id, member, evidence: &evidence });
                }
            }
            Output::Ignored(source, reason) => {
                if self.is_watched() {
                    let of = source.map(|one| format!(" of {one}")).unwrap_or_default();
                    self.note(Who::Machine(at), "ignores", format_args!("something{of}: {reason}"));
                }
            }
            Output::Entered(view) => {
                self.note(Who::Machine(at), "enters", format_args!("v{view}"));
                if honest {
                    self.view = self.view.max(view.get());
                    self.see(&Sight::Entered { replica: id, view });
                }
            }
            Output::Stable(sequence) => self.on_stable(at, sequence),
            Output::Halt(fault) => {
                self.note(Who::Machine(at), "halts", format_args!("{fault}"));
                self.machine(at).halted = true;
                self.crash(at, Damage::Keeps);
                if honest {
                    self.halted.push(id.get());
                    self.see(&Sight::Halted { replica: id, fault });
                }
            }
        }
    }

    fn on_stable(&mut self, at: u16, sequence: SequenceNumber) {
        let machine = self.machine(at);
        let (id, honest) = (machine.id, machine.honest());
        let stable = machine.process.as_ref().and_then(|process| process.member.stable());
        // If the window moved twice in one round, the state is the last one's.
        let Some((state, _)) = stable.filter(|(state, _)| state.height() == sequence) else { return };
        let root = state.root();
        self.note(Who::Machine(at), "stable", format_args!("n{sequence} {}", Short(root)));
        if honest {
            self.see(&Sight::Stable { replica: id, sequence, root });
        }
    }

    /// A message leaves a machine, as its process meant it or as its traitor says it.
    fn say(&mut self, at: u16, to: To, message: Message) {
        let id = self.machine(at).id;
        let receivers: Vec<ReplicaId> = match to {
            To::Others => self.genesis.committee().members().filter(|one| *one != id).collect(),
            To::One(one) => vec![one],
        };
        if !matches!(message, Message::Status(_)) {
            let whom = if let To::One(one) = to { one.to_string() } else { "all".into() };
            self.note(Who::Machine(at), "says", format_args!("{} -> {whom}", Brief(&message)));
        }
        let world_us = self.now;
        let round = self.rounds.round(at, &message).filter(|_| !self.stable);
        if self.machine(at).traitor.is_some() {
            for receiver in receivers {
                let lost = self.rounds.loses(round, id, receiver);
                let machine = self.machine(at);
                machine.mind_the_time(world_us);
                let Some(traitor) = &mut machine.traitor else { return };
                let packets = traitor.adversary.on_saying(&mut traitor.mind, receiver, &message);
                for packet in packets.into_iter().filter(|_| !lost) {
                    self.transmit(at, receiver, Parcel::Packet(Arc::new(packet)));
                }
            }
            return self.do_deeds(at);
        }
        let honest = self.machine(at).honest();
        let message = Arc::new(message);
        for receiver in receivers {
            if honest {
                self.see(&Sight::Said { replica: id, to: receiver, message: &message });
            }
            if !self.rounds.loses(round, id, receiver) {
                self.transmit(at, receiver, Parcel::Message(message.clone()));
            }
        }
    }

    /// What a corrupted member has decided to do of its own.
    pub(crate) fn do_deeds(&mut self, at: u16) {
        let Some(traitor) = &mut self.machine(at).traitor else { return };
        for deed in traitor.mind.take_deeds() {
            match deed {
                Deed::Tell { from, to, packet, after_ms } => {
                    let at = self.machines.iter().position(|one| one.id == from).map_or(at, |index| index as u16);
                    self.schedule(after_ms * 1_000, Event::Tells { at, to, packet: Arc::new(packet) });
                }
                Deed::Ask { to, request } => self.transmit(at, to, Parcel::AskPiece(request)),
                Deed::Forget => {
                    self.crash(at, Damage::Loses);
                    self.forget(at);
                }
            }
        }
    }

    /// A corrupted member begins anew, as if it had never spoken.
    fn forget(&mut self, at: u16) {
        let genesis = self.genesis.clone();
        let machine = self.machine(at);
        machine.begin_anew(&genesis);
        let life = machine.life;
        self.schedule(MENDED_US, Event::Reboot { at, life });
    }

    pub(crate) fn on_executed(&mut self, at: u16) {
        let machine = self.machine(at);
        let (id, life, honest, execute_us) = (machine.id, machine.life, machine.honest(), machine.execute_us);
        machine.executing = false;
        let Some(process) = &mut machine.process else { return };
        let performed = match process.executor.work() {
            Ok(Some(performed)) => performed,
            Ok(None) => return,
            Err(error) => return self.crash_by_disk(at, &error.to_string()),
        };
        machine.executing = true;
        self.schedule(execute_us, Event::Executed { at, life });
        match &performed.done {
            Done::Applied { sequence, checkpoint, .. } => {
                let root = checkpoint.as_ref().map(bezant_ledger::State::root);
                if honest {
                    self.height = self.height.max(sequence.get());
                    self.see(&Sight::Executed {
                        replica: id,
                        sequence: *sequence,
                        executions: &performed.executions,
                        root,
                    });
                }
            }
            Done::Installed { state, .. } => {
                self.note(Who::Machine(at), "installs", format_args!("n{} {}", state.height(), Short(state.root())));
                if honest {
                    self.see(&Sight::Installed { replica: id, sequence: state.height(), root: state.root() });
                }
            }
            Done::Answered { .. } | Done::Restored { .. } => {}
        }
        for reply in performed.replies {
            self.answer(at, reply);
        }
        self.machine(at).inbox.reports.push(performed.done);
        self.wake_up(at);
    }

    fn answer(&mut self, at: u16, reply: bezant_types::Verified<bezant_pbft::message::Reply>) {
        let account = reply.message().client;
        let honest = self.clients.iter().position(|one| one.account() == account);
        let count = self.clients.len();
        let corrupted = || Some(count + self.liars.iter().position(|one| one.mind.account() == account)?);
        let Some(client) = honest.or_else(corrupted) else { return };
        let replies = match &mut self.machine(at).traitor {
            None => vec![reply],
            Some(Traitor { mind, adversary }) => {
                let said = adversary.on_answering(mind, reply.message().clone());
                let signed: Vec<_> = said.into_iter().map(|reply| mind.sign(reply)).collect();
                signed.into_iter().filter_map(|one| one.verify(&self.keyring).ok()).collect()
            }
        };
        for reply in replies {
            let reply = Arc::new(reply);
            let arrivals = self.network.send(self.now, End::Replica(at), End::Client(client), Kind::Reply, || 256);
            for arrival in arrivals.into_iter().flatten() {
                self.schedule_at(arrival, Event::Answer { client, reply: reply.clone() });
            }
        }
    }

    pub(crate) fn on_saved(&mut self, at: u16) {
        let machine = self.machine(at);
        machine.saving = false;
        let Some(process) = &mut machine.process else { return };
        match process.saver.work() {
            Ok(done) => {
                self.machine(at).inbox.reports.extend(done);
                self.wake_up(at);
            }
            Err(error) => self.crash_by_disk(at, &error.to_string()),
        }
    }

    /// Corrupted members get their moment, and honest ones are weighed.
    pub(crate) fn on_tick(&mut self) {
        let world_us = self.now;
        let rests = self.scenario.rest.is_some_and(|rest| {
            let period = 1_000_000 + rest.as_micros();
            world_us % period >= 1_000_000
        });
        for at in 0..self.machines.len() as u16 {
            let machine = self.machine(at);
            machine.mind_the_time(world_us);
            let (id, honest) = (machine.id, machine.honest());
            if machine.traitor.is_some() && (rests || machine.process.is_none()) {
                continue;
            }
            if let Some(traitor) = &mut machine.traitor {
                traitor.adversary.on_tick(&mut traitor.mind);
                self.do_deeds(at);
            } else if let (true, Some(process)) = (honest, &machine.process) {
                let (items, log_bytes) = (process.member.replica().report().waiting, process.member.log_bytes());
                self.see(&Sight::Weighed { replica: id, items, log_bytes });
            }
        }
        for index in 0..self.liars.len() {
            if !rests {
                self.scheme(index);
            }
        }
        self.schedule(TICK_US, Event::Tick);
    }

    /// A corrupted client sends what its bandwidth allows.
    fn scheme(&mut self, index: usize) {
        let (now, client) = (Moment::new(self.now / 1_000), self.clients.len() + index);
        let Some(liar) = self.liars.get_mut(index) else { return };
        liar.mind.now = now;
        liar.client.on_tick(&mut liar.mind);
        let sendings = liar.mind.take_sendings();
        let mut line = self.scenario.network.bandwidth.map(|bytes| bytes.saturating_mul(TICK_US) / 1_000_000);
        let most = line.map_or(SENDINGS_PER_TICK, |_| sendings.len());
        for sending in sendings.into_iter().take(most) {
            let bundle = Arc::new(sending.bundle);
            if let Some(left) = &mut line {
                let Some(less) = left.checked_sub(Parcel::Bundle(bundle.clone()).bytes() as u64) else { return };
                *left = less;
            }
            for at in 0..self.machines.len() as u16 {
                if self.machine(at).id == sending.to {
                    self.schedule(sending.after_ms * 1_000, Event::HandsIn { client, at, bundle: bundle.clone() });
                }
            }
        }
    }
}

/// How long a machine takes to notice that something has arrived: what arrives meanwhile shares the turn.
const TURN_US: u64 = 30;
/// How long after a failure of its disk, or of its process, a machine starts again by itself.
const MENDED_US: u64 = 200_000;
/// How many requests a corrupted client gets through in a tick where lines have no bound.
const SENDINGS_PER_TICK: usize = 8;
