//! The table against sentences of `docs/requests.md`, and against the naive model of the fuzz targets.

use std::sync::Arc;

use http::Method;

use super::naive::{self, shown as text};
use super::{Found, Owner, Route, ServiceIndex, Table};
use crate::model::{Host, MethodRule, Pattern};

/// From `"GET /a/*"`, `"GET host/a/*"`, and with a `static` in front one of the configuration's.
fn route(text: &str) -> Arc<Route> {
    let (owner, text) = match text.strip_prefix("static ") {
        Some(text) => (Owner::Static(ServiceIndex(0)), text),
        None => (Owner::Service(ServiceIndex(1)), text),
    };
    let (method, target) = text.split_once(' ').unwrap();
    let (host, path) = target.split_at(target.find('/').unwrap());
    Arc::new(Route {
        host: (!host.is_empty()).then(|| Host::try_new(host).unwrap()),
        method: MethodRule::try_new(method).unwrap(),
        pattern: Pattern::try_new(path).unwrap(),
        permission: None,
        owner,
        rules: None,
        counter: Default::default(),
    })
}

fn table(routes: &[&str]) -> Table {
    let mut table = Table::default();
    for text in routes {
        table.insert(route(text));
    }
    table
}

fn found(found: &Found<'_>) -> String {
    match found {
        Found::Route(route) => text(route),
        Found::Unusable(route) => format!("unusable {}", text(route)),
        Found::WrongMethod(methods) => format!("only {methods}"),
        Found::Nothing => "nothing".to_owned(),
    }
}

/// Asks for `"GET /path"` or `"GET host/path"`; routes of services that are named in `down` are not usable.
fn ask(table: &Table, request: &str, down: &[&str]) -> String {
    let (method, target) = request.split_once(' ').unwrap();
    let (host, path) = target.split_at(target.find('/').unwrap());
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    found(&table.find(host, path, &method, |route| !down.contains(&text(route).as_str())))
}

fn check(routes: &[&str], requests: &[(&str, &str)]) {
    let table = table(routes);
    for (request, expected) in requests {
        assert_eq!(ask(&table, request, &[]), *expected, "{request} among {routes:?}");
    }
}

#[test]
fn a_literal_wins_over_a_star_and_a_star_over_a_last_star() {
    check(
        &["GET /a/b/c", "GET /a/*/c", "GET /a/*", "GET /*"],
        &[
            ("GET /a/b/c", "GET /a/b/c"),
            ("GET /a/x/c", "GET /a/*/c"),
            ("GET /a/x/d", "GET /a/*"),
            ("GET /a/x", "GET /a/*"),
            ("GET /a", "GET /*"),
            ("GET /a/", "GET /*"),
            ("GET /", "nothing"),
        ],
    );
}

#[test]
fn the_leftmost_difference_decides() {
    check(&["GET /a/*/*", "GET /*/b/c"], &[("GET /a/b/c", "GET /a/*/*"), ("GET /x/b/c", "GET /*/b/c")]);
}

#[test]
fn a_literal_way_that_leads_nowhere_is_walked_back() {
    check(
        &["GET /a/b/c/d", "GET /a/*/c/e", "GET /*/b/c/f", "GET /*/*/*/g", "GET /a/*"],
        &[
            ("GET /a/b/c/d", "GET /a/b/c/d"),
            ("GET /a/b/c/e", "GET /a/*/c/e"),
            ("GET /a/b/c/f", "GET /a/*"),
            ("GET /x/b/c/f", "GET /*/b/c/f"),
            ("GET /x/b/c/g", "GET /*/*/*/g"),
            ("GET /x/b/c/h", "nothing"),
        ],
    );
}

#[test]
fn a_trailing_slash_is_a_last_empty_literal_that_no_star_takes() {
    check(
        &["GET /a", "GET /a/", "GET /b/*", "GET /c/*/", "GET /"],
        &[
            ("GET /a", "GET /a"),
            ("GET /a/", "GET /a/"),
            ("GET /b/", "nothing"),
            ("GET /b/x/", "GET /b/*"),
            ("GET /c/x/", "GET /c/*/"),
            ("GET /c/x", "nothing"),
            ("GET /c//", "nothing"),
            ("GET /", "GET /"),
        ],
    );
}

#[test]
fn a_path_of_any_length_is_matched_by_a_last_star() {
    let table = table(&["GET /a/*", "GET /a/*/*/x"]);
    let path = format!("/a{}", "/b".repeat(100_000));
    assert_eq!(found(&table.find("h", &path, &Method::GET, |_| true)), "GET /a/*");
    assert!(matches!(table.find("h", "*", &Method::OPTIONS, |_| true), Found::Nothing));
    assert!(matches!(table.find("h", "", &Method::GET, |_| true), Found::Nothing));
}

#[test]
fn a_walk_turns_back_from_the_deepest_node_of_all() {
    let table = table(&[&format!("GET {}", "/a".repeat(16)), &format!("GET {}/*/*", "/a".repeat(13))]);
    for (segments, expected) in [(14, "nothing"), (15, "GET /a"), (16, "GET /a"), (17, "GET /a"), (18, "GET /a")] {
        let answer = found(&table.find("h", &"/a".repeat(segments), &Method::GET, |_| true));
        assert!(answer.starts_with(expected), "{segments}: {answer}");
    }
}

#[test]
fn the_most_specific_pattern_that_has_the_method_wins() {
    check(
        &["GET /a/b", "POST /a/*", "* /*"],
        &[("GET /a/b", "GET /a/b"), ("POST /a/b", "POST /a/*"), ("PUT /a/b", "* /*"), ("PURGE /a/b", "* /*")],
    );
}

#[test]
fn the_own_method_wins_over_get_for_head_and_both_over_a_star() {
    check(
        &["* /a", "GET /a", "HEAD /a", "* /b", "GET /b", "PURGE /b", "M-SEARCH /b"],
        &[
            ("HEAD /a", "HEAD /a"),
            ("HEAD /b", "GET /b"),
            ("GET /a", "GET /a"),
            ("POST /a", "* /a"),
            ("PURGE /b", "PURGE /b"),
            ("M-SEARCH /b", "M-SEARCH /b"),
            ("LINK /b", "* /b"),
        ],
    );
}

#[test]
fn head_by_get_of_a_specific_pattern_wins_over_head_of_a_wider_one() {
    check(&["GET /a/b", "HEAD /a/*"], &[("HEAD /a/b", "GET /a/b"), ("HEAD /a/c", "HEAD /a/*")]);
}

#[test]
fn a_wrong_method_gets_the_union_of_all_that_match() {
    check(
        &["GET /a/b", "POST /a/*", "PUT shop/a/*", "DELETE /b/*", "PURGE /a/b"],
        &[
            ("PATCH shop/a/b", "only GET, HEAD, POST, PURGE, PUT"),
            ("PATCH /a/b", "only GET, HEAD, POST, PURGE"),
            ("PATCH /a/c", "only POST"),
            ("GET /a/c", "only POST"),
            ("GET /b/c", "only DELETE"),
            ("PATCH /c", "nothing"),
        ],
    );
}

#[test]
fn routes_of_the_host_come_before_all_without_a_host() {
    check(
        &["GET /a/b", "GET shop/*", "GET other/a/b", "POST /a/b"],
        &[
            ("GET shop/a/b", "GET shop/*"),
            ("GET /a/b", "GET /a/b"),
            ("GET third/a/b", "GET /a/b"),
            ("POST shop/a/b", "POST /a/b"),
            ("GET other/a/b", "GET other/a/b"),
        ],
    );
}

#[test]
fn a_static_route_stands_in_for_one_that_is_not_usable() {
    let table = table(&["GET shop/a/b", "GET /a/b", "static GET /a/*", "static * /*", "PUT /a/b", "static * /a/b"]);
    let down = ["GET shop/a/b", "GET /a/b"];
    assert_eq!(ask(&table, "GET shop/a/b", &down), "static * /a/b");
    assert_eq!(ask(&table, "GET shop/a/b", &["GET shop/a/b"]), "static * /a/b");
    let down = ["GET shop/a/b", "GET /a/b", "static * /a/b"];
    assert_eq!(ask(&table, "GET shop/a/b", &down), "static GET /a/*");
    let down = ["GET shop/a/b", "GET /a/b", "static * /a/b", "static GET /a/*"];
    assert_eq!(ask(&table, "GET shop/a/b", &down), "static * /*");
    assert_eq!(ask(&table, "PUT /a/b", &["PUT /a/b", "static * /a/b"]), "static * /*");
}

#[test]
fn a_wider_service_does_not_stand_in_for_one_that_is_not_usable() {
    let table = table(&["GET /a/b", "GET /a/*", "static POST /a/*"]);
    assert_eq!(ask(&table, "GET /a/b", &["GET /a/b"]), "unusable GET /a/b");
    assert_eq!(ask(&table, "GET /a/c", &["GET /a/b"]), "GET /a/*");
}

#[test]
fn all_that_match_are_listed_in_order_of_precedence() {
    let table = table(&["* /*", "POST /a/b", "* /a/b", "GET /a/b", "GET /a/*", "PUT /*/b", "GET shop/*", "GET /b"]);
    let listed: Vec<_> = table.matches("shop", "/a/b").into_iter().map(|route| text(route)).collect();
    assert_eq!(listed, ["GET shop/*", "GET /a/b", "POST /a/b", "* /a/b", "GET /a/*", "PUT /*/b", "* /*"]);
    assert!(table.matches("shop", "/").is_empty());
}

#[test]
fn routes_are_listed_in_an_order_that_does_not_depend_on_their_arrival() {
    let mut texts: Vec<String> = (10..60).map(|i| format!("GET /api/{i}")).collect();
    texts.extend((10..60).map(|i| format!("GET host{i}/x")));
    texts.extend(["GET /", "GET /api", "* /api", "GET /api/", "GET /api/*", "GET /api/*/x"].map(str::to_owned));
    let list = |texts: &[String]| {
        let table = table(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        table.iter().map(|route| text(route)).collect::<Vec<_>>()
    };
    let listed = list(&texts);
    assert_eq!(listed[..5], ["GET /", "GET /api", "* /api", "GET /api/", "GET /api/10"]);
    assert_eq!(listed[53..57], ["GET /api/59", "GET /api/*/x", "GET /api/*", "GET host10/x"]);
    fastrand::Rng::with_seed(7).shuffle(&mut texts);
    assert_eq!(list(&texts), listed);
}

#[test]
fn a_route_replaces_the_one_of_the_same_host_pattern_and_method() {
    let mut table = table(&["GET /a", "POST /a", "GET shop/a"]);
    table.insert(route("static GET /a"));
    assert_eq!(table.len(), 3);
    assert_eq!(ask(&table, "GET /a", &[]), "static GET /a");
    assert_eq!(ask(&table, "GET shop/a", &[]), "GET shop/a");
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut table = table(&["GET /a/b", "GET shop/a"]);
    for absent in ["POST /a/b", "* /a/b", "GET /a", "GET /a/b/c", "GET /a/*", "GET shop/b", "GET other/a", "GET /*/b"] {
        let absent = route(absent);
        assert_eq!(table.remove(absent.host.as_ref(), &absent.method, &absent.pattern), None);
    }
    assert_eq!(table.len(), 2);
}

#[test]
fn many_children_come_and_go_and_nothing_is_left_behind() {
    let texts: Vec<String> = (0..500)
        .flat_map(|i| {
            [format!("GET /api/{i}/*"), format!("GET /api/{i}/*/{}", "x".repeat(i % 40 + 1)), format!("GET h{i}/*")]
        })
        .collect();
    let full = table(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let mut table = full.clone();
    for (count, text) in texts.iter().enumerate() {
        assert_eq!(table.len(), texts.len() - count);
        let gone = route(text);
        assert_eq!(table.remove(gone.host.as_ref(), &gone.method, &gone.pattern), Some(gone));
        assert_eq!(table.iter().count(), table.len());
    }
    assert!(table.is_empty() && table.is_bare());
    assert_eq!((full.len(), full.iter().count()), (1500, 1500));
}

fn random_path(rng: &mut fastrand::Rng, letters: usize, stars: bool) -> String {
    let mut path = String::new();
    for _ in 0..rng.usize(1..=5) {
        match rng.usize(..6) {
            0 | 1 if stars => path.push_str("/*"),
            // Labels beyond what lies inline.
            2 => path.push_str(&format!("/a-rather-long-literal-{}", rng.usize(..letters))),
            _ => path.push_str(&format!("/{}", rng.usize(..letters))),
        }
    }
    if rng.usize(..6) == 0 {
        path.push('/');
    }
    path
}

fn random_route(rng: &mut fastrand::Rng, letters: usize, hosts: usize) -> Arc<Route> {
    let methods = ["GET", "GET", "HEAD", "POST", "PURGE", "LINK", "*"];
    let index = ServiceIndex(rng.u32(..4));
    Arc::new(Route {
        host: (rng.bool() && hosts > 0).then(|| Host::try_new(&format!("h{}", rng.usize(..hosts))).unwrap()),
        method: MethodRule::try_new(methods[rng.usize(..methods.len())]).unwrap(),
        pattern: random_pattern(rng, letters),
        permission: None,
        owner: if rng.usize(..4) == 0 { Owner::Static(index) } else { Owner::Service(index) },
        rules: None,
        counter: Default::default(),
    })
}

/// Some random texts have more `*` than a pattern may.
fn random_pattern(rng: &mut fastrand::Rng, letters: usize) -> Pattern {
    loop {
        if let Ok(pattern) = Pattern::try_new(&random_path(rng, letters, true)) {
            return pattern;
        }
    }
}

fn agrees(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let letters = [1, 2, 3, 40][rng.usize(..4)];
    let hosts = [0, 1, 3, 40][rng.usize(..4)];
    let growing = [40, 60, 75][rng.usize(..3)];
    let (mut table, mut naive) = (Table::default(), naive::Routes::default());
    let mut kept: Vec<(Table, naive::Routes)> = Vec::new();
    for step in 0..rng.usize(20..160) {
        if rng.usize(..100) < growing {
            let route = random_route(&mut rng, letters, hosts);
            table.insert(Arc::clone(&route));
            naive.insert(route);
        } else {
            let gone = match naive.0.len() {
                len if len > 0 && rng.usize(..5) > 0 => Arc::clone(&naive.0[rng.usize(..len)]),
                _ => random_route(&mut rng, letters, hosts),
            };
            assert_eq!(
                table.remove(gone.host.as_ref(), &gone.method, &gone.pattern),
                naive.remove(&gone),
                "seed {seed} step {step}"
            );
        }
        assert_eq!(table.len(), naive.0.len(), "seed {seed} step {step}");
        assert_eq!(table.is_bare(), naive.0.is_empty(), "seed {seed} step {step}");
        if rng.usize(..20) == 0 {
            kept.push((table.clone(), naive.clone()));
        }
    }
    kept.push((table, naive));
    for (table, naive) in &kept {
        let texts = |routes: &mut dyn Iterator<Item = &Arc<Route>>| {
            let mut texts: Vec<_> = routes.map(|route| format!("{route:?}")).collect();
            texts.sort();
            texts
        };
        assert_eq!(texts(&mut table.iter()), texts(&mut naive.0.iter()), "seed {seed}");
        for _ in 0..60 {
            let host = format!("h{}", rng.usize(..hosts + 1));
            let stars = rng.usize(..8) == 0;
            let path = random_path(&mut rng, letters, stars);
            let method = ["GET", "HEAD", "POST", "PURGE", "LINK", "PUT"][rng.usize(..6)].parse().unwrap();
            let up = [0b1111, 0b0101, 0b0001, 0][rng.usize(..4)];
            let usable = |route: &Route| up >> route.owner.index().0 & 1 == 1;
            assert_eq!(
                found(&table.find(&host, &path, &method, usable)),
                naive.find(&host, &path, &method, usable),
                "seed {seed}: {method} {host}{path}, up {up:b}"
            );
            assert_eq!(table.matches(&host, &path), naive.matches(&host, &path), "seed {seed}: {host}{path}");
        }
    }
}

#[test]
fn any_table_agrees_with_the_plain_definition_and_old_clones_stay_as_they_were() {
    for seed in 0..600 {
        agrees(seed);
    }
}
