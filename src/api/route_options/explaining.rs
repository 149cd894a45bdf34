//! The options in force for a route, in words.

use std::time::Duration;

use furt_api::routes::{RouteOption, SaidBy};
use http::{HeaderName, Method};

use crate::published::Published;
use furt_core::model::{
    AskedHost, Compress, Cors, HeaderEdit, HeaderEdits, LimitBy, Limits, MessageHeaders, Mirror, Restrictions, Rewrite,
    Scope,
};
use furt_core::routing::{self, Merged};

/// The options in force for a route; of lists of `auth` the one in force for the request. Host and path are normalized.
pub(in crate::api) fn options(
    (host, path, method): (&str, &str, &Method),
    merged: &Merged,
    published: &Published,
) -> Vec<RouteOption> {
    let is_for = |scope: &Option<Scope>| scope.as_ref().is_none_or(|scope| scope.has(host, path, method));
    let Merged { cors, rewrite, compress, asked_host, read_timeout, headers, mirror, restrictions, skipped_rules: _ } =
        merged;
    let option = |name: &str, value: String, by: routing::SaidBy| {
        let (said_by, line) = match by {
            routing::SaidBy::Service => (SaidBy::Service, None),
            routing::SaidBy::Route => (SaidBy::Route, None),
            routing::SaidBy::Rule(number) => (SaidBy::Rule, published.config.rules.get(number).map(|rule| rule.line.0)),
        };
        RouteOption { name: name.to_owned(), value, said_by, line }
    };
    let cors = cors.as_ref().map(|(cors, by)| option("cors", in_words(cors), *by));
    let rewrite = rewrite.as_ref().map(|(rewrite, by)| option("rewrite", rewrite_in_words(rewrite), *by));
    let compress = compress.map(|(Compress, by)| option("compress", "on".to_owned(), by));
    let host = asked_host.as_ref().map(|(host, by)| option("rewrite.host", host_in_words(host), *by));
    let read = read_timeout.map(|(time, by)| option("timeouts.read", seconds(time), by));
    let headers = headers.as_ref().map(|(headers, by)| option("headers", headers_in_words(headers), *by));
    let mirror = mirror.as_ref().map(|(mirror, by)| option("mirror", mirror_in_words(mirror, published), *by));
    let restricting = restrictions.iter().flat_map(|(said, scope, by)| {
        let told = restrictions_in_words(said).into_iter();
        told.map(move |(name, value)| option(name, within(value, scope.as_ref()), *by))
    });
    let auth = restrictions.iter().rev().find_map(|(said, scope, by)| {
        let methods = said.auth.as_ref().filter(|_| is_for(scope))?;
        Some(option("auth", within(methods.to_string(), scope.as_ref()), *by))
    });
    cors.into_iter()
        .chain(auth)
        .chain(rewrite)
        .chain(host)
        .chain(compress)
        .chain(read)
        .chain(headers)
        .chain(mirror)
        .chain(restricting)
        .collect()
}

fn within(value: String, scope: Option<&Scope>) -> String {
    match scope {
        Some(scope) => format!("{value} (only of {scope})"),
        None => value,
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

fn restrictions_in_words(said: &Restrictions) -> Vec<(&'static str, String)> {
    let Restrictions { limits, total_timeout, retries, auth: _, allow_from, deny_from } = said;
    let limits = limits.map(|limits| ("limits", limits_in_words(&limits)));
    let total = total_timeout.map(|time| ("timeouts.total", seconds(time)));
    let retries = retries.map(|count| ("retries", count.to_string()));
    let allow = allow_from.as_ref().map(|networks| ("allow_from", networks.to_string()));
    let deny = deny_from.as_ref().map(|networks| ("deny_from", networks.to_string()));
    allow.into_iter().chain(deny).chain(limits).chain(total).chain(retries).collect()
}

fn limits_in_words(limits: &Limits) -> String {
    let Limits { rate, concurrency, by, max_body } = limits;
    let each = match by {
        LimitBy::Route => String::new(),
        LimitBy::Caller | LimitBy::Address => format!(" for each {}", by.as_str()),
    };
    let rate = rate.map(|limit| format!("{}{each}, {} at once", limit.rate, limit.burst));
    let concurrency = concurrency.map(|count| format!("{count} in flight{each}"));
    let body = max_body.map(|most| format!("bodies of at most {most} bytes"));
    [rate, concurrency, body].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn headers_in_words(headers: &MessageHeaders) -> String {
    let edits = |edits: &HeaderEdits, message: &str| {
        let told = edits.iter().map(|(name, edit)| match edit {
            // The value may be a secret of the service.
            HeaderEdit::Set(_) => format!("sets {name}"),
            HeaderEdit::Remove => format!("removes {name}"),
        });
        (!edits.is_empty()).then(|| format!("{message} {}", told.collect::<Vec<_>>().join(", ")))
    };
    let told = [edits(&headers.request, "of requests"), edits(&headers.response, "of answers")];
    told.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn mirror_in_words(mirror: &Mirror, published: &Published) -> String {
    let Mirror { service, share, methods, max_body } = mirror;
    let methods = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let is_there = published.service_named(service.as_str()).is_some();
    let missing = if is_there { "" } else { "; no service of that name is registered" };
    format!("{share} of {methods} to {service}; bodies of at most {max_body} bytes{missing}")
}

fn in_words(cors: &Cors) -> String {
    let names = |names: &[HeaderName]| names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    let mut text = format!("origins {}", cors.origins.texts().join(", "));
    if let Some(headers) = &cors.headers {
        text += &format!("; headers {}", if headers.is_empty() { "none".to_owned() } else { names(headers) });
    }
    if !cors.expose.is_empty() {
        text += &format!("; exposes {}", names(&cors.expose));
    }
    let credentials = if cors.credentials { "with" } else { "without" };
    text + &format!("; {credentials} credentials; kept {} s", cors.max_age.as_secs())
}

fn rewrite_in_words(rewrite: &Rewrite) -> String {
    let strip = rewrite.strip.as_ref().map(|prefix| format!("strips {prefix}"));
    let add = rewrite.add.as_ref().map(|prefix| format!("adds {prefix}"));
    let redirects = (!rewrite.redirects).then(|| "leaves Location as it is".to_owned());
    [strip, add, redirects].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn host_in_words(host: &AskedHost) -> String {
    match host {
        AskedHost::Instance => "the instance's own".to_owned(),
        AskedHost::Named(host) => host.to_string(),
    }
}
