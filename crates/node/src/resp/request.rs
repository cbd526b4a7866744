//! Requests: a parser that goes on where it stopped, and the encoder that clients and tests use.

use bytes::{BufMut, BytesMut};

use super::inline;

/// The largest command that is kept. What is larger is skipped and reported, see [`TooLarge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most arguments, the command's name included.
    pub arguments: usize,
    /// The most bytes of one argument.
    pub argument_bytes: usize,
    /// The most bytes of a whole command as it is written.
    pub command_bytes: usize,
}

/// The arguments of one command, name first, borrowed from the input.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    bytes: &'a [u8],
    places: &'a [(u32, u32)],
}

impl<'a> Command<'a> {
    /// How many arguments there are, the name included. Never zero.
    #[expect(clippy::len_without_is_empty, reason = "a command has a name, so it is never empty")]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The argument at `index`; the name is at 0.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let (from, to) = *self.places.get(index)?;
        self.bytes.get(from as usize..to as usize)
    }

    /// The name, as it was written.
    pub fn name(&self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// All arguments in order, the name first.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Self { bytes, places } = *self;
        places.iter().map(move |(from, to)| bytes.get(*from as usize..*to as usize).unwrap_or_default())
    }
}

/// What comes out of the parser.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// A whole command.
    Command(Command<'a>),
    /// A command that broke a limit of ours. It was read past; the connection is in step.
    TooLarge(TooLarge),
}

/// Which limit a skipped command broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Too many arguments.
    #[error("the command has {found} arguments, at most {limit} are allowed")]
    Arguments {
        /// How many it announced.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
    /// One argument is too long.
    #[error("an argument has {found} bytes, at most {limit} are allowed")]
    Argument {
        /// How many bytes it announced.
        found: usize,
        /// How many it may have.
        limit: usize,
    },
    /// All together are too long.
    #[error("the command has more than {limit} bytes, the most that are allowed")]
    Command {
        /// How many bytes it may have.
        limit: usize,
    },
}

/// Bytes after which nobody knows where the next command starts. Worded as Redis words them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number after `*` is none, or above what Redis itself takes.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// The number after `$` is none, negative, or above what Redis itself takes.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// An argument does not start with `$`. A nested array ends here, at depth 1.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0).escape_default())]
    ExpectedBulk(u8),
    /// An argument does not end where it said.
    #[error("Protocol error: expected CRLF after a bulk string")]
    ExpectedCrLf,
    /// An inline command without an end.
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// A quote of an inline command is not closed.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
}

/// Takes commands out of a growing input.
///
/// The caller appends what it reads to one buffer, calls [`Self::next`] with all of it until that says `None`, and then
/// drops [`Self::release`] bytes from the buffer's front. Commands borrow from the buffer: nothing is copied.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    phase: Phase,
    /// Where the command that is being read begins in the input; everything before it can be released.
    start: usize,
    /// How far it was read, from `start`.
    seen: usize,
    /// How many bytes from `start` it takes to get any further.
    wanted: usize,
    /// Its arguments, relative to `start`, or places in `words` for an inline command.
    places: Vec<(u32, u32)>,
    words: Vec<u8>,
    /// The command that the last `next` returned has yet to be stepped over.
    returned: Returned,
}

#[derive(Debug)]
enum Phase {
    /// Between two commands, or before an empty one is over.
    Start,
    /// Looking for the end of an inline command.
    Inline,
    /// So many arguments are still to come.
    Arguments { left: usize },
    /// The body of an argument, of which more follow.
    Body { length: usize, left: usize },
    /// Reading past a command: so many bytes of the current argument, so many arguments after it.
    Skipping { bytes: usize, left: usize, verdict: TooLarge },
    /// Out of step for good.
    Broken(ProtocolError),
}

#[derive(Debug, PartialEq, Eq)]
enum Returned {
    Nothing,
    Command,
}

/// What one step of the parser came to.
enum Step {
    Again,
    Starved,
    Whole(Kind),
    Skipped(TooLarge),
}

enum Kind {
    Multibulk,
    Inline,
}

impl Parser {
    /// A parser at the start of a connection. Limits above what Redis takes are lowered to it.
    pub fn new(limits: Limits) -> Self {
        let limits = Limits {
            arguments: limits.arguments.min(MOST_ARGUMENTS),
            argument_bytes: limits.argument_bytes.min(LARGEST_BULK),
            command_bytes: limits.command_bytes.min(u32::MAX as usize / 2),
        };
        Self {
            limits,
            phase: Phase::Start,
            start: 0,
            seen: 0,
            wanted: 1,
            places: Vec::new(),
            words: Vec::new(),
            returned: Returned::Nothing,
        }
    }

    /// The next command of `input`, which holds every byte that was read and not released; `None` if it is not whole
    /// yet.
    ///
    /// # Errors
    /// [`ProtocolError`], now and at every later call: the connection has to be closed.
    pub fn next<'a>(&'a mut self, input: &'a [u8]) -> Result<Option<Parsed<'a>>, ProtocolError> {
        self.step_over();
        loop {
            match self.step(input) {
                Ok(Step::Again) => {}
                Ok(Step::Starved) => return Ok(None),
                Ok(Step::Whole(kind)) => {
                    self.returned = Returned::Command;
                    let bytes = match kind {
                        Kind::Multibulk => input.get(self.start..).unwrap_or_default(),
                        Kind::Inline => &self.words,
                    };
                    return Ok(Some(Parsed::Command(Command { bytes, places: &self.places })));
                }
                Ok(Step::Skipped(verdict)) => return Ok(Some(Parsed::TooLarge(verdict))),
                Err(error) => {
                    self.phase = Phase::Broken(error);
                    return Err(error);
                }
            }
        }
    }

    /// How many bytes at the front of the input are done with. The caller drops exactly these before the next call of
    /// [`Self::next`].
    pub fn release(&mut self) -> usize {
        self.step_over();
        core::mem::take(&mut self.start)
    }

    /// How many bytes the input must hold, after a release, before [`Self::next`] can get any further.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Gives back what a large command made it allocate.
    pub fn shrink(&mut self) {
        if self.returned == Returned::Nothing && self.seen == 0 {
            self.places.shrink_to(SMALL);
            self.words.shrink_to(SMALL);
        }
    }

    fn step_over(&mut self) {
        if core::mem::replace(&mut self.returned, Returned::Nothing) == Returned::Command {
            self.places.clear();
            self.words.clear();
            self.advance();
        }
    }

    /// What was read so far is done with.
    fn advance(&mut self) {
        self.start += core::mem::take(&mut self.seen);
        self.wanted = 1;
    }

    fn step(&mut self, input: &[u8]) -> Result<Step, ProtocolError> {
        let rest = input.get(self.start + self.seen..).unwrap_or_default();
        match &mut self.phase {
            Phase::Start => match rest.first() {
                None => Ok(Step::Starved),
                Some(b'*') => self.on_count(rest),
                Some(_) => {
                    self.phase = Phase::Inline;
                    Ok(Step::Again)
                }
            },
            Phase::Inline => self.on_inline(rest),
            Phase::Arguments { left } => {
                let left = *left;
                self.on_argument(rest, left)
            }
            Phase::Body { length, left } => {
                let (length, left) = (*length, *left);
                self.on_body(rest, length, left)
            }
            Phase::Skipping { .. } => self.on_skipping(rest),
            Phase::Broken(error) => Err(*error),
        }
    }

    fn on_count(&mut self, rest: &[u8]) -> Result<Step, ProtocolError> {
        let (count, used) = match number_line(rest) {
            NumberLine::Incomplete => return Ok(self.starve(rest.len() + 1)),
            NumberLine::Bad => return Err(ProtocolError::InvalidMultibulkLength),
            NumberLine::Number(count, used) => (count, used),
        };
        self.seen += used;
        if count <= 0 {
            // `*0` and `*-1` are no commands and get no reply.
            self.advance();
            return Ok(Step::Again);
        }
        let found = usize::try_from(count).ok().filter(|count| *count <= MOST_ARGUMENTS);
        let found = found.ok_or(ProtocolError::InvalidMultibulkLength)?;
        if found > self.limits.arguments {
            return Ok(self.skip(0, found, TooLarge::Arguments { found, limit: self.limits.arguments }));
        }
        self.phase = Phase::Arguments { left: found };
        Ok(Step::Again)
    }

    fn on_argument(&mut self, rest: &[u8], left: usize) -> Result<Step, ProtocolError> {
        let (length, used) = match bulk_head(rest)? {
            None => return Ok(self.starve(rest.len() + 1)),
            Some(head) => head,
        };
        let Limits { argument_bytes, command_bytes, .. } = self.limits;
        let verdict = if length > argument_bytes {
            TooLarge::Argument { found: length, limit: argument_bytes }
        } else if self.seen + used + length + 2 > command_bytes {
            TooLarge::Command { limit: command_bytes }
        } else {
            self.seen += used;
            self.phase = Phase::Body { length, left: left - 1 };
            return Ok(Step::Again);
        };
        self.seen += used;
        Ok(self.skip(length + 2, left - 1, verdict))
    }

    fn on_body(&mut self, rest: &[u8], length: usize, left: usize) -> Result<Step, ProtocolError> {
        let Some(end) = rest.get(length..length + 2) else {
            return Ok(self.starve(length + 2));
        };
        if end != b"\r\n" {
            return Err(ProtocolError::ExpectedCrLf);
        }
        self.places.push((small(self.seen), small(self.seen + length)));
        self.seen += length + 2;
        if left > 0 {
            self.phase = Phase::Arguments { left };
            return Ok(Step::Again);
        }
        self.phase = Phase::Start;
        Ok(Step::Whole(Kind::Multibulk))
    }

    fn on_inline(&mut self, rest: &[u8]) -> Result<Step, ProtocolError> {
        // `seen` stays at the start of the line, and what was searched before is in `wanted`.
        let searched = self.wanted.saturating_sub(1).min(rest.len());
        let Some(found) = rest.get(searched..).and_then(|tail| tail.iter().position(|byte| *byte == b'\n')) else {
            if rest.len() > LONGEST_INLINE {
                return Err(ProtocolError::TooBigInline);
            }
            return Ok(self.starve(rest.len() + 1));
        };
        let length = searched + found;
        if length > LONGEST_INLINE {
            return Err(ProtocolError::TooBigInline);
        }
        self.phase = Phase::Start;
        inline::split(rest.get(..length).unwrap_or_default(), &mut self.words, &mut self.places)
            .map_err(|_| ProtocolError::UnbalancedQuotes)?;
        self.seen += length + 1;
        if self.places.is_empty() {
            self.advance();
            return Ok(Step::Again);
        }
        if self.places.len() > self.limits.arguments {
            let found = self.places.len();
            self.places.clear();
            self.words.clear();
            self.advance();
            return Ok(Step::Skipped(TooLarge::Arguments { found, limit: self.limits.arguments }));
        }
        Ok(Step::Whole(Kind::Inline))
    }

    fn on_skipping(&mut self, rest: &[u8]) -> Result<Step, ProtocolError> {
        let Phase::Skipping { bytes, left, verdict } = &mut self.phase else { return Ok(Step::Again) };
        if *bytes > 0 {
            let used = rest.len().min(*bytes);
            *bytes -= used;
            let starved = *bytes > 0;
            self.seen += used;
            self.advance();
            return Ok(if starved { Step::Starved } else { Step::Again });
        }
        if *left == 0 {
            let verdict = verdict.clone();
            self.phase = Phase::Start;
            return Ok(Step::Skipped(verdict));
        }
        let Some((length, used)) = bulk_head(rest)? else { return Ok(self.starve(rest.len() + 1)) };
        *bytes = length + 2;
        *left -= 1;
        self.seen += used;
        self.advance();
        Ok(Step::Again)
    }

    fn skip(&mut self, bytes: usize, left: usize, verdict: TooLarge) -> Step {
        self.places.clear();
        self.advance();
        self.phase = Phase::Skipping { bytes, left, verdict };
        Step::Again
    }

    /// There is no more to be done until `more` bytes have arrived from where the reading stands.
    fn starve(&mut self, more: usize) -> Step {
        self.wanted = self.seen + more;
        Step::Starved
    }
}

enum NumberLine {
    Incomplete,
    Bad,
    Number(i64, usize),
}

/// The number between the first byte and CR LF, and how many bytes the line has.
fn number_line(line: &[u8]) -> NumberLine {
    let digits = line.get(1..).unwrap_or_default();
    let Some(length) = digits.iter().take(LONGEST_NUMBER + 1).position(|byte| *byte == b'\r') else {
        return if digits.len() > LONGEST_NUMBER { NumberLine::Bad } else { NumberLine::Incomplete };
    };
    match digits.get(length + 1) {
        None => NumberLine::Incomplete,
        Some(b'\n') => match parse_integer(digits.get(..length).unwrap_or_default()) {
            Some(number) => NumberLine::Number(number, length + 3),
            None => NumberLine::Bad,
        },
        Some(_) => NumberLine::Bad,
    }
}

/// The announced length of an argument, and how many bytes announce it; `None` if that is not whole yet.
fn bulk_head(rest: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
    match rest.first() {
        None => return Ok(None),
        Some(b'$') => {}
        Some(other) => return Err(ProtocolError::ExpectedBulk(*other)),
    }
    match number_line(rest) {
        NumberLine::Incomplete => Ok(None),
        NumberLine::Bad => Err(ProtocolError::InvalidBulkLength),
        NumberLine::Number(length, used) => match usize::try_from(length) {
            Ok(length) if length <= LARGEST_BULK => Ok(Some((length, used))),
            Ok(_) | Err(_) => Err(ProtocolError::InvalidBulkLength),
        },
    }
}

/// A decimal 64-bit integer in its one canonical spelling: no plus, no leading zero, no `-0`, no blanks (`string2ll`).
pub(crate) fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= LONGEST_NUMBER => {}
        _ => return None,
    }
    let mut sum: i64 = 0;
    for digit in digits {
        let digit = i64::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        let shifted = sum.checked_mul(10)?;
        // Downwards for a negative number, because the least one has no positive counterpart.
        sum = if negative { shifted.checked_sub(digit)? } else { shifted.checked_add(digit)? };
    }
    Some(sum)
}

fn small(offset: usize) -> u32 {
    u32::try_from(offset).expect("limits.command_bytes is below 2 GiB")
}

/// Writes a command as clients write it.
pub fn encode_command(arguments: &[&[u8]], out: &mut BytesMut) {
    out.put_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.put_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.put_slice(argument);
        out.put_slice(b"\r\n");
    }
}

/// What Redis takes for an array of arguments.
const MOST_ARGUMENTS: usize = 1 << 20;
/// What Redis takes for one argument unless configured otherwise (`proto-max-bulk-len`).
const LARGEST_BULK: usize = 512 << 20;
/// What Redis takes for an inline command (`PROTO_INLINE_MAX_SIZE`).
const LONGEST_INLINE: usize = 64 << 10;
/// More characters than any 64-bit number has.
const LONGEST_NUMBER: usize = 20;
/// What a parser keeps allocated between commands.
const SMALL: usize = 256;
