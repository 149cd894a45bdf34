//! `[tracing]`: traces of requests for a collector.

use url::Url;

use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::{IncomingTraces, TracingConfig};
use crate::config::value::{file, one_of, text};
use furt_core::model::{Invalid, Percentage};

const ENDPOINT: &str = "must be the url of a collector, such as \"http://127.0.0.1:4318\"";

pub(super) fn visit(keys: &mut impl TableVisitor) -> TracingConfig {
    keys.table("tracing", "[Traces](tracing.md) of requests, by OTLP.");
    TracingConfig {
        endpoint: keys.optional(
            Key {
                name: "tracing.endpoint",
                default: DefaultValue::absent("no traces", r#""http://127.0.0.1:4318""#),
                range: "an http or https url",
                text: "The collector, to which furt sends spans by OTLP over HTTP, with protobuf; `/v1/traces` is added. Without one \
                       `traceparent` and `tracestate` pass as they come.",
                ..Key::ROW
            },
            text("a url", endpoint),
            |config| config.tracing.endpoint.as_ref(),
        ),
        share: keys.value(
            Key {
                name: "tracing.share",
                default: DefaultValue::Toml(r#""1%""#),
                range: "percentage, 0% to 100%",
                text: "The share of traces that are recorded, of those that begin here.",
                ..Key::ROW
            },
            text("a percentage", Percentage::from_text),
            |config| &config.tracing.share,
        ),
        incoming: keys.value(
            Key {
                name: "tracing.incoming",
                default: DefaultValue::Toml(r#""restart""#),
                range: "`\"restart\"`, `\"continue\"`",
                text: "What becomes of the trace that a stranger's request names: another one begins here, or it goes on, and the stranger says whether it is \
                       recorded. Those of `server.trusted_proxies` always go on.",
                ..Key::ROW
            },
            one_of(&[("restart", IncomingTraces::Restart), ("continue", IncomingTraces::Continue)]),
            |config| &config.tracing.incoming,
        ),
        ca: keys.optional(
            Key {
                name: "tracing.ca",
                default: DefaultValue::absent("the system's", r#""/etc/furt/collector-ca.pem""#),
                range: "a PEM file",
                text: "Certificate authorities of the collector.",
                ..Key::ROW
            },
            file,
            |config| config.tracing.ca.as_ref(),
        ),
    }
}

fn endpoint(text: &str) -> Result<Url, Invalid> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let is_plain = |url: &Url| {
        url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    url.filter(is_plain).ok_or(Invalid::new(ENDPOINT))
}
