//! When keys are fetched, who waits for them, and how long verdicts hold.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::super::error::{TokenError, TokenFault};
use super::issuing::{Server, digest, judged, pass, start_as, started, token};
use super::signing::{NOW, Pair, claims, config, document, header, with};
use crate::clock;
use crate::config::TokenAlgorithm;

const UNKNOWN: TokenFault = TokenFault::Refused(TokenError::UnknownKey);

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_once_for_all_who_come_with_it() {
    let (old, new) = (Pair::ed25519(), Pair::ed25519());
    let server = Server::with(&[(&old, "old")]);
    let issuer = started(&server).await;
    let before = token(&old, "old");
    assert!(judged(&issuer, &before).await.is_ok());
    assert!(issuer.known(&digest(&before), NOW as i64 * 1000).is_some());
    pass(10_000).await;
    server.has(&[(&new, "new")]);
    server.takes(Duration::from_millis(300));
    let after = token(&new, "new");
    let verdicts = join_all((0..100).map(|_| judged(&issuer, &after))).await;
    assert!(verdicts.iter().all(Result::is_ok), "{verdicts:?}");
    assert_eq!(server.fetches(), 2, "at the start, and for all of them");
    assert!(issuer.known(&digest(&before), NOW as i64 * 1000).is_none(), "the keys of that verdict are gone");
    assert_eq!(judged(&issuer, &before).await, Err(UNKNOWN));
    assert_eq!(issuer.metrics().counted_checks(), [101, 1, 0]);
    assert_eq!(issuer.metrics().counted_fetches(), [2, 0]);
}

#[tokio::test(start_paused = true)]
async fn strangers_cause_a_fetch_each_ten_seconds_at_most() {
    let pair = Pair::ed25519();
    let server = Server::with(&[(&pair, "k")]);
    let issuer = started(&server).await;
    let mut asking = Vec::new();
    for number in 0..10_000 {
        let (issuer, token) = (Arc::clone(&issuer), token(&pair, &format!("unknown-{number}")));
        asking.push(tokio::spawn(async move { judged(&issuer, &token).await }));
        pass(6).await;
    }
    for verdict in join_all(asking).await {
        assert_eq!(verdict.unwrap(), Err(UNKNOWN));
    }
    assert_eq!(server.fetches(), 8, "at the start, for the first of them, and then each 10 s");
    assert!(judged(&issuer, &token(&pair, "k")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_fetch_did_not_bring_is_refused_at_once_until_another_may_begin() {
    let (pair, new) = (Pair::ed25519(), Pair::ed25519());
    let server = Server::with(&[(&pair, "k")]);
    let issuer = started(&server).await;
    let unknown = token(&new, "new");
    pass(10_000).await;
    assert_eq!(judged(&issuer, &unknown).await, Err(UNKNOWN));
    let (asked, began) = (server.fetches(), clock::now());
    assert_eq!(asked, 2);
    server.has(&[(&new, "new")]);
    for _ in 0..8 {
        assert_eq!(judged(&issuer, &unknown).await, Err(UNKNOWN));
        pass(1_000).await;
    }
    assert_eq!(server.fetches(), asked);
    assert!(clock::now() - began < Duration::from_millis(8_100), "nobody waited");
    // Less than a second before: worth the wait.
    pass(1_200).await;
    assert!(judged(&issuer, &unknown).await.is_ok());
    assert_eq!(server.fetches(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_each_refresh_and_one_that_was_wanted_postpones_the_next() {
    let pair = Pair::ed25519();
    let server = Server::with(&[(&pair, "k")]);
    let issuer = started(&server).await;
    pass(599_000).await;
    assert_eq!(server.fetches(), 1);
    pass(2_000).await;
    assert_eq!(server.fetches(), 2);
    pass(300_000).await;
    assert_eq!(judged(&issuer, &token(&pair, "unknown")).await, Err(UNKNOWN));
    assert_eq!(server.fetches(), 3);
    pass(598_000).await;
    assert_eq!(server.fetches(), 3);
    pass(3_000).await;
    assert_eq!(server.fetches(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_takes_no_keys_away() {
    let pair = Pair::ed25519();
    let server = Server::with(&[(&pair, "k")]);
    let issuer = started(&server).await;
    let good = token(&pair, "k");
    assert!(judged(&issuer, &good).await.is_ok());
    for bad in [None, Some(json!({"keys": []})), Some(json!([])), Some(document(&[json!({"kty": "oct"})]))] {
        server.says(bad);
        let asked = server.fetches();
        pass(600_000).await;
        assert!(server.fetches() > asked);
        let fault = issuer.fault().unwrap();
        assert!(fault.starts_with("the keys of the issuer login cannot be fetched: "), "{fault}");
        assert!(judged(&issuer, &good).await.is_ok());
    }
    let now_ms = NOW as i64 * 1000 + 2_400_000;
    assert!(issuer.known(&digest(&good), now_ms).is_some(), "the keys are the same");
    server.has(&[(&pair, "k")]);
    pass(300_000).await;
    assert_eq!(issuer.fault(), None);
    assert!(issuer.known(&digest(&good), now_ms).is_some(), "still the same");
}

#[tokio::test(start_paused = true)]
async fn after_failures_the_pauses_double_and_requests_ask_no_more_often() {
    let server = Server::default();
    let issuer = start_as(&config(), &server, None);
    pass(60_000).await;
    let alone = server.fetches();
    // After 1, 2, 4, 8, 16 and 32 s, each up to a quarter less.
    assert!((6..=7).contains(&alone), "{alone}");
    for _ in 0..600 {
        assert_eq!(judged(&issuer, "e30.e30.e30").await, Err(TokenFault::NoKeys));
        pass(100).await;
    }
    // Each request may have waited for a second. Those that nobody wanted come on top.
    let more = server.fetches() - alone;
    assert!((5..=12).contains(&more), "{more}");
}

#[tokio::test(start_paused = true)]
async fn without_keys_a_request_waits_a_second_for_them() {
    let pair = Pair::ed25519();
    let server = Server::with(&[(&pair, "k")]);
    server.takes(Duration::from_millis(900));
    let issuer = start_as(&config(), &server, None);
    assert!(judged(&issuer, &token(&pair, "k")).await.is_ok());
    let server = Server::with(&[(&pair, "k")]);
    server.takes(Duration::from_millis(1_500));
    let (issuer, began) = (start_as(&config(), &server, None), clock::now());
    assert_eq!(judged(&issuer, &token(&pair, "k")).await, Err(TokenFault::NoKeys));
    let waited = clock::now() - began;
    assert!((1_000..1_100).contains(&waited.as_millis()), "{waited:?}");
    pass(600).await;
    assert!(judged(&issuer, &token(&pair, "k")).await.is_ok());
    assert_eq!((server.fetches(), issuer.metrics().counted_checks()), (1, [1, 0, 1]));
}

#[tokio::test(start_paused = true)]
async fn at_most_256_requests_wait_and_the_others_are_refused_at_once() {
    let (pair, new) = (Pair::ed25519(), Pair::ed25519());
    let server = Server::with(&[(&pair, "k")]);
    let issuer = started(&server).await;
    pass(10_000).await;
    server.has(&[(&new, "new")]);
    server.takes(Duration::from_millis(500));
    let token: Arc<str> = token(&new, "new").into();
    let ask = || {
        let (issuer, token) = (Arc::clone(&issuer), Arc::clone(&token));
        tokio::spawn(async move { judged(&issuer, &token).await })
    };
    let asking: Vec<_> = (0..1_000).map(|_| ask()).collect();
    pass(100).await;
    let (waiting, refused): (Vec<_>, Vec<_>) = asking.into_iter().partition(|one| !one.is_finished());
    assert_eq!((waiting.len(), refused.len()), (256, 744));
    for verdict in join_all(refused).await {
        assert_eq!(verdict.unwrap(), Err(UNKNOWN));
    }
    // A client that leaves makes room.
    waiting[0].abort();
    pass(1).await;
    let late = ask();
    pass(1).await;
    assert!(!late.is_finished());
    assert!(late.await.unwrap().is_ok());
    for verdict in join_all(waiting.into_iter().skip(1)).await {
        assert!(verdict.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_bad_otherwise_causes_no_fetch() {
    let (pair, stranger) = (Pair::ed25519(), Pair::ed25519());
    let server = Server::with(&[(&pair, "k")]);
    let issuer = started(&server).await;
    let ed = TokenAlgorithm::EdDsa;
    for (bad, expected) in [
        ("furt_key".to_owned(), TokenError::Parts),
        (stranger.token(&header(ed, "k"), &claims()), TokenError::Signature),
        (stranger.token(&with(header(ed, "x"), "alg", json!("none")), &claims()), TokenError::Algorithm),
        (stranger.token(&with(header(ed, "x"), "typ", json!("x")), &claims()), TokenError::Type),
    ] {
        assert_eq!(judged(&issuer, &bad).await, Err(TokenFault::Refused(expected)));
    }
    assert_eq!(server.fetches(), 1);
    assert_eq!(issuer.metrics().counted_checks(), [0, 4, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_holds_for_a_minute_and_no_longer_than_its_token() {
    let pair = Pair::ed25519();
    let issuer = started(&Server::with(&[(&pair, "k")])).await;
    // The issuer was asked for its keys 1 ms before.
    let now_ms = NOW as i64 * 1000 + 1;
    let (day, short) = (token(&pair, "k"), {
        let claims = with(claims(), "exp", json!(NOW + 20.5));
        pair.token(&header(TokenAlgorithm::EdDsa, "k"), &claims)
    });
    let expired = pair.token(&header(TokenAlgorithm::EdDsa, "k"), &with(claims(), "exp", json!(NOW - 1.0)));
    assert!(issuer.known(&digest(&day), now_ms).is_none());
    for token in [&day, &short, &expired] {
        assert!(judged(&issuer, token).await.is_ok());
    }
    for (token, at, is_known) in [
        (&day, now_ms, true),
        (&day, now_ms + 59_999, true),
        (&day, now_ms + 60_000, false),
        (&short, now_ms + 20_498, true),
        (&short, now_ms + 20_499, false),
        // It is good by the skew alone.
        (&expired, now_ms, false),
    ] {
        assert_eq!(issuer.known(&digest(token), at).is_some(), is_known, "{}", at - now_ms);
    }
    assert_eq!(issuer.known(&digest(&day), now_ms).unwrap().subject.as_ref().unwrap(), "ann");
    let refused = Pair::ed25519().token(&header(TokenAlgorithm::EdDsa, "k"), &claims());
    assert!(judged(&issuer, &refused).await.is_err());
    assert!(issuer.known(&digest(&refused), now_ms).is_none());
}

#[tokio::test(start_paused = true)]
async fn time_passes_for_tokens() {
    let pair = Pair::ed25519();
    let issuer = started(&Server::with(&[(&pair, "k")])).await;
    let token = pair.token(&header(TokenAlgorithm::EdDsa, "k"), &claims());
    pass(329_000).await;
    assert!(judged(&issuer, &token).await.is_ok());
    pass(1_000).await;
    assert_eq!(judged(&issuer, &token).await, Err(TokenFault::Refused(TokenError::Expired)));
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_its_issuer_also_while_it_fetches() {
    let pair = Pair::ed25519();
    for takes in [Duration::ZERO, Duration::from_secs(3_600)] {
        let server = Server::with(&[(&pair, "k")]);
        server.takes(takes);
        let issuer = started(&server).await;
        assert!(!server.is_left());
        drop(issuer);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(server.is_left(), "{takes:?}");
    }
}
