//! Writes each target's inputs that get far into a folder of its own, where libFuzzer looks for what to begin with.
//!
//! ```text
//! cargo run -p bezant-fuzz --example seeds -- fuzz/corpus
//! ```

use std::path::PathBuf;
use std::{env, fs, io};

use bezant_fuzz::TARGETS;

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args_os().nth(1).unwrap_or_else(|| "fuzz/corpus".into()));
    for target in TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        for (nth, input) in (target.corpus)().iter().enumerate() {
            fs::write(folder.join(format!("seed-{nth}")), input)?;
        }
    }
    Ok(())
}
