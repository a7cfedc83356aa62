//! Where the broker is: given by the user, or found on this machine.

use onrush_host::{LiveFile, runtime_dir};
use serde::{Deserialize, Serialize};

use crate::BusError;

/// Where the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brokers {
    /// `HOST:PORT`, several with commas.
    pub address: String,
    /// Whether it is the broker within a process on this machine: it answers a fetch only when the fetch's
    /// longest wait is over, so that wait must be short.
    pub embedded: bool,
}

/// What an embedded broker leaves in the runtime folder.
#[derive(Serialize, Deserialize)]
struct Announcement {
    address: String,
    pid: u32,
}

const FOLDER: &str = "brokers";

impl Brokers {
    /// The broker of the flag or environment where given, else the embedded broker that runs on this machine
    /// (which the word `embedded` asks for too).
    pub fn discover(given: Option<&str>) -> Result<Self, BusError> {
        let given = given.map(str::trim).filter(|text| !text.is_empty() && *text != "embedded");
        let announced = || Ok::<_, BusError>(announced(&runtime_dir()?));
        match given {
            // A runtime folder that cannot be used is no reason to refuse an address that was given.
            Some(address) => Self::given(address, &announced().unwrap_or_default()),
            None => Self::only(announced()?),
        }
    }

    fn given(address: &str, announced: &[String]) -> Result<Self, BusError> {
        let address = checked(address)?;
        let embedded = announced.iter().any(|live| *live == address.replace("localhost", "127.0.0.1"));
        Ok(Self { address, embedded })
    }

    /// Where the embedded broker is that took the place of the one at `address`, if this is an embedded one, it is gone,
    /// and just one other process of this machine runs one.
    pub(crate) fn successor(&self, address: &str) -> Option<String> {
        if !self.embedded {
            return None;
        }
        let live = announcements(&runtime_dir().ok()?);
        successor(address, &live, std::process::id())
    }

    fn only(mut announced: Vec<String>) -> Result<Self, BusError> {
        announced.sort();
        match (announced.pop(), announced.is_empty()) {
            (None, _) => Err(BusError::NoBroker),
            (Some(address), true) => Ok(Self { address, embedded: true }),
            (Some(last), false) => {
                announced.push(last);
                Err(BusError::SeveralBrokers(announced))
            }
        }
    }
}

/// Makes an embedded broker known on this machine.
pub(crate) fn announce(address: &str) -> Result<LiveFile, BusError> {
    let announcement = Announcement { address: address.into(), pid: std::process::id() };
    let json = serde_json::to_string(&announcement).expect("a text and a number are JSON");
    Ok(LiveFile::create(&runtime_dir()?.join(FOLDER), &json)?)
}

/// The embedded brokers that live on this machine.
fn announcements(runtime_dir: &std::path::Path) -> Vec<Announcement> {
    let files = LiveFile::live(&runtime_dir.join(FOLDER), None);
    files.iter().filter_map(|json| serde_json::from_str(json).ok()).collect()
}

/// Their addresses.
fn announced(runtime_dir: &std::path::Path) -> Vec<String> {
    announcements(runtime_dir).into_iter().map(|announcement| announcement.address).collect()
}

fn successor(address: &str, live: &[Announcement], own_pid: u32) -> Option<String> {
    let address = address.replace("localhost", "127.0.0.1");
    match live {
        // What this process itself runs is no successor of what another ran.
        [only] if only.address != address && only.pid != own_pid => Some(only.address.clone()),
        _ => None,
    }
}

/// `HOST:PORT`, several with commas.
fn checked(given: &str) -> Result<String, BusError> {
    let wrong = |problem| BusError::Address { given: given.into(), problem };
    let mut addresses = Vec::new();
    for address in given.split(',').map(str::trim) {
        let (host, port) = address.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
        match port.parse::<u16>() {
            Ok(1..) => {}
            _ => return Err(wrong("the port is not 1 to 65535")),
        }
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match bracketed {
            Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => {}
            Some(_) => return Err(wrong("the text within the brackets is not an IPv6 address")),
            None if host.is_empty() => return Err(wrong("the host is missing")),
            None if host.contains(':') => return Err(wrong("an IPv6 address stands in brackets, as in [::1]:9092")),
            None if host.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') => {
                return Err(wrong("the host has characters that no host has"));
            }
            None => {}
        }
        addresses.push(address);
    }
    Ok(addresses.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        assert_eq!(checked("a:1, b:65535").unwrap(), "a:1,b:65535");
        assert_eq!(checked("[::1]:9092").unwrap(), "[::1]:9092");
        for wrong in ["", "a", "a:", "a:0", "a:65536", ":9092", "a:1,", "::1:9092", "[x]:1", "http://a:1", "a b:1"] {
            assert!(matches!(checked(wrong), Err(BusError::Address { .. })), "{wrong}");
        }
    }

    #[test]
    fn one_embedded_broker_is_taken_none_or_several_are_told() {
        let found = |live: &[&str]| Brokers::only(live.iter().map(|a| a.to_string()).collect());
        assert_eq!(found(&["127.0.0.1:7"]).unwrap(), Brokers { address: "127.0.0.1:7".into(), embedded: true });
        let none = found(&[]).unwrap_err().to_string();
        assert!(none.contains("--brokers HOST:PORT") && none.contains("--brokers embedded"), "{none}");
        let several = found(&["127.0.0.1:8", "127.0.0.1:7"]).unwrap_err().to_string();
        assert!(several.contains("127.0.0.1:7, 127.0.0.1:8"), "{several}");
    }

    #[test]
    fn an_embedded_broker_is_succeeded_by_the_only_one_of_another_process() {
        let live = |all: &[(&str, u32)]| -> Vec<Announcement> {
            all.iter().map(|(address, pid)| Announcement { address: (*address).into(), pid: *pid }).collect()
        };
        let next = |all: &[(&str, u32)]| successor("localhost:7", &live(all), 1);
        assert_eq!(next(&[("127.0.0.1:8", 2)]), Some("127.0.0.1:8".into()));
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[("127.0.0.1:7", 2)]), None, "it is still there");
        assert_eq!(next(&[("127.0.0.1:8", 2), ("127.0.0.1:9", 3)]), None, "which one?");
        assert_eq!(next(&[("127.0.0.1:8", 1)]), None, "of this process");
        let kafka = Brokers { address: "127.0.0.1:7".into(), embedded: false };
        assert_eq!(kafka.successor("127.0.0.1:7"), None);
    }

    #[test]
    fn a_given_address_is_embedded_when_it_is_announced() {
        let live = ["127.0.0.1:7".to_owned()];
        assert!(Brokers::given("127.0.0.1:7", &live).unwrap().embedded);
        assert!(Brokers::given("localhost:7", &live).unwrap().embedded);
        assert!(!Brokers::given("127.0.0.1:8", &live).unwrap().embedded);
    }
}
