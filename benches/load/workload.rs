//! The workloads: what is asked of a gateway in each, as requests ready to be sent.

use std::time::Duration;

use clap::ValueEnum;

use super::args::Options;
use super::certificates::Key;
use super::fleet::{Fleet, Shape};
use super::origin::{LARGE, SMALL};
use super::pace::Requests;
use super::peers::{Peer, Site};
use super::tls::Habit;

/// What clients ask.
pub(super) const HOST: &str = "bench.example";
/// Whose page asks, where one of another origin does.
pub(super) const ORIGIN: &str = "https://app.bench.example";
/// What is small: asked for by most.
pub(super) const SMALL_TARGET: &str = "/pass/small";
/// Requests that are prepared; a driver picks among them.
const PREPARED: u32 = 16_384;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// One public route, answers of 64 bytes.
    Pass,
    /// The same with furt and the bare proxy alone: what furt's own hooks cost.
    Bare,
    /// The same route with a browser's 16 headers in requests and an application's 13 in answers.
    Browser,
    /// As pass, by a page of another origin, on a route with CORS, a rewritten path and a limit; furt alone.
    Rules,
    /// 1,000 services, 4,000 routes, 10,000 keys, permissions, the access log.
    Gateway,
    /// 1 MiB down, 1 MiB up.
    Body,
    /// The gateway workload while services register, 50 a second; furt alone.
    Churn,
    /// Clients that are connected and say nothing.
    Idle,
    /// A full handshake with an ECDSA key, one request, and the end.
    HandshakeEc,
    /// The same with an RSA key.
    HandshakeRsa,
    /// The same with a ticket instead of a key.
    Resume,
    /// HTTP/2 under TLS to a service of HTTP/1.1.
    H2,
    /// Clients that are connected under TLS and say nothing.
    IdleTls,
    /// The same by HTTP/2.
    IdleH2,
}

/// One kind of requests of a workload, measured by itself.
pub(super) struct Traffic {
    /// As the tables call it.
    pub(super) name: String,
    /// What is sent.
    pub(super) requests: Requests,
    /// A second, at the open pace.
    pub(super) rate: f64,
    /// Connections.
    pub(super) connections: usize,
}

impl Workload {
    /// As options and tables call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Bare => "bare",
            Self::Browser => "browser",
            Self::Rules => "rules",
            Self::Gateway => "gateway",
            Self::Body => "body",
            Self::Churn => "churn",
            Self::Idle => "idle",
            Self::HandshakeEc => "handshake-ec",
            Self::HandshakeRsa => "handshake-rsa",
            Self::Resume => "resume",
            Self::H2 => "h2",
            Self::IdleTls => "idle-tls",
            Self::IdleH2 => "idle-h2",
        }
    }

    /// What it is, for the head of its table.
    pub(super) fn title(self, fleet: &Fleet) -> String {
        match self {
            Self::Pass => "one public route, answers of 64 bytes, no access log".to_owned(),
            Self::Bare => "as pass: furt beside a Pingora proxy with its header edits and nothing else".to_owned(),
            Self::Browser => {
                "as pass, with a browser's 16 headers in requests and an application's 13 in answers".to_owned()
            }
            Self::Rules => {
                "as pass, by a page of another origin, on a route with CORS, a rewritten path and a limit of rate"
                    .to_owned()
            }
            Self::Gateway => format!(
                "{} services, {} routes with `*` in the middle and at the end, {} keys, permissions, access log",
                fleet.services,
                fleet.services * 4,
                fleet.keys
            ),
            Self::Body => "1 MiB down, 1 MiB up, no access log".to_owned(),
            Self::Churn => "the gateway workload at a fixed rate, quiet and with 50 registrations a second".to_owned(),
            Self::Idle | Self::IdleTls | Self::IdleH2 => {
                format!("connected clients that made one request{} and then none", self.door())
            }
            Self::HandshakeEc => once("full TLS 1.3 handshake, ECDSA P-256"),
            Self::HandshakeRsa => once("full TLS 1.3 handshake, RSA-2048"),
            Self::Resume => once("TLS 1.3 handshake resumed by a ticket"),
            Self::H2 => "as pass, by HTTP/2 under TLS from clients, HTTP/1.1 to the service".to_owned(),
        }
    }

    /// What gateways serve in it.
    pub(super) fn site(self) -> Site {
        match self {
            Self::Pass | Self::Bare | Self::Browser | Self::Rules | Self::Body | Self::Idle => Site::Public,
            Self::HandshakeEc | Self::HandshakeRsa | Self::Resume | Self::H2 | Self::IdleTls | Self::IdleH2 => {
                Site::Public
            }
            Self::Gateway | Self::Churn => Site::Fleet,
        }
    }

    /// Whether a gateway has a part in it.
    pub(super) fn has(self, peer: Peer) -> bool {
        match self {
            Self::Pass | Self::Browser | Self::Gateway | Self::Body | Self::Idle => peer.can_serve(self.site()),
            Self::Bare => matches!(peer, Peer::Furt | Peer::Bare),
            Self::Rules | Self::Churn => peer == Peer::Furt,
            Self::HandshakeEc | Self::HandshakeRsa | Self::Resume | Self::H2 | Self::IdleTls | Self::IdleH2 => {
                peer.can_tls()
            }
        }
    }

    /// The key of the certificate that gateways show in it; `None`: they are asked without TLS.
    pub(super) fn key(self) -> Option<Key> {
        match self {
            Self::HandshakeRsa => Some(Key::Rsa),
            Self::HandshakeEc | Self::Resume | Self::H2 | Self::IdleTls | Self::IdleH2 => Some(Key::Ecdsa),
            Self::Pass
            | Self::Bare
            | Self::Browser
            | Self::Rules
            | Self::Gateway
            | Self::Body
            | Self::Churn
            | Self::Idle => None,
        }
    }

    /// What its clients do under TLS.
    pub(super) fn habit(self) -> Option<Habit> {
        let habit = match self {
            Self::Resume => Habit::Again,
            Self::H2 | Self::IdleH2 => Habit::H2,
            _ => Habit::Once,
        };
        self.key().map(|_| habit)
    }

    /// Whether its clients say nothing.
    pub(super) fn is_idle(self) -> bool {
        matches!(self, Self::Idle | Self::IdleTls | Self::IdleH2)
    }

    /// How idle clients came in, for a title.
    pub(super) fn door(self) -> &'static str {
        match self {
            Self::IdleTls => " by HTTP/1.1 under TLS",
            Self::IdleH2 => " by HTTP/2 under TLS",
            _ => "",
        }
    }

    /// Whether a warm gateway needs no more connections to services: all clients ask one, and stay.
    pub(super) fn needs_no_connects(self) -> bool {
        match self {
            Self::Pass
            | Self::Bare
            | Self::Browser
            | Self::Rules
            | Self::HandshakeEc
            | Self::HandshakeRsa
            | Self::Resume
            | Self::H2 => true,
            Self::Gateway | Self::Body | Self::Churn | Self::Idle | Self::IdleTls | Self::IdleH2 => false,
        }
    }

    /// Its requests.
    pub(super) fn traffic(self, options: &Options, fleet: &Fleet) -> Vec<Traffic> {
        let small = |requests| Traffic {
            name: self.name().to_owned(),
            requests: Requests { all: requests, answer_length: SMALL.len() as u64 },
            rate: options.rate,
            connections: options.connections,
        };
        // A body of 1 MiB costs what dozens of small requests cost.
        let large = |name: &str, request, length: usize| Traffic {
            name: name.to_owned(),
            requests: Requests { all: vec![request], answer_length: length as u64 },
            rate: (options.rate / 40.0).max(1.0),
            connections: options.connections.min(16),
        };
        match self {
            Self::Pass | Self::Bare | Self::Idle | Self::H2 | Self::IdleTls | Self::IdleH2 => {
                vec![small(vec![get(SMALL_TARGET, "")])]
            }
            // A handshake costs what a dozen of requests cost, and a peer with an old library holds no more a second.
            Self::HandshakeEc | Self::HandshakeRsa | Self::Resume => vec![Traffic {
                rate: (options.rate / 10.0).max(1.0),
                connections: options.connections.min(16),
                ..small(vec![get(SMALL_TARGET, "")])
            }],
            Self::Browser => vec![small(vec![browser("/pass/app")])],
            Self::Rules => vec![small(vec![get("/ruled/small", &format!("Origin: {ORIGIN}\r\n"))])],
            Self::Gateway | Self::Churn => vec![small(fleet_requests(fleet))],
            Self::Body => {
                let mut up = format!(
                    "POST /pass/up HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: load\r\nAccept: */*\r\n\
                     Content-Type: application/octet-stream\r\nContent-Length: {LARGE}\r\n\r\n"
                )
                .into_bytes();
                up.resize(up.len() + LARGE, b'.');
                vec![large("body down", get("/pass/down", ""), LARGE), large("body up", up, SMALL.len())]
            }
        }
    }
}

/// How long is driven before anything counts.
pub(super) fn warm_up(options: &Options) -> Duration {
    Duration::from_secs_f64((options.seconds / 5.0).clamp(0.05, 1.0))
}

/// The title of a workload whose clients come for one request.
fn once(handshake: &str) -> String {
    format!("{handshake}, one small request by HTTP/1.1, closed by the client")
}

/// A request as clients send it.
pub(super) fn get(target: &str, more: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: load\r\nAccept: */*\r\n{more}\r\n").into_bytes()
}

/// A request as a browser's script sends it: 16 headers, of which a gateway has to read each and edit few.
fn browser(target: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\n\
         Host: {HOST}\r\n\
         Connection: keep-alive\r\n\
         Cache-Control: no-cache\r\n\
         sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n\
         sec-ch-ua-mobile: ?0\r\n\
         sec-ch-ua-platform: \"Linux\"\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
         Accept: application/json, text/plain, */*\r\n\
         Sec-Fetch-Site: same-origin\r\n\
         Sec-Fetch-Mode: cors\r\n\
         Sec-Fetch-Dest: empty\r\n\
         Referer: http://{HOST}/dashboard?tab=overview\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
         Cookie: session=0b6a2d7c1f3e4a5b8c9d0e1f2a3b4c5d; theme=dark; _ga=GA1.1.1234567890.1700000000\r\n\
         Priority: u=1, i\r\n\r\n"
    )
    .into_bytes()
}

fn fleet_requests(fleet: &Fleet) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(1);
    let request = |_| {
        let service = random.u32(..fleet.services);
        let shape = Shape::ALL[random.usize(..Shape::ALL.len())];
        let key = fleet.key(fleet.key_for(service, random.u32(..fleet.keys)));
        get(&fleet.target(service, shape, random.u32(..1000)), &format!("X-API-Key: {key}\r\n"))
    };
    (0..PREPARED).map(request).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_browser_sends_sixteen_headers() {
        let request = String::from_utf8(super::browser("/pass/app")).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!((head.lines().skip(1).count(), body), (16, ""));
        assert!(head.lines().skip(1).all(|line| line.contains(": ") && !line.starts_with(' ')), "{head}");
    }
}
