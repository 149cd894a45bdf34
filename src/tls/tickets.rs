//! Session tickets: a client keeps its session, sealed by a key of furt's, and shows it when it comes again.
//!
//! The keys age: a new one every 12 h seals, and the two before it still open, so a ticket is good for 24 h at least and 36 h at
//! most. They are kept in a file, so that clients resume their sessions after a restart. Whoever has the file can read what was
//! said under TLS 1.2 in resumed sessions of that time: it is 0600, and old keys are gone from it.
//!
//! Where gateways share a secret, keys that are derived from it seal instead (`shared_keys`), and those of the file still open.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::server::ProducesTickets;

use super::files;
use super::shared_keys::{self, NAME_LEN, NamedKey, SEALS_SECONDS, SECRET_LEN, SharedRoot};
use crate::private_files::{self, FileError};

/// Keys that open: the one that seals and those before it.
const MOST_KEYS: usize = 3;
/// How long every ticket is good.
const LIFETIME_SECONDS: u32 = 24 * 3600;
/// Within the folder of `tls.state`.
const FILE: &str = "ticket-keys";
/// The first line of the file.
const FORM: &str = "furt ticket keys 1";

/// Why the folder of `tls.state` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made, or its file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system has no random numbers.
    #[error("the system gives no random numbers ({0})")]
    Random(getrandom::Error),
}

/// A key, and when it was made, in Unix seconds.
#[derive(Clone, PartialEq, Eq)]
struct TicketKey {
    made: i64,
    name: [u8; NAME_LEN],
    secret: [u8; SECRET_LEN],
}

/// The keys, the newest first. Pure: is told the time and given random bytes.
#[derive(Clone, Default, PartialEq, Eq)]
struct KeyRing(Vec<TicketKey>);

impl KeyRing {
    /// Whether a new key is due at `now`. A key of the future is none: the clock was set back by more than it seals.
    fn is_due(&self, now: i64) -> bool {
        self.0.first().is_none_or(|newest| !(-SEALS_SECONDS..SEALS_SECONDS).contains(&(now - newest.made)))
    }

    /// With one more, and without those that are too old.
    fn advanced(&self, now: i64, name: [u8; NAME_LEN], secret: [u8; SECRET_LEN]) -> Self {
        let newest = TicketKey { made: now, name, secret };
        let lasts = |key: &&TicketKey| (-SEALS_SECONDS..SEALS_SECONDS * MOST_KEYS as i64).contains(&(now - key.made));
        let earlier = self.0.iter().take(MOST_KEYS - 1).filter(lasts).cloned();
        Self(std::iter::once(newest).chain(earlier).collect())
    }

    fn to_text(&self) -> String {
        let line = |key: &TicketKey| {
            let (mut name, mut secret) = (const_hex::Buffer::<NAME_LEN>::new(), const_hex::Buffer::<SECRET_LEN>::new());
            format!("{} {} {}\n", key.made, name.format(&key.name), secret.format(&key.secret))
        };
        format!("{FORM}\n{}", self.0.iter().map(line).collect::<String>())
    }

    /// `None`: it is another file, or damaged.
    fn of_text(text: &str) -> Option<Self> {
        let lines = text.strip_prefix(FORM)?.strip_prefix('\n')?.lines();
        let key = |line: &str| {
            let mut words = line.split(' ');
            let key = TicketKey {
                made: words.next()?.parse().ok()?,
                name: const_hex::decode_to_array(words.next()?).ok()?,
                secret: const_hex::decode_to_array(words.next()?).ok()?,
            };
            words.next().is_none().then_some(key)
        };
        lines.take(MOST_KEYS).map(key).collect::<Option<_>>().map(Self)
    }
}

/// Keys that seal and open.
struct Sealing(Vec<([u8; NAME_LEN], RandomizedNonceKey)>);

impl Sealing {
    fn new(ring: &KeyRing, shared: &Shared) -> Self {
        let usable = |(name, secret): NamedKey| Some((name, RandomizedNonceKey::new(&AES_256_GCM, &secret).ok()?));
        let own = ring.0.iter().map(|key| (key.name, key.secret));
        Self(shared_keys::keys(&shared.roots, shared.made).into_iter().chain(own).filter_map(usable).collect())
    }
}

/// What gateways share, and when keys were derived from it last, in Unix seconds.
#[derive(Default)]
struct Shared {
    roots: Vec<SharedRoot>,
    made: i64,
}

/// The tickets of one folder.
pub(super) struct Tickets {
    file: PathBuf,
    ring: Mutex<(KeyRing, Shared)>,
    sealing: ArcSwap<Sealing>,
}

impl Tickets {
    /// Takes the keys that are in the folder, which is made where it is absent. A file that is no longer one is replaced:
    /// nothing is lost but that clients do a whole handshake once.
    pub(super) fn open(folder: &Path, now: i64) -> Result<Self, StateError> {
        private_files::make_folder(folder)?;
        let file = folder.join(FILE);
        let text = files::read(&file).ok().and_then(|(bytes, _)| String::from_utf8(bytes).ok());
        let ring = text.and_then(|text| KeyRing::of_text(&text)).unwrap_or_default();
        let shared = Shared::default();
        let sealing = ArcSwap::from_pointee(Sealing::new(&ring, &shared));
        let tickets = Self { file, ring: Mutex::new((ring, shared)), sealing };
        tickets.advance(now)?;
        Ok(tickets)
    }

    /// Makes a new key where one is due.
    ///
    /// # Errors
    /// It could not be kept: the keys before it go on, and the next call tries again.
    pub(super) fn advance(&self, now: i64) -> Result<(), StateError> {
        let mut guard = self.ring();
        let (ring, shared) = &mut *guard;
        if !shared.roots.is_empty() && shared_keys::period(shared.made) != shared_keys::period(now) {
            shared.made = now;
            self.sealing.store(Arc::new(Sealing::new(ring, shared)));
        }
        if !ring.is_due(now) {
            return Ok(());
        }
        let (mut name, mut secret) = ([0; NAME_LEN], [0; SECRET_LEN]);
        getrandom::fill(&mut name).and_then(|()| getrandom::fill(&mut secret)).map_err(StateError::Random)?;
        let next = ring.advanced(now, name, secret);
        private_files::write(&self.file, next.to_text().as_bytes())?;
        self.sealing.store(Arc::new(Sealing::new(&next, shared)));
        *ring = next;
        Ok(())
    }

    /// From now on keys of these roots seal, those of the first one, and open; none: the own ones alone. Tickets that were given before
    /// are good as long as they would have been, where their root is still among them.
    pub(super) fn share(&self, roots: Vec<SharedRoot>, now: i64) {
        let mut guard = self.ring();
        let (ring, shared) = &mut *guard;
        if shared.roots != roots {
            *shared = Shared { roots, made: now };
            self.sealing.store(Arc::new(Sealing::new(ring, shared)));
        }
    }

    fn ring(&self) -> MutexGuard<'_, (KeyRing, Shared)> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tickets").field("file", &self.file).finish_non_exhaustive()
    }
}

/// A ticket is the key's name, the nonce, and the sealed session with its tag.
impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let sealing = self.sealing.load();
        let (name, key) = sealing.0.first()?;
        let mut sealed = plain.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(name), &mut sealed).ok()?;
        Some([&name[..], nonce.as_ref(), &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let sealing = self.sealing.load();
        // The names are no secret: each ticket shows one.
        let (_, key) = sealing.0.iter().find(|(known, _)| known == name)?;
        let mut plain = sealed.to_vec();
        let length = key.open_in_place(Nonce::from(nonce), Aad::from(name), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    const HOUR: i64 = 3600;

    #[test]
    fn a_ticket_is_good_for_a_day_and_for_no_more_than_a_day_and_a_half() {
        let folder = tempfile::tempdir().unwrap();
        for made_after in [0, 1, 11, 12, 13, 25] {
            let tickets = Tickets::open(&folder.path().join(made_after.to_string()), 0).unwrap();
            tickets.advance(made_after * HOUR).unwrap();
            let ticket = tickets.encrypt(b"session").unwrap();
            for hour in made_after..made_after + 60 {
                tickets.advance(hour * HOUR).unwrap();
                let age = hour - made_after;
                let opened = tickets.decrypt(&ticket);
                assert!(opened.is_none() || opened.as_deref() == Some(b"session"));
                assert!(age > 24 || opened.is_some(), "made after {made_after} h, {age} h old");
                assert!(age < 36 || opened.is_none(), "made after {made_after} h, {age} h old");
            }
        }
    }

    #[test]
    fn keys_outlive_the_process_in_a_file_that_only_their_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/tls");
        let ticket = Tickets::open(&state, 1000).unwrap().encrypt(b"session").unwrap();
        let again = Tickets::open(&state, 1000 + 23 * HOUR).unwrap();
        assert_eq!(again.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join(FILE))), (0o700, 0o600));
        assert!(Tickets::open(&state, 1000 + 40 * HOUR).unwrap().decrypt(&ticket).is_none());
    }

    #[test]
    fn a_file_that_is_none_is_replaced_and_a_folder_that_cannot_be_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "furt ticket keys 2\n", "furt ticket keys 1\n1 ab cd\n", "furt ticket keys 1\nx"] {
            fs::write(folder.path().join(FILE), text).unwrap();
            let tickets = Tickets::open(folder.path(), 5).unwrap();
            assert_eq!(tickets.ring().0.0.len(), 1, "{text}");
            let ring = KeyRing::of_text(&fs::read_to_string(&tickets.file).unwrap());
            assert!(ring.is_some_and(|ring| ring == tickets.ring().0), "{text}");
        }
        let error = Tickets::open(&folder.path().join(FILE), 5).unwrap_err().to_string();
        assert!(error.contains(FILE) && error.contains("cannot be made"), "{error}");
    }

    #[test]
    fn gateways_that_share_a_root_open_each_other_s_tickets_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| Tickets::open(&folder.path().join(name), 0).unwrap();
        let (one, other, alone) = (open("one"), open("other"), open("alone"));
        let before = one.encrypt(b"before").unwrap();
        for tickets in [&one, &other] {
            tickets.share(vec![[7; SECRET_LEN]], 0);
        }
        assert_eq!(one.decrypt(&before).as_deref(), Some(&b"before"[..]), "what was given before is good");
        for made in [0, 5, 11, 12, 30] {
            one.advance(made * HOUR).unwrap();
            let ticket = one.encrypt(b"session").unwrap();
            // Its clock may be some hours behind.
            for hour in made - 2..made + 60 {
                other.advance(hour.max(0) * HOUR).unwrap();
                let (age, opened) = (hour - made, other.decrypt(&ticket));
                assert!(age > 24 || opened.as_deref() == Some(b"session"), "made after {made} h, {age} h old");
                assert!(age < 36 || opened.is_none(), "made after {made} h, {age} h old");
            }
            assert_eq!(alone.decrypt(&ticket), None);
        }
        // A rotation: the first root seals, the one before opens.
        let old = one.encrypt(b"old").unwrap();
        other.share(vec![[8; SECRET_LEN], [7; SECRET_LEN]], 30 * HOUR);
        assert_eq!(other.decrypt(&old).as_deref(), Some(&b"old"[..]));
        assert_eq!(
            one.decrypt(&other.encrypt(b"new").unwrap()),
            None,
            "it has the next root and the other one not yet"
        );
        other.share(Vec::new(), 30 * HOUR);
        assert_eq!(other.decrypt(&old), None);
    }

    #[test]
    fn what_is_no_ticket_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let tickets = Tickets::open(folder.path(), 0).unwrap();
        let ticket = tickets.encrypt(b"session").unwrap();
        for length in 0..ticket.len() {
            assert_eq!(tickets.decrypt(&ticket[..length]), None);
        }
        for at in 0..ticket.len() {
            let mut bent = ticket.clone();
            bent[at] ^= 1;
            assert_eq!(tickets.decrypt(&bent), None, "{at}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_far_makes_a_new_key() {
        let folder = tempfile::tempdir().unwrap();
        let tickets = Tickets::open(folder.path(), 100 * HOUR).unwrap();
        let count = |now| {
            tickets.advance(now).unwrap();
            tickets.ring().0.0.len()
        };
        assert_eq!([count(99 * HOUR), count(89 * HOUR), count(80 * HOUR)], [1, 1, 1]);
        assert_eq!(tickets.ring().0.0[0].made, 80 * HOUR);
    }
}
