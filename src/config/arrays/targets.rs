//! `redirect` and `respond` of `[[routes]]`: what furt answers itself. Files are opened by `app`.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use crate::config::key::{DefaultValue, EntryVisitor, Key};
use crate::config::section::Section;
use crate::config::types::RespondConfig;
use crate::config::value::{Located, Parsed, Value, file, located, one_of, text, whole};
use furt_core::model::{Host, Invalid, PathPrefix, Pattern, Redirect, Respond, Rewrite, Scheme};

/// The type of an answer that says none.
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The values of `redirect` in an entry.
pub(super) struct RedirectValues {
    scheme: Option<Scheme>,
    host: Option<Host>,
    port: Option<u16>,
    strip: Option<Located<PathPrefix>>,
    add: Option<PathPrefix>,
    status: Option<StatusCode>,
}

/// The values of `respond` in an entry.
pub(super) struct RespondValues {
    status: Option<StatusCode>,
    media_type: Option<Located<HeaderValue>>,
    body: Option<Located<Bytes>>,
    file: Option<Located<PathBuf>>,
}

/// A key that cannot stand beside the examples of the other keys.
const fn absent(means: &'static str) -> DefaultValue {
    DefaultValue::Absent { means, example: None }
}

pub(super) fn visit_redirect(keys: &mut impl EntryVisitor) -> RedirectValues {
    RedirectValues {
        scheme: keys.optional(
            Key {
                name: "routes.redirect.scheme",
                default: absent("the request's"),
                range: "`\"http\"`, `\"https\"`",
                text: "The scheme of the [place](routes.md#redirect-and-respond) that clients are sent to.",
                ..Key::ROW
            },
            one_of(&[("http", Scheme::Http), ("https", Scheme::Https)]),
        ),
        host: keys.optional(
            Key {
                name: "routes.redirect.host",
                default: absent("the request's"),
                range: "a host name",
                text: "Its host.",
                ..Key::ROW
            },
            text("a host", Host::try_new),
        ),
        port: keys.optional(
            Key {
                name: "routes.redirect.port",
                default: absent("the request's; the scheme's own where `scheme` or `host` is named"),
                range: "1 to 65535",
                text: "Its port.",
                ..Key::ROW
            },
            whole(1..=u64::from(u16::MAX)),
        ),
        strip: keys.optional(
            Key {
                name: "routes.redirect.strip",
                default: absent("nothing"),
                range: "whole segments, with which `path` begins",
                text: "What is taken off the path.",
                ..Key::ROW
            },
            located(text("a prefix of paths", PathPrefix::try_new)),
        ),
        add: keys.optional(
            Key {
                name: "routes.redirect.add",
                default: absent("nothing"),
                range: "whole segments",
                text: "What is put before what is left of the path. The query stays.",
                ..Key::ROW
            },
            text("a prefix of paths", PathPrefix::try_new),
        ),
        status: keys.optional(
            Key {
                name: "routes.redirect.status",
                default: absent("`307`"),
                range: "301, 302, 303, 307, 308",
                text: "The status of the answer. 301 and 308 are kept by browsers; 307 and 308 keep method and body of the request.",
                ..Key::ROW
            },
            redirect_status,
        ),
    }
}

pub(super) fn visit_respond(keys: &mut impl EntryVisitor) -> RespondValues {
    RespondValues {
        status: keys.optional(
            Key {
                name: "routes.respond.status",
                default: absent("`200`"),
                range: "200 to 599",
                text: "The status of [furt's answer](routes.md#redirect-and-respond). 204, 205 and 304 have no body.",
                ..Key::ROW
            },
            |value| whole::<u16>(200..=599)(value).map(status),
        ),
        media_type: keys.optional(
            Key {
                name: "routes.respond.type",
                default: absent("`\"text/plain; charset=utf-8\"`"),
                range: "a value of a header",
                text: "Its `Content-Type`.",
                ..Key::ROW
            },
            located(text("a type", media_type)),
        ),
        body: keys.optional(
            Key {
                name: "routes.respond.body",
                default: absent("required without `file`"),
                range: "a text of at most 64 KiB",
                text: "Its body.",
                ..Key::ROW
            },
            located(text("a body", body)),
        ),
        file: keys.optional(
            Key {
                name: "routes.respond.file",
                default: absent("required without `body`"),
                range: "a file of at most 64 KiB",
                text: "The file that has the body, which is read at the start and at each reload.",
                ..Key::ROW
            },
            located(file),
        ),
    }
}

fn redirect_status(value: &Value<'_>) -> Parsed<StatusCode> {
    match whole::<u16>(300..=399)(value).ok() {
        Some(code @ (301 | 302 | 303 | 307 | 308)) => Ok(status(code)),
        _ => value.error("is no status of a redirect; must be 301, 302, 303, 307 or 308".to_owned()),
    }
}

fn status(code: u16) -> StatusCode {
    // The range was looked at before.
    StatusCode::from_u16(code).unwrap_or(StatusCode::OK)
}

fn media_type(text: &str) -> Result<HeaderValue, Invalid> {
    let is_one = |value: &HeaderValue| value.to_str().is_ok_and(|text| !text.trim().is_empty());
    let value = HeaderValue::from_str(text).ok().filter(is_one);
    value.ok_or_else(|| Invalid::new("must be visible ASCII, such as \"text/html; charset=utf-8\""))
}

fn body(text: &str) -> Result<Bytes, Invalid> {
    let fits = text.len() <= Respond::MAX_BODY;
    if fits { Ok(Bytes::copy_from_slice(text.as_bytes())) } else { Err(Invalid::new("must have at most 64 KiB")) }
}

/// The redirect of an entry, whose route is bound to `own` and `path`; `None`: something is wrong, and reported.
pub(super) fn redirect(
    values: RedirectValues,
    entry: &Section<'_>,
    own: Option<&Host>,
    path: Option<&Pattern>,
) -> Option<Arc<Redirect>> {
    let RedirectValues { scheme, host, port, strip, add, status } = values;
    if let (Some(Located { at, value: strip }), Some(path)) = (&strip, path)
        && !strip.begins(path)
    {
        let message = format!("\"{strip}\" does not begin the path of the route; must be its first segments");
        entry.refuse_at(at, "redirect.strip", message);
    }
    let path_change = Rewrite { strip: strip.map(|strip| strip.value), add, redirects: true };
    let status = status.unwrap_or(Redirect::STATUS);
    let redirect = Redirect { scheme, host, port, path: path_change, status };
    // What is wrong is reported already, and might have led elsewhere.
    if entry.has_faults_in("redirect") {
        return Some(Arc::new(redirect));
    }
    if !redirect.names_place() {
        entry.refuse("redirect", "names no other place; must have scheme, host, port, strip or add");
    } else if path.is_some_and(|path| redirect.is_loop(own, path)) {
        entry.refuse("redirect", "leads back to the route itself; must lead elsewhere");
    }
    Some(Arc::new(redirect))
}

/// The answer of the entry with that index; `None`: something is wrong, and reported.
pub(super) fn respond(values: RespondValues, entry: &Section<'_>, index: usize) -> Option<RespondConfig> {
    let RespondValues { status, media_type, body, file } = values;
    let status = status.unwrap_or(StatusCode::OK);
    if let (Some(_), Some(Located { at, .. })) = (&body, &file) {
        entry.refuse_at(at, "respond.file", "stands beside body; must be one of the two");
    }
    if Respond::has_body(status) {
        if body.is_none() && file.is_none() && !entry.has_faults_in("respond") {
            entry.refuse("respond", "has no body; must have body or file");
        }
    } else {
        let set = [
            ("respond.type", media_type.as_ref().map(|one| &one.at)),
            ("respond.body", body.as_ref().map(|one| &one.at)),
            ("respond.file", file.as_ref().map(|one| &one.at)),
        ];
        for (key, at) in set.into_iter().filter_map(|(key, at)| Some((key, at?))) {
            entry.refuse_at(at, key, format!("has no use with status {}; must be left out", status.as_u16()));
        }
    }
    if let Some(file) = &file {
        entry.record_at(&file.at, RespondConfig::place(index));
    }
    let media_type = media_type.map_or(PLAIN_TEXT, |one| one.value);
    let body = body.map(|one| one.value).unwrap_or_default();
    Some(RespondConfig { answer: Respond { status, media_type, body }, file: file.map(|one| one.value) })
}
