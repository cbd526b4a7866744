//! Replies, and how each is written under either version of the protocol.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

/// Which version a connection speaks. It starts with 2 and changes with `HELLO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2: strings, errors, integers, arrays.
    Resp2,
    /// RESP3: also maps, sets, doubles, booleans, big numbers, verbatim text and one null.
    Resp3,
}

/// One reply. What RESP2 cannot say is said in the form that Redis uses for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+text`. Line breaks would end it early and are written as blanks.
    Simple(Cow<'static, str>),
    /// `-CODE text`. Line breaks are written as blanks.
    Error(String),
    /// `:number`.
    Integer(i64),
    /// An integer that may exceed 64 bits with a sign: then a big number, in RESP2 its digits as a string.
    Unsigned(u64),
    /// A string of bytes.
    Bulk(Vec<u8>),
    /// A string of bytes that is text of ours.
    Text(Cow<'static, str>),
    /// Nothing; in RESP2 the null string.
    Null,
    /// A list.
    Array(Vec<Reply>),
    /// Pairs; in RESP2 a flat list.
    Map(Vec<(Reply, Reply)>),
    /// A set; in RESP2 a list.
    Set(Vec<Reply>),
    /// A floating-point number; in RESP2 its digits as a string.
    Double(f64),
    /// True or false; in RESP2 1 or 0.
    Boolean(bool),
    /// Text that is meant for people as it is; in RESP2 a string.
    Verbatim(String),
}

impl Reply {
    /// `+OK`.
    pub const OK: Self = Self::Simple(Cow::Borrowed("OK"));

    /// A string of bytes that is a constant of ours.
    pub const fn text(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The value, or the null that stands for none.
    pub fn value(value: Option<Vec<u8>>) -> Self {
        value.map_or(Self::Null, Self::Bulk)
    }

    /// About how many bytes [`Self::encode`] writes.
    pub fn rough_size(&self) -> usize {
        match self {
            Self::Integer(_) | Self::Unsigned(_) | Self::Null | Self::Double(_) | Self::Boolean(_) => 16,
            Self::Simple(text) | Self::Text(text) => text.len() + 16,
            Self::Error(text) | Self::Verbatim(text) => text.len() + 16,
            Self::Bulk(bytes) => bytes.len() + 16,
            Self::Array(items) | Self::Set(items) => 16 + items.iter().map(Self::rough_size).sum::<usize>(),
            Self::Map(pairs) => 16 + pairs.iter().map(|(k, v)| k.rough_size() + v.rough_size()).sum::<usize>(),
        }
    }

    /// Appends the reply as `protocol` writes it. It recurses as deep as the reply is nested, which is ours to choose.
    pub fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        use Protocol::{Resp2, Resp3};
        match (self, protocol) {
            (Self::Simple(text), _) => line(b'+', text, out),
            (Self::Error(text), _) => line(b'-', text, out),
            (Self::Integer(number), _) => head(b':', *number, out),
            (Self::Unsigned(number), _) => match (i64::try_from(*number), protocol) {
                (Ok(number), _) => head(b':', number, out),
                (Err(_), Resp2) => bulk(number.to_string().as_bytes(), out),
                (Err(_), Resp3) => line(b'(', &number.to_string(), out),
            },
            (Self::Bulk(bytes), _) => bulk(bytes, out),
            (Self::Text(text), _) => bulk(text.as_bytes(), out),
            (Self::Null, Resp2) => out.put_slice(b"$-1\r\n"),
            (Self::Null, Resp3) => out.put_slice(b"_\r\n"),
            (Self::Array(items), _) | (Self::Set(items), Resp2) => list(b'*', items, protocol, out),
            (Self::Set(items), Resp3) => list(b'~', items, protocol, out),
            (Self::Map(pairs), _) => {
                match protocol {
                    Resp2 => length(b'*', pairs.len().saturating_mul(2), out),
                    Resp3 => length(b'%', pairs.len(), out),
                }
                for (key, value) in pairs {
                    key.encode(protocol, out);
                    value.encode(protocol, out);
                }
            }
            (Self::Double(number), Resp2) => bulk(double(*number).as_bytes(), out),
            (Self::Double(number), Resp3) => line(b',', &double(*number), out),
            (Self::Boolean(truth), Resp2) => head(b':', i64::from(*truth), out),
            (Self::Boolean(true), Resp3) => out.put_slice(b"#t\r\n"),
            (Self::Boolean(false), Resp3) => out.put_slice(b"#f\r\n"),
            (Self::Verbatim(text), Resp2) => bulk(text.as_bytes(), out),
            (Self::Verbatim(text), Resp3) => {
                length(b'=', text.len() + VERBATIM.len(), out);
                out.put_slice(VERBATIM);
                out.put_slice(text.as_bytes());
                out.put_slice(b"\r\n");
            }
        }
    }
}

/// The format that our verbatim texts have.
const VERBATIM: &[u8] = b"txt:";

fn list(kind: u8, items: &[Reply], protocol: Protocol, out: &mut BytesMut) {
    length(kind, items.len(), out);
    for item in items {
        item.encode(protocol, out);
    }
}

fn bulk(bytes: &[u8], out: &mut BytesMut) {
    out.reserve(bytes.len() + 24);
    length(b'$', bytes.len(), out);
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

fn line(kind: u8, text: &str, out: &mut BytesMut) {
    out.reserve(text.len() + 3);
    out.put_u8(kind);
    if text.bytes().any(|byte| byte == b'\r' || byte == b'\n') {
        out.extend(text.bytes().map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
    } else {
        out.put_slice(text.as_bytes());
    }
    out.put_slice(b"\r\n");
}

fn length(kind: u8, length: usize, out: &mut BytesMut) {
    // No length in memory exceeds a positive 64-bit number.
    head(kind, i64::try_from(length).unwrap_or(i64::MAX), out);
}

fn head(kind: u8, number: i64, out: &mut BytesMut) {
    let mut digits = [0; 24];
    let mut at = digits.len();
    let mut push = |byte| {
        at -= 1;
        digits[at] = byte;
    };
    push(b'\n');
    push(b'\r');
    let mut rest = number.unsigned_abs();
    loop {
        push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        push(b'-');
    }
    push(kind);
    out.put_slice(&digits[at..]);
}

fn double(number: f64) -> String {
    if number.is_nan() { "nan".into() } else { number.to_string() }
}
