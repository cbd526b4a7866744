//! Commands on entries, as Redis has them for strings.

use bezant_types::transaction::{Condition, Operation, SetAnswer};

use super::{Order, Rule, wording};
use crate::gateway::facts::Facts;
use crate::resp::{Command, Reply, parse_integer};

/// The argument at `index`, which the arity promised.
pub(super) fn argument<'a>(command: &Command<'a>, index: usize) -> Result<&'a [u8], Reply> {
    command.get(index).ok_or_else(wording::syntax)
}

fn key(command: &Command<'_>, facts: &Facts) -> Result<Vec<u8>, Reply> {
    facts.key(argument(command, 1)?)
}

pub(super) fn get(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    Ok(Order::single(Operation::Get { key: key(command, facts)? }, Rule::Value))
}

pub(super) fn getdel(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    Ok(Order::single(Operation::Take { key: key(command, facts)? }, Rule::Value))
}

pub(super) fn set(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    let (mut condition, mut answer) = (Condition::Always, SetAnswer::Written);
    for option in command.iter().skip(3) {
        let name = option.to_ascii_uppercase();
        match name.as_slice() {
            b"NX" if condition != Condition::IfPresent => condition = Condition::IfAbsent,
            b"XX" if condition != Condition::IfAbsent => condition = Condition::IfPresent,
            b"GET" => answer = SetAnswer::Previous,
            b"EX" | b"PX" | b"EXAT" | b"PXAT" | b"KEEPTTL" => {
                let name = String::from_utf8_lossy(&name);
                return Err(wording::unsupported(&format!("the option {name} of SET"), "nothing expires here"));
            }
            _ => return Err(wording::syntax()),
        }
    }
    let (key, value) = (key(command, facts)?, facts.value(argument(command, 2)?)?);
    Ok(Order::single(Operation::Set { key, value, condition, answer }, Rule::Set))
}

pub(super) fn setnx(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    let (key, value) = (key(command, facts)?, facts.value(argument(command, 2)?)?);
    let (condition, answer) = (Condition::IfAbsent, SetAnswer::Written);
    Ok(Order::single(Operation::Set { key, value, condition, answer }, Rule::Written))
}

pub(super) fn getset(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    let (key, value) = (key(command, facts)?, facts.value(argument(command, 2)?)?);
    let (condition, answer) = (Condition::Always, SetAnswer::Previous);
    Ok(Order::single(Operation::Set { key, value, condition, answer }, Rule::Set))
}

pub(super) fn mset(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    if command.len().is_multiple_of(2) {
        return Err(wording::wrong_arity("mset"));
    }
    let mut operations = Vec::with_capacity(command.len() / 2);
    let mut arguments = command.iter().skip(1);
    while let (Some(key), Some(value)) = (arguments.next(), arguments.next()) {
        let (key, value) = (facts.key(key)?, facts.value(value)?);
        let (condition, answer) = (Condition::Always, SetAnswer::Written);
        operations.push(Operation::Set { key, value, condition, answer });
    }
    Ok(Order::new(operations, Rule::Ok))
}

/// One operation for each key.
fn each(command: &Command<'_>, facts: &Facts, operation: fn(Vec<u8>) -> Operation, rule: Rule) -> Result<Order, Reply> {
    let operations = command.iter().skip(1).map(|key| facts.key(key).map(operation));
    Ok(Order::new(operations.collect::<Result<_, _>>()?, rule))
}

pub(super) fn mget(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    each(command, facts, |key| Operation::Get { key }, Rule::Values)
}

pub(super) fn del(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    each(command, facts, |key| Operation::Delete { key }, Rule::Count)
}

pub(super) fn exists(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    each(command, facts, |key| Operation::Exists { key }, Rule::Count)
}

pub(super) fn kind(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    Ok(Order::single(Operation::Exists { key: key(command, facts)? }, Rule::Type))
}

pub(super) fn strlen(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    Ok(Order::single(Operation::Length { key: key(command, facts)? }, Rule::Integer))
}

pub(super) fn append(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    let (key, suffix) = (key(command, facts)?, facts.value(argument(command, 2)?)?);
    Ok(Order::single(Operation::Append { key, suffix }, Rule::Integer))
}

pub(super) fn incr(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    Ok(Order::single(Operation::Add { key: key(command, facts)?, delta: 1 }, Rule::Integer))
}

pub(super) fn decr(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    Ok(Order::single(Operation::Add { key: key(command, facts)?, delta: -1 }, Rule::Integer))
}

pub(super) fn incrby(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    let delta = parse_integer(argument(command, 2)?).ok_or_else(wording::not_an_integer)?;
    Ok(Order::single(Operation::Add { key: key(command, facts)?, delta }, Rule::Integer))
}

pub(super) fn decrby(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    let amount = parse_integer(argument(command, 2)?).ok_or_else(wording::not_an_integer)?;
    let delta = amount.checked_neg().ok_or_else(|| Reply::Error("ERR decrement would overflow".into()))?;
    Ok(Order::single(Operation::Add { key: key(command, facts)?, delta }, Rule::Integer))
}

pub(super) fn dbsize(_: &Command<'_>, _: &Facts) -> Result<Order, Reply> {
    Ok(Order::single(Operation::Size, Rule::Integer))
}
