//! Joins services to a furt registry, finds the services there, and tells when they change.
//!
//! ```
//! use std::time::Duration;
//! use furt_client::{Route, Service};
//!
//! # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/server.rs")); }
//! # #[tokio::main]
//! # async fn main() -> Result<(), furt_client::Error> {
//! # let server = server::Server::start(server::furt()).await;
//! let registry = furt_client::connect("furt://10.0.0.1,10.0.0.2/shop")?;
//! # let registry = furt_client::connect(&format!("furt://{}/shop", server.address))?;
//! // Once the service listens:
//! let comments = Service::new(7812).routes([Route::public("GET", "/api/comments/*")]);
//! let member = registry.join("comments", comments).await?;
//!
//! // In another service of the namespace:
//! let found = registry.lookup("comments").await?.expect("one that takes requests");
//! assert_eq!(found.port, 7812);
//!
//! // On SIGTERM, before the service ends:
//! member.leave(Duration::from_secs(30)).await?;
//! assert_eq!(registry.lookup("comments").await?, None);
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | [`Registry::join`], [`Registry::join_in_background`] | a service joins, and stays joined |
//! | [`Member::leave`], [`Registry::leave`] | it gets no new requests, and is removed |
//! | [`Registry::lookup`] | one instance for a request |
//! | [`Registry::list`], [`Registry::watch`] | all instances; again whenever they change |
//!
//! # Connection strings
//!
//! `furt://host1,host2,…/namespace?options`
//!
//! - The scheme is `furt` or `http`, which are the same and what is meant without one, or `https` for gateways under TLS.
//! - The hosts are furt's internal listeners, each with an optional port (8081). The others are asked where one is away.
//! - The namespace is optional. A service `comments` in the namespace `shop` is `shop.comments` for furt. A client with a
//!   namespace sees the services in it alone.
//! - `ttl=SECONDS` (10; 2 to 86400): how long a service stays registered without being heard. It is heard every half of it.
//! - `timeout=SECONDS` (2; 0.1 to 60): how long a host may be silent before the next one is asked.
//! - `refresh=SECONDS` (30; 1 to 86400, or `off`): how often the gateways of the registry are asked for.
//! - `ca=PATH`: for https, the one authority to trust, in PEM. Without it the file of the environment variable `FURT_CA` counts, and
//!   without that those of the system are trusted. `FURT_CERT` and `FURT_KEY` name the certificate to show.
//!
//! **A token is never in it.** It is taken from the environment variable `FURT_TOKEN`, or from [`Builder::token`].
//!
//! # What is promised
//!
//! - **Failover**: hosts are asked in turn where there is no connection, silence, or a status of 5xx. A status of 4xx is
//!   furt's answer, and no other host is asked.
//! - **The registry away**: a service that has joined goes on, and joins again when a host is back.
//! - **Which process it is**: each process has an incarnation of its own. What a process sends late changes nothing of the process
//!   that took its place.
//! - **The token**: over http it is sent to the hosts of the connection string alone. Gateways that these tell of are asked without it,
//!   and only for what needs none. Over https it is sent to those as well, since their certificates verify.
//! - **Names**: a name that furt would not take is refused. It is never changed into another one.
//!
//! What furt refuses is an [`Error::Refused`] with its problem. Every error is a sentence for the person who runs the service.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod connection_string;
mod error;
mod exchange;
mod found;
mod host;
mod hosts;
mod member;
mod names;
mod registry;
mod service;
mod tls;
mod watch;

pub use error::{Error, Try};
pub use found::Found;
pub use furt_api::registration::{Registration, Route};
pub use furt_api::{Document, Problem, Status};
pub use member::{Departure, Member, State};
pub use registry::{Builder, Registry, check, connect};
pub use service::Service;
pub use watch::Watch;
