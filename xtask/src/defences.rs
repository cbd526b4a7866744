//! What each adversary costs with the defence against it and without it: the table of `docs/testing.md`.
//!
//! A defence is taken away by a mutant that says whom it is `against:`. Both sides are measured by `bezant sim cost`,
//! on the same seeds; what was kept is held against the group with nobody corrupted and every defence in place.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::mutants::{Copy, read_all, tail};
use crate::tree::root;

/// What an adversary cost.
struct Cost {
    failure: Option<String>,
    answered: u64,
    answered_without: u64,
    longest_wait_ms: u64,
    sent_kib_per_second: u64,
    highest_view: u64,
}

/// Measures for the adversaries whose name contains one of `names`, or for all.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    let mutants = read_all(&root().join("mutants"))?;
    let chosen = |adversary: &&String| names.is_empty() || names.iter().any(|name| adversary.contains(name));
    let adversaries: Vec<&String> = mutants.iter().flat_map(|mutant| &mutant.against).filter(chosen).collect();
    ensure!(!adversaries.is_empty(), "no mutant takes away a defence against that: see `against:` in `mutants`");
    let copy = Copy::make("mutants")?;
    println!(
        "| adversary | with all defences | kept | longest wait | sent | view | without: | | kept | longest wait | sent \
         | view |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    // First everything that the unchanged copy says, so that it is built once.
    let with = adversaries.iter().map(|name| Ok((*name, measure(&copy, name)?))).collect::<Result<BTreeMap<_, _>>>()?;
    for mutant in mutants.iter().filter(|mutant| mutant.against.iter().any(|one| with.contains_key(one))) {
        let of_this: Vec<&String> = mutant.against.iter().filter(|one| with.contains_key(one)).collect();
        let measure = || of_this.iter().map(|name| measure(&copy, name)).collect::<Result<Vec<_>>>();
        let without = copy.with(mutant, measure).with_context(|| mutant.name.clone())?;
        for (name, without) in of_this.iter().zip(&without) {
            let with = &with[*name];
            let cells = |cost: &Cost| {
                let kept = (cost.answered * 100).checked_div(with.answered_without).unwrap_or_default();
                let Cost { longest_wait_ms, sent_kib_per_second, highest_view, .. } = cost;
                format!("{kept} % | {longest_wait_ms} ms | {sent_kib_per_second} KiB/s | {highest_view}")
            };
            let verdict = |cost: &Cost| cost.failure.clone().map_or("holds".to_owned(), |failure| oracle(&failure));
            println!(
                "| {name} | {} | {} | `{}` | {} | {} |",
                verdict(with),
                cells(with),
                mutant.name,
                verdict(without),
                cells(without)
            );
        }
    }
    Ok(())
}

/// What did not hold: `seed 0: agreement: two ...` is `agreement fails`.
fn oracle(failure: &str) -> String {
    let name = failure.split(": ").nth(1).unwrap_or(failure);
    format!("**{name}** fails")
}

fn measure(copy: &Copy, adversary: &str) -> Result<Cost> {
    let output = copy.run(&format!("sim cost {adversary} --json"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Ok(Value::Array(rows)) = serde_json::from_str(&text) else {
        bail!("`bezant sim cost {adversary}` does not print its table:\n{}", tail(&output));
    };
    let row = rows.iter().find(|row| row["adversary"] == adversary).context("its row is not in the table")?;
    let number = |name: &str| row[name].as_u64().with_context(|| format!("its row has no `{name}`"));
    Ok(Cost {
        failure: row["failure"].as_str().map(str::to_owned),
        answered: number("answered")?,
        answered_without: number("answered_without")?,
        longest_wait_ms: number("longest_wait_ms")?,
        sent_kib_per_second: number("sent_kib_per_second")?,
        highest_view: number("highest_view")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_the_oracle_that_found_it() {
        assert_eq!(oracle("seed 2: agreement: two batches at 7"), "**agreement** fails");
        assert_eq!(oracle("nothing"), "**nothing** fails");
    }

    #[test]
    fn no_defence_is_taken_away_twice_against_the_same_adversary() {
        let mutants = read_all(&root().join("mutants")).unwrap();
        let mut against: Vec<_> = mutants.iter().flat_map(|mutant| &mutant.against).collect();
        let all = against.len();
        against.sort_unstable();
        against.dedup();
        assert_eq!(against.len(), all);
        assert!(all > 15, "{all}");
    }
}
