//! The words of a scenario's lines, with errors that name the line.

use std::fmt;
use std::str::{FromStr, SplitWhitespace};

/// A stretch of time in a world, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

impl Span {
    /// So many microseconds.
    pub const fn micros(micros: u64) -> Self {
        Self(micros)
    }

    /// So many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// In microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// In whole milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }
}

/// The largest unit that leaves a whole number.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0ms"),
            us if us.is_multiple_of(60_000_000) => write!(f, "{}m", us / 60_000_000),
            us if us.is_multiple_of(1_000_000) => write!(f, "{}s", us / 1_000_000),
            us if us.is_multiple_of(1_000) => write!(f, "{}ms", us / 1_000),
            us => write!(f, "{us}us"),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            _other => return Err(format!("`{text}` is no time: write 250us, 10ms, 3s or 2m")),
        };
        let number: u64 = number.parse().map_err(|_| format!("`{text}` is no time: write 250us, 10ms, 3s or 2m"))?;
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("`{text}` is too long"))
    }
}

/// What is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadScenario {
    /// Where, from 1; 0 for the whole.
    pub line: usize,
    /// What, and what would be right.
    pub what: String,
}

impl BadScenario {
    pub(crate) fn at(line: usize, what: String) -> Self {
        Self { line, what }
    }
}

/// The words of one line, taken from the left.
pub(crate) struct Words<'a> {
    line: usize,
    rest: std::iter::Peekable<SplitWhitespace<'a>>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: usize, text: &'a str) -> Self {
        Self { line, rest: text.split_whitespace().peekable() }
    }

    pub(crate) fn error(&self, what: String) -> BadScenario {
        BadScenario::at(self.line, what)
    }

    pub(crate) fn maybe(&mut self) -> Option<&'a str> {
        self.rest.next()
    }

    pub(crate) fn word(&mut self, what: &str) -> Result<&'a str, BadScenario> {
        let line = self.line;
        self.rest.next().ok_or_else(|| BadScenario::at(line, format!("{what} is missing at the end")))
    }

    pub(crate) fn number<T: FromStr>(&mut self, what: &str) -> Result<T, BadScenario> {
        let word = self.word(what)?;
        word.parse().map_err(|_| self.error(format!("`{word}` is not {what}")))
    }

    /// All numbers up to the next word that is none.
    pub(crate) fn numbers<T: FromStr>(&mut self) -> Vec<T> {
        let mut numbers = Vec::new();
        while let Some(number) = self.rest.peek().and_then(|word| word.parse().ok()) {
            self.rest.next();
            numbers.push(number);
        }
        numbers
    }

    /// Takes the next word if it is this one.
    pub(crate) fn takes(&mut self, expected: &str) -> bool {
        self.rest.next_if(|word| *word == expected).is_some()
    }

    pub(crate) fn span(&mut self) -> Result<Span, BadScenario> {
        let word = self.word("a time")?;
        word.parse().map_err(|what| self.error(what))
    }

    /// Everything that is left, for what clients ask.
    pub(crate) fn rest(&mut self) -> Vec<&'a str> {
        std::iter::from_fn(|| self.rest.next()).collect()
    }

    pub(crate) fn end(&mut self) -> Result<(), BadScenario> {
        match self.rest.next() {
            Some(word) => Err(self.error(format!("`{word}` is one word too many"))),
            None => Ok(()),
        }
    }
}
