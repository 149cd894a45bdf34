//! The certificates that the gateway shows, and those that it should have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::{Outcome, ServiceName, Timestamp};

open_enum! {
    /// Where a certificate is from.
    Source {
        /// A file of `[[certificates]]`.
        File = "file",
        /// The file of `internal.tls_cert`.
        Internal = "internal",
        /// The authority of `[acme]`.
        Acme = "acme",
    }
}

/// The answer to `GET /internal/certificates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificates {
    /// Those of files first, then those of the authority by name.
    pub certificates: Vec<Certificate>,
}

/// A certificate, or a name that should have one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// The hosts and addresses that it is for, at least one.
    pub names: Vec<String>,
    /// Who signed it; `null`: there is none yet.
    pub issuer: Option<String>,
    /// Its last second; `null`: there is none yet.
    pub not_after: Option<Timestamp>,
    /// Where it is from.
    pub source: Source,
    /// Its file; `null`: furt got it.
    pub file: Option<String>,
    /// The service for whose route it is; `null`: the configuration names it.
    pub service: Option<ServiceName>,
    /// When it is renewed, or asked for again; `null`: furt does not do that.
    pub next_renewal: Option<Timestamp>,
    /// What went wrong last, or why there is none; `null`: nothing.
    pub last_error: Option<String>,
}

/// The answer to `POST /internal/certificates/{name}/renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RenewalAsked {
    /// [`Outcome::Renewing`].
    pub status: Outcome,
    /// The name.
    pub name: String,
}
