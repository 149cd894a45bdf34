//! What an input says, byte by byte: numbers, names and whole messages.

use std::time::Duration;

use furt_cluster::model::{
    Beat, Boot, CheckValue, Claim, Fingerprint, MAX_HELD, Metrics, NodeName, Nonce, Program, RegistryPoint, RequestId,
    Restart, Role, Scope, SecretId, SettingsId, Status, TokenId, UpdateResult, VaultSide, Version,
};
use furt_cluster::{Body, CheckFailure, Proof, SettingsCheck, Transcript};

use super::world::{CLUSTER, World, document_of, secret_of};

/// Takes from the front; zeros where nothing is left.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    pub(super) fn bit(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    pub(super) fn number(&mut self, bytes: usize) -> u64 {
        self.bytes(bytes).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) fn long(&mut self) -> &'a [u8] {
        let count = self.number(2);
        self.bytes(usize::try_from(count).unwrap_or_default())
    }

    pub(super) fn text(&mut self) -> String {
        let count = self.byte();
        String::from_utf8_lossy(self.bytes(count.into())).into_owned()
    }

    pub(super) fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.bit() { Some(value(self)) } else { None }
    }

    /// One of the four, or one that nobody knows.
    pub(super) fn node(&mut self, world: &World) -> Fingerprint {
        match self.byte() {
            byte @ 128.. => Fingerprint::new([byte; 32]),
            byte => world.fingerprint(usize::from(byte % 4)),
        }
    }

    pub(super) fn role(&mut self) -> Role {
        if self.bit() { Role::Commander } else { Role::Member }
    }

    pub(super) fn restart(&mut self) -> Restart {
        if self.bit() { Restart::OneByOne } else { Restart::Never }
    }

    pub(super) fn scope(&mut self, world: &World) -> Scope {
        if self.bit() { Scope::Node(self.node(world)) } else { Scope::Cluster }
    }

    /// One of the first, or from 128 on one of the last.
    pub(super) fn generation(&mut self) -> u64 {
        match self.byte() {
            byte @ 0..128 => byte.into(),
            byte => u64::MAX - u64::from(255 - byte),
        }
    }

    /// The secret of its generation, or another one.
    pub(super) fn secret(&mut self) -> SecretId {
        let generation = self.generation();
        match self.byte() {
            0..128 => secret_of(generation).id(),
            byte => SecretId { generation, check: CheckValue::new([byte; 8]) },
        }
    }

    pub(super) fn settings(&mut self) -> SettingsId {
        SettingsId { generation: self.generation(), digest: document_of(self.byte()).digest() }
    }

    pub(super) fn program(&mut self) -> Program {
        let version = format!("{}.{}.{}", self.byte() % 3, self.byte(), self.number(2));
        let version = Version::try_new(&version).unwrap_or_else(|error| panic!("{error}"));
        Program { version, digest: document_of(self.byte()).digest() }
    }

    pub(super) fn claim(&mut self, world: &World) -> Claim {
        match self.byte() % 6 {
            0 => Claim::Approved { subject: self.node(world), role: self.role() },
            1 => Claim::Revoked { subject: self.node(world) },
            2 => Claim::Secret(self.secret()),
            3 => Claim::Active(self.secret()),
            4 => Claim::Adopted(self.secret()),
            _ => Claim::Settings { scope: self.scope(world), id: self.settings(), restart: self.restart() },
        }
    }

    /// The last of the node itself, or another one.
    fn request(&mut self, world: &World) -> RequestId {
        let (by, number) = (self.node(world), self.byte());
        world.asked.filter(|_| number >= 128).unwrap_or(RequestId { by, number: number.into() })
    }

    fn transcript(&mut self, world: &World, own_boot: Boot) -> Transcript {
        let boot = |input: &mut Self| if input.bit() { own_boot } else { Boot(input.byte().into()) };
        Transcript {
            cluster: CLUSTER,
            token: if self.byte() < 224 { world.token().id() } else { TokenId::new([9; 8]) },
            joiner: self.node(world),
            joiner_boot: boot(self),
            joiner_nonce: self.nonce(),
            maker: self.node(world),
            maker_boot: boot(self),
            maker_nonce: self.nonce(),
        }
    }

    fn nonce(&mut self) -> Nonce {
        Nonce::new([self.byte(); 32])
    }

    /// A body of the key of that number, whatever it is worth.
    pub(super) fn body(&mut self, world: &mut World, by: usize, at_ms: i64, own_boot: Boot) -> Body {
        match self.byte() % 18 {
            0 => Body::Beat(Box::new(self.beat())),
            1 => Body::BeatsAsked,
            2 => Body::JoinAsked { token: world.token().id(), nonce: self.nonce() },
            3 => Body::JoinChallenge { transcript: self.transcript(world, own_boot), proof: Proof::Make },
            4 => Body::JoinProof { transcript: self.transcript(world, own_boot), proof: Proof::Make },
            5 => {
                let transcript = self.maybe(|input| input.transcript(world, own_boot));
                let founder = self.node(world);
                Body::Welcome { transcript, founder, records: self.records(world, by, at_ms) }
            }
            6 => Body::RecordsAsked,
            7 => Body::RecordsGiven(self.records(world, by, at_ms)),
            8 => Body::SecretAsked(self.secret()),
            9 => {
                let id = self.secret();
                Body::SecretGiven { id, check: id.check }
            }
            10 => Body::VaultTokenAsked,
            11 => Body::VaultTokenGiven,
            12 => Body::SettingsCheck(Box::new(SettingsCheck {
                request: self.request(world),
                scope: self.scope(world),
                id: self.settings(),
                restart: self.restart(),
                document: document_of(self.byte()),
            })),
            13 => Body::SettingsChecked {
                request: self.request(world),
                scope: self.scope(world),
                outcome: match self.byte() % 4 {
                    0 => Ok(()),
                    1 => Err(CheckFailure::Busy),
                    2 => Err(CheckFailure::Outdated(self.number(8))),
                    _ => Err(CheckFailure::Wrong((0..self.byte() % 8).map(|_| self.text().into()).collect())),
                },
            },
            14 => Body::DocumentAsked { scope: self.scope(world), id: self.settings(), secret: self.secret() },
            15 => {
                let claim = self.claim(world);
                let record = Box::new(world.record(self.signer(by), claim, at_ms));
                let request = self.maybe(|input| input.request(world));
                Body::DocumentGiven { record, document: document_of(self.byte()), request }
            }
            16 => Body::ProgramAsked { request: self.request(world), program: self.program() },
            _ => Body::UpdateResult(Box::new(UpdateResult {
                action: self.text().into(),
                status: if self.bit() { Ok(()) } else { Err(self.text().into()) },
                detail: self.maybe(|input| input.text().into()),
                node: self.name(),
                at_ms: i64::from_be_bytes(self.number(8).to_be_bytes()),
                generation: self.number(8),
                request: self.maybe(|input| input.request(world)),
            })),
        }
    }

    /// Who signs a record: mostly who sends it.
    fn signer(&mut self, by: usize) -> usize {
        match self.byte() {
            byte @ 192.. => usize::from(byte % 4),
            _ => by,
        }
    }

    fn records(&mut self, world: &mut World, by: usize, at_ms: i64) -> Vec<furt_cluster::model::Record> {
        (0..self.byte() % 8)
            .map(|_| {
                let claim = self.claim(world);
                let signer = self.signer(by);
                // Records of other times are the same ones.
                world.record(signer, claim, at_ms - at_ms % 60_000)
            })
            .collect()
    }

    fn name(&mut self) -> NodeName {
        NodeName::of(["host", "edge", "a", ""][usize::from(self.byte() % 4)], self.byte().into())
    }

    fn beat(&mut self) -> Beat {
        let number = |input: &mut Self| f64::from_bits(input.number(8));
        Beat {
            name: self.name(),
            status: [Status::Healthy, Status::Degraded, Status::Leaving][usize::from(self.byte() % 3)],
            version: if self.bit() { "1.0.0".into() } else { format!("v{}", self.byte()).into() },
            interval: Duration::from_millis(if self.bit() { 5000 } else { self.number(8) }),
            metrics: if self.bit() {
                Metrics {
                    memory_rss_mb: number(self),
                    cpu_user_seconds: number(self),
                    cpu_system_seconds: number(self),
                    thread_count: u32::MAX,
                    uptime_seconds: self.number(8),
                    services_routed: u32::MAX,
                    services: 1,
                }
            } else {
                Metrics::default()
            },
            registry: self.maybe(|input| RegistryPoint {
                epoch: uuid::Uuid::from_u128(input.byte().into()),
                revision: input.number(8),
            }),
            vault: [VaultSide::Apart, VaultSide::Wants, VaultSide::Makes][usize::from(self.byte() % 3)],
            records: self.number(2),
            secret: self.maybe(Self::secret),
            held: (0..usize::from(self.byte()) % (MAX_HELD + 1)).map(|_| self.secret()).collect(),
            settings: self.maybe(Self::settings),
            node_settings: self.maybe(Self::settings),
            skew_ms: self.maybe(|input| i64::from_be_bytes(input.number(8).to_be_bytes())),
        }
    }
}
