//! `[update]`: whether commanders of the cluster may have this node run another furt, and whose signature that one needs.

use minisign_verify::PublicKey;
use url::Url;

use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::types::UpdateConfig;
use crate::config::value::{boolean, file, text};
use furt_core::model::Invalid;

/// A row of a key that counts from the start on.
const RESTART: Key = Key { reload: ReloadClass::Restart, ..Key::ROW };
const KEY: &str = "must be the base64 line of a minisign.pub, such as \
                   \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"";
const URL: &str =
    "must be an https url of a folder, such as \"https://releases.example/furt/\"; http is for this machine alone";

pub(super) fn visit(keys: &mut impl TableVisitor) -> UpdateConfig {
    keys.table(
        "update",
        "Other versions of furt that commanders of the [cluster](cluster.md#updates) may have this node run. Without \
         `update.public_key` they cannot.",
    );
    UpdateConfig {
        public_key: keys.optional(
            Key {
                name: "update.public_key",
                default: DefaultValue::absent(
                    "no updates",
                    r#""RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3""#,
                ),
                range: "a minisign key",
                text: "The key that signs what may run here: the base64 line of a `minisign.pub`. Who has its secret part can run any \
                       program as furt's user.",
                ..RESTART
            },
            text("a key", public_key),
            |config| config.update.public_key.as_ref(),
        ),
        folder: keys.optional(
            Key {
                name: "update.folder",
                default: DefaultValue::absent("none", r#""/srv/furt-releases""#),
                range: "a folder",
                text: "Where artefacts are: `furt-VERSION` and `furt-VERSION.minisig`. This or `update.url` is needed.",
                ..RESTART
            },
            file,
            |config| config.update.folder.as_ref(),
        ),
        url: keys.optional(
            Key {
                name: "update.url",
                default: DefaultValue::absent("none", r#""https://releases.example/furt/""#),
                range: "an https url",
                text: "The same as a url, to which those names are added. Redirects are not followed.",
                ..RESTART
            },
            text("a url", url),
            |config| config.update.url.as_ref(),
        ),
        ca: keys.optional(
            Key {
                name: "update.ca",
                default: DefaultValue::absent("the system's", r#""/etc/furt/update-ca.pem""#),
                range: "a PEM file",
                text: "Certificate authorities of `update.url`.",
                ..RESTART
            },
            file,
            |config| config.update.ca.as_ref(),
        ),
        state: keys.optional(
            Key {
                name: "update.state",
                default: DefaultValue::absent("`update` in `cluster.state`", r#""data/cluster/update""#),
                range: "a folder",
                text: "Where an artefact is kept while it is checked; it is made if need be. It must allow programs to run.",
                ..RESTART
            },
            file,
            |config| config.update.state.as_ref(),
        ),
        in_container: keys.value(
            Key {
                name: "update.in_container",
                default: DefaultValue::Toml("false"),
                range: "true, false",
                text: "Whether furt may replace its program though it runs in a container, whose image has the program as a rule. Set it \
                       where the program lies in a volume that outlives the container.",
                ..RESTART
            },
            boolean,
            |config| &config.update.in_container,
        ),
    }
}

fn public_key(text: &str) -> Result<PublicKey, Invalid> {
    PublicKey::from_base64(text.trim()).map_err(|_| Invalid::new(KEY))
}

fn url(text: &str) -> Result<Url, Invalid> {
    let mut url = Url::parse(text).map_err(|_| Invalid::new(URL))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Invalid::new(
            "must be without a user and a password: an artefact is no secret, its signature counts",
        ));
    }
    let is_near = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let is_known = url.scheme() == "https" || (url.scheme() == "http" && is_near);
    if !is_known || url.query().is_some() || url.fragment().is_some() {
        return Err(Invalid::new(URL));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artefact_comes_by_https_or_from_this_machine() {
        for (text, whole) in [
            ("https://a.example/furt", "https://a.example/furt/"),
            ("https://a.example:8443/furt/", "https://a.example:8443/furt/"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000/"),
            ("http://[::1]/x", "http://[::1]/x/"),
            ("http://localhost/x/", "http://localhost/x/"),
        ] {
            assert_eq!(url(text).unwrap().as_str(), whole);
        }
        for bad in [
            "",
            "a.example",
            "/srv",
            "http://a.example/",
            "http://localhost.example/",
            "http://10.0.0.1/",
            "ftp://a.example/",
            "file:///srv",
            "https://u:p@a.example/",
            "https://a.example/?a",
            "https://a.example/#a",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_one_line_of_base64() {
        let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        assert!(public_key(key).is_ok() && public_key(&format!(" {key}\n")).is_ok());
        for bad in ["", "RWQf", "untrusted comment: a\nRWQf", &key[1..], &key.replace('R', "S"), "ä"] {
            assert!(public_key(bad).is_err(), "{bad}");
        }
    }
}
