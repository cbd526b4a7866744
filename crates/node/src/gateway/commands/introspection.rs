//! Commands about the gateway itself: what it can do, how it is set up, how it is doing.

use super::ledger::argument;
use super::table::{self, TABLE};
use super::{Question, Session, Spec, check_arity, wording};
use crate::gateway::facts::Facts;
use crate::gateway::registry::{Surroundings, read};
use crate::gateway::seam::GroupStatus;
use crate::resp::{Command, Reply};

/// `COMMAND [COUNT | LIST | INFO [name …] | DOCS [name …]]`
pub(super) fn command(command: &Command<'_>, _: &mut Session, _: &Surroundings) -> Result<Reply, Reply> {
    let Some(subcommand) = command.get(1) else {
        return Ok(Reply::Array(TABLE.iter().map(describe).collect()));
    };
    // Names are asked for once each and cost what they answer; a list longer than the table is a way to make work.
    if command.len() > TABLE.len() + 2 {
        return Err(wording::syntax());
    }
    let names = || command.iter().skip(2);
    match subcommand.to_ascii_lowercase().as_slice() {
        b"count" => {
            check_arity("command|count", 2, command.len())?;
            Ok(Reply::Unsigned(TABLE.len() as u64))
        }
        b"list" => {
            check_arity("command|list", 2, command.len())?;
            Ok(Reply::Array(TABLE.iter().map(|spec| Reply::text(spec.name)).collect()))
        }
        b"info" if command.len() == 2 => Ok(Reply::Array(TABLE.iter().map(describe).collect())),
        b"info" => Ok(Reply::Array(names().map(|name| table::find(name).map_or(Reply::Null, describe)).collect())),
        b"docs" if command.len() == 2 => Ok(Reply::Map(TABLE.iter().map(document).collect())),
        b"docs" => Ok(Reply::Map(names().filter_map(table::find).map(document).collect())),
        _ => Err(wording::unknown_subcommand("command", subcommand)),
    }
}

/// The ten fields of Redis 7: name, arity, flags, keys, and what we have none of.
fn describe(spec: &Spec) -> Reply {
    let (first, last, step) = spec.keys;
    Reply::Array(vec![
        Reply::text(spec.name),
        Reply::Integer(spec.arity.into()),
        Reply::Set(spec.flags.iter().map(|flag| Reply::Simple((*flag).into())).collect()),
        Reply::Integer(first),
        Reply::Integer(last),
        Reply::Integer(step),
        Reply::Set(Vec::new()),
        Reply::Array(Vec::new()),
        Reply::Array(Vec::new()),
        Reply::Array(Vec::new()),
    ])
}

fn document(spec: &Spec) -> (Reply, Reply) {
    let fields = vec![
        (Reply::text("summary"), Reply::text(spec.summary)),
        (Reply::text("since"), Reply::text("1.0.0")),
        (Reply::text("group"), Reply::text(spec.group)),
        (Reply::text("arguments"), Reply::Array(Vec::new())),
    ];
    (Reply::text(spec.name), Reply::Map(fields))
}

/// `CONFIG GET pattern …`
pub(super) fn config(command: &Command<'_>, _: &mut Session, around: &Surroundings) -> Result<Reply, Reply> {
    let subcommand = argument(command, 1)?;
    match subcommand.to_ascii_lowercase().as_slice() {
        b"get" => {
            check_arity("config|get", -3, command.len())?;
            if command.iter().skip(2).any(|pattern| pattern.len() > LONGEST_PATTERN) || command.len() > MOST_PATTERNS {
                return Err(wording::syntax());
            }
            let wanted = |name: &str| command.iter().skip(2).any(|pattern| glob(pattern, name.as_bytes()));
            let all = parameters(around).into_iter().filter(|(name, _)| wanted(name));
            Ok(Reply::Map(all.map(|(name, value)| (Reply::text(name), Reply::Text(value.into()))).collect()))
        }
        b"set" | b"rewrite" => Err(wording::unsupported(
            &format!("CONFIG {}", String::from_utf8_lossy(subcommand).to_ascii_uppercase()),
            "the gateway is configured by its configuration file, the ledger by its genesis",
        )),
        b"resetstat" => Err(wording::unsupported("CONFIG RESETSTAT", "the counters only grow")),
        _ => Err(wording::unknown_subcommand("config", subcommand)),
    }
}

/// What clients ask for, in the terms of Redis. The ledger is always durable, so `appendonly` is yes.
fn parameters(around: &Surroundings) -> Vec<(&'static str, String)> {
    let parameters = around.facts.parameters();
    vec![
        ("appendfsync", "always".into()),
        ("appendonly", "yes".into()),
        ("databases", "1".into()),
        ("maxclients", around.options.most_clients.to_string()),
        ("maxmemory", parameters.max_state_bytes.to_string()),
        ("maxmemory-policy", "noeviction".into()),
        ("port", around.options.address.port().to_string()),
        ("proto-max-bulk-len", parameters.max_value_bytes.to_string()),
        ("save", String::new()),
        ("timeout", around.options.idle_timeout.map_or(0, |idle| idle.as_secs()).to_string()),
    ]
}

/// Whether `name` matches a pattern with `*` and `?`. Linear in the product of their lengths, and without recursion.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where to go on if what follows the last star does not match: one byte later.
    let mut retry = None;
    while let Some(byte) = name.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, seen));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted.eq_ignore_ascii_case(byte) => {
                at += 1;
                seen += 1;
            }
            Some(_) | None => match retry.as_mut() {
                Some((after, from)) => {
                    *from += 1;
                    (at, seen) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// `INFO [section …]`
pub(super) fn ask_info(command: &Command<'_>, _: &Facts) -> Result<Question, Reply> {
    if command.len() > MOST_PATTERNS {
        return Err(wording::syntax());
    }
    let sections = command.iter().skip(1).map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
    Ok(Question::Info(sections.collect()))
}

/// The reply to `INFO`. `status` is none if nobody could say how the group is doing.
pub(crate) fn info(sections: &[String], around: &Surroundings, status: Option<&GroupStatus>) -> Reply {
    let all =
        sections.is_empty() || sections.iter().any(|one| matches!(one.as_str(), "all" | "default" | "everything"));
    let mut text = String::new();
    for (name, lines) in all_sections(around, status) {
        if !all && !sections.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str(&format!("# {name}\r\n"));
        for (field, value) in lines {
            text.push_str(&format!("{field}:{value}\r\n"));
        }
    }
    Reply::Verbatim(text)
}

type Lines = Vec<(&'static str, String)>;

fn all_sections(around: &Surroundings, status: Option<&GroupStatus>) -> [(&'static str, Lines); 7] {
    [
        ("Server", server_lines(around)),
        ("Clients", client_lines(around)),
        ("Memory", memory_lines(around)),
        // `loading:0` is what ioredis waits for before it sends anything.
        ("Persistence", vec![("loading", "0".into()), ("aof_enabled", "1".into())]),
        ("Stats", stats_lines(around)),
        ("Replication", vec![("role", "master".into()), ("connected_slaves", "0".into())]),
        ("Bezant", bezant_lines(around, status)),
    ]
}

fn server_lines(around: &Surroundings) -> Lines {
    vec![
        // Client libraries choose their commands by it.
        ("redis_version", "7.0.0".into()),
        ("redis_mode", "standalone".into()),
        ("bezant_version", env!("CARGO_PKG_VERSION").into()),
        ("process_id", std::process::id().to_string()),
        ("tcp_port", around.options.address.port().to_string()),
        ("uptime_in_seconds", around.started.elapsed().as_secs().to_string()),
    ]
}

fn client_lines(around: &Surroundings) -> Lines {
    vec![
        ("connected_clients", around.clients.len().to_string()),
        ("maxclients", around.options.most_clients.to_string()),
        ("blocked_clients", "0".into()),
    ]
}

fn memory_lines(around: &Surroundings) -> Lines {
    vec![
        ("connection_bytes", around.budget.used().to_string()),
        ("connection_bytes_limit", around.budget.limit().to_string()),
        ("maxmemory", around.facts.parameters().max_state_bytes.to_string()),
        ("maxmemory_policy", "noeviction".into()),
    ]
}

fn stats_lines(around: &Surroundings) -> Lines {
    let counters = &around.counters;
    let counted = [
        ("total_connections_received", &counters.connections),
        ("rejected_connections", &counters.rejected_connections),
        ("total_commands_processed", &counters.commands),
        ("total_net_input_bytes", &counters.bytes_in),
        ("total_net_output_bytes", &counters.bytes_out),
        ("ordered_commands", &counters.ordered_commands),
        ("bundles", &counters.bundles),
        ("bundles_in_flight", &counters.bundles_in_flight),
        ("failed_bundles", &counters.failed_bundles),
        ("unsent_commands", &counters.unsent_commands),
    ];
    counted.into_iter().map(|(name, counter)| (name, read(counter).to_string())).collect()
}

fn bezant_lines(around: &Surroundings, status: Option<&GroupStatus>) -> Lines {
    let facts = &around.facts;
    let mut lines = vec![
        ("network", facts.network().to_owned()),
        ("genesis", facts.genesis().to_string()),
        ("client", facts.client().to_owned()),
        ("account", facts.account().to_string()),
        ("replicas", facts.replicas().to_string()),
    ];
    let Some(status) = status else { return lines };
    let connected = status.connected.iter().map(ToString::to_string).collect::<Vec<_>>();
    lines.push(("replicas_connected", connected.len().to_string()));
    lines.push(("replicas_connected_ids", connected.join(",")));
    lines.extend(status.view.map(|view| ("view", view.to_string())));
    lines.extend(status.executed.map(|sequence| ("executed", sequence.to_string())));
    if let Some(stable) = &status.stable {
        lines.push(("stable_checkpoint", stable.sequence.to_string()));
        lines.push(("stable_root", stable.root.to_string()));
    }
    lines
}

/// More than any parameter's name has.
const LONGEST_PATTERN: usize = 256;
/// More patterns or sections than anybody asks for at once.
const MOST_PATTERNS: usize = 64;

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name) in
            [("*", ""), ("*", "save"), ("s?ve", "save"), ("*max*-*", "proto-max-bulk-len"), ("SAVE", "save")]
        {
            assert!(glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("s?", "save"), ("*x", "save"), ("save?", "save"), ("a*b*c", "aXbX")] {
            assert!(!glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "*a".repeat(120) + "b";
        assert!(!glob(pattern.as_bytes(), &[b'a'; 400]));
    }
}
