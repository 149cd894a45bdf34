//! Addresses of static routes that a reload brings: looked up before they are in force, so that no request comes to a
//! route whose name nobody has resolved yet.
//!
//! What does not resolve in time is followed from then on, as at the start. Never asked for routes that lead where they led.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::{Config, StaticRouteConfig, StaticTarget};
use crate::upstream;
use furt_core::model::UpstreamHost;

/// Lookups at once: each takes a thread of the runtime's blocking pool, as those of followed names do.
const MAX_LOOKUPS: usize = 16;
/// For all of them: a resolver that is dead must not hold up what else is to change. One lookup may take 1 s.
const LIMIT: Duration = Duration::from_secs(2);

/// Names and ports with what they lead to.
pub(super) type Found = BTreeMap<(Box<str>, u16), Arc<[SocketAddr]>>;

/// The addresses of the names of `new`'s static routes that are none of `running`'s.
pub(super) async fn addresses(new: &Config, running: &Config) -> Found {
    let places = Arc::new(Semaphore::new(MAX_LOOKUPS));
    let mut lookups = JoinSet::new();
    for (name, port) in names(new, running) {
        let places = Arc::clone(&places);
        lookups.spawn(async move {
            // The semaphore is never closed; if it were, nothing would be found.
            let _place = places.acquire().await.ok()?;
            let addresses = upstream::resolve(&name, port).await.ok()?;
            Some(((name, port), addresses))
        });
    }
    let mut found = Found::new();
    let all = async {
        while let Some(ended) = lookups.join_next().await {
            found.extend(ended.ok().flatten());
        }
    };
    _ = tokio::time::timeout(LIMIT, all).await;
    found
}

/// The names of routes that do not lead there already.
fn names(new: &Config, running: &Config) -> BTreeSet<(Box<str>, u16)> {
    let place = |route: &StaticRouteConfig| (route.host.clone(), route.path.clone(), route.method.clone());
    let known: HashMap<_, _> = running.routes.iter().map(|route| (place(route), route)).collect();
    let is_new = |route: &&StaticRouteConfig| {
        known.get(&place(route)).is_none_or(|one| (&one.target, &one.tls_name) != (&route.target, &route.tls_name))
    };
    let name = |route: &StaticRouteConfig| match &route.target {
        StaticTarget::Url(url) => match &url.host {
            UpstreamHost::Name(name) => Some((name.clone(), url.port)),
            UpstreamHost::Address(_) => None,
        },
        StaticTarget::Service(_) | StaticTarget::Redirect(_) | StaticTarget::Respond(_) => None,
    };
    new.routes.iter().filter(is_new).filter_map(name).collect()
}
