//! The types read what furt sends, and write it again to the byte.

use furt_api::backends::BackendRegistration;
use furt_api::cluster::{
    Adopt, AdoptedSecret, Approve, ApprovedNode, Founded, IssuedToken, Join, Joining, NewToken, NodeState, RevokedNode,
    Role, Standing,
};
use furt_api::events::Events;
use furt_api::health::Health;
use furt_api::keys::Keys;
use furt_api::nodes::Nodes;
use furt_api::registration::{HealthEndpoint, Registration, Route};
use furt_api::reload::Reloaded;
use furt_api::routes::Explanation;
use furt_api::settings::{ChangeSettings, SetSettings, Settings, TargetResult, Targets};
use furt_api::stats::Stats;
use furt_api::{Code, Problem, Seconds, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads a text as a `T`, and asserts that it is written again as it was.
fn same<T: Serialize + DeserializeOwned>(text: &str) -> T {
    let value: T = serde_json::from_str(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    assert_eq!(serde_json::to_string(&value).unwrap_or_default(), text);
    value
}

#[test]
fn a_problem_has_only_the_members_that_it_needs() {
    let head = r#""type":"urn:furt:problem:taken","title":"Conflict","status":409,"code":"taken""#;
    let problem: Problem = same(&format!(r#"{{{head},"detail":"no","request_id":"1","rival":null}}"#));
    assert_eq!((&problem.code, problem.rival), (&Code::Taken, Some(None)));
    let rival = r#""rival":{"service":"a","status":"UP"}"#;
    let problem: Problem = same(&format!(r#"{{{head},"request_id":"1",{rival}}}"#));
    assert_eq!(problem.rival.unwrap().unwrap().status, Status::Up);
    for errors in [
        r#"[{"pointer":"","detail":"x"},{"parameter":"wait","detail":"x"}]"#,
        r#"[{"file":"furt.toml","line":1,"column":2,"key":"server","detail":"x"},{"variable":"A","key":"b","detail":"x"}]"#,
    ] {
        same::<Problem>(&format!(r#"{{{head},"request_id":"1","errors":{errors}}}"#));
    }
    same::<Problem>(&format!(r#"{{{head},"request_id":"1","id":"a","error":"backend not found"}}"#));
}

#[test]
fn what_a_newer_furt_adds_is_no_error() {
    let text = r#"{"type":"t","title":"t","status":499,"code":"teapot","request_id":"1","more":[1]}"#;
    let problem: Problem = serde_json::from_str(text).unwrap();
    assert_eq!((problem.code.as_str(), &problem.code), ("teapot", &Code::Other("teapot".to_owned())));
    assert_eq!(serde_json::from_str::<Status>(r#""ASLEEP""#).unwrap().as_str(), "ASLEEP");
}

#[test]
fn a_registration_leaves_out_what_furt_has_a_default_for() {
    same::<Registration>(r#"{"service":"a","url":"http://b"}"#);
    let unprobed: Registration = same(r#"{"service":"a","url":"http://b","health_endpoint":null}"#);
    assert_eq!(unprobed.health_endpoint, HealthEndpoint::Unprobed);
    let full = Registration {
        routes: Some(vec![Route::protected("GET", "/a", "a:read")]),
        slow_start: Some(Seconds(1.5)),
        ..Registration::new("a", "http://b")
    };
    let routes = r#"[{"method":"GET","path":"/a","permission":"a:read"}]"#;
    let text = format!(r#"{{"service":"a","url":"http://b","routes":{routes},"slow_start":1.5}}"#);
    assert_eq!(serde_json::to_string(&full).unwrap(), text);
    assert!(serde_json::from_str::<Registration>(r#"{"service":"a","url":"http://b","x":1}"#).is_err());
    let none = Registration { routes: Some(Vec::new()), ..Registration::new("a", "http://b") };
    assert_eq!(serde_json::to_string(&none).unwrap(), r#"{"service":"a","url":"http://b","routes":[]}"#);
    same::<BackendRegistration>(r#"{"id":"a","app":"b","region":"eu","ip":"::1","port":80}"#);
}

#[test]
fn an_explanation_tells_absent_from_null() {
    let bad = r#"{"method":"GET","host":"","verdict":"bad-path","reason":"x","candidates":[]}"#;
    assert_eq!(same::<Explanation>(bad).route, None);
    let none = r#"{"method":"GET","host":"","path":"/","verdict":"route-not-found","reason":"x","route":null,"candidates":[]}"#;
    assert_eq!(same::<Explanation>(none).route, Some(None));
}

#[test]
fn health_is_brief_or_detailed() {
    same::<Health>(r#"{"status":"healthy","service":"furt","version":"1"}"#);
    let url = r#""url":"http://a","last_ping":null,"response_time_ms":5,"consecutive_failures":0"#;
    let one = format!(r#"{{"status":"UP",{url},"draining":true}}"#);
    let two = format!(r#"{{"status":"UP",{url},"instances":{{"z":{one},"a":{one}}}}}"#);
    let text = format!(
        r#"{{"status":"ok","service":"furt","version":"1","build":{{"commit":"c"}},"issues":["x"],"services":{{"one":{one},"two":{two},"held":{{"status":"DOWN"}}}},"generation":1,"epoch":"e","backends":3,"uptime_secs":1}}"#
    );
    let services = same::<Health>(&text).services.unwrap();
    assert_eq!(services.get("held").unwrap().first, None);
}

#[test]
fn counts_are_left_out_where_there_was_no_request() {
    let counts = r#""requests":[0,0,1,0,0,0],"refused":0,"errors":0,"latency":[[3,1]]"#;
    let service = r#""service":"a","status":"UP","registered_ms":1,"instances":[1,2],"in_flight":0,"uptime_share":1.0"#;
    let text = format!(
        r#"{{"uptime_ms":1,"started_ms":2,"epoch":"e","generation":3,"status_classes":["none"],"latency_begins_us":[0],"services":[{{{counts},{service}}},{{{service}}}],"static":{{}},"unrouted":{{{counts}}}}}"#
    );
    let stats: Stats = same(&text);
    assert_eq!((stats.static_routes.counts, stats.services[1].traffic.counts.as_ref()), (None, None));
}

#[test]
fn lists_are_written_as_they_were_read() {
    let place = r#""file":"furt.toml","line":1,"column":2"#;
    same::<Reloaded>(&format!(
        r#"{{"status":"reloaded","generation":1,"changed":["a"],"needs_restart":[{{{place},"key":"a"}},{{"key":"b"}}],"blocked":[{{"service":"a","why":"b"}}],"skipped_rules":[{{"line":3,"route":"GET /a","service":null,"why":"b"}}]}}"#
    ));
    let rules = r#""permissions":["a"],"allow_from":[],"rate":"1/s","burst":1"#;
    let key = format!(
        r#""name":"a","source":"runtime","sha256_prefix":"0","{}"created":null,"expires":null,"old":[{{"sha256_prefix":"1","until":"t"}}],"blocked":null"#,
        &format!("{rules},")[1..]
    );
    let keys = format!(r#""keys":[{{{key}}},{{{key},"kept":{{{key}}}}}]"#);
    same::<Keys>(&format!(r#"{{{keys},"gateways":2,"limits_shared":true,"generation":1,"epoch":"e"}}"#));
    let older: Keys = serde_json::from_str(&format!(r#"{{{keys},"generation":1,"epoch":"e"}}"#)).unwrap();
    assert_eq!((older.gateways, older.limits_shared), (1, false), "a furt that tells nothing of it");
    let event = r#"{"seq":1,"time":"t","kind":"blocked","service":"a","instance":null,"why":"x"}"#;
    same::<Events>(&format!(r#"{{"events":[{event}],"next":1,"lost":false}}"#));
}

#[test]
fn nodes_without_a_cluster_are_what_they_were_before_there_were_any() {
    let node = r#"{"id":"u","name":"a:1","version":"1","internal":null,"this":true}"#;
    let nodes: Nodes = same(&format!(r#"{{"nodes":[{node}]}}"#));
    assert_eq!((nodes.cluster, nodes.cluster_error), (None, None));
    same::<Nodes>(&format!(r#"{{"nodes":[{node}],"cluster_error":"it hangs"}}"#));
}

#[test]
fn a_cluster_is_written_as_it_was_read() {
    let secret = r#"{"generation":2,"check":"0011223344556677"}"#;
    let settings = r#""generation":7,"digest":"d""#;
    let unheard = r#""name":null,"standing":"revoked","state":null,"age":null,"skew_ms":null,"version":null,"status":null,"boot":null,"settings":null,"own_settings":null,"secret":null,"services":null,"registry":null,"this":false"#;
    let heard = format!(
        r#""name":"a.1","standing":"commander","state":"late","age":1.5,"skew_ms":-3,"version":"1","status":"degraded","boot":1763152200000,"settings":{{{settings}}},"own_settings":null,"secret":{secret},"services":{{"routed":1,"registered":2}},"registry":{{"epoch":"e","revision":3}},"this":true"#
    );
    let rest = format!(
        r#""secret":{{"active":{secret},"held":[{secret}],"next":null,"waits_for":["b"]}},"settings":[{{"node":null,{settings}}},{{"node":"b",{settings}}}],"tokens":[{{"id":"t","uses":1,"until":"u","role":"member"}}],"issues":["x"],"refused":{{"unsigned":2,"own_key":1}},"beats":4"#
    );
    let text = format!(
        r#"{{"nodes":[],"cluster":{{"id":"c","founder":"a","fingerprint":"a","link":{{"status":"down","why":"refused"}},"joining":false,"members":[{{"fingerprint":"a",{heard}}},{{"fingerprint":"b",{unheard}}}],{rest}}}}}"#
    );
    let cluster = same::<Nodes>(&text).cluster.unwrap();
    assert_eq!((&cluster.members[0].state, &cluster.members[1].standing), (&Some(NodeState::Late), &Standing::Revoked));
    assert_eq!(cluster.refused.get("unsigned"), Some(&2));
    let newer = text.replace(r#""late""#, r#""asleep""#).replace(r#""beats":4"#, r#""beats":4,"more":[1]"#);
    let newer: Nodes = serde_json::from_str(&newer).unwrap();
    assert_eq!(newer.cluster.unwrap().members[0].state, Some(NodeState::Other("asleep".to_owned())));
}

#[test]
fn settings_are_written_as_they_were_read() {
    let all: ChangeSettings =
        same(r#"{"to":"all","set":{"limits.max_body":5,"a.b":["x",true]},"expect":7,"partial":true}"#);
    assert!(matches!(all.to, Targets::All(_)));
    let some: ChangeSettings = same(r#"{"to":["a","b.1"],"unset":["limits.max_body"]}"#);
    assert_eq!(some.to, Targets::Nodes(vec!["a".to_owned(), "b.1".to_owned()]));
    for bad in [r#"{"to":"some"}"#, r#"{"set":{}}"#, r#"{"to":"all","x":1}"#] {
        serde_json::from_str::<ChangeSettings>(bad).unwrap_err();
    }
    let told = r#""action":"update_settings","status":"failed","detail":null,"error":"no","node":"a.1","timestamp":"t","generation":7"#;
    let answer: SetSettings = same(&format!(
        r#"{{"status":"set","documents":[{{"node":null,"generation":7,"digest":"d"}}],"outcomes":[{{"fingerprint":"a","name":"a.1","result":"failed","errors":["no"],{told}}},{{"fingerprint":"b","name":null,"result":"away","errors":[]}}]}}"#
    ));
    assert_eq!((answer.outcomes[0].told.is_some(), &answer.outcomes[1].told), (true, &None));
    assert_eq!(answer.outcomes[1].result, TargetResult::Away);
    let settings: Settings = same(
        r#"{"fingerprint":"a","settings":[{"node":null,"generation":7,"digest":"d","latest":true,"applied":true,"applied_at":"t","text":"x","values":{"b":1,"a":2}},{"node":"b","generation":1,"digest":"d","latest":true,"applied":false,"applied_at":null,"text":null,"values":null}]}"#,
    );
    assert_eq!(settings.settings[0].values.as_ref().and_then(|values| values.get("a")), Some(&2.into()));
}

#[test]
fn commands_of_a_cluster_and_their_answers_have_one_form() {
    same::<Join>(r#"{"token":"furtc1.a.b"}"#);
    same::<NewToken>("{}");
    same::<NewToken>(r#"{"uses":3,"ttl_s":60,"role":"commander"}"#);
    assert_eq!(same::<Approve>(r#"{"role":"member"}"#).role, Some(Role::Member));
    same::<Approve>("{}");
    same::<Adopt>(r#"{"check":"c"}"#);
    let secret = r#""secret":{"generation":1,"check":"c"}"#;
    same::<Founded>(&format!(r#"{{"status":"founded","cluster":"c",{secret}}}"#));
    same::<Joining>(r#"{"status":"joining"}"#);
    same::<ApprovedNode>(r#"{"status":"trusted","fingerprint":"a","role":"commander"}"#);
    same::<RevokedNode>(r#"{"status":"revoked","fingerprint":"a","approved_again":["b"]}"#);
    same::<AdoptedSecret>(&format!(r#"{{"status":"adopted",{secret}}}"#));
    let token: IssuedToken = same(r#"{"token":"furtc1.a.b","id":"i","until":"u"}"#);
    for shown in [format!("{token:?}"), format!("{:?}", Join { token: token.token })] {
        assert!(!shown.contains("furtc1"), "{shown}");
    }
    for unknown in [r#"{"x":1}"#, r#"{"token":"a","check":"b","x":1}"#] {
        assert!(serde_json::from_str::<Join>(unknown).is_err() && serde_json::from_str::<Adopt>(unknown).is_err());
        assert!(
            serde_json::from_str::<NewToken>(unknown).is_err() && serde_json::from_str::<Approve>(unknown).is_err()
        );
    }
}
