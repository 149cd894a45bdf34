//! Tokens of a Vault: made for who asks, and for nobody else.

use super::Net;
use crate::model::{Role, VaultSide};
use crate::parts::MAKE_GAP;
use crate::{Body, Command, Condition, Event, Refused, Report, To};

fn says(net: &mut Net, at: usize, vault: VaultSide) {
    net.nodes[at].vault = vault;
    net.send(at, Event::ConditionChanged(Condition { vault, ..Condition::default() }));
}

/// Three nodes that belong together; what they have to do with a Vault is for the test to say.
fn joined() -> Net {
    let mut net = Net::joined(3);
    for at in 0..3 {
        net.nodes[at].vault_token = None;
        says(&mut net, at, VaultSide::Apart);
    }
    net.pass(60_000);
    // What happened before is of no interest.
    net.nodes.iter_mut().for_each(|node| node.reports.clear());
    net.log.retain(|packet| !matches!(packet.out.body, Body::VaultTokenAsked | Body::VaultTokenGiven));
    net
}

fn asked(net: &Net) -> usize {
    net.count(|body| matches!(body, Body::VaultTokenAsked))
}

fn given(net: &Net, at: usize) -> usize {
    net.nodes[at].reports.iter().filter(|report| matches!(report, Report::VaultTokenGiven(_))).count()
}

#[test]
fn a_node_that_wants_a_token_asks_those_that_make_them_until_it_has_one() {
    let mut net = joined();
    let before = asked(&net);
    says(&mut net, 2, VaultSide::Wants);
    net.pass(60_000);
    assert_eq!((asked(&net), net.nodes[2].vault_token), (before, None), "nobody makes one");
    says(&mut net, 0, VaultSide::Makes);
    says(&mut net, 1, VaultSide::Makes);
    // Some of them fail, so that more than one is asked.
    net.pass(600_000);
    assert!(net.nodes[2].vault_token.is_some());
    let rests = asked(&net);
    net.pass(600_000);
    assert_eq!(asked(&net), rests, "it has one");
    assert!(rests - before <= 600 / 20, "one question for each answer that may come: {}", rests - before);
}

#[test]
fn nobody_gets_a_token_but_an_approved_key_and_not_twice_at_once() {
    let mut net = joined();
    says(&mut net, 0, VaultSide::Makes);
    net.pass(6_000);
    let to = To::Node(net.key(0));
    net.say(99, to, super::harness::beat_of(99));
    net.say(99, to, Body::VaultTokenAsked);
    net.pass(5_000);
    assert_eq!((net.refused(0, Refused::Unapproved), given(&net, 0)), (1, 0));
    // One that is approved asks ten times: one is made, and another one after a while.
    let made = net.nodes[0].tokens_made;
    for _ in 0..10 {
        let mut packet = net.log.iter().rfind(|packet| packet.key == 2).unwrap().clone();
        packet.out.body = Body::VaultTokenAsked;
        packet.out.to = to;
        packet.out.seq += 1;
        net.log.push(packet.clone());
        net.publish(packet);
    }
    net.pass(u64::try_from(MAKE_GAP.as_millis()).unwrap() - 1_000);
    assert_eq!(net.nodes[0].tokens_made - made, 1);
    let failed = net.nodes[0].reports.iter().filter(|report| matches!(report, Report::VaultTokenFailed(..))).count();
    assert_eq!(given(&net, 0) + failed, 1);
    assert_eq!(net.nodes[1].vault_token, None, "and is not taken by who did not ask");
    assert!(given(&net, 0) == 0 || net.refused(1, Refused::NotAsked) == 1);
}

#[test]
fn a_token_for_a_key_that_is_revoked_meanwhile_does_not_leave() {
    let mut net = joined();
    says(&mut net, 0, VaultSide::Makes);
    net.pass(6_000);
    let key = net.key(2);
    let packet = |net: &Net| {
        let mut packet = net.log.iter().rfind(|packet| packet.key == 3).unwrap().clone();
        packet.out.body = Body::VaultTokenAsked;
        packet.out.to = To::Node(net.key(0));
        packet.out.seq += 1;
        packet
    };
    let packet = packet(&net);
    net.publish(packet);
    net.pass(20);
    net.command(0, Command::Revoke(key)).unwrap();
    net.send(0, Event::VaultTokenMade(key, Ok(())));
    net.pass(5_000);
    assert_eq!(given(&net, 0), 0);
    assert_eq!(net.count(|body| matches!(body, Body::VaultTokenGiven)), 0);
}

#[test]
fn an_answer_that_comes_late_or_of_another_one_is_not_taken() {
    let mut net = joined();
    says(&mut net, 0, VaultSide::Makes);
    net.pass(6_000);
    // It hears nothing of who makes them.
    net.cut[0] = true;
    says(&mut net, 2, VaultSide::Wants);
    net.pass(1_000);
    let answer = |net: &Net, key: u64| {
        let mut packet = net.log.iter().rfind(|packet| packet.key == key).unwrap().clone();
        packet.out.body = Body::VaultTokenGiven;
        packet.out.to = To::Node(net.key(2));
        packet.out.seq += 1;
        packet.secret = Some((net.key(2), 5));
        packet
    };
    let of_another = answer(&net, 2);
    net.publish(of_another);
    net.pass(100);
    assert_eq!((net.refused(2, Refused::NotAsked), net.nodes[2].vault_token), (1, None));
    let in_time = answer(&net, 1);
    net.publish(in_time.clone());
    net.pass(100);
    assert_eq!(net.nodes[2].vault_token, Some(5));
    // The same again: it is a replay; and another one was not asked for.
    net.publish(in_time);
    let mut again = answer(&net, 1);
    again.out.seq += 1;
    net.publish(again);
    net.pass(100);
    assert_eq!((net.refused(2, Refused::Replayed), net.refused(2, Refused::NotAsked)), (1, 2));
}

#[test]
fn a_node_that_is_not_approved_asks_nobody() {
    let mut net = Net::unjoined(2);
    net.command(0, Command::Init(crate::simulation::CLUSTER)).unwrap();
    says(&mut net, 0, VaultSide::Makes);
    says(&mut net, 1, VaultSide::Wants);
    net.pass(120_000);
    assert_eq!(asked(&net), 0);
    net.join(1, 0, Role::Member);
    net.pass(600_000);
    assert!(asked(&net) > 0 && net.nodes[1].vault_token.is_some());
}
