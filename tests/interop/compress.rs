//! Clients of others read what furt compresses: curl, `fetch` of node and zlib of Python get the bytes that the service sent.

use furt_core::model::Sha256Digest;
use serde_json::json;
use tokio::process::Command;

use crate::foreign::node;
use crate::support::answers::{Answers, Reply};
use crate::support::{Gateway, public_service, with};

const FETCH: &str = "fetch(process.argv[1]).then(async answer => {
    const bytes = Buffer.from(await answer.arrayBuffer());
    const digest = require('crypto').createHash('sha256').update(bytes).digest('hex');
    console.log(answer.headers.get('content-encoding') + ' ' + digest);
});";
const ZLIB: &str = "import hashlib, sys, urllib.request, zlib
request = urllib.request.Request(sys.argv[1], headers={'Accept-Encoding': 'gzip'})
answer = urllib.request.urlopen(request)
decoder = zlib.decompressobj(31)
content = decoder.decompress(answer.read()) + decoder.flush()
assert decoder.eof, 'no end'
print(answer.headers['Content-Encoding'], hashlib.sha256(content).hexdigest())";

/// A gateway before a service at `/s/*`, and the digest of its answers.
async fn start() -> (Gateway, Answers, String) {
    let text: String = (0..60_000).map(|number| format!("line {number} of many\n")).collect();
    let digest = Sha256Digest::of(text.as_bytes()).to_string();
    let service =
        Answers::start(move |_| Reply::With(200, vec![("content-type", "text/plain".to_owned())], text.clone())).await;
    let gateway = Gateway::start("").await;
    gateway.registered(&with(public_service("s", &service.url(), "/s/*"), json!({"compress": true}))).await;
    (gateway, service, digest)
}

/// What a program writes that must succeed.
async fn written(mut command: Command) -> Vec<u8> {
    let output = command.kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn curl_reads_each_encoding() {
    let (gateway, _service, digest) = start().await;
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for coding in ["zstd", "br", "gzip"] {
            let mut curl = Command::new("curl");
            let accepts = format!("Accept-Encoding: {coding}");
            curl.args(["-sS", "--fail", "--compressed", version, "-H", accepts.as_str()])
                .arg(format!("http://{}/s/a", gateway.public));
            assert_eq!(Sha256Digest::of(&written(curl).await).to_string(), digest, "{version} {coding}");
        }
    }
    let metrics = gateway.metrics().await;
    for coding in ["zstd", "br", "gzip"] {
        assert!(metrics.contains(&format!("furt_compressed_answers_total{{encoding=\"{coding}\"}} 2\n")), "{metrics}");
    }
}

#[tokio::test]
async fn fetch_of_node_reads_what_it_asks_for() {
    let (gateway, _service, digest) = start().await;
    let mut fetch = node::command();
    fetch.args(["-e", FETCH]).arg(format!("http://{}/s/a", gateway.public));
    let told = String::from_utf8(written(fetch).await).unwrap();
    let (coding, read) = told.trim().split_once(' ').unwrap();
    assert!(["zstd", "br", "gzip"].contains(&coding) && read == digest, "{told}");
}

#[tokio::test]
async fn zlib_of_python_finds_the_end() {
    let (gateway, _service, digest) = start().await;
    let mut python = Command::new("python3");
    python.args(["-c", ZLIB]).arg(format!("http://{}/s/a", gateway.public));
    assert_eq!(String::from_utf8(written(python).await).unwrap().trim(), format!("gzip {digest}"));
}
