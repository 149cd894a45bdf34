//! `[geo]`: where the gateway is, and what tells where a client is.

use http::HeaderName;

use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::types::GeoConfig;
use crate::config::value::{file, text};
use crate::header_name::{Folding, begins_as, reads_as};
use furt_core::model::{Invalid, Region};

/// Headers that have another meaning: for one hop (RFC 9110 §7.6.1), for the framing or the routing of a message, or as
/// furt's own.
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
/// The beginnings of furt's own headers about keys and about earlier hops.
const TAKEN_BEGINNINGS: [&str; 2] = ["x-api-key", "x-forwarded"];

pub(super) fn visit(keys: &mut impl TableVisitor) -> GeoConfig {
    keys.table(
        "geo",
        "Where the gateway is and where clients are, for services whose instances name a region or a country: near ones \
         are preferred.",
    );
    GeoConfig {
        region: keys.optional(
            Key {
                name: "geo.region",
                default: DefaultValue::absent("none", r#""eu""#),
                range: "1 to 32 of `a-z`, `0-9`, `-`",
                reload: ReloadClass::Restart,
                text: "The gateway's own region: preferred for clients that have no instance in their country or region. \
                       Set it to one that instances name.",
                ..Key::ROW
            },
            text("a region", Region::try_new),
            |config| config.geo.region.as_ref(),
        ),
        database: keys.optional(
            Key {
                name: "geo.database",
                default: DefaultValue::absent("none", r#""/var/lib/GeoIP/GeoLite2-Country.mmdb""#),
                range: "a file, at most 256 MiB",
                reload: ReloadClass::Restart,
                text: "A country or city database in MaxMind's format; a new version of the file needs no restart. Set \
                       it where clients connect directly.",
                ..Key::ROW
            },
            file,
            |config| config.geo.database.as_ref(),
        ),
        header: keys.optional(
            Key {
                name: "geo.header",
                default: DefaultValue::absent("none", r#""CF-IPCountry""#),
                range: "a header without another meaning",
                reload: ReloadClass::Restart,
                text: "The header in which a proxy of `server.trusted_proxies` names the client's country; it goes \
                       before the database.",
                ..Key::ROW
            },
            text("a header for countries", header),
            |config| config.geo.header.as_ref(),
        ),
    }
}

fn header(text: &str) -> Result<HeaderName, Invalid> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Invalid::new("must be the name of a header, such as \"CF-IPCountry\""))?;
    let reads_as_taken = |taken: &&str| reads_as(name.as_str(), taken, Folding::Underscore);
    let begins_as_taken = |taken: &&str| begins_as(name.as_str(), taken, Folding::Underscore);
    if TAKEN.iter().any(reads_as_taken) || TAKEN_BEGINNINGS.iter().any(begins_as_taken) {
        return Err(Invalid::new("must be a header that means nothing else, such as \"CF-IPCountry\""));
    }
    Ok(name)
}
