//! Those who are not honest: one who records and replays, a stranger, and the owner of an approved member's key.

use std::time::Duration;

use super::node::EPOCH_MS;
use super::rules::Rules;
use super::seal::{Key, Packet, Seal, check_of, document, fingerprint, mix, nonce, sign, token_id};
use super::{CLUSTER, OWNED, STRANGER};
use crate::model::{
    Beat, Boot, Claim, ClusterId, Fingerprint, Metrics, NodeName, Program, RequestId, Restart, Role, Scope, SecretId,
    SettingsId, Status, UpdateResult, VaultSide, Version,
};
use crate::{Body, CheckFailure, Outgoing, Proof, Protect, SettingsCheck, To, Transcript};

/// The most messages that are kept: enough for replays of minutes ago.
const RECORDED: usize = 4_000;

pub(super) struct Attack {
    recorded: Vec<Packet>,
    /// Who asked last for which secret.
    asked: Option<(Fingerprint, SecretId)>,
    /// What they say next, as whom, to whom, and by which start.
    plans: Vec<(Key, Body, Fingerprint, Boot)>,
    count: usize,
    seq: u64,
    boot: u64,
}

impl Attack {
    pub(super) fn new(seed: u64) -> Self {
        Self { recorded: Vec::new(), asked: None, plans: Vec::new(), count: 0, seq: 0, boot: 1 + seed }
    }

    pub(super) fn record(&mut self, packet: &Packet) {
        if let Body::SecretAsked(id) = packet.out.body {
            self.asked = Some((fingerprint(packet.key), id));
        }
        self.plan(packet);
        let at = self.count % RECORDED;
        self.count += 1;
        if at < self.recorded.len() {
            self.recorded[at] = packet.clone();
        } else {
            self.recorded.push(packet.clone());
        }
    }

    /// The stranger takes part in joins, of which it knows all but the tokens.
    fn plan(&mut self, packet: &Packet) {
        let (own, sender) = (fingerprint(STRANGER), fingerprint(packet.key));
        let boot = Boot(self.boot);
        let plan = match &packet.out.body {
            // The owned member has read it, and gives out something else under the same record.
            Body::DocumentGiven { record, request, .. } if packet.key != OWNED => {
                let To::Node(to) = packet.out.to else { return };
                let (record, document, request) = (record.clone(), document("evil"), *request);
                (OWNED, Body::DocumentGiven { record, document, request }, to, boot)
            }
            &Body::JoinAsked { token, nonce: joiner_nonce } if sender != own => {
                let transcript = Transcript {
                    cluster: CLUSTER,
                    token,
                    joiner: sender,
                    joiner_boot: packet.out.boot,
                    joiner_nonce,
                    maker: own,
                    maker_boot: boot,
                    maker_nonce: nonce(1),
                };
                (STRANGER, Body::JoinChallenge { transcript, proof: Proof::Make }, sender, boot)
            }
            &Body::JoinChallenge { transcript, .. } if transcript.joiner == own && sender != own => {
                (STRANGER, Body::JoinProof { transcript, proof: Proof::Make }, sender, transcript.joiner_boot)
            }
            &Body::JoinProof { transcript, .. } if transcript.maker == own && sender != own => {
                let transcript = Some(transcript);
                (STRANGER, Body::Welcome { transcript, founder: own, records: Vec::new() }, sender, boot)
            }
            _ => return,
        };
        self.plans.push(plan);
    }

    /// Some messages of theirs.
    pub(super) fn next(&mut self, random: &mut fastrand::Rng, ms: u64, rules: &Rules) -> Vec<Packet> {
        let mut packets = Vec::new();
        for _ in 0..random.usize(1..6) {
            if random.bool() && !self.recorded.is_empty() {
                let mut packet = self.recorded[random.usize(..self.recorded.len())].clone();
                if random.u8(..4) == 0 {
                    // To someone else; the address is signed, so this is another address on the bus alone.
                    packet.out.to = packet.out.to.min(To::All);
                }
                packets.push(packet);
            } else if let Some((asker, id)) = self.asked.take().filter(|_| random.u8(..3) > 0) {
                // Faster than those who have it.
                let mut packet = self.forge(OWNED, random, ms, rules);
                packet.out.body = Body::SecretGiven { id, check: id.check };
                (packet.out.to, packet.out.cluster) = (To::Node(asker), Some(CLUSTER));
                packet.secret = Some((asker, random.u64(..)));
                packets.push(packet);
            } else if let Some((key, body, to, boot)) = self.plans.pop() {
                let mut packet = self.forge(key, random, ms, rules);
                packet.out.body = body;
                (packet.out.to, packet.out.cluster) = (To::Node(to), Some(CLUSTER));
                (packet.out.boot, packet.token) = (boot, Some(666));
                packets.push(packet);
            } else {
                let key = if random.bool() { OWNED } else { STRANGER };
                packets.push(self.forge(key, random, ms, rules));
            }
        }
        packets
    }

    fn forge(&mut self, key: Key, random: &mut fastrand::Rng, ms: u64, rules: &Rules) -> Packet {
        self.seq += 1;
        if random.u8(..20) == 0 {
            self.boot += 1;
        }
        let node = fingerprint(random.u64(1..=7));
        let cluster = match random.u8(..6) {
            0 => None,
            1 => Some(ClusterId(uuid::Uuid::from_u128(8))),
            _ => Some(CLUSTER),
        };
        let at_ms = EPOCH_MS + i64::try_from(ms).unwrap() + if random.u8(..8) == 0 { 100_000 } else { 0 };
        let body = self.body(key, node, random, at_ms, rules);
        let to = if random.bool() { To::All } else { To::Node(node) };
        let out = Outgoing { boot: Boot(self.boot), seq: self.seq, at_ms, to, cluster, protect: Protect::Signed, body };
        let mut seal = Seal::default();
        // It has no token, and says that it has.
        seal.tokens.insert(token_id(1), 666);
        let mut packet = seal.seal(key, out);
        if matches!(packet.out.body, Body::SecretGiven { .. } | Body::VaultTokenGiven) {
            packet.secret = Some((node, random.u64(..)));
        }
        packet
    }

    fn body(&self, key: Key, node: Fingerprint, random: &mut fastrand::Rng, at_ms: i64, rules: &Rules) -> Body {
        let own = fingerprint(key);
        let generation = random.u64(..6);
        let secret = rules.secrets.get(&generation).copied();
        let false_secret = SecretId { generation: generation + random.u64(..2), check: check_of(random.u64(..)) };
        let text = document(&format!("evil {}", random.u64(..4)));
        let settings = SettingsId { generation: random.u64(1..12), digest: text.digest() };
        let scope = if random.bool() { Scope::Cluster } else { Scope::Node(node) };
        let restart = Restart::Never;
        let claim = match random.u8(..7) {
            0 => Claim::Approved { subject: fingerprint(STRANGER), role: Role::Commander },
            1 => Claim::Approved { subject: own, role: Role::Commander },
            2 => Claim::Revoked { subject: node },
            3 => Claim::Secret(false_secret),
            4 => Claim::Active(false_secret),
            5 => Claim::Adopted(secret.unwrap_or(false_secret)),
            _ => Claim::Settings { scope, id: settings, restart },
        };
        let record = sign(key, CLUSTER, claim, at_ms);
        let request = RequestId { by: if random.bool() { own } else { node }, number: random.u128(..4) };
        let transcript = Transcript {
            cluster: CLUSTER,
            token: token_id(random.u64(1..4)),
            joiner: if random.bool() { own } else { node },
            joiner_boot: Boot(self.boot),
            joiner_nonce: nonce(random.u64(..)),
            maker: if random.bool() { own } else { node },
            maker_boot: Boot(self.boot),
            maker_nonce: nonce(random.u64(..)),
        };
        match random.u8(..19) {
            0 | 1 => Body::Beat(Box::new(Beat {
                name: NodeName::of("evil", u32::try_from(key).unwrap()),
                status: if random.bool() { Status::Healthy } else { Status::Leaving },
                version: "9.9.9".into(),
                interval: Duration::from_secs(random.u64(..100)),
                metrics: Metrics::default(),
                registry: None,
                vault: if random.bool() { VaultSide::Makes } else { VaultSide::Wants },
                records: mix(&[random.u64(..)]),
                secret: Some(secret.unwrap_or(false_secret)),
                held: rules.secrets.values().copied().chain([false_secret]).collect(),
                settings: Some(settings),
                node_settings: Some(settings),
                skew_ms: None,
            })),
            2 => Body::JoinAsked { token: transcript.token, nonce: transcript.joiner_nonce },
            3 => Body::JoinChallenge { transcript, proof: Proof::Make },
            4 => Body::JoinProof { transcript, proof: Proof::Make },
            5 => Body::Welcome { transcript: Some(transcript), founder: own, records: vec![record] },
            6 => Body::Welcome { transcript: None, founder: own, records: vec![record] },
            7 => Body::RecordsAsked,
            8 | 9 => Body::RecordsGiven(vec![record]),
            10 => Body::SecretAsked(secret.unwrap_or(false_secret)),
            11 => Body::SecretGiven { id: secret.unwrap_or(false_secret), check: false_secret.check },
            12 => {
                Body::SettingsCheck(Box::new(SettingsCheck { request, scope, id: settings, restart, document: text }))
            }
            13 => Body::SettingsChecked {
                request,
                scope,
                outcome: if random.bool() { Ok(()) } else { Err(CheckFailure::Busy) },
            },
            14 if random.bool() => {
                let version = Version::try_new("9.9.9").unwrap();
                Body::ProgramAsked { request, program: Program { version, digest: text.digest() } }
            }
            14 => Body::DocumentAsked { scope, id: settings, secret: secret.unwrap_or(false_secret) },
            15 => Body::DocumentGiven { record: Box::new(record), document: text, request: Some(request) },
            16 => Body::VaultTokenAsked,
            17 => Body::VaultTokenGiven,
            _ => Body::UpdateResult(Box::new(UpdateResult {
                action: "update_settings".into(),
                status: Ok(()),
                detail: None,
                node: NodeName::of("evil", 1),
                at_ms,
                generation,
                request: Some(request),
            })),
        }
    }
}
