//! The wire form to the letter: nodes of several versions, and lex-node, are to read it.

use furt_bus::{Properties, Value};
use furt_cluster::{Body, Protect, Refused, To};
use serde_json::Value as Json;

use super::samples::{AT_MS, bodies, given, key, message, open, opened, request, seal, secret};

fn json(body: Body) -> String {
    let packet = seal(0).seal(&message(To::All, Protect::Signed, body)).unwrap();
    String::from_utf8(packet.body).unwrap()
}

fn is(at: impl Fn(&Body) -> bool) -> Body {
    bodies().into_iter().find(at).unwrap()
}

#[test]
fn a_beat_is_lex_nodes_with_one_more_field() {
    let beat = is(|body| matches!(body, Body::Beat(_)));
    let check = secret().id().check;
    let digest = crate::document("a").unwrap().digest();
    assert_eq!(
        json(beat.clone()),
        format!(
            r#"{{"name":"edge_1.4711","pid":4711,"timestamp":"2026-11-27 22:23:31 +0000","status":"degraded","version":"1.4.0","metrics":{{"memory_rss_mb":12.5,"cpu_user_seconds":0.39,"cpu_system_seconds":0.07,"thread_count":4,"loaded_extensions":0,"uptime_seconds":86400}},"hosted_worker_ids":[],"furt":{{"interval_ms":5000,"services_routed":40,"services":41,"registry":{{"epoch":"0191f0a2-7b1c-4d3e-8f90-112233445566","revision":18446744073709551615}},"vault":"wants","records":18446744073709551614,"secret":{{"generation":3,"check":"{check}"}},"held":[{{"generation":3,"check":"{check}"}},{{"generation":4,"check":"0000000000000000"}}],"settings":{{"generation":7,"digest":"{digest}"}},"node_settings":null,"skew_ms":-3}}}}"#
        )
    );
    let packet = seal(0).seal(&message(To::All, Protect::Signed, beat)).unwrap();
    assert_eq!(packet.key, "status");
    let Properties { headers, expires, kind, .. } = packet.properties;
    assert_eq!((expires.unwrap().as_millis(), kind.as_deref()), (5000, Some("heartbeat")));
    assert!(!headers.contains_key("function"));
}

#[test]
fn an_envelope_is_lex_nodes_with_headers_of_furts() {
    let packet = seal(0).seal(&message(To::All, Protect::Cluster(secret().id()), Body::BeatsAsked)).unwrap();
    let Properties {
        content_type,
        content_encoding,
        headers,
        is_persistent,
        priority,
        expires,
        timestamp,
        kind,
        app_id,
        user_id,
    } = packet.properties;
    assert_eq!(packet.key, "node.all");
    assert_eq!(
        (content_type.as_deref(), content_encoding.as_deref()),
        (Some("application/json"), Some("encrypted/cs"))
    );
    assert_eq!((is_persistent, priority, expires, user_id), (false, Some(0), None, None));
    assert_eq!((timestamp, kind.as_deref(), app_id.as_deref()), (Some(1_795_818_211), Some("task"), Some("furt")));
    let names: Vec<_> = headers.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "function",
            "furt-at",
            "furt-boot",
            "furt-cluster",
            "furt-from",
            "furt-key",
            "furt-secret",
            "furt-seq",
            "furt-sig",
            "furt-to",
            "iv"
        ]
    );
    for (name, value) in [
        ("function", Value::from("push_public_key")),
        ("furt-at", Value::Integer(AT_MS)),
        ("furt-boot", Value::Integer(1_795_000_000_000)),
        ("furt-cluster", "0191f0a2-7b1c-4d3e-8f90-112233445566".into()),
        ("furt-from", key(0).fingerprint().to_string().as_str().into()),
        ("furt-secret", format!("3:{}", secret().id().check).as_str().into()),
        ("furt-seq", Value::Integer(42)),
        ("furt-to", "*".into()),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
}

#[test]
fn bodies_are_written_to_the_letter() {
    let (one, request) =
        ("01".repeat(32), format!(r#"{{"by":"{}","number":"{}"}}"#, "09".repeat(32), request().number));
    let check = secret().id().check;
    let empty = crate::document("").unwrap().digest();
    let (two, three, four) = ("02".repeat(32), "03".repeat(32), "04".repeat(32));
    let transcript = format!(
        r#"{{"cluster":"0191f0a2-7b1c-4d3e-8f90-112233445566","token":"c0e126fc572e7280","joiner":"{one}","joiner_boot":5,"joiner_nonce":"{two}","maker":"{three}","maker_boot":6,"maker_nonce":"{four}"}}"#
    );
    for (body, text) in [
        (Body::BeatsAsked, r#"{"function":"push_public_key"}"#.to_owned()),
        (
            is(|body| matches!(body, Body::JoinAsked { .. })),
            format!(r#"{{"function":"join_asked","token":"0101010101010101","nonce":"{two}"}}"#),
        ),
        (
            is(|body| matches!(body, Body::Welcome { transcript: None, .. })),
            format!(r#"{{"function":"welcome","transcript":null,"founder":"{three}","records":[]}}"#),
        ),
        (Body::RecordsAsked, r#"{"function":"records_asked"}"#.to_owned()),
        (Body::RecordsGiven(Vec::new()), r#"{"function":"records_given","records":[]}"#.to_owned()),
        (
            is(|body| matches!(body, Body::SettingsChecked { outcome: Ok(()), .. })),
            format!(r#"{{"function":"settings_checked","request":{request},"scope":"cluster","outcome":"taken"}}"#),
        ),
        (
            Body::DocumentAsked {
                scope: furt_cluster::model::Scope::Node(super::samples::fingerprint(1)),
                id: furt_cluster::model::SettingsId { generation: 7, digest: empty },
                secret: secret().id(),
            },
            format!(
                r#"{{"function":"document_asked","scope":{{"node":"{one}"}},"id":{{"generation":7,"digest":"{empty}"}},"secret":{{"generation":3,"check":"{check}"}}}}"#
            ),
        ),
        (
            is(|body| matches!(body, Body::ProgramAsked { .. })),
            format!(
                r#"{{"function":"program_asked","request":{request},"program":{{"version":"1.4.0","digest":"{}"}}}}"#,
                "05".repeat(32)
            ),
        ),
        (
            is(|body| matches!(body, Body::UpdateResult(result) if result.status.is_ok())),
            format!(
                r#"{{"action":"update_settings","status":"success","detail":"keys: limits","error":null,"node":"edge_1.4711","timestamp":"2026-11-27T22:23:31Z","furt":{{"at_ms":1795818211249,"generation":7,"request":{request}}}}}"#
            ),
        ),
    ] {
        assert_eq!(json(body), text);
    }
    let challenge = json(is(|body| matches!(body, Body::JoinChallenge { .. })));
    assert!(challenge.starts_with(&format!(r#"{{"function":"join_challenge","transcript":{transcript},"proof":""#)));
    let records = json(is(|body| matches!(body, Body::RecordsGiven(records) if !records.is_empty())));
    let record = format!(
        r#"{{"function":"records_given","records":[{{"claim":{{"claim":"approved","subject":"{one}","role":"member"}},"by":"{}","key":"MII"#,
        key(1).fingerprint()
    );
    assert!(records.starts_with(&record), "{records}");
}

#[test]
fn secrets_are_asked_for_and_given_in_lex_nodes_words() {
    let fields = |json: &Json| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let asked: Json = serde_json::from_str(&json(Body::SecretAsked(secret().id()))).unwrap();
    assert_eq!(fields(&asked), ["function", "queue_name", "runner_class", "public_key", "furt"]);
    assert_eq!(asked["queue_name"], format!("node.{}", key(0).fingerprint()));
    assert_eq!(asked["runner_class"], "Legion::Extensions::Node::Runners::Crypt");
    assert_eq!(asked["public_key"], key(0).public_pem());
    let given: Json = serde_json::from_slice(&given(&seal(0)).body).unwrap();
    let expected =
        ["function", "runner_class", "message", "validation_string", "encrypted_string", "public_key", "furt"];
    assert_eq!(fields(&given), expected);
    assert_eq!(fields(&given["encrypted_string"]), ["enciphered_message", "iv"]);
    assert!(!given.to_string().contains(secret().text()));
}

#[test]
fn what_is_signed_and_no_message_is_malformed() {
    let deep = format!(r#"{{"function":"records_given","records":{}{}}}"#, "[".repeat(60_000), "]".repeat(60_000));
    let beat = json(is(|body| matches!(body, Body::Beat(_))));
    let result = json(is(|body| matches!(body, Body::UpdateResult(_))));
    let challenge = json(is(|body| matches!(body, Body::JoinChallenge { .. })));
    let asked = json(Body::SecretAsked(secret().id()));
    let records = json(is(|body| matches!(body, Body::RecordsGiven(records) if !records.is_empty())));
    let task = |function: &str, json: &str| opened(Some(function), "task", json);
    assert_eq!(task("records_asked", r#"{"function":"records_asked"}"#), Ok(Body::RecordsAsked));
    assert_eq!(task("records_asked", " {\n\"function\" : \"records_asked\" } "), Ok(Body::RecordsAsked));
    for (function, json) in [
        ("records_asked", ""),
        ("records_asked", "null"),
        ("records_asked", "[]"),
        ("records_asked", "{}"),
        ("records_asked", r#"{"function":"records_asked"}x"#),
        ("records_asked", r#"{"function":"records_asked","more":1}"#),
        ("records_asked", r#"{"function":"records_asked","function":"records_asked"}"#),
        ("records_asked", r#"{"function":"push_public_key"}"#),
        ("records_asked", r#"{"function":["records_asked"]}"#),
        ("records_given", r#"{"function":"records_given"}"#),
        ("records_given", r#"{"function":"records_given","records":[],"records":[]}"#),
        ("records_given", r#"{"function":"records_given","records":{}}"#),
        ("records_given", &deep),
        ("join_asked", r#"{"function":"join_asked","token":"01","nonce":"02"}"#),
        ("document_asked", r#"{"function":"document_asked","scope":"all"}"#),
        ("join_challenge", &challenge.replace(r#""joiner_boot":5"#, r#""joiner_boot":5,"joiner_boot":5"#)),
        ("join_challenge", &challenge.replace(r#""joiner_boot":5"#, r#""joiner_boot":5e30"#)),
        ("join_challenge", &challenge.replace(r#""joiner_boot":5"#, r#""joiner_boot":18446744073709551616"#)),
        ("join_challenge", &challenge.replace(r#""joiner_boot":5"#, r#""joiner_boot":-1"#)),
        ("join_challenge", &challenge.replace(r#""proof":""#, r#""proof":"00"#)),
        ("push_cluster_secret", &asked.replace("node.", "node.x")),
        ("push_cluster_secret", &asked.replace(&key(0).public_pem().replace('\n', "\\n"), "")),
        ("push_cluster_secret", &asked.replace("Crypt", "Vault")),
        ("records_given", &records.replacen(r#""role":"member""#, r#""role":"member","more":1"#, 1)),
        ("records_given", &records.replacen(r#""role":"member""#, r#""role":"member","role":"member""#, 1)),
        ("records_given", &records.replacen(r#""claim":"approved""#, r#""claim":"approved","claim":"approved""#, 1)),
        ("records_given", &records.replacen(r#""claim":"approved""#, r#""claim":"owned""#, 1)),
        ("records_given", &records.replacen(r#""at_ms":"#, r#""more":1,"at_ms":"#, 1)),
        ("update_result", &result.replace(r#""error":null"#, r#""error":"e""#)),
        ("update_result", &result.replace(r#""error":null,"#, "")),
        ("update_result", &result.replace("success", "failed")),
        ("update_result", &result.replace("update_settings", "")),
        ("update_result", &result.replace("update_settings", r"update\nsettings")),
        ("update_result", &result.replace("update_settings", &"u".repeat(65))),
        ("update_result", &result.replace("22:23:31Z", "22:23:32Z")),
    ] {
        assert_eq!(task(function, json), Err(Refused::Malformed), "{function} {:.200}", json);
    }
    for json in [
        &beat.replace(r#""pid":4711"#, r#""pid":4712"#),
        &beat.replace("22:23:31 ", "22:23:32 "),
        &beat.replace(r#""loaded_extensions":0"#, r#""loaded_extensions":1"#),
        &beat.replace("12.5", "1e999"),
        &beat.replace("12.5", "null"),
        &beat.replace("degraded", "tired"),
        &beat.replace(r#","node_settings":null"#, ""),
        &beat.replace(r#""node_settings":null"#, r#""node_settings":null,"node_settings":null"#),
        &beat.replace("1.4.0", &"1".repeat(65)),
        &beat.replace("1.4.0", "1.4.0\\u001b[2J"),
        &beat.replace("1.4.0", ""),
        &beat.replace(r#""generation":4,"#, r#""generation":4,"more":4,"#),
        &beat.replace("edge_1.4711", "edge_1"),
    ] {
        assert_ne!(json, &beat);
        assert_eq!(opened(None, "heartbeat", json), Err(Refused::Malformed), "{json}");
    }
    assert!(opened(None, "heartbeat", &beat).is_ok());
}

#[test]
fn a_function_that_furt_does_not_know_is_told_apart() {
    for function in ["update_gem", "", "Records_asked", "beat", "update_settings"] {
        let json = format!(r#"{{"function":"{function}"}}"#);
        assert_eq!(opened(Some(function), "task", &json), Err(Refused::UnknownFunction), "{function}");
    }
    for (function, kind) in [(None, "task"), (Some("records_asked"), "heartbeat"), (Some("records_asked"), "other")] {
        assert_eq!(opened(function, kind, r#"{"function":"records_asked"}"#), Err(Refused::Malformed));
    }
}

#[test]
fn a_beat_has_no_number_that_is_none() {
    let mut body = is(|body| matches!(body, Body::Beat(_)));
    if let Body::Beat(beat) = &mut body {
        beat.metrics.memory_rss_mb = f64::NAN;
        beat.metrics.cpu_user_seconds = f64::INFINITY;
    }
    let packet = seal(0).seal(&message(To::All, Protect::Signed, body)).unwrap();
    let Body::Beat(beat) = open(&seal(1), &packet).unwrap().0.body else { panic!("a beat") };
    assert_eq!((beat.metrics.memory_rss_mb, beat.metrics.cpu_user_seconds), (0.0, 0.0));
}
