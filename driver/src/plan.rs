//! From a test as the orchestrator describes it to a plan that the engine runs, or the reason why not.

use onrush_engine::{Mode, Plan, Request};
use onrush_protocol::{TestConfig, TestId, TestType};

const NO_TARGET: &str = "no target: the config has none and this driver was started without --target-url";

/// The plan of a test; the error is the reason of a refusal, for people.
pub(crate) fn plan_of(config: &TestConfig, default_target: Option<&str>) -> Result<Plan, String> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    }
    let target = config.target_url.as_deref().or(default_target).ok_or(NO_TARGET)?;
    let url = url::Url::parse(target).map_err(|e| format!("target_url: {target:?} is no URL ({e})"))?;
    let method = http::Method::from_bytes(config.method.as_bytes());
    let method = method.map_err(|_| format!("method: {:?} is no HTTP method", config.method))?;
    let plan = Plan {
        mode: match config.test_type {
            TestType::Avalanche => Mode::Avalanche,
            TestType::Tsunami => Mode::Tsunami { delay: config.delay },
        },
        max_rate_per_s: config.target_throughput_per_s,
        count: config.count_per_driver,
        duration: config.duration,
        connections: config.connections.unwrap_or_else(|| TestConfig::default_connections(config.test_type)),
        keepalive: config.keepalive,
        timeout: config.timeout,
        connect_timeout: config.connect_timeout,
        request: Request {
            url,
            method,
            headers: config.headers.clone(),
            body: config.body.clone().unwrap_or_default(),
        },
    };
    plan.validate().map_err(|e| e.to_string())?;
    Ok(plan)
}

/// Whether the driver's own target can be used: the same rules as for a test's.
pub(crate) fn check_target(target_url: Option<&str>) -> Result<(), String> {
    let Some(target_url) = target_url else { return Ok(()) };
    let mut config = TestConfig::new(TestId::new("target").expect("a word is a name"), TestType::Avalanche);
    config.target_url = Some(target_url.into());
    config.count_per_driver = Some(1);
    plan_of(&config, None).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config(test_type: TestType) -> TestConfig {
        let mut config = TestConfig::new(TestId::new("t").unwrap(), test_type);
        config.count_per_driver = Some(10);
        config.delay = Duration::from_millis(2);
        config
    }

    #[test]
    fn the_fields_of_the_specification_are_enough() {
        let plan = plan_of(&config(TestType::Tsunami), Some("http://localhost:1/ping")).unwrap();
        assert_eq!(plan.mode, Mode::Tsunami { delay: Duration::from_millis(2) });
        assert_eq!((plan.connections, plan.count), (256, Some(10)));
        let plan = plan_of(&config(TestType::Avalanche), Some("http://localhost:1/ping")).unwrap();
        assert_eq!((plan.mode, plan.connections), (Mode::Avalanche, 64));
    }

    #[test]
    fn the_target_of_the_test_goes_before_that_of_the_driver() {
        let mut config = config(TestType::Avalanche);
        assert_eq!(plan_of(&config, None).unwrap_err(), NO_TARGET);
        config.target_url = Some("http://theirs:2/".into());
        assert_eq!(plan_of(&config, Some("http://ours:1/")).unwrap().request.url.host_str(), Some("theirs"));
    }

    #[test]
    fn a_refusal_names_every_field_at_fault() {
        let mut config = config(TestType::Avalanche);
        config.count_per_driver = None;
        config.method = "CONNECT".into();
        let reason = plan_of(&config, Some("http://ours:1/")).unwrap_err();
        assert!(reason.contains("message_count_per_driver: ") && reason.contains("method: "), "{reason}");
    }

    #[test]
    fn the_drivers_own_target_is_checked_at_its_start() {
        assert_eq!(check_target(None), Ok(()));
        assert_eq!(check_target(Some("http://localhost:8080/ping")), Ok(()));
        assert!(check_target(Some("localhost:8080")).unwrap_err().contains("target_url"));
    }
}
