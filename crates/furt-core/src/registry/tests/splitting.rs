//! Splits: what they outlive, who joins as a canary, and what other gateways do.

use std::sync::Arc;

use super::harness::sharing::elsewhere;
use super::*;
use crate::model::{ServiceName, Split};
use crate::registry::splits::{MAX_PARKED, MAX_SPLITS};
use crate::registry::{Answer, Change, Event, Premise, Record, Refusal, Report, SplitReport};

fn shop() -> Command {
    Command::new("shop", &["GET /shop"])
}

/// Another instance, of a version and with another definition.
fn canary() -> Command {
    Command::new("shop", &["GET /shop", "GET /new"]).id("canary").version("v2")
}

fn name(text: &str) -> ServiceName {
    ServiceName::try_new(text).unwrap()
}

fn open() -> Harness {
    let mut furt = Harness::new();
    furt.register(&shop()).unwrap();
    furt
}

fn restart(furt: &mut Harness) {
    furt.restart(settings(policy()), Vec::new());
}

fn sides(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn count(furt: &Harness, is_it: impl Fn(&SplitReport) -> bool) -> usize {
    furt.reports.iter().filter(|report| matches!(report, Report::Split(report) if is_it(report))).count()
}

#[test]
fn instances_are_on_the_side_of_their_version_as_they_come_and_go() {
    let mut furt = open();
    assert_eq!(furt.sides("shop"), None);
    furt.register(&shop().id("old").version("v1")).unwrap();
    furt.split(split("shop", &["v2", "v3"])).unwrap();
    assert_eq!(furt.sides("shop"), sides(&["old shop", "", ""]));
    furt.register(&shop().id("b").version("v3")).unwrap();
    furt.register(&shop().id("a").version("v2")).unwrap();
    assert_eq!(furt.sides("shop"), sides(&["old shop", "a", "b"]));
    furt.register(&shop().id("b").version("v2")).unwrap();
    assert_eq!(furt.sides("shop"), sides(&["old shop", "a b", ""]), "another version replaces what is registered");
    furt.deregister("shop/a", source("127.0.0.1")).unwrap();
    assert_eq!(furt.sides("shop"), sides(&["old shop", "b", ""]));
    furt.split(split("shop", &["v1"])).unwrap();
    assert_eq!(furt.sides("shop"), sides(&["b shop", "old"]));
    furt.split(unsplit("shop")).unwrap();
    assert_eq!(furt.sides("shop"), None);
    assert_eq!(furt.split(unsplit("shop")), Err(Refusal::NoSplit(name("shop"))));
    assert_eq!(count(&furt, |report| matches!(report, SplitReport::Set { .. })), 2);
    assert_eq!(count(&furt, |report| matches!(report, SplitReport::Removed { by: Some(_), .. })), 1);
    assert_eq!(count(&furt, |report| matches!(report, SplitReport::Refused { .. })), 1);
}

#[test]
fn it_belongs_to_the_name_whatever_becomes_of_the_service() {
    let mut furt = Harness::new();
    furt.split(split("shop", &["v2"])).unwrap();
    assert_eq!(furt.snapshot.splits.len(), 1, "before anyone is registered");
    furt.register(&shop()).unwrap();
    furt.register(&canary()).unwrap();
    assert_eq!(furt.sides("shop"), sides(&["shop", "canary"]));
    restart(&mut furt);
    assert_eq!(furt.sides("shop"), sides(&["shop", "canary"]));
    furt.deregister("shop", source("127.0.0.1")).unwrap();
    restart(&mut furt);
    furt.register(&shop()).unwrap();
    assert_eq!(furt.sides("shop"), sides(&["shop", ""]));
    furt.split(unsplit("shop")).unwrap();
    restart(&mut furt);
    assert_eq!((furt.sides("shop"), furt.snapshot.splits.len()), (None, 0));
}

#[test]
fn a_canary_joins_and_the_next_registration_after_the_split_replaces() {
    let mut furt = open();
    furt.split(split("shop", &["v2"])).unwrap();
    let joined = furt.register(&canary()).unwrap();
    assert_eq!((joined.routes, joined.canary.is_some(), joined.is_change), (1, true, true));
    let heard = furt.register(&canary()).unwrap();
    assert_eq!((heard.routes, heard.canary.is_some(), heard.is_change), (1, true, false), "it is a heartbeat");
    assert!(furt.usable("", "/new").is_empty());
    // Who says the same of the service, and whose version is not named, is no canary.
    assert!(furt.register(&shop().id("same").version("v2")).unwrap().canary.is_none());
    let other = furt.register(&canary().id("other").version("v1")).unwrap();
    assert_eq!((other.routes, other.canary.is_some()), (2, false));
    assert_eq!(furt.usable("", "/new"), ["shop"]);
    furt.register(&shop()).unwrap();
    assert!(furt.usable("", "/new").is_empty(), "the stable version is as free as ever");
    furt.split(unsplit("shop")).unwrap();
    let promoted = furt.register(&canary()).unwrap();
    assert_eq!((promoted.routes, promoted.canary.is_some(), promoted.is_change), (2, false, true));
    assert_eq!(furt.usable("", "/new"), ["shop"]);
}

#[test]
fn a_canary_that_comes_first_is_the_service() {
    let mut furt = Harness::new();
    furt.split(split("shop", &["v2"])).unwrap();
    let first = furt.register(&canary()).unwrap();
    assert_eq!((first.routes, first.canary.is_some()), (2, false));
    assert_eq!(furt.sides("shop"), sides(&["", "canary"]));
}

#[test]
fn a_canary_may_come_from_elsewhere_and_takes_no_route_of_others() {
    let mut furt = open();
    furt.register(&Command::new("other", &["GET /other"])).unwrap();
    furt.split(split("shop", &["v2"])).unwrap();
    let command = Command::new("shop", &["GET /other"]).id("canary").version("v2");
    let taken = furt.register(&command).unwrap().canary.unwrap();
    assert!(matches!(taken.obstacle, Some(Refusal::Taken { .. })), "{taken:?}");
    assert_eq!(furt.usable("", "/other"), ["other"]);
    let elsewhere = furt.register(&canary().id("far").from("10.0.0.7")).unwrap().canary.unwrap();
    assert!(matches!(elsewhere.obstacle, Some(Refusal::NotOwner { .. })), "{elsewhere:?}");
    assert_eq!(furt.register(&canary().id("near")).unwrap().canary.unwrap().obstacle, None);
}

#[test]
fn what_the_store_cannot_take_changes_nothing() {
    let mut furt = open();
    furt.store = Store::Fails;
    assert!(matches!(furt.split(split("shop", &["v2"])), Err(Refusal::StoreFailed(_))));
    assert_eq!(furt.sides("shop"), None);
    furt.store = Store::Works;
    furt.split(split("shop", &["v2"])).unwrap();
    furt.store = Store::Fails;
    assert!(matches!(furt.split(unsplit("shop")), Err(Refusal::StoreFailed(_))));
    assert_eq!(furt.sides("shop"), sides(&["shop", ""]));
}

#[test]
fn commands_wait_for_the_write_before_them_in_their_order() {
    let mut furt = open();
    furt.store = Store::Waits;
    let commands = [split("shop", &["v1"]), unsplit("shop"), split("shop", &["v2", "v3"])];
    let replies = commands.map(|one| furt.ask_split(one));
    assert_eq!((furt.writes.len(), furt.sides("shop")), (1, None));
    furt.finish(Store::Works);
    assert_eq!((furt.writes.len(), furt.sides("shop")), (1, sides(&["shop", ""])));
    furt.finish(Store::Works);
    furt.finish(Store::Works);
    assert!(replies.iter().all(|reply| furt.answers[reply].is_ok()));
    assert_eq!((furt.sides("shop"), furt.writes.len()), (sides(&["shop", "", ""]), 0));
}

#[test]
fn names_and_waiting_commands_are_bounded() {
    let mut furt = open();
    furt.store = Store::Waits;
    let replies: Vec<_> = (0..MAX_PARKED + 2).map(|_| furt.ask_split(split("shop", &["v1"]))).collect();
    assert_eq!(furt.answers[&replies[MAX_PARKED + 1]], Err(Refusal::Busy));
    while !furt.writes.is_empty() {
        furt.finish(Store::Works);
    }
    furt.store = Store::Works;
    (1..MAX_SPLITS).for_each(|number| _ = furt.split(split(&format!("s{number}"), &["v1"])).unwrap());
    assert_eq!(furt.split(split("one-more", &["v1"])), Err(Refusal::TooManySplits));
    furt.split(split("shop", &["v2"])).unwrap();
}

#[test]
fn nothing_is_stored_that_could_not_be_read_again() {
    let mut furt = open();
    for versions in [&[][..], &["v1", "v1"], &["stable"], &["a", "b", "c", "d", "e", "f", "g", "h", "i"]] {
        assert!(matches!(furt.split(split("shop", versions)), Err(Refusal::Invalid(_))), "{versions:?}");
    }
    assert!(furt.snapshot.splits.is_empty());
}

mod shared {
    use super::*;

    fn shared() -> Harness {
        let mut furt = Harness::shared();
        furt.register(&shop()).unwrap();
        furt
    }

    fn put(versions: &[&str]) -> Change {
        let split = Split { spec: split_of(versions), by: source("10.0.0.9").actor(), set_ms: 5 };
        Change::PutSplit(name("shop"), Arc::new(split))
    }

    #[test]
    fn what_another_gateway_set_and_removed_is_followed() {
        let mut furt = shared();
        furt.told(vec![put(&["v2"])], elsewhere());
        furt.told(vec![put(&["v2"])], elsewhere());
        assert_eq!(furt.sides("shop"), sides(&["shop", ""]));
        assert_eq!(count(&furt, |report| matches!(report, SplitReport::Set { .. })), 1, "told once");
        assert!(furt.register(&canary()).unwrap().canary.is_some());
        furt.told(vec![Change::RemoveSplit(name("shop"))], elsewhere());
        assert_eq!(furt.sides("shop"), None);
        let removed = SplitReport::Removed { service: name("shop"), by: None };
        assert!(furt.reports.contains(&Report::Split(removed)));
    }

    #[test]
    fn a_registration_with_a_version_relies_on_the_split_or_that_there_is_none() {
        let premises = |furt: &mut Harness, command: &Command| {
            furt.store = Store::Waits;
            furt.ask(command);
            let premises = furt.writes.back().unwrap().1.premises.clone();
            furt.finish(Store::Works);
            furt.store = Store::Works;
            let record = Record::Split(name("shop"));
            [Premise::Absent(record.clone()), Premise::Unchanged(record)].map(|one| premises.contains(&one))
        };
        let mut furt = shared();
        assert_eq!(premises(&mut furt, &canary()), [true, false], "it replaces the definition");
        assert_eq!(premises(&mut furt, &canary().id("other")), [false; 2], "it says the same of the service");
        assert_eq!(premises(&mut furt, &shop()), [false; 2], "it has no version");
        furt.told(vec![put(&["v2"])], elsewhere());
        assert_eq!(premises(&mut furt, &canary().id("third")), [false, true], "it joins as a canary");
    }

    #[test]
    fn a_canary_that_did_not_hear_of_the_split_is_judged_again_and_joins() {
        let mut furt = shared();
        furt.store = Store::Waits;
        let reply = furt.ask(&canary());
        let (id, _) = furt.writes.pop_front().unwrap();
        furt.told(vec![put(&["v2"])], elsewhere());
        furt.send(Event::WriteOutdated(id, furt.revision));
        furt.finish(Store::Works);
        let Ok(Answer::Registered(registered)) = &furt.answers[&reply] else { panic!("{:?}", furt.answers[&reply]) };
        assert!(registered.canary.is_some());
        assert_eq!(furt.sides("shop"), sides(&["shop", "canary"]));
        assert!(furt.usable("", "/new").is_empty());
    }

    #[test]
    fn of_two_at_once_the_later_one_counts_and_knows_the_earlier_one() {
        let mut furt = shared();
        furt.store = Store::Waits;
        furt.ask_split(split("shop", &["v1"]));
        assert_eq!(furt.writes[0].1.premises, [Premise::Absent(Record::Split(name("shop")))]);
        furt.told(vec![put(&["v2", "v3"])], elsewhere());
        assert_eq!(furt.sides("shop"), sides(&["shop", "", ""]));
        let (id, _) = furt.writes.pop_front().unwrap();
        furt.send(Event::WriteOutdated(id, furt.revision));
        assert_eq!(furt.writes[0].1.premises, [Premise::Unchanged(Record::Split(name("shop")))]);
        furt.finish(Store::Works);
        assert_eq!(furt.sides("shop"), sides(&["shop", ""]));
    }

    #[test]
    fn an_end_that_another_gateway_was_faster_with_is_good() {
        let mut furt = shared();
        furt.split(split("shop", &["v2"])).unwrap();
        furt.store = Store::Waits;
        let reply = furt.ask_split(unsplit("shop"));
        furt.told(vec![Change::RemoveSplit(name("shop"))], elsewhere());
        let (id, _) = furt.writes.pop_front().unwrap();
        furt.send(Event::WriteOutdated(id, furt.revision));
        assert!(furt.answers[&reply].is_ok());
    }

    #[test]
    fn an_outdated_command_is_judged_again() {
        let mut furt = shared();
        furt.store = Store::Waits;
        let reply = furt.ask_split(split("shop", &["v1"]));
        let (id, _) = furt.writes.pop_front().unwrap();
        furt.send(Event::WriteOutdated(id, furt.revision));
        assert_eq!(furt.writes.len(), 1, "it is written again");
        furt.finish(Store::Works);
        assert!(furt.answers[&reply].is_ok());
        assert_eq!(furt.sides("shop"), sides(&["shop", ""]));
    }

    #[test]
    fn while_the_store_is_away_it_stays_as_it_is() {
        let mut furt = shared();
        furt.split(split("shop", &["v2"])).unwrap();
        furt.send(Event::StoreReach(Err("gone".into())));
        assert!(matches!(furt.split(unsplit("shop")), Err(Refusal::StoreFailed(_))));
        assert_eq!(furt.sides("shop"), sides(&["shop", ""]));
    }
}
