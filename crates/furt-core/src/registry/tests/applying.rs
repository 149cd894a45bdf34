//! What is to be there is put in force: all of it or nothing, and nothing of what is not named.

use std::sync::Arc;

use super::harness::sharing::elsewhere;
use super::*;
use crate::model::{AuditAction, OldDigest, PermissionRule, PermissionSet, Rate, RateLimit, ServiceName};
use crate::registry::applies::{MAX_SHARED, MAX_SHARED_BYTES};
use crate::registry::{
    ApplyAnswer, ApplyCommand, Change, DesiredKey, DesiredState, Difference, Event, KeyCommand, KeyRefusal, KeyReport,
    Premise, Refusal, Report,
};

fn everything() -> DesiredState {
    desired()
        .keys(&[("a", "1"), ("b", "2")])
        .grants(&[("shop", "/shop/*")])
        .maintenance(&[("shop", None), ("*", Some(9_000_000))])
        .splits(&[("shop", &["v2"])])
}

fn names(differences: &[Difference]) -> Vec<String> {
    let line = |difference: &Difference| {
        let (kind, name, before, after) = match difference {
            Difference::Grant { service, before, after } => {
                ("grant", service.to_string(), before.is_some(), after.is_some())
            }
            Difference::Key { name, before, after } => ("key", name.to_string(), before.is_some(), after.is_some()),
            Difference::Maintenance { scope, before, after } => {
                ("maintenance", scope.to_string(), before.is_some(), after.is_some())
            }
            Difference::Split { service, before, after } => {
                ("split", service.to_string(), before.is_some(), after.is_some())
            }
        };
        let sign = match (before, after) {
            (false, _) => '+',
            (true, false) => '-',
            (true, true) => '~',
        };
        format!("{sign}{kind} {name}")
    };
    differences.iter().map(line).collect()
}

fn actions(furt: &Harness) -> Vec<&'static str> {
    furt.audited.iter().map(|entry| entry.action.as_str()).collect()
}

#[test]
fn what_is_exported_is_there_and_applying_it_changes_nothing() {
    let mut furt = Harness::new();
    let answer = furt.apply(&everything()).unwrap();
    let all = ["+grant shop", "+key a", "+key b", "+maintenance *", "+maintenance shop", "+split shop"];
    assert_eq!((names(&answer.done), answer.left), (all.map(str::to_owned).to_vec(), 0));
    assert!(furt.is_good("1") && furt.is_good("2"));
    assert_eq!(
        actions(&furt),
        ["grant-set", "key-create", "key-create", "maintenance-begin", "maintenance-begin", "split-set"]
    );
    let writes = furt.written.len();
    for state in [furt.exported(), everything(), desired()] {
        assert_eq!(furt.apply(&state).unwrap().done, []);
    }
    assert_eq!(furt.written.len(), writes, "nothing is written");
    furt.restart_same();
    assert_eq!(furt.apply(&everything()).unwrap().done, [], "after a restart");
    let mut other = Harness::new();
    other.apply(&furt.exported()).unwrap();
    assert_eq!(other.exported(), furt.exported());
}

#[test]
fn a_collection_that_is_not_named_is_not_touched_and_an_empty_one_is_emptied() {
    let mut furt = Harness::new();
    furt.apply(&everything()).unwrap();
    let answer = furt.apply(&desired().keys(&[("b", "2"), ("c", "3")])).unwrap();
    assert_eq!(names(&answer.done), ["-key a", "+key c"]);
    assert!(!furt.is_good("1") && furt.is_good("3"));
    assert_eq!(furt.snapshot.splits.len() + furt.snapshot.runtime_grants.len(), 2);
    let nothing = desired().keys(&[]).grants(&[]).maintenance(&[]).splits(&[]);
    furt.apply(&nothing).unwrap();
    assert_eq!(furt.exported(), nothing);
    assert!(furt.snapshot.maintenance.is_none());
}

#[test]
fn it_is_all_or_nothing() {
    let mut furt = Harness::new();
    furt.store = Store::Fails;
    assert!(matches!(furt.apply(&everything()), Err(Refusal::StoreFailed(_))));
    assert_eq!(furt.exported(), desired().keys(&[]).grants(&[]).maintenance(&[]).splits(&[]));
    furt.store = Store::Works;
    furt.key(KeyCommand::Create(key("z", "9"))).unwrap();
    let with_taken = everything().keys(&[("a", "1"), ("z", "9"), ("b", "9")]);
    assert!(matches!(furt.apply(&with_taken), Err(Refusal::Key(KeyRefusal::Taken { .. }))), "one digest twice");
    assert!(furt.snapshot.splits.is_empty() && !furt.is_good("1"));
}

#[test]
fn a_key_that_is_renamed_is_good_throughout_and_two_may_exchange_their_digests() {
    let mut furt = Harness::new();
    furt.apply(&desired().keys(&[("a", "1"), ("b", "2")])).unwrap();
    furt.store = Store::Waits;
    let reply = furt.ask_apply(&desired().keys(&[("renamed", "1"), ("b", "2")]), false);
    assert!(furt.is_good("1"), "until it is stored it is as it was");
    furt.finish(Store::Works);
    assert_eq!(names(&furt.applied(reply).unwrap().done), ["-key a", "+key renamed"]);
    assert_eq!(furt.snapshot.keys.get(&digest("1")).unwrap().name.as_str(), "renamed");
    furt.store = Store::Works;
    furt.apply(&desired().keys(&[("renamed", "2"), ("b", "1")])).unwrap();
    let holder = |furt: &Harness, secret| furt.snapshot.keys.get(&digest(secret)).unwrap().name.to_string();
    assert_eq!((holder(&furt, "1"), holder(&furt, "2")), ("b".to_owned(), "renamed".to_owned()));
    furt.restart_same();
    assert_eq!((holder(&furt, "1"), holder(&furt, "2")), ("b".to_owned(), "renamed".to_owned()));
}

#[test]
fn keys_are_told_apart_as_made_changed_rotated_and_revoked() {
    let mut furt = Harness::new();
    furt.apply(&desired().keys(&[("a", "1"), ("b", "2"), ("c", "3")])).unwrap();
    let mut state = desired().keys(&[("a", "1"), ("b", "20"), ("d", "4")]);
    let keys = state.keys.as_mut().unwrap();
    keys.get_mut(&name("a")).unwrap().spec.rate = Some(RateLimit::new(Rate::try_new("5/m").unwrap(), None));
    let until_ms = furt.now.unix_ms + 5_000;
    keys.get_mut(&name("b")).unwrap().old = Some(vec![OldDigest { sha256: digest("2"), until_ms }]);
    furt.reports.clear();
    furt.audited.clear();
    furt.apply(&state).unwrap();
    let line = |report: &Report| match report {
        Report::Key(KeyReport::Created { name, by: Some(_) }) => format!("created {name}"),
        Report::Key(KeyReport::Changed { name, by: Some(_) }) => format!("changed {name}"),
        Report::Key(KeyReport::Rotated { name, by: Some(_) }) => format!("rotated {name}"),
        Report::Key(KeyReport::Revoked { name, by: Some(_) }) => format!("revoked {name}"),
        other => panic!("{other:?}"),
    };
    let told: Vec<_> = furt.reports.iter().map(line).collect();
    assert_eq!(told, ["revoked c", "changed a", "rotated b", "created d"]);
    let of_changes = furt.audited.iter().filter(|entry| matches!(entry.action, AuditAction::ChangeKey { .. }));
    assert_eq!(of_changes.count(), 2);
    assert!(furt.is_good("2") && furt.is_good("20"), "the one before is good for a while");
    assert_eq!(furt.apply(&state).unwrap().done, []);
    assert_eq!(furt.snapshot.keys.runtime[&name("a")].key.created_ms, 1_000_000, "it is the same key");
    furt.pass(6);
    assert!(!furt.is_good("2"));
    assert_eq!(furt.apply(&state).unwrap().done, [], "what is over is no difference");
}

#[test]
fn what_is_over_counts_as_absent() {
    let mut furt = Harness::new();
    let mut state = desired().keys(&[("a", "1")]).maintenance(&[("shop", Some(furt.now.unix_ms + 2_000))]);
    state.keys.as_mut().unwrap().get_mut(&name("a")).unwrap().expires_ms = Some(furt.now.unix_ms + 2_000);
    furt.apply(&state).unwrap();
    furt.pass(3);
    assert_eq!(furt.apply(&state).unwrap().done, []);
    assert_eq!(furt.exported().keys.unwrap().len(), 0);
}

#[test]
fn what_the_configuration_has_is_not_changed() {
    let mut furt = Harness::new();
    furt.configured = vec![configured("c", "7")];
    furt.reconfigure(settings(policy()), Vec::new());
    let refused = furt.apply(&desired().keys(&[("c", "8")]));
    assert_eq!(refused, Err(KeyRefusal::Configured(name("c")).into()));
    assert!(matches!(furt.apply(&desired().keys(&[("d", "7")])), Err(Refusal::Key(KeyRefusal::Taken { .. }))));
    let mut policy = policy();
    policy.grants.insert(ServiceName::try_new("shop").unwrap(), Arc::new(grant_of("/*")));
    furt.reconfigure(settings(policy), Vec::new());
    let refused = furt.apply(&desired().grants(&[("shop", "/shop/*")]));
    assert_eq!(refused, Err(Refusal::ConfiguredGrant(ServiceName::try_new("shop").unwrap())));
}

#[test]
fn commands_about_the_same_wait_and_an_end_of_a_key_is_seen_at_once() {
    let mut furt = Harness::new();
    furt.key(KeyCommand::Create(key("a", "1"))).unwrap();
    furt.store = Store::Waits;
    let reply = furt.ask_apply(&desired().keys(&[("a", "10"), ("b", "2")]), false);
    let busy = furt.ask_apply(&desired().keys(&[("a", "11")]), false);
    assert_eq!(furt.applied(busy), Err(Refusal::Busy));
    let same_digest = furt.ask_key(KeyCommand::Create(key("z", "2")));
    assert!(matches!(furt.answers[&same_digest], Err(Refusal::Key(KeyRefusal::Taken { .. }))));
    let revoked = furt.ask_key(KeyCommand::Revoke(name("a")));
    assert!(!furt.is_good("1"), "nothing keeps a key good that is revoked");
    furt.finish(Store::Works);
    assert!(furt.applied(reply).is_ok() && !furt.is_good("10") && furt.is_good("2"));
    furt.finish(Store::Works);
    assert!(furt.answers[&revoked].is_ok());
    assert!(!furt.snapshot.keys.runtime.contains_key(&name("a")));
}

#[test]
fn what_has_changed_since_it_was_looked_at_is_not_overwritten() {
    let mut furt = Harness::new();
    let seen = furt.snapshot.generation;
    furt.register(&Command::new("a", &["GET /a"])).unwrap();
    let ask = |furt: &mut Harness, seen| {
        let reply = furt.new_reply();
        let command = ApplyCommand { desired: Arc::new(everything()), seen: Some(seen), in_parts: false };
        furt.send(Event::ApplyRequested { command, by: operator("127.0.0.1").actor(), reply });
        reply
    };
    let reply = ask(&mut furt, seen);
    assert!(furt.applied(reply).is_ok(), "a registration is no part of it");
    let reply = ask(&mut furt, seen);
    assert_eq!(furt.applied(reply), Err(Refusal::ChangedSince));
    let now = furt.snapshot.generation;
    let reply = ask(&mut furt, now);
    assert!(furt.applied(reply).is_ok());
}

#[test]
fn a_shared_store_takes_ninety_records_at_once_and_more_in_parts() {
    let mut furt = Harness::shared();
    let all: Vec<_> = (0..100).map(|number| (format!("k{number:03}"), format!("s{number}"))).collect();
    let all: Vec<_> = all.iter().map(|(name, secret)| (name.as_str(), secret.as_str())).collect();
    let state = desired().keys(&all);
    let refused = furt.apply(&state);
    assert_eq!(refused, Err(Refusal::TooManyDifferences { count: 100, most: MAX_SHARED }));
    assert!(furt.apply(&desired().keys(&all[..MAX_SHARED])).is_ok());
    furt.apply(&desired().keys(&[])).unwrap();
    let first = furt.ask_apply(&state, true);
    assert_eq!((furt.applied(first).unwrap().done.len(), furt.applied(first).unwrap().left), (90, 10));
    let second = furt.ask_apply(&state, true);
    assert_eq!((furt.applied(second).unwrap().done.len(), furt.applied(second).unwrap().left), (10, 0));
    assert_eq!(furt.apply(&state).unwrap().done, []);
}

#[test]
fn parts_never_lie_between_keys_that_exchange_digests() {
    let mut furt = Harness::shared();
    let all: Vec<_> = (0..80).map(|number| (format!("k{number:03}"), format!("s{number}"))).collect();
    let of = |shift: usize| -> Vec<(String, String)> {
        (0..80).map(|number| (all[number].0.clone(), all[(number + shift) % 80].1.clone())).collect()
    };
    let state = |pairs: &[(String, String)], more: usize| {
        let more: Vec<_> = (0..more).map(|number| (format!("a{number:03}"), format!("t{number}"))).collect();
        let all: Vec<_> = pairs.iter().chain(&more).map(|(name, secret)| (name.clone(), secret.clone())).collect();
        desired().keys(&all.iter().map(|(name, secret)| (name.as_str(), secret.as_str())).collect::<Vec<_>>())
    };
    furt.apply(&state(&of(0), 0)).unwrap();
    // All eighty hand on their digests in a ring; twenty more are new, and come before them by name.
    let moved = state(&of(1), 20);
    let first = furt.ask_apply(&moved, true);
    let first = furt.applied(first).unwrap();
    assert_eq!((first.done.len(), first.left), (90, 10));
    for number in 0..80 {
        let holder = &furt.snapshot.keys.get(&digest(&format!("s{number}"))).unwrap().name;
        assert_eq!(holder.as_str(), format!("k{:03}", (number + 79) % 80));
    }
}

#[test]
fn a_part_is_as_large_as_a_shared_store_takes() {
    let mut furt = Harness::shared();
    let all: Vec<_> = (0..20).map(|number| (format!("k{number:02}"), format!("s{number}"))).collect();
    let all: Vec<_> = all.iter().map(|(name, secret)| (name.as_str(), secret.as_str())).collect();
    let mut state = desired().keys(&all);
    for key in state.keys.as_mut().unwrap().values_mut() {
        let rule = |rule| PermissionRule::try_new(&format!("p{rule:03}:{}", "x".repeat(100))).unwrap();
        key.spec.permissions = PermissionSet::new((0..256).map(rule).collect());
    }
    let mut done = 0;
    loop {
        let reply = furt.ask_apply(&state, true);
        let ApplyAnswer { done: part, left, .. } = furt.applied(reply).unwrap();
        assert!(!part.is_empty() && part.iter().map(Difference::size).sum::<usize>() <= MAX_SHARED_BYTES);
        done += part.len();
        if left == 0 {
            break;
        }
    }
    assert_eq!(done, 20);
}

#[test]
fn a_digest_that_has_ended_under_another_key_is_not_taken_over() {
    let mut furt = Harness::shared();
    let until_ms = furt.now.unix_ms + 2_000;
    let mut state = desired().keys(&[("a", "1")]);
    state.keys.as_mut().unwrap().get_mut(&name("a")).unwrap().old =
        Some(vec![OldDigest { sha256: digest("0"), until_ms }]);
    furt.apply(&state).unwrap();
    furt.pass(3);
    assert!(!furt.is_good("0"));
    let two = desired().keys(&[("a", "1"), ("b", "0")]);
    assert!(matches!(furt.apply(&two), Err(Refusal::Key(KeyRefusal::Taken { .. }))), "the store has it under a still");
    furt.apply(&desired().keys(&[("b", "0")])).unwrap();
    assert!(furt.is_good("0") && !furt.is_good("1"));
}

#[test]
fn a_key_whose_end_is_moved_while_it_ends_is_good() {
    let mut furt = Harness::shared();
    let mut state = desired().keys(&[("a", "1")]);
    state.keys.as_mut().unwrap().get_mut(&name("a")).unwrap().expires_ms = Some(furt.now.unix_ms + 2_000);
    furt.apply(&state).unwrap();
    furt.store = Store::Waits;
    furt.pass(3);
    assert!(!furt.is_good("1"));
    let mut later = key("a", "1");
    later.expires_ms = Some(furt.now.unix_ms + 60_000);
    furt.told(vec![Change::PutKey(Arc::from(later))], elsewhere());
    assert!(furt.is_good("1"));
}

#[test]
fn others_that_change_the_same_have_it_judged_again() {
    let mut furt = Harness::shared();
    furt.apply(&desired().keys(&[("a", "1")])).unwrap();
    furt.store = Store::Waits;
    let reply = furt.ask_apply(&desired().keys(&[("a", "1"), ("b", "2")]), false);
    let (id, write) = furt.writes.pop_front().unwrap();
    assert!(write.is_whole && write.premises.contains(&Premise::NoNewDigests));
    furt.told(vec![Change::PutKey(Arc::from(key("c", "3")))], elsewhere());
    furt.send(Event::WriteOutdated(id, furt.revision));
    furt.finish(Store::Works);
    assert_eq!(names(&furt.applied(reply).unwrap().done), ["-key c", "+key b"]);
}

/// Any two states lead to each other, whatever they have in common.
#[test]
fn from_any_state_to_any_other_and_nothing_once_more() {
    let mut random = fastrand::Rng::with_seed(11);
    let (key_names, secrets) = (["a", "b", "c", "d"], ["1", "2", "3", "4", "5"]);
    for round in 0..300 {
        let mut furt = if round % 2 == 0 { Harness::new() } else { Harness::shared() };
        for _ in 0..4 {
            let mut secrets = secrets.to_vec();
            random.shuffle(&mut secrets);
            let keys: Vec<_> = key_names.iter().zip(secrets).filter(|_| random.bool()).map(|(a, b)| (*a, b)).collect();
            let some = |random: &mut fastrand::Rng| random.bool().then_some(9_000_000);
            let mut state = desired();
            if random.u8(..5) > 0 {
                state = state.keys(&keys);
            }
            if random.bool() {
                let of = [("x", "/x/*"), ("y", "/y")];
                state = state.grants(&of[random.usize(..2)..]);
            }
            if random.bool() {
                let of = [("*", some(&mut random)), ("x", some(&mut random))];
                state = state.maintenance(&of[random.usize(..=2)..]);
            }
            if random.bool() {
                let versions: &[&str] = if random.bool() { &["v1"] } else { &["v1", "v2"] };
                state = state.splits(&[("x", versions)]);
            }
            furt.apply(&state).unwrap();
            let DesiredState { grants, keys, maintenance, splits } = furt.exported();
            let same = |key: &DesiredKey| (key.spec.clone(), key.expires_ms);
            if let Some(wanted) = &state.keys {
                let there = keys.unwrap();
                assert!(there.values().map(same).eq(wanted.values().map(same)), "round {round}");
            }
            assert!(state.grants.is_none() || state.grants == grants, "round {round}");
            assert!(state.maintenance.is_none() || state.maintenance == maintenance, "round {round}");
            assert!(state.splits.is_none() || state.splits == splits, "round {round}");
            assert_eq!(furt.apply(&state).unwrap().done, [], "round {round}");
            furt.pass_ms(u64::from(random.u32(..50)));
            let exported = furt.exported();
            assert_eq!(furt.apply(&exported).unwrap().done, [], "round {round}");
        }
        if round % 2 == 0 {
            let before = furt.exported();
            furt.restart_same();
            assert_eq!(furt.exported(), before, "round {round}");
        }
    }
}
