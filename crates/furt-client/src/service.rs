//! A service as it joins: where it is, and what it says of itself.

use furt_api::registration::{HealthEndpoint, Registration, Route};
use furt_api::{Document, Seconds, ServiceName};
use http::Uri;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::names::{check_instance, instance_of};

/// furt's bound for a document, as compact JSON.
const MAX_DOCUMENT_BYTES: usize = 4096;
/// What the client fills in.
const FILLED_IN: [&str; 5] = ["name", "port", "hostname", "host", "url"];

/// A service that is to join: its port, and as much more as is known.
///
/// Unless something else is said, its hostname is the address from which this machine reaches the registry, it speaks
/// http, furt does not probe it, and it joins the routes that the service has, or has none of its own and is
/// reached as `<service>.internal`.
///
/// ```
/// use furt_client::{Route, Service};
/// use serde_json::json;
///
/// let comments = Service::new(7812)
///     .hostname("10.0.0.5")
///     .health("/health")
///     .routes([Route::protected("GET", "/api/comments/*", "comments:read")])
///     .field("zone", json!("b"));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Service {
    place: Place,
    instance: Option<String>,
    document: Map<String, Value>,
    registration: Registration,
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    Port(u16),
    Host(String, u16),
    Url(String),
}

impl Service {
    /// A service that listens on `port` of this machine.
    pub fn new(port: u16) -> Self {
        Self::at_place(Place::Port(port))
    }

    /// A service at a url: `http` or `https`, a host, an optional port, nothing else.
    pub fn at(url: impl Into<String>) -> Self {
        Self::at_place(Place::Url(url.into()))
    }

    fn at_place(place: Place) -> Self {
        let mut registration = Registration::new("", "");
        registration.health_endpoint = HealthEndpoint::Unprobed;
        Self { place, instance: None, document: Map::new(), registration }
    }

    /// The name or address under which furt and other services reach this machine. It takes the place of a url's host.
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        let hostname = hostname.into();
        self.place = match self.place {
            Place::Port(port) | Place::Host(_, port) => Place::Host(hostname, port),
            Place::Url(url) => match read_url(&url) {
                Ok((scheme, _, port)) => Place::Url(format!("{scheme}://{}:{port}", bracketed(&hostname))),
                // Told when it joins.
                Err(_) => Place::Url(url),
            },
        };
        self
    }

    /// The instance's id, unique among all services: 1 to 63 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `:`, `-`. Unless it is given, it
    /// is `<service>-<hostname>:<port>`: the same at each start.
    pub fn instance(mut self, id: impl Into<String>) -> Self {
        self.instance = Some(id.into());
        self
    }

    /// The path that furt probes, such as `/health`. Without it furt does not probe: while it is heard, it is UP.
    pub fn health(mut self, path: impl Into<String>) -> Self {
        self.registration.health_endpoint = HealthEndpoint::Path(path.into());
        self
    }

    /// The routes of the service. Every instance of it should join with the same ones. Without them it joins those that the
    /// service has.
    pub fn routes(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        self.registration.routes = Some(routes.into_iter().collect());
        self
    }

    /// A field of the document that others get when they look the service up. The document is at most 4096 bytes as compact
    /// JSON with the fields `name`, `port`, `hostname`, `host` and `url`, which are filled in and cannot be given here.
    pub fn field(mut self, name: impl Into<String>, value: Value) -> Self {
        self.document.insert(name.into(), value);
        self
    }

    /// Everything else that a registration may say, such as `policy`, `weight` or `region`. What the client fills in itself
    /// is overwritten: `service`, `url`, `instance`, `incarnation`, `heartbeat_ttl` and `document`.
    ///
    /// ```
    /// let comments = furt_client::Service::new(7812).registration(|registration| registration.weight = Some(3));
    /// ```
    pub fn registration(mut self, change: impl FnOnce(&mut Registration)) -> Self {
        change(&mut self.registration);
        self
    }

    /// # Errors
    /// What can be told before anything is sent.
    pub(crate) fn check(&self, service: &ServiceName, name: &str) -> Result<(), Error> {
        if let Some(field) = FILLED_IN.iter().find(|field| self.document.contains_key(**field)) {
            return Err(Error::Service(format!("the field \"{field}\" of the document is filled in by the client")));
        }
        self.instance.as_deref().map_or(Ok(()), check_instance)?;
        if matches!(self.place, Place::Port(0) | Place::Host(_, 0)) {
            return Err(Error::Service("a service's port is 1 to 65535".to_owned()));
        }
        // The longest address, where it is not known yet.
        self.fill_in(service, name, Some("255.255.255.255"), &Told { ttl: 0.0, incarnation: "" }).map(|_| ())
    }

    /// Whether the address of this machine must be found out.
    pub(crate) fn needs_address(&self) -> bool {
        matches!(self.place, Place::Port(_))
    }

    /// The registration of this process. `own` is this machine's address, where it is needed.
    pub(crate) fn fill_in(
        &self,
        service: &ServiceName,
        name: &str,
        own: Option<&str>,
        told: &Told<'_>,
    ) -> Result<Registration, Error> {
        let (scheme, hostname, port) = match &self.place {
            Place::Port(port) => ("http".to_owned(), own.unwrap_or("127.0.0.1").to_owned(), *port),
            Place::Host(hostname, port) => ("http".to_owned(), unbracketed(hostname).to_owned(), *port),
            Place::Url(url) => read_url(url)?,
        };
        let host = format!("{}:{port}", bracketed(&hostname));
        let url = format!("{scheme}://{host}");
        read_url(&url)?;
        let mut document = Map::new();
        let values = [json!(name), json!(port), json!(hostname), json!(host), json!(url)];
        document.extend(FILLED_IN.into_iter().map(str::to_owned).zip(values));
        document.extend(self.document.clone());
        let bytes = serde_json::to_vec(&document).map_err(|why| Error::Service(format!("the document: {why}")))?.len();
        if bytes > MAX_DOCUMENT_BYTES {
            let what = format!("the document has {bytes} bytes as JSON; at most {MAX_DOCUMENT_BYTES} are allowed");
            return Err(Error::Service(what));
        }
        let instance = self.instance.clone().unwrap_or_else(|| instance_of(service, &hostname, port));
        Ok(Registration {
            service: service.clone(),
            url,
            instance: Some(instance.into()),
            incarnation: Some(told.incarnation.to_owned()),
            heartbeat_ttl: Some(Seconds(told.ttl)),
            document: Some(Document(document)),
            ..self.registration.clone()
        })
    }
}

/// What a registration has from the client.
pub(crate) struct Told<'a> {
    /// In seconds.
    pub(crate) ttl: f64,
    pub(crate) incarnation: &'a str,
}

/// Scheme, host without brackets, port.
///
/// # Errors
/// It is none of an instance.
pub(crate) fn read_url(url: &str) -> Result<(String, String, u16), Error> {
    let refused = |what: &str| Error::Service(format!("the url \"{url}\" {what}"));
    let uri: Uri = url.parse().map_err(|_| refused("is no url"))?;
    let default = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(refused("must begin with http:// or https://")),
    };
    let authority = uri.authority().ok_or_else(|| refused("has no host"))?;
    let is_plain = !authority.as_str().contains('@') && matches!(uri.path(), "" | "/") && uri.query().is_none();
    if !is_plain || url.contains('#') {
        return Err(refused("may have a scheme, a host and a port, and nothing else"));
    }
    let is_bare = authority.port().is_none() && authority.as_str().len() == authority.host().len();
    let port = if is_bare { Some(default) } else { authority.port_u16().filter(|port| *port > 0) };
    let port = port.ok_or_else(|| refused("has a port that is none: a port is 1 to 65535"))?;
    let host = unbracketed(authority.host());
    if host.is_empty() {
        return Err(refused("has no host"));
    }
    Ok((uri.scheme_str().unwrap_or_default().to_owned(), host.to_owned(), port))
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// As a url has it.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled_in(service: &Service, own: Option<&str>) -> Registration {
        let told = Told { ttl: 10.0, incarnation: "one" };
        service.fill_in(&"shop.comments".into(), "comments", own, &told).unwrap()
    }

    fn document(registration: &Registration) -> String {
        serde_json::to_string(registration.document.as_ref().unwrap()).unwrap()
    }

    #[test]
    fn the_five_fields_are_filled_in() {
        let registration = filled_in(&Service::new(7812).field("zone", json!({"a": [1]})), Some("10.0.0.5"));
        let expected = r#"{"name":"comments","port":7812,"hostname":"10.0.0.5","host":"10.0.0.5:7812","url":"http://10.0.0.5:7812","zone":{"a":[1]}}"#;
        assert_eq!(document(&registration), expected);
        assert_eq!(
            (registration.service.as_str(), registration.url.as_str()),
            ("shop.comments", "http://10.0.0.5:7812")
        );
        assert_eq!(registration.instance.unwrap().as_str(), "shop.comments-10.0.0.5:7812");
        assert_eq!(registration.heartbeat_ttl, Some(Seconds(10.0)));
        assert_eq!(registration.health_endpoint, HealthEndpoint::Unprobed);
        for (service, url) in [
            (Service::new(80).hostname("::1"), "http://[::1]:80"),
            (Service::new(80).hostname("[::1]"), "http://[::1]:80"),
            (Service::at("https://box"), "https://box:443"),
            (Service::at("http://a:81/").hostname("b"), "http://b:81"),
        ] {
            assert_eq!(filled_in(&service, None).url, url);
        }
    }

    #[test]
    fn what_cannot_be_registered_is_told_before_anything_is_sent() {
        let large = Service::new(1).field("text", json!("x".repeat(4000)));
        for (service, expected) in [
            (Service::new(0), "port is 1 to 65535"),
            (Service::new(1).hostname(""), "has no host"),
            (Service::new(1).hostname("a b"), "is no url"),
            (Service::new(1).hostname("a/b"), "nothing else"),
            (Service::new(1).instance("a b"), "is no id of an instance"),
            (Service::new(1).field("url", json!("x")), "the field \"url\" of the document is filled in"),
            (large.clone().field("more", json!("y")), "the document has 41"),
            (Service::at("ftp://a"), "must begin with http:// or https://"),
            (Service::at("http://a/b"), "nothing else"),
            (Service::at("http://u@a"), "nothing else"),
            (Service::at("http://a:99999"), "a port"),
            (Service::at("http://a:0"), "a port"),
            (Service::at("a"), "must begin with http"),
        ] {
            let said = service.check(&"a".into(), "a").unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
        large.hostname("a").check(&"a".into(), "a").unwrap();
    }
}
