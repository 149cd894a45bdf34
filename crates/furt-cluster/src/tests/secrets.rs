//! One secret, and how it changes.

use super::Net;
use crate::model::{Role, SecretId};
use crate::simulation::CLUSTER;
use crate::simulation::seal::check_of;
use crate::{Answer, Body, Command, Issue, Refusal, Refused};

#[test]
fn twenty_nodes_that_start_at_once_have_one_secret() {
    let mut net = Net::unjoined(20);
    net.command(0, Command::Init(CLUSTER)).unwrap();
    let token = net.hand_out(0, 19, Role::Member, &(1..20).collect::<Vec<_>>());
    for at in 1..20 {
        net.begin(at, Command::Join(CLUSTER, token));
    }
    net.pass(10_000);
    let secrets: std::collections::BTreeSet<_> = (0..20).map(|at| net.secret(at)).collect();
    assert_eq!((secrets.len(), net.generations()), (1, vec![1; 20]));
    assert!(net.nodes.iter().all(|node| node.seal.secrets == net.nodes[0].seal.secrets));
}

#[test]
fn a_secret_is_asked_for_for_ever_and_never_invented() {
    let mut net = Net::joined(3);
    net.cut[0] = true;
    net.cut[1] = true;
    // It loses what it had: the cluster is known, the secret is not.
    net.nodes[2].seal.secrets.clear();
    net.restart(2);
    net.pass(600_000);
    assert_eq!(net.secret(2), None);
    assert!(net.issues(2).iter().any(|issue| matches!(issue, Issue::SecretMissing(_))));
    net.cut[1] = false;
    net.pass(5_100);
    assert_eq!(net.secret(2), net.secret(1), "within a beat and a round trip");
}

#[test]
fn a_secret_with_another_check_value_is_not_stored() {
    let mut net = Net::joined(2);
    let id = net.secret(0).unwrap();
    net.nodes[1].seal.secrets.clear();
    net.cut[0] = true;
    net.restart(1);
    net.pass(100);
    let mut packet = net.log.iter().rfind(|packet| packet.key == 1).unwrap().clone();
    packet.out.body = Body::SecretGiven { id, check: id.check };
    packet.out.to = crate::To::All;
    packet.secret = Some((net.key(1), 666));
    packet.out.seq += 1_000;
    packet.out.at_ms += 1_000;
    net.publish(packet);
    net.pass(100);
    assert_eq!((net.refused(1, Refused::WrongCheck), net.secret(1)), (1, None));
    assert!(net.nodes[1].seal.secrets.is_empty());
}

#[test]
fn a_secret_that_nobody_asked_for_is_not_taken() {
    let mut net = Net::joined(2);
    let mut packet = net.log.iter().rfind(|packet| packet.key == 1).unwrap().clone();
    let id = SecretId { generation: 7, check: check_of(666) };
    packet.out.body = Body::SecretGiven { id, check: id.check };
    packet.secret = Some((net.key(1), 666));
    packet.out.seq += 1_000;
    net.publish(packet);
    net.pass(100);
    assert_eq!((net.refused(1, Refused::NotAsked), net.generations()), (1, vec![1, 1]));
}

#[test]
fn a_rotation_is_announced_fetched_and_active_once_all_who_are_there_have_it() {
    let mut net = Net::joined(3);
    let reply = net.begin(0, Command::Rotate);
    while net.answer(0, reply).is_none() {
        net.pass(10);
    }
    let Some(Ok(Answer::Rotating(next))) = net.answer(0, reply).cloned() else { panic!() };
    assert_eq!((next.generation, net.generations()), (2, vec![1; 3]));
    assert_eq!(net.command(0, Command::Rotate), Err(Refusal::RotationRuns(next)));
    net.pass(1_000);
    assert_eq!(net.generations(), [2; 3]);
    // Both open messages for ten minutes.
    assert!(net.nodes.iter().all(|node| node.seal.secrets.len() == 2));
    net.pass(595_000);
    assert!(net.nodes.iter().all(|node| node.seal.secrets.len() == 2));
    net.pass(10_000);
    assert!(net.nodes.iter().all(|node| node.seal.secrets.len() == 1 && node.disk.secrets.len() == 1));
}

#[test]
fn a_rotation_waits_for_a_node_that_is_there_and_not_for_one_that_is_away() {
    let mut net = Net::joined(3);
    net.cut[2] = true;
    net.command(0, Command::Rotate).unwrap();
    net.pass(1_000);
    assert_eq!(net.generations(), [1, 1, 1], "it was heard a moment ago");
    assert_eq!(net.view(0).secret.waits_for, [net.key(2)].into());
    assert!(net.issues(0).iter().any(|issue| matches!(issue, Issue::RotationWaits(..))));
    net.pass(70_000);
    assert_eq!(net.generations(), [2, 2, 1]);
    // It comes back alone.
    net.cut[2] = false;
    net.pass(6_100);
    assert_eq!(net.generations(), [2; 3]);
}

#[test]
fn rotations_in_quick_succession_leave_four_secrets_at_most() {
    let mut net = Net::joined(2);
    for generation in 2..9 {
        net.command(0, Command::Rotate).unwrap();
        net.pass(1_000);
        assert_eq!(net.generations(), [generation; 2]);
    }
    assert!(net.nodes.iter().all(|node| node.seal.secrets.len() <= 4), "{:?}", net.nodes[0].seal.secrets);
}

#[test]
fn of_two_who_rotate_at_once_one_does_and_the_other_is_told() {
    let mut net = Net::joined(2);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.pass(100);
    let replies = [net.begin(0, Command::Rotate), net.begin(1, Command::Rotate)];
    net.pass(2_000);
    let answers: Vec<_> =
        replies.iter().enumerate().map(|(at, reply)| net.answer(at, *reply).unwrap().clone()).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert!(answers.contains(&Err(Refusal::SecretTaken(2))));
    assert_eq!(net.generations(), [2; 2]);
    assert!(net.nodes.iter().all(|node| node.seal.secrets.len() == 2), "what was made in vain is wiped");
}

#[test]
fn a_rotation_whose_arbiter_is_away_can_be_given_again() {
    let mut net = Net::joined(2);
    net.arbiter_of[0] = None;
    assert!(matches!(net.command(0, Command::Rotate), Err(Refusal::NoArbiter(_))));
    let made = net.nodes[0].disk.made;
    assert!(made.is_some());
    net.restart(0);
    net.pass(16_000);
    net.arbiter_of[0] = Some(0);
    assert_eq!(
        net.command(0, Command::Rotate),
        Ok(Answer::Rotating(made.unwrap())),
        "the same secret, as it may be granted"
    );
    net.pass(2_000);
    assert_eq!((net.generations(), net.nodes[0].disk.made), (vec![2; 2], None));
}

#[test]
fn a_generation_that_a_lost_node_was_given_is_passed_over_after_a_minute() {
    let mut net = Net::joined(2);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.pass(100);
    // The second one gets generation 2, and dies before it can say so.
    net.begin(1, Command::Rotate);
    net.pass(20);
    net.cut[1] = true;
    net.pass(1_000);
    assert_eq!(net.command(0, Command::Rotate), Err(Refusal::SecretTaken(2)));
    assert_eq!(net.command(0, Command::Rotate), Err(Refusal::SecretTaken(2)));
    net.pass(61_000);
    let answer = net.command(0, Command::Rotate);
    assert!(matches!(answer, Ok(Answer::Rotating(id)) if id.generation == 3), "{answer:?}");
}

#[test]
fn a_secret_whose_maker_is_gone_stops_no_rotation() {
    for is_revoked in [false, true] {
        let mut net = Net::joined(3);
        net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
        net.pass(100);
        // The second one announces a secret, and is gone before anyone has it.
        let said = net.log.len();
        net.begin(1, Command::Rotate);
        while net.log[said..].iter().all(|packet| !matches!(packet.out.body, Body::RecordsGiven(_))) {
            net.pass(10);
        }
        net.pass(10);
        net.cut[1] = true;
        assert!(matches!(net.command(0, Command::Rotate), Err(Refusal::RotationRuns(_))));
        if is_revoked {
            net.command(0, Command::Revoke(net.key(1))).unwrap();
            net.pass(100);
            assert_eq!(net.command(0, Command::Rotate), Err(Refusal::SecretTaken(2)), "the arbiter knows it");
        }
        net.pass(75_000);
        let answer = net.command(0, Command::Rotate);
        assert!(matches!(answer, Ok(Answer::Rotating(id)) if id.generation == 3), "{answer:?}");
        net.pass(2_000);
        assert_eq!([net.generations()[0], net.generations()[2]], [3, 3]);
    }
}

/// Two halves of a cluster with an arbiter each make a generation each.
fn split() -> Net {
    let mut net = Net::joined(4);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.pass(100);
    net.arbiter_of = vec![Some(0), Some(1), Some(0), Some(1)];
    net.cut = vec![false, true, false, true];
    net.pass(70_000);
    net.command(0, Command::Rotate).unwrap();
    net.pass(20_000);
    net.cut = vec![true, false, true, false];
    net.pass(100_000);
    net.command(1, Command::Rotate).unwrap();
    net.pass(20_000);
    assert_eq!(net.generations(), [2; 4]);
    assert_ne!(net.secret(0), net.secret(1));
    net.cut = vec![false; 4];
    net.pass(20_000);
    net
}

#[test]
fn two_secrets_of_one_generation_are_never_merged_and_one_is_adopted() {
    let mut net = split();
    for at in 0..4 {
        let split = net.issues(at).iter().any(|issue| matches!(issue, Issue::SecretSplit(of) if of.len() == 2));
        assert!(split, "{at} tells it");
        assert_eq!(
            net.nodes[at].seal.secrets.keys().filter(|id| id.generation == 2).count(),
            1,
            "nobody takes the other one"
        );
    }
    assert_eq!(net.command(0, Command::Rotate), Err(Refusal::Split(2)));
    let unknown = SecretId { generation: 2, check: check_of(5) };
    assert_eq!(net.command(0, Command::Adopt(unknown)), Err(Refusal::NoSuchSecret));
    let chosen = net
        .core(1)
        .roster
        .announced()
        .into_iter()
        .find(|id| net.nodes[1].seal.secrets.contains_key(id) && id.generation == 2);
    net.command(0, Command::Adopt(chosen.unwrap())).unwrap();
    net.pass(6_000);
    for at in 0..4 {
        assert_eq!(net.secret(at), chosen, "{at}");
        assert!(!net.issues(at).iter().any(|issue| matches!(issue, Issue::SecretSplit(_))));
    }
    net.arbiter_of = vec![Some(1); 4];
    net.command(0, Command::Rotate).unwrap();
    net.pass(2_000);
    assert_eq!(net.generations(), [3; 4]);
}
