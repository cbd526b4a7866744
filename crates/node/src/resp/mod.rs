//! RESP, the protocol of Redis clients: requests in, replies out.
//!
//! **Adversary.** Anybody who can reach the gateway's address may write any bytes. A nested array overflows the stack
//! of a recursive parser (some thirty kilobytes of `*1\r\n` abort `redis-protocol` 6.0), a length prefix makes a
//! trusting one allocate gigabytes, and a byte at a time makes one that starts over at each read take quadratic time.
//! So: requests have depth 1 and are parsed by a loop; nothing is allocated because of an announcement, only because of
//! bytes that have arrived; and the [`Parser`] goes on where it stopped.
//!
//! **What is too large is skipped, not fatal.** A command that breaks one of our [`Limits`] but keeps those of Redis is
//! read past without being kept, and comes out as [`TooLarge`] in its place, so the connection stays in step and the
//! client reads which limit it was. Only what cannot be resynchronised is a [`ProtocolError`].
//!
//! Numbers refer to Redis 7 (`networking.c`) and to the RESP3 specification of 2018.

mod inline;
mod reply;
mod request;

#[cfg(test)]
mod tests;

pub use reply::{Protocol, Reply};
pub(crate) use request::parse_integer;
pub use request::{Command, Limits, Parsed, Parser, ProtocolError, TooLarge, encode_command};
