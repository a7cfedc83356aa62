//! Reads the body of `POST /v1/searches`: what is looked for, and the options of the test that a search does not decide. Pure.

use std::time::Duration;

use onrush_api::DECIDED_BY_SEARCH;
use onrush_protocol::options::{people, schema};
use onrush_protocol::{OPTIONS, TestId, human, limits};
use onrush_search::{Criterion, Goal, MAX_BUDGET, MAX_CRITERIA, MAX_WIDTH, MIN_WIDTH};
use serde_json::{Map, Value, json};

use super::creation;
use super::fields::{MAX_LABEL_CHARS, NAME, TEST_TYPE, TRIGGER, field_named, schema_body};
use super::problem::{FieldError, FieldErrors};
use crate::NewSearch;
use crate::capacity::SPARE;

/// Connections of each driver where none are given: as many as requests overlap at 2,500 a second with 100 ms each.
const DEFAULT_CONNECTIONS: u32 = 256;
/// The defaults of the command line.
const DEFAULT_BUDGET: Duration = Duration::from_secs(300);
const DEFAULT_WIDTH: f64 = 0.05;
const DEFAULT_START_PER_S: f64 = 100.0;
const DEFAULT_MAX_PER_S: f64 = 1_000_000.0;
const CONFIDENCES: std::ops::RangeInclusive<f64> = 0.5..=0.999;
/// Shorter ones say nothing: connections warm up.
const MIN_BUDGET: Duration = Duration::from_secs(1);

const SLO: &str = "slo";
const BUDGET: &str = "budget";
const WIDTH: &str = "width";
const CONFIDENCE: &str = "confidence";
const START: &str = "start";
const MAX: &str = "max";
const OWN: [&str; 6] = [SLO, BUDGET, WIDTH, CONFIDENCE, START, MAX];

/// The search that the fields describe, or all that is wrong with them; at most so many drivers will take part.
pub(super) fn parse(
    fields: &Map<String, Value>,
    search_id: TestId,
    max_drivers: usize,
) -> Result<NewSearch, FieldErrors> {
    let mut errors = FieldErrors::default();
    let mut goal = Goal { budget: DEFAULT_BUDGET, width: DEFAULT_WIDTH, ..Goal::new(Vec::new()) };
    let (mut start, mut max) = (None, None);
    let mut test = Map::new();
    let mut given: Vec<(&str, &str)> = Vec::new();
    for (key, value) in fields {
        let Some(name) = own_named(key) else {
            match field_named(key) {
                Some(name) if DECIDED_BY_SEARCH.contains(&name) => {
                    let problem = "is decided by the search; leave it out".to_owned();
                    errors.push(|| FieldError::new(key, problem));
                }
                Some(_) => _ = test.insert(key.clone(), value.clone()),
                None => match human::closest(key, OWN.into_iter()) {
                    Some(meant) => {
                        errors.push(|| FieldError::new(key, format!("is an unknown field; did you mean {meant}?")));
                    }
                    None => _ = test.insert(key.clone(), value.clone()),
                },
            }
            continue;
        };
        if value.is_null() {
            continue;
        }
        if let Some((_, other)) = given.iter().find(|(known, _)| *known == name) {
            let problem = format!("is the same as {other}, which is given too; give one of them");
            errors.push(|| FieldError::new(key, problem));
            continue;
        }
        given.push((name, key));
        let read = match name {
            SLO => criteria(value).map(|slo| goal.slo = slo),
            BUDGET => length(value).map(|budget| goal.budget = budget),
            WIDTH => share(value, MIN_WIDTH..=MAX_WIDTH, "2% or 0.02").map(|width| goal.width = width),
            CONFIDENCE => share(value, CONFIDENCES, "95% or 0.95").map(|confidence| goal.confidence = confidence),
            START => rate(value).map(|rate| start = Some(rate)),
            _ => rate(value).map(|rate| max = Some(rate)),
        };
        if let Err(problem) = read {
            errors.push(|| FieldError::new(key, problem));
        }
    }
    if !given.iter().any(|(name, _)| *name == SLO) {
        errors.push(|| FieldError::new(SLO, "is missing; give what must be kept, such as \"p99<50ms,failed<0.1%\""));
    }
    goal.start_per_s = start.unwrap_or(max.map_or(DEFAULT_START_PER_S, |max: f64| max.min(DEFAULT_START_PER_S)));
    goal.max_per_s = max.unwrap_or(DEFAULT_MAX_PER_S.max(goal.start_per_s));
    if goal.start_per_s > goal.max_per_s {
        let problem = format!("is less than start, which is {}; give at least that", goal.start_per_s);
        errors.push(|| FieldError::new(MAX, problem));
    }
    test.insert(TEST_TYPE.name.into(), json!("AVALANCHE"));
    test.insert("total_throughput".into(), json!(goal.start_per_s));
    test.insert("duration".into(), json!((goal.budget + SPARE).as_secs_f64().ceil()));
    test.insert(TRIGGER.name.into(), json!(true));
    let mut new = match creation::parse(&test, search_id, max_drivers) {
        Ok(test) if errors.is_empty() => test,
        Ok(_) => return Err(errors),
        Err(more) => {
            errors.append(more);
            return Err(errors);
        }
    };
    new.config.connections.get_or_insert(DEFAULT_CONNECTIONS);
    new.name.get_or_insert_with(|| {
        let slo: Vec<String> = goal.slo.iter().map(ToString::to_string).collect();
        people::short(&format!("capacity: {}", slo.join(", ")), MAX_LABEL_CHARS)
    });
    Ok(NewSearch { test: new, goal })
}

/// The own field of that name; case, underscores and dashes do not matter.
fn own_named(key: &str) -> Option<&'static str> {
    let plain = key.replace(['_', '-'], "").to_lowercase();
    OWN.into_iter().find(|name| *name == plain)
}

fn criteria(value: &Value) -> Result<Vec<Criterion>, String> {
    let texts: Vec<&str> = match value {
        Value::String(text) => text.split(',').collect(),
        Value::Array(texts) => texts.iter().map(Value::as_str).collect::<Option<_>>().unwrap_or_default(),
        _ => Vec::new(),
    };
    if texts.is_empty() || texts.len() > MAX_CRITERIA {
        let given = people::shown(value);
        return Err(format!("is {given}; give 1 to {MAX_CRITERIA} criteria, such as \"p99<50ms,failed<0.1%\""));
    }
    texts.into_iter().map(onrush_api::criterion).collect()
}

fn length(value: &Value) -> Result<Duration, String> {
    let length = match value {
        Value::Number(number) => number.as_f64().and_then(human::seconds),
        Value::String(text) => human::duration(text).ok(),
        _ => None,
    };
    let wrong = || format!("is {}; give a duration from 1s to 24h, such as \"5m\"", people::shown(value));
    length.filter(|length| (MIN_BUDGET..=MAX_BUDGET).contains(length)).ok_or_else(wrong)
}

fn share(value: &Value, range: std::ops::RangeInclusive<f64>, example: &str) -> Result<f64, String> {
    let share = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.trim().strip_suffix('%') {
            Some(percent) => human::number(percent).map(|percent| percent / 100.0),
            None => human::number(text),
        },
        _ => None,
    };
    let wrong = || {
        let (low, high) = (range.start() * 100.0, range.end() * 100.0);
        format!("is {}; give a share from {low}% to {high}%, such as {example}", people::shown(value))
    };
    share.filter(|share| range.contains(share)).ok_or_else(wrong)
}

fn rate(value: &Value) -> Result<f64, String> {
    let rate = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => Some(human::rate(text)?),
        _ => None,
    };
    let range = limits::MIN_THROUGHPUT_PER_S..=limits::MAX_THROUGHPUT_PER_S;
    let wrong = || {
        let given = people::shown(value);
        format!("is {given}; give one request an hour to {} a second, over all drivers", limits::MAX_THROUGHPUT_PER_S)
    };
    rate.filter(|rate| range.contains(rate)).ok_or_else(wrong)
}

schema_body!(
    /// Stands for [`schema()`].
    NewSearchBody, "NewSearch"
);

/// The body, as JSON Schema.
pub(super) fn schema() -> Value {
    let one = "(p(50|90|95|99|99[.]9)<[1-9][0-9]{0,2}(ms|s)|failed<[1-9]([.][0-9])?%)";
    let any = |choices: Value, about: &str| json!({"anyOf": choices, "description": about});
    let share = |low: f64, high: f64, about: &str| {
        let number = json!({"type": "number", "minimum": low, "maximum": high});
        any(json!([number, {"type": "string", "pattern": "^[5-9][0-9]%$"}, {"type": "null"}]), about)
    };
    let rate = |about: &str| {
        let (low, high) = (limits::MIN_THROUGHPUT_PER_S, limits::MAX_THROUGHPUT_PER_S);
        let number = json!({"type": "number", "minimum": low, "maximum": high});
        any(json!([number, {"type": "string", "pattern": "^[1-9][0-9]{0,2}k?$"}, {"type": "null"}]), about)
    };
    let lengths = json!([
        {"type": "number", "minimum": MIN_BUDGET.as_secs(), "maximum": MAX_BUDGET.as_secs()},
        {"type": "string", "pattern": "^[1-9][0-9]{0,2}[sm]$"},
        {"type": "null"},
    ]);
    let slo = json!([
        {"type": "string", "pattern": format!("^{one}(,{one}){{0,7}}$")},
        {"type": "array", "items": {"type": "string", "pattern": format!("^{one}$")}, "minItems": 1, "maxItems": MAX_CRITERIA},
    ]);
    let mut properties: Map<String, Value> = OPTIONS
        .iter()
        .filter(|option| !DECIDED_BY_SEARCH.contains(&option.name))
        .map(|option| (option.name.to_owned(), option.schema()))
        .collect();
    let mut name = schema::line(MAX_LABEL_CHARS);
    name["description"] = NAME.about.into();
    properties.extend([
        (NAME.name.to_owned(), name),
        (SLO.to_owned(), any(slo, "What must be kept: quantiles of the latency, and the share that failed.")),
        (BUDGET.to_owned(), any(lengths, "How long the search may take. Default: 5m.")),
        (WIDTH.to_owned(), share(MIN_WIDTH, MAX_WIDTH, "How narrow the interval is to be. Default: 5%.")),
        (CONFIDENCE.to_owned(), share(*CONFIDENCES.start(), *CONFIDENCES.end(), "How sure it is to be. Default: 95%.")),
        (START.to_owned(), rate("The first rate, over all drivers. Default: 100.")),
        (
            MAX.to_owned(),
            rate("The highest rate that may be asked for, over all drivers; not below start. Default: 1M."),
        ),
    ]);
    // A search decides itself how long it sends.
    let together: Vec<Value> = schema::together()
        .as_array()
        .into_iter()
        .flatten()
        .filter(|rule| !rule.to_string().contains("message_count_per_driver"))
        .cloned()
        .collect();
    json!({
        "type": "object",
        "description": "What is looked for, and the options of the test that a search does not decide by itself. Case, underscores and \
                        dashes in names do not matter; each name once. null is the same as missing. Everything together must fit \
                        into a message of 1 MiB.",
        "required": [SLO],
        "properties": properties,
        "additionalProperties": false,
        "allOf": together,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<NewSearch, Vec<String>> {
        let id = TestId::new("s").expect("a name");
        parse(body.as_object().expect("an object"), id, 8)
            .map_err(|errors| errors.shown().iter().map(|error| format!("{} {}", error.field, error.problem)).collect())
    }

    #[test]
    fn an_slo_and_a_url_are_enough() {
        let new = read(json!({"slo": "p99<50ms, failed<0.1%", "target_url": "http://web/"})).expect("a right search");
        let NewSearch { test, goal } = new;
        assert_eq!((goal.slo.len(), goal.width, goal.confidence), (2, 0.05, 0.95));
        assert_eq!((goal.budget, goal.start_per_s, goal.max_per_s), (Duration::from_secs(300), 100.0, 1e6));
        assert_eq!((test.config.total_throughput_per_s, test.config.connections), (Some(100.0), Some(256)));
        assert_eq!((test.config.duration, test.trigger), (Some(Duration::from_secs(310)), true));
        assert_eq!(test.name.as_deref(), Some("capacity: p99<50ms, failed<0.1%"));
        assert!(test.config.problems().is_empty());
    }

    #[test]
    fn every_field_is_read() {
        let body = json!({
            "SLO": ["p99.9<1s"], "budget": 20, "width": "2%", "confidence": 0.9, "start": "5k", "max": "20k",
            "connections": 8, "arrivals": "poisson", "name": "mine",
        });
        let NewSearch { test, goal } = read(body).expect("a right search");
        assert_eq!((goal.width, goal.confidence, goal.budget), (0.02, 0.9, Duration::from_secs(20)));
        assert_eq!((goal.start_per_s, goal.max_per_s), (5_000.0, 20_000.0));
        assert_eq!((test.config.connections, test.name.as_deref()), (Some(8), Some("mine")));
        let slow = read(json!({"slo": "p99<1s", "max": 5})).expect("a right search").goal;
        assert_eq!((slow.start_per_s, slow.max_per_s), (5.0, 5.0));
        let fast = read(json!({"slo": "p99<1s", "start": "5M"})).expect("a right search").goal;
        assert_eq!((fast.start_per_s, fast.max_per_s), (5e6, 5e6));
    }

    #[test]
    fn nonsense_is_refused_with_its_field() {
        for (body, says) in [
            (json!({}), "slo is missing"),
            (json!({"slo": null}), "slo is missing"),
            (json!({"slo": "p99"}), "slo \"p99\": write"),
            (json!({"slo": []}), "slo is"),
            (json!({"slo": [5]}), "slo is"),
            (json!({"slo": "rate>5"}), "write a quantile"),
            (json!({"slo": "p99<1s", "width": "200%"}), "width is"),
            (json!({"slo": "p99<1s", "width": 0}), "width is"),
            (json!({"slo": "p99<1s", "confidence": 1}), "confidence is"),
            (json!({"slo": "p99<1s", "budget": "2d"}), "budget is"),
            (json!({"slo": "p99<1s", "budget": 0}), "budget is"),
            (json!({"slo": "p99<1s", "start": "1m"}), "start"),
            (json!({"slo": "p99<1s", "start": 0}), "start is"),
            (json!({"slo": "p99<1s", "max": 1e12}), "max is"),
            (json!({"slo": "p99<1s", "start": 10, "max": 5}), "max is less than start"),
            (json!({"slo": "p99<1s", "duration": "5s"}), "duration is decided by the search"),
            (json!({"slo": "p99<1s", "rate": 5}), "rate is decided by the search"),
            (json!({"slo": "p99<1s", "trigger": true}), "trigger is decided by the search"),
            (json!({"slo": "p99<1s", "S_lo": "p99<1s"}), "is the same as"),
            (json!({"slo": "p99<1s", "connections": 0}), "connections"),
            (json!({"slo": "p99<1s", "conections": 5}), "did you mean connections?"),
            (json!({"slo": "p99<1s", "buget": 5}), "did you mean budget?"),
        ] {
            let errors = read(body.clone()).expect_err("it is wrong");
            assert!(errors.len() == 1 && errors[0].contains(says), "{body}: {errors:?}");
        }
    }

    #[test]
    fn what_the_description_gives_as_right_is_read() {
        let schema = schema();
        for name in OWN {
            assert!(schema["properties"][name]["description"].is_string(), "{name}");
        }
        for name in DECIDED_BY_SEARCH {
            assert!(schema["properties"].get(name).is_none(), "{name}");
        }
    }
}
