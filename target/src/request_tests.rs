//! The reader against requests cut at every byte, requests that contradict themselves, and garbage.

use proptest::prelude::*;

use super::*;

/// Every event of `bytes` when they come in pieces of these lengths, the last one repeated. Ends at what is malformed.
fn events(bytes: &[u8], pieces: &[usize]) -> Vec<Event> {
    let mut reader = RequestReader::default();
    let mut events = Vec::new();
    let (mut start, mut end, mut piece) = (0, 0, 0);
    while end < bytes.len() {
        end = (end + pieces[piece.min(pieces.len() - 1)].max(1)).min(bytes.len());
        piece += 1;
        loop {
            let (consumed, event) = reader.next(&bytes[start..end]);
            start += consumed;
            assert!(start <= end, "more was consumed than was there");
            match event {
                Event::NeedMore => break,
                Event::Malformed(_) => {
                    events.push(event);
                    return events;
                }
                Event::Head(_) | Event::End => events.push(event),
            }
        }
    }
    events
}

fn only(bytes: &str) -> Vec<Event> {
    events(bytes.as_bytes(), &[bytes.len()])
}

fn head(bytes: &str) -> Request {
    match only(bytes).first() {
        Some(Event::Head(request)) => *request,
        other => panic!("{bytes:?} gave {other:?}"),
    }
}

fn refused(bytes: &str) -> Option<Malformed> {
    match only(bytes).last() {
        Some(Event::Malformed(malformed)) => Some(*malformed),
        _ => None,
    }
}

/// Several requests of every kind in one stream, and how many they are.
const MANY: (&str, usize) = (
    "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n\
     POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nGET /ping H\
     PUT /other?x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n\
     5;name=\"value\"\r\nhello\r\nA\r\n0123456789\r\n00\r\nTrailer: yes\r\n\r\n\
     \r\nHEAD /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
     DELETE /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    5,
);

#[test]
fn a_stream_cut_at_every_byte_reads_the_same() {
    let whole = only(MANY.0);
    assert_eq!(whole.len(), MANY.1 * 2, "{whole:?}");
    for cut in 1..MANY.0.len() {
        assert_eq!(events(MANY.0.as_bytes(), &[cut, MANY.0.len()]), whole, "cut at {cut}");
    }
    assert_eq!(events(MANY.0.as_bytes(), &[1]), whole, "byte by byte");
}

proptest! {
    #[test]
    fn a_stream_in_any_pieces_reads_the_same(pieces in prop::collection::vec(1usize..40, 1..40)) {
        prop_assert_eq!(events(MANY.0.as_bytes(), &pieces), only(MANY.0));
    }

    #[test]
    fn no_garbage_breaks_the_reader(
        bytes in prop::collection::vec(any::<u8>(), 1..600),
        pieces in prop::collection::vec(1usize..40, 1..10),
    ) {
        events(&bytes, &pieces);
    }

    #[test]
    fn no_garbage_in_a_chunked_body_breaks_the_reader(
        body in "[0-9a-fA-F;\r\n x]{0,200}",
        pieces in prop::collection::vec(1usize..40, 1..10),
    ) {
        let request = format!("POST /ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        prop_assert_eq!(events(request.as_bytes(), &pieces), only(&request));
    }
}

#[test]
fn the_path_alone_makes_the_route() {
    for (target, expected) in [
        ("/ping", Route::Ping),
        ("/ping?a=b&c=/metrics", Route::Ping),
        ("http://host:80/ping?x", Route::Ping),
        ("https://host/metrics", Route::Metrics),
        ("/metrics", Route::Metrics),
        ("/ping/", Route::Other),
        ("/Ping", Route::Other),
        ("/", Route::Other),
        ("http://host", Route::Other),
        ("*", Route::Other),
        ("host:443", Route::Other),
    ] {
        assert_eq!(head(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).route, expected, "{target}");
    }
}

#[test]
fn the_connection_stays_or_goes_as_the_client_says() {
    for (version, field, expected) in [
        ("1.1", "", Persistence::Keep),
        ("1.1", "Connection: keep-alive\r\n", Persistence::Keep),
        ("1.1", "connection: Foo, CLOSE\r\n", Persistence::Close),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", Persistence::Close),
        ("1.0", "", Persistence::Close),
        ("1.0", "Connection: Keep-Alive\r\n", Persistence::KeepTold),
        ("1.0", "Connection: close, keep-alive\r\n", Persistence::Close),
    ] {
        let request = head(&format!("GET /ping HTTP/{version}\r\nHost: a\r\n{field}\r\n"));
        assert_eq!(request.persistence, expected, "{version} {field}");
    }
}

#[test]
fn an_expectation_counts_only_where_a_body_follows() {
    for (version, fields, expected) in [
        ("1.1", "Expect: 100-continue\r\nContent-Length: 3\r\n", true),
        ("1.1", "expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", true),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 3\r\n", false),
    ] {
        let request = head(&format!("POST /ping HTTP/{version}\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(request.expects_continue, expected, "{version} {fields}");
    }
}

#[test]
fn what_is_malformed_is_refused_by_its_name() {
    use Malformed::{Syntax, TransferCoding, Version};
    for (bytes, expected) in [
        ("\x16\x03\x01\x02", Syntax),
        ("GET\r\n", Syntax),
        ("GET /ping\r\n", Syntax),
        ("GET /ping FOO\r\n", Syntax),
        ("GET /ping HTTP/x.1\r\n", Syntax),
        ("GET /ping HTTP/2.0\r\nHost: a\r\n\r\n", Version),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Version),
        ("GET /ping HTTP/1.2\r\nHost: a\r\n\r\n", Version),
        ("GET /ping HTTP/1.1\r\n\r\n", Syntax),
        ("GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Syntax),
        ("GET /ping HTTP/1.1\r\nHost : a\r\n\r\n", Syntax),
        ("GET /ping HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", Syntax),
        ("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", Syntax),
        ("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", Syntax),
        ("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", Syntax),
        ("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", Syntax),
        ("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", Syntax),
        ("POST /ping HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Syntax),
        ("POST /ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", TransferCoding),
    ] {
        assert_eq!(refused(bytes), Some(expected), "{bytes:?}");
    }
    for body in
        ["\r\n", "g\r\n", ";x\r\n", "3\r\nabcd\r\n", "3\nabc\r\n", "3\r\nabc\n", "fffffffffffffffff\r\n", "0\r\n\n"]
    {
        let bytes = format!("POST /ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(refused(&bytes), Some(Syntax), "{body:?}");
    }
}

#[test]
fn the_limits_are_exact() {
    let frame = "GET /ping HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let with_filler = |filler| format!("GET /ping HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(filler));
    assert_eq!(only(&with_filler(MAX_HEAD_BYTES - frame)).len(), 2);
    assert_eq!(refused(&with_filler(MAX_HEAD_BYTES - frame + 1)), Some(Malformed::HeadTooLarge));
    assert_eq!(
        events(with_filler(MAX_HEAD_BYTES - frame + 1).as_bytes(), &[1000]).last(),
        Some(&Event::Malformed(Malformed::HeadTooLarge))
    );
    assert_eq!(refused(&"\r\n".repeat(MAX_HEAD_BYTES / 2)), Some(Malformed::HeadTooLarge));

    let with_fields = |fields| format!("GET /ping HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(fields));
    assert_eq!(only(&with_fields(MAX_FIELDS - 1)).len(), 2);
    assert_eq!(refused(&with_fields(MAX_FIELDS)), Some(Malformed::HeadTooLarge));

    let with_chunks = |rest: String| format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{rest}");
    assert_eq!(refused(&with_chunks(format!("1;{}", "x".repeat(5000)))), Some(Malformed::Syntax));
    let trailers = "T: ".to_owned() + &"x".repeat(4000) + "\r\n";
    assert_eq!(refused(&with_chunks(format!("0\r\n{}\r\n", trailers.repeat(4)))), None);
    assert_eq!(refused(&with_chunks(format!("0\r\n{}\r\n", trailers.repeat(5)))), Some(Malformed::Syntax));
}

#[test]
fn a_long_head_in_single_bytes_is_read_like_any_other() {
    let request = format!("GET /ping HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    assert_eq!(events(request.as_bytes(), &[1]), only(&request));
}
