//! The core's view in the API's words.

use furt_api::Seconds;
use furt_api::cluster::{
    Cluster, JoinToken, Link, LinkStatus, Member, NodeState, NodeStatus, RegistryPoint, Role, ScopeSettings, Secret,
    SecretId, ServiceCounts, SettingsId, Standing,
};
use furt_cluster::model::{self, Scope, Status, TokenId};
use furt_cluster::{NodeView, Refused, SecretView, Token};

use crate::cluster::{self, Shown};
use crate::wire;

pub(super) fn cluster(shown: &Shown) -> Cluster {
    let view = &shown.view;
    let refused = Refused::ALL.into_iter().map(|why| (why.to_string(), view.refused.get(why)));
    let own = view.nodes.iter().find(|node| node.is_self).map(|node| node.fingerprint.to_string());
    Cluster {
        id: view.membership.map(|membership| membership.cluster.to_string()),
        founder: view.membership.map(|membership| membership.founder.to_string()),
        // The view always has this node.
        fingerprint: own.unwrap_or_default(),
        link: link(&shown.link),
        joining: view.is_joining,
        members: view.nodes.iter().map(member).collect(),
        secret: secret(&view.secret),
        settings: view.settings.iter().map(|(scope, id)| scope_settings(*scope, id)).collect(),
        tokens: view.tokens.iter().map(|(id, token)| join_token(id, token)).collect(),
        issues: view.issues.iter().map(ToString::to_string).collect(),
        refused: refused.filter(|(_, count)| *count > 0).collect(),
        beats: view.beats,
    }
}

fn link(link: &cluster::Link) -> Link {
    match link {
        cluster::Link::Up => Link { status: LinkStatus::Up, why: None },
        cluster::Link::Down(why) => Link { status: LinkStatus::Down, why: why.clone() },
    }
}

fn member(node: &NodeView) -> Member {
    let beat = node.beat.as_ref();
    Member {
        fingerprint: node.fingerprint.to_string(),
        name: node.name.as_ref().map(ToString::to_string),
        standing: standing(node.standing),
        state: node.state.map(state),
        age: node.age.map(Seconds::from),
        skew_ms: node.skew_ms,
        version: beat.map(|beat| beat.version.to_string()),
        status: beat.map(|beat| status(beat.status)),
        boot: node.boot.map(|boot| boot.0),
        settings: beat.and_then(|beat| beat.settings).map(|id| settings_id(&id)),
        own_settings: beat.and_then(|beat| beat.node_settings).map(|id| settings_id(&id)),
        secret: beat.and_then(|beat| beat.secret).map(|id| secret_id(&id)),
        services: beat
            .map(|beat| ServiceCounts { routed: beat.metrics.services_routed, registered: beat.metrics.services }),
        registry: beat
            .and_then(|beat| beat.registry)
            .map(|point| RegistryPoint { epoch: point.epoch.to_string(), revision: point.revision }),
        this: node.is_self,
    }
}

fn standing(standing: model::Standing) -> Standing {
    match standing {
        model::Standing::Pending => Standing::Pending,
        model::Standing::Approved(model::Role::Member) => Standing::Member,
        model::Standing::Approved(model::Role::Commander) => Standing::Commander,
        model::Standing::Revoked => Standing::Revoked,
    }
}

fn state(state: model::NodeState) -> NodeState {
    match state {
        model::NodeState::Active => NodeState::Active,
        model::NodeState::Late => NodeState::Late,
        model::NodeState::Silent => NodeState::Silent,
        model::NodeState::Leaving => NodeState::Leaving,
    }
}

fn status(status: Status) -> NodeStatus {
    match status {
        Status::Healthy => NodeStatus::Healthy,
        Status::Degraded => NodeStatus::Degraded,
        Status::Leaving => NodeStatus::Leaving,
    }
}

pub(super) fn role(role: model::Role) -> Role {
    match role {
        model::Role::Member => Role::Member,
        model::Role::Commander => Role::Commander,
    }
}

fn secret(secret: &SecretView) -> Secret {
    Secret {
        active: secret.active.as_ref().map(secret_id),
        held: secret.held.iter().map(secret_id).collect(),
        next: secret.next.as_ref().map(secret_id),
        waits_for: secret.waits_for.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn secret_id(id: &model::SecretId) -> SecretId {
    SecretId { generation: id.generation, check: id.check.to_string() }
}

pub(super) fn settings_id(id: &model::SettingsId) -> SettingsId {
    SettingsId { generation: id.generation, digest: id.digest.to_string() }
}

pub(super) fn scope_settings(scope: Scope, id: &model::SettingsId) -> ScopeSettings {
    let node = match scope {
        Scope::Cluster => None,
        Scope::Node(node) => Some(node.to_string()),
    };
    ScopeSettings { node, id: settings_id(id) }
}

fn join_token(id: &TokenId, token: &Token) -> JoinToken {
    JoinToken { id: id.to_string(), uses: token.uses, until: wire::time(token.until_ms), role: role(token.role) }
}
