//! The target `proxy_header`: whom a PROXY header names, read by furt and by the crate `ppp`.

use std::net::SocketAddr;

use furt::listener::{NotAHeader, ProxyHeader};
use ppp::v1::Addresses as TextAddresses;
use ppp::v2::{Addresses, Command, Protocol};

/// Asserts that both readers take a header for the same, that furt reads it to the same end, that what follows changes nothing, and
/// that a part of it is one of which more is to come.
pub fn proxy_header(data: &[u8]) {
    let read = ProxyHeader::parse(data);
    if let Ok(Some(header)) = read {
        assert!(header.length <= data.len(), "{header:?}");
        assert_eq!(ProxyHeader::parse(&data[..header.length]), read, "what follows it changes nothing");
        for length in 0..header.length {
            assert_eq!(ProxyHeader::parse(&data[..length]), Ok(None), "{length} of {header:?}");
        }
    }
    if data.starts_with(b"PROXY ") {
        compare_text(data, read);
    } else if data.starts_with(ppp::v2::PROTOCOL_PREFIX) {
        compare_binary(data, read);
    } else {
        assert!(matches!(read, Ok(None) | Err(NotAHeader::Unknown)), "{read:?}");
    }
}

fn compare_text(data: &[u8], read: Result<Option<ProxyHeader>, NotAHeader>) {
    let Ok(Some(header)) = read else { return };
    let line = &data[..header.length];
    let Ok(other) = ppp::v1::Header::try_from(line) else {
        // `ppp` wants text where all is to be ignored.
        assert_eq!(header.client, None, "furt alone takes it: {}", line.escape_ascii());
        return;
    };
    let addresses = match other.addresses {
        TextAddresses::Unknown => None,
        TextAddresses::Tcp4(of) => {
            Some(pair((of.source_address, of.source_port), (of.destination_address, of.destination_port)))
        }
        TextAddresses::Tcp6(of) => {
            Some(pair((of.source_address, of.source_port), (of.destination_address, of.destination_port)))
        }
    };
    assert_eq!(header.client.map(|client| (client.address, client.reached)), addresses, "{}", line.escape_ascii());
}

fn compare_binary(data: &[u8], read: Result<Option<ProxyHeader>, NotAHeader>) {
    let other = match (ppp::v2::Header::try_from(data), read) {
        (Ok(other), Ok(Some(header))) => {
            assert_eq!(header.length, other.header.len());
            let is_named = other.command == Command::Proxy && other.protocol == Protocol::Stream;
            let addresses = match other.addresses {
                _ if !is_named => None,
                Addresses::IPv4(of) => {
                    Some(pair((of.source_address, of.source_port), (of.destination_address, of.destination_port)))
                }
                Addresses::IPv6(of) => {
                    Some(pair((of.source_address, of.source_port), (of.destination_address, of.destination_port)))
                }
                Addresses::Unspecified | Addresses::Unix(_) => None,
            };
            assert_eq!(header.client.map(|client| (client.address, client.reached)), addresses, "{other:?}");
            return;
        }
        (Ok(other), _) => other,
        // What a balancer says of itself is not looked at.
        (Err(_), Ok(Some(header))) => return assert_eq!(header.client, None, "furt alone takes it"),
        (Err(_), _) => return,
    };
    // What `ppp` takes and furt does not: it looks at fields and checksums only when it is asked for them, and has no bound.
    let is_whole = other.tlvs().all(|field| field.is_ok());
    let has_checksum = other.tlvs().flatten().any(|field| field.kind == 3);
    assert!(
        !is_whole || has_checksum || read == Err(NotAHeader::TooLong) || !is_one_byte(&other),
        "{read:?} of {other:?}"
    );
}

/// Whether family and protocol go together as the protocol's text lists them.
fn is_one_byte(header: &ppp::v2::Header<'_>) -> bool {
    let is_unspecified = matches!(header.addresses, Addresses::Unspecified);
    is_unspecified == (header.protocol == Protocol::Unspecified)
}

fn pair<A: Into<std::net::IpAddr>>(source: (A, u16), destination: (A, u16)) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(source.0.into(), source.1), SocketAddr::new(destination.0.into(), destination.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers that are good, and the same with a few bytes changed.
    #[test]
    fn both_readers_agree_on_headers_that_were_changed_a_little() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            // xorshift64: any numbers will do, the same each time.
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        let v6 = "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 65535\r\n";
        let begin = b"\r\n\r\n\0\r\nQUIT\n";
        let of = |command: u8, family: u8, rest: &[u8]| {
            [&begin[..], &[command, family], &u16::try_from(rest.len()).unwrap().to_be_bytes(), rest].concat()
        };
        let fields = [&[7; 36][..], &[4, 0, 2, 9, 9, 1, 0, 0]].concat();
        let good = [
            b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n".to_vec(),
            v6.as_bytes().to_vec(),
            b"PROXY UNKNOWN 1 2\r\n".to_vec(),
            of(0x21, 0x11, &[9; 12]),
            of(0x21, 0x21, &fields),
            of(0x21, 0x31, &[1; 216]),
            of(0x20, 0x00, &[]),
        ];
        let mut taken = 0;
        for round in 0..60_000 {
            let mut bytes = good[round % good.len()].clone();
            for _ in 0..random(4) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                    1 => bytes.insert(at, b"0123456789 .:\r\n"[random(15)]),
                    2 => drop(bytes.remove(at)),
                    _ => bytes[at] ^= 1 << random(8),
                }
            }
            bytes.extend_from_slice(&b"GET / HTTP/1.1\r\n"[..random(17)]);
            proxy_header(&bytes);
            taken += usize::from(matches!(ProxyHeader::parse(&bytes), Ok(Some(_))));
        }
        assert!(taken > 15_000, "{taken}");
    }
}
