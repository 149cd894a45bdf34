//! What comes with furt for Prometheus and Grafana: every metric that it names is there, and every alert is described and tested.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::support::{Gateway, Origin, SOON, eventually, public_service};

const FOLDER: &str = "conf/examples/prometheus";

fn read(file: &str) -> String {
    fs::read_to_string(format!("{FOLDER}/{file}")).unwrap()
}

/// The metrics that a text names.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| ["furt_", "process_"].iter().any(|start| word.starts_with(start))).collect()
}

fn alerts(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[tokio::test]
async fn every_metric_of_the_board_is_there() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("").await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    gateway.get("/shop/a").await;
    let text = read("grafana.json");
    let board: Value = serde_json::from_str(&text).unwrap();
    let named = metrics(&text);
    assert!(named.len() > 10, "{named:?}");
    // A request is counted once its client has the answer.
    eventually("every metric is there", SOON, async || {
        let shown = gateway.metrics().await;
        named.is_subset(&metrics(&shown)).then_some(())
    })
    .await;

    let panels = board["panels"].as_array().unwrap();
    assert!((1..=12).contains(&panels.len()));
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    // No two panels lie on each other.
    let mut taken = BTreeSet::new();
    for panel in panels {
        let [h, w, x, y] = ["h", "w", "x", "y"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        assert!((x..x + w).all(|x| (y..y + h).all(|y| taken.insert((x, y)))), "{}", panel["title"]);
    }
}

#[test]
fn every_alert_is_described_and_tested_and_names_metrics_that_there_are() {
    let (rules, tests) = (read("alerts.yml"), read("alerts_test.yml"));
    let page = fs::read_to_string("docs/metrics.md").unwrap();
    let alerts = alerts(&rules);
    assert!(alerts.len() > 15);
    for alert in &alerts {
        assert!(page.contains(&format!("`{alert}`")), "docs/metrics.md: {alert}");
        let raises = tests
            .split(&format!("- alertname: {alert}\n"))
            .skip(1)
            .any(|test| test.split("- alertname").next().unwrap().contains("exp_labels"));
        assert!(raises, "no test raises {alert}");
    }
    for metric in metrics(&rules) {
        let base =
            ["_bucket", "_sum", "_count"].iter().fold(metric, |name, end| name.strip_suffix(end).unwrap_or(name));
        assert!(page.contains(&format!("`{base}")), "docs/metrics.md: {base}");
    }
}
