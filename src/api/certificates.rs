//! `GET /internal/certificates`: what is shown to clients, and what should be; never a key. `POST …/{name}/renew`: asks for another
//! certificate of a name before it is due.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use furt_api::certificates::{Certificate, Certificates, RenewalAsked, Source};
use furt_api::{Code, Outcome};

use super::Api;
use super::audit::{self, Asked};
use super::commands::ApiResult;
use super::problem::Problem;
use crate::clock;
use crate::tls::{InternalTls, Listed, Source as Origin, Tls};
use crate::wire;
use furt_core::model::{Order, host};
use furt_core::registry;

/// TLS of both listeners, as far as there is some.
#[derive(Clone, Default)]
pub struct ShownTls {
    /// Of the public one.
    pub public: Option<Arc<Tls>>,
    /// Of the internal one.
    pub internal: Option<Arc<InternalTls>>,
}

impl ShownTls {
    fn list(&self) -> Vec<Listed> {
        let now = clock::unix_ms().div_euclid(1000);
        let public = self.public.as_ref().map(|tls| tls.list(now)).unwrap_or_default();
        public.into_iter().chain(self.internal.as_ref().map(|tls| tls.list(now))).collect()
    }
}

/// `GET /internal/certificates`
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Certificates> {
    Json(Certificates { certificates: all(&api) })
}

/// Those of files first.
pub(super) fn all(api: &Api) -> Vec<Certificate> {
    api.tls.list().into_iter().map(shown).collect()
}

/// `POST /internal/certificates/{name}/renew`
pub(super) async fn renew(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<registry::Source>,
    Path(name): Path<String>,
) -> ApiResult<RenewalAsked> {
    let name = host::normalize(&name).into_owned();
    let listed = api.tls.list();
    let found = listed.iter().find(|one| matches!(one.source, Origin::Acme(_)) && one.names.contains(&name));
    let Some((found, tls)) = found.zip(api.tls.public.as_ref()) else {
        let detail = format!(
            "\"{name}\" is no name that furt gets certificates for: neither acme.names nor a route within acme.from_routes has it"
        );
        return Err(Problem::new(StatusCode::NOT_FOUND, Code::NotFound, detail));
    };
    if found.next_renewal.is_none() {
        let why = found.last_error.as_deref().unwrap_or("its route has not stood for long enough");
        let detail = format!("there is no order for \"{name}\": {why}");
        return Err(Problem::new(StatusCode::NOT_FOUND, Code::NotFound, detail));
    }
    audit::note(&api, &source, Asked::of(Order::RenewCertificate).detail(&*name)).await;
    tls.renewals().ask(&name);
    Ok(Json(RenewalAsked { status: Outcome::Renewing, name }))
}

fn shown(listed: Listed) -> Certificate {
    let time = |unix_seconds: i64| wire::time(unix_seconds.saturating_mul(1000));
    let (source, file, service) = match listed.source {
        Origin::File(file) => (Source::File, Some(file), None),
        Origin::Internal(file) => (Source::Internal, Some(file), None),
        Origin::Acme(service) => (Source::Acme, None, service),
    };
    Certificate {
        names: listed.names,
        issuer: listed.issuer,
        not_after: listed.not_after.map(time),
        source,
        file: file.map(|file| file.display().to_string()),
        service: service.map(|service| service.as_str().into()),
        next_renewal: listed.next_renewal.map(time),
        last_error: listed.last_error,
    }
}
