//! Staging, over artefacts that the real minisign 0.11 has signed, and the place of the program.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use furt_cluster::model::{Digest, Program, Version};
use minisign_verify::PublicKey;

use super::managed::{of_package, owner_below};
use super::*;
use crate::config::UpdateConfig;
use furt_core::model::Sha256Digest;

const KEY: &str = "RWSOJNeaay5j7i4OQuqDZlcyDeBxE/NAlfcGhLwhZI8R9zLPTPtFOCXD";
const MIB: u64 = 1024 * 1024;
/// For programs that end: the machine has other tests.
const TIME: Duration = Duration::from_secs(60);

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/update/fixtures").join(name)).unwrap()
}

/// A node with an artefact of this version to be fetched.
struct Node {
    folder: tempfile::TempDir,
    staging: Staging,
    program: Program,
}

impl Node {
    fn offered(version: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let below = |name: &str| folder.path().join(name);
        fs::create_dir(below("artefacts")).unwrap();
        fs::write(below("furt.toml"), "").unwrap();
        fs::write(below("store"), "records").unwrap();
        let config = UpdateConfig {
            public_key: Some(PublicKey::from_base64(KEY).unwrap()),
            folder: Some(below("artefacts")),
            url: None,
            ca: None,
            state: None,
            in_container: false,
        };
        let store = below("store");
        let copy = move |to: &Path| fs::copy(&store, to).map(|_| ());
        let staging = Staging {
            config,
            folder: below("state/update"),
            file: below("furt.toml"),
            store: StoreCheck::File(Box::new(copy)),
        };
        let name = format!("furt-{version}");
        let node = Self { program: program(version, &fixture(&name)), folder, staging };
        node.offer(&name, &fixture(&name));
        node.offer(&format!("{name}.minisig"), &fixture(&format!("{name}.minisig")));
        node
    }

    fn offer(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join("artefacts").join(name), bytes).unwrap();
    }

    fn staged(&self) -> Result<PathBuf, String> {
        self.staging.stage_within(&self.program, TIME, MIB)
    }

    #[track_caller]
    fn is_refused(&self, why: &str) {
        let told = self.staged().unwrap_err();
        assert!(told.contains(why), "{told}");
        let left = fs::read_dir(&self.staging.folder).map_or(0, Iterator::count);
        assert_eq!(left, 0, "something is left");
    }
}

fn program(version: &str, artefact: &[u8]) -> Program {
    let digest = Digest::new(*Sha256Digest::of(artefact).bytes());
    Program { version: Version::try_new(version).unwrap(), digest }
}

#[test]
fn a_signed_program_that_takes_the_nodes_files_is_staged() {
    let node = Node::offered("9.9.9");
    let staged = node.staged().unwrap();
    assert_eq!(fs::read(&staged).unwrap(), fixture("furt-9.9.9"));
    assert_eq!(fs::metadata(&staged).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&node.staging.folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&node.staging.folder).unwrap().count(), 1, "no copy of the store is left");
    // Another one takes its place.
    fs::write(node.staging.folder.join("notes"), "of the operator").unwrap();
    assert_eq!(node.staged().unwrap(), staged);
    node.staging.clear();
    assert_eq!(fs::read_dir(&node.staging.folder).unwrap().count(), 1);
}

#[test]
fn what_is_not_signed_as_this_version_by_this_key_never_runs() {
    let of_others = Node::offered("9.9.9");
    of_others.offer("furt-9.9.9.minisig", &fixture("other.minisig"));
    of_others.is_refused("its signature is by another key than update.public_key");
    let legacy = Node::offered("9.9.9");
    legacy.offer("furt-9.9.9.minisig", &fixture("legacy.minisig"));
    legacy.is_refused("legacy kind");
    // An older artefact under a later name, with its own signature.
    let mut renamed = Node::offered("9.9.8");
    renamed.program = program("10.0.0", &fixture("furt-9.9.8"));
    renamed.offer("furt-10.0.0", &fixture("furt-9.9.8"));
    renamed.offer("furt-10.0.0.minisig", &fixture("furt-9.9.8.minisig"));
    renamed.is_refused("the trusted comment has no field file:furt-10.0.0");
    // The comment itself is signed.
    let comment = String::from_utf8(fixture("furt-9.9.8.minisig")).unwrap().replace("furt-9.9.8", "furt-10.0.0");
    renamed.offer("furt-10.0.0.minisig", comment.as_bytes());
    renamed.is_refused("did not sign these bytes");
    // Whoever may name a digest may not choose what runs.
    let mut changed = Node::offered("9.9.9");
    let bytes = [fixture("furt-9.9.9"), b"#".to_vec()].concat();
    changed.offer("furt-9.9.9", &bytes);
    changed.is_refused("its SHA-256 is ");
    changed.program = program("9.9.9", &bytes);
    changed.is_refused("did not sign these bytes");
    for (text, why) in [
        (&b""[..], "no file of minisign's"),
        (b"\xff", "is no text"),
        (&[b'a'; 8 * 1024 + 1], "is larger than 8192 bytes"),
        (b"untrusted comment: a\nAAAA\ntrusted comment: b\nAAAA\n", "no file of minisign's"),
    ] {
        let node = Node::offered("9.9.9");
        node.offer("furt-9.9.9.minisig", text);
        node.is_refused(why);
    }
}

#[test]
fn an_artefact_is_whole_and_not_too_large() {
    let node = Node::offered("9.9.9");
    let whole = fixture("furt-9.9.9");
    node.offer("furt-9.9.9", &whole[..whole.len() - 1]);
    node.is_refused("its SHA-256 is ");
    node.offer("furt-9.9.9", &vec![0; MIB as usize + 1]);
    node.is_refused("is larger than 1 MiB");
    node.offer("furt-9.9.9", b"");
    node.is_refused("its SHA-256 is ");
    fs::remove_file(node.folder.path().join("artefacts/furt-9.9.9")).unwrap();
    node.is_refused("furt-9.9.9 cannot be read: No such file");
    fs::create_dir(node.folder.path().join("artefacts/furt-9.9.9")).unwrap();
    node.is_refused("it is no file");
    fs::remove_file(node.folder.path().join("artefacts/furt-9.9.9.minisig")).unwrap();
    node.is_refused("furt-9.9.9.minisig cannot be read");
}

#[test]
fn a_program_must_be_the_version_that_was_named_and_take_the_nodes_own_files() {
    Node::offered("9.9.8").is_refused(
        "furt-9.9.8 does not take this node's configuration: furt check ended with exit status: 1: \
         furt.toml:3:1: limits.max_body: is not known",
    );
    Node::offered("9.9.7").is_refused("furt-9.9.7 says that it is \"furt 1.0.0\"");
    Node::offered("9.9.6").is_refused("does not take this node's store: furt store check ended with exit status: 1");
    let mut elsewhere = Node::offered("9.9.6");
    elsewhere.staging.store = StoreCheck::None;
    assert!(elsewhere.staged().is_ok(), "there is no file");
    elsewhere.staging.store = StoreCheck::Memory;
    assert!(elsewhere.staged().unwrap_err().contains("the store is in memory"));
    let mut away = Node::offered("9.9.9");
    away.staging.store = StoreCheck::File(Box::new(|_| Err(std::io::Error::other("it is away"))));
    away.is_refused("the store cannot be copied");
}

#[test]
fn a_program_that_does_not_end_is_ended() {
    let node = Node::offered("9.9.5");
    let told = node.staging.stage_within(&node.program, Duration::from_millis(500), MIB).unwrap_err();
    assert_eq!(told, "furt-9.9.5 --version did not end in time");
}

#[test]
fn a_folder_that_others_may_write_is_not_used() {
    let node = Node::offered("9.9.9");
    fs::create_dir_all(&node.staging.folder).unwrap();
    fs::set_permissions(&node.staging.folder, fs::Permissions::from_mode(0o777)).unwrap();
    node.is_refused("nobody else may write to it");
}

/// Answers each request by its path, once the request has come.
fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> url::Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/releases/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut stream = stream;
            // The client may have heard enough.
            _ = stream.write_all(&answer(&path));
        }
    });
    url.parse().unwrap()
}

fn answer(head: &str, body: &[u8], length: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[test]
fn artefacts_come_by_http_whole_or_not_at_all() {
    crate::tls::install();
    let fetched = |of_program: fn() -> Vec<u8>| {
        let mut node = Node::offered("9.9.9");
        node.staging.config.folder = None;
        node.staging.config.url = Some(serve(move |path| match path {
            "/releases/furt-9.9.9" => of_program(),
            "/releases/furt-9.9.9.minisig" => {
                let signature = fixture("furt-9.9.9.minisig");
                answer("200 OK", &signature, signature.len())
            }
            _ => answer("404 Not Found", b"", 0),
        }));
        node
    };
    let whole = fetched(|| answer("200 OK", &fixture("furt-9.9.9"), fixture("furt-9.9.9").len()));
    assert_eq!(fs::read(whole.staged().unwrap()).unwrap(), fixture("furt-9.9.9"));
    fetched(|| answer("200 OK", &fixture("furt-9.9.9"), 4096)).is_refused("furt-9.9.9: cannot be read: ");
    fetched(|| answer("200 OK", &[b'a'; 2 * 1024 * 1024], 2 * 1024 * 1024)).is_refused("is larger than 1 MiB");
    fetched(|| answer("404 Not Found", b"", 0)).is_refused("the server answers 404");
    fetched(|| answer("302 Found\r\nLocation: https://evil.example/", b"", 0))
        .is_refused("the server answers 302 and sends elsewhere, which furt does not follow");
    fetched(Vec::new).is_refused("cannot be fetched: ");
}

#[test]
fn a_server_that_is_slow_is_given_up() {
    crate::tls::install();
    let mut node = Node::offered("9.9.9");
    node.staging.config.folder = None;
    let (held, holds) = std::sync::mpsc::channel::<()>();
    let holds = std::sync::Mutex::new(holds);
    node.staging.config.url = Some(serve(move |_| {
        _ = holds.lock().unwrap().recv();
        Vec::new()
    }));
    let told = node.staging.stage_within(&node.program, Duration::from_millis(300), MIB).unwrap_err();
    assert!(told.contains("cannot be fetched"), "{told}");
    drop(held);
}

fn content(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_new_program_takes_the_place_of_the_old_one_or_gives_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let below = |name: &str| folder.path().join(name);
    let (staged, installed) = (below("staged"), below("furt"));
    fs::write(&staged, "new").unwrap();
    fs::write(&installed, "old").unwrap();
    fs::set_permissions(&installed, fs::Permissions::from_mode(0o775)).unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names.join(" ")
    };
    // It did not become ready.
    let candidate = Candidate::place(&staged, &installed).unwrap();
    assert_eq!((content(candidate.path()), content(&installed)), ("new".to_owned(), "old".to_owned()));
    assert_eq!(fs::metadata(candidate.path()).unwrap().permissions().mode() & 0o777, 0o755, "furt starts no other");
    drop(candidate);
    assert_eq!(names(), "furt staged");
    // It was ready, and did not take over.
    let mut candidate = Candidate::place(&staged, &installed).unwrap();
    candidate.install().unwrap();
    assert_eq!((content(&installed), content(&below("furt.previous"))), ("new".to_owned(), "old".to_owned()));
    drop(candidate);
    assert_eq!((content(&installed), names()), ("old".to_owned(), "furt staged".to_owned()));
    // What an update left that was cut off is in nobody's way.
    fs::write(below("furt.new"), "half").unwrap();
    fs::write(below("furt.previous"), "older").unwrap();
    fs::write(below("furt.previous.new"), "half").unwrap();
    let mut candidate = Candidate::place(&staged, &installed).unwrap();
    candidate.install().unwrap();
    candidate.confirm();
    drop(candidate);
    assert_eq!((content(&installed), content(&below("furt.previous"))), ("new".to_owned(), "old".to_owned()));
    assert_eq!(names(), "furt furt.previous staged");
    let nowhere = Candidate::place(&below("absent"), &installed).unwrap_err();
    assert!(nowhere.contains("furt.new cannot be written"), "{nowhere}");
    assert_eq!(names(), "furt furt.previous staged");
}

#[test]
fn a_program_of_a_package_or_a_container_is_managed_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    let program = root.path().join("furt");
    fs::write(&program, "").unwrap();
    let owner = |process, in_container| owner_below(root.path(), &program, process, in_container);
    let make = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    assert_eq!(owner(7, false), None);
    assert!(owner(1, true).unwrap().contains("process 1"));
    make("proc/self/cgroup", "0::/system.slice/furt.service\n");
    assert_eq!(owner(7, false), None);
    make("proc/self/cgroup", "0::/kubepods.slice/a\n");
    assert!(owner(7, false).unwrap().contains("in a container"));
    assert_eq!(owner(7, true), None, "its file says so");
    make("proc/self/cgroup", "");
    make(".dockerenv", "");
    assert!(owner(7, false).unwrap().contains("in a container"));
    fs::remove_file(root.path().join(".dockerenv")).unwrap();
    make("var/lib/dpkg/info/other.list", "/usr\n/usr/bin/furtive\n");
    assert_eq!(owner(7, false), None);
    make("var/lib/dpkg/info/furt.list", &format!("/.\n{}\n", program.display()));
    assert!(owner(7, false).unwrap().ends_with("belongs to the package furt"));
    let absent = owner_below(root.path(), &root.path().join("absent"), 7, false);
    assert!(absent.unwrap().contains("cannot be looked at"));
}

#[test]
fn packages_are_found_by_both_names_of_a_file_and_own_usr_elsewhere() {
    let root = tempfile::tempdir().unwrap();
    let owner = |path: &str| of_package(root.path(), Path::new(path));
    let lists = root.path().join("var/lib/dpkg/info");
    fs::create_dir_all(&lists).unwrap();
    fs::write(lists.join("furt.list"), "/.\n/bin\n/bin/furt\n").unwrap();
    fs::write(lists.join("furt.md5sums"), "/usr/bin/other\n").unwrap();
    for path in ["/usr/bin/furt", "/bin/furt"] {
        assert!(owner(path).unwrap().ends_with("belongs to the package furt"), "{path}");
    }
    for path in ["/usr/local/bin/furt", "/usr/bin/other", "/opt/furt"] {
        assert_eq!(owner(path), None, "{path}");
    }
    fs::create_dir_all(root.path().join("usr/lib/sysimage/rpm")).unwrap();
    for path in ["/usr/bin/other", "/usr/sbin/furt", "/bin/other"] {
        assert!(owner(path).unwrap().contains("/usr/lib/sysimage/rpm"), "{path}");
    }
    for path in ["/usr/local/bin/furt", "/opt/furt/furt", "/srv/furt"] {
        assert_eq!(owner(path), None, "{path}");
    }
}
