//! `POST /internal/cluster/nodes/{key}/update`: has one node run another version of furt, and waits for what it tells.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use furt_api::Outcome as Status;
use furt_api::cluster::UpdatedProgram;
use furt_cluster::model::{Digest, Fingerprint, Program, UpdateResult, Version};
use furt_cluster::{Answer, Command, Outcome};
use serde_json::Value;

use super::super::Api;
use super::super::commands::{ApiResult, json_body};
use super::super::fields::{FieldError, Fields, text};
use super::super::listener::BodyTooLarge;
use super::super::problem::Problem;
use super::naming::{self, Names};
use super::{asks, in_time, refusing, taking_part, unexpected, within};
use crate::wire;
use furt_core::model::Invalid;
use furt_core::registry::Source;

/// The core gives the node 150 s: a minute to fetch and check, one to take over, and half of one to tell.
const LONGEST: Duration = Duration::from_secs(160);

/// Answers 200 however the node fared; what it tells is in the body.
pub(in crate::api) async fn update(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(key): Path<String>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<UpdatedProgram> {
    let cluster = taking_part(&api)?;
    let body = json_body(too_large.is_some(), &headers, &body)?;
    let program = program(body).map_err(Problem::invalid_fields)?;
    let shown = in_time(cluster.look()).await?;
    let key = naming::find(&shown.view.nodes, &key, Names::OfApproved)?;
    asks(&api, &source, &format!("furt {} at {key}", program.version)).await;
    let answer = within(LONGEST, cluster.command(Command::Update(key, program))).await?;
    match answer.map_err(refusing::problem)? {
        Answer::Updated(outcome) => Ok(Json(told(key, program, outcome))),
        other => Err(unexpected(&other)),
    }
}

fn told(key: Fingerprint, program: Program, outcome: Outcome) -> UpdatedProgram {
    let (fingerprint, version) = (key.to_string(), program.version.to_string());
    let silent = UpdatedProgram { status: Status::NoAnswer, fingerprint, version, node: None, error: None, at: None };
    let Outcome::Told(UpdateResult { status, node, at_ms, .. }) = outcome else { return silent };
    UpdatedProgram {
        status: if status.is_ok() { Status::Updated } else { Status::NotUpdated },
        node: Some(node.to_string()),
        error: status.err().map(|why| why.to_string()),
        at: Some(wire::time(at_ms)),
        ..silent
    }
}

/// The program that a body names.
fn program(body: Value) -> Result<Program, Vec<FieldError>> {
    let mut errors = Vec::new();
    let program = Fields::open(String::new(), body, &mut errors).and_then(|mut fields| {
        let version = fields.require("version", text(version));
        let digest = fields.require("sha256", text(digest));
        fields.finish();
        Some(Program { version: version?, digest: digest? })
    });
    program.filter(|_| errors.is_empty()).ok_or(errors)
}

fn version(text: &str) -> Result<Version, Invalid> {
    Version::try_new(text).map_err(|_| Invalid::new("must be three numbers with dots, such as \"1.4.0\""))
}

fn digest(text: &str) -> Result<Digest, Invalid> {
    let rule = "must be 64 hexadecimal digits, as sha256sum prints them";
    text.to_ascii_lowercase().parse().map_err(|_| Invalid::new(rule))
}

#[cfg(test)]
mod tests {
    use furt_cluster::model::NodeName;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_program_is_a_version_and_a_digest() {
        let sha256 = "AB".repeat(32);
        let read = program(json!({"version": "1.4.0", "sha256": sha256})).unwrap();
        assert_eq!((read.version.to_string(), read.digest), ("1.4.0".to_owned(), Digest::new([0xab; 32])));
        for (bad, pointers) in [
            (json!({}), "/sha256 /version"),
            (json!({"version": "1.4", "sha256": "ab"}), "/sha256 /version"),
            (json!({"version": "v1.4.0", "sha256": sha256}), "/version"),
            (json!({"version": "../1.4.0", "sha256": sha256}), "/version"),
            (json!({"version": 1.4, "sha256": 1}), "/sha256 /version"),
            (json!({"version": "1.4.0", "sha256": sha256, "url": "http://evil.example/"}), "/url"),
            (json!([]), ""),
        ] {
            let mut wrong: Vec<_> = program(bad).unwrap_err().into_iter().map(|error| error.pointer).collect();
            wrong.sort();
            assert_eq!(wrong.join(" "), pointers);
        }
    }

    #[test]
    fn what_the_node_tells_is_told() {
        let key = Fingerprint::new([1; 32]);
        let program = Program { version: Version::try_new("1.4.0").unwrap(), digest: Digest::new([2; 32]) };
        let result = |status| UpdateResult {
            action: "update_program".into(),
            status,
            detail: None,
            node: NodeName::of("edge", 7),
            at_ms: 0,
            generation: 0,
            request: None,
        };
        let good = told(key, program, Outcome::Told(result(Ok(()))));
        assert_eq!((good.status, good.node.as_deref(), good.error), (Status::Updated, Some("edge.7"), None));
        let bad = told(key, program, Outcome::Told(result(Err("managed elsewhere".into()))));
        assert_eq!((bad.status, bad.error.as_deref()), (Status::NotUpdated, Some("managed elsewhere")));
        assert_eq!(told(key, program, Outcome::NoAnswer).status, Status::NoAnswer);
    }
}
