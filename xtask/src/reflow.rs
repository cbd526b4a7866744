//! Breaks comments and prose at 120 columns. rustfmt does that for code and leaves comments alone.
//!
//! A paragraph in which no line is too long stays as it is, so that nobody's diff fills with other people's line
//! breaks. Tables, headings, fences and indented blocks are never touched.

use anyhow::{Context, Result};

use crate::tree::{Tree, root};

/// The widest line.
pub(crate) const MAX_WIDTH: usize = 120;

/// Rewrites the named files, or all of them.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    let root = root();
    let tree = Tree::read(&root)?;
    let wanted = |path: &str| names.is_empty() || names.contains(&path);
    for (path, text) in tree.iter().filter(|(path, _)| wanted(path)) {
        let marked = if path.ends_with(".rs") {
            Marked::Comments
        } else if path.ends_with(".md") {
            Marked::Everything
        } else {
            continue;
        };
        let new = reflow(text, marked);
        if new != text {
            std::fs::write(root.join(path), new).with_context(|| format!("{path} cannot be written"))?;
            println!("{path}");
        }
    }
    Ok(())
}

/// What in a file is prose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marked {
    Comments,
    Everything,
}

/// A line of prose: what stands before it (indentation and comment mark), and the prose.
struct Line<'a> {
    prefix: &'a str,
    prose: &'a str,
}

fn split(line: &str, marked: Marked) -> Option<Line<'_>> {
    if marked == Marked::Everything {
        return Some(Line { prefix: "", prose: line });
    }
    let indent = line.len() - line.trim_start().len();
    let mark = ["//!", "///", "//"].into_iter().find(|mark| line[indent..].starts_with(mark))?;
    let after = &line[indent + mark.len()..];
    let space = usize::from(after.starts_with(' '));
    (space == 1 || after.is_empty()).then(|| {
        let at = indent + mark.len() + space;
        Line { prefix: &line[..at], prose: &line[at..] }
    })
}

fn reflow(text: &str, marked: Marked) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut paragraph: Vec<Line<'_>> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        let Some(one) = split(line, marked) else {
            finish(&mut paragraph, &mut out);
            fenced = false;
            out.push(line.to_owned());
            continue;
        };
        let fence = one.prose.trim_start().starts_with("```");
        fenced ^= fence;
        let goes_on = paragraph.last().is_some_and(|last| last.prefix == one.prefix) && !is_item(one.prose);
        if fence || fenced || !is_text(one.prose, goes_on) {
            finish(&mut paragraph, &mut out);
            out.push(line.to_owned());
            continue;
        }
        if !goes_on {
            finish(&mut paragraph, &mut out);
        }
        paragraph.push(one);
    }
    finish(&mut paragraph, &mut out);
    let mut new = out.join("\n");
    if text.ends_with('\n') {
        new.push('\n');
    }
    new
}

/// Whether this is a line of running text. What is indented by four is an example, unless it goes on with a paragraph.
fn is_text(prose: &str, goes_on: bool) -> bool {
    let example = prose.starts_with("    ") && !goes_on && !is_item(prose);
    !(prose.trim().is_empty() || example || prose.trim_start().starts_with(['|', '#', '<', '>']))
}

fn is_item(prose: &str) -> bool {
    let first = prose.split_whitespace().next().unwrap_or("");
    is_bullet(first)
}

fn is_bullet(word: &str) -> bool {
    let number =
        word.strip_suffix(['.', ')']).is_some_and(|digits| !digits.is_empty() && digits.parse::<u32>().is_ok());
    number || ["*", "-", "+"].contains(&word)
}

/// Writes a paragraph, broken anew if one of its lines is too long.
fn finish(paragraph: &mut Vec<Line<'_>>, out: &mut Vec<String>) {
    let lines = std::mem::take(paragraph);
    let Some(first) = lines.first() else { return };
    let width = |line: &Line<'_>| line.prefix.chars().count() + line.prose.chars().count();
    if lines.iter().all(|line| width(line) <= MAX_WIDTH) {
        out.extend(lines.iter().map(|line| format!("{}{}", line.prefix, line.prose).trim_end().to_owned()));
        return;
    }
    let indent = first.prose.len() - first.prose.trim_start().len();
    let bullet = first.prose.split_whitespace().next().filter(|word| is_bullet(word)).map_or(0, |word| word.len() + 1);
    let hang = lines.get(1).map_or(indent + bullet, |second| second.prose.len() - second.prose.trim_start().len());
    let mut current = format!("{}{}", first.prefix, " ".repeat(indent));
    let mut empty = true;
    for word in words(&lines) {
        if !empty && current.chars().count() + 1 + word.chars().count() > MAX_WIDTH {
            out.push(std::mem::replace(&mut current, format!("{}{}", first.prefix, " ".repeat(hang))));
            empty = true;
        }
        if !empty {
            current.push(' ');
        }
        current.push_str(&word);
        empty = false;
    }
    out.push(current);
}

/// The words of a paragraph. One that would mean something else at the beginning of a line sticks to the one before it,
/// and what stands between backticks sticks together.
fn words(lines: &[Line<'_>]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let is_open = |word: &str| word.matches('`').count() % 2 == 1 && word.len() < MAX_WIDTH / 2;
    for word in lines.iter().flat_map(|line| line.prose.split_whitespace()) {
        let special = is_bullet(word) || word.starts_with(['#', '|', '>', '<', '`']) && word.starts_with("```");
        let special =
            special || ["|", "#", ">", "<"].contains(&word) || word.starts_with("==") || word.starts_with("--");
        match words.last_mut() {
            Some(last) if special || is_open(last) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_with_a_long_line_is_broken_and_its_neighbours_stay() {
        let long = "word ".repeat(30);
        let text = format!("//! short\n//! lines\n//!\n//! {}\n//! tail\nfn f() {{}}\n", long.trim());
        let new = reflow(&text, Marked::Comments);
        assert!(new.starts_with("//! short\n//! lines\n//!\n//! word"));
        assert!(new.lines().all(|line| line.chars().count() <= MAX_WIDTH), "{new}");
        assert!(new.ends_with("word tail\nfn f() {}\n"), "{new}");
        assert_eq!(reflow(&new, Marked::Comments), new, "done once, done for all");
    }

    #[test]
    fn items_keep_their_bullets_and_their_hanging_indent() {
        let long = "word ".repeat(30);
        let text = format!("/// * {}\n///   tail\n/// * next\n", long.trim());
        let new = reflow(&text, Marked::Comments);
        let lines: Vec<_> = new.lines().collect();
        assert_eq!(lines.len(), 3, "{new}");
        assert!(lines[1].starts_with("///   word") && lines[1].ends_with("tail"), "{new}");
        assert_eq!(lines[2], "/// * next");
        let numbered = format!("10. {}\n", long.trim());
        assert!(reflow(&numbered, Marked::Everything).lines().nth(1).is_some_and(|line| line.starts_with("    word")));
    }

    #[test]
    fn code_in_backticks_stays_together() {
        let text = format!("{} `a {{ b }}` c\n", "x".repeat(115));
        assert_eq!(reflow(&text, Marked::Everything).lines().nth(1), Some("`a { b }` c"));
    }

    #[test]
    fn what_is_not_running_text_is_left_alone() {
        let wide = "x ".repeat(70);
        for text in [
            format!("| {wide}|\n"),
            format!("# {wide}\n"),
            format!("```\n{wide}\n```\n"),
            format!("    {wide}\n"),
            "x".repeat(140),
        ] {
            assert_eq!(reflow(&text, Marked::Everything), text);
        }
        let code = format!("let a = \"{wide}\"; // {wide}\n");
        assert_eq!(reflow(&code, Marked::Comments), code);
    }

    #[test]
    fn no_word_becomes_a_bullet_by_being_moved() {
        let text = format!("{} - {} 7. {}\n", "a".repeat(119), "b".repeat(118), "c".repeat(60));
        for line in reflow(&text, Marked::Everything).lines() {
            assert!(!is_item(line), "{line}");
        }
    }
}
