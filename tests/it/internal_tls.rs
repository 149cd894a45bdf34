//! TLS of the internal listener, as services and operators come by it: the command line over https, with certificates in place of
//! tokens.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use furt_core::model::Sha256Digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio_rustls::rustls;

use crate::support::authority::Authority;
use crate::support::gateway::{furt, output_of};
use crate::support::{Gateway, SOON, eventually, ports};

/// Certificates in a folder, and a port that is under TLS.
struct Files {
    authority: Authority,
    folder: TempDir,
    port: u16,
}

impl Files {
    fn new() -> Self {
        let files =
            Self { authority: Authority::new(), folder: TempDir::new().unwrap(), port: ports::free_address().port() };
        fs::write(files.path("ca.pem"), files.authority.pem()).unwrap();
        files.write("furt", &files.authority);
        files
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A certificate of that authority for 127.0.0.1; gives its digest.
    fn write(&self, file: &str, authority: &Authority) -> Sha256Digest {
        let (cert, key) = authority.signed_until(&["127.0.0.1"], 2999);
        fs::write(self.path(&format!("{file}.pem")), &cert).unwrap();
        fs::write(self.path(&format!("{file}.key")), &key).unwrap();
        fs::set_permissions(self.path(&format!("{file}.key")), fs::Permissions::from_mode(0o600)).unwrap();
        Sha256Digest::of(&CertificateDer::from_pem_slice(cert.as_bytes()).unwrap())
    }

    /// The plain listener, and one on every address, which is under TLS; `more` are keys of `[internal]`, and further tables.
    fn tail(&self, more: &str) -> String {
        let path = |file: &str| self.path(file).display().to_string();
        format!(
            "[internal]\nlisten = ['{{internal}}', '0.0.0.0:{}']\ntls_cert = '{}'\ntls_key = '{}'\n{more}",
            self.port,
            path("furt.pem"),
            path("furt.key")
        )
    }

    fn with_clients(&self, more: &str) -> String {
        self.tail(&format!("tls_client_ca = '{}'\n{more}", self.path("ca.pem").display()))
    }

    /// A verb over https; `own` is the certificate that it shows.
    async fn cli(&self, own: Option<&str>, trusts: bool, arguments: &[&str]) -> (bool, String) {
        let mut command = furt(arguments);
        command.env("FURT_URL", format!("https://127.0.0.1:{}", self.port));
        if trusts {
            command.env("FURT_CA", self.path("ca.pem"));
        }
        if let Some(own) = own {
            command.env("FURT_CERT", self.path(&format!("{own}.pem")));
            command.env("FURT_KEY", self.path(&format!("{own}.key")));
        }
        let output = output_of(command).await;
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), told)
    }

    async fn registers(&self, own: Option<&str>, service: &str, port: u16) -> (bool, String) {
        let url = format!("http://127.0.0.1:{port}");
        let route = format!("GET /{service}");
        let arguments = ["register", "--service", service, "--upstream", &url, "--route", &route];
        self.cli(own, true, &arguments).await
    }
}

#[tokio::test]
async fn beyond_loopback_it_is_under_tls_and_loopback_stays_plain() {
    let files = Files::new();
    let gateway = Gateway::start(&files.tail("")).await;
    assert!(gateway.cli(&["ready"]).await.status.success(), "plain");
    let (is_done, told) = files.cli(None, true, &["nodes"]).await;
    assert!(is_done, "{told}");
    let (is_done, told) = files.cli(None, false, &["nodes"]).await;
    assert!(!is_done && told.contains("ertificate"), "nobody else vouches for it: {told}");
    let plain = format!("http://{}/readyz", SocketAddr::from(([127, 0, 0, 1], files.port)));
    let refused = reqwest::get(&plain).await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["x-furt-listener"]), (400, &"internal".parse().unwrap()));
    let told = gateway.cli(&["nodes", "--url", plain.trim_end_matches("/readyz")]).await.stderr;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("https-expected") && told.contains("use https://"), "{told}");
    assert!(!gateway.log().contains("without TLS"), "{}", gateway.log());
    let (is_done, told) = files.registers(None, "shop", 9).await;
    assert!(is_done, "{told}");
    assert!(gateway.service("shop").await.is_some());
}

#[tokio::test]
async fn a_certificate_stands_for_a_token() {
    let files = Files::new();
    let own = files.write("own", &files.authority);
    files.write("other", &files.authority);
    files.write("stranger", &Authority::new());
    let grant = format!("[[grants]]\nservice = 'shop'\npaths = ['/*']\npublic = true\ncertificate_sha256 = '{own}'\n");
    let gateway = Gateway::start(&files.with_clients(&grant)).await;
    for nobody in [None, Some("other")] {
        let (is_done, told) = files.registers(nobody, "shop", 9).await;
        assert!(!is_done && told.contains("401"), "{nobody:?}: {told}");
    }
    let (is_done, told) = files.registers(Some("stranger"), "shop", 9).await;
    assert!(!is_done && !told.contains("401"), "it gets no connection: {told}");
    let (is_done, told) = files.registers(Some("own"), "shop", 9).await;
    assert!(is_done, "{told}");
    assert!(gateway.service("shop").await.is_some());
}

#[tokio::test]
async fn its_files_are_watched() {
    let files = Files::new();
    let own = files.write("own", &files.authority);
    fs::write(files.path("clients.pem"), files.authority.pem()).unwrap();
    let clients = files.path("clients.pem");
    let grant = format!(
        "tls_client_ca = '{}'\n[[grants]]\nservice = 'shop'\npaths = ['/*']\npublic = true\ncertificate_sha256 = '{own}'\n",
        clients.display()
    );
    let gateway = Gateway::start(&files.tail(&grant)).await;
    assert!(files.registers(Some("own"), "shop", 9).await.0);
    let health = async || gateway.seen("/health").await.to_string();
    // What is none leaves those before in force.
    fs::write(&clients, "nothing").unwrap();
    eventually("it is told", SOON, async || health().await.contains("clients.pem").then_some(())).await;
    assert!(files.registers(Some("own"), "shop", 10).await.0);
    let others = Authority::new();
    fs::write(&clients, others.pem()).unwrap();
    eventually("others count", SOON, async || {
        let (is_done, _) = files.registers(Some("own"), "shop", 11).await;
        (!is_done).then_some(())
    })
    .await;
    assert!(!health().await.contains("clients.pem"));
    // So does what is no certificate, and a key that does not fit; then a new pair.
    let before = fs::read(files.path("furt.pem")).unwrap();
    fs::write(files.path("furt.pem"), "nothing").unwrap();
    eventually("it is told", SOON, async || health().await.contains("furt.pem").then_some(())).await;
    assert!(files.cli(None, true, &["nodes"]).await.0);
    fs::write(files.path("furt.pem"), before).unwrap();
    eventually("all is well", SOON, async || (!health().await.contains("furt.pem")).then_some(())).await;
    let (cert, key) = others.signed_until(&["127.0.0.1"], 2999);
    fs::write(files.path("furt.key"), &key).unwrap();
    eventually("it is told", SOON, async || health().await.contains("furt.key").then_some(())).await;
    assert!(files.cli(None, true, &["nodes"]).await.0);
    fs::write(files.path("furt.pem"), &cert).unwrap();
    fs::write(files.path("ca.pem"), others.pem()).unwrap();
    eventually("the new one is shown", SOON, async || files.cli(None, true, &["nodes"]).await.0.then_some(())).await;
    assert!(!health().await.contains("furt.key"));
}

/// What `furt check` says of a configuration.
async fn check(tail: &str) -> (bool, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("furt.toml");
    fs::write(&file, tail).unwrap();
    let output = output_of(furt(&["check", file.to_str().unwrap()])).await;
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), told)
}

#[tokio::test]
async fn what_is_wrong_is_told_by_its_key() {
    let files = Files::new();
    let path = |file: &str| files.path(file).display().to_string();
    let beyond = "[internal]\nlisten = '0.0.0.0:8081'\n";
    let pair = |cert: &str, key: &str| format!("{beyond}tls_cert = '{}'\ntls_key = '{}'\n", path(cert), path(key));
    fs::write(files.path("empty.pem"), "").unwrap();
    fs::write(files.path("open.key"), fs::read(files.path("furt.key")).unwrap()).unwrap();
    fs::set_permissions(files.path("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    for (tail, key) in [
        (format!("{beyond}tls_cert = '{}'\n", path("furt.pem")), "internal.tls_key"),
        (format!("{beyond}tls_client_ca = '{}'\n", path("ca.pem")), "internal.tls_cert"),
        (pair("nowhere.pem", "furt.key"), "internal.tls_cert"),
        (pair("furt.pem", "open.key"), "internal.tls_key"),
        (
            format!("{}tls_client_ca = '{}'\n", pair("furt.pem", "furt.key"), path("empty.pem")),
            "internal.tls_client_ca",
        ),
        (pair("furt.pem", "furt.key").replace("0.0.0.0", "127.0.0.1"), "internal.tls_cert"),
    ] {
        let (is_good, told) = check(&tail).await;
        assert!(!is_good && told.contains(key), "{tail}\n{told}");
    }
    let (is_good, told) = check(&pair("furt.pem", "furt.key")).await;
    assert!(is_good && !told.contains("without TLS"), "{told}");
    let (is_good, told) = check(beyond).await;
    assert!(is_good && told.contains("warning") && told.contains("without TLS"), "{told}");
    assert!(!check("").await.1.contains("without TLS"));
}

#[tokio::test]
async fn a_plain_listener_beyond_loopback_is_warned_of_at_each_start() {
    let port = ports::free_address().port();
    let gateway = Gateway::start(&format!("[internal]\nlisten = ['{{internal}}', '0.0.0.0:{port}']\n")).await;
    assert_eq!(gateway.log().matches("without TLS").count(), 1, "{}", gateway.log());
}
