//! Claims about what commands mean and how they are answered.

use std::net::SocketAddr;

use bezant_types::genesis::{ClientEntry, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::transaction::{Answer, Condition, Refusal, Refused};
use bezant_types::{AccountId, Digest, Genesis, ReplicaId, SecretKey, SequenceNumber};

use super::*;
use crate::gateway::Options;
use crate::gateway::queue::Failure;
use crate::gateway::seam::{CertifiedRoot, Finding, Proof, SubmitError};
use crate::resp::{Limits, Parsed, Parser, Protocol, encode_command};

fn account(seed: u8) -> AccountId {
    SecretKey::from_seed([seed; 32]).account()
}

pub(crate) fn surroundings(change: impl FnOnce(&mut Parameters)) -> Surroundings {
    let replicas =
        (0..4).map(|i| ReplicaEntry { key: account(i), address: format!("127.0.0.1:{}", 7401 + u16::from(i)) });
    let client = |name: &str, seed| ClientEntry { name: name.into(), key: account(seed), role: Role::Write };
    let clients = vec![client("gateway", 9), client("bob", 8)];
    let mut parameters = Parameters::standard();
    change(&mut parameters);
    let genesis = Genesis::new("test".into(), replicas.collect(), clients, Vec::new(), parameters).unwrap();
    let facts = Facts::new(&genesis, account(9)).unwrap();
    let options = Options::standard(SocketAddr::from(([127, 0, 0, 1], 7379)), &facts);
    Surroundings::new(facts, options)
}

/// A connection that only plans.
struct World {
    around: Surroundings,
    session: Session,
}

impl World {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Parameters)) -> Self {
        let around = surroundings(change);
        let id = around.clients.enter(SocketAddr::from(([127, 0, 0, 1], 50_000)));
        Self { around, session: Session::new(id) }
    }

    fn plan_bytes(&mut self, arguments: &[&[u8]]) -> Plan {
        let mut bytes = bytes::BytesMut::new();
        encode_command(arguments, &mut bytes);
        let limits = Limits { arguments: 1 << 20, argument_bytes: 1 << 28, command_bytes: 1 << 28 };
        let mut parser = Parser::new(limits);
        match parser.next(&bytes).unwrap().unwrap() {
            Parsed::Command(command) => plan(&command, &mut self.session, &self.around),
            Parsed::TooLarge(verdict) => panic!("{verdict}"),
        }
    }

    fn plan(&mut self, line: &str) -> Plan {
        self.plan_bytes(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    #[track_caller]
    fn order(&mut self, line: &str) -> Order {
        let plan = self.plan(line);
        let Plan::Order(order) = plan else { panic!("{line} is no order but {plan:?}") };
        order
    }

    #[track_caller]
    fn reply(&mut self, line: &str) -> Reply {
        let plan = self.plan(line);
        let Plan::Reply(reply) = plan else { panic!("{line} is answered later: {plan:?}") };
        reply
    }

    #[track_caller]
    fn error(&mut self, line: &str) -> String {
        let reply = self.reply(line);
        let Reply::Error(text) = reply else { panic!("{line} is no error but {reply:?}") };
        text
    }
}

fn key(name: &str) -> Vec<u8> {
    name.as_bytes().to_vec()
}

fn set(key: &str, value: &str, condition: Condition, answer: SetAnswer) -> Operation {
    Operation::Set { key: self::key(key), value: self::key(value), condition, answer }
}

#[test]
fn each_command_becomes_its_operations() {
    use Condition::{Always, IfAbsent, IfPresent};
    use SetAnswer::{Previous, Written};
    let bob = account(8);
    let cases: Vec<(&str, Vec<Operation>, Rule)> = vec![
        ("GET k", vec![Operation::Get { key: key("k") }], Rule::Value),
        ("gEtDeL k", vec![Operation::Take { key: key("k") }], Rule::Value),
        ("SET k v", vec![set("k", "v", Always, Written)], Rule::Set),
        ("SET k v NX", vec![set("k", "v", IfAbsent, Written)], Rule::Set),
        ("SET k v nx Get", vec![set("k", "v", IfAbsent, Previous)], Rule::Set),
        ("SET k v XX", vec![set("k", "v", IfPresent, Written)], Rule::Set),
        ("SET k v GET", vec![set("k", "v", Always, Previous)], Rule::Set),
        ("SETNX k v", vec![set("k", "v", IfAbsent, Written)], Rule::Written),
        ("GETSET k v", vec![set("k", "v", Always, Previous)], Rule::Set),
        ("MSET a 1 b 2", vec![set("a", "1", Always, Written), set("b", "2", Always, Written)], Rule::Ok),
        ("MGET a b", vec![Operation::Get { key: key("a") }, Operation::Get { key: key("b") }], Rule::Values),
        ("DEL a b", vec![Operation::Delete { key: key("a") }, Operation::Delete { key: key("b") }], Rule::Count),
        ("UNLINK a", vec![Operation::Delete { key: key("a") }], Rule::Count),
        ("EXISTS a a", vec![Operation::Exists { key: key("a") }, Operation::Exists { key: key("a") }], Rule::Count),
        ("TYPE k", vec![Operation::Exists { key: key("k") }], Rule::Type),
        ("STRLEN k", vec![Operation::Length { key: key("k") }], Rule::Integer),
        ("APPEND k v", vec![Operation::Append { key: key("k"), suffix: key("v") }], Rule::Integer),
        ("INCR k", vec![Operation::Add { key: key("k"), delta: 1 }], Rule::Integer),
        ("DECR k", vec![Operation::Add { key: key("k"), delta: -1 }], Rule::Integer),
        ("INCRBY k -7", vec![Operation::Add { key: key("k"), delta: -7 }], Rule::Integer),
        ("DECRBY k 7", vec![Operation::Add { key: key("k"), delta: -7 }], Rule::Integer),
        ("DBSIZE", vec![Operation::Size], Rule::Integer),
        ("TRANSFER bob 5", vec![Operation::Transfer { to: bob, amount: Amount::new(5) }], Rule::Ok),
        ("BALANCE", vec![Operation::Balance { account: account(9) }], Rule::Balance),
        ("BALANCE bob", vec![Operation::Balance { account: bob }], Rule::Balance),
        ("OWNER k", vec![Operation::Owner { key: key("k") }], Rule::Owner),
        ("GRANT k bob", vec![Operation::Grant { key: key("k"), to: bob }], Rule::Count),
        ("REVOKE k bob", vec![Operation::Revoke { key: key("k"), from: bob }], Rule::Count),
    ];
    let mut world = World::new();
    for (line, operations, rule) in cases {
        let order = world.order(line);
        assert_eq!((&order.transaction.operations, order.rule), (&operations, rule), "{line}");
        assert_eq!(order.size.operations, operations.len());
        assert_eq!(order.size.bytes, encoded_len(&order.transaction));
    }
    let digits = format!("BALANCE {bob}");
    assert_eq!(world.order(&digits), world.order("BALANCE bob"));
    assert_eq!(world.order("MGET a b c").size.values, 3);
    assert_eq!(world.order("SET k v GET").size.values, 1);
    assert_eq!(world.order("SET k v").size.values, 0);
}

#[test]
fn questions_wait_for_their_turn() {
    let mut world = World::new();
    assert_eq!(world.plan("PROVE k"), Plan::Ask(Question::Prove(Subject::Entry(key("k")))));
    assert_eq!(world.plan("PROVE balance bob"), Plan::Ask(Question::Prove(Subject::Balance(account(8)))));
    assert_eq!(world.plan("ROOT"), Plan::Ask(Question::Root));
    assert_eq!(world.plan("INFO Server"), Plan::Ask(Question::Info(vec!["server".into()])));
    assert_eq!(world.error("PROVE entry k"), "ERR syntax error");
}

#[test]
fn errors_are_worded_as_redis_words_them() {
    let cases = [
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("GET a b", "ERR wrong number of arguments for 'get' command"),
        ("MSET a 1 b", "ERR wrong number of arguments for 'mset' command"),
        ("PING a b", "ERR wrong number of arguments for 'ping' command"),
        ("CLIENT SETNAME", "ERR wrong number of arguments for 'client|setname' command"),
        ("CONFIG GET", "ERR wrong number of arguments for 'config|get' command"),
        ("CLIENT FOO", "ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
        ("foo", "ERR unknown command 'foo', with args beginning with: "),
        ("foo bar baz", "ERR unknown command 'foo', with args beginning with: 'bar' 'baz' "),
        ("SET k v NX XX", "ERR syntax error"),
        ("SET k v FOO", "ERR syntax error"),
        ("INCRBY k 1.5", "ERR value is not an integer or out of range"),
        ("INCRBY k 9223372036854775808", "ERR value is not an integer or out of range"),
        ("DECRBY k -9223372036854775808", "ERR decrement would overflow"),
        ("SELECT 1", "ERR DB index is out of range"),
        ("SELECT x", "ERR value is not an integer or out of range"),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        ("HELLO x", "ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 FOO", "ERR Syntax error in HELLO option 'FOO'"),
        ("HELLO 3 AUTH me pw", "WRONGPASS invalid username-password pair or user is disabled."),
        ("AUTH me pw", "WRONGPASS invalid username-password pair or user is disabled."),
        (
            "AUTH pw",
            "ERR AUTH <password> called without any password configured for the default user. \
             Are you sure your configuration is correct?",
        ),
    ];
    let mut world = World::new();
    for (line, words) in cases {
        assert_eq!(world.error(line), words, "{line}");
    }
    let long = "x".repeat(300);
    let unknown = world.error(&format!("foo {long} {long}"));
    assert_eq!(unknown, format!("ERR unknown command 'foo', with args beginning with: '{}' ", &long[..128]));
}

#[test]
fn our_own_errors_name_cause_and_remedy() {
    let cases = [
        ("SET k v EX 5", "ERR the option EX of SET is not supported: nothing expires here"),
        ("SET k v keepttl", "ERR the option KEEPTTL of SET is not supported: nothing expires here"),
        ("EXPIRE k 5", "ERR EXPIRE is not supported: nothing expires here"),
        ("HSET h f v", "ERR HSET is not supported: values are plain strings"),
        ("KEYS *", "ERR KEYS is not supported: entries cannot be listed"),
        ("CONFIG SET a b", "ERR CONFIG SET is not supported: "),
        ("CLIENT REPLY OFF", "ERR CLIENT REPLY is not supported: "),
        ("BALANCE carol", "ERR unknown account 'carol': give 64 hexadecimal digits, or the name of a client"),
        ("TRANSFER bob -5", "ERR value is not an integer or out of range"),
        ("TRANSFER bob 05", "ERR value is not an integer or out of range"),
        ("TRANSFER bob 18446744073709551616", "ERR value is not an integer or out of range"),
    ];
    let mut world = World::new();
    for (line, words) in cases {
        let found = world.error(line);
        assert!(found.starts_with(words), "{line}: {found}");
    }
    assert_eq!(
        world.order("TRANSFER bob 18446744073709551615").transaction.operations,
        [Operation::Transfer { to: account(8), amount: Amount::new(u64::MAX) }]
    );
}

#[test]
fn no_command_is_both_supported_and_not() {
    for spec in table::TABLE {
        assert!(unsupported::why(spec.name.as_bytes()).is_none(), "{}", spec.name);
        assert!(table::find(spec.name.to_ascii_uppercase().as_bytes()).is_some(), "{}", spec.name);
    }
    assert!(table::TABLE.is_sorted_by_key(|spec| spec.name));
    assert!(unsupported::why(b"no such command").is_none());
    assert!(table::find(&[b'x'; 1000]).is_none());
    assert!(table::find(b"").is_none());
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    let mut world = World::with(|parameters| {
        parameters.max_key_bytes = 8;
        parameters.max_value_bytes = 100;
        parameters.max_bundle_bytes = 1500;
        parameters.max_bundle_operations = 16;
    });
    assert_eq!(world.error("GET 123456789"), "TOOLARGE the key has 9 bytes, at most 8 are allowed");
    let long = "x".repeat(101);
    assert_eq!(world.error(&format!("SET k {long}")), "TOOLARGE the value has 101 bytes, at most 100 are allowed");
    assert_eq!(world.error(&format!("APPEND k {long}")), "TOOLARGE the value has 101 bytes, at most 100 are allowed");
    let many = "DEL".to_owned() + &" k".repeat(17);
    assert!(world.error(&many).starts_with("TOOLARGE the request has 17 operations, at most 16 are allowed"));
    let wide = "MSET".to_owned() + &format!(" k {}", "x".repeat(100)).repeat(14);
    assert!(world.error(&wide).starts_with("TOOLARGE the request has "), "{}", world.error(&wide));
    world.order(&format!("SET 12345678 {}", "x".repeat(100)));
    world.order(&("DEL".to_owned() + &" k".repeat(16)));
}

#[test]
fn receipts_become_replies() {
    let bob = account(8);
    let value = || Answer::Value(Some(b"v".to_vec()));
    let cases: Vec<(Rule, Vec<Answer>, Reply)> = vec![
        (Rule::Set, vec![Answer::Done], Reply::OK),
        (Rule::Set, vec![Answer::NotDone], Reply::Null),
        (Rule::Set, vec![value()], Reply::Bulk(b"v".to_vec())),
        (Rule::Set, vec![Answer::Value(None)], Reply::Null),
        (Rule::Written, vec![Answer::Done], Reply::Integer(1)),
        (Rule::Written, vec![Answer::NotDone], Reply::Integer(0)),
        (Rule::Value, vec![value()], Reply::Bulk(b"v".to_vec())),
        (Rule::Values, vec![value(), Answer::Value(None)], Reply::Array(vec![Reply::Bulk(b"v".to_vec()), Reply::Null])),
        (Rule::Ok, vec![Answer::Done, Answer::Done], Reply::OK),
        (Rule::Count, vec![Answer::Flag(true), Answer::Flag(false), Answer::Flag(true)], Reply::Integer(2)),
        (Rule::Type, vec![Answer::Flag(true)], Reply::Simple("string".into())),
        (Rule::Type, vec![Answer::Flag(false)], Reply::Simple("none".into())),
        (Rule::Integer, vec![Answer::Integer(-3)], Reply::Integer(-3)),
        (Rule::Balance, vec![Answer::Balance(Amount::new(u64::MAX))], Reply::Unsigned(u64::MAX)),
        (Rule::Owner, vec![Answer::Owner(Some(bob))], Reply::Text(bob.to_string().into())),
        (Rule::Owner, vec![Answer::Owner(None)], Reply::Null),
    ];
    for (rule, answers, reply) in cases {
        let operations = answers.len();
        assert_eq!(rule.reply(Ok(answers), operations), reply, "{rule:?}");
    }
    for (rule, answers) in
        [(Rule::Value, vec![Answer::Done]), (Rule::Ok, vec![]), (Rule::Integer, vec![Answer::Done; 2])]
    {
        assert!(matches!(rule.reply(Ok(answers), 1), Reply::Error(text) if text.contains("another shape")), "{rule:?}");
    }
}

#[test]
fn refusals_lead_with_a_code() {
    let owner = account(8);
    let cases = [
        (Refusal::ReadOnly, "NOPERM this client may only read"),
        (Refusal::NotYours { owner }, "NOPERM the entry belongs to "),
        (Refusal::NotOwner { owner }, "NOPERM only the owner, "),
        (Refusal::KeyTooLong { found: 2, limit: 1 }, "TOOLARGE "),
        (Refusal::ValueTooLong { found: 2, limit: 1 }, "TOOLARGE "),
        (Refusal::AnswerTooLarge { limit: 1 }, "TOOLARGE "),
        (Refusal::StateFull { limit: 1 }, "FULL "),
        (Refusal::Overdraft { balance: Amount::ZERO, needed: Amount::new(1) }, "OVERDRAFT the account holds 0, "),
        (Refusal::NotAnInteger, "ERR value is not an integer or out of range"),
        (Refusal::IntegerOverflow, "ERR increment or decrement would overflow"),
        (Refusal::NoSuchEntry, "ERR there is no such entry"),
        (Refusal::TooManyGrants { limit: 1 }, "ERR the entry already has 1 grants"),
        (Refusal::AmountOverflow, "ERR the amount would overflow a balance"),
        (Refusal::ReservedAccount, "ERR nobody can pay into the fee account"),
    ];
    for (reason, words) in cases {
        let Reply::Error(text) = Rule::Value.reply(Err(Refused { operation: 0, reason }), 1) else { panic!() };
        assert!(text.starts_with(words), "{text}");
    }
    let refused = Refused { operation: 1, reason: Refusal::NotYours { owner } };
    let Reply::Error(text) = Rule::Ok.reply(Err(refused), 3) else { panic!() };
    assert!(text.ends_with("(operation 2 of 3; nothing was done)"), "{text}");
}

#[test]
fn failures_lead_with_a_code_and_say_what_is_known() {
    let waited = std::time::Duration::from_secs(5);
    let text = |one: Failure| if let Reply::Error(text) = failure(&one) { text } else { panic!() };
    assert_eq!(
        text(Failure::Submit(SubmitError::NoQuorum { waited, replies: 1, needed: 2 })),
        "NOQUORUM no 2 replicas answered alike within 5 s, only 1 did: the command may or may not have been executed"
    );
    assert_eq!(
        text(Failure::NotSent { waited }),
        "NOQUORUM earlier commands were not answered for 5 s, so this one was not sent: it was not executed"
    );
    assert!(text(Failure::Silent { waited }).starts_with("NOQUORUM no answer within 5 s: the command may or may not"));
    assert!(text(Failure::Submit(SubmitError::Expired)).starts_with("EXPIRED "));
    assert!(text(Failure::Submit(SubmitError::NotKept)).starts_with("TOOLARGE "));
    assert!(text(Failure::Submit(SubmitError::Refused("because".into()))).starts_with("ERR because"));
}

#[test]
fn a_connection_has_a_name_and_a_protocol_and_reset_forgets_them() {
    let mut world = World::new();
    assert_eq!(world.reply("CLIENT GETNAME"), Reply::Null);
    assert_eq!(world.reply("CLIENT SETNAME me"), Reply::OK);
    assert_eq!(world.reply("CLIENT GETNAME"), Reply::Text("me".into()));
    let Reply::Map(fields) = world.reply("HELLO 3 AUTH default pw SETNAME you") else { panic!() };
    assert!(fields.contains(&(Reply::text("proto"), Reply::Integer(3))));
    assert_eq!(world.session.protocol, Protocol::Resp3);
    assert_eq!(world.reply("CLIENT GETNAME"), Reply::Text("you".into()));
    let Reply::Verbatim(list) = world.reply("CLIENT LIST") else { panic!() };
    assert_eq!(list, "id=1 addr=127.0.0.1:50000 name=you age=0 db=0\n");
    assert_eq!(world.reply("RESET"), Reply::Simple("RESET".into()));
    assert_eq!(world.session.protocol, Protocol::Resp2);
    assert_eq!(world.reply("CLIENT GETNAME"), Reply::Null);
    assert_eq!(world.reply("QUIT"), Reply::OK);
    assert_eq!(world.session.fate, Fate::Closing);
}

#[test]
fn nothing_is_executed_between_a_refused_multi_and_its_exec() {
    let mut world = World::new();
    assert!(world.error("MULTI").starts_with("ERR MULTI is not supported: every command is one atomic transaction"));
    assert!(world.error("SET k v").starts_with("ERR not executed: MULTI is not supported"));
    assert!(world.error("MULTI").starts_with("ERR not executed: "));
    assert_eq!(world.error("EXEC"), "EXECABORT Transaction discarded because of previous errors.");
    world.order("SET k v");
    assert!(world.error("EXEC").starts_with("ERR EXEC is not supported"));
    world.error("MULTI");
    assert_eq!(world.reply("DISCARD"), Reply::OK);
    world.order("SET k v");
    world.error("multi");
    world.reply("RESET");
    world.order("SET k v");
}

#[test]
fn a_hello_that_fails_changes_nothing() {
    let mut world = World::new();
    world.error("HELLO 3 SETNAME me AUTH me pw");
    assert_eq!(world.session.protocol, Protocol::Resp2);
    assert_eq!(world.reply("CLIENT GETNAME"), Reply::Null);
    let Plan::Reply(Reply::Error(text)) = world.plan_bytes(&[b"CLIENT", b"SETNAME", b"a b"]) else { panic!() };
    assert_eq!(text, "ERR Client names cannot contain spaces, newlines or special characters.");
}

#[test]
fn clients_find_what_they_ask_for_at_the_start() {
    let mut world = World::new();
    assert_eq!(world.reply("COMMAND COUNT"), Reply::Unsigned(table::TABLE.len() as u64));
    let Reply::Array(all) = world.reply("COMMAND") else { panic!() };
    assert_eq!(all.len(), table::TABLE.len());
    let Reply::Array(two) = world.reply("COMMAND INFO get nosuch") else { panic!() };
    assert!(matches!(&two[0], Reply::Array(fields) if fields.len() == 10 && fields[0] == Reply::text("get")));
    assert_eq!(two[1], Reply::Null);
    let Reply::Map(docs) = world.reply("COMMAND DOCS set") else { panic!() };
    assert_eq!(docs.len(), 1);
    let Reply::Map(config) = world.reply("CONFIG GET save append*") else { panic!() };
    assert_eq!(config.len(), 3);
    for line in ["CLIENT SETINFO LIB-NAME x", "CLIENT SETINFO lib-ver 1", "CLIENT NO-EVICT ON", "SELECT 0"] {
        assert_eq!(world.reply(line), Reply::OK, "{line}");
    }
    let Reply::Verbatim(text) = info(&[], &world.around, None) else { panic!() };
    assert!(text.contains("\r\nloading:0\r\n") && text.contains("redis_version:7.0.0"));
    let Reply::Verbatim(text) = info(&["clients".into()], &world.around, None) else { panic!() };
    assert!(text.starts_with("# Clients\r\nconnected_clients:1\r\n") && !text.contains("# Server"));
}

#[test]
fn a_proof_says_what_at_which_state_and_by_whom() {
    let checkpoint = CertifiedRoot {
        sequence: SequenceNumber::new(128),
        root: Digest::new([7; 32]),
        signers: vec![ReplicaId::new(0), ReplicaId::new(2)],
    };
    let finding = Finding::Entry { value: b"v".to_vec(), owner: account(8) };
    let Reply::Map(fields) = proof(Proof { finding, checkpoint, bytes: vec![0xab, 0xcd] }) else { panic!() };
    let names: Vec<_> = fields.iter().map(|(name, _)| name.clone()).collect();
    let expected = ["found", "value", "owner", "sequence", "root", "signed_by", "proof"].map(Reply::text);
    assert_eq!(names, expected);
    assert_eq!(fields.last().unwrap().1, Reply::Text("abcd".into()));
}
