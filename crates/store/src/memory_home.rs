//! A home in memory, whose disks can go wrong in all the ways that real ones can.

use std::io;
use std::path::{Path, PathBuf};

use bezant_types::Digest;

use crate::disk::memory::Crash;
use crate::disk::{Disk as _, MemoryDisk};
use crate::home::{HomeError, STATE_FILE};
use crate::place::{Layout, Part, Place};
use crate::state::{StateError, StateStore};

/// A home in memory. Clones are handles to the same home: whoever simulates a replica keeps one, and the replica that
/// is about to crash owns what was opened from another.
///
/// # Crashing
///
/// [`Self::restart`], whereupon what was opened before does nothing more, and can be dropped. Dropped *before* that, on
/// a machine that has not been made to [`Self::stop`], the state store would end with a clean shutdown, as no process
/// does that is killed.
///
/// Nothing locks it. Two replicas that run on one home at once are what its owner should never make.
#[derive(Clone, Debug)]
pub struct MemoryHome {
    layout: Layout,
    log: MemoryDisk,
    blocks: MemoryDisk,
    state: MemoryDisk,
}

impl MemoryHome {
    /// An empty home. Small files cost less to recover from, and are begun anew more often.
    pub fn new(layout: Layout) -> Self {
        Self { layout, log: MemoryDisk::new(), blocks: MemoryDisk::new(), state: MemoryDisk::new() }
    }

    /// The disk on which a part lies, to make it fail.
    pub fn disk(&self, part: Part) -> &MemoryDisk {
        match part {
            Part::Log => &self.log,
            Part::Blocks => &self.blocks,
            Part::State => &self.state,
        }
    }

    /// The machine stops: everything that is tried from now on fails.
    pub fn stop(&self) {
        PARTS.iter().for_each(|part| self.disk(*part).stop_after(0));
    }

    /// The machine crashes, now or when it stopped, and comes up again with all faults mended.
    pub fn restart(&self, crash: Crash) {
        for (nth, part) in PARTS.iter().enumerate() {
            self.disk(*part).restart(match crash {
                // Or all parts would toss the same coins.
                Crash::TearsUnsynced { seed } => Crash::TearsUnsynced { seed: seed.wrapping_add(nth as u64) },
                Crash::LosesUnsynced | Crash::KeepsUnsynced => crash,
            });
        }
    }
}

impl Place for MemoryHome {
    type Disk = MemoryDisk;

    fn layout(&self) -> Layout {
        self.layout
    }

    fn log_disk(&self) -> Result<MemoryDisk, HomeError> {
        Ok(self.log.clone())
    }

    fn blocks_disk(&self) -> Result<MemoryDisk, HomeError> {
        Ok(self.blocks.clone())
    }

    fn open_state(&self, identity: Digest) -> Result<StateStore, StateError> {
        StateStore::open_in_memory(self.state.clone(), STATE_FILE, identity)
    }

    fn set_aside(&self, parts: &[Part]) -> Result<Option<PathBuf>, HomeError> {
        let names = |part: &Part| self.disk(*part).list().map_err(failed);
        let mut there = Vec::new();
        let mut number = 1;
        for part in &PARTS {
            for name in names(part)? {
                match name.strip_prefix(LOST).and_then(|rest| rest.split_once('/')) {
                    Some((taken, _)) => number = number.max(taken.parse().unwrap_or(0) + 1),
                    None if parts.contains(part) => there.push((part, name)),
                    None => {}
                }
            }
        }
        for (part, name) in &there {
            self.disk(**part).clone().rename(name, &format!("{LOST}{number}/{name}")).map_err(failed)?;
        }
        Ok((!there.is_empty()).then(|| Path::new(ROOT).join(format!("{LOST}{number}"))))
    }
}

fn failed(source: io::Error) -> HomeError {
    HomeError::disk(Path::new(ROOT), "setting aside", source)
}

const PARTS: [Part; 3] = [Part::Log, Part::Blocks, Part::State];
/// How a person is told where something lies.
const ROOT: &str = "memory";
const LOST: &str = "lost-";
