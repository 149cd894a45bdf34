//! nginx as the server that is asked who may come, and clients that say of themselves who they are: in every spelling that some
//! service reads as the header of that name. The same through Envoy, to show that the spellings are no straw men.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::foreign::peer::{Peer, Product};
use crate::support::h2_client::{self, Client};
use crate::support::wire::{self, Wire, exchange};
use crate::support::{Gateway, Origin, READER, public_service, with};

const NGINX: &str = include_str!("forward_auth/nginx.conf");
const ENVOY: &str = include_str!("forward_auth/envoy.yaml");
const USERS: &str = include_str!("forward_auth/users");
/// What users of `users` say with their passwords.
const ALICE: &str = "Authorization: Basic YWxpY2U6YWxpY2Utcw==\r\n";
const BOB: &str = "Authorization: Basic Ym9iOmJvYi1z\r\n";

/// A path about which nginx is asked.
const LOGIN: &str = "/login/a";

/// What services learn of a caller by: the headers that nginx sets, and those that furt sets itself.
const NAMES: [&str; 5] = ["Remote-User", "Remote-Groups", "X-Auth-Subject", "X-Auth-Issuer", "X-Auth-Permissions"];
/// Signs of names of headers (RFC 9110 §5.6.2) that CGI and its heirs read as they read `-`.
const SIGNS: &str = "_.~!+|^`#$%&*'";
const EVIL: &str = "evil";

/// A name in all spellings.
fn names(name: &str) -> Vec<String> {
    let signs = SIGNS.chars().map(|sign| name.replace('-', &sign.to_string()));
    // The last one has one of its signs only, where it has two.
    let others =
        [name.to_owned(), name.to_uppercase(), name.to_uppercase().replace('-', "_"), name.replacen('-', "_", 1)];
    signs.chain(others).chain([name.to_lowercase()]).collect()
}

/// The header of that name in all spellings, as lines of a request.
fn spellings(name: &str, value: &str) -> Vec<String> {
    let spelled = |name: &str| format!("{name}: {value}\r\n");
    let twice = [
        spelled(name).repeat(2),
        spelled(name) + &spelled(&name.replace('-', "_")),
        format!("{name}:\r\n") + &spelled(name),
    ];
    names(name).iter().map(|name| spelled(name)).chain(twice).collect()
}

/// The same for who would have the gateway take away what it sets itself: as fields of this connection alone.
fn nominations(name: &str) -> Vec<String> {
    let spelled = |name: &str| format!("{name}: {EVIL}\r\n");
    let underscored = name.replace('-', "_");
    vec![
        format!("Connection: {name}\r\n"),
        format!("Connection: {}\r\n", name.to_lowercase()) + &spelled(name),
        format!("Connection: keep-alive, {name}, {underscored}\r\n") + &spelled(name) + &spelled(&underscored),
        format!("Connection: {underscored}\r\n") + &spelled(&underscored),
        spelled(name) + &format!("Connection: {name}\r\nConnection: {name}\r\n"),
    ]
}

/// What is no header, unless one reads it leniently.
fn malformed(name: &str) -> Vec<String> {
    let lines = [" : ", "\t: ", "\0: ", "\u{b}: "].map(|colon| format!("{name}{colon}{EVIL}\r\n"));
    let hidden = ["X-Other: a\r\n ", "X-Other: a\r\n\t", "X-Other: a\r", "X-Other: a\n", "X-Other: a\0"];
    lines.into_iter().chain(hidden.map(|before| format!("{before}{name}: {EVIL}\r\n"))).collect()
}

/// What came of a request: its status, and the headers that the service got, where it was asked.
#[derive(Debug)]
struct Seen {
    status: u16,
    headers: Option<Value>,
}

impl Seen {
    /// Asks with these lines of a request.
    async fn of(address: SocketAddr, path: &str, lines: &str) -> Self {
        let mut wire = Wire::to(address).await;
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: g.example\r\n{lines}\r\n")).await;
        let (answer, body) = wire.read_response().await;
        let told = serde_json::from_str::<Value>(&body).ok();
        let headers = told.and_then(|told| told.get("headers").cloned());
        Self { status: wire::status(&answer), headers }
    }

    fn has_evil(&self) -> bool {
        self.headers.as_ref().is_some_and(|headers| headers.to_string().contains(EVIL))
    }

    /// The values of a header.
    fn header(&self, name: &str) -> Value {
        self.headers.as_ref().map_or(Value::Null, |headers| headers[name].clone())
    }
}

async fn nginx() -> Peer {
    let config = |listen: SocketAddr| NGINX.replace("PORT", &listen.port().to_string());
    Peer::start(Product::Nginx, config, &[("users", USERS)]).await
}

struct Site {
    gateway: Gateway,
    service: Origin,
    _nginx: Peer,
}

impl Site {
    async fn start() -> Self {
        let nginx = nginx().await;
        let tail = format!(
            "[[forward_auth]]\nname = 'login'\nurl = 'http://{}/auth'\nuser = 'Remote-User'\n\
             copy = ['Remote-User', 'Remote-Groups', 'X-Asked-With']\nclaim = 'Remote-Groups'\n\
             map = {{ readers = ['notes:read'] }}\n",
            nginx.address
        );
        let (gateway, service) = (Gateway::start(&tail).await, Origin::start().await);
        let route = |path: &str, permission: &str| json!([{"method": "GET", "path": path, "permission": permission}]);
        let base = public_service("open", &service.url(), "/open/*");
        gateway.registered(&base).await;
        let login = json!({"service": "login", "auth": ["login"], "routes": route("/login/*", "notes:read")});
        let key = json!({"service": "key", "routes": route("/key/*", "comments:read")});
        for more in [login, key] {
            gateway.registered(&with(base.clone(), more)).await;
        }
        Self { gateway, service, _nginx: nginx }
    }

    async fn ask(&self, path: &str, lines: &str) -> Seen {
        Seen::of(self.gateway.public, path, lines).await
    }

    /// Whether a request was let in, and the service learns from the gateway alone who comes: alice where nginx was asked, else nobody.
    async fn is_told_the_truth(&self, path: &str, lines: &str) -> bool {
        let seen = self.ask(path, lines).await;
        let told = [seen.header("remote-user"), seen.header("remote-groups"), seen.header("x-asked-with")];
        let right =
            if path == LOGIN { [json!(["alice"]), json!(["readers"]), Value::Null] } else { Default::default() };
        let is_subject = path != LOGIN || seen.header("x-auth-subject") == json!(["alice"]);
        seen.status == 200 && !seen.has_evil() && told == right && is_subject
    }
}

#[tokio::test]
async fn nobody_says_of_itself_who_it_is() {
    let site = Site::start().await;
    let key = format!("X-API-Key: {READER}\r\n");
    let mut wrong = Vec::new();
    for (path, right) in [(LOGIN, ALICE), ("/key/a", &key), ("/open/a", "")] {
        let asked = NAMES.iter().flat_map(|name| spellings(name, EVIL).into_iter().chain(nominations(name)));
        for lines in asked {
            for lines in [format!("{lines}{right}"), format!("{right}{lines}")] {
                if !site.is_told_the_truth(path, &lines).await {
                    wrong.push(format!("{path}: {lines:?}: {:?}", site.ask(path, &lines).await));
                }
            }
        }
        for lines in NAMES.iter().flat_map(|name| malformed(name)) {
            let seen = site.ask(path, &format!("{lines}{right}")).await;
            if seen.has_evil() || ![200, 400].contains(&seen.status) {
                wrong.push(format!("{path}: {lines:?}: {seen:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn nobody_says_of_itself_who_it_is_by_http2() {
    let site = Site::start().await;
    let client = Client::to(site.gateway.public).await;
    let alice = ALICE.trim_end().split_once(": ").unwrap();
    for (path, (name, value)) in [(LOGIN, alice), ("/key/a", ("x-api-key", READER)), ("/open/a", ("x-other", "a"))] {
        for evil in NAMES.iter().flat_map(|name| names(name)) {
            // `http` writes names in lower case.
            let request = || h2_client::get(path).header(name, value);
            for request in [request().header(&evil, EVIL), request().header(&evil, EVIL).header(&evil, EVIL)] {
                let answer = client.ask(request).await;
                assert_eq!(answer.status, 200, "{path} {evil}: {answer:?}");
                let headers = &answer.json()["headers"];
                assert!(!headers.to_string().contains(EVIL), "{path} {evil}: {headers}");
                let user = if path == LOGIN { json!(["alice"]) } else { Value::Null };
                assert_eq!(headers["remote-user"], user, "{path} {evil}: {headers}");
            }
        }
    }
}

/// nginx lets bob in, and says of no group.
#[tokio::test]
async fn nobody_says_of_itself_in_which_group_it_is() {
    let site = Site::start().await;
    assert_eq!(site.ask(LOGIN, ALICE).await.status, 200);
    for lines in spellings("Remote-Groups", "readers").into_iter().chain([String::new()]) {
        let seen = site.ask(LOGIN, &format!("{lines}{BOB}")).await;
        assert_eq!(seen.status, 403, "{lines:?}: {seen:?}");
    }
    assert_eq!(site.service.requests(LOGIN), 1);
}

/// nginx's own answer is the client's, and the service is not asked.
#[tokio::test]
async fn who_is_not_let_in_gets_the_answer_of_the_server_that_was_asked() {
    let site = Site::start().await;
    for lines in ["", "Authorization: Basic YWxpY2U6d3Jvbmc=\r\n", "Remote-User: alice\r\n"] {
        let request = format!("GET /login/a HTTP/1.1\r\nHost: g.example\r\n{lines}Connection: close\r\n\r\n");
        let answer = exchange(site.gateway.public, request).await;
        assert_eq!(wire::status(&answer), 401, "{answer}");
        assert_eq!(wire::header(&answer, "www-authenticate"), Some("Basic realm=\"notes\""), "{answer}");
    }
    assert_eq!(site.service.requests(LOGIN), 0);
}

/// ext_authz, as it is without further rules for headers, replaces what the server says under its own name. It takes away neither other
/// spellings nor what the server does not say, and where it does not ask it takes away nothing.
#[tokio::test]
async fn envoy_lets_the_same_through() {
    let (nginx, service) = (nginx().await, Origin::start().await);
    let config = |listen: SocketAddr| {
        ENVOY
            .replace("AUTH_PORT", &nginx.address.port().to_string())
            .replace("SERVICE_PORT", &service.address().port().to_string())
            .replace("PORT", &listen.port().to_string())
    };
    let envoy = Peer::start(Product::Envoy, config, &[]).await;
    assert_eq!(Seen::of(envoy.address, LOGIN, ALICE).await.header("remote-user"), json!(["alice"]));
    assert_eq!(Seen::of(envoy.address, LOGIN, "").await.status, 401);
    for (path, who, said) in
        [(LOGIN, ALICE, &["Remote-User", "Remote-Groups"][..]), (LOGIN, BOB, &["Remote-User"]), ("/open/a", "", &[])]
    {
        for name in ["Remote-User", "Remote-Groups"] {
            for lines in spellings(name, EVIL) {
                let seen = Seen::of(envoy.address, path, &format!("{lines}{who}")).await;
                let mut given = lines.lines().filter_map(|line| line.split_once(':'));
                let is_replaced = said.contains(&name) && given.all(|(given, _)| given.eq_ignore_ascii_case(name));
                assert_eq!((seen.status, seen.has_evil()), (200, !is_replaced), "{path} {lines:?}: {seen:?}");
            }
        }
    }
}
