//! Scanners of TLS: sslyze and testssl.sh find nothing, for a certificate of either kind of key. What they must find in a certificate
//! that a test has made is named here, with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::foreign::{program, python};
use crate::support::gateway::output_of;
use crate::support::tls::Edge;
use crate::support::{Gateway, Origin, public_service};

/// A scan by testssl.sh takes a minute where nothing else runs.
const LONGEST_SCAN: Duration = Duration::from_secs(540);
const EXTENSIONS: &str = "subjectAltName=DNS:a.example,IP:127.0.0.1\nkeyUsage=critical,digitalSignature\n\
    extendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n\
    basicConstraints=critical,CA:FALSE\n";

/// The kind of a certificate's key.
#[derive(Clone, Copy)]
enum Key {
    Ecdsa,
    Rsa,
}

impl Key {
    /// For openssl.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Ecdsa => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::Rsa => &["-newkey", "rsa:2048"],
        }
    }

    /// The suites of TLS 1.2 that go with it.
    fn suites(self) -> BTreeSet<String> {
        let signed = match self {
            Self::Ecdsa => "ECDSA",
            Self::Rsa => "RSA",
        };
        ["CHACHA20_POLY1305_SHA256", "AES_256_GCM_SHA384", "AES_128_GCM_SHA256"]
            .map(|suite| format!("TLS_ECDHE_{signed}_WITH_{suite}"))
            .into()
    }
}

async fn openssl(edge: &Edge, arguments: &[&[&str]]) {
    let mut command = program::command("openssl");
    command.args(arguments.concat()).current_dir(edge.path("")).env("OPENSSL_CONF", edge.path("openssl.cnf"));
    let output = output_of(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A gateway that shows a certificate as authorities make them today: for 90 days, with the usual extensions. Scanners look at these.
struct Scanned {
    edge: Edge,
    gateway: Gateway,
    _origin: Origin,
}

impl Scanned {
    async fn start(key: Key) -> Self {
        let (edge, origin) = (Edge::new(), Origin::start().await);
        fs::write(edge.path("openssl.cnf"), "[req]\ndistinguished_name = name\n[name]\n").unwrap();
        fs::write(edge.path("extensions"), EXTENSIONS).unwrap();
        let authority = ["req", "-x509", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "300", "-subj"];
        let usage =
            ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"];
        openssl(&edge, &[&authority, &["/CN=An authority for one test"], &usage, key.arguments()]).await;
        let request = ["req", "-nodes", "-keyout", "a.key", "-out", "a.csr", "-subj", "/CN=a.example"];
        openssl(&edge, &[&request, key.arguments()]).await;
        let signed = ["x509", "-req", "-in", "a.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        openssl(&edge, &[&signed, &["-out", "a.pem", "-days", "90", "-sha256", "-extfile", "extensions"]]).await;
        let gateway = Gateway::start(&edge.tail(&["a"], "hsts = '365d'")).await;
        gateway.registered(&public_service("service", &origin.url(), "/*")).await;
        Self { edge, gateway, _origin: origin }
    }

    fn path(&self, file: &str) -> String {
        self.edge.path(file).display().to_string()
    }
}

/// The same without the numbers of an RSA key, which are longer than any that is read.
fn without_long_numbers(json: &str) -> String {
    let mut parts = Vec::new();
    for part in json.split_inclusive(|character: char| !character.is_ascii_digit()) {
        let digits = part.len() - part.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        parts.push(if digits > 100 { format!("0{}", &part[digits..]) } else { part.to_owned() });
    }
    parts.concat()
}

async fn sslyze_finds_nothing(key: Key) {
    let scanned = Scanned::start(key).await;
    let (out, ca, address) = (scanned.path("sslyze.json"), scanned.path("ca.pem"), scanned.edge.address.to_string());
    let mut command = python::module("sslyze", "sslyze");
    command.args(["--json_out", &out, "--sni", "a.example", "--certinfo_ca_file", &ca]);
    command.args(["--mozilla_config", "intermediate", "--certinfo", "--http_headers", "--resum", "--early_data"]);
    command.args(["--reneg", "--robot", "--heartbleed", "--openssl_ccs", "--compression", "--fallback", "--ems"]);
    command.args(["--elliptic_curves", "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"]);
    let output = tokio::time::timeout(LONGEST_SCAN, command.arg(&address).output()).await.expect("an end").unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("OK - Compliant"), "{told}");

    let scan: Value = serde_json::from_str(&without_long_numbers(&fs::read_to_string(&out).unwrap())).unwrap();
    let found = scan["server_scan_results"][0]["scan_result"].as_object().expect("a scan");
    for (name, part) in found {
        assert_eq!(part["status"], "COMPLETED", "{name}: {part}");
    }
    let result = |name: &str| &found[name]["result"];
    for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        let suites = result(&format!("{version}_cipher_suites"));
        assert_eq!(suites["is_tls_version_supported"], false, "{version}: {suites}");
    }
    let accepted = |version: &str| {
        let suites = result(&format!("{version}_cipher_suites"))["accepted_cipher_suites"].as_array().unwrap();
        suites.iter().map(|one| one["cipher_suite"]["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(accepted("tls_1_2"), key.suites());
    let newest = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    assert_eq!(accepted("tls_1_3"), newest.map(str::to_owned).into());
    for (name, member, expected) in [
        ("tls_compression", "supports_compression", json!(false)),
        ("tls_1_3_early_data", "supports_early_data", json!(false)),
        ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection", json!(false)),
        ("heartbleed", "is_vulnerable_to_heartbleed", json!(false)),
        ("robot", "robot_result", json!("NOT_VULNERABLE_RSA_NOT_SUPPORTED")),
        ("tls_fallback_scsv", "supports_fallback_scsv", json!(true)),
        ("session_renegotiation", "supports_secure_renegotiation", json!(true)),
        ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos", json!(false)),
        ("tls_extended_master_secret", "supports_ems_extension", json!(true)),
        (
            "http_headers",
            "strict_transport_security_header",
            json!({"max_age": 31_536_000, "preload": false, "include_subdomains": false}),
        ),
    ] {
        assert_eq!(result(name)[member], expected, "{name}: {}", result(name));
    }
    let deployment = &result("certificate_info")["certificate_deployments"][0];
    let validations = deployment["path_validation_results"].as_array().unwrap();
    // No other store can know an authority that was made for the test.
    let own = validations.iter().find(|one| one["trust_store"]["name"] == "Supplied CA file").unwrap();
    assert_eq!(own["was_validation_successful"], true, "{own}");
    // sslyze takes a session for resumed only where the ticket stays the same, and furt gives another one each time.
    let resumed = "furt_tls_handshakes_total{outcome=\"done\",resumed=\"true\",version=\"1.2\"} 5\n";
    let metrics = scanned.gateway.metrics().await;
    assert!(metrics.contains(resumed), "{}: {metrics}", result("session_resumption"));
}

#[tokio::test]
async fn sslyze_finds_nothing_where_the_key_is_ecdsa() {
    sslyze_finds_nothing(Key::Ecdsa).await;
}

#[tokio::test]
async fn sslyze_finds_nothing_where_the_key_is_rsa() {
    sslyze_finds_nothing(Key::Rsa).await;
}

/// What testssl.sh finds amiss, and why it does.
const EXCEPTED: &[(&str, &str)] = &[
    ("cert_revocation", "an authority made for a test has no list of revoked certificates"),
    ("cipher_order", "all ciphers are strong, so the client chooses: it knows which one its machine computes fast"),
    ("engine_problem", "of the machine's own openssl"),
    (
        "sessionresumption_ticket",
        "its openssl may end before the ticket of TLS 1.3 has come; sslyze's sessions are looked at",
    ),
];
/// What must be among its findings: that it looked, and that this is there.
const FOUND: &[(&str, &str)] = &[
    ("SSLv2", "not offered"),
    ("SSLv3", "not offered"),
    ("TLS1", "not offered"),
    ("TLS1_1", "not offered"),
    ("TLS1_2", "offered"),
    ("TLS1_3", "offered with final"),
    ("ALPN_HTTP2", "h2"),
    ("cipherlist_STRONG", "offered"),
    ("cipherlist_AVERAGE", "not offered"),
    ("cert_chain_of_trust", "passed."),
    ("heartbleed", "not vulnerable, no heartbeat extension"),
    ("CCS", "not vulnerable"),
    ("ticketbleed", "not vulnerable"),
    ("secure_renego", "supported"),
    ("secure_client_renego", "not vulnerable"),
    ("CRIME_TLS", "not vulnerable"),
    ("SWEET32", "not vulnerable"),
    ("BEAST", "not vulnerable, no SSL3 or TLS1"),
    ("LUCKY13", "not vulnerable"),
    ("RC4", "not vulnerable"),
];

async fn testssl_finds_nothing(key: Key) {
    let scanned = Scanned::start(key).await;
    let (out, ca) = (scanned.path("testssl.json"), scanned.path("ca.pem"));
    let url = format!("https://a.example:{}", scanned.edge.address.port());
    let mut command = tokio::process::Command::from(program::command("testssl"));
    command.kill_on_drop(true);
    command.env("TESTSSL_INSTALL_DIR", program::room("testssl").join("etc/testssl"));
    command.args(["--quiet", "--warnings", "batch", "--color", "0", "--nodns", "none", "--jsonfile", &out]);
    command.args(["--add-ca", &ca, "--ip", "127.0.0.1", &url]).current_dir(scanned.edge.path(""));
    let output = tokio::time::timeout(LONGEST_SCAN, command.output()).await.expect("an end in time").unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let found = fs::read(&out).unwrap_or_else(|_| panic!("{told}{}", String::from_utf8_lossy(&output.stderr)));
    let found: Vec<Value> = serde_json::from_slice(&found).unwrap_or_else(|why| panic!("{why}: {told}"));
    for one in &found {
        let id = one["id"].as_str().unwrap();
        let is_well = matches!(one["severity"].as_str(), Some("OK" | "INFO"));
        assert!(is_well || EXCEPTED.iter().any(|(excepted, _)| *excepted == id), "{one}");
    }
    for (id, finding) in FOUND {
        let one = found.iter().find(|one| one["id"] == *id).unwrap_or_else(|| panic!("{id} is not looked at: {told}"));
        assert_eq!(one["finding"], *finding, "{one}");
    }
    let of = |id: &str| found.iter().find(|one| one["id"] == id).map(|one| one["finding"].as_str().unwrap());
    assert!(of("ROBOT").unwrap().starts_with("not vulnerable"), "{found:?}");
    assert!(of("HSTS_time").unwrap().starts_with("365 days"), "{found:?}");
    println!("{} findings in {} s", found.len(), of("scanTime").unwrap_or("?"));
}

#[tokio::test]
async fn testssl_finds_nothing_where_the_key_is_ecdsa() {
    testssl_finds_nothing(Key::Ecdsa).await;
}

#[tokio::test]
async fn testssl_finds_nothing_where_the_key_is_rsa() {
    testssl_finds_nothing(Key::Rsa).await;
}

#[tokio::test]
async fn a_client_that_offers_post_quantum_key_exchange_alone_is_served() {
    let scanned = Scanned::start(Key::Ecdsa).await;
    let (port, ca) = (scanned.edge.address.port().to_string(), scanned.path("ca.pem"));
    let groups = ["X25519MLKEM768", "X25519", "P-256", "P-384", "P-521"];
    let mut command = python::command("curl_cffi", "curl_groups.py");
    let output = command.args([&*port, &*ca]).args(groups).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told.trim(), "X25519MLKEM768 X25519 P-256 P-384", "{why}");
}
