//! What the demo prints: where everything is, and commands to paste, each with what it will show.
//!
//! Only verbs that this furt has are shown, so that none is printed in vain.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::joining::Way;
use super::modes;
use super::resources::Addresses;
use super::settings::{HEARTBEAT_TTL, PERMISSIONS};
use super::{Clients, Options};
use crate::telemetry::VERSION;

/// The host of the service without routes, by the default of `apps.domain`.
pub(super) const STOCK_HOST: &str = "stock.internal";

/// Everything that is to be said about a running demo.
pub(super) struct Guide {
    pub(super) addresses: Addresses,
    pub(super) key: String,
    pub(super) directory: PathBuf,
    pub(super) config: String,
    pub(super) teams: Vec<Team>,
}

/// A service's instances.
#[derive(Clone)]
pub(super) struct Team {
    pub(super) service: &'static str,
    pub(super) way: Way,
    pub(super) members: Vec<Member>,
}

/// An instance and where it listens.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) address: SocketAddr,
}

/// A command, and what it will show.
struct Step {
    story: Story,
    shows: String,
    command: String,
}

/// What steps belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    Look,
    Crash,
    AllDown,
    Drain,
    Eject,
    More,
}

impl Story {
    fn title(self) -> &'static str {
        match self {
            Self::Look => "Look around",
            Self::Crash => "One of three crashes under load, and no request fails",
            Self::AllDown => "All are unhealthy: 503, and back",
            Self::Drain => "One is drained: it gets no more requests, and none is cut",
            Self::Eject => "One answers 500 though its health check is good: it is left out, and asked again later",
            Self::More => "Whatever else may happen to an instance",
        }
    }
}

impl Guide {
    /// Where requests to the service with routes go.
    pub(super) fn orders_url(&self) -> String {
        self.url("/orders/7")
    }

    /// Where requests to the other one go, with [`STOCK_HOST`].
    pub(super) fn stock_url(&self) -> String {
        self.url("/items/7")
    }

    /// For people.
    pub(super) fn text(&self, options: &Options) -> String {
        let Addresses { public, internal } = self.addresses;
        let mut text = format!(
            "furt {VERSION}, a demo: a gateway, and two services with three instances each. Ctrl-C ends it all.\n\n\
             gateway    http://{public}  for clients\n\
             internal   http://{internal}  where services register and operators look\n\
             API key    {}  may do {}\n\
             directory  {}  has the store and this configuration, furt.toml; goes with the demo\n\n",
            self.key,
            PERMISSIONS.join(" and "),
            self.directory.display(),
        );
        text.extend(
            self.config.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") }),
        );
        text += "\n";
        text.extend(self.teams.iter().map(Team::text));
        text += "\nTo paste, in another terminal:\n";
        let mut last = None;
        for (number, step) in (1..).zip(self.steps(options)) {
            if last.replace(step.story) != Some(step.story) {
                text += &format!("\n{}\n", step.story.title());
            }
            text += &format!("{number:>3}. {}\n     {}\n", step.shows, step.command);
        }
        text += "\nEach instance, on its own port: POST /demo/MODE\n";
        text.extend(modes::ALL.iter().map(|(name, what)| format!("     {name:<10} {what}\n")));
        text += match options.load {
            Clients::None => "\n`furt demo --load` sends requests by itself. FURT_LOG=info shows what furt logs.\n\n",
            Clients::Steady => "\nEvery second: what became of the load, and how many each instance answered.\n\n",
        };
        text
    }

    /// For programs, in one line.
    pub(super) fn json(&self, options: &Options) -> String {
        let instance =
            |one: &Member| InstanceShown { instance: one.id.clone(), url: format!("http://{}", one.address) };
        let service = |team: &Team| ServiceShown {
            service: team.service,
            instances: team.members.iter().map(instance).collect(),
        };
        let step =
            |(number, Step { story, shows, command })| StepShown { number, story: story.title(), shows, command };
        let shown = GuideShown {
            public: format!("http://{}", self.addresses.public),
            internal: format!("http://{}", self.addresses.internal),
            key: &self.key,
            directory: self.directory.to_string_lossy().into_owned(),
            config: &self.config,
            services: self.teams.iter().map(service).collect(),
            steps: (1..).zip(self.steps(options)).map(step).collect(),
        };
        // Texts and numbers always can be written.
        serde_json::to_string(&shown).unwrap_or_default()
    }

    fn steps(&self, options: &Options) -> Vec<Step> {
        let key = format!("-H 'X-API-Key: {}'", self.key);
        let (orders, stock) = (self.orders_url(), self.stock_url());
        let verb = |verb: &str, arguments: &str| {
            let known = options.verbs.iter().any(|known| known == verb);
            let internal = self.addresses.internal;
            known.then(|| format!("{} {verb} {arguments}--url http://{internal}", options.program))
        };
        let mut steps = Vec::new();
        let mut add = |story, shows: &str, command: Option<String>| {
            // A verb that this furt does not have has no command.
            steps.extend(command.map(|command| Step { story, shows: shows.to_owned(), command }));
        };

        let look = Story::Look;
        let get = format!("curl -sSi {key} {orders}");
        add(look, "A request, and who answered it; again, and it is the next one", Some(get.clone()));
        add(look, "Without a key: 401", Some(format!("curl -sSi {orders}; echo")));
        let by_host = format!("curl -sS {key} -H 'Host: {STOCK_HOST}' {stock}");
        add(look, "The service without routes, by its host; stock-1 has twice the weight", Some(by_host));
        add(look, "Services, instances, health", verb("services", ""));
        add(look, "Why a request goes where it goes", verb("explain", "GET /orders/7 "));
        add(look, "Live: rates, failures, latency", verb("top", ""));
        add(look, "What happens, as it happens; leave it open", verb("events", "--follow "));

        let crash = Story::Crash;
        if options.load == Clients::None {
            let every = format!("while sleep 0.1; do curl -sS -o /dev/null -w '%{{http_code}} ' {key} {orders}; done");
            add(crash, "A load, in a terminal of its own: 200, all the time", Some(every));
        }
        let kill = self.switch(0, "refuse");
        add(crash, "orders-1 crashes, and is back after 15 s: the load sees nothing of it", kill);
        add(crash, "It is DOWN after three failed probes, and UP when it has registered again", verb("services", ""));

        let down = Story::AllDown;
        add(down, "With orders-1 back: within some 3 s the service is DOWN", self.switch_all("unhealthy"));
        add(down, "503, with the code service-down and Retry-After", Some(format!("{get}; echo")));
        add(down, "They are well again, and probed at once: 200", self.switch_all("ok"));

        let drain = Story::Drain;
        add(drain, "orders-2 is left alone", verb("drain", "orders --instance orders-2 "));
        add(drain, "It gets requests again", verb("drain", "orders --instance orders-2 --undo "));

        let eject = Story::Eject;
        add(eject, "orders-3 answers 500; after five of them it is left out", self.switch(2, "error"));
        add(eject, "It is UP, and ejected: it gets no request for 10 s, then longer", verb("services", "orders "));
        add(eject, "orders-3 is well again, and answers when that time is over", self.switch(2, "ok"));

        let more = Story::More;
        let silent = self.teams.last().and_then(|team| switched(team.members.first()?, "refuse"));
        let ttl = HEARTBEAT_TTL.as_secs();
        let gone = format!("stock-1 crashes: no heartbeat, so it is gone after {ttl} s, and registers when it is back");
        add(more, &gone, silent);
        let away = "stock-2 is thrown out; its next heartbeat is told 404, and it registers again";
        add(more, away, verb("deregister", "stock --instance stock-2 "));
        steps
    }

    fn switch(&self, number: usize, mode: &str) -> Option<String> {
        switched(self.teams.first()?.members.get(number)?, mode)
    }

    fn switch_all(&self, mode: &str) -> Option<String> {
        let members = &self.teams.first()?.members;
        let ports = members.iter().map(|one| one.address.port().to_string()).collect::<Vec<_>>().join(" ");
        Some(format!("for p in {ports}; do curl -sS -X POST http://127.0.0.1:$p/demo/{mode}; done"))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addresses.public)
    }
}

/// The guide as JSON.
#[derive(Serialize)]
struct GuideShown<'a> {
    public: String,
    internal: String,
    key: &'a str,
    directory: String,
    config: &'a str,
    services: Vec<ServiceShown>,
    steps: Vec<StepShown>,
}

#[derive(Serialize)]
struct ServiceShown {
    service: &'static str,
    instances: Vec<InstanceShown>,
}

#[derive(Serialize)]
struct InstanceShown {
    instance: String,
    url: String,
}

#[derive(Serialize)]
struct StepShown {
    number: u32,
    story: &'static str,
    shows: String,
    command: String,
}

fn switched(member: &Member, mode: &str) -> Option<String> {
    Some(format!("curl -sS -X POST http://{}/demo/{mode}", member.address))
}

impl Team {
    fn text(&self) -> String {
        let members = self.members.iter().map(|one| format!("{} :{}", one.id, one.address.port())).collect::<Vec<_>>();
        let how = match self.way {
            Way::Routes => "registered GET and POST /orders/*; probed every second".to_owned(),
            Way::Heartbeats => {
                format!(
                    "joined by edgeProxy's API, reached as {STOCK_HOST}; heartbeats, TTL {} s",
                    HEARTBEAT_TTL.as_secs()
                )
            }
        };
        format!("{:<10} {}\n{:<10} {how}\n", self.service, members.join("  "), "")
    }
}
