//! From a test as the orchestrator describes it to a plan that the engine runs, or the reason why not.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use onrush_engine::{
    Arrivals, Check, Checks, Identity, Mode, Order, Phase, Plan, Request, Route, Server, Shape, Share, Tls,
};
use onrush_protocol::{
    ConnectTo, Expect, FieldProblem, NodeId, Profile, RequestConfig, RequestOrder, TargetUrl, TestConfig, TestId,
    TestType, limits,
};

// What an orchestrator accepts, an engine runs.
const _: () = assert!(onrush_engine::MIN_RATE_PER_S <= limits::MIN_THROUGHPUT_PER_S);
const _: () = assert!(limits::MAX_THROUGHPUT_PER_S <= onrush_engine::MAX_RATE_PER_S);
const _: () = assert!(limits::MAX_REQUESTS <= onrush_engine::MAX_REQUESTS);
const _: () = assert!(limits::MAX_ROUND <= onrush_engine::MAX_ROUND);

const NO_TARGET: &str = "no target: the config has none and this driver was started without --target-url";

/// The plan of a test for one driver; the error is the reason of a refusal, for people.
pub(crate) fn plan_for(config: &TestConfig, node_id: &NodeId, default_target: Option<&str>) -> Result<Plan, String> {
    if config.target_url.is_none() && default_target.is_none() && needs_target(config) {
        return Err(NO_TARGET.into());
    }
    let mut plan = plan_of(&as_it_is_meant(config), default_target)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    match (config.share_of(node_id), &mut plan.arrivals) {
        (Some(share), _) => plan.share = Share { index: share.index, of: share.of },
        // Each has a schedule of its own; by one seed they would all send at the same moments.
        (None, Arrivals::Poisson { seed }) => *seed ^= hash_of(node_id.as_str()),
        (None, Arrivals::Even) => {}
    }
    Ok(plan)
}

/// FNV-1a of 64 bits (draft-eastlake-fnv): the same on every machine.
fn hash_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// An orchestrator that sends only the specification's fields may leave no time between two requests of a Tsunami: they
/// go out as fast as they can, as in an Avalanche.
fn as_it_is_meant(config: &TestConfig) -> Cow<'_, TestConfig> {
    let unpaced = config.delay < limits::MIN_DELAY && !config.has_rate();
    if config.test_type != TestType::Tsunami || !unpaced {
        return Cow::Borrowed(config);
    }
    let connections = config.connections.unwrap_or(TestConfig::default_connections(TestType::Tsunami));
    Cow::Owned(TestConfig {
        test_type: TestType::Avalanche,
        delay: Duration::ZERO,
        connections: Some(connections),
        ..config.clone()
    })
}

fn needs_target(config: &TestConfig) -> bool {
    let is_beside = |url: &str| url.trim_start().starts_with(['/', '?']);
    config.requests.is_empty() || config.requests.iter().any(|request| request.url.as_deref().is_none_or(is_beside))
}

/// The plan of a test, or everything that keeps it from running. `default_target`: where requests go that name no URL,
/// in a test that names none.
pub fn plan_of(config: &TestConfig, default_target: Option<&str>) -> Result<Plan, Vec<FieldProblem>> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(problems);
    }
    let target = config.target_url.as_deref().or(default_target).map(TargetUrl::parse).transpose();
    let target = target.map_err(|problem| vec![FieldProblem::new("target_url", problem)])?;
    let checks: Arc<[Check]> = config.expect.iter().map(check_of).collect();
    let single;
    let requests = if config.requests.is_empty() {
        let (method, headers, body) = (config.method.clone(), config.headers.clone(), config.body.clone());
        single = RequestConfig { method, headers, body, ..RequestConfig::default() };
        std::slice::from_ref(&single)
    } else {
        &config.requests
    };
    let requests =
        requests.iter().map(|request| request_of(request, target.as_ref(), &checks)).collect::<Result<_, _>>();
    let plan = Plan {
        mode: match config.test_type {
            TestType::Avalanche => Mode::Avalanche,
            TestType::Tsunami => Mode::Tsunami { delay: config.delay },
        },
        target_throughput_per_s: config.target_throughput_per_s.or(config.total_throughput_per_s),
        profile: config.profile.as_ref().map(phases_of),
        share: Share::default(),
        arrivals: match config.arrivals {
            onrush_protocol::Arrivals::Even => Arrivals::Even,
            onrush_protocol::Arrivals::Poisson => Arrivals::Poisson { seed: config.seed },
        },
        count: config.count_per_driver,
        duration: config.duration,
        connections: config.connections.unwrap_or_else(|| TestConfig::default_connections(config.test_type)),
        think_time: config.think_time,
        keepalive: config.keepalive,
        resend: config.resend,
        timeout: config.timeout,
        connect_timeout: config.connect_timeout,
        requests: requests.map_err(|problem| vec![problem])?,
        order: match config.order {
            RequestOrder::InTurn => Order::InTurn,
            RequestOrder::Shuffled => Order::Shuffled { seed: config.seed },
        },
        tls: tls_of(config),
        routes: config.connect_to.iter().map(route_of).collect(),
        unix_socket: config.unix_socket.as_ref().map(Into::into),
    };
    plan.validate().map_err(|e| vec![FieldProblem::new(e.field, e.problem)])?;
    Ok(plan)
}

fn request_of(
    request: &RequestConfig,
    target: Option<&TargetUrl>,
    checks: &Arc<[Check]>,
) -> Result<Request, FieldProblem> {
    let RequestConfig { url, method, headers, body, weight, expect: own, name } = request;
    let wrong = |problem: String| FieldProblem::new("target_url", problem);
    let url = match (url, target) {
        (Some(url), target) => TargetUrl::parse_beside(target, url).map_err(wrong)?,
        (None, Some(target)) => target.clone(),
        (None, None) => return Err(wrong("is missing; give a URL".into())),
    };
    let TargetUrl { tls, host, port, request_target } = url;
    let method = http::Method::from_bytes(method.as_bytes())
        .map_err(|_| FieldProblem::new("method", format!("{method:?} is not an HTTP method")))?;
    let checks = Checks { common: checks.clone(), own: own.iter().map(check_of).collect() };
    Ok(Request {
        server: Server { tls, host, port },
        target: request_target,
        method,
        headers: headers.clone(),
        body: body.clone().unwrap_or_default(),
        weight: *weight,
        checks,
        name: name.clone(),
    })
}

/// The phases of a profile, each step one of its own.
pub(crate) fn phases_of(profile: &Profile) -> Vec<Phase> {
    use onrush_protocol::Shape as Asked;
    let phase_of = |phase: onrush_protocol::Phase| Phase {
        length: phase.length,
        shape: match phase.shape {
            Asked::Constant { rate_per_s } => Shape::Constant { rate_per_s },
            Asked::Ramp { from_per_s, to_per_s } => Shape::Ramp { from_per_s, to_per_s },
            Asked::Free => Shape::Free,
            // Steps are phases of their own by now.
            Asked::Steps { .. } | Asked::Pause => Shape::Pause,
        },
    };
    profile.phases.iter().flat_map(|phase| phase.without_steps()).map(phase_of).collect()
}

fn check_of(expect: &Expect) -> Check {
    match expect.clone() {
        Expect::Status(ranges) => Check::Status(ranges),
        Expect::BodyContains(text) => Check::BodyContains(text.into_bytes()),
        Expect::Json { pointer, value } => Check::Json { pointer, value },
    }
}

fn route_of(rule: &ConnectTo) -> Route {
    let ConnectTo { host, port, to_host, to_port } = rule.clone();
    Route { host, port, to_host, to_port }
}

fn tls_of(config: &TestConfig) -> Tls {
    let TestConfig { tls_insecure, tls_ca_pem, tls_cert_pem, tls_key_pem, .. } = config;
    let identity = tls_cert_pem
        .as_ref()
        .zip(tls_key_pem.as_ref())
        .map(|(chain, key)| Identity { chain_pem: chain.clone().into_bytes(), key_pem: key.clone().into_bytes() });
    Tls { insecure: *tls_insecure, ca_pem: tls_ca_pem.clone().map(String::into_bytes), identity }
}

/// Whether the driver's own target can be used: the same rules as for a test's.
pub(crate) fn check_target(target_url: Option<&str>) -> Result<(), String> {
    let Some(target_url) = target_url else { return Ok(()) };
    let mut config = TestConfig::new(TestId::new("target").expect("a word is a name"), TestType::Avalanche);
    config.target_url = Some(target_url.into());
    config.count_per_driver = Some(1);
    plan_for(&config, &NodeId::new("us").expect("a word is a name"), None).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_for_us(config: &TestConfig, default_target: Option<&str>) -> Result<Plan, String> {
        plan_for(config, &NodeId::new("us").unwrap(), default_target)
    }

    fn config(test_type: TestType) -> TestConfig {
        let mut config = TestConfig::new(TestId::new("t").unwrap(), test_type);
        config.count_per_driver = Some(10);
        config.delay = Duration::from_millis(2);
        config
    }

    #[test]
    fn the_fields_of_the_specification_are_enough() {
        let plan = plan_for_us(&config(TestType::Tsunami), Some("http://localhost:1/ping")).unwrap();
        assert_eq!(plan.mode, Mode::Tsunami { delay: Duration::from_millis(2) });
        assert_eq!((plan.connections, plan.count), (256, Some(10)));
        let plan = plan_for_us(&config(TestType::Avalanche), Some("http://localhost:1/ping")).unwrap();
        assert_eq!((plan.mode, plan.connections), (Mode::Avalanche, 64));
        assert_eq!(plan.think_time, Duration::ZERO);
        let thoughtful = TestConfig { think_time: limits::MAX_THINK_TIME, ..config(TestType::Avalanche) };
        let plan = plan_for_us(&thoughtful, Some("http://localhost:1/ping")).unwrap();
        assert_eq!(plan.think_time, limits::MAX_THINK_TIME);
    }

    #[test]
    fn the_slowest_and_the_fastest_test_that_is_accepted_can_be_run() {
        for (rate_per_s, delay) in
            [(limits::MIN_THROUGHPUT_PER_S, limits::MAX_DELAY), (limits::MAX_THROUGHPUT_PER_S, limits::MIN_DELAY)]
        {
            let mut config = config(TestType::Tsunami);
            (config.target_throughput_per_s, config.delay) = (Some(rate_per_s), delay);
            assert!(plan_for_us(&config, Some("http://localhost:1/")).is_ok(), "{rate_per_s}/s, {delay:?}");
        }
        let mut slower = config(TestType::Avalanche);
        slower.target_throughput_per_s = Some(limits::MIN_THROUGHPUT_PER_S * 0.999);
        assert!(plan_for_us(&slower, Some("http://localhost:1/")).unwrap_err().contains("target_throughput"));
    }

    #[test]
    fn a_tsunami_without_delay_goes_as_fast_as_it_can() {
        for delay in [Duration::ZERO, Duration::from_nanos(1)] {
            let config = TestConfig { delay, ..config(TestType::Tsunami) };
            let plan = plan_for_us(&config, Some("http://localhost:1/ping")).unwrap();
            assert_eq!((plan.mode, plan.connections, plan.count), (Mode::Avalanche, 256, Some(10)));
            let paced = TestConfig { target_throughput_per_s: Some(50.0), ..config };
            let mode = plan_for_us(&paced, Some("http://localhost:1/ping")).map(|plan| plan.mode);
            // Whoever names a throughput means it, and writes what Onrush writes.
            assert_eq!(mode.ok(), delay.is_zero().then_some(Mode::Tsunami { delay }));
        }
    }

    #[test]
    fn the_target_of_the_test_goes_before_that_of_the_driver() {
        let mut config = config(TestType::Avalanche);
        assert_eq!(plan_for_us(&config, None).unwrap_err(), NO_TARGET);
        config.target_url = Some("http://theirs:2/".into());
        assert_eq!(plan_for_us(&config, Some("http://ours:1/")).unwrap().requests[0].server.host, "theirs");
    }

    #[test]
    fn several_requests_and_their_checks_reach_the_plan() {
        let mut config = config(TestType::Avalanche);
        config.expect = vec!["status=2xx".parse().unwrap()];
        config.order = RequestOrder::Shuffled;
        config.seed = 7;
        config.tls_insecure = true;
        let elsewhere = RequestConfig { url: Some("https://there/".into()), weight: 3, ..RequestConfig::default() };
        let checked = RequestConfig { expect: vec!["body~pong".parse().unwrap()], ..RequestConfig::default() };
        config.requests = vec![elsewhere, checked];
        assert_eq!(plan_for_us(&config, None).unwrap_err(), NO_TARGET);
        let plan = plan_for_us(&config, Some("http://ours:1/ping")).unwrap();
        assert_eq!(plan.order, Order::Shuffled { seed: 7 });
        assert!(plan.tls.insecure);
        let status = || Check::Status(vec![(200, 299)]);
        assert_eq!((plan.requests[0].weight, plan.requests[0].server.tls), (3, true));
        assert_eq!(plan.requests[0].checks.iter().collect::<Vec<_>>(), [&status()]);
        assert_eq!(plan.requests[1].target, "/ping");
        let pong = Check::BodyContains(b"pong".to_vec());
        assert_eq!(plan.requests[1].checks.iter().collect::<Vec<_>>(), [&status(), &pong]);
        let [first, second] = [0, 1].map(|at| plan.requests[at].checks.common.as_ptr());
        assert_eq!(first, second, "however many requests there are, the test's checks are there once");
    }

    #[test]
    fn a_refusal_names_every_field_at_fault() {
        let mut config = config(TestType::Avalanche);
        config.count_per_driver = None;
        config.method = "CONNECT".into();
        let reason = plan_for_us(&config, Some("http://ours:1/")).unwrap_err();
        assert!(reason.contains("message_count_per_driver: ") && reason.contains("method: "), "{reason}");
    }

    #[test]
    fn the_drivers_own_target_is_checked_at_its_start() {
        assert_eq!(check_target(None), Ok(()));
        assert_eq!(check_target(Some("http://localhost:8080/ping")), Ok(()));
        assert_eq!(check_target(Some("localhost:8080")), Ok(()));
        assert!(check_target(Some("8080")).unwrap_err().contains("target_url"));
    }
}
