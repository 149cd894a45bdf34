//! The demo's configuration, as the text of a file that `furt run` would take as well.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::resources::Addresses;
use furt_core::model::Sha256Digest;

/// How long an instance that sends heartbeats may be silent: so short that its end is seen.
pub(super) const HEARTBEAT_TTL: Duration = Duration::from_secs(5);
/// What the demo's key may do.
pub(super) const PERMISSIONS: [&str; 2] = ["orders:*", "app:stock"];
/// Random bytes of the key: the gateway listens on loopback alone and ends with the demo, and the key is to be pasted.
const KEY_BYTES: usize = 8;

/// A key that nobody had before.
///
/// # Errors
/// The system has no random numbers.
pub(super) fn new_key() -> Result<String> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(format!("demo-{:016x}", u64::from_be_bytes(bytes)))
}

/// The whole configuration. Numbers are small, so that what takes minutes in production is seen in seconds.
///
/// # Errors
/// `directory` is no text.
pub(super) fn text(addresses: Addresses, key: &str, directory: &Path) -> Result<String> {
    let Addresses { public, internal } = addresses;
    let store = directory.join("furt.redb");
    let store = toml::Value::from(store.to_str().context("the temporary directory's name is no UTF-8; set TMPDIR")?);
    let sha256 = Sha256Digest::of(key.as_bytes());
    let [orders, stock] = PERMISSIONS;
    let ttl = HEARTBEAT_TTL.as_secs();
    Ok(format!(
        r#"# The configuration of `furt demo`. Its times are short; what is not here has its default.
[server]
listen = ["{public}"]
grace = 2

[internal]
listen = "{internal}"

[gateway]
health_check_interval = 1
health_check_interval_down = 2
health_check_timeout = 1

[registration]
heartbeat_ttl = {ttl}

[upstream]
read_timeout = 3

[store]
path = {store}

[[api_keys]]
name = "demo"
sha256 = "{sha256}"
permissions = ["{orders}", "{stock}"]
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, StoreConfig};

    #[test]
    fn the_text_is_a_configuration_whatever_the_directory_is_called() {
        let address = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = Addresses { public: address(1), internal: address(2) };
        let directory = Path::new("/tmp/a \"quoted\" \\ one\n");
        let text = text(addresses, "key", directory).unwrap();
        let config = Config::parse("demo", &text, &|_| None).unwrap();
        assert_eq!(config.store, StoreConfig::Disk(directory.join("furt.redb")));
        assert_eq!((config.server.listen, config.internal.listen), (vec![address(1)], vec![address(2)]));
    }

    #[test]
    fn keys_are_never_the_same() {
        assert_ne!(new_key().unwrap(), new_key().unwrap());
    }
}
