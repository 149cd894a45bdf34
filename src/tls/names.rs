//! Which certificate a name has: the one that names it in full goes before the one with `*` for its first label.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use super::certificate::CertificateName;

/// Names to whatever is shown for them.
#[derive(Debug)]
pub(super) struct Names<T> {
    hosts: HashMap<Box<str>, T, ahash::RandomState>,
    /// By what follows the `*.`.
    wildcards: HashMap<Box<str>, T, ahash::RandomState>,
    addresses: HashMap<IpAddr, T, ahash::RandomState>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { hosts: HashMap::default(), wildcards: HashMap::default(), addresses: HashMap::default() }
    }
}

impl<T> Names<T> {
    /// One more name; `false`: it is taken, and stays with what it had first.
    pub(super) fn insert(&mut self, name: &CertificateName, shown: T) -> bool {
        match name {
            CertificateName::Host(host) => match host.strip_prefix("*.") {
                Some(parent) => fill(self.wildcards.entry(parent.into()), shown),
                None => fill(self.hosts.entry(host.clone()), shown),
            },
            CertificateName::Address(address) => fill(self.addresses.entry(address.to_canonical()), shown),
        }
    }

    /// What is shown to a client that names this host, in whatever case.
    pub(super) fn of_host(&self, host: &str) -> Option<&T> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let lower;
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = host.to_ascii_lowercase();
            &lower
        } else {
            host
        };
        self.hosts.get(host).or_else(|| {
            let (first, parent) = host.split_once('.')?;
            // A `*` stands for a label, and not for nothing.
            if first.is_empty() { None } else { self.wildcards.get(parent) }
        })
    }

    /// What is shown to a client that names no host and reached this address.
    pub(super) fn of_address(&self, address: IpAddr) -> Option<&T> {
        self.addresses.get(&address.to_canonical())
    }

    /// Whether any address has something of its own.
    pub(super) fn has_addresses(&self) -> bool {
        !self.addresses.is_empty()
    }
}

fn fill<K, T>(entry: Entry<'_, K, T>, shown: T) -> bool {
    match entry {
        Entry::Vacant(free) => {
            free.insert(shown);
            true
        }
        Entry::Occupied(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> CertificateName {
        CertificateName::Host(text.into())
    }

    /// The rule as it reads: among the names in their order, one that is equal, else one with `*` for the first label.
    fn naive(names: &[String], asked: &str) -> Option<usize> {
        let asked = asked.to_ascii_lowercase();
        let asked: Vec<_> = asked.trim_end_matches('.').split('.').collect();
        let fits = |name: &str, is_wild: bool| {
            let name: Vec<_> = name.split('.').collect();
            name.len() == asked.len()
                && (name[0] == "*") == is_wild
                && !asked[0].is_empty()
                && name.iter().zip(&asked).skip(usize::from(is_wild)).all(|(one, other)| one == other)
        };
        let first = |is_wild| names.iter().position(|name| fits(name, is_wild));
        first(false).or_else(|| first(true))
    }

    #[test]
    fn a_host_has_the_certificate_that_a_naive_search_finds() {
        let mut random = fastrand::Rng::with_seed(17);
        let labels = ["a", "b", "c", "aa"];
        let mut found = 0;
        for round in 0..2_000 {
            let some = |random: &mut fastrand::Rng, most: usize| {
                let count = random.usize(1..=most);
                (0..count).map(|_| labels[random.usize(..labels.len())]).collect::<Vec<_>>().join(".")
            };
            let names: Vec<String> = (0..random.usize(1..8))
                .map(|_| if random.bool() { some(&mut random, 3) } else { format!("*.{}", some(&mut random, 2)) })
                .collect();
            let mut map = Names::default();
            for (index, name) in names.iter().enumerate() {
                assert_eq!(map.insert(&host(name), index), !names[..index].contains(name));
            }
            for _ in 0..20 {
                let mut asked = some(&mut random, 4);
                if random.u8(..8) == 0 {
                    asked = format!("{}.", asked.to_uppercase());
                }
                assert_eq!(map.of_host(&asked).copied(), naive(&names, &asked), "{round}: {asked} of {names:?}");
                found += usize::from(map.of_host(&asked).is_some());
            }
        }
        assert!(found > 4_000, "{found}");
    }

    #[test]
    fn a_wildcard_is_one_label_and_a_full_name_goes_before_it() {
        let mut names = Names::default();
        for (name, shown) in [("*.example.org", 1), ("a.example.org", 2), ("example.org", 3), ("a.example.org", 4)] {
            assert_eq!(names.insert(&host(name), shown), shown != 4);
        }
        for (asked, shown) in [
            ("a.example.org", Some(2)),
            ("A.Example.ORG.", Some(2)),
            ("b.example.org", Some(1)),
            ("example.org", Some(3)),
            ("x.b.example.org", None),
            (".example.org", None),
            ("*.example.org", Some(1)),
            ("org", None),
            ("", None),
        ] {
            assert_eq!(names.of_host(asked).copied(), shown, "{asked}");
        }
    }

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        let mut names = Names::default();
        assert!(!names.has_addresses());
        assert!(names.insert(&CertificateName::Address([192, 0, 2, 1].into()), 1) && names.has_addresses());
        assert_eq!(names.of_address("::ffff:192.0.2.1".parse().unwrap()), Some(&1));
        assert_eq!(names.of_address("192.0.2.2".parse().unwrap()), None);
    }
}
