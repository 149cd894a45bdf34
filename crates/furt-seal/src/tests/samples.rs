//! Two nodes, and one message of each kind.

use std::sync::LazyLock;
use std::time::Duration;

use furt_bus::Outgoing as Packet;
use furt_cluster::model::{
    Beat, Boot, CheckValue, Claim, ClusterId, Digest, Fingerprint, Metrics, NodeName, Nonce, Program, RegistryPoint,
    RequestId, Restart, Role, Scope, SecretId, SettingsId, Status, TokenId, UpdateResult, VaultSide, Version,
};
use furt_cluster::{Body, CheckFailure, Opened, Outgoing, Proof, Protect, Refused, SettingsCheck, To, Transcript};

use crate::envelope::Head;
use crate::{Enclosed, JoinToken, NodeKey, Seal, Secret, document};

/// The secret of the vectors that a lex-node made.
pub(super) const SECRET: &str = "78090e48a992cb7e2365217d72f80fae4c890b5963662ac0f7d01d21375152c8";
pub(super) const TOKEN: &str = "furtc1.0191f0a2-7b1c-4d3e-8f90-112233445566.\
     0303030303030303030303030303030303030303030303030303030303030303.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
pub(super) const AT_MS: i64 = 1_795_818_211_250;

/// Making a key takes a while in tests.
static KEYS: LazyLock<[String; 3]> =
    LazyLock::new(|| std::array::from_fn(|_| NodeKey::generate().unwrap().to_pem().to_string()));

pub(super) fn key(number: usize) -> NodeKey {
    NodeKey::from_pem(&KEYS[number]).unwrap()
}

/// A node with the secret of the cluster and a token.
pub(super) fn seal(number: usize) -> Seal {
    let mut seal = Seal::new(key(number));
    seal.insert_secret(secret());
    seal.insert_token(TOKEN.parse::<JoinToken>().unwrap());
    seal
}

pub(super) fn secret() -> Secret {
    Secret::from_text(3, SECRET).unwrap()
}

pub(super) fn cluster() -> ClusterId {
    TOKEN.parse::<JoinToken>().unwrap().cluster()
}

pub(super) fn fingerprint(byte: u8) -> Fingerprint {
    Fingerprint::new([byte; 32])
}

pub(super) fn transcript() -> Transcript {
    Transcript {
        cluster: cluster(),
        token: TOKEN.parse::<JoinToken>().unwrap().id(),
        joiner: fingerprint(1),
        joiner_boot: Boot(5),
        joiner_nonce: Nonce::new([2; 32]),
        maker: fingerprint(3),
        maker_boot: Boot(6),
        maker_nonce: Nonce::new([4; 32]),
    }
}

pub(super) fn settings_id(text: &str) -> SettingsId {
    SettingsId { generation: 7, digest: document(text).unwrap().digest() }
}

pub(super) fn request() -> RequestId {
    RequestId { by: fingerprint(9), number: u128::MAX - 1 }
}

pub(super) fn claims() -> Vec<Claim> {
    let id = SecretId { generation: 4, check: CheckValue::new([7; 8]) };
    let settings = |scope, restart| Claim::Settings { scope, id: settings_id("a"), restart };
    vec![
        Claim::Approved { subject: fingerprint(1), role: Role::Member },
        Claim::Approved { subject: fingerprint(1), role: Role::Commander },
        Claim::Revoked { subject: fingerprint(1) },
        Claim::Secret(id),
        Claim::Active(id),
        Claim::Adopted(id),
        settings(Scope::Cluster, Restart::Never),
        settings(Scope::Cluster, Restart::OneByOne),
        settings(Scope::Node(fingerprint(1)), Restart::Never),
    ]
}

pub(super) fn beat() -> Beat {
    Beat {
        name: NodeName::try_new("edge_1.4711").unwrap(),
        status: Status::Degraded,
        version: "1.4.0".into(),
        interval: Duration::from_millis(5000),
        metrics: Metrics {
            memory_rss_mb: 12.5,
            cpu_user_seconds: 0.39,
            cpu_system_seconds: 0.07,
            thread_count: 4,
            uptime_seconds: 86_400,
            services_routed: 40,
            services: 41,
        },
        vault: VaultSide::Wants,
        registry: Some(RegistryPoint { epoch: cluster().0, revision: u64::MAX }),
        records: u64::MAX - 1,
        secret: Some(secret().id()),
        held: vec![secret().id(), SecretId { generation: 4, check: CheckValue::new([0; 8]) }],
        settings: Some(settings_id("a")),
        node_settings: None,
        skew_ms: Some(-3),
    }
}

fn result(status: Result<(), &str>) -> Body {
    Body::UpdateResult(Box::new(UpdateResult {
        action: "update_settings".into(),
        status: status.map_err(Into::into),
        detail: status.is_ok().then(|| "keys: limits".into()),
        node: NodeName::try_new("edge_1.4711").unwrap(),
        at_ms: AT_MS - 1,
        generation: 7,
        request: status.is_ok().then(request),
    }))
}

/// Each kind of message that [`Seal::seal`] takes, with each of its forms.
pub(super) fn bodies() -> Vec<Body> {
    let records = key(1);
    let records = Seal::new(records).sign(cluster(), &claims(), AT_MS);
    let text = "[limits]\naddress_rate = \"200/s\"\n# ä \" \\ \u{1}\n";
    let checked = |outcome| Body::SettingsChecked { request: request(), scope: Scope::Cluster, outcome };
    let bare = Beat {
        status: Status::Leaving,
        vault: VaultSide::Makes,
        registry: None,
        secret: None,
        held: Vec::new(),
        settings: None,
        skew_ms: None,
        ..beat()
    };
    vec![
        Body::Beat(Box::new(beat())),
        Body::Beat(Box::new(Beat { status: Status::Healthy, ..bare.clone() })),
        Body::Beat(Box::new(bare)),
        Body::BeatsAsked,
        Body::JoinAsked { token: TokenId::new([1; 8]), nonce: Nonce::new([2; 32]) },
        Body::JoinChallenge { transcript: transcript(), proof: Proof::Make },
        Body::JoinProof { transcript: transcript(), proof: Proof::Make },
        Body::Welcome { transcript: Some(transcript()), founder: fingerprint(3), records: records[..2].to_vec() },
        Body::Welcome { transcript: None, founder: fingerprint(3), records: Vec::new() },
        Body::RecordsAsked,
        Body::RecordsGiven(records.clone()),
        Body::SecretAsked(secret().id()),
        Body::VaultTokenAsked,
        Body::SettingsCheck(Box::new(SettingsCheck {
            request: request(),
            scope: Scope::Node(fingerprint(1)),
            id: settings_id(text),
            restart: Restart::OneByOne,
            document: document(text).unwrap(),
        })),
        checked(Ok(())),
        checked(Err(CheckFailure::Wrong(vec!["limits.address_rate: no rate".into(), "ä".into()]))),
        checked(Err(CheckFailure::Outdated(u64::MAX))),
        checked(Err(CheckFailure::Busy)),
        Body::DocumentAsked { scope: Scope::Cluster, id: settings_id(text), secret: secret().id() },
        Body::DocumentGiven {
            record: Box::new(records[6].clone()),
            document: document(text).unwrap(),
            request: Some(request()),
        },
        Body::DocumentGiven { record: Box::new(records[6].clone()), document: document("").unwrap(), request: None },
        Body::ProgramAsked {
            request: request(),
            program: Program { version: Version::try_new("1.4.0").unwrap(), digest: Digest::new([5; 32]) },
        },
        result(Ok(())),
        result(Err("it \"failed\"")),
    ]
}

pub(super) fn message(to: To, protect: Protect, body: Body) -> Outgoing {
    Outgoing { boot: Boot(1_795_000_000_000), seq: 42, at_ms: AT_MS, to, cluster: Some(cluster()), protect, body }
}

/// A secret for the second node.
pub(super) fn given(from: &Seal) -> Packet {
    let (to, id) = (key(1), secret().id());
    let body = Body::SecretGiven { id, check: id.check };
    let message = message(To::Node(to.fingerprint()), Protect::Signed, body);
    from.give(&id, to.public(), &message).unwrap()
}

pub(super) fn open(seal: &Seal, packet: &Packet) -> Result<(Opened, Option<Secret>), Refused> {
    let (opened, enclosed) = seal.open_parts(&packet.key, &packet.properties, &packet.body)?;
    let secret = enclosed.map(|enclosed| match enclosed {
        Enclosed::Secret(secret) => secret,
        Enclosed::VaultToken(token) => panic!("{token:?}"),
    });
    Ok((opened, secret))
}

pub(super) fn refusal(seal: &Seal, packet: &Packet) -> Option<Refused> {
    open(seal, packet).err()
}

/// A message for all of the first node, signed as it should be, with this body, whatever it is; as the second node opens it.
pub(super) fn opened(function: Option<&str>, kind: &str, json: &str) -> Result<Body, Refused> {
    let sender = key(0);
    let message = message(To::All, Protect::Signed, Body::BeatsAsked);
    let properties = Head::of(&message, sender.fingerprint(), kind, function);
    let properties = properties.sign(&sender, "node.all", json.as_bytes()).unwrap();
    seal(1).open_parts("node.all", &properties, json.as_bytes()).map(|(opened, _)| opened.body)
}
