//! Connections: which are used again, and how they fail.

use super::*;

#[tokio::test]
async fn a_connection_is_used_again_after_an_answer_that_was_read_whole() {
    let rig = Rig::new();
    for bytes in [
        answer("200 OK", ""),
        answer("200 OK", "a body that nobody needs"),
        answer("200 OK", &"x".repeat(64 * 1024)),
        answer("401 Unauthorized", "sign in"),
        b"HTTP/1.1 302 Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec(),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..30]).into_owned();
        let server = Server::saying(bytes).await;
        let auth = rig.open(config(&server.url()));
        // A body that nobody needs may come too late to be read, where this machine is busy.
        for asked in 1.. {
            _ = rig.ask(&auth).await;
            if server.connections() < asked {
                break;
            }
            assert!(asked < 50, "{shown}");
        }
    }
}

#[tokio::test]
async fn a_connection_ends_after_an_answer_that_was_not_read_whole_or_says_so() {
    let rig = Rig::new();
    for bytes in [
        answer("200 OK", &"x".repeat(65 * 1024)),
        answer("401 Unauthorized", &"x".repeat(65 * 1024)),
        answer("200 OK\r\nConnection: close", ""),
        answer("404 Not Found", ""),
        [answer("200 OK", ""), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nRemote-User: admin\r\n\r\n".to_vec()].concat(),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..30]).into_owned();
        let server = Server::saying(bytes).await;
        let auth = rig.open(ForwardAuthConfig { user: Some(name("remote-user")), ..config(&server.url()) });
        for _ in 0..3 {
            let outcome = rig.ask(&auth).await;
            assert!(outcome.is_err() || outcome.is_ok_and(|allowed| allowed.identity.subject.is_none()), "{shown}");
        }
        assert_eq!((server.connections(), server.requests().len()), (3, 3), "{shown}");
    }
}

#[tokio::test]
async fn servers_at_one_address_share_no_connection() {
    let (rig, server) = (Rig::new(), Server::saying(answer("200 OK", "")).await);
    for connections in 1..=2 {
        let auth = rig.open(config(&server.url()));
        for _ in 0..2 {
            assert!(rig.ask(&auth).await.is_ok());
            assert_eq!(server.connections(), connections);
        }
    }
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_cannot_be_reached_and_is_the_first_from_then_on() {
    let (rig, server) = (Rig::new(), Server::saying(answer("200 OK", "")).await);
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let auth = rig.open(config("http://auth.internal/"));
    auth.addresses.set(&[nobody, server.address]);
    assert!(rig.ask(&auth).await.is_ok());
    assert_eq!(auth.addresses.get().await.unwrap(), [server.address, nobody]);
    auth.addresses.set(&[nobody]);
    assert_eq!(why(rig.ask(&auth).await).to_string(), "connection refused");
}

#[tokio::test]
async fn a_kept_connection_that_ends_before_an_answer_is_replaced_once() {
    let rig = Rig::new();
    let good = || answer("200 OK", "");
    // Each first connection serves once, and ends at the second question.
    let server =
        Server::acting(move |_, request| if request == 0 { Act::Say(good()) } else { Act::Last(Vec::new()) }).await;
    let auth = rig.open(config(&server.url()));
    for asked in 1..=3 {
        assert!(rig.ask(&auth).await.is_ok());
        assert_eq!(server.connections(), asked);
    }
    // What is new and ends so is not asked again.
    let server =
        Server::acting(move |connection, _| if connection == 0 { Act::Say(good()) } else { Act::Last(Vec::new()) })
            .await;
    let auth = rig.open(config(&server.url()));
    assert!(rig.ask(&auth).await.is_ok());
    drop(auth);
    let auth = rig.open(config(&server.url()));
    assert!(matches!(why(rig.ask(&auth).await), Why::Broken(_)));
    assert_eq!((server.connections(), server.requests().len()), (2, 2));
}

#[tokio::test]
async fn where_all_kept_connections_have_ended_a_new_one_serves() {
    let rig = Rig::new();
    let act = |_, request| if request == 0 { Act::Say(answer("200 OK", "")) } else { Act::Last(Vec::new()) };
    let server = Server::acting(act).await;
    let auth = rig.open(config(&server.url()));
    let both = tokio::join!(rig.ask(&auth), rig.ask(&auth));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(server.connections(), 2);
    assert!(rig.ask(&auth).await.is_ok());
    assert_eq!((server.connections(), server.requests().len()), (3, 4));
}

#[tokio::test]
async fn an_answer_that_began_is_not_asked_for_again() {
    let rig = Rig::new();
    for begun in ["HTTP/1.1 2", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let act = move |_, request| match request {
            0 => Act::Say(answer("200 OK", "")),
            _ => Act::Last(begun.into()),
        };
        let server = Server::acting(act).await;
        let auth = rig.open(config(&server.url()));
        assert!(rig.ask(&auth).await.is_ok());
        assert!(matches!(why(rig.ask(&auth).await), Why::Broken(_)));
        assert_eq!((server.connections(), server.requests().len()), (1, 2), "{begun}");
    }
}

#[tokio::test]
async fn a_server_that_takes_too_long_is_given_up() {
    let rig = Rig::new();
    let slow = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 60000\r\n\r\n".to_vec();
    for act in [Act::Silence, Act::Trickle(b"HTTP/1.1 200 OK\r\nX: ".to_vec()), Act::Trickle(slow)] {
        let shown = format!("{act:?}");
        let server = Server::acting(move |_, _| act.clone()).await;
        let timeout = Duration::from_millis(100);
        let began = crate::clock::now();
        let told = why(rig.asked(ForwardAuthConfig { timeout, ..config(&server.url()) }).await);
        let took = crate::clock::now() - began;
        assert!(took >= timeout && took < LONG / 4, "{took:?}");
        assert!(matches!(told, Why::TimedOut(_)), "{shown}: {told:?}");
    }
    assert_eq!(rig.metrics.in_flight(), 0);
}

#[tokio::test]
async fn who_is_let_in_does_not_wait_for_a_body_that_trickles() {
    let (rig, act) = (Rig::new(), Act::Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n".to_vec()));
    let server = Server::acting(move |_, _| act.clone()).await;
    let auth = rig.open(config(&server.url()));
    for connections in 1..=2 {
        let began = crate::clock::now();
        assert!(rig.ask(&auth).await.is_ok());
        assert!(crate::clock::now() - began < LONG / 2);
        assert_eq!(server.connections(), connections);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let resets = rig.open(config(&format!("http://{}", listener.local_addr().unwrap())));
    let reset = tokio::spawn(async move {
        let mut socket = listener.accept().await.unwrap().0;
        socket.read_u8().await.unwrap();
        // What is unread makes the end a reset.
        drop(socket);
    });
    assert!(matches!(why(rig.ask(&resets).await), Why::Broken(_)));
    reset.await.unwrap();
    let refuses = rig.open(config("http://127.0.0.1:1"));
    assert_eq!(why(rig.ask(&refuses).await).to_string(), "connection refused");
    let unresolved = rig.open(config("http://nowhere.invalid/"));
    assert!(matches!(why(rig.ask(&unresolved).await), Why::Resolve(_)));
    assert_eq!((rig.counted("unavailable"), rig.metrics.in_flight()), (3, 0));
}

#[tokio::test]
async fn a_row_of_failures_ends_with_any_answer_that_counts() {
    let rig = Rig::new();
    for (bytes, ends) in [
        (answer("200 OK", ""), true),
        (answer("401 Unauthorized", ""), true),
        (answer("500 Internal Server Error", ""), false),
        (answer(&format!("200 OK{}", "\r\nSet-Cookie: a=1".repeat(33)), ""), false),
    ] {
        let server = Server::saying(bytes).await;
        let auth = rig.open(config(&server.url()));
        assert!(auth.condition.failed().is_some());
        _ = rig.ask(&auth).await;
        // The next failure is the first of a row again, or is not.
        assert_eq!(auth.condition.failed().is_some(), ends, "{:?}", server.requests());
    }
}
