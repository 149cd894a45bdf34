//! `GET /internal/explain?method=&url=&client=`: which route a request would take, and why the others would not; and how far
//! the instances behind it are from a client, where one is named.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Api, distances, reasons, views};
use furt_core::model::path::Reserved;
use furt_core::model::{MethodRule, host, path};
use furt_core::routing::{Found, Owner, Route, Snapshot};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    method: String,
    url: String,
    client: Option<IpAddr>,
}

pub(super) async fn explain(
    State(api): State<Arc<Api>>,
    question: Result<Query<Question>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad-question", detail);
    let Query(Question { method, url, client }) = question
        .map_err(|_| bad("needs ?method=METHOD&url=PATH_OR_URL, takes &client=ADDRESS, and nothing else".to_owned()))?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad("\"method\" is not a method".to_owned()))?;
    let (host, raw_path) =
        split(&url).ok_or_else(|| bad("\"url\" must be a path, or http:// or https:// with a host".to_owned()))?;
    let host = host::normalize(host);
    let snapshot = api.snapshots.load_full();
    let mut answer = json!({ "method": method.as_str(), "host": host });
    let path = match path::normalize(raw_path) {
        Ok(path) => path,
        Err(error) => {
            answer["verdict"] = "bad-path".into();
            answer["reason"] = error.to_string().into();
            answer["candidates"] = json!([]);
            return Ok(Json(answer));
        }
    };
    answer["path"] = path.clone().into();
    let verdict = match path::reserved(&path) {
        Some(Reserved::Health) => Verdict::own("health", "furt answers this path itself"),
        Some(Reserved::Internal) => Verdict::own("route-not-found", "/internal is never served on the public listener"),
        None => find(&snapshot, &host, &path, &method),
    };
    answer["verdict"] = verdict.code.into();
    answer["reason"] = verdict.reason.clone().into();
    answer["route"] = verdict.route.map_or(Value::Null, |route| views::route(route, &snapshot));
    let candidates = snapshot.table.matches(&host, &path);
    let judged = candidates.iter().map(|route| {
        let mut shown = views::route(route, &snapshot);
        let won = verdict.route.is_some_and(|winner| std::ptr::eq(winner, &***route));
        shown["won"] = won.into();
        shown["reason"] = why(route, &method, &verdict, won, &candidates, &snapshot).into();
        shown
    });
    answer["candidates"] = judged.chain(reasons::blocked(&snapshot, &host, &path)).collect();
    if let Some(client) = client {
        let service = verdict.route.and_then(|route| snapshot.service(route.owner.index()));
        answer["client"] = distances::of(client, service.map(|service| &**service), &api.geo);
    }
    Ok(Json(answer))
}

struct Verdict<'a> {
    code: &'static str,
    reason: String,
    route: Option<&'a Route>,
    /// Whether the service behind the route is asked.
    is_usable: bool,
}

impl Verdict<'_> {
    fn own(code: &'static str, reason: &str) -> Self {
        Self { code, reason: reason.to_owned(), route: None, is_usable: false }
    }
}

fn find<'a>(snapshot: &'a Snapshot, host: &str, path: &str, method: &Method) -> Verdict<'a> {
    match snapshot.find(host, path, method) {
        Found::Route(route) => {
            let refusal = snapshot.service(route.owner.index()).and_then(|service| reasons::refusal(service));
            let (code, reason) = match refusal {
                Some((code, why)) => (code, format!("the request finds this route and nobody who answers: {why}: 503")),
                None => ("routed", "the request goes to this route".to_owned()),
            };
            Verdict { code, reason, route: Some(route), is_usable: true }
        }
        Found::Unusable(route) => {
            let reason = format!("{}; no static route stands in: 503", reasons::unusable(route, snapshot));
            Verdict { code: "service-down", reason, route: Some(route), is_usable: false }
        }
        Found::WrongMethod(_) => Verdict::own("method-not-allowed", "patterns match, none takes the method: 405"),
        Found::Nothing => Verdict::own("route-not-found", "no pattern matches: 404"),
    }
}

/// Why a matching route won or lost; `candidates` are in the order of precedence.
fn why(
    route: &Route,
    method: &Method,
    verdict: &Verdict<'_>,
    won: bool,
    candidates: &[&Arc<Route>],
    snapshot: &Snapshot,
) -> String {
    let place = |wanted: &Route| candidates.iter().position(|one| std::ptr::eq(&***one, wanted));
    match verdict.route {
        _ if !takes(&route.method, method) => format!("does not take {method}"),
        None => verdict.reason.clone(),
        Some(_) if won => {
            let before = &candidates[..place(route).unwrap_or_default()];
            match reasons::replaced(route, before, |rule| takes(rule, method), snapshot) {
                Some(missed) if verdict.is_usable => {
                    format!("a static route that stands in: {}", reasons::unusable(missed, snapshot))
                }
                _ if verdict.is_usable => "the most specific pattern that takes the method".to_owned(),
                _ => format!(
                    "the most specific pattern that takes the method, but {}",
                    reasons::unusable(route, snapshot)
                ),
            }
        }
        Some(winner) => {
            if !snapshot.is_usable(route) {
                reasons::unusable(route, snapshot)
            } else if !verdict.is_usable || (place(route) < place(winner) && matches!(winner.owner, Owner::Static(_))) {
                "only a static route may stand in for a service that is DOWN".to_owned()
            } else if route.host.is_none() && winner.host.is_some() {
                "not bound to the host, as the winner is".to_owned()
            } else if route.pattern == winner.pattern {
                "names the method less exactly than the winner".to_owned()
            } else {
                format!("less specific than {}", winner.pattern)
            }
        }
    }
}

fn takes(rule: &MethodRule, method: &Method) -> bool {
    match rule {
        MethodRule::Any => true,
        MethodRule::Only(own) => own == method || (*own == Method::GET && *method == Method::HEAD),
    }
}

/// Host (empty for a bare path) and path of a url, untouched: what a parser would repair must be seen as sent.
fn split(url: &str) -> Option<(&str, &str)> {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    if url.starts_with('/') {
        return Some(("", url));
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    match rest.find('/') {
        Some(slash) => Some((&rest[..slash], &rest[slash..])),
        None => Some((rest, "/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_as_it_was_sent() {
        for (url, expected) in [
            ("/a/../b?c#d", Some(("", "/a/../b"))),
            ("http://h:80/a//b", Some(("h:80", "/a//b"))),
            ("https://h", Some(("h", "/"))),
            ("h/a", None),
            ("", None),
        ] {
            assert_eq!(split(url), expected, "{url}");
        }
    }
}
