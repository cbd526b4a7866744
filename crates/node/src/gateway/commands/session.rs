//! Commands that concern the connection: who it is, which protocol it speaks, when it ends.

use bezant_types::transaction::printable;

use super::ledger::argument;
use super::{check_arity, wording};
use crate::gateway::registry::Surroundings;
use crate::resp::{Command, Protocol, Reply, parse_integer};

/// What a connection has said about itself.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its number among all connections of this gateway.
    pub(crate) id: u64,
    pub(crate) protocol: Protocol,
    pub(crate) name: String,
    pub(crate) fate: Fate,
    pub(super) multi: Multi,
}

/// Whether the client believes to be in a transaction of several commands. `MULTI` is refused, but a pipeline that was
/// sent with it goes on to its `EXEC`; executing what is in between would do half of what was to be done as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Multi {
    Outside,
    Refused,
}

/// Whether the connection goes on after the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Closing,
}

impl Session {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, protocol: Protocol::Resp2, name: String::new(), fate: Fate::Open, multi: Multi::Outside }
    }

    fn rename(&mut self, name: &[u8], around: &Surroundings) -> Result<(), Reply> {
        let fits = name.len() <= LONGEST_NAME && name.iter().all(|byte| (b'!'..=b'~').contains(byte));
        let text = std::str::from_utf8(name).ok().filter(|_| fits);
        let text = text.ok_or_else(|| {
            Reply::Error("ERR Client names cannot contain spaces, newlines or special characters.".into())
        })?;
        text.clone_into(&mut self.name);
        around.clients.rename(self.id, text);
        Ok(())
    }
}

/// The reply to a command between a refused `MULTI` and its `EXEC`; none if the command is to be dealt with as usual.
pub(super) fn between_multi_and_exec(name: &[u8], session: &mut Session) -> Option<Reply> {
    let is = |one: &str| name.eq_ignore_ascii_case(one.as_bytes());
    match session.multi {
        Multi::Outside => {
            if is("multi") {
                session.multi = Multi::Refused;
            }
            None
        }
        Multi::Refused if is("reset") || is("quit") => None,
        Multi::Refused if is("exec") => {
            session.multi = Multi::Outside;
            Some(Reply::Error("EXECABORT Transaction discarded because of previous errors.".into()))
        }
        Multi::Refused if is("discard") => {
            session.multi = Multi::Outside;
            Some(Reply::OK)
        }
        Multi::Refused => Some(Reply::Error(
            "ERR not executed: MULTI is not supported, so nothing is executed until EXEC or DISCARD".into(),
        )),
    }
}

pub(super) fn ping(command: &Command<'_>, _: &mut Session, _: &Surroundings) -> Result<Reply, Reply> {
    match command.len() {
        1 => Ok(Reply::Simple("PONG".into())),
        2 => Ok(Reply::Bulk(argument(command, 1)?.to_vec())),
        _ => Err(wording::wrong_arity("ping")),
    }
}

pub(super) fn echo(command: &Command<'_>, _: &mut Session, _: &Surroundings) -> Result<Reply, Reply> {
    Ok(Reply::Bulk(argument(command, 1)?.to_vec()))
}

pub(super) fn quit(_: &Command<'_>, session: &mut Session, _: &Surroundings) -> Result<Reply, Reply> {
    session.fate = Fate::Closing;
    Ok(Reply::OK)
}

pub(super) fn reset(_: &Command<'_>, session: &mut Session, around: &Surroundings) -> Result<Reply, Reply> {
    session.protocol = Protocol::Resp2;
    session.multi = Multi::Outside;
    session.rename(b"", around)?;
    Ok(Reply::Simple("RESET".into()))
}

pub(super) fn select(command: &Command<'_>, _: &mut Session, _: &Surroundings) -> Result<Reply, Reply> {
    match parse_integer(argument(command, 1)?) {
        None => Err(wording::not_an_integer()),
        Some(0) => Ok(Reply::OK),
        Some(_) => Err(Reply::Error("ERR DB index is out of range".into())),
    }
}

/// There is one user, `default`, and no password: what Redis says in that case.
pub(super) fn auth(command: &Command<'_>, _: &mut Session, _: &Surroundings) -> Result<Reply, Reply> {
    match command.len() {
        2 => Err(Reply::Error(
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?"
                .into(),
        )),
        3 => authenticate(argument(command, 1)?).map(|()| Reply::OK),
        _ => Err(wording::syntax()),
    }
}

fn authenticate(user: &[u8]) -> Result<(), Reply> {
    if user == b"default" {
        Ok(())
    } else {
        Err(Reply::Error("WRONGPASS invalid username-password pair or user is disabled.".into()))
    }
}

/// `HELLO [protocol [AUTH user password] [SETNAME name]]`. Nothing changes unless all of it holds.
pub(super) fn hello(command: &Command<'_>, session: &mut Session, around: &Surroundings) -> Result<Reply, Reply> {
    let protocol = match command.get(1).map(parse_integer) {
        None => session.protocol,
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return Err(Reply::Error("NOPROTO unsupported protocol version".into())),
        Some(None) => {
            return Err(Reply::Error("ERR Protocol version is not an integer or out of range".into()));
        }
    };
    let mut name = None;
    let mut options = command.iter().skip(2);
    while let Some(option) = options.next() {
        match (option.to_ascii_lowercase().as_slice(), options.next()) {
            (b"auth", Some(user)) if options.next().is_some() => authenticate(user)?,
            (b"setname", Some(chosen)) => name = Some(chosen),
            (_, _) => {
                let shown = printable(option.get(..option.len().min(LONGEST_NAME)).unwrap_or_default());
                return Err(Reply::Error(format!("ERR Syntax error in HELLO option '{shown}'")));
            }
        }
    }
    if let Some(name) = name {
        session.rename(name, around)?;
    }
    session.protocol = protocol;
    Ok(Reply::Map(vec![
        (Reply::text("server"), Reply::text("bezant")),
        (Reply::text("version"), Reply::text(env!("CARGO_PKG_VERSION"))),
        (Reply::text("proto"), Reply::Integer(if protocol == Protocol::Resp2 { 2 } else { 3 })),
        (Reply::text("id"), Reply::Unsigned(session.id)),
        (Reply::text("mode"), Reply::text("standalone")),
        (Reply::text("role"), Reply::text("master")),
        (Reply::text("modules"), Reply::Array(Vec::new())),
    ]))
}

pub(super) fn client(command: &Command<'_>, session: &mut Session, around: &Surroundings) -> Result<Reply, Reply> {
    let subcommand = argument(command, 1)?;
    let lower = subcommand.to_ascii_lowercase();
    let arity = |name: &str, arity| check_arity(name, arity, command.len());
    match lower.as_slice() {
        b"id" => arity("client|id", 2).map(|()| Reply::Unsigned(session.id)),
        b"getname" => {
            arity("client|getname", 2)?;
            Ok(if session.name.is_empty() { Reply::Null } else { Reply::Text(session.name.clone().into()) })
        }
        b"setname" => {
            arity("client|setname", 3)?;
            session.rename(argument(command, 2)?, around)?;
            Ok(Reply::OK)
        }
        b"setinfo" => {
            arity("client|setinfo", 4)?;
            set_info(argument(command, 2)?)
        }
        b"info" => {
            arity("client|info", 2)?;
            Ok(Reply::Verbatim(around.clients.lines(Some(session.id))))
        }
        b"list" => {
            arity("client|list", 2)?;
            Ok(Reply::Verbatim(around.clients.lines(None)))
        }
        // Nothing is evicted and no access times are kept, so either way it is so.
        b"no-evict" => arity("client|no-evict", 3).and_then(|()| on_or_off(argument(command, 2)?)),
        b"no-touch" => arity("client|no-touch", 3).and_then(|()| on_or_off(argument(command, 2)?)),
        b"help" => Ok(help()),
        b"kill" | b"pause" | b"unpause" | b"unblock" => {
            Err(unsupported_client(&lower, "connections do not interfere with each other here"))
        }
        b"reply" => Err(unsupported_client(&lower, "every command is answered")),
        b"tracking" | b"trackinginfo" | b"caching" | b"getredir" => {
            Err(unsupported_client(&lower, "entries are not tracked for client-side caches"))
        }
        b"maint_notifications" => Err(unsupported_client(&lower, "replicas are not moved")),
        _ => Err(wording::unknown_subcommand("client", subcommand)),
    }
}

fn unsupported_client(subcommand: &[u8], why: &str) -> Reply {
    wording::unsupported(&format!("CLIENT {}", String::from_utf8_lossy(subcommand).to_ascii_uppercase()), why)
}

fn set_info(field: &[u8]) -> Result<Reply, Reply> {
    if field.eq_ignore_ascii_case(b"lib-name") || field.eq_ignore_ascii_case(b"lib-ver") {
        return Ok(Reply::OK);
    }
    Err(Reply::Error(format!(
        "ERR Unrecognized option '{}'",
        printable(field.get(..field.len().min(64)).unwrap_or_default())
    )))
}

fn on_or_off(word: &[u8]) -> Result<Reply, Reply> {
    let known = word.eq_ignore_ascii_case(b"on") || word.eq_ignore_ascii_case(b"off");
    if known { Ok(Reply::OK) } else { Err(wording::syntax()) }
}

fn help() -> Reply {
    let lines = [
        "CLIENT <subcommand> [<arg> [value] ...]. Subcommands are:",
        "GETNAME",
        "    The name of this connection.",
        "ID",
        "    The number of this connection.",
        "INFO",
        "    What is known about this connection.",
        "LIST",
        "    What is known about all connections.",
        "SETNAME <name>",
        "    Names this connection.",
    ];
    Reply::Array(lines.into_iter().map(|line| Reply::Simple(line.into())).collect())
}

/// More than anybody needs to tell connections apart.
const LONGEST_NAME: usize = 128;
