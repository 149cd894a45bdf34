//! Queries of the internal listener, whatever the endpoint.

use reqwest::Method;

use crate::support::{Answer, Gateway};

/// Clients of etcd may have any query, as etcd's may.
const ETCD: &str = "/v2/";
/// Probes of supervisors may have any query.
const OPEN: [&str; 3] = ["/health", "/livez", "/readyz"];

/// Method and path of every endpoint, as the documentation lists them.
fn endpoints() -> Vec<(Method, String)> {
    let text = std::fs::read_to_string("docs/api.md").unwrap();
    let section = text.split("\n## Endpoints\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let requests = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()?.split_once(' '));
    let path = |path: &str| path.split(['?', '[']).next().unwrap().replace(['{', '}'], "");
    requests.map(|(method, whole)| (method.parse().unwrap(), path(whole))).collect()
}

#[tokio::test]
async fn a_parameter_that_an_endpoint_does_not_know_is_named_and_nothing_is_done() {
    let token = furt_core::model::Sha256Digest::of(b"operators");
    let gateway = Gateway::start(&format!("[internal]\noperator_token_sha256 = '{token}'")).await;
    let endpoints = endpoints();
    assert!(endpoints.len() > 25, "{endpoints:?}");
    for (method, path) in endpoints.into_iter().filter(|(_, path)| !path.starts_with(ETCD)) {
        let asked = gateway.operate(method.clone(), &format!("{path}?drian=30")).bearer_auth("operators");
        let answer = Answer::of(asked).await;
        if OPEN.contains(&path.as_str()) {
            assert_eq!(answer.status, 200, "{path}");
            continue;
        }
        let problem = answer.problem(422, "invalid-parameters");
        let errors = problem["errors"].as_array().unwrap();
        assert!(errors.iter().any(|error| error["parameter"] == "drian"), "{method} {path}: {problem}");
    }
    assert!(!gateway.log().contains("a reload is asked for"));
}

#[tokio::test]
async fn a_stranger_is_told_that_it_is_one_and_not_what_is_wrong_with_its_query() {
    let gateway = Gateway::start("[internal]\noperators_from = []\n").await;
    Answer::of(gateway.operate(Method::GET, "/internal/keys?x=1")).await.problem(403, "operators-only");
    Answer::of(gateway.operate(Method::PUT, "/internal/keys?x=1")).await.problem(405, "method-not-allowed");
    Answer::of(gateway.operate(Method::GET, "/internal/nothing?x=1")).await.problem(404, "not-found");
}
