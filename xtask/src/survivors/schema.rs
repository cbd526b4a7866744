//! Many mutants in one text: each function chooses at run time which of its bodies it is.
//!
//! A function with the mutants 7 and 8 becomes
//!
//! ```text
//! fn f(a: u32) -> bool {
//!     match crate::mutation::chosen(3) {
//!         7 => { the body, mutated in one place }
//!         8 => { the body, mutated in another }
//!         _ => { the body }
//!     }
//! }
//! ```
//!
//! where 3 is the number of the function. Mutants outside of functions, in `const` functions and in functions that
//! return `impl Trait` (whose bodies would have different types) cannot be written so, and are left.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::source::{Source, words};

/// A line and a column, both from 1; columns count characters.
type Place = (usize, usize);

/// From a place to a place, which it does not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    start: Place,
    end: Place,
}

/// One change of one place, as cargo-mutants lists it.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    pub(crate) file: String,
    function: Option<Span>,
    span: Span,
    replacement: String,
}

impl Mutant {
    /// Reads one entry of `cargo mutants --list --json`.
    pub(crate) fn read(value: &Value) -> Result<Self> {
        let text = |key: &str| value[key].as_str().map(str::to_owned).with_context(|| format!("a mutant has a {key}"));
        let function = &value["function"]["span"];
        Ok(Self {
            name: text("name")?,
            file: text("file")?,
            function: (!function.is_null()).then(|| span(function)).transpose()?,
            span: span(&value["span"])?,
            replacement: text("replacement")?,
        })
    }

    /// The text of its file with this mutant alone.
    pub(crate) fn apply(&self, text: &str) -> Result<String> {
        let chars: Vec<char> = text.chars().collect();
        let places = Places::of(&chars);
        let (from, to) = (places.offset(self.span.start)?, places.offset(self.span.end)?);
        Ok(chars[..from]
            .iter()
            .chain(self.replacement.chars().collect::<Vec<_>>().iter())
            .chain(&chars[to..])
            .collect())
    }
}

fn span(value: &Value) -> Result<Span> {
    let place = |key: &str| -> Result<Place> {
        let number = |of: &str| value[key][of].as_u64().and_then(|number| usize::try_from(number).ok());
        Ok((number("line").context("a span has lines")?, number("column").context("a span has columns")?))
    };
    Ok(Span { start: place("start")?, end: place("end")? })
}

/// A file in which functions choose their bodies.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    pub(crate) text: String,
    /// The lines of each mutant's body: what does not compile there is that mutant's fault.
    pub(crate) lines: Vec<(RangeInclusive<usize>, usize)>,
    /// The mutants of each function, by the number that the function was given.
    pub(crate) functions: BTreeMap<usize, Vec<usize>>,
    /// The mutants that cannot be written so.
    pub(crate) left: Vec<usize>,
}

/// Writes those of `mutants` (with their numbers, which are not 0) that lie in this file into its text. Functions get
/// numbers from `first` on.
pub(crate) fn rewrite(text: &str, mutants: &[(usize, &Mutant)], first: usize) -> Result<Rewritten> {
    let chars: Vec<char> = text.chars().collect();
    let code: Vec<char> = Source::new(text).code.chars().collect();
    let places = Places::of(&chars);
    let mut groups: BTreeMap<Span, Vec<(usize, &Mutant)>> = BTreeMap::new();
    let mut done = Rewritten::default();
    for (number, mutant) in mutants {
        match outermost(mutant, mutants) {
            Some(function) => groups.entry(function).or_default().push((*number, *mutant)),
            None => done.left.push(*number),
        }
    }
    let mut written = 0;
    for (index, (function, members)) in groups.into_iter().enumerate() {
        let (start, end) = (places.offset(function.start)?, places.offset(function.end)?);
        let open = start + body_start(&code[start..end]).context("a function has a body")?;
        let head: String = code[start..open].iter().collect();
        let result = head.rsplit_once("->").map_or("", |(_, result)| result);
        if words(&head).take_while(|(_, word)| *word != "fn").any(|(_, word)| word == "const")
            || words(result).any(|(_, word)| word == "impl")
        {
            done.left.extend(members.iter().map(|(number, _)| *number));
            continue;
        }
        let (inside, close) = (open + 1, end - 1);
        ensure!(code[close] == '}', "the function at line {} ends with its body", function.start.0);
        done.text.extend(&chars[written..inside]);
        done.text.push_str(&format!(" match crate::mutation::chosen({}) {{\n", first + index));
        for (number, mutant) in &members {
            let (from, to) = (places.offset(mutant.span.start)?, places.offset(mutant.span.end)?);
            ensure!(inside <= from && to <= close, "{} lies in its function's body", mutant.name);
            done.text.push_str(&format!("{number} => {{\n"));
            let begin = line_count(&done.text);
            done.text.extend(&chars[inside..from]);
            done.text.push_str(&mutant.replacement);
            done.text.extend(&chars[to..close]);
            done.text.push_str("\n}\n");
            done.lines.push((begin..=line_count(&done.text), *number));
        }
        done.text.push_str("_ => {\n");
        done.text.extend(&chars[inside..close]);
        done.text.push_str("\n}\n}\n");
        done.functions.insert(first + index, members.iter().map(|(number, _)| *number).collect());
        written = close;
    }
    done.text.extend(&chars[written..]);
    Ok(done)
}

/// The function in which all others that hold the mutant lie.
fn outermost(mutant: &Mutant, all: &[(usize, &Mutant)]) -> Option<Span> {
    let own = mutant.function?;
    let around = all.iter().filter_map(|(_, other)| other.function);
    around.filter(|other| other.start <= own.start && own.end <= other.end).min_by_key(|other| other.start)
}

/// Where the body of a function begins: at the first brace that stands in no parentheses.
fn body_start(code: &[char]) -> Option<usize> {
    let mut depth = 0usize;
    code.iter().position(|one| {
        match one {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && *one == '{'
    })
}

fn line_count(text: &str) -> usize {
    text.matches('\n').count() + 1
}

/// Where each line begins.
struct Places {
    starts: Vec<usize>,
}

impl Places {
    fn of(chars: &[char]) -> Self {
        let ends = chars.iter().enumerate().filter(|(_, one)| **one == '\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(ends).collect() }
    }

    fn offset(&self, (line, column): Place) -> Result<usize> {
        let start = line.checked_sub(1).and_then(|index| self.starts.get(index)).context("a line of the file")?;
        Ok(start + column - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
const A: u32 = 1 << 3;
fn f(a: u32) -> bool {
    a < 2
}
const fn g() -> u32 { 1 + 1 }
fn h() -> impl Iterator<Item = u32> { 0..1 + 1 }
";

    fn mutant(function: Option<(Place, Place)>, start: Place, end: Place, replacement: &str) -> Mutant {
        Mutant {
            name: replacement.to_owned(),
            file: "a.rs".to_owned(),
            function: function.map(|(start, end)| Span { start, end }),
            span: Span { start, end },
            replacement: replacement.to_owned(),
        }
    }

    #[test]
    fn a_function_chooses_its_body() {
        let function = Some(((2, 1), (4, 2)));
        let (one, two) = (mutant(function, (3, 5), (3, 10), "true"), mutant(function, (3, 7), (3, 8), ">"));
        let done = rewrite(TEXT, &[(7, &one), (8, &two)], 3).unwrap();
        let expected = "fn f(a: u32) -> bool { match crate::mutation::chosen(3) {\n\
                        7 => {\n\n    true\n\n}\n8 => {\n\n    a > 2\n\n}\n_ => {\n\n    a < 2\n\n}\n}\n}\nconst fn";
        assert!(done.text.contains(expected), "{}", done.text);
        assert_eq!(done.functions, BTreeMap::from([(3, vec![7, 8])]));
        let lines: Vec<&str> = done.text.lines().collect();
        let (range, number) = &done.lines[1];
        assert!(*number == 8 && lines[range.start() - 1..range.end() - 1].contains(&"    a > 2"), "{range:?}");
    }

    #[test]
    fn what_has_no_body_to_choose_is_left() {
        let outside = mutant(None, (1, 18), (1, 20), ">>");
        let constant = mutant(Some(((5, 1), (5, 30))), (5, 25), (5, 26), "-");
        let opaque = mutant(Some(((6, 1), (6, 49))), (6, 44), (6, 45), "-");
        let done = rewrite(TEXT, &[(1, &outside), (2, &constant), (3, &opaque)], 0).unwrap();
        assert_eq!((done.left.as_slice(), done.text.as_str()), ([1, 2, 3].as_slice(), TEXT));
    }
}
