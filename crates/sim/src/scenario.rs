//! What is to happen in a world, as data that a person can read, write and shorten.
//!
//! A scenario is all that a world depends on, the code aside: the same scenario gives the same trace, byte for byte. A
//! random schedule is drawn from a seed *into* a scenario before the world begins, so that the one that failed can be
//! printed, shortened by leaving steps out, kept as a file and run again. `scenarios/` holds some that people wrote.
//!
//! ```text
//! bezant scenario 1
//! # What committed at one replica alone survives the view change.
//! replicas 4
//! clients 1
//! at 0ms lose commit to 0 2 3
//! at 10ms ask 0 set k v
//! at 400ms cut 1 from 0 2 3
//! at 6s stabilise
//! run 20s
//! expect answered
//! ```
//!
//! Times are `250us`, `10ms`, `3s`, `2m`; replicas and clients are numbers; a line that begins with `#` is a comment.
//! All words, each with an example: [`language`](crate::language).

use std::fmt;
use std::str::FromStr;

use crate::rounds::RoundFault;
pub use crate::step::{Damage, Flow, Kind, Step};
use crate::words::Words;
pub use crate::words::{BadScenario, Span};

/// The most time in which a group comes to answer everything once its network is stable, in milliseconds.
const LIVENESS_MS: u64 = 60_000;

/// The first line of every scenario file.
pub const FIRST_LINE: &str = "bezant scenario 1";

/// All that a world depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it shows, a line each.
    pub comment: Vec<String>,
    /// Where everything that is left open comes from: delays, losses, what clients ask.
    pub seed: u64,
    /// How many replicas, and how many clients that keep asking.
    pub replicas: u16,
    /// Clients.
    pub clients: usize,
    /// Who lies, and how, by the adversary's name.
    pub traitors: Vec<(u16, String)>,
    /// What goes wrong in protocol rounds (Winter et al. 2023).
    pub rounds: Vec<RoundFault>,
    /// Replicas that have a second machine with the same key (Bano et al. 2020).
    pub twins: Vec<u16>,
    /// Corrupted clients, by name: they come after the honest ones.
    pub corrupted_clients: Vec<String>,
    /// How long corrupted members and clients rest after each second in which they act of their own; `None`: never.
    pub rest: Option<Span>,
    /// Genesis parameters that differ from the simulator's usual ones, by name.
    pub parameters: Vec<(String, u64)>,
    /// What the network is like until it is stable.
    pub network: Weather,
    /// The mean pause of a client between an answer and its next request; `None`: clients ask only when a step says so.
    pub pause: Option<Span>,
    /// How many bytes what they write has at least; 0: as few as it needs.
    pub values: usize,
    /// What happens, in order of time.
    pub steps: Vec<(Span, Step)>,
    /// How long the world lasts.
    pub run: Span,
    /// What a person who wrote this expects, beside what must hold in every world.
    pub expectations: Vec<Expectation>,
}

/// What a network does to what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// The least delay.
    pub least: Span,
    /// The usual delay at most; one message in sixteen takes up to eight times as long.
    pub most: Span,
    /// How many of a thousand messages are lost.
    pub loss: u64,
    /// How many of a thousand arrive twice.
    pub duplicates: u64,
    /// How many bytes a second the line of each machine and client carries; `None`: any number.
    pub bandwidth: Option<u64>,
}

impl Weather {
    /// A local network on a good day. After [`Step::Stabilise`] it is like this.
    pub const FAIR: Self =
        Self { least: Span::micros(200), most: Span::micros(800), loss: 0, duplicates: 0, bandwidth: None };
}

/// What the author of a scenario expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Everything that honest clients asked was answered.
    Answered,
    /// All honest replicas end in this view.
    View(u64),
    /// All honest replicas end in this view or a later one.
    LaterThan(u64),
    /// Some honest replica holds evidence against this member.
    Accused(u16),
    /// Nobody is accused.
    NobodyAccused,
    /// All honest replicas have executed at least so much.
    Height(u64),
    /// The oracle of this name complains: more lie than are allowed, or a defence is off.
    Violated(String),
    /// This replica stops, and says why.
    Halted(u16),
    /// Everything that honest clients asked was answered, nothing later than this after it was asked.
    ServedWithin(Span),
    /// An honest machine gave its line no more than so many bytes, in the mean. Needs a network with a bandwidth.
    SentAtMost(u64),
    /// Some line of the trace has these words in a row, spaces apart; `*` stands for any one word.
    Seen(Vec<String>),
    /// No line of the trace has them.
    Unseen(Vec<String>),
}

impl Scenario {
    /// A quiet world of `replicas` honest replicas.
    pub fn quiet(seed: u64, replicas: u16, clients: usize, run: Span) -> Self {
        Self {
            comment: Vec::new(),
            seed,
            replicas,
            clients,
            traitors: Vec::new(),
            rounds: Vec::new(),
            twins: Vec::new(),
            corrupted_clients: Vec::new(),
            rest: None,
            parameters: Vec::new(),
            network: Weather::FAIR,
            pause: None,
            values: 0,
            steps: Vec::new(),
            run,
            expectations: Vec::new(),
        }
    }

    /// How long after stabilisation everything must be answered, in milliseconds: the longest timeout of a view change
    /// a few times over, for views whose primaries are corrupted; and less in a world that does not last so long.
    pub fn liveness_ms(&self) -> u64 {
        let calm = self.steps.iter().find(|(_, step)| *step == Step::Stabilise).map_or(self.run, |(at, _)| *at);
        let left = self.run.as_millis().saturating_sub(calm.as_millis());
        LIVENESS_MS.min(left - left / 4)
    }

    /// Whether this member may lie: it is a traitor, or has a twin.
    pub fn is_corrupted(&self, replica: u16) -> bool {
        self.twins.contains(&replica) || self.traitors.iter().any(|(one, _)| *one == replica)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        for line in &self.comment {
            writeln!(f, "# {line}")?;
        }
        writeln!(f, "seed {}\nreplicas {}\nclients {}", self.seed, self.replicas, self.clients)?;
        for (replica, name) in &self.traitors {
            writeln!(f, "traitor {replica} {name}")?;
        }
        for fault in &self.rounds {
            writeln!(f, "round {fault}")?;
        }
        for replica in &self.twins {
            writeln!(f, "twin {replica}")?;
        }
        for name in &self.corrupted_clients {
            writeln!(f, "corrupted-client {name}")?;
        }
        if let Some(rest) = self.rest {
            writeln!(f, "rest {rest}")?;
        }
        for (name, value) in &self.parameters {
            writeln!(f, "parameter {name} {value}")?;
        }
        let Weather { least, most, loss, duplicates, bandwidth } = self.network;
        write!(f, "network {least} {most} loss {loss} duplicates {duplicates}")?;
        match bandwidth {
            Some(bytes) => writeln!(f, " bandwidth {bytes}")?,
            None => writeln!(f)?,
        }
        if let Some(pause) = self.pause {
            writeln!(f, "pause {pause}")?;
        }
        if self.values > 0 {
            writeln!(f, "values {}", self.values)?;
        }
        for (at, step) in &self.steps {
            writeln!(f, "at {at} {step}")?;
        }
        writeln!(f, "run {}", self.run)?;
        for expectation in &self.expectations {
            writeln!(f, "expect {expectation}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("answered"),
            Self::View(view) => write!(f, "view {view}"),
            Self::LaterThan(view) => write!(f, "later-than {view}"),
            Self::Accused(member) => write!(f, "accused {member}"),
            Self::NobodyAccused => f.write_str("nobody-accused"),
            Self::Height(height) => write!(f, "height {height}"),
            Self::Violated(oracle) => write!(f, "violated {oracle}"),
            Self::Halted(replica) => write!(f, "halted {replica}"),
            Self::ServedWithin(span) => write!(f, "served-within {span}"),
            Self::SentAtMost(bytes) => write!(f, "sent-at-most {bytes}"),
            Self::Seen(words) => write!(f, "seen {}", words.join(" ")),
            Self::Unseen(words) => write!(f, "unseen {}", words.join(" ")),
        }
    }
}

impl FromStr for Scenario {
    type Err = BadScenario;

    fn from_str(text: &str) -> Result<Self, BadScenario> {
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, first)| first.trim() != FIRST_LINE) {
            return Err(BadScenario::at(1, format!("the first line must be `{FIRST_LINE}`")));
        }
        let mut scenario = Self::quiet(0, 4, 1, Span::millis(10_000));
        for (index, line) in lines {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                scenario.comment.push(comment.trim().to_owned());
            } else if !line.is_empty() {
                let mut words = Words::new(index + 1, line);
                scenario.take_line(&mut words)?;
                words.end()?;
            }
        }
        scenario.steps.sort_by_key(|(at, _)| *at);
        scenario.check().map_err(|error| BadScenario { line: scenario.line_of_nonsense(text), ..error })?;
        Ok(scenario)
    }
}

impl Scenario {
    fn take_line(&mut self, words: &mut Words<'_>) -> Result<(), BadScenario> {
        match words.word("a keyword")? {
            "seed" => self.seed = words.number("a seed")?,
            "replicas" => self.replicas = words.number("a number of replicas")?,
            "clients" => self.clients = words.number("a number of clients")?,
            "traitor" => {
                let replica = words.number("a replica")?;
                self.traitors.push((replica, words.word("the name of an adversary")?.to_owned()));
            }
            "round" => self.rounds.push(RoundFault::take(words)?),
            "twin" => self.twins.push(words.number("a replica")?),
            "corrupted-client" => self.corrupted_clients.push(words.word("the name of a corrupted client")?.to_owned()),
            "parameter" => {
                let name = words.word("the name of a parameter")?.to_owned();
                self.parameters.push((name, words.number("its value")?));
            }
            "network" => self.network = take_weather(words)?,
            "pause" => self.pause = Some(words.span()?),
            "values" => self.values = words.number("a number of bytes")?,
            "rest" => self.rest = Some(words.span()?),
            "at" => {
                let at = words.span()?;
                self.steps.push((at, Step::take(words)?));
            }
            "run" => self.run = words.span()?,
            "expect" => self.expectations.push(take_expectation(words)?),
            other => {
                return Err(words.error(format!(
                    "`{other}` is none of seed, replicas, clients, traitor, round, twin, corrupted-client, rest, parameter, \
                     network, pause, values, at, run, expect"
                )));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), BadScenario> {
        let in_rounds = self.rounds.iter().flat_map(RoundFault::members);
        let members = self.traitors.iter().map(|(one, _)| *one).chain(self.twins.iter().copied()).chain(in_rounds);
        for replica in members {
            if replica >= self.replicas {
                return Err(BadScenario::at(0, format!("there is no replica {replica}: there are {}", self.replicas)));
            }
        }
        // Steps are about machines: those of the twins come after all others.
        let machines = usize::from(self.replicas) + self.twins.len();
        for machine in self.steps.iter().flat_map(|(_, step)| step.replicas()) {
            if usize::from(*machine) >= machines {
                return Err(BadScenario::at(0, format!("there is no machine {machine}: there are {machines}")));
            }
        }
        let counts = self.expectations.iter().any(|one| matches!(one, Expectation::SentAtMost(_)));
        if counts && self.network.bandwidth.is_none() {
            let what = "bytes are counted where lines have a bound: write `network 200us 800us bandwidth 4194304`";
            return Err(BadScenario::at(0, what.to_owned()));
        }
        Ok(())
    }

    /// The first line of `text` that names somebody who is not there, from 1.
    fn line_of_nonsense(&self, text: &str) -> usize {
        let twins: Vec<u16> = self.twins.iter().copied().filter(|one| *one < self.replicas).collect();
        let names_nobody = |line: &str| {
            let mut alone =
                Self { twins: twins.clone(), network: self.network, ..Self::quiet(0, self.replicas, 0, self.run) };
            alone.take_line(&mut Words::new(0, line)).is_ok() && alone.check().is_err()
        };
        text.lines().position(names_nobody).map_or(0, |index| index + 1)
    }
}

fn take_weather(words: &mut Words<'_>) -> Result<Weather, BadScenario> {
    let (least, most) = (words.span()?, words.span()?);
    let mut weather = Weather { least, most, ..Weather::FAIR };
    while let Some(word) = words.maybe() {
        match word {
            "loss" => weather.loss = words.number("how many of a thousand are lost")?,
            "duplicates" => weather.duplicates = words.number("how many of a thousand arrive twice")?,
            "bandwidth" => weather.bandwidth = Some(words.number("bytes in a second")?),
            other => return Err(words.error(format!("`{other}` is none of loss, duplicates, bandwidth"))),
        }
    }
    Ok(weather)
}

fn take_expectation(words: &mut Words<'_>) -> Result<Expectation, BadScenario> {
    Ok(match words.word("an expectation")? {
        "answered" => Expectation::Answered,
        "view" => Expectation::View(words.number("a view")?),
        "later-than" => Expectation::LaterThan(words.number("a view")?),
        "accused" => Expectation::Accused(words.number("a replica")?),
        "nobody-accused" => Expectation::NobodyAccused,
        "height" => Expectation::Height(words.number("a sequence number")?),
        "violated" => Expectation::Violated(words.word("the name of an oracle")?.to_owned()),
        "halted" => Expectation::Halted(words.number("a replica")?),
        "served-within" => Expectation::ServedWithin(words.span()?),
        "sent-at-most" => Expectation::SentAtMost(words.number("a number of bytes")?),
        "seen" => Expectation::Seen(take_line_words(words)?),
        "unseen" => Expectation::Unseen(take_line_words(words)?),
        other => {
            return Err(words.error(format!(
                "`{other}` is none of answered, view, later-than, accused, nobody-accused, height, violated, halted, \
                 served-within, sent-at-most, seen, unseen"
            )));
        }
    })
}

/// Words of a line of the trace, one at least.
fn take_line_words(words: &mut Words<'_>) -> Result<Vec<String>, BadScenario> {
    let first = words.word("a word of the trace")?;
    Ok(std::iter::once(first).chain(words.rest()).map(str::to_owned).collect())
}
