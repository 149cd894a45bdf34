//! The target `store_file`: a store's file whose bytes are no longer what was written.
//!
//! An input says which file, in its first byte (one that was closed, or one that a crash left), and then how it is
//! changed, six bytes each: what is done, where (three bytes), with what, how often. The file is refused with its name, or
//! holds what was answered for; either way its bytes stay as they are.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::json;

use furt::api::read_registration;
use furt::store::{DiskStore, examine, longest_read};
use furt_core::model::Status;
use furt_core::ports::Store as _;
use furt_core::registry::{Change, Contents, DefinitionRecord, InstanceRecord, InstanceRef, Observation};

/// redb's header, which nothing but its own sums and furt's care protects.
const HEADER: usize = 320;
/// Its flags: one says which commit is the newest, one that the file was not closed.
const FLAGS: usize = 9;
const CRASHED: u8 = 2;
const PAGE: usize = 4096;
/// Twice what the sound files are: redb takes the memory for what it is about to read, be it there or not.
const MOST_ASKED: usize = 1024 * 1024;
/// Changes of one input; damage is rarely in more places.
const MOST_CHANGES: usize = 16;

/// Asserts that a damaged file is refused, or says what it said.
pub fn store_file(data: &[u8]) {
    static FILES: OnceLock<[Written; 2]> = OnceLock::new();
    let Some((which, changes)) = data.split_first() else { return };
    let files = FILES.get_or_init(|| must(written()));
    let file = &files[usize::from(which & 1)];
    let mut bytes = file.bytes.clone();
    for change in changes.chunks_exact(6).take(MOST_CHANGES) {
        damage(&mut bytes, change);
    }
    let folder = must(tempfile::tempdir());
    let path = folder.path().join("furt.redb");
    must(std::fs::write(&path, &bytes));
    match examine(&path) {
        Err(why) => assert!(why.to_string().contains("furt.redb"), "{why}"),
        Ok(held) if held == file.contents => {}
        Ok(held) => {
            // Which commit is the newest is said by one bit, and after a crash by nothing else.
            let (flags, were) = (bytes.get(FLAGS).copied().unwrap_or_default(), file.bytes[FLAGS]);
            let may_be_before = flags & CRASHED != 0 && flags != were;
            assert!(may_be_before && held == file.before, "it holds something else: {held:?}");
        }
    }
    assert!(must(std::fs::read(&path)) == bytes, "looking at it changed it");
    let asked = longest_read();
    assert!(asked <= MOST_ASKED, "{asked} bytes were asked for of a file of {}", bytes.len());
}

fn damage(bytes: &mut Vec<u8>, change: &[u8]) {
    let &[what, a, b, c, value, count] = change else { return };
    let at = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
    let within = |most: usize| at % most.max(1);
    let page = |number: usize| number * PAGE..(number + 1) * PAGE;
    let pages = bytes.len() / PAGE;
    match what % 8 {
        0 if bytes.len() >= HEADER => bytes[within(HEADER)] ^= value,
        1 if !bytes.is_empty() => {
            let at = within(bytes.len());
            bytes[at] ^= value;
        }
        2 => {
            let from = within(bytes.len());
            let to = bytes.len().min(from + 16 * usize::from(count));
            bytes[from..to].fill(value);
        }
        // A page that was written to another's place, or an old one that was not.
        3 if pages > 0 => bytes.copy_within(page(usize::from(value) % pages), page(within(pages)).start),
        // Cut, or lengthened.
        4 => bytes.truncate(within(bytes.len() + 1)),
        5 => bytes.resize(bytes.len() + 16 * usize::from(count), value),
        // Mostly it is the first pages that are in use.
        6 | 7 if bytes.len() > 64 * PAGE => bytes[within(64 * PAGE)] ^= value,
        _ => {}
    }
}

struct Written {
    bytes: Vec<u8>,
    contents: Contents,
    /// Before the last commit.
    before: Contents,
}

/// A store with some services, in several batches: closed, and as a crash leaves it.
fn written() -> Result<[Written; 2], Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("furt.redb");
    // A look at an open store is refused, at a copy of it not.
    let look = |bytes: &[u8]| -> Result<Contents, Box<dyn std::error::Error>> {
        let copy = folder.path().join("copy.redb");
        std::fs::write(&copy, bytes)?;
        Ok(examine(&copy)?)
    };
    let mut store = DiskStore::open(&path)?;
    store.load()?;
    for number in 0..6 {
        store.apply(&changes(number))?;
    }
    let before = look(&std::fs::read(&path)?)?;
    store.apply(&changes(6))?;
    let crashed = std::fs::read(&path)?;
    let contents = look(&crashed)?;
    drop(store);
    let closed = std::fs::read(&path)?;
    assert!(before != contents && look(&closed)? == contents);
    Ok([closed, crashed].map(|bytes| Written { bytes, contents: contents.clone(), before: before.clone() }))
}

fn changes(number: usize) -> Vec<Change> {
    let body = json!({
        "service": format!("s{number}"),
        "url": format!("http://127.0.0.1:{}", 9000 + number),
        "routes": [{"method": "GET", "path": format!("/api/{number}/*"), "permission": "api:read"}],
        "metadata": {"note": "x".repeat(300 * number)},
    });
    let Ok((definition, spec)) = read_registration(body) else { return Vec::new() };
    let registered_from = [127, 0, 0, 1].into();
    let (service, addresses) = (definition.service.clone(), spec.url.socket_address().into_iter().collect());
    let status = if number % 2 == 1 { Status::Down } else { Status::Up };
    let instance = InstanceRef { service: service.clone(), id: spec.id.clone() };
    let status = Change::Observe(instance.clone(), Observation::Status(status));
    let ttl = Change::NoteTtl { instance, ttl: Duration::from_secs(60) };
    vec![
        Change::PutDefinition(DefinitionRecord { definition: definition.into(), registered_from }),
        Change::PutInstance(InstanceRecord { service, spec: spec.into(), addresses, registered_from, replaced: None }),
        status,
        ttl,
    ]
}

fn must<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|why| panic!("the target itself: {why}"))
}
