//! Claims about the codec, with a decoder of replies that is written only for them.

use bytes::{Buf, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { arguments: 64, argument_bytes: 256, command_bytes: 2048 };

/// What a parser said, in a form that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Command(Vec<Vec<u8>>),
    TooLarge(TooLarge),
    Error(ProtocolError),
}

/// Feeds `pieces` one after another, as a connection would, and checks that nothing is held on to.
fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Said> {
    let (mut parser, mut buffer, mut said) = (Parser::new(LIMITS), BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match parser.next(&buffer) {
                Ok(None) => break,
                Ok(Some(Parsed::Command(command))) => {
                    assert_eq!(command.name(), command.get(0).unwrap());
                    said.push(Said::Command(command.iter().map(<[u8]>::to_vec).collect()));
                }
                Ok(Some(Parsed::TooLarge(verdict))) => said.push(Said::TooLarge(verdict)),
                Err(error) => {
                    assert_eq!(parser.next(&buffer).unwrap_err(), error, "broken for good");
                    said.push(Said::Error(error));
                    return said;
                }
            }
        }
        buffer.advance(parser.release());
        assert!(parser.wanted() > buffer.len(), "wants {} and has {}", parser.wanted(), buffer.len());
        // 64 KiB are an inline command's; everything else is bounded by the limits.
        assert!(parser.wanted() <= (64 << 10) + 2);
    }
    said
}

fn whole(input: &[u8]) -> Vec<Said> {
    parse([input])
}

fn command(words: &[&str]) -> Said {
    Said::Command(words.iter().map(|word| word.as_bytes().to_vec()).collect())
}

#[test]
fn multibulk_and_inline_commands_follow_one_another() {
    let input = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n*1\r\n$4\r\nPING\r\nSET k \"a b\"\n";
    let expected = [command(&["GET", "a"]), command(&["PING"]), command(&["PING"]), command(&["SET", "k", "a b"])];
    assert_eq!(whole(input), expected);
}

#[test]
fn empty_commands_are_no_commands() {
    assert_eq!(whole(b"*0\r\n\r\n*-1\r\n  \r\nPING\r\n"), [command(&["PING"])]);
    assert_eq!(whole(b"*1\r\n$0\r\n\r\n"), [command(&[""])]);
}

#[test]
fn what_cannot_be_resynchronised_is_refused_in_the_words_of_redis() {
    let refusals: [(&[u8], &str); 14] = [
        (b"*x\r\n", "Protocol error: invalid multibulk length"),
        (b"*1048577\r\n", "Protocol error: invalid multibulk length"),
        (b"*9999999999999999999999\r\n", "Protocol error: invalid multibulk length"),
        (b"*1\rx", "Protocol error: invalid multibulk length"),
        (b"*1\r\nPING\r\n", "Protocol error: expected '$', got 'P'"),
        (b"*1\r\n*1\r\n", "Protocol error: expected '$', got '*'"),
        (b"*1\r\n\x00", "Protocol error: expected '$', got '\\u{0}'"),
        (b"*1\r\n$x\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$+4\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$4\r\nPINGxx", "Protocol error: expected CRLF after a bulk string"),
        (b"SET \"a\r\n", "Protocol error: unbalanced quotes in request"),
        (&[b'a'; (64 << 10) + 1], "Protocol error: too big inline request"),
    ];
    for (input, words) in refusals {
        let said = whole(input);
        let [Said::Error(error)] = said.as_slice() else { panic!("{}: {said:?}", input.escape_ascii()) };
        assert_eq!(error.to_string(), words);
    }
}

#[test]
fn nesting_costs_an_error_and_not_the_stack() {
    assert_eq!(whole(&b"*1\r\n".repeat(100_000)), [Said::Error(ProtocolError::ExpectedBulk(b'*'))]);
}

#[test]
fn a_command_over_a_limit_is_skipped_and_the_next_one_is_understood() {
    let mut long = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$257\r\n".to_vec();
    long.extend([b'x'; 257]);
    long.extend(b"\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(whole(&long), [Said::TooLarge(TooLarge::Argument { found: 257, limit: 256 }), command(&["PING"])]);

    let mut many = b"*65\r\n".to_vec();
    many.extend(b"$1\r\na\r\n".repeat(65));
    many.extend(b"PING\r\n");
    assert_eq!(whole(&many), [Said::TooLarge(TooLarge::Arguments { found: 65, limit: 64 }), command(&["PING"])]);

    let mut wide = b"*10\r\n".to_vec();
    for _ in 0..10 {
        wide.extend(b"$250\r\n");
        wide.extend([b'x'; 250]);
        wide.extend(b"\r\n");
    }
    wide.extend(b"PING\r\n");
    assert_eq!(whole(&wide), [Said::TooLarge(TooLarge::Command { limit: 2048 }), command(&["PING"])]);

    let line = "a ".repeat(65) + "\r\nPING\r\n";
    let verdict = Said::TooLarge(TooLarge::Arguments { found: 65, limit: 64 });
    assert_eq!(whole(line.as_bytes()), [verdict, command(&["PING"])]);
}

#[test]
fn a_skipped_command_holds_no_memory() {
    let mut parser = Parser::new(LIMITS);
    let mut buffer = BytesMut::from(&b"*2\r\n$3\r\nSET\r\n$500000000\r\n"[..]);
    for _ in 0..1000 {
        assert!(parser.next(&buffer).unwrap().is_none());
        buffer.advance(parser.release());
        assert!(buffer.is_empty());
        assert_eq!(parser.wanted(), 1);
        buffer.extend_from_slice(&[0; 4096]);
    }
}

#[test]
fn an_argument_says_how_much_it_takes_to_get_on() {
    let mut parser = Parser::new(LIMITS);
    let input = b"*2\r\n$3\r\nGET\r\n$100\r\nabc";
    assert!(parser.next(input).unwrap().is_none());
    assert_eq!(parser.release(), 0);
    assert_eq!(parser.wanted(), input.len() - 3 + 102);
}

#[test]
fn integers_have_one_spelling() {
    for good in [0, 1, -1, 9, 10, -10, i64::MAX, i64::MIN] {
        assert_eq!(parse_integer(good.to_string().as_bytes()), Some(good));
    }
    let spellings =
        ["", "-", "+1", "01", "-0", "-01", " 1", "1 ", "1x", "9223372036854775808", "-9223372036854775809", "1.0"];
    for bad in spellings {
        assert_eq!(parse_integer(bad.as_bytes()), None, "{bad:?}");
    }
}

fn encoded(reply: &Reply, protocol: Protocol) -> String {
    let mut out = BytesMut::new();
    reply.encode(protocol, &mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn resp3_types_degrade_as_redis_degrades_them() {
    let cases = [
        (Reply::OK, "+OK\r\n", "+OK\r\n"),
        (Reply::Error("ERR a\r\nb".into()), "-ERR a  b\r\n", "-ERR a  b\r\n"),
        (Reply::Integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
        (Reply::Unsigned(7), ":7\r\n", ":7\r\n"),
        (Reply::Unsigned(u64::MAX), "$20\r\n18446744073709551615\r\n", "(18446744073709551615\r\n"),
        (Reply::Bulk(b"a\r\n".to_vec()), "$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n"),
        (Reply::Null, "$-1\r\n", "_\r\n"),
        (Reply::Array(vec![Reply::Null, Reply::Integer(0)]), "*2\r\n$-1\r\n:0\r\n", "*2\r\n_\r\n:0\r\n"),
        (Reply::Map(vec![(Reply::text("a"), Reply::Integer(1))]), "*2\r\n$1\r\na\r\n:1\r\n", "%1\r\n$1\r\na\r\n:1\r\n"),
        (Reply::Set(vec![Reply::text("a")]), "*1\r\n$1\r\na\r\n", "~1\r\n$1\r\na\r\n"),
        (Reply::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
        (Reply::Double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
        (Reply::Double(f64::NAN), "$3\r\nnan\r\n", ",nan\r\n"),
        (Reply::Boolean(true), ":1\r\n", "#t\r\n"),
        (Reply::Boolean(false), ":0\r\n", "#f\r\n"),
        (Reply::Verbatim("hi".into()), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
    ];
    for (reply, resp2, resp3) in cases {
        assert_eq!(encoded(&reply, Protocol::Resp2), resp2);
        assert_eq!(encoded(&reply, Protocol::Resp3), resp3);
        assert!(reply.rough_size() + 8 >= resp3.len(), "{reply:?}");
    }
}

/// Reads one RESP3 reply, and what follows it.
fn decode(input: &[u8]) -> (Reply, &[u8]) {
    let end = input.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let (line, rest) = (std::str::from_utf8(&input[1..end]).unwrap(), &input[end + 2..]);
    let string = || {
        let length: usize = line.parse().unwrap();
        assert_eq!(&rest[length..length + 2], b"\r\n");
        (rest[..length].to_vec(), &rest[length + 2..])
    };
    let items = |count: usize| {
        let (mut items, mut rest) = (Vec::new(), rest);
        for _ in 0..count {
            let (item, tail) = decode(rest);
            items.push(item);
            rest = tail;
        }
        (items, rest)
    };
    match input[0] {
        b'+' => (Reply::Simple(line.to_owned().into()), rest),
        b'-' => (Reply::Error(line.into()), rest),
        b':' => (Reply::Integer(line.parse().unwrap()), rest),
        b'(' => (Reply::Unsigned(line.parse().unwrap()), rest),
        b',' => (Reply::Double(line.parse().unwrap()), rest),
        b'#' => (Reply::Boolean(line == "t"), rest),
        b'_' => (Reply::Null, rest),
        b'$' => {
            let (bytes, rest) = string();
            (Reply::Bulk(bytes), rest)
        }
        b'=' => {
            let (bytes, rest) = string();
            (Reply::Verbatim(String::from_utf8(bytes[4..].to_vec()).unwrap()), rest)
        }
        b'*' => {
            let (items, rest) = items(line.parse().unwrap());
            (Reply::Array(items), rest)
        }
        b'~' => {
            let (items, rest) = items(line.parse().unwrap());
            (Reply::Set(items), rest)
        }
        b'%' => {
            let (items, rest) = items(2 * line.parse::<usize>().unwrap());
            (Reply::Map(items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()), rest)
        }
        other => panic!("no reply starts with {}", char::from(other)),
    }
}

fn replies() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        "[ -~]{0,20}".prop_map(|text| Reply::Simple(text.into())),
        "[ -~]{0,20}".prop_map(Reply::Error),
        any::<i64>().prop_map(Reply::Integer),
        (i64::MAX as u64 + 1..).prop_map(Reply::Unsigned),
        vec(any::<u8>(), 0..40).prop_map(Reply::Bulk),
        Just(Reply::Null),
        (-1e300..1e300f64).prop_map(Reply::Double),
        any::<bool>().prop_map(Reply::Boolean),
        "\\PC{0,20}".prop_map(Reply::Verbatim),
    ];
    leaf.prop_recursive(3, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Reply::Array),
            vec(inner.clone(), 0..6).prop_map(Reply::Set),
            vec((inner.clone(), inner), 0..6).prop_map(Reply::Map),
        ]
    })
}

/// Commands of all kinds, small and too large, as bytes of a stream.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let arguments = vec(vec(any::<u8>(), 0..300), 1..80);
    let multibulk = arguments.prop_map(|arguments| {
        let mut out = BytesMut::new();
        encode_command(&arguments.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut out);
        out.to_vec()
    });
    let inline = "[a-zA-Z '\"\\\\]{0,40}\r?\n".prop_map(String::into_bytes);
    let noise = vec(any::<u8>(), 0..20);
    vec(prop_oneof![8 => multibulk, 4 => inline, 1 => noise], 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_same_commands(stream in streams(), cuts in vec(1..200usize, 0..40)) {
        let expected = whole(&stream);
        let mut pieces = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle().take(stream.len()) {
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        pieces.push(rest);
        prop_assert_eq!(&parse(pieces), &expected);
        prop_assert_eq!(&parse(stream.chunks(1)), &expected);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in vec(any::<u8>(), 0..2000)) {
        whole(&bytes);
        parse(bytes.chunks(7));
    }

    #[test]
    fn bytes_that_look_like_resp_do_not_make_the_parser_panic(text in "([*$+-]|[0-9]{1,12}|\r\n|\r|\n|[a-z\"']){0,60}") {
        whole(text.as_bytes());
        parse(text.as_bytes().chunks(1));
    }

    #[test]
    fn an_encoded_command_parses_to_its_arguments(arguments in vec(vec(any::<u8>(), 0..100), 1..15)) {
        let mut out = BytesMut::new();
        encode_command(&arguments.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut out);
        prop_assert_eq!(whole(&out), [Said::Command(arguments)]);
    }

    #[test]
    fn an_encoded_reply_decodes_to_itself(reply in replies()) {
        let mut out = BytesMut::new();
        reply.encode(Protocol::Resp3, &mut out);
        let (decoded, rest) = decode(&out);
        prop_assert_eq!(decoded, reply);
        prop_assert!(rest.is_empty());
    }
}
