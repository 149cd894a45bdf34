//! Configuration: what the file and the environment say, parsed whole into values that need no further check.
//!
//! Every key is one row: its name, default, range, reload class, text and parser. The rows are in `tables` (the single
//! tables) and `arrays` (the arrays of tables), and nothing else lists the keys. A `key::TableVisitor`
//! goes through the rows: `load` reads a file with them, `defaults` gives the values of an empty file, `changes`
//! compares two configurations, `reference` lists them. A test writes `conf/furt.toml` and the tables of
//! `docs/configuration.md` from the list.
//!
//! [`Config::load`] reports every error at once, each with file, line, column and what would be right. Nothing here
//! opens a socket, resolves a name or logs. Callers: `cli` and `app`.

mod allowed;
mod arrays;
mod changes;
mod defaults;
mod environment;
mod errors;
mod key;
mod layers;
mod load;
mod location;
mod nearest;
mod permitted;
mod printable;
mod reading;
mod reference;
mod section;
mod sourced;
mod tables;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod warnings;

pub use allowed::AllowedSettings;
pub use environment::{UnknownVariable, unknown_variables};
pub use errors::{ConfigError, ConfigErrors};
pub use key::{DefaultValue, Key, ReloadClass};
pub use layers::{Disallowed, Layer};
pub use location::{KeyLocations, SourceLocation};
pub use permitted::pushable_keys;
pub use reference::{Table, TableKind, reference};
pub use sourced::{PlainPassword, SecretRef, Sourced};
pub use tables::MAX_RETRIES;
pub use types::{
    AccessLogConfig, AccessLogTarget, AcmeConfig, ApiKeyConfig, CertificateConfig, ClaimGrants, ClientAuthConfig,
    ClientAuthHost, ClientAuthMode, ClientConfig, ClusterConfig, CompressionConfig, Config, ContentCoding, EtcdConfig,
    ForwardAuthConfig, GatewayConfig, GeoConfig, GrantConfig, HostRange, IDENTITY_HEADERS, IncomingTraces,
    InternalConfig, IssuerConfig, JwksSource, KeyAccept, KeysConfig, LimitsConfig, Line, LogFormat, MediaTypePattern,
    MinTlsVersion, OperatorConfig, PagesConfig, ProviderKind, RegistrationConfig, RespondConfig, RuleConfig,
    ServerConfig, StaticRouteConfig, StaticTarget, StoreConfig, TlsConfig, TokenAlgorithm, TracingConfig,
    UnknownTlsName, Unlisted, UpdateConfig, UpstreamConfig, VaultConfig,
};
