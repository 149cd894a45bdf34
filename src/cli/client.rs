//! Verbs that speak to a running furt over its internal listener.

use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use serde_json::Value;

use super::output::{cell, print, print_json, table};
use super::{Format, Output, Target};

/// For a whole exchange: registering resolves a name (1 s) and waits for the store.
const TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Args)]
pub(super) struct RegisterArgs {
    /// A JSON file with service, url, routes and so on; "-" is stdin
    file: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct DeregisterArgs {
    /// The service's name
    service: String,
    /// Only this instance; the service stays while it has others
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct ServicesArgs {
    /// Only this service, with its routes
    service: Option<String>,
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
    let body = if args.file == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read stdin")?;
        text
    } else {
        std::fs::read_to_string(&args.file).with_context(|| format!("cannot read {}", args.file))?
    };
    let answer = ask(&args.target, "POST", &["internal", "register-service"], &[], Some(body))?;
    show(args.format, &answer, |answer| {
        let [service, instance, routes, health] =
            ["service", "instance", "routes", "health"].map(|name| cell(&answer[name]));
        let count = if routes == "1" { "" } else { "s" };
        format!("registered {service}/{instance} with {routes} route{count}; health {health}\n")
    })
}

pub(super) fn deregister(args: &DeregisterArgs) -> Result<()> {
    let mut path = vec!["internal", "services", &args.service];
    path.extend(args.instance.iter().flat_map(|instance| ["instances", instance]));
    let answer = ask(&args.target, "DELETE", &path, &[], None)?;
    show(args.format, &answer, |answer| {
        let gone = args.instance.as_ref().map_or_else(String::new, |instance| format!("/{instance}"));
        let count = if answer["instances"] == 1 { "" } else { "s" };
        format!("deregistered {}{gone}: {} instance{count} removed\n", args.service, cell(&answer["instances"]))
    })
}

pub(super) fn services(args: &ServicesArgs) -> Result<()> {
    let mut path = vec!["internal", "services"];
    path.extend(args.service.as_deref());
    let answer = ask(&args.target, "GET", &path, &[], None)?;
    show(args.format, &answer, |answer| match &args.service {
        Some(_) => format!("{}\n{}", instances_of(std::slice::from_ref(answer)), routes_of(&answer["routes"])),
        None => instances_of(answer["services"].as_array().map_or(&[], Vec::as_slice)),
    })
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
    let (status, _) = exchange(&args.target, "GET", &["readyz"], &[], None)?;
    ensure!(status == 200, "furt at {} does not take requests: /readyz answered {status}", args.target.url);
    Ok(())
}

fn instances_of(services: &[Value]) -> String {
    let row = |service: &Value, instance: Option<&Value>| {
        let of = |name: &str| instance.map_or_else(|| "-".to_owned(), |instance| cell(&instance[name]));
        let probing =
            instance.is_some_and(|instance| instance["probing"] == false && !instance["health_endpoint"].is_null());
        let error = if probing { format!("{} (stopped)", of("last_error")) } else { of("last_error") };
        vec![
            cell(&service["service"]),
            cell(&service["status"]),
            of("instance"),
            of("status"),
            of("url"),
            of("last_ping"),
            of("in_flight"),
            error,
        ]
    };
    let rows: Vec<_> = services
        .iter()
        .flat_map(|service| match service["instances"].as_array().map(Vec::as_slice) {
            Some([]) | None => vec![row(service, None)],
            Some(instances) => instances.iter().map(|instance| row(service, Some(instance))).collect(),
        })
        .collect();
    table(&["SERVICE", "STATUS", "INSTANCE", "STATUS", "URL", "LAST PROBE", "IN FLIGHT", "LAST ERROR"], &rows)
}

fn routes_of(routes: &Value) -> String {
    if routes.as_array().is_none_or(Vec::is_empty) {
        return "no routes of its own: reached by host, as `furt routes` shows\n".to_owned();
    }
    let rows = rows(routes, |route| {
        vec![cell(&route["method"]), cell(&route["path"]), permission(route), cell(&route["routed"])]
    });
    table(&["METHOD", "PATH", "PERMISSION", "ROUTED"], &rows)
}

fn permission(route: &Value) -> String {
    if route["permission"].is_null() { "(public)".to_owned() } else { cell(&route["permission"]) }
}

fn rows(list: &Value, row: impl Fn(&Value) -> Vec<String>) -> Vec<Vec<String>> {
    list.as_array().into_iter().flatten().map(row).collect()
}

fn show(format: Format, answer: &Value, text: impl FnOnce(&Value) -> String) -> Result<()> {
    match format.output {
        Output::Json => print_json(answer),
        Output::Text => print(&text(answer)),
    }
}

/// Asks a running furt; as [`exchange`] otherwise.
///
/// # Errors
/// It cannot be reached, or it refuses: every reason that it gives.
fn ask(target: &Target, method: &str, path: &[&str], query: &[(&str, &str)], body: Option<String>) -> Result<Value> {
    let (status, text) = exchange(target, method, path, query, body)?;
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
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).proxy(None);
    let agent = config.build().new_agent();
    let mut request = http::Request::builder().method(method).uri(url.as_str());
    if let Some(token) = &target.token {
        request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(http::header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(body.unwrap_or_default()).context("--token cannot be sent")?;
    let mut answer = agent.run(request).map_err(|why| unreachable(target, &why))?;
    let text = answer.body_mut().read_to_string().context("the answer broke off")?;
    Ok((answer.status().as_u16(), text))
}

fn unreachable(target: &Target, why: &ureq::Error) -> anyhow::Error {
    let url = &target.url;
    match why {
        ureq::Error::Io(why) if why.kind() == std::io::ErrorKind::ConnectionRefused => {
            anyhow!("nothing listens at {url}: is furt running? --url or FURT_URL names another internal listener")
        }
        ureq::Error::Timeout(_) => anyhow!("{url} did not answer within {} s", TIMEOUT.as_secs()),
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
        text += &format!("\n{}: {}", cell(&error["pointer"]), cell(&error["detail"]));
    }
    anyhow!(text)
}
