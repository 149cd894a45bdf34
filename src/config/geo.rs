//! `[geo]`: where the gateway is, and what tells where a client is.
//!
//! The database is named here and read by `geo`. Caller: `sections`.

use std::path::PathBuf;

use http::HeaderName;

use super::section::Section;
use super::value::{file, text};
use furt_core::model::{Invalid, Region};

/// `[geo]`
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GeoConfig {
    /// The gateway's own region.
    pub region: Option<Region>,
    /// A file in MaxMind's format.
    pub database: Option<PathBuf>,
    /// The header in which trusted proxies name the client's country; none that has another meaning.
    pub header: Option<HeaderName>,
}

/// What is for one hop (RFC 9110 §7.6.1), frames or routes a message, or is furt's own.
const TAKEN: [&str; 15] = [
    "connection",
    "content-length",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "server-timing",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-gateway",
    "x-request-id",
];
/// What furt's own headers about keys and about the hops before it begin with.
const TAKEN_BEGINNINGS: [&str; 2] = ["x-api-key", "x-forwarded"];

pub(super) fn read(mut section: Section<'_>, geo: &mut GeoConfig) {
    geo.region = section.optional("region", text("a region", Region::try_new));
    geo.database = section.optional("database", file);
    geo.header = section.optional("header", text("a header for countries", header));
    section.finish();
}

fn header(text: &str) -> Result<HeaderName, Invalid> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Invalid::new("must be the name of a header, such as \"CF-IPCountry\""))?;
    // To many a service `_` is `-`.
    let read_as = name.as_str().replace('_', "-");
    if TAKEN.contains(&read_as.as_str()) || TAKEN_BEGINNINGS.iter().any(|beginning| read_as.starts_with(beginning)) {
        return Err(Invalid::new("must be a header that means nothing else, such as \"CF-IPCountry\""));
    }
    Ok(name)
}
