//! aralez: one host with one path, which is looked up as it is written, then without its last segment, and so on.
//!
//! It sets headers to fixed values and removes none. It has no wildcards, and one API key a path, so that there is no
//! configuration for a fleet.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::super::workload::HOST;
use super::{Setup, write};

pub(super) fn command(program: &Path, setup: &Setup<'_>) -> Result<Command> {
    let Setup { origin, listen, internal, threads, idle, dir, .. } = setup;
    let dir = dir.display();
    // Other than the file of settings: it is read again when something in its directory is written.
    std::fs::create_dir_all(setup.dir.join("routes"))?;
    let upstreams = write(
        setup,
        "routes/upstreams.yaml",
        &format!(
            "provider: \"file\"
upstreams:
  {HOST}:
    paths:
      \"/pass\":
        healthcheck: false
        server_headers:
          - \"X-Forwarded-Proto: http\"
          - \"X-Forwarded-Host: {HOST}\"
        client_headers:
          - \"X-Gateway: furt\"
        servers:
          - \"{origin}\"
"
        ),
    )?;
    let stealing = *threads > 1;
    let settings = write(
        setup,
        "aralez.yaml",
        &format!(
            "threads: {threads}
work_stealing: {stealing}
upstream_keepalive_pool_size: {idle}
pid_file: {dir}/aralez.pid
error_log: {dir}/aralez.log
upgrade_sock: {dir}/aralez.sock
config_api_enabled: false
config_address: {internal}
proxy_address_http: {listen}
upstreams_conf: {}
log_level: error
hc_method: HEAD
hc_interval: 3600
",
            upstreams.display()
        ),
    )?;
    let mut command = Command::new(program);
    command.arg("-c").arg(settings);
    Ok(command)
}
