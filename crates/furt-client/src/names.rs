//! Names of services, and namespaces: the service `comments` in the namespace `shop` is `shop.comments` for furt.
//!
//! A name is taken as it is or refused. It is never folded: two services would meet under one name.

use furt_api::ServiceName;

use crate::error::Error;

/// furt's bound for the name of a service.
const MAX_NAME: usize = 63;
/// furt's bound for the id of an instance.
const MAX_INSTANCE: usize = 63;

/// A prefix of names, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespace(Option<String>);

impl Namespace {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// # Errors
    /// What is wrong with it.
    pub(crate) fn try_new(text: &str) -> Result<Self, String> {
        check(text)?;
        // A dot and a name of one letter must follow.
        if text.len() > MAX_NAME - 2 {
            return Err(format!("is longer than {} characters", MAX_NAME - 2));
        }
        Ok(Self(Some(text.to_owned())))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The name that furt knows a service by.
    ///
    /// # Errors
    /// It is none that a service can have.
    pub(crate) fn service(&self, name: &str) -> Result<ServiceName, Error> {
        let refused = |what: String| Error::Name { name: name.to_owned(), what };
        check(name).map_err(refused)?;
        let Some(namespace) = &self.0 else { return Ok(name.into()) };
        let whole = format!("{namespace}.{name}");
        if whole.len() > MAX_NAME {
            let what = format!("is longer than {MAX_NAME} characters with its namespace, as \"{whole}\"");
            return Err(refused(what));
        }
        Ok(whole.into())
    }

    /// The name within the namespace; `None` where the service is of another one.
    pub(crate) fn name_of<'s>(&self, service: &'s ServiceName) -> Option<&'s str> {
        let service = service.as_str();
        match &self.0 {
            None => Some(service),
            Some(namespace) => service.strip_prefix(namespace)?.strip_prefix('.'),
        }
    }
}

/// furt's own rule, so that a bad name is told before anything is sent.
fn check(name: &str) -> Result<(), String> {
    const RULE: &str = "a name is 1 to 63 of a-z, 0-9, \".\", \"_\" and \"-\", with a letter or a digit at both ends";
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some(c) = name.chars().find(|c| !is_inner(*c) && !"._-".contains(*c)) {
        return Err(format!("has {c:?} in it: {RULE}"));
    }
    if name.is_empty() || !name.starts_with(is_inner) || !name.ends_with(is_inner) {
        return Err(format!("is no name: {RULE}"));
    }
    if name.len() > MAX_NAME {
        return Err(format!("is longer than {MAX_NAME} characters"));
    }
    Ok(())
}

/// The id of an instance that names none: the same at each start of the service, and another one at each other address.
pub(crate) fn instance_of(service: &ServiceName, hostname: &str, port: u16) -> String {
    let id = format!("{service}-{hostname}:{port}");
    if id.len() <= MAX_INSTANCE {
        return id;
    }
    let hash = format!("{:016x}", fnv1a(id.as_bytes()));
    let start: String = service.as_str().chars().take(MAX_INSTANCE - 1 - hash.len()).collect();
    format!("{start}-{hash}")
}

/// # Errors
/// What is wrong with the id.
pub(crate) fn check_instance(id: &str) -> Result<(), Error> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    if id.is_empty() || id.len() > MAX_INSTANCE || matches!(id, "." | "..") || !id.chars().all(is_good) {
        let rule = "1 to 63 of A-Z, a-z, 0-9, \".\", \"_\", \":\" and \"-\", neither \".\" nor \"..\"";
        return Err(Error::Service(format!("\"{id}\" is no id of an instance: an id is {rule}")));
    }
    Ok(())
}

/// The same in each version of the program, which std's hashers do not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_they_are_or_refused() {
        let (plain, shop) = (Namespace::none(), Namespace::try_new("shop").unwrap());
        assert_eq!(plain.service("comments").unwrap().as_str(), "comments");
        assert_eq!(shop.service("a.b_c-1").unwrap().as_str(), "shop.a.b_c-1");
        for (name, expected) in [
            ("", "is no name"),
            ("Comments", "has 'C' in it"),
            ("a b", "has ' ' in it"),
            ("a/b", "has '/' in it"),
            ("käse", "has 'ä' in it"),
            ("-a", "is no name"),
            ("a.", "is no name"),
            ("a\n", "has '\\n' in it"),
        ] {
            let said = shop.service(name).unwrap_err().to_string();
            assert!(said.starts_with(&format!("\"{name}\" {expected}")), "{said}");
        }
        assert!(plain.service(&"a".repeat(63)).is_ok() && plain.service(&"a".repeat(64)).is_err());
        let said = shop.service(&"a".repeat(59)).unwrap_err().to_string();
        assert!(shop.service(&"a".repeat(58)).is_ok() && said.contains("with its namespace, as \"shop.aaa"), "{said}");
    }

    #[test]
    fn a_namespace_sees_its_own_names_alone() {
        let shop = Namespace::try_new("shop").unwrap();
        for (service, expected) in
            [("shop.a", Some("a")), ("shop.a.b", Some("a.b")), ("shop", None), ("shopping.a", None), ("a", None)]
        {
            assert_eq!(shop.name_of(&service.into()), expected, "{service}");
        }
        assert_eq!(Namespace::none().name_of(&"shop.a".into()), Some("shop.a"));
        for bad in ["", "Shop", "a/b", "a.", &"a".repeat(62)] {
            assert!(Namespace::try_new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_the_same_at_each_start_and_within_its_bound() {
        assert_eq!(instance_of(&"shop.a".into(), "10.0.0.7", 7812), "shop.a-10.0.0.7:7812");
        let (one, other) = ("a".repeat(60).as_str().into(), "b".repeat(60).as_str().into());
        let id = instance_of(&one, "10.0.0.7", 7812);
        assert_eq!((id.len(), &id), (63, &instance_of(&one, "10.0.0.7", 7812)));
        assert_ne!(id, instance_of(&one, "10.0.0.7", 7813));
        assert_ne!(id, instance_of(&other, "10.0.0.7", 7812));
        check_instance(&id).unwrap();
        check_instance("a-::1:80").unwrap();
        for bad in ["", ".", "..", "a b", "a/b", "[::1]", &"a".repeat(64)] {
            assert!(check_instance(bad).is_err(), "{bad}");
        }
    }
}
