//! Who else owns the program's file: a package, a container, another user. Then an update would be undone by its owner, or undo what that
//! one relies on. Files are looked at, nothing is changed or run.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// What marks a container's root.
const MARKS: [&str; 2] = [".dockerenv", "run/.containerenv"];
/// What the path of a container's control group has in it. A system container of LXC is not one: it owns its programs itself.
const GROUPS: [&str; 5] = ["/docker", "/kubepods", "/libpod", "/containerd", "/crio"];
/// Databases of packages of other systems than Debian, in which files are not looked up.
const DATABASES: [&str; 4] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "lib/apk/db", "var/lib/pacman/local"];
/// Lists of the files of Debian's packages.
const LISTS: &str = "var/lib/dpkg/info";

/// Why the program at `path` is not this node's to replace; `None`: it is.
pub fn owner(path: &Path, in_container: bool) -> Option<String> {
    owner_below(Path::new("/"), path, std::process::id(), in_container)
}

pub(super) fn owner_below(root: &Path, path: &Path, process: u32, in_container: bool) -> Option<String> {
    if process == 1 {
        return Some("furt is process 1, with which its container ends".to_owned());
    }
    if !in_container && is_container(root) {
        return Some(
            "furt runs in a container, whose image has the program; update.in_container may say otherwise".to_owned(),
        );
    }
    of_user(path).or_else(|| of_package(root, path))
}

fn is_container(root: &Path) -> bool {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    MARKS.iter().any(|mark| root.join(mark).exists()) || GROUPS.iter().any(|group| groups.contains(group))
}

fn of_user(path: &Path) -> Option<String> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(why) => return Some(format!("{shown} cannot be looked at: {why}")),
    };
    let own = rustix::process::geteuid().as_raw();
    if own != 0 && metadata.uid() != own {
        return Some(format!("{shown} belongs to the user {}, and furt runs as {own}", metadata.uid()));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let is_open = accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok();
    (!is_open).then(|| format!("furt cannot replace {shown}: it may not write to {}", folder.display()))
}

pub(super) fn of_package(root: &Path, path: &Path) -> Option<String> {
    if let Some(package) = debian_package(root, path) {
        return Some(format!("{} belongs to the package {package}", path.display()));
    }
    let is_of_system =
        ["/usr", "/bin", "/sbin"].iter().any(|folder| path.starts_with(folder)) && !path.starts_with("/usr/local");
    let database = DATABASES.iter().find(|database| root.join(database).is_dir()).filter(|_| is_of_system)?;
    Some(format!("{} is where packages are (/{database} has their list)", path.display()))
}

/// The package that has the file, by either of its names where `/bin` is a link.
fn debian_package(root: &Path, path: &Path) -> Option<String> {
    let path = path.to_str()?;
    let names = [path, path.strip_prefix("/usr").unwrap_or(path)];
    let lists = fs::read_dir(root.join(LISTS)).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    lists.filter(|list| list.extension().is_some_and(|end| end == "list")).find_map(|list| {
        let files = fs::read(&list).ok()?;
        let has = files.split(|byte| *byte == b'\n').any(|file| names.iter().any(|name| file == name.as_bytes()));
        has.then(|| list.file_stem().unwrap_or_default().to_string_lossy().into_owned())
    })
}
