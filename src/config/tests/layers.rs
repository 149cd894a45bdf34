//! Settings from elsewhere: what they may set, what lies over what, and where errors are.

use std::collections::BTreeMap;

use super::super::{Config, ConfigErrors, Disallowed, Layer};

fn layer(name: &str, text: &str) -> Layer {
    Layer { name: name.to_owned(), text: text.to_owned(), disallowed: Disallowed::Refused }
}

/// One that was in force before.
fn earlier(name: &str, text: &str) -> Layer {
    Layer { disallowed: Disallowed::PassedOver, ..layer(name, text) }
}

fn loaded(
    file: &str,
    layers: &[Layer],
    env: &[(&str, &str)],
) -> Result<(Config, super::super::KeyLocations), ConfigErrors> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("furt.toml");
    std::fs::write(&path, file).unwrap();
    let env: BTreeMap<_, _> = env.iter().copied().collect();
    Config::load_with_layers(&path, layers, &|name| env.get(name).map(|&text| text.to_owned()))
}

const ALLOWING: &str = "[cluster]\nsettings = ['limits.*', 'client.header_timeout']\n[limits]\nmax_body = 1\n";

fn errors(file: &str, text: &str) -> Vec<String> {
    let refused = loaded(file, &[layer("settings 7", text)], &[]).unwrap_err();
    refused.iter().map(ToString::to_string).collect()
}

#[test]
fn the_environment_lies_over_the_node_s_settings_those_over_the_cluster_s_and_those_over_the_file() {
    let layers = [
        layer("cluster", "[limits]\nmax_body = 2\naddress_burst = 2\n[client]\nheader_timeout = 2"),
        layer("node", "[limits]\naddress_burst = 3"),
    ];
    let load = |layers: &[Layer], env: &[(&str, &str)]| loaded(ALLOWING, layers, env).unwrap();
    let (config, places) = load(&layers, &[]);
    assert_eq!((config.limits.max_body, config.client.header_timeout.as_secs()), (Some(2), 2));
    let place = |key: &str| places.get(key).unwrap().to_string();
    assert_eq!([place("limits.max_body"), place("limits.address_burst")], ["cluster:2:12", "node:2:17"]);
    let (config, _) = load(&layers, &[("FURT_LIMITS_MAX_BODY", "4")]);
    assert_eq!(config.limits.max_body, Some(4));
    assert_eq!(load(&[], &[]).0.limits.max_body, Some(1));
}

#[test]
fn what_is_not_allowed_is_refused_with_its_place_or_passed_over_by_a_file_that_is_newer() {
    let told = errors(
        "[cluster]\nsettings = ['limits.max_body']",
        "[limits]\nmax_body = 'x'\naddress_burst = 2\nmax_bdy = 1\n[cluster]\nbeat_interval = 1\n[[routes]]\npath = '/'\n",
    );
    let all = told.join("\n");
    for part in [
        "settings 7:2:12: limits.max_body: ",
        "settings 7:3:1: limits.address_burst: this node's file does not allow it",
        "settings 7:4:1: limits.max_bdy: is not known; did you mean \"limits.max_body\"?",
        "settings 7:6:1: cluster.beat_interval: can be set by a node's own file and environment alone",
        "routes: cannot be set from elsewhere",
    ] {
        assert!(all.contains(part), "{part}\n{all}");
    }
    assert!(errors("", "[limits]\nmax_body = 2\n")[0].contains("does not allow it"));
    let old = [earlier("settings 7", "[limits]\nmax_body = 2\naddress_burst = 2\n")];
    let file = "[cluster]\nsettings = ['limits.address_burst']";
    let (config, _) = loaded(file, &old, &[]).unwrap();
    assert_eq!(config.limits.max_body, Config::default().limits.max_body);
    assert_eq!(config.limits.address_burst.get(), 2);
    assert_eq!(config.passed_over.into_iter().collect::<Vec<_>>(), ["limits.max_body"]);
    // Those of one scope that are in force do not keep another one's from being set.
    let mut both = [old[0].clone(), layer("settings of this node", "[limits]\naddress_burst = 3\n")];
    assert_eq!(loaded(file, &both, &[]).unwrap().0.limits.address_burst.get(), 3);
    both[1].text.push_str("max_body = 3\n");
    let refused = loaded(file, &both, &[]).unwrap_err();
    assert_eq!(refused.iter().count(), 1);
    assert!(refused.to_string().contains("settings of this node:3:1: limits.max_body: this node's file"), "{refused}");
    assert!(errors(ALLOWING, "[limits\nmax_body = 2")[0].starts_with("settings 7:1:"));
}

#[test]
fn a_file_allows_only_what_can_be_set_from_elsewhere() {
    for text in [
        "routes.*",
        "internal.*",
        "cluster.settings",
        "limits.nothing",
        "server.listen",
        "limits",
        "LIMITS.*",
        ".*",
        "",
    ] {
        let refused = Config::parse("furt.toml", &format!("[cluster]\nsettings = ['{text}']"), &|_| None);
        let told = refused.map(|_| ()).unwrap_err().to_string();
        assert!(told.contains("cluster.settings"), "{text}: {told}");
    }
    for text in ["limits.*", "server.grace", "gateway.*"] {
        Config::parse("furt.toml", &format!("[cluster]\nsettings = ['{text}']"), &|_| None).unwrap();
    }
}
