//! etcd, of one member or of three, in a folder that exists for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::etcdctl::Etcdctl;
use super::member::Member;
use super::program;
use crate::support::authority::Authority;
use crate::support::eventually;

/// How long an election and the start of a member may take, on a machine that builds and tests beside it.
const ELECTION: Duration = Duration::from_secs(20);
/// Two processes that pick the same of 22,000 ports more often than this are no chance.
const MOST_STARTS: usize = 5;

/// What differs from etcd's defaults.
#[derive(Default)]
pub(crate) struct Options {
    /// Clients must speak TLS and have a certificate of the authority.
    pub(crate) with_tls: bool,
    pub(crate) flags: Vec<String>,
}

/// The members, of which each can be hurt.
pub(crate) struct Etcd {
    pub(crate) members: Vec<Member>,
    /// Where the certificates are: `ca.pem`, and of clients `cert.pem` and `key.pem`.
    tls: bool,
    /// Only users have rights; then its own client is root.
    with_rights: bool,
    dir: TempDir,
}

impl Etcd {
    /// One member.
    pub(crate) async fn one() -> Self {
        Self::start(1, Options::default()).await
    }

    /// Three.
    pub(crate) async fn three() -> Self {
        Self::start(3, Options::default()).await
    }

    pub(crate) async fn start(members: usize, options: Options) -> Self {
        for _ in 0..MOST_STARTS {
            let mut etcd = Self::prepared(members, &options);
            if etcd.members.iter().any(Member::has_port_clash) {
                continue;
            }
            etcd.members.iter_mut().for_each(Member::start);
            if etcd.has_started().await {
                return etcd;
            }
        }
        panic!("no start without a port clash in {MOST_STARTS}");
    }

    fn prepared(count: usize, options: &Options) -> Self {
        let dir = TempDir::new().unwrap();
        if options.with_tls {
            write_certificates(dir.path());
        }
        let member = |number| Member::new(format!("m{number}"), dir.path().join(format!("m{number}")));
        let members = (0..count).map(member).collect();
        let mut etcd = Self { members, tls: options.with_tls, with_rights: false, dir };
        let cluster = etcd.initial_cluster();
        for at in 0..count {
            let flags = [etcd.flags_of(at, &cluster), options.flags.clone()].concat();
            etcd.members[at].set_flags(flags);
        }
        etcd
    }

    fn initial_cluster(&self) -> String {
        let members = self.members.iter().map(|member| format!("{}=http://{}", member.name, member.peer));
        members.collect::<Vec<_>>().join(",")
    }

    fn flags_of(&self, at: usize, cluster: &str) -> Vec<String> {
        let (client, peer) = (self.endpoint(at), format!("http://{}", self.members[at].peer));
        let mut flags = vec![
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer),
            ("--initial-cluster", cluster.to_owned()),
        ];
        if self.tls {
            let file = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
            flags.push(("--cert-file", file("server.pem")));
            flags.push(("--key-file", file("server.key")));
            flags.push(("--trusted-ca-file", file("ca.pem")));
        }
        let mut flags: Vec<_> = flags.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        flags.extend(self.tls.then(|| "--client-cert-auth".to_owned()));
        flags
    }

    /// `false` where another process took a port since it was found free.
    async fn has_started(&mut self) -> bool {
        eventually("etcd starts", ELECTION, async || {
            if self.members.iter_mut().any(Member::failed_for_a_port) {
                return Some(false);
            }
            self.all_healthy().await.then_some(true)
        })
        .await
    }

    async fn all_healthy(&self) -> bool {
        for member in &self.members {
            if !member.is_healthy().await {
                return false;
            }
        }
        true
    }

    /// Waits until each member serves.
    pub(crate) async fn becomes_healthy(&self) {
        eventually("each member serves", ELECTION, async || self.all_healthy().await.then_some(())).await;
    }

    /// The url of a member.
    pub(crate) fn endpoint(&self, at: usize) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.members[at].client)
    }

    /// The url of each member.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|at| self.endpoint(at)).collect()
    }

    /// A file of its folder, such as `ca.pem`.
    pub(crate) fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// The number of the member that leads, by its own word; a member that does not answer does not.
    pub(crate) async fn leader_now(&self) -> Option<usize> {
        for (at, member) in self.members.iter().enumerate().filter(|(_, member)| member.is_running()) {
            if member.metric("etcd_server_is_leader").await == Some(1.0) {
                return Some(at);
            }
        }
        None
    }

    /// The same, once there is one.
    pub(crate) async fn leader(&self) -> usize {
        eventually("a leader", ELECTION, async || self.leader_now().await).await
    }

    /// SIGKILL for each member.
    pub(crate) fn kill_all(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
    }

    /// Starts each that was killed, and waits until all serve.
    pub(crate) async fn start_all(&mut self) {
        self.members.iter_mut().filter(|member| !member.is_running()).for_each(Member::start);
        self.becomes_healthy().await;
    }

    /// etcd's own client, for all members.
    pub(crate) fn ctl(&self) -> Etcdctl {
        self.ctl_to(&self.endpoints().join(","))
    }

    /// The same, for these endpoints.
    pub(crate) fn ctl_to(&self, endpoints: &str) -> Etcdctl {
        let mut arguments = vec![format!("--endpoints={endpoints}")];
        if self.tls {
            let files = [("cacert", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")];
            arguments.extend(files.map(|(option, name)| format!("--{option}={}", self.file(name))));
        }
        arguments.extend(self.with_rights.then(|| "--user=root:root".to_owned()));
        Etcdctl::new(arguments)
    }

    /// Users `root` and `furt`; furt has `/furt/` and no more, and nobody has any right from now on.
    pub(crate) async fn switch_rights_on(&mut self, password: &str) {
        self.ctl().switch_rights_on(password).await;
        self.with_rights = true;
    }

    /// Has the one member start anew from a snapshot: as who restores a backup.
    pub(crate) async fn restore(&mut self, snapshot: &str) {
        assert_eq!(self.members.len(), 1, "only one member is restored here");
        let cluster = self.initial_cluster();
        let member = &mut self.members[0];
        member.kill();
        fs::remove_dir_all(member.data()).unwrap();
        let mut command = Command::new(program::path("etcd", "etcdctl"));
        command.args(["snapshot", "restore", snapshot, "--name", &member.name, "--initial-cluster", &cluster]);
        command.args(["--initial-advertise-peer-urls", &format!("http://{}", member.peer), "--data-dir"]);
        let output = command.arg(member.data()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.start_all().await;
    }

    /// The folder of a member's data.
    pub(crate) fn data_of(&self, at: usize) -> PathBuf {
        self.members[at].data()
    }

    /// Has the one member start anew with nothing in it.
    pub(crate) async fn empty(&mut self) {
        assert_eq!(self.members.len(), 1, "only one member is emptied here");
        self.members[0].kill();
        fs::remove_dir_all(self.members[0].data()).unwrap();
        self.start_all().await;
    }
}

fn write_certificates(dir: &Path) {
    let authority = Authority::new();
    fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    for (certificate, key) in [("server.pem", "server.key"), ("cert.pem", "key.pem")] {
        let (certificate_pem, key_pem) = authority.signed("127.0.0.1");
        fs::write(dir.join(certificate), certificate_pem).unwrap();
        fs::write(dir.join(key), key_pem).unwrap();
    }
}
