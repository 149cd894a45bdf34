//! Tokens of issuers: who is let in by one, what services are told of it, and what becomes of keys that change.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::answers::{Answers, Reply};
use crate::support::h2_client::{self, Client};
use crate::support::signer::{ISSUER, Signer, key_server, key_set};
use crate::support::{Answer, Gateway, Origin, READER, SOON, WRITER, eventually, with};

/// An issuer `login` whose keys are there, with more lines of its own.
fn issuer(keys: &Answers, more: &str) -> String {
    format!(
        "[[issuers]]\nname = 'login'\nissuer = '{ISSUER}'\naudience = ['furt']\njwks = '{}/keys'\npermissions = ['notes:*']\n\
         map = {{ editor = ['notes:write', 'mail:read'] }}\nheaders = {{ email = 'X-User-Email' }}\n{more}\n",
        keys.url()
    )
}

/// A service with a route for each kind of caller.
fn notes(origin: &Origin) -> Value {
    json!({
        "service": "notes",
        "url": origin.url(),
        "health_endpoint": null,
        "auth": ["key", "login"],
        "routes": [
            {"method": "GET", "path": "/notes", "permission": "notes:read"},
            {"method": "GET", "path": "/notes/write", "permission": "notes:write"},
            {"method": "GET", "path": "/notes/comments", "permission": "comments:read"},
            {"method": "GET", "path": "/notes/keys", "permission": "comments:read", "auth": ["key"]},
            {"method": "GET", "path": "/notes/tokens", "permission": "notes:read", "auth": ["login"]},
            {"method": "GET", "path": "/notes/anyone"},
            {"method": "GET", "path": "/notes/known", "auth": ["login"]},
        ],
    })
}

async fn ask(gateway: &Gateway, path: &str, token: &str) -> Answer {
    Answer::of(gateway.anonymous(Method::GET, path).header("authorization", format!("Bearer {token}"))).await
}

fn seen(echo: &Value, header: &str) -> Value {
    echo["headers"][header].clone()
}

#[tokio::test]
async fn a_token_lets_in_whom_its_issuer_vouches_for() {
    let (signer, origin) = (Signer::new("k1"), Origin::start().await);
    let keys = key_server(&[&signer]).await;
    let gateway = Gateway::start(&issuer(&keys, "")).await;
    gateway.registered(&notes(&origin)).await;
    let token = signer.token(json!({"scope": "openid notes:read mail:send", "email": "ann@example.org"}));
    for time in ["verified", "known"] {
        let echo = ask(&gateway, "/notes", &token).await.ok();
        assert_eq!(seen(&echo, "x-auth-subject"), json!(["ann"]), "{time}: {echo}");
        assert_eq!(seen(&echo, "x-auth-issuer"), json!(["login"]), "{time}");
        assert_eq!(seen(&echo, "x-auth-permissions"), json!(["notes:read"]), "{time}");
        assert_eq!(seen(&echo, "x-user-email"), json!(["ann@example.org"]), "{time}");
        assert_eq!(seen(&echo, "authorization"), Value::Null, "{time}: what let it in is kept from the service");
        assert_eq!(seen(&echo, "x-api-key-name"), Value::Null, "{time}");
    }
    let editor = signer.token(json!({"scope": "editor"}));
    let echo = ask(&gateway, "/notes/write", &editor).await.ok();
    assert_eq!(seen(&echo, "x-auth-permissions"), json!(["notes:write mail:read"]));
    let lacking = ask(&gateway, "/notes/write", &token).await;
    assert_eq!(lacking.problem(403, "permission-missing")["detail"], "needs \"notes:write\"");
    let challenge = "Bearer realm=\"furt\", error=\"insufficient_scope\", scope=\"notes:write\"";
    assert_eq!(lacking.header("www-authenticate"), challenge);

    // Keys where they are taken, and nowhere else.
    Answer::of(gateway.request(Method::GET, "/notes/comments", READER)).await.ok();
    Answer::of(gateway.request(Method::GET, "/notes/keys", READER)).await.ok();
    Answer::of(gateway.request(Method::GET, "/notes/tokens", READER)).await.problem(401, "token-missing");
    ask(&gateway, "/notes/keys", &token).await.problem(401, "key-missing");
    // X-API-Key goes first, and a token does not help it.
    let both = gateway.request(Method::GET, "/notes", "wrong").header("authorization", format!("Bearer {token}"));
    Answer::of(both).await.problem(401, "key-unknown");

    let none = Answer::of(gateway.anonymous(Method::GET, "/notes")).await;
    none.problem(401, "key-missing");
    let offered: Vec<_> = none.headers.get_all("www-authenticate").iter().map(|one| one.to_str().unwrap()).collect();
    assert_eq!(offered, ["ApiKey realm=\"furt\", header=\"X-API-Key\"", "Bearer realm=\"furt\""]);
    let wrong = ask(&gateway, "/notes/tokens", &token.replace('.', ".e")).await;
    wrong.problem(401, "token-refused");
    let foreign = ask(&gateway, "/notes", &signer.token(json!({"iss": "https://other.example/"}))).await;
    let detail = foreign.problem(401, "token-refused")["detail"].clone();
    assert!(detail.as_str().unwrap().starts_with("no issuer of the route has issued the token"), "{detail}");
    assert!(
        wrong.header("www-authenticate").starts_with("Bearer realm=\"furt\", error=\"invalid_token\""),
        "{wrong:?}"
    );

    // A public route takes everyone, and leaves Authorization to its service; one that says who may vouch for callers is not public.
    let echo = ask(&gateway, "/notes/anyone", &token).await.ok();
    assert_eq!(seen(&echo, "authorization"), json!([format!("Bearer {token}")]));
    assert_eq!(seen(&echo, "x-auth-subject"), Value::Null);
    ask(&gateway, "/notes/known", &token).await.ok();
    Answer::of(gateway.anonymous(Method::GET, "/notes/known")).await.problem(401, "token-missing");

    let client = Client::to(gateway.public).await;
    let over_h2 = client.ask(h2_client::get("/notes").header("authorization", format!("Bearer {token}"))).await;
    assert_eq!(over_h2.status, 200, "over HTTP/2");
}

#[tokio::test]
async fn what_tells_services_who_a_caller_is_comes_from_furt_alone() {
    let (signer, origin) = (Signer::new("k1"), Origin::start().await);
    let keys = key_server(&[&signer]).await;
    let rules = "[server]\ntrusted_proxies = ['127.0.0.3']";
    let gateway = Gateway::start(&format!("{}{rules}", issuer(&keys, ""))).await;
    gateway.registered(&notes(&origin)).await;
    let token = signer.token(json!({"scope": "notes:read"}));
    let names =
        ["X-Auth-Subject", "X_Auth_Subject", "x-auth.issuer", "X-AUTH-PERMISSIONS", "X-User-Email", "x_user_email"];
    for source in ["127.0.0.1", "127.0.0.3"] {
        let client = crate::support::gateway::client_from(Some(source.parse().unwrap()));
        for (path, header, value) in [
            ("/notes", "authorization", format!("Bearer {token}")),
            ("/notes/keys", "x-api-key", READER.to_owned()),
            ("/notes/anyone", "x-other", "1".to_owned()),
        ] {
            let mut request = client.get(gateway.public_url(path)).header(header, value);
            for name in names {
                request = request.header(name, "evil").header(name, "evil too");
            }
            let echo = Answer::of(request.header("connection", "x-auth-subject, x-user-email")).await.ok();
            assert!(!echo["headers"].to_string().contains("evil"), "{source} {path}: {echo}");
            let subject = if header == "authorization" { json!(["ann"]) } else { Value::Null };
            assert_eq!(seen(&echo, "x-auth-subject"), subject, "{source} {path}: {echo}");
        }
    }
    // Services may believe them also after a reload without issuers.
    gateway.reloaded("").await;
    for path in ["/notes/keys", "/notes/anyone"] {
        let mut request = gateway.request(Method::GET, path, READER);
        for name in names {
            request = request.header(name, "evil");
        }
        let echo = Answer::of(request).await.ok();
        assert!(!echo["headers"].to_string().contains("evil"), "{path}: {echo}");
    }
}

#[tokio::test]
async fn what_nobody_can_be_authenticated_by_any_more_lets_nobody_in_and_is_told() {
    let (signer, origin) = (Signer::new("k1"), Origin::start().await);
    let keys = key_server(&[&signer]).await;
    let gateway = Gateway::start(&issuer(&keys, "")).await;
    gateway.registered(&notes(&origin)).await;
    let token = signer.token(json!({"scope": "notes:read"}));
    ask(&gateway, "/notes/tokens", &token).await.ok();
    gateway.reloaded("").await;
    let answer = ask(&gateway, "/notes/tokens", &token).await;
    answer.problem(503, "auth-unavailable");
    assert_eq!(answer.retry_after(), 60);
    let lost = "service \"notes\": nobody is let in where its auth is login";
    eventually("the log names the service", SOON, async || gateway.log().contains(lost).then_some(())).await;
    let explained = gateway.seen("/internal/explain?method=GET&url=/notes/tokens").await;
    assert_eq!(explained["verdict"], "auth-unavailable", "{explained}");
    Answer::of(gateway.request(Method::GET, "/notes/comments", READER)).await.ok();
    // It says again what it said, and stays.
    gateway.registered(&notes(&origin)).await;
    let other = gateway.register(&with(notes(&origin), json!({"auth": ["login", "sso"]}))).await;
    other.problem(422, "invalid-fields");
}

#[tokio::test]
async fn lists_and_the_log_say_who_came_and_who_may() {
    let (signer, origin) = (Signer::new("k1"), Origin::start().await);
    let keys = key_server(&[&signer]).await;
    let rule = "[[rules]]\npath = '/notes/anyone'\nmethod = 'HEAD'\nauth = ['login']\n[access_log]\npath = '-'";
    let gateway = Gateway::start(&format!("{}{rule}", issuer(&keys, ""))).await;
    gateway.registered(&notes(&origin)).await;
    ask(&gateway, "/notes/tokens", &signer.token(json!({"scope": "notes:read"}))).await.ok();
    let line = "\"key\":null,\"auth\":\"login\",\"subject\":\"ann\"}";
    eventually(line, SOON, async || gateway.log().contains(line).then_some(())).await;
    let routes = gateway.seen("/internal/routes").await["routes"].clone();
    let of = |path: &str| routes.as_array().unwrap().iter().find(|one| one["path"] == path).unwrap().clone();
    assert_eq!(of("/notes/known")["auth"], json!(["login"]));
    assert_eq!(of("/notes")["auth"], json!(["key", "login"]));
    let open = of("/notes/anyone");
    assert_eq!((open.get("auth"), &open["has_other_auth"]), (None, &json!(true)), "{open}");
    // The list of the definition closes no public route, and where that is all there is it says so.
    let routes = json!([{"method": "GET", "path": "/notes/a"}]);
    let registered = gateway.registered(&with(notes(&origin), json!({"routes": routes}))).await;
    assert!(registered["warnings"].to_string().contains("auth of the definition holds for no route"), "{registered}");
}

#[tokio::test]
async fn a_key_that_an_issuer_begins_to_use_lets_in_at_once() {
    let (old, new, other, origin) = (Signer::new("k1"), Signer::new("k2"), Signer::new("k3"), Origin::start().await);
    let keys = key_server(&[&old]).await;
    let gateway = Gateway::start(&issuer(&keys, "")).await;
    gateway.registered(&notes(&origin)).await;
    let claims = json!({"scope": "notes:read"});
    ask(&gateway, "/notes", &old.token(claims.clone())).await.ok();
    let set = key_set(&[&new]);
    keys.set(move |_| Reply::With(200, Vec::new(), set.clone()));
    ask(&gateway, "/notes", &new.token(claims.clone())).await.ok();
    ask(&gateway, "/notes", &old.token(claims.clone())).await.problem(401, "token-refused");
    let fetches = keys.asked().len();
    for _ in 0..20 {
        ask(&gateway, "/notes", &other.token(claims.clone())).await.problem(401, "token-refused");
    }
    assert!(keys.asked().len() <= 1, "no stranger has the issuer asked again and again ({fetches} before)");
}

#[tokio::test]
async fn tokens_are_verified_while_their_issuer_is_gone_also_after_a_restart() {
    let (signer, origin) = (Signer::new("k1"), Origin::start().await);
    let keys = key_server(&[&signer]).await;
    let config = format!("[store]\nkind = 'disk'\npath = 'furt.redb'\n{}", issuer(&keys, "refresh = '10s'"));
    let mut gateway = Gateway::start(&config).await;
    gateway.registered(&notes(&origin)).await;
    let claims = json!({"scope": "notes:read"});
    ask(&gateway, "/notes", &signer.token(claims.clone())).await.ok();
    drop(keys);
    gateway.restart().await;
    ask(&gateway, "/notes", &signer.token(claims.clone())).await.ok();
}

#[tokio::test]
async fn without_any_keys_nobody_can_tell() {
    let (signer, origin) = (Signer::new("k1"), Origin::start().await);
    let keys = Answers::start(|_| Reply::With(500, Vec::new(), String::new())).await;
    let gateway = Gateway::start(&issuer(&keys, "")).await;
    gateway.registered(&notes(&origin)).await;
    let answer = ask(&gateway, "/notes", &signer.token(json!({"scope": "notes:read"}))).await;
    assert_eq!(answer.problem(503, "auth-unavailable")["detail"], "the keys of \"login\" are not known yet");
    assert_eq!(answer.retry_after(), 1);
    Answer::of(gateway.request(Method::GET, "/notes/comments", READER)).await.ok();
    eventually("its health says so", SOON, async || {
        Answer::of(gateway.anonymous(Method::GET, "/health")).await.body.contains("degraded").then_some(())
    })
    .await;
    let set = key_set(&[&signer]);
    keys.set(move |_| Reply::With(200, Vec::new(), set.clone()));
    let token = signer.token(json!({"scope": "notes:read"}));
    eventually("the keys are there", SOON, async || {
        (ask(&gateway, "/notes", &token).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn callers_of_one_address_have_their_own_measure_and_only_strangers_count_for_it() {
    let (signer, origin) = (Signer::new("k1"), Origin::start().await);
    let keys = key_server(&[&signer]).await;
    let limits = "[limits]\naddress_rate = '5/m'\naddress_burst = 5";
    let gateway = Gateway::start(&format!("{}{limits}", issuer(&keys, ""))).await;
    let limits = json!({"rate": "1/m", "burst": 3});
    gateway.registered(&with(notes(&origin), json!({"limits": limits}))).await;
    for caller in ["ann", "bob", "cleo"] {
        let token = signer.token(json!({"scope": "notes:read", "sub": caller}));
        for expected in [200, 200, 200, 429] {
            assert_eq!(ask(&gateway, "/notes", &token).await.status, expected, "{caller}");
        }
        // Another token of the same caller has no measure of its own.
        let again = signer.token(json!({"scope": "notes:read", "sub": caller, "jti": "2"}));
        ask(&gateway, "/notes", &again).await.problem(429, "route-rate-limited");
    }
    let bad = signer.token(json!({"aud": "other"}));
    for expected in [401, 401, 401, 401, 401, 429] {
        assert_eq!(ask(&gateway, "/notes", &bad).await.status, expected);
    }
    let token = signer.token(json!({"scope": "notes:read", "sub": "dora"}));
    // It is not known yet, and verifying would be what the limit is for.
    ask(&gateway, "/notes", &token).await.problem(429, "address-rate-limited");
    // A key that counts for nothing here is no way around.
    let beside = gateway.request(Method::GET, "/notes/tokens", WRITER).header("authorization", format!("Bearer {bad}"));
    Answer::of(beside).await.problem(429, "address-rate-limited");
    Answer::of(gateway.request(Method::GET, "/notes/comments", WRITER)).await.ok();
}

#[tokio::test]
async fn a_caller_by_token_has_one_side_of_a_split_wherever_it_comes_from() {
    let signer = Signer::new("k1");
    let keys = key_server(&[&signer]).await;
    let gateway = Gateway::start(&issuer(&keys, "[server]\ntrusted_proxies = ['127.0.0.1']")).await;
    let [old, new] = [Origin::named("old").await, Origin::named("new").await];
    gateway.registered(&with(notes(&old), json!({"instance": "old"}))).await;
    gateway.registered(&with(notes(&new), json!({"instance": "new", "version": "2"}))).await;
    let split = gateway.operate(Method::PUT, "/internal/services/notes/split");
    Answer::of(split.json(&json!({"versions": {"2": 50}}))).await.ok();
    let mut sides = std::collections::BTreeSet::new();
    for caller in 0..20 {
        let reached = async |from: u8, scope: &str| {
            let token = signer.token(json!({"sub": format!("caller-{caller}"), "scope": scope}));
            let request = gateway.anonymous(Method::GET, "/notes").header("authorization", format!("Bearer {token}"));
            let answer = Answer::of(request.header("x-forwarded-for", format!("10.1.0.{from}"))).await;
            answer.ok()["origin"].as_str().unwrap().to_owned()
        };
        let at = reached(1, "notes:read").await;
        for from in 2..5 {
            assert_eq!(reached(from, "notes:read other").await, at, "caller-{caller}, also by another token");
        }
        sides.insert(at);
    }
    assert_eq!(sides.len(), 2);
}

#[tokio::test]
async fn a_rule_says_who_may_vouch_also_for_a_part_of_a_route_and_closes_public_ones() {
    let (signer, origin) = (Signer::new("k1"), Origin::start().await);
    let keys = key_server(&[&signer]).await;
    let rules = "[[rules]]\npath = '/s/admin/*'\nauth = ['login']\n[[rules]]\npath = '/s/admin/open'\nauth = ['key']\n";
    let config = |rules: &str| format!("{}{rules}", issuer(&keys, ""));
    let gateway = Gateway::start(&config(rules)).await;
    let registered = gateway.registered(&crate::support::asking::service(&origin, json!({}))).await;
    assert_eq!(registered.get("warnings"), None, "{registered}");
    let token = signer.token(json!({}));
    for (path, with_token, without, with_key) in
        [("/s/a", 200, 200, 200), ("/s/admin/a", 200, 401, 401), ("/s/admin/open", 401, 401, 200)]
    {
        assert_eq!(ask(&gateway, path, &token).await.status, with_token, "{path} with a token");
        assert_eq!(Answer::of(gateway.anonymous(Method::GET, path)).await.status, without, "{path} without");
        assert_eq!(Answer::of(gateway.request(Method::GET, path, READER)).await.status, with_key, "{path} with a key");
    }
    let explained = gateway.seen("/internal/explain?method=GET&url=/s/admin/a&key=reader").await;
    assert_eq!(explained["verdict"], "token-missing", "{explained}");
    let explained = gateway.seen("/internal/explain?method=GET&url=/s/admin/a").await;
    assert!(
        explained["reason"].as_str().unwrap().contains("if one of these authenticates its caller: login"),
        "{explained}"
    );
    let told: Vec<_> =
        explained["options"].as_array().unwrap().iter().map(|one| (&one["name"], &one["value"])).collect();
    assert!(told.contains(&(&json!("auth"), &json!("login (only of * /s/admin/*)"))), "{told:?}");
    gateway.reloaded(&config("")).await;
    Answer::of(gateway.anonymous(Method::GET, "/s/admin/a")).await.ok();
}

#[tokio::test]
async fn who_vouches_is_granted_and_known() {
    let (signer, origin) = (Signer::new("k1"), Origin::start().await);
    let keys = key_server(&[&signer]).await;
    let grants = "[[grants]]\nservice = 'notes'\npaths = ['/notes', '/notes/*']\npermissions = ['notes:*', 'comments:*']\npublic = true\n";
    let granted = format!("{}{grants}auth = ['key', 'login']\n", issuer(&keys, ""));
    let gateway = Gateway::start(&format!("{}{grants}", issuer(&keys, ""))).await;
    let refused = gateway.register(&notes(&origin)).await;
    let detail = refused.problem(403, "beyond-grant")["detail"].clone();
    assert_eq!(detail, "auth names \"login\", which the grant does not allow; it allows key");
    // Without a list of its own it would take API keys.
    gateway.reloaded(&granted.replace("['key', 'login']", "['login']")).await;
    let silent = with(
        notes(&origin),
        json!({"auth": null, "routes": [
            {"method": "GET", "path": "/notes", "permission": "notes:read"},
        ]}),
    );
    let detail = gateway.register(&silent).await.problem(403, "beyond-grant")["detail"].clone();
    assert!(detail.as_str().unwrap().contains("\"/notes\" takes API keys, since nothing says auth"), "{detail}");
    gateway.registered(&with(silent, json!({"auth": ["login"]}))).await;
    gateway.reloaded(&granted).await;
    gateway.registered(&notes(&origin)).await;
    let token = signer.token(json!({"scope": "editor"}));
    let echo = ask(&gateway, "/notes/write", &token).await.ok();
    assert_eq!(seen(&echo, "x-auth-permissions"), json!(["notes:write"]), "of what the service is granted alone");

    let bad = with(
        notes(&origin),
        json!({"auth": ["key", "sso", "login"], "routes": [
            {"method": "GET", "path": "/notes", "auth": ["other"]},
            {"method": "GET", "path": "/notes/a", "auth": []},
            {"method": "GET", "path": "/notes/b", "auth": null},
            {"method": "GET", "path": "/notes/c", "auth": "key"},
        ]}),
    );
    let refused = gateway.register(&bad).await.problem(422, "invalid-fields");
    let mut pointers: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        ["/auth", "/routes/0/auth", "/routes/1/auth", "/routes/2/auth", "/routes/3/auth"],
        "{refused}"
    );
    let shown = gateway.seen("/internal/services/notes").await;
    assert_eq!((&shown["auth"], &shown["routes"][3]["auth"]), (&json!(["key", "login"]), &json!(["key"])), "{shown}");

    // A grant that is narrowed blocks what the service registered before.
    gateway.reloaded(&format!("{}{grants}", issuer(&keys, ""))).await;
    assert_eq!(ask(&gateway, "/notes", &token).await.status, 404);
}
