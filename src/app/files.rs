//! How many files the process may have open, and how they are shared out: a connection is one.
//!
//! Each client may need two, its own and one to a service. Whoever needs one that is not there fails: so clients beyond their
//! share are turned away, and what operators and services need to reach furt is never taken by clients.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The share of all files that idle connections to services may take.
const IDLE_SHARE: u64 = 8;
/// Beyond, a gateway would hold some 100 MiB of memory for connections that nobody uses.
const MOST_IDLE: u64 = 16_384;
/// The share that connections of the internal listener may take: services that heartbeat over keep-alive hold one each.
const INTERNAL_SHARE: u64 = 16;
/// A hundred thousand instances beat over fewer connections than this, and more would be held by none.
const MOST_INTERNAL: u64 = 20_000;
/// Files that are no connections of clients: listeners, logs, the store, the database of addresses, the runtimes.
const OWN: u64 = 64;
/// The share that probes may take, of which at most 256 run at once.
const PROBES_SHARE: u64 = 16;
const MOST_PROBES: u64 = 256;

/// How many files each may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    /// All that the process may open.
    pub(super) limit: u64,
    /// Connections of clients that there is room for.
    pub(super) clients: usize,
    /// Connections of the internal listener.
    pub(super) internal: usize,
    /// Idle connections to services that are kept, of all services and threads together. One that is closed for want of room
    /// costs a handshake at the next request to its instance, which is dearer than all that furt does for a request; so there
    /// are as many as can be: `upstream.idle_timeout` ends those that nobody uses.
    pub(super) idle: usize,
}

impl Files {
    /// Shares out `limit` files. Nobody is left with none.
    fn share_out(limit: u64) -> Self {
        let whole = |count: u64| usize::try_from(count.max(1)).unwrap_or(usize::MAX);
        let internal = (limit / INTERNAL_SHARE).min(MOST_INTERNAL);
        let idle = (limit / IDLE_SHARE).min(MOST_IDLE);
        let others = OWN + (limit / PROBES_SHARE).min(MOST_PROBES) + internal + idle;
        let clients = limit.saturating_sub(others) / 2;
        Self { limit, clients: whole(clients), internal: whole(internal), idle: whole(idle) }
    }
}

/// Raises the limit of open files as far as the process may, and shares them out: what is usual, 1,024, is for programs that
/// call `select`, and far below the clients that a gateway is to have.
pub(super) fn raise_limit() -> Files {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        log::warn!("the limit of open files stays at {}: {error}", current.unwrap_or(u64::MAX));
    }
    Files::share_out(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// Tells where fewer clients can be taken than the configuration allows.
pub(super) fn tell_lowered(files: Files, max_connections: usize) {
    if files.clients < max_connections {
        log::warn!(
            "server.max_connections is {max_connections}, but with at most {} open files furt takes {} client connections: \
             each may need two; raise the limit of open files (LimitNOFILE, ulimit -n)",
            files.limit,
            files.clients
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_out_is_no_more_than_there_is() {
        for (limit, clients, internal, idle) in [
            (1_024, 352, 64, 128),
            (20_000, 7_965, 1_250, 2_500),
            (1_048_576, 505_936, 20_000, 16_384),
            (0, 1, 1, 1),
            (64, 1, 4, 8),
        ] {
            let files = Files::share_out(limit);
            assert_eq!(files, Files { limit, clients, internal, idle });
            let used = 2 * files.clients + files.internal + files.idle;
            assert!(limit < 200 || (used as u64) < limit, "{files:?}");
        }
        assert!(Files::share_out(u64::MAX).clients > 1_000_000);
    }

    #[test]
    fn the_limit_is_the_most_that_is_allowed() {
        let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raise_limit().limit, allowed);
        assert_eq!(raise_limit().limit, allowed);
    }
}
