//! Artefacts that come over https: from a server of the authority that the file names, and from those that do wrong.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::*;
use crate::support::authority::Authority;

/// How the server answers for an artefact. Signatures it gives as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Whole,
    /// It sends to where the artefact is.
    Elsewhere,
    /// It sends one byte more than it says.
    Longer,
    /// It never ends.
    Endless,
    /// A byte now and then, after a signature that took most of the time.
    Slow,
    /// It says nothing.
    Silent,
}

/// How long a slow server takes for a signature: most of the minute that an update has.
const SIGNATURE: Duration = Duration::from_secs(45);
/// Between two bytes.
const PAUSE: Duration = Duration::from_millis(200);
/// When a node must have given up: the minute, and no second one for what was fetched after the signature.
const BOUND: Duration = Duration::from_secs(95);

/// A server of a folder's files.
struct Releases {
    url: String,
    folder: TempDir,
    authority: Authority,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

struct State {
    manner: Manner,
    tls: Arc<ServerConfig>,
    asked: Vec<String>,
}

impl Releases {
    async fn start() -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/releases/", listener.local_addr().unwrap());
        let tls = authority.server_config("127.0.0.1", &[]);
        let state = Arc::new(Mutex::new(State { manner: Manner::Whole, tls, asked: Vec::new() }));
        let (files, known) = (folder.path().to_owned(), Arc::clone(&state));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (files, known) = (files.clone(), Arc::clone(&known));
                connections.spawn(async move {
                    let tls = Arc::clone(&known.lock().unwrap().tls);
                    // The client may break off at any time.
                    if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                        _ = answer(BufReader::new(stream), &files, &known).await;
                    }
                });
            }
        });
        Self { url, folder, authority, state, _serving: serving }
    }

    /// The lines of `[update]` that name it.
    fn source(&self) -> String {
        let ca = self.folder.path().join("authority.pem");
        fs::write(&ca, self.authority.pem()).unwrap();
        format!("url = '{}'\nca = '{}'", self.url, ca.display())
    }

    fn answers(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    /// From now on its certificate is of that authority.
    fn is_certified_by(&self, authority: &Authority) {
        self.state.lock().unwrap().tls = authority.server_config("127.0.0.1", &[]);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

/// Answers one request, and closes the connection.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    files: &Path,
    state: &Mutex<State>,
) -> io::Result<()> {
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    let mut line = String::from("more");
    while !line.trim().is_empty() {
        line.clear();
        stream.read_line(&mut line).await?;
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let manner = {
        let mut state = state.lock().unwrap();
        state.asked.push(path.clone());
        state.manner
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let Ok(file) = fs::read(files.join(name)) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    };
    let (is_signature, is_elsewhere) = (name.ends_with(".minisig"), path.starts_with("/elsewhere/"));
    if is_signature && manner == Manner::Slow {
        tokio::time::sleep(SIGNATURE).await;
    }
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    match manner {
        _ if is_signature || is_elsewhere => {
            stream.write_all(head(file.len()).as_bytes()).await?;
            stream.write_all(&file).await?;
        }
        Manner::Whole => {
            stream.write_all(head(file.len()).as_bytes()).await?;
            stream.write_all(&file).await?;
        }
        Manner::Elsewhere => {
            let head = format!("HTTP/1.1 302 Found\r\nLocation: /elsewhere/{name}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
        }
        Manner::Longer => {
            stream.write_all(head(file.len() - 1).as_bytes()).await?;
            stream.write_all(&file).await?;
        }
        Manner::Endless => {
            let piece = [&b"10000\r\n"[..], &[0; 0x10000], b"\r\n"].concat();
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(&piece).await?;
            }
        }
        Manner::Slow => {
            stream.write_all(head(1 << 20).as_bytes()).await?;
            loop {
                stream.write_all(b"a").await?;
                stream.flush().await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
        // Until the client ends it.
        Manner::Silent => _ = stream.read_line(&mut line).await?,
    }
    stream.flush().await?;
    stream.shutdown().await
}

async fn fleet(releases: &Releases) -> Fleet {
    let source = releases.source();
    Fleet::start(|_| String::new(), |common| format!("{common}{source}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artefact_comes_over_https_from_the_server_that_the_file_vouches_for() {
    let releases = Releases::start().await;
    let mut fleet = fleet(&releases).await;
    let digest = fleet.signer.release(releases.folder.path(), NEXT, &furt_of(NEXT));
    let refused = async |why: &str| {
        let told = fails(&fleet.commander, &update(&fleet.name, NEXT, &digest)).await;
        assert!(told.contains(why), "{told}");
        fleet.goes_on().await;
    };
    releases.is_certified_by(&Authority::named("another authority"));
    refused("cannot be fetched: no authority of update.ca, or of the system without it, vouches for its certificate")
        .await;
    assert!(releases.asked().is_empty(), "nothing is asked of a stranger");
    releases.is_certified_by(&releases.authority);
    releases.answers(Manner::Elsewhere);
    refused("the server answers 302 and sends elsewhere, which furt does not follow").await;
    assert!(!releases.asked().iter().any(|path| path.starts_with("/elsewhere/")));
    releases.answers(Manner::Longer);
    refused("its SHA-256 is").await;

    releases.answers(Manner::Whole);
    let said = succeeds(&fleet.commander, &update(&fleet.name, NEXT, &digest)).await;
    assert!(said.ends_with(&format!("runs furt {NEXT}\n")), "{said}");
    follow(&mut fleet.edge);
    fleet.runs(NEXT).await;
}

/// What is told of an update from a server of that manner, within the time that it may take.
async fn told_of(manner: Manner) -> String {
    let releases = Releases::start().await;
    let fleet = fleet(&releases).await;
    let digest = fleet.signer.release(releases.folder.path(), BROKEN, &broken());
    releases.answers(manner);
    let began = Instant::now();
    let told = fails(&fleet.commander, &update(&fleet.name, BROKEN, &digest)).await;
    assert!(began.elapsed() < BOUND, "{:?}: {told}", began.elapsed());
    println!("{manner:?}: {:?}: {told}", began.elapsed());
    fleet.goes_on().await;
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_artefact_without_an_end_is_given_up() {
    let told = told_of(Manner::Endless).await;
    assert!(told.contains("is larger than 512 MiB") || told.contains("was not there in time"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_signature_leaves_a_slow_artefact_no_second_minute() {
    let told = told_of(Manner::Slow).await;
    assert!(told.contains("was not there in time"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_given_up() {
    let told = told_of(Manner::Silent).await;
    assert!(told.contains("the server did not answer in time"), "{told}");
}
