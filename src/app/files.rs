//! How many files the process may have open, a connection being one, and how many of them idle connections may take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The share of all files that idle connections to instances may take: the rest is for clients, who need two each.
const IDLE_SHARE: u64 = 4;
/// Beyond, a gateway would hold some 100 MiB of memory for connections that nobody uses.
const MOST_IDLE: u64 = 16_384;

/// Raises the limit of open files as far as the process may: what is usual, 1,024, is for programs that call `select`,
/// and far below the clients that a gateway is to have. Gives the limit then.
pub(super) fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        log::warn!("the limit of open files stays at {}: {error}", current.unwrap_or(u64::MAX));
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Idle connections to instances that are kept, of all instances and threads together, where `files` may be open. One
/// that is closed for want of room costs a handshake at the next request to its instance, which is dearer than all that
/// furt does for a request; so there are as many as can be: `upstream.idle_timeout` ends those that nobody uses.
pub(super) fn idle_connections(files: u64) -> usize {
    usize::try_from((files / IDLE_SHARE).min(MOST_IDLE)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_connections_leave_files_for_clients() {
        let idle = [0, 1024, 65_536, u64::MAX].map(idle_connections);
        assert_eq!(idle, [0, 256, 16_384, 16_384]);
    }

    #[test]
    fn the_limit_is_the_most_that_is_allowed() {
        let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raise_limit(), allowed);
        assert_eq!(raise_limit(), allowed);
    }
}
