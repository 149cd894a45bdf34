//! Verbs that speak to a running furt over its internal listener.

use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use furt_api::registration::{Registered, Registration, Route};
use furt_api::routes::{ClientDistances, Explanation, Routes};
use furt_api::{Code, Problem};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::output::{cell, clean, counted, print, print_json, table};
use super::reload::place;
use super::{Format, Output, Target};

/// For a whole exchange: registering resolves a name (1 s) and waits for the store.
const TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Args)]
pub(super) struct RegisterArgs {
    /// A JSON file with service, url, routes and so on; "-" is stdin
    #[arg(required_unless_present = "service", conflicts_with_all = ["service", "upstream", "routes", "permission"])]
    file: Option<String>,
    /// Instead of a file: the service's name
    #[arg(long, value_name = "NAME", requires = "upstream")]
    service: Option<String>,
    /// Where its instance is, such as http://127.0.0.1:7812
    #[arg(long, value_name = "URL", requires = "service")]
    upstream: Option<String>,
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
        format!("registered {service}/{instance} with {routes}; health {health}\n")
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
    Ok(Registration { routes, ..Registration::new(service, url) })
}

pub(super) fn routes(args: &RoutesArgs) -> Result<()> {
    let answer = ask(&args.target, "GET", &["internal", "routes"], &[], None)?;
    show(args.format, &answer, |answer: Routes| {
        let rows = answer.routes.iter().map(|route| {
            let owner = route.service.as_ref().map(ToString::to_string).or(route.url.clone());
            let kind = if route.is_static { "static" } else { "service" };
            vec![
                clean(&route.method),
                clean(&route.path),
                cell(route.host.as_deref()),
                permission(route.permission.as_deref()),
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
    let answer = ask(&args.target, "GET", &["internal", "explain"], &query, None)?;
    show(args.format, &answer, |answer: Explanation| {
        let rows = answer.candidates.iter().map(|candidate| {
            let (route, mark) = (&candidate.route, if candidate.won { "*" } else { "" });
            vec![
                mark.to_owned(),
                clean(&route.method),
                clean(&route.path),
                cell(route.service.as_ref()),
                clean(&candidate.reason),
            ]
        });
        let rows: Vec<_> = rows.collect();
        let verdict = format!("{}: {}\n", clean(answer.verdict.as_str()), clean(&answer.reason));
        let candidates = match rows.as_slice() {
            [] => String::new(),
            rows => table(&["", "METHOD", "PATH", "SERVICE", "WHY"], rows),
        };
        let warnings: String = answer.warnings.iter().map(|warning| format!("warning: {}\n", clean(warning))).collect();
        verdict + &warnings + &candidates + &answer.client.as_ref().map(distances).unwrap_or_default()
    })
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

pub(super) fn permission(permission: Option<&str>) -> String {
    permission.map_or_else(|| "(public)".to_owned(), clean)
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

/// The same without a body, for an answer that may come so much later.
pub(super) fn ask_patiently(
    target: &Target,
    method: &str,
    path: &[&str],
    query: &[(&str, &str)],
    wait: Duration,
) -> Result<Answer> {
    judge(target, exchange(target, method, path, query, None, TIMEOUT + wait)?)
}

fn judge(target: &Target, (status, text): (u16, String)) -> Result<Answer> {
    let value: Value =
        serde_json::from_str(&text).map_err(|_| anyhow!("{} is not furt: its answer is no JSON", target.url))?;
    if (200..300).contains(&status) {
        return Ok(Answer { url: target.url.clone(), value });
    }
    Err(Problem::deserialize(value).map_or_else(|_| anyhow!("{status} -: -"), |problem| refusal(target, &problem)))
}

/// Status and body of an answer. `path` are segments; what is odd in them is encoded.
fn exchange(
    target: &Target,
    method: &str,
    path: &[&str],
    query: &[(&str, &str)],
    body: Option<String>,
    timeout: Duration,
) -> Result<(u16, String)> {
    // A url would swallow these instead of encoding them, and so name another endpoint.
    if let Some(name) = path.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
        bail!("\"{name}\" is not registered: nothing can have that name");
    }
    let mut url = url::Url::parse(&target.url)
        .map_err(|_| anyhow!("--url \"{}\" must be a url such as http://127.0.0.1:8081", target.url))?;
    if url.scheme() != "http" {
        bail!("--url \"{}\" must begin with http://; the internal listener speaks nothing else", target.url);
    }
    url.path_segments_mut().map_err(|()| anyhow!("--url \"{}\" is not a url", target.url))?.clear().extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).proxy(None);
    let agent = config.build().new_agent();
    let mut request = http::Request::builder().method(method).uri(url.as_str());
    if let Some(token) = &target.token {
        request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(http::header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(body.unwrap_or_default()).context("--token cannot be sent")?;
    let mut answer = agent.run(request).map_err(|why| unreachable(target, &why, timeout))?;
    let text = answer.body_mut().read_to_string().context("the answer broke off")?;
    Ok((answer.status().as_u16(), text))
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
fn refusal(target: &Target, problem: &Problem) -> anyhow::Error {
    if problem.code == Code::RouteNotFound {
        return anyhow!("{} is furt's public listener: --url or FURT_URL must name the internal one", target.url);
    }
    let mut text = format!("{} {}: {}", problem.status, clean(problem.code.as_str()), cell(problem.detail.as_ref()));
    let errors = problem.errors.as_deref().unwrap_or_default();
    // A single one is what the detail says.
    for error in errors.iter().filter(|_| errors.len() > 1) {
        let what = match &error.key {
            Some(key) => place(&error.place) + &clean(key),
            None => cell(error.pointer.as_ref().or(error.parameter.as_ref())),
        };
        text += &format!("\n{what}: {}", clean(&error.detail));
    }
    anyhow!(text)
}
