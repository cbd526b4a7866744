//! A deterministic schedule and everything that differs from it in a few places.
//!
//! By default letters arrive in the order in which they were said, to each in turn; when none is left, the alarm that
//! was set first rings. The corrupted member follows a [`Ploy`]: what it votes for before each of the others, and how
//! it asks for a view. A deviation puts the next letter behind all others, loses it, lets an alarm ring early, crashes
//! a replica, or lets the corrupted member say something else from its menu to somebody at once.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Instant;

use bezant_pbft::Timer;
use bezant_types::View;

use super::small::{Move, Small, may_ring};
use super::states::State;
use super::{Bounds, Crime, Limits};

/// What a delay-bounded search has seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DelayReport {
    /// How the corrupted member was made to behave: so many ploys.
    pub ploys: usize,
    /// Courses that were followed to their end.
    pub courses: u64,
    /// Those of them in which a later view was opened.
    pub with_new_view: u64,
    /// Those of them in which every honest replica delivered every slot.
    pub complete: u64,
    /// Different states, the mail under way included.
    pub states: usize,
    /// Steps that were taken.
    pub transitions: u64,
    /// The longest course.
    pub longest: usize,
    /// Whether there is nothing more.
    pub exhausted: bool,
    /// What is wrong, and how it came to that.
    pub crime: Option<Crime>,
    /// How long it took.
    pub seconds: f64,
}

/// Follows the schedule with every placement of at most `deviations` deviations.
///
/// # Errors
/// What in the bounds cannot be.
pub fn delay_bounded(bounds: Bounds, deviations: u8, limits: Limits) -> Result<DelayReport, String> {
    let started = Instant::now();
    let (small, first) = Small::new(bounds)?;
    let mut search = Search { small, seen: HashMap::new(), report: DelayReport::default() };
    let ploys = Ploy::all(&search.small);
    search.report.ploys = ploys.len();
    for ploy in ploys {
        let mut open = vec![(search.begin(first, &ploy)?, deviations)];
        while let Some((course, left)) = open.pop() {
            let over = search.seen.len() >= limits.states || course.length >= limits.depth;
            if over || (search.report.transitions.is_multiple_of(1024) && started.elapsed() >= limits.time) {
                return Ok(search.end(started, false, None));
            }
            if let Err(crime) = search.follow(&ploy, course, left, &mut open) {
                return Ok(search.end(started, false, Some(crime)));
            }
        }
    }
    Ok(search.end(started, true, None))
}

/// How the corrupted member behaves by default.
#[derive(Clone, Debug, Hash)]
struct Ploy {
    /// Which of the two batches it supports before each honest replica, in every view; `None`: it says nothing.
    told: Vec<Option<usize>>,
    asking: Asking,
}

/// How it asks for another view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asking {
    Never,
    /// As if nothing had prepared.
    Empty,
    /// With the first certificates that it can put together.
    Stale,
    /// With the last.
    Latest,
}

impl Ploy {
    fn all(small: &Small) -> Vec<Self> {
        if small.group.traitor.is_none() {
            return vec![Self { told: vec![None; small.honest.len()], asking: Asking::Never }];
        }
        let mut told = vec![Vec::new()];
        for _ in &small.honest {
            let longer = |one: &Vec<Option<usize>>| {
                [None, Some(0), Some(1)].map(|next| one.iter().copied().chain([next]).collect::<Vec<_>>())
            };
            told = told.iter().flat_map(longer).collect();
        }
        let askings: &[Asking] = if small.bounds.views > 1 {
            &[Asking::Never, Asking::Empty, Asking::Stale, Asking::Latest]
        } else {
            &[Asking::Never]
        };
        let with = |told: &Vec<_>| askings.iter().map(|asking| Self { told: told.clone(), asking: *asking }).collect();
        told.iter().flat_map(|told| -> Vec<Self> { with(told) }).collect()
    }
}

/// One course of the world, so far.
#[derive(Clone)]
struct Course {
    state: State,
    /// Letters under way: which, and to whom.
    mail: VecDeque<(usize, usize)>,
    /// Alarms in the order in which they were set.
    alarms: VecDeque<(usize, Timer)>,
    /// The views in which the corrupted member has voted, and those that it has opened.
    voted: u64,
    opened: u64,
    length: usize,
    past: Option<Rc<Past>>,
}

/// What has happened, last first.
struct Past {
    what: String,
    before: Option<Rc<Past>>,
}

struct Search {
    small: Small,
    /// With how many deviations left a state was reached, at best.
    seen: HashMap<(u64, u64), u8>,
    report: DelayReport,
}

impl Search {
    fn end(mut self, started: Instant, exhausted: bool, crime: Option<Crime>) -> DelayReport {
        self.report.states = self.seen.len();
        self.report.seconds = started.elapsed().as_secs_f64();
        DelayReport { exhausted, crime, ..self.report }
    }

    fn begin(&mut self, state: State, ploy: &Ploy) -> Result<Course, String> {
        let (mail, alarms) = (VecDeque::new(), VecDeque::new());
        let mut course = Course { state, mail, alarms, voted: 0, opened: 0, length: 0, past: None };
        for place in 0..self.small.honest.len() {
            self.after_step(&mut course, Move::Restart(place), None);
        }
        self.vote(&mut course, ploy, View::ZERO);
        Ok(course)
    }

    /// Goes on with a course: as the schedule says, and in every other way if that is still allowed.
    fn follow(&mut self, ploy: &Ploy, mut course: Course, left: u8, open: &mut Vec<(Course, u8)>) -> Result<(), Crime> {
        self.small.rewrite_menu().map_err(|what| crime(&course, what))?;
        self.scheme(&mut course, ploy);
        if !self.is_new(ploy, &course, left) {
            return Ok(());
        }
        if left > 0 {
            self.deviate(&course, left - 1, open)?;
        }
        if let Some((letter, place)) = course.mail.pop_front() {
            open.push((self.step(course, Move::Hear(place, letter), "")?, left));
            return Ok(());
        }
        while let Some((place, timer)) = course.alarms.pop_front() {
            if self.is_set(&course, place, timer) {
                open.push((self.step(course, Move::Ring(place, timer), "")?, left));
                return Ok(());
            }
        }
        self.count(&course);
        Ok(())
    }

    fn is_set(&self, course: &Course, place: usize, timer: Timer) -> bool {
        let local = &self.small.locals[course.state[place] as usize].local;
        local.timers.contains(&timer) && may_ring(timer, self.small.bounds.views)
    }

    /// Every deviation from the schedule here.
    fn deviate(&mut self, course: &Course, left: u8, open: &mut Vec<(Course, u8)>) -> Result<(), Crime> {
        if let Some(head) = course.mail.front().copied() {
            let mut lost = course.clone();
            lost.mail.pop_front();
            lost.note(|| format!("{} is lost", self.small.tell(Move::Hear(head.1, head.0))));
            if course.mail.len() > 1 {
                let mut delayed = lost.clone();
                delayed.past.clone_from(&course.past);
                delayed.mail.push_back(head);
                delayed.note(|| format!("{} is delayed", self.small.tell(Move::Hear(head.1, head.0))));
                open.push((delayed, left));
            }
            open.push((lost, left));
        }
        for (place, timer) in course.alarms.iter().copied() {
            if self.is_set(course, place, timer) {
                open.push((self.step(course.clone(), Move::Ring(place, timer), "early: ")?, left));
            }
        }
        for place in 0..self.small.honest.len() {
            for what in self.small.possible(&course.state, place) {
                let wanted = match what {
                    Move::Hear(_, letter) => self.small.letters[letter].needs.is_some(),
                    Move::Ring(..) => false,
                    Move::Restart(_) => true,
                };
                if wanted {
                    open.push((self.step(course.clone(), what, "")?, left));
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, mut course: Course, what: Move, how: &str) -> Result<Course, Crime> {
        let place = what.place();
        let before = course.state[place];
        course.note(|| format!("{how}{}", self.small.tell(what)));
        course.length += 1;
        let after = self.small.after(before, what).map_err(|what| crime(&course, what))?;
        course.state[place] = after;
        self.report.transitions += 1;
        self.small.judge(&course.state).map_err(|what| crime(&course, what))?;
        self.after_step(&mut course, what, Some(before));
        Ok(course)
    }

    /// What a step said is under way, and its alarms are set.
    fn after_step(&mut self, course: &mut Course, what: Move, before: Option<u32>) {
        let place = what.place();
        let now = &self.small.locals[course.state[place] as usize];
        let past = before.map(|before| &self.small.locals[before as usize]);
        let said = past.map_or(now.said, |past| now.said.without(&past.said));
        for letter in said.iter() {
            course.mail.extend(self.small.hearers(letter).map(|hearer| (letter, hearer)));
        }
        // One that has just rung may be set again at once.
        let was_set = |timer| past.is_some_and(|past| past.local.timers.contains(timer));
        let fresh = now.local.timers.iter().filter(|timer| !was_set(timer) || what == Move::Ring(place, **timer));
        course.alarms.extend(fresh.map(|timer| (place, *timer)));
    }

    /// What the corrupted member does by default, when others have asked for a view.
    fn scheme(&mut self, course: &mut Course, ploy: &Ploy) {
        if self.small.group.traitor.is_none() {
            return;
        }
        for view in (1..self.small.bounds.views).map(View::new) {
            let available = self.small.available(&course.state);
            let (mut asked, mut own) = (false, Vec::new());
            for letter in available.iter().filter(|letter| self.small.is_about(*letter, "view change", view)) {
                if self.small.letters[letter].needs.is_some() { own.push(letter) } else { asked = true }
            }
            if asked && course.voted >> view.get() & 1 == 0 {
                own.sort_by_key(|letter| self.small.prepared(*letter));
                let some = own.iter().find(|letter| self.small.prepared(**letter).is_some());
                let chosen = match ploy.asking {
                    Asking::Never => None,
                    Asking::Empty => own.first(),
                    Asking::Stale => some.or(own.first()),
                    Asking::Latest => own.last(),
                };
                if let Some(letter) = chosen.copied() {
                    course.mail.extend(self.small.hearers(letter).map(|hearer| (letter, hearer)));
                }
                self.vote(course, ploy, view);
            }
            let opens = |letter: &usize| {
                self.small.letters[*letter].needs.is_some() && self.small.is_about(*letter, "new view", view)
            };
            if course.mail.is_empty()
                && course.opened >> view.get() & 1 == 0
                && let Some(letter) = available.iter().find(opens)
            {
                course.opened |= 1 << view.get();
                course.mail.extend(self.small.hearers(letter).map(|hearer| (letter, hearer)));
                // What it proposes belongs behind the opening.
                self.vote(course, ploy, view);
            }
        }
    }

    /// The corrupted member votes in a view: before each as its ploy says.
    fn vote(&self, course: &mut Course, ploy: &Ploy, view: View) {
        if self.small.group.traitor.is_none() {
            return;
        }
        course.voted |= 1 << view.get();
        for (place, told) in ploy.told.iter().enumerate() {
            let votes = told.map(|which| self.small.votes(view, which)).unwrap_or_default();
            course.mail.extend(votes.into_iter().map(|letter| (letter, place)));
        }
    }

    fn is_new(&mut self, ploy: &Ploy, course: &Course, left: u8) -> bool {
        let hash = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            (salt, ploy, course.state, &course.mail, &course.alarms, course.voted, course.opened).hash(&mut hasher);
            hasher.finish()
        };
        match self.seen.get_mut(&(hash(1), hash(2))) {
            Some(best) if *best >= left => false,
            Some(best) => {
                *best = left;
                true
            }
            None => {
                self.seen.insert((hash(1), hash(2)), left);
                true
            }
        }
    }

    fn count(&mut self, course: &Course) {
        self.report.courses += 1;
        self.report.longest = self.report.longest.max(course.length);
        let locals = || course.state.iter().take(self.small.honest.len()).map(|one| &self.small.locals[*one as usize]);
        let opened =
            |letter| (1..self.small.bounds.views).any(|view| self.small.is_about(letter, "new view", View::new(view)));
        self.report.with_new_view +=
            u64::from(course.opened > 0 || locals().any(|known| known.said.iter().any(opened)));
        let slots = self.small.batches.len();
        self.report.complete += u64::from(locals().all(|known| known.local.delivered.len() >= slots));
    }
}

impl Course {
    fn note(&mut self, what: impl FnOnce() -> String) {
        self.past = Some(Rc::new(Past { what: what(), before: self.past.clone() }));
    }
}

fn crime(course: &Course, what: String) -> Crime {
    let mut path = Vec::new();
    let mut past = &course.past;
    while let Some(one) = past {
        path.push(one.what.clone());
        past = &one.before;
    }
    path.reverse();
    Crime { what, path }
}
