// A tiny furt: HTTP/1.1 with one request a connection, answers by script. The examples of the documentation include this file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// With its query.
    pub path: String,
    pub authorization: Option<String>,
    pub body: Value,
}

/// What it gets.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status and JSON, as furt's internal listener answers.
    Json(u16, Value),
    /// The same later.
    Later(Duration, u16, Value),
    /// As another program answers.
    Foreign(u16),
    /// The beginning of an answer, and then nothing.
    Stuck,
    /// Nothing at all.
    Silence,
}

impl Reply {
    /// A problem of that status and code.
    pub fn problem(status: u16, code: &str) -> Self {
        let problem = json!({ "type": format!("urn:furt:problem:{code}"), "title": "t", "status": status, "code": code,
            "detail": "for the test", "request_id": "r" });
        Self::Json(status, problem)
    }
}

type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// A server that answers by script.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<Script>>,
    task: Arc<Ending>,
}

struct Ending(Mutex<Option<tokio::task::JoinHandle<()>>>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lock().unwrap().take().unwrap().abort();
    }
}

impl Server {
    pub async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), None, script).await
    }

    pub async fn at(
        address: SocketAddr,
        tls: Option<tokio_rustls::TlsAcceptor>,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (seen, script): (Arc<Mutex<Vec<Seen>>>, Arc<Mutex<Script>>) =
            (Arc::default(), Arc::new(Mutex::new(Arc::new(script))));
        let address = listener.local_addr().unwrap();
        let (noted, by) = (seen.clone(), script.clone());
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, by, tls) = (noted.clone(), by.clone(), tls.clone());
                open.spawn(async move {
                    match tls {
                        None => serve(stream, &noted, &by).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &noted, &by).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, seen, script, task: Arc::new(Ending(Mutex::new(Some(task)))) }
    }

    /// Answers like this from now on.
    pub fn script(&self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// Takes no connection any more, and cuts those that are open.
    pub async fn stop(&self) {
        let task = self.task.0.lock().unwrap().as_ref().unwrap().abort_handle();
        task.abort();
        while !task.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// What came, without the question for other nodes.
    pub fn seen(&self) -> Vec<Seen> {
        self.all().into_iter().filter(|seen| seen.path != "/internal/nodes").collect()
    }

    /// The same as `METHOD path`, without what comes after `?`.
    pub fn lines(&self) -> Vec<String> {
        let line = |seen: Seen| format!("{} {}", seen.method, seen.path.split('?').next().unwrap());
        self.seen().into_iter().map(line).collect()
    }

    /// Everything that came.
    pub fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut stream: S,
    noted: &Mutex<Vec<Seen>>,
    script: &Mutex<Script>,
) -> Option<()> {
    let mut read = Vec::new();
    let head = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break String::from_utf8(read.drain(..end + 4).collect()).unwrap();
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let length: usize = field("content-length").map_or(0, |length| length.parse().unwrap());
    while read.len() < length {
        stream.read_buf(&mut read).await.ok()?;
    }
    let mut words = head.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let body = serde_json::from_slice(&read).unwrap_or(Value::Null);
    let seen = Seen { method, path, authorization: field("authorization"), body };
    noted.lock().unwrap().push(seen.clone());
    let script = script.lock().unwrap().clone();
    let (status, body, mark) = match script(&seen) {
        Reply::Json(status, body) => (status, body.to_string(), "X-Furt-Listener: internal\r\n"),
        Reply::Later(pause, status, body) => {
            tokio::time::sleep(pause).await;
            (status, body.to_string(), "X-Furt-Listener: internal\r\n")
        }
        Reply::Foreign(status) => (status, "{}".to_owned(), ""),
        Reply::Stuck => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nX-Furt-Listener: internal\r\nContent-Length: 9\r\n\r\n{")
                .await
                .ok()?;
            return stream.read_buf(&mut read).await.ok().map(|_| ());
        }
        Reply::Silence => return stream.read_buf(&mut read).await.ok().map(|_| ()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} x\r\n{mark}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

/// A script that keeps registrations, as furt does.
pub fn furt() -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    furt_of("one")
}

/// The same, of the registry with that epoch.
pub fn furt_of(epoch: &'static str) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    let kept: Mutex<BTreeMap<String, Value>> = Mutex::default();
    move |seen| {
        let mut kept = kept.lock().unwrap();
        let path: Vec<&str> = seen.path.split('?').next().unwrap().split('/').skip(2).collect();
        match (seen.method.as_str(), path.as_slice()) {
            ("POST", ["register-service"]) => {
                let (service, instance) = (seen.body["service"].clone(), seen.body["instance"].clone());
                kept.insert(instance.as_str().unwrap().to_owned(), seen.body.clone());
                let answer = json!({ "status": "registered", "service": service, "instance": instance, "routes": 0,
                    "health": "UP", "generation": 1, "epoch": epoch, "heartbeat_ttl": seen.body["heartbeat_ttl"] });
                Reply::Json(200, answer)
            }
            ("POST", ["services", service, "instances", instance, "heartbeat"]) => match kept.get(*instance) {
                None => Reply::problem(404, "not-found"),
                Some(_) => {
                    let answer = json!({ "status": "ok", "service": service, "instance": instance, "health": "UP",
                        "epoch": epoch, "heartbeat_ttl": 10.0 });
                    Reply::Json(200, answer)
                }
            },
            ("DELETE", ["services", service, "instances", instance]) => match kept.remove(*instance) {
                None => Reply::problem(404, "not-found"),
                Some(_) => {
                    let answer = json!({ "status": "deregistered", "service": service, "instance": instance,
                        "instances": 1, "in_flight": 0, "generation": 2 });
                    Reply::Json(200, answer)
                }
            },
            ("GET", ["instances"]) => {
                let query = seen.path.split_once('?').map_or("", |(_, query)| query);
                let of = |name: &str| {
                    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                    pairs.filter(|(one, _)| *one == name).map(|(_, value)| value.to_owned()).next()
                };
                let (service, namespace) = (of("service"), of("namespace").map(|namespace| namespace + "."));
                let is_meant = |one: &&Value| {
                    let name = one["service"].as_str().unwrap();
                    service.as_deref().is_none_or(|service| service == name)
                        && namespace.as_deref().is_none_or(|namespace| name.starts_with(namespace))
                };
                let instances: Vec<_> = kept.values().filter(is_meant).map(instance).collect();
                let next = format!("{}+/", instances.len());
                Reply::Json(200, json!({ "instances": instances, "next": next, "generation": 1, "epoch": epoch }))
            }
            ("GET", ["nodes"]) => Reply::Json(200, json!({ "nodes": [] })),
            _ => Reply::problem(404, "not-found"),
        }
    }
}

/// A registration as the lookup shows it.
pub fn instance(registration: &Value) -> Value {
    json!({ "service": registration["service"], "instance": registration["instance"], "url": registration["url"],
        "addresses": [], "protocol": "http1", "tls_name": null, "status": "UP", "draining": false, "weight": 1,
        "region": null, "country": null, "document": registration["document"] })
}
