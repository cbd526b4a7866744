//! A client that sends what it is told, byte by byte if need be, and shows replies as text.

// Each test program uses its part of this.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::net::SocketAddr;

use bezant_node::resp::encode_command;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Client {
    pub stream: TcpStream,
    input: BytesMut,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), input: BytesMut::new() }
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends commands, words parted by blanks, in one write.
    pub async fn send(&mut self, lines: &[&str]) {
        let mut out = BytesMut::new();
        for line in lines {
            encode_command(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>(), &mut out);
        }
        self.write(&out).await;
    }

    /// Sends one command and reads its reply.
    pub async fn ask(&mut self, line: &str) -> String {
        self.send(&[line]).await;
        self.reply().await
    }

    /// Sends commands at once and reads their replies.
    pub async fn pipeline(&mut self, lines: &[&str]) -> Vec<String> {
        self.send(lines).await;
        let mut replies = Vec::new();
        for _ in lines {
            replies.push(self.reply().await);
        }
        replies
    }

    /// The next reply: strings in quotes, lists in brackets, maps in braces, null as `nil`, the rest as it is written.
    pub async fn reply(&mut self) -> String {
        self.try_reply().await.expect("the connection goes on")
    }

    /// The next reply, or none if the connection is closed.
    pub async fn try_reply(&mut self) -> Option<String> {
        loop {
            if let Some((text, used)) = show(&self.input) {
                self.input.advance(used);
                return Some(text);
            }
            if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

/// The first reply of `input` and its length, once it is whole.
fn show(input: &[u8]) -> Option<(String, usize)> {
    let end = input.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(&input[1..end]).unwrap();
    let mut at = end + 2;
    let mut items = |count: usize| {
        let mut texts = Vec::new();
        for _ in 0..count {
            let (text, used) = show(&input[at..])?;
            at += used;
            texts.push(text);
        }
        Some(texts)
    };
    let text = match input[0] {
        b'$' | b'=' if line == "-1" => "nil".into(),
        b'$' | b'=' => {
            let length: usize = line.parse().unwrap();
            let bytes = input.get(at..at + length)?;
            input.get(at + length..at + length + 2)?;
            at += length + 2;
            format!("\"{}\"", bytes.escape_ascii())
        }
        b'*' if line == "-1" => "nil".into(),
        b'_' => "nil".into(),
        b'*' | b'~' => format!("[{}]", items(line.parse().unwrap())?.join(", ")),
        b'%' => {
            let flat = items(2 * line.parse::<usize>().unwrap())?;
            let pairs: Vec<_> = flat.chunks(2).map(|pair| pair.join(": ")).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        kind => format!("{}{line}", char::from(kind)),
    };
    Some((text, at))
}
