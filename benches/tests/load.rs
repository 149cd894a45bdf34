//! The smoke run of the load bench, so that it cannot rot: every measurement once and as small as it gets, with furt and the
//! bare proxy, which are there always. No figure is judged; that there are figures, and that no request failed, is.
//!
//! The bench's own code is a module here, with its unit tests: as a program it would be linked a second time.

#[path = "../load/bench.rs"]
mod bench;

use clap::Parser as _;
use serde_json::Value;

const ALL: [&str; 14] = [
    "pass",
    "bare",
    "browser",
    "rules",
    "gateway",
    "body",
    "churn",
    "idle",
    "handshake-ec",
    "handshake-rsa",
    "resume",
    "h2",
    "idle-tls",
    "idle-h2",
];
/// With bare, which has neither keys nor TLS.
const WITH_BARE: [&str; 5] = ["pass", "bare", "browser", "body", "idle"];

/// Runs the bench with `arguments`; what it shows, and what it writes.
pub(crate) fn run(arguments: &[&str]) -> (String, Value) {
    try_run(arguments).unwrap_or_else(|(shown, why)| panic!("{why}\n{shown}"))
}

/// The same of a run that may fail: what it shows, and why it does.
fn try_run(arguments: &[&str]) -> Result<(String, Value), (String, String)> {
    let own = ["--exact", "load::plays_a_part_of_the_bench", "--ignored", "--nocapture"];
    let own = bench::Own::try_new(&own).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("load.json");
    let given = ["load", "--bench", "--smoke", "--only", "furt,bare", "--json", json.to_str().unwrap()];
    let options = bench::Options::try_parse_from(given.iter().chain(arguments)).unwrap();
    let mut shown = Vec::new();
    let ended = bench::run(options, &own, &mut shown);
    let shown = String::from_utf8(shown).unwrap();
    match ended {
        Ok(_) => Ok((shown, serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap())),
        Err(error) => Err((shown, format!("{error:#}"))),
    }
}

#[test]
#[ignore = "started by the smoke run, to be the origin or the bare proxy"]
fn plays_a_part_of_the_bench() {
    if let Some(role) = bench::Role::of_this_process().unwrap() {
        role.play().unwrap();
    }
}

#[test]
fn a_smoke_run_gives_figures_for_every_workload_and_no_failed_request() {
    let (shown, written) = run(&["--workload", "all"]);
    let sections = written["sections"].as_array().unwrap();
    for workload in ALL {
        // "idle" is not "idle-tls".
        let title = if workload == "body" { "\nbody down: ".to_owned() } else { format!("\n{workload}: ") };
        assert!(shown.contains(&title), "{workload} is not shown:\n{shown}");
        let section = sections.iter().find(|section| section["workload"] == workload);
        let section = section.unwrap_or_else(|| panic!("{workload} is not written:\n{written:#}"));
        let rounds: Vec<&Value> = match section["kind"].as_str().unwrap() {
            "turns" => {
                let peers = section["peers"].as_array().unwrap();
                assert_eq!(peers.len(), if WITH_BARE.contains(&workload) { 2 } else { 1 }, "{section:#}");
                peers.iter().flat_map(|peer| peer["rounds"].as_array().unwrap()).collect()
            }
            "churn" => section["rounds"].as_array().unwrap().iter().collect(),
            "idle" => {
                assert!(section["peers"].as_array().unwrap().iter().all(|peer| peer["rounds"][0]["clients"] == 50));
                continue;
            }
            kind => panic!("{workload}: {kind}"),
        };
        assert!(!rounds.is_empty(), "{section:#}");
        for round in rounds {
            assert!(round["requests"].as_u64().unwrap() > 0, "{workload}: {round:#}");
            assert_eq!(round["failed"], 0, "{workload}: {round:#}");
        }
    }
}

#[test]
fn a_gateway_that_opens_connections_where_it_need_not_fails_the_run_by_its_name() {
    let (shown, why) = try_run(&["--workload", "pass", "--bare-closes"]).unwrap_err();
    let named: Vec<&str> = why.lines().collect();
    assert!(
        named.len() == 1 && named[0].starts_with("bare: ") && named[0].contains("connections to the service"),
        "{why}"
    );
    // Who sees it sees the figures as well.
    assert!(shown.contains("\nfurt ") && shown.contains(named[0]), "{shown}");
}

#[test]
fn the_gateways_that_are_installed_do_what_they_are_measured_for_and_keep_their_connections() {
    let (shown, _) =
        run(&["--workload", "pass,browser,gateway", "--only", "furt,nginx,haproxy,caddy,sozu,aralez,pingap"]);
    assert!(shown.contains("\nbrowser: ") && shown.contains("\ngateway: "), "{shown}");
}

#[test]
fn those_with_tls_show_the_certificate_resume_sessions_and_speak_http_2() {
    let (shown, written) = run(&[
        "--workload",
        "handshake-ec,handshake-rsa,resume,h2,idle-tls,idle-h2",
        "--only",
        "furt,nginx,haproxy,caddy",
    ]);
    let installed = written["options"]["peers"].as_array().unwrap().iter().filter(|peer| **peer != "bare").count();
    for section in written["sections"].as_array().unwrap() {
        let peers = section["peers"].as_array().unwrap();
        assert_eq!(peers.len(), installed, "{shown}");
        let rounds = peers.iter().flat_map(|peer| peer["rounds"].as_array().unwrap());
        // The idle ones have no such count: they fail where one request does.
        let failed = rounds.filter(|round| round.get("failed").is_some_and(|failed| *failed != 0)).count();
        assert_eq!(failed, 0, "{shown}");
    }
    assert!(shown.contains("\nresume: ") && shown.contains("\nidle-h2: "), "{shown}");
}

#[test]
fn a_gateway_that_is_not_installed_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let arguments = ["--workload", "bare", "--only", "pingap", "--peer-path", empty.path().to_str().unwrap()];
    let (shown, written) = run(&arguments);
    // Where it is installed after all, it is measured, or said to be.
    assert!(shown.contains("pingap"), "{shown}");
    let named = [&written["options"]["missing"], &written["options"]["peers"]];
    assert!(named.iter().any(|names| names.as_array().unwrap().iter().any(|name| name == "pingap")), "{written:#}");
}

#[test]
fn bad_options_are_told() {
    for (arguments, told) in [
        (&["--rounds", "0"][..], "--rounds"),
        (&["--seconds", "0"], "--seconds"),
        (&["--rate", "many"], "must be a number"),
        (&["--only", "apache"], "apache"),
    ] {
        let error = bench::Options::try_parse_from(["load"].iter().chain(arguments)).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    let own = bench::Own::try_new(&[]).unwrap();
    for (arguments, told) in [
        (["--workload", "pass,nothing"], "--workload: \"nothing\" is none of pass"),
        (["--furt", "/nowhere/furt"], "--furt: there is no /nowhere/furt"),
    ] {
        let options = bench::Options::try_parse_from(["load"].iter().chain(&arguments)).unwrap();
        let error = bench::run(options, &own, &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
