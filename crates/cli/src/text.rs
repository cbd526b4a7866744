//! Numbers as people read them.

use comfy_table::{Table, presets};

/// A size: `532 B`, `16.0 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, UNITS[0]);
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    format!("{value:.1} {unit}")
}

/// A length of time: `42 s`, `3 min 5 s`, `2 h 10 min`, `9 d 4 h`.
pub(crate) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        (_, _, _) => format!("{days} d {} h", hours % 24),
    }
}

/// A number with its thousands apart: `1,000,000`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An amount of money: `1,000 units`.
pub(crate) fn amount(units: u64) -> String {
    format!("{} {}", thousands(units), if units == 1 { "unit" } else { "units" })
}

/// `noun` in the right number: `1 block`, `2 blocks`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// The start of a digest or key, enough to compare by eye.
pub(crate) fn short(hex: &str) -> &str {
    hex.get(..12).unwrap_or(hex)
}

/// Names of replicas: `replica 1`, `replicas 1, 2 and 3`.
pub(crate) fn replicas(ids: &[u16]) -> String {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match names.split_last() {
        None => "no replica".into(),
        Some((only, [])) => format!("replica {only}"),
        Some((last, others)) => format!("replicas {} and {last}", others.join(", ")),
    }
}

/// A table without lines, as programs of this kind print them.
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            (size(0), size(1023), size(1024), size(16 << 20)),
            ("0 B".into(), "1023 B".into(), "1.0 KiB".into(), "16.0 MiB".into())
        );
        assert_eq!(size(u64::MAX), "16384.0 PiB");
        assert_eq!(
            (duration(59), duration(185), duration(7_800)),
            ("59 s".into(), "3 min 5 s".into(), "2 h 10 min".into())
        );
        assert_eq!(duration(9 * 86_400 + 4 * 3600), "9 d 4 h");
        assert_eq!(
            (thousands(0), thousands(999), thousands(1_000), thousands(12_345_678)),
            ("0".into(), "999".into(), "1,000".into(), "12,345,678".into())
        );
        assert_eq!((amount(1), amount(1_000)), ("1 unit".into(), "1,000 units".into()));
        assert_eq!(
            (replicas(&[]), replicas(&[1]), replicas(&[1, 2, 3])),
            ("no replica".into(), "replica 1".into(), "replicas 1, 2 and 3".into())
        );
    }
}
