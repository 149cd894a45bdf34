//! Chromium without a window, which opens one page and is ended when the test has what it wants of it.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::program;

/// A running browser.
pub(crate) struct Chromium {
    _child: Child,
    _profile: TempDir,
}

impl Chromium {
    /// Opens the page of that url.
    pub(crate) fn open(url: &str) -> Self {
        let profile = TempDir::new().unwrap();
        let mut command = Command::new(program::path("chromium", "chromium"));
        // As root, and in containers, its own sandbox does not start; it sees pages of the test alone.
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("--remote-debugging-port=0")
            .arg(url)
            .env("LD_LIBRARY_PATH", Self::libraries())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        Self { _child: command.spawn().unwrap(), _profile: profile }
    }

    /// Where it looks for libraries.
    pub(crate) fn libraries() -> String {
        let libraries = program::room("chromium").join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
        format!("{0}:{0}/pulseaudio", libraries.display())
    }
}
