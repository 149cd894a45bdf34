//! What answers say.

use super::*;

#[tokio::test]
async fn whoever_a_2xx_lets_in_is_told_by_its_header() {
    let rig = Rig::new();
    let copy = vec![name("remote-groups"), name("x-auth-request-email"), name("remote-user")];
    let grants = ClaimGrants {
        claim: Some("remote-groups".to_owned()),
        permissions: set(&["mail:*"]),
        map: words(&[("moderators", &["comments:*"]), ("x  staff", &["a"])]),
    };
    let groups = "200 OK\r\nRemote-User: ann\r\nRemote-Groups: moderators,mail:read|odd\r\nRemote-Groups: x  staff\r\nX-Other: 1";
    let copied = |pairs: &[(&'static str, &'static str)]| -> Vec<_> {
        pairs.iter().map(|(key, text)| (name(key), value(text))).collect()
    };
    for (head, subject, permissions, headers) in [
        (
            groups,
            Some("ann"),
            &["comments:*", "mail:read", "a"][..],
            copied(&[
                ("remote-groups", "moderators,mail:read|odd"),
                ("remote-groups", "x  staff"),
                ("remote-user", "ann"),
            ]),
        ),
        ("299 Odd\r\nRemote-Groups: *, comments:read", None, &[], copied(&[("remote-groups", "*, comments:read")])),
        (
            "200 OK\r\nRemote-User: ann\r\nRemote-User: bob",
            None,
            &[],
            copied(&[("remote-user", "ann"), ("remote-user", "bob")]),
        ),
        ("200 OK\r\nRemote-User: ", None, &[], copied(&[("remote-user", "")])),
    ] {
        let server = Server::saying(answer(head, "")).await;
        let config = ForwardAuthConfig {
            copy: copy.clone(),
            user: Some(name("remote-user")),
            grants: grants.clone(),
            ..config(&server.url())
        };
        let identity = rig.asked(config).await.unwrap().identity;
        assert_eq!(identity.provider.as_str(), "login");
        assert_eq!(identity.subject, subject.map(value), "{head}");
        assert_eq!(identity.permissions, Some(set(permissions)), "{head}");
        assert_eq!(identity.headers, headers, "{head}");
    }
}

#[tokio::test]
async fn words_may_have_letters_of_any_language() {
    let rig = Rig::new();
    let server = Server::saying(answer("200 OK\r\nX-Groups: Ärzte,staff\r\nX-Groups: \tempty", "")).await;
    let map = words(&[("Ärzte", &["a"]), ("staff", &["b"])]);
    let grants = ClaimGrants { claim: Some("x-groups".to_owned()), permissions: set(&[]), map };
    let allowed = rig.asked(ForwardAuthConfig { grants, ..config(&server.url()) }).await.unwrap();
    assert_eq!(allowed.identity.permissions, Some(set(&["a", "b"])));
}

#[tokio::test]
async fn a_value_over_several_lines_is_one_line() {
    let rig = Rig::new();
    let server = Server::saying(answer("200 OK\r\nRemote-User: ann\r\n X-Auth-Subject: bob", "")).await;
    let user = Some(name("remote-user"));
    let allowed = rig.asked(ForwardAuthConfig { user, ..config(&server.url()) }).await.unwrap();
    assert_eq!(allowed.identity.subject, Some(value("ann X-Auth-Subject: bob")));
}

#[tokio::test]
async fn without_a_claim_a_2xx_permits_what_the_route_asks_for_and_its_cookies_are_for_the_client() {
    let rig = Rig::new();
    let server = Server::saying(
        "HTTP/1.1 204 No Content\r\nRemote-User: ann\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Secure\r\n\r\n",
    )
    .await;
    let allowed = rig.asked(config(&server.url())).await.unwrap();
    assert_eq!(allowed.set_cookies, [value("a=1"), value("b=2; Secure")]);
    let identity = &allowed.identity;
    assert_eq!((&identity.subject, &identity.permissions, identity.headers.len()), (&None, &None, 0));
    assert_eq!(rig.counted("allowed"), 1);
}

#[tokio::test]
async fn a_no_goes_to_the_client_with_what_is_meant_for_it() {
    let rig = Rig::new();
    for (head, status, expected) in [
        (
            "302 Found\r\nServer: x\r\nSet-Cookie: a=1\r\nLocation: https://auth.example/?rd=%2F\r\nSet-Cookie: b=2\r\nRemote-User: ann",
            302,
            &[("location", "https://auth.example/?rd=%2F"), ("set-cookie", "a=1"), ("set-cookie", "b=2")][..],
        ),
        (
            "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a, b\"\r\nContent-Type: text/html\r\nWWW-Authenticate: Bearer\r\nCache-Control: no-store",
            401,
            &[
                ("www-authenticate", "Basic realm=\"a, b\""),
                ("www-authenticate", "Bearer"),
                ("content-type", "text/html"),
                ("cache-control", "no-store"),
            ],
        ),
        ("403 Forbidden\r\nContent-Encoding: gzip\r\nKeep-Alive: timeout=5", 403, &[("content-encoding", "gzip")]),
        ("301 Moved", 301, &[]),
        ("303 See Other", 303, &[]),
        ("307 Temporary Redirect", 307, &[]),
        ("308 Permanent Redirect", 308, &[]),
    ] {
        let server = Server::saying(answer(head, "sign in")).await;
        let told = for_client(rig.asked(config(&server.url())).await);
        let expected: Vec<_> = expected.iter().map(|(key, text)| (name(key), value(text))).collect();
        assert_eq!((told.status.as_u16(), told.headers, &told.body[..]), (status, expected, &b"sign in"[..]), "{head}");
    }
    assert_eq!((rig.counted("denied"), rig.counted("unavailable")), (7, 0));
}

#[tokio::test]
async fn any_other_status_says_nothing_of_use() {
    let rig = Rig::new();
    for status in [101, 300, 304, 305, 400, 402, 404, 407, 429, 500, 503, 600, 999] {
        let server =
            Server::saying(answer(&format!("{status} Odd\r\nLocation: /\r\nUpgrade: x\r\nConnection: upgrade"), ""))
                .await;
        match why(rig.asked(config(&server.url())).await) {
            Why::Status(told) => assert_eq!(told.as_u16(), status),
            other => panic!("{status}: {other:?}"),
        }
    }
    assert_eq!(rig.counted("unavailable"), 13);
}

#[tokio::test]
async fn interim_answers_are_passed_over_and_do_not_go_on_for_ever() {
    let rig = Rig::new();
    let interim = |count| "HTTP/1.1 103 Early Hints\r\nSet-Cookie: no=1\r\n\r\n".repeat(count);
    for (count, is_in) in [(1, true), (8, true), (9, false)] {
        let server = Server::saying(interim(count) + "HTTP/1.1 204 No Content\r\n\r\n").await;
        let outcome = rig.asked(config(&server.url())).await;
        assert_eq!(outcome.as_ref().is_ok_and(|allowed| allowed.set_cookies.is_empty()), is_in, "{count}: {outcome:?}");
    }
}

#[tokio::test]
async fn bodies_for_the_client_have_a_bound_however_they_are_framed() {
    const MOST: usize = 64 * 1024;
    let rig = Rig::new();
    let of_length = |length: usize| answer("401 Unauthorized", &"x".repeat(length));
    let chunked = |length: usize| {
        let chunks = format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(length / 4096);
        let rest = format!("{:x}\r\n{}\r\n", length % 4096, "x".repeat(length % 4096));
        let rest = if length.is_multiple_of(4096) { String::new() } else { rest };
        format!("HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{rest}0\r\n\r\n").into_bytes()
    };
    let to_the_end = |length: usize| format!("HTTP/1.1 401 Unauthorized\r\n\r\n{}", "x".repeat(length)).into_bytes();
    for (length, is_whole) in [(0, true), (5, true), (MOST, true), (MOST + 1, false), (MOST + 1024, false)] {
        for bytes in [of_length(length), chunked(length), to_the_end(length)] {
            let server = Server::acting(move |_, _| Act::Last(bytes.clone())).await;
            let outcome = rig.asked(config(&server.url())).await;
            if is_whole {
                assert_eq!(for_client(outcome).body.len(), length);
            } else {
                assert!(matches!(why(outcome), Why::LongBody), "{length}");
            }
        }
    }
}

#[tokio::test]
async fn cookies_have_a_bound_in_each_answer() {
    let rig = Rig::new();
    let many = |count: usize| "\r\nSet-Cookie: a=1".repeat(count);
    let long = |bytes: usize| format!("\r\nSet-Cookie: {}", "a".repeat(bytes));
    for status in ["200 OK", "302 Found"] {
        for (cookies, is_good) in [
            (many(32), true),
            (many(33), false),
            (long(16 * 1024), true),
            (long(16 * 1024) + "\r\nSet-Cookie: a", false),
        ] {
            let server = Server::saying(answer(&format!("{status}{cookies}"), "")).await;
            let outcome = rig.asked(config(&server.url())).await;
            let is_told = !matches!(outcome, Err(Denied::Unavailable(Why::Cookies)));
            assert_eq!(is_told, is_good, "{status} {}", cookies.len());
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_within_bounds_lets_nobody_in() {
    let rig = Rig::new();
    let long = |bytes: usize| answer(&format!("200 OK\r\nX-Long: {}", "x".repeat(bytes)), "");
    let many = "200 OK".to_owned() + &"\r\nX: 1".repeat(300);
    for bytes in [
        b"garbage\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        b"HTTP/1.1 200".to_vec(),
        b"HTTP/1.1 2000 OK\r\n\r\n".to_vec(),
        b"HTTP/2.0 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nRemote User: a\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nRemote-User: a\x01b\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nRemote-User: a\x7f\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nRemote-User: a\0\r\n\r\n".to_vec(),
        answer("200 OK\r\nContent-Length: 5", ""),
        answer(&many, ""),
        long(65 * 1024),
        long(1024 * 1024),
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\nshort".to_vec(),
        b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort".to_vec(),
        b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort\r\n0\r\n\r\n".to_vec(),
        Vec::new(),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        let server = Server::acting(move |_, _| Act::Last(bytes.clone())).await;
        let told = why(rig.asked(config(&server.url())).await);
        assert!(matches!(told, Why::Broken(_) | Why::LongHead), "{shown}: {told:?}");
        assert!(told.to_string().len() < 200, "{told}");
    }
}
