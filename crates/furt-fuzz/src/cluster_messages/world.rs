//! Four keys and what they can sign: the node itself, a commander, a member and a stranger. Signing takes the most of a run, so what
//! was signed once is kept.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use furt_bus::Outgoing as Packet;
use furt_cluster::model::{Claim, ClusterId, Document, Fingerprint, Record, RequestId, Role, SecretId, TokenId};
use furt_cluster::{Body, Membership, Outgoing, Stored, To, Token};
use furt_seal::{JoinToken, NodeKey, Seal, Secret, WrappedToken, document};

pub(super) const CLUSTER: ClusterId = ClusterId(uuid::Uuid::from_u128(0x0191_f0a2_7b1c_4d3e_8f90_1122_3344_5566));
const RANDOM: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
pub(super) const OWN: usize = 0;
pub(super) const COMMANDER: usize = 1;
pub(super) const MEMBER: usize = 2;
pub(super) const STRANGER: usize = 3;
/// Some moment of 2026, in ms since the Unix epoch.
pub(super) const EPOCH_MS: i64 = 1_795_818_000_000;
/// Beyond so many all are forgotten.
const MOST_SIGNED: usize = 4096;

pub(super) struct World {
    seals: [Seal; 4],
    token: JoinToken,
    /// By what they say, as a hash: comparing texts would lead the engine astray.
    packets: BTreeMap<u64, Packet>,
    records: BTreeMap<(usize, Claim, i64), Record>,
    /// Secrets that the node took or made, beside the cluster's.
    taken: Vec<SecretId>,
    /// What the node asked others for last.
    pub(super) asked: Option<RequestId>,
}

/// The keys are drawn once, and in the order of their fingerprints: what follows from an order is then always the same.
static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| {
    let mut keys: Vec<_> =
        (0..4).map(|_| NodeKey::generate().unwrap_or_else(|error| panic!("no key: {error}"))).collect();
    keys.sort_by_key(NodeKey::fingerprint);
    let seals: Vec<_> = keys.into_iter().map(Seal::new).collect();
    let seals: [Seal; 4] = seals.try_into().unwrap_or_else(|_| panic!("four keys"));
    let token = token_of(seals[OWN].fingerprint());
    Mutex::new(World {
        seals,
        token,
        packets: BTreeMap::new(),
        records: BTreeMap::new(),
        taken: Vec::new(),
        asked: None,
    })
});

fn token_of(maker: Fingerprint) -> JoinToken {
    format!("furtc1.{CLUSTER}.{maker}.{RANDOM}").parse().unwrap_or_else(|error| panic!("{error}"))
}

/// With the cluster's secret and a token of that key, and nothing of an earlier input.
pub(super) fn world(maker: usize) -> MutexGuard<'static, World> {
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    world.asked = None;
    world.token = token_of(world.fingerprint(maker));
    let (token, taken) = (world.token.clone(), std::mem::take(&mut world.taken));
    for id in taken {
        world.seals[OWN].remove_secret(&id);
    }
    for seal in &mut world.seals {
        seal.insert_secret(secret_of(1));
        seal.insert_token(token.clone());
    }
    if world.packets.len() > MOST_SIGNED || world.records.len() > MOST_SIGNED {
        (world.packets, world.records) = (BTreeMap::new(), BTreeMap::new());
    }
    world
}

/// The same for each generation.
pub(super) fn secret_of(generation: u64) -> Secret {
    Secret::from_text(generation, &format!("{generation:064x}")).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn document_of(number: u8) -> Document {
    document(&format!("# {number}\n")).unwrap_or_else(|error| panic!("{error}"))
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl World {
    pub(super) fn fingerprint(&self, key: usize) -> Fingerprint {
        self.seals[key].fingerprint()
    }

    pub(super) fn token(&self) -> &JoinToken {
        &self.token
    }

    pub(super) fn seal(&self, key: usize) -> &Seal {
        &self.seals[key]
    }

    pub(super) fn own(&mut self) -> &mut Seal {
        &mut self.seals[OWN]
    }

    pub(super) fn take_secret(&mut self, secret: Secret) {
        self.taken.push(secret.id());
        self.seals[OWN].insert_secret(secret);
    }

    pub(super) fn drop_token(&mut self, token: &TokenId) {
        self.seals[OWN].remove_token(token);
    }

    pub(super) fn record(&mut self, by: usize, claim: Claim, at_ms: i64) -> Record {
        let sign = || self.seals[by].sign(CLUSTER, &[claim], at_ms).swap_remove(0);
        self.records.entry((by, claim, at_ms)).or_insert_with(sign).clone()
    }

    /// `None`: no seal makes it.
    pub(super) fn packet(&mut self, by: usize, message: &Outgoing, enclosed: SecretId) -> Option<Packet> {
        let name = hash(&format!("{by} {enclosed:?} {message:?}"));
        if let Some(packet) = self.packets.get(&name) {
            return Some(packet.clone());
        }
        let receiver = match message.to {
            To::Node(to) => self.seals.iter().find(|seal| seal.fingerprint() == to),
            To::All => None,
        };
        let packet = match (&message.body, receiver) {
            (Body::SecretGiven { id, .. }, Some(receiver)) => {
                let key = receiver.public().clone();
                // Under one name another one may come.
                let had = self.seals[by].secret(id).cloned();
                let secret = Secret::from_text(id.generation, secret_of(enclosed.generation).text()).ok()?;
                self.seals[by].insert_secret(secret.clone());
                let Body::SecretGiven { check, .. } = message.body else { return None };
                let body = Body::SecretGiven { id: secret.id(), check };
                let packet = self.seals[by].give(&secret.id(), &key, &Outgoing { body, ..message.clone() }).ok();
                self.seals[by].remove_secret(&secret.id());
                had.into_iter().for_each(|secret| self.seals[by].insert_secret(secret));
                packet?
            }
            (Body::VaultTokenGiven, Some(receiver)) => {
                let token = WrappedToken::try_new("s.wrapped")?;
                self.seals[by].give_vault_token(&token, &receiver.public().clone(), message).ok()?
            }
            _ => self.seals[by].seal(message).ok()?,
        };
        self.packets.insert(name, packet.clone());
        Some(packet)
    }

    /// A body that is only text.
    pub(super) fn forged(
        &mut self,
        by: usize,
        message: &Outgoing,
        kind: &str,
        function: Option<&str>,
        json: &[u8],
    ) -> Option<Packet> {
        let name = hash(&format!("{by} {message:?} {kind:?} {function:?} {json:?}"));
        if let Some(packet) = self.packets.get(&name) {
            return Some(packet.clone());
        }
        let packet = self.seals[by].protect(message, kind, function, json).ok()?;
        self.packets.insert(name, packet.clone());
        Some(packet)
    }

    /// What a node has on disk: 0: it is a member; 1: it is the founder; otherwise it belongs to no cluster.
    pub(super) fn stored(&mut self, how: u8) -> Stored {
        let (founder, others) = match how {
            0 => (COMMANDER, [(OWN, Role::Member), (MEMBER, Role::Member)]),
            1 => (OWN, [(COMMANDER, Role::Commander), (MEMBER, Role::Member)]),
            _ => return Stored::default(),
        };
        let id = secret_of(1).id();
        let approvals = others.map(|(key, role)| Claim::Approved { subject: self.fingerprint(key), role });
        let claims = approvals.into_iter().chain([Claim::Secret(id), Claim::Active(id)]);
        let records = claims.map(|claim| self.record(founder, claim, EPOCH_MS - 1_000_000)).collect::<Vec<_>>();
        let token = Token { uses: 2, until_ms: EPOCH_MS + 3_600_000, role: Role::Member };
        Stored {
            membership: Some(Membership { cluster: CLUSTER, founder: self.fingerprint(founder) }),
            records: records.into_iter().map(|record| ((record.claim, record.by), record)).collect(),
            secrets: [(id, None)].into(),
            active: Some(id),
            tokens: if how == 1 { [(self.token.id(), token)].into() } else { BTreeMap::new() },
            ..Stored::default()
        }
    }
}
