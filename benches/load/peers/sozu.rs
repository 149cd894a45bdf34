//! Sōzu: a cluster for each service, a frontend for each route. It finds routes by host in a tree and by path one by one.
//!
//! Header edits are of fixed values; `X-Forwarded-*` and `X-Request-Id` are its own. It has no API keys.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::super::fleet::Shape;
use super::super::workload::HOST;
use super::{Setup, Site, write};

/// What each frontend edits; an empty value removes.
const EDITS: &str = r#"[
  { position = "request", key = "X-API-Key", value = "" },
  { position = "request", key = "X-API-Key-Name", value = "" },
  { position = "request", key = "X-Forwarded-Host", value = "bench.example" },
  { position = "response", key = "X-Gateway", value = "furt" },
]"#;

pub(super) fn command(program: &Path, setup: &Setup<'_>) -> Result<Command> {
    let path = write(setup, "sozu.toml", &config(setup)?)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(path).arg("start");
    Ok(command)
}

fn config(setup: &Setup<'_>) -> Result<String> {
    let Setup { listen, threads, clients, dir, .. } = setup;
    let dir = dir.display();
    let log = match setup.site {
        Site::Fleet => format!("access_logs_target = \"file://{dir}/access.log\""),
        Site::Public => String::new(),
    };
    // A connection without a buffer is closed, and each needs one a direction, on both sides.
    let buffers = clients * 4;
    // A request's timeout also ends keep-alive, so it is not that of the header alone.
    let mut text = format!(
        "command_socket = \"{dir}/sozu.sock\"
log_level = \"error\"
log_target = \"stdout\"
{log}
worker_count = {threads}
worker_automatic_restart = false
max_connections = {clients}
max_buffers = {buffers}
activate_listeners = true
connect_timeout = 2
front_timeout = 75
back_timeout = 60
request_timeout = 75
[[listeners]]
protocol = \"http\"
address = \"{listen}\"
forwarded_headers = \"x_forwarded\"
"
    );
    match setup.site {
        Site::Public => {
            cluster(&mut text, "pass", setup.origin)?;
            frontend(&mut text, "pass", setup, "PREFIX", "/pass/")?;
        }
        Site::Fleet => {
            for service in 0..setup.fleet.services {
                let name = setup.fleet.service(service);
                let base = format!("/api/{name}");
                cluster(&mut text, &name, setup.fleet.upstream(service))?;
                for shape in Shape::ALL {
                    let (kind, path) = match shape {
                        Shape::Literal => ("EQUALS", format!("{base}/status")),
                        Shape::Last => ("PREFIX", format!("{base}/items/")),
                        Shape::Middle => ("REGEX", format!("^{base}/[^/]+/detail$")),
                        Shape::Both => ("REGEX", format!("^{base}/[^/]+/parts/.+$")),
                    };
                    frontend(&mut text, &name, setup, kind, &path)?;
                }
            }
        }
    }
    Ok(text)
}

fn cluster(text: &mut String, name: &str, address: std::net::SocketAddr) -> Result<()> {
    writeln!(text, "[clusters.{name}]\nprotocol = \"http\"\nload_balancing = \"ROUND_ROBIN\"")?;
    Ok(writeln!(text, "backends = [{{ address = \"{address}\" }}]")?)
}

fn frontend(text: &mut String, name: &str, setup: &Setup<'_>, kind: &str, path: &str) -> Result<()> {
    writeln!(text, "[[clusters.{name}.frontends]]\naddress = \"{}\"\nhostname = \"{HOST}\"", setup.listen)?;
    Ok(writeln!(text, "path = \"{path}\"\npath_type = \"{kind}\"\nheaders = {EDITS}")?)
}
