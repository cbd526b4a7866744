//! Numbers as people write them: `4194304` or `"4 MiB"`, `2000` or `"2 s"`.

use std::fmt;
use std::time::Duration;

use bezant_types::{AccountId, Amount};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A number without a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count(pub(super) u64);

/// A size: bytes as a number, or a text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// A time: milliseconds as a number, or a text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Millis(pub(super) u64);

/// Units by falling size, each with how many of the smallest it is.
const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

/// As it is written to a file: the largest unit that needs no fraction.
fn write(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fitting = units.iter().find(|(_, unit)| number != 0 && number.is_multiple_of(*unit));
    match fitting.or(units.last()) {
        Some((name, unit)) => write!(f, "\"{} {name}\"", number / unit),
        None => write!(f, "{number}"),
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZES)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &TIMES)
    }
}

/// Reads a number that may carry one of `units`.
struct Quantity {
    expecting: &'static str,
    units: &'static [(&'static str, u64)],
}

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = self.units.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor);
        let number = number.parse::<u64>().ok();
        number
            .zip(factor)
            .and_then(|(number, factor)| number.checked_mul(factor))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Quantity { expecting: "a whole number", units: &[] }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a number of bytes, or a text like \"4 MiB\" (B, KiB, MiB, GiB, TiB)";
        deserializer.deserialize_any(Quantity { expecting, units: &SIZES }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a number of milliseconds, or a text like \"250 ms\" (ms, s, min, h)";
        deserializer.deserialize_any(Quantity { expecting, units: &TIMES }).map(Self)
    }
}

/// A public key in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublicKey(pub(super) AccountId);

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|error| D::Error::custom(format!("this is not a public key: {error}")))
    }
}

/// An amount of money: a number, or a text for what is more than a TOML integer holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Money(pub(super) Amount);

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a whole amount of at most 18446744073709551615";
        let units = &[("", 1)];
        deserializer.deserialize_any(Quantity { expecting, units }).map(|units| Self(Amount::new(units)))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = self.0.units();
        if i64::try_from(units).is_ok() { write!(f, "{units}") } else { write!(f, "\"{units}\"") }
    }
}

/// A type of a field that a number from a file may fit.
pub(super) trait Field: Sized {
    /// The value, unless the number is too large.
    fn from_number(number: u64) -> Option<Self>;
    /// The number.
    fn to_number(&self) -> u64;
}

impl Field for u64 {
    fn from_number(number: u64) -> Option<Self> {
        Some(number)
    }

    fn to_number(&self) -> u64 {
        *self
    }
}

impl Field for u32 {
    fn from_number(number: u64) -> Option<Self> {
        Self::try_from(number).ok()
    }

    fn to_number(&self) -> u64 {
        (*self).into()
    }
}

impl Field for usize {
    fn from_number(number: u64) -> Option<Self> {
        Self::try_from(number).ok()
    }

    fn to_number(&self) -> u64 {
        *self as u64
    }
}

impl Field for Duration {
    fn from_number(number: u64) -> Option<Self> {
        Some(Self::from_millis(number))
    }

    fn to_number(&self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sample {
        size: Option<Bytes>,
        time: Option<Millis>,
        count: Option<Count>,
        money: Option<Money>,
    }

    fn read(text: &str) -> Result<Sample, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn numbers_and_texts_with_units_are_read() {
        let sizes = [("7", 7), ("\"7\"", 0), ("\"7 B\"", 7), ("\"4 MiB\"", 4 << 20), ("\"4MiB\"", 4 << 20)];
        for (text, bytes) in sizes {
            let found = read(&format!("size = {text}"));
            match bytes {
                0 => assert!(found.is_err(), "a text without a unit is ambiguous"),
                bytes => assert_eq!(found.unwrap().size, Some(Bytes(bytes)), "{text}"),
            }
        }
        assert_eq!(read("time = \"2 s\"").unwrap().time, Some(Millis(2000)));
        assert_eq!(read("time = \"1 min\"").unwrap().time, Some(Millis(60_000)));
        assert_eq!(read("count = 8").unwrap().count, Some(Count(8)));
        assert_eq!(read("money = \"18446744073709551615\"").unwrap().money.unwrap().0, Amount::new(u64::MAX));
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_an_example() {
        let cases = [
            ("size = \"4 MB\"", "like \"4 MiB\""),
            ("size = \"many\"", "like \"4 MiB\""),
            ("size = -1", "like \"4 MiB\""),
            ("size = 1.5", "like \"4 MiB\""),
            ("size = \"18446744073709551615 KiB\"", "like \"4 MiB\""),
            ("time = \"2 sec\"", "like \"250 ms\""),
            ("count = \"8\"", "a whole number"),
            ("money = -1", "a whole amount"),
            ("money = \"1 coin\"", "a whole amount"),
        ];
        for (text, words) in cases {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for number in [0, 1, 1000, 1023, 1024, 1 << 20, 3 << 30, 60_000, 90_000, 3_600_000, u64::MAX] {
            let text =
                format!("size = {}\ntime = {}\nmoney = {}", Bytes(number), Millis(number), Money(Amount::new(number)));
            let sample = read(&text).unwrap();
            assert_eq!((sample.size, sample.time), (Some(Bytes(number)), Some(Millis(number))), "{text}");
            assert_eq!(sample.money.unwrap().0.units(), number);
        }
        assert_eq!(Bytes(4 << 20).to_string(), "\"4 MiB\"");
        assert_eq!(Millis(2500).to_string(), "\"2500 ms\"");
    }
}
