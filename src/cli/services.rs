//! `services`: how each service is, in a line that can be read in the middle of the night; and one of them in detail.
//!
//! Times are told as spans up to the moment at which furt answered, by its own clock: the one here may be another.

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::client::{ask, permission, rows, show};
use super::output::{cell, table};
use super::{Format, Target};

#[derive(Args)]
pub(super) struct ServicesArgs {
    /// Only this service, with its instances and routes
    service: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &ServicesArgs) -> Result<()> {
    let mut path = vec!["internal", "services"];
    path.extend(args.service.as_deref());
    let answer = ask(&args.target, "GET", &path, &[], None)?;
    show(args.format, &answer, |answer| {
        let now = Moment(instant(&answer["time"]));
        match &args.service {
            Some(_) => detail(answer, now),
            None => overview(&answer["services"], now),
        }
    })
}

/// When furt answered.
#[derive(Clone, Copy)]
struct Moment(Option<Timestamp>);

impl Moment {
    /// How long ago something was, such as `3h 12m`.
    fn since(self, time: &Value) -> String {
        let seconds = self.0.zip(instant(time)).map(|(now, then)| now.as_second() - then.as_second());
        seconds.map_or_else(|| "-".to_owned(), |seconds| span(seconds.max(0)))
    }

    /// In how long something will be.
    fn until(self, time: &Value) -> String {
        let seconds = self.0.zip(instant(time)).map(|(now, then)| then.as_second() - now.as_second());
        seconds.map_or_else(|| "-".to_owned(), |seconds| span(seconds.max(0)))
    }
}

fn instant(time: &Value) -> Option<Timestamp> {
    time.as_str()?.parse().ok()
}

/// The two largest units are enough.
fn span(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days}d {}h", hours % 24),
        () if hours > 0 => format!("{hours}h {}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {}s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

fn overview(services: &Value, now: Moment) -> String {
    let rows = rows(services, |service| {
        vec![
            cell(&service["service"]),
            status(service),
            now.since(&service["since"]),
            uptime(service),
            count(service),
            in_flight(service).to_string(),
            telling(service).map_or_else(|| "-".to_owned(), |instance| last_probe(instance, now)),
            why(service, now),
        ]
    });
    if rows.is_empty() {
        return "no service is registered\n".to_owned();
    }
    table(&["SERVICE", "STATUS", "SINCE", "UPTIME", "INSTANCES", "IN FLIGHT", "LAST PROBE", "WHY"], &rows)
}

fn detail(service: &Value, now: Moment) -> String {
    let since = format!(
        "{} ({}), changes of status: {}",
        now.since(&service["since"]),
        cell(&service["since"]),
        cell(&service["transitions"])
    );
    let mut facts = vec![("service", cell(&service["service"])), ("status", status(service))];
    facts.push(("why", why(service, now)));
    facts.push(("since", since));
    facts.push(("uptime", uptime(service)));
    facts.push(("in flight", in_flight(service).to_string()));
    facts.extend(["host", "policy", "hash_key", "slow_start", "revision"].map(|name| (name, cell(&service[name]))));
    let timeouts = ["connect", "read"].map(|name| (name, cell(&service["timeouts"][name])));
    let timeouts = timeouts.into_iter().filter(|(_, time)| time != "-");
    facts.push(("timeouts", timeouts.map(|(name, time)| format!("{name} {time} s")).collect::<Vec<_>>().join(", ")));
    let metadata = service["metadata"].as_object().into_iter().flatten();
    let metadata: Vec<_> =
        metadata.map(|(name, value)| format!("{}={}", cell(&name.as_str().into()), cell(value))).collect();
    facts.push(("metadata", metadata.join(", ")));
    let facts = facts.iter().filter(|(_, fact)| !fact.is_empty() && fact != "-");
    let facts: String = facts.map(|(name, fact)| format!("{name:10} {fact}\n")).collect();
    format!("{facts}\n{}\n{}", instances_of(service, now), routes_of(&service["routes"]))
}

/// With what else must be known to tell whether it is asked.
fn status(of: &Value) -> String {
    let is_held = of["instances"].as_array().is_some_and(Vec::is_empty);
    let more = [
        ("blocked", of["blocked"].is_string()),
        ("draining", of["draining"] == true),
        ("ejected", is_ejected(of)),
        ("held", is_held),
    ];
    let more = more.into_iter().filter(|(_, holds)| *holds).map(|(word, _)| word.to_owned());
    std::iter::once(cell(&of["status"])).chain(more).collect::<Vec<_>>().join(", ")
}

/// Cut and not rounded: what was DOWN once was not UP for 100 %.
fn uptime(service: &Value) -> String {
    let share = service["uptime_share"].as_f64().map(|share| (share * 10_000.0).floor() / 100.0);
    share.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"))
}

fn instances(service: &Value) -> impl Iterator<Item = &Value> {
    service["instances"].as_array().into_iter().flatten()
}

/// UP of all, and how many of these are draining or ejected.
fn count(service: &Value) -> String {
    let count = |holds: fn(&Value) -> bool| instances(service).filter(|instance| holds(instance)).count();
    let up = count(|instance| instance["status"] == "UP");
    let more = [("draining", count(|instance| instance["draining"] == true)), ("ejected", count(is_ejected))];
    let more = more.into_iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!(", {count} {word}"));
    format!("{up}/{}{}", instances(service).count(), more.collect::<String>())
}

/// Whether requests are kept from an instance because those before failed.
fn is_ejected(instance: &Value) -> bool {
    instance["ejected_until"].is_string()
}

fn ejection(instance: &Value, now: Moment) -> String {
    format!("requests failed, gets none for {}", now.until(&instance["ejected_until"]))
}

fn in_flight(service: &Value) -> u64 {
    instances(service).filter_map(|instance| instance["in_flight"].as_u64()).sum()
}

fn failing(service: &Value) -> impl Iterator<Item = &Value> {
    instances(service).filter(|instance| instance["last_error"].is_string())
}

/// The instance whose last probe says most: the last one that failed, or else the last one at all.
fn telling(service: &Value) -> Option<&Value> {
    let last = |instance: &&Value| instance["last_ping"].as_str().map(str::to_owned);
    failing(service).max_by_key(last).or_else(|| instances(service).max_by_key(last))
}

fn last_probe(instance: &Value, now: Moment) -> String {
    if instance["health_endpoint"].is_null() {
        return "not probed".to_owned();
    }
    let ago = now.since(&instance["last_ping"]);
    let stopped = if instance["probing"] == false { ", stopped" } else { "" };
    match (&instance["last_ping"], &instance["last_error"], instance["response_time_ms"].as_f64()) {
        (Value::Null, ..) => "none yet".to_owned(),
        (_, Value::String(_), _) => format!("failed {ago} ago{stopped}"),
        (_, _, Some(ms)) => format!("{ago} ago, {} ms", ms.ceil()),
        _ => format!("{ago} ago"),
    }
}

fn why(service: &Value, now: Moment) -> String {
    let mut reasons = Vec::new();
    if let Some(blocked) = service["blocked"].as_str() {
        reasons.push(format!("not routed: {}", cell(&blocked.into())));
    }
    if service["draining"] == true {
        reasons.push("every instance is draining: requests get 503".to_owned());
    }
    if instances(service).next().is_none() {
        reasons.push("its last instance expired: requests get 503 until the routes are freed".to_owned());
    }
    if let Some(first) = telling(service).filter(|instance| instance["last_error"].is_string()) {
        let more = failing(service).count() - 1;
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        reasons.push(format!("{}: {}{more}", cell(&first["instance"]), cell(&first["last_error"])));
    }
    let mut ejected = instances(service).filter(|instance| is_ejected(instance));
    if let Some(first) = ejected.next() {
        let more = ejected.count();
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        reasons.push(format!("{}: {}{more}", cell(&first["instance"]), ejection(first, now)));
    }
    reasons.join("; ")
}

fn instances_of(service: &Value, now: Moment) -> String {
    let rows = rows(&service["instances"], |instance| {
        let limited = |name: &str| instance[name].as_u64().filter(|&limit| limit > 0);
        let of = limited("hard_limit").map_or_else(String::new, |limit| format!(" of {limit}"));
        let ttl = instance["heartbeat_ttl"].as_f64().map_or_else(String::new, |ttl| format!(" of {ttl} s"));
        vec![
            cell(&instance["instance"]),
            status(instance),
            now.since(&instance["since"]),
            format!("{}{of}", cell(&instance["in_flight"])),
            last_probe(instance, now),
            format!("{} ago{ttl}", now.since(&instance["last_heard"])),
            cell(&instance["weight"]),
            place(instance),
            why_of(instance, now),
        ]
    });
    table(&["INSTANCE", "STATUS", "SINCE", "IN FLIGHT", "LAST PROBE", "HEARD", "WEIGHT", "URL", "WHY"], &rows)
}

/// Why it is not asked, or was not well.
fn why_of(instance: &Value, now: Moment) -> String {
    let ejection = is_ejected(instance).then(|| ejection(instance, now));
    let error = instance["last_error"].is_string().then(|| cell(&instance["last_error"]));
    let reasons: Vec<_> = error.into_iter().chain(ejection).collect();
    if reasons.is_empty() { "-".to_owned() } else { reasons.join("; ") }
}

/// The url, and where its name leads.
fn place(instance: &Value) -> String {
    let url = cell(&instance["url"]);
    let addresses: Vec<_> = instance["addresses"].as_array().into_iter().flatten().map(cell).collect();
    let is_plain = addresses.iter().any(|address| url.contains(address.as_str()));
    match addresses.as_slice() {
        [] => format!("{url} (does not resolve)"),
        _ if is_plain => url,
        _ => format!("{url} ({})", addresses.join(", ")),
    }
}

fn routes_of(routes: &Value) -> String {
    if routes.as_array().is_none_or(Vec::is_empty) {
        return "no routes of its own: reached by host, as `furt routes` shows\n".to_owned();
    }
    let rows = rows(routes, |route| {
        let routed = if route["routed"] == true { "yes" } else { "no" };
        vec![cell(&route["method"]), cell(&route["path"]), permission(route), routed.to_owned()]
    });
    table(&["METHOD", "PATH", "PERMISSION", "ROUTED"], &rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2025-11-14T20:30:00.500Z";

    fn now() -> Moment {
        Moment(instant(&NOW.into()))
    }

    fn instance(id: &str, status: &str, error: Option<&str>) -> Value {
        json!({ "instance": id, "url": "http://127.0.0.1:7812", "addresses": ["127.0.0.1:7812"], "status": status,
            "draining": false, "since": "2025-11-14T17:18:00Z", "health_endpoint": "/health", "probing": true,
            "last_ping": "2025-11-14T20:29:56Z", "response_time_ms": error.is_none().then_some(2.1),
            "last_error": error, "in_flight": 2, "weight": 1, "hard_limit": 0, "heartbeat_ttl": null,
            "last_heard": "2025-11-14T20:29:00Z" })
    }

    fn service(status: &str, instances: Value) -> Value {
        json!({ "service": "sagjan", "status": status, "blocked": null, "draining": false,
            "since": "2025-11-14T17:18:00Z", "uptime_share": 0.999_999, "transitions": 3, "host": null,
            "policy": "edge", "revision": 0, "routes": [], "instances": instances,
            "timeouts": { "connect": null, "read": 5.0 }, "metadata": { "team": "web\u{1b}[31m" } })
    }

    /// The cells of the one row after the service's name.
    fn row(service: &Value) -> String {
        let text = overview(&json!([service]), now());
        let columns: Vec<_> = text.lines().last().unwrap().split("  ").map(str::trim).collect();
        columns.into_iter().filter(|column| !column.is_empty()).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn spans_are_told_by_their_two_largest_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1m 0s"),
            (3599, "59m 59s"),
            (11_520, "3h 12m"),
            (86_399, "23h 59m"),
            (86_400, "1d 0h"),
            (100 * 86_400 + 7200, "100d 2h"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn a_line_says_how_a_service_is_and_why() {
        let good = service("UP", json!([instance("a", "UP", None), instance("b", "UP", None)]));
        assert_eq!(row(&good), "sagjan | UP | 3h 12m | 99.99% | 2/2 | 4 | 4 s ago, 3 ms");

        let mut later = instance("b", "UP", Some("no answer in time"));
        later["last_ping"] = "2025-11-14T20:29:48Z".into();
        let one = service("UP", json!([instance("a", "UP", None), later.clone()]));
        assert_eq!(row(&one), "sagjan | UP | 3h 12m | 99.99% | 2/2 | 4 | failed 12 s ago | b: no answer in time");

        let mut stopped = instance("a", "DOWN", Some("connection refused"));
        stopped["probing"] = false.into();
        let down = service("DOWN", json!([stopped, later]));
        let expected = "sagjan | DOWN | 3h 12m | 99.99% | 1/2 | 4 | failed 4 s ago, stopped | \
            a: connection refused (and 1 more)";
        assert_eq!(row(&down), expected);
    }

    #[test]
    fn what_keeps_requests_from_a_service_is_told() {
        let held = service("DOWN", json!([]));
        assert!(row(&held).starts_with("sagjan | DOWN, held | 3h 12m | 99.99% | 0/0 | 0 | - | its last instance"));
        let mut blocked = service("UP", json!([instance("a", "UP", None)]));
        blocked["blocked"] = "the service has no grant".into();
        assert!(
            row(&blocked).contains("UP, blocked") && row(&blocked).ends_with("not routed: the service has no grant")
        );
        let mut draining = service("UP", json!([instance("a", "UP", None), instance("b", "UP", None)]));
        draining["instances"][0]["draining"] = true.into();
        assert!(row(&draining).contains("UP | 3h 12m | 99.99% | 2/2, 1 draining | 4"), "{}", row(&draining));
        draining["draining"] = true.into();
        assert!(row(&draining).contains("UP, draining") && row(&draining).ends_with("requests get 503"));
        let mut unprobed = instance("a", "UP", None);
        unprobed["health_endpoint"] = Value::Null;
        assert!(row(&service("UP", json!([unprobed]))).ends_with("| not probed"));
        let mut fresh = instance("a", "UNKNOWN", None);
        fresh["last_ping"] = Value::Null;
        assert!(row(&service("UNKNOWN", json!([fresh]))).ends_with("| none yet"));
        assert_eq!(overview(&json!([]), now()), "no service is registered\n");
    }

    #[test]
    fn an_ejected_instance_is_told_with_the_time_that_is_left() {
        let ejected = |id: &str| {
            let mut one = instance(id, "UP", None);
            one["ejected_until"] = "2025-11-14T20:30:08Z".into();
            one
        };
        let one = service("UP", json!([instance("a", "UP", None), ejected("b")]));
        assert!(row(&one).contains("| 2/2, 1 ejected | 4"), "{}", row(&one));
        assert!(row(&one).ends_with("| b: requests failed, gets none for 8 s"), "{}", row(&one));
        let line = detail(&one, now()).lines().find(|line| line.starts_with("b  ")).unwrap().to_owned();
        assert!(line.contains("UP, ejected") && line.ends_with("requests failed, gets none for 8 s"), "{line}");
        let two = service("UP", json!([ejected("a"), ejected("b"), instance("c", "UP", Some("refused"))]));
        let expected = "c: refused; a: requests failed, gets none for 8 s (and 1 more)";
        assert!(row(&two).contains("3/3, 2 ejected") && row(&two).ends_with(expected), "{}", row(&two));
    }

    #[test]
    fn the_detail_shows_instances_and_routes_and_no_control_characters() {
        let mut one = instance("a", "UP", None);
        one["hard_limit"] = 10.into();
        one["heartbeat_ttl"] = 60.0.into();
        one["url"] = "http://box:7812".into();
        let mut shown = service("UP", json!([one]));
        shown["routes"] = json!([{ "method": "GET", "path": "/a", "permission": null, "routed": true }]);
        let expected = "\
service    sagjan
status     UP
since      3h 12m (2025-11-14T17:18:00Z), changes of status: 3
uptime     99.99%
in flight  2
policy     edge
revision   0
timeouts   read 5.0 s
metadata   team=web\u{fffd}[31m

INSTANCE  STATUS  SINCE   IN FLIGHT  LAST PROBE      HEARD               WEIGHT  URL                               WHY
a         UP      3h 12m  2 of 10    4 s ago, 3 ms   1m 0s ago of 60 s   1       http://box:7812 (127.0.0.1:7812)  -

METHOD  PATH  PERMISSION  ROUTED
GET     /a    (public)    yes
";
        let squeeze = |text: &str| {
            let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(squeeze(&detail(&shown, now())), squeeze(expected));
    }
}
