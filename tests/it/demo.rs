//! `furt demo`: it says where everything is, what it says works, its services misbehave and come back, and its end
//! leaves nothing behind.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::gateway::{client_from, furt, output_of};
use crate::support::{Answer, SOON, eventually, throughout};

const BACKENDS: &str = "/api/v1/backends";

/// A running demo.
struct Demo {
    child: Child,
    client: reqwest::Client,
    /// What it wrote to stdout so far.
    lines: Arc<Mutex<Vec<String>>>,
    stderr: std::path::PathBuf,
    /// Its TMPDIR.
    temporary: TempDir,
    /// Its first line.
    guide: Value,
}

impl Demo {
    async fn start(arguments: &[&str]) -> Self {
        let mut demo = Self::spawn(arguments);
        let line = eventually("the first line", SOON, async || demo.lines().first().cloned()).await;
        demo.guide = serde_json::from_str(&line).unwrap();
        demo
    }

    fn spawn(arguments: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let stderr = dir.path().join("stderr");
        let temporary = TempDir::new().unwrap();
        let mut command = furt(&["demo", "-o", "json"]);
        command.args(arguments).env("TMPDIR", temporary.path()).env("FURT_LOG", "info,pingora_core=off");
        // Kept for as long as the process of the test: its directory would go with it.
        let stderr_file = std::fs::File::create(&stderr).unwrap();
        _ = dir.keep();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr_file).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (out, seen) = (child.stdout.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|line| seen.lock().unwrap().push(line));
        });
        Self { child, client: client_from(None), lines, stderr, temporary, guide: Value::Null }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    fn text(&self, name: &str) -> &str {
        self.guide[name].as_str().unwrap()
    }

    fn instances(&self) -> Vec<(String, String)> {
        let services = self.guide["services"].as_array().unwrap();
        let all = services.iter().flat_map(|service| service["instances"].as_array().unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        all.map(|one| (text(&one["instance"]), text(&one["url"]))).collect()
    }

    fn url_of(&self, id: &str) -> String {
        self.instances().into_iter().find(|(own, _)| own == id).unwrap().1
    }

    async fn switch(&self, id: &str, mode: &str) {
        let answer = Answer::of(self.client.post(format!("{}/demo/{mode}", self.url_of(id)))).await.ok();
        assert_eq!(answer["instance"], id);
    }

    async fn get(&self) -> Answer {
        let request = self.client.get(format!("{}/orders/7", self.text("public")));
        Answer::of(request.header("x-api-key", self.text("key"))).await
    }

    async fn stock(&self, method: Method, path: &str) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.text("public")));
        Answer::of(request.header("x-api-key", self.text("key")).header("host", "stock.internal")).await
    }

    async fn operate(&self, method: Method, path: &str) -> Answer {
        Answer::of(self.client.request(method, format!("{}{path}", self.text("internal")))).await
    }

    async fn is_backend(&self, id: &str) -> bool {
        self.operate(Method::GET, &format!("{BACKENDS}/{id}")).await.status == 200
    }

    async fn backend_becomes(&self, id: &str, registered: bool) {
        let what = format!("{id} registered: {registered}");
        eventually(&what, SOON, async || (self.is_backend(id).await == registered).then_some(())).await;
    }

    async fn service_becomes(&self, status: &str) {
        eventually(&format!("orders is {status}"), SOON, async || {
            let seen = self.operate(Method::GET, "/internal/services/orders").await.ok();
            (seen["status"] == status).then_some(())
        })
        .await;
    }

    /// Runs a command as it was printed.
    async fn paste(&self, command: &str) -> Output {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.temporary.path()).env_remove("FURT_TOKEN").stdin(Stdio::null());
        output_of(shell).await
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    async fn ended(&mut self) -> ExitStatus {
        eventually("it ends", SOON, async || self.child.try_wait().unwrap()).await
    }

    fn left_behind(&self) -> Vec<std::path::PathBuf> {
        std::fs::read_dir(self.temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the demo's output\n{}\n{}---", self.lines().join("\n"), self.log());
        }
        _ = std::fs::remove_dir_all(self.stderr.parent().unwrap());
    }
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_command_that_the_demo_prints_shows_what_it_says() {
    let demo = Demo::start(&[]).await;
    let steps = demo.guide["steps"].as_array().unwrap().clone();
    assert!(steps.len() > 10, "{steps:?}");
    for step in steps {
        let (shows, command) = (step["shows"].as_str().unwrap(), step["command"].as_str().unwrap());
        // Those run until they are told not to: that they are understood must do.
        let endless = command.starts_with("while ") || [" top ", " events "].iter().any(|verb| command.contains(verb));
        let command = match endless {
            true if command.starts_with("while ") => command.replacen("while sleep 0.1", "for once in 1", 1),
            true => format!("{command} --help"),
            false => command.to_owned(),
        };
        if command.starts_with("for ") {
            // As it is printed: an instance that has crashed must be back, to be switched.
            eventually("orders-1 is back", SOON * 2, async || {
                TcpStream::connect(address(&demo.url_of("orders-1"))).ok()
            })
            .await;
        }
        let status = ["401", "503"].into_iter().find(|status| shows.contains(status));
        let expected = status.map_or_else(String::new, |status| format!("HTTP/1.1 {status} "));
        let output = eventually(&format!("{expected} by {command}"), SOON, async || {
            let output = demo.paste(&command).await;
            String::from_utf8_lossy(&output.stdout).contains(&expected).then_some(output)
        })
        .await;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{command}: {said}");
        let is_fault = said.contains("\"error\":") || said.contains("curl:");
        assert!(!said.is_empty() && !is_fault, "{command}: {said}");
    }
    let file = format!("{}/furt.toml", demo.text("directory"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), demo.text("config"));
    assert!(output_of(furt(&["check", "--config", &file])).await.status.success());
}

#[tokio::test]
async fn two_instances_crash_under_load_and_no_request_fails() {
    let mut demo = Demo::start(&["--load"]).await;
    let last = |demo: &Demo| demo.lines().last().map(|line| serde_json::from_str::<Value>(line).unwrap()).unwrap();
    let answers = |line: &Value, id: &str| line["load"]["instances"][id].as_u64().unwrap_or(0);
    eventually("all answer", SOON, async || {
        demo.instances().iter().all(|(id, _)| answers(&last(&demo), id) > 0).then_some(())
    })
    .await;
    for id in ["orders-1", "stock-1"] {
        demo.switch(id, "refuse?seconds=3").await;
    }
    let seen = |are_there: bool| {
        let line = last(&demo);
        let is_load = line["load"].is_object();
        (is_load && ["orders-1", "stock-1"].iter().all(|id| (answers(&line, id) > 0) == are_there)).then_some(())
    };
    eventually("they answer nothing", SOON, async || seen(false)).await;
    eventually("they are back", SOON, async || seen(true)).await;
    demo.signal("INT");
    assert_eq!(demo.ended().await.code(), Some(0));
    let in_all = eventually("the last line", SOON, async || {
        let line = last(&demo);
        line["load"].is_null().then(|| line["in_all"].clone())
    })
    .await;
    assert_eq!(in_all["failed"], 0, "{in_all}");
    assert!(in_all["answered"].as_u64().unwrap() > 100, "{in_all}");
}

#[tokio::test]
async fn an_instance_that_answers_500_is_left_out_and_comes_back() {
    let demo = Demo::start(&[]).await;
    demo.switch("orders-2", "error").await;
    eventually("twenty answers without a failure", SOON, async || {
        for _ in 0..20 {
            if demo.get().await.status != 200 {
                return None;
            }
        }
        Some(())
    })
    .await;
    throughout("no failure", std::time::Duration::from_secs(1), async || demo.get().await.status == 200).await;
    // Its probes say that it is well: it is its answers that keep it out.
    let shown = demo.operate(Method::GET, "/internal/services/orders").await.ok()["instances"][1].clone();
    assert_eq!((&shown["instance"], &shown["status"]), (&"orders-2".into(), &"UP".into()), "{shown}");
    assert!(shown["ejected_until"].is_string(), "{shown}");
    let said = output_of(furt(&["services", "orders", "--url", demo.text("internal")])).await.stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("3/3, 1 ejected") || said.contains("UP, ejected"), "{said}");
    demo.switch("orders-2", "ok").await;
    // It is given time.
    let long = SOON * 3;
    eventually("it answers", long, async || (demo.get().await.ok()["instance"] == "orders-2").then_some(())).await;
}

#[tokio::test]
async fn all_unhealthy_is_a_503_until_they_are_well_again() {
    let demo = Demo::start(&[]).await;
    for id in ["orders-1", "orders-2", "orders-3"] {
        demo.switch(id, "unhealthy").await;
    }
    demo.service_becomes("DOWN").await;
    let answer = demo.get().await;
    answer.problem(503, "service-down");
    assert!(answer.retry_after() >= 1);
    demo.switch("orders-3", "ok").await;
    demo.service_becomes("UP").await;
    assert_eq!(demo.get().await.ok()["instance"], "orders-3");
}

#[tokio::test]
async fn instances_that_hang_or_dawdle_do_just_that() {
    let demo = Demo::start(&[]).await;
    for id in ["stock-1", "stock-2", "stock-3"] {
        demo.switch(id, "slow").await;
    }
    let began = std::time::Instant::now();
    demo.stock(Method::GET, "/a").await.ok();
    assert!(began.elapsed() >= std::time::Duration::from_secs(2));
    for id in ["stock-1", "stock-2", "stock-3"] {
        demo.switch(id, "hang").await;
    }
    demo.stock(Method::GET, "/a").await.problem(504, "upstream-timeout");
    demo.switch("stock-1", "ok").await;
    eventually("it answers", SOON, async || {
        (demo.stock(Method::GET, "/a").await.json()["instance"] == "stock-1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_is_not_heard_is_gone_and_who_is_forgotten_registers_again() {
    let demo = Demo::start(&[]).await;
    demo.switch("stock-3", "unhealthy").await;
    demo.backend_becomes("stock-3", false).await;
    assert!(demo.is_backend("stock-1").await && demo.is_backend("stock-2").await, "they are heard");
    demo.switch("stock-3", "ok").await;
    demo.backend_becomes("stock-3", true).await;
    demo.operate(Method::DELETE, &format!("{BACKENDS}/stock-2")).await.ok();
    assert!(!demo.is_backend("stock-2").await);
    demo.backend_becomes("stock-2", true).await;
}

#[tokio::test]
async fn what_is_no_mode_is_refused_and_changes_nothing() {
    let demo = Demo::start(&[]).await;
    let url = demo.url_of("stock-1");
    for (method, path, status) in [
        (Method::POST, "/demo/crash", 400),
        (Method::POST, "/demo/refuse?seconds=soon", 400),
        (Method::POST, "/demo/ok?seconds=1", 400),
        (Method::GET, "/demo/hang", 405),
    ] {
        let answer = Answer::of(demo.client.request(method, format!("{url}{path}"))).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.json()["error"].as_str().is_some_and(|why| !why.is_empty()), "{answer:?}");
    }
    let shown = Answer::of(demo.client.get(format!("{url}/demo"))).await.ok();
    assert_eq!((&shown["mode"], shown["modes"].as_object().unwrap().len()), (&"ok".into(), 6));
    // Whoever has a key is a client, and switches nothing.
    assert_eq!(demo.stock(Method::POST, "/demo/refuse").await.ok()["path"], "/demo/refuse");
    for (_, url) in demo.instances() {
        assert_eq!(Answer::of(demo.client.get(format!("{url}/demo"))).await.ok()["mode"], "ok");
    }
}

#[tokio::test]
async fn every_signal_ends_it_and_nothing_is_left() {
    for name in ["INT", "TERM", "HUP"] {
        let mut demo = Demo::start(&[]).await;
        assert_eq!(demo.left_behind().len(), 1);
        demo.signal(name);
        assert_eq!(demo.ended().await.code(), Some(0), "{name}: {}", demo.log());
        assert_eq!(demo.left_behind(), Vec::<std::path::PathBuf>::new(), "{name}");
        assert_eq!(demo.log().matches("deregistered ").count(), 6, "{name}: {}", demo.log());
        let listeners = [demo.text("public").to_owned(), demo.text("internal").to_owned()];
        for url in demo.instances().into_iter().map(|(_, url)| url).chain(listeners) {
            assert!(TcpStream::connect(address(&url)).is_err(), "{name}: {url} is open");
        }
    }
}

#[tokio::test]
async fn a_signal_while_it_starts_leaves_nothing_either() {
    for name in ["INT", "TERM", "HUP"] {
        let mut demo = Demo::spawn(&[]);
        eventually("it has begun", SOON, async || (!demo.left_behind().is_empty()).then_some(())).await;
        demo.signal(name);
        assert_eq!(demo.ended().await.code(), Some(0), "{name}: {}", demo.log());
        assert_eq!(demo.left_behind(), Vec::<std::path::PathBuf>::new(), "{name}");
    }
}

#[tokio::test]
async fn without_a_directory_for_temporary_files_it_says_so() {
    let mut command = furt(&["demo"]);
    command.env("TMPDIR", "/nonexistent");
    let output = output_of(command).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("TMPDIR") && said.lines().count() == 1, "{said}");
}
