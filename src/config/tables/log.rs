//! `[log]`: furt's own log.

use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::types::LogFormat;
use crate::config::value::one_of;

pub(super) fn visit(keys: &mut impl TableVisitor) -> LogFormat {
    keys.table("log", "furt's own [log](operating.md#logs), on stderr.");
    keys.value(
        Key {
            name: "log.format",
            default: DefaultValue::Toml(r#""text""#),
            range: "`\"text\"`, `\"json\"`",
            reload: ReloadClass::Restart,
            text: "What a line is: text, or an object of JSON with `time`, `level`, `target` and `message`.",
            ..Key::ROW
        },
        one_of(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        |config| &config.log_format,
    )
}
