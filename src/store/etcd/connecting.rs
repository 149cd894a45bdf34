//! From one connection to the next: what was missed is followed, what was sent is settled, what is there is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use log::warn;

use super::connection::{Connection, Fault, FaultKind, Watched};
use super::follow::{Group, Put, follow};
use super::layout::{FORMAT, Key};
use super::link::{End, Link, Open, SESSION_TTL, changed, fault, unreadable};
use super::meta::Meta;
use super::mirror::Entry;
use super::settings::Settings;
use crate::clock;
use furt_core::registry::{Change, Origin};

/// Between tries, and the most of it: a member is elected within a second or two, and many gateways must not come at once.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// For all steps of a new connection together.
const PATIENCE: Duration = Duration::from_secs(8);
/// So many records that differ are read one by one; more are read all at once.
const FEW: usize = 200;

impl Link {
    /// Follows the store until the driver is gone; the first connection is given.
    pub(super) async fn run(mut self, first: Arc<Connection>) {
        let mut next = Some(first);
        let mut away_since: Option<i64> = None;
        let mut pause = PAUSE;
        let mut endpoint = self.settings.first_endpoint;
        let mut said = String::new();
        loop {
            let mut is_first_try = false;
            let opened = match self.open(endpoint, next.take()).await {
                Ok(mut open) => {
                    let began = clock::now();
                    (away_since, pause) = (None, PAUSE);
                    said.clear();
                    self.tell_reach(Ok(()));
                    let end = self.follow(&mut open).await;
                    is_first_try = clock::now().saturating_duration_since(began) > LONGEST_PAUSE;
                    self.disconnected();
                    self.settings.connection.store(None);
                    if matches!(end, End::Stopped) {
                        return self.leave(&open).await;
                    }
                    end
                }
                Err(end) => end,
            };
            let End::Fault(failed) = opened else { return };
            let since = *away_since.get_or_insert_with(clock::unix_ms);
            let at = &self.settings.endpoints[endpoint];
            if said != failed.text {
                warn!("the store is away: {at}: {}", failed.text);
                said.clone_from(&failed.text);
            }
            self.tell_reach(Err(format!("{at}: {} (since {})", failed.text, clock::rfc3339(since))));
            endpoint = (endpoint + 1) % self.settings.endpoints.len();
            if is_first_try {
                // Every moment counts for those whose leases ended with this gateway's.
                continue;
            }
            if self.wait(pause.mul_f64(0.5 + fastrand::f64())).await.is_err() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Lets time pass without a connection.
    async fn wait(&mut self, pause: Duration) -> Result<(), End> {
        let until = clock::now() + pause;
        self.meanwhile(tokio::time::sleep_until(until.into())).await
    }

    /// Waits for something without a connection: commands are taken, and writes that wait too long fail.
    async fn meanwhile<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T, End> {
        let mut awaited = std::pin::pin!(awaited);
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tokio::select! {
                done = &mut awaited => return Ok(done),
                command = self.commands.recv() => self.take_commands(command, None)?,
                _ = tick.tick() => self.give_up(clock::now()),
            }
        }
    }

    /// The gateway stops: others need not wait for its lease.
    async fn leave(mut self, open: &Open) {
        // Who cannot be told finds the lease at its end.
        drop(open.connection.revoke(open.session_lease).await);
        if let Some(left) = self.leaving.take() {
            _ = left.send(());
        }
    }

    /// Connects to an endpoint, and catches up with what was missed.
    async fn open(&mut self, endpoint: usize, connection: Option<Arc<Connection>>) -> Result<Open, End> {
        let settings = Arc::clone(&self.settings);
        let connection = match connection {
            Some(connection) => connection,
            None => {
                let opening = Connection::open(&settings.endpoints[endpoint], &settings.access);
                Arc::new(self.meanwhile(opening).await??)
            }
        };
        settings.connection.store(Some(Arc::clone(&connection)));
        let deadline = clock::now() + PATIENCE;
        let opened = tokio::time::timeout_at(deadline.into(), self.catch_up(&settings, connection)).await;
        opened.unwrap_or_else(|_| Err(fault("it is too slow to catch up with")))
    }

    async fn catch_up(&mut self, settings: &Settings, connection: Arc<Connection>) -> Result<Open, End> {
        let (records, key) = (settings.layout.records(), settings.layout.key(&Key::Gateway(settings.id.clone())));
        self.check_identity(settings, &connection).await?;
        let mut watch = connection.watch(records, self.mirror.revision + 1).await?;
        let kept = match self.session_lease {
            Some(lease) => connection.renewals(lease).await.map(|renewals| (lease, renewals)),
            None => Err(Fault { kind: FaultKind::NoLease, text: String::new() }),
        };
        let (lease, renewals) = match kept {
            Ok(kept) => kept,
            Err(failed) if failed.kind == FaultKind::NoLease => {
                let (lease, _) = connection.grant(SESSION_TTL).await?;
                (lease, connection.renewals(lease).await?)
            }
            Err(failed) => return Err(failed.into()),
        };
        self.session_lease = Some(lease);
        // From here on nothing that was sent before can be stored: it names the session as it was.
        self.session_put_at = 0;
        let put_at = connection.put(&key, self.session.to_json(), Some(lease)).await?;
        self.vetted_until = put_at;
        while self.mirror.revision < put_at {
            match watch.next().await? {
                Watched::Nothing => {}
                Watched::Changed(groups) => groups.iter().try_for_each(|group| self.take(group))?,
                Watched::Compacted => {
                    self.read_again(&connection, put_at).await?;
                    watch = connection.watch(records, put_at + 1).await?;
                }
            }
        }
        self.settle();
        self.session_put_at = put_at;
        self.compare_all(&connection).await?;
        Ok(Open::new(connection, watch, renewals, lease))
    }

    /// Whether it is still the store that is followed.
    async fn check_identity(&self, settings: &Settings, connection: &Connection) -> Result<(), End> {
        let (revision, meta) = connection.get(&settings.layout.meta()).await?;
        let root = settings.layout.root();
        let Some(meta) = meta else {
            return Err(fault(format!(
                "nothing is stored below {root} any more: it was emptied, or another etcd has taken its place; restart furt to begin with what is there"
            )));
        };
        let meta = Meta::parse(&meta.value).map_err(|error| fault(format!("{}: {error}", settings.layout.meta())))?;
        if meta.format > FORMAT {
            return Err(fault(format!("{root} has format {}, and this furt knows {FORMAT}", meta.format)));
        }
        if meta.epoch != settings.epoch {
            return Err(fault(format!(
                "another store has taken its place: {root} is registry {}, and {} was followed; restart furt to begin with what is there",
                meta.epoch, settings.epoch
            )));
        }
        if revision < self.mirror.revision {
            return Err(went_back(revision, self.mirror.revision));
        }
        Ok(())
    }

    /// Compares what is there with what was followed, key by key.
    pub(super) async fn compare_all(&mut self, connection: &Connection) -> Result<(), End> {
        let revision = self.mirror.revision;
        match self.compare(connection, revision).await {
            // What is compacted cannot be compared; what comes after it is.
            Err(End::Fault(failed)) if failed.kind == FaultKind::Compacted => Ok(()),
            outcome => outcome,
        }
    }

    /// Takes over what was missed since the watch lost its place.
    async fn read_again(&mut self, connection: &Connection, revision: u64) -> Result<(), End> {
        self.compare(connection, revision).await?;
        self.mirror.revision = self.mirror.revision.max(revision);
        Ok(())
    }

    async fn compare(&mut self, connection: &Connection, revision: u64) -> Result<(), End> {
        let settings = Arc::clone(&self.settings);
        let (layout, records) = (&settings.layout, settings.layout.records());
        let there = connection.range(records, revision, false).await?;
        let misnamed = there.puts.iter().map(|put| &put.key).filter(|key| layout.is_misnamed(key)).cloned();
        self.mirror.set_misnamed(misnamed.collect());
        let there: BTreeMap<Key, Put> =
            there.puts.into_iter().filter_map(|put| Some((layout.parse(&put.key)?, put))).collect();
        let differs = |key: &Key, put: &Put| match self.mirror.get(key) {
            Some(Entry { modified, lease, .. }) => *modified != put.modified || *lease != put.lease,
            None => true,
        };
        let changed_keys: Vec<_> = there.iter().filter(|(key, put)| differs(key, put)).collect();
        for (key, put) in &changed_keys {
            if let Some(before) = self.mirror.get(key).filter(|before| before.modified > put.modified) {
                return Err(went_back(put.modified, before.modified));
            }
        }
        let gone: BTreeSet<_> =
            self.mirror.entries().map(|(key, _)| key).filter(|key| !there.contains_key(*key)).cloned().collect();
        if changed_keys.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let mut group = Group { revision, ..Group::default() };
        if changed_keys.len() > FEW {
            let wanted: BTreeSet<_> = changed_keys.iter().map(|(_, put)| put.key.clone()).collect();
            let all = connection.range(records, revision, true).await?;
            group.puts = all.puts.into_iter().filter(|put| wanted.contains(&put.key)).collect();
        } else {
            for (_, put) in &changed_keys {
                group.puts.extend(connection.at(&put.key, revision).await?);
            }
        }
        group.deletes = gone.iter().map(|key| layout.key(key).into_bytes()).collect();
        let followed = follow(&group, &mut self.mirror, layout, &*settings.vet, true);
        let differing = group.puts.len() + group.deletes.len();
        warn!("{differing} records of the store were missed and are taken over now, as at revision {revision}");
        settings.metrics.repaired(differing as u64);
        settings.metrics.followed(self.mirror.revision);
        self.tell_refused(&followed);
        self.follow_nodes(&followed);
        settings.audit_news.tell();
        let unreadable = unreadable(&followed);
        if !followed.changes.is_empty() {
            let lapsed = followed.changes.iter().filter(|one| matches!(one.change, Change::RemoveInstance(_))).count();
            settings.metrics.lapsed(lapsed as u64);
            self.tell(vec![changed(revision, followed.changes, Origin::Comparison)]);
        }
        self.tell_unreadable(revision, unreadable);
        Ok(())
    }
}

fn went_back(there: u64, followed: u64) -> End {
    fault(format!(
        "it went back in time: it has revision {there} where {followed} was followed, as after a restore from a backup; restart furt to begin with what is there"
    ))
}
