//! The steps of a scenario, as they happen; and what is asked of a world at its end.

use bezant_host::Resume;
use bezant_types::Transaction;

use crate::clientele::Wish;
use crate::machine::Doom;
use crate::oracle::Violation;
use crate::scenario::{Damage, Expectation, Span, Step};
use crate::sight::{ClientIndex, Sight};
use crate::trace::Who;
use crate::workload;
use crate::world::{Event, Failure, World};
use bezant_pbft::message::Reply;
use bezant_store::place::Part;
use bezant_types::{Moment, Verified};

impl World {
    pub(crate) fn take_step(&mut self, step: &Step) {
        self.note(Who::World, "step", format_args!("{step}"));
        // Once the network is stable, nothing goes wrong any more.
        let ends = matches!(step, Step::Ask(..) | Step::Stabilise | Step::Restart(_) | Step::Recover(_));
        if self.stable && !ends {
            return;
        }
        match step {
            Step::Cut(these, those) => self.network.cut(these.clone(), those.clone()),
            Step::Lose(flow) => self.network.lose(flow.clone()),
            Step::Delay(flow, by) => self.network.delay(flow.clone(), *by),
            Step::Heal => self.heal(),
            Step::Crash(at, damage) => self.crash(*at, *damage),
            Step::CrashAtWrite(at, operations, damage) => {
                let machine = self.machine(*at);
                machine.doom = Some(Doom::AtWrite(*damage));
                machine.faulty_disk = true;
                machine.stop_after(*operations);
            }
            Step::CrashAfterSync(at, left) => self.machine(*at).doom = Some(Doom::AfterSync(*left)),
            Step::PowerFailure(damage) => {
                for at in 0..self.machines.len() as u16 {
                    self.crash(at, *damage);
                    let (life, after) = (self.machine(at).life, 100_000 + self.dice.below(100_000));
                    self.schedule(after, Event::Reboot { at, life });
                }
            }
            Step::Restart(at) => self.start(*at, Resume::WithLog),
            Step::Recover(at) => self.start(*at, Resume::WithoutLog),
            Step::Replace(at) => {
                self.crash(*at, Damage::Loses);
                self.machine(*at).replace_disks();
                self.start(*at, Resume::WithoutLog);
            }
            Step::FillDisk(at, bytes) => {
                let machine = self.machine(*at);
                machine.faulty_disk = true;
                for part in [Part::Log, Part::Blocks, Part::State] {
                    let disk = machine.home.disk(part);
                    disk.set_capacity(disk.bytes() + bytes);
                }
            }
            Step::FailSync(at, nth) => {
                let machine = self.machine(*at);
                machine.faulty_disk = true;
                machine.home.disk(Part::Log).fail_sync((*nth).max(1));
            }
            Step::SlowSync(at, span) => self.machine(*at).sync_us = span.as_micros(),
            Step::SlowExecution(at, span) => self.machine(*at).execute_us = span.as_micros(),
            Step::Jump(at, ms) => self.machine(*at).clock.jump(*ms),
            Step::Drift(at, ppm) => {
                let now = self.now;
                self.machine(*at).clock.drift(now, *ppm);
            }
            Step::Ask(client, words) => self.ask_in_words(*client, words),
            Step::Stabilise => self.stabilise(),
        }
    }

    fn ask_in_words(&mut self, client: usize, words: &[String]) {
        let accounts: Vec<_> = self.clients.iter().map(crate::clientele::Asker::account).collect();
        let operation = workload::parse(words, |index| accounts.get(index).copied());
        match operation {
            Ok(operation) if client < self.clients.len() => self.ask(client, vec![Transaction::single(operation)]),
            Ok(_) => self.fail(Failure::Nonsense(format!("there is no client {client}"))),
            Err(error) => self.fail(Failure::Nonsense(error)),
        }
    }

    fn heal(&mut self) {
        self.network.heal();
        // Connections come up again, and both ends are told.
        let up: Vec<_> = (0..self.machines.len() as u16).filter(|at| self.machine(*at).up()).collect();
        for at in &up {
            let own = self.machine(*at).id;
            let peers: Vec<_> = self.genesis.committee().members().filter(|one| *one != own).collect();
            self.machine(*at).inbox.connected.extend(peers);
            self.wake_up(*at);
        }
    }

    fn stabilise(&mut self) {
        let now = self.now;
        self.stable = true;
        self.network.stabilise();
        for at in 0..self.machines.len() as u16 {
            let machine = self.machine(at);
            machine.doom = None;
            // Clocks within the bound that the genesis states are part of the model.
            machine.clock.set_right(now);
            machine.mend();
            self.start(at, Resume::WithLog);
        }
        self.heal();
        self.see(&Sight::Stabilised);
    }

    pub(crate) fn on_reboot(&mut self, at: u16) {
        self.start(at, Resume::WithLog);
    }

    pub(crate) fn on_answer(&mut self, client: usize, reply: &Verified<Reply>) {
        let Some(asker) = self.clients.get_mut(client) else {
            let index = client - self.clients.len();
            if let Some(liar) = self.liars.get_mut(index) {
                liar.client.on_reply(&mut liar.mind, reply.signer(), reply.message());
            }
            return;
        };
        if let Some(wish) = asker.on_reply(reply) {
            self.on_wish(client, wish);
        }
    }

    pub(crate) fn on_client_time(&mut self, client: usize) {
        for wish in self.clients[client].on_time(Moment::new(self.now / 1_000)) {
            self.on_wish(client, wish);
        }
        if let Some(at) = self.clients[client].next_deadline() {
            self.schedule_at(at.get().saturating_mul(1_000).max(self.now + 1_000), Event::ClientTime { client });
        }
    }

    fn on_wish(&mut self, client: usize, wish: Wish) {
        match wish {
            Wish::Send(request) => self.send_request(client, &request),
            Wish::Believes(number, outcome) => {
                self.note(Who::Client(client), "believes", format_args!("{number}: {outcome}"));
                if let Some(asked) = self.asked_at.remove(&(client, number.get())) {
                    self.longest_wait_us = self.longest_wait_us.max(self.now - asked);
                }
                self.see(&Sight::Answered { client: ClientIndex(client), number, outcome: &outcome });
                self.pause(client);
            }
        }
    }

    pub(crate) fn fail(&mut self, failure: Failure) {
        if self.failure.is_none() {
            self.failure = Some((self.now, failure));
        }
    }

    /// Oracles have their last word, and then the scenario's author.
    pub(crate) fn judge_end(&mut self) {
        let when = Moment::new(self.now / 1_000);
        let mut crimes = Vec::new();
        if self.failure.is_none() {
            for oracle in &mut self.oracles {
                if let Err(crime) = oracle.at_end(when) {
                    crimes.push(Violation { oracle: oracle.name(), crime });
                }
            }
        }
        if let Some(violation) = crimes.into_iter().next() {
            self.fail(Failure::Violation(violation));
        }
        let expected: Vec<String> = self.scenario.expectations.iter().filter_map(|one| self.disappoints(one)).collect();
        let wanted = self.scenario.expectations.iter().find_map(|one| match one {
            Expectation::Violated(oracle) => Some(oracle.as_str()),
            Expectation::Answered
            | Expectation::View(_)
            | Expectation::LaterThan(_)
            | Expectation::Accused(_)
            | Expectation::NobodyAccused
            | Expectation::Height(_)
            | Expectation::Halted(_)
            | Expectation::ServedWithin(_)
            | Expectation::SentAtMost(_)
            | Expectation::Seen(_)
            | Expectation::Unseen(_) => None,
        });
        match (&self.failure, wanted) {
            (Some((_, Failure::Violation(violation))), Some(oracle)) if violation.oracle == oracle => {
                self.failure = None
            }
            (None, Some(oracle)) => self.fail(Failure::Unexpected(format!("{oracle} did not complain, and it should"))),
            (Some(_), _) | (None, None) => {}
        }
        if let Some(what) = expected.into_iter().next() {
            self.fail(Failure::Unexpected(what));
        }
    }

    fn disappoints(&self, expectation: &Expectation) -> Option<String> {
        let reports = || {
            let honest = self.machines.iter().filter(|machine| machine.honest());
            honest.filter_map(|machine| Some((machine.id, machine.process.as_ref()?.member.replica().report())))
        };
        let views = || reports().map(|(id, report)| (id, report.view.get()));
        match expectation {
            Expectation::Answered => {
                let open = self.clients.iter().filter(|client| client.is_waiting()).count();
                (open > 0).then(|| format!("{open} clients still wait for an answer"))
            }
            Expectation::View(view) => {
                views().find(|(_, is)| is != view).map(|(id, is)| format!("replica {id} ends in view {is}, not {view}"))
            }
            Expectation::LaterThan(view) => views()
                .find(|(_, is)| is <= view)
                .map(|(id, is)| format!("replica {id} ends in view {is}, not in one after {view}")),
            Expectation::Accused(member) => {
                let accused = self.accused.iter().any(|(_, whom)| whom == member);
                (!accused).then(|| format!("nobody accused {member}"))
            }
            Expectation::NobodyAccused => self.accused.first().map(|(by, whom)| format!("replica {by} accused {whom}")),
            Expectation::Height(height) => {
                let executed = || reports().map(|(id, report)| (id, report.executed.get()));
                let behind = executed().find(|(_, is)| is < height);
                behind.map(|(id, is)| format!("replica {id} has executed to {is} only, not to {height}"))
            }
            Expectation::Halted(replica) => {
                (!self.halted.contains(replica)).then(|| format!("replica {replica} did not halt"))
            }
            Expectation::ServedWithin(span) => {
                let slow = (self.longest_wait_us > span.as_micros())
                    .then(|| format!("somebody waited for {}, longer than {span}", Span::micros(self.longest_wait_us)));
                self.disappoints(&Expectation::Answered).or(slow)
            }
            Expectation::SentAtMost(most) => {
                let sent = self.sent_bytes();
                (sent > *most).then(|| format!("the honest machines sent {sent} bytes each, more than {most}"))
            }
            Expectation::Seen(words) => {
                (!self.lookout.found(words)).then(|| format!("nobody saw `{}`", words.join(" ")))
            }
            Expectation::Unseen(words) => {
                self.lookout.found(words).then(|| format!("there was `{}`, and it should not be", words.join(" ")))
            }
            Expectation::Violated(_) => None,
        }
    }
}
