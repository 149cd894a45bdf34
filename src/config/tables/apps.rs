//! `[apps]`: hosts of services without routes.

use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::value::{dns_name, text};
use furt_core::model::Host;

pub(super) fn visit(keys: &mut impl TableVisitor) -> Host {
    keys.table("apps", "Hosts of services without routes.");
    keys.value(
        Key {
            name: "apps.domain",
            default: DefaultValue::Toml(r#""internal""#),
            range: "a domain name",
            reload: ReloadClass::Restart,
            text: "Services without routes are reached by host, as `<service>.<domain>`. Change it to the domain that \
                   your DNS points at furt.",
            ..Key::ROW
        },
        text("a domain", dns_name),
        |config| &config.apps_domain,
    )
}
