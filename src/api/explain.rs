//! `GET /internal/explain?method=&url=&client=&key=&origin=`: which route a request would take, and why the others would not; which
//! patterns are near where none matches; the options in force for the route; whether an API key would be let in, how far the
//! instances are from a client, and whether pages of an origin may read the answer, where these are named.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use furt_api::routes::{self, Candidate, Explanation};

use super::commands::ApiResult;
use super::key_check::{self, Judgement};
use super::problem::Problem;
use super::query::{Form, Parameter, Parameters};
use super::{Api, distances, maintenance, near, reasons, route_options, splits, views, warnings};
use furt_core::model::path::Reserved;
use furt_core::model::{Asked, AuthMethods, KeyName, OriginPattern, Permission, Scheme, host, path};
use furt_core::routing::{Found, Owner, Route, Service, Snapshot};

/// What can be said of the request that is asked about.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::required("method", "GET", Form::Text, "the method of the request"),
    Parameter::required("url", "/api/comments/a", Form::Text, "its path, or its url with a host"),
    Parameter::optional("client", "ADDRESS", Form::Text, "the address of its client"),
    Parameter::optional("key", "NAME", Form::Text, "the name of the API key that it comes with"),
    Parameter::optional("origin", "ORIGIN", Form::Text, "the origin of the page that sends it"),
];

/// What is asked: a request, where its client is, the name of its key, and whose page sends it.
struct Question {
    method: Method,
    url: String,
    client: Option<IpAddr>,
    key: Option<String>,
    origin: Option<String>,
}

impl Question {
    fn try_new(mut parameters: Parameters) -> Result<Self, Problem> {
        let method = parameters.require("method", "must be a method", |text| Method::from_bytes(text.as_bytes()).ok());
        let url = parameters.require("url", "must be a path, or http:// or https:// with a host", |text| {
            split(text).is_some().then(|| text.to_owned())
        });
        let client = parameters.parsed("client", "must be an address of IPv4 or IPv6", |text| text.parse().ok());
        let key = parameters.parsed("key", "must be the name of an API key", |text| {
            KeyName::try_new(text).is_ok().then(|| text.to_owned())
        });
        let origin = parameters.parsed("origin", "must be an origin such as https://app.example.org", |text| {
            OriginPattern::try_new(text).ok().filter(|_| !text.contains('*')).map(|origin| origin.to_string())
        });
        let question = method.zip(url).map(|(method, url)| Self { method, url, client, key, origin });
        parameters.finish_with(question)
    }
}

pub(super) async fn explain(State(api): State<Arc<Api>>, parameters: Parameters) -> ApiResult<Explanation> {
    answer(&api, parameters).map(Json)
}

/// The answer to a question.
///
/// # Errors
/// The question is none.
pub(super) fn answer(api: &Api, parameters: Parameters) -> Result<Explanation, Problem> {
    let Question { method, url, client, key, origin } = Question::try_new(parameters)?;
    let (host, raw_path) = split(&url).unwrap_or_default();
    let (authority, host) = (host, host::normalize(host));
    let asked = scheme(&url).map(|scheme| Asked { scheme, authority, target: raw_path });
    let snapshot = api.snapshots.load_full();
    let explanation = |verdict, reason, candidates| Explanation {
        method: method.as_str().to_owned(),
        host: host.to_string(),
        path: None,
        verdict,
        reason,
        warnings: Vec::new(),
        route: None,
        candidates,
        near: Vec::new(),
        client: None,
        options: Vec::new(),
        origin: None,
    };
    let path = match path::normalize(raw_path) {
        Ok(path) => path,
        Err(error) => return Ok(explanation(routes::Verdict::BadPath, error.to_string(), Vec::new())),
    };
    let verdict = match path::reserved(&path) {
        Some(Reserved::Health) => Verdict::own(routes::Verdict::Health, "furt answers this path itself"),
        Some(Reserved::Internal) => {
            Verdict::own(routes::Verdict::RouteNotFound, "/internal is never served on the public listener")
        }
        None => find(&snapshot, (&host, &path, &method), asked),
    };
    let merged = verdict.route.map(|route| route_options::merged(route, &snapshot)).unwrap_or_default();
    let refused = client.and_then(|client| route_options::refused_address(client, (&host, &path, &method), &merged));
    let auth = route_options::auth((&host, &path, &method), &merged);
    let is_lost = auth.is_some_and(|methods| snapshot.config.has_none_of(methods));
    let (verdict, notes) = judged(verdict, (key.as_deref(), auth, is_lost), client, refused, &snapshot);
    let split = verdict.route.filter(|_| is_answered(&verdict.code)).and_then(|route| {
        let service = snapshot.service(route.owner.index())?;
        // A key that is not asked for is nobody's.
        let asks = route.permission.is_some() || auth.is_some();
        let key = key.as_deref().filter(|_| asks).and_then(|name| KeyName::try_new(name).ok());
        // Nor is whoever has one known by an address.
        splits::judge(service, key.as_ref(), client.filter(|_| !asks))
    });
    let has_rate = verdict.route.is_some() && key.is_some_and(|name| key_check::has_rate(&name, &snapshot));
    let matching = snapshot.table.matches(&host, &path);
    let judged = matching.iter().map(|route| {
        let won = verdict.route.is_some_and(|winner| std::ptr::eq(winner, &***route));
        let reason = why(route, &method, &verdict, won, &matching, &snapshot);
        Candidate { route: views::route(route, &snapshot), won, reason }
    });
    let candidates: Vec<_> = judged.chain(reasons::blocked(&snapshot, &host, &path)).collect();
    let is_unknown = verdict.code == routes::Verdict::RouteNotFound && path::reserved(&path).is_none();
    let near = if is_unknown && candidates.is_empty() { near::patterns(&snapshot, &host, &path) } else { Vec::new() };
    let client = client.map(|client| {
        let service = verdict.route.and_then(|route| snapshot.service(route.owner.index()));
        distances::of(client, service.map(|service| &**service), &api.geo)
    });
    let owner = verdict.route.and_then(|route| snapshot.service(route.owner.index()));
    Ok(Explanation {
        warnings: owner
            .map(|service| told(service, &snapshot))
            .into_iter()
            .flatten()
            .chain(notes)
            .chain(split)
            .chain(route_options::skipped_rules(&merged, &snapshot))
            .chain(warnings::of_limits(
                owner.map(|service| &**service),
                has_rate,
                api.nodes.list().len(),
                snapshot.config.limits.share,
            ))
            .collect(),
        near,
        route: Some(verdict.route.map(|route| views::route(route, &snapshot))),
        client,
        options: route_options::options((&host, &path, &method), &merged, &snapshot),
        origin: origin
            .filter(|_| verdict.route.is_some())
            .map(|origin| route_options::judge_origin(&origin, authority, &merged)),
        path: Some(path.to_string()),
        ..explanation(verdict.code.clone(), verdict.reason.clone(), candidates)
    })
}

fn told(service: &Service, snapshot: &Snapshot) -> Vec<String> {
    let mut all = warnings::of(service, &snapshot.shared_urls);
    all.extend(warnings::of_routes(service));
    all
}

struct Verdict<'a> {
    code: routes::Verdict,
    reason: String,
    route: Option<&'a Route>,
    /// Whether the service behind the route is asked.
    is_usable: bool,
}

impl Verdict<'_> {
    fn own(code: routes::Verdict, reason: &str) -> Self {
        Self { code, reason: reason.to_owned(), route: None, is_usable: false }
    }
}

/// The verdict on a request with the key of that name, and what is to be known beside it. Maintenance is asked before the key, and
/// the key before the service.
fn judged<'a>(
    verdict: Verdict<'a>,
    (key, auth, is_lost): (Option<&str>, Option<&AuthMethods>, bool),
    client: Option<IpAddr>,
    refused: Option<String>,
    snapshot: &Snapshot,
) -> (Verdict<'a>, Vec<String>) {
    let Some(route) = verdict.route else { return (verdict, Vec::new()) };
    let mut notes = Vec::new();
    match maintenance::judge(route, client, snapshot) {
        Some(maintenance::Judgement::KeptOut(reason)) => {
            return (Verdict { code: routes::Verdict::Maintenance, reason, ..verdict }, notes);
        }
        Some(maintenance::Judgement::LetIn(note)) => notes.push(note),
        None => {}
    }
    if let Some(methods) = auth.filter(|_| is_lost) {
        let reason = format!("the configuration has none of what the route's auth names ({methods}): 503");
        return (Verdict { code: routes::Verdict::AuthUnavailable, reason, ..verdict }, notes);
    }
    if let Some(reason) = refused {
        return (Verdict { code: routes::Verdict::AddressNotAllowed, reason, ..verdict }, notes);
    }
    let verdict = match (key.map(|name| key_check::judge(name, route, auth, client, snapshot)), &route.permission) {
        (Some(Judgement::Refused(code, reason)), _) => Verdict { code, reason, ..verdict },
        (Some(Judgement::Allowed(note)), _) => {
            notes.extend(note);
            verdict
        }
        (None, permission) if is_answered(&verdict.code) => match needs(permission.as_ref(), auth) {
            Some(needs) => Verdict { reason: format!("{}, {needs}", verdict.reason), ..verdict },
            None => verdict,
        },
        (None, _) => verdict,
    };
    (verdict, notes)
}

/// What a request must come with, as a clause; `None`: nothing.
fn needs(permission: Option<&Permission>, auth: Option<&AuthMethods>) -> Option<String> {
    match (permission, auth) {
        (None, None) => None,
        (Some(permission), None) => Some(format!("with an API key that has \"{permission}\"")),
        (Some(permission), Some(methods)) => {
            Some(format!("if one of these authenticates its caller ({methods}), who has \"{permission}\""))
        }
        (None, Some(methods)) => Some(format!("if one of these authenticates its caller: {methods}")),
    }
}

/// Whether a request of that verdict gets what the route is for.
fn is_answered(verdict: &routes::Verdict) -> bool {
    matches!(verdict, routes::Verdict::Routed | routes::Verdict::Redirected | routes::Verdict::Responded)
}

fn find<'a>(
    snapshot: &'a Snapshot,
    (host, path, method): (&str, &str, &Method),
    asked: Option<Asked<'_>>,
) -> Verdict<'a> {
    match snapshot.find(host, path, method) {
        // Found all the same where nothing may stand in.
        Found::Unusable(route) => unusable(route, snapshot),
        Found::Route(route) if !snapshot.is_usable(route) => unusable(route, snapshot),
        Found::Route(route) => {
            let service = snapshot.service(route.owner.index());
            let own = service.and_then(|service| reasons::own_answer(service, asked));
            let refusal = service.filter(|_| own.is_none()).and_then(|service| reasons::refusal(service));
            let (code, reason) = match (own, refusal) {
                (Some(own), _) => own,
                (_, Some((code, why))) => {
                    (code, format!("the request finds this route and nobody who answers: {why}: 503"))
                }
                (None, None) => (routes::Verdict::Routed, "the request goes to this route".to_owned()),
            };
            Verdict { code, reason, route: Some(route), is_usable: true }
        }
        Found::WrongMethod(_) => {
            Verdict::own(routes::Verdict::MethodNotAllowed, "patterns match, none takes the method: 405")
        }
        Found::Nothing => Verdict::own(routes::Verdict::RouteNotFound, "no pattern matches: 404"),
    }
}

fn unusable<'a>(route: &'a Route, snapshot: &Snapshot) -> Verdict<'a> {
    let reason = format!("{}; no static route stands in: 503", reasons::unusable(route, snapshot));
    Verdict { code: routes::Verdict::ServiceDown, reason, route: Some(route), is_usable: false }
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
    let position = |wanted: &Route| candidates.iter().position(|one| std::ptr::eq(&***one, wanted));
    match verdict.route {
        _ if !route.method.takes(method) => format!("does not take {method}"),
        None => verdict.reason.clone(),
        Some(_) if won => {
            let before = &candidates[..position(route).unwrap_or_default()];
            match reasons::replaced(route, before, |rule| rule.takes(method), snapshot) {
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
            } else if !snapshot.is_usable(winner) && snapshot.is_kept_from_others(winner) {
                "nothing stands in for a service that is in maintenance".to_owned()
            } else if !verdict.is_usable
                || (position(route) < position(winner) && matches!(winner.owner, Owner::Static(_)))
            {
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

/// The scheme of a url; `None`: it is a bare path.
fn scheme(url: &str) -> Option<Scheme> {
    match url.split_once("://")?.0 {
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        _ => None,
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
