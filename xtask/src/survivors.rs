//! What the tests of a crate do not notice.
//!
//! cargo-mutants lists the mutants of a crate: changes of one place each, such as `<` for `<=`, or a function that only
//! returns a default. It also builds and tests each by itself, which takes a minute or more for one of them here, and a
//! day for all. So its list is taken, but all mutants go into one build ([`schema`]) in which an environment variable
//! chooses one. What each test reaches is recorded first; a mutant is then shown to the tests that reach it, quick ones
//! first, until one fails or none is left. Those that one build cannot hold are built one by one.
//!
//! Doc tests are not asked, and nor is anything that is not a test of the named crates.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::mutants::Copy;
use crate::tree::root;

mod schema;

use schema::Mutant;

/// What a test may take: so many times as long as without a mutant, and some seconds.
const PATIENCE: (u32, Duration) = (8, Duration::from_secs(10));
/// The address space that a mutant may use, in KiB: some allocate without end.
const MEMORY_KIB: usize = 8 << 20;
/// What the functions of the copy ask.
const SWITCH: &str = r#"
#[doc(hidden)]
pub mod mutation {
    extern crate std;

    use std::io::Write as _;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    static CHOSEN: LazyLock<usize> =
        LazyLock::new(|| std::env::var("BEZANT_MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0));
    static REACHED: [AtomicBool; FUNCTIONS] = [const { AtomicBool::new(false) }; FUNCTIONS];
    static RECORD: LazyLock<Option<std::fs::File>> = LazyLock::new(|| {
        let path = std::env::var_os("BEZANT_REACHED")?;
        std::fs::File::options().create(true).append(true).open(path).ok()
    });

    pub fn chosen(function: usize) -> usize {
        if !REACHED[function].load(Ordering::Relaxed) && !REACHED[function].swap(true, Ordering::Relaxed) {
            if let Some(mut record) = RECORD.as_ref() {
                record.write_all(std::format!("{function}\n").as_bytes()).expect("the record");
            }
        }
        *CHOSEN
    }
}
"#;

/// A test, and what it is like without a mutant.
struct Test {
    binary: PathBuf,
    folder: PathBuf,
    name: String,
    took: Duration,
    reaches: BTreeSet<usize>,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It is no program.
    Uncompiled,
    /// A test failed, or did not end.
    Caught(String),
    /// So many tests reached it, and none failed.
    Survived(usize),
}

/// Tries the mutants of the first of `crates` (all, or those whose names contain one of `names`) with the tests of all
/// of `crates`.
pub(crate) fn run(crates: &str, names: &[&str]) -> Result<()> {
    let packages: Vec<String> = crates.split(',').map(|name| format!("bezant-{name}")).collect();
    let mut mutants = list(&packages[0])?;
    mutants.retain(|mutant| names.is_empty() || names.iter().any(|name| mutant.name.contains(name)));
    ensure!(!mutants.is_empty(), "cargo-mutants lists no such mutant of {}", packages[0]);
    let workshop = Workshop { copy: Copy::make("survivors")?, packages };
    let mut fates: BTreeMap<usize, Fate> = BTreeMap::new();
    let left = workshop.all_at_once(&mutants, &mut fates)?;
    for number in left {
        fates.insert(number, workshop.alone(&mutants[number - 1])?);
        say(&mutants[number - 1], &fates[&number]);
    }
    report(&mutants, &fates);
    Ok(())
}

fn list(package: &str) -> Result<Vec<Mutant>> {
    let command = ["mutants", "--package", package, "--list", "--json"];
    let output = Command::new("cargo").args(command).current_dir(root()).output()?;
    ensure!(
        output.status.success(),
        "`cargo mutants --list` failed; `cargo install cargo-mutants --locked` installs it:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).context("what cargo-mutants lists")?;
    listed.iter().map(Mutant::read).collect()
}

struct Workshop {
    copy: Copy,
    packages: Vec<String>,
}

impl Workshop {
    /// Tries the mutants that one build can hold; gives the numbers of the others.
    fn all_at_once(&self, mutants: &[Mutant], fates: &mut BTreeMap<usize, Fate>) -> Result<Vec<usize>> {
        let originals = self.originals(mutants)?;
        let (functions, left) = loop {
            let written = self.write(&originals, mutants, fates)?;
            let faulty = self.faulty(&written.lines)?;
            if faulty.is_empty() {
                break (written.functions, written.left);
            }
            fates.extend(faulty.into_iter().map(|number| (number, Fate::Uncompiled)));
        };
        let held = functions.values().map(Vec::len).sum::<usize>();
        println!("{} mutants: {held} in one build, {} do not compile, {} left", mutants.len(), fates.len(), left.len());
        let tests = self.tests(&functions)?;
        println!(
            "{} tests, {:.0} s in all",
            tests.len(),
            tests.iter().map(|test| test.took.as_secs_f64()).sum::<f64>()
        );
        let jobs: Vec<(usize, usize)> = functions
            .iter()
            .flat_map(|(function, numbers)| numbers.iter().map(|number| (*function, *number)))
            .collect();
        let tried = in_parallel(&jobs, |(function, number)| {
            let reach = tests.iter().filter(|test| test.reaches.contains(function));
            let fate = judge(reach, Some(*number))?;
            say(&mutants[*number - 1], &fate);
            Ok((*number, fate))
        })?;
        fates.extend(tried);
        for (path, text) in originals {
            fs::write(path, text)?;
        }
        Ok(left)
    }

    /// The files that have mutants, and the root of the crate.
    fn originals(&self, mutants: &[Mutant]) -> Result<BTreeMap<PathBuf, String>> {
        let files: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
        let root = mutants[0].file.split_once("/src/").context("mutants lie in `src`")?.0;
        let paths = files.into_iter().map(|file| self.copy.tree().join(file));
        let paths = paths.chain([self.copy.tree().join(root).join("src/lib.rs")]);
        paths.map(|path| Ok((path.clone(), fs::read_to_string(&path)?))).collect()
    }

    /// Writes all mutants that have no fate yet into the copy.
    fn write(
        &self,
        originals: &BTreeMap<PathBuf, String>,
        mutants: &[Mutant],
        fates: &BTreeMap<usize, Fate>,
    ) -> Result<Written> {
        let mut written = Written::default();
        for (path, text) in originals {
            let numbered = mutants.iter().enumerate().map(|(index, mutant)| (index + 1, mutant));
            let here: Vec<(usize, &Mutant)> = numbered
                .filter(|(number, mutant)| self.copy.tree().join(&mutant.file) == *path && !fates.contains_key(number))
                .collect();
            let first = written.functions.last_key_value().map_or(0, |(last, _)| last + 1);
            let done = schema::rewrite(text, &here, first).with_context(|| format!("{}", path.display()))?;
            fs::write(path, &done.text)?;
            written.functions.extend(done.functions);
            written.left.extend(done.left);
            written.lines.extend(done.lines.into_iter().map(|(lines, number)| (path.clone(), lines, number)));
        }
        let lib = originals.keys().find(|path| path.ends_with("src/lib.rs")).context("a crate has a root")?;
        let functions = written.functions.last_key_value().map_or(0, |(last, _)| last + 1);
        let mut file = fs::File::options().append(true).open(lib)?;
        file.write_all(SWITCH.replace("FUNCTIONS", &functions.to_string()).as_bytes())?;
        Ok(written)
    }

    fn cargo(&self, command: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        let packages = self.packages.iter().flat_map(|package| ["--package", package]);
        cargo.args(command).args(["--tests", "--message-format", "json"]).args(packages);
        cargo.current_dir(self.copy.tree()).env("CARGO_TARGET_DIR", self.copy.target());
        cargo.env("RUSTFLAGS", "--cap-lints allow").env("CARGO_PROFILE_DEV_OPT_LEVEL", "2");
        cargo.stderr(Stdio::inherit());
        cargo
    }

    /// The mutants because of which the copy does not compile.
    fn faulty(&self, lines: &[(PathBuf, std::ops::RangeInclusive<usize>, usize)]) -> Result<BTreeSet<usize>> {
        let output = self.cargo(&["check", "--quiet"]).output()?;
        if output.status.success() {
            return Ok(BTreeSet::new());
        }
        let mut faulty = BTreeSet::new();
        for message in messages(&output.stdout)? {
            let places = message["message"]["spans"].as_array().into_iter().flatten();
            for place in places.filter(|_| message["message"]["level"] == "error") {
                let (Some(file), Some(line)) = (place["file_name"].as_str(), place["line_start"].as_u64()) else {
                    continue;
                };
                let here = |(path, range, _): &&(PathBuf, std::ops::RangeInclusive<usize>, usize)| {
                    path.ends_with(file) && usize::try_from(line).is_ok_and(|line| range.contains(&line))
                };
                faulty.extend(lines.iter().find(here).map(|(_, _, number)| *number));
            }
        }
        ensure!(!faulty.is_empty(), "it does not compile, and no mutant is to blame:\n{}", errors(&output.stdout)?);
        Ok(faulty)
    }

    /// Builds the tests, and runs each once.
    fn tests(&self, functions: &BTreeMap<usize, Vec<usize>>) -> Result<Vec<Test>> {
        let names = self.build()?.context("it compiled when it was checked")?;
        let record = self.copy.target().join("reached");
        fs::create_dir_all(&record)?;
        let numbered: Vec<(usize, (PathBuf, PathBuf, String))> = names.into_iter().enumerate().collect();
        let mut tests = in_parallel(&numbered, |(index, (binary, folder, name))| {
            let record = record.join(index.to_string());
            let _ = fs::remove_file(&record); // It may be there from the last run.
            let mut test = Test {
                binary: binary.clone(),
                folder: folder.clone(),
                name: name.clone(),
                took: Duration::from_secs(600),
                reaches: BTreeSet::new(),
            };
            let begun = Instant::now();
            let failed = test.fails(&[("BEZANT_REACHED", &record.to_string_lossy())])?;
            ensure!(!failed, "{name} fails without any mutant");
            test.took = begun.elapsed();
            let reached = fs::read_to_string(record).unwrap_or_default(); // A test may reach nothing.
            test.reaches = reached.lines().filter_map(|line| line.parse().ok()).collect();
            Ok(test)
        })?;
        let known: BTreeSet<usize> = functions.keys().copied().collect();
        ensure!(tests.iter().any(|test| !test.reaches.is_disjoint(&known)), "no test reaches any mutant");
        tests.sort_by_key(|test| test.took);
        Ok(tests)
    }

    /// The tests of the copy as it is: the binary, the folder that it runs in and the name of each. Nothing, if it does
    /// not compile.
    fn build(&self) -> Result<Option<Vec<(PathBuf, PathBuf, String)>>> {
        let output = self.cargo(&["test", "--no-run", "--quiet"]).output()?;
        if !output.status.success() {
            return Ok(None);
        }
        let mut tests = Vec::new();
        for message in messages(&output.stdout)? {
            let (Some(binary), Some(manifest)) = (message["executable"].as_str(), message["manifest_path"].as_str())
            else {
                continue;
            };
            let folder = Path::new(manifest).parent().context("a manifest lies in a folder")?;
            let listed = Command::new(binary).args(["--list", "--format", "terse"]).current_dir(folder).output()?;
            let listed = String::from_utf8(listed.stdout)?;
            let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
            tests.extend(names.map(|name| (PathBuf::from(binary), folder.to_owned(), name.to_owned())));
        }
        ensure!(!tests.is_empty(), "there are no tests in {}", self.packages.join(", "));
        Ok(Some(tests))
    }

    /// Tries one mutant in a build of its own.
    fn alone(&self, mutant: &Mutant) -> Result<Fate> {
        let path = self.copy.tree().join(&mutant.file);
        let original = fs::read_to_string(&path)?;
        fs::write(&path, mutant.apply(&original)?)?;
        let built = self.build();
        fs::write(&path, original)?;
        let Some(names) = built? else { return Ok(Fate::Uncompiled) };
        let took = Duration::from_secs(60); // They were not timed: all may take long.
        let tests = names.into_iter().map(|(binary, folder, name)| Test {
            binary,
            folder,
            name,
            took,
            reaches: BTreeSet::new(),
        });
        let tests: Vec<Test> = tests.collect();
        let halves = in_parallel(&[0, 1], |half| judge(tests.iter().skip(*half).step_by(2), None))?;
        let survived = halves.iter().map(|fate| if let Fate::Survived(count) = fate { *count } else { 0 }).sum();
        Ok(halves.into_iter().find(|fate| matches!(fate, Fate::Caught(_))).unwrap_or(Fate::Survived(survived)))
    }
}

/// What was written into the copy.
#[derive(Default)]
struct Written {
    functions: BTreeMap<usize, Vec<usize>>,
    left: Vec<usize>,
    lines: Vec<(PathBuf, std::ops::RangeInclusive<usize>, usize)>,
}

impl Test {
    /// Whether it fails or does not end.
    fn fails(&self, environment: &[(&str, &str)]) -> Result<bool> {
        let limited = format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\"");
        let shared = env::var_os("BEZANT_SHARED").map_or_else(|| root().join("..").join("shared"), PathBuf::from);
        let mut child = Command::new("sh")
            .args(["-c", &limited])
            .arg(&self.binary)
            .args(["--exact", &self.name, "--test-threads", "1"])
            .envs(environment.iter().copied())
            .env("BEZANT_SHARED", shared)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let until = Instant::now() + self.took * PATIENCE.0 + PATIENCE.1;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(!status.success());
            }
            if Instant::now() > until {
                child.kill()?;
                child.wait()?;
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Shows a mutant to tests, until one notices it.
fn judge<'a>(tests: impl Iterator<Item = &'a Test>, number: Option<usize>) -> Result<Fate> {
    let number = number.map(|number| number.to_string());
    let environment: Vec<(&str, &str)> = number.iter().map(|number| ("BEZANT_MUTANT", number.as_str())).collect();
    let mut asked = 0;
    for test in tests {
        if test.fails(&environment)? {
            return Ok(Fate::Caught(test.name.clone()));
        }
        asked += 1;
    }
    Ok(Fate::Survived(asked))
}

/// Does the jobs on all cores, in their order; gives what they give in their order.
fn in_parallel<J: Sync, T: Send>(jobs: &[J], work: impl Fn(&J) -> Result<T> + Sync) -> Result<Vec<T>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some((index, job)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(index).map(|job| (index, job))
                } {
                    let outcome = work(job);
                    if let Ok(mut done) = done.lock() {
                        done.insert(index, outcome);
                    }
                }
            });
        }
    });
    match done.into_inner() {
        Ok(done) => done.into_values().collect(),
        Err(_) => bail!("a worker panicked"),
    }
}

fn messages(stdout: &[u8]) -> Result<Vec<Value>> {
    let lines = stdout.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{"));
    lines.map(|line| serde_json::from_slice(line).context("a message of cargo")).collect()
}

fn errors(stdout: &[u8]) -> Result<String> {
    let messages = messages(stdout)?;
    let rendered = messages.iter().filter_map(|message| message["message"]["rendered"].as_str());
    Ok(rendered.collect::<Vec<_>>().join("\n"))
}

fn say(mutant: &Mutant, fate: &Fate) {
    match fate {
        Fate::Uncompiled => println!("uncompiled  {}", mutant.name),
        Fate::Caught(test) => println!("caught      {}  by {test}", mutant.name),
        Fate::Survived(tests) => println!("SURVIVED    {}  ({tests} tests reach it)", mutant.name),
    }
}

/// A line for each file, and the survivors.
fn report(mutants: &[Mutant], fates: &BTreeMap<usize, Fate>) {
    let mut files: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for (number, fate) in fates {
        let column = match fate {
            Fate::Uncompiled => 0,
            Fate::Caught(_) => 1,
            Fate::Survived(_) => 2,
        };
        files.entry(mutants[number - 1].file.as_str()).or_default()[column] += 1;
        files.entry("in all").or_default()[column] += 1;
    }
    println!("\n{:<44}{:>12}{:>10}{:>12}{:>8}", "", "uncompiled", "caught", "survived", "score");
    for (file, [uncompiled, caught, survived]) in files {
        let viable = (caught + survived).max(1);
        println!("{file:<44}{uncompiled:>12}{caught:>10}{survived:>12}{:>7.1}%", per_cent(caught, viable));
    }
    for (number, fate) in fates {
        if matches!(fate, Fate::Survived(_)) {
            say(&mutants[number - 1], fate);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are some thousand mutants")]
fn per_cent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of as f64
}
