//! How a node comes into a cluster.

use std::time::Duration;

use super::Net;
use super::harness::stranger;
use crate::model::{Claim, Role, Standing};
use crate::simulation::CLUSTER;
use crate::simulation::seal::{fingerprint, nonce, sign, token_id};
use crate::{Body, Command, Event, Policy, Proof, Refusal, Refused, To, Transcript};

const MEMBER: Standing = Standing::Approved(Role::Member);

#[test]
fn a_token_lets_so_many_nodes_in_as_it_says() {
    let mut net = Net::unjoined(4);
    net.command(0, Command::Init(CLUSTER)).unwrap();
    let token = net.hand_out(0, 2, Role::Member, &[1, 2, 3]);
    for at in [1, 2, 3] {
        net.command(at, Command::Join(CLUSTER, token)).unwrap();
        net.pass(500);
    }
    assert_eq!([net.standing(0, 1), net.standing(0, 2), net.standing(0, 3)], [MEMBER, MEMBER, Standing::Pending]);
    assert!(net.view(0).tokens.is_empty(), "one that is used up is not shown");
    net.pass(40_000);
    assert!(net.view(3).is_joining && net.core(3).membership().is_none(), "it looks for the maker for ever");
    net.pass(3_600_000);
    assert!(net.nodes[0].disk.tokens.is_empty() && net.nodes[0].seal.tokens.is_empty(), "it ends");
}

#[test]
fn who_does_not_hear_that_it_was_let_in_asks_again_with_a_token_that_is_used_up() {
    for is_restarted in [false, true] {
        let mut net = Net::unjoined(2);
        net.command(0, Command::Init(CLUSTER)).unwrap();
        let token = net.hand_out(0, 1, Role::Member, &[1]);
        net.begin(1, Command::Join(CLUSTER, token));
        while net.standing(0, 1) != MEMBER {
            net.pass(10);
        }
        net.cut[1] = true;
        net.pass(100);
        net.cut[1] = false;
        assert!(net.core(1).membership().is_none());
        if is_restarted {
            net.restart(0);
        }
        net.pass(8_000);
        assert_eq!((net.standing(1, 1), net.core(1).membership()), (MEMBER, net.core(0).membership()));
    }
}

#[test]
fn tokens_that_are_used_up_make_room_for_others() {
    let mut net = Net::joined(2);
    let make = |number| Command::MakeToken {
        token: token_id(number),
        uses: 1,
        ttl: Duration::from_secs(60),
        role: Role::Member,
    };
    // One is used up: the node joined by it.
    assert_eq!((net.view(0).tokens.len(), net.nodes[0].disk.tokens.len()), (0, 1));
    for number in 100..164 {
        net.command(0, make(number)).unwrap();
    }
    assert_eq!((net.view(0).tokens.len(), net.nodes[0].disk.tokens.len()), (64, 64));
    assert!(matches!(net.command(0, make(200)), Err(Refusal::Invalid(_))));
}

#[test]
fn a_token_ends() {
    let mut net = Net::unjoined(2);
    net.command(0, Command::Init(CLUSTER)).unwrap();
    let token = net.hand_out(0, 1, Role::Member, &[1]);
    net.pass(3_606_000);
    net.command(1, Command::Join(CLUSTER, token)).unwrap();
    net.pass(1_000);
    assert!(net.core(1).membership().is_none() && net.nodes[0].disk.tokens.is_empty());
    let make = |uses, seconds| Command::MakeToken {
        token: token_id(5),
        uses,
        ttl: Duration::from_secs(seconds),
        role: Role::Member,
    };
    for command in [make(0, 1), make(257, 1), make(1, 0), make(1, 8 * 24 * 3_600)] {
        assert!(matches!(net.command(0, command), Err(Refusal::Invalid(_))));
    }
}

#[test]
fn a_token_can_be_dropped() {
    let mut net = Net::unjoined(2);
    net.command(0, Command::Init(CLUSTER)).unwrap();
    let token = net.hand_out(0, 3, Role::Member, &[1]);
    assert_eq!(net.view(0).tokens[&token].uses, 3);
    net.command(0, Command::DropToken(token)).unwrap();
    assert_eq!(net.command(0, Command::DropToken(token)), Err(Refusal::NoSuchToken));
    net.command(1, Command::Join(CLUSTER, token)).unwrap();
    net.pass(5_000);
    assert!(net.core(1).membership().is_none() && net.nodes[0].seal.tokens.is_empty() && net.view(0).tokens.is_empty());
}

#[test]
fn only_the_maker_answers_and_a_member_makes_no_tokens() {
    let mut net = Net::joined(2);
    let make = Command::MakeToken { token: token_id(5), uses: 1, ttl: Duration::from_secs(60), role: Role::Member };
    assert_eq!(net.command(1, make), Err(Refusal::NotCommander));
    let challenges = net.count(|body| matches!(body, Body::JoinChallenge { .. }));
    net.say(70, To::All, Body::JoinAsked { token: token_id(5), nonce: nonce(1) });
    net.pass(100);
    assert_eq!(net.count(|body| matches!(body, Body::JoinChallenge { .. })), challenges);
}

/// What a rogue can answer to a node that looks for the maker.
fn rogue_transcript(net: &Net) -> Transcript {
    let asked = net.log.iter().rfind(|packet| matches!(packet.out.body, Body::JoinAsked { .. })).unwrap();
    let Body::JoinAsked { token, nonce: joiner_nonce } = asked.out.body else { panic!() };
    Transcript {
        cluster: CLUSTER,
        token,
        joiner: fingerprint(asked.key),
        joiner_boot: asked.out.boot,
        joiner_nonce,
        maker: stranger(66),
        maker_boot: crate::model::Boot(1),
        maker_nonce: nonce(3),
    }
}

#[test]
fn a_rogue_answerer_admits_nobody() {
    let mut net = Net::unjoined(2);
    let number = 4_711;
    net.nodes[1].seal.tokens.insert(token_id(number), number);
    net.command(1, Command::Join(CLUSTER, token_id(number))).unwrap();
    net.pass(100);
    let transcript = rogue_transcript(&net);
    let to = To::Node(net.key(1));
    // It knows the token's name alone.
    net.say(66, to, Body::JoinChallenge { transcript, proof: Proof::Make });
    net.pass(100);
    assert_eq!(net.refused(1, Refused::WrongProof), 1);
    assert_eq!(net.count(|body| matches!(body, Body::JoinProof { .. })), 0, "the joiner proves nothing to it");
    let record = sign(66, CLUSTER, Claim::Approved { subject: net.key(1), role: Role::Member }, 0);
    for transcript in [None, Some(transcript)] {
        net.say(66, to, Body::Welcome { transcript, founder: stranger(66), records: vec![record.clone()] });
        net.pass(100);
    }
    assert_eq!((net.refused(1, Refused::NotAsked), net.core(1).membership()), (2, None));
}

#[test]
fn who_knows_the_name_of_a_token_alone_does_not_join_and_uses_nothing_up() {
    let mut net = Net::unjoined(2);
    net.command(0, Command::Init(CLUSTER)).unwrap();
    let token = net.hand_out(0, 1, Role::Member, &[]);
    net.nodes[1].seal.tokens.insert(token, 666);
    net.command(1, Command::Join(CLUSTER, token)).unwrap();
    net.pass(100);
    assert_eq!(net.refused(1, Refused::WrongProof), 1, "the maker's proof is by another token");
    // It answers all the same.
    let challenge = net.log.iter().rfind(|packet| matches!(packet.out.body, Body::JoinChallenge { .. })).unwrap();
    let Body::JoinChallenge { transcript, .. } = challenge.out.body else { panic!() };
    let mut packet = net.log.iter().rfind(|packet| packet.key == 2).unwrap().clone();
    packet.out.seq += 10;
    packet.out.to = To::Node(net.key(0));
    packet.out.body = Body::JoinProof { transcript, proof: Proof::Make };
    packet.token = Some(666);
    net.publish(packet);
    net.pass(100);
    assert_eq!((net.refused(0, Refused::WrongProof), net.standing(0, 1)), (1, Standing::Pending));
    assert_eq!(net.nodes[0].disk.tokens[&token].uses, 1);
}

#[test]
fn a_challenge_over_another_nonce_is_not_answered() {
    let mut net = Net::unjoined(2);
    net.command(0, Command::Init(CLUSTER)).unwrap();
    net.cut[1] = true;
    let token = net.hand_out(0, 2, Role::Member, &[1]);
    net.command(1, Command::Join(CLUSTER, token)).unwrap();
    net.cut[1] = false;
    // The maker answers an older attempt.
    let asked = net.log.iter().rfind(|packet| matches!(packet.out.body, Body::JoinAsked { .. })).unwrap().clone();
    net.pass(1_100);
    assert!(net.core(1).membership().is_some());
    net.pass(1_000);
    net.publish(asked);
    net.pass(100);
    assert_eq!(net.refused(1, Refused::NotAsked), 1, "the maker answers the older attempt, the joiner does not");
}

#[test]
fn a_proof_is_taken_once_and_by_its_own_joiner_alone() {
    let mut net = Net::unjoined(3);
    net.command(0, Command::Init(CLUSTER)).unwrap();
    let token = net.hand_out(0, 2, Role::Member, &[1]);
    net.command(1, Command::Join(CLUSTER, token)).unwrap();
    net.pass(500);
    let mut proof = net.log.iter().rfind(|packet| matches!(packet.out.body, Body::JoinProof { .. })).unwrap().clone();
    // Another key sends what the first one proved.
    proof.key = 3;
    net.publish(proof.clone());
    net.pass(100);
    // And the same joiner once more, as if anew.
    proof.key = 2;
    proof.out.seq += 1_000;
    net.publish(proof);
    net.pass(100);
    assert_eq!(net.standing(0, 2), Standing::Pending);
    assert_eq!(net.nodes[0].disk.tokens[&token].uses, 1);
    assert!(net.refused(0, Refused::NotAsked) >= 2);
}

#[test]
fn an_operator_approves_at_both_ends() {
    let mut net = Net::unjoined(2);
    net.command(0, Command::Init(CLUSTER)).unwrap();
    net.command(0, Command::Approve(net.key(1), Role::Member)).unwrap();
    net.pass(6_000);
    assert_eq!((net.standing(0, 1), net.core(1).membership()), (MEMBER, None), "the node was not told whom to believe");
    net.command(1, Command::Approve(net.key(0), Role::Commander)).unwrap();
    net.pass(6_000);
    assert_eq!(net.standing(1, 1), MEMBER);
    assert_eq!(net.secret(1), net.secret(0));
}

#[test]
fn a_file_approves_and_a_member_in_it_does_not_say_which_cluster_there_is() {
    for (role, joins) in [(Role::Commander, true), (Role::Member, false)] {
        let mut net = Net::unjoined(3);
        let peers = |key, role| Policy { peers: [(key, role)].into(), ..Policy::default() };
        net.send(0, Event::PolicyChanged(peers(net.key(1), Role::Member)));
        net.send(1, Event::PolicyChanged(peers(net.key(0), role)));
        net.command(0, Command::Init(CLUSTER)).unwrap();
        net.join(2, 0, Role::Member);
        net.pass(11_000);
        assert_eq!(net.core(1).membership().is_some(), joins);
        assert_eq!(net.standing(2, 1), MEMBER, "what a commander's file says, all know");
    }
}
