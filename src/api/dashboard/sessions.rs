//! Sessions of operators who signed in: in memory, few, and short.
//!
//! A session stands for the token that was sent, and for its address: cookies are not isolated by port (RFC 6265 §8.5), so
//! another program on this host could be sent it. Whether the token is an operator's is asked at each request anew.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use furt_core::model::Sha256Digest;

/// Sessions at once; a further one ends the one that was not used for the longest time.
const MAX_SESSIONS: usize = 64;
/// The longest one.
const LONGEST: Duration = Duration::from_secs(8 * 3600);
/// The longest time without a request, or a page that is kept up to date.
const LONGEST_IDLE: Duration = Duration::from_secs(30 * 60);

/// What a session is known by: the digest of its cookie's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(Sha256Digest);

impl SessionId {
    /// That of a cookie's value.
    pub(super) fn of(value: &str) -> Self {
        Self(Sha256Digest::of(value.as_bytes()))
    }
}

struct Session {
    address: IpAddr,
    token: Sha256Digest,
    began: Instant,
    used: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= LONGEST || now.saturating_duration_since(self.used) >= LONGEST_IDLE
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<SessionId, Session>>);

impl Sessions {
    /// Begins one, for who sent a token from an address.
    pub(super) fn begin(&self, id: SessionId, address: IpAddr, token: Sha256Digest, now: Instant) {
        let mut sessions = self.lock();
        sessions.retain(|_, session| !session.is_over(now));
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| *id)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(id, Session { address, token, began: now, used: now });
    }

    /// The token that a session stands for, where it is asked for from its address; it is used by that.
    pub(super) fn token(&self, id: SessionId, address: IpAddr, now: Instant) -> Option<Sha256Digest> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(&id).filter(|session| session.address == address && !session.is_over(now))?;
        session.used = now;
        Some(session.token)
    }

    /// Ends one.
    pub(super) fn end(&self, id: SessionId, address: IpAddr) {
        let mut sessions = self.lock();
        if sessions.get(&id).is_some_and(|session| session.address == address) {
            sessions.remove(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn token() -> Sha256Digest {
        Sha256Digest::of(b"token")
    }

    #[test]
    fn a_session_is_good_from_its_address_alone_until_it_ends() {
        let (sessions, now, id) = (Sessions::default(), crate::clock::now(), SessionId::of("a"));
        sessions.begin(id, HERE, token(), now);
        assert_eq!(sessions.token(id, HERE, now), Some(token()));
        assert_eq!(sessions.token(id, THERE, now), None);
        assert_eq!(sessions.token(SessionId::of("b"), HERE, now), None);
        sessions.end(id, THERE);
        assert_eq!(sessions.token(id, HERE, now), Some(token()), "nobody else ends it");
        sessions.end(id, HERE);
        assert_eq!(sessions.token(id, HERE, now), None);
    }

    #[test]
    fn it_ends_after_half_an_hour_without_use_and_after_eight_hours_with_it() {
        let (sessions, began, id) = (Sessions::default(), crate::clock::now(), SessionId::of("a"));
        sessions.begin(id, HERE, token(), began);
        let mut now = began;
        while now + LONGEST_IDLE - Duration::from_secs(1) < began + LONGEST {
            now += LONGEST_IDLE - Duration::from_secs(1);
            assert_eq!(sessions.token(id, HERE, now), Some(token()));
        }
        assert_eq!(sessions.token(id, HERE, began + LONGEST), None);
        sessions.begin(id, HERE, token(), now);
        assert_eq!(sessions.token(id, HERE, now + LONGEST_IDLE), None);
    }

    #[test]
    fn there_are_64_at_most_and_the_one_that_was_not_used_for_the_longest_time_gives_way() {
        let (sessions, now) = (Sessions::default(), crate::clock::now());
        let id = |number: u64| SessionId::of(&number.to_string());
        let at = |number: u64| now + Duration::from_secs(number);
        (0..64).for_each(|number| sessions.begin(id(number), HERE, token(), at(number)));
        assert!(sessions.token(id(0), HERE, at(64)).is_some());
        sessions.begin(id(64), HERE, token(), at(65));
        let is_there = |number| sessions.token(id(number), HERE, at(66)).is_some();
        assert_eq!([0, 1, 2, 64].map(is_there), [true, false, true, true]);
        sessions.begin(id(65), HERE, token(), at(66) + LONGEST_IDLE);
        assert_eq!(sessions.lock().len(), 1, "what is over is forgotten");
    }
}
