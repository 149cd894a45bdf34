//! What the snapshot leads to: static routes, services behind them, services without routes.

use std::sync::Arc;

use super::{Command, Harness, address, definition_of, policy, settings, source};
use crate::model::{FixedAnswer, Host, Respond, ServiceName, Status};
use crate::registry::{DnsSubject, Event, StaticRoute, StaticTarget};
use crate::routing::{Found, Owner, ServiceKind};

pub(super) fn fixed(route: &str, target: StaticTarget) -> StaticRoute {
    let route = definition_of("x", &[route]).routes.remove(0);
    StaticRoute { host: None, method: route.method, pattern: route.pattern, permission: route.permission, target }
}

pub(super) fn url(url: &str) -> StaticTarget {
    let command = Command::new("x", &[]).at(url, &[]).unprobed();
    StaticTarget::Url { spec: Box::new(command.0.instance), addresses: command.0.addresses }
}

/// furt's own answer with this text.
pub(super) fn text(body: &'static str) -> StaticTarget {
    let media_type = http::HeaderValue::from_static("text/plain");
    let respond = Respond { status: http::StatusCode::OK, media_type, body: body.into() };
    StaticTarget::Answer(FixedAnswer::Respond(Arc::new(respond)))
}

/// Who answers a GET, or with what furt does.
pub(super) fn found(furt: &Harness, path: &str) -> String {
    match furt.snapshot.find("", path, &http::Method::GET) {
        Found::Route(route) => furt.snapshot.service(route.owner.index()).unwrap().definition.service.to_string(),
        Found::Unusable(_) => "503".to_owned(),
        Found::WrongMethod(_) => "405".to_owned(),
        Found::Nothing => "404".to_owned(),
    }
}

#[test]
fn a_down_service_gives_its_path_back_to_the_static_route() {
    let mut furt = Harness::with(settings(policy()), vec![fixed("GET /api/*", url("http://127.0.0.1:7901"))]);
    furt.register(&Command::new("a", &["GET /api/comments", "GET /own", "POST /post"])).unwrap();
    for (outcomes, comments, own) in [("", "a", "a"), ("---", "static", "503"), ("+", "a", "a")] {
        furt.probe("a", outcomes);
        let answers = ["/api/comments", "/own", "/post", "/none"].map(|path| found(&furt, path));
        assert_eq!(answers, [comments, own, "405", "404"], "after {outcomes}");
    }
    furt.deregister("a", source("127.0.0.1")).unwrap();
    assert_eq!(["/api/comments", "/own"].map(|path| found(&furt, path)), ["static", "404"]);
}

#[test]
fn a_static_route_to_a_service_can_be_used_while_that_service_can() {
    let target = StaticTarget::Service(ServiceName::try_new("mail").unwrap());
    let mut furt = Harness::with(settings(policy()), vec![fixed("POST /v1/mail", target)]);
    assert!(furt.usable("", "/v1/mail").is_empty());
    furt.register(&Command::new("mail", &["GET /mail"])).unwrap();
    assert_eq!(furt.usable("", "/v1/mail"), ["mail"]);
    furt.probe("mail", "---");
    assert!(furt.usable("", "/v1/mail").is_empty());
    furt.probe("mail", "+");
    assert_eq!(furt.usable("", "/v1/mail"), ["mail"]);
    furt.deregister("mail", source("127.0.0.1")).unwrap();
    assert!(furt.usable("", "/v1/mail").is_empty());
    assert_eq!(furt.snapshot.table.len(), 1);
}

#[test]
fn an_answer_of_furts_own_always_can_be_used_and_takes_the_place_of_what_was_there() {
    let mut furt = Harness::with(settings(policy()), vec![fixed("GET /api/*", text("a"))]);
    furt.register(&Command::new("a", &["GET /api/comments"])).unwrap();
    for (outcomes, comments) in [("", "a"), ("---", "static"), ("+", "a")] {
        furt.probe("a", outcomes);
        assert_eq!([found(&furt, "/api/comments"), found(&furt, "/api/x")], [comments, "static"], "after {outcomes}");
    }
    let kind = |furt: &Harness| match furt.snapshot.find("", "/api/x", &http::Method::GET) {
        Found::Route(route) => furt.snapshot.service(route.owner.index()).unwrap().kind.clone(),
        _ => panic!("no route"),
    };
    let answer = |target: &StaticTarget| match target {
        StaticTarget::Answer(answer) => ServiceKind::Answers(answer.clone()),
        _ => panic!("no answer"),
    };
    let index = |furt: &Harness| match furt.snapshot.find("", "/api/x", &http::Method::GET) {
        Found::Route(route) => route.owner,
        _ => panic!("no route"),
    };
    let before = index(&furt);
    furt.reconfigure(settings(policy()), vec![fixed("GET /api/*", text("a"))]);
    assert_eq!(index(&furt), before, "the same text stays where it is");
    for target in [text("b"), url("http://mail.example:25"), text("b")] {
        furt.reconfigure(settings(policy()), vec![fixed("GET /api/*", target.clone())]);
        match &target {
            StaticTarget::Url { .. } => assert_eq!((kind(&furt), furt.names.len()), (ServiceKind::Static, 1)),
            _ => assert_eq!((kind(&furt), furt.names.len()), (answer(&target), 0)),
        }
    }
}

#[test]
fn a_static_routes_name_is_followed_from_the_start() {
    let mut furt = Harness::with(settings(policy()), vec![fixed("GET /x", url("http://mail.example:25"))]);
    let (subject, order) =
        furt.names.first_key_value().map(|(subject, order)| (subject.clone(), order.clone())).unwrap();
    let DnsSubject::Static(index) = subject else { panic!("{subject} is no static route") };
    assert_eq!((&*order.name, order.port), ("mail.example", 25));
    let addresses = [address("10.0.0.7:25")].into_iter().collect();
    furt.send(Event::NameResolved { subject, token: order.token, addresses });
    assert_eq!(furt.snapshot.service(index).unwrap().instances[0].addresses[..], [address("10.0.0.7:25")]);
}

#[test]
fn a_service_without_routes_is_reached_by_its_host_with_its_permission() {
    let mut furt = Harness::new();
    assert_eq!(furt.register(&Command::new("shop", &[])).unwrap().routes, 0);
    for path in ["/", "/a", "/a/b/"] {
        assert_eq!(furt.usable("shop.internal", path), ["shop"], "{path}");
        assert!(furt.usable("other.internal", path).is_empty(), "{path}");
    }
    for route in furt.snapshot.table.iter() {
        assert_eq!(route.permission.as_ref().map(|own| own.as_str()), Some("app:shop"));
        assert_eq!(route.host, Some(Host::try_new("shop.internal").unwrap()));
        assert!(matches!(route.owner, Owner::Service(_)));
    }
    furt.register(&Command::new("shop", &["GET /shop"])).unwrap();
    assert!(furt.usable("shop.internal", "/a").is_empty());
    assert_eq!(furt.usable("shop.internal", "/shop"), ["shop"]);
}

#[test]
fn services_are_listed_by_name() {
    let mut furt = Harness::new();
    for name in ["b", "a", "c"] {
        furt.register(&Command::new(name, &[])).unwrap();
    }
    let names: Vec<_> = furt.snapshot.registered().map(|one| (one.definition.service.as_str(), one.status)).collect();
    assert_eq!(names, [("a", Status::Unknown), ("b", Status::Unknown), ("c", Status::Unknown)]);
}

#[test]
fn a_static_star_stands_in_for_an_exact_method_whose_service_is_down_and_another_services_star_does_not() {
    for (stands_in, answer) in [(true, "static"), (false, "503")] {
        let fixed = if stands_in { vec![fixed("* /x/*", url("http://127.0.0.1:7901"))] } else { Vec::new() };
        let mut furt = Harness::with(settings(policy()), fixed);
        if !stands_in {
            furt.register(&Command::new("b", &["* /x/*"]).id("b").at("http://127.0.0.1:7902", &[])).unwrap();
        }
        furt.register(&Command::new("a", &["GET /x/*"])).unwrap();
        assert_eq!(found(&furt, "/x/y"), "a");
        furt.probe("a", "---");
        assert_eq!(found(&furt, "/x/y"), answer);
    }
}
