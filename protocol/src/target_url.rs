//! A target's URL as it was typed: which server it means, and what is asked for there.
//!
//! What was typed is sent. Dots, escapes and slashes of a path stay as they are (RFC 3986 lets two servers disagree about
//! them, and whoever tests one wants to know); only what no URL may hold is percent-encoded, and the result of that is
//! what [`TargetUrl`] shows. A host that is a number in disguise is refused: `8080` is a valid address to the rules
//! of browsers (0.0.31.144), and never what was meant.

use std::fmt;
use std::net::Ipv4Addr;

/// A URL that requests can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl {
    /// Whether the server is spoken to by TLS.
    pub tls: bool,
    /// The server's name or address, in lower case, without brackets; an IPv6 address may have a zone (`fe80::1%eth0`).
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What is asked for: path and query, as they go into the request.
    pub request_target: String,
}

const EXAMPLE: &str = "give one like http://127.0.0.1:8080/ping";

impl TargetUrl {
    /// Reads a URL; one without a scheme is `http://`. The error continues "the URL …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if text.is_empty() {
            return Err(format!("is empty and names no host; {EXAMPLE}"));
        }
        let (tls, rest) = split_scheme(text)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        if authority.is_empty() {
            return Err(format!("{} names no host; {EXAMPLE}", quoted(text)));
        }
        if authority.contains('@') {
            return Err("carries a user name; send an Authorization header instead".into());
        }
        let (host, port) = split_port(authority)?;
        let host = host_of(host, authority, behind)?;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host, port, request_target: request_target(behind) })
    }

    /// Reads the URL of a page of metrics, which is `/metrics` where none is named, and http: whoever asks for it speaks no TLS.
    /// The error continues "the URL …".
    pub fn of_metrics(text: &str) -> Result<Self, String> {
        let url = Self::parse(text)?;
        if url.tls {
            return Err("is https, and metrics are asked for without TLS; give an http:// address".into());
        }
        let request_target = if url.request_target == "/" { "/metrics".into() } else { url.request_target };
        Ok(Self { request_target, ..url })
    }

    /// Reads a URL, or a path at the server of `base` (`/login?next=x`).
    pub fn parse_beside(base: Option<&Self>, text: &str) -> Result<Self, String> {
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        match base {
            Some(base) if trimmed.starts_with(['/', '?']) && !trimmed.starts_with("//") => {
                Ok(Self { request_target: request_target(trimmed), ..base.clone() })
            }
            _ => Self::parse(text),
        }
    }

    /// The host as URLs and Host headers write it: an IPv6 address in brackets, without its zone.
    pub fn bracketed_host(&self) -> String {
        match self.host.split_once('%') {
            Some((address, _)) => format!("[{address}]"),
            None if self.host.contains(':') => format!("[{}]", self.host),
            None => self.host.clone(),
        }
    }

    /// The host, and the port where it is not that of the scheme: what a Host header says.
    pub fn authority(&self) -> String {
        let host = self.bracketed_host();
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.request_target.split('?').next().unwrap_or_default()
    }

    /// Whether both mean the same server.
    pub fn same_server(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port)
    }
}

impl fmt::Display for TargetUrl {
    /// What is asked for, as it is sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.request_target)
    }
}

/// Whether TLS is spoken, and what comes behind the scheme.
fn split_scheme(text: &str) -> Result<(bool, &str), String> {
    let is_scheme = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    if let Some((scheme, rest)) = text.split_once("://")
        && is_scheme(scheme)
    {
        return match scheme.to_ascii_lowercase().as_str() {
            "http" => Ok((false, rest)),
            "https" => Ok((true, rest)),
            other => Err(format!("has the scheme {other:?}, which is neither http nor https; {EXAMPLE}")),
        };
    }
    // `http//host`, `http:/host`, `https:host`: a scheme that lost something on the way.
    let lower = text.to_ascii_lowercase();
    for scheme in ["https", "http"] {
        let Some(rest) = lower.strip_prefix(scheme) else { continue };
        let host = rest.trim_start_matches([':', '/']);
        let is_port = host.starts_with(|c: char| c.is_ascii_digit()) && !host.contains('.') && !rest.contains('/');
        if rest.starts_with([':', '/']) && !is_port {
            return Err(format!(
                "{} has no {scheme}:// at its beginning; did you mean {scheme}://{host}?",
                quoted(text)
            ));
        }
    }
    if text.starts_with('/') {
        return Err(format!("{} is a path and names no host; give one like http://127.0.0.1:8080{text}", quoted(text)));
    }
    Ok((false, text))
}

/// The host as it was written, and the port.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let behind_host = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']').map(|end| end + 2).ok_or("has a [ without its ] in the host")?,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(behind_host);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        None => return Err(format!("has {} behind the host; {EXAMPLE}", quoted(port))),
        Some(_) if !host.starts_with('[') && authority.matches(':').count() > 1 => {
            return Err(format!("has an IPv6 address without brackets; write [{authority}]"));
        }
        Some(digits) => {
            let number = digits.parse::<u16>().ok().filter(|n| *n > 0 && digits.bytes().all(|b| b.is_ascii_digit()));
            Some(number.ok_or_else(|| format!("has the port {}; a port is 1 to 65535", quoted(digits)))?)
        }
    };
    Ok((host, port))
}

/// The host in the form that names are looked up by.
fn host_of(host: &str, authority: &str, behind: &str) -> Result<String, String> {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // RFC 6874 writes the zone behind %25; people write it behind %.
        let (address, zone) = match inner.split_once('%') {
            Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
            None => (inner, None),
        };
        let address: std::net::Ipv6Addr =
            address.parse().map_err(|_| format!("has no IPv6 address within the brackets: {}", quoted(inner)))?;
        let is_zone = |zone: &str| {
            !zone.is_empty() && zone.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~'))
        };
        return match zone {
            None => Ok(address.to_string()),
            Some(zone) if is_zone(zone) => Ok(format!("{address}%{zone}")),
            Some(zone) => Err(format!("has the zone {}, which is not the name of an interface", quoted(zone))),
        };
    }
    if let Some(odd) = host.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("has {odd:?} in the host {}; {EXAMPLE}", quoted(host)));
    }
    if let Some(meant) = number_in_disguise(host) {
        return Err(match (meant, host.parse::<u64>()) {
            // Whoever types a bare number means a port of this machine.
            (_, Ok(port @ 1..=65_535)) if authority == host => {
                format!("{authority:?} is a number and no host; did you mean localhost:{port}{behind}?")
            }
            (Some(address), _) => format!("has a number as its host ({host}); write the address: {address}"),
            (None, _) => format!("has a number as its host ({host}), which is not an address; {EXAMPLE}"),
        });
    }
    match url::Host::parse(host) {
        Ok(url::Host::Domain(name)) => Ok(name),
        Ok(address) => Ok(address.to_string()),
        Err(error) => Err(format!("has a host that cannot be: {} ({error}); {EXAMPLE}", quoted(host))),
    }
}

/// Where the host is a number and not an address of four: what the rules of browsers (and inet_aton) make of it.
fn number_in_disguise(host: &str) -> Option<Option<Ipv4Addr>> {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    if !is_number || host.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    Some(match url::Host::parse(host) {
        Ok(url::Host::Ipv4(address)) => Some(address),
        _ => None,
    })
}

/// Path and query as they are sent: as typed, but for what no URL may hold (RFC 3986) and for the fragment.
fn request_target(behind_authority: &str) -> String {
    let behind = behind_authority.split('#').next().unwrap_or_default();
    let mut target = String::with_capacity(behind.len() + 1);
    if !behind.starts_with('/') {
        target.push('/');
    }
    let bytes = behind.as_bytes();
    for (index, &byte) in bytes.iter().enumerate() {
        let is_escape = || bytes[index + 1..].iter().take(2).filter(|b| b.is_ascii_hexdigit()).count() == 2;
        let is_legal = match byte {
            b'%' => is_escape(),
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
            _ => byte.is_ascii_graphic(),
        };
        if is_legal {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
    target
}

/// A piece of what was typed, cut short and harmless.
fn quoted(text: &str) -> String {
    crate::fields::quoted(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        TargetUrl::parse(text).map_or_else(|e| panic!("{text:?}: {e}"), |url| url.to_string())
    }

    fn problem(text: &str) -> String {
        TargetUrl::parse(text).expect_err(text)
    }

    #[test]
    fn a_scheme_is_http_where_none_is_given() {
        for (text, url) in [
            ("localhost:8080", "http://localhost:8080/"),
            ("web", "http://web/"),
            ("localhost:8080/?u=http://x", "http://localhost:8080/?u=http://x"),
            ("127.0.0.1:81/a?b=c://d", "http://127.0.0.1:81/a?b=c://d"),
            ("HTTPS://Web:443/A", "https://web/A"),
            ("http://web:80?q=1", "http://web/?q=1"),
            ("https://web:80/", "https://web:80/"),
            ("  http://web/ ", "http://web/"),
            ("http.example/x", "http://http.example/x"),
            ("https-web:81", "http://https-web:81/"),
            ("[::1]:81/a", "http://[::1]:81/a"),
            ("http://[0:0::1]/", "http://[::1]/"),
            ("http://web:/a", "http://web/a"),
            ("http://bücher.example/", "http://xn--bcher-kva.example/"),
            ("http://web/a#b?c", "http://web/a"),
        ] {
            assert_eq!(shown(text), url, "{text}");
        }
    }

    #[test]
    fn metrics_are_asked_for_by_http_and_where_they_usually_are() {
        for (text, url) in [
            ("web1:9100", "http://web1:9100/metrics"),
            ("http://web1:9100/", "http://web1:9100/metrics"),
            ("http://web1:9100/own/metrics?collect[]=cpu", "http://web1:9100/own/metrics?collect[]=cpu"),
            ("http://prometheus:9090/?x", "http://prometheus:9090/?x"),
        ] {
            assert_eq!(TargetUrl::of_metrics(text).map(|url| url.to_string()).as_deref(), Ok(url), "{text}");
        }
        let refused = |text| TargetUrl::of_metrics(text).expect_err("it is no URL of metrics");
        assert!(refused("https://web1:9100").contains("give an http:// address"));
        assert!(refused("http://user:word@web1").contains("user name"));
    }

    #[test]
    fn what_is_legal_is_sent_as_typed() {
        for target in [
            "/a/%2e%2e/b",
            "/a/../b",
            "/./",
            "//a//b",
            "/.%2E/",
            "/?q='x'",
            "/it's",
            "/%7Ea",
            "/a%2fb",
            "/a?",
            "/?",
            "/?a=$b&c=!()*,",
            "/?[x]=1",
            "/a;b=c",
            "/@:,",
            "/%00",
            "/~",
            "/?/?",
            "/...",
        ] {
            assert_eq!(TargetUrl::parse(&format!("http://h{target}")).expect(target).request_target, target);
        }
    }

    #[test]
    fn what_no_url_may_hold_is_encoded() {
        for (typed, sent) in [
            ("/{id}", "/%7Bid%7D"),
            ("/a b", "/a%20b"),
            ("/é", "/%C3%A9"),
            ("/?é", "/?%C3%A9"),
            ("/\tx", "/%09x"),
            ("/%", "/%25"),
            ("/%zz", "/%25zz"),
            ("/%2", "/%252"),
            ("/a\\b", "/a%5Cb"),
            ("/\"<>^`|", "/%22%3C%3E%5E%60%7C"),
            ("/a\r\nX: y", "/a%0D%0AX:%20y"),
            ("/\0", "/%00"),
            ("/\u{7f}", "/%7F"),
        ] {
            assert_eq!(TargetUrl::parse(&format!("http://h{typed}")).expect(typed).request_target, sent, "{typed:?}");
        }
    }

    #[test]
    fn a_zone_reaches_the_address_and_not_the_host_header() {
        for text in ["http://[fe80::1%25eth0]:81/a", "http://[fe80::1%eth0]:81/a"] {
            let url = TargetUrl::parse(text).expect(text);
            assert_eq!((url.host.as_str(), url.authority().as_str()), ("fe80::1%eth0", "[fe80::1]:81"));
        }
        assert!(problem("http://[fe80::1%25]/").contains("zone"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_may_be_meant() {
        for (text, words) in [
            ("8080", "localhost:8080?"),
            ("8080/ping", "localhost:8080/ping?"),
            ("http://8080/", "localhost:8080/?"),
            ("0", "number"),
            ("99999", "number"),
            ("http://2130706433:81/", "127.0.0.1"),
            ("http://0x7f000001/", "127.0.0.1"),
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://0177.0.0.1/", "127.0.0.1"),
            ("http://1.2.3.256/", "number"),
            ("http://1.2.3.4.5/", "number"),
            ("http//web/", "http://web/"),
            ("http:/web/", "http://web/"),
            ("https:web", "https://web"),
            ("http:", "http://"),
            ("/ping", "host"),
            ("?a", "host"),
            ("htp://web/", "htp"),
            ("ws://web/", "http"),
            ("", "host"),
            ("http://", "host"),
            ("http:///a", "host"),
            ("http://web:0/", "port"),
            ("http://web:99999/", "port"),
            ("http://web:+80/", "port"),
            ("http://web:8o/", "port"),
            ("http:// web/", "' '"),
            ("http://a b/", "' '"),
            ("http://a:b@web/", "Authorization"),
            ("http://::1/", "brackets"),
            ("http://[::1/", "]"),
            ("http://[::1]x/", "behind the host"),
            ("http://[1.2.3.4]/", "IPv6"),
            ("http://a<b/", "cannot be"),
        ] {
            let problem = problem(text);
            assert!(problem.contains(words), "{text:?}: {problem}");
        }
    }

    #[test]
    fn a_path_stands_beside_a_base() {
        let base = TargetUrl::parse("https://web:8443/x?y").expect("a URL");
        let beside = |text| TargetUrl::parse_beside(Some(&base), text).map(|url| url.to_string());
        assert_eq!(beside("/a?b=c").as_deref(), Ok("https://web:8443/a?b=c"));
        assert_eq!(beside("?b").as_deref(), Ok("https://web:8443/?b"));
        assert_eq!(beside("http://other/").as_deref(), Ok("http://other/"));
        assert!(TargetUrl::parse_beside(None, "/a").is_err() && beside("//a").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(text in "(http://|https://)?[a-z0-9.:\\[\\]%-]{1,12}[ -~é]{0,20}") {
            if let Ok(url) = TargetUrl::parse(&text) {
                prop_assert!(url.request_target.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(url.request_target.starts_with('/'));
                if !url.host.contains('%') {
                    prop_assert_eq!(TargetUrl::parse(&url.to_string()), Ok(url));
                }
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = TargetUrl::parse(&text);
        }
    }
}
