//! Who looks at a page.

use std::net::IpAddr;

use axum::extract::Request;

use super::cookie::Seen;
use super::sessions::SessionId;
use crate::api::{Api, operators};
use crate::clock;
use furt_core::model::{Operator, Role, Sha256Digest};
use furt_core::registry::Source;

/// Who looks at a page, so that it can be asked again whether it may.
#[derive(Debug, Clone)]
pub(in crate::api) struct Viewer {
    operator: Operator,
    address: IpAddr,
    by: Credentials,
}

/// By what a viewer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credentials {
    Session(SessionId),
    /// Its address, and what it sent of these.
    Shown {
        token: Option<Sha256Digest>,
        certificate: Option<Sha256Digest>,
    },
}

impl Viewer {
    /// Whoever may operate by what it sends, else by its session.
    pub(super) fn of(api: &Api, request: &Request) -> Option<Self> {
        let source = request.extensions().get::<Source>()?;
        let Source { address, operator, token, certificate } = source;
        if let Some(operator) = operator {
            let by = Credentials::Shown { token: *token, certificate: *certificate };
            return Some(Self { operator: operator.clone(), address: *address, by });
        }
        let id = SessionId::of(Seen::of(request).sent(request.headers())?);
        let operator = of_session(api, id, *address)?;
        Some(Self { operator, address: *address, by: Credentials::Session(id) })
    }

    pub(super) fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The operator's name, where a token or a certificate says it.
    pub(super) fn name(&self) -> Option<&str> {
        self.operator.name.as_ref().map(|name| name.as_str())
    }

    pub(super) fn has_session(&self) -> bool {
        matches!(self.by, Credentials::Session(_))
    }

    /// Whether it may still do that: its session may be over, and the configuration another one.
    pub(super) fn may_still(&self, least: Role, api: &Api) -> bool {
        let now = match self.by {
            Credentials::Session(id) => of_session(api, id, self.address),
            Credentials::Shown { token, certificate } => {
                operators::operator(&api.config(), &api.values, self.address, token, certificate)
            }
        };
        now.is_some_and(|operator| operator.role.includes(least))
    }
}

/// The operator whom a session stands for, as the configuration has it now.
fn of_session(api: &Api, id: SessionId, address: IpAddr) -> Option<Operator> {
    let token = api.dashboard.sessions.token(id, address, clock::now())?;
    operators::operator(&api.config(), &api.values, address, Some(token), None)
}
