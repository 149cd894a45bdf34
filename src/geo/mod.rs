//! Where a client is: its country, by the word of a trusted proxy or by a database of addresses, and the region of
//! that country.
//!
//! Knows the gateway's own region as well. Never decides where a request goes: `routing` compares this with what instances
//! say of themselves. [`Geo::locate`] is asked on the request path and neither waits nor allocates; reading files is
//! left to [`Database`], whose new versions `app` looks for. Callers: `proxy`, `api` (to explain) and `app`.

mod database;
mod regions;

pub use database::{Database, DatabaseError, Look, MAX_DATABASE_BYTES};

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::config::GeoConfig;
use furt_core::model::{Country, Region};

/// Where somebody is, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientLocation {
    /// A country of ISO 3166-1.
    pub country: Option<Country>,
    /// The country's region: `sa`, `us`, `eu` or `ap`.
    pub region: Option<&'static Region>,
}

impl ClientLocation {
    /// In `country`; nowhere where no such country is known.
    fn within(country: Country) -> Option<Self> {
        regions::region_of(country).map(|region| Self { country: Some(country), region: Some(region) })
    }
}

/// What `[geo]` says.
#[derive(Debug, Default)]
pub struct Geo {
    region: Option<Region>,
    header: Option<HeaderName>,
    database: Option<Arc<Database>>,
}

impl Geo {
    /// Reads the database, where one is configured.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open(config: &GeoConfig) -> Result<Self, DatabaseError> {
        let database = config.database.as_deref().map(Database::open).transpose()?.map(Arc::new);
        Ok(Self { region: config.region.clone(), header: config.header.clone(), database })
    }

    /// The gateway's own region.
    pub fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    /// The header that names the client's country.
    pub fn header(&self) -> Option<&HeaderName> {
        self.header.as_ref()
    }

    /// The database of addresses.
    pub fn database(&self) -> Option<&Arc<Database>> {
        self.database.as_ref()
    }

    /// Where a client is. What a trusted peer's header says goes before what the database says; a header that names no
    /// country, or is there twice, says nothing.
    pub fn locate(&self, client: Option<IpAddr>, headers: &HeaderMap, is_peer_trusted: bool) -> ClientLocation {
        let told = self.header.as_ref().filter(|_| is_peer_trusted).and_then(|header| named(headers, header));
        let looked_up = || ClientLocation::within(self.database.as_ref()?.country(client?)?);
        told.or_else(looked_up).unwrap_or_default()
    }
}

fn named(headers: &HeaderMap, header: &HeaderName) -> Option<ClientLocation> {
    let mut values = headers.get_all(header).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    ClientLocation::within(Country::try_new(value.to_str().ok()?.trim()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(values: &[&str], is_peer_trusted: bool) -> Option<String> {
        let geo = Geo { header: Some(HeaderName::from_static("cf-ipcountry")), ..Geo::default() };
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("CF-IPCountry", http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let here = geo.locate(Some([192, 0, 2, 1].into()), &headers, is_peer_trusted);
        assert_eq!(here.country.is_some(), here.region.is_some());
        here.country.zip(here.region).map(|(country, region)| format!("{country} {region}"))
    }

    #[test]
    fn a_trusted_peers_header_names_the_country() {
        for (values, expected) in [
            (&["DE"][..], Some("DE eu")),
            (&["br"], Some("BR sa")),
            (&[" Jp "], Some("JP ap")),
            (&["XX"], None),
            (&["T1"], None),
            (&["EU"], None),
            (&[""], None),
            (&["DEU"], None),
            (&["DE, FR"], None),
            (&["DE", "FR"], None),
            (&["ÄÖ"], None),
            (&[], None),
        ] {
            assert_eq!(told(values, true).as_deref(), expected, "{values:?}");
            assert_eq!(told(values, false), None, "{values:?}");
        }
    }

    #[test]
    fn without_header_and_database_nothing_is_known() {
        let mut headers = HeaderMap::new();
        headers.insert("cf-ipcountry", http::HeaderValue::from_static("DE"));
        assert_eq!(Geo::default().locate(Some([8, 8, 8, 8].into()), &headers, true), ClientLocation::default());
    }
}
