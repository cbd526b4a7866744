//! The scenarios of `scenarios/`, all of them, run.
//!
//! Each must pass: its own expectations hold and no oracle complains. Each says the same when it is printed and read
//! again, and what happens in it is the same in every run, byte for byte. `scenarios.golden` beside this file holds the
//! digest of each trace and the number of its lines, so that a change of behaviour is a decision: when it is one, run
//!
//! ```text
//! BEZANT_BLESS=1 cargo test -p bezant-sim --test scenarios
//! ```
//!
//! and commit the golden file with what changed the behaviour.
//!
//! The hazards that a scenario plays stand in a line of it, `# Hazards: 29, 30`. `docs/protocol/hazards.md` names them
//! the other way round; here both are held against each other, and a hazard that nothing plays needs a reason.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bezant_sim::campaign::run;
use bezant_sim::scenario::Scenario;
use bezant_types::Digest;

/// How many hazards there are.
const HAZARDS: u32 = 94;
/// How many worlds run at once.
const THREADS: usize = 4;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn golden_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios.golden")
}

/// All scenarios, by the names of their files.
fn scenarios() -> BTreeMap<String, String> {
    let files = std::fs::read_dir(root().join("scenarios")).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(&path).unwrap())
    });
    texts.collect()
}

/// The digest of a scenario's trace and the number of its lines, or what is wrong.
fn play(name: &str, text: &str) -> Result<String, String> {
    let scenario: Scenario = text.parse().map_err(|error| format!("{name}: {error}"))?;
    if scenario.to_string().parse() != Ok(scenario.clone()) {
        return Err(format!("{name}: printed and read again it is another scenario:\n{scenario}"));
    }
    let (once, again) = (run(&scenario, true), run(&scenario, true));
    let lines = once.trace.lines();
    if lines != again.trace.lines() {
        return Err(format!("{name}: two runs of it differ"));
    }
    if let Some((at, failure)) = once.failure {
        let end = lines.iter().rev().take(20).rev().fold(String::new(), |text, line| text + line + "\n");
        return Err(format!("{name}: fails at {} ms with {failure:?}. The end of its trace:\n{end}", at / 1_000));
    }
    Ok(format!("{} {}", Digest::of("bezant trace", lines.join("\n").as_str()), lines.len()))
}

#[test]
fn every_scenario_passes_and_its_trace_is_the_golden_one() {
    let scenarios = scenarios();
    let next = Mutex::new(scenarios.iter());
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some((name, text)) = next.lock().unwrap().next() else { return };
                    let result = play(name, text);
                    results.lock().unwrap().insert(name.clone(), result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    let failed: Vec<&String> = results.values().filter_map(|result| result.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} scenarios fail:\n{failed:#?}", failed.len());
    let mut golden = String::new();
    for (name, trace) in &results {
        writeln!(golden, "{name} {}", trace.as_ref().unwrap()).unwrap();
    }
    if std::env::var_os("BEZANT_BLESS").is_some() {
        std::fs::write(golden_file(), &golden).unwrap();
    }
    let expected = std::fs::read_to_string(golden_file()).unwrap_or_default();
    let (are, were): (BTreeSet<&str>, BTreeSet<&str>) = (golden.lines().collect(), expected.lines().collect());
    let changed: Vec<_> = are.symmetric_difference(&were).collect();
    assert!(changed.is_empty(), "these are not as in {}: {changed:#?}", golden_file().display());
}

/// The numbers in the line `# Hazards: 29, 30` of a scenario.
fn hazards_of(text: &str) -> BTreeSet<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix("# Hazards: "));
    line.into_iter().flat_map(|line| line.split(", ")).map(|number| number.parse().unwrap()).collect()
}

/// `P-2`, `V-3,`.
fn is_rule(word: &str) -> bool {
    let mut parts = word.trim_end_matches(|one: char| !one.is_ascii_digit()).split('-');
    let family = parts.next().is_some_and(|part| part.len() == 1);
    family && parts.next().is_some_and(|part| part.parse::<u8>().is_ok())
}

#[test]
fn every_scenario_says_what_it_shows() {
    for (name, text) in scenarios() {
        let scenario: Scenario = text.parse().unwrap();
        assert!(!scenario.comment.is_empty() && !scenario.expectations.is_empty(), "{name}");
        assert!(scenario.comment.iter().any(|line| line.split_whitespace().any(is_rule)), "{name} cites no rule");
        assert!(hazards_of(&text).iter().all(|hazard| (1..=HAZARDS).contains(hazard)), "{name}");
        assert!(text.lines().all(|line| line.len() <= 120), "{name} has a line beyond the margin");
    }
}

/// Rows of the table of hazards: `| number | what goes wrong | what stands against it | who plays it |`.
fn rows() -> BTreeMap<u32, String> {
    let page = std::fs::read_to_string(root().join("docs/protocol/hazards.md")).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        Some((cells.first()?.parse().ok()?, (*cells.get(3)?).to_owned()))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn every_hazard_is_played_or_has_a_reason() {
    let mut players: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (name, text) in scenarios() {
        for hazard in hazards_of(&text) {
            players.entry(hazard).or_default().insert(name.clone());
        }
    }
    let rows = rows();
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), (1..=HAZARDS).collect::<Vec<_>>());
    for (hazard, cell) in rows {
        match players.get(&hazard) {
            None => assert!(
                cell.starts_with("not played: ") && cell.len() > 20,
                "no scenario plays hazard {hazard}: its row must say `not played: ` and why, or where it is tested"
            ),
            Some(players) => {
                let named: BTreeSet<String> = cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
                assert_eq!(&named, players, "row {hazard} of the table names other scenarios than play it");
            }
        }
    }
}
