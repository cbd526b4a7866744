//! One connection: turns of reading what is there, doing it, and writing all replies at once.
//!
//! **A turn** takes every command that the buffer holds, hands those for the ledger to the bundler as one group, waits
//! for its verdicts, and writes all replies with one write. While it waits nothing is read: that is the back-pressure
//! on this client, and it keeps the client's commands in order (see [`super::queue`]). A command that asks beside the
//! order (`PROVE`, `ROOT`, `INFO`) ends its turn and is asked when everything before it is answered.
//!
//! **Adversary.** One who sends half a command and sleeps, announces a gigabyte, never reads replies, or makes a
//! browser send `POST` here. An idle connection holds no buffer at all; beyond [`ALLOWANCE`] bytes a connection holds
//! only what the [`super::budget`] grants it, and not for longer than [`super::Options::stall`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bezant_types::Transaction;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::budget::Share;
use super::bundler::GRACE;
use super::commands::{self, Fate, Order, OrderSize, Plan, Question, Rule, Session};
use super::queue::{Failure, Group, Settled, Wanted};
use super::registry::{Surroundings, count};
use super::seam::{Query, QueryError, Seconds};
use crate::resp::{Command, Parsed, Parser, Protocol, Reply};

/// Whether the gateway goes on serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Running,
    Stopping,
}

/// What a connection needs of its gateway.
#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) around: Arc<Surroundings>,
    pub(crate) groups: mpsc::Sender<Group>,
    pub(crate) queries: mpsc::Sender<Query>,
    pub(crate) service: watch::Receiver<Service>,
}

/// Serves a connection until either side ends it.
pub(crate) async fn serve(stream: TcpStream, id: u64, links: Links) {
    let around = Arc::clone(&links.around);
    let mut connection = Connection {
        stream,
        parser: Parser::new(around.facts.limits()),
        session: Session::new(id),
        input: BytesMut::new(),
        share: around.budget.share(),
        large_since: None,
        links,
    };
    if let Err(error) = connection.run().await {
        tracing::debug!(id, %error, "a client's connection broke");
    }
    around.clients.leave(id);
}

struct Connection<'a> {
    stream: TcpStream,
    parser: Parser,
    session: Session,
    /// What was read and not taken yet. Without a buffer when there is nothing.
    input: BytesMut,
    share: Share<'a>,
    /// Since when a command that is not whole has been holding bytes of the budget.
    large_since: Option<Instant>,
    links: Links,
}

/// The commands of one turn, in order.
#[derive(Default)]
struct Turn {
    items: Vec<Item>,
    orders: VecDeque<(Transaction, OrderSize)>,
    /// About how many bytes the replies have that are known already.
    known_bytes: usize,
    question: Option<(Question, Protocol)>,
}

/// A reply, or where to get it. Each is written in the protocol that was spoken when its command came.
enum Item {
    Ready(Reply, Protocol),
    Ordered { rule: Rule, operations: usize, protocol: Protocol },
}

/// What came of waiting for input.
enum Arrived {
    Bytes,
    End,
    /// To be said before the connection is closed.
    Farewell(String),
}

impl Connection<'_> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let turn = self.gather();
            if !turn.is_empty() {
                self.act(turn).await?;
            }
            if self.session.fate == Fate::Closing {
                return self.stream.shutdown().await;
            }
            if !self.input.is_empty() && self.input.len() >= self.parser.wanted() {
                continue;
            }
            match self.read().await? {
                Arrived::Bytes => {}
                Arrived::End => return Ok(()),
                Arrived::Farewell(text) => {
                    let mut out = BytesMut::new();
                    Reply::Error(text).encode(self.session.protocol, &mut out);
                    self.write(out).await?;
                    return self.stream.shutdown().await;
                }
            }
        }
    }

    /// Takes the commands that are there, as far as they go into one turn.
    fn gather(&mut self) -> Turn {
        let mut turn = Turn::default();
        let around = Arc::clone(&self.links.around);
        let mut taken = 0;
        while turn.has_room() && self.session.fate == Fate::Open {
            match self.parser.next(&self.input) {
                Ok(None) => break,
                Ok(Some(Parsed::TooLarge(verdict))) => turn.ready(commands::too_large(verdict), self.session.protocol),
                Ok(Some(Parsed::Command(command))) => {
                    taken += 1;
                    if is_http(&command) {
                        tracing::warn!(id = self.session.id, "an HTTP request on the gateway's address was cut off");
                        self.session.fate = Fate::Closing;
                        break;
                    }
                    // HELLO answers in the protocol that it chooses, so it is looked at after the plan.
                    let plan = commands::plan(&command, &mut self.session, &around);
                    turn.add(plan, self.session.protocol);
                }
                Err(error) => {
                    turn.ready(Reply::Error(format!("ERR {error}")), self.session.protocol);
                    self.session.fate = Fate::Closing;
                }
            }
        }
        count(&around.counters.commands, taken);
        self.input.advance(self.parser.release());
        self.parser.shrink();
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        turn
    }

    /// Does what the turn holds, and writes its replies in order: all at once, or after each part if the group has to
    /// go in parts.
    async fn act(&mut self, turn: Turn) -> io::Result<()> {
        let Turn { items, orders, question, known_bytes } = turn;
        let mut wanted = Wanted::from(orders);
        let mut verdicts = Vec::new().into_iter();
        let mut out = BytesMut::with_capacity(known_bytes + items.len() * 16);
        let mut parts = 0;
        for item in items {
            match item {
                Item::Ready(reply, protocol) => reply.encode(protocol, &mut out),
                Item::Ordered { rule, operations, protocol } => {
                    if verdicts.as_slice().is_empty() && !wanted.orders.is_empty() {
                        if parts > 0 {
                            self.write(out.split()).await?;
                        }
                        parts += 1;
                        let settled = self.execute(wanted).await;
                        (verdicts, wanted) = (settled.verdicts.into_iter(), settled.rest);
                    }
                    let reply = match verdicts.next().unwrap_or(Err(Failure::Malformed)) {
                        Ok(receipt) => rule.reply(receipt, operations),
                        Err(failure) => commands::failure(&failure),
                    };
                    reply.encode(protocol, &mut out);
                }
            }
        }
        if let Some((question, protocol)) = question {
            self.ask(question).await.encode(protocol, &mut out);
        }
        self.write(out).await
    }

    /// The verdicts on the first commands, at least one, and what is left.
    async fn execute(&self, wanted: Wanted) -> Settled {
        let (group, settled) = Group::new(wanted, Instant::now());
        // If the bundler is gone, the missing verdicts are said to be missing.
        if self.links.groups.send(group).await.is_err() {
            return Settled::default();
        }
        settled.await.unwrap_or_default()
    }

    async fn ask(&self, question: Question) -> Reply {
        let around = &self.links.around;
        let patience = around.options.patience;
        match question {
            Question::Info(sections) => {
                let (reply, status) = oneshot::channel();
                let asked = self.query(Query::Status { reply }, status, Instant::now() + STATUS_PATIENCE).await;
                commands::info(&sections, around, asked.ok().as_ref())
            }
            Question::Root => match self.height().await {
                Err(error) => error,
                Ok(at_least) => {
                    let (deadline, (reply, root)) = (Instant::now() + patience, oneshot::channel());
                    match self.query(Query::Root { at_least, deadline, reply }, root, deadline + GRACE).await {
                        Ok(Ok(checkpoint)) => commands::root(&checkpoint),
                        Ok(Err(error)) | Err(error) => commands::query_failure(&error),
                    }
                }
            },
            Question::Prove(subject) => match self.height().await {
                Err(error) => error,
                Ok(at_least) => {
                    let (deadline, (reply, proof)) = (Instant::now() + patience, oneshot::channel());
                    let query = Query::Prove { subject, at_least, deadline, reply };
                    match self.query(query, proof, deadline + GRACE).await {
                        Ok(Ok(proof)) => commands::proof(proof),
                        Ok(Err(error)) | Err(error) => commands::query_failure(&error),
                    }
                }
            },
        }
    }

    /// Where in the order we are: a checkpoint from here on covers everything that was acknowledged before.
    async fn height(&self) -> Result<bezant_types::SequenceNumber, Reply> {
        let Order { transaction, size, .. } = Order::height();
        let mut settled = self.execute(VecDeque::from([(transaction, size)]).into()).await;
        match settled.verdicts.pop().unwrap_or(Err(Failure::Malformed)) {
            Ok(receipt) => commands::height(&receipt).ok_or_else(|| commands::failure(&Failure::Malformed)),
            Err(failure) => Err(commands::failure(&failure)),
        }
    }

    /// The answer to a query, by `deadline` at the latest.
    async fn query<T>(&self, query: Query, answer: oneshot::Receiver<T>, deadline: Instant) -> Result<T, QueryError> {
        let start = Instant::now();
        let exchange = async {
            self.links.queries.send(query).await.map_err(|_| QueryError::ShuttingDown)?;
            answer.await.map_err(|_| QueryError::ShuttingDown)
        };
        let waited = deadline - start;
        timeout_at(deadline, exchange).await.unwrap_or(Err(QueryError::NoAnswer { waited }))
    }

    /// Waits for more input, and takes as much as there is and may be held.
    async fn read(&mut self) -> io::Result<Arrived> {
        let around = Arc::clone(&self.links.around);
        let stall = around.options.stall;
        let target = self.input.len().saturating_mul(2).clamp(ALLOWANCE, self.parser.wanted().max(ALLOWANCE));
        if target <= ALLOWANCE {
            self.large_since = None;
            self.share.shrink(0);
        } else {
            let since = *self.large_since.get_or_insert_with(Instant::now);
            if timeout_at(since + stall, self.share.grow(target)).await.is_err() {
                let text = "ERR the gateway holds as many bytes of commands and answers as it may: try again later";
                return Ok(Arrived::Farewell(text.into()));
            }
        }
        let deadline = match self.large_since {
            Some(since) => Some(since + stall),
            None => around.options.idle_timeout.map(|idle| Instant::now() + idle),
        };
        let (stream, input, service) = (&mut self.stream, &mut self.input, &mut self.links.service);
        let read = tokio::select! {
            read = read_some(stream, input, target) => read?,
            _ = service.wait_for(|service| *service == Service::Stopping) => return Ok(Arrived::End),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return Ok(if self.large_since.is_some() {
                    Arrived::Farewell(format!("ERR Protocol error: the command was not complete within {}", Seconds(stall)))
                } else {
                    Arrived::End
                });
            }
        };
        if read == 0 {
            return Ok(Arrived::End);
        }
        let more = if read >= FIRST_READ { self.read_on()? } else { 0 };
        count(&around.counters.bytes_in, read + more);
        Ok(Arrived::Bytes)
    }

    /// After a read that was filled: takes what else has arrived, as far as there is room for it.
    fn read_on(&mut self) -> io::Result<usize> {
        let before = self.input.len();
        while self.input.len() < LARGEST_TURN {
            let room = self.input.len().max(FIRST_READ);
            if !self.share.try_grow(self.input.len() + room) {
                break;
            }
            self.input.reserve(room);
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.input.len() - before)
    }

    /// Writes all of `replies`, as a rule with one call. What is left is charged to the budget until it is taken.
    async fn write(&mut self, replies: BytesMut) -> io::Result<()> {
        if replies.is_empty() {
            return Ok(());
        }
        count(&self.links.around.counters.bytes_out, replies.len());
        let written = match self.stream.try_write(&replies) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let rest = replies.get(written..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        self.share.overdraw(replies.len());
        let taken = self.write_slowly(rest).await;
        self.share.give_back(replies.len());
        taken
    }

    /// Writes to a client that does not take everything at once. It has to take something within
    /// [`super::Options::stall`], sooner if others wait for the memory, and all of it at a least pace.
    async fn write_slowly(&mut self, mut rest: &[u8]) -> io::Result<()> {
        let around = &self.links.around;
        let cut = || io::Error::new(io::ErrorKind::TimedOut, "the client does not take its replies");
        let stall = around.options.stall;
        let deadline = Instant::now() + stall + Duration::from_millis(rest.len() as u64 / SLOWEST_PER_MS);
        let mut taken = Instant::now();
        while !rest.is_empty() {
            match timeout(stall.min(PRESSED), self.stream.write(rest)).await {
                Ok(written) => {
                    rest = rest.get(written?..).unwrap_or_default();
                    taken = Instant::now();
                }
                Err(_) if around.budget.is_overdrawn() || taken.elapsed() >= stall => return Err(cut()),
                Err(_) => {}
            }
            if Instant::now() > deadline {
                return Err(cut());
            }
        }
        Ok(())
    }
}

impl Turn {
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.question.is_none()
    }

    fn has_room(&self) -> bool {
        self.question.is_none() && self.items.len() < MOST_COMMANDS && self.known_bytes < LARGEST_TURN
    }

    fn ready(&mut self, reply: Reply, protocol: Protocol) {
        self.known_bytes += reply.rough_size();
        self.items.push(Item::Ready(reply, protocol));
    }

    fn add(&mut self, plan: Plan, protocol: Protocol) {
        match plan {
            Plan::Reply(reply) => self.ready(reply, protocol),
            Plan::Ask(question) => self.question = Some((question, protocol)),
            Plan::Order(Order { transaction, rule, size }) => {
                self.items.push(Item::Ordered { rule, operations: size.operations, protocol });
                self.orders.push_back((transaction, size));
            }
        }
    }
}

/// A web page can make a browser send an HTTP request to a loopback address, whose body would then be read as inline
/// commands. No Redis client starts a command so (Redis cuts it off likewise).
fn is_http(command: &Command<'_>) -> bool {
    command.name().eq_ignore_ascii_case(b"post") || command.name().eq_ignore_ascii_case(b"host:")
}

/// Waits for input and appends it. Without a command under way nothing is allocated before there is something to keep:
/// the bytes come by way of the stack.
async fn read_some(stream: &mut TcpStream, input: &mut BytesMut, target: usize) -> io::Result<usize> {
    if target > ALLOWANCE {
        input.reserve(target.saturating_sub(input.len()));
        return stream.read_buf(input).await;
    }
    poll_fn(|context| poll_read(Pin::new(&mut *stream), context, input)).await
}

fn poll_read(stream: Pin<&mut TcpStream>, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
    let mut space = [MaybeUninit::<u8>::uninit(); FIRST_READ];
    let mut buffer = ReadBuf::uninit(&mut space);
    stream.poll_read(context, &mut buffer).map_ok(|()| {
        input.extend_from_slice(buffer.filled());
        buffer.filled().len()
    })
}

/// What a connection may hold without asking the budget, for each direction.
pub(crate) const ALLOWANCE: usize = 16 << 10;
/// What is read at first.
const FIRST_READ: usize = 16 << 10;
/// A turn takes in no more input than this, but for a single large command.
const LARGEST_TURN: usize = 256 << 10;
/// The most commands of a turn.
const MOST_COMMANDS: usize = 4096;
/// A client takes its replies at 64 bytes a millisecond or faster.
const SLOWEST_PER_MS: u64 = 64;
/// How long a client may take nothing of its replies while others wait for the memory that they take.
const PRESSED: Duration = Duration::from_secs(1);
/// How long `INFO` waits for what the native client knows.
const STATUS_PATIENCE: Duration = Duration::from_millis(250);
