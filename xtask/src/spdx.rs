//! Licence expressions, as far as Rust packages use them: names, `AND`, `OR`, `WITH`, parentheses, and the old `/` for
//! `OR`.

use anyhow::{Result, bail};

/// Whether somebody who accepts exactly the licences `allowed` may use what is under `expression`. An exception is part
/// of its licence's name (`Apache-2.0 WITH LLVM-exception`).
pub(crate) fn permits(expression: &str, allowed: &[String]) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let verdict = parser.any()?;
    if parser.words.is_empty() { Ok(verdict) } else { bail!("cannot read the licence expression `{expression}`") }
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl<'a> Parser<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn next_is(&mut self, word: &str) -> bool {
        let is = self.words.first() == Some(&word);
        if is {
            self.words = &self.words[1..];
        }
        is
    }

    fn any(&mut self) -> Result<bool> {
        let mut verdict = self.all()?;
        while self.next_is("OR") {
            verdict |= self.all()?;
        }
        Ok(verdict)
    }

    fn all(&mut self) -> Result<bool> {
        let mut verdict = self.one()?;
        while self.next_is("AND") {
            verdict &= self.one()?;
        }
        Ok(verdict)
    }

    fn one(&mut self) -> Result<bool> {
        match self.take() {
            Some("(") => {
                let verdict = self.any()?;
                if self.next_is(")") { Ok(verdict) } else { bail!("a parenthesis is not closed") }
            }
            None | Some(")" | "AND" | "OR" | "WITH") => bail!("a licence is missing"),
            Some(licence) => {
                let name = if self.next_is("WITH") {
                    let Some(exception) = self.take() else { bail!("an exception is missing") };
                    format!("{licence} WITH {exception}")
                } else {
                    licence.to_owned()
                };
                Ok(self.allowed.contains(&name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(expression: &str) -> bool {
        let allowed = ["MIT", "Apache-2.0", "ISC", "Apache-2.0 WITH LLVM-exception"].map(String::from);
        permits(expression, &allowed).unwrap()
    }

    #[test]
    fn one_of_several_is_enough_and_all_of_several_are_needed() {
        assert!(permitted("MIT"));
        assert!(permitted("GPL-3.0 OR MIT"));
        assert!(permitted("MIT/Apache-2.0"));
        assert!(!permitted("GPL-3.0"));
        assert!(!permitted("MIT AND GPL-3.0"));
        assert!(permitted("ISC AND (Apache-2.0 OR GPL-3.0)"));
        assert!(!permitted("GPL-3.0 OR MIT AND OpenSSL"), "AND binds tighter");
    }

    #[test]
    fn an_exception_belongs_to_the_name() {
        assert!(permitted("Apache-2.0 WITH LLVM-exception"));
        assert!(!permitted("GPL-2.0 WITH Classpath-exception-2.0"));
    }

    #[test]
    fn nonsense_is_an_error_and_no_permission() {
        for nonsense in ["", "MIT OR", "(MIT", "MIT Apache-2.0", "AND MIT", "MIT)"] {
            permits(nonsense, &["MIT".to_owned()]).unwrap_err();
        }
    }
}
