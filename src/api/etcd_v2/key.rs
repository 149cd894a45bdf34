//! Keys: `/services/[NAMESPACE/]NAME/ID`, where NAME is a service's name with all but letters, digits and `-` as `-`.

use std::sync::Arc;

use axum::http::StatusCode;

use super::super::lookup;
use super::super::problem::Problem;
use super::errors::EtcdError;
use furt_core::model::{InstanceId, Sha256Digest};
use furt_core::routing::{Service, Snapshot};

/// Where everything lies.
const ROOT: &str = "services";

/// A key as it was asked for.
pub(super) struct Key {
    text: String,
    segments: Vec<String>,
    /// It ends with `/`: what lies in it is meant.
    pub(super) is_folder: bool,
}

/// A service's segment, which may be that of several services.
pub(super) struct Name {
    /// Empty, or a text that ends with `.`: with the name it is the service's.
    pub(super) namespace: String,
    pub(super) segment: String,
}

/// An instance's key.
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) segment: String,
    pub(super) id: InstanceId,
}

impl Key {
    /// Of what comes after `/v2/keys/`, decoded.
    pub(super) fn new(path: &str) -> Self {
        let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        Self { text: format!("/{}", segments.join("/")), is_folder: path.ends_with('/'), segments }
    }

    /// As etcd writes it: with `/` in front and none at its end.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What follows [`ROOT`]; `None`: it lies elsewhere.
    fn below(&self) -> Option<&[String]> {
        let (root, below) = self.segments.split_first()?;
        (root == ROOT).then_some(below)
    }

    /// The namespace whose services it has; `None`: it is not a folder of services.
    pub(super) fn namespace(&self) -> Option<String> {
        let below = self.below()?;
        (self.is_folder || below.is_empty()).then(|| namespace(below))
    }

    /// The service whose instances it has.
    pub(super) fn name(&self) -> Option<Name> {
        let (segment, namespace_of) = self.below().filter(|_| !self.is_folder)?.split_last()?;
        Some(Name { namespace: namespace(namespace_of), segment: segment.clone() })
    }

    /// The instance that it is.
    ///
    /// # Errors
    /// It cannot be one.
    pub(super) fn instance(&self) -> Result<Place, Problem> {
        let cause = |why: &str| format!("{}: {why}", self.text);
        let Some(below) = self.below() else {
            let cause = cause("only keys /services/[NAMESPACE/]NAME/ID can be written");
            return Err(EtcdError::RootReadOnly.with(StatusCode::FORBIDDEN, cause));
        };
        let [names @ .., segment, id] = below else {
            return Err(EtcdError::NotAFile.with(StatusCode::FORBIDDEN, self.text.clone()));
        };
        let id = match names {
            [] => InstanceId::try_new(id),
            // The package makes ids of a service's name and url alone, and ids are unique in the registry.
            _ => InstanceId::try_new(&Sha256Digest::of(self.text.as_bytes()).to_string()[..40]),
        };
        let id = id.map_err(|why| {
            EtcdError::InvalidField.with(StatusCode::BAD_REQUEST, cause(&format!("the last segment {why}")))
        })?;
        Ok(Place { namespace: namespace(names), segment: segment.clone(), id })
    }
}

impl Name {
    /// The services that fold to it.
    pub(super) fn candidates<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a Arc<Service>> {
        candidates(snapshot, &self.namespace, &self.segment)
    }
}

impl Place {
    /// The services whose instance it may be.
    pub(super) fn candidates<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a Arc<Service>> {
        candidates(snapshot, &self.namespace, &self.segment)
    }
}

fn candidates<'a>(snapshot: &'a Snapshot, namespace: &str, segment: &str) -> Vec<&'a Arc<Service>> {
    let services = lookup::within(snapshot, namespace);
    services.filter(|service| is_folded(rest(service, namespace), segment)).collect()
}

/// The name of a service within its namespace.
pub(super) fn rest<'a>(service: &'a Service, namespace: &str) -> &'a str {
    service.definition.service.as_str().strip_prefix(namespace).unwrap_or_default()
}

fn namespace(segments: &[String]) -> String {
    segments.iter().map(|segment| format!("{segment}.")).collect()
}

/// A name as the package writes it into a key.
pub(super) fn folded(name: &str) -> String {
    name.chars().map(fold).collect()
}

fn is_folded(name: &str, segment: &str) -> bool {
    name.chars().map(fold).eq(segment.chars())
}

fn fold(c: char) -> char {
    if c.is_ascii_alphanumeric() { c } else { '-' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_what_it_names() {
        let key = |path: &str| {
            let key = Key::new(path);
            let name = key.name().map(|name| format!("{}|{}", name.namespace, name.segment));
            let place = key.instance().ok().map(|place| format!("{}|{}|{}", place.namespace, place.segment, place.id));
            (key.namespace(), name, place)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(key("services"), (text(""), None, None));
        assert_eq!(key("services/"), (text(""), None, None));
        assert_eq!(key("services/a/"), (text("a."), None, None));
        assert_eq!(key("services/a"), (None, text("|a"), None));
        assert_eq!(key("services/a/b"), (None, text("a.|b"), text("|a|b")));
        assert_eq!(key("services//a///b"), key("services/a/b"));
        let (_, name, place) = key("services/a/b/c/d");
        assert_eq!(name, text("a.b.c.|d"));
        assert!(place.unwrap().starts_with("a.b.|c|"));
        assert_eq!(key("other/a/b"), (None, None, None));
        assert_eq!(key(""), (None, None, None));
    }

    #[test]
    fn ids_in_namespaces_differ_from_those_in_others() {
        let id = |path: &str| Key::new(path).instance().ok().map(|place| place.id.to_string());
        let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        assert_eq!(id(&format!("services/a/{sha1}")).as_deref(), Some(sha1));
        let (one, other) = (id(&format!("services/x/a/{sha1}")), id(&format!("services/y/a/{sha1}")));
        assert!(one != other && one.is_some_and(|id| id.len() == 40));
        assert_eq!(id("services/a/.."), None);
    }

    #[test]
    fn names_fold_as_the_package_folds_them() {
        assert_eq!(folded("my.svc_1-A\u{e4}"), "my-svc-1-A-");
        assert!(is_folded("my.svc", "my-svc") && !is_folded("my.svc", "my.svc") && !is_folded("my.svc", "my-sv"));
    }
}
