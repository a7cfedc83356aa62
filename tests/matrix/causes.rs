//! The causes, and who is to be named for each.

use std::time::Duration;

use crate::case::Case;
use crate::network::{Link, Way};

/// A cause, the words that are right for it, and how it is made.
pub struct Cause {
    pub name: &'static str,
    pub limited_by: &'static str,
    /// One of them; a word that is empty: none.
    pub resources: &'static [&'static str],
    pub case: Case,
}

fn cause(name: &'static str, limited_by: &'static str, resources: &'static [&'static str], case: Case) -> Cause {
    Cause { name, limited_by, resources, case }
}

fn delay(ms: u64) -> Way {
    Way { delay: Duration::from_millis(ms), ..Way::default() }
}

fn shaped(mbit_per_s: u64) -> Way {
    Way { shaped: Some(Link { bit_per_s: mbit_per_s * 1_000_000, queue_bytes: 128 * 1024 }), ..Way::default() }
}

/// A router between the two, of that speed, with a queue as deep as usual ones.
fn router(mbit_per_s: u64, delay_ms: u64) -> Way {
    let link = Link { bit_per_s: mbit_per_s * 1_000_000, queue_bytes: 128 * 1024 };
    Way { link: Some(link), ..delay(delay_ms) }
}

/// The ten causes.
pub fn all() -> Vec<Cause> {
    let on_loopback = [
        cause("nothing", "none", &[""], Case::new("", "-c 16 -R 200 -d 3s")),
        cause("target CPU", "target", &["cpu"], Case::new("--io epoll --body-size 16KiB --chunked", "-c 64 -d 3s")),
        cause("target stall", "target", &["stall"], Case::new("--stall 700ms/1s", "-c 8 -d 3s")),
        cause(
            "target accept queue",
            "target",
            &["accept_queue"],
            Case { slow_to_accept: true, ..Case::new("", "-c 32 -d 4s --disable-keepalive --connect-timeout 500ms") },
        ),
        cause("generator CPU", "generator", &["cpu"], Case { burners: 4, ..Case::new("--delay 1ms", "-c 64 -d 3s") }),
        cause(
            "generator ports",
            "generator",
            &["ports"],
            Case { ports: Some(20), ..Case::new("", "-c 64 -d 4s --disable-keepalive") },
        ),
        cause(
            "generator descriptors",
            "generator",
            &["descriptors"],
            Case { descriptors: Some(20), ..Case::new("", "-c 64 -d 4s --disable-keepalive") },
        ),
    ];
    on_loopback.into_iter().chain(network_causes()).collect()
}

/// Those that need a network of their own.
pub fn network_causes() -> Vec<Cause> {
    vec![
        cause("bandwidth", "network", &["bandwidth"], Case::new("--body-size 100000", "-c 16 -d 4s").over(shaped(20))),
        cause("added delay", "network", &["round_trip"], Case::new("", "-c 16 -d 3s").over(delay(25))),
        cause(
            "loss",
            "network",
            &["loss"],
            Case::new("--body-size 10000", "-c 16 -d 4s").over(Way { loss: 0.02, ..delay(5) }),
        ),
    ]
}

/// More of the same kinds: other sizes, speeds, modes.
pub fn neighbours() -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut add = |name: String, by, resources, case| causes.push(cause(name.leak(), by, resources, case));
    for mbit in [5, 20, 50] {
        for (size, connections) in [(1_000, 256), (10_000, 64), (100_000, 16), (1_000_000, 8)] {
            let case = Case::new(&format!("--body-size {size}"), &format!("-c {connections} -d 4s"));
            add(format!("tbf {mbit} Mbit, {size} B"), "network", &["bandwidth"][..], case.clone().over(shaped(mbit)));
            add(
                format!("router {mbit} Mbit 10 ms, {size} B"),
                "network",
                &["bandwidth"][..],
                case.over(router(mbit, 10)),
            );
        }
    }
    for more in ["--disable-keepalive", "--type tsunami -R 2k", "-R 2k", "--io epoll"] {
        let case = Case::new("--body-size 20000", &format!("-c 64 -d 4s {more}"));
        add(format!("tbf 20 Mbit {more}"), "network", &["bandwidth"][..], case.clone().over(shaped(20)));
        add(format!("router 20 Mbit {more}"), "network", &["bandwidth"][..], case.over(router(20, 10)));
    }
    for size in [20_000, 200_000] {
        let file = format!("{}/onrush-upload-{size}", std::env::temp_dir().display());
        std::fs::write(&file, vec![b'x'; size]).expect("a temporary file");
        let case = Case::new("", &format!("-c 16 -d 4s -m POST --body-file {file}"));
        add(format!("tbf 20 Mbit, upload {size} B"), "network", &["bandwidth"][..], case.clone().over(shaped(20)));
        add(
            format!("router 20 Mbit, upload {size} B"),
            "network",
            &["bandwidth"][..],
            case.clone().over(router(20, 10)),
        );
        add(format!("loss 2 %, upload {size} B"), "network", &["loss"][..], case.over(Way { loss: 0.02, ..delay(10) }));
    }
    for percent in [1, 2, 5] {
        for size in [18, 10_000, 100_000] {
            for ms in [1, 20] {
                let case = Case::new(&format!("--body-size {size}"), "-c 32 -d 4s");
                let way = Way { loss: f64::from(percent) / 100.0, ..delay(ms) };
                add(format!("loss {percent} %, {ms} ms, {size} B"), "network", &["loss"][..], case.over(way));
            }
        }
    }
    for more in ["--disable-keepalive", "--type tsunami -R 4k", "-R 4k", "--io epoll"] {
        let case = Case::new("--body-size 1000", &format!("-c 32 -d 4s {more}"));
        add(
            format!("loss 2 %, 10 ms {more}"),
            "network",
            &["loss"][..],
            case.clone().over(Way { loss: 0.02, ..delay(10) }),
        );
        add(format!("delay 20 ms {more}"), "network", &["round_trip"][..], case.over(delay(20)));
    }
    for more in ["", "--connect-timeout 500ms", "--connect-timeout 30s"] {
        let case = Case::new("", &format!("-c 32 -d 6s --disable-keepalive {more}"));
        add(format!("accept queue {more}"), "target", &["accept_queue"][..], Case { slow_to_accept: true, ..case });
    }
    for ms in [10, 50, 100] {
        for size in [18, 100_000] {
            let case = Case::new(&format!("--body-size {size}"), "-c 16 -d 4s");
            add(format!("delay {ms} ms, {size} B"), "network", &["round_trip"][..], case.over(delay(ms)));
        }
    }
    causes
}
