//! Settings arrive everywhere or nowhere.

use std::collections::BTreeSet;

use super::Net;
use crate::model::{Claim, Restart, Role, Scope, SettingsId};
use crate::simulation::CLUSTER;
use crate::simulation::seal::{document, sign};
use crate::{Agreement, Answer, Body, CheckFailure, Command, Event, Issue, Outcome, Policy, Refusal, Refused, Setting};

fn outcomes(answer: Result<Answer, Refusal>) -> Vec<Outcome> {
    match answer {
        Ok(Answer::Set { outcomes, .. }) => outcomes.into_values().collect(),
        other => panic!("{other:?}"),
    }
}

fn generation(net: &Net, at: usize) -> u64 {
    net.core(at).documents.applied(Scope::Cluster).map_or(0, |id| id.generation)
}

fn restarting(net: &Net, text: &str) -> Command {
    match net.setting(0, Scope::Cluster, text) {
        Command::Set { settings, agreement, .. } => Command::Set { settings, agreement, restart: Restart::OneByOne },
        other => other,
    }
}

fn partial(net: &Net, text: &str) -> Command {
    match net.setting(0, Scope::Cluster, text) {
        Command::Set { settings, restart, .. } => Command::Set { settings, agreement: Agreement::Partial, restart },
        other => other,
    }
}

#[test]
fn a_document_is_in_force_at_all_nodes_and_each_tells_so() {
    let mut net = Net::joined(3);
    let answer = net.set(0, "one");
    assert!(
        outcomes(answer)
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Told(result) if result.status.is_ok() && result.generation == 1))
    );
    for at in 0..3 {
        assert_eq!((net.text(at, Scope::Cluster).as_deref(), generation(&net, at)), (Some("one"), 1));
    }
    assert_eq!(net.core(1).document(Scope::Cluster).unwrap().1.text(), "one");
    net.set(0, "two").unwrap();
    assert_eq!((net.text(2, Scope::Cluster).as_deref(), generation(&net, 2)), (Some("two"), 2));
    net.restart(2);
    assert_eq!(generation(&net, 2), 2);
    assert!(net.nodes.iter().all(|node| node.disk.offered.is_empty()), "an offer ends where the document is in force");
}

#[test]
fn where_one_node_refuses_nobody_applies_it_and_all_errors_are_told() {
    let mut net = Net::joined(3);
    net.set(0, "one").unwrap();
    let Err(Refusal::Disagreed { disagree, silent }) = net.set(0, "bad2 bad3 ") else { panic!() };
    assert_eq!((disagree.len(), silent.len()), (2, 0));
    assert!(disagree.values().all(|why| *why == CheckFailure::Wrong(vec!["line 1: a bad value".into()])));
    net.pass(20_000);
    assert!((0..3).all(|at| net.text(at, Scope::Cluster).as_deref() == Some("one")));
    assert_eq!(net.count(|body| matches!(body, Body::DocumentGiven { .. })), 2, "those of the first");
}

#[test]
fn a_node_that_is_there_and_does_not_answer_stops_it_and_one_that_is_away_does_not() {
    let mut net = Net::joined(3);
    net.cut[2] = true;
    let Err(Refusal::Disagreed { silent, .. }) = net.set(0, "one") else { panic!() };
    assert_eq!(silent, [net.key(2)].into());
    net.pass(60_000);
    let answer = net.set(0, "one");
    assert_eq!(outcomes(answer).iter().filter(|outcome| **outcome == Outcome::Away).count(), 1);
    assert_eq!([generation(&net, 1), generation(&net, 2)], [1, 0]);
    net.cut[2] = false;
    net.pass(8_000);
    assert_eq!(net.text(2, Scope::Cluster).as_deref(), Some("one"), "it takes it from the next beat");
    assert!(!net.issues(0).iter().any(|issue| matches!(issue, Issue::SettingsDiffer { .. })));
}

#[test]
fn partly_those_apply_it_that_agree() {
    let mut net = Net::joined(3);
    let command = partial(&net, "bad3 ");
    let outcomes = outcomes(net.command(0, command));
    assert_eq!(outcomes.iter().filter(|one| matches!(one, Outcome::Told(result) if result.status.is_ok())).count(), 2);
    net.pass(12_000);
    assert_eq!((0..3).map(|at| generation(&net, at)).collect::<Vec<_>>(), [1, 1, 0]);
    assert!(net.issues(2).iter().any(|issue| matches!(issue, Issue::SettingsRefused { .. })));
    assert!(
        net.issues(0).iter().any(|issue| matches!(issue, Issue::SettingsDiffer { node, .. } if *node == net.key(2)))
    );
    // Tried once, not with every beat.
    let failed = |net: &Net| net.count(|body| matches!(body, Body::UpdateResult(result) if result.status.is_err()));
    assert_eq!(failed(&net), 1);
    // And once more where the file allows something else.
    for _ in 0..2 {
        net.send(2, Event::PolicyChanged(Policy { settings: vec!["limits.*".into()], ..Policy::default() }));
        net.pass(12_000);
        assert_eq!(failed(&net), 2);
    }
    let command = partial(&net, "bad1 bad2 bad3 ");
    assert!(matches!(net.command(0, command), Err(Refusal::Disagreed { .. })), "one must agree");
}

#[test]
fn of_two_operators_one_wins_by_generation_and_the_other_is_told() {
    let mut net = Net::joined(3);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.pass(100);
    let commands = [net.setting(0, Scope::Cluster, "by 0"), net.setting(1, Scope::Cluster, "by 1")];
    let replies: Vec<_> = commands.into_iter().enumerate().map(|(at, command)| net.begin(at, command)).collect();
    net.pass(40_000);
    let answers: Vec<_> =
        replies.iter().enumerate().map(|(at, reply)| net.answer(at, *reply).unwrap().clone()).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert!(answers.iter().any(|answer| matches!(answer, Err(Refusal::Outdated { generation: 1, .. }))));
    let texts: BTreeSet<_> = (0..3).map(|at| net.text(at, Scope::Cluster)).collect();
    assert_eq!(texts.len(), 1);
}

#[test]
fn of_two_changes_at_one_node_the_second_is_told_that_the_first_is_under_way() {
    let mut net = Net::joined(2);
    let commands = [net.setting(0, Scope::Cluster, "first"), net.setting(0, Scope::Cluster, "second")];
    let [first, second] = commands.map(|command| net.begin(0, command));
    assert_eq!(net.answer(0, second), Some(&Err(Refusal::SettingsRun(Scope::Cluster))));
    net.pass(40_000);
    assert!(matches!(net.answer(0, first), Some(Ok(_))));
    assert_eq!(net.text(1, Scope::Cluster).as_deref(), Some("first"));
}

#[test]
fn a_document_made_from_an_older_one_is_refused() {
    let mut net = Net::joined(2);
    let old = net.setting(0, Scope::Cluster, "from none");
    net.set(0, "one").unwrap();
    assert_eq!(net.command(0, old), Err(Refusal::Outdated { scope: Scope::Cluster, generation: 1 }));
}

#[test]
fn a_document_for_one_node_is_nobody_elses() {
    let mut net = Net::joined(3);
    let scope = Scope::Node(net.key(1));
    let command = net.setting(0, scope, "for 1");
    assert_eq!(outcomes(net.command(0, command)).len(), 1);
    assert_eq!((net.text(1, scope).as_deref(), net.text(2, scope), net.text(0, scope)), (Some("for 1"), None, None));
    // And for one that is away.
    net.cut[1] = true;
    net.pass(61_000);
    let command = net.setting(0, scope, "for 1, later");
    assert_eq!(outcomes(net.command(0, command)), [Outcome::Away]);
    net.restart(0);
    net.cut[1] = false;
    net.pass(12_000);
    assert_eq!(net.text(1, scope).as_deref(), Some("for 1, later"), "the node that set it keeps it");
}

#[test]
fn several_nodes_are_set_by_one_command_or_not_at_all() {
    let mut net = Net::joined(3);
    let settings = |texts: [&str; 2], net: &Net| -> Vec<_> {
        let all = [1, 2].into_iter().zip(texts);
        all.map(|(at, text)| Setting { scope: Scope::Node(net.key(at)), document: document(text), expect: 0 }).collect()
    };
    let set = |settings| Command::Set { settings, agreement: Agreement::All, restart: Restart::Never };
    let command = set(settings(["fine", "bad3 "], &net));
    assert!(matches!(net.command(0, command), Err(Refusal::Disagreed { .. })));
    assert_eq!(net.text(1, Scope::Node(net.key(1))), None);
    let command = set(settings(["one", "two"], &net));
    assert_eq!(outcomes(net.command(0, command)).len(), 2);
    assert_eq!(net.text(2, Scope::Node(net.key(2))).as_deref(), Some("two"));
    let mut both = settings(["x", "y"], &net);
    both[0] = Setting { scope: Scope::Cluster, document: document("x"), expect: 0 };
    both[1].expect = 1;
    for settings in [Vec::new(), both] {
        assert!(matches!(net.command(0, set(settings)), Err(Refusal::Invalid(_))));
    }
}

#[test]
fn keys_that_the_file_allows_no_more_are_an_issue_as_long_as_they_are_set() {
    let mut net = Net::joined(2);
    net.set(0, "one").unwrap();
    let is_told = |net: &Net| net.issues(1).iter().any(|issue| matches!(issue, Issue::SettingsPassedOver(_)));
    assert!(!is_told(&net));
    let passed_over = vec!["limits.max_body".into(), "server.threads".into()];
    net.send(1, Event::PolicyChanged(Policy { passed_over, ..Policy::default() }));
    let told = net.issues(1).iter().map(ToString::to_string).collect::<String>();
    assert!(told.contains("does not allow limits.max_body, server.threads, so"), "{told}");
    net.send(1, Event::PolicyChanged(Policy::default()));
    assert!(!is_told(&net));
}

#[test]
fn settings_wait_for_an_arbiter() {
    let mut net = Net::joined(2);
    net.arbiter_of[0] = None;
    assert!(matches!(net.set(0, "one"), Err(Refusal::NoArbiter(_))));
    net.arbiter_of[0] = Some(0);
    net.set(0, "two").unwrap();
    assert_eq!(net.text(1, Scope::Cluster).as_deref(), Some("two"));
}

#[test]
fn with_two_arbiters_all_take_the_same_of_two_documents() {
    let mut net = Net::joined(4);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.arbiter_of = vec![Some(0), Some(1), Some(0), Some(1)];
    net.cut = vec![false, true, false, true];
    net.pass(70_000);
    net.set(0, "left").unwrap();
    net.cut = vec![true, false, true, false];
    net.pass(90_000);
    net.set(1, "right").unwrap();
    net.cut = vec![false; 4];
    net.pass(15_000);
    let texts: BTreeSet<_> = (0..4).map(|at| net.text(at, Scope::Cluster)).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(net.issues(0).contains(&Issue::SettingsSplit(Scope::Cluster, 1)));
    net.arbiter_of = vec![Some(0); 4];
    net.set(0, "anew").unwrap();
    assert!(!net.issues(0).iter().any(|issue| matches!(issue, Issue::SettingsSplit(..))));
}

#[test]
fn a_document_that_is_not_the_one_that_was_signed_is_not_taken() {
    let mut net = Net::joined(2);
    net.cut[1] = true;
    net.pass(61_000);
    net.set(0, "one").unwrap();
    net.cut[1] = false;
    let record = net.core(0).roster.settings(Scope::Cluster).unwrap().0.clone();
    let mut packet = net.log.iter().rfind(|packet| packet.key == 1).unwrap().clone();
    packet.out.seq += 1_000;
    packet.out.body = Body::DocumentGiven { record: Box::new(record), document: document("two"), request: None };
    packet.out.to = crate::To::All;
    net.publish(packet);
    net.pass(50);
    assert_eq!((net.refused(1, Refused::WrongDigest), net.text(1, Scope::Cluster)), (1, None));
}

#[test]
fn an_older_document_changes_nothing_also_from_a_node_that_has_it() {
    let mut net = Net::joined(2);
    net.set(0, "one").unwrap();
    let old = net.log.iter().rfind(|packet| matches!(packet.out.body, Body::DocumentGiven { .. })).unwrap().clone();
    net.set(0, "two").unwrap();
    let applied = net.count(|body| matches!(body, Body::UpdateResult(_)));
    for restarts in [false, true] {
        if restarts {
            net.restart(1);
            net.pass(100);
        }
        // Said anew, so that no window knows it.
        let last = net.log.iter().rfind(|packet| packet.key == 1).unwrap().clone();
        let mut packet = old.clone();
        (packet.out.seq, packet.out.at_ms) = (last.out.seq + 1_000, last.out.at_ms);
        net.publish(packet);
        net.pass(3_000);
        assert_eq!((generation(&net, 1), net.text(1, Scope::Cluster).as_deref()), (2, Some("two")));
    }
    assert_eq!(net.count(|body| matches!(body, Body::UpdateResult(_))), applied);
}

#[test]
fn documents_travel_sealed_alone() {
    let mut net = Net::joined(3);
    net.set(0, "one").unwrap();
    net.restart(1);
    net.set(0, "two").unwrap();
    let carries = |body: &Body| matches!(body, Body::SettingsCheck(_) | Body::DocumentGiven { .. });
    let all: Vec<_> = net.log.iter().filter(|packet| carries(&packet.out.body)).collect();
    assert!(all.len() >= 8 && all.iter().all(|packet| packet.sealed.is_some()));
}

#[test]
fn nodes_restart_one_after_the_other() {
    let mut net = Net::joined(4);
    let boots: Vec<_> = (0..4).map(|at| net.core(at).boot()).collect();
    let command = restarting(&net, "one");
    let reply = net.begin(0, command);
    let mut done = Vec::new();
    for _ in 0..3_000 {
        net.pass(50);
        let applying = net.nodes.iter().filter(|node| node.disk.applying.is_some()).count();
        assert!(applying <= 1, "two restart at once");
        for (at, boot) in boots.iter().enumerate() {
            if net.core(at).boot() != *boot && !done.contains(&at) {
                done.push(at);
            }
        }
    }
    assert_eq!(done.len(), 4);
    assert_eq!(done.pop(), Some(0), "the one that set them last");
    assert!(done.windows(2).all(|two| net.key(two[0]) < net.key(two[1])), "in the order of their keys: {done:?}");
    assert!((0..4).all(|at| net.text(at, Scope::Cluster).as_deref() == Some("one")));
    // The command's own node restarted as well, and answered before.
    let outcomes = outcomes(net.answer(0, reply).unwrap().clone());
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes.iter().all(|one| matches!(one, Outcome::Told(told) if told.status.is_ok())), "{outcomes:?}");
    assert_eq!(net.count(|body| matches!(body, Body::UpdateResult(result) if result.status.is_ok())), 4);
}

#[test]
fn a_node_that_does_not_come_back_stops_the_restarts_after_it() {
    let mut net = Net::joined(4);
    let mut order: Vec<_> = (0..4).collect();
    order.sort_by_key(|at| (*at == 0, net.key(*at)));
    let command = restarting(&net, "one");
    net.begin(0, command);
    net.pass(100);
    // The first of them is gone from here on.
    net.cut[order[0]] = true;
    net.pass(200_000);
    for at in &order[1..] {
        assert_eq!(generation(&net, *at), 0);
    }
    net.cut[order[0]] = false;
    net.pass(60_000);
    assert!((0..4).all(|at| generation(&net, at) == 1));
}

#[test]
fn where_one_node_cannot_restart_the_command_ends_and_those_after_it_go_on_as_they_were() {
    let mut net = Net::joined(4);
    let mut order: Vec<_> = (0..4).collect();
    order.sort_by_key(|at| (*at == 0, net.key(*at)));
    // It finds at the restart what no check finds.
    net.nodes[order[1]].fails_at_restart = true;
    let command = restarting(&net, "one");
    let reply = net.begin(0, command);
    net.pass(20_000);
    let Some(Ok(Answer::Set { outcomes, .. })) = net.answer(0, reply) else { panic!() };
    let of = |at: usize| &outcomes[&net.nodes[order[at]].fingerprint()];
    assert!(matches!(of(0), Outcome::Told(told) if told.status.is_ok()), "{outcomes:?}");
    assert!(matches!(of(1), Outcome::Told(told) if told.status.is_err()), "{outcomes:?}");
    assert_eq!([of(2), of(3)], [&Outcome::Waiting; 2]);
    net.pass(60_000);
    assert_eq!([0, 1, 2, 3].map(|at| generation(&net, order[at])), [1, 0, 0, 0]);
}

#[test]
fn a_document_that_a_revoked_node_alone_has_is_passed_over() {
    let mut net = Net::joined(3);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.pass(100);
    // The others learn that there is a document, and never get it.
    let record = sign(
        2,
        CLUSTER,
        Claim::Settings {
            scope: Scope::Cluster,
            id: SettingsId { generation: 1, digest: document("lost").digest() },
            restart: Restart::Never,
        },
        0,
    );
    let mut packet = net.log.iter().rfind(|packet| packet.key == 2).unwrap().clone();
    packet.out.seq += 1_000;
    packet.out.to = crate::To::All;
    packet.out.body = Body::RecordsGiven(vec![record]);
    net.cut[1] = true;
    net.publish(packet);
    net.pass(100);
    assert_eq!(net.core(2).roster.all_settings().len(), 1);
    net.command(0, Command::Revoke(net.key(1))).unwrap();
    net.pass(100);
    assert_eq!(net.core(2).roster.all_settings().len(), 0);
    net.set(0, "anew").unwrap();
    assert_eq!(net.text(2, Scope::Cluster).as_deref(), Some("anew"));
}

#[test]
fn a_generation_of_settings_that_a_lost_node_was_given_is_passed_over_after_a_minute() {
    let mut net = Net::joined(3);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.pass(100);
    let command = net.setting(1, Scope::Cluster, "lost");
    net.begin(1, command);
    // All agree, the arbiter gives the generation, and nobody hears of it any more.
    while net.nodes[1].due.is_empty() || net.core(1).rollouts.numbers().is_empty() || net.is_checking(1) {
        net.pass(10);
    }
    net.cut[1] = true;
    net.pass(61_000);
    let outdated = Err(Refusal::Outdated { scope: Scope::Cluster, generation: 1 });
    assert_eq!(net.set(0, "first"), outdated);
    net.pass(61_000);
    net.set(0, "second").unwrap();
    assert_eq!(net.text(2, Scope::Cluster).as_deref(), Some("second"));
}

#[test]
fn what_a_commander_set_that_was_revoked_elsewhere_stays_until_the_next_settings() {
    let mut net = Net::joined(3);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.set(0, "one").unwrap();
    net.cut[0] = true;
    net.pass(61_000);
    net.set(1, "two").unwrap();
    net.cut = vec![false, true, true];
    net.command(0, Command::Revoke(net.key(1))).unwrap();
    net.cut = vec![false, true, false];
    net.pass(6_000);
    // By the records the first one is in force, and a node never goes back.
    assert_eq!([generation(&net, 0), generation(&net, 2)], [1, 2]);
    for at in [0, 2] {
        let is_told = |issue: &Issue| matches!(issue, Issue::SettingsDiffer { node, .. } if *node == net.key(2));
        assert!(net.issues(at).iter().any(is_told), "{at}");
    }
    let Err(Refusal::Disagreed { disagree, .. }) = net.set(0, "three") else { panic!() };
    assert_eq!(disagree[&net.key(2)], CheckFailure::Outdated(2));
    net.pass(61_000);
    let answer = net.set(0, "three");
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!([generation(&net, 0), generation(&net, 2)], [3, 3]);
}

#[test]
fn a_generation_never_falls_also_if_its_author_is_revoked() {
    let mut net = Net::joined(3);
    net.command(0, Command::Approve(net.key(1), Role::Commander)).unwrap();
    net.pass(100);
    net.set(1, "one").unwrap();
    net.cut[1] = true;
    net.command(0, Command::Revoke(net.key(1))).unwrap();
    net.pass(100);
    net.set(0, "two").unwrap();
    assert_eq!((generation(&net, 0), generation(&net, 2)), (2, 2));
    let id = net.core(2).documents.applied(Scope::Cluster);
    assert_eq!(id, Some(SettingsId { generation: 2, digest: document("two").digest() }));
}
