//! pingap: a location with the plugins for request ids and headers of the answer.
//!
//! It removes no header of a request but the key that it has checked. It looks through locations, and through the keys of
//! a location, one by one, and does not tell a foreign key from an unknown one: there is no configuration for a fleet.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Setup, write};

pub(super) fn command(program: &Path, setup: &Setup<'_>) -> Result<Command> {
    let Setup { origin, listen, threads, idle, dir, .. } = setup;
    let dir = dir.display();
    let stealing = *threads > 1;
    let config = write(
        setup,
        "pingap.toml",
        &format!(
            "[basic]
pid_file = \"{dir}/pingap.pid\"
upgrade_sock = \"{dir}/pingap.sock\"
threads = {threads}
work_stealing = {stealing}
upstream_keepalive_pool_size = {idle}
log_level = \"error\"

[upstreams.origin]
addrs = [\"{origin}\"]
connection_timeout = \"2s\"
read_timeout = \"60s\"
write_timeout = \"60s\"
idle_timeout = \"60s\"

[plugins.answers]
category = \"response_headers\"
step = \"response\"
set_headers = [\"X-Gateway:furt\", \"X-Request-Id:$http_x-request-id\"]

[locations.pass]
upstream = \"origin\"
path = \"/pass/\"
proxy_set_headers = [
  \"X-Forwarded-For:$remote_addr\",
  \"X-Forwarded-Proto:$scheme\",
  \"X-Forwarded-Host:$host\",
]
plugins = [\"pingap:requestId\", \"answers\"]

[servers.bench]
addr = \"{listen}\"
locations = [\"pass\"]
enable_server_timing = true
"
        ),
    )?;
    let mut command = Command::new(program);
    command.arg("--conf").arg(config);
    Ok(command)
}
