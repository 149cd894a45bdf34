//! The packages as those see them that take them: lintian, rpm, dpkg, and what judges manifests.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::foreign::program::Program;
use crate::foreign::{program, python};
use crate::support::gateway::{client_from, output_of};
use crate::support::{Origin, eventually, ports};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const START: Duration = Duration::from_secs(20);
const OWN: &str = env!("CARGO_PKG_VERSION");
/// What a Debian has of what furt needs, as dpkg notes it.
const DEBIAN: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\nMaintainer: a\nDescription: a\n\n\
                      Package: libgcc-s1\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.2.0-14\nMaintainer: a\n\
                      Description: a\n";

/// What a command printed; it is a fault where it fails.
fn printed(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    text
}

/// Packages of this furt in a folder, without what only a debugger reads of it.
async fn packed(dist: &Path, release: &str) {
    let furt = dist.join("built");
    fs::copy(env!("CARGO_BIN_EXE_furt"), &furt).unwrap();
    let mut strip = Command::new("strip");
    strip.arg(&furt);
    printed(&output_of(strip).await);
    let mut package = Command::new(Path::new(ROOT).join(".ci/package"));
    package.args([&furt, dist]).env("RELEASE", release);
    let told = printed(&output_of(package).await);
    assert!(told.contains("checksums are in"), "{told}");
}

fn package(dist: &Path, ending: &str) -> PathBuf {
    let mut found = fs::read_dir(dist).unwrap().map(|entry| entry.unwrap().path());
    found.find(|path| path.to_str().unwrap().ends_with(ending)).expect(ending)
}

/// What a program of rpm's says of the rpm. It has no system of its own to look at.
async fn asked_of_rpm(name: &str, dist: &Path, arguments: &[&str]) -> String {
    let mut command = program::command_of("rpm", name);
    command.env("RPM_CONFIGDIR", program::room("rpm").join("usr/lib/rpm")).arg("--dbpath").arg(dist.join("rpmdb"));
    command.args(arguments).arg(package(dist, ".rpm"));
    printed(&output_of(command).await)
}

#[tokio::test]
async fn lintian_and_rpm_find_nothing_wrong() {
    let dist = TempDir::new().unwrap();
    packed(dist.path(), "1").await;
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "SHA256SUMS"]).current_dir(dist.path());
    assert_eq!(printed(&output_of(check).await).matches(": OK").count(), 6);

    let mut lintian = Command::new(program::path("lintian", "lintian"));
    lintian.args(["--no-cfg", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"]);
    lintian.arg(package(dist.path(), ".deb"));
    let found = printed(&output_of(lintian).await);
    assert!(!found.lines().any(|line| line.starts_with("E:") || line.starts_with("W:")), "{found}");

    let rpm = async |arguments: &[&str]| asked_of_rpm("rpm", dist.path(), arguments).await;
    let info = rpm(&["-qpi"]).await;
    for line in ["Name        : furt", &format!("Version     : {OWN}"), "Release     : 1", "License     : Apache-2.0"] {
        assert!(info.contains(line), "{line} is not in\n{info}");
    }
    assert!(rpm(&["-qp", "--requires"]).await.contains("glibc >= 2."));
    assert!(rpm(&["-qpc"]).await.ends_with("/etc/furt/furt.toml\n"));
    let files = rpm(&["-qpl"]).await;
    for file in [
        "bin/furt",
        "lib/systemd/system/furt.service",
        "share/man/man1/furt-keys-new.1.gz",
        "share/zsh/site-functions/_furt",
    ] {
        assert!(files.lines().any(|line| line == format!("/usr/{file}")), "{file} is not in\n{files}");
    }
    assert!(rpm(&["-qp", "--scripts"]).await.contains("systemctl preset furt.service"));
    assert!(asked_of_rpm("rpmkeys", dist.path(), &["--checksig"]).await.contains("digests OK"));
}

/// A system in a folder, whose packages dpkg knows.
struct System {
    root: TempDir,
}

impl System {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let of_dpkg = root.path().join("var/lib/dpkg");
        for folder in ["info", "updates", "triggers", "alternatives"] {
            fs::create_dir_all(of_dpkg.join(folder)).unwrap();
        }
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        fs::write(of_dpkg.join("status"), DEBIAN.replace("amd64", arch)).unwrap();
        fs::write(of_dpkg.join("available"), "").unwrap();
        Self { root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Without root: nothing is owned by another user, and scripts run without a chroot.
    async fn dpkg(&self, arguments: &[&str]) -> String {
        let mut dpkg = Command::new("dpkg");
        let path = std::env::var("PATH").unwrap();
        dpkg.arg(format!("--root={}", self.root.path().display()));
        dpkg.args(["--force-not-root", "--force-script-chrootless", "--force-confold", "--log=/dev/null"])
            .args(arguments);
        dpkg.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        printed(&output_of(dpkg).await)
    }

    fn status(&self) -> String {
        let status = fs::read_to_string(self.path("var/lib/dpkg/status")).unwrap();
        let of_furt = status.split("\n\n").find(|one| one.starts_with("Package: furt\n"));
        let fields = of_furt.unwrap_or_default().lines();
        fields.filter(|line| line.starts_with("Status:") || line.starts_with("Version:")).collect::<Vec<_>>().join(", ")
    }

    /// A verb of the furt in there.
    fn furt(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("usr/bin/furt"));
        command.args(arguments);
        command
    }
}

/// The same package with a higher number, packed anew in a moment.
async fn next_release(deb: &Path, folder: &Path) -> PathBuf {
    let (tree, next) = (folder.join("tree"), folder.join("next.deb"));
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-R").args([deb, &tree]);
    printed(&output_of(unpack).await);
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    fs::write(&control, text.replace(&format!("Version: {OWN}-1"), &format!("Version: {OWN}-2"))).unwrap();
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--root-owner-group", "-Zgzip", "-z1", "-b"]).args([&tree, &next]);
    printed(&output_of(pack).await);
    next
}

#[tokio::test]
async fn the_deb_is_installed_serves_is_upgraded_and_removed() {
    let (dist, system, origin) = (TempDir::new().unwrap(), System::new(), Origin::start().await);
    packed(dist.path(), "1").await;
    let deb = package(dist.path(), ".deb");

    let begin = Instant::now();
    system.dpkg(&["--install", deb.to_str().unwrap()]).await;
    assert_eq!(system.status(), format!("Status: install ok installed, Version: {OWN}-1"));
    let program = system.path("usr/bin/furt");
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
    let unit = fs::read_to_string(system.path("usr/lib/systemd/system/furt.service")).unwrap();
    assert!(
        unit.contains("ExecStart=/usr/bin/furt run --config /etc/furt/furt.toml\n") && !unit.contains("/usr/local"),
        "{unit}"
    );

    // What the unit does, with the file of the package; on ports that nobody else has.
    let (public, internal): (SocketAddr, SocketAddr) = (ports::free_address(), ports::free_address());
    let config = system.path("etc/furt/furt.toml");
    let state = system.path("var/lib/furt");
    fs::create_dir_all(&state).unwrap();
    let mut run = system.furt(&["run", "--config", config.to_str().unwrap()]);
    run.env("FURT_SERVER_LISTEN", public.to_string())
        .env("FURT_INTERNAL_LISTEN", internal.to_string())
        .current_dir(&state);
    let running = Program::start(&mut run, &dist.path().join("log"));
    let url = format!("http://{internal}");
    let verb = |arguments: &[&str]| {
        let mut command = system.furt(arguments);
        command.env("FURT_URL", &url);
        command
    };
    eventually("it is ready", START, async || output_of(verb(&["ready"])).await.status.success().then_some(())).await;
    let register = [
        "register",
        "--service",
        "shop",
        "--upstream",
        &origin.url(),
        "--route",
        "GET /shop/*",
        "--permission",
        "shop:read",
    ];
    printed(&output_of(verb(&register)).await);
    let key = printed(&output_of(verb(&["keys", "new", "--name", "website", "--permission", "shop:*"])).await);
    let asked = client_from(None).get(format!("http://{public}/shop/1")).header("x-api-key", key.trim());
    assert_eq!(asked.send().await.unwrap().status(), 200);
    println!("from dpkg --install to the first proxied answer: 4 commands, {:.1} s", begin.elapsed().as_secs_f64());

    // The operator's file is kept, and the program that runs is another file than the new one.
    fs::write(&config, "[server]\ngrace = 3\n").unwrap();
    let next = next_release(&deb, dist.path()).await;
    system.dpkg(&["--install", next.to_str().unwrap()]).await;
    assert_eq!(system.status(), format!("Status: install ok installed, Version: {OWN}-2"));
    assert_eq!(fs::read_to_string(&config).unwrap(), "[server]\ngrace = 3\n");
    let link = fs::read_link(format!("/proc/{}/exe", running.id())).unwrap();
    assert!(link.to_str().unwrap().ends_with("(deleted)"), "{link:?}");
    printed(&output_of(verb(&["services", "shop"])).await);
    drop(running);

    system.dpkg(&["--remove", "furt"]).await;
    assert!(!program.exists() && config.exists() && state.join("data/furt.redb").exists());
    system.dpkg(&["--purge", "furt"]).await;
    assert!(!config.exists() && !state.exists());
    assert_eq!(system.status(), "");
}

/// What `make package` says where something is missing, or is nonsense.
#[tokio::test]
async fn what_cannot_be_packed_is_said() {
    let dist = TempDir::new().unwrap();
    let package = async |furt: &str, release: &str| {
        let mut command = Command::new(Path::new(ROOT).join(".ci/package"));
        command.args([Path::new(furt), dist.path()]).env("RELEASE", release);
        let output = output_of(command).await;
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(package("absent", "1").await, "package: absent is missing; `make release` builds it\n");
    assert_eq!(package(env!("CARGO_BIN_EXE_furt"), "one").await, "package: RELEASE is a number, and not one\n");
    assert_eq!(fs::read_dir(dist.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn manifests_are_what_kubernetes_and_compose_take() {
    let conf = Path::new(ROOT).join("conf");
    let manifest = conf.join("examples/kubernetes.yaml");
    let validated = async |path: &Path| {
        python::module("manifests", "kubernetes_validate").arg("--strict").arg(path).output().await.unwrap()
    };
    let told = printed(&validated(&manifest).await);
    assert_eq!(told.matches("passed for resource").count(), 4, "{told}");
    // A field that is not there is found.
    let folder = TempDir::new().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    fs::write(&wrong, fs::read_to_string(&manifest).unwrap().replace("replicas: 1", "replica: 1")).unwrap();
    assert!(!validated(&wrong).await.status.success());
    for path in ["examples/compose.yaml", "package/compose.yaml"] {
        let mut check = python::module("manifests", "check_jsonschema");
        check.args(["--builtin-schema", "vendor.compose-spec"]).arg(conf.join(path));
        printed(&check.output().await.unwrap());
    }
}
