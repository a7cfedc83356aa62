//! The reader against every way to cut an answer into pieces, and against garbage.

use proptest::prelude::*;

use super::*;

/// What came of a whole stream: the answers, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    status: Option<(u16, bool)>,
    malformed: bool,
}

/// Reads one answer out of pieces, followed by the connection's close if `closed`.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, head_request: bool, closed: bool) -> Outcome {
    let mut reader = ResponseReader::new(head_request);
    let mut pieces = pieces.into_iter();
    for piece in &mut pieces {
        match reader.read(piece, &mut ()) {
            Ok(None) => (),
            Err(_) => return Outcome { status: None, malformed: true },
            Ok(Some(answer)) => {
                // Bytes that come in a later piece are surplus just as those in this one.
                let reusable = answer.reusable && pieces.all(<[u8]>::is_empty);
                return Outcome { status: Some((answer.status, reusable)), malformed: false };
            }
        }
    }
    let answer = if closed { reader.close() } else { None };
    Outcome { status: answer.map(|answer| (answer.status, answer.reusable)), malformed: false }
}

struct Fixture {
    name: &'static str,
    bytes: &'static [u8],
    head_request: bool,
    closed: bool,
    /// The status and whether the connection is reusable; `None`: incomplete.
    expected: Result<Option<(u16, bool)>, ()>,
}

const fn fixture(name: &'static str, bytes: &'static [u8], expected: Result<Option<(u16, bool)>, ()>) -> Fixture {
    Fixture { name, bytes, head_request: false, closed: true, expected }
}

const FIXTURES: &[Fixture] = &[
    fixture("length", b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"message\":\"pong\"}", Ok(Some((200, true)))),
    fixture("no body", b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", Ok(Some((500, true)))),
    fixture("no reason", b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", Ok(Some((200, true)))),
    fixture("bare line feeds", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab", Ok(Some((200, true)))),
    fixture("204", b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", Ok(Some((204, true)))),
    fixture("304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Ok(Some((304, true)))),
    fixture(
        "chunks",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
        Ok(Some((200, true))),
    ),
    fixture(
        "trailers",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n00\r\nDigest: x\r\nB: y\r\n\r\n",
        Ok(Some((200, true))),
    ),
    fixture(
        "chunks beside a length",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        Ok(Some((200, false))),
    ),
    fixture("until close", b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts", Ok(Some((200, false)))),
    fixture("until close, empty", b"HTTP/1.1 200 OK\r\n\r\n", Ok(Some((200, false)))),
    fixture("close", b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\na", Ok(Some((200, false)))),
    fixture("version 1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", Ok(Some((200, false)))),
    fixture(
        "interim",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n",
        Ok(Some((201, true))),
    ),
    fixture("switched", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", Ok(Some((101, false)))),
    fixture("surplus", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", Ok(Some((200, false)))),
    fixture("surplus after chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", Ok(Some((200, false)))),
    fixture("same length twice", b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\nContent-Length: 1\r\n\r\na", Ok(Some((200, true)))),
    fixture("cut in the head", b"HTTP/1.1 200 OK\r\nContent-Le", Ok(None)),
    fixture("cut in the body", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", Ok(None)),
    fixture("cut in a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", Ok(None)),
    fixture("nothing", b"", Ok(None)),
    fixture("lengths that differ", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", Err(())),
    fixture("negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Err(())),
    fixture("endless length", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", Err(())),
    fixture("empty length", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Err(())),
    fixture("no chunk size", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", Err(())),
    fixture("bad chunk size", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5g\r\n", Err(())),
    fixture("huge chunk size", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\n", Err(())),
    fixture("chunk overrun", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", Err(())),
    fixture("another protocol", b"SSH-2.0-OpenSSH_9.6\r\n", Err(())),
    fixture("another version", b"HTTP/2.0 200 OK\r\n\r\n", Err(())),
    fixture("status 99", b"HTTP/1.1 099 Low\r\n\r\n", Err(())),
    fixture("no colon", b"HTTP/1.1 200 OK\r\nab\r\n\r\n", Err(())),
    fixture("a NUL", b"HTTP/1.1 200 OK\r\na: b\0\r\n\r\n", Err(())),
    fixture("a fold before the first header", b"HTTP/1.1 200 OK\r\n a: b\r\n\r\n", Err(())),
    fixture("a folded length", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok", Err(())),
    fixture("status of two digits", b"HTTP/1.1 20 X\r\n\r\n", Err(())),
    fixture("status of four digits", b"HTTP/1.1 2000 X\r\n\r\n", Err(())),
    fixture("a plain alert of TLS", b"\x15\x03\x01\x00\x02\x02\x46", Err(())),
    fixture(
        "odd lines that matter to nobody",
        b"HTTP/1.1  200 d\xe9j\xe0\r\nA : b\r\nX A: \x01\x7f\r\n: x\r\nSet-Cookie: a;\r\n\tpath=/\r\nB: a\rb\r\nX-\xc3\xa9:\r\nContent-Length: 2\r\n\r\nok",
        Ok(Some((200, true))),
    ),
    fixture("identity is no coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na", Ok(Some((200, true)))),
    fixture("a coding that ends with the connection", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nx", Ok(Some((200, false)))),
    fixture("line feeds within chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\nok\n0\nX: y\n\n", Ok(Some((200, true)))),
    fixture("zeros before a size", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000002\r\nok\r\n00000000000000000\r\n\r\n", Ok(Some((200, true)))),
    fixture("a size with a sign", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\n", Err(())),
    Fixture {
        name: "head request",
        bytes: b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        head_request: true,
        closed: false,
        expected: Ok(Some((200, true))),
    },
    Fixture {
        name: "head request, chunked",
        bytes: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        head_request: true,
        closed: false,
        expected: Ok(Some((200, true))),
    },
    Fixture {
        name: "open without an end",
        bytes: b"HTTP/1.1 200 OK\r\n\r\nabc",
        head_request: false,
        closed: false,
        expected: Ok(None),
    },
];

impl Fixture {
    fn check<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>, how: &str) {
        let outcome = read(pieces, self.head_request, self.closed);
        let expected = Outcome { status: self.expected.ok().flatten(), malformed: self.expected.is_err() };
        assert_eq!(outcome, expected, "{}, {how}", self.name);
    }
}

#[test]
fn every_fixture_reads_the_same_however_it_is_split() {
    for fixture in FIXTURES {
        fixture.check([fixture.bytes], "whole");
        fixture.check(fixture.bytes.chunks(1), "byte by byte");
        for at in 0..=fixture.bytes.len() {
            let (left, right) = fixture.bytes.split_at(at);
            fixture.check([left, right], &format!("split at {at}"));
        }
    }
}

#[test]
fn a_connection_carries_answer_after_answer() {
    let mut reader = ResponseReader::new(false);
    for _ in 0..3 {
        for fixture in
            FIXTURES.iter().filter(|fixture| matches!(fixture.expected, Ok(Some((_, true)))) && !fixture.head_request)
        {
            let (last, first) = fixture.bytes.split_last().expect("an answer has bytes");
            assert_eq!(reader.read(first, &mut ()), Ok(None), "{}", fixture.name);
            assert!(reader.read(&[*last], &mut ()).is_ok_and(|answer| answer.is_some_and(|answer| answer.reusable)));
        }
    }
}

#[test]
fn an_endless_head_is_refused_within_its_bound() {
    let mut reader = ResponseReader::new(false);
    assert_eq!(reader.read(b"HTTP/1.1 200 OK\r\na: ", &mut ()), Ok(None));
    let piece = [b'x'; 1024];
    let refused_after = (0..1_000).find(|_| reader.read(&piece, &mut ()).is_err());
    assert_eq!(refused_after, Some(255));
}

#[test]
fn endless_trailers_and_extensions_are_refused() {
    for begin in ["5;", "0\r\n"] {
        let mut reader = ResponseReader::new(false);
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{begin}");
        assert_eq!(reader.read(head.as_bytes(), &mut ()), Ok(None));
        assert!((0..1_000).any(|_| reader.read(&[b'x'; 1024], &mut ()).is_err()), "{begin:?}");
    }
}

proptest! {
    #[test]
    fn random_splits_change_nothing(index in 0..FIXTURES.len(), mut cuts in prop::collection::vec(0..200usize, 0..12)) {
        let fixture = &FIXTURES[index];
        cuts.retain(|cut| *cut < fixture.bytes.len());
        cuts.sort_unstable();
        let mut from = 0;
        let mut pieces: Vec<&[u8]> = Vec::new();
        for cut in cuts {
            pieces.push(&fixture.bytes[from..cut]);
            from = cut;
        }
        pieces.push(&fixture.bytes[from..]);
        fixture.check(pieces, "random splits");
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1..50usize) {
        read(bytes.chunks(piece), false, true);
    }

    #[test]
    fn spoilt_answers_never_panic(index in 0..FIXTURES.len(), spoil in prop::collection::vec((0..200usize, any::<u8>()), 1..5), piece in 1..50usize) {
        let mut bytes = FIXTURES[index].bytes.to_vec();
        for (at, byte) in spoil {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        let whole = read([bytes.as_slice()], false, true);
        prop_assert_eq!(read(bytes.chunks(piece), false, true), whole);
    }
}

#[test]
fn a_long_head_with_many_lines_is_read() {
    let mut head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n".to_vec();
    head.extend(b"X-L: a\r\n".repeat(20_000));
    head.extend(format!("X: {}\r\n\r\n", "b".repeat(90_000)).bytes());
    for piece in [head.len(), 4096, 1000] {
        assert_eq!(read(head.chunks(piece), false, true).status, Some((200, true)));
    }
}

#[test]
fn what_is_malformed_shows_its_line() {
    let line = |bytes: &[u8]| {
        ResponseReader::new(false).read(bytes, &mut ()).map_err(|e| String::from_utf8_lossy(&e.line).into_owned())
    };
    assert_eq!(line(b"HTTP/1.1 200 OK\r\na: b\r\nno colon\r\n\r\n"), Err("no colon".into()));
    assert_eq!(line(b"SSH-2.0-x\r\n"), Err("SSH-2.0-x".into()));
    assert_eq!(line(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5g\r\n"), Err("g\r".into()));
    let long = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", "x".repeat(10_000));
    assert!(line(long.as_bytes()).is_err_and(|line| line.len() < 200));
}

#[test]
fn a_keep_alive_time_out_and_codings_are_told() {
    #[derive(Default)]
    struct Seen(Option<Coding>);
    impl Sink for Seen {
        fn coding(&mut self, coding: Coding) {
            self.0 = Some(coding);
        }
        fn body(&mut self, _: &[u8]) {}
    }
    let read = |lines: &str| {
        let (mut seen, text) = (Seen::default(), format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n"));
        let response =
            ResponseReader::new(false).read(text.as_bytes(), &mut seen).expect("a response").expect("a whole one");
        (response.keep_alive_s, seen.0.map(|coding| coding.name()))
    };
    assert_eq!(read("Keep-Alive: timeout=5, max=100\r\n"), (Some(5), Some("identity".into())));
    assert_eq!(read("keep-alive: max=1, TIMEOUT=60\r\nContent-Encoding: x-gzip\r\n"), (Some(60), Some("gzip".into())));
    assert_eq!(read("Keep-Alive: 300\r\nContent-Encoding: br\r\n"), (None, Some("br".into())));
    assert_eq!(read("Content-Encoding: gzip, deflate\r\n"), (None, Some("several codings".into())));
}
