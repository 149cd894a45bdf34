//! Prometheus itself: it takes the rules, their tests hold, and each query of the board gives something of a running furt.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::foreign::program::{self, Program};
use crate::support::{Gateway, Origin, eventually, ports, public_service};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/examples/prometheus");
const START: Duration = Duration::from_secs(30);

/// What promtool says; it is a fault where it finds something.
fn promtool(arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(program::path("prometheus", "promtool"));
    let output = command.args(arguments).current_dir(FOLDER).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    told
}

#[test]
fn promtool_takes_the_rules_and_their_tests_hold() {
    assert!(promtool(&["check", "rules", "alerts.yml"]).contains("SUCCESS"));
    assert!(promtool(&["test", "rules", "alerts_test.yml"]).contains("SUCCESS"));
}

/// Prometheus, which scrapes furt each second.
async fn prometheus(folder: &TempDir, gateway: &Gateway) -> (Program, String) {
    let address = ports::free_address();
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{FOLDER}/alerts.yml']\n\
         scrape_configs:\n  - job_name: furt\n    static_configs: [{{targets: ['{}']}}]\n",
        gateway.internal
    );
    let path = folder.path().join("prometheus.yml");
    fs::write(&path, config).unwrap();
    let mut command = std::process::Command::new(program::path("prometheus", "prometheus"));
    command
        .arg(format!("--config.file={}", path.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"));
    let program = Program::start(&mut command, &folder.path().join("prometheus.log"));
    (program, format!("http://{address}"))
}

async fn ask(url: &str, query: &str) -> Option<Value> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = reqwest::Url::parse_with_params(url, [("query", query)]).unwrap();
    let answer: Value = client.get(url).send().await.ok()?.json().await.ok()?;
    assert!(answer["status"] == "success" || answer["errorType"] == "unavailable", "{query}: {answer}");
    Some(answer["data"].clone())
}

#[tokio::test]
async fn each_query_of_the_board_gives_something() {
    let (folder, origin) = (TempDir::new().unwrap(), Origin::start().await);
    let gateway = Gateway::start("").await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    let (_prometheus, url) = prometheus(&folder, &gateway).await;
    let board = fs::read_to_string(Path::new(FOLDER).join("grafana.json")).unwrap();
    let board: Value = serde_json::from_str(&board).unwrap();
    let targets = board["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(queries.len() > 12);
    for query in queries {
        let query = query
            .replace("$__rate_interval", "10s")
            .replace("$instance", ".*")
            .replace("$service", ".*")
            .replace("$job", "furt");
        assert!(!query.contains('$'), "{query}");
        let result = eventually(&query, START, async || {
            gateway.get("/shop/a").await;
            let data = ask(&format!("{url}/api/v1/query"), &query).await?;
            let result = data["result"].as_array()?.clone();
            (!result.is_empty()).then_some(result)
        })
        .await;
        assert!(result.iter().all(|one| one["value"][1].is_string()), "{query}: {result:?}");
    }
    let rules = ask(&format!("{url}/api/v1/rules"), "").await.unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() > 15 && rules.iter().all(|rule| rule["health"] == "ok"), "{rules:?}");
}
