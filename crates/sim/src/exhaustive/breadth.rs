//! Every state, nearest first.

use std::time::Instant;

use super::small::{Move, Small};
use super::states::{State, States};
use super::{Bounds, Crime, Limits, Report};

/// How many states are taken between two looks at the clock.
const STRIDE: usize = 4096;

/// Takes the states of a small world, nearest first, until there are no more, a limit is reached, or one is bad.
///
/// # Errors
/// What in the bounds cannot be.
pub fn breadth_first(bounds: Bounds, limits: Limits) -> Result<Report, String> {
    let started = Instant::now();
    let (small, first) = Small::new(bounds)?;
    let mut search = Search { small, states: States::new(), transitions: 0 };
    search.states.insert(first, 0);
    let mut report = Report::default();
    // States up to here lie at most `depth` steps from the beginning.
    let (mut next, mut end) = (0, 1);
    let crime = loop {
        if next == end {
            if end == search.states.len() {
                report.exhausted = true;
                break None;
            }
            report.depth += 1;
            end = search.states.len();
        }
        let late = next % STRIDE == 0 && started.elapsed() >= limits.time;
        if late || search.states.len() >= limits.states || report.depth >= limits.depth {
            break None;
        }
        match search.expand(next) {
            Ok(()) => next += 1,
            Err(crime) => break Some(crime),
        }
    };
    Ok(Report {
        states: search.states.len(),
        transitions: search.transitions,
        local_states: search.small.locals.len(),
        messages: search.small.letters.len(),
        crime,
        seconds: started.elapsed().as_secs_f64(),
        ..report
    })
}

struct Search {
    small: Small,
    states: States,
    transitions: u64,
}

impl Search {
    /// Takes every step from a state.
    fn expand(&mut self, index: usize) -> Result<(), Crime> {
        let state = self.states.get(index);
        for place in 0..self.small.honest.len() {
            for what in self.small.possible(&state, place) {
                let after = self.small.after(state[place], what);
                let after = after.map_err(|crime| self.crime(index, Some(what), crime))?;
                if after == state[place] {
                    continue;
                }
                self.transitions += 1;
                let mut state = state;
                state[place] = after;
                if self.states.insert(state, index) {
                    self.small.judge(&state).map_err(|crime| self.crime(index, Some(what), crime))?;
                }
            }
        }
        self.small.rewrite_menu().map_err(|crime| self.crime(index, None, crime))
    }

    /// How it came to this.
    fn crime(&self, mut index: usize, last: Option<Move>, what: String) -> Crime {
        let mut path: Vec<String> = last.map(|last| self.small.tell(last)).into_iter().collect();
        while index != 0 {
            let parent = self.states.parent(index);
            path.push(self.between(&self.states.get(parent), &self.states.get(index)));
            index = parent;
        }
        path.reverse();
        Crime { what, path }
    }

    fn between(&self, before: &State, after: &State) -> String {
        let place = before.iter().zip(after).position(|(one, other)| one != other).unwrap_or_default();
        let moves = self.small.led(place, before[place], after[place]);
        moves.map_or_else(|| "something happens".into(), |what| self.small.tell(what))
    }
}
