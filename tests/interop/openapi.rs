//! Programs that read the description of the API: a validator, makers of clients, and schemathesis, which holds the answers of a
//! running furt to it.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;

use crate::foreign::{node, python};
use crate::support::{Answer, Gateway, Origin, public_service};

const TOKEN: &str = "operators";
/// What judges an answer. Whether a body is refused that the description allows is not among them: furt has rules that no schema says.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
    response_headers_conformance";

async fn described() -> (Gateway, tempfile::TempDir) {
    let token = furt_core::model::Sha256Digest::of(TOKEN.as_bytes());
    let config = format!("[internal]\noperator_token_sha256 = '{token}'\n");
    let gateway = Gateway::start(&config).await;
    let folder = tempfile::tempdir().unwrap();
    let answer = Answer::of(gateway.operate(Method::GET, "/internal/openapi.json")).await;
    assert_eq!(answer.status, 200, "for everyone who can connect");
    std::fs::write(folder.path().join("openapi.json"), answer.body).unwrap();
    (gateway, folder)
}

async fn succeeds(mut command: tokio::process::Command, folder: &Path, forbidden: &str) {
    let output = command.current_dir(folder).kill_on_drop(true).output().await.unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !told.to_lowercase().contains(forbidden), "{told}");
}

/// openapi-spec-validator finds nothing; openapi-typescript and openapi-python-client make a client without a warning, which its
/// language takes.
#[tokio::test]
async fn validators_and_makers_of_clients_take_the_description() {
    let (_gateway, folder) = described().await;
    let mut validator = python::module("openapi", "openapi_spec_validator");
    validator.arg("openapi.json");
    succeeds(validator, folder.path(), "error").await;

    let modules = node::room().join("node_modules");
    let mut maker = node::command();
    maker.arg(modules.join("openapi-typescript/bin/cli.js")).args(["openapi.json", "-o", "api.ts"]);
    succeeds(maker, folder.path(), "warn").await;
    let program = "import type { components, paths } from './api';\n\
        type Registered = paths['/internal/register-service']['post']['responses'][200]['content']['application/json'];\n\
        export const body: components['schemas']['Registration'] = { service: 'a', url: 'http://127.0.0.1:1' };\n\
        export const beats = (answer: Registered): number => answer.heartbeat_ttl / 3;\n\
        // @ts-expect-error: a field that furt does not know\n\
        export const wrong: components['schemas']['Registration'] = { service: 'a', url: 'http://127.0.0.1:1', routse: [] };\n";
    std::fs::write(folder.path().join("program.ts"), program).unwrap();
    let mut compiler = node::command();
    compiler.arg(modules.join("typescript/bin/tsc")).args(["--noEmit", "--strict", "program.ts"]);
    succeeds(compiler, folder.path(), "error").await;

    std::fs::write(folder.path().join("config.yml"), "post_hooks: []\n").unwrap();
    let mut maker = python::module("openapi", "openapi_python_client");
    maker.args(["generate", "--path", "openapi.json", "--output-path", "client", "--config", "config.yml"]);
    succeeds(maker, folder.path(), "warning").await;
    let mut compiled = python::module("openapi", "compileall");
    compiled.args(["-q", "client"]);
    succeeds(compiled, folder.path(), "error").await;
}

/// What schemathesis makes of the description for so long: good requests and bad ones, alone and one after the other.
pub(crate) async fn schemathesis_finds_nothing(time: Duration) {
    let (gateway, folder) = described().await;
    let origin = Origin::start().await;
    gateway.registered(&public_service("comments", &origin.url(), "/comments/*")).await;
    let mut command = python::module("openapi", "schemathesis.cli");
    command.args(["run", "openapi.json", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing,stateful"]);
    command.args([
        "--url",
        &format!("http://{}", gateway.internal),
        "--header",
        &format!("Authorization: Bearer {TOKEN}"),
    ]);
    command.args(["--max-time", &time.as_secs().to_string(), "--max-examples", "1000", "--continue-on-failure"]);
    // It would end the very furt that is asked.
    command.args(["--exclude-operation-id", "post_upgrade", "--no-color", "--generation-allow-x00", "false"]);
    command.args(["--suppress-health-check", "all", "--warnings", "off", "--request-timeout", "90"]);
    let longest = time * 2 + Duration::from_secs(60);
    let output = tokio::time::timeout(longest, command.current_dir(folder.path()).output()).await;
    let output = output.expect("an end in time").unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    Answer::of(gateway.operate(Method::GET, "/health")).await;
}

#[tokio::test]
async fn schemathesis_finds_nothing_in_half_a_minute() {
    schemathesis_finds_nothing(Duration::from_secs(30)).await;
}
