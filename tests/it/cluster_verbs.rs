//! `furt nodes`, `furt cluster`, `furt secret` and `furt settings`: what they send, what they print, and how they exit. The furt that answers is played:
//! each request gets what the test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use furt_core::model::Sha256Digest;
use serde_json::{Value, json};

use crate::support::gateway::{furt, output_of};
use crate::support::{Gateway, SOON, eventually, ports};

const KEY: &str = "e1d00f3b51c2a9d4e1d00f3b51c2a9d4e1d00f3b51c2a9d4e1d00f3b51c2a9d4";
const TOKEN: &str = "furtc1.5e711294-0975-49a0-905d-86cf98781cd8.c2VjcmV0";

/// An internal listener that answers everything with one thing.
struct Played {
    url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Played {
    fn answering(status: u16, answer: &Value) -> Self {
        let listener = ports::listener();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heard, body) = (Arc::<Mutex<Vec<_>>>::default(), answer.to_string());
        let hears = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                hears.lock().unwrap().extend(answer_one(stream, status, &body));
            }
        });
        Self { url, heard }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = furt(arguments);
        command.env("FURT_URL", &self.url).env("FURT_TOKEN", "operator");
        command
    }

    async fn cli(&self, arguments: &[&str]) -> Output {
        output_of(self.command(arguments)).await
    }

    /// The requests so far: method, path and body.
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

fn answer_one(stream: TcpStream, status: u16, body: &str) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        length = line.strip_prefix("content-length:").map_or(length, |length| length.trim().parse().unwrap());
    }
    let mut given = vec![0; length];
    reader.read_exact(&mut given).ok()?;
    let head = format!(
        "HTTP/1.1 {status} x\r\nX-Furt-Listener: internal\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    reader.get_mut().write_all((head + body).as_bytes()).ok()?;
    let asked = first.rsplit_once(' ')?.0.to_owned();
    Some(format!("{asked} {}", String::from_utf8(given).unwrap()).trim().to_owned())
}

#[track_caller]
fn printed(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout: {stdout}\nstderr: {stderr}");
    (stdout, stderr)
}

fn nodes() -> Value {
    let secret = json!({"generation": 2, "check": "00112233aabbccdd"});
    let member = json!({"fingerprint": KEY, "name": "edge_9.55", "standing": "pending", "state": "active", "age": 1.0, "skew_ms": 2,
        "version": "0.4.0", "status": "healthy", "boot": 1, "settings": null, "own_settings": null, "secret": null,
        "services": {"routed": 0, "registered": 0}, "registry": null, "this": false, "of a newer furt": 1});
    let token = json!({"id": "5f0c1b2a99d3e4f7", "uses": 3, "until": "2025-11-14T20:30:00Z", "role": "member"});
    json!({"nodes": [], "cluster": {"id": "c1", "founder": KEY, "fingerprint": KEY, "link": {"status": "up", "why": null}, "joining": false,
        "members": [member], "secret": {"active": secret, "held": [secret], "next": null, "waits_for": []}, "settings": [],
        "tokens": [token], "issues": ["it rains"], "refused": {}, "beats": 1}})
}

fn taken(result: &str) -> Value {
    let document = json!({"node": null, "generation": 7, "digest": "00112233445566"});
    let outcome = json!({"fingerprint": KEY, "name": "edge_9.55", "result": result, "errors": []});
    json!({"status": "set", "documents": [document], "outcomes": [outcome]})
}

fn settings() -> Value {
    let document = |generation: u64, is_latest: bool, values: Value| {
        json!({"node": null, "generation": generation, "digest": "00112233445566", "latest": is_latest, "applied": is_latest,
               "applied_at": "2025-11-14T20:30:00Z", "text": "", "values": values})
    };
    let latest = document(7, true, json!({"limits.max_body": 5, "client.header_timeout": "30s"}));
    json!({"fingerprint": KEY, "settings": [latest, document(6, false, json!({"limits.max_body": 4}))]})
}

#[tokio::test]
async fn settings_are_shown_and_a_node_that_does_not_take_them_is_a_failure() {
    let played = Played::answering(200, &settings());
    let (got, _) = printed(&played.cli(&["settings", "get"]).await, 0);
    let expected = "\
KEY                    VALUE  SET FOR      GENERATION
client.header_timeout  \"30s\"  the cluster  7
limits.max_body        5      the cluster  7
";
    assert_eq!(got, expected);
    let (got, _) = printed(&played.cli(&["settings", "get", "limits.max_body", "-o", "json"]).await, 0);
    let got: Value = serde_json::from_str(&got).unwrap();
    assert_eq!(got, json!([{"key": "limits.max_body", "value": 5, "node": null, "generation": 7}]));
    let (_, stderr) = printed(&played.cli(&["settings", "get", "limits.rate"]).await, 1);
    assert!(stderr.contains("limits.rate is not set by the cluster"), "{stderr}");
    let (diff, _) = printed(&played.cli(&["settings", "diff"]).await, 0);
    let expected = "\
from generation 6 to 7 of the settings of the cluster
+ client.header_timeout = \"30s\"
- limits.max_body = 4
+ limits.max_body = 5
";
    assert_eq!(diff, expected);
    let (_, stderr) = printed(&played.cli(&["settings", "diff", "3"]).await, 1);
    assert!(stderr.contains("does not have generation 3; it has 6, 7"), "{stderr}");

    let set = ["settings", "set", "limits.max_body=5", "--to", "edge_9.55,e1d00f3b", "--expect", "6", "--partial"];
    for (result, code) in [
        ("success", 0),
        ("seen", 0),
        ("away", 0),
        ("failed", 1),
        ("disagreed", 1),
        ("no-answer", 1),
        ("waiting", 1),
        ("new", 1),
    ] {
        let played = Played::answering(200, &taken(result));
        let (stdout, _) = printed(&played.cli(&set).await, code);
        assert!(stdout.contains("edge_9.55: "), "{result}: {stdout}");
        let body = r#"{"to":["edge_9.55","e1d00f3b"],"set":{"limits.max_body":5},"expect":6,"partial":true}"#;
        assert_eq!(played.heard(), [format!("POST /internal/cluster/settings {body}")]);
    }
    let restart = ["settings", "set", "server.threads=3", "--to", "all", "--restart"];
    let played = Played::answering(200, &taken("success"));
    printed(&played.cli(&restart).await, 0);
    let body = r#"{"to":"all","set":{"server.threads":3},"restart":true}"#;
    assert_eq!(played.heard(), [format!("POST /internal/cluster/settings {body}")]);
    let both = [&restart[..], &["--partial"]].concat();
    assert!(printed(&played.cli(&both).await, 2).1.contains("cannot be used with"));
    let errors =
        json!([{"fingerprint": KEY, "name": "a.1", "detail": "x\u{1b}"}, {"fingerprint": "ab", "detail": "y"}]);
    let problem = json!({"type": "t", "title": "t", "status": 422, "code": "invalid-config", "detail": "no", "request_id": "1", "errors": errors});
    let (_, stderr) = printed(&Played::answering(422, &problem).cli(&set).await, 1);
    assert_eq!(stderr, "furt: 422 invalid-config: no\n      a.1: x\u{fffd}\n      ab: y\n");
    for (arguments, why) in [
        (["settings", "set", "a.b=1", "--to", "all,edge_9.55"].as_slice(), "and not both"),
        (&["settings", "set", "a.b=1", "a.b=2", "--to", "all"], "a.b is set twice"),
    ] {
        let (_, stderr) = printed(&played.cli(arguments).await, 1);
        assert!(stderr.contains(why), "{stderr}");
    }
    let (keys, _) = printed(&output_of(furt(&["settings", "keys"])).await, 0);
    assert!(keys.contains("limits.max_body") && !keys.contains("cluster.settings"), "{keys}");
}

#[tokio::test]
async fn every_verb_asks_for_what_it_says_and_prints_the_answer() {
    let secret = json!({"generation": 3, "check": "00112233aabbccdd"});
    let issued = json!({"token": TOKEN, "id": "5f0c1b2a99d3e4f7", "until": "2025-11-14T20:30:00Z"});
    let key = format!("/internal/cluster/nodes/{}", &KEY[..16]);
    let cases: [(&[&str], Value, String, &str); 13] = [
        (
            &["cluster", "init"],
            json!({"status": "founded", "cluster": "c1", "secret": secret}),
            "POST /internal/cluster/init".to_owned(),
            "made cluster c1 with secret generation 3, check 00112233aabbccdd\n",
        ),
        (
            &["cluster", "token"],
            issued.clone(),
            r#"POST /internal/cluster/tokens {"uses":1,"ttl_s":3600,"role":"member"}"#.to_owned(),
            &format!("{TOKEN}\n"),
        ),
        (
            &["cluster", "token", "--uses", "256", "--ttl", "7d", "--role", "commander"],
            issued,
            r#"POST /internal/cluster/tokens {"uses":256,"ttl_s":604800,"role":"commander"}"#.to_owned(),
            &format!("{TOKEN}\n"),
        ),
        (
            &["cluster", "tokens"],
            nodes(),
            "GET /internal/nodes".to_owned(),
            "ID                USES LEFT  ROLE    UNTIL\n5f0c1b2a99d3e4f7  3          member  2025-11-14T20:30:00Z\n",
        ),
        (
            &["cluster", "drop-token", "5f0c1b2a99d3e4f7"],
            json!({"status": "dropped", "id": "5f0c1b2a99d3e4f7"}),
            "DELETE /internal/cluster/tokens/5f0c1b2a99d3e4f7".to_owned(),
            "nobody joins by token 5f0c1b2a99d3e4f7 any more\n",
        ),
        (
            &["nodes", "approve", &KEY[..16], "--role", "commander"],
            json!({"status": "approved", "fingerprint": KEY, "role": "commander"}),
            format!(r#"POST {key}/approve {{"role":"commander"}}"#),
            &format!("approved {KEY} as commander\n"),
        ),
        (
            &["nodes", "approve", &KEY[..16]],
            json!({"status": "trusted", "fingerprint": KEY, "role": "member"}),
            format!(r#"POST {key}/approve {{"role":"member"}}"#),
            &format!("{KEY} may welcome this node into its cluster\n"),
        ),
        (
            &["nodes", "revoke", &KEY[..16]],
            json!({"status": "revoked", "fingerprint": KEY, "approved_again": ["ab\u{1b}"]}),
            format!("POST {key}/revoke"),
            &format!("revoked {KEY}, for ever\napproved ab\u{fffd} again, as this node\n"),
        ),
        (
            &["nodes", "forget", "edge_9.55"],
            json!({"status": "forgotten", "fingerprint": KEY}),
            "DELETE /internal/cluster/nodes/edge_9.55".to_owned(),
            &format!("forgot {KEY}\n"),
        ),
        (
            &["secret", "rotate"],
            json!({"status": "rotating", "secret": secret}),
            "POST /internal/cluster/secret/rotate".to_owned(),
            "announced generation 3, check 00112233aabbccdd; it becomes active once every node that is there has it: see furt secret status\n",
        ),
        (
            &["secret", "adopt", "00112233aabbccdd"],
            json!({"status": "adopted", "secret": secret}),
            r#"POST /internal/cluster/secret/adopt {"check":"00112233aabbccdd"}"#.to_owned(),
            "adopted generation 3, check 00112233aabbccdd\n",
        ),
        (
            &["settings", "set", "limits.max_body=5", "client.header_timeout=30s", "--unset", "limits.rate", "--to", "all"],
            taken("success"),
            r#"POST /internal/cluster/settings {"to":"all","set":{"limits.max_body":5,"client.header_timeout":"30s"},"unset":["limits.rate"]}"#
                .to_owned(),
            "generation 7 of the settings of the cluster\nedge_9.55: success\n",
        ),
        (
            &["settings", "history"],
            settings(),
            "GET /internal/cluster/settings".to_owned(),
            "\
SET FOR      GENERATION  DIGEST    SINCE                 STATE     KEYS
the cluster  7           00112233  2025-11-14T20:30:00Z  in force  limits.max_body=5 client.header_timeout=\"30s\"
the cluster  6           00112233  2025-11-14T20:30:00Z  -         limits.max_body=4
",
        ),
    ];
    for (arguments, answer, asked, text) in cases {
        let played = Played::answering(200, &answer);
        let (stdout, stderr) = printed(&played.cli(arguments).await, 0);
        assert_eq!((stdout.as_str(), played.heard()), (text, vec![asked]), "{arguments:?}");
        assert!(!stderr.contains(TOKEN), "{stderr}");
        let (stdout, _) = printed(&played.cli(&[arguments, &["-o", "json"]].concat()).await, 0);
        let shown: Value = serde_json::from_str(&stdout).unwrap();
        let expected = if arguments[1] == "tokens" { answer["cluster"]["tokens"].clone() } else { answer };
        assert_eq!(shown, expected, "{arguments:?}");
        let problem = json!({"type": "t", "title": "t", "status": 409, "code": "cluster-conflict", "detail": "no\u{7}", "request_id": "1"});
        let (stdout, stderr) = printed(&Played::answering(409, &problem).cli(arguments).await, 1);
        assert_eq!(
            (stdout.as_str(), stderr.as_str()),
            ("", "furt: 409 cluster-conflict: no\u{fffd}\n"),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn a_join_token_comes_from_stdin_or_a_file_and_never_from_an_argument() {
    let played = Played::answering(202, &json!({"status": "joining"}));
    let body = format!(r#"POST /internal/cluster/join {{"token":"{TOKEN}"}}"#);
    let joined = async |given: &str| {
        let mut command = played.command(&["cluster", "join"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
        tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap()
    };
    let (stdout, _) = printed(&joined(&format!("{TOKEN}\n")).await, 0);
    assert!(stdout.contains("looks for the maker"), "{stdout}");
    assert_eq!(played.heard(), [body.as_str()]);
    for nothing in ["", "\n\n"] {
        let (_, stderr) = printed(&joined(nothing).await, 1);
        assert!(stderr.contains("no join token"), "{stderr}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("  {TOKEN}\r\n")).unwrap();
    let path = path.to_str().unwrap();
    printed(&played.cli(&["cluster", "join", "--token-file", path]).await, 0);
    assert_eq!(played.heard(), [body.as_str()]);
    let (_, stderr) = printed(&played.cli(&["cluster", "join", "--token-file", "/nowhere"]).await, 1);
    assert!(stderr.contains("/nowhere"), "{stderr}");
    printed(&played.cli(&["cluster", "join", TOKEN]).await, 2);
    assert!(played.heard().is_empty());
}

#[tokio::test]
async fn what_is_no_value_is_misuse() {
    let played = Played::answering(200, &nodes());
    let bad: [&[&str]; 18] = [
        &["settings"],
        &["settings", "set", "--to", "all"],
        &["settings", "set", "limits.max_body=5"],
        &["settings", "set", "limits.max_body", "--to", "all"],
        &["settings", "set", "limits={max_body = 5}", "--to", "all"],
        &["settings", "diff", "one"],
        &["nodes", "approve"],
        &["nodes", "approve", "x", "--role", "root"],
        &["nodes", "--all", "show", "edge_9.55"],
        &["nodes", "show", "edge_9.55", "--watch"],
        &["cluster"],
        &["cluster", "token", "--uses", "0"],
        &["cluster", "token", "--uses", "257"],
        &["cluster", "token", "--ttl", "8d"],
        &["cluster", "acl", "--user", "a"],
        &["cluster", "acl", "--user", "-p", "--host", "a"],
        &["secret"],
        &["secret", "adopt"],
    ];
    for arguments in bad {
        printed(&played.cli(arguments).await, 2);
    }
    for empty in ["", "..", "."] {
        let (_, stderr) = printed(&played.cli(&["nodes", "revoke", empty]).await, 1);
        assert!(stderr.contains("nothing can have that name"), "{stderr}");
    }
    assert!(played.heard().is_empty());
}

#[tokio::test]
async fn nodes_of_a_cluster_are_listed_shown_and_watched() {
    let played = Played::answering(200, &nodes());
    let (table, _) = printed(&played.cli(&["nodes"]).await, 0);
    let expected = "\
NAME       KEY       VERSION  STATE    BEAT  SKEW   SETTINGS  SECRET  SERVICES  NOTE
edge_9.55  e1d00f3b  0.4.0    pending  1 s   +2 ms  -         -       0 of 0    furt nodes approve e1d00f3b51c2a9d4

cluster c1, broker up
issue: it rains
";
    assert_eq!(table, expected);
    let (shown, _) = printed(&played.cli(&["nodes", "-o", "json"]).await, 0);
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), nodes(), "also what a newer furt adds");
    for key in ["edge_9.55", "E1D00F3B", KEY] {
        let (shown, _) = printed(&played.cli(&["nodes", "show", key]).await, 0);
        assert!(shown.contains(KEY) && shown.contains("edge_9.55"), "{shown}");
    }
    let (shown, _) = printed(&played.cli(&["nodes", "show", "e1d00f3b", "-o", "json"]).await, 0);
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["fingerprint"], KEY);
    let (_, stderr) = printed(&played.cli(&["nodes", "show", "nobody.1"]).await, 1);
    assert!(stderr.contains("no node is called nobody.1"), "{stderr}");
    let (status, _) = printed(&played.cli(&["secret", "status"]).await, 0);
    assert_eq!(status, "active     generation 2, check 00112233aabbccdd\n");

    for (arguments, frame) in
        [(vec!["nodes", "--watch"], "issue: it rains"), (vec!["nodes", "--watch", "-o", "json"], "{\"nodes\"")]
    {
        let mut child = played.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let twice = tokio::task::spawn_blocking(move || {
            let frames = lines.by_ref().map_while(Result::ok).filter(|line| line.starts_with(frame)).take(2).count();
            (frames, lines)
        });
        let (frames, lines) = twice.await.unwrap();
        assert_eq!(frames, 2, "{arguments:?}");
        // Nobody reads any more: it ends with its reader.
        drop(lines);
        let status = eventually("it ends", SOON * 3, async || child.try_wait().unwrap()).await;
        assert!(status.success(), "{status:?}");
    }
}

#[tokio::test]
async fn without_a_cluster_verbs_say_what_is_missing() {
    let digest = Sha256Digest::of(b"operator");
    let gateway = Gateway::start(&format!("[internal]\noperator_token_sha256 = '{digest}'")).await;
    let run = async |arguments: &[&str], token: &str| {
        let mut command = furt(arguments);
        command.env("FURT_URL", gateway.internal_url("")).env("FURT_TOKEN", token);
        output_of(command).await
    };
    let commands: [&[&str]; 7] = [
        &["settings", "set", "limits.max_body=5", "--to", "all"],
        &["cluster", "init"],
        &["cluster", "token"],
        &["nodes", "approve", KEY],
        &["nodes", "revoke", "e1d00f3b"],
        &["secret", "rotate"],
        &["secret", "adopt", "00112233aabbccdd"],
    ];
    for arguments in commands {
        let (_, stderr) = printed(&run(arguments, "operator").await, 1);
        assert!(stderr.contains("404 not-found") && stderr.contains("cluster.url is not set"), "{stderr}");
        let (_, stderr) = printed(&run(arguments, "x").await, 1);
        assert!(stderr.contains("403 operators-only"), "{stderr}");
    }
    for arguments in [&["nodes", "show", KEY] as &[&str], &["secret", "status"], &["cluster", "tokens"]] {
        let (_, stderr) = printed(&run(arguments, "operator").await, 1);
        assert!(stderr.contains("cluster.url is not set there"), "{stderr}");
    }
    let (table, _) = printed(&run(&["nodes", "--all"], "operator").await, 0);
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "VERSION", "INTERNAL", "ID"]);
}
