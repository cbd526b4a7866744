//! A small world: its people, the messages that were said in any of its courses, and the tables of what each replica
//! does.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bezant_pbft::message::Batch;
use bezant_pbft::packet::Message;
use bezant_pbft::{Config, Timer};
use bezant_types::transaction::{Condition, SetAnswer};
use bezant_types::{Bundle, Digest, Operation, ReplicaId, Request, RequestNumber, Transaction, Verified, View};

use super::Bounds;
use super::bits::{Bits, MOST};
use super::judge::{Facts, judge, statement};
use super::local::{Group, Local, NOON, Role, Step, Utterance, identity, signer};
use super::menu::Menu;
use super::states::{State, Table};
use crate::adversary::forge::redated;
use crate::people;
use crate::scenario::{Scenario, Span};
use crate::trace::Brief;

/// Whether an alarm may ring: in the last view there is nowhere to go.
pub(super) fn may_ring(timer: Timer, views: u64) -> bool {
    match timer {
        Timer::Progress(view) | Timer::NewView(view) => view.get() + 1 < views,
        Timer::Pace(_) | Timer::Seal(_) | Timer::Status | Timer::Fetch | Timer::CatchUp => false,
    }
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Move {
    /// This letter arrives at the replica in this place.
    Hear(usize, usize),
    /// A timer of the replica in this place runs out.
    Ring(usize, Timer),
    /// The replica in this place crashes and comes back.
    Restart(usize),
}

impl Move {
    /// Whose state it changes.
    pub(super) fn place(self) -> usize {
        match self {
            Self::Hear(place, _) | Self::Ring(place, _) | Self::Restart(place) => place,
        }
    }
}

/// A message that was said to somebody, or could be.
pub(super) struct Letter {
    pub(super) message: Message,
    /// What must have been said before the corrupted member can say this; `None`: an honest member said it.
    pub(super) needs: Option<Bits>,
}

/// A local state, and what is known of it.
pub(super) struct Known {
    pub(super) local: Arc<Local>,
    /// All that it ever said, and the number of this set.
    pub(super) said: Bits,
    set: u32,
    /// Which facts these are.
    facts: u32,
    /// Letters that do not change it.
    idle: Bits,
    /// Where letters that were tried lead, by their numbers.
    letters: Vec<u32>,
    /// Where timers and crashes that were tried lead.
    others: Vec<(Move, u32)>,
}

/// Not tried yet.
const UNKNOWN: u32 = u32::MAX;

impl Known {
    fn after(&self, what: Move) -> Option<u32> {
        match what {
            Move::Hear(_, letter) => self.letters.get(letter).copied().filter(|after| *after != UNKNOWN),
            Move::Ring(..) | Move::Restart(_) => {
                self.others.iter().find(|(known, _)| *known == what).map(|(_, after)| *after)
            }
        }
    }

    fn leads(&mut self, what: Move, after: u32, here: u32) {
        match what {
            Move::Hear(_, letter) => {
                if after == here {
                    self.idle.insert(letter);
                }
                if self.letters.len() <= letter {
                    self.letters.resize(letter + 1, UNKNOWN);
                }
                self.letters[letter] = after;
            }
            Move::Ring(..) | Move::Restart(_) => self.others.push((what, after)),
        }
    }
}

/// A small world, and all that was found out about it.
pub(super) struct Small {
    pub(super) bounds: Bounds,
    pub(super) group: Group,
    pub(super) honest: Vec<Role>,
    /// For each slot the batch that its honest primary proposes, and another one.
    pub(super) batches: Vec<[Batch; 2]>,
    pub(super) letters: Vec<Letter>,
    index: HashMap<(Digest, Option<ReplicaId>), usize>,
    /// Which letters may arrive at each honest replica.
    ears: Vec<Bits>,
    pub(super) locals: Vec<Known>,
    numbers: Vec<HashMap<Arc<Local>, u32>>,
    facts: Vec<Facts>,
    facts_index: HashMap<(Vec<Digest>, Vec<super::judge::Commitment>), u32>,
    judged: Table<()>,
    menu: Menu,
    sets: HashMap<Bits, u32>,
    available: Table<Bits>,
}

impl Small {
    /// The world before its first step.
    ///
    /// # Errors
    /// What in the bounds cannot be, or what is wrong in the first state already.
    pub(super) fn new(bounds: Bounds) -> Result<(Self, State), String> {
        let (group, honest) = people_of(bounds)?;
        let batches = group.requests.iter().map(|request| {
            let first = Batch::Requests { timestamp: NOON, requests: vec![request.digest()] };
            let second = redated(&first).expect("a batch of requests has a date");
            [first, second]
        });
        let count = honest.len();
        let mut small = Self {
            bounds,
            batches: batches.collect(),
            group,
            letters: Vec::new(),
            index: HashMap::new(),
            ears: vec![Bits::default(); count],
            locals: Vec::new(),
            numbers: vec![HashMap::new(); count],
            facts: Vec::new(),
            facts_index: HashMap::new(),
            judged: Table::default(),
            menu: Menu::new(),
            sets: HashMap::new(),
            available: Table::default(),
            honest,
        };
        let mut state = [0; 4];
        for (place, number) in state.iter_mut().enumerate().take(count) {
            let step = Local::begin(&small.honest[place], &small.group)?;
            *number = small.learn(place, Bits::default(), step)?;
        }
        small.rewrite_menu()?;
        small.judge(&state)?;
        Ok((small, state))
    }

    /// Everything that was said in this state.
    fn said(&self, state: &State) -> Bits {
        let places = state.iter().take(self.honest.len());
        places.fold(Bits::default(), |all, number| all.with(&self.locals[*number as usize].said))
    }

    /// Every letter that can arrive in this state.
    pub(super) fn available(&mut self, state: &State) -> Bits {
        let mut sets = [0; 4];
        for (set, number) in sets.iter_mut().zip(state).take(self.honest.len()) {
            *set = self.locals[*number as usize].set;
        }
        if let Some(known) = self.available.get(&sets) {
            return *known;
        }
        let said = self.said(state);
        let can = |letter: &Letter| letter.needs.as_ref().is_some_and(|needs| said.holds(needs));
        let menu = self.letters.iter().enumerate().filter(|(_, letter)| can(letter)).map(|(number, _)| number);
        let all = said.with(&Bits::of(menu));
        self.available.insert(sets, all);
        all
    }

    /// Everything that can happen to the replica in this place and may change it.
    pub(super) fn possible(&mut self, state: &State, place: usize) -> impl Iterator<Item = Move> + use<> {
        let known = &self.locals[state[place] as usize];
        let (idle, timers) = (known.idle, known.local.timers.clone());
        let arrivals = self.available(state).and(&self.ears[place]).without(&idle).iter();
        let views = self.bounds.views;
        let rings = timers.into_iter().filter(move |timer| may_ring(*timer, views));
        let crashes: u8 = (0..self.honest.len()).map(|one| self.locals[state[one] as usize].local.crashes).sum();
        let restart = (crashes < self.bounds.crashes).then_some(Move::Restart(place));
        let letters = arrivals.map(move |letter| Move::Hear(place, letter));
        letters.chain(rings.map(move |timer| Move::Ring(place, timer))).chain(restart)
    }

    /// Where a move leads, from the table or by taking it.
    pub(super) fn after(&mut self, number: u32, what: Move) -> Result<u32, String> {
        if let Some(after) = self.locals[number as usize].after(what) {
            return Ok(after);
        }
        let (place, local) = (what.place(), self.locals[number as usize].local.clone());
        let role = &self.honest[place];
        let step = catch_unwind(AssertUnwindSafe(|| match what {
            Move::Hear(_, letter) => local.hear(role, &self.group, &self.letters[letter].message),
            Move::Ring(_, timer) => local.ring(role, &self.group, timer),
            Move::Restart(_) => local.restart(role, &self.group),
        }));
        let step = step.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("replica {} fails an assertion: {}", role.id, text.unwrap_or_default()))
        })?;
        let said = self.locals[number as usize].said;
        let after = self.learn(place, said, step)?;
        self.locals[number as usize].leads(what, after, number);
        Ok(after)
    }

    /// Gives the outcome of a step its number.
    fn learn(&mut self, place: usize, mut said: Bits, step: Step) -> Result<u32, String> {
        for utterance in step.said {
            said.insert(self.post(utterance, None)?);
        }
        if let Some(number) = self.numbers[place].get(&step.after) {
            return Ok(*number);
        }
        let local = Arc::new(step.after);
        let number = u32::try_from(self.locals.len()).map_err(|_| "too many local states".to_owned())?;
        let facts = Facts { delivered: local.delivered.clone(), commits: local.commits.iter().copied().collect() };
        let key = (facts.delivered.clone(), facts.commits.clone());
        let next = self.facts.len() as u32;
        let facts_number = *self.facts_index.entry(key).or_insert(next);
        if facts_number == next {
            self.facts.push(facts);
        }
        self.numbers[place].insert(local.clone(), number);
        let sets = self.sets.len() as u32;
        let set = *self.sets.entry(said).or_insert(sets);
        let (idle, letters, others) = (Bits::default(), Vec::new(), Vec::new());
        self.locals.push(Known { local, said, set, facts: facts_number, idle, letters, others });
        Ok(number)
    }

    /// Gives something that is said its number.
    pub(super) fn post(&mut self, (message, to): Utterance, needs: Option<Bits>) -> Result<usize, String> {
        let key = (identity(&message), to);
        if let Some(number) = self.index.get(&key) {
            return Ok(*number);
        }
        let number = self.letters.len();
        if number == MOST {
            return Err(format!("a world with more than {MOST} different messages is not small"));
        }
        self.index.insert(key, number);
        let from = signer(&message);
        let within = self.within(&message);
        for (place, role) in self.honest.iter().enumerate() {
            if within && from != Some(role.id) && to.is_none_or(|to| to == role.id) {
                self.ears[place].insert(number);
            }
        }
        self.letters.push(Letter { message, needs });
        self.menu.stale = true;
        Ok(number)
    }

    /// Whether a message belongs to the views and slots of this world.
    fn within(&self, message: &Message) -> bool {
        match message {
            Message::Status(_) | Message::Fetch(_) => false,
            Message::ViewChange(_) | Message::NewView(_) | Message::PrePrepare(..) => self.concerns(message),
            Message::Prepare(_) | Message::Commit(_) | Message::Checkpoint(_) => self.concerns(message),
            Message::Requests(_) | Message::Batch(..) | Message::Decided(_) | Message::Stable(_) => true,
        }
    }

    fn concerns(&self, message: &Message) -> bool {
        statement(message).is_some_and(|((_, view, slot), _)| view < self.bounds.views && slot <= self.bounds.slots)
    }

    /// What the corrupted member can say has to be thought over when something new was said.
    pub(super) fn rewrite_menu(&mut self) -> Result<(), String> {
        while std::mem::take(&mut self.menu.stale) {
            for (message, needs) in Menu::write(self) {
                self.post((message, None), Some(needs))?;
            }
            self.available.clear();
        }
        Ok(())
    }

    /// Judges a state, once for each combination of facts.
    pub(super) fn judge(&mut self, state: &State) -> Result<(), String> {
        let mut facts = [0; 4];
        for (place, number) in state.iter().enumerate().take(self.honest.len()) {
            facts[place] = self.locals[*number as usize].facts;
        }
        if self.judged.contains_key(&facts) {
            return Ok(());
        }
        let honest = self.honest.iter().zip(facts);
        let known: Vec<_> = honest.map(|(role, number)| (role.id, &self.facts[number as usize])).collect();
        judge(&known, self.group.genesis.committee().quorum(), usize::from(self.group.traitor.is_some()))?;
        self.judged.insert(facts, ());
        Ok(())
    }

    /// At whom a letter may arrive.
    pub(super) fn hearers(&self, letter: usize) -> impl Iterator<Item = usize> {
        (0..self.honest.len()).filter(move |place| self.ears[*place].contains(letter))
    }

    /// The votes of the corrupted member in a view for the first or the second batch of each slot.
    pub(super) fn votes(&self, view: View, which: usize) -> Vec<usize> {
        let digests: Vec<Digest> = self.batches.iter().map(|two| two[which].digest()).collect();
        let wanted = |message: &Message| {
            let (at, digest) = match message {
                Message::PrePrepare(vote, _) => (vote.message().view, vote.message().digest),
                Message::Prepare(vote) => (vote.message().view, vote.message().digest),
                Message::Commit(vote) => (vote.message().view, vote.message().digest),
                Message::Checkpoint(_) | Message::ViewChange(_) | Message::NewView(_) | Message::Status(_) => {
                    return false;
                }
                Message::Fetch(_) | Message::Requests(_) | Message::Batch(..) => return false,
                Message::Decided(_) | Message::Stable(_) => return false,
            };
            at == view && digests.contains(&digest)
        };
        let own = self.letters.iter().enumerate().filter(|(_, letter)| letter.needs.is_some());
        own.filter(|(_, letter)| wanted(&letter.message)).map(|(number, _)| number).collect()
    }

    /// Whether a letter is of this kind and of this view.
    pub(super) fn is_about(&self, letter: usize, kind: &str, view: View) -> bool {
        let about = statement(&self.letters[letter].message);
        about.is_some_and(|((of, at, _), _)| of == kind && at == view.get())
    }

    /// Of a view change: the highest view in which it says that something prepared.
    pub(super) fn prepared(&self, letter: usize) -> Option<View> {
        let Message::ViewChange(change) = &self.letters[letter].message else { return None };
        change.message().prepared.iter().map(|proof| proof.view).max()
    }

    /// A move of the replica in this place that was taken from one local state to another.
    pub(super) fn led(&self, place: usize, before: u32, after: u32) -> Option<Move> {
        let known = &self.locals[before as usize];
        let letter = known.letters.iter().position(|to| *to == after).map(|letter| Move::Hear(place, letter));
        letter.or_else(|| known.others.iter().find(|(_, to)| *to == after).map(|(what, _)| *what))
    }

    /// A move in words.
    pub(super) fn tell(&self, what: Move) -> String {
        let id = self.honest[what.place()].id;
        match what {
            Move::Hear(_, letter) => format!("{id} hears {}", Words(&self.letters[letter])),
            Move::Ring(_, timer) => format!("{id} has waited long enough: {timer:?}"),
            Move::Restart(_) => format!("{id} crashes and comes back"),
        }
    }
}

struct Words<'a>(&'a Letter);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Brief(&self.0.message))?;
        if self.0.needs.is_some() { f.write_str(" (corrupted)") } else { Ok(()) }
    }
}

fn people_of(bounds: Bounds) -> Result<(Group, Vec<Role>), String> {
    let slots = usize::try_from(bounds.slots).map_err(|error| error.to_string())?;
    let mut scenario = Scenario::quiet(0, 4, slots, Span::millis(1));
    let interval = bounds.checkpoint_interval.unwrap_or(16);
    let parameters = [
        ("max-batch-requests", 1),
        ("checkpoint-interval", interval),
        ("window", 2 * interval),
        ("pipeline", interval.min(2)),
    ];
    scenario.parameters = parameters.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let people = people::people(&scenario)?;
    let genesis = people.genesis;
    let requests = people.client_keys.iter().map(|key| {
        let operation = Operation::Set {
            key: b"k".to_vec(),
            value: b"v".to_vec(),
            condition: Condition::Always,
            answer: SetAnswer::Written,
        };
        let bundle = Bundle { number: RequestNumber::new(1), transactions: vec![Transaction::single(operation)] };
        let signed = Verified::sign(bundle, key.account(), key, genesis.digest());
        Request::new(signed, genesis.parameters()).map_err(|error| error.to_string())
    });
    let requests = requests.collect::<Result<Vec<_>, _>>()?;
    let traitor = bounds.traitor.map(ReplicaId::new);
    let keys = genesis.committee().members().zip(people.replica_keys);
    let (corrupted, honest): (Vec<_>, Vec<_>) = keys.partition(|(id, _)| Some(*id) == traitor);
    if corrupted.len() != usize::from(traitor.is_some()) {
        return Err("the corrupted member is one of the four".into());
    }
    let role = |(id, key): (ReplicaId, bezant_types::SecretKey)| {
        let config = Config::new(&genesis, id).expect("a member has a place");
        Role { id, key, config }
    };
    let honest = honest.into_iter().map(role).collect();
    let traitor_key = corrupted.into_iter().next().map(|(_, key)| key);
    Ok((Group { genesis, traitor, traitor_key, requests, crashes: bounds.crashes }, honest))
}
