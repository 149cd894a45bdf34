//! Who is there.

use std::time::Duration;

use super::Net;
use super::harness::{beat_of, stranger};
use crate::model::{NodeState, RegistryPoint, Role, Scope, Standing};
use crate::simulation::CLUSTER;
use crate::simulation::node::EPOCH_MS;
use crate::{Body, Command, Condition, Event, Issue, Policy, Refused, To};

fn is_beat(body: &Body) -> bool {
    matches!(body, Body::Beat(_))
}

#[test]
fn a_node_beats_at_once_and_then_every_five_seconds() {
    let mut net = Net::unjoined(1);
    assert_eq!(net.count(is_beat), 1);
    net.pass(4_800);
    assert_eq!(net.count(is_beat), 1);
    net.pass(200);
    assert_eq!(net.count(is_beat), 2);
    let policy = Policy { beat_interval: Duration::ZERO, ..Policy::default() };
    net.send(0, Event::PolicyChanged(policy));
    net.pass(15_000);
    assert!((13..=18).contains(&net.count(is_beat)), "an interval is at least a second: {}", net.count(is_beat));
}

#[test]
fn a_node_is_active_then_late_then_silent_and_forgotten_after_a_day() {
    let mut net = Net::joined(2);
    assert_eq!(net.state(0, 1), Some(NodeState::Active));
    net.pass(5_000 - net.ms % 5_000);
    net.cut[1] = true;
    let age = net.seen(0, 1).unwrap().age.unwrap().as_millis();
    net.pass(14_990 - age as u64);
    assert_eq!(net.state(0, 1), Some(NodeState::Active));
    net.pass(10);
    assert_eq!(net.state(0, 1), Some(NodeState::Late));
    net.pass(45_000);
    assert_eq!(net.state(0, 1), Some(NodeState::Silent));
    net.ms += 24 * 3_600 * 1_000;
    net.pass(5_000);
    let seen = net.seen(0, 1).unwrap();
    assert_eq!((seen.state, seen.standing.is_approved()), (None, true), "it stays approved, and is listed by --all");
}

#[test]
fn a_node_that_ends_says_so_and_nothing_after_that() {
    let mut net = Net::joined(2);
    net.send(1, Event::Leaving);
    net.pass(100);
    assert_eq!(net.state(0, 1), Some(NodeState::Leaving));
    let said = net.log.len();
    net.send(1, Event::BusUp);
    net.send(1, Event::DeadlineReached);
    assert_eq!((net.core(1).next_deadline(), net.log.len()), (None, said));
}

#[test]
fn a_newer_start_takes_the_place_of_an_older_one_at_once_for_ever() {
    let mut net = Net::joined(2);
    let old = net.log.iter().rfind(|packet| packet.key == 2).unwrap().clone();
    let before = net.core(1).boot();
    net.restart(1);
    net.pass(100);
    assert!(net.core(1).boot() > before);
    assert_eq!(net.seen(0, 1).unwrap().boot, Some(net.core(1).boot()));
    net.publish(old);
    net.pass(100);
    assert_eq!((net.refused(0, Refused::OldBoot), net.seen(0, 1).unwrap().boot), (1, Some(net.core(1).boot())));
}

#[test]
fn a_start_has_a_greater_boot_also_if_the_clock_went_back() {
    let mut net = Net::unjoined(1);
    let before = net.core(0).boot();
    net.nodes[0].skew_ms = -3_600_000;
    net.restart(0);
    assert!(net.core(0).boot() > before);
}

#[test]
fn what_was_heard_is_not_heard_again() {
    let mut net = Net::joined(2);
    let beats = net.view(0).beats;
    let all: Vec<_> = net.log.iter().filter(|packet| packet.key == 2).cloned().collect();
    for packet in all.clone() {
        net.publish(packet);
    }
    net.pass(100);
    assert_eq!(net.view(0).beats, beats);
    let refused = net.refused(0, Refused::Replayed) + net.refused(0, Refused::Skewed);
    assert!(refused > 0 && refused <= all.len() as u64);
}

#[test]
fn a_message_with_a_time_a_minute_away_is_refused_and_its_clock_is_shown() {
    for (skew_ms, is_told, is_refused) in
        [(9_000, false, false), (11_000, true, false), (-59_000, true, false), (70_000, true, true)]
    {
        let mut net = Net::joined(2);
        net.nodes[1].skew_ms = skew_ms;
        net.pass(6_000);
        let seen = net.seen(0, 1).unwrap().skew_ms.unwrap();
        assert!((seen - skew_ms).abs() < 100, "{seen}");
        let told = net.issues(0).iter().any(|issue| matches!(issue, Issue::Skew { .. }));
        assert_eq!((told, net.refused(0, Refused::Skewed) > 0), (is_told, is_refused), "{skew_ms}");
    }
}

#[test]
fn a_message_for_another_node_or_of_another_cluster_is_not_taken() {
    let mut net = Net::joined(2);
    let mut packet = net.log.iter().rfind(|packet| packet.key == 2).unwrap().clone();
    packet.out.seq += 1_000;
    packet.out.to = To::Node(stranger(77));
    let to = net.nodes[0].fingerprint();
    let (event, _) = net.nodes[0].seal.open(to, &packet);
    net.send(0, event);
    assert_eq!(net.refused(0, Refused::NotForUs), 1);
    packet.out.to = To::All;
    packet.out.cluster = Some(crate::model::ClusterId(uuid::Uuid::from_u128(9)));
    let (event, _) = net.nodes[0].seal.open(to, &packet);
    net.send(0, event);
    assert_eq!(net.refused(0, Refused::Foreign), 1);
    assert!(net.issues(0).contains(&Issue::ForeignCluster(packet.out.cluster.unwrap())));
    net.pass(70_000);
    assert!(!net.issues(0).iter().any(|issue| matches!(issue, Issue::ForeignCluster(_))), "told for a minute");
}

#[test]
fn a_copy_of_the_own_key_is_told_and_a_replay_of_the_own_past_is_not() {
    let mut net = Net::joined(2);
    let old = net.log.iter().rfind(|packet| packet.key == 1).unwrap().clone();
    net.restart(0);
    net.pass(100);
    net.publish(old.clone());
    net.pass(100);
    assert!(net.refused(0, Refused::OwnKey) > 0 && !net.issues(0).contains(&Issue::OwnKey));
    let mut copy = old;
    copy.out.at_ms = EPOCH_MS + i64::try_from(net.ms).unwrap() + 1;
    net.publish(copy);
    net.pass(100);
    assert!(net.issues(0).contains(&Issue::OwnKey));
}

#[test]
fn pending_keys_are_bounded_and_the_one_heard_longest_ago_gives_way() {
    let mut net = Net::joined(2);
    for key in 1_000..2_100 {
        net.say(key, To::All, beat_of(key));
        net.pass(20);
    }
    let pending: Vec<_> = net
        .view(0)
        .nodes
        .into_iter()
        .filter(|node| node.standing == Standing::Pending)
        .map(|node| node.fingerprint)
        .collect();
    assert_eq!(pending.len(), 1_024);
    assert!(!pending.contains(&stranger(1_000)) && pending.contains(&stranger(2_099)));
    assert_eq!(net.state(0, 1), Some(NodeState::Active), "an approved node never gives way");
    assert_eq!(net.command(0, Command::Forget(stranger(2_099))), Ok(crate::Answer::Done));
    assert!(net.command(0, Command::Forget(net.key(1))).is_err(), "it is approved");
}

#[test]
fn other_registries_and_late_followers_are_told() {
    let mut net = Net::joined(3);
    let at = |epoch: u128, revision| Condition {
        registry: Some(RegistryPoint { epoch: uuid::Uuid::from_u128(epoch), revision }),
        ..Condition::default()
    };
    net.send(0, Event::ConditionChanged(at(1, 10)));
    net.send(1, Event::ConditionChanged(at(1, 10)));
    net.send(2, Event::ConditionChanged(at(2, 5)));
    net.pass(6_000);
    assert!(net.issues(0).contains(&Issue::RegistryEpoch(net.key(2))));
    // Node 2 uses the same store from here on, and does not follow it.
    net.send(2, Event::ConditionChanged(at(1, 5)));
    for revision in 11..25 {
        net.send(1, Event::ConditionChanged(at(1, revision)));
        net.pass(5_000);
    }
    let behind = |issue: &Issue| matches!(issue, Issue::RegistryBehind { node, .. } if *node == stranger(3));
    assert_eq!(net.issues(0).iter().filter(|issue| behind(issue)).count(), 1);
    assert!(
        !net.issues(0).iter().any(|issue| matches!(issue, Issue::RegistryBehind { node, .. } if *node == stranger(2)))
    );
    net.send(2, Event::ConditionChanged(at(1, 25)));
    net.pass(6_000);
    assert!(!net.issues(0).iter().any(behind));
}

#[test]
fn a_beat_with_a_version_too_long_is_refused() {
    let mut net = Net::joined(2);
    for (length, refused) in [(64, 0), (65, 1)] {
        let Body::Beat(mut beat) = beat_of(50) else { panic!() };
        beat.version = "x".repeat(length).into();
        net.say(50, To::All, Body::Beat(beat));
        net.pass(100);
        assert_eq!(net.refused(0, Refused::Malformed), refused);
    }
}

#[test]
fn a_shorter_interval_is_in_force_at_once() {
    let mut net = Net::joined(1);
    let every =
        |seconds| Event::PolicyChanged(Policy { beat_interval: Duration::from_secs(seconds), ..Policy::default() });
    net.send(0, every(600));
    net.pass(11_000);
    let before = net.count(is_beat);
    net.pass(48_000);
    assert!(net.count(is_beat) <= before + 1, "an interval is at most a minute");
    let before = net.count(is_beat);
    net.send(0, every(1));
    net.pass(3_000);
    assert!(net.count(is_beat) >= before + 3);
}

#[test]
fn two_living_keys_with_one_name_are_told() {
    let mut net = Net::joined(2);
    let name = net.nodes[1].core.as_ref().unwrap().identity.name.clone();
    let Body::Beat(mut beat) = beat_of(50) else { panic!() };
    beat.name = name.clone();
    net.say(50, To::All, Body::Beat(beat));
    net.pass(100);
    let taken = |issue: &Issue| matches!(issue, Issue::NameTaken { name: of, .. } if *of == name);
    assert!(net.issues(0).iter().any(taken));
}

#[test]
fn without_a_bus_nothing_is_sent_and_commands_are_refused_at_once() {
    let mut net = Net::joined(2);
    net.send(0, Event::BusDown);
    let said = net.log.len();
    assert_eq!(net.command(0, Command::Rotate), Err(crate::Refusal::BusDown));
    net.pass(20_000);
    assert!(net.log[said..].iter().all(|packet| packet.key != 1));
    assert!(net.issues(0).contains(&Issue::BusDown));
    net.send(0, Event::BusUp);
    assert!(net.log.iter().rev().take(2).any(|packet| is_beat(&packet.out.body)), "it beats at once");
    assert!(!net.issues(0).contains(&Issue::BusDown));
}

#[test]
fn beats_that_are_asked_for_come_at_most_once_a_second() {
    let mut net = Net::joined(3);
    net.pass(2_000);
    let before = net.count(is_beat);
    for _ in 0..20 {
        let seq = net.log.iter().filter(|packet| packet.key == 2).map(|packet| packet.out.seq).max().unwrap();
        let mut packet = net.log.iter().rfind(|packet| packet.key == 2).unwrap().clone();
        packet.out.body = Body::BeatsAsked;
        packet.out.to = To::All;
        packet.out.seq = seq + 10;
        net.log.push(packet.clone());
        net.publish(packet);
        net.pass(20);
    }
    assert_eq!(net.membership_count(CLUSTER), 3);
    net.pass(2_000);
    assert!((1..=8).contains(&(net.count(is_beat) - before)), "{}", net.count(is_beat) - before);
    let asked = net.count(|body| *body == Body::BeatsAsked);
    net.command(0, Command::AskBeats).unwrap();
    assert_eq!(net.count(|body| *body == Body::BeatsAsked), asked + 1);
    net.send(0, Event::BusDown);
    assert_eq!(net.command(0, Command::AskBeats), Err(crate::Refusal::BusDown));
}

#[test]
fn a_node_is_shown_what_it_says_of_itself() {
    let net = Net::joined(2);
    let (own, other) = (net.seen(0, 0).unwrap(), net.seen(1, 0).unwrap());
    assert!(own.is_self && !other.is_self);
    let (own, other) = (own.beat.unwrap(), other.beat.unwrap());
    assert_eq!((own.version, own.secret, own.name), (other.version, other.secret, other.name));
}

#[test]
fn who_asks_again_and_again_is_given_records_and_documents_once_a_second() {
    let mut net = Net::joined(1);
    net.set(0, "# 1\n").unwrap();
    net.command(0, Command::Approve(stranger(70), Role::Member)).unwrap();
    net.say(70, To::All, beat_of(70));
    net.pass(3_000);
    let (secret, (_, id, _)) = (net.secret(0).unwrap(), net.core(0).roster.settings(Scope::Cluster).unwrap());
    for turn in 1..=2 {
        let said = net.log.len();
        for _ in 0..20 {
            net.say(70, To::Node(net.key(0)), Body::RecordsAsked);
            net.say(70, To::Node(net.key(0)), Body::DocumentAsked { scope: Scope::Cluster, id, secret });
        }
        net.pass(500);
        let given = |is_meant: fn(&Body) -> bool| {
            let to_it = net.log[said..].iter().filter(|packet| packet.out.to == To::Node(stranger(70)));
            to_it.filter(|packet| is_meant(&packet.out.body)).count()
        };
        let records = given(|body| matches!(body, Body::RecordsGiven(_)));
        let documents = given(|body| matches!(body, Body::DocumentGiven { .. }));
        assert_eq!((records, documents), (1, 1), "{turn}");
        net.pass(1_000);
    }
}
