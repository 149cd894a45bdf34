//! `rewrite` in an entry of `[[rules]]`.

use std::sync::Arc;

use crate::config::key::{DefaultValue, EntryVisitor, Key, Nested};
use crate::config::section::Section;
use crate::config::value::{boolean, text};
use furt_core::model::{AskedHost, PathPrefix, Rewrite, Said};

/// The values of `rewrite` in an entry.
pub(super) struct RewriteValues {
    strip: Option<PathPrefix>,
    add: Option<PathPrefix>,
    redirects: Option<bool>,
    host: Option<Option<AskedHost>>,
}

pub(super) fn visit<V: EntryVisitor>(keys: &mut V) -> RewriteValues {
    RewriteValues {
        strip: keys.optional(
            Key {
                name: "rules.rewrite.strip",
                default: DefaultValue::absent("nothing", r#""/api""#),
                range: "whole segments, such as `\"/api/v1\"`",
                text: "What is [taken off the path](routes.md#rewrite) on its way to the service. It is left out for routes whose path does \
                       not begin with it. `rewrite = false` in the place of the table removes what a service says.",
                ..Key::ROW
            },
            text("a prefix of paths", PathPrefix::try_new),
        ),
        add: keys.optional(
            Key {
                name: "rules.rewrite.add",
                default: DefaultValue::absent("nothing", r#""/v2""#),
                range: "whole segments",
                text: "What is put before what is left of the path.",
                ..Key::ROW
            },
            text("a prefix of paths", PathPrefix::try_new),
        ),
        redirects: keys.optional(
            Key {
                name: "rules.rewrite.redirects",
                default: DefaultValue::absent("`true`", "true"),
                range: "true, false",
                text: "Whether a `Location` of the service is rewritten for the client.",
                ..Key::ROW
            },
            boolean,
        ),
        host: keys.optional(
            Key {
                name: "rules.rewrite.host",
                default: DefaultValue::absent("`\"client\"`", r#""instance""#),
                range: "`\"client\"`, `\"instance\"`, a host name",
                text: "The `Host` that the service gets: the client's, that of the instance's url, or this one. Alone it leaves `strip` and `add` \
                       of the service as they are.",
                ..Key::ROW
            },
            text("a host", AskedHost::try_new),
        ),
    }
}

/// A host alone leaves what a service says of paths as it is.
pub(super) fn read(values: Nested<RewriteValues>, entry: &Section<'_>) -> (Said<Arc<Rewrite>>, Said<AskedHost>) {
    let RewriteValues { strip, add, redirects, host } = match values {
        Nested::Absent => return (Said::Nothing, Said::Nothing),
        Nested::Off => return (Said::Off, Said::Off),
        Nested::Is(values) => values,
    };
    let asked_host = host.clone().map_or(Said::Nothing, |host| host.map_or(Said::Off, Said::Is));
    let is_path = strip.is_some() || add.is_some();
    // What is wrong is reported already.
    let says_nothing = !is_path && (host.is_none() || redirects.is_some());
    if says_nothing && !entry.has_faults() {
        entry.refuse("rewrite", "says nothing of the path; must have strip or add, or host alone");
    }
    if !is_path {
        return (Said::Nothing, asked_host);
    }
    (Said::Is(Arc::new(Rewrite { strip, add, redirects: redirects.unwrap_or(true) })), asked_host)
}
