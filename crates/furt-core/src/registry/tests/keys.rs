//! API keys: made, rotated, revoked, expired, restored, and what the configuration says against them.

use std::time::Duration;

use super::{Harness, Store, configured, digest, key, name};
use crate::model::{KeySpec, MAX_OLD_DIGESTS, Rate, RateLimit};
use crate::registry::{Change, KeyCommand, KeyRefusal, KeyReport, Refusal, Report};

const DAY: u64 = 86_400;

fn reports(harness: &Harness) -> Vec<String> {
    let of_keys = harness.reports.iter().filter_map(|report| match report {
        Report::Key(report) => Some(report),
        _ => None,
    });
    let line = |report: &KeyReport| match report {
        KeyReport::Created { name, .. } => format!("created {name}"),
        KeyReport::Rotated { name, .. } => format!("rotated {name}"),
        KeyReport::Changed { name, .. } => format!("changed {name}"),
        KeyReport::Revoked { name, .. } => format!("revoked {name}"),
        KeyReport::Expired(name) => format!("expired {name}"),
        KeyReport::Refused { name, .. } => format!("refused {name}"),
        KeyReport::Suspended { name, .. } => format!("suspended {name}"),
        KeyReport::RemovalFailed { names, .. } => format!("failed {}", names.len()),
    };
    of_keys.map(line).collect()
}

fn suspended(harness: &Harness, text: &str) -> Option<String> {
    harness.snapshot.keys.runtime[&name(text)].suspended.as_deref().map(str::to_owned)
}

#[test]
fn a_key_is_good_once_the_store_has_it_and_then_alone() {
    let mut harness = Harness::new();
    harness.store = Store::Waits;
    let reply = harness.ask_key(KeyCommand::Create(key("a", "1")));
    assert!(!harness.is_good("1") && !harness.answers.contains_key(&reply));
    harness.finish(Store::Works);
    assert!(harness.is_good("1") && harness.answers[&reply].is_ok());
    let shown = harness.snapshot.keys.get(&digest("1")).unwrap();
    assert_eq!((shown.name.as_str(), shown.ends_ms), ("a", None));
    assert_eq!(reports(&harness), ["created a"]);

    let reply = harness.ask_key(KeyCommand::Create(key("b", "2")));
    harness.finish(Store::Fails);
    assert_eq!(harness.answers[&reply], Err(Refusal::StoreFailed("disk full".to_owned())));
    assert!(!harness.is_good("2"));
    harness.store = Store::Works;
    harness.key(KeyCommand::Create(key("b", "2"))).expect("nothing is left of the failed one");
}

#[test]
fn a_name_is_of_one_key_in_the_configuration_or_at_runtime() {
    let mut harness = Harness::new();
    harness.configure_keys(vec![configured("fixed", "f")]);
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    for (command, holder) in [(key("fixed", "2"), "the configuration"), (key("a", "2"), "a runtime key")] {
        let refused = harness.key(KeyCommand::Create(command)).unwrap_err();
        assert!(
            matches!(&refused, Refusal::Key(KeyRefusal::Taken { holder: named, .. }) if named == holder),
            "{refused}"
        );
    }
    for (command, holder) in [(key("b", "f"), "fixed"), (key("b", "1"), "\"a\"")] {
        let refused = harness.key(KeyCommand::Create(command)).unwrap_err().to_string();
        assert!(refused.contains("digest") && refused.contains(holder), "{refused}");
    }
    assert_eq!(harness.written.len(), 1);
}

#[test]
fn commands_about_one_key_come_one_after_the_other() {
    let mut harness = Harness::new();
    harness.store = Store::Waits;
    let commands = [
        KeyCommand::Create(key("a", "1")),
        KeyCommand::Create(key("a", "2")),
        KeyCommand::Rotate { name: name("a"), sha256: digest("3"), grace: Duration::ZERO },
        KeyCommand::Create(key("b", "4")),
    ];
    let replies = commands.map(|command| harness.ask_key(command));
    assert_eq!(harness.writes.len(), 2, "of a and of b");
    harness.store = Store::Works;
    (0..3).for_each(|_| harness.finish(Store::Works));
    assert!(harness.answers[&replies[0]].is_ok() && harness.answers[&replies[2]].is_ok());
    assert!(matches!(harness.answers[&replies[1]], Err(Refusal::Key(KeyRefusal::Taken { .. }))));
    assert!(harness.is_good("3") && harness.is_good("4") && !harness.is_good("1") && !harness.is_good("2"));
}

#[test]
fn what_waits_for_a_key_is_bounded() {
    let mut harness = Harness::new();
    harness.store = Store::Waits;
    harness.ask_key(KeyCommand::Create(key("a", "1")));
    let commands = 100;
    let replies: Vec<_> = (0..commands).map(|_| harness.ask_key(KeyCommand::Create(key("a", "2")))).collect();
    let busy = replies.iter().filter(|reply| harness.answers.get(reply) == Some(&Err(Refusal::Busy))).count();
    assert_eq!(busy, commands - 64);
    let revoked = harness.ask_key(KeyCommand::Revoke(name("a")));
    while !harness.writes.is_empty() {
        harness.finish(Store::Works);
        assert!(!harness.is_good("1") && !harness.is_good("2"), "whatever waits before its end");
    }
    assert!(harness.answers[&revoked].is_ok());
}

#[test]
fn a_revoked_key_is_out_before_the_store_knows_and_gone_after() {
    let mut harness = Harness::new();
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    harness.store = Store::Waits;
    let reply = harness.ask_key(KeyCommand::Revoke(name("a")));
    assert!(!harness.is_good("1") && !harness.answers.contains_key(&reply));
    assert!(suspended(&harness, "a").unwrap().contains("revoked"));
    harness.finish(Store::Works);
    assert!(harness.answers[&reply].is_ok() && harness.snapshot.keys.runtime.is_empty());
    assert_eq!(reports(&harness), ["created a", "revoked a"]);
    harness.store = Store::Works;
    let unknown = harness.key(KeyCommand::Revoke(name("a"))).unwrap_err();
    assert_eq!(unknown, KeyRefusal::Unknown(name("a")).into());
    harness.key(KeyCommand::Create(key("a", "2"))).expect("the name is free");
    assert!(harness.is_good("2") && !harness.is_good("1"));
}

#[test]
fn a_revocation_that_the_store_refuses_holds_and_is_tried_each_second() {
    let mut harness = Harness::new();
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    harness.store = Store::Fails;
    let refused = harness.key(KeyCommand::Revoke(name("a"))).unwrap_err();
    assert!(matches!(refused, Refusal::Key(KeyRefusal::NotForgotten { .. })), "{refused}");
    assert!(!harness.is_good("1"));
    let tries = harness.written.len();
    harness.pass(3);
    assert_eq!(harness.written.len(), tries + 3);
    assert!(matches!(harness.key(KeyCommand::Create(key("a", "2"))), Err(Refusal::Key(KeyRefusal::Taken { .. }))));
    let rotated = harness.rotate("a", "2", 60);
    assert_eq!(rotated, Err(KeyRefusal::Unknown(name("a")).into()));
    assert!(!harness.is_good("1"));
    harness.store = Store::Works;
    harness.pass(1);
    assert!(harness.snapshot.keys.runtime.is_empty() && harness.registry.next_deadline().is_none());
    assert!(reports(&harness).contains(&"revoked a".to_owned()));
    assert!(!matches!(harness.written.last(), Some(Change::PutKey(_))));
}

#[test]
fn asking_again_for_an_end_that_failed_waits_for_the_store_again() {
    let mut harness = Harness::new();
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    harness.store = Store::Fails;
    harness.key(KeyCommand::Revoke(name("a"))).unwrap_err();
    harness.store = Store::Works;
    harness.key(KeyCommand::Revoke(name("a"))).unwrap();
    assert!(harness.snapshot.keys.runtime.is_empty());
}

#[test]
fn an_end_does_not_wait_for_the_write_before_it_to_be_seen() {
    let mut harness = Harness::new();
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    harness.store = Store::Waits;
    let rotated = harness.ask_key(KeyCommand::Rotate { name: name("a"), sha256: digest("2"), grace: Duration::MAX });
    let revoked = harness.ask_key(KeyCommand::Revoke(name("a")));
    assert!(!harness.is_good("1") && !harness.answers.contains_key(&revoked));
    harness.finish(Store::Works);
    assert!(harness.answers[&rotated].is_ok() && !harness.is_good("1") && !harness.is_good("2"));
    harness.finish(Store::Works);
    assert!(harness.answers[&revoked].is_ok() && harness.snapshot.keys.runtime.is_empty());
}

#[test]
fn a_key_whose_end_waits_behind_its_making_is_never_good() {
    let mut harness = Harness::new();
    harness.store = Store::Waits;
    harness.ask_key(KeyCommand::Create(key("a", "1")));
    let rotated = harness.ask_key(KeyCommand::Rotate { name: name("a"), sha256: digest("2"), grace: Duration::MAX });
    let revoked = harness.ask_key(KeyCommand::Revoke(name("a")));
    while !harness.writes.is_empty() {
        harness.finish(Store::Works);
        assert!(!harness.is_good("1") && !harness.is_good("2"));
    }
    assert_eq!(harness.answers[&rotated], Err(KeyRefusal::Unknown(name("a")).into()));
    assert!(harness.answers[&revoked].is_ok());
}

#[test]
fn a_rotated_key_and_the_one_before_are_good_until_the_grace_is_over() {
    let mut harness = Harness::new();
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    harness.rotate("a", "2", 60).unwrap();
    assert!(harness.is_good("1") && harness.is_good("2"));
    let live = |text: &str| std::sync::Arc::as_ptr(&harness.snapshot.keys.get(&digest(text)).unwrap().live);
    assert_eq!(live("1"), live("2"), "they share the rate");
    assert_eq!(harness.snapshot.keys.get(&digest("1")).unwrap().ends_ms, Some(harness.now.unix_ms + 60_000));
    harness.pass_ms(59_999);
    assert!(harness.is_good("1"));
    harness.pass_ms(2);
    assert!(!harness.is_good("1") && harness.is_good("2") && harness.registry.next_deadline().is_none());
}

#[test]
fn without_a_grace_all_keys_before_end_at_once() {
    let mut harness = Harness::new();
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    harness.rotate("a", "2", DAY).unwrap();
    harness.rotate("a", "3", 0).unwrap();
    assert!(!harness.is_good("1") && !harness.is_good("2") && harness.is_good("3"));
    assert_eq!(harness.snapshot.keys.runtime[&name("a")].key.old, []);
}

#[test]
fn a_rotation_that_the_store_refuses_changes_nothing() {
    let mut harness = Harness::new();
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    harness.store = Store::Fails;
    assert_eq!(harness.rotate("a", "2", 0), Err(Refusal::StoreFailed("disk full".to_owned())));
    assert!(harness.is_good("1") && !harness.is_good("2"));
}

#[test]
fn few_keys_before_are_kept() {
    let mut harness = Harness::new();
    harness.key(KeyCommand::Create(key("a", "0"))).unwrap();
    for number in 1..=MAX_OLD_DIGESTS {
        harness.rotate("a", &number.to_string(), DAY).unwrap();
    }
    let refused = harness.rotate("a", "more", DAY).unwrap_err();
    assert!(matches!(refused, Refusal::Key(KeyRefusal::TooManyOld { seconds: DAY, .. })), "{refused}");
    assert!((0..=MAX_OLD_DIGESTS).all(|number| harness.is_good(&number.to_string())));
    harness.rotate("a", "last", 0).expect("without a grace there is no need to keep any");
    harness.rotate("a", "more", DAY).unwrap();
    harness.pass(DAY + 1);
    assert!(harness.is_good("more") && !harness.is_good("last"));
}

#[test]
fn an_expired_key_is_out_then_gone_and_so_are_those_before_it() {
    let mut harness = Harness::new();
    let command = harness.expiring("a", "1", 100);
    harness.key(KeyCommand::Create(command)).unwrap();
    harness.rotate("a", "2", DAY).unwrap();
    harness.pass(99);
    assert!(harness.is_good("1") && harness.is_good("2"));
    harness.store = Store::Waits;
    harness.pass_ms(1_001);
    assert!(!harness.is_good("1") && !harness.is_good("2"));
    assert!(suspended(&harness, "a").unwrap().contains("expired"));
    harness.finish(Store::Works);
    assert!(harness.snapshot.keys.runtime.is_empty());
    assert_eq!(reports(&harness), ["created a", "rotated a", "expired a"]);
}

#[test]
fn a_clock_that_jumps_is_noticed_within_a_minute() {
    let mut harness = Harness::new();
    let command = harness.expiring("a", "1", 30 * 86_400);
    harness.key(KeyCommand::Create(command)).unwrap();
    harness.pass(10 * 60);
    assert!(harness.is_good("1"));
    harness.now.unix_ms += 40 * 86_400_000;
    harness.pass(60);
    assert!(!harness.is_good("1") && harness.snapshot.keys.runtime.is_empty());
}

#[test]
fn an_expiry_that_the_store_refuses_holds_and_is_tried_each_second() {
    let mut harness = Harness::new();
    let command = harness.expiring("a", "1", 10);
    harness.key(KeyCommand::Create(command)).unwrap();
    harness.store = Store::Fails;
    harness.pass(15);
    assert!(!harness.is_good("1") && harness.snapshot.keys.runtime.len() == 1);
    harness.store = Store::Works;
    harness.pass(1);
    assert!(harness.snapshot.keys.runtime.is_empty() && harness.registry.next_deadline().is_none());
}

#[test]
fn many_keys_that_expire_together_go_in_few_writes() {
    let mut harness = Harness::new();
    for number in 0..2_500 {
        let text = format!("k{number}");
        let command = harness.expiring(&text, &text, 10);
        harness.key(KeyCommand::Create(command)).unwrap();
    }
    harness.store = Store::Waits;
    harness.pass_ms(10_010);
    assert_eq!(harness.writes.iter().map(|(_, write)| write.changes.len()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    (0..3).for_each(|_| harness.finish(Store::Works));
    assert!(harness.snapshot.keys.runtime.is_empty());
}

#[test]
fn keys_their_ends_and_those_before_survive_a_restart() {
    let mut harness = Harness::new();
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    let command = harness.expiring("b", "2", 100);
    harness.key(KeyCommand::Create(command)).unwrap();
    harness.key(KeyCommand::Create(key("c", "3"))).unwrap();
    harness.key(KeyCommand::Revoke(name("c"))).unwrap();
    harness.rotate("a", "4", 60).unwrap();
    harness.pass(50);
    harness.restart_same();
    for (text, is_good) in [("1", true), ("2", true), ("3", false), ("4", true)] {
        assert_eq!(harness.is_good(text), is_good, "{text}");
    }
    harness.pass_ms(10_001);
    assert!(!harness.is_good("1") && harness.is_good("4"));
    harness.now.unix_ms += 1_000_000;
    harness.restart_same();
    assert!(!harness.is_good("2") && !harness.is_good("1") && harness.is_good("4"));
    assert_eq!(reports(&harness), ["expired b"]);
    harness.restart_same();
    assert_eq!(reports(&harness), [""; 0], "it is gone from the store, too");
}

#[test]
fn the_configuration_wins_over_a_runtime_key_of_its_name_or_digest() {
    let mut harness = Harness::new();
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    harness.key(KeyCommand::Create(key("b", "2"))).unwrap();
    harness.key(KeyCommand::Create(key("c", "3"))).unwrap();
    for is_restart in [true, false] {
        let keys = vec![configured("a", "x"), configured("other", "2")];
        if is_restart {
            harness.configured = keys;
            harness.restart_same();
        } else {
            harness.configure_keys(keys.clone());
            harness.configure_keys(keys);
        }
        assert_eq!(reports(&harness), ["suspended a", "suspended b"], "each once");
        assert!(suspended(&harness, "a").unwrap().contains("same name"));
        assert!(suspended(&harness, "b").unwrap().contains("\"other\""));
        assert_eq!(suspended(&harness, "c"), None);
        assert!(!harness.is_good("1") && harness.is_good("x") && harness.is_good("3"));
        assert_eq!(harness.snapshot.keys.get(&digest("2")).unwrap().name.as_str(), "other");
        assert_eq!(harness.rotate("a", "9", 0), Err(KeyRefusal::Configured(name("a")).into()));
        harness.configure_keys(Vec::new());
        assert!(harness.is_good("1") && harness.is_good("2") && harness.is_good("3") && !harness.is_good("x"));
        assert_eq!(harness.snapshot.keys.get(&digest("2")).unwrap().name.as_str(), "b");
        harness.reports.clear();
    }
    harness.configure_keys(vec![configured("a", "x"), configured("other", "2")]);
    harness.rotate("b", "5", DAY).expect("with another digest it is free again");
    assert!(harness.is_good("5"));
    assert_eq!(harness.snapshot.keys.get(&digest("2")).unwrap().name.as_str(), "other");
    let answer = harness.key(KeyCommand::Revoke(name("a"))).expect("what is kept can be let go");
    assert!(answer.is_configured && harness.is_good("x"));
    let refused = harness.key(KeyCommand::Revoke(name("a"))).unwrap_err();
    assert_eq!(refused, KeyRefusal::Configured(name("a")).into());
}

#[test]
fn a_configured_key_keeps_its_count_of_uses_while_its_rate_stays() {
    let mut harness = Harness::new();
    let with_rate = |sha256: &str, rate: &str| {
        vec![KeySpec { rate: Some(RateLimit::new(Rate::try_new(rate).unwrap(), None)), ..configured("a", sha256) }]
    };
    let live =
        |harness: &Harness, text: &str| std::sync::Arc::clone(&harness.snapshot.keys.get(&digest(text)).unwrap().live);
    harness.configure_keys(with_rate("1", "5/s"));
    let first = live(&harness, "1");
    harness.configure_keys(with_rate("2", "5/s"));
    assert!(std::sync::Arc::ptr_eq(&first, &live(&harness, "2")) && !harness.is_good("1"));
    harness.configure_keys(with_rate("2", "6/s"));
    assert!(!std::sync::Arc::ptr_eq(&first, &live(&harness, "2")));
}

#[test]
fn a_change_of_keys_does_not_touch_routes() {
    let mut harness = Harness::new();
    harness.register(&super::Command::new("a", &["GET /a"])).unwrap();
    harness.key(KeyCommand::Create(key("a", "1"))).unwrap();
    harness.key(KeyCommand::Revoke(name("a"))).unwrap();
    assert_eq!(harness.usable("h", "/a"), ["a"]);
    assert!(harness.is_good("1") == harness.snapshot.keys.runtime.contains_key(&name("a")));
}
