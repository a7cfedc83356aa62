//! The names under which this orchestrator may be asked.
//!
//! A page of any site can have its own name lead to this machine (DNS rebinding); its browser then takes what it asks here
//! for that site's own. The name in `Host` tells: an address, or a name that this machine is known by, cannot be such a site's.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::http::uri::Authority;

/// The names that are allowed beside addresses, in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Arc<BTreeSet<String>>);

impl Hosts {
    /// `localhost`, this machine's own name, and these.
    pub(crate) fn new(allowed: &[String]) -> Self {
        let machine = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        let short = machine.split('.').next().unwrap_or_default().to_owned();
        let mut names: BTreeSet<String> = allowed.iter().filter_map(|name| allowed_host(name).ok()).collect();
        names.extend(["localhost".to_owned(), machine, short]);
        names.remove("");
        Self(Arc::new(names))
    }

    /// Whether this is an address or one of the names; with or without a port.
    pub(super) fn allow(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = authority.host();
        let is_port = |rest: &str| rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
        // Nothing else around it: no user, no rest behind a bracket.
        let plain = authority.as_str().strip_prefix(host).is_some_and(|rest| rest.is_empty() || is_port(rest));
        plain && (is_address(host) || self.0.contains(&name(host)))
    }
}

/// A name as it is compared: a root's dot at the end says nothing.
fn name(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn is_address(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // The zone of a link-local address is its user's business.
        Some(address) => address.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

/// Reads what `--allow-host` was given: a name alone.
pub fn allowed_host(text: &str) -> Result<String, String> {
    let text = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 253 || !text.chars().all(plain) {
        return Err(format!("{text:?} is not a host name; give the name alone, such as orchestrator.example.com"));
    }
    Ok(name(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_known_names_are_allowed_and_nothing_else() {
        let hosts = Hosts::new(&["Orchestrator".into(), "a.example.com".into()]);
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        for known in [
            "127.0.0.1",
            "127.0.0.1:7400",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:7400",
            "[fe80::1%25eth0]:7400",
            "localhost",
            "LOCALHOST:1",
            "localhost.:7400",
            "orchestrator:7400",
            "ORCHESTRATOR",
            "a.example.com.",
            &machine,
        ] {
            assert!(hosts.allow(known), "{known}");
        }
        for foreign in [
            "",
            "evil",
            "evil:7400",
            "localhost.evil.example",
            "evil.localhost",
            "127.0.0.1.evil.example",
            "127.0.0.1.nip.io:7400",
            "127.0.0.1@evil",
            "evil@127.0.0.1",
            "0x7f.1",
            "2130706433",
            "127.1",
            "::1",
            "[::1].evil",
            "[evil]",
            "a b",
            "localhost/",
            "localhost,evil",
            "b.example.com",
            "example.com",
            "localhost..",
        ] {
            assert!(!hosts.allow(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_name_is_given_alone() {
        assert_eq!(allowed_host(" Web-1.Example.COM. ").as_deref(), Ok("web-1.example.com"));
        for wrong in ["", "http://a", "a:7400", "*", "a b", "a/b", &"a".repeat(300)] {
            assert!(allowed_host(wrong).is_err(), "{wrong}");
        }
    }
}
