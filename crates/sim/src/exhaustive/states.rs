//! The states of the world that were seen, exactly: numbers of local states, and how each was first reached.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A state of the world: the number of each honest replica's local state.
pub(super) type State = [u32; 4];

/// A set of states in the order in which they were found. An open table of indices over the list: a state costs about
/// thirty bytes.
pub(super) struct States {
    found: Vec<State>,
    parents: Vec<u32>,
    table: Vec<u32>,
}

const EMPTY: u32 = u32::MAX;

impl States {
    pub(super) fn new() -> Self {
        Self { found: Vec::new(), parents: Vec::new(), table: vec![EMPTY; 1 << 16] }
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn get(&self, index: usize) -> State {
        self.found[index]
    }

    /// Where it was reached from; the first from itself.
    pub(super) fn parent(&self, index: usize) -> usize {
        self.parents[index] as usize
    }

    /// Adds a state, and says whether it is new.
    pub(super) fn insert(&mut self, state: State, parent: usize) -> bool {
        if 2 * (self.found.len() + 1) > self.table.len() {
            self.grow();
        }
        let place = self.place(&state);
        if self.table[place] != EMPTY {
            return false;
        }
        self.table[place] = u32::try_from(self.found.len()).expect("memory ends before four thousand million states");
        self.found.push(state);
        self.parents.push(u32::try_from(parent).expect("a parent is a state"));
        true
    }

    fn place(&self, state: &State) -> usize {
        let mask = self.table.len() - 1;
        let mut place = hash(state) & mask;
        while self.table[place] != EMPTY && self.found[self.table[place] as usize] != *state {
            place = (place + 1) & mask;
        }
        place
    }

    fn grow(&mut self) {
        self.table = vec![EMPTY; 2 * self.table.len()];
        for index in 0..self.found.len() {
            let place = self.place(&self.found[index]);
            self.table[place] = index as u32;
        }
    }
}

/// A map from states or parts of them.
pub(super) type Table<V> = HashMap<State, V, BuildHasherDefault<Mixer>>;

/// Mixes the numbers of a state. They are the world's own, so nobody chooses them to collide.
#[derive(Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        }
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

fn hash(state: &State) -> usize {
    let low = u64::from(state[0]) | u64::from(state[1]) << 32;
    let high = u64::from(state[2]) | u64::from(state[3]) << 32;
    let mixed = (low ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ mixed >> 32 ^ high).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (mixed ^ mixed >> 29) as usize
}
