//! `[access_log]`: where the lines about requests go.

use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::{AccessLogConfig, AccessLogTarget};
use crate::config::value::text;
use furt_core::model::{Invalid, Percentage};

pub(super) fn visit(keys: &mut impl TableVisitor) -> AccessLogConfig {
    keys.table("access_log", "One line of JSON for each request.");
    AccessLogConfig {
        path: keys.value(
            Key {
                name: "access_log.path",
                default: DefaultValue::Toml(r#""""#),
                range: "`\"\"`, `\"-\"`, a path",
                text: "`\"\"` is off, `\"-\"` is stdout, anything else a file, which SIGHUP opens again, whatever becomes of \
                       the reload.",
                ..Key::ROW
            },
            text("a path", target),
            |config| &config.access_log.path,
        ),
        share: keys.value(
            Key {
                name: "access_log.share",
                default: DefaultValue::Toml(r#""100%""#),
                range: "percentage, 0% to 100%",
                text: "The share of requests with a good answer of 2xx that have a line. All others have one, such as those that broke off and \
                       gRPC calls that failed.",
                ..Key::ROW
            },
            text("a percentage", Percentage::from_text),
            |config| &config.access_log.share,
        ),
    }
}

fn target(text: &str) -> Result<AccessLogTarget, Invalid> {
    Ok(match text {
        "" => AccessLogTarget::Off,
        "-" => AccessLogTarget::Stdout,
        path => AccessLogTarget::File(path.into()),
    })
}
