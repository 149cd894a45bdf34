//! `[pages]`: pages that browsers get in the place of furt's own answers. The files are opened by `app`.

use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::PagesConfig;
use crate::config::value::file;

pub(super) fn visit(keys: &mut impl TableVisitor) -> PagesConfig {
    keys.table("pages", "Pages that browsers get in the place of furt's own answers.");
    PagesConfig {
        error: keys.optional(
            Key {
                name: "pages.error",
                default: DefaultValue::absent("none", r#""/etc/furt/error.html""#),
                range: "a file of at most 64 KiB",
                text: "A page in HTML for [answers that are problems](routes.md#pages), with `{status}`, `{title}`, `{code}`, \
                       `{request_id}` and `{detail}` in it. It is read at the start and at each reload.",
                ..Key::ROW
            },
            file,
            |config| config.pages.error.as_ref(),
        ),
        maintenance: keys.optional(
            Key {
                name: "pages.maintenance",
                default: DefaultValue::absent("`pages.error`", r#""/etc/furt/down.html""#),
                range: "a file of at most 64 KiB",
                text: "The page for 503 `maintenance`.",
                ..Key::ROW
            },
            file,
            |config| config.pages.maintenance.as_ref(),
        ),
    }
}
