//! etcd's own client: what operators type.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::program;

/// A value of so many bytes is given as an input.
const LONG: usize = 100_000;

/// One key as etcd has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) created: u64,
    pub(crate) modified: u64,
    pub(crate) lease: i64,
}

/// `etcdctl` for one etcd and one user.
#[derive(Clone)]
pub(crate) struct Etcdctl {
    arguments: Vec<String>,
}

impl Etcdctl {
    pub(super) fn new(arguments: Vec<String>) -> Self {
        Self { arguments }
    }

    /// The same as a user, `name:password`.
    pub(crate) fn as_user(&self, user: &str) -> Self {
        let arguments = [self.arguments.clone(), vec![format!("--user={user}")]].concat();
        Self { arguments }
    }

    /// What a call gives, whatever it is.
    pub(crate) async fn call(&self, arguments: &[&str]) -> Output {
        self.call_with(arguments, "").await
    }

    /// The same, with something on its input.
    pub(crate) async fn call_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(program::path("etcd", "etcdctl"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ETCD")) {
            command.env_remove(name);
        }
        command.args(&self.arguments).args(arguments).env("ETCDCTL_API", "3");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let input = input.to_owned();
        let run = move || {
            let mut child = command.spawn().unwrap();
            // One that reads nothing may have closed it.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            child.wait_with_output().unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// What a call that must succeed prints.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments).await;
        assert!(output.status.success(), "etcdctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) async fn put(&self, key: &str, value: &str) {
        // A large one by its input: it may be longer than an argument, and an empty input is none.
        let output = match value.len() {
            0..LONG => self.call(&["put", "--", key, value]).await,
            LONG.. => self.call_with(&["put", key], value).await,
        };
        assert!(output.status.success(), "etcdctl put {key}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The key, if etcd has it.
    pub(crate) async fn get(&self, key: &str) -> Option<Entry> {
        entries(&self.ok(&["get", key, "-w", "fields"]).await).pop()
    }

    /// Each key that begins so, in order.
    pub(crate) async fn below(&self, prefix: &str) -> Vec<Entry> {
        entries(&self.ok(&["get", "--prefix", prefix, "-w", "fields"]).await)
    }

    /// The names of the same.
    pub(crate) async fn names_below(&self, prefix: &str) -> Vec<String> {
        let listed = self.ok(&["get", "--prefix", "--keys-only", prefix]).await;
        listed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.ok(&["del", key]).await;
    }

    pub(crate) async fn delete_below(&self, prefix: &str) {
        self.ok(&["del", "--prefix", prefix]).await;
    }

    /// The revision that etcd is at.
    pub(crate) async fn revision(&self) -> u64 {
        let fields = self.ok(&["get", "nothing-has-this-name", "-w", "fields"]).await;
        let found = fields.lines().find_map(|line| field(line, "Revision"));
        found.expect("a revision").parse().unwrap()
    }

    /// What was before is forgotten.
    pub(crate) async fn compact(&self, revision: u64) {
        self.ok(&["compact", &revision.to_string()]).await;
    }

    pub(crate) async fn save_snapshot(&self, path: &str) {
        self.ok(&["snapshot", "save", path]).await;
    }

    pub(super) async fn switch_rights_on(&self, password: &str) {
        self.ok(&["user", "add", "root:root"]).await;
        self.ok(&["user", "grant-role", "root", "root"]).await;
        self.ok(&["role", "add", "furt"]).await;
        self.ok(&["role", "grant-permission", "furt", "--prefix=true", "readwrite", "/furt/"]).await;
        self.ok(&["user", "add", &format!("furt:{password}")]).await;
        self.ok(&["user", "grant-role", "furt", "furt"]).await;
        self.ok(&["auth", "enable"]).await;
    }

    /// Another password for a user.
    pub(crate) async fn change_password(&self, user: &str, password: &str) {
        let output = self.call_with(&["user", "passwd", user, "--interactive=false"], &format!("{password}\n")).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The value of a line `"Name" : value`.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.strip_prefix('"')?.strip_prefix(name)?.strip_prefix("\" : ")
}

/// etcdctl's `-w fields`, whose texts are quoted as Go quotes them: as JSON, where all of it can be printed.
fn entries(fields: &str) -> Vec<Entry> {
    let text = |quoted: &str| serde_json::from_str(quoted).unwrap_or_else(|_| quoted.trim_matches('"').to_owned());
    let mut found: Vec<Entry> = Vec::new();
    for line in fields.lines() {
        if let Some(key) = field(line, "Key") {
            found.push(Entry { key: text(key), ..Entry::default() });
        }
        let Some(entry) = found.last_mut() else { continue };
        if let Some(revision) = field(line, "CreateRevision") {
            entry.created = revision.parse().unwrap();
        } else if let Some(revision) = field(line, "ModRevision") {
            entry.modified = revision.parse().unwrap();
        } else if let Some(value) = field(line, "Value") {
            entry.value = text(value);
        } else if let Some(lease) = field(line, "Lease") {
            entry.lease = lease.parse().unwrap();
        }
    }
    found
}
