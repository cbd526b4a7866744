//! Decimal integers as Redis reads them: one text for each number, and no other text.

use alloc::string::ToString;
use alloc::vec::Vec;

/// The number that `text` is the canonical decimal form of: no sign but a minus, no leading zero, no space, no `-0`.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    // The longest is i64::MIN with 20 characters. Longer values are not looked at.
    let text = core::str::from_utf8(text.get(..text.len().min(21))?).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// The canonical decimal form of `number`.
pub(crate) fn format(number: i64) -> Vec<u8> {
    number.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_the_one_text_that_it_is_written_as() {
        for number in [0, 1, -1, 10, i64::MIN, i64::MAX, -9_000_000_000_000_000_000] {
            assert_eq!(parse(&format(number)), Some(number));
        }
    }

    #[test]
    fn a_second_text_for_a_number_is_refused() {
        let wrong = [
            "",
            "-",
            "+1",
            "-0",
            "00",
            "01",
            "-01",
            " 1",
            "1 ",
            "1\n",
            "1.0",
            "1e3",
            "0x10",
            "a",
            "\u{661}",
            "9223372036854775808",
            "-9223372036854775809",
            "000000000000000000000000000001",
        ];
        for text in wrong {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(&[0xff]), None);
        assert_eq!(parse(&[b'1'; 1 << 20]), None);
    }
}
