//! Inline commands: a line of words, as somebody types it into a terminal.
//!
//! Words are parted by white space. A word in double quotes may hold `\n \r \t \b \a \xHH \\ \"`, one in single quotes
//! only `\'`; a closing quote ends the word and must be followed by white space (`sdssplitargs` of Redis).

/// A quote that is not closed, or closed in the middle of a word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnbalancedQuotes;

/// Appends the words of `line` to `words`, one after another, and the place of each to `places`.
pub(super) fn split(line: &[u8], words: &mut Vec<u8>, places: &mut Vec<(u32, u32)>) -> Result<(), UnbalancedQuotes> {
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let start = words.len();
        rest = word(rest, words)?;
        places.push((place(start), place(words.len())));
        rest = rest.trim_ascii_start();
    }
    Ok(())
}

/// Takes one word off the front and returns what follows it.
fn word<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        match rest {
            [] | [b' ' | b'\t' | b'\n' | b'\r', ..] => return Ok(rest),
            [b'"', tail @ ..] => return double_quoted(tail, words),
            [b'\'', tail @ ..] => return single_quoted(tail, words),
            [byte, tail @ ..] => {
                words.push(*byte);
                rest = tail;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        rest = match rest {
            [] => return Err(UnbalancedQuotes),
            [b'"', tail @ ..] => return end_of_word(tail),
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                words.push(nibble(*high) << 4 | nibble(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                words.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                words.push(*byte);
                tail
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        rest = match rest {
            [] => return Err(UnbalancedQuotes),
            [b'\\', b'\'', tail @ ..] => {
                words.push(b'\'');
                tail
            }
            [b'\'', tail @ ..] => return end_of_word(tail),
            [byte, tail @ ..] => {
                words.push(*byte);
                tail
            }
        }
    }
}

fn end_of_word(rest: &[u8]) -> Result<&[u8], UnbalancedQuotes> {
    match rest.first() {
        None => Ok(rest),
        Some(byte) if byte.is_ascii_whitespace() => Ok(rest),
        Some(_) => Err(UnbalancedQuotes),
    }
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

fn place(offset: usize) -> u32 {
    u32::try_from(offset).expect("a line has at most 64 KiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Vec<String>, UnbalancedQuotes> {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut bytes, &mut places)?;
        let text = |(from, to): &(u32, u32)| bytes[*from as usize..*to as usize].escape_ascii().to_string();
        Ok(places.iter().map(text).collect())
    }

    #[test]
    fn words_are_split_as_redis_splits_them() {
        assert_eq!(words("  SET  a\tb \r"), Ok(vec!["SET".into(), "a".into(), "b".into()]));
        assert_eq!(words(r#"SET "a b" '\'' "\x41\n\"" "" "#).unwrap(), ["SET", "a b", r"\'", r#"A\n\""#, ""]);
        assert_eq!(words(" \t "), Ok(vec![]));
        assert_eq!(words(r#""\xzz""#).unwrap(), ["xzz"]);
    }

    #[test]
    fn an_open_quote_and_a_quote_inside_a_word_are_refused() {
        for line in [r#"SET "a"#, "SET 'a", r#"SET "a"b"#, "SET 'a'b", r#"SET "a\"#] {
            assert_eq!(words(line), Err(UnbalancedQuotes), "{line}");
        }
    }

    #[test]
    fn every_byte_makes_progress() {
        for byte in 0..=u8::MAX {
            let (mut bytes, mut places) = (Vec::new(), Vec::new());
            let _ = split(&[b'a', byte, byte, b'b'], &mut bytes, &mut places);
            assert!(places.len() <= 3, "byte {byte}");
        }
    }
}
