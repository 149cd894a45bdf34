//! The store on a real etcd as a plain one, for the tests that every store passes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::{Access, EtcdStore, Opened, Options, open};
use crate::clock;
use crate::config::Config;
use crate::driver::Backend as _;
use crate::nodes::{Node, Nodes};
use crate::telemetry::Telemetry;
use furt_core::ports::{Store, StoreError};
use furt_core::registry::{Change, Contents, Event, Revision, Write, WriteId};

/// Where `make interop` has it.
const ETCD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/interop/etcd/bin/etcd");
const PATIENCE: Duration = Duration::from_secs(30);

/// A member of its own, which ends with it.
pub(in crate::store) struct OnEtcd {
    runtime: Runtime,
    endpoint: String,
    store: EtcdStore,
    next: u64,
    etcd: Child,
    _folder: tempfile::TempDir,
}

impl OnEtcd {
    pub(in crate::store) fn new() -> Self {
        assert!(Path::new(ETCD).exists(), "{ETCD} is missing: `make interop` gets it");
        let folder = tempfile::tempdir().unwrap();
        let listeners = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let [client, peer] = listeners.map(|listener| format!("http://{}", listener.local_addr().unwrap()));
        let etcd = Command::new(ETCD)
            .args(["--data-dir", folder.path().to_str().unwrap(), "--unsafe-no-fsync"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = opened(&runtime, &client).store;
        Self { runtime, endpoint: client, store, next: 0, etcd, _folder: folder }
    }
}

/// A gateway that starts; tried until its etcd does.
fn opened(runtime: &Runtime, endpoint: &str) -> Opened {
    let options = Options {
        endpoints: vec![endpoint.to_owned()],
        namespace: "test".to_owned(),
        access: Access::default(),
        nodes: Nodes::alone(Node::this(&Config::default().internal, &[])),
    };
    let telemetry = Telemetry::try_new().unwrap();
    let metrics = telemetry.show_shared_store().unwrap().into();
    runtime.block_on(open(options, Box::new(|_| None), metrics)).unwrap()
}

impl Drop for OnEtcd {
    fn drop(&mut self) {
        self.etcd.kill().unwrap();
        self.etcd.wait().unwrap();
    }
}

impl Store for OnEtcd {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.next += 1;
        let id = WriteId(self.next);
        let write = Write::new(changes.to_vec(), Revision::default(), Vec::new());
        self.store.write(id, write);
        let until = clock::now() + PATIENCE;
        while clock::now() < until {
            for event in self.runtime.block_on(self.store.events()) {
                match event {
                    Event::WriteDone(done, _) if done == id => return Ok(()),
                    Event::WriteFailed(_, why) => return Err(StoreError::Unavailable(why)),
                    Event::WriteOutdated(..) => panic!("nothing is in the way"),
                    _ => {}
                }
            }
        }
        panic!("no outcome");
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        Ok(opened(&self.runtime, &self.endpoint).contents)
    }
}
