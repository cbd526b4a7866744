//! A TOML file that is being read: every complaint about it names file and line.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::error::Error;

/// The text of a configuration file, and where it came from.
pub(super) struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    pub(super) fn new(path: &Path, text: String) -> Self {
        Self { path: path.to_owned(), text }
    }

    pub(super) fn read(path: &Path, if_missing: &'static str) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::new(path, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::Missing { path: path.to_owned(), remedy: if_missing })
            }
            Err(error) => Err(Error::disk(path, "reading", error)),
        }
    }

    /// The sections, as `T` declares them. Unknown fields are `T`'s to deny.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        toml::from_str(&self.text).map_err(|error: toml::de::Error| {
            let message = error.message().trim().replace('\n', ", ");
            let (what, remedy) = explain(&message);
            self.complain(error.span().unwrap_or(0..0), what, remedy)
        })
    }

    /// An error at the line where `span` begins.
    pub(super) fn complain(&self, span: Range<usize>, what: impl Into<String>, remedy: impl Into<String>) -> Error {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Error::Line { path: self.path.clone(), line, what: what.into(), remedy: remedy.into() }
    }
}

/// Splits a parser's message into what is wrong and what to do. The parser names an unknown field and those that exist
/// between backticks; the most similar one is probably what was meant.
fn explain(message: &str) -> (String, String) {
    let unknown = message.strip_prefix("unknown ").and_then(|rest| rest.split_once(", expected "));
    let Some((subject, expected)) = unknown else {
        let remedy = if message.starts_with("missing field") {
            "Add it"
        } else {
            "Mend this line; `init` writes an example of every file"
        };
        return (message.to_owned(), remedy.to_owned());
    };
    let what = format!("unknown {subject}");
    let meant = quoted(subject).next().unwrap_or_default();
    match quoted(expected).min_by_key(|candidate| distance(meant, candidate)) {
        Some(nearest) if distance(meant, nearest) <= 1 + meant.len() / 3 => {
            (what, format!("Did you mean `{nearest}`? There are: {}", list(expected)))
        }
        Some(_) => (what, format!("There are: {}", list(expected))),
        None => (what, "Remove it: nothing can be set here".to_owned()),
    }
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn list(text: &str) -> String {
    quoted(text).collect::<Vec<_>>().join(", ")
}

/// How many insertions, removals, replacements and swaps of neighbours lead from one word to the other (the restricted
/// Damerau-Levenshtein distance).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(rename = "window")]
        _window: u64,
        #[serde(default, rename = "pipeline")]
        _pipeline: u64,
        #[serde(default, rename = "role")]
        _role: Option<Role>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Role {
        Read,
        Write,
    }

    fn complaint(text: &str) -> String {
        Document::new(Path::new("some.toml"), text.into()).parse::<Sample>().unwrap_err().to_string()
    }

    #[test]
    fn every_mistake_is_named_with_file_line_and_remedy() {
        let cases = [
            ("window = 1\n\nwidnow = 2\n", "some.toml:3: unknown field `widnow`. Did you mean `window`?"),
            ("window = 1\npipelin = 2\n", "some.toml:2: unknown field `pipelin`. Did you mean `pipeline`?"),
            ("window = 1\nquorum = 2\n", "some.toml:2: unknown field `quorum`. There are: window, pipeline, role"),
            ("window = 1\nrole = \"wirte\"\n", "some.toml:2: unknown variant `wirte`. Did you mean `write`?"),
            ("pipeline = 1\n", "missing field `window`. Add it"),
            ("window = 1\npipeline = \n", "some.toml:2: "),
            ("window = 1\npipeline = \"many\"\n", "some.toml:2: invalid type: string \"many\", expected u64"),
            ("window = 1\nwindow = 2\n", "some.toml:2: duplicate key"),
            ("window = 1\n[[[", "some.toml:2: "),
        ];
        for (text, words) in cases {
            let found = complaint(text);
            assert!(found.contains(words), "{text:?} gives {found:?}, without {words:?}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_near() {
        assert_eq!(distance("window", "window"), 0);
        assert_eq!(distance("widnow", "window"), 1);
        assert_eq!(distance("windows", "window"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
