//! Two gateways are told at the same moment what cannot both be.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::comers_and_goers::ComersAndGoers;
use crate::foreign::Etcd;
use crate::gateways::{agree, pair, shared_service};
use crate::support::{Answer, Gateway, Origin, SOON, eventually, with};

const PAIRS: usize = 100;

/// A service with these routes.
fn claiming(service: &str, url: &str, routes: Vec<Value>) -> Value {
    with(shared_service(service, url), json!({ "routes": routes }))
}

fn route(method: &str, path: &str) -> Value {
    json!({"method": method, "path": path})
}

/// Registers one at A and the other at B, at once.
async fn race(a: &Gateway, b: &Gateway, one: &Value, other: &Value) -> [Answer; 2] {
    let (one, other) = tokio::join!(a.register(one), b.register(other));
    [one, other]
}

/// One was taken, and the other was told by whom; the number of the winner.
#[track_caller]
fn winner(answers: &[Answer; 2], names: [&str; 2]) -> usize {
    let statuses = answers.each_ref().map(|answer| answer.status.as_u16());
    let winner = match statuses {
        [200, 409] => 0,
        [409, 200] => 1,
        _ => panic!("{answers:?}"),
    };
    let problem = answers[1 - winner].problem(409, "taken");
    assert_eq!(problem["rival"]["service"], names[winner], "{problem}");
    winner
}

/// How often a service of each kind is known.
async fn owners(gateway: &Gateway) -> Vec<String> {
    let listed = gateway.seen("/internal/services").await;
    let services = listed["services"].as_array().unwrap().iter();
    services.map(|service| service["service"].as_str().unwrap().to_owned()).collect()
}

/// `PAIRS` races; each has one owner, at both gateways.
async fn races(pair_of: impl Fn(usize, &str) -> [Value; 2]) {
    let (etcd, origin) = (Etcd::three().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    let begin = Instant::now();
    let mut wins = [0; 2];
    let mut expected = Vec::new();
    for number in 0..PAIRS {
        let [one, other] = pair_of(number, &origin.url());
        let answers = race(&a, &b, &one, &other).await;
        let names = [&one, &other].map(|body| body["service"].as_str().unwrap());
        let winner = winner(&answers, names);
        wins[winner] += 1;
        expected.push(names[winner].to_owned());
    }
    println!("{PAIRS} pairs in {:?}, of which A's won {} and B's {}", begin.elapsed(), wins[0], wins[1]);
    expected.sort();
    for gateway in [&a, &b] {
        eventually("each has one owner", SOON, async || (owners(gateway).await == expected).then_some(())).await;
    }
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn of_each_pair_that_wants_one_route_one_has_it_and_the_other_is_told_by_whom() {
    races(|number, url| {
        ["one", "other"]
            .map(|name| claiming(&format!("{name}-{number}"), url, vec![route("GET", &format!("/r{number}/*"))]))
    })
    .await;
}

/// The one has no more than one route, the other one as many as it may: they meet by other fences.
#[tokio::test]
async fn one_route_among_256_is_owned_once() {
    let (etcd, origin) = (Etcd::three().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    let large = |name: &str, number: usize, shared: usize| {
        let own = (0..256 - shared).map(|at| route("GET", &format!("/{name}{number}/{at}")));
        let common = (0..shared).map(|at| route("GET", &format!("/common{number}/{at}")));
        claiming(&format!("{name}-{number}"), &origin.url(), own.chain(common).collect())
    };
    for number in 0..20 {
        let small =
            claiming(&format!("small-{number}"), &origin.url(), vec![route("GET", &format!("/common{number}/0"))]);
        let (one, other) = match number % 3 {
            0 => (large("one", number, 1), large("other", number, 1)),
            1 => (large("one", number, 1), small),
            _ => (small, large("one", number, 256)),
        };
        let answers = race(&a, &b, &one, &other).await;
        winner(&answers, [&one, &other].map(|body| body["service"].as_str().unwrap()));
    }
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn an_instance_id_is_one_services_alone() {
    races(|number, url| {
        ["one", "other"].map(|name| {
            let body = shared_service(&format!("{name}-{number}"), url);
            with(body, json!({"instance": format!("id-{number}")}))
        })
    })
    .await;
}

/// As with one gateway: an exact method and `*` stand side by side.
#[tokio::test]
async fn an_exact_method_and_all_methods_of_one_path_are_no_conflict() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    for number in 0..20 {
        let path = format!("/r{number}");
        let one = claiming(&format!("one-{number}"), &origin.url(), vec![route("*", &path)]);
        let other = claiming(&format!("other-{number}"), &origin.url(), vec![route("GET", &path)]);
        for answer in race(&a, &b, &one, &other).await {
            answer.ok();
        }
    }
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn a_service_that_is_told_two_definitions_at_once_has_one_of_them_at_both_gateways() {
    let (etcd, origin) = (Etcd::three().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    for number in 0..50 {
        let version = |name: &str| {
            let body = claiming("service", &origin.url(), vec![route("GET", &format!("/{name}{number}"))]);
            with(body, json!({"instance": name}))
        };
        let other_url = origin.url().replace("127.0.0.1", "127.0.0.2");
        let other = with(version("other"), json!({"url": other_url}));
        for answer in race(&a, &b, &version("one"), &other).await {
            answer.ok();
        }
        eventually("one definition", SOON, async || {
            let definition = async |gateway: &Gateway| gateway.service("service").await.unwrap()["routes"].clone();
            (definition(&a).await == definition(&b).await).then_some(())
        })
        .await;
    }
    agree(&[a, b], &etcd).await;
}

/// Many at once, of whom each conflicts with one at the other gateway, and who come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_and_goes_at_both_gateways_leaves_nothing_behind() {
    let (etcd, origin) = (Etcd::three().await, Origin::start().await);
    let gateways = pair(&etcd).await;
    let end = Instant::now() + Duration::from_secs(5);
    let all = ComersAndGoers::start(&gateways, &origin.url(), end).ended().await;
    println!("{all:?}");
    assert!(all.keys().all(|status| [200, 409].contains(status)), "{all:?}");
    assert!(all[&200] > 100, "{all:?}");
    agree(&gateways, &etcd).await;
    assert_eq!(etcd.ctl().names_below("/furt/default/v1/services/").await, Vec::<String>::new());
}

/// None of them conflicts with another, so none may have to wait for long: whoever is outdated by chance is judged again, and
/// each time somebody else was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_registrations_at_both_gateways_are_all_stored() {
    const CALLERS: usize = 32;
    const EACH: usize = 40;
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let gateways = pair(&etcd).await;
    let begin = Instant::now();
    let callers: tokio::task::JoinSet<usize> = (0..CALLERS)
        .map(|caller| {
            let client = crate::support::gateway::client_from(None);
            let register = gateways[caller % 2].internal_url("/internal/register-service");
            let url = origin.url();
            async move {
                let mut refused = 0;
                for number in 0..EACH {
                    let body = shared_service(&format!("s{caller}-{number}"), &url);
                    while client.post(&register).json(&body).send().await.unwrap().status() != 200 {
                        refused += 1;
                        assert!(begin.elapsed() < Duration::from_secs(60), "{number} of {EACH} are stored");
                    }
                }
                refused
            }
        })
        .collect();
    let refused: usize = callers.join_all().await.into_iter().sum();
    let mut outdated = 0.0;
    for gateway in &gateways {
        outdated += crate::gateways::metric(gateway, "furt_store_writes_outdated_total").await;
    }
    println!("{} in {:?}; refused {refused}, outdated {outdated}", CALLERS * EACH, begin.elapsed());
    assert_eq!(refused, 0);
    assert!(outdated < (CALLERS * EACH) as f64 / 2.0, "{outdated}");
    agree(&gateways, &etcd).await;
}
