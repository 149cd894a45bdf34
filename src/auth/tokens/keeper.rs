//! The task that fetches the keys of one issuer, and keeps them on disk. It ends when the issuer is dropped.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::kept::KeptFile;
use super::keyring::{Keyring, Taken};
use super::source::{Fetch, FetchError};
use crate::clock;

/// Fetches as the schedule of the keyring says, until the keyring is gone.
pub(super) async fn keep(
    keyring: Weak<Keyring>,
    mut wake: watch::Receiver<()>,
    source: Box<dyn Fetch>,
    mut kept: Option<KeptFile>,
) {
    while let Some(pause) = pause(&keyring) {
        tokio::select! {
            // What was due may be due sooner now.
            woken = wake.changed() => if woken.is_err() { return },
            () = tokio::time::sleep(pause) => {
                if keyring.upgrade().is_none_or(|keyring| !keyring.begin()) {
                    continue;
                }
                let Some(fetched) = fetch(&*source, &mut wake).await else { return };
                let taken = keyring.upgrade().and_then(|keyring| keyring.end(fetched, fastrand::f64()));
                if let (Some(taken), Some(file)) = (taken, kept.take()) {
                    kept = write(file, taken).await;
                }
            }
        }
    }
}

/// Until the next fetch; `None`: the keyring is gone.
fn pause(keyring: &Weak<Keyring>) -> Option<Duration> {
    let now = clock::now();
    let due = keyring.upgrade()?.due();
    Some(due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now)))
}

/// What came; `None`: nobody wants it any more.
async fn fetch(source: &dyn Fetch, wake: &mut watch::Receiver<()>) -> Option<Result<Vec<u8>, FetchError>> {
    let mut fetching = source.fetch();
    loop {
        tokio::select! {
            fetched = &mut fetching => return Some(fetched),
            woken = wake.changed() => woken.ok()?,
        }
    }
}

/// Writes the file where that is due, and gives it back.
async fn write(mut file: KeptFile, taken: Taken) -> Option<KeptFile> {
    if !file.is_due(taken.is_new, taken.at) {
        return Some(file);
    }
    let was_good = file.is_good();
    let writing = tokio::task::spawn_blocking(move || (file.write(taken.document, taken.at), file));
    // It fails where the process ends.
    let (written, file) = writing.await.ok()?;
    if let Err(why) = written
        && was_good
    {
        log::warn!("issuers: keys cannot be kept: {why}");
    }
    Some(file)
}

/// Keys that were kept are in force until others come.
pub(super) fn restore(keyring: &Arc<Keyring>, file: &mut KeptFile) {
    let name = keyring.name();
    match file.read() {
        Ok(None) => {}
        Ok(Some((set, kept))) => {
            file.set_used(&kept);
            keyring.put(set, kept.jwks, kept.fetched_at.saturating_mul(1000));
        }
        Err(why) => log::warn!("issuers: the keys of {name} that were kept are not used: {why}"),
    }
}
