//! The program is updated at one node at a time, where its own file lets it.

use super::Net;
use crate::model::{Claim, Program, RequestId, Role, UpdateResult, Version};
use crate::simulation::CLUSTER;
use crate::simulation::seal::{document, sign};
use crate::{Answer, Body, Command, Event, Outcome, Policy, Refusal, Refused, UpdateRule};

fn program(version: &str) -> Program {
    Program { version: Version::try_new(version).unwrap(), digest: document(version).digest() }
}

fn allowed(count: usize) -> Net {
    let mut net = Net::joined(count);
    (0..count).for_each(|at| rule(&mut net, at, UpdateRule::On));
    net
}

fn rule(net: &mut Net, at: usize, updates: UpdateRule) {
    net.nodes[at].policy.updates = updates;
    net.send(at, Event::PolicyChanged(Policy { updates, ..Policy::default() }));
}

/// What the target told.
fn told(net: &mut Net, target: usize, version: &str) -> UpdateResult {
    match net.command(0, Command::Update(net.key(target), program(version))) {
        Ok(Answer::Updated(Outcome::Told(result))) => result,
        other => panic!("{other:?}"),
    }
}

fn failure(net: &mut Net, target: usize, version: &str) -> String {
    told(net, target, version).status.unwrap_err().to_string()
}

#[test]
fn a_node_runs_the_program_that_it_is_told_to_and_says_so() {
    let mut net = allowed(2);
    let result = told(&mut net, 1, "0.2.0");
    assert_eq!(
        (result.status, result.action.as_ref(), result.detail.as_deref()),
        (Ok(()), "update_program", Some("0.2.0"))
    );
    assert_eq!((net.nodes[1].version.as_str(), net.nodes[1].disk.updating), ("0.2.0", None));
    let beat = net.seen(0, 1).unwrap().beat.unwrap();
    assert_eq!(beat.version.as_ref(), "0.2.0");
}

#[test]
fn without_a_key_in_its_own_file_a_node_updates_nothing() {
    let mut net = Net::joined(2);
    assert_eq!(failure(&mut net, 1, "0.2.0"), "updates are off in this node's file");
    rule(&mut net, 1, UpdateRule::ManagedElsewhere);
    assert_eq!(failure(&mut net, 1, "0.2.0"), "managed elsewhere");
    assert!(net.nodes[1].ran.is_empty());
}

#[test]
fn what_is_signed_wrongly_or_does_not_start_is_told_and_the_old_one_stays() {
    let mut net = allowed(2);
    assert_eq!(failure(&mut net, 1, "0.2.13"), "the signature is wrong");
    assert_eq!(failure(&mut net, 1, "0.2.14"), "it is not ready");
    assert_eq!((net.nodes[1].version.as_str(), net.nodes[1].disk.updating), ("0.1.0", None));
    assert_eq!(told(&mut net, 1, "0.2.15").status, Ok(()), "and it can be tried again");
}

#[test]
fn a_version_that_ran_here_is_a_floor_for_ever() {
    let mut net = allowed(2);
    told(&mut net, 1, "0.3.0");
    for version in ["0.3.0", "0.2.9", "0.0.1"] {
        assert_eq!(failure(&mut net, 1, version), format!("{version} is not later than 0.3.0, which ran here"));
    }
    // Also if an older one was installed by hand.
    net.nodes[1].version = "0.1.0".to_owned();
    net.restart(1);
    net.pass(100);
    assert!(failure(&mut net, 1, "0.2.9").contains("0.3.0"));
}

#[test]
fn a_node_that_ends_before_the_takeover_says_that_it_failed() {
    let mut net = allowed(2);
    let reply = net.begin(0, Command::Update(net.key(1), program("0.2.0")));
    net.pass(20);
    assert!(net.nodes[1].disk.updating.is_some());
    net.restart(1);
    net.pass(100);
    let Some(Ok(Answer::Updated(Outcome::Told(result)))) = net.answer(0, reply) else { panic!() };
    assert_eq!(result.status.as_ref().unwrap_err().as_ref(), "it ended before it took over");
}

#[test]
fn a_command_that_is_said_again_after_a_restart_changes_nothing() {
    let mut net = allowed(2);
    assert_eq!(failure(&mut net, 1, "0.2.13"), "the signature is wrong");
    let asked = net.log.iter().rfind(|packet| matches!(packet.out.body, Body::ProgramAsked { .. })).unwrap().clone();
    net.restart(1);
    net.pass(100);
    let results = |net: &Net| net.count(|body| matches!(body, Body::UpdateResult(_)));
    let before = (results(&net), net.refused(1, Refused::Replayed));
    net.publish(asked);
    net.pass(100);
    assert_eq!((results(&net), net.refused(1, Refused::Replayed)), (before.0, before.1 + 1));
    assert_eq!(told(&mut net, 1, "0.2.15").status, Ok(()), "a new command is carried out");
}

#[test]
fn one_node_is_updated_at_a_time_and_one_that_does_not_answer_is_waited_for_with_an_end() {
    let mut net = allowed(3);
    net.cut[1] = true;
    let reply = net.begin(0, Command::Update(net.key(1), program("0.2.0")));
    assert_eq!(net.command(0, Command::Update(net.key(2), program("0.2.0"))), Err(Refusal::UpdateRuns(net.key(1))));
    net.pass(149_000);
    assert_eq!(net.answer(0, reply), None);
    net.pass(2_000);
    assert_eq!(net.answer(0, reply), Some(&Ok(Answer::Updated(Outcome::NoAnswer))));
    assert_eq!(net.command(0, Command::Update(net.key(1), program("0.2.0"))), Err(Refusal::Unknown(net.key(1))));
    assert_eq!(told(&mut net, 2, "0.2.0").status, Ok(()));
}

#[test]
fn a_second_commander_is_told_that_an_update_runs() {
    let mut net = allowed(3);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.pass(100);
    net.begin(0, Command::Update(net.key(2), program("0.2.0")));
    net.pass(20);
    let Ok(Answer::Updated(Outcome::Told(result))) = net.command(1, Command::Update(net.key(2), program("0.4.0")))
    else {
        panic!()
    };
    assert_eq!(result.status.unwrap_err().as_ref(), "an update to 0.2.0 runs");
    net.pass(5_000);
    assert_eq!(net.nodes[2].version, "0.2.0");
}

#[test]
fn a_member_updates_nothing_also_if_a_local_file_calls_it_a_commander() {
    let mut net = allowed(3);
    assert_eq!(net.command(1, Command::Update(net.key(2), program("0.2.0"))), Err(Refusal::NotCommander));
    let peers = [(net.key(1), Role::Commander)].into();
    net.send(2, Event::PolicyChanged(Policy { peers, updates: UpdateRule::On, ..Policy::default() }));
    let request = RequestId { by: net.key(1), number: 1 };
    for (n, body) in [
        Body::ProgramAsked { request, program: program("0.2.0") },
        Body::RecordsGiven(vec![sign(2, CLUSTER, Claim::Revoked { subject: net.key(0) }, 0)]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut packet = net.log.iter().rfind(|packet| packet.key == 2).unwrap().clone();
        packet.out.seq += 10 + n as u64;
        packet.out.to = crate::To::All;
        packet.out.body = body;
        net.publish(packet);
    }
    net.pass(100);
    assert_eq!((net.refused(2, Refused::MemberCommand), net.nodes[2].disk.updating), (1, None));
}
