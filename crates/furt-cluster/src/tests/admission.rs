//! Who belongs to the cluster, and who may what in it.

use super::Net;
use super::harness::{beat_of, stranger};
use crate::model::{Claim, ClusterId, RequestId, Restart, Role, Scope, SettingsId, Standing};
use crate::simulation::CLUSTER;
use crate::simulation::seal::{document, sign};
use crate::{Answer, Body, Command, Indispensable, Issue, Refusal, Refused, SettingsCheck, To};

const MEMBER: Standing = Standing::Approved(Role::Member);
const COMMANDER: Standing = Standing::Approved(Role::Commander);

#[test]
fn a_node_alone_belongs_to_nothing_and_never_makes_a_cluster() {
    let mut net = Net::unjoined(3);
    net.pass(120_000);
    assert!((0..3).all(|at| net.core(at).membership().is_none() && net.secret(at).is_none()));
    assert_eq!(net.issues(0), [Issue::Unjoined]);
    for command in [Command::Rotate, Command::Revoke(net.key(1))] {
        assert_eq!(net.command(0, command), Err(Refusal::Unjoined));
    }
}

#[test]
fn init_makes_one_cluster_and_its_founder_commands() {
    let mut net = Net::unjoined(1);
    let answer = net.command(0, Command::Init(CLUSTER)).unwrap();
    let Answer::Founded(cluster, secret) = answer else { panic!("{answer:?}") };
    assert_eq!((cluster, secret.generation, Some(secret)), (CLUSTER, 1, net.secret(0)));
    assert_eq!(net.standing(0, 0), COMMANDER);
    assert_eq!(net.command(0, Command::Init(ClusterId(uuid::Uuid::from_u128(9)))), Err(Refusal::Joined(CLUSTER)));
    net.restart(0);
    assert_eq!((net.standing(0, 0), net.secret(0)), (COMMANDER, Some(secret)));
}

#[test]
fn a_member_commands_nothing_and_that_is_counted() {
    let mut net = Net::joined(3);
    let (own, other) = (net.key(1), net.key(2));
    for command in [Command::Approve(stranger(9), Role::Member), Command::Revoke(other), Command::Rotate] {
        assert_eq!(net.command(1, command), Err(Refusal::NotCommander));
    }
    assert_eq!(net.set(1, "x"), Err(Refusal::NotCommander));
    // Its owner speaks for it.
    let id = SettingsId { generation: 9, digest: document("x").digest() };
    let claims = [
        Claim::Approved { subject: own, role: Role::Commander },
        Claim::Approved { subject: stranger(9), role: Role::Member },
        Claim::Revoked { subject: other },
        Claim::Settings { scope: Scope::Cluster, id, restart: Restart::Never },
    ];
    let before = net.core(0).roster.sum();
    let last = net.log.iter().rfind(|packet| packet.key == 2).unwrap().clone();
    for (n, claim) in claims.into_iter().enumerate() {
        let mut packet = last.clone();
        packet.out.seq += 10 + n as u64;
        packet.out.at_ms += 10_000;
        packet.out.to = To::All;
        packet.out.body = Body::RecordsGiven(vec![sign(2, CLUSTER, claim, 0)]);
        net.publish(packet);
    }
    let mut packet = last;
    packet.out.seq += 50;
    let request = RequestId { by: own, number: 1 };
    let check = SettingsCheck { request, scope: Scope::Cluster, id, restart: Restart::Never, document: document("x") };
    packet.out.body = Body::SettingsCheck(Box::new(check));
    packet.out.to = To::All;
    net.publish(packet);
    net.pass(100);
    assert_eq!(net.refused(0, Refused::MemberCommand), 5);
    assert_eq!((net.core(0).roster.sum(), net.core(2).roster.sum()), (before, before));
}

#[test]
fn revoked_is_for_ever_and_wins_over_any_approval() {
    let mut net = Net::joined(3);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.pass(100);
    net.cut[1] = true;
    // One commander approves once more what the other one revokes.
    net.command(0, Command::Revoke(net.key(2))).unwrap();
    net.command(1, Command::Approve(net.key(2), Role::Commander)).unwrap();
    net.cut[1] = false;
    net.pass(6_000);
    for at in 0..3 {
        assert_eq!(net.standing(at, 2), Standing::Revoked, "{at}");
    }
    assert_eq!(net.command(0, Command::Approve(net.key(2), Role::Member)), Err(Refusal::Revoked(net.key(2))));
    assert!(net.issues(2).contains(&Issue::SelfRevoked));
    assert!(net.issues(0).contains(&Issue::RotationDue), "the revoked node knows the secret");
    net.pass(6_000);
    assert!(net.refused(0, Refused::Revoked) > 0, "nothing it says is taken");
    net.command(0, Command::Rotate).unwrap();
    net.pass(20_000);
    assert!(!net.issues(0).contains(&Issue::RotationDue));
    assert_eq!(net.generations(), [2, 2, 1]);
}

#[test]
fn whom_a_revoked_commander_approved_stays_if_the_revoking_node_says_so() {
    let mut net = Net::joined(2);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.nodes.push(crate::simulation::node::Node::new(3));
    net.cut.push(false);
    net.arbiter_of.push(Some(0));
    net.restart(2);
    net.join(2, 1, Role::Member);
    net.pass(2_000);
    net.set(1, "by the second").unwrap();
    let answer = net.command(0, Command::Revoke(net.key(1))).unwrap();
    assert_eq!(answer, Answer::Revoked([net.key(2)].into()));
    net.pass(6_000);
    assert_eq!([net.standing(2, 1), net.standing(2, 2)], [Standing::Revoked, MEMBER]);
    assert_eq!(net.core(2).roster.all_settings()[&Scope::Cluster].generation, 1, "and so do the settings");
}

#[test]
fn what_a_revoked_commander_approves_afterwards_is_void() {
    let mut net = Net::joined(3);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.command(0, Command::Revoke(net.key(1))).unwrap();
    let record = sign(2, CLUSTER, Claim::Approved { subject: stranger(9), role: Role::Commander }, 0);
    let last = net.log.iter().rfind(|packet| packet.key == 3).unwrap().clone();
    let mut packet = last;
    packet.out.seq += 10;
    packet.out.to = To::All;
    packet.out.body = Body::RecordsGiven(vec![record]);
    net.publish(packet);
    net.pass(100);
    assert_eq!(net.core(0).roster.standing(&stranger(9)), Standing::Pending);
}

#[test]
fn the_founder_and_the_own_approval_cannot_be_revoked() {
    let mut net = Net::joined(2);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.pass(100);
    let refusal = |why| Err(Refusal::Indispensable(why));
    assert_eq!(net.command(1, Command::Revoke(net.key(0))), refusal(Indispensable::Founder));
    assert_eq!(net.command(1, Command::Revoke(net.key(1))), refusal(Indispensable::Own));
    assert_eq!(net.command(0, Command::Revoke(stranger(9))), Err(Refusal::Unknown(stranger(9))));
    net.nodes.push(crate::simulation::node::Node::new(3));
    net.cut.push(false);
    net.arbiter_of.push(Some(0));
    net.restart(2);
    net.join(2, 1, Role::Commander);
    assert_eq!(net.command(2, Command::Revoke(net.key(1))), refusal(Indispensable::OwnApproval));
}

#[test]
fn nothing_of_a_pending_key_is_executed() {
    let mut net = Net::joined(2);
    net.say(70, To::All, beat_of(70));
    net.pass(100);
    let said = net.log.len();
    let id = net.secret(0).unwrap();
    for body in [Body::RecordsAsked, Body::SecretAsked(id), Body::BeatsAsked, Body::RecordsGiven(Vec::new())] {
        net.say(70, To::Node(net.key(0)), body);
    }
    net.pass(100);
    assert_eq!(net.refused(0, Refused::Unapproved), 4);
    assert!(net.log[said..].iter().all(|packet| packet.out.to != To::Node(stranger(70))));
}

#[test]
fn a_cluster_is_full_at_256_nodes() {
    let mut net = Net::joined(1);
    for key in 1_000..1_255 {
        net.command(0, Command::Approve(stranger(key), Role::Member)).unwrap();
    }
    assert_eq!(net.command(0, Command::Approve(stranger(2_000), Role::Member)), Err(Refusal::Full));
    net.command(0, Command::Revoke(stranger(1_000))).unwrap();
    net.command(0, Command::Approve(stranger(2_000), Role::Member)).unwrap();
}

#[test]
fn sixty_four_commands_are_in_flight_and_no_more() {
    let mut net = Net::joined(1);
    // The seal is slow: nothing is signed meanwhile.
    let replies: Vec<_> =
        (0..70).map(|key| net.begin(0, Command::Approve(stranger(1_000 + key), Role::Member))).collect();
    let busy = replies.iter().filter(|reply| net.answer(0, **reply) == Some(&Err(Refusal::Busy))).count();
    assert_eq!(busy, 6);
    net.pass(1_000);
    assert!(replies.iter().all(|reply| net.answer(0, *reply).is_some()));
}
