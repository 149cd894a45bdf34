//! Verbs that speak to a running furt over its internal listener.

use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::output::{cell, print, print_json, table};
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
        None => registration(args)?.to_string(),
    };
    let answer = ask(&args.target, "POST", &["internal", "register-service"], &[], Some(body))?;
    show(args.format, &answer, |answer| {
        let [service, instance, routes, health] =
            ["service", "instance", "routes", "health"].map(|name| cell(&answer[name]));
        let count = if routes == "1" { "" } else { "s" };
        format!("registered {service}/{instance} with {routes} route{count}; health {health}\n")
    })
}

/// The body that the options say.
fn registration(args: &RegisterArgs) -> Result<Value> {
    let route = |text: &String| {
        let (method, path) = text.split_once(char::is_whitespace).with_context(|| {
            format!("--route \"{text}\" must be a method and a path, such as 'GET /api/comments/*'")
        })?;
        let mut route = json!({ "method": method, "path": path.trim() });
        if let Some(permission) = &args.permission {
            route["permission"] = permission.as_str().into();
        }
        Ok(route)
    };
    let routes = args.routes.iter().map(route).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "service": args.service, "url": args.upstream, "routes": routes }))
}

pub(super) fn routes(args: &RoutesArgs) -> Result<()> {
    let answer = ask(&args.target, "GET", &["internal", "routes"], &[], None)?;
    show(args.format, &answer, |answer| {
        let rows = rows(&answer["routes"], |route| {
            let owner = if route["service"].is_null() { cell(&route["url"]) } else { cell(&route["service"]) };
            let kind = if route["static"] == true { "static" } else { "service" };
            [
                cell(&route["method"]),
                cell(&route["path"]),
                cell(&route["host"]),
                permission(route),
                kind.to_owned(),
                owner,
                cell(&route["status"]),
            ]
            .to_vec()
        });
        table(&["METHOD", "PATH", "HOST", "PERMISSION", "KIND", "OWNER", "STATUS"], &rows)
    })
}

pub(super) fn explain(args: &ExplainArgs) -> Result<()> {
    let client = args.client.map(|client| client.to_string());
    let mut query = vec![("method", args.method.as_str()), ("url", args.request.as_str())];
    query.extend(client.as_deref().map(|client| ("client", client)));
    let answer = ask(&args.target, "GET", &["internal", "explain"], &query, None)?;
    show(args.format, &answer, |answer| {
        let rows = rows(&answer["candidates"], |route| {
            let mark = if route["won"] == true { "*" } else { "" };
            [
                mark.to_owned(),
                cell(&route["method"]),
                cell(&route["path"]),
                cell(&route["service"]),
                cell(&route["reason"]),
            ]
            .to_vec()
        });
        let verdict = format!("{}: {}\n", cell(&answer["verdict"]), cell(&answer["reason"]));
        let candidates = match rows.as_slice() {
            [] => String::new(),
            rows => table(&["", "METHOD", "PATH", "SERVICE", "WHY"], rows),
        };
        verdict + &candidates + &distances(&answer["client"])
    })
}

/// Where a client is, and what is near to it; nothing where none was asked about.
fn distances(client: &Value) -> String {
    if client.is_null() {
        return String::new();
    }
    let [address, country, region, gateway] =
        ["address", "country", "region", "gateway_region"].map(|name| cell(&client[name]));
    let place = format!("\nclient {address}: country {country}, region {region}; the gateway's region: {gateway}\n");
    if client["chosen_by_place"] != true {
        return place + "instances are not chosen by place: by the policy, or since none of several says where it is\n";
    }
    let rows = rows(&client["instances"], |instance| {
        let distance = match instance["distance"].as_u64() {
            Some(0) => "in the client's country",
            Some(1) => "in the client's region",
            Some(2) => "in the gateway's region",
            _ => "elsewhere",
        };
        vec![cell(&instance["instance"]), cell(&instance["country"]), cell(&instance["region"]), distance.to_owned()]
    });
    place + &table(&["INSTANCE", "COUNTRY", "REGION", "DISTANCE"], &rows)
}

/// For supervisors: needs no rights, and says nothing where all is well.
pub(super) fn ready(args: &ReadyArgs) -> Result<()> {
    let (status, _) = exchange(&args.target, "GET", &["readyz"], &[], None, TIMEOUT)?;
    ensure!(status == 200, "furt at {} does not take requests: /readyz answered {status}", args.target.url);
    Ok(())
}

pub(super) fn permission(route: &Value) -> String {
    if route["permission"].is_null() { "(public)".to_owned() } else { cell(&route["permission"]) }
}

pub(super) fn rows(list: &Value, row: impl Fn(&Value) -> Vec<String>) -> Vec<Vec<String>> {
    list.as_array().into_iter().flatten().map(row).collect()
}

pub(super) fn show(format: Format, answer: &Value, text: impl FnOnce(&Value) -> String) -> Result<()> {
    match format.output {
        Output::Json => print_json(answer),
        Output::Text => print(&text(answer)),
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
) -> Result<Value> {
    judge(target, exchange(target, method, path, query, body, TIMEOUT)?)
}

/// The same without a body, for an answer that may come so much later.
pub(super) fn ask_patiently(
    target: &Target,
    method: &str,
    path: &[&str],
    query: &[(&str, &str)],
    wait: Duration,
) -> Result<Value> {
    judge(target, exchange(target, method, path, query, None, TIMEOUT + wait)?)
}

fn judge(target: &Target, (status, text): (u16, String)) -> Result<Value> {
    let value: Value =
        serde_json::from_str(&text).map_err(|_| anyhow!("{} is not furt: its answer is no JSON", target.url))?;
    if (200..300).contains(&status) { Ok(value) } else { Err(refusal(target, status, &value)) }
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
fn refusal(target: &Target, status: u16, problem: &Value) -> anyhow::Error {
    if problem["code"] == "route-not-found" {
        return anyhow!("{} is furt's public listener: --url or FURT_URL must name the internal one", target.url);
    }
    let mut text = format!("{status} {}: {}", cell(&problem["code"]), cell(&problem["detail"]));
    let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
    // A single one is what the detail says.
    for error in errors.iter().filter(|_| errors.len() > 1) {
        let pointer = || cell(error.get("pointer").unwrap_or(&error["parameter"]));
        let what = if error["key"].is_null() { pointer() } else { place(error) + &cell(&error["key"]) };
        text += &format!("\n{what}: {}", cell(&error["detail"]));
    }
    anyhow!(text)
}
