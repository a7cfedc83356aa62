//! Every option of the table: what people write, what travels and what is shown say the same.

use std::collections::BTreeSet;

use onrush_protocol::options::{Control, How};
use onrush_protocol::{OPTIONS, TestConfig, TestId, TestOption, TestType};
use serde_json::Value;

fn defaults(test_type: TestType) -> TestConfig {
    TestConfig::new(TestId::new("t").expect("a name"), test_type)
}

/// A test with this option as its example has it, and the few that it needs.
fn with_example(option: &TestOption) -> TestConfig {
    let mut config =
        defaults(if option.name == "test_message_delay" { TestType::Tsunami } else { TestType::Avalanche });
    option.set(&mut config, &option.example()).unwrap_or_else(|wrong| panic!("{option:?}: {wrong:?}"));
    config
}

#[test]
fn each_example_is_right_and_travels_to_whom_it_is_for() {
    for option in OPTIONS {
        let mut config = with_example(option);
        match option.name {
            "order" => config.requests = vec![onrush_protocol::RequestConfig::default()],
            "seed" => assert_ne!(config.seed, 0),
            _ => {}
        }
        let message = config.write();
        let read = TestConfig::read(&message).unwrap_or_else(|error| panic!("{option:?}: {error}"));
        let told = if option.is_for_drivers { config.clone() } else { defaults(config.test_type) };
        assert_eq!(read, told, "{option:?}: {}", String::from_utf8_lossy(&message));
        let stored = config.write_stored();
        let read = TestConfig::read_stored(&stored).unwrap_or_else(|error| panic!("{option:?}: {error}"));
        assert_eq!(read, config, "{option:?}: {}", String::from_utf8_lossy(&stored));
    }
}

#[test]
fn each_option_can_be_set_to_what_it_is_shown_as() {
    for option in OPTIONS.iter().filter(|option| TestOption::named(option.shown_as).is_some()) {
        let config = with_example(option);
        let shown = config.shown().remove(option.shown_as).expect("it is shown");
        if let (Value::Bool(_), Control::Text) = (&shown, option.control()) {
            // Of certificates, only whether there are any.
            continue;
        }
        let mut again = defaults(config.test_type);
        let named = TestOption::named(option.shown_as).expect("a name");
        if shown.is_null() {
            continue;
        }
        if option.name == "targets" {
            // Bodies of several requests are not shown.
            continue;
        }
        named.set(&mut again, &shown).unwrap_or_else(|wrong| panic!("{option:?}: {wrong:?}"));
        assert_eq!(again.shown(), config.shown(), "{option:?}");
    }
}

#[test]
fn what_is_secret_is_neither_shown_nor_repeated_nor_logged() {
    const SECRET: &str = "-----BEGIN PRIVATE KEY----- 4711";
    let secrets: Vec<&TestOption> = OPTIONS.iter().filter(|option| option.is_secret).collect();
    assert_eq!(secrets.iter().map(|option| option.name).collect::<Vec<_>>(), ["tls_key_pem"]);
    for option in secrets {
        let mut config = defaults(TestType::Avalanche);
        option.set(&mut config, &SECRET.into()).expect("a text");
        assert!(String::from_utf8_lossy(&config.write()).contains("4711"), "drivers get it");
        let shown = Value::Object(config.shown()).to_string();
        for said in [shown, format!("{config:?}"), config.problems().iter().map(ToString::to_string).collect()] {
            assert!(!said.contains("4711"), "{said}");
        }
        let wrong = option.set(&mut config, &4711.into()).expect_err("not a text");
        assert!(!option.in_words(wrong, &4711.into()).contains("4711"));
    }
}

#[test]
fn a_request_to_the_orchestrator_says_what_is_not_a_default() {
    let body = |config: &TestConfig| -> serde_json::Map<String, Value> {
        serde_json::from_slice(&config.write_request(None, true)).expect("an object")
    };
    let names = |config: &TestConfig| body(config).keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&defaults(TestType::Avalanche)), ["test_type", "trigger"]);
    for option in OPTIONS {
        let config = with_example(option);
        let mut again = defaults(config.test_type);
        for (name, value) in body(&config) {
            if let Some(option) = TestOption::named(&name) {
                option.set(&mut again, &value).unwrap_or_else(|wrong| panic!("{option:?}: {wrong:?}"));
            }
        }
        // Without several requests their order does not matter, and is not said.
        if option.name != "order" {
            assert_eq!(again, config, "{option:?}");
        }
    }
}

#[test]
fn names_flags_and_variables_are_of_one_option_each() {
    let mut spellings = BTreeSet::new();
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    for option in OPTIONS {
        for name in option.spellings() {
            assert!(spellings.insert(plain(name)), "{name} is a spelling of two options");
        }
        assert!(!option.label.is_empty() && option.about.ends_with('.'), "{option:?}");
    }
    let flags: Vec<_> = OPTIONS.iter().filter_map(|option| Some((option, option.flag?))).collect();
    let distinct = |values: Vec<String>| values.len() == values.iter().collect::<BTreeSet<_>>().len();
    assert!(distinct(flags.iter().map(|(_, flag)| flag.long.to_owned()).collect()));
    assert!(distinct(flags.iter().filter_map(|(_, flag)| flag.short).map(String::from).collect()));
    for (option, flag) in flags {
        assert_eq!(
            flag.variables[0],
            format!("ONRUSH_TEST_{}", flag.long.replace('-', "_").to_uppercase()),
            "{option:?}"
        );
        assert_eq!(flag.variables[1], flag.variables[0].replace("_TEST_", "_BENCH_"), "{option:?}");
        assert_eq!(matches!(flag.how, How::Sets(_)), flag.value.is_empty(), "{option:?}");
        for other in flag.needs.iter().chain(flag.not_with) {
            assert!(OPTIONS.iter().any(|option| option.name == *other), "{option:?}: {other}");
        }
    }
}
