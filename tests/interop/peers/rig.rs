//! furt and three other gateways before one service, configured for the same site.

use std::net::SocketAddr;

use serde_json::Value;
use uuid::Uuid;

use super::service::Service;
use crate::foreign::peer::{Peer, Product};
use crate::support::wire::{self, Wire};
use crate::support::{Gateway, SOON, ports};

/// The files that the page links to. Words in capitals stand for addresses.
const FURT: &str = include_str!("furt.toml");
const REGISTRATIONS: &str = include_str!("registrations.json");
const ENVOY: &str = include_str!("envoy.yaml");
const CADDY: &str = include_str!("Caddyfile");
const NGINX: &str = include_str!("nginx.conf");
const USERS: &str = include_str!("users");

/// How many gateways there are.
pub(super) const GATEWAYS: usize = 4;

/// What came of a request.
pub(super) struct Exchange {
    /// The whole answer.
    pub(super) answer: String,
    /// What the service got, if it was asked.
    pub(super) seen: Option<String>,
}

impl Exchange {
    pub(super) fn status(&self) -> u16 {
        wire::status(&self.answer)
    }

    /// All values of a field of the answer, as if they came in one.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let fields = self.answer.lines().skip(1).take_while(|line| !line.is_empty());
        let named =
            fields.filter_map(|line| line.split_once(':')).filter(|(given, _)| given.eq_ignore_ascii_case(name));
        let values: Vec<_> = named.map(|(_, value)| value.trim()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The target that the service got.
    pub(super) fn target(&self) -> Option<&str> {
        self.seen.as_deref()?.split(' ').nth(1)
    }
}

/// The gateways.
pub(super) struct Rig {
    pub(super) service: Service,
    /// In the order of the page's columns.
    addresses: [SocketAddr; GATEWAYS],
    _furt: Gateway,
    _peers: [Peer; GATEWAYS - 1],
}

impl Rig {
    pub(super) async fn start() -> Self {
        let (service, away) = (Service::start(), ports::free_address());
        let filled = |template: &str, listen: Option<SocketAddr>| {
            let text = template
                .replace("SERVICE_PORT", &service.address.port().to_string())
                .replace("AWAY_PORT", &away.port().to_string())
                .replace("SERVICE", &service.address.to_string())
                .replace("AWAY", &away.to_string());
            listen.map_or(text.clone(), |listen| text.replace("PORT", &listen.port().to_string()))
        };
        let peers = [
            Peer::start(Product::Envoy, |listen| filled(ENVOY, Some(listen)), &[]).await,
            Peer::start(Product::Caddy, |listen| filled(CADDY, Some(listen)), &[]).await,
            Peer::start(Product::Nginx, |listen| filled(NGINX, Some(listen)), &[("users", USERS)]).await,
        ];
        let furt = Gateway::start(FURT).await;
        for registration in serde_json::from_str::<Vec<Value>>(&filled(REGISTRATIONS, None)).unwrap() {
            furt.registered(&registration).await;
        }
        let addresses = [furt.public, peers[0].address, peers[1].address, peers[2].address];
        Self { service, addresses, _furt: furt, _peers: peers }
    }

    /// Sends this to each gateway, and reads the header of its answer. The service answers so.
    pub(super) async fn ask(&self, request: &str, answer: Option<&str>) -> [Exchange; GATEWAYS] {
        self.exchanged(request, answer, false).await
    }

    /// The same with the bodies of the answers, for which the client closes its sending side: Envoy waits for that.
    pub(super) async fn ask_whole(&self, request: &str) -> [Exchange; GATEWAYS] {
        self.exchanged(request, None, true).await
    }

    async fn exchanged(&self, request: &str, answer: Option<&str>, with_body: bool) -> [Exchange; GATEWAYS] {
        let host = format!("http://{}", self.service.address);
        self.service.answers(answer.map(|answer| answer.replace("http://SERVICE", &host)));
        let (line, rest) = request.split_once("\r\n").unwrap();
        let mut exchanges = Vec::new();
        for address in self.addresses {
            // A gateway may ask the service once more when another gateway is asked already.
            let mark = Uuid::new_v4().to_string();
            let mut socket = Wire::to(address).await;
            socket.send(format!("{line}\r\nX-Asked: {mark}\r\n{rest}")).await;
            let mut answer = socket.read_until("\r\n\r\n").await;
            if with_body {
                socket.end_sending().await;
                answer += &socket.read_to_end(SOON).await;
            }
            // Ports are others each time; sites have the usual ones.
            let answer = answer.replace(&format!(":{}/", address.port()), "/").replace(&host, "http://SERVICE");
            exchanges.push(Exchange { answer, seen: self.service.seen(&mark) });
        }
        exchanges.try_into().ok().unwrap()
    }
}
