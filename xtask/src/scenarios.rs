//! Which scenarios fail with which mistake: a scenario that no mistake makes fail may show nothing.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::mutants::{Copy, read_all, tail};
use crate::tree::root;

/// How many worlds run at once.
const THREADS: usize = 2;

/// Makes each mistake whose name contains one of `names`, or all of them, and runs every scenario.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    let mut mutants = read_all(&root().join("mutants"))?;
    mutants.retain(|mutant| names.is_empty() || names.iter().any(|name| mutant.name.contains(name)));
    ensure!(!mutants.is_empty(), "there is no such mutant: the folder `mutants` names them");
    let copy = Copy::make("mutants")?;
    let all = scenarios(&copy)?;
    let already = failing(&copy, &all)?;
    ensure!(already.is_empty(), "without any mistake these fail: {already:?}");
    let mut notice = BTreeSet::new();
    for mutant in &mutants {
        let failed = copy.with(mutant, || failing(&copy, &all))?;
        println!("{}: {}", mutant.name, list(&failed));
        notice.extend(failed);
    }
    let never: BTreeSet<String> = all.difference(&notice).cloned().collect();
    println!("{} of {} scenarios fail with a mistake; with none: {}", notice.len(), all.len(), list(&never));
    Ok(())
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "none".to_owned() } else { names.iter().cloned().collect::<Vec<_>>().join(", ") }
}

fn scenarios(copy: &Copy) -> Result<BTreeSet<String>> {
    let files = fs::read_dir(copy.tree().join("scenarios")).context("the folder `scenarios`")?;
    let names = files.map(|file| Ok(file?.path().file_stem().context("a scenario has a name")?.to_owned()));
    names.map(|name| name.map(|name| name.to_string_lossy().into_owned())).collect()
}

/// Those that fail in the copy as it is.
fn failing(copy: &Copy, all: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let built = copy.run("sim list")?;
    ensure!(built.status.success(), "it does not build:\n{}", tail(&built));
    let program = copy.target().join("debug").join("bezant");
    let (next, failed) = (Mutex::new(all.iter()), Mutex::new(BTreeSet::new()));
    let work = || -> Result<()> {
        loop {
            // The lock ends with this line: the other threads need it while the world runs.
            let Some(name) = next.lock().unwrap_or_else(PoisonError::into_inner).next() else { return Ok(()) };
            let mut run = Command::new(&program);
            run.args(["sim", "--script"]).arg(copy.tree().join("scenarios").join(name).with_extension("txt"));
            let status = run.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            if !status.success() {
                failed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}
