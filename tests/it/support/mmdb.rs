//! A writer of MaxMind's database format (MaxMind DB File Format Specification 2.0), as small as tests need it: a search tree
//! of 24-bit records over IPv6 or IPv4 addresses, a data section without pointers, the metadata.

use std::net::IpAddr;

use serde_json::{Value, json};

/// What stands between tree and data.
const SEPARATOR: [u8; 16] = [0; 16];
const STRING: u8 = 2;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// A database in the making.
pub(crate) struct Mmdb {
    ip_version: u64,
    build_epoch: u64,
    nodes: Vec<[Record; 2]>,
    data: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Record {
    Empty,
    Node(usize),
    /// An offset into the data section.
    Data(usize),
}

impl Mmdb {
    /// Of IPv6 addresses, IPv4 ones within `::/96`, without any network yet.
    pub(crate) fn new() -> Self {
        Self::of_version(6)
    }

    /// Of IPv4 addresses alone.
    pub(crate) fn v4() -> Self {
        Self::of_version(4)
    }

    fn of_version(ip_version: u64) -> Self {
        Self { ip_version, build_epoch: 1_763_152_200, nodes: vec![[Record::Empty; 2]], data: Vec::new() }
    }

    /// Built at that time, Unix seconds.
    pub(crate) fn built_at(self, build_epoch: u64) -> Self {
        Self { build_epoch, ..self }
    }

    /// With a network, such as `192.0.2.0/24`, in that country; as city databases have it, behind another field.
    pub(crate) fn with(self, network: &str, country: &str) -> Self {
        let city = json!({"city": {"names": {"en": "a city with a name of more than 29 bytes"}}});
        let place = json!({"country": {"geoname_id": 1, "iso_code": country}, "continent": {"code": "EU"}});
        self.with_data(network, &super::with(city, place))
    }

    /// With a network of which it says this; apart from all networks so far.
    pub(crate) fn with_data(mut self, network: &str, data: &Value) -> Self {
        let (address, length) = network.split_once('/').unwrap();
        let length: usize = length.parse().unwrap();
        let (bits, length) = match (address.parse().unwrap(), self.ip_version) {
            (IpAddr::V4(address), 4) => (u128::from(address.to_bits()) << 96, length),
            (IpAddr::V4(address), _) => (u128::from(address.to_bits()), length + 96),
            (IpAddr::V6(address), _) => (address.to_bits(), length),
        };
        let mut node = 0;
        for at in 0..length {
            let side = (bits >> (127 - at)) as usize & 1;
            if at + 1 == length {
                self.nodes[node][side] = Record::Data(self.data.len());
                break;
            }
            node = match self.nodes[node][side] {
                Record::Node(next) => next,
                Record::Empty => {
                    self.nodes.push([Record::Empty; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Record::Node(next);
                    next
                }
                Record::Data(_) => panic!("{network} lies within another network"),
            };
        }
        encode(data, &mut self.data);
        self
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = self.nodes.len();
        let mut file = Vec::new();
        for record in self.nodes.iter().flatten() {
            let value = match record {
                Record::Empty => count,
                Record::Node(node) => *node,
                Record::Data(offset) => count + SEPARATOR.len() + offset,
            };
            file.extend(&u32::try_from(value).unwrap().to_be_bytes()[1..]);
        }
        file.extend(SEPARATOR);
        file.extend(&self.data);
        file.extend(METADATA_MARKER);
        let texts = [
            ("database_type", json!("Furt-Test")),
            ("languages", json!(["en"])),
            ("description", json!({"en": "of a test"})),
        ];
        // Readers insist on the sizes of these.
        let numbers = [
            ("node_count", UINT32, count as u64),
            ("record_size", UINT16, 24),
            ("ip_version", UINT16, self.ip_version),
            ("binary_format_major_version", UINT16, 2),
            ("binary_format_minor_version", UINT16, 0),
            ("build_epoch", UINT64, self.build_epoch),
        ];
        control(MAP, texts.len() + numbers.len(), &mut file);
        for (name, value) in texts {
            encode(&name.into(), &mut file);
            encode(&value, &mut file);
        }
        for (name, kind, value) in numbers {
            encode(&name.into(), &mut file);
            number(kind, value, &mut file);
        }
        file
    }
}

fn encode(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::String(text) => {
            control(STRING, text.len(), to);
            to.extend(text.as_bytes());
        }
        Value::Number(value) => number(UINT32, value.as_u64().unwrap(), to),
        Value::Object(members) => {
            control(MAP, members.len(), to);
            for (name, value) in members {
                encode(&name.as_str().into(), to);
                encode(value, to);
            }
        }
        Value::Array(elements) => {
            control(ARRAY, elements.len(), to);
            elements.iter().for_each(|element| encode(element, to));
        }
        Value::Null | Value::Bool(_) => panic!("not needed so far"),
    }
}

/// Without its leading zeros.
fn number(kind: u8, value: u64, to: &mut Vec<u8>) {
    let significant: Vec<_> = value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    control(kind, significant.len(), to);
    to.extend(significant);
}

/// Type and size of what follows: sizes below 29 in the control byte, up to 284 in one byte more.
fn control(kind: u8, size: usize, to: &mut Vec<u8>) {
    let (small, more) = if size < 29 { (size as u8, None) } else { (29, Some(u8::try_from(size - 29).unwrap())) };
    // Types from 8 on are written behind the control byte.
    if kind < 8 {
        to.push(kind << 5 | small)
    } else {
        to.extend([small, kind - 7])
    }
    to.extend(more);
}
