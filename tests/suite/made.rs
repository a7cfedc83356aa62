//! Bodies of `POST /v1/tests`, made at random out of everything that may be said. The orchestrator's own tests read them, too.

use std::time::Duration;

use fastrand::Rng;
use onrush_protocol::limits;
use serde_json::{Map, Value, json};

/// The body of a test that sends to the target, if anywhere.
pub fn test(random: &mut Rng, url: &str) -> Value {
    let is_tsunami = random.bool();
    let mut test = Map::new();
    let mut put = |name: &str, value: Value| _ = test.insert(name.to_owned(), value);
    put("test_type", spelled(random, if is_tsunami { "TSUNAMI" } else { "AVALANCHE" }).into());
    if often(random, 0.2) {
        put("profile", profile(random));
        if often(random, 0.3) {
            put("requests", count(random, limits::MAX_COUNT));
        }
    } else {
        for (name, value) in rate_and_end(random, is_tsunami) {
            put(name, value);
        }
    }
    let is_paced = ["profile", "target_throughput", "total_throughput", "test_message_delay"];
    if is_paced.iter().any(|name| test.contains_key(*name)) && often(random, 0.3) {
        test.insert("arrivals".into(), any(random, &["even", "poisson", "Poisson"]).into());
    }
    let mut put = |name: &str, value: Value| _ = test.insert(name.to_owned(), value);
    put("target_url", target(random, url).into());
    if often(random, 0.3) {
        let requests: Vec<Value> = (0..random.usize(1..12)).map(|_| request(random, url)).collect();
        put("targets", requests.into());
        put("order", any(random, &["in_turn", "shuffled"]).into());
    } else {
        for (name, value) in parts(random) {
            put(&name, value);
        }
    }
    let mut maybe = |random: &mut Rng, name: &str, make: &dyn Fn(&mut Rng) -> Value| {
        if often(random, 0.3) {
            put(name, make(random));
        }
    };
    maybe(random, "seed", &|random| random.u64(..).into());
    // Few: each is opened.
    maybe(random, "connections", &|random| random.u32(1..6).into());
    maybe(random, "timeout", &|random| duration(random, limits::MIN_TIMEOUT, limits::MAX_TIMEOUT));
    // Long enough for a busy machine to open a connection.
    maybe(random, "connect_timeout", &|random| duration(random, Duration::from_secs(20), limits::MAX_TIMEOUT));
    for flag in ["keepalive", "resend", "tls_insecure"] {
        maybe(random, flag, &|random| {
            let spelling = any(random, &["yes", "No", "TRUE", "false"]);
            if random.bool() { random.bool().into() } else { spelling.into() }
        });
    }
    maybe(random, "connect_to", &|random| {
        (0..random.usize(1..4)).map(|n| format!("host{n}.invalid:{}:127.0.0.1:", random.u16(1..))).collect()
    });
    maybe(random, "name", &|random| text(random, 200, |c| !c.is_control()).into());
    Value::Object(test)
}

/// A number of requests, a duration or both, and what says how many are due.
fn rate_and_end(random: &mut Rng, is_tsunami: bool) -> Vec<(&'static str, Value)> {
    let mut fields = Vec::new();
    let ends = random.u8(0..3);
    if ends != 0 {
        fields
            .push((any(random, &["message_count_per_driver", "requests", "count"]), count(random, limits::MAX_COUNT)));
    }
    if ends != 1 {
        fields.push(("duration", duration(random, Duration::from_nanos(1), limits::MAX_DURATION)));
    }
    let paced = random.u8(0..4);
    match paced {
        0 | 1 => fields.push(("target_throughput", rate(random))),
        2 => fields.push(("total_throughput", rate(random))),
        _ => {}
    }
    if is_tsunami && paced != 2 && (paced == 3 || random.bool()) {
        fields.push(("test_message_delay", duration(random, limits::MIN_DELAY, limits::MAX_DELAY)));
    }
    fields
}

fn profile(random: &mut Rng) -> Value {
    let end = |random: &mut Rng| format!("{}k", random.u32(1..9_000));
    let phases: Vec<Value> = (0..random.usize(1..8))
        .map(|_| {
            let length = format!("{}{}", random.u32(1..500), any(random, &["us", "ms", "s", "m"]));
            match random.u8(0..5) {
                0 => json!({"for": length, "rate": rate(random)}),
                1 => json!({"for": length, "from": end(random), "to": end(random)}),
                2 => json!({"for": length, "from": 0, "to": end(random), "steps": random.u32(2..20)}),
                3 => json!({"for": length, "rate": any(random, &["max", "pause", "0"])}),
                _ => format!("{length}@{}..{}", end(random), end(random)).into(),
            }
        })
        .collect();
    match random.u8(0..3) {
        0 => phases.into(),
        1 => json!({"of": any(random, &["total", "driver"]), "phases": phases}),
        _ => "1s@10, 500ms@20..30, 2s@max".into(),
    }
}

fn request(random: &mut Rng, url: &str) -> Value {
    let mut request: Map<String, Value> = parts(random).into_iter().collect();
    match random.u8(0..3) {
        0 => _ = request.insert("url".into(), target(random, url).into()),
        1 => _ = request.insert("url".into(), target(random, "").into()),
        _ => {}
    }
    if random.bool() {
        let most = any(random, &[5, 1000, 1_000_000, u32::MAX]);
        request.insert("weight".into(), random.u32(1..=most).into());
    }
    if often(random, 0.3) {
        let name = text(random, 20, |c| !c.is_control() && !"{},".contains(c));
        request.insert("name".into(), name.into());
    }
    Value::Object(request)
}

/// What belongs to one request.
fn parts(random: &mut Rng) -> Vec<(String, Value)> {
    let mut parts = Vec::new();
    if random.bool() {
        let method = match random.u8(0..4) {
            0 => text(random, 20, |c| c.is_ascii_alphanumeric() || "!#$%&'*+.^_`|~-".contains(c)) + "X",
            _ => any(random, &["GET", "POST", "put", "DELETE", "HEAD", "Options", "PATCH", "TRACE"]).into(),
        };
        parts.push(("method".to_owned(), method.into()));
    }
    if random.bool() {
        let value = |random: &mut Rng| text(random, 300, |c| !c.is_control());
        let pairs: Vec<(String, String)> = (0..random.usize(0..6)).map(|n| (format!("x-{n}"), value(random))).collect();
        let headers = if random.bool() {
            pairs.into_iter().map(|(name, value)| (name, value.into())).collect::<Map<_, _>>().into()
        } else {
            json!(pairs)
        };
        parts.push(("headers".to_owned(), headers));
    }
    match random.u8(0..4) {
        0 => parts.push(("body".to_owned(), text(random, 3000, |_| true).into())),
        1 => {
            let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let coded: String = (0..4 * random.usize(0..1000)).map(|_| char::from(any(random, digits))).collect();
            parts.push(("body_base64".to_owned(), coded.into()));
        }
        _ => {}
    }
    if often(random, 0.3) {
        let checks: Vec<Value> = (0..random.usize(1..6)).map(|_| check(random).into()).collect();
        parts.push(("expect".to_owned(), checks.into()));
    }
    parts
}

fn check(random: &mut Rng) -> String {
    match random.u8(0..4) {
        0 => format!("status={}", random.u16(200..600)),
        1 => format!("status={}xx,{}", random.u8(2..6), random.u16(200..600)),
        2 => format!("body~{}x", text(random, 200, |_| true)),
        _ => format!("json:/{}={}", text(random, 20, |c| c.is_alphanumeric()), text(random, 50, |_| true)),
    }
}

/// A path and query behind the URL's host.
fn target(random: &mut Rng, url: &str) -> String {
    let origin = url.trim_end_matches("/ping");
    let legal = |c: char| c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@?".contains(c);
    format!("{origin}/{}{}", text(random, 200, legal), any(random, &["", "?a=%20b", "/%2e%2e/c", "/{id}"]))
}

fn rate(random: &mut Rng) -> Value {
    match random.u8(0..4) {
        0 => format!("{}/m", random.u32(1..100_000)).into(),
        1 => format!("{}/h", random.u32(1..100_000)).into(),
        2 => format!("{}k", random.u32(1..9_000)).into(),
        _ => spread(random, limits::MIN_THROUGHPUT_PER_S, limits::MAX_THROUGHPUT_PER_S).into(),
    }
}

fn count(random: &mut Rng, most: u64) -> Value {
    match random.u8(0..3) {
        0 => format!("{}k", random.u32(1..100_000)).into(),
        1 => format!("{}.5M", random.u32(1..1000)).into(),
        _ => (spread(random, 1.0, most as f64) as u64).into(),
    }
}

fn duration(random: &mut Rng, least: Duration, most: Duration) -> Value {
    let seconds = spread(random, least.as_secs_f64(), most.as_secs_f64());
    match random.u8(0..4) {
        0 => format!("{}ns", (seconds * 1e9) as u64).into(),
        1 if seconds >= 1.0 => format!("{}s", seconds as u64).into(),
        2 if seconds >= 60.0 => format!("{}m {}s", seconds as u64 / 60, random.u8(0..60)).into(),
        _ => seconds.into(),
    }
}

/// Between these, each order of magnitude as likely as another; the ends themselves now and then.
fn spread(random: &mut Rng, least: f64, most: f64) -> f64 {
    match random.u8(0..10) {
        0 => least,
        1 => most,
        _ => (least.ln() + random.f64() * (most.ln() - least.ln())).exp().clamp(least, most),
    }
}

/// At most so many characters of those that will do, from all that there are.
fn text(random: &mut Rng, at_most: usize, will_do: impl Fn(char) -> bool) -> String {
    let length = random.usize(0..=at_most);
    let one = |random: &mut Rng| match random.u8(0..8) {
        0 => random.char(..),
        1 => any(random, &['\n', '"', '\\', '\0', '\u{feff}', '\u{2028}', 'ß', '😀']),
        _ => random.char('\u{20}'..'\u{7f}'),
    };
    (0..length).map(|_| one(random)).filter(|c| will_do(*c)).collect()
}

fn spelled(random: &mut Rng, word: &str) -> String {
    word.chars().map(|c| if random.bool() { c.to_ascii_lowercase() } else { c }).collect()
}

fn any<T: Copy>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(0..choices.len())]
}

fn often(random: &mut Rng, share: f64) -> bool {
    random.f64() < share
}
