//! API keys in `Authorization`: which of them count, what the service gets to see, and what a 401 says.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::h2_client::{Client, get};
use crate::support::{ADMIN, Answer, Gateway, Origin, READER, WRITER, public_service, sagjan, with};

/// Basic with this user and password.
fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

async fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = gateway.anonymous(Method::GET, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request).await
}

#[tokio::test]
async fn a_key_in_authorization_lets_in_where_the_operator_says_so_and_the_service_does_not_see_it() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    gateway.registered(&public_service("open", &origin.url(), "/open")).await;
    let (bearer, user) = (format!("Bearer {READER}"), basic("anyone", READER));
    let path = "/api/comments/a";
    // By default `Authorization` is the service's.
    for value in [&bearer, &user] {
        ask(&gateway, path, &[("authorization", value)]).await.problem(401, "key-missing");
        let seen = ask(&gateway, path, &[("authorization", value), ("x-api-key", READER)]).await.ok();
        assert_eq!(seen["headers"]["authorization"], json!([value]));
    }
    for (accept, bearer_status, basic_status) in
        [("'header', 'bearer'", 200, 401), ("'header', 'basic'", 401, 200), ("'header', 'bearer', 'basic'", 200, 200)]
    {
        gateway.reloaded(&format!("keys.accept = [{accept}]")).await;
        for (value, status) in [(&bearer, bearer_status), (&user, basic_status)] {
            let answer = ask(&gateway, path, &[("authorization", value)]).await;
            assert_eq!(answer.status, status, "{accept} {value}: {answer:?}");
            if status == 200 {
                let headers = &answer.json()["headers"];
                assert_eq!((&headers["authorization"], &headers["x-api-key-name"]), (&Value::Null, &json!(["reader"])));
            }
        }
    }
    let all = |value: &str| [("authorization", value.to_owned())];
    for (value, status, code) in [
        (format!("Bearer {READER}x"), 401, "key-unknown"),
        ("Bearer ".to_owned(), 401, "key-missing"),
        (basic("anyone", "wrong"), 401, "key-unknown"),
        (basic(READER, ""), 401, "key-unknown"),
        ("Digest x".to_owned(), 401, "key-missing"),
    ] {
        let [(name, value)] = all(&value);
        let answer = ask(&gateway, path, &[(name, &value)]).await;
        answer.problem(status, code);
        let challenges: Vec<_> =
            answer.headers.get_all("www-authenticate").iter().map(|one| one.to_str().unwrap()).collect();
        let bearer = if code == "key-unknown" {
            "Bearer realm=\"furt\", error=\"invalid_token\""
        } else {
            "Bearer realm=\"furt\""
        };
        let expected = [r#"ApiKey realm="furt", header="X-API-Key""#, bearer, r#"Basic realm="furt", charset="UTF-8""#];
        assert_eq!(challenges, expected, "{value}");
    }
    // Two are none, and permissions hold as for any key.
    ask(&gateway, path, &[("authorization", &bearer), ("authorization", &bearer)]).await.problem(401, "key-missing");
    let write = gateway.anonymous(Method::POST, path).header("authorization", &bearer);
    Answer::of(write).await.problem(403, "permission-missing");

    // `X-API-Key` goes first, whatever it is, and `Authorization` is the service's then.
    let both = ask(&gateway, path, &[("x-api-key", WRITER), ("authorization", &bearer)]).await.ok();
    let seen = (&both["headers"]["authorization"], &both["headers"]["x-api-key-name"]);
    assert_eq!(seen, (&json!([bearer]), &json!(["writer"])));
    ask(&gateway, path, &[("x-api-key", "wrong"), ("authorization", &bearer)]).await.problem(401, "key-unknown");

    // On a public route only a key of furt's is kept from the service.
    let own = ask(&gateway, "/open", &[("authorization", "Bearer the.service.s")]).await.ok();
    assert_eq!(own["headers"]["authorization"], json!(["Bearer the.service.s"]));
    let known = ask(&gateway, "/open", &[("authorization", &bearer)]).await.ok();
    let seen = (&known["headers"]["authorization"], &known["headers"]["x-api-key-name"]);
    assert_eq!(seen, (&Value::Null, &json!(["reader"])));

    let elsewhere = json!({"name": "elsewhere", "permissions": ["*"], "allow_from": ["192.0.2.1"]});
    let issued = Answer::of(gateway.operate(Method::POST, "/internal/keys").json(&elsewhere)).await.ok();
    let issued = format!("Bearer {}", issued["key"].as_str().unwrap());
    let kept = ask(&gateway, "/open", &[("authorization", &issued)]).await.ok();
    let seen = (&kept["headers"]["authorization"], &kept["headers"]["x-api-key-name"]);
    assert_eq!(seen, (&Value::Null, &Value::Null), "a key that may not be used from here is a key all the same");

    let client = Client::to(gateway.public).await;
    let answer = client.ask(get(path).header("authorization", &bearer)).await;
    let seen: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status.as_u16(), &seen["headers"]["authorization"]), (200, &Value::Null));
}

#[tokio::test]
async fn a_key_in_authorization_counts_as_any_other() {
    let tail = "keys.accept = ['header', 'bearer']\n[limits]\naddress_rate = '1/m'\naddress_burst = 2\n";
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    gateway
        .registered(&with(
            public_service("s", &origin.url(), "/s"),
            json!({"cors": {"origins": ["https://a.example"]}}),
        ))
        .await;
    let bearer = format!("Bearer {ADMIN}");
    for _ in 0..5 {
        ask(&gateway, "/s", &[("authorization", &bearer)]).await.ok();
        ask(&gateway, "/nowhere", &[("authorization", &bearer)]).await.problem(404, "route-not-found");
    }
    for _ in 0..2 {
        ask(&gateway, "/s", &[("authorization", "Bearer of.the.service")]).await.ok();
    }
    ask(&gateway, "/s", &[("authorization", "Bearer of.the.service")]).await.problem(429, "address-rate-limited");

    let key = Answer::of(
        gateway.operate(Method::POST, "/internal/keys").json(&json!({"name": "short", "permissions": ["*"]})),
    )
    .await
    .ok();
    let issued = format!("Bearer {}", key["key"].as_str().unwrap());
    ask(&gateway, "/s", &[("authorization", &issued)]).await.ok();
    Answer::of(gateway.operate(Method::DELETE, "/internal/keys/short")).await.ok();
    let revoked = ask(&gateway, "/s", &[("authorization", &issued)]).await;
    revoked.problem(429, "address-rate-limited");

    gateway.configure("keys.accept = ['bearer']");
    let told = gateway.reload().await.problem(422, "invalid-config");
    assert!(told["errors"][0]["detail"].as_str().unwrap().contains("must have \"header\""), "{told}");
    gateway.configure("keys.accept = ['header', 'query']");
    gateway.reload().await.problem(422, "invalid-config");
}
