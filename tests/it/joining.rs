//! Services that join: by `furt join`, whose program is this very binary (see [`program`]), and by the client crate.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use furt_client::{Builder, Error, Registry, Service, State};
use furt_core::model::Sha256Digest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::{furt, output_of};
use crate::support::{Answer, Gateway, SOON, eventually, ports, throughout};

/// The store that a gateway has by default.
const DISK: &str = "[store]\nkind = \"disk\"\npath = \"furt.redb\"";

/// What `furt join` runs here: a server on PORT that does as MODE says. It answers with its path and its process's id;
/// `/slow` takes a second, `/exit/CODE` ends it.
#[test]
#[ignore = "no test: the program that `furt join` runs in the tests of this file"]
fn program() {
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    fs::write(of("PID_FILE"), std::process::id().to_string()).unwrap();
    let mode = of("MODE");
    if let Some(code) = mode.strip_prefix("exit ") {
        std::process::exit(code.parse().unwrap());
    }
    if mode == "deaf" {
        loop {
            std::thread::park();
        }
    }
    // Another thread, so that a signal finds the handler and a request the server.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut usr1 = signal(SignalKind::user_defined1()).unwrap();
            if mode == "plain" {
                std::future::pending::<()>().await;
            }
            let mut term = signal(SignalKind::terminate()).unwrap();
            loop {
                tokio::select! {
                    _ = usr1.recv() => std::process::exit(9),
                    _ = term.recv() => if mode == "graceful" { std::process::exit(7) },
                }
            }
        });
    });
    let listener = TcpListener::bind(("127.0.0.1", of("PORT").parse().unwrap())).unwrap();
    for stream in listener.incoming() {
        std::thread::spawn(move || answer(stream.unwrap()));
    }
}

fn answer(mut stream: TcpStream) {
    let mut read = [0; 4096];
    let length = stream.read(&mut read).unwrap_or(0);
    let request = String::from_utf8_lossy(&read[..length]).into_owned();
    let Some(path) = request.split(' ').nth(1) else { return };
    if path.ends_with("/slow") {
        std::thread::sleep(Duration::from_secs(1));
    }
    if let Some((_, code)) = path.split_once("/exit/") {
        std::process::exit(code.parse().unwrap());
    }
    let body = format!("{path} {}", std::process::id());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes());
}

/// A running `furt join`.
struct Joined {
    child: Child,
    folder: tempfile::TempDir,
}

impl Joined {
    /// The service `shop` at that registry, its program in that mode.
    fn start(url: &str, mode: &str, options: &[&str]) -> Self {
        Self::start_with(url, mode, options, |_| {})
    }

    fn start_with(url: &str, mode: &str, options: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let routes = folder.path().join("routes.json");
        fs::write(&routes, r#"[{"method": "*", "path": "/shop/*"}]"#).unwrap();
        let program = std::env::current_exe().unwrap();
        let own = ["join", "shop", "--url", url, "--routes", routes.to_str().unwrap()];
        let what = ["--", program.to_str().unwrap(), "--ignored", "--exact", "joining::program", "--nocapture"];
        let mut command = furt(&[&own[..], options, &what].concat());
        let said = fs::File::create(folder.path().join("stderr")).unwrap();
        command.env("MODE", mode).env("PID_FILE", folder.path().join("pid")).stdout(Stdio::null()).stderr(said);
        change(&mut command);
        Self { child: command.spawn().unwrap(), folder }
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.path().join("pid")
    }

    /// The program's process, once it runs.
    async fn program(&self) -> u32 {
        let pid = async || fs::read_to_string(self.pid_file()).ok()?.parse().ok();
        eventually("the program runs", SOON, pid).await
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    async fn says(&self, what: &str) {
        eventually(what, SOON, async || self.said().contains(what).then_some(())).await;
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    async fn ended(&mut self) -> ExitStatus {
        eventually("furt join ends", SOON, async || self.child.try_wait().unwrap()).await
    }

    /// How it ended, which must be by itself.
    async fn code(&mut self) -> i32 {
        let status = self.ended().await;
        status.code().unwrap_or_else(|| panic!("{status}: {}", self.said()))
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Only where it outlived its parent.
        if let Some(id) = fs::read_to_string(self.pid_file()).ok().and_then(|id| id.parse().ok())
            && is_alive(id)
        {
            signal(id, "KILL");
        }
        if std::thread::panicking() {
            eprintln!("--- furt join's output\n{}---", self.said());
        }
    }
}

fn signal(id: u32, name: &str) {
    assert!(Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap().success());
}

fn is_alive(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}

/// A connection string with a TTL of 2 s.
fn short(gateway: &Gateway) -> String {
    format!("furt://{}?ttl=2&timeout=1", gateway.internal)
}

async fn joined(gateway: &Gateway) {
    eventually("it has joined", SOON, async || gateway.service("shop").await).await;
}

async fn gone(gateway: &Gateway) {
    let instances = async || gateway.service("shop").await.is_none_or(|shop| shop["instances"] == json!([]));
    eventually("it is gone", SOON, async || instances().await.then_some(())).await;
}

async fn get(gateway: &Gateway, path: &str) -> Answer {
    Answer::of(gateway.anonymous(Method::GET, path)).await
}

#[tokio::test]
async fn a_program_is_a_service_until_it_is_told_to_end() {
    let gateway = Gateway::start(DISK).await;
    let mut shop = Joined::start(&short(&gateway), "graceful", &[]);
    joined(&gateway).await;
    let answer = get(&gateway, "/shop/a").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, format!("/shop/a {}", shop.program().await));
    let seen = gateway.instance("shop").await;
    assert_eq!((&seen["status"], &seen["document"]["name"]), (&json!("UP"), &json!("shop")));
    assert_eq!(seen["document"]["url"], seen["url"]);
    // What is in flight when it is told to end is answered first.
    let slow = tokio::spawn(gateway.anonymous(Method::GET, "/shop/slow").send());
    eventually("it is in flight", SOON, async || (gateway.instance("shop").await["in_flight"] == 1).then_some(()))
        .await;
    shop.signal("TERM");
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    assert_eq!(shop.code().await, 7, "{}", shop.said());
    assert_eq!(gateway.service("shop").await, None);
}

#[tokio::test]
async fn a_program_that_ends_is_gone_at_once_and_gives_its_code() {
    let gateway = Gateway::start("").await;
    // With the TTL of 10 s, which must not be waited for.
    let url = format!("furt://{}", gateway.internal);
    let mut shop = Joined::start(&url, "plain", &[]);
    joined(&gateway).await;
    let _ = get(&gateway, "/shop/exit/3").await;
    assert_eq!(shop.code().await, 3);
    assert_eq!(gateway.service("shop").await, None);

    let mut shop = Joined::start(&url, "plain", &[]);
    joined(&gateway).await;
    signal(shop.program().await, "KILL");
    let begin = Instant::now();
    assert_eq!(shop.code().await, 128 + 9);
    assert_eq!(gateway.service("shop").await, None);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_program_without_furt_join_goes_when_its_ttl_is_over() {
    let gateway = Gateway::start("").await;
    let mut shop = Joined::start(&short(&gateway), "plain", &[]);
    joined(&gateway).await;
    let program = shop.program().await;
    shop.signal("KILL");
    assert_eq!(shop.ended().await.signal(), Some(9));
    let begin = Instant::now();
    gone(&gateway).await;
    assert!(begin.elapsed() < Duration::from_millis(4500), "{:?}", begin.elapsed());
    assert!(is_alive(program));
}

#[tokio::test]
async fn a_port_that_never_opens_is_told_and_the_program_is_ended() {
    let gateway = Gateway::start("").await;
    let mut shop = Joined::start(&short(&gateway), "deaf", &["--start-timeout", "1"]);
    assert_eq!(shop.code().await, 125);
    assert!(shop.said().contains("accepted no connection on port"), "{}", shop.said());
    assert!(!is_alive(shop.program().await));
    assert_eq!(gateway.service("shop").await, None);
}

#[tokio::test]
async fn a_program_that_ends_before_it_accepts_gives_its_code() {
    let gateway = Gateway::start("").await;
    let mut shop = Joined::start(&short(&gateway), "exit 3", &[]);
    assert_eq!(shop.code().await, 3);
}

#[tokio::test]
async fn a_second_signal_kills_and_a_death_by_a_signal_is_told_in_the_code() {
    let gateway = Gateway::start("").await;
    let mut shop = Joined::start(&short(&gateway), "stubborn", &[]);
    joined(&gateway).await;
    shop.signal("TERM");
    gone(&gateway).await;
    let program = shop.program().await;
    throughout("it is waited for", Duration::from_millis(500), async || is_alive(program)).await;
    shop.signal("TERM");
    assert_eq!(shop.code().await, 128 + 9);

    let mut shop = Joined::start(&short(&gateway), "plain", &[]);
    joined(&gateway).await;
    shop.signal("TERM");
    assert_eq!(shop.code().await, 128 + 15);
    assert_eq!(gateway.service("shop").await, None);
}

#[tokio::test]
async fn a_second_signal_ends_a_drain() {
    let gateway = Gateway::start("").await;
    let mut shop = Joined::start(&short(&gateway), "graceful", &["--drain", "60"]);
    joined(&gateway).await;
    // A request that is never answered while the program lives: the instance is drained for ever.
    let slow: Vec<_> = (0..3).map(|_| tokio::spawn(gateway.anonymous(Method::GET, "/shop/slow").send())).collect();
    eventually("they are in flight", SOON, async || (gateway.instance("shop").await["in_flight"] == 3).then_some(()))
        .await;
    shop.signal("TERM");
    gone(&gateway).await;
    shop.signal("TERM");
    assert_eq!(shop.code().await, 128 + 9);
    for one in slow {
        let _ = one.await;
    }
}

#[tokio::test]
async fn other_signals_are_the_programs_own() {
    let gateway = Gateway::start("").await;
    let mut shop = Joined::start(&short(&gateway), "graceful", &[]);
    joined(&gateway).await;
    shop.signal("USR1");
    assert_eq!(shop.code().await, 9);
}

#[tokio::test]
async fn sigint_is_passed_on_after_leaving() {
    let gateway = Gateway::start("").await;
    // A shell may have started the tests with SIGINT ignored, which stays so.
    let mut shop = Joined::start_with(&short(&gateway), "plain", &[], |command| {
        let (program, arguments) = (command.get_program().to_owned(), command.get_args().map(ToOwned::to_owned));
        let mut through = Command::new("env");
        through.arg("--default-signal=INT").arg(program).args(arguments.collect::<Vec<_>>());
        for (name, value) in command.get_envs() {
            value.map(|value| through.env(name, value));
        }
        through.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        *command = through;
    });
    joined(&gateway).await;
    shop.signal("INT");
    assert_eq!(shop.code().await, 128 + 2);
    assert_eq!(gateway.service("shop").await, None);
}

#[tokio::test]
async fn the_program_runs_while_the_registry_is_away_and_joins_when_it_is_back() {
    let mut gateway = Gateway::start(DISK).await;
    gateway.kill();
    let port = ports::free_address().port();
    let shop = Joined::start(&short(&gateway), "plain", &["--port", &port.to_string()]);
    shop.says("is not heard by the registry").await;
    gateway.start_again().await;
    joined(&gateway).await;
    shop.says("has joined").await;

    // Away later, for longer than the TTL.
    gateway.kill();
    shop.says("has joined\nfurt: shop is not heard by the registry").await;
    let alive = async || TcpStream::connect(("127.0.0.1", port)).is_ok();
    throughout("the program serves", Duration::from_secs(3), alive).await;
    gateway.start_again().await;
    shop.says("has joined again").await;
    assert_eq!(get(&gateway, "/shop/a").await.status, 200);
}

#[tokio::test]
async fn a_registration_that_was_lost_is_made_again() {
    let gateway = Gateway::start("").await;
    let _shop = Joined::start(&short(&gateway), "plain", &[]);
    joined(&gateway).await;
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop")).await.ok();
    assert_eq!(gateway.service("shop").await, None);
    joined(&gateway).await;
    assert_eq!(get(&gateway, "/shop/a").await.status, 200);
}

#[tokio::test]
async fn a_dead_first_host_is_passed_over() {
    let gateway = Gateway::start("").await;
    let url = format!("furt://{},{}/ns?ttl=2", ports::free_address(), gateway.internal);
    let mut shop = Joined::start(&url, "graceful", &[]);
    eventually("it has joined", SOON, async || gateway.service("ns.shop").await).await;
    assert_eq!(get(&gateway, "/shop/a").await.status, 200);
    shop.signal("TERM");
    assert_eq!(shop.code().await, 7);
    assert_eq!(gateway.service("ns.shop").await, None);
}

#[tokio::test]
async fn a_token_of_the_environment_joins_and_a_missing_one_is_told_and_waited_for() {
    let digest = Sha256Digest::of(b"t0k3n");
    let grant =
        format!("[[grants]]\nservice = \"shop\"\npaths = [\"/shop/*\"]\npublic = true\ntoken_sha256 = \"{digest}\"");
    let gateway = Gateway::start(&grant).await;
    let without = Joined::start(&short(&gateway), "plain", &[]);
    without.says("401 token-missing").await;
    assert!(is_alive(without.program().await));
    assert_eq!(gateway.service("shop").await, None);
    let mut with =
        Joined::start_with(&short(&gateway), "graceful", &[], |command| _ = command.env("FURT_TOKEN", "t0k3n\n"));
    joined(&gateway).await;
    assert_eq!(get(&gateway, "/shop/a").await.status, 200);
    with.signal("TERM");
    assert_eq!(with.code().await, 7);
    assert_eq!(gateway.service("shop").await, None);
}

#[tokio::test]
async fn a_registration_that_can_never_be_taken_ends_the_program() {
    let gateway = Gateway::start("").await;
    let mut shop = Joined::start(&short(&gateway), "plain", &["--health", "no-path"]);
    assert_eq!(shop.code().await, 125);
    assert!(shop.said().contains("422 invalid-fields"), "{}", shop.said());
    assert!(!is_alive(shop.program().await));
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_program_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let (absent, bad) = (folder.path().join("absent.json"), folder.path().join("bad.json"));
    fs::write(&bad, "[{]").unwrap();
    let taken = ports::listener();
    let taken = taken.local_addr().unwrap().port().to_string();
    let url = format!("http://{}", ports::free_address());
    for (arguments, code, expected) in [
        (vec!["Shop", "--", "true"], 2, "\"Shop\" has 'S' in it"),
        (vec!["shop", "--url", "furt://me:s3cr3t@a", "--", "true"], 2, "FURT_TOKEN"),
        (vec!["shop", "--url", "furt://a,b:99999", "--", "true"], 2, "host 2 (\"b:99999\")"),
        (vec!["shop", "--url", "etcd://a", "--", "true"], 2, "name furt's internal listeners"),
        (vec!["shop", "--token", "a\nb", "--", "true"], 2, "the token has a character"),
        (vec!["shop", "--instance", "a b", "--", "true"], 2, "no id of an instance"),
        (vec!["shop", "--hostname", "a/b", "--", "true"], 2, "the url \"http://a/b:"),
        (vec!["shop", "--port", "0", "--", "true"], 2, "--port"),
        (vec!["shop"], 2, "PROGRAM"),
        (vec!["shop", "--", ""], 2, "the program's name is empty"),
        (vec!["shop", "--routes", absent.to_str().unwrap(), "--", "true"], 125, "cannot read"),
        (vec!["shop", "--routes", bad.to_str().unwrap(), "--", "true"], 125, "bad.json is not JSON"),
        (vec!["shop", "--url", &url, "--port", &taken, "--", "true"], 125, "is taken"),
        (vec!["shop", "--url", &url, "--", "/nonexistent/program"], 127, "/nonexistent/program cannot be started"),
        (vec!["shop", "--url", &url, "--", "/etc"], 126, "/etc cannot be started"),
    ] {
        let output = output_of(furt(&[&["join"][..], &arguments].concat())).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected) && !said.contains("s3cr3t"), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn lookup_prints_one_url_and_the_other_verbs_have_short_names() {
    let gateway = Gateway::start("").await;
    let mut shop = Joined::start(&short(&gateway), "graceful", &[]);
    joined(&gateway).await;
    let url = gateway.instance("shop").await["url"].as_str().unwrap().to_owned();
    let text = |output: std::process::Output| String::from_utf8(output.stdout).unwrap();
    assert_eq!(text(gateway.cli(&["lookup", "shop"]).await), format!("{url}\n"));
    let found: Value = serde_json::from_str(&text(gateway.cli(&["lookup", "shop", "-o", "json"]).await)).unwrap();
    assert_eq!((&found["url"], &found["document"]["name"]), (&json!(url), &json!("shop")));
    let nobody = gateway.cli(&["lookup", "nobody"]).await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no instance of nobody takes requests"));
    let (list, verbose) = (text(gateway.cli(&["list"]).await), text(gateway.cli(&["list", "-v"]).await));
    assert!(list.contains("SERVICE") && !list.contains(&url), "{list}");
    assert!(verbose.contains(&url) && verbose.contains("/shop/*"), "{verbose}");

    let mut command = furt(&["watch", "-o", "json"]);
    command.env("FURT_URL", gateway.internal_url("")).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut watch = command.spawn().unwrap();
    let mut out = watch.stdout.take().unwrap();
    let events = std::thread::spawn(move || {
        let mut read = String::new();
        let mut piece = [0; 4096];
        // The removal is told to whoever watches already.
        while !read.contains("\"deregistered\"") {
            let length = out.read(&mut piece).unwrap();
            assert!(length > 0, "watch ended: {read}");
            read += &String::from_utf8_lossy(&piece[..length]);
        }
    });
    shop.signal("TERM");
    assert_eq!(shop.code().await, 7);
    let seen = async || events.is_finished().then_some(());
    eventually("the removal is seen", SOON, seen).await;
    watch.kill().unwrap();
    watch.wait().unwrap();
    events.join().unwrap();
    let again = gateway.cli(&["leave", "shop"]).await;
    assert!(String::from_utf8_lossy(&again.stderr).contains("not-found"), "{again:?}");
}

/// A client of this gateway in a namespace, with a TTL of 2 s.
fn client(gateway: &Gateway, namespace: &str) -> Registry {
    let text = format!("furt://{}/{namespace}?ttl=2&timeout=1", gateway.internal);
    Builder::new(text).token("").connect().unwrap()
}

#[tokio::test]
async fn the_crate_joins_finds_watches_and_leaves_over_one_gateway_and_its_restart() {
    let mut gateway = Gateway::start(DISK).await;
    let (shop, other) = (client(&gateway, "shop"), client(&gateway, "other"));
    let mut watch = shop.watch(Some("cart")).unwrap();
    assert_eq!(watch.next().await.unwrap(), []);
    let first = shop.join("cart", Service::new(7812).field("zone", json!({"b": [1.5, null]}))).await.unwrap();
    let found = watch.next().await.unwrap();
    assert_eq!((found[0].port, found[0].status.as_str()), (7812, "UP"));
    assert_eq!(found[0].document.as_ref().unwrap()["zone"], json!({"b": [1.5, null]}));
    let second = shop.join("cart", Service::new(7813)).await.unwrap();
    assert_eq!(watch.next().await.unwrap().len(), 2);
    other.join("cart", Service::new(7814)).await.unwrap();
    assert_eq!(shop.list(None).await.unwrap().len(), 2);
    assert_eq!(other.lookup("cart").await.unwrap().unwrap().port, 7814);
    assert_eq!(client(&gateway, "").list(None).await.unwrap().len(), 3);
    assert!(gateway.service("shop.cart").await.is_some());

    // A restart keeps everything; the watch sees it as no more than a change, if any.
    let mut states = first.states();
    states.mark_unchanged();
    gateway.restart().await;
    eventually("it is heard again", SOON, async || (first.state() == State::Joined).then_some(())).await;
    assert_eq!(shop.list(Some("cart")).await.unwrap().len(), 2);

    first.leave(Duration::from_secs(5)).await.unwrap();
    let ports = async || {
        let found = shop.list(Some("cart")).await.unwrap();
        found.into_iter().map(|one| one.port).collect::<Vec<_>>()
    };
    assert_eq!(ports().await, [7813]);
    let of_watch = eventually("the watch sees it", SOON, async || {
        let found = watch.next().await.ok()?;
        (found.len() == 1).then_some(found)
    });
    assert_eq!(of_watch.await[0].port, 7813);
    assert_eq!(first.leave(Duration::ZERO).await, Err(Error::Left));
    shop.leave(None, Duration::ZERO).await.unwrap();
    assert_eq!(second.state(), State::Left);
    assert_eq!(ports().await, [0; 0]);
    assert!(matches!(shop.join("Cart", Service::new(1)).await, Err(Error::Name { .. })));
}

#[tokio::test]
async fn a_draining_instance_is_listed_and_not_looked_up() {
    let gateway = Gateway::start("").await;
    let shop = client(&gateway, "");
    shop.join("cart", Service::new(7812).instance("one")).await.unwrap();
    let path = "/internal/services/cart/instances/one/drain";
    Answer::of(gateway.operate(Method::POST, &format!("{path}?until=restart"))).await.ok();
    assert!(shop.list(Some("cart")).await.unwrap()[0].draining);
    assert_eq!(shop.lookup("cart").await.unwrap(), None);
    // A beat and a registration of the same process do not end it.
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/cart")).await.ok();
    eventually("it joins again", SOON, async || gateway.service("cart").await).await;
    Answer::of(gateway.operate(Method::DELETE, path)).await;
    assert_eq!(shop.lookup("cart").await.unwrap().map(|one| one.port), Some(7812));
}

#[tokio::test]
async fn a_refusal_of_the_gateway_comes_back_with_its_problem() {
    let gateway = Gateway::start("[registration]\nunlisted = \"deny\"").await;
    let error = client(&gateway, "").join("cart", Service::new(7812)).await.unwrap_err();
    assert_eq!(error.problem().map(|problem| problem.code.as_str()), Some("beyond-grant"), "{error}");
}
