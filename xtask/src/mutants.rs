//! Deliberate mistakes, each of which something must notice.
//!
//! `mutants/NAME.mutant` says what is mistaken, changes some lines of the code, and names the commands that notice.
//! Each mistake is made on a copy of the tree, never in it. The same commands are run on the unchanged copy first: a
//! command that fails there notices nothing. Every command that a mutant names must notice it: `caught-by` is a claim
//! about that command, and a world that misses what it is said to see is as much news as a test that does.
//!
//! ```text
//! # Counts commits for any digest.
//! caught-by: sim --seeds 20 --for 60s --traitor equivocating-voter
//! file: crates/pbft/src/slot.rs
//! <<<<
//! .filter(move |(_, vote)| vote.view == view && vote.digest == digest)
//! ====
//! .filter(move |(_, vote)| vote.view == view)
//! >>>>
//! ```
//!
//! A mutant that takes a defence away may name adversaries that it is `against:`; `cargo xtask defences` measures what
//! each costs with the defence and without it.
//!
//! A command begins with `sim`, which is `bezant sim`, or with `test`, which is `cargo test`. What is to be replaced
//! must stand in the file exactly once, so that a mutant cannot quietly stop applying when the code moves on.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use crate::tree::root;

pub(crate) struct Mutant {
    pub(crate) name: String,
    pub(crate) what: String,
    /// The adversaries that a defence is against, if this takes one away.
    pub(crate) against: Vec<String>,
    caught_by: Vec<String>,
    changes: Vec<Change>,
}

struct Change {
    file: String,
    before: String,
    after: String,
}

/// Makes each mistake whose name contains one of `names`, or all of them.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    let mut mutants = read_all(&root().join("mutants"))?;
    mutants.retain(|mutant| names.is_empty() || names.iter().any(|name| mutant.name.contains(name)));
    ensure!(!mutants.is_empty(), "there is no such mutant: the folder `mutants` names them");
    let copy = Copy::make("mutants")?;
    let mut sound: Vec<String> = Vec::new();
    let mut survivors = Vec::new();
    for mutant in &mutants {
        for command in &mutant.caught_by {
            if !sound.contains(command) {
                let output = copy.run(command)?;
                ensure!(output.status.success(), "without any mutant `{command}` fails:\n{}", tail(&output));
                sound.push(command.clone());
            }
        }
        println!("{}: {}", mutant.name, mutant.what);
        copy.with(mutant, || {
            for command in &mutant.caught_by {
                let start = Instant::now();
                let caught = copy.notices(command, mutant)?;
                let seconds = start.elapsed().as_secs_f64();
                match caught {
                    Some(reason) => println!("  caught    {seconds:>6.1} s  {command}\n            {reason}"),
                    None => {
                        println!("  SURVIVED  {seconds:>6.1} s  {command}");
                        survivors.push(format!("{} by `{command}`", mutant.name));
                    }
                }
            }
            Ok(())
        })?;
    }
    ensure!(survivors.is_empty(), "not noticed: {}", survivors.join(", "));
    println!("all {} mutants were caught by all that they name", mutants.len());
    Ok(())
}

/// Makes one mistake and runs a command, of those that a mutant may name, for whoever wants to see what comes of it.
pub(crate) fn run_with(name: &str, command: &[&str]) -> Result<()> {
    let mutants = read_all(&root().join("mutants"))?;
    let found = mutants.iter().find(|mutant| mutant.name == name);
    let mutant = found.with_context(|| format!("there is no mutant `{name}`: the folder `mutants` names them"))?;
    let copy = Copy::make("mutants")?;
    eprintln!("{name}: {}", mutant.what);
    let status = copy.with(mutant, || Ok(copy.command(&command.join(" "))?.status()?))?;
    ensure!(status.success(), "with this mistake the command fails");
    Ok(())
}

/// The tree as git knows it, somewhere else, with a target directory that all mutants share.
pub(crate) struct Copy {
    place: PathBuf,
}

impl Copy {
    pub(crate) fn make(name: &str) -> Result<Self> {
        let copy = Self { place: root().join("target").join(name) };
        let tree = copy.tree();
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().context("git")?;
        for name in String::from_utf8(listed.stdout)?.split('\0').filter(|name| !name.is_empty()) {
            let (from, to) = (root().join(name), tree.join(name));
            fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
            fs::copy(&from, &to).with_context(|| format!("copying {name}"))?;
        }
        Ok(copy)
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.place.join("tree")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.place.join("target")
    }

    /// Changes the copy, does something, and changes it back.
    pub(crate) fn with<T>(&self, mutant: &Mutant, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut originals = Vec::new();
        for Change { file, before, after } in &mutant.changes {
            let path = self.tree().join(file);
            let text = fs::read_to_string(&path).with_context(|| format!("{}: {file}", mutant.name))?;
            let count = text.matches(before.as_str()).count();
            ensure!(count == 1, "{}: what it replaces stands {count} times in {file}", mutant.name);
            fs::write(&path, text.replacen(before.as_str(), after, 1))?;
            originals.push((path, text));
        }
        let outcome = act();
        for (path, text) in originals.into_iter().rev() {
            fs::write(path, text)?;
        }
        outcome
    }

    /// What `command` says of the mutant, if it notices.
    fn notices(&self, command: &str, mutant: &Mutant) -> Result<Option<String>> {
        let output = self.run(command)?;
        let text = tail(&output);
        ensure!(!text.contains("could not compile"), "{} does not compile:\n{text}", mutant.name);
        Ok((!output.status.success()).then(|| reason(&output)))
    }

    pub(crate) fn run(&self, command: &str) -> Result<Output> {
        self.command(command)?.output().with_context(|| format!("running `{command}`"))
    }

    fn command(&self, command: &str) -> Result<Command> {
        let mut words = command.split_whitespace();
        let arguments: Vec<&str> = match words.next() {
            Some("sim") => ["run", "--quiet", "-p", "bezant-cli", "--", "sim"].into_iter().chain(words).collect(),
            Some("test") => ["test", "--quiet", "-p"].into_iter().chain(words).collect(),
            _ => bail!("`{command}` begins with neither `sim` nor `test`"),
        };
        let shared = env::var_os("BEZANT_SHARED").map_or_else(|| root().join("..").join("shared"), PathBuf::from);
        let mut cargo = Command::new("cargo");
        cargo.args(arguments).current_dir(self.tree());
        cargo.env("CARGO_TARGET_DIR", self.target()).env("BEZANT_SHARED", shared);
        Ok(cargo)
    }
}

pub(crate) fn read_all(folder: &Path) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(folder).context("the folder `mutants`")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "mutant") {
            let name = path.file_stem().context("a mutant has a name")?.to_string_lossy().into_owned();
            let text = fs::read_to_string(&path)?;
            mutants.push(parse(&name, &text).with_context(|| format!("{}", path.display()))?);
        }
    }
    mutants.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(mutants)
}

fn parse(name: &str, text: &str) -> Result<Mutant> {
    let mut mutant = Mutant {
        name: name.to_owned(),
        what: String::new(),
        against: Vec::new(),
        caught_by: Vec::new(),
        changes: Vec::new(),
    };
    let mut file = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(what) = line.strip_prefix("# ") {
            mutant.what = format!("{} {what}", mutant.what).trim().to_owned();
        } else if let Some(adversary) = line.strip_prefix("against: ") {
            mutant.against.push(adversary.trim().to_owned());
        } else if let Some(command) = line.strip_prefix("caught-by: ") {
            mutant.caught_by.push(command.trim().to_owned());
        } else if let Some(name) = line.strip_prefix("file: ") {
            file = Some(name.trim().to_owned());
        } else if line == "<<<<" {
            let file = file.clone().context("`file:` comes before `<<<<`")?;
            let before: Vec<&str> = lines.by_ref().take_while(|line| *line != "====").collect();
            let after: Vec<&str> = lines.by_ref().take_while(|line| *line != ">>>>").collect();
            ensure!(!before.is_empty(), "there is nothing between `<<<<` and `====`");
            mutant.changes.push(Change { file, before: before.join("\n"), after: after.join("\n") });
        } else {
            ensure!(line.trim().is_empty(), "`{line}` is not understood");
        }
    }
    ensure!(!mutant.what.is_empty(), "a mutant says in a line with `#` what is mistaken");
    ensure!(!mutant.caught_by.is_empty(), "a mutant names a command that notices it: `caught-by:`");
    ensure!(!mutant.changes.is_empty(), "a mutant changes something");
    Ok(mutant)
}

/// The line that says what was noticed.
fn reason(output: &Output) -> String {
    let text = tail(output);
    let telling = |line: &&str| line.contains("failed:") || line.contains("FAILED") || line.contains("panicked");
    text.lines().find(telling).unwrap_or("it failed").trim().chars().take(160).collect()
}

pub(crate) fn tail(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_of_the_tree_applies() {
        for mutant in read_all(&root().join("mutants")).unwrap() {
            for Change { file, before, after } in &mutant.changes {
                let text = fs::read_to_string(root().join(file)).unwrap();
                assert_eq!(text.matches(before.as_str()).count(), 1, "{} in {file}", mutant.name);
                assert_ne!(before, after, "{}", mutant.name);
            }
        }
    }

    #[test]
    fn a_mutant_says_what_it_changes_and_what_notices_it() {
        let good = "# Wrong.\ncaught-by: test bezant-pbft a\nfile: a.rs\n<<<<\nx\ny\n====\nz\n>>>>\n";
        let mutant = parse("m", good).unwrap();
        assert_eq!((mutant.what.as_str(), mutant.caught_by.len()), ("Wrong.", 1));
        assert_eq!((mutant.changes[0].before.as_str(), mutant.changes[0].after.as_str()), ("x\ny", "z"));
        for bad in ["# Wrong.\n", "caught-by: test a\n", "nonsense", "# a\n<<<<\nx\n====\n>>>>\n"] {
            assert!(parse("m", bad).is_err(), "{bad}");
        }
    }
}
