//! Reads the body of `PATCH /v1/tests/{id}`: one change of the load, and how soon. Pure.

use std::time::Duration;

use onrush_protocol::{Profile, TestConfig, TestId, TestOption, TestType, human};
use serde_json::{Map, Value, json};

use super::fields::schema_body;
use super::problem::{FieldError, FieldErrors};
use crate::LoadChange;
use crate::amend::{DEFAULT_EFFECTIVE_IN, MIN_EFFECTIVE_IN};

const RATES: [&str; 2] = ["target_throughput", "total_throughput"];
const PROFILE: &str = "profile";
const PAUSE: &str = "pause";
const RESUME: &str = "resume";
const EFFECTIVE_IN: &str = "effective_in";
/// Longer than any test.
const MAX_EFFECTIVE_IN: Duration = onrush_protocol::limits::MAX_DURATION;

/// What is to change and how soon, or all that is wrong with it.
pub(super) fn parse(fields: &Map<String, Value>) -> Result<(LoadChange, Duration), FieldErrors> {
    let mut errors = FieldErrors::default();
    let (mut changes, mut effective_in) = (Vec::new(), DEFAULT_EFFECTIVE_IN);
    let mut wrong = |key: &str, problem: String| errors.push(|| FieldError::new(key, problem));
    for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let option = TestOption::named(key).map(|option| option.name);
        let name = option.filter(|name| RATES.contains(name) || *name == PROFILE).unwrap_or(key);
        let flag = |change| match onrush_protocol::options::people::flag(value) {
            Ok(true) => Ok(Some(change)),
            Ok(false) => Ok(None),
            Err(_) => Err("is neither true nor false; give true".to_owned()),
        };
        let change = match name {
            PAUSE => flag(LoadChange::Pause),
            RESUME => flag(LoadChange::Resume),
            EFFECTIVE_IN => match length(value).filter(|length| (MIN_EFFECTIVE_IN..=MAX_EFFECTIVE_IN).contains(length))
            {
                Some(length) => {
                    effective_in = length;
                    continue;
                }
                None => Err(format!("give a duration from {MIN_EFFECTIVE_IN:?} on, such as \"3s\"")),
            },
            name => {
                match TestOption::named(name).filter(|option| RATES.contains(&option.name) || option.name == PROFILE) {
                    Some(option) => load(option, value).map(Some),
                    None => {
                        let known = [&RATES[..], &[PROFILE, PAUSE, RESUME, EFFECTIVE_IN]].concat().join(", ");
                        Err(format!("is an unknown field; there are {known}"))
                    }
                }
            }
        };
        match change {
            Ok(change) => changes.extend(change),
            Err(problem) => wrong(key, problem),
        }
    }
    if errors.is_empty() && changes.len() != 1 {
        let problem = match changes.len() {
            0 => "is missing; give a target_throughput, a profile, pause or resume",
            _ => "stands beside another change; give one",
        };
        errors.push(|| FieldError::new(RATES[0], problem.to_owned()));
    }
    match changes.pop() {
        Some(change) if errors.is_empty() => Ok((change, effective_in)),
        _ => Err(errors),
    }
}

fn length(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(number) => number.as_f64().and_then(human::seconds),
        Value::String(text) => human::duration(text).ok(),
        _ => None,
    }
}

/// A rate or a profile, by the rules of the option of that name.
fn load(option: &'static TestOption, value: &Value) -> Result<LoadChange, String> {
    let test_id = TestId::new("change").ok_or("cannot be read")?;
    let mut config = TestConfig::new(test_id, TestType::Tsunami);
    option.set(&mut config, value).map_err(|wrong| option.in_words(wrong, value))?;
    if let Some(problem) = option.problem(&config) {
        return Err(problem);
    }
    let TestConfig { target_throughput_per_s, total_throughput_per_s, profile, .. } = config;
    let rate = target_throughput_per_s.or(total_throughput_per_s).map(LoadChange::Rate);
    rate.or(profile.map(|profile: Profile| LoadChange::Profile(profile))).ok_or_else(|| "says nothing".into())
}

schema_body!(
    /// Stands for [`schema()`].
    ChangeBody, "LoadChange"
);

/// The body, as JSON Schema.
pub(super) fn schema() -> Value {
    let of = |name: &str| TestOption::named(name).map(TestOption::schema).unwrap_or_default();
    let yes = |about: &str| json!({"enum": [true, null], "description": about});
    let given = |name: &str| json!({"required": [name], "properties": {name: {"not": {"type": "null"}}}});
    json!({
        "type": "object",
        "description": "One change of the load, and how soon.",
        "properties": {
            RATES[0]: of(RATES[0]), RATES[1]: of(RATES[1]), PROFILE: of(PROFILE),
            PAUSE: yes("Send nothing until the load is resumed; time goes on."),
            RESUME: yes("Send again what was asked for before the pause."),
            EFFECTIVE_IN: {
                "description": "The change takes effect at the first whole second of the run that begins no sooner. Default: 3s.",
                "anyOf": [{"type": "number", "minimum": 1, "maximum": 1000}, {"type": "string", "pattern": "^[1-9][0-9]{0,2}s$"}, {"type": "null"}],
            },
        },
        "additionalProperties": false,
        "oneOf": [given(RATES[0]), given(RATES[1]), given(PROFILE), given(PAUSE), given(RESUME)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<(LoadChange, Duration), Vec<String>> {
        parse(body.as_object().expect("an object"))
            .map_err(|errors| errors.shown().iter().map(|error| format!("{} {}", error.field, error.problem)).collect())
    }

    #[test]
    fn one_change_is_read_with_its_time() {
        let s = Duration::from_secs;
        assert_eq!(read(json!({"target_throughput": "20k"})), Ok((LoadChange::Rate(20_000.0), s(3))));
        assert_eq!(read(json!({"rate": 5, "effective_in": "10s"})), Ok((LoadChange::Rate(5.0), s(10))));
        assert_eq!(read(json!({"pause": true, "effective_in": 2})), Ok((LoadChange::Pause, s(2))));
        assert_eq!(read(json!({"pause": false, "resume": true, "profile": null})), Ok((LoadChange::Resume, s(3))));
        let profile = LoadChange::Profile("10s@5, 5s@max".parse().unwrap());
        assert_eq!(read(json!({"profile": "10s@5, 5s@max"})), Ok((profile, s(3))));
    }

    #[test]
    fn nonsense_is_refused_with_its_field() {
        for (body, says) in [
            (json!({}), "target_throughput is missing"),
            (json!({"effective_in": "3s"}), "target_throughput is missing"),
            (json!({"pause": true, "resume": true}), "stands beside another"),
            (json!({"target_throughput": "1m"}), "write 1M"),
            (json!({"target_throughput": 0}), "target_throughput"),
            (json!({"target_throughput": 1e12}), "target_throughput"),
            (json!({"profile": "10s@5, x"}), "profile"),
            (json!({"profile": "10s@5, 0s@5"}), "phase 2"),
            (json!({"pause": "perhaps"}), "pause"),
            (json!({"pause": true, "effective_in": "10ms"}), "effective_in give a duration from 1s"),
            (json!({"pause": true, "effective_in": []}), "effective_in"),
            (json!({"connections": 5}), "connections is an unknown field"),
        ] {
            let errors = read(body.clone()).expect_err("it is wrong");
            assert!(errors.len() == 1 && errors[0].contains(says), "{body}: {errors:?}");
        }
    }
}
