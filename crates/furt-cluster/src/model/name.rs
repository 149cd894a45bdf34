//! A node's name on the bus.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// The most bytes of a name's host: the longest label of DNS (RFC 1035, 2.3.4).
const MAX_HOST_BYTES: usize = 63;

/// `<host>.<pid>`, such as `edge_1.4711`: the address of a node's queue, as lex-node names it. The host is
/// `[A-Za-z0-9_-]{1,63}`, the pid a number from 1 to 4294967295.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// # Errors
    /// A text that breaks the rule above.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let fits = |(host, pid): (&str, &str)| {
            let is_host = (1..=MAX_HOST_BYTES).contains(&host.len()) && host.bytes().all(is_of_host);
            let is_pid = !pid.starts_with(['0', '+']) && pid.parse::<u32>().is_ok();
            is_host && is_pid
        };
        if text.split_once('.').is_some_and(fits) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid("must be a host of 1 to 63 of A-Z, a-z, 0-9, '_', '-', then '.' and a process id"))
        }
    }

    /// The name of the process `pid` on `host`. Each character that a name cannot have, a dot among them, becomes `_`; what
    /// is beyond 63 bytes is cut off; without any, the host is `node`. A pid of 0 becomes 1.
    pub fn of(host: &str, pid: u32) -> Self {
        let host: String =
            host.bytes().take(MAX_HOST_BYTES).map(|byte| if is_of_host(byte) { byte } else { b'_' } as char).collect();
        let host = if host.is_empty() { "node" } else { &host };
        Self(format!("{host}.{}", pid.max(1)).into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

impl TryFrom<String> for NodeName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::try_new(&text)
    }
}

impl From<NodeName> for String {
    fn from(it: NodeName) -> Self {
        it.to_string()
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::NodeName;

    #[test]
    fn a_name_is_a_host_and_a_pid() {
        for text in ["edge_1.4711", "a.1", "A-b.4294967295"] {
            assert_eq!(NodeName::try_new(text).unwrap().as_str(), text);
        }
        let long = format!("{}.1", "a".repeat(64));
        for text in
            ["", "a", "a.", ".1", "a.0", "a.01", "a.+1", "a.b.1", "a b.1", "ä.1", "a.4294967296", &long, "a.*", "#.1"]
        {
            assert!(NodeName::try_new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn any_host_has_a_name() {
        let long = "h".repeat(100);
        let cases = [("edge.example.net", "edge_example_net.7"), ("", "node.7"), ("ä", "__.7"), ("a#*b", "a__b.7")];
        for (host, name) in cases.into_iter().chain([(long.as_str(), format!("{}.7", &long[..63]).as_str())]) {
            assert_eq!(NodeName::of(host, 7).as_str(), name);
            assert!(NodeName::try_new(name).is_ok(), "{name}");
        }
        assert_eq!(NodeName::of("a", 0).as_str(), "a.1");
    }
}
