//! The target's own counters, what they can be compared with and where they are. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onrush_protocol::{TargetUrl, TestConfig};
use url::Url;

/// A target is not waited for longer than this.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// What a target counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// This life of the target.
    pub instance: String,
    /// Requests by path.
    pub requests: BTreeMap<String, u64>,
}

/// A look at the target's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It has them.
    Counters(Counters),
    /// They are not there, and why.
    Unknown(String),
}

/// Where the CPU time of a test's target can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// The bundled target, which tells it beside its counters.
    Bundled(Url),
    /// A page of metrics of its machine.
    Metrics(Url),
}

/// Where the CPU time of a test's target is to be asked for: where the test says, or else of the target itself if it `is_bundled`.
pub fn time_source(config: &TestConfig, is_bundled: bool) -> Option<TimeSource> {
    match &config.target_metrics {
        Some(url) => {
            let url = TargetUrl::of_metrics(url).ok()?;
            Url::parse(&url.to_string()).ok().map(TimeSource::Metrics)
        }
        None if is_bundled => address(config).ok().map(TimeSource::Bundled),
        None => None,
    }
}

/// Where the counters of a test's target would be, or why they can be of no use to it.
pub fn address(config: &TestConfig) -> Result<Url, String> {
    let (server, _) = counted(config)?;
    let counters = TargetUrl { request_target: "/metrics".into(), ..server };
    Url::parse(&counters.to_string()).map_err(|e| format!("the counters at {counters} cannot be asked for: {e}"))
}

/// The one server that a test loads, where its connections really go, and the paths that are asked for there.
pub fn counted(config: &TestConfig) -> Result<(TargetUrl, BTreeSet<String>), String> {
    if config.unix_socket.is_some() {
        return Err("each driver reaches its target by a socket on its own machine".into());
    }
    let base = match &config.target_url {
        Some(base) => Some(TargetUrl::parse(base).map_err(|problem| format!("the URL {problem}"))?),
        None => None,
    };
    let requests: Vec<(Option<&str>, &str)> = match config.requests.as_slice() {
        [] => vec![(config.target_url.as_deref(), &config.method)],
        several => {
            several.iter().map(|r| (r.url.as_deref().or(config.target_url.as_deref()), r.method.as_str())).collect()
        }
    };
    let (mut server, mut paths) = (None::<TargetUrl>, BTreeSet::new());
    for (url, method) in requests {
        let url = url.ok_or("the test names no target; each driver has its own")?;
        if method != "GET" {
            return Err(format!("the target counts GET requests, and this test sends {method}"));
        }
        let url = TargetUrl::parse_beside(base.as_ref(), url).map_err(|problem| format!("the URL {problem}"))?;
        if url.path() == "/metrics" {
            return Err("the test's path is that of the counters themselves".into());
        }
        paths.insert(url.path().to_owned());
        let server = server.get_or_insert_with(|| url.clone());
        if !server.same_server(&url) {
            return Err("the test's requests go to several servers".into());
        }
    }
    let server = server.ok_or("the test has no request")?;
    Ok((connected(config, server)?, paths))
}

/// Where `connect_to` leads the connections for a server.
fn connected(config: &TestConfig, server: TargetUrl) -> Result<TargetUrl, String> {
    let mut rules = config.connect_to.iter().filter(|rule| rule.is_about(&server.host, server.port));
    match (rules.next(), rules.next()) {
        (None, _) => Ok(server),
        (Some(_), Some(_)) => Err("connect_to leads the test's requests to several servers".into()),
        (Some(rule), None) => Ok(TargetUrl {
            host: rule.to_host.clone().unwrap_or_else(|| server.host.clone()),
            port: rule.to_port.unwrap_or(server.port),
            ..server
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onrush_protocol::{RequestConfig, TestId, TestType};

    #[test]
    fn only_a_get_of_a_named_target_can_be_compared() {
        let mut config = TestConfig::new(TestId::new("t").unwrap(), TestType::Avalanche);
        assert!(address(&config).is_err());
        config.target_url = Some("http://127.0.0.1:8080/ping?x=1#y".into());
        assert_eq!(address(&config).unwrap().as_str(), "http://127.0.0.1:8080/metrics");
        config.method = "POST".into();
        assert!(address(&config).is_err());

        config.method = "GET".into();
        let get = |url: Option<&str>| RequestConfig { url: url.map(Into::into), ..RequestConfig::default() };
        config.requests = vec![get(None), get(Some("http://127.0.0.1:8080/")), get(None)];
        let (_, paths) = counted(&config).unwrap();
        assert_eq!(paths, ["/".to_owned(), "/ping".to_owned()].into());
        config.requests.push(get(Some("http://127.0.0.1:8081/")));
        assert!(counted(&config).unwrap_err().contains("several servers"));
    }

    #[test]
    fn counters_are_read_where_connections_go() {
        let mut config = TestConfig::new(TestId::new("t").unwrap(), TestType::Avalanche);
        config.target_url = Some("shop.example/ping".into());
        config.connect_to = vec!["shop.example:80:127.0.0.1:8080".parse().unwrap()];
        assert_eq!(address(&config).unwrap().as_str(), "http://127.0.0.1:8080/metrics");
        config.connect_to.push("shop.example::127.0.0.2:".parse().unwrap());
        assert!(address(&config).unwrap_err().contains("several servers"));
        config.connect_to = vec!["other:80:127.0.0.1:8080".parse().unwrap()];
        assert_eq!(address(&config).unwrap().as_str(), "http://shop.example/metrics");
        config.unix_socket = Some("/run/x".into());
        assert!(address(&config).unwrap_err().contains("socket"));
    }

    #[test]
    fn cpu_time_is_asked_where_the_test_says_or_of_the_bundled_target() {
        let mut config = TestConfig::new(TestId::new("t").unwrap(), TestType::Avalanche);
        config.target_url = Some("http://127.0.0.1:8080/ping".into());
        let url = |text| Url::parse(text).unwrap();
        assert_eq!(time_source(&config, false), None);
        let own = TimeSource::Bundled(url("http://127.0.0.1:8080/metrics"));
        assert_eq!(time_source(&config, true), Some(own));
        for (asked, asks) in [
            ("web1:9100", "http://web1:9100/metrics"),
            ("http://web1:9100/metrics?collect[]=cpu", "http://web1:9100/metrics?collect[]=cpu"),
            ("http://prometheus:9090/federate?match[]=x", "http://prometheus:9090/federate?match[]=x"),
        ] {
            config.target_metrics = Some(asked.into());
            assert_eq!(time_source(&config, true), Some(TimeSource::Metrics(url(asks))), "{asked}");
        }
        config.target_metrics = Some("https://web1:9100".into());
        assert_eq!(time_source(&config, true), None, "no TLS is spoken");
        assert!(config.problems().iter().any(|problem| problem.to_string().contains("without TLS")));
    }
}
