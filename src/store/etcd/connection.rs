//! A connection to one etcd endpoint: the only file that knows the client's crate.
//!
//! The crate's own balancer is left out: it sends to endpoints that are dead. Nothing here is tried again: whoever has a
//! connection that failed takes the next endpoint.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{
    Channel, Client, Compare as EtcdCompare, CompareOp, ConnectOptions, DeleteOptions, Error, EventType, GetOptions,
    KeyValue, LeaseKeepAliveStream, LeaseKeeper, PutOptions, SortOrder, SortTarget, TxnOp, WatchOptions, WatchStream,
};
use tokio::sync::mpsc;
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::follow::{Group, Put};
use super::mirror::Lease;
use super::txn::{Compare, Nested, Op, Txn, Under};

/// For the first question on a connection.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
/// For one question: a member that has lost its leader answers no earlier.
const PATIENCE: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(1);
/// A dead peer is found by pings no more often than etcd allows.
const PING: Duration = Duration::from_secs(5);
/// Keys of one answer.
const PAGE: i64 = 1000;
/// Keys that are removed at once: etcd takes 128 operations.
const DELETES: usize = 100;
/// What one answer may have: a page of the largest records.
const MAX_MESSAGE: usize = 128 << 20;

/// How to reach the members of one etcd. Files are read at each connection, so that they can be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// The user, and the file with its password.
    pub user: Option<(String, PathBuf)>,
    /// Certificate authorities in PEM for `https` endpoints, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate and the key in PEM that furt shows to `https` endpoints.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why etcd did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// etcd's words, or what became of the connection.
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// It was refused: nothing was stored.
    Rejected,
    /// A lease that it names is gone: nothing was stored.
    NoLease,
    /// What was asked for is compacted.
    Compacted,
    /// Nobody knows what became of it.
    Lost,
}

pub(super) struct Connection {
    client: Client,
}

/// A key with its value.
pub(super) struct Got {
    pub(super) value: Vec<u8>,
}

/// What the watch tells.
pub(super) enum Watched {
    /// It was set up, or lives.
    Nothing,
    Changed(Vec<Group>),
    /// What it was to begin with is not kept any more.
    Compacted,
}

pub(super) struct Watch(WatchStream);

/// Where renewals are sent, without waiting for a slow connection.
pub(super) struct Renewals(mpsc::UnboundedSender<Lease>);

/// Answers to renewals.
pub(super) struct Renewed(LeaseKeepAliveStream);

impl Fault {
    fn lost(text: impl Into<String>) -> Self {
        Self { kind: FaultKind::Lost, text: text.into() }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let Error::GRpcStatus(status) = &error else { return Self::lost(error.to_string()) };
        let text = status.message().to_owned();
        let kind = match status.code() {
            Code::NotFound if text.contains("lease") => FaultKind::NoLease,
            Code::OutOfRange if text.contains("compacted") => FaultKind::Compacted,
            // Rights change while furt runs, and a new connection brings a new token: nothing works until then.
            _ if text.contains("auth") || text.contains("user name is empty") || text.contains("permission denied") => {
                FaultKind::Lost
            }
            Code::InvalidArgument | Code::ResourceExhausted | Code::FailedPrecondition => FaultKind::Rejected,
            _ => FaultKind::Lost,
        };
        Self { kind, text: if text.is_empty() { format!("it answers {}", status.code()) } else { text } }
    }
}

async fn within<T>(patience: Duration, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
    match tokio::time::timeout(patience, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Fault::lost(format!("no answer within {} s", patience.as_secs_f64()))),
    }
}

impl Connection {
    /// # Errors
    /// It cannot be reached, or does not know the user.
    pub(super) async fn open(endpoint: &str, access: &Access) -> Result<Self, Fault> {
        let fault = |error: tonic::transport::Error| Fault::lost(chain(&error));
        let mut channel = Endpoint::from_shared(endpoint.to_owned()).map_err(fault)?;
        if endpoint.starts_with("https:") {
            channel = channel.tls_config(access.tls()?).map_err(fault)?;
        }
        let channel = channel
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PATIENCE)
            .keep_alive_while_idle(true);
        let connected = tokio::time::timeout(PATIENCE, channel.connect()).await;
        let channel = connected.map_err(|_| Fault::lost("it cannot be connected to in time"))?.map_err(fault)?;
        let mut options = ConnectOptions::new().with_require_leader(true);
        if let Some((user, password_file)) = &access.user {
            let password = String::from_utf8(read(password_file)?)
                .map_err(|_| Fault::lost(format!("{} is no text", password_file.display())))?;
            options = options.with_user(user, password.trim_end_matches(['\r', '\n'])).with_auto_token_refresh(true);
        }
        let client = within(PATIENCE, Client::from_channel(Channel::Tonic(channel), Some(options))).await?;
        Ok(Self { client })
    }

    /// The key, and the store's revision.
    pub(super) async fn get(&self, key: &str) -> Result<(u64, Option<Got>), Fault> {
        let mut kv = self.client.kv_client();
        let mut answer = within(FIRST_PATIENCE, kv.get(key, None)).await?;
        let revision = answer.header().map_or(0, |header| unsigned(header.revision()));
        let got = answer.take_kvs().into_iter().next();
        Ok((revision, got.map(|kv| Got { value: kv.into_key_value().1 })))
    }

    /// Whether any key begins so.
    pub(super) async fn has_any(&self, prefix: &str) -> Result<bool, Fault> {
        let options = GetOptions::new().with_prefix().with_limit(1).with_keys_only();
        let answer = within(PATIENCE, self.client.kv_client().get(prefix, Some(options))).await?;
        Ok(answer.count() > 0)
    }

    /// All keys that begin so at a revision, 0 for the present one; with their values if those are asked for.
    pub(super) async fn range(&self, prefix: &str, revision: u64, with_values: bool) -> Result<Group, Fault> {
        let mut kv = self.client.kv_client().max_decoding_message_size(MAX_MESSAGE);
        let (mut all, mut from) = (Group { revision, ..Group::default() }, prefix.as_bytes().to_vec());
        let end = end_of(prefix);
        loop {
            let mut options =
                GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(signed(all.revision));
            if !with_values {
                options = options.with_keys_only();
            }
            let mut answer = within(PATIENCE, kv.get(from.clone(), Some(options))).await?;
            if all.revision == 0 {
                all.revision = answer.header().map_or(0, |header| unsigned(header.revision()));
            }
            let more = answer.more();
            all.puts.extend(answer.take_kvs().into_iter().map(put));
            let Some(last) = all.puts.last().filter(|_| more) else { return Ok(all) };
            from = last.key.clone();
            from.push(0);
        }
    }

    /// At most `limit` keys that begin so, in the order in which they were put: the next after a revision, or the last ones.
    pub(super) async fn by_revision(&self, prefix: &str, after: Option<u64>, limit: usize) -> Result<Vec<Put>, Fault> {
        let order = if after.is_some() { SortOrder::Ascend } else { SortOrder::Descend };
        let options = GetOptions::new()
            .with_range(end_of(prefix))
            .with_min_mod_revision(signed(after.map_or(0, |after| after.saturating_add(1))))
            .with_sort(SortTarget::Mod, order)
            .with_limit(i64::try_from(limit).unwrap_or(i64::MAX));
        let mut kv = self.client.kv_client().max_decoding_message_size(MAX_MESSAGE);
        let mut answer = within(PATIENCE, kv.get(prefix, Some(options))).await?;
        let mut puts: Vec<_> = answer.take_kvs().into_iter().map(put).collect();
        if after.is_none() {
            puts.reverse();
        }
        Ok(puts)
    }

    /// All keys that begin so and were put at that revision.
    pub(super) async fn of_revision(&self, prefix: &str, revision: u64) -> Result<Vec<Put>, Fault> {
        let options = GetOptions::new()
            .with_range(end_of(prefix))
            .with_min_mod_revision(signed(revision))
            .with_max_mod_revision(signed(revision));
        let mut kv = self.client.kv_client().max_decoding_message_size(MAX_MESSAGE);
        let mut answer = within(PATIENCE, kv.get(prefix, Some(options))).await?;
        Ok(answer.take_kvs().into_iter().map(put).collect())
    }

    /// Removes keys that begin so, those first that were put first, until no more than these are left.
    pub(super) async fn keep_newest(&self, prefix: &str, most: u64) -> Result<(), Fault> {
        loop {
            let count = GetOptions::new().with_range(end_of(prefix)).with_count_only();
            let there = within(PATIENCE, self.client.kv_client().get(prefix, Some(count))).await?.count();
            let over = usize::try_from(unsigned(there).saturating_sub(most)).unwrap_or(usize::MAX);
            if over == 0 {
                return Ok(());
            }
            let first = self.by_revision(prefix, Some(0), over.min(DELETES)).await?;
            let key = |put: Put| String::from_utf8(put.key).ok().map(Op::Delete);
            let ops: Vec<_> = first.into_iter().filter_map(key).collect();
            if ops.is_empty() {
                return Ok(());
            }
            self.txn(Txn { ops, ..Txn::default() }).await?;
        }
    }

    /// One key as it was at a revision.
    pub(super) async fn at(&self, key: &[u8], revision: u64) -> Result<Option<Put>, Fault> {
        let options = GetOptions::new().with_revision(signed(revision));
        let mut answer = within(PATIENCE, self.client.kv_client().get(key, Some(options))).await?;
        Ok(answer.take_kvs().into_iter().next().map(put))
    }

    /// Puts a key whatever it is; gives the revision.
    pub(super) async fn put(&self, key: &str, value: Vec<u8>, lease: Option<Lease>) -> Result<u64, Fault> {
        let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
        let answer = within(PATIENCE, self.client.kv_client().put(key, value, options)).await?;
        Ok(answer.header().map_or(0, |header| unsigned(header.revision())))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Fault> {
        within(PATIENCE, self.client.kv_client().delete(key, None)).await.map(|_| ())
    }

    /// Puts a key; gives how often it was put by now.
    pub(super) async fn count_up(&self, key: &str) -> Result<u64, Fault> {
        let options = PutOptions::new().with_prev_key();
        let answer = within(PATIENCE, self.client.kv_client().put(key, Vec::new(), Some(options))).await?;
        Ok(answer.prev_key().map_or(0, |before| unsigned(before.version())) + 1)
    }

    /// Whether its comparisons held.
    pub(super) async fn txn(&self, txn: Txn) -> Result<bool, Fault> {
        let mut kv = self.client.kv_client();
        Ok(within(PATIENCE * 2, kv.txn(transaction(txn))).await?.succeeded())
    }

    /// A lease of so many seconds or more, and how many.
    pub(super) async fn grant(&self, seconds: u64) -> Result<(Lease, u64), Fault> {
        let answer = within(PATIENCE, self.client.lease_client().grant(signed(seconds), None)).await?;
        Ok((Lease(answer.id()), unsigned(answer.ttl())))
    }

    pub(super) async fn revoke(&self, lease: Lease) -> Result<(), Fault> {
        within(PATIENCE, self.client.lease_client().revoke(lease.0)).await.map(|_| ())
    }

    /// One stream for renewals of any leases, opened by the renewal of one.
    ///
    /// # Errors
    /// Also where that one is gone.
    pub(super) async fn renewals(&self, first: Lease) -> Result<(Renewals, Renewed), Fault> {
        let opened = within(PATIENCE, self.client.lease_client().keep_alive(first.0)).await;
        let (keeper, answers) = opened.map_err(|fault| match fault.text.contains("lease not found") {
            true => Fault { kind: FaultKind::NoLease, ..fault },
            false => fault,
        })?;
        let (sender, mut leases) = mpsc::unbounded_channel::<Lease>();
        tokio::spawn(async move {
            let mut keeper = keeper;
            while let Some(lease) = leases.recv().await {
                keeper = LeaseKeeper { id: lease.0, sender: keeper.sender };
                if keeper.keep_alive().await.is_err() {
                    return;
                }
            }
        });
        Ok((Renewals(sender), Renewed(answers)))
    }

    /// Watches all keys that begin so from a revision on.
    pub(super) async fn watch(&self, prefix: &str, from: u64) -> Result<Watch, Fault> {
        let mut client = self.client.watch_client().max_decoding_message_size(MAX_MESSAGE);
        let options = WatchOptions::new().with_prefix().with_start_revision(signed(from));
        within(PATIENCE, client.watch(prefix, Some(options))).await.map(Watch)
    }
}

impl Renewals {
    /// Once the connection is gone, nothing.
    pub(super) fn renew(&self, lease: Lease) {
        _ = self.0.send(lease);
    }
}

impl Renewed {
    /// The next lease that was renewed, and whether it lives.
    ///
    /// # Errors
    /// The stream ended.
    pub(super) async fn next(&mut self) -> Result<(Lease, bool), Fault> {
        match self.0.message().await? {
            Some(answer) => Ok((Lease(answer.id()), answer.ttl() > 0)),
            None => Err(Fault::lost("it ended the stream of leases")),
        }
    }
}

impl Watch {
    /// # Errors
    /// The stream ended.
    pub(super) async fn next(&mut self) -> Result<Watched, Fault> {
        let Some(answer) = self.0.message().await? else {
            return Err(Fault::lost("it ended the watch"));
        };
        if answer.canceled() {
            return match answer.compact_revision() {
                0 => Err(Fault::lost(match answer.cancel_reason() {
                    "" => "it canceled the watch",
                    reason => reason,
                })),
                _ => Ok(Watched::Compacted),
            };
        }
        if answer.events().is_empty() {
            return Ok(Watched::Nothing);
        }
        let mut groups: Vec<Group> = Vec::new();
        for event in answer.events() {
            let Some(kv) = event.kv() else { continue };
            let revision = unsigned(kv.mod_revision());
            if groups.last().is_none_or(|group| group.revision != revision) {
                groups.push(Group { revision, ..Group::default() });
            }
            let Some(group) = groups.last_mut() else { continue };
            match event.event_type() {
                EventType::Put => group.puts.push(put(kv.clone())),
                EventType::Delete => group.deletes.push(kv.key().to_vec()),
            }
        }
        Ok(Watched::Changed(groups))
    }
}

impl Access {
    fn tls(&self) -> Result<ClientTlsConfig, Fault> {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca {
            Some(ca) => config.ca_certificate(Certificate::from_pem(read(ca)?)),
            None => config.with_native_roots(),
        };
        if let Some((certificate, key)) = &self.identity {
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|error| Fault::lost(format!("cannot read {}: {error}", path.display())))
}

fn put(kv: KeyValue) -> Put {
    let lease = Some(Lease(kv.lease())).filter(|lease| lease.0 != 0);
    let (created, modified) = (unsigned(kv.create_revision()), unsigned(kv.mod_revision()));
    let (key, value) = kv.into_key_value();
    Put { key, value, created, modified, lease }
}

fn transaction(txn: Txn) -> etcd_client::Txn {
    let on_top = txn.on_top();
    let Txn { compares, ops, writes } = txn;
    let writes = writes.into_iter().map(|write| {
        let Nested { compares, ops, granted } = write;
        let compares: Vec<_> = compares.into_iter().map(compare).collect();
        let lowered = |ops: Vec<Op>| ops.into_iter().map(|one| op(one, granted)).collect::<Vec<_>>();
        let mut groups = Nested::groups(ops, compares.len(), on_top);
        let ops = match groups.len() {
            0 | 1 => lowered(groups.pop().unwrap_or_default()),
            _ => groups.into_iter().map(|ops| TxnOp::txn(etcd_client::Txn::new().and_then(lowered(ops)))).collect(),
        };
        TxnOp::txn(etcd_client::Txn::new().when(compares).and_then(ops))
    });
    let ops: Vec<_> = ops.into_iter().map(|one| op(one, None)).chain(writes).collect();
    let compares: Vec<_> = compares.into_iter().map(compare).collect();
    etcd_client::Txn::new().when(compares).and_then(ops)
}

fn compare(compare: Compare) -> EtcdCompare {
    match compare {
        Compare::Absent(key) => EtcdCompare::create_revision(key, CompareOp::Equal, 0),
        Compare::PutAt(key, revision) => EtcdCompare::mod_revision(key, CompareOp::Equal, signed(revision)),
        Compare::NotPutAfter(key, revision) => {
            EtcdCompare::mod_revision(key, CompareOp::Less, signed(revision.saturating_add(1)))
        }
        Compare::NonePutAfter(prefix, revision) => {
            EtcdCompare::mod_revision(prefix, CompareOp::Less, signed(revision.saturating_add(1))).with_prefix()
        }
        Compare::Empty(prefix) => EtcdCompare::create_revision(prefix, CompareOp::Equal, 0).with_prefix(),
    }
}

fn op(op: Op, granted: Option<Lease>) -> TxnOp {
    let options = |under| {
        let lease = match under {
            Under::None => None,
            Under::Held(lease) => Some(lease),
            Under::Granted => granted,
        };
        lease.map_or_else(PutOptions::new, |lease| PutOptions::new().with_lease(lease.0))
    };
    match op {
        Op::Put { key, value, under } => TxnOp::put(key, value, Some(options(under))),
        Op::Attach { key, under } => TxnOp::put(key, Vec::new(), Some(options(under).with_ignore_value())),
        Op::Delete(key) => TxnOp::delete(key, None),
        Op::DeleteAll(prefix) => TxnOp::delete(prefix, Some(DeleteOptions::new().with_prefix())),
    }
}

/// The first key that does not begin so. A prefix of furt's ends with a slash.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// An error with what caused it: the outermost alone says nothing of why.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
