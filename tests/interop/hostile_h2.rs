//! Clients of HTTP/2 that do what only costs or what the protocol forbids, frame by frame with Python's `h2` and `hyperframe`: by
//! prior knowledge and under TLS each ends as it should, furt's memory does not grow, and others are served meanwhile.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::foreign::python;
use crate::support::h2_client::{Client, asks};
use crate::support::tls::Edge;
use crate::support::wire::{self, exchange};
use crate::support::{Gateway, Mode, Origin, SOON, eventually, public_service};

/// Small, so that what is waited for is over soon.
const TIMES: &str = "redirect = false\n[client]\nheader_timeout = '2s'\nkeepalive_timeout = '3s'\nbody_timeout = '2s'\n\
    write_timeout = '2s'\n[server]\nmax_streams = 100";
/// A script and what it gets, or what else.
type Script = (&'static str, &'static [&'static str]);

/// Who sends on may see the end of the connection alone, as its last bytes come to a socket that is closed.
const CALM: &[&str] = &["goaway 11", "closed"];
const PROTOCOL: &[&str] = &["goaway 1"];
/// The same of what is sent on.
const PROTOCOL_OF_MUCH: &[&str] = &["goaway 1", "closed"];
const CLOSED: &[&str] = &["closed"];

const FLOODS: &[Script] = &[
    ("rapid-reset", CALM),
    ("reset-after-accept", CALM),
    ("pings", CALM),
    ("pings-unread", CALM),
    ("ping-answers", CALM),
    ("settings-frames", CALM),
    ("settings-unread", CALM),
    ("settings-that-move-windows", CALM),
    ("settings-of-many-fields", PROTOCOL_OF_MUCH),
    ("window-updates", CALM),
    ("window-updates-of-a-stream", CALM),
    // A part of an answer that is not taken in time ends it as well.
    ("windows-opened-byte-by-byte", &["goaway 11", "closed", "reset 2"]),
    ("goaways", CALM),
    ("priorities", CALM),
    ("unknown-frames", CALM),
    ("resets-of-ended-streams", CALM),
    ("empty-data", CALM),
    ("padding-alone", CALM),
    ("continuations", CALM),
    ("empty-continuations", CALM),
    // Nothing ends a field of two gigabytes, and there is no room for it.
    ("continuations-as-large-as-frames-are", PROTOCOL_OF_MUCH),
    ("headers-that-are-large-and-taken-back", CALM),
];

const MADE_RESETS: &[Script] = &[
    ("made-reset-by-an-increment-of-zero", PROTOCOL),
    ("made-reset-by-a-window-that-overflows", CALM),
    ("made-reset-by-data-after-the-end", PROTOCOL),
    ("made-reset-by-a-header-after-the-end", PROTOCOL),
    ("made-reset-by-a-second-header", CALM),
    ("made-reset-by-a-dependency-on-itself", CALM),
    ("made-reset-by-a-priority-of-a-wrong-length", PROTOCOL),
    ("made-reset-by-a-body-longer-than-said", CALM),
];

const HEADERS: &[Script] = &[
    ("a-header-list-that-is-too-large", &["answered 431"]),
    ("hpack-bomb", CALM),
    ("an-index-beyond-the-table", PROTOCOL),
    ("a-table-larger-than-allowed", PROTOCOL),
    ("an-integer-without-an-end", PROTOCOL),
    ("fields-of-a-connection", CALM),
    ("fields-in-upper-case", PROTOCOL),
    ("two-paths", CALM),
    ("no-path", CALM),
    ("line-ends-in-a-value", PROTOCOL),
];

const STALLS: &[Script] = &[
    ("windows-that-are-never-opened", &["reset 2"]),
    // What was sent before may tell less.
    ("a-connection-that-is-never-read", &["reset 2", "answered 200", "closed"]),
    ("a-preface-that-stays-half", CLOSED),
    ("a-preface-that-comes-slowly", CLOSED),
    ("nothing-at-all", CLOSED),
    ("a-continuation-that-comes-slowly", &["goaway 11", "goaway 0"]),
    ("a-header-whose-frame-comes-slowly", &["goaway 0"]),
    // Answered 408 each, and told that the rest is not wanted.
    ("bodies-that-never-come", &["reset 0"]),
];

const FORBIDDEN: &[Script] = &[
    ("an-even-stream", PROTOCOL),
    ("streams-that-decrease", PROTOCOL),
    ("a-header-on-stream-0", PROTOCOL),
    ("data-on-an-idle-stream", PROTOCOL),
    ("data-on-stream-0", PROTOCOL),
    ("a-window-of-an-idle-stream", PROTOCOL),
    ("a-reset-of-an-idle-stream", PROTOCOL),
    ("a-reset-of-stream-0", PROTOCOL),
    ("a-reset-of-a-wrong-length", PROTOCOL),
    ("a-push", PROTOCOL),
    ("a-continuation-alone", PROTOCOL),
    ("a-frame-within-a-header", PROTOCOL),
    ("a-continuation-of-another-stream", PROTOCOL),
    ("a-frame-that-is-too-long", &["goaway 6"]),
    ("a-ping-of-a-wrong-length", PROTOCOL),
    ("a-ping-on-a-stream", PROTOCOL),
    ("settings-on-a-stream", PROTOCOL),
    ("settings-of-a-wrong-length", PROTOCOL),
    ("an-answer-to-settings-with-fields", PROTOCOL),
    ("a-window-that-is-too-large", PROTOCOL),
    ("a-frame-size-that-is-too-small", PROTOCOL),
    ("push-that-is-neither-on-nor-off", PROTOCOL),
    ("a-window-of-the-connection-that-overflows", &["goaway 3"]),
    ("an-increment-of-zero", PROTOCOL),
    ("a-goaway-on-a-stream", PROTOCOL),
    ("padding-longer-than-its-frame", PROTOCOL),
    ("more-data-than-the-window", &["goaway 3", "reset 3"]),
    ("a-preface-that-is-none", &["closed", "goaway 1"]),
    ("the-last-stream-and-one-more", PROTOCOL),
    ("a-goaway-of-the-client", &["answered 200"]),
];

/// What one script may take at its height.
const FLAT: u64 = 24 * 1024 * 1024;
/// What 100 answers take of which no client takes anything: between service and client up to 4 parts of 64 KiB wait, and one at
/// either end.
const HELD_BACK: u64 = 96 * 1024 * 1024;
/// No client waits so long while others attack, on a machine that does other things as well.
const IN_TIME: Duration = Duration::from_secs(5);

/// A gateway before services that answer, hang, work a while, and have much to say.
struct Attacked {
    edge: Edge,
    gateway: Gateway,
    hangs: Origin,
    /// The others.
    _services: [Origin; 3],
}

impl Attacked {
    async fn start() -> Self {
        let edge = Edge::new();
        let gateway = Gateway::start(&edge.tail(&["a"], TIMES)).await;
        let services = [Origin::start().await, Origin::start().await, Origin::start().await];
        let hangs = Origin::start().await;
        hangs.set_mode(Mode::Hangs);
        services[1].set_mode(Mode::Works(1000));
        services[2].set_mode(Mode::Zeros(50_000_000));
        let [echo, slow, zeros] = services.each_ref();
        for (name, origin) in [("echo", echo), ("slow", slow), ("zeros", zeros), ("hangs", &hangs)] {
            gateway.registered(&public_service(name, &origin.url(), &format!("/{name}/*"))).await;
        }
        Self { edge, gateway, hangs, _services: services }
    }

    /// Bytes of memory that furt has now, and had at most since the last call of [`Self::forget_height`].
    fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.gateway.id())).unwrap();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
        };
        (kib("VmRSS:"), kib("VmHWM:"))
    }

    fn forget_height(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.gateway.id()), "5").unwrap();
    }

    /// Runs all of these over both ways in; each costs at most so much memory.
    async fn withstands(&self, scripts: &[Script], most: u64) {
        let ca = self.edge.authority_file().display().to_string();
        let (plain, under_tls) = (self.gateway.public.to_string(), self.edge.address.to_string());
        for way in [&[plain.as_str()][..], &[&under_tls, &ca]] {
            let other = Other::begin(self);
            for (name, expected) in scripts {
                self.forget_height();
                let (before, _) = self.memory();
                let told = run(&[&[way[0], name], &way[1..]].concat()).await;
                let (_, height) = self.memory();
                let grown = height.saturating_sub(before);
                println!("{name}: +{} KiB, {told}", grown / 1024);
                assert!(expected.contains(&told["end"].as_str().unwrap()), "{name}: {told}, and not {expected:?}");
                assert!(grown < most, "{name}: {grown} bytes more");
            }
            other.was_served_in_time().await;
            let metrics = "furt_requests_in_flight 0\n";
            eventually(metrics, SOON, async || self.gateway.metrics().await.contains(metrics).then_some(())).await;
        }
    }
}

/// Does what a script says; returns what it got.
async fn run(arguments: &[&str]) -> Value {
    let output =
        tokio::time::timeout(Duration::from_secs(90), python::command("h2", "hostile_h2.py").args(arguments).output());
    let output = output.await.expect("an end in time").unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&told)
        .unwrap_or_else(|_| panic!("{arguments:?}: {told}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Another client, that asks again and again over the plain port: on a connection of its own each time, and on one of HTTP/2.
struct Other {
    stops: Arc<AtomicBool>,
    asking: JoinHandle<(usize, Duration)>,
}

impl Other {
    fn begin(attacked: &Attacked) -> Self {
        let (public, stops) = (attacked.gateway.public, Arc::<AtomicBool>::default());
        let stopping = Arc::clone(&stops);
        let asking = tokio::spawn(async move {
            let (mut count, mut slowest, client) = (0, Duration::ZERO, Client::to(public).await);
            while !stopping.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let request = "GET /echo/a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
                assert_eq!(wire::status(&exchange(public, request).await), 200);
                assert_eq!(client.ask(asks(http::Method::GET, "/echo/a")).await.status, 200);
                (count, slowest) = (count + 2, slowest.max(begin.elapsed()));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            (count, slowest)
        });
        Self { stops, asking }
    }

    async fn was_served_in_time(self) {
        self.stops.store(true, Ordering::Relaxed);
        let (count, slowest) = self.asking.await.expect("every request is answered 200");
        println!("another client: {count} requests, the slowest two in {slowest:?}");
        assert!(count > 0 && slowest < IN_TIME, "{count}, {slowest:?}");
    }
}

#[tokio::test]
async fn floods_are_cut_off() {
    Attacked::start().await.withstands(FLOODS, FLAT).await;
}

#[tokio::test]
async fn requests_that_furt_is_made_to_reset_are_few() {
    let attacked = Attacked::start().await;
    attacked.withstands(MADE_RESETS, FLAT).await;
    // Each connection has cost the service some 33 requests.
    let asked = attacked.hangs.requests("/hangs/a");
    println!("{asked} requests at the service");
    assert!(asked <= 2 * MADE_RESETS.len() * 40, "{asked}");
}

#[tokio::test]
async fn headers_that_are_bombs_or_malformed_are_refused() {
    Attacked::start().await.withstands(HEADERS, FLAT).await;
}

#[tokio::test]
async fn clients_that_take_or_send_nothing_are_given_up() {
    Attacked::start().await.withstands(STALLS, HELD_BACK).await;
}

#[tokio::test]
async fn what_the_protocol_forbids_ends_the_connection() {
    Attacked::start().await.withstands(FORBIDDEN, FLAT).await;
}

#[tokio::test]
async fn every_script_is_in_a_table() {
    let output = python::command("h2", "hostile_h2.py").output().await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<_> = told.lines().collect();
    let mut run: Vec<_> =
        [FLOODS, MADE_RESETS, HEADERS, STALLS, FORBIDDEN].concat().iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    run.sort_unstable();
    assert_eq!(names, run);
}
