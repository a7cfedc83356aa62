//! Load that changes over time: phases in their order, as people and messages write them (`30s@1k, 1m@1k..10k, 20s@max`).
//! Pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::human;
use crate::limits;
use crate::options::people::{self, Wrong, shown};

const RIGHT: &str = "write LENGTH@RATE, LENGTH@FROM..TO (a ramp), LENGTH@FROM..TO/STEPS, LENGTH@max or LENGTH@pause, with \
    commas between, such as 30s@1k, 1m@1k..10k, 20s@max";
const KEYS: [&str; 5] = ["for", "rate", "from", "to", "steps"];

/// How the rate goes in a phase, in requests per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// One rate.
    Constant {
        /// The rate, above 0.
        rate_per_s: f64,
    },
    /// From one rate to another, evenly.
    Ramp {
        /// The rate it begins with.
        from_per_s: f64,
        /// The rate it ends with.
        to_per_s: f64,
    },
    /// From one rate to another by steps of the same length.
    Steps {
        /// The rate of the first step.
        from_per_s: f64,
        /// The rate of the last step.
        to_per_s: f64,
        /// How many steps, at least 2.
        steps: u32,
    },
    /// As fast as connections allow.
    Free,
    /// Nothing is sent.
    Pause,
}

/// A part of a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// How long it takes.
    pub length: Duration,
    /// Its rate.
    pub shape: Shape,
}

/// What the rates of a profile are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateOf {
    /// Each driver.
    #[default]
    Driver,
    /// All drivers together.
    Total,
}

/// Phases in their order. The test ends with the last one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// What the rates are about.
    pub of: RateOf,
    /// The phases, at most [`limits::MAX_PHASES`].
    pub phases: Vec<Phase>,
}

/// How due moments are spaced within a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly.
    #[default]
    Even,
    /// At random, independently of each other: a Poisson process, the same for the same seed.
    Poisson,
}

impl Arrivals {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Arrivals::Even => "even",
            Arrivals::Poisson => "poisson",
        }
    }

    /// The spacing of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim();
        [Arrivals::Even, Arrivals::Poisson].into_iter().find(|arrivals| arrivals.name().eq_ignore_ascii_case(name))
    }
}

impl Phase {
    /// The same with every step as a phase of its own.
    pub fn without_steps(self) -> Vec<Phase> {
        let Shape::Steps { from_per_s, to_per_s, steps } = self.shape else { return vec![self] };
        let ends_ns = |step: u32| self.length.as_nanos() * u128::from(step) / u128::from(steps.max(1));
        let step = |index: u32| {
            let length_ns = ends_ns(index + 1) - ends_ns(index);
            let rise = (to_per_s - from_per_s) * f64::from(index) / f64::from(steps.saturating_sub(1).max(1));
            let rate_per_s = from_per_s + rise;
            let shape = if rate_per_s > 0.0 { Shape::Constant { rate_per_s } } else { Shape::Pause };
            Phase { length: Duration::from_nanos(u64::try_from(length_ns).unwrap_or(u64::MAX)), shape }
        };
        (0..steps).map(step).collect()
    }

    /// The rate at a moment of the phase; `None`: as fast as connections allow.
    fn rate_at(&self, since_its_start: Duration) -> Option<f64> {
        let done = (since_its_start.as_secs_f64() / self.length.as_secs_f64()).min(1.0);
        match self.shape {
            Shape::Constant { rate_per_s } => Some(rate_per_s),
            Shape::Ramp { from_per_s, to_per_s } => Some(from_per_s + (to_per_s - from_per_s) * done),
            Shape::Steps { from_per_s, to_per_s, steps } => {
                let step = (done * f64::from(steps)).floor().min(f64::from(steps) - 1.0);
                Some(from_per_s + (to_per_s - from_per_s) * step / (f64::from(steps) - 1.0).max(1.0))
            }
            Shape::Free => None,
            Shape::Pause => Some(0.0),
        }
    }

    fn problem(&self) -> Option<String> {
        if self.length.is_zero() {
            return Some("has no length; give one above 0".into());
        }
        let (min, max) = (limits::MIN_THROUGHPUT_PER_S, limits::MAX_THROUGHPUT_PER_S);
        let is_rate = |rate: f64| (min..=max).contains(&rate);
        let may_begin = |rate: f64| rate == 0.0 || is_rate(rate);
        match self.shape {
            Shape::Constant { rate_per_s } if !is_rate(rate_per_s) => {
                Some(format!("has the rate {rate_per_s}; give one request an hour to {max} a second, max, or pause"))
            }
            Shape::Ramp { from_per_s, to_per_s } | Shape::Steps { from_per_s, to_per_s, .. }
                if !may_begin(from_per_s) || !may_begin(to_per_s) || (from_per_s == 0.0 && to_per_s == 0.0) =>
            {
                Some(format!("goes from {from_per_s} to {to_per_s}; give 0 to {max} a second, and not 0 for both"))
            }
            Shape::Steps { steps, .. } if !(2..=limits::MAX_STEPS).contains(&steps) => {
                Some(format!("has {steps} steps; give 2 to {}", limits::MAX_STEPS))
            }
            _ => None,
        }
    }
}

impl Profile {
    /// How long it takes.
    pub fn length(&self) -> Duration {
        self.phases.iter().fold(Duration::ZERO, |sum, phase| sum.saturating_add(phase.length))
    }

    /// The rate so long after the start; `None`: as fast as connections allow, or it is over.
    pub fn rate_at(&self, mut since_start: Duration) -> Option<f64> {
        for phase in &self.phases {
            if since_start < phase.length {
                return phase.rate_at(since_start);
            }
            since_start -= phase.length;
        }
        None
    }

    /// What is wrong with it, and what would be right.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.phases.is_empty() || self.phases.len() > limits::MAX_PHASES {
            return Some(format!("has {} phases; give 1 to {}", self.phases.len(), limits::MAX_PHASES));
        }
        let steps = |phase: &Phase| if let Shape::Steps { steps, .. } = phase.shape { u64::from(steps) } else { 1 };
        let steps: u64 = self.phases.iter().map(steps).sum();
        let wrong = |(index, phase): (usize, &Phase)| Some((index + 1, phase.problem()?));
        if let Some((number, problem)) = self.phases.iter().enumerate().find_map(wrong) {
            return Some(format!("phase {number} {problem}"));
        }
        if steps > limits::MAX_STEPS.into() {
            return Some(format!("has {steps} phases and steps; give at most {}", limits::MAX_STEPS));
        }
        let longest = limits::MAX_DURATION;
        (self.length() > longest).then(|| format!("takes {:?}; give at most {longest:?}", self.length()))
    }

    /// As people write it: a text, a list of phases, or an object with `of` and `phases`.
    pub(crate) fn parse(given: &Value) -> Result<Self, Wrong> {
        let list = |list: &[Value]| {
            let phase = |(index, given)| phase_of(given).map_err(|why| format!("in place {} {why}", index + 1));
            list.iter().enumerate().map(phase).collect::<Result<Vec<_>, _>>()
        };
        match given {
            Value::String(text) => text.parse().map_err(Wrong::Because),
            Value::Array(phases) => Ok(Self { of: RateOf::Driver, phases: list(phases)? }),
            Value::Object(object) => {
                let of = match object.get("of").unwrap_or(&Value::Null) {
                    Value::Null => RateOf::Driver,
                    of => RateOf::from_value(of).ok_or_else(|| format!("of is {}; give driver or total", shown(of)))?,
                };
                if let Some(key) = object.keys().find(|key| !["of", "phases", "text"].contains(&key.as_str())) {
                    return Err(format!("has an unknown field {}; there are of and phases", shown_key(key)).into());
                }
                // A result shows both.
                match (object.get("phases"), object.get("text")) {
                    (Some(Value::Array(phases)), _) => Ok(Self { of, phases: list(phases)? }),
                    (None, Some(Value::String(text))) => text.parse().map_err(Wrong::Because),
                    _ => Err("has no list of phases; give {\"of\": \"total\", \"phases\": […]}".to_owned().into()),
                }
            }
            _ => Err(Wrong::Kind),
        }
    }

    /// As results show it, and as it may be written.
    pub(crate) fn shown(&self) -> Value {
        let phase = |phase: &Phase| {
            let for_s = phase.length.as_secs_f64();
            match phase.shape {
                Shape::Constant { rate_per_s } => json!({"for_s": for_s, "rate_per_s": rate_per_s}),
                Shape::Ramp { from_per_s, to_per_s } => {
                    json!({"for_s": for_s, "from_per_s": from_per_s, "to_per_s": to_per_s})
                }
                Shape::Steps { from_per_s, to_per_s, steps } => {
                    json!({"for_s": for_s, "from_per_s": from_per_s, "to_per_s": to_per_s, "steps": steps})
                }
                Shape::Free => json!({"for_s": for_s, "rate": "max"}),
                Shape::Pause => json!({"for_s": for_s, "rate": "pause"}),
            }
        };
        json!({"of": self.of.name(), "text": self.to_string(), "phases": self.phases.iter().map(phase).collect::<Vec<_>>()})
    }
}

impl RateOf {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            RateOf::Driver => "driver",
            RateOf::Total => "total",
        }
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value.as_str()?.trim().to_ascii_lowercase().as_str() {
            "driver" => Some(RateOf::Driver),
            "total" => Some(RateOf::Total),
            _ => None,
        }
    }
}

/// A phase out of an object: `{"for": "30s", "rate": "1k"}`, `{"for": "1m", "from": "1k", "to": "10k", "steps": 10}`.
fn phase_of(given: &Value) -> Result<Phase, String> {
    let given = match given {
        Value::String(text) => return phase_of_text(text),
        Value::Object(object) => object,
        other => return Err(format!("is {}; give {{\"for\": \"30s\", \"rate\": \"1k\"}}", shown(other))),
    };
    let mut object = Map::new();
    for (key, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        // With its unit, as results show it.
        let name = key.strip_suffix("_per_s").or_else(|| key.strip_suffix("_s")).unwrap_or(key);
        if !KEYS.contains(&name) {
            return Err(format!("has an unknown field {}; there are {}", shown_key(key), KEYS.join(", ")));
        }
        if object.insert(name.to_owned(), value.clone()).is_some() {
            return Err(format!("has {name} twice; give one"));
        }
    }
    let length = match object.get("for") {
        None => return Err("has no length; give for, such as \"30s\"".into()),
        Some(length) => people::duration(length)
            .map_err(|_| format!("has for as {}; give a duration like \"30s\"", shown(length)))?,
    };
    let rate = |name: &str| match object.get(name).unwrap_or(&Value::Null) {
        Value::Null => Ok(None),
        // Ramps may begin or end with nothing.
        Value::Number(number) if number.as_f64() == Some(0.0) => Ok(Some(0.0)),
        Value::String(text) if text.trim() == "0" => Ok(Some(0.0)),
        value => match people::rate(value) {
            Ok(rate) => Ok(Some(rate)),
            Err(Wrong::Write(right)) => Err(format!("has {name} as {}; {right}", shown(value))),
            Err(_) => Err(format!("has {name} as {}; give a rate like 500 or \"10k\"", shown(value))),
        },
    };
    let steps = match object.get("steps").unwrap_or(&Value::Null) {
        Value::Null => None,
        steps => {
            let whole = people::whole_number(steps).ok().and_then(|steps| u32::try_from(steps).ok());
            Some(whole.ok_or_else(|| format!("has steps as {}; give a whole number", shown(steps)))?)
        }
    };
    let word = object.get("rate").and_then(Value::as_str).map(|word| word.trim().to_ascii_lowercase());
    let has = |name: &str| object.contains_key(name);
    let shape = match word.as_deref() {
        Some("max" | "free") if !has("from") && !has("to") => Shape::Free,
        Some("pause") if !has("from") && !has("to") => Shape::Pause,
        _ => match (rate("rate")?, rate("from")?, rate("to")?, steps) {
            (Some(rate_per_s), None, None, None) => constant(rate_per_s),
            (None, Some(from_per_s), Some(to_per_s), None) => Shape::Ramp { from_per_s, to_per_s },
            (None, Some(from_per_s), Some(to_per_s), Some(steps)) => Shape::Steps { from_per_s, to_per_s, steps },
            _ => return Err("has no rate that can be told; give rate, or from and to, with steps or without".into()),
        },
    };
    Ok(Phase { length, shape })
}

fn constant(rate_per_s: f64) -> Shape {
    if rate_per_s == 0.0 { Shape::Pause } else { Shape::Constant { rate_per_s } }
}

fn phase_of_text(text: &str) -> Result<Phase, String> {
    let wrong = |why: String| format!("{:?}: {why}", people::short(text.trim(), 60));
    let (length, shape) = text.split_once('@').ok_or_else(|| wrong(RIGHT.into()))?;
    let length = human::duration(length).map_err(&wrong)?;
    let rate = |text: &str| match text.trim() {
        "0" => Ok(0.0),
        text => human::rate(text).map_err(&wrong),
    };
    let shape = match (shape.trim().to_ascii_lowercase().as_str(), shape.split_once("..")) {
        ("max" | "free", _) => Shape::Free,
        ("pause", _) => Shape::Pause,
        (_, None) => constant(rate(shape)?),
        (_, Some((from, to))) => {
            let from_per_s = rate(from)?;
            // A bare number behind the last slash counts steps: what a rate is over has a unit.
            let counted = to.rsplit_once('/').and_then(|(to, steps)| Some((to, steps.trim().parse().ok()?)));
            match counted {
                Some((to, steps)) => Shape::Steps { from_per_s, to_per_s: rate(to)?, steps },
                None => Shape::Ramp { from_per_s, to_per_s: rate(to)? },
            }
        }
    };
    Ok(Phase { length, shape })
}

fn shown_key(key: &str) -> String {
    people::short(key, people::MAX_NAME_CHARS)
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (of, phases) = match text.split_once(':') {
            Some((of, phases)) if of.trim().eq_ignore_ascii_case("total") => (RateOf::Total, phases),
            Some((of, phases)) if of.trim().eq_ignore_ascii_case("driver") => (RateOf::Driver, phases),
            _ => (RateOf::Driver, text),
        };
        Ok(Self { of, phases: phases.split(',').map(phase_of_text).collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of == RateOf::Total {
            f.write_str("total: ")?;
        }
        for (index, phase) in self.phases.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            phase.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.length.as_nanos();
        let units =
            [(3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
        let (unit_ns, unit) = units.into_iter().find(|(unit_ns, _)| ns.is_multiple_of(*unit_ns)).unwrap_or((1, "ns"));
        write!(f, "{}{unit}@{}", ns / unit_ns, self.shape)
    }
}

/// As it is written behind the `@` of a phase.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |per_s: f64| {
            let round = [(1e6, "M"), (1e3, "k")].into_iter().find(|(of, _)| per_s >= *of && per_s % of == 0.0);
            round.map_or(per_s.to_string(), |(of, unit)| format!("{}{unit}", per_s / of))
        };
        match *self {
            Shape::Constant { rate_per_s } => f.write_str(&rate(rate_per_s)),
            Shape::Ramp { from_per_s, to_per_s } => write!(f, "{}..{}", rate(from_per_s), rate(to_per_s)),
            Shape::Steps { from_per_s, to_per_s, steps } => {
                write!(f, "{}..{}/{steps}", rate(from_per_s), rate(to_per_s))
            }
            Shape::Free => f.write_str("max"),
            Shape::Pause => f.write_str("pause"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Profile {
        text.parse().unwrap_or_else(|problem| panic!("{problem}"))
    }

    #[test]
    fn a_text_a_list_and_an_object_say_the_same() {
        let text = read("30s@1k, 1m@1k..10k, 90s@0..100/10, 250ms@max, 10s@pause");
        let list = json!([
            {"for": "30s", "rate": "1k"}, {"for": 60, "from": 1000, "to": "10k"},
            {"for": "1m30s", "from": 0, "to": 100, "steps": 10}, {"for": "250ms", "rate": "max"}, "10s@0",
        ]);
        assert_eq!(Profile::parse(&list), Ok(text.clone()));
        assert_eq!(Profile::parse(&json!({"of": "total", "phases": list})), Ok(Profile { of: RateOf::Total, ..text }));
        assert_eq!(read("total: 1s@60/m").of, RateOf::Total);
        assert_eq!(read("1s@60/m..10/s").phases[0].shape, Shape::Ramp { from_per_s: 1.0, to_per_s: 10.0 });
        assert_eq!(
            read("1s@60/m..600/m/5").phases[0].shape,
            Shape::Steps { from_per_s: 1.0, to_per_s: 10.0, steps: 5 }
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (given, says) in [
            (json!("30s"), "LENGTH@RATE"),
            (json!("30s@"), "requests per second"),
            (json!("x@5"), "write 250us"),
            (json!("1s@1m"), "write 1M"),
            (json!("1s@5,"), "LENGTH@RATE"),
            (json!([{"for": "1s"}]), "in place 1 has no rate"),
            (json!(["1s@1", {"rate": 5}]), "in place 2 has no length"),
            (json!([{"for": "1s", "rate": 5, "from": 1}]), "has no rate that can be told"),
            (json!([{"for": "1s", "rat": 5}]), "unknown field rat"),
            (json!([{"for": "1s", "rate": "1m"}]), "write 1M"),
            (json!([7]), "in place 1 is 7"),
            (json!({"of": "all", "phases": []}), "give driver or total"),
            (json!({"phase": []}), "unknown field phase"),
            (json!({"of": "total"}), "no list of phases"),
        ] {
            let Err(Wrong::Because(problem)) = Profile::parse(&given) else { panic!("{given} is taken") };
            assert!(problem.contains(says), "{given}: {problem}");
        }
        for (text, says) in [
            ("1s@1, 0s@5", "phase 2 has no length"),
            ("1s@0..0", "not 0 for both"),
            ("1s@1e9", "phase 1 has the rate"),
            ("1s@1..2/1", "2 to"),
            ("800h@1", "at most"),
        ] {
            let problem = read(text).problem().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(problem.contains(says), "{text}: {problem}");
        }
        assert_eq!(read("1s@0..10, 1s@10..0, 1s@pause").problem(), None);
    }

    #[test]
    fn steps_fill_their_phase_and_reach_both_ends() {
        let steps = read("10s@1k..3k/3").phases[0].without_steps();
        let rates: Vec<_> = steps.iter().map(|phase| phase.shape).collect();
        assert_eq!(rates, [1000.0, 2000.0, 3000.0].map(|rate_per_s| Shape::Constant { rate_per_s }));
        assert_eq!(steps.iter().map(|phase| phase.length).sum::<Duration>(), Duration::from_secs(10));
        assert_eq!(read("1s@0..10/2").phases[0].without_steps()[0].shape, Shape::Pause);
    }

    #[test]
    fn the_rate_at_a_moment() {
        let profile = read("10s@100, 10s@100..200, 9s@10..30/3, 5s@max, 5s@pause");
        let at = |seconds| profile.rate_at(Duration::from_secs_f64(seconds));
        let rates = [at(0.0), at(15.0), at(22.0), at(23.5), at(28.9), at(30.0), at(36.0), at(39.0)];
        assert_eq!(rates, [Some(100.0), Some(150.0), Some(10.0), Some(20.0), Some(30.0), None, Some(0.0), None]);
        assert_eq!(profile.length(), Duration::from_secs(39));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(phases in prop::collection::vec((1..u64::MAX / 1000, 0..5, 0.0..1e7f64, 1e-3..1e7f64), 1..20), total: bool) {
            let phases = phases.into_iter().map(|(ns, shape, a, b)| Phase {
                length: Duration::from_nanos(ns),
                shape: match shape {
                    0 => Shape::Constant { rate_per_s: b },
                    1 => Shape::Ramp { from_per_s: a, to_per_s: b },
                    2 => Shape::Steps { from_per_s: a.round(), to_per_s: b.ceil(), steps: 7 },
                    3 => Shape::Free,
                    _ => Shape::Pause,
                },
            });
            let of = if total { RateOf::Total } else { RateOf::Driver };
            let profile = Profile { of, phases: phases.collect() };
            prop_assert_eq!(profile.to_string().parse::<Profile>(), Ok(profile));
        }

        #[test]
        fn any_text_is_read_or_refused_in_words(text in "[0-9a-z@.,:/ ]{0,60}") {
            if let Err(problem) = text.parse::<Profile>() {
                prop_assert!(!problem.is_empty());
            }
        }
    }
}
