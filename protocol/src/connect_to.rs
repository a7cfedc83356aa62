//! `connect_to`: where connections go instead of where the URL's host is looked up; the URL, the Host header and the
//! name in TLS stay.

use std::fmt;
use std::str::FromStr;

/// One rule, written `HOST:PORT:ADDRESS:PORT` as curl's `--connect-to`: who is meant by HOST and PORT of a URL is
/// connected at ADDRESS and PORT. Left empty, the first two mean any, the last two the URL's own. Several rules for one
/// HOST and PORT share the connections out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    /// The host of URLs that are meant, in lower case; `None`: any.
    pub host: Option<String>,
    /// The port of URLs that are meant; `None`: any.
    pub port: Option<u16>,
    /// The name or address to connect to, without brackets; `None`: the URL's host.
    pub to_host: Option<String>,
    /// The port to connect to; `None`: the URL's port.
    pub to_port: Option<u16>,
}

impl ConnectTo {
    /// The rules of curl's `--resolve`: `HOST:PORT:ADDRESS[,ADDRESS]…`.
    pub fn of_resolve(text: &str) -> Result<Vec<Self>, String> {
        let wrong = || format!("{text:?} is not HOST:PORT:ADDRESS[,ADDRESS], as in web:80:10.0.0.7,10.0.0.8");
        let (host, rest) = next_part(text.trim()).ok_or_else(wrong)?;
        let (port, addresses) = next_part(rest.ok_or_else(wrong)?).ok_or_else(wrong)?;
        let (host, port) = (host_part(host), port_part(port).ok_or_else(wrong)?);
        let rule = |address: &str| {
            let address = address.trim();
            let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
            let is_address = bare.split('%').next().is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok());
            let to_host = is_address.then(|| Some(bare.to_owned())).ok_or_else(wrong)?;
            Ok(Self { host: host.clone().filter(|host| host != "*"), port, to_host, to_port: None })
        };
        addresses.ok_or_else(wrong)?.split(',').map(rule).collect()
    }

    /// Whether it speaks of this server.
    pub fn is_about(&self, host: &str, port: u16) -> bool {
        self.host.as_deref().is_none_or(|own| own == host) && self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for ConnectTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not HOST:PORT:ADDRESS:PORT, as in web:80:10.0.0.7:8080");
        let mut rest = Some(text.trim());
        let mut parts = Vec::with_capacity(4);
        while let Some(left) = rest {
            let (part, behind) = next_part(left).ok_or_else(wrong)?;
            parts.push(part);
            rest = behind;
        }
        let [host, port, to_host, to_port] = parts[..] else { return Err(wrong()) };
        let rule = Self {
            host: host_part(host),
            port: port_part(port).ok_or_else(wrong)?,
            to_host: host_part(to_host),
            to_port: port_part(to_port).ok_or_else(wrong)?,
        };
        if rule.to_host.is_none() && rule.to_port.is_none() {
            return Err(format!("{text:?} names neither an address nor a port to connect to; {}", wrong()));
        }
        Ok(rule)
    }
}

impl fmt::Display for ConnectTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |host: &Option<String>| match host {
            Some(host) if host.contains(':') => format!("[{host}]"),
            host => host.clone().unwrap_or_default(),
        };
        let port = |port: Option<u16>| port.map_or(String::new(), |port| port.to_string());
        write!(f, "{}:{}:{}:{}", host(&self.host), port(self.port), host(&self.to_host), port(self.to_port))
    }
}

/// What stands before the next colon outside of brackets, and what comes behind it.
fn next_part(text: &str) -> Option<(&str, Option<&str>)> {
    let behind_bracket = match text.starts_with('[') {
        true => text.find(']')? + 1,
        false => 0,
    };
    match text[behind_bracket..].find(':') {
        Some(colon) => Some((&text[..behind_bracket + colon], Some(&text[behind_bracket + colon + 1..]))),
        None => Some((text, None)),
    }
}

fn host_part(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    (!bare.is_empty()).then(|| bare.to_ascii_lowercase())
}

/// The outer `None`: it is no port.
fn port_part(text: &str) -> Option<Option<u16>> {
    if text.is_empty() {
        return Some(None);
    }
    text.parse::<u16>().ok().filter(|port| *port > 0).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_written() {
        for text in ["web:80:10.0.0.7:8080", "::10.0.0.7:", "web::other:", ":443::8443", "[::1]:80:[fe80::1%eth0]:81"] {
            let rule: ConnectTo = text.parse().expect(text);
            assert_eq!(rule.to_string(), text);
        }
        let rule: ConnectTo = "Web:80:[::1]:81".parse().expect("a rule");
        assert_eq!((rule.host.as_deref(), rule.to_host.as_deref(), rule.to_port), (Some("web"), Some("::1"), Some(81)));
        assert!(rule.is_about("web", 80) && !rule.is_about("web", 81) && !rule.is_about("other", 80));
        for text in
            ["", "web", "web:80", "web:80:x", "web:80::", "web:x:a:1", "web:0:a:1", "web:80:a:1:2", "[::1:80:a:1"]
        {
            assert!(text.parse::<ConnectTo>().is_err(), "{text}");
        }
    }

    #[test]
    fn resolve_is_a_rule_for_each_address() {
        let rules = |text: &str| {
            ConnectTo::of_resolve(text).map(|rules| rules.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(rules("web:80:10.0.0.7").expect("a rule"), ["web:80:10.0.0.7:"]);
        assert_eq!(
            rules("web:443:10.0.0.7,[::1],::2").expect("rules"),
            ["web:443:10.0.0.7:", "web:443:[::1]:", "web:443:[::2]:"]
        );
        assert_eq!(rules("*:80:10.0.0.7").expect("a rule"), [":80:10.0.0.7:"]);
        for text in ["web:80", "web:80:", "web:80:other", "web:x:10.0.0.7", ""] {
            assert!(rules(text).is_err_and(|e| e.contains("10.0.0.7,10.0.0.8")), "{text}");
        }
    }
}
