//! Changes inputs at random, from a seed.

use bezant_sim::dice::Dice;

/// Makes new inputs of old ones.
#[derive(Debug)]
pub struct Mutator {
    dice: Dice,
}

/// Numbers at which decoders break.
const EDGES: [u64; 10] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];

impl Mutator {
    /// The mutations of a seed.
    pub fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed) }
    }

    /// A new input: one of `corpus`, changed in a few places, or crossed with another.
    pub fn next(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.dice.pick(corpus).cloned().unwrap_or_default();
        if self.dice.below(8) == 0 {
            let other = self.dice.pick(corpus).cloned().unwrap_or_default();
            let (here, there) = (self.place(&input), self.place(&other));
            input.truncate(here);
            input.extend_from_slice(&other[there..]);
        }
        for _ in 0..self.dice.between(1, 6) {
            self.change(&mut input);
        }
        input
    }

    fn place(&mut self, input: &[u8]) -> usize {
        usize::try_from(self.dice.below(input.len() as u64 + 1)).unwrap_or(0)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.place(input);
        match self.dice.below(8) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.dice.below(8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.dice.any() as u8;
                }
            }
            2 => input.truncate(at),
            3 => input.insert(at, self.dice.any() as u8),
            4 => {
                if at < input.len() {
                    input.remove(at);
                }
            }
            5 => {
                // A number at an edge, as wide as a field may be.
                let edge = self.dice.pick(&EDGES).copied().unwrap_or(0).to_le_bytes();
                let width = [1, 2, 4, 8][usize::try_from(self.dice.below(4)).unwrap_or(0)];
                for (byte, new) in input.iter_mut().skip(at).zip(&edge[..width]) {
                    *byte = *new;
                }
            }
            6 => {
                let end = (at + usize::try_from(self.dice.below(64)).unwrap_or(0)).min(input.len());
                let copy = input[at..end].to_vec();
                let to = self.place(input);
                input.splice(to..to, copy);
            }
            _ => {
                let end = (at + usize::try_from(self.dice.below(64)).unwrap_or(0)).min(input.len());
                input.drain(at..end);
            }
        }
    }
}
