//! Reads what people write on a command line: durations, numbers with suffixes, CPU lists, `name=value` pairs.
//!
//! Pure functions; each error says what would be right. What a number, a duration or a rate may look like is
//! `onrush_protocol::human`'s to say, as for REST.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use onrush_protocol::human;
use onrush_protocol::limits::MAX_CONNECTIONS;
use onrush_target::{Delay, Stall};

/// `10ms`, `250us`, `1m30s`; a bare number means seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    human::duration(text).map_err(|right| format!("{text:?} is not a duration; {right}"))
}

/// How long ago: `90d`, `2w`, and every duration.
pub fn age(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(86_400);
    let trimmed = text.trim();
    let of = |suffix| trimmed.strip_suffix(suffix).and_then(human::number);
    let days = of('d').or_else(|| of('w').map(|weeks| 7.0 * weeks));
    let age = match days {
        Some(days) => Duration::try_from_secs_f64(days * DAY.as_secs_f64()).ok(),
        None => human::duration(text).ok(),
    };
    age.filter(|age| !age.is_zero()).ok_or_else(|| format!("{text:?} is not an age; write 90d, 2w or 12h"))
}

/// A number of requests, at least 1: `1000`, `100_000`, `10k`, `1.5M`.
pub fn count(text: &str) -> Result<u64, String> {
    match human::count(text) {
        Ok(0) => Err("requests must be at least 1; write 1000, 10k or 1M".into()),
        read => read.map_err(|right| format!("{text:?} is not a number of requests; {right}")),
    }
}

/// A number of connections: `64`, `1k`. Whether so many can be had is not said here.
pub fn connections(text: &str) -> Result<u32, String> {
    let number = human::count(text).map_err(|right| format!("{text:?} is not a number of connections; {right}"))?;
    u32::try_from(number).map_err(|_| format!("{text:?} are too many connections; write at most {MAX_CONNECTIONS}"))
}

/// A rate: `500`, `0.5`, `10k`, `60/m`.
pub fn rate(text: &str) -> Result<f64, String> {
    human::rate(text).map_err(|right| format!("{text:?} is not a rate; {right}"))
}

/// A number of bytes: `1024`, `64KiB`, `1MiB`.
pub fn size(text: &str) -> Result<usize, String> {
    let trimmed = text.trim();
    let with = |suffix, factor| trimmed.strip_suffix(suffix).map(|digits: &str| (digits.trim_end(), factor));
    let (digits, factor) = with("KiB", 1 << 10).or_else(|| with("MiB", 1 << 20)).unwrap_or((trimmed, 1));
    let value = digits.parse::<usize>().ok().and_then(|value| value.checked_mul(factor));
    value.ok_or_else(|| format!("{text:?} is not a number of bytes; write 1024, 64KiB or 1MiB"))
}

/// How long answers wait: `10ms`, `uniform:1ms-9ms`, `exp:5ms`.
pub fn delay(text: &str) -> Result<Delay, String> {
    let wrong = || format!("{text:?} is not a delay; write 10ms, uniform:1ms-9ms, or exp:5ms for a mean of 5 ms");
    let read = |text: &str| duration(text).map_err(|_| wrong());
    let delay = match text.trim().split_once(':') {
        None => Delay::Fixed(read(text)?),
        Some(("uniform", bounds)) => {
            let (low, high) = bounds.split_once('-').ok_or_else(wrong)?;
            Delay::Uniform { low: read(low)?, high: read(high)? }
        }
        Some(("exp", mean)) => Delay::Exponential { mean: read(mean)? },
        Some(_) => return Err(wrong()),
    };
    delay.problem().map_or(Ok(delay), Err)
}

/// How long a request is served: `exp:5ms`, `fixed:5ms`, `uniform:1ms-9ms`.
pub fn service(text: &str) -> Result<Delay, String> {
    let wrong =
        || format!("{text:?} is not a service time; write fixed:5ms, exp:5ms for a mean of 5 ms, or uniform:1ms-9ms");
    let trimmed = text.trim();
    let service = match trimmed.strip_prefix("fixed:") {
        Some(fixed) => Delay::Fixed(duration(fixed).map_err(|_| wrong())?),
        None if trimmed.contains(':') => delay(trimmed).map_err(|_| wrong())?,
        None => return Err(wrong()),
    };
    if service.is_none() {
        return Err("a service time must be greater than 0, like exp:5ms or fixed:5ms".into());
    }
    service.problem().map_or(Ok(service), Err)
}

/// When nothing is answered: `1s/10s`, the last second of every ten.
pub fn stall(text: &str) -> Result<Stall, String> {
    let wrong = || format!("{text:?} is not a stall; write LENGTH/PERIOD, like 1s/10s");
    let (length, period) = text.split_once('/').ok_or_else(wrong)?;
    let read = |text: &str| duration(text).map_err(|_| wrong());
    let stall = Stall { length: read(length)?, period: read(period)? };
    stall.problem().map_or(Ok(stall), Err)
}

/// CPUs that a process is to be pinned to: one value on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(pub Vec<usize>);

/// `2-7`, `0,2,4-5`.
pub fn cpus(text: &str) -> Result<Cpus, String> {
    onrush_host::cpus::parse_list(text).map(Cpus)
}

/// Addresses of this machine: one value on the command line may be a range of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddresses(pub Vec<IpAddr>);

/// More addresses than this are a mistake: 64 have ports for 1.8 million connections to each address of a target.
const MAX_LOCAL_ADDRESSES: u128 = 1024;

/// `10.0.0.5`, `10.0.0.5-10.0.0.9`, `fd00::1-fd00::f`.
pub fn local_addresses(text: &str) -> Result<LocalAddresses, String> {
    let wrong = || format!("{text:?} is not an address or a range of them; write 10.0.0.5 or 10.0.0.5-10.0.0.9");
    let read = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| wrong());
    let Some((first, last)) = text.split_once('-') else { return Ok(LocalAddresses(vec![read(text)?])) };
    let (first, last) = (read(first)?, read(last)?);
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    let (from, to) = (number(first), number(last));
    if first.is_ipv4() != last.is_ipv4() || to < from {
        return Err(wrong());
    }
    if to - from >= MAX_LOCAL_ADDRESSES {
        return Err(format!("{text:?} has more than {MAX_LOCAL_ADDRESSES} addresses; give fewer"));
    }
    let address = |n: u128| match first {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::from(n as u32)),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::from(n)),
    };
    Ok(LocalAddresses((from..=to).map(address).collect()))
}

/// `name=value`, for the Kafka library's own settings.
pub fn option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        // It may be a password: it is not repeated.
        _ => Err("not a setting; write NAME=VALUE, like broker.address.family=v4".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_days_and_weeks() {
        let hours = |text| age(text).map(|age| age.as_secs_f64() / 3_600.0);
        assert_eq!([hours("90d"), hours("2w"), hours("12h"), hours(" 1.5d ")], [2160.0, 336.0, 12.0, 36.0].map(Ok));
        for wrong in ["", "d", "0d", "-1d", "1y", "1e300d", "0s", "infd"] {
            assert!(age(wrong).expect_err(wrong).contains("90d"), "{wrong}");
        }
    }

    #[test]
    fn values_are_read_as_everywhere_and_errors_name_them() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("abc").is_err_and(|e| e.contains("\"abc\"") && e.contains("10ms")));
        assert_eq!((count("10k"), rate("60/m"), connections("1k")), (Ok(10_000), Ok(1.0), Ok(1_000)));
        assert!(count("0").is_err_and(|e| e.contains("10k")));
        assert!(count("1m").is_err_and(|e| e.contains("\"1m\"") && e.contains("1M")));
        assert!(rate("1m").is_err_and(|e| e.contains("\"1m\"") && e.contains("1M") && e.contains("1/m")));
        // How many there may be is the test's to say, and zero has an answer of its own there.
        assert_eq!(connections("0"), Ok(0));
        assert!(connections("5G").is_err_and(|e| e.contains("100000")));
        assert!(connections("many").is_err_and(|e| e.contains("connections") && e.contains("10k")));
    }

    #[test]
    fn sizes_delays_and_stalls_are_read() {
        assert_eq!((size("0"), size("1024"), size("64KiB"), size("1 MiB")), (Ok(0), Ok(1024), Ok(65_536), Ok(1 << 20)));
        for text in ["", "-1", "1k", "1.5KiB", "KiB", "99999999999999999999", "18446744073709551615MiB"] {
            assert!(size(text).is_err_and(|e| e.contains("64KiB")), "{text}");
        }
        let ms = Duration::from_millis;
        assert_eq!(delay("10ms"), Ok(Delay::Fixed(ms(10))));
        assert_eq!(delay("0"), Ok(Delay::default()));
        assert_eq!(delay("uniform:1ms-9ms"), Ok(Delay::Uniform { low: ms(1), high: ms(9) }));
        assert_eq!(delay("exp:5ms"), Ok(Delay::Exponential { mean: ms(5) }));
        for text in ["", "-1s", "uniform:5ms", "uniform:9ms-1ms", "normal:5ms", "exp:", "exp:-1ms"] {
            assert!(delay(text).is_err_and(|e| e.contains("uniform:1ms-9ms")), "{text}");
        }
        assert_eq!(service("fixed:5ms"), Ok(Delay::Fixed(ms(5))));
        assert_eq!(service("exp:5ms"), Ok(Delay::Exponential { mean: ms(5) }));
        for text in ["", "5ms", "fixed:", "fixed:-1s", "normal:5ms", "exp:", "fixed:0s"] {
            assert!(service(text).is_err_and(|e| e.contains("fixed:5ms")), "{text}");
        }
        assert_eq!(stall("1s/10s"), Ok(Stall { length: ms(1_000), period: ms(10_000) }));
        for text in ["", "1s", "10s/1s", "0s/1s", "1s/", "1s:10s"] {
            assert!(stall(text).is_err_and(|e| e.contains("1s/10s")), "{text}");
        }
    }

    #[test]
    fn local_addresses_may_be_ranges() {
        let read =
            |text: &str| local_addresses(text).map(|list| list.0.iter().map(IpAddr::to_string).collect::<Vec<_>>());
        assert_eq!(read("10.0.0.5"), Ok(vec!["10.0.0.5".to_owned()]));
        assert_eq!(
            read("10.0.0.254-10.0.1.1").map(|list| list.join(" ")),
            Ok("10.0.0.254 10.0.0.255 10.0.1.0 10.0.1.1".into())
        );
        assert_eq!(read("fd00::e - fd00::10").map(|list| list.join(" ")), Ok("fd00::e fd00::f fd00::10".into()));
        for text in ["", "localhost", "10.0.0.9-10.0.0.5", "10.0.0.1-::1", "10.0.0.0-10.255.0.0", "10.0.0.1-"] {
            assert!(local_addresses(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pairs_are_split_once() {
        assert_eq!(option("sasl.password=a=b"), Ok(("sasl.password".into(), "a=b".into())));
        for secret in ["=secret", "ssl.key.password secret"] {
            assert!(option(secret).is_err_and(|problem| !problem.contains("secret")), "{secret}");
        }
    }
}
