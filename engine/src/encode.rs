//! The bytes of a request, built once for a whole run.

use http::Method;

use crate::plan::Request;

/// The request as it goes over the wire, every time.
pub(crate) fn request_bytes(request: &Request, keepalive: bool) -> Vec<u8> {
    let given = |name: &str| request.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);

    let mut header = |name: &str, value: &str| {
        head += name;
        head += ": ";
        head += value;
        head += "\r\n";
    };
    if !given("host") {
        header("Host", &request.server.authority());
    }
    if !given("user-agent") {
        header("User-Agent", concat!("onrush/", env!("CARGO_PKG_VERSION")));
    }
    if !given("accept") {
        header("Accept", "*/*");
    }
    // Methods that usually carry a body say so even when it is empty, or some servers wait for one.
    let has_length = !request.body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(&request.method);
    if has_length && !given("content-length") {
        header("Content-Length", &request.body.len().to_string());
    }
    if !keepalive {
        header("Connection", "close");
    }
    for (name, value) in &request.headers {
        header(name, value);
    }
    head += "\r\n";

    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan;

    fn text(url: &str, keepalive: bool, change: impl FnOnce(&mut Request)) -> String {
        let mut request = plan(url).requests.remove(0);
        change(&mut request);
        String::from_utf8(request_bytes(&request, keepalive)).expect("the test's request is text")
    }

    const VERSION: &str = env!("CARGO_PKG_VERSION");

    #[test]
    fn a_plain_get() {
        assert_eq!(
            text("http://localhost:8080/ping?a=b%20c", true, |_| ()),
            format!(
                "GET /ping?a=b%20c HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: onrush/{VERSION}\r\nAccept: */*\r\n\r\n"
            )
        );
    }

    #[test]
    fn the_default_port_and_a_zone_are_left_out() {
        let with_zone = |request: &mut Request| request.server.host = "fe80::1%eth0".into();
        assert!(text("http://[::1]/a", true, with_zone).starts_with("GET /a HTTP/1.1\r\nHost: [fe80::1]\r\n"));
    }

    #[test]
    fn a_body_carries_its_length() {
        let post = text("http://h/", false, |request| {
            request.method = Method::POST;
            request.body = b"hello".to_vec();
        });
        assert!(post.contains("\r\nContent-Length: 5\r\n") && post.contains("\r\nConnection: close\r\n"));
        assert!(post.ends_with("\r\n\r\nhello"));
        let empty = text("http://h/", true, |request| request.method = Method::PUT);
        assert!(empty.contains("\r\nContent-Length: 0\r\n"));
    }

    #[test]
    fn given_headers_win() {
        let own = text("http://h/", true, |request| {
            for (name, value) in [("host", "other"), ("USER-AGENT", "me"), ("accept", "text/html")] {
                request.headers.push((name.into(), value.into()));
            }
        });
        assert_eq!(own, "GET / HTTP/1.1\r\nhost: other\r\nUSER-AGENT: me\r\naccept: text/html\r\n\r\n");
    }
}
