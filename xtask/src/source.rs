//! Rust text, as far as tidy needs to understand it: what is code, what is a comment, what is a string, what is a test.
//!
//! This is no parser. It knows comments (nested ones too), strings (raw ones too), character literals as opposed to
//! lifetimes, and how far the braces of an item reach. That is enough to ask whether a word is code.

use std::collections::BTreeSet;

/// One file of Rust, taken apart.
#[derive(Debug)]
pub(crate) struct Source {
    /// The text with everything that is not code blanked out. Lines and columns are kept.
    pub(crate) code: String,
    /// The text with everything that is not a comment blanked out.
    pub(crate) comments: String,
    /// The text of string literals, the rest blanked out.
    pub(crate) strings: String,
    /// For each line whether it belongs to an item under `#[cfg(test)]`.
    test_lines: Vec<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Text,
}

impl Source {
    pub(crate) fn new(text: &str) -> Self {
        let kinds = classify(text);
        let only = |kind| -> String {
            let keep = |(index, one): (usize, char)| if kinds[index] == kind || one == '\n' { one } else { ' ' };
            text.chars().enumerate().map(keep).collect()
        };
        let code = only(Kind::Code);
        let test_lines = test_lines(&code);
        Self { code, comments: only(Kind::Comment), strings: only(Kind::Text), test_lines }
    }

    /// Whether a line (from 1) belongs to an item under `#[cfg(test)]`.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        line.checked_sub(1).and_then(|index| self.test_lines.get(index)).copied().unwrap_or(false)
    }
}

/// What each character is. A quotation mark belongs to the code, what is between two to the text.
fn classify(text: &str) -> Vec<Kind> {
    let chars: Vec<char> = text.chars().collect();
    let mut kinds = vec![Kind::Code; chars.len()];
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut here = 0;
    while here < chars.len() {
        let end = match (at(here), at(here + 1)) {
            ('/', '/') => fill(&mut kinds, here, line_end(&chars, here), Kind::Comment),
            ('/', '*') => fill(&mut kinds, here, block_comment_end(&chars, here), Kind::Comment),
            ('"', _) => fill(&mut kinds, here + 1, string_end(&chars, here + 1), Kind::Text) + 1,
            ('r', '"' | '#') if !is_word(here.checked_sub(1).map_or(' ', at)) || at(here - 1) == 'b' => {
                let hashes = (here + 1..).take_while(|index| at(*index) == '#').count();
                let open = here + 1 + hashes;
                if at(open) != '"' {
                    here += 1; // A raw identifier.
                    continue;
                }
                let close: String = core::iter::once('"').chain((0..hashes).map(|_| '#')).collect();
                let end = find(&chars, open + 1, &close).unwrap_or(chars.len());
                fill(&mut kinds, open + 1, end, Kind::Text) + close.len()
            }
            ('\'', '\\') => {
                let end = (here + 3..chars.len()).find(|index| at(*index) == '\'').unwrap_or(chars.len());
                fill(&mut kinds, here + 1, end, Kind::Text) + 1
            }
            ('\'', _) if at(here + 2) == '\'' => fill(&mut kinds, here + 1, here + 2, Kind::Text) + 1,
            _ => here + 1, // Code, or a lifetime.
        };
        here = end;
    }
    kinds
}

fn fill(kinds: &mut [Kind], from: usize, to: usize, kind: Kind) -> usize {
    let to = to.min(kinds.len());
    if from < to {
        kinds[from..to].fill(kind);
    }
    to
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|index| chars[*index] == '\n').unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut here) = (0usize, from);
    while here + 1 < chars.len() {
        match (chars[here], chars[here + 1]) {
            ('/', '*') => (depth, here) = (depth + 1, here + 2),
            ('*', '/') if depth == 1 => return here + 2,
            ('*', '/') => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut here = from;
    while here < chars.len() {
        match chars[here] {
            '\\' => here += 2,
            '"' => return here,
            _ => here += 1,
        }
    }
    chars.len()
}

fn find(chars: &[char], from: usize, wanted: &str) -> Option<usize> {
    let wanted: Vec<char> = wanted.chars().collect();
    (from..chars.len()).find(|start| chars[*start..].starts_with(&wanted))
}

fn is_word(one: char) -> bool {
    one.is_alphanumeric() || one == '_'
}

/// Marks the lines of every item that stands under `#[cfg(test)]`, or under `#[cfg(all(test, …))]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut marks = vec![false; code.lines().count()];
    let starts = code.match_indices("#[cfg(").filter(|(at, _)| {
        let inner = code[*at..].split(']').next().unwrap_or("");
        words(inner).any(|(_, word)| word == "test") && !words(inner).any(|(_, word)| word == "not")
    });
    for (start, _) in starts {
        let end = start + item_length(&code[start..]);
        let (first, last) = (line_of(code, start), line_of(code, end));
        marks.iter_mut().take(last).skip(first - 1).for_each(|mark| *mark = true);
    }
    marks
}

/// How far an item reaches: to the semicolon or to the closing brace, whichever ends it.
fn item_length(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, one) in code.char_indices() {
        match one {
            '{' => depth += 1,
            '}' if depth <= 1 => return at,
            '}' => depth -= 1,
            ';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

/// The line, from 1, on which a byte lies.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Every word of a text (identifiers and numbers), with its place.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + text[rest..].find(is_word)?;
        let length = text[start..].find(|one| !is_word(one)).unwrap_or(text.len() - start);
        rest = start + length;
        Some((start, &text[start..rest]))
    })
}

/// The modules that a file declares for tests only: `#[cfg(test)] mod name;`.
pub(crate) fn test_modules(source: &Source) -> BTreeSet<String> {
    let declared = source.code.lines().enumerate().filter(|(index, _)| source.is_test(index + 1));
    declared
        .filter_map(|(_, line)| {
            line.trim().strip_suffix(';')?.rsplit_once("mod ").map(|(_, name)| name.trim().to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code() {
        let source = Source::new("let a = \"unsafe\"; // unsafe\n/* unsafe /* nested */ unsafe */ let b = 1;");
        assert!(!source.code.contains("unsafe"), "{}", source.code);
        assert!(source.code.contains("let b = 1;"));
        assert!(source.comments.contains("nested"));
        assert!(source.strings.contains("unsafe"));
        assert_eq!(source.code.lines().count(), 2);
    }

    #[test]
    fn raw_strings_end_where_their_hashes_say() {
        let source =
            Source::new("let a = r#\"say \"unsafe\" // no comment\"#; let b = br\"x\"; let r = 1; let r#type = 2;");
        assert!(!source.code.contains("unsafe") && source.comments.trim().is_empty());
        assert!(source.code.contains("let r = 1; let r#type = 2;"), "{}", source.code);
    }

    #[test]
    fn a_quotation_mark_in_a_character_opens_no_string_and_a_lifetime_no_character() {
        let source = Source::new("fn f<'a>(c: &'a str) { let q = '\"'; let e = '\\''; g(); } // end");
        assert!(source.code.contains("fn f<'a>(c: &'a str)"));
        assert!(source.code.contains("g(); }"), "{}", source.code);
        assert_eq!(source.comments.trim(), "// end");
    }

    #[test]
    fn test_items_are_found_by_their_braces() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { c() }\n}\nfn d() {}\n#[cfg(not(test))]\nfn e() {}\n";
        let source = Source::new(text);
        let marked: Vec<_> = (1..=8).filter(|line| source.is_test(*line)).collect();
        assert_eq!(marked, [2, 3, 4, 5]);
    }

    #[test]
    fn modules_for_tests_only_are_known_by_name() {
        let source = Source::new("#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod world;\nmod real;\n");
        assert_eq!(test_modules(&source).into_iter().collect::<Vec<_>>(), ["tests", "world"]);
    }

    #[test]
    fn words_come_with_their_places() {
        assert_eq!(words("a_1 = b2;").collect::<Vec<_>>(), [(0, "a_1"), (6, "b2")]);
    }
}
