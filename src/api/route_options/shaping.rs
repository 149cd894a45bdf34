//! `cors` and `rewrite`: read, and shown as they were said.

use std::time::Duration;

use furt_api::route_options;
use http::HeaderName;

use super::super::fields::{Fields, text, truth, whole};
use furt_core::model::{
    CORS_MAX_AGE, Cors, LONGEST_CORS_MAX_AGE, MAX_CORS_HEADERS, MAX_ORIGINS, OriginPattern, Origins, PathPrefix,
    Rewrite,
};

pub(super) fn read_cors(fields: &mut Fields<'_>) -> Option<Cors> {
    let origins = read_origins(fields);
    let has_headers = fields.has_value("headers");
    let headers = fields.list("headers", MAX_CORS_HEADERS, Cors::try_header);
    // What is wrong must never stand for any header.
    let is_wrong = has_headers && headers.is_none();
    let expose = fields.list("expose", MAX_CORS_HEADERS, Cors::try_header).unwrap_or_default();
    let credentials = fields.optional("credentials", truth).unwrap_or_default();
    let max_age = fields.optional("max_age", whole(0, LONGEST_CORS_MAX_AGE.as_secs()));
    let max_age = max_age.map_or(CORS_MAX_AGE, Duration::from_secs);
    let headers = headers.map(Vec::into_boxed_slice);
    let cors = Cors { origins: origins.filter(|_| !is_wrong)?, headers, expose: expose.into(), credentials, max_age };
    match cors.check() {
        Ok(()) => Some(cors),
        // Each part was right by itself.
        Err(why) => {
            fields.refuse("credentials", why.to_string());
            None
        }
    }
}

fn read_origins(fields: &mut Fields<'_>) -> Option<Origins> {
    if !fields.has_value("origins") {
        return fields.require("origins", |_| Ok(Origins::default()));
    }
    let written = |text: &str| match text {
        "*" => Ok(text.to_owned()),
        _ => OriginPattern::try_new(text).map(|origin| origin.to_string()),
    };
    let texts = fields.list("origins", MAX_ORIGINS, written)?;
    Origins::try_new(&texts).map_err(|error| fields.refuse("origins", error.to_string())).ok()
}

pub(super) fn read_rewrite(fields: &mut Fields<'_>) -> Option<Rewrite> {
    let before = fields.errors().len();
    let strip = fields.optional("strip", text(PathPrefix::try_new));
    let add = fields.optional("add", text(PathPrefix::try_new));
    let redirects = fields.optional("redirects", truth).unwrap_or(true);
    if fields.errors().len() > before {
        return None;
    }
    let rewrite = Rewrite { strip, add, redirects };
    rewrite.check().map_err(|why| fields.refuse_whole(why.to_string())).is_ok().then_some(rewrite)
}

/// The field `cors`, as it was said.
pub(in crate::api) fn shown_cors(cors: &Cors) -> route_options::Cors {
    let names = |names: &[HeaderName]| names.iter().map(|name| name.as_str().to_owned()).collect();
    route_options::Cors {
        origins: cors.origins.texts().into_iter().map(str::to_owned).collect(),
        headers: cors.headers.as_deref().map(names),
        expose: names(&cors.expose),
        credentials: cors.credentials,
        max_age: Some(cors.max_age.as_secs()),
    }
}

/// The field `rewrite`, as it was said.
pub(in crate::api) fn shown_rewrite(rewrite: &Rewrite) -> route_options::Rewrite {
    let text = |prefix: &Option<PathPrefix>| prefix.as_ref().map(|prefix| prefix.as_str().to_owned());
    route_options::Rewrite {
        strip: text(&rewrite.strip),
        add: text(&rewrite.add),
        redirects: Some(rewrite.redirects).filter(|redirects| !redirects),
    }
}
