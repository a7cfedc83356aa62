//! Follows a run second by second: a verdict on its newest seconds, and one on all of it in the end.

use std::collections::{BTreeMap, VecDeque};

use super::figures::{DriverFigures, Stretch, TargetShare};
use super::rules::verdict;
use super::target::TargetCpu;
use super::{FoundLimit, LimitedBy, Resource};

/// A verdict looks back over so many seconds.
const WINDOW_SECONDS: usize = 10;
/// Fewer say too little: connections warm up.
const MIN_SECONDS: usize = 2;
/// A limit that did not hold until the end decides when it held for this share of the run.
const WORTH_TELLING: f64 = 0.2;

type Key = (LimitedBy, Option<Resource>);

/// Draws the verdicts on one run. Its memory: the figures of [`WINDOW_SECONDS`] seconds, and one line for each kind of verdict.
#[derive(Clone, Debug, Default)]
pub struct LimitWatch {
    seconds: VecDeque<Second>,
    newest: Option<FoundLimit>,
    judged: u64,
    held: BTreeMap<Key, Held>,
}

#[derive(Clone, Debug)]
struct Second {
    index: u64,
    drivers: Vec<DriverFigures>,
    target: Option<TargetCpu>,
}

/// For how many seconds a verdict held, and how it read first and last.
#[derive(Clone, Debug)]
struct Held {
    seconds: u64,
    since_second: u64,
    /// How it read when most responses a second came.
    found: FoundLimit,
}

impl LimitWatch {
    /// The next second of each driver, and what the target used since the last second of which that is known. One in which nothing
    /// was sent any more says nothing.
    pub fn second(&mut self, index: u64, drivers: Vec<DriverFigures>, target: Option<TargetCpu>) {
        if drivers.iter().all(|driver| driver.sending_ns == 0) {
            return;
        }
        self.seconds.push_back(Second { index, drivers, target });
        if self.seconds.len() > WINDOW_SECONDS {
            self.seconds.pop_front();
        }
        if self.seconds.len() < MIN_SECONDS {
            return;
        }
        let found = self.judge();
        let key = (found.limited_by, found.resource);
        let first = self.seconds.front().map_or(index, |first| first.index);
        self.judged += 1;
        let held = self.held.entry(key).or_insert(Held { seconds: 0, since_second: first, found: found.clone() });
        held.seconds += 1;
        held.found = found.clone();
        self.newest = Some(FoundLimit { since_second: Some(held.since_second), ..found });
    }

    /// The verdict on the newest seconds; `None`: there are too few yet.
    pub fn newest(&self) -> Option<&FoundLimit> {
        self.newest.as_ref()
    }

    /// The verdict on the run: what was the limit at its end, or else for a fifth of it.
    pub fn whole(&self) -> FoundLimit {
        let Some(newest) = &self.newest else {
            let found = if self.seconds.is_empty() { unknown("nothing was measured") } else { self.judge() };
            return found;
        };
        if !matches!(newest.limited_by, LimitedBy::None | LimitedBy::Unknown) {
            return newest.clone();
        }
        let limits = self.held.iter().filter(|((by, _), _)| !matches!(by, LimitedBy::None | LimitedBy::Unknown));
        let longest = limits.map(|(_, held)| held).max_by_key(|held| held.seconds);
        match longest {
            Some(held) if held.seconds as f64 >= self.judged as f64 * WORTH_TELLING => {
                FoundLimit { since_second: Some(held.since_second), ..held.found.clone() }
            }
            _ => newest.clone(),
        }
    }

    fn judge(&self) -> FoundLimit {
        let mut drivers: Vec<Stretch> = Vec::new();
        for figures in self.seconds.iter().flat_map(|second| &second.drivers) {
            match drivers.iter_mut().find(|stretch| stretch.name == figures.name) {
                Some(stretch) => stretch.append(figures),
                None => {
                    let mut stretch = Stretch::default();
                    stretch.append(figures);
                    drivers.push(stretch);
                }
            }
        }
        verdict(&drivers, self.target_share())
    }

    fn target_share(&self) -> Option<TargetShare> {
        let add = |mut all: TargetCpu, next: TargetCpu| {
            all.append(&next);
            all
        };
        let used = self.seconds.iter().filter_map(|second| second.target).reduce(add)?;
        Some(TargetShare::of(&used))
    }
}

fn unknown(why: &str) -> FoundLimit {
    FoundLimit { limited_by: LimitedBy::Unknown, resource: None, reasons: why.into(), since_second: None }
}
