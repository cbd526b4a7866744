//! The table of commands.

use super::Handler::{Ask, Local, Order};
use super::{Handler, Spec, introspection, ledger, payments, session};

/// The row of a command, whatever case its name is written in.
pub(super) fn find(name: &[u8]) -> Option<&'static Spec> {
    let mut lower = [0; LONGEST];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let index = TABLE.binary_search_by(|spec| spec.name.as_bytes().cmp(lower)).ok()?;
    TABLE.get(index)
}

/// Name, arity, flags, keys, group, summary, handler.
type Row = (&'static str, i32, &'static [&'static str], (i64, i64, i64), &'static str, &'static str, Handler);

const fn spec((name, arity, flags, keys, group, summary, handler): Row) -> Spec {
    Spec { name, arity, flags, keys, group, summary, handler }
}

/// All commands, in order of name.
#[rustfmt::skip]
pub(super) static TABLE: &[Spec] = &[
    spec(("append", 3, &["write", "denyoom", "fast"], (1, 1, 1), "string",
        "Appends to a value, or creates the entry.", Order(ledger::append))),
    spec(("auth", -2, &["fast"], (0, 0, 0), "connection",
        "There is no password: see the documentation of the gateway.", Local(session::auth))),
    spec(("balance", -1, &["readonly", "fast"], (0, 0, 0), "payments",
        "The balance of an account, by default the gateway's own.", Order(payments::balance))),
    spec(("client", -2, &[], (0, 0, 0), "connection",
        "What is known about connections.", Local(session::client))),
    spec(("command", -1, &[], (0, 0, 0), "server",
        "The commands that there are.", Local(introspection::command))),
    spec(("config", -2, &[], (0, 0, 0), "server",
        "How the gateway is configured.", Local(introspection::config))),
    spec(("dbsize", 1, &["readonly", "fast"], (0, 0, 0), "server",
        "The number of entries.", Order(ledger::dbsize))),
    spec(("decr", 2, &["write", "denyoom", "fast"], (1, 1, 1), "string",
        "Subtracts one from an integer value.", Order(ledger::decr))),
    spec(("decrby", 3, &["write", "denyoom", "fast"], (1, 1, 1), "string",
        "Subtracts from an integer value.", Order(ledger::decrby))),
    spec(("del", -2, &["write"], (1, -1, 1), "generic",
        "Removes entries, all or none, and counts them.", Order(ledger::del))),
    spec(("echo", 2, &["fast"], (0, 0, 0), "connection",
        "Returns its argument.", Local(session::echo))),
    spec(("exists", -2, &["readonly", "fast"], (1, -1, 1), "generic",
        "Counts which of the entries exist.", Order(ledger::exists))),
    spec(("get", 2, &["readonly", "fast"], (1, 1, 1), "string",
        "The value of an entry.", Order(ledger::get))),
    spec(("getdel", 2, &["write", "fast"], (1, 1, 1), "string",
        "Removes an entry and returns its value.", Order(ledger::getdel))),
    spec(("getset", 3, &["write", "denyoom", "fast"], (1, 1, 1), "string",
        "Sets a value and returns the one before.", Order(ledger::getset))),
    spec(("grant", 3, &["write", "fast"], (1, 1, 1), "payments",
        "Lets another account write an entry.", Order(payments::grant))),
    spec(("hello", -1, &["fast"], (0, 0, 0), "connection",
        "Chooses the version of the protocol.", Local(session::hello))),
    spec(("incr", 2, &["write", "denyoom", "fast"], (1, 1, 1), "string",
        "Adds one to an integer value.", Order(ledger::incr))),
    spec(("incrby", 3, &["write", "denyoom", "fast"], (1, 1, 1), "string",
        "Adds to an integer value.", Order(ledger::incrby))),
    spec(("info", -1, &[], (0, 0, 0), "server",
        "How the gateway and the group are doing.", Ask(introspection::ask_info))),
    spec(("mget", -2, &["readonly", "fast"], (1, -1, 1), "string",
        "The values of entries, at one moment.", Order(ledger::mget))),
    spec(("mset", -3, &["write", "denyoom"], (1, -1, 2), "string",
        "Sets entries, all or none.", Order(ledger::mset))),
    spec(("owner", 2, &["readonly", "fast"], (1, 1, 1), "payments",
        "The account that an entry belongs to.", Order(payments::owner))),
    spec(("ping", -1, &["fast"], (0, 0, 0), "connection",
        "Returns PONG.", Local(session::ping))),
    spec(("prove", -2, &["readonly"], (1, 1, 1), "payments",
        "Proves an entry or a balance against a state root that a quorum signed.", Ask(payments::prove))),
    spec(("quit", -1, &["fast"], (0, 0, 0), "connection",
        "Closes the connection.", Local(session::quit))),
    spec(("reset", 1, &["fast"], (0, 0, 0), "connection",
        "Forgets what the connection said about itself.", Local(session::reset))),
    spec(("revoke", 3, &["write", "fast"], (1, 1, 1), "payments",
        "Takes a right to write back.", Order(payments::revoke))),
    spec(("root", 1, &["readonly"], (0, 0, 0), "payments",
        "A state root that covers all that was acknowledged, and who signed it.", Ask(payments::ask_root))),
    spec(("select", 2, &["fast"], (0, 0, 0), "connection",
        "There is one database, 0.", Local(session::select))),
    spec(("set", -3, &["write", "denyoom"], (1, 1, 1), "string",
        "Sets an entry: SET key value [NX | XX] [GET].", Order(ledger::set))),
    spec(("setnx", 3, &["write", "denyoom", "fast"], (1, 1, 1), "string",
        "Sets an entry if there is none.", Order(ledger::setnx))),
    spec(("strlen", 2, &["readonly", "fast"], (1, 1, 1), "string",
        "The length of a value.", Order(ledger::strlen))),
    spec(("transfer", 3, &["write", "fast"], (0, 0, 0), "payments",
        "Pays from the gateway's account: TRANSFER to amount.", Order(payments::transfer))),
    spec(("type", 2, &["readonly", "fast"], (1, 1, 1), "generic",
        "`string`, or `none` if there is no entry.", Order(ledger::kind))),
    spec(("unlink", -2, &["write"], (1, -1, 1), "generic",
        "Removes entries, as DEL does.", Order(ledger::del))),
];

/// Longer than any name in the table.
const LONGEST: usize = 16;
