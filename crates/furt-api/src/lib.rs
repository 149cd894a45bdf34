//! The bodies and answers of furt's internal listener, as types that serde reads and writes.
//!
//! `docs/api.md` of furt lists the endpoints and says who may call them; `docs/openapi.json` has the same for programs. Errors are problem+json
//! (RFC 9457), see [`Problem`]. One module for each group of endpoints:
//!
//! | module | endpoints |
//! |---|---|
//! | [`route_options`] | parts of [`registration`] and [`services`] |
//! | [`registration`] | `/internal/register-service`, `…/heartbeat`, `…/probe` |
//! | [`deregistration`] | `DELETE` of services and instances, `…/drain` |
//! | [`maintenance`] | `/internal/maintenance`, `…/maintenance` |
//! | [`splits`] | `/internal/splits`, `…/split` |
//! | [`grants`] | `/internal/grants`, `…/grant` |
//! | [`desired`] | `/internal/export`, `/internal/apply` |
//! | [`services`] | `GET /internal/services`, `GET /internal/services/{service}` |
//! | [`lookup`] | `/internal/instances` |
//! | [`nodes`] | `/internal/nodes` |
//! | [`cluster`] | `/internal/cluster/…` |
//! | [`settings`] | `/internal/cluster/settings` |
//! | [`routes`] | `/internal/routes`, `/internal/explain` |
//! | [`events`] | `/internal/events` |
//! | [`audit`] | `/internal/audit` |
//! | [`stats`] | `/internal/stats` |
//! | [`keys`] | `/internal/keys…` |
//! | [`reload`] | `/internal/reload` |
//! | [`certificates`] | `/internal/certificates…` |
//! | [`health`] | `/health` |
//! | [`backends`] | `/api/v1/…`, edgeProxy's Auto-Discovery API |
//! | [`problem`] | every answer of 4xx and 5xx |
//!
//! Answers may get fields and enums may get values with a new version of furt. Fields that are not known here are ignored
//! when an answer is read; an enum keeps a value that it does not know as `Other`. Bodies are the opposite: furt refuses a
//! body with a field that it does not know.
//!
//! A field of type `Option<Option<T>>` is absent as `None` and `null` as `Some(None)`.
//!
//! # Units
//!
//! A field of type [`Seconds`] is in seconds, as a JSON number. Other numbers carry their unit last in their name: `_ms`,
//! `_us`, `_secs`. Times are [`Timestamp`]s in UTC. Counts are whole numbers from 0.
//!
//! # Example
//!
//! ```
//! use furt_api::registration::{Registration, Route};
//!
//! let mut comments = Registration::new("comments", "http://127.0.0.1:7812");
//! comments.routes = Some(vec![Route::public("GET", "/api/comments/*")]);
//! let body = serde_json::to_string(&comments)?;
//! assert_eq!(
//!     body,
//!     r#"{"service":"comments","url":"http://127.0.0.1:7812","routes":[{"method":"GET","path":"/api/comments/*"}]}"#
//! );
//! # Ok::<(), serde_json::Error>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod audit;
pub mod backends;
pub mod certificates;
pub mod cluster;
pub mod deregistration;
pub mod desired;
mod document;
pub mod events;
pub mod grants;
pub mod health;
pub mod keys;
pub mod lookup;
pub mod maintenance;
mod names;
pub mod nodes;
mod nullable;
mod open_enum;
mod ordered;
pub mod problem;
pub mod registration;
pub mod reload;
pub mod route_options;
pub mod routes;
pub mod services;
pub mod settings;
pub mod splits;
pub mod stats;
mod status;
mod units;
pub mod upgrade;

pub use document::Document;
pub use names::{Epoch, Generation, InstanceId, KeyName, ServiceName};
pub use ordered::Ordered;
pub use problem::{Code, Problem};
pub use status::{Outcome, Status};
pub use units::{Seconds, Timestamp};
