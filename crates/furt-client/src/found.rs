//! Instances as a registry lists them.

use furt_api::lookup::FoundInstance;
use furt_api::{Document, Status};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::names::Namespace;
use crate::service::read_url;

/// An instance of a service.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// The service's name, without the namespace.
    pub name: String,
    /// Where it is, such as `http://10.0.0.5:7812`.
    pub url: String,
    /// The host of the url, an IPv6 address without brackets.
    pub hostname: String,
    /// The port of the url; 80 or 443 where it has none.
    pub port: u16,
    /// `hostname:port`, an IPv6 address in brackets.
    pub host: String,
    /// Its health. [`Status::Unknown`] until it was probed.
    pub status: Status,
    /// Whether it gets no new requests.
    pub draining: bool,
    /// Its share beside others, 1 to 255.
    pub weight: u8,
    /// What it said of itself, where it did. Services that joined with this client have their five fields in it.
    pub document: Option<Map<String, Value>>,
    /// Everything that furt says of it, with the service's name for furt.
    pub instance: FoundInstance,
}

impl Found {
    /// `None` where it is of another namespace, or where its url is none.
    pub(crate) fn try_new(instance: FoundInstance, namespace: &Namespace) -> Option<Self> {
        let name = namespace.name_of(&instance.service)?.to_owned();
        let (_, hostname, port) = read_url(&instance.url).ok()?;
        let host = if hostname.contains(':') { format!("[{hostname}]:{port}") } else { format!("{hostname}:{port}") };
        Some(Self {
            name,
            url: instance.url.clone(),
            hostname,
            port,
            host,
            status: instance.status.clone(),
            draining: instance.draining,
            weight: instance.weight,
            document: instance.document.clone().map(|Document(fields)| fields),
            instance,
        })
    }

    /// How good it is to ask; `None`: not at all.
    fn rank(&self) -> Option<u8> {
        match self.status {
            _ if self.draining => None,
            Status::Up => Some(0),
            Status::Down => None,
            _ => Some(1),
        }
    }
}

/// With the five fields of a service's document, and `status`, `draining`, `weight` and `document`.
impl Serialize for Found {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { name, url, hostname, port, host, status, draining, weight, document, instance } = self;
        let value = json!({ "name": name, "port": port, "hostname": hostname, "host": host, "url": url,
            "service": instance.service, "instance": instance.instance, "status": status, "draining": draining,
            "weight": weight, "document": document });
        value.serialize(serializer)
    }
}

/// One of the best: by weight, at random, of those that are UP, or else of those that were not probed yet. None that drains.
pub(crate) fn choose(found: Vec<Found>) -> Option<Found> {
    let best = found.iter().filter_map(Found::rank).min()?;
    let best: Vec<_> = found.into_iter().filter(|one| one.rank() == Some(best)).collect();
    let total: u32 = best.iter().map(|one| u32::from(one.weight.max(1))).sum();
    let mut at = fastrand::u32(0..total);
    best.into_iter().find(|one| {
        let weight = u32::from(one.weight.max(1));
        let is_it = at < weight;
        at = at.saturating_sub(weight);
        is_it
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: &str, status: &str, draining: bool) -> Found {
        let instance = serde_json::from_value(json!({ "service": "shop.a", "instance": id, "url": "http://[::1]:80",
            "addresses": [], "protocol": "http1", "tls_name": null, "status": status, "draining": draining, "weight": 1,
            "region": null, "country": null }));
        Found::try_new(instance.unwrap(), &Namespace::try_new("shop").unwrap()).unwrap()
    }

    #[test]
    fn an_instance_has_the_five_fields_of_its_url() {
        let one = found("a", "UP", false);
        assert_eq!((one.name.as_str(), one.hostname.as_str(), one.port), ("a", "::1", 80));
        assert_eq!((one.host.as_str(), one.document.as_ref()), ("[::1]:80", None));
        assert_eq!(serde_json::to_value(&one).unwrap()["service"], "shop.a");
    }

    #[test]
    fn the_best_instance_is_chosen() {
        let chosen = |all: &[Found]| choose(all.to_vec()).map(|one| one.instance.instance.to_string());
        let (up, new, down, drained) = (
            found("up", "UP", false),
            found("new", "UNKNOWN", false),
            found("down", "DOWN", false),
            found("d", "UP", true),
        );
        let all = [down.clone(), drained.clone(), new.clone(), up];
        for _ in 0..20 {
            assert_eq!(chosen(&all).as_deref(), Some("up"));
        }
        assert_eq!(chosen(&all[..3]).as_deref(), Some("new"));
        assert_eq!(chosen(&[down, drained]), None);
        let two = [found("a", "UP", false), found("b", "UP", false)];
        let seen: std::collections::BTreeSet<_> = (0..200).filter_map(|_| chosen(&two)).collect();
        assert_eq!(seen.len(), 2);
    }
}
