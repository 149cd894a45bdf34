//! From a command's words to a program that may run here: fetched, of the digest that was named, signed, and content with this node's files.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use furt_cluster::model::{Digest, Program, Version};

use super::source::{LATE, Source, read_text, unread};
use super::{child, signature};
use crate::clock;
use crate::config::UpdateConfig;

/// The largest artefact.
const MAX_BYTES: u64 = 512 * 1024 * 1024;
/// The largest signature: minisign's have some 300 bytes, and a comment of any length.
const MAX_SIGNATURE_BYTES: u64 = 8 * 1024;
/// For all of it: who commands waits as long, and then a minute for the takeover.
const TIME: Duration = Duration::from_secs(60);
/// For one run of the new program.
const RUN_TIME: Duration = Duration::from_secs(20);
/// A piece of an artefact.
const PIECE: usize = 64 * 1024;
/// Rights of the group and of all others to write.
const OTHERS_MAY_WRITE: u32 = 0o022;

/// How the store is looked at.
pub enum StoreCheck {
    /// It is no file of this node.
    None,
    /// It ends with the process, so no other one can go on with it.
    Memory,
    /// It is a file that is open: this copies it as it is between two writes.
    File(CopyStore),
}

/// Copies the store to a file.
pub type CopyStore = Box<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;

/// What staging needs.
pub struct Staging {
    /// `[update]`
    pub config: UpdateConfig,
    /// Where artefacts are kept.
    pub folder: PathBuf,
    /// The configuration's file, as it was given to `furt run`.
    pub file: PathBuf,
    /// The node's store.
    pub store: StoreCheck,
}

impl Staging {
    /// Fetches and checks a program. Blocks for a minute at most.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it, or with this node.
    pub fn stage(&self, program: &Program) -> Result<PathBuf, String> {
        self.stage_within(program, TIME, MAX_BYTES)
    }

    /// Where a program is that was staged.
    pub fn path(&self, version: Version) -> PathBuf {
        self.folder.join(format!("furt-{version}"))
    }

    /// Removes what was staged.
    pub fn clear(&self) {
        if let Err(error) = self.remove_all() {
            log::warn!("update: {} cannot be cleared: {error}", self.folder.display());
        }
    }

    pub(super) fn stage_within(&self, program: &Program, time: Duration, max_bytes: u64) -> Result<PathBuf, String> {
        if let StoreCheck::Memory = self.store {
            return Err("the store is in memory, and would end with this process: restart furt".to_owned());
        }
        let deadline = clock::now() + time;
        self.make_folder()?;
        self.remove_all().map_err(|why| format!("{} cannot be cleared: {why}", self.folder.display()))?;
        let staged = self.path(program.version);
        let outcome =
            self.fetch(program, &staged, deadline, max_bytes).and_then(|()| self.try_out(program, &staged, deadline));
        if outcome.is_err() {
            self.clear();
        }
        outcome.map(|()| staged)
    }

    /// The folder, in which nobody else may put anything.
    fn make_folder(&self) -> Result<(), String> {
        let shown = self.folder.display();
        let unusable = |why: &dyn std::fmt::Display| format!("{shown} cannot be used: {why}");
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(|why| unusable(&why))?;
        let metadata = fs::metadata(&self.folder).map_err(|why| unusable(&why))?;
        let own = rustix::process::geteuid().as_raw();
        if metadata.uid() != own || metadata.mode() & OTHERS_MAY_WRITE != 0 {
            return Err(unusable(&"it must belong to furt's own user, and nobody else may write to it"));
        }
        Ok(())
    }

    /// Of all that is there only what has a name of furt's.
    fn remove_all(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_own = ["furt-", "store-"].iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes()));
            if is_own && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn fetch(&self, program: &Program, staged: &Path, deadline: Instant, max_bytes: u64) -> Result<(), String> {
        let key = self.config.public_key.as_ref().ok_or("this node's file has no key for updates")?;
        let name = format!("furt-{}", program.version);
        let of_artefact = |why: String| format!("{name}: {why}");
        let source = Source::try_new(&self.config, deadline)?;
        let text = read_text(&source, &format!("{name}.minisig"), MAX_SIGNATURE_BYTES)?;
        let signature = signature::read(&text).map_err(of_artefact)?;
        let mut verifier = signature::begin(key, &signature).map_err(of_artefact)?;
        let mut digest = digest::Context::new(&digest::SHA256);
        let part = staged.with_file_name(format!("{name}.part"));
        let unwritten = |why: io::Error| format!("{} cannot be written: {why}", part.display());
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&part).map_err(unwritten)?;
        let mut pieces = source.open(&name)?.take(max_bytes + 1);
        let mut piece = vec![0; PIECE];
        let mut length = 0;
        loop {
            let read = pieces.read(&mut piece).map_err(|why| of_artefact(unread(&why)))?;
            if read == 0 {
                break;
            }
            length += read as u64;
            if length > max_bytes {
                return Err(of_artefact(format!("is larger than {} MiB", max_bytes >> 20)));
            }
            if clock::now() >= deadline {
                return Err(of_artefact(LATE.to_owned()));
            }
            digest.update(&piece[..read]);
            verifier.update(&piece[..read]);
            file.write_all(&piece[..read]).map_err(unwritten)?;
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.finish().as_ref());
        let digest = Digest::new(bytes);
        if digest != program.digest {
            let why = format!("its SHA-256 is {digest}, and the command says {}", program.digest);
            return Err(of_artefact(why));
        }
        signature::end(&mut verifier, &signature, program.version).map_err(of_artefact)?;
        file.set_permissions(Permissions::from_mode(0o700)).map_err(unwritten)?;
        file.sync_all().map_err(unwritten)?;
        drop(file);
        fs::rename(&part, staged).map_err(unwritten)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(unwritten)
    }

    /// Has it say its version, and check this node's configuration and a copy of its store.
    fn try_out(&self, program: &Program, staged: &Path, deadline: Instant) -> Result<(), String> {
        let name = format!("furt-{}", program.version);
        let run = |arguments: &[&Path]| child::run(staged, arguments, deadline.min(clock::now() + RUN_TIME));
        let version = run(&[Path::new("--version")]).map_err(|why| format!("{name} --version {why}"))?.stdout;
        if !is_version(version.trim(), program.version) {
            let said: String = version.trim().chars().filter(|one| !one.is_control()).take(80).collect();
            return Err(format!("{name} says that it is \"{said}\""));
        }
        let check = [Path::new("check"), Path::new("--config"), &self.file];
        run(&check).map_err(|why| format!("{name} does not take this node's configuration: furt check {why}"))?;
        let StoreCheck::File(copy) = &self.store else { return Ok(()) };
        let store = self.folder.join(format!("store-{}", program.version));
        copy(&store).map_err(|why| format!("the store cannot be copied to {}: {why}", store.display()))?;
        let check = [Path::new("store"), Path::new("check"), &store];
        let checked =
            run(&check).map_err(|why| format!("{name} does not take this node's store: furt store check {why}"));
        fs::remove_file(&store).map_err(|why| format!("{} cannot be removed: {why}", store.display()))?;
        checked.map(|_| ())
    }
}

/// `furt 1.2.3`, and the commit in brackets where it is known.
fn is_version(said: &str, version: Version) -> bool {
    let Some(rest) = said.strip_prefix(&format!("furt {version}")) else { return false };
    rest.is_empty() || (rest.starts_with(" (") && rest.ends_with(')'))
}
