//! Clients that write and read while something goes wrong, and remember what they saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::history::{History, Operation};
use crate::process::wait_for;
use crate::redis::{Redis, Reply};

const CLIENTS: u64 = 4;
/// Few enough that clients meet, and enough that each history stays small.
const REGISTERS: [&str; 4] = ["register-0", "register-1", "register-2", "register-3"];
/// Incremented and read, never set: its value is the number of increments.
pub(crate) const COUNTER: &str = "counter";

/// Clients at work.
pub(crate) struct Load {
    pub(crate) history: Arc<History>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    port: u16,
}

impl Load {
    /// Starts clients of the gateway at `port`. What they do follows from `seed`.
    pub(crate) fn start(port: u16, seed: u64) -> Self {
        eprintln!("the clients' seed is {seed}");
        let (history, stop) = (Arc::new(History::default()), Arc::new(AtomicBool::new(false)));
        let clients = (0..CLIENTS).map(|client| {
            let (history, stop) = (history.clone(), stop.clone());
            thread::spawn(move || work(port, Dice(seed ^ (client + 1)), client, &history, &stop))
        });
        Self { clients: clients.collect(), history, stop, port }
    }

    /// Waits until `more` operations were answered from now on.
    pub(crate) fn wait_answers(&self, more: usize) {
        let wanted = self.history.answers() + more;
        wait_for("answers to the clients", || {
            let answers = self.history.answers();
            if answers >= wanted { Ok(()) } else { Err(format!("{answers} of {wanted} answers")) }
        });
    }

    /// Ends the clients, reads every key once more, and judges all of it: one copy could have done this, nothing that
    /// was acknowledged is lost, and every increment was executed exactly once.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        let history = &self.history;
        for key in REGISTERS.iter().chain([&COUNTER]) {
            let last = wait_for("a last read", || {
                let called = history.now();
                let read = Redis::connect(self.port).and_then(|mut redis| redis.call(&["GET", key]));
                match read.as_ref().map(number) {
                    Ok(Ok(value)) => {
                        history.answered(key, Operation::Get(value), called);
                        Ok(value)
                    }
                    _ => Err(format!("{read:?}")),
                }
            });
            if *key == COUNTER {
                let (acknowledged, unknown) = history.increments(COUNTER);
                let counted = last.unwrap_or(0);
                assert!(
                    (acknowledged..=acknowledged + unknown).contains(&counted),
                    "{acknowledged} increments were acknowledged and {unknown} not answered, and the counter is {counted}"
                );
            }
        }
        history.check();
    }
}

fn work(port: u16, mut dice: Dice, client: u64, history: &History, stop: &AtomicBool) {
    let mut connection = None;
    let mut written = 0;
    while !stop.load(Ordering::SeqCst) {
        // Pace, not hope: the history must stay short enough to be judged.
        thread::sleep(Duration::from_millis(4 + dice.roll(8)));
        let Some(redis) = connection.as_mut() else {
            connection = Redis::connect(port).ok();
            continue;
        };
        let register = REGISTERS[usize::try_from(dice.roll(4)).unwrap()];
        let (key, operation) = match dice.roll(8) {
            0..3 => {
                written += 1;
                (register, Operation::Set(i64::try_from(client * 1_000_000).unwrap() + written))
            }
            3..6 => (register, Operation::Get(None)),
            6 => (COUNTER, Operation::Increment(None)),
            _ => (COUNTER, Operation::Get(None)),
        };
        if !perform(redis, key, operation, history) {
            connection = None;
        }
    }
}

/// Does one operation; false if the connection is of no more use.
fn perform(redis: &mut Redis, key: &str, operation: Operation, history: &History) -> bool {
    let called = history.now();
    let reply = match operation {
        Operation::Set(value) => redis.call(&["SET", key, &value.to_string()]),
        Operation::Get(_) => redis.call(&["GET", key]),
        Operation::Increment(_) => redis.call(&["INCR", key]),
    };
    let seen = match (operation, &reply) {
        (Operation::Set(_), Ok(Reply::Simple(ok))) if ok == "OK" => Some(operation),
        (Operation::Increment(_), Ok(Reply::Integer(sum))) => Some(Operation::Increment(Some(*sum))),
        (Operation::Get(_), Ok(reply)) => number(reply).ok().map(Operation::Get),
        _ => None,
    };
    match seen {
        Some(seen) => history.answered(key, seen, called),
        None => history.unanswered(key, operation, called),
    }
    if let Ok(Reply::Error(words)) = &reply {
        // What the gateway may say while replicas are down. Anything else is a fault.
        let expected = ["NOQUORUM", "may or may not"].iter().any(|part| words.contains(part));
        assert!(expected, "{operation:?} of {key} was answered with {words}");
    }
    reply.is_ok()
}

fn number(reply: &Reply) -> Result<Option<i64>, String> {
    match reply {
        Reply::Bulk(None) => Ok(None),
        Reply::Bulk(Some(bytes)) => {
            let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
            text.parse().map(Some).map_err(|_| format!("{text:?} is no number"))
        }
        Reply::Simple(_) | Reply::Error(_) | Reply::Integer(_) | Reply::Array(_) => Err(format!("{reply:?}")),
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}
