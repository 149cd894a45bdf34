//! The verbs: what they print, as text and as JSON, and how they exit. 0 done, 1 failed, 2 misused.

use std::fs;
use std::process::Output;

use furt_core::model::Sha256Digest;
use reqwest::Method;
use serde_json::Value;

use crate::support::gateway::{furt, output_of};
use crate::support::{Answer, Gateway, Origin, ports, sagjan};

/// The text on stdout of a run that must exit with `code`.
#[track_caller]
fn printed(output: &Output, code: i32) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout: {stdout}\nstderr: {stderr}");
    stdout.into_owned()
}

/// The JSON on stdout of a run that must exit with 0.
#[track_caller]
fn json(output: &Output) -> Value {
    let text = printed(output, 0);
    serde_json::from_str(&text).unwrap_or_else(|why| panic!("no JSON ({why}): {text}"))
}

/// What a failed run says: on stderr, in few lines, and not by a panic.
#[track_caller]
fn failure(output: &Output, code: i32) -> String {
    printed(output, code);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.trim().is_empty() && !said.contains("panicked"), "{said}");
    said
}

fn registration_file(gateway: &Gateway, url: &str) -> String {
    let path = gateway.dir().join("sagjan.json");
    fs::write(&path, sagjan(url).to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn up() -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    (gateway, origin)
}

#[tokio::test]
async fn register_takes_a_file_and_deregister_takes_it_back() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let file = registration_file(&gateway, &origin.url());
    let said = printed(&gateway.cli(&["register", &file]).await, 0);
    assert!(said.contains("sagjan"), "{said}");
    assert_eq!(gateway.get("/api/comments/a").await.status, 200);
    printed(&gateway.cli(&["deregister", "sagjan"]).await, 0);
    assert_eq!(gateway.service("sagjan").await, None);
    let said = failure(&gateway.cli(&["deregister", "sagjan"]).await, 1);
    assert!(said.contains("sagjan"), "{said}");
}

#[tokio::test]
async fn register_takes_options_instead_of_a_file() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let url = origin.url();
    let what = ["register", "--service", "sagjan", "--upstream", url.as_str()];
    let routes = ["--route", "GET /api/comments/*", "--route", "POST /api/comments", "--permission", "comments:read"];
    let said = printed(&gateway.cli(&[&what[..], &routes[..]].concat()).await, 0);
    assert!(said.starts_with("registered sagjan/sagjan with 2 routes"), "{said}");
    assert_eq!(gateway.get("/api/comments/a").await.status, 200);
    Answer::of(gateway.anonymous(Method::GET, "/api/comments/a")).await.problem(401, "key-missing");
    let said = failure(&gateway.cli(&[&what[..], &["--route", "/api"]].concat()).await, 1);
    assert!(said.contains("must be a method and a path"), "{said}");
    for misused in [&["register"][..], &["register", "file", "--service", "a"], &["register", "--service", "a"]] {
        failure(&gateway.cli(misused).await, 2);
    }
}

#[tokio::test]
async fn register_prints_the_answer_as_json() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let file = registration_file(&gateway, &origin.url());
    let answer = json(&gateway.cli(&["register", &file, "-o", "json"]).await);
    assert_eq!(answer["status"], "registered");
    assert_eq!(answer["routes"], 4);
}

#[tokio::test]
async fn register_shows_every_field_that_was_refused() {
    let gateway = Gateway::start("").await;
    let path = gateway.dir().join("bad.json");
    fs::write(&path, r#"{"service": "A B", "url": "ftp://x", "routes": []}"#).unwrap();
    let said = failure(&gateway.cli(&["register", path.to_str().unwrap()]).await, 1);
    assert!(said.contains("/service") && said.contains("/url"), "{said}");
    fs::write(&path, "{").unwrap();
    failure(&gateway.cli(&["register", path.to_str().unwrap()]).await, 1);
    let said = failure(&gateway.cli(&["register", "/nonexistent.json"]).await, 1);
    assert!(said.contains("/nonexistent.json"), "{said}");
}

#[tokio::test]
async fn services_lists_what_is_registered() {
    let (gateway, origin) = up().await;
    let text = printed(&gateway.cli(&["services"]).await, 0);
    let line = text.lines().find(|line| line.contains("sagjan")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains(" UP ") && line.contains(" 1/1 ") && line.contains(" s ago, "), "{line}");
    let text = printed(&gateway.cli(&["services", "sagjan"]).await, 0);
    assert!(text.contains(&origin.address().to_string()) && text.contains("/api/comments/*"), "{text}");
    failure(&gateway.cli(&["services", "nobody"]).await, 1);
    let listed = json(&gateway.cli(&["services", "-o", "json"]).await);
    assert_eq!(listed["services"][0]["service"], "sagjan");
    assert_eq!(listed["services"][0]["instances"][0]["status"], "UP");
}

#[tokio::test]
async fn services_of_an_empty_furt_is_no_failure() {
    let gateway = Gateway::start("").await;
    printed(&gateway.cli(&["services"]).await, 0);
    assert_eq!(json(&gateway.cli(&["services", "-o", "json"]).await)["services"], serde_json::json!([]));
}

#[tokio::test]
async fn routes_lists_each_route() {
    let (gateway, _origin) = up().await;
    let text = printed(&gateway.cli(&["routes"]).await, 0);
    assert_eq!(text.lines().filter(|line| line.contains("/api/comments/*")).count(), 4, "{text}");
    assert!(text.lines().any(|line| line.contains("DELETE") && line.contains("comments:delete")), "{text}");
    assert_eq!(json(&gateway.cli(&["routes", "-o", "json"]).await)["total"], 4);
}

#[tokio::test]
async fn explain_says_where_a_request_goes() {
    let (gateway, _origin) = up().await;
    let text = printed(&gateway.cli(&["explain", "GET", "/api/comments/a"]).await, 0);
    assert!(text.contains("sagjan") && text.contains("/api/comments/*"), "{text}");
    let explained =
        json(&gateway.cli(&["explain", "GET", "http://shop.example/api/comments/a?b=c", "-o", "json"]).await);
    assert_eq!(explained["path"], "/api/comments/a");
    assert!(
        explained["candidates"].as_array().unwrap().iter().any(|candidate| candidate["won"] == true),
        "{explained}"
    );
}

#[tokio::test]
async fn a_new_key_is_printed_once_with_the_lines_that_make_it_work() {
    let output =
        output_of(furt(&["keys", "new", "--offline", "--name", "website", "--permission", "comments:read"])).await;
    let text = printed(&output, 0);
    let lines = &text[text.find("[[api_keys]]").unwrap_or_else(|| panic!("{text}"))..];
    let table: toml::Table = lines.parse().unwrap_or_else(|why| panic!("{why}\n{text}"));
    let entry = &table["api_keys"][0];
    assert_eq!(entry["name"].as_str(), Some("website"));
    assert_eq!(entry["permissions"][0].as_str(), Some("comments:read"));
    let sha256 = entry["sha256"].as_str().unwrap();
    let is_key = |word: &&str| Sha256Digest::of(word.as_bytes()).to_string() == sha256;
    let words = || text.split(|c: char| c.is_whitespace() || c == '"' || c == '\'');
    let key = words().find(is_key).unwrap_or_else(|| panic!("no key of that hash in\n{text}"));
    assert_eq!(words().filter(is_key).count(), 1, "printed once: {text}");
    assert!(key.len() >= 32, "{key}");

    let (gateway, origin) = (Gateway::start(lines).await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let arrived = Answer::of(gateway.request(Method::GET, "/api/comments/a", key)).await.ok();
    assert_eq!(arrived["headers"]["x-api-key-name"][0], "website");
    Answer::of(gateway.request(Method::POST, "/api/comments/a", key)).await.problem(403, "permission-missing");
}

#[tokio::test]
async fn no_two_new_keys_are_alike() {
    let new = async || {
        json(&output_of(furt(&["keys", "new", "--offline", "--name", "a", "--permission", "*", "-o", "json"])).await)
    };
    let (one, two) = (new().await, new().await);
    assert_eq!(one["name"], "a");
    assert_eq!(Sha256Digest::of(one["key"].as_str().unwrap().as_bytes()).to_string(), one["sha256"].as_str().unwrap());
    assert_ne!(one["key"], two["key"]);
}

#[tokio::test]
async fn a_key_with_a_bad_name_or_permission_is_not_made() {
    for arguments in
        [["keys", "new", "--name", "a b", "--permission", "x"], ["keys", "new", "--name", "a", "--permission", ""]]
    {
        let output = output_of(furt(&arguments)).await;
        assert!([Some(1), Some(2)].contains(&output.status.code()), "{output:?}");
    }
}

#[tokio::test]
async fn check_says_that_a_good_file_is_good() {
    let gateway = Gateway::start("").await;
    let output = output_of(furt(&["check", "--config", gateway.config.to_str().unwrap()])).await;
    printed(&output, 0);
}

#[tokio::test]
async fn check_takes_the_file_by_its_place_or_by_its_name() {
    let gateway = Gateway::start("").await;
    let file = gateway.config.to_str().unwrap();
    for arguments in [&["check", file][..], &["check", "--config", file]] {
        let mut command = furt(arguments);
        // What is said goes before the environment.
        command.env("FURT_CONFIG", "/nonexistent.toml");
        assert_eq!(printed(&output_of(command).await, 0), format!("{file}: ok\n"));
    }
    let mut command = furt(&["check"]);
    command.env("FURT_CONFIG", file);
    assert_eq!(printed(&output_of(command).await, 0), format!("{file}: ok\n"));
    failure(&output_of(furt(&["check", file, "--config", file])).await, 2);
}

#[tokio::test]
async fn check_gives_programs_every_error_with_its_place() {
    let gateway = Gateway::start("").await;
    let file = gateway.config.to_str().unwrap();
    let checked = async |text: &str, code| {
        fs::write(&gateway.config, text).unwrap();
        let mut command = furt(&["check", file, "-o", "json"]);
        command.env("FURT_CLIENT_BODY_TIMEOUT", "soon").env("FURT_SERVRE_LISTEN", "a");
        if code == 0 {
            command.env_remove("FURT_CLIENT_BODY_TIMEOUT");
        }
        let output = output_of(command).await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (serde_json::from_str::<Value>(&printed(&output, code)).unwrap(), stderr)
    };
    let (bad, said) = checked("[server]\ngraec = 1\nthreads = 0\n", 1).await;
    assert_eq!((&bad["ok"], bad["file"].as_str()), (&Value::Bool(false), Some(file)));
    let errors = bad["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 3, "{bad}");
    let place =
        |error: &Value| (error["line"].as_u64(), error["column"].as_u64(), error["key"].as_str().map(str::to_owned));
    assert_eq!(place(&errors[0]), (Some(2), Some(1), Some("server.graec".to_owned())));
    assert_eq!(place(&errors[1]), (Some(3), Some(11), Some("server.threads".to_owned())));
    assert!(errors[0]["message"].as_str().unwrap().contains("did you mean \"grace\""), "{bad}");
    assert_eq!(errors[2]["variable"], "FURT_CLIENT_BODY_TIMEOUT");
    assert!(said.contains("3 errors"), "{said}");
    let (good, _) = checked("", 0).await;
    assert_eq!((&good["ok"], good["errors"].as_array().unwrap().len()), (&Value::Bool(true), 0));
    assert_eq!(good["warnings"][0]["variable"], "FURT_SERVRE_LISTEN");
}

#[tokio::test]
async fn a_name_in_the_environment_that_means_nothing_is_a_warning() {
    let gateway = Gateway::start("").await;
    let mut command = furt(&["check", gateway.config.to_str().unwrap()]);
    command
        .env("FURT_SERVER_GRACEE", "secret")
        .env("FURT_SERVICE_HOST", "10.0.0.1")
        .env("FURT_PORT", "tcp://10.0.0.1:80");
    let output = output_of(command).await;
    printed(&output, 0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "furt: warning: FURT_SERVER_GRACEE: is not known; did you mean FURT_SERVER_GRACE?\n");
    // A configuration that is good, and no port to take: the start ends after the warning.
    let config = gateway.dir().join("second.toml");
    fs::write(&config, fs::read_to_string(&gateway.config).unwrap()).unwrap();
    let mut command = furt(&["run", "--config", config.to_str().unwrap()]);
    command.env("FURT_SERVER_GRACEE", "secret");
    let said = failure(&output_of(command).await, 1);
    assert!(said.contains("FURT_SERVER_GRACEE: is not known") && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn shells_and_man_are_told_of_every_verb() {
    let help = printed(&output_of(furt(&["--help"])).await, 0);
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<_> =
        verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help").collect();
    assert!(verbs.len() >= 17, "{verbs:?}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = printed(&output_of(furt(&["completions", shell])).await, 0);
        verbs.iter().for_each(|verb| assert!(script.contains(verb), "{shell}: {verb}"));
    }
    failure(&output_of(furt(&["completions", "cmd"])).await, 2);
    let folder = tempfile::tempdir().unwrap();
    printed(&output_of(furt(&["man", folder.path().to_str().unwrap()])).await, 0);
    let page = printed(&output_of(furt(&["man"])).await, 0);
    for verb in verbs {
        assert!(page.contains(verb) && folder.path().join(format!("furt-{verb}.1")).is_file(), "{verb}");
    }
    assert!(page.starts_with(".ie") || page.contains(".TH furt 1"), "{page}");
}

#[tokio::test]
async fn the_url_can_be_given_as_an_option_and_the_token_in_the_environment() {
    let digest = Sha256Digest::of(b"operator-token");
    let gateway = Gateway::start(&format!("[internal]\noperator_token_sha256 = '{digest}'")).await;
    let services = |token: Option<&str>| {
        let mut command = furt(&["services", "--url", &gateway.internal_url("")]);
        command.envs(token.map(|token| ("FURT_TOKEN", token)));
        output_of(command)
    };
    printed(&services(Some("operator-token")).await, 0);
    failure(&services(None).await, 1);
    let said = failure(&services(Some("wrong-token")).await, 1);
    assert!(!said.contains("wrong-token"), "{said}");
}

#[tokio::test]
async fn a_furt_that_is_not_there_is_a_failure_that_names_the_url() {
    let address = ports::free_address();
    for verb in
        [vec!["services"], vec!["routes"], vec!["deregister", "a"], vec!["explain", "GET", "/a"], vec!["keys", "list"]]
    {
        let url = format!("http://{address}");
        let output = output_of(furt(&[&verb[..], &["--url", &url]].concat())).await;
        let said = failure(&output, 1);
        assert!(said.contains(&address.to_string()), "{said}");
    }
}

/// Every verb that speaks to a running furt.
const SPEAKING: &[&[&str]] = &[
    &["services"],
    &["services", "a"],
    &["routes"],
    &["explain", "GET", "/a"],
    &["events"],
    &["top", "--once"],
    &["register", "--service", "a", "--upstream", "http://127.0.0.1:9"],
    &["deregister", "a"],
    &["drain", "a"],
    &["drain", "a", "--undo"],
    &["reload"],
    &["ready"],
    &["keys", "list"],
    &["keys", "new", "--name", "a", "--permission", "*"],
    &["keys", "rotate", "a"],
    &["keys", "revoke", "a"],
];

#[tokio::test]
async fn an_answer_of_another_program_is_not_believed() {
    let origin = Origin::start().await;
    for format in [&[][..], &["-o", "json"]] {
        for verb in SPEAKING.iter().filter(|verb| format.is_empty() || verb[0] != "ready") {
            let said = failure(&output_of(furt(&[*verb, &["--url", &origin.url()][..], format].concat())).await, 1);
            assert!(said.contains("is not furt's internal listener"), "{verb:?}: {said}");
        }
    }
}

#[tokio::test]
async fn the_public_listener_is_told_from_the_internal_one() {
    let gateway = Gateway::start("").await;
    for verb in SPEAKING {
        let said = failure(&output_of(furt(&[*verb, &["--url", &gateway.public_url("")][..]].concat())).await, 1);
        assert!(said.contains("is furt's public listener"), "{verb:?}: {said}");
    }
}

#[tokio::test]
async fn every_answer_of_the_internal_listener_says_whose_it_is() {
    let gateway = Gateway::start("").await;
    for path in ["/internal/services", "/metrics", "/health", "/livez", "/readyz", "/nowhere", "/internal/keys/none"] {
        let answer = gateway.operate(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.headers()["x-furt-listener"], "internal", "{path}");
        assert!(!answer.headers().contains_key("x-gateway"), "{path}");
    }
}

#[tokio::test]
async fn a_token_is_taken_without_the_line_end_of_its_file() {
    let digest = Sha256Digest::of(b"operator-token");
    let gateway = Gateway::start(&format!("[internal]\noperator_token_sha256 = '{digest}'")).await;
    let services = |token: &str| {
        let mut command = furt(&["services", "--url", &gateway.internal_url("")]);
        command.env("FURT_TOKEN", token);
        output_of(command)
    };
    for token in ["operator-token\n", "operator-token\r\n", " operator-token\t"] {
        printed(&services(token).await, 0);
    }
    for token in ["operator\ntoken", "operator\u{7f}token"] {
        let said = failure(&services(token).await, 1);
        assert!(said.contains("FURT_TOKEN has a control character"), "{said}");
        assert!(!said.contains("operator"), "{said}");
    }
    let said = failure(&services("\n").await, 1);
    assert!(said.contains("operators-only"), "no token is sent for an empty one: {said}");
}

#[tokio::test]
async fn misuse_exits_with_2() {
    for arguments in [
        vec![],
        vec!["fly"],
        vec!["run", "--colour"],
        vec!["register"],
        vec!["explain", "GET"],
        vec!["services", "-o", "yaml"],
    ] {
        let output = output_of(furt(&arguments)).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn help_and_version_are_no_misuse() {
    let help = printed(&output_of(furt(&["--help"])).await, 0);
    for verb in ["run", "check", "register", "deregister", "drain", "services", "events", "routes", "explain", "keys"] {
        assert!(help.contains(verb), "no {verb} in\n{help}");
    }
    let version = printed(&output_of(furt(&["--version"])).await, 0);
    let commit = version.trim_end().strip_prefix(concat!("furt ", env!("CARGO_PKG_VERSION"))).unwrap();
    let is_commit = |text: &str| {
        text.strip_prefix(" (").and_then(|text| text.strip_suffix(')')).is_some_and(|text| text.len() >= 7)
    };
    assert!(commit.is_empty() || is_commit(commit), "{version}");
}
