//! Certificates that are replaced a thousand times under handshakes without a pause: by renames in either order, so that certificate
//! and key do not fit for moments, and by the symbolic link of a folder, as Kubernetes does.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, HandshakeKind};
use tokio_rustls::rustls;

use crate::support::tls::{Edge, TLS12, TLS13, put, shown};
use crate::support::wire::{self, Wire};
use crate::support::{Gateway, SOON, eventually};

const SWAPS: usize = 1_000;
const HANDSHAKERS: usize = 4;
const NAMES: [&str; 2] = ["renamed.example", "linked.example"];

/// The certificates of a name.
#[derive(Default)]
struct Written {
    /// All that were ever written, the last one last.
    all: Mutex<Vec<CertificateDer<'static>>>,
    /// The oldest of them that may still be shown.
    oldest: AtomicUsize,
}

impl Written {
    fn count(&self) -> usize {
        self.all.lock().unwrap().len()
    }

    /// The last one is in force.
    fn is_in_force(&self) {
        self.oldest.store(self.count() - 1, Ordering::SeqCst);
    }
}

/// What is replaced, and by whom it is shown.
struct Swapping {
    edge: Edge,
    /// As [`NAMES`].
    written: [Written; 2],
}

impl Swapping {
    fn new() -> Self {
        let swapping = Self { edge: Edge::new(), written: Default::default() };
        let [cert, key] = swapping.next(0);
        put(&swapping.edge.path("r.pem"), &cert, 0o644);
        put(&swapping.edge.path("r.key"), &key, 0o600);
        fs::create_dir(swapping.edge.path("k")).unwrap();
        for file in ["l.pem", "l.key"] {
            symlink(format!("k/..data/{file}"), swapping.edge.path(file)).unwrap();
        }
        swapping.swap_link(0);
        swapping
    }

    /// The next certificate of that name and its key, which may be shown from now on.
    fn next(&self, name: usize) -> [String; 2] {
        let (cert, key) = self.edge.signed(&[NAMES[name]]);
        let der = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
        self.written[name].all.lock().unwrap().push(der);
        [cert, key]
    }

    /// Another folder with both files, to which the link leads in one step.
    fn swap_link(&self, number: usize) {
        let [cert, key] = self.next(1);
        let (folder, link) = (format!("..{number}"), self.edge.path("k/..data"));
        let path = self.edge.path("k").join(&folder);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("l.pem"), cert).unwrap();
        fs::write(path.join("l.key"), key).unwrap();
        fs::set_permissions(path.join("l.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let (before, beside) = (fs::read_link(&link), self.edge.path("k/..data_tmp"));
        symlink(&folder, &beside).unwrap();
        fs::rename(beside, link).unwrap();
        if let Ok(before) = before {
            fs::remove_dir_all(self.edge.path("k").join(before)).unwrap();
        }
    }

    /// Certificate and key, each by a rename; between them `look`.
    async fn swap_names(&self, is_cert_first: bool, look: impl AsyncFnOnce()) {
        let [cert, key] = self.next(0);
        let put_cert = || put(&self.edge.path("r.pem"), &cert, 0o644);
        let put_key = || put(&self.edge.path("r.key"), &key, 0o600);
        if is_cert_first {
            put_cert()
        } else {
            put_key()
        }
        look().await;
        if is_cert_first { put_key() } else { put_cert() }
    }

    /// What a new connection for that name is shown.
    async fn shown(&self, client: &Arc<ClientConfig>, name: usize) -> CertificateDer<'static> {
        shown(&self.edge.try_connect(client, NAMES[name]).await.expect("a handshake"))
    }

    /// Clients that never ask for the session of before.
    fn fresh(&self) -> [Arc<ClientConfig>; 2] {
        [TLS12, TLS13].map(|versions| {
            let mut client = (*self.edge.client(versions)).clone();
            client.resumption = Resumption::disabled();
            Arc::new(client)
        })
    }
}

/// What came of the handshakes of one task.
#[derive(Default)]
struct Done {
    handshakes: usize,
    resumed: usize,
    slowest: Duration,
}

/// Does handshakes until told to stop, each with a request; panics where one fails, or shows what is not in force.
async fn shake_hands(swapping: Arc<Swapping>, stops: Arc<AtomicBool>) -> Done {
    let (fresh, again) = (swapping.fresh(), [TLS12, TLS13].map(|versions| swapping.edge.client(versions)));
    let mut done = Done::default();
    while !stops.load(Ordering::Relaxed) {
        let (name, version) = (done.handshakes % 2, done.handshakes / 2 % 2);
        let is_fresh = done.handshakes / 4 % 2 == 0;
        let client = if is_fresh { &fresh[version] } else { &again[version] };
        let written = &swapping.written[name];
        let (oldest, begin) = (written.oldest.load(Ordering::SeqCst), Instant::now());
        let stream = swapping.edge.try_connect(client, NAMES[name]).await.expect("no handshake fails");
        done.slowest = done.slowest.max(begin.elapsed());
        let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        // One that is resumed has the certificate of the session's begin.
        if !is_resumed {
            let seen = shown(&stream);
            let is_known = written.all.lock().unwrap()[oldest..].contains(&seen);
            assert!(is_known, "what is shown is neither the old nor the new one");
        }
        let mut wire = Wire::of(stream);
        wire.send(format!("GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", NAMES[name])).await;
        assert_eq!(wire::status(&wire.read_to_end(SOON).await), 200);
        done.handshakes += 1;
        done.resumed += usize::from(is_resumed);
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_thousand_certificates_replace_one_another_and_no_handshake_fails() {
    let swapping = Arc::new(Swapping::new());
    let gateway = Gateway::start(&swapping.edge.tail(&["r", "l"], "redirect = false")).await;
    let stops = Arc::<AtomicBool>::default();
    let begin = Instant::now();
    let handshakers: Vec<_> =
        (0..HANDSHAKERS).map(|_| tokio::spawn(shake_hands(Arc::clone(&swapping), Arc::clone(&stops)))).collect();
    let fresh = swapping.fresh();
    let reload = async || {
        gateway.reload().await.ok();
    };
    for number in 1..=SWAPS {
        let name = number % 2;
        if name == 0 {
            // Each second time furt looks while they do not fit, and keeps what it has.
            let looks = number % 8 < 4;
            let look = async || {
                if looks {
                    reload().await;
                }
            };
            swapping.swap_names(number % 4 == 0, look).await;
        } else {
            swapping.swap_link(number);
        }
        reload().await;
        let last = swapping.written[name].all.lock().unwrap().last().cloned();
        assert_eq!(Some(swapping.shown(&fresh[1], name).await), last, "swap {number} is in force");
        swapping.written[name].is_in_force();
    }
    let took = begin.elapsed();
    // The last ones without a word to furt.
    swapping.swap_names(true, async || {}).await;
    for name in [0, 1] {
        let last = swapping.written[name].all.lock().unwrap().last().cloned();
        eventually("the last one is in force", SOON, async || {
            (Some(swapping.shown(&fresh[0], name).await) == last).then_some(())
        })
        .await;
    }
    stops.store(true, Ordering::Relaxed);
    let (mut handshakes, mut resumed) = (0, 0);
    for handshaker in handshakers {
        let done = handshaker.await.expect("every handshake succeeds");
        println!("{} handshakes, {} of them resumed, the slowest in {:?}", done.handshakes, done.resumed, done.slowest);
        (handshakes, resumed) = (handshakes + done.handshakes, resumed + done.resumed);
    }
    println!("{SWAPS} swaps, each put in force, in {took:?}");
    assert!(handshakes > SWAPS / 2 && resumed > SWAPS / 10, "{handshakes}, {resumed}");
    let metrics = gateway.metrics().await;
    for outcome in ["failed", "closed", "timeout", "unknown-name"] {
        assert!(
            !metrics.contains(&format!("furt_tls_handshakes_total{{outcome=\"{outcome}\"")),
            "{outcome}: {metrics}"
        );
    }
    assert!(metrics.contains("furt_certificate_current{name=\"renamed.example\"} 1"), "{metrics}");
    assert_eq!(gateway.seen("/health").await["status"], "ok");
}
