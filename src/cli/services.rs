//! `services`: how each service is, in a line that can be read in the middle of the night; and one of them in detail.
//!
//! Times are told as spans up to the moment at which furt answered, by its own clock: the one here may be another.

use anyhow::Result;
use clap::Args;
use furt_api::deregistration::DrainUntil;
use furt_api::maintenance::Maintenance;
use furt_api::services::{Drain, HeldId, Instance, Service, ServiceRoute, Services};
use furt_api::splits::Split;
use furt_api::{Status, Timestamp};

use super::client::{access, ask, show};
use super::output::{cell, clean, list, table, who};
use super::split::shares;
use super::{Format, Target};

#[derive(Args)]
pub(super) struct ServicesArgs {
    /// Only this service, with its instances and routes
    service: Option<String>,
    /// Each service with its instances and routes, as with its name
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &ServicesArgs) -> Result<()> {
    let mut path = vec!["internal", "services"];
    path.extend(args.service.as_deref());
    let answer = ask(&args.target, "GET", &path, &[], None)?;
    match &args.service {
        Some(_) => show(args.format, &answer, |service: Service| {
            detail(&service, Moment(service.time.as_ref().and_then(instant)))
        }),
        None => show(args.format, &answer, |answer: Services| {
            let now = Moment(instant(&answer.time));
            let services = if args.verbose { details(&answer.services, now) } else { overview(&answer.services, now) };
            services + &held(&answer.held, now)
        }),
    }
}

/// When furt answered.
#[derive(Clone, Copy)]
struct Moment(Option<jiff::Timestamp>);

impl Moment {
    /// How long ago something was, such as `3h 12m`.
    fn since(self, time: Option<&Timestamp>) -> String {
        self.to_span(time, |now, then| now - then)
    }

    /// In how long something will be.
    fn until(self, time: Option<&Timestamp>) -> String {
        self.to_span(time, |now, then| then - now)
    }

    fn to_span(self, time: Option<&Timestamp>, seconds: fn(i64, i64) -> i64) -> String {
        let pair = self.0.zip(time.and_then(instant));
        let seconds = pair.map(|(now, then)| seconds(now.as_second(), then.as_second()));
        seconds.map_or_else(|| "-".to_owned(), |seconds| span(seconds.max(0)))
    }
}

fn instant(time: &Timestamp) -> Option<jiff::Timestamp> {
    time.as_str().parse().ok()
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

/// Each service as with its name, one after the other.
fn details(services: &[Service], now: Moment) -> String {
    match services {
        [] => overview(services, now),
        services => services.iter().map(|service| detail(service, now)).collect::<Vec<_>>().join("\n"),
    }
}

fn overview(services: &[Service], now: Moment) -> String {
    let rows = services.iter().map(|service| {
        vec![
            clean(service.service.as_str()),
            status_of_service(service),
            now.since(Some(&service.since)),
            uptime(service),
            count(service),
            in_flight(service).to_string(),
            telling(service).map_or_else(|| "-".to_owned(), |instance| last_probe(instance, now)),
            why(service, now),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return "no service is registered\n".to_owned();
    }
    table(&["SERVICE", "STATUS", "SINCE", "UPTIME", "INSTANCES", "IN FLIGHT", "LAST PROBE", "WHY"], &rows)
}

/// Ids that are held and have no line above.
fn held(held: &[HeldId], now: Moment) -> String {
    let line = |one: &HeldId| {
        let (service, instance) = (clean(one.service.as_str()), clean(one.instance.as_str()));
        format!("held: {service}/{instance}, {}\n", drained(&one.drain, now))
    };
    held.iter().map(line).collect()
}

/// What a drain waits for, and who began it.
fn drained(drain: &Drain, now: Moment) -> String {
    let by = drain.from.as_deref().map(|from| format!(", by {}", who(from, drain.by.as_deref()))).unwrap_or_default();
    let since = drain.since.as_ref().map(|since| format!(" {} ago", now.since(Some(since)))).unwrap_or_default();
    let undo = if drain.needs_undo && drain.until != DrainUntil::Undo { " or undo" } else { "" };
    format!("draining until {}{undo}{by}{since}", clean(drain.until.as_str()))
}

fn detail(service: &Service, now: Moment) -> String {
    let since = &service.since;
    let since =
        format!("{} ({}), changes of status: {}", now.since(Some(since)), cell(Some(since)), service.transitions);
    let timeouts = [("connect", service.timeouts.connect), ("read", service.timeouts.read)];
    let timeouts = timeouts.into_iter().filter_map(|(name, time)| Some(format!("{name} {} s", time?)));
    let metadata = service.metadata.iter().map(|(name, value)| format!("{}={}", clean(name), clean(value)));
    let facts = [
        ("service", clean(service.service.as_str())),
        ("status", status_of_service(service)),
        ("why", why(service, now)),
        ("since", since),
        ("uptime", uptime(service)),
        ("in flight", in_flight(service).to_string()),
        ("host", cell(service.host.as_ref())),
        ("policy", clean(&service.policy)),
        ("hash_key", cell(service.hash_key.as_ref())),
        ("sticky_by", cell(service.sticky_by.as_ref())),
        ("slow_start", cell(service.slow_start.as_ref())),
        ("split", service.split.as_ref().map(|split| told_split(split, now)).unwrap_or_default()),
        ("revision", service.revision.to_string()),
        ("timeouts", timeouts.collect::<Vec<_>>().join(", ")),
        ("metadata", metadata.collect::<Vec<_>>().join(", ")),
    ];
    let facts = facts.iter().filter(|(_, fact)| !fact.is_empty() && fact != "-");
    let facts: String = facts.map(|(name, fact)| format!("{name:10} {fact}\n")).collect();
    let documents: String = service.instances.iter().filter_map(document).collect();
    format!("{facts}\n{}{documents}\n{}", instances_of(service, now), routes_of(&service.routes))
}

fn status_of_service(service: &Service) -> String {
    let marks = [
        ("blocked", service.blocked.is_some()),
        ("maintenance", !service.maintenance.is_empty()),
        ("split", service.split.is_some()),
        ("draining", service.draining),
        ("held", service.instances.is_empty()),
    ];
    status(&service.status, &marks)
}

fn status_of_instance(instance: &Instance) -> String {
    status(&instance.status, &[("draining", instance.draining), ("ejected", is_ejected(instance))])
}

/// With what else must be known to tell whether it is asked.
fn status(status: &Status, marks: &[(&str, bool)]) -> String {
    let marks = marks.iter().filter(|(_, holds)| *holds).map(|(word, _)| (*word).to_owned());
    std::iter::once(clean(status.as_str())).chain(marks).collect::<Vec<_>>().join(", ")
}

/// Cut and not rounded: what was DOWN once was not UP for 100 %.
fn uptime(service: &Service) -> String {
    format!("{}%", (service.uptime_share * 10_000.0).floor() / 100.0)
}

/// UP of all, and how many of these are draining or ejected.
fn count(service: &Service) -> String {
    let count = |holds: fn(&Instance) -> bool| service.instances.iter().filter(|instance| holds(instance)).count();
    let up = count(|instance| instance.status == Status::Up);
    let more = [("draining", count(|instance| instance.draining)), ("ejected", count(is_ejected))];
    let more = more.into_iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!(", {count} {word}"));
    format!("{up}/{}{}", service.instances.len(), more.collect::<String>())
}

/// Whether requests are kept from an instance because those before failed.
fn is_ejected(instance: &Instance) -> bool {
    instance.ejected_until.is_some()
}

fn ejection(instance: &Instance, now: Moment) -> String {
    format!("requests failed, gets none for {}", now.until(instance.ejected_until.as_ref()))
}

fn in_flight(service: &Service) -> u64 {
    service.instances.iter().map(|instance| u64::from(instance.in_flight)).sum()
}

fn failing(service: &Service) -> impl Iterator<Item = &Instance> {
    service.instances.iter().filter(|instance| instance.last_error.is_some())
}

/// The instance whose last probe says most: the last one that failed, or else the last one at all.
fn telling(service: &Service) -> Option<&Instance> {
    let last = |one: &&Instance, other: &&Instance| one.last_ping.cmp(&other.last_ping);
    failing(service).max_by(last).or_else(|| service.instances.iter().max_by(last))
}

fn last_probe(instance: &Instance, now: Moment) -> String {
    if instance.health_endpoint.is_none() {
        return "not probed".to_owned();
    }
    let ago = now.since(instance.last_ping.as_ref());
    let stopped = if instance.probing { "" } else { ", stopped" };
    match (&instance.last_ping, &instance.last_error, instance.response_time_ms) {
        (None, ..) => "none yet".to_owned(),
        (_, Some(_), _) => format!("failed {ago} ago{stopped}"),
        (_, _, Some(ms)) => format!("{ago} ago, {} ms", ms.ceil()),
        _ => format!("{ago} ago"),
    }
}

fn why(service: &Service, now: Moment) -> String {
    let mut reasons = Vec::new();
    if let Some(blocked) = &service.blocked {
        reasons.push(format!("not routed: {}", clean(blocked)));
    }
    reasons.extend(service.maintenance.iter().map(|one| in_maintenance(one, now)));
    reasons.extend(service.warnings.iter().map(|warning| format!("warning: {}", clean(warning))));
    if service.draining {
        reasons.push("every instance is draining: requests get 503".to_owned());
    }
    if service.instances.is_empty() {
        reasons.push("its last instance expired: requests get 503 until the routes are freed".to_owned());
    }
    if let Some((first, error)) = telling(service).and_then(|instance| Some((instance, instance.last_error.as_ref()?)))
    {
        let more = and_more(failing(service).count() - 1);
        reasons.push(format!("{}: {}{more}", clean(first.instance.as_str()), clean(error)));
    }
    let mut ejected = service.instances.iter().filter(|instance| is_ejected(instance));
    if let Some(first) = ejected.next() {
        let more = and_more(ejected.count());
        reasons.push(format!("{}: {}{more}", clean(first.instance.as_str()), ejection(first, now)));
    }
    reasons.join("; ")
}

/// Until when, and what clients are told.
fn in_maintenance(maintenance: &Maintenance, now: Moment) -> String {
    let all = if maintenance.service.is_none() { " with all services" } else { "" };
    let until = maintenance.until.as_ref();
    let until = until
        .map_or_else(|| "until it is switched off".to_owned(), |until| format!("for {} more", now.until(Some(until))));
    let allowed = if maintenance.allow_from.is_empty() {
        String::new()
    } else {
        format!(", but for clients from {}", list(&maintenance.allow_from))
    };
    let message = maintenance.message.as_deref().map(|message| format!(": {}", clean(message))).unwrap_or_default();
    format!("in maintenance{all} {until}{allowed}{message}")
}

/// Who goes where, and who said so.
fn told_split(split: &Split, now: Moment) -> String {
    let header = split.header.as_ref().map(|header| format!("; the header {} chooses", clean(header)));
    let strict = if split.strict { "; strict" } else { "" };
    let since = now.since(Some(&split.since));
    format!(
        "{}{}{strict}; by {} {since} ago",
        shares(split),
        header.unwrap_or_default(),
        who(&split.from, split.by.as_deref())
    )
}

fn and_more(count: usize) -> String {
    if count > 0 { format!(" (and {count} more)") } else { String::new() }
}

fn instances_of(service: &Service, now: Moment) -> String {
    let rows = service.instances.iter().map(|instance| {
        let of = if instance.hard_limit > 0 { format!(" of {}", instance.hard_limit) } else { String::new() };
        let ttl = instance.heartbeat_ttl.map_or_else(String::new, |ttl| format!(" of {} s", ttl.0));
        vec![
            clean(instance.instance.as_str()),
            status_of_instance(instance),
            now.since(Some(&instance.since)),
            format!("{}{of}", instance.in_flight),
            last_probe(instance, now),
            format!("{} ago{ttl}", now.since(Some(&instance.last_heard))),
            instance.weight.to_string(),
            cell(instance.version.as_ref()),
            place(instance),
            why_of(instance, now),
        ]
    });
    let header = ["INSTANCE", "STATUS", "SINCE", "IN FLIGHT", "LAST PROBE", "HEARD", "WEIGHT", "VERSION", "URL", "WHY"];
    table(&header, &rows.collect::<Vec<_>>())
}

/// What it says of itself.
fn document(instance: &Instance) -> Option<String> {
    // An object of JSON can always be written.
    let text = serde_json::to_string(instance.document.as_ref()?).unwrap_or_default();
    Some(format!("document of {}: {}\n", clean(instance.instance.as_str()), clean(&text)))
}

/// Why it is not asked, or was not well.
fn why_of(instance: &Instance, now: Moment) -> String {
    let ejection = is_ejected(instance).then(|| ejection(instance, now));
    let error = instance.last_error.as_deref().map(clean);
    let drained = instance.drain.as_ref().map(|drain| drained(drain, now));
    let reasons: Vec<_> = error.into_iter().chain(ejection).chain(drained).collect();
    if reasons.is_empty() { "-".to_owned() } else { reasons.join("; ") }
}

/// The url, and where its name leads.
fn place(instance: &Instance) -> String {
    let url = clean(&instance.url);
    let addresses: Vec<_> = instance.addresses.iter().map(|address| clean(address)).collect();
    let is_plain = addresses.iter().any(|address| url.contains(address.as_str()));
    match addresses.as_slice() {
        [] => format!("{url} (does not resolve)"),
        _ if is_plain => url,
        _ => format!("{url} ({})", addresses.join(", ")),
    }
}

fn routes_of(routes: &[ServiceRoute]) -> String {
    if routes.is_empty() {
        return "no routes of its own: reached by host, as `furt routes` shows\n".to_owned();
    }
    let rows = routes.iter().map(|route| {
        let routed = if route.routed { "yes" } else { "no" };
        vec![
            clean(&route.method),
            clean(&route.path),
            access(route.permission.as_deref(), route.auth.as_deref(), false),
            routed.to_owned(),
        ]
    });
    table(&["METHOD", "PATH", "PERMISSION", "ROUTED"], &rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2025-11-14T20:30:00.500Z";

    fn now() -> Moment {
        Moment(instant(&NOW.to_owned().into()))
    }

    fn instance(id: &str, status: &str, error: Option<&str>) -> Instance {
        let instance = json!({ "instance": id, "url": "http://127.0.0.1:7812", "addresses": ["127.0.0.1:7812"], "status": status,
            "draining": false, "since": "2025-11-14T17:18:00Z", "health_endpoint": "/health", "probing": true,
            "last_ping": "2025-11-14T20:29:56Z", "response_time_ms": error.is_none().then_some(2.1),
            "last_error": error, "in_flight": 2, "weight": 1, "hard_limit": 0, "heartbeat_ttl": null,
            "last_heard": "2025-11-14T20:29:00Z", "protocol": "http1", "consecutive_failures": 0, "soft_limit": 0 });
        serde_json::from_value(instance).unwrap()
    }

    fn service(status: &str, instances: Vec<Instance>) -> Service {
        let requests = json!({ "total": 0, "errors": 0, "refused": 0, "by_status": {} });
        let service = json!({ "service": "sagjan", "status": status, "blocked": null, "draining": false,
            "since": "2025-11-14T17:18:00Z", "uptime_share": 0.999_999, "transitions": 3, "host": null,
            "policy": "edge", "revision": 0, "routes": [], "instances": instances,
            "timeouts": { "connect": null, "read": 5.0 }, "metadata": { "team": "web\u{1b}[31m" },
            "requests": requests, "waiting": 0 });
        serde_json::from_value(service).unwrap()
    }

    /// The cells of the one row after the service's name.
    fn row(service: &Service) -> String {
        let text = overview(std::slice::from_ref(service), now());
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
        let good = service("UP", vec![instance("a", "UP", None), instance("b", "UP", None)]);
        assert_eq!(row(&good), "sagjan | UP | 3h 12m | 99.99% | 2/2 | 4 | 4 s ago, 3 ms");

        let mut later = instance("b", "UP", Some("no answer in time"));
        later.last_ping = Some("2025-11-14T20:29:48Z".to_owned().into());
        let one = service("UP", vec![instance("a", "UP", None), later.clone()]);
        assert_eq!(row(&one), "sagjan | UP | 3h 12m | 99.99% | 2/2 | 4 | failed 12 s ago | b: no answer in time");

        let mut stopped = instance("a", "DOWN", Some("connection refused"));
        stopped.probing = false;
        let down = service("DOWN", vec![stopped, later]);
        let expected = "sagjan | DOWN | 3h 12m | 99.99% | 1/2 | 4 | failed 4 s ago, stopped | \
            a: connection refused (and 1 more)";
        assert_eq!(row(&down), expected);
    }

    #[test]
    fn what_keeps_requests_from_a_service_is_told() {
        let held = service("DOWN", vec![]);
        assert!(row(&held).starts_with("sagjan | DOWN, held | 3h 12m | 99.99% | 0/0 | 0 | - | its last instance"));
        let mut blocked = service("UP", vec![instance("a", "UP", None)]);
        blocked.blocked = Some("the service has no grant".to_owned());
        assert!(
            row(&blocked).contains("UP, blocked") && row(&blocked).ends_with("not routed: the service has no grant")
        );
        let mut draining = service("UP", vec![instance("a", "UP", None), instance("b", "UP", None)]);
        draining.instances[0].draining = true;
        assert!(row(&draining).contains("UP | 3h 12m | 99.99% | 2/2, 1 draining | 4"), "{}", row(&draining));
        draining.draining = true;
        assert!(row(&draining).contains("UP, draining") && row(&draining).ends_with("requests get 503"));
        let mut unprobed = instance("a", "UP", None);
        unprobed.health_endpoint = None;
        assert!(row(&service("UP", vec![unprobed])).ends_with("| not probed"));
        let mut fresh = instance("a", "UNKNOWN", None);
        fresh.last_ping = None;
        assert!(row(&service("UNKNOWN", vec![fresh])).ends_with("| none yet"));
        assert_eq!(overview(&[], now()), "no service is registered\n");
    }

    #[test]
    fn maintenance_is_told_with_its_end_its_exceptions_and_its_message() {
        let mut one = service("UP", vec![instance("a", "UP", None)]);
        one.maintenance = serde_json::from_value(json!([
            { "service": "sagjan", "since": "2025-11-14T20:00:00Z", "until": "2025-11-14T21:00:00Z", "from": "::1",
              "allow_from": ["10.0.0.0/8"], "message": "back soon" },
            { "service": null, "since": "2025-11-14T20:00:00Z", "until": null, "from": "::1", "allow_from": [],
              "message": null },
        ]))
        .unwrap();
        let row = row(&one);
        assert!(row.contains("UP, maintenance"), "{row}");
        let expected = "in maintenance for 30m 0s more, but for clients from 10.0.0.0/8: back soon; \
            in maintenance with all services until it is switched off";
        assert!(row.ends_with(expected), "{row}");
    }

    #[test]
    fn an_ejected_instance_is_told_with_the_time_that_is_left() {
        let ejected = |id: &str| {
            let mut one = instance(id, "UP", None);
            one.ejected_until = Some("2025-11-14T20:30:08Z".to_owned().into());
            one
        };
        let one = service("UP", vec![instance("a", "UP", None), ejected("b")]);
        assert!(row(&one).contains("| 2/2, 1 ejected | 4"), "{}", row(&one));
        assert!(row(&one).ends_with("| b: requests failed, gets none for 8 s"), "{}", row(&one));
        let line = detail(&one, now()).lines().find(|line| line.starts_with("b  ")).unwrap().to_owned();
        assert!(line.contains("UP, ejected") && line.ends_with("requests failed, gets none for 8 s"), "{line}");
        let two = service("UP", vec![ejected("a"), ejected("b"), instance("c", "UP", Some("refused"))]);
        let expected = "c: refused; a: requests failed, gets none for 8 s (and 1 more)";
        assert!(row(&two).contains("3/3, 2 ejected") && row(&two).ends_with(expected), "{}", row(&two));
    }

    #[test]
    fn the_detail_shows_instances_and_routes_and_no_control_characters() {
        let mut one = instance("a", "UP", None);
        one.hard_limit = 10;
        one.heartbeat_ttl = Some(furt_api::Seconds(60.0));
        one.url = "http://box:7812".to_owned();
        let mut shown = service("UP", vec![one]);
        shown.routes = vec![ServiceRoute {
            method: "GET".to_owned(),
            path: "/a".to_owned(),
            permission: None,
            routed: true,
            cors: None,
            rewrite: None,
            compress: None,
            limits: None,
            timeouts: None,
            retries: None,
            auth: None,
        }];
        let expected = "\
service    sagjan
status     UP, split
since      3h 12m (2025-11-14T17:18:00Z), changes of status: 3
uptime     99.99%
in flight  2
policy     edge
split      5% to 2.4.0, 95% to stable; the header x-canary chooses; by 127.0.0.1 3h 12m ago
revision   0
timeouts   read 5.0 s
metadata   team=web\u{fffd}[31m

INSTANCE  STATUS  SINCE   IN FLIGHT  LAST PROBE      HEARD               WEIGHT  VERSION  URL                               WHY
a         UP      3h 12m  2 of 10    4 s ago, 3 ms   1m 0s ago of 60 s   1       2.4.0    http://box:7812 (127.0.0.1:7812)  -

METHOD  PATH  PERMISSION  ROUTED
GET     /a    (public)    yes
";
        shown.instances[0].version = Some("2.4.0".to_owned());
        let split = json!({ "service": "sagjan", "versions": { "2.4.0": 5.0 }, "stable": 95.0, "header": "x-canary",
            "strict": false, "since": "2025-11-14T17:18:00Z", "from": "127.0.0.1" });
        shown.split = serde_json::from_value(split).unwrap();
        let squeeze = |text: &str| {
            let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(squeeze(&detail(&shown, now())), squeeze(expected));
    }
}
