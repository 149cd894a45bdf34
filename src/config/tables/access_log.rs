//! `[access_log]`: where the lines about requests go.

use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::AccessLogTarget;
use crate::config::value::text;
use furt_core::model::Invalid;

pub(super) fn visit(keys: &mut impl TableVisitor) -> AccessLogTarget {
    keys.table("access_log", "One line of JSON for each request.");
    keys.value(
        Key {
            name: "access_log.path",
            default: DefaultValue::Toml(r#""""#),
            range: "`\"\"`, `\"-\"`, a path",
            text: "`\"\"` is off, `\"-\"` is stdout, anything else a file, which SIGHUP opens again, whatever becomes of \
                   the reload.",
            ..Key::ROW
        },
        text("a path", target),
        |config| &config.access_log,
    )
}

fn target(text: &str) -> Result<AccessLogTarget, Invalid> {
    Ok(match text {
        "" => AccessLogTarget::Off,
        "-" => AccessLogTarget::Stdout,
        path => AccessLogTarget::File(path.into()),
    })
}
