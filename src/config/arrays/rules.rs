//! `[[rules]]`: options of routes, which override what services say.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::config::key::{DefaultValue, EntryVisitor, Key, Nested};
use crate::config::location::{Lines, RawLocation};
use crate::config::section::Section;
use crate::config::types::{Line, RuleConfig};
use crate::config::value::{Commas, Parsed, Value, age, boolean, list, origins, text};
use furt_core::model::{
    AskedHost, CORS_MAX_AGE, Cors, Host, LONGEST_CORS_MAX_AGE, MethodRule, Origins, PathPrefix, Pattern, Rewrite,
    RouteOptions, Rule, Said, ServiceName,
};

pub(super) const NAME: &str = "rules";

/// The most rules: each route is held against each of them when it is published.
const MAX_RULES: usize = 256;

/// The values of an entry. `None`: absent, or invalid and reported.
pub(super) struct RuleValues {
    service: Option<ServiceName>,
    host: Option<Host>,
    path: Option<Pattern>,
    method: Option<MethodRule>,
    cors: Nested<CorsValues>,
    rewrite: Nested<RewriteValues>,
}

/// The values of `rewrite` in an entry.
struct RewriteValues {
    strip: Option<PathPrefix>,
    add: Option<PathPrefix>,
    redirects: Option<bool>,
    host: Option<Option<AskedHost>>,
}

/// The values of `cors` in an entry.
struct CorsValues {
    origins: Option<Origins>,
    headers: Option<Vec<HeaderName>>,
    expose: Option<Vec<HeaderName>>,
    credentials: Option<bool>,
    max_age: Option<Duration>,
}

pub(super) fn visit(keys: &mut impl EntryVisitor) -> RuleValues {
    keys.array(
        NAME,
        "Rules: options of [routes](routes.md), which override what services say; a later rule overrides an earlier one. A rule \
         matches the routes that `service`, `host`, `path` and `method` fit; without any of them it matches every route. At most 256.",
    );
    RuleValues {
        service: keys.optional(
            Key {
                name: "rules.service",
                default: DefaultValue::absent("any", r#""shop""#),
                range: "a service's name",
                text: "Routes of this service, and static routes that lead to it.",
                ..Key::ROW
            },
            text("a service's name", ServiceName::try_new),
        ),
        host: keys.optional(
            Key {
                name: "rules.host",
                default: DefaultValue::absent("any", r#""shop.example""#),
                range: "a host name",
                text: "Routes that are bound to this host.",
                ..Key::ROW
            },
            text("a host", Host::try_new),
        ),
        path: keys.optional(
            Key {
                name: "rules.path",
                default: DefaultValue::absent("any", r#""/api/*""#),
                range: "a [pattern](registering.md#routes)",
                text: "Routes whose paths are all within this pattern.",
                ..Key::ROW
            },
            text("a path pattern", Pattern::try_written),
        ),
        method: keys.optional(
            Key {
                name: "rules.method",
                default: DefaultValue::absent("any", r#""GET""#),
                range: "a method in upper case, or `\"*\"`",
                text: "Routes for this method; `\"GET\"` is `HEAD` as well.",
                ..Key::ROW
            },
            text("a method to route", MethodRule::try_new),
        ),
        cors: keys.table("rules.cors", visit_cors),
        rewrite: keys.table("rules.rewrite", visit_rewrite),
    }
}

fn visit_rewrite<V: EntryVisitor>(keys: &mut V) -> RewriteValues {
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

fn visit_cors<V: EntryVisitor>(keys: &mut V) -> CorsValues {
    CorsValues {
        origins: keys.required(
            Key {
                name: "rules.cors.origins",
                default: DefaultValue::absent("required in `cors`", r#"["https://app.example.org"]"#),
                range: "1 to 64 origins, or `[\"*\"]`",
                text: "[Pages of these origins](routes.md#cors) may read answers. `cors = false` in the place of the table removes what a \
                       service says.",
                ..Key::ROW
            },
            origins,
        ),
        headers: keys.optional(
            Key {
                name: "rules.cors.headers",
                default: DefaultValue::absent("what they ask for", r#"["x-api-key", "content-type"]"#),
                range: "at most 64 names of headers",
                text: "The headers that their requests may have.",
                ..Key::ROW
            },
            list(Commas::Refused, "a header's name", Cors::try_header),
        ),
        expose: keys.optional(
            Key {
                name: "rules.cors.expose",
                default: DefaultValue::absent("none", r#"["x-total"]"#),
                range: "at most 64 names of headers",
                text: "The answer's headers that they may read, beside `X-Request-Id`, `Retry-After` and `WWW-Authenticate`.",
                ..Key::ROW
            },
            list(Commas::Refused, "a header's name", Cors::try_header),
        ),
        credentials: keys.optional(
            Key {
                name: "rules.cors.credentials",
                default: DefaultValue::absent("`false`", "false"),
                range: "true, false",
                text: "Whether their requests may have cookies; not with the origin `\"*\"`.",
                ..Key::ROW
            },
            boolean,
        ),
        max_age: keys.optional(
            Key {
                name: "rules.cors.max_age",
                default: DefaultValue::absent("`\"10m\"`", r#""10m""#),
                range: "0 to 1 day, whole seconds",
                text: "How long a browser may keep the answer to a preflight.",
                ..Key::ROW
            },
            max_age,
        ),
    }
}

fn max_age(value: &Value<'_>) -> Parsed<Duration> {
    match age(value)? {
        age if age <= LONGEST_CORS_MAX_AGE => Ok(age),
        _ => value.error("is out of range; must be 0 to 1 day".to_owned()),
    }
}

/// Reads all entries.
pub(super) fn read(entries: Vec<Section<'_>>, lines: &Lines<'_>) -> Vec<RuleConfig> {
    let read = |(number, mut entry): (usize, Section<'_>)| {
        let values = visit(&mut entry);
        entry.finish();
        if number == MAX_RULES {
            entry.refuse_whole(format!("is one too many; must be at most {MAX_RULES} rules"));
        }
        let line = match entry.at("") {
            RawLocation::Offset(offset) => lines.position(offset).0,
            RawLocation::Variable(_) | RawLocation::Layer(..) => 0,
        };
        let RuleValues { service, host, path, method, cors, rewrite } = values;
        let says_nothing = matches!((&cors, &rewrite), (Nested::Absent, Nested::Absent));
        if says_nothing {
            entry.refuse_whole("says nothing of the routes that it matches; must have cors or rewrite");
        }
        let (rewrite, asked_host) = read_rewrite(rewrite, &entry);
        let options = RouteOptions { cors: read_cors(cors, &entry), rewrite, asked_host };
        RuleConfig { rule: Rule { service, host, path, method, options }, line: Line(line) }
    };
    entries.into_iter().enumerate().map(read).collect()
}

/// A host alone leaves what a service says of paths as it is.
fn read_rewrite(values: Nested<RewriteValues>, entry: &Section<'_>) -> (Said<Arc<Rewrite>>, Said<AskedHost>) {
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

fn read_cors(values: Nested<CorsValues>, entry: &Section<'_>) -> Said<Arc<Cors>> {
    let values = match values {
        Nested::Absent => return Said::Nothing,
        Nested::Off => return Said::Off,
        Nested::Is(values) => values,
    };
    let Some(origins) = values.origins else { return Said::Nothing };
    let cors = Cors {
        origins,
        headers: values.headers.map(Vec::into_boxed_slice),
        expose: values.expose.unwrap_or_default().into(),
        credentials: values.credentials.unwrap_or_default(),
        max_age: values.max_age.unwrap_or(CORS_MAX_AGE),
    };
    if let Err(why) = cors.check() {
        entry.refuse("cors", why.to_string());
    }
    Said::Is(Arc::new(cors))
}
