//! What servers are sent.

use super::*;

/// The header of the one request that a server got, in lower case, sorted.
fn lines(server: &Server) -> (String, Vec<String>) {
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let (line, head) = requests[0].split_once("\r\n").unwrap();
    let lower = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        format!("{}: {value}", name.to_lowercase())
    };
    let mut lines: Vec<_> = head.lines().filter(|line| !line.is_empty()).map(lower).collect();
    lines.sort_unstable();
    (line.to_owned(), lines)
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(key, text)| (name(key), value(text))).collect()
}

async fn sent(
    config: impl FnOnce(ForwardAuthConfig) -> ForwardAuthConfig,
    question: Question<'_>,
) -> (String, Vec<String>) {
    let (rig, server) = (Rig::new(), Server::saying(answer("200 OK", "")).await);
    let auth = rig.open(config(super::config(&server.url())));
    auth.ask(&rig.asking, question).await.unwrap();
    let (line, mut lines) = lines(&server);
    let host = format!("host: {}", server.address);
    assert!(lines.contains(&host), "{lines:?}");
    lines.retain(|line| *line != host);
    (line, lines)
}

#[tokio::test]
async fn a_post_is_asked_about_with_a_get_of_furt_s_own_headers_and_those_that_are_named() {
    let headers = map(&[
        ("authorization", "Bearer x"),
        ("accept", "text/html"),
        ("accept", "*/*"),
        ("accept", "text/html"),
        ("content-length", "5"),
        ("content-type", "text/plain"),
        ("x-api-key", "secret"),
        ("x-other", "1"),
        ("x-forwarded-uri", "/other"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-prefix", "/other"),
        ("x_forwarded_uri", "/other"),
        ("x_forwarded_method", "GET"),
        ("cookie_", "1"),
        ("host", "other.example"),
    ]);
    let question = Question {
        traceparent: None,
        method: &Method::POST,
        scheme: Scheme::Http,
        host: "shop.example:8443",
        uri: "/a?b=%61".to_owned(),
        forwarded_for: "198.51.100.7, 192.0.2.1",
        headers: &headers,
        address: Some(LOCAL),
    };
    let (line, lines) = sent(|config| config, question).await;
    assert_eq!(line, "GET /verify?rd=1 HTTP/1.1");
    let version = crate::telemetry::VERSION;
    let expected = [
        "accept: */*".to_owned(),
        "accept: text/html".to_owned(),
        "accept: text/html".to_owned(),
        "authorization: Bearer x".to_owned(),
        format!("user-agent: furt/{version} (forward-auth)"),
        "x-forwarded-for: 198.51.100.7, 192.0.2.1".to_owned(),
        "x-forwarded-host: shop.example:8443".to_owned(),
        "x-forwarded-method: POST".to_owned(),
        "x-forwarded-proto: http".to_owned(),
        "x-forwarded-uri: /a?b=%61".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn what_was_for_the_hop_to_furt_ends_there_whatever_the_client_nominates() {
    let headers = map(&[
        ("connection", "keep-alive, x-forwarded-uri, cookie, upgrade"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("expect", "100-continue"),
        ("proxy-connection", "keep-alive"),
        ("http2-settings", "x"),
        ("cookie", "a=1"),
    ]);
    let (_, lines) = sent(|config| config, about(&headers)).await;
    let names: Vec<_> = lines.iter().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    let expected =
        ["cookie", "user-agent", "x-forwarded-for", "x-forwarded-method", "x-forwarded-proto", "x-forwarded-uri"];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn cookies_in_pieces_are_one_and_a_named_header_stands_for_furt_s_own() {
    let headers = map(&[("cookie", "a=1"), ("cookie", "b=2"), ("user-agent", "curl"), ("x-api-key", "secret")]);
    let named = vec![name("cookie"), name("user-agent"), name("x-api-key")];
    let (_, lines) = sent(|config| ForwardAuthConfig { request_headers: named, ..config }, about(&headers)).await;
    for line in ["cookie: a=1; b=2", "user-agent: curl", "x-api-key: secret"] {
        assert_eq!(lines.iter().filter(|sent| *sent == line).count(), 1, "{lines:?}");
    }
    let count = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!((count("cookie:"), count("user-agent:")), (1, 1), "{lines:?}");
}

#[tokio::test]
async fn what_cannot_be_a_header_is_not_asked_and_is_no_failure_of_the_server() {
    let (rig, server) = (Rig::new(), Server::saying(answer("200 OK", "")).await);
    let auth = rig.open(config(&server.url()));
    let headers = HeaderMap::new();
    let outcome = auth.ask(&rig.asking, Question { uri: "/a\r\nX: 1".to_owned(), ..about(&headers) }).await;
    assert!(matches!(why(outcome), Why::Unaskable));
    assert!(server.requests().is_empty());
    assert_eq!(auth.condition.answered(), None);
}
