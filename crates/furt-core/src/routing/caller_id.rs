//! Who sends a request, as limits and splits tell callers apart.

use std::net::IpAddr;

use super::ring::hash_of_parts;
use crate::model::{KeyName, ProviderName, ServiceName, counted_network};

/// Whom all requests of one caller have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallerId<'a> {
    /// The API key by which it was let in.
    Key(&'a KeyName),
    /// Who vouched for it, and what that calls it.
    Vouched(&'a ProviderName, &'a [u8]),
    /// Its network; `None`: it is not known.
    Address(Option<IpAddr>),
}

impl CallerId<'_> {
    /// By an address, of which one of IPv6 stands for its network of 64 bits.
    pub fn of_address(address: Option<IpAddr>) -> Self {
        Self::Address(address.map(counted_network))
    }

    /// Where it stands among the callers of a service that has a split: the same in every furt, of any version.
    pub fn split_hash(&self, service: &ServiceName) -> u64 {
        let service = service.as_str().as_bytes();
        // No name has a zero byte, so that no two callers read the same; what may have one is last.
        match self {
            Self::Key(name) => hash_of_parts(&[service, b"\0key\0", name.as_str().as_bytes()]),
            Self::Vouched(provider, subject) => {
                hash_of_parts(&[service, b"\0vouched\0", provider.as_str().as_bytes(), b"\0", subject])
            }
            Self::Address(None) => hash_of_parts(&[service, b"\0nobody\0"]),
            Self::Address(Some(IpAddr::V4(address))) => hash_of_parts(&[service, b"\0v4\0", &address.octets()]),
            Self::Address(Some(IpAddr::V6(address))) => hash_of_parts(&[service, b"\0v6\0", &address.octets()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::{Percentage, Side, SplitSpec, SplitVersion, Version};

    fn service(name: &str) -> ServiceName {
        ServiceName::try_new(name).unwrap()
    }

    fn split(percent: f64) -> SplitSpec {
        let share = Percentage::try_percent(percent).unwrap();
        let version = Version::try_new("2").unwrap();
        SplitSpec { versions: vec![SplitVersion { version, share }], header: None, strict: false }
    }

    #[test]
    fn the_shares_of_a_hundred_thousand_callers_are_within_one_percent() {
        let names: Vec<_> = (0..100_000).map(|number| format!("key-{number}")).collect();
        let keys: Vec<_> = names.iter().map(|name| KeyName::try_new(name).unwrap()).collect();
        let provider = ProviderName::try_new("issuer").unwrap();
        let address = |number: u32| CallerId::of_address(Some(IpAddr::V4((0x0a00_0000 + number).into())));
        let network = |number: u32| {
            let bits = 0x2001_0db8_u128 << 96 | u128::from(number) << 64 | 1;
            CallerId::of_address(Some(IpAddr::V6(bits.into())))
        };
        let kinds: [Vec<CallerId<'_>>; 4] = [
            keys.iter().map(CallerId::Key).collect(),
            names.iter().map(|name| CallerId::Vouched(&provider, name.as_bytes())).collect(),
            (0..100_000).map(address).collect(),
            (0..100_000).map(network).collect(),
        ];
        let shop = service("shop");
        for percent in [1.0, 5.0, 50.0, 99.0] {
            let split = split(percent);
            for callers in &kinds {
                let is_canary = |caller: &&CallerId<'_>| split.choose(None, caller.split_hash(&shop)) != Side::Stable;
                let count = callers.iter().filter(is_canary).count() as f64;
                let share = count / callers.len() as f64 * 100.0;
                assert!((share - percent).abs() < 1.0, "{share} instead of {percent}: {:?}", callers[0]);
            }
        }
    }

    #[test]
    fn callers_are_told_apart_and_stand_elsewhere_at_each_service() {
        let (key, other) = (KeyName::try_new("a").unwrap(), KeyName::try_new("b").unwrap());
        let (one, two) = (ProviderName::try_new("p").unwrap(), ProviderName::try_new("q").unwrap());
        let address = |text: &str| CallerId::of_address(text.parse().ok());
        let callers = [
            CallerId::Key(&key),
            CallerId::Key(&other),
            CallerId::Vouched(&one, b"a"),
            CallerId::Vouched(&two, b"a"),
            CallerId::Vouched(&one, b"b"),
            CallerId::Vouched(&one, b"\0b"),
            address("192.0.2.1"),
            address("192.0.2.2"),
            address("2001:db8::1"),
            address("2001:db8:0:1::1"),
            address("none"),
        ];
        let hashes = |name: &str| callers.map(|caller| caller.split_hash(&service(name)));
        let all: BTreeSet<_> = hashes("shop").into_iter().chain(hashes("cart")).collect();
        assert_eq!(all.len(), 2 * callers.len());
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller_and_a_mapped_address_is_what_it_maps() {
        let address = |text: &str| CallerId::of_address(text.parse().ok());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }

    /// Gateways of several versions share a registry, and callers must not move with an update.
    #[test]
    fn the_hash_is_what_it_was() {
        let key = KeyName::try_new("mobile").unwrap();
        let address = CallerId::of_address("192.0.2.1".parse().ok());
        let seen = [CallerId::Key(&key), address].map(|caller| caller.split_hash(&service("shop")) % 10_000);
        assert_eq!(seen, [9_210, 6_870]);
    }
}
