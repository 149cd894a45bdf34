//! Client and keeper against a server that answers what a test says.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use furt_cluster::model::VaultSide;
use serde_json::{Value, json};

use super::{Client, Fault, Keeper, Lease, NewToken, Running, Token, TokenFile, Values, Wanted};
use crate::clock;
use crate::config::SecretRef;
use crate::telemetry::Telemetry;

/// On a machine that builds beside it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was asked.
#[derive(Debug, Clone)]
struct Asked {
    /// Method and path.
    line: String,
    headers: String,
    body: String,
}

impl Asked {
    fn is_by(&self, token: &str) -> bool {
        self.headers.contains(&format!("x-vault-token: {token}\r\n"))
    }
}

/// A server; its answers are status and body.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(answer: impl Fn(&Asked) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let Some(asked) = read(&stream) else { continue };
                let (status, body) = answer(&asked);
                log.lock().unwrap().push(asked);
                let location = if (300..400).contains(&status) { "Location: http://127.0.0.1:1/\r\n" } else { "" };
                let head = format!(
                    "HTTP/1.1 {status} It\r\nContent-Length: {}\r\n{location}Connection: close\r\n\r\n",
                    body.len()
                );
                // The client may have heard enough.
                _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn count(&self, line: &str) -> usize {
        self.asked().iter().filter(|asked| asked.line == line).count()
    }

    fn client(&self) -> Client {
        Client::try_new(&self.url, None, None, "secret").unwrap()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = String::new();
    while !headers.ends_with("\r\n\r\n") && headers != "\r\n" {
        let start = headers.len();
        if reader.read_line(&mut headers).ok()? == 0 {
            return None;
        }
        let name = headers[start..].split(':').next().unwrap_or_default().to_ascii_lowercase();
        headers.replace_range(start..start + name.len(), &name);
    }
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    Some(Asked { line, headers, body: String::from_utf8(body).ok()? })
}

fn token() -> Token {
    Token::try_new("hvs.hunter2").unwrap()
}

fn answering(status: u16, body: &str) -> Server {
    let body = body.to_owned();
    Server::start(move |_| (status, body.clone()))
}

#[test]
fn every_call_is_the_one_of_the_api() {
    let server = Server::start(|asked| {
        let answer = match asked.line.as_str() {
            "GET /v1/auth/token/lookup-self" => json!({"data": {"ttl": 30, "expire_time": "2026", "renewable": true}}),
            "POST /v1/auth/token/renew-self" => json!({"auth": {"lease_duration": 60, "renewable": true}}),
            "GET /v1/team/kv/data/furt/broker" => json!({"data": {"data": {"password": "rabbit", "port": 5672}}}),
            "POST /v1/auth/token/create-orphan" => json!({"wrap_info": {"token": "hvs.wrapping", "ttl": 60}}),
            "POST /v1/sys/wrapping/unwrap" => {
                json!({"auth": {"client_token": "hvs.new", "lease_duration": 3600, "renewable": true}})
            }
            _ => return (404, String::new()),
        };
        (200, answer.to_string())
    });
    let client = Client::try_new(&server.url, None, Some("edge/eu"), "team/kv").unwrap();
    let lease = |seconds| Lease { ttl: Some(Duration::from_secs(seconds)), renewable: true };
    assert_eq!(client.look_up(&token()), Ok(lease(30)));
    assert_eq!(client.renew(&token()), Ok(lease(60)));
    let secret = client.read(&token(), "furt/broker").unwrap();
    assert_eq!((&secret["password"], &secret["port"]), (&json!("rabbit"), &json!(5672)));
    let new = NewToken {
        display_name: "edge_2.812".to_owned(),
        policies: vec!["furt".to_owned()],
        period: Duration::from_secs(3600),
    };
    let wrapping = client.make_token(&token(), &new, Duration::from_secs(60)).unwrap();
    assert_eq!(client.unwrap_token(&wrapping), Ok((Token::try_new("hvs.new").unwrap(), lease(3600))));
    assert_eq!(client.read(&token(), "other"), Err(Fault::Absent));
    let asked = server.asked();
    assert!(asked[..4].iter().all(|one| one.is_by("hvs.hunter2")), "{asked:?}");
    assert!(asked.iter().all(|one| one.headers.contains("x-vault-namespace: edge/eu\r\n")), "{asked:?}");
    let made: Value = serde_json::from_str(&asked[3].body).unwrap();
    assert_eq!(
        (&made["period"], &made["policies"], &made["display_name"]),
        (&json!("3600s"), &json!(["furt"]), &json!("edge_2.812"))
    );
    assert!(asked[3].headers.contains("x-vault-wrap-ttl: 60s\r\n"), "{asked:?}");
    assert!(asked[4].is_by("hvs.wrapping"), "the wrapping token is the one that unwraps: {asked:?}");
}

#[test]
fn a_token_without_an_end_has_no_time() {
    let root = r#"{"data": {"ttl": 0, "expire_time": null, "renewable": false}}"#;
    assert_eq!(answering(200, root).client().look_up(&token()), Ok(Lease { ttl: None, renewable: false }));
    let ending = r#"{"data": {"ttl": 0, "expire_time": "2026-11-29T12:00:00Z"}}"#;
    let lease = Lease { ttl: Some(Duration::ZERO), renewable: false };
    assert_eq!(answering(200, ending).client().look_up(&token()), Ok(lease));
    let endless = format!(r#"{{"data": {{"ttl": {}, "expire_time": null, "renewable": true}}}}"#, u64::MAX);
    let believed = answering(200, &endless).client().look_up(&token()).unwrap().ttl.unwrap();
    assert!(clock::now().checked_add(believed).is_some(), "{believed:?}");
}

#[test]
fn every_kind_of_bad_answer_is_told_without_a_secret() {
    let large = format!(r#"{{"data": {{"data": {{"k": "{}"}}}}}}"#, "x".repeat(300 * 1024));
    let long = json!({"errors": ["y".repeat(1000), "line\nbreak"]}).to_string();
    for (status, body, expected) in [
        (403, r#"{"errors":["permission denied"]}"#, "Vault refuses the token (permission denied)"),
        (403, "", "Vault refuses the token"),
        (403, r#"{"errors":["no token hvs.hunter2"]}"#, "Vault refuses the token"),
        (
            400,
            r#"{"errors":["wrapping token is not valid or does not exist"]}"#,
            "Vault does not take the request (wrapping",
        ),
        (400, "<html>", "Vault does not take the request"),
        (404, r#"{"errors":[]}"#, "Vault has nothing there"),
        (503, r#"{"errors":["Vault is sealed"]}"#, "Vault is away: it answers 503 (Vault is sealed)"),
        (500, "hunter2", "Vault is away: it answers 500"),
        (429, "", "Vault is away: it answers 429"),
        (473, "", "Vault is away: it answers 473"),
        (307, "", "Vault is away: it sends elsewhere, which furt does not follow"),
        (418, "", "its status has no meaning here"),
        (204, "", "its status has no meaning here"),
        (500, &long, "Vault is away: it answers 500 (yyy"),
        (200, "", "the answer is not one of Vault's"),
        (200, "<html>hunter2</html>", "the answer is not one of Vault's"),
        (200, "{}", "the answer is not one of Vault's"),
        (200, r#"{"data": null}"#, "the answer is not one of Vault's"),
        (200, r#"{"data": {"data": null}}"#, "the answer is not one of Vault's"),
        (200, r#"{"data": {"password": "hunter2"}}"#, "the answer is not one of Vault's"),
        (200, r#"{"data": {"data": ["hunter2"]}}"#, "the answer is not one of Vault's"),
        (200, &large, "it is larger than 256 KiB"),
    ] {
        let told = answering(status, body).client().read(&token(), "furt/broker").unwrap_err().to_string();
        assert!(told.contains(expected), "{status} {body:.80}: {told}");
        assert!(!told.contains("hunter2") && !told.contains('\n') && told.len() < 300, "{status}: {told}");
    }
    let (lookup, renewal) = (r#"{"data": {"ttl": -1}}"#, r#"{"auth": {"lease_duration": "60"}}"#);
    assert!(matches!(answering(200, lookup).client().look_up(&token()), Err(Fault::Strange(_))));
    assert!(matches!(answering(200, renewal).client().renew(&token()), Err(Fault::Strange(_))));
    for wrapped in
        [r#"{"auth": null}"#, r#"{"data": {"k": "v"}}"#, r#"{"auth": {"client_token": "", "lease_duration": 1}}"#]
    {
        assert!(matches!(answering(200, wrapped).client().unwrap_token(&token()), Err(Fault::Strange(_))), "{wrapped}");
    }
}

#[test]
fn a_server_that_is_not_there_or_is_not_believed_is_away() {
    crate::tls::install();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = Client::try_new(&format!("http://{free}"), None, None, "secret").unwrap().look_up(&token());
    assert!(matches!(told, Err(Fault::Away(_))), "{told:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
    let plain = answering(200, "{}");
    let url = plain.url.replace("http:", "https:");
    let told = Client::try_new(&url, Some(&file), None, "secret").unwrap().look_up(&token());
    assert!(matches!(told, Err(Fault::Away(_))) && plain.asked().is_empty(), "{told:?}");
    assert!(Client::try_new(&url, Some(&folder.path().join("none")), None, "secret").is_err());
}

/// A Vault in few words: which token it takes, for how long it lives, and what it has.
#[derive(Clone)]
struct Known {
    token: &'static str,
    ttl: u64,
    secret: Result<Value, u16>,
}

struct Kept {
    server: Server,
    known: Arc<Mutex<Known>>,
    running: Running,
    values: Values,
    telemetry: Arc<Telemetry>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

const LOOKUP: &str = "GET /v1/auth/token/lookup-self";
const RENEW: &str = "POST /v1/auth/token/renew-self";
const READ: &str = "GET /v1/secret/data/furt";

impl Kept {
    fn start(known: Known) -> Self {
        let known = Arc::new(Mutex::new(known));
        let answers = Arc::clone(&known);
        let server = Server::start(move |asked| answer(asked, &answers.lock().unwrap().clone()));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        write(&file, "hvs.one");
        let telemetry = Telemetry::try_new().unwrap();
        let values = Values::default();
        let check = |text: &str| if text == "bad" { Err("it is bad".to_owned()) } else { Ok(()) };
        let wanted = ["cluster.password", "internal.operator_token_sha256"].map(|key| Wanted {
            key,
            place: place(key.split_once('.').unwrap().0),
            check,
        });
        let keeper = Keeper {
            client: server.client(),
            token_file: TokenFile::Own(file.clone()),
            makes_tokens: Box::new(|| true),
            wanted: Box::new(move || wanted.to_vec()),
            values: values.clone(),
            metrics: telemetry.show_vault().unwrap(),
        };
        let running = keeper.start().unwrap();
        Self { server, known, running, values, telemetry, file, _folder: folder }
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap());
    }

    fn value(&self, key: &str) -> Option<String> {
        self.values.get(&place(key)).map(|value| value.as_ref().to_owned())
    }

    fn issues(&self) -> String {
        self.telemetry.issues.list().join("\n")
    }
}

fn place(key: &str) -> SecretRef {
    format!("vault:furt#{key}").parse().unwrap()
}

fn write(file: &Path, token: &str) {
    fs::write(file, token).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn answer(asked: &Asked, known: &Known) -> (u16, String) {
    if !asked.is_by(known.token) {
        return (403, r#"{"errors":["permission denied"]}"#.to_owned());
    }
    let answer = match asked.line.as_str() {
        LOOKUP => json!({"data": {"ttl": known.ttl, "expire_time": "2026", "renewable": true}}),
        RENEW => json!({"auth": {"lease_duration": known.ttl, "renewable": true}}),
        READ => match &known.secret {
            Ok(secret) => json!({"data": {"data": secret}}),
            Err(status) => return (*status, String::new()),
        },
        _ => return (404, String::new()),
    };
    (200, answer.to_string())
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = clock::now();
    while !is_so() {
        assert!(clock::now().saturating_duration_since(start) < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn both(cluster: &str, internal: &str) -> Result<Value, u16> {
    Ok(json!({"cluster": cluster, "internal": internal}))
}

#[test]
fn values_are_read_once_a_token_is_there_and_at_each_reload() {
    let kept = Kept::start(Known { token: "hvs.one", ttl: 3600, secret: both("a", "b") });
    eventually("both are there", || {
        (kept.value("cluster"), kept.value("internal")) == (Some("a".into()), Some("b".into()))
    });
    assert_eq!((kept.server.count(READ), kept.issues().as_str()), (1, ""), "a secret is read once for all its keys");
    kept.change(|known| known.secret = both("c", "bad"));
    kept.running.reload();
    eventually("one is new", || kept.value("cluster").as_deref() == Some("c"));
    eventually("the bad one is told", || {
        kept.issues() == "vault: internal.operator_token_sha256: vault:furt#internal: it is bad; the last value stays"
    });
    assert_eq!(kept.value("internal").as_deref(), Some("b"), "what is wrong changes nothing");
    for (secret, told) in [
        (Ok(json!({"cluster": "c"})), "has no such key; the last"),
        (Ok(json!({"cluster": "c", "internal": 5})), "it is no text; must be one; the last"),
        (Ok(json!({"cluster": "c", "internal": ""})), "it is empty, or longer than 64 KiB; the last"),
        (Err(404), "Vault has nothing there; the last"),
        (Err(503), "it answers 503; the last"),
        (Err(403), "Vault refuses the token; the last"),
    ] {
        kept.change(|known| known.secret = secret);
        kept.running.reload();
        eventually(told, || kept.issues().contains(told));
        assert_eq!(kept.value("internal").as_deref(), Some("b"));
    }
    kept.change(|known| known.secret = both("e", "f"));
    eventually("it is tried again by itself", || kept.value("internal").as_deref() == Some("f"));
    eventually("all is well", || kept.issues().is_empty());
}

#[test]
fn a_token_is_renewed_and_read_again_from_its_file_where_it_is_refused() {
    let kept = Kept::start(Known { token: "hvs.one", ttl: 1, secret: both("a", "b") });
    eventually("it is renewed, and values are read after", || {
        kept.server.count(RENEW) >= 2 && kept.server.count(READ) >= 3
    });
    kept.change(|known| *known = Known { token: "hvs.two", ttl: 1, secret: both("c", "d") });
    eventually("it is told", || kept.issues().contains("refuses the token (permission denied); the last values stay"));
    assert_eq!(kept.value("cluster").as_deref(), Some("a"));
    write(&kept.file, "hvs.two");
    eventually("the new one is found", || kept.value("cluster").as_deref() == Some("c"));
    eventually("all is well", || kept.issues().is_empty());
}

#[test]
fn a_slip_in_the_token_s_file_does_not_end_a_good_token() {
    let kept = Kept::start(Known { token: "hvs.one", ttl: 3600, secret: both("a", "b") });
    eventually("both are there", || kept.value("cluster").is_some());
    for (text, told) in [("", "has no token"), ("hvs.slip", "refuses the token")] {
        write(&kept.file, text);
        kept.change(|known| known.secret = both(told, "b"));
        kept.running.reload();
        eventually("values are read all the same", || kept.value("cluster").as_deref() == Some(told));
        let issues = kept.issues();
        assert!(
            issues.contains(told) && issues.contains("the token before is kept") && !issues.contains("hvs."),
            "{issues}"
        );
    }
    write(&kept.file, "hvs.one");
    kept.running.reload();
    eventually("all is well", || kept.issues().is_empty());
}

#[test]
fn the_thread_ends_with_its_gateway() {
    let kept = Kept::start(Known { token: "hvs.one", ttl: 3600, secret: both("a", "b") });
    eventually("both are there", || kept.value("cluster").is_some());
    drop(kept.running);
    eventually("nobody else has the values", || Arc::strong_count(kept.values.shared()) == 1);
}

#[test]
fn a_token_that_was_given_is_unwrapped_once_and_kept_for_its_owner_alone() {
    let is_used = Arc::new(Mutex::new(false));
    let used = Arc::clone(&is_used);
    let server = Server::start(move |asked| match asked.line.as_str() {
        "POST /v1/sys/wrapping/unwrap"
            if asked.is_by("hvs.wrapping") && !std::mem::replace(&mut *used.lock().unwrap(), true) =>
        {
            let auth = json!({"auth": {"client_token": "hvs.given", "lease_duration": 3600, "renewable": true}});
            (200, auth.to_string())
        }
        "POST /v1/sys/wrapping/unwrap" => {
            (400, r#"{"errors":["wrapping token is not valid or does not exist"]}"#.to_owned())
        }
        _ => answer(asked, &Known { token: "hvs.given", ttl: 3600, secret: both("a", "b") }),
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vault-token");
    let telemetry = Telemetry::try_new().unwrap();
    let values = Values::default();
    let check: fn(&str) -> Result<(), String> = |_| Ok(());
    let keeper = Keeper {
        client: server.client(),
        token_file: TokenFile::Given(file.clone()),
        makes_tokens: Box::new(|| true),
        wanted: Box::new(move || vec![Wanted { key: "cluster.password", place: place("cluster"), check }]),
        values: values.clone(),
        metrics: telemetry.show_vault().unwrap(),
    };
    let running = keeper.start().unwrap();
    eventually("it wants one", || running.side() == VaultSide::Wants);
    assert!(telemetry.issues.list().join("\n").contains("asks its cluster for one"));
    running.keep_token("hvs.another");
    let is_alarmed = || telemetry.issues.list().join("\n").contains("was unwrapped by somebody else, or too late");
    eventually("one that is used is an alarm", is_alarmed);
    running.keep_token("hvs.wrapping");
    eventually("the value is there", || values.get(&place("cluster")).is_some());
    eventually("it wants none, and makes none by it", || running.side() == VaultSide::Apart);
    assert!(is_alarmed(), "an alarm stays");
    assert_eq!(fs::read_to_string(&file).unwrap(), "hvs.given");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    running.reload();
    eventually("until an operator reloads", || !is_alarmed());
    // It cannot make any: the token is for itself.
    let (sender, made) = std::sync::mpsc::channel();
    let new = NewToken { display_name: "x".to_owned(), policies: vec![], period: Duration::from_secs(60) };
    running.make_token(new, Box::new(move |outcome| sender.send(outcome).unwrap()));
    assert!(made.recv_timeout(PATIENCE).unwrap().is_err());
}

#[test]
fn a_token_is_made_for_others_where_that_is_configured_and_refused_in_words() {
    let kept = Kept::start(Known { token: "hvs.one", ttl: 3600, secret: both("a", "b") });
    eventually("it makes them", || kept.running.side() == VaultSide::Makes);
    let (sender, made) = std::sync::mpsc::channel();
    let new =
        NewToken { display_name: "x".to_owned(), policies: vec!["furt".to_owned()], period: Duration::from_secs(60) };
    kept.running.make_token(new, Box::new(move |outcome| sender.send(outcome).unwrap()));
    assert_eq!(made.recv_timeout(PATIENCE).unwrap().unwrap_err(), "Vault has nothing there");
}

#[test]
fn it_asks_nothing_more_once_it_is_told_that_another_process_goes_on_and_the_values_stay() {
    let kept = Kept::start(Known { token: "hvs.one", ttl: 3600, secret: both("a", "b") });
    eventually("the values are there", || kept.value("cluster").is_some());
    kept.running.end();
    let (sender, made) = std::sync::mpsc::channel();
    let new = NewToken { display_name: "x".to_owned(), policies: vec![], period: Duration::from_secs(60) };
    kept.running.make_token(new, Box::new(move |outcome| sender.send(outcome).unwrap()));
    assert_eq!(made.recv_timeout(PATIENCE), Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
    kept.running.reload();
    assert_eq!(kept.value("cluster").unwrap(), "a");
}
