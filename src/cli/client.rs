//! Verbs that speak to a running furt over its internal listener.

use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use furt_api::Problem;
use furt_api::registration::{Registered, Registration, Route};
use furt_api::routes::{ClientDistances, Explanation, Near, RouteOption, Routes, SaidBy};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::tls::TlsConfig;

use super::output::{cell, clean, counted, place, print, print_json, table};
use super::{Format, Output, Target, tls};
use crate::wire;

/// The largest answer that is taken. A list of 100,000 services is about 100 MiB.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024 * 1024;
/// For a whole exchange: registering resolves a name (1 s) and waits for the store.
const TIMEOUT: Duration = Duration::from_secs(15);

/// For an answer that is written to a file or a pipe.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(3600);

#[derive(Args)]
pub(super) struct RegisterArgs {
    /// A JSON file with service, url, routes and so on; "-" is stdin
    #[arg(required_unless_present = "service", conflicts_with_all = ["service", "upstream", "version", "routes", "permission"])]
    file: Option<String>,
    /// Instead of a file: the service's name
    #[arg(long, value_name = "NAME", requires = "upstream")]
    service: Option<String>,
    /// Where its instance is, such as http://127.0.0.1:7812
    #[arg(long, value_name = "URL", requires = "service")]
    upstream: Option<String>,
    /// The version of what runs there, by which a split sends it callers
    #[arg(long, value_name = "VERSION", requires = "service")]
    version: Option<String>,
    /// A route, such as 'GET /api/comments/*'; may be given several times
    #[arg(long = "route", value_name = "METHOD PATH", requires = "service")]
    routes: Vec<String>,
    /// The permission that these routes ask of an API key; without it they are public
    #[arg(long, value_name = "NAME", requires = "routes")]
    permission: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct RoutesArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// Such as GET
    method: String,
    /// A path such as /api/comments/a, or a url with the host that the request would carry
    #[arg(value_name = "PATH_OR_URL")]
    request: String,
    /// An address: says where it is too, and how far the service's instances are from there
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The name of an API key: says whether a request with it is let in
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// The origin of a page, such as https://app.example.org: says whether the page may read the answer
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct ReadyArgs {
    #[command(flatten)]
    target: Target,
}

pub(super) fn register(args: &RegisterArgs) -> Result<()> {
    let body = match args.file.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read stdin")?;
            text
        }
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?,
        None => serde_json::to_string(&registration(args)?)?,
    };
    let answer = ask(&args.target, "POST", &["internal", "register-service"], &[], Some(body))?;
    show(args.format, &answer, |answer: Registered| {
        let [service, instance] = [clean(answer.service.as_str()), clean(answer.instance.as_str())];
        let (routes, health) = (counted(answer.routes as u64, "route"), clean(answer.health.as_str()));
        let warnings: String = answer.warnings.iter().map(|warning| format!("warning: {}\n", clean(warning))).collect();
        let canary = if answer.canary { " as a canary" } else { "" };
        format!("registered {service}/{instance}{canary} with {routes}; health {health}\n{warnings}")
    })
}

/// The body that the options say.
fn registration(args: &RegisterArgs) -> Result<Registration> {
    let route = |text: &String| {
        let (method, path) = text.split_once(char::is_whitespace).with_context(|| {
            format!("--route \"{text}\" must be a method and a path, such as 'GET /api/comments/*'")
        })?;
        Ok(Route { permission: args.permission.clone(), ..Route::public(method, path.trim()) })
    };
    let routes = args.routes.iter().map(route).collect::<Result<Vec<_>>>()?;
    // clap asks for both where there is no file.
    let (service, url) = (args.service.clone().unwrap_or_default(), args.upstream.clone().unwrap_or_default());
    // An instance without a word about the service joins it.
    let routes = Some(routes).filter(|routes| !routes.is_empty());
    Ok(Registration { routes, version: args.version.clone(), ..Registration::new(service, url) })
}

pub(super) fn routes(args: &RoutesArgs) -> Result<()> {
    let answer = ask(&args.target, "GET", &["internal", "routes"], &[], None)?;
    show(args.format, &answer, |answer: Routes| {
        let rows = answer.routes.iter().map(|route| {
            let owner = route.service.as_ref().map(ToString::to_string);
            let owner = owner.or(route.url.clone()).or(route.answer.clone());
            let kind = if route.is_static { "static" } else { "service" };
            vec![
                clean(&route.method),
                clean(&route.path),
                cell(route.host.as_deref()),
                access(route.permission.as_deref(), route.auth.as_deref(), route.has_other_auth),
                kind.to_owned(),
                cell(owner.as_deref()),
                clean(route.status.as_str()),
            ]
        });
        let rows: Vec<_> = rows.collect();
        table(&["METHOD", "PATH", "HOST", "PERMISSION", "KIND", "OWNER", "STATUS"], &rows)
    })
}

pub(super) fn explain(args: &ExplainArgs) -> Result<()> {
    let client = args.client.map(|client| client.to_string());
    let mut query = vec![("method", args.method.as_str()), ("url", args.request.as_str())];
    query.extend(client.as_deref().map(|client| ("client", client)));
    query.extend(args.key.as_deref().map(|key| ("key", key)));
    query.extend(args.origin.as_deref().map(|origin| ("origin", origin)));
    let answer = ask(&args.target, "GET", &["internal", "explain"], &query, None)?;
    show(args.format, &answer, |answer: Explanation| {
        let rows = answer.candidates.iter().map(|candidate| {
            let (route, mark) = (&candidate.route, if candidate.won { "*" } else { "" });
            vec![
                mark.to_owned(),
                clean(&route.method),
                clean(&route.path),
                access(route.permission.as_deref(), route.auth.as_deref(), route.has_other_auth),
                cell(route.service.as_ref()),
                clean(&candidate.reason),
            ]
        });
        let rows: Vec<_> = rows.collect();
        let verdict = format!("{}: {}\n", clean(answer.verdict.as_str()), clean(&answer.reason));
        let candidates = match rows.as_slice() {
            [] => String::new(),
            rows => table(&["", "METHOD", "PATH", "PERMISSION", "SERVICE", "WHY"], rows),
        };
        let warnings: String = answer.warnings.iter().map(|warning| format!("warning: {}\n", clean(warning))).collect();
        verdict
            + &warnings
            + &options(&answer)
            + &candidates
            + &near(&answer.near)
            + &answer.client.as_ref().map(distances).unwrap_or_default()
    })
}

/// What was meant, most likely.
fn near(routes: &[Near]) -> String {
    let row = |one: &Near| {
        let (route, difference) = (&one.route, clean(&one.difference));
        vec![clean(&route.method), clean(&route.path), cell(route.service.as_ref()), difference]
    };
    match routes {
        [] => String::new(),
        routes => table(&["NEAR", "PATH", "SERVICE", "DIFFERENCE"], &routes.iter().map(row).collect::<Vec<_>>()),
    }
}

/// The options in force for the route, and what they mean for a page.
fn options(answer: &Explanation) -> String {
    let option = |option: &RouteOption| {
        let by = match (&option.said_by, option.line) {
            (SaidBy::Service, _) => "the service's definition".to_owned(),
            (SaidBy::Route, _) => "the route itself".to_owned(),
            (SaidBy::Rule, Some(line)) => format!("the rule in line {line}"),
            (other, _) => clean(other.as_str()),
        };
        format!("{}: {} ({by})\n", clean(&option.name), clean(&option.value))
    };
    let mut text: String = answer.options.iter().map(option).collect();
    if let Some(origin) = &answer.origin {
        let may = match origin.may_read {
            Some(true) => "may read the answer",
            Some(false) => "may not read the answer",
            None => "may read what the service lets it",
        };
        text += &format!("origin {} {may}: {}\n", clean(&origin.origin), clean(&origin.reason));
    }
    text
}

/// Where a client is, and what is near to it.
fn distances(client: &ClientDistances) -> String {
    let address = clean(&client.address);
    let [country, region, gateway] =
        [&client.country, &client.region, &client.gateway_region].map(|one| cell(one.as_ref()));
    let place = format!("\nclient {address}: country {country}, region {region}; the gateway's region: {gateway}\n");
    if !client.chosen_by_place {
        return place + "instances are not chosen by place: by the policy, or since none of several says where it is\n";
    }
    let rows = client.instances.iter().map(|instance| {
        let distance = match instance.distance {
            0 => "in the client's country",
            1 => "in the client's region",
            2 => "in the gateway's region",
            _ => "elsewhere",
        };
        let [country, region] = [&instance.country, &instance.region].map(|one| cell(one.as_ref()));
        vec![clean(instance.instance.as_str()), country, region, distance.to_owned()]
    });
    place + &table(&["INSTANCE", "COUNTRY", "REGION", "DISTANCE"], &rows.collect::<Vec<_>>())
}

/// For supervisors: needs no rights, and says nothing where all is well.
pub(super) fn ready(args: &ReadyArgs) -> Result<()> {
    let (status, _) = exchange(&args.target, "GET", &["readyz"], &[], None, TIMEOUT)?;
    ensure!(status == 200, "furt at {} does not take requests: /readyz answered {status}", args.target.url);
    Ok(())
}

/// What a caller needs: a permission, and by whom it may be authenticated where that is not by API keys alone.
pub(super) fn access(permission: Option<&str>, auth: Option<&[String]>, has_other_auth: bool) -> String {
    let by = auth.map(|methods| format!("({})", clean(&methods.join(", "))));
    let needs = match (permission.map(clean), by) {
        (None, None) => "(public)".to_owned(),
        (None, Some(by)) => by,
        (Some(permission), None) => permission,
        (Some(permission), Some(by)) => format!("{permission} {by}"),
    };
    if has_other_auth { format!("{needs}, in part otherwise") } else { needs }
}

/// Prints an answer as it came, or as a text.
pub(super) fn show<T: DeserializeOwned>(format: Format, answer: &Answer, text: impl FnOnce(T) -> String) -> Result<()> {
    match format.output {
        Output::Json => print_json(&answer.value),
        Output::Text => print(&text(answer.read()?)),
    }
}

/// What a furt answered, with what only a newer version knows.
pub(super) struct Answer {
    url: String,
    value: Value,
}

impl Answer {
    /// The answer as this version knows it.
    ///
    /// # Errors
    /// Another version answered, or another program.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.value).map_err(|why| anyhow!("{} answers as another version: {why}", self.url))
    }
}

/// Asks a running furt; as [`exchange`] otherwise.
///
/// # Errors
/// It cannot be reached, or it refuses: every reason that it gives.
pub(super) fn ask(
    target: &Target,
    method: &str,
    path: &[&str],
    query: &[(&str, &str)],
    body: Option<String>,
) -> Result<Answer> {
    judge(target, exchange(target, method, path, query, body, TIMEOUT)?)
}

/// The same, for an answer that may come so much later.
pub(super) fn ask_patiently(
    target: &Target,
    method: &str,
    path: &[&str],
    query: &[(&str, &str)],
    body: Option<String>,
    wait: Duration,
) -> Result<Answer> {
    judge(target, exchange(target, method, path, query, body, TIMEOUT + wait)?)
}

/// The same with a body.
pub(super) fn ask_for_long(
    target: &Target,
    method: &str,
    path: &[&str],
    body: String,
    wait: Duration,
) -> Result<Answer> {
    judge(target, exchange(target, method, path, &[], Some(body), TIMEOUT + wait)?)
}

/// The body of an answer, however long, as it comes.
///
/// # Errors
/// As [`ask`]; reading it fails where the answer breaks off.
pub(super) fn download(target: &Target, path: &[&str]) -> Result<impl Read> {
    let mut answer = send(target, "GET", path, &[], None, DOWNLOAD_TIMEOUT)?;
    if answer.status().is_success() {
        return Ok(answer.into_body().into_reader());
    }
    let text = answer.body_mut().read_to_string().context("the answer broke off")?;
    Err(judge(target, (answer.status().as_u16(), text)).err().unwrap_or_else(|| anyhow!("{}", answer.status())))
}

fn judge(target: &Target, (status, text): (u16, String)) -> Result<Answer> {
    // Only where furt has no room for the connection is there no body.
    let value: Value = serde_json::from_str(&text)
        .map_err(|_| anyhow!("furt at {} answered {status}, and no JSON; try again", target.url))?;
    if (200..300).contains(&status) {
        return Ok(Answer { url: target.url.clone(), value });
    }
    Err(Problem::deserialize(value).map_or_else(|_| anyhow!("{status} -: -"), |problem| refusal(&problem)))
}

/// Status and body of an answer.
fn exchange(
    target: &Target,
    method: &str,
    path: &[&str],
    query: &[(&str, &str)],
    body: Option<String>,
    timeout: Duration,
) -> Result<(u16, String)> {
    let mut answer = send(target, method, path, query, body, timeout)?;
    let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
    let text = body.read_to_string().context("the answer broke off")?;
    Ok((answer.status().as_u16(), text))
}

/// The beginning of an answer of furt's internal listener. `path` are segments; what is odd in them is encoded.
fn send(
    target: &Target,
    method: &str,
    path: &[&str],
    query: &[(&str, &str)],
    body: Option<String>,
    timeout: Duration,
) -> Result<http::Response<ureq::Body>> {
    // A url would swallow these instead of encoding them, and so name another endpoint.
    if let Some(name) = path.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
        bail!("there is no \"{name}\": nothing can have that name");
    }
    let mut url = url::Url::parse(&target.url)
        .map_err(|_| anyhow!("--url \"{}\" must be a url such as http://127.0.0.1:8081", target.url))?;
    if !["http", "https"].contains(&url.scheme()) {
        bail!(
            "--url \"{}\" must begin with http:// or https:// and name one internal listener; furt:// is for join and lookup",
            target.url
        );
    }
    let tls = if url.scheme() == "https" { tls::settings()? } else { TlsConfig::default() };
    url.path_segments_mut().map_err(|()| anyhow!("--url \"{}\" is not a url", target.url))?.clear().extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    // furt sends nobody elsewhere, and the token is for nobody else.
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).max_redirects(0);
    let agent = config.tls_config(tls).timeout_global(Some(timeout)).build().new_agent();
    let mut request = http::Request::builder().method(method).uri(url.as_str());
    if let Some(token) = token(target)? {
        request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(http::header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(body.unwrap_or_default()).context("--token cannot be sent")?;
    let answer = agent.run(request).map_err(|why| unreachable(target, &why, timeout))?;
    ensure_internal(target, answer.headers())?;
    Ok(answer)
}

/// The token as it is sent. The line's end of the file that it was read from is no part of it.
fn token(target: &Target) -> Result<Option<&str>> {
    let token = target.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
    // Never shown, since the rest may be right.
    let is_whole = !token.is_some_and(|token| token.contains(char::is_control));
    ensure!(is_whole, "the token of --token or FURT_TOKEN has a control character in it, such as a line's end");
    Ok(token)
}

/// Refuses what any other program may have answered.
fn ensure_internal(target: &Target, headers: &http::HeaderMap) -> Result<()> {
    let url = &target.url;
    if headers.get(wire::LISTENER) == Some(&wire::INTERNAL) {
        return Ok(());
    }
    if headers.contains_key(wire::GATEWAY) {
        bail!("{url} is furt's public listener: --url or FURT_URL must name the internal one");
    }
    bail!("{url} is not furt's internal listener, or an older furt's: its answer has no X-Furt-Listener header")
}

fn unreachable(target: &Target, why: &ureq::Error, timeout: Duration) -> anyhow::Error {
    let url = &target.url;
    match why {
        ureq::Error::Io(why) if why.kind() == std::io::ErrorKind::ConnectionRefused => {
            anyhow!("nothing listens at {url}: is furt running? --url or FURT_URL names another internal listener")
        }
        ureq::Error::Timeout(_) => anyhow!("{url} did not answer within {} s", timeout.as_secs()),
        ureq::Error::Io(why) => anyhow!("furt cannot be reached at {url}: {why}"),
        why => anyhow!("furt cannot be reached at {url}: {why}"),
    }
}

/// What furt refused, and each field that was wrong on a line of its own.
fn refusal(problem: &Problem) -> anyhow::Error {
    let mut text = format!("{} {}: {}", problem.status, clean(problem.code.as_str()), cell(problem.detail.as_ref()));
    let errors = problem.errors.as_deref().unwrap_or_default();
    // A single one is what the detail says.
    for error in errors.iter().filter(|_| errors.len() > 1) {
        let what = match &error.key {
            Some(key) => place(&error.place) + &clean(key),
            None => cell(
                error
                    .pointer
                    .as_ref()
                    .or(error.parameter.as_ref())
                    .or(error.name.as_ref())
                    .or(error.fingerprint.as_ref()),
            ),
        };
        text += &format!("\n{what}: {}", clean(&error.detail));
    }
    anyhow!(text)
}
