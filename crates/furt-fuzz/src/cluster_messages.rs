//! The target `cluster_messages`: what anybody may publish at the broker of a cluster.
//!
//! An input is a routing key, then the message's properties and headers line by line as `name: value` (a value of digits alone is a
//! whole number), an empty line, and the body. Nothing of it is signed by a key that the node knows.
//!
//! Where it begins with a byte 1, the rest is what those say whose keys the node knows: see `approved`.

mod approved;
mod input;
mod world;

use std::sync::LazyLock;

use furt_bus::{Properties, Value};
use furt_seal::{JoinToken, NodeKey, Seal, lexnode, read_bid};

/// A key takes a tenth of a second to make.
static SEAL: LazyLock<Seal> =
    LazyLock::new(|| Seal::new(NodeKey::generate().unwrap_or_else(|error| panic!("no key: {error}"))));

/// Asserts that it is read, and that nothing of it is taken, but for what approved nodes say: then that the core holds its rules.
pub fn cluster_messages(data: &[u8]) {
    if let Some(signed) = data.strip_prefix(&[1]) {
        return approved::approved(signed);
    }
    let cut = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = cut.map_or((data, &[][..]), |at| (&data[..at], &data[at + 2..]));
    let mut lines = super::lines(head);
    let key = lines.next().unwrap_or_default();
    let properties = properties(lines);
    if let Ok((opened, _)) = SEAL.open_parts(key, &properties, body) {
        // Only who has a key of its own can sign: it is none of this node's, whatever it says.
        assert_ne!(opened.from, SEAL.fingerprint(), "nobody else has the key");
    }
    if let Some(heard) = lexnode::recognise(&properties, body) {
        let shown = format!("{heard:?}");
        assert!(shown.len() < 1024 && !shown.contains(char::is_control), "{shown}");
    }
    if let Some(bid) = read_bid(body) {
        assert_ne!(bid.by, SEAL.fingerprint(), "nobody else has the key");
    }
    let text = String::from_utf8_lossy(body);
    match text.parse::<JoinToken>() {
        Ok(token) => assert_eq!(token.text(), &*text, "a token has one form"),
        // It may be a token but for a letter.
        Err(why) => assert!(text.len() < 16 || !why.to_string().contains(&*text), "{why}"),
    }
    if let Err(why) = NodeKey::from_pem(&text) {
        assert!(text.len() < 64 || !why.to_string().contains(&*text), "{why}");
    }
}

fn properties<'a>(lines: impl Iterator<Item = &'a str>) -> Properties {
    let mut properties = Properties::default();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let text = || Some(value.to_owned());
        match name {
            "content_type" => properties.content_type = text(),
            "content_encoding" => properties.content_encoding = text(),
            "type" => properties.kind = text(),
            "timestamp" => properties.timestamp = value.parse().ok(),
            _ => {
                let value = value.parse().map_or_else(|_| Value::from(value), Value::Integer);
                properties.headers.insert(name.to_owned(), value);
            }
        }
    }
    properties
}
