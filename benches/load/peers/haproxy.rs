//! HAProxy: keys with their teams, and services, in maps (trees, loaded from files); one backend a service that holds its
//! patterns.
//!
//! The log goes line by line to stdout, which is a file: HAProxy has no buffer for it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Setup, Site, write};

/// HAProxy sizes its table of files by `maxconn`. Where more than a fifth of the table is in use, clients' own connections
/// among them, it keeps one idle connection to a server instead of all. So there is room for many more than are used.
const LEAST_CONNECTIONS: usize = 8_192;

pub(super) fn command(program: &Path, setup: &Setup<'_>) -> Result<Command> {
    let path = write(setup, "haproxy.cfg", &config(setup)?)?;
    let mut command = Command::new(program);
    command.arg("-f").arg(path);
    Ok(command)
}

fn config(setup: &Setup<'_>) -> Result<String> {
    let is_fleet = setup.site == Site::Fleet;
    let (global_log, log) =
        if is_fleet { ("log stdout format raw local0 info", "log global\n  option httplog") } else { ("", "") };
    let mut text = format!(
        "global
  nbthread {threads}
  maxconn {connections}
  no strict-limits
  tune.bufsize 16384
  tune.pattern.cache-size 0
  {global_log}
defaults
  mode http
  {log}
  http-reuse always
  timeout connect 2s
  timeout client 75s
  timeout server 60s
  timeout http-request 10s
  timeout http-keep-alive 75s
  default-server pool-purge-delay 60s
frontend public
  bind {listen} backlog 4096{secure}
",
        threads = setup.threads,
        connections = (setup.clients + 2 * setup.idle).max(LEAST_CONNECTIONS),
        listen = setup.listen,
        secure = setup.certificate.map_or_else(String::new, |certificate| {
            format!(" ssl crt {} ssl-min-ver TLSv1.2 alpn h2,http/1.1", certificate.both.display())
        }),
    );
    if is_fleet {
        text.push_str(&format!(
            "  http-request set-var(txn.key) req.hdr(x-api-key),map_str({}/keys.map)
  http-request deny deny_status 401 unless {{ var(txn.key) -m found }}
  http-request set-var(txn.team) var(txn.key),field(2,/)
  http-request set-header X-API-Key-Name %[var(txn.key),field(1,/)]
",
            setup.dir.display()
        ));
    } else {
        text.push_str("  http-request del-header X-API-Key-Name\n");
    }
    let scheme = if setup.certificate.is_some() { "https" } else { "http" };
    write!(
        text,
        "  http-request set-var(txn.id) uuid()
  http-request del-header X-API-Key
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto {scheme}
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Request-Id %[var(txn.id)]
  http-response set-header X-Gateway furt
  http-response add-header Server-Timing \"gw;dur=%Tw, upstream;dur=%Tr\"
  http-response set-header X-Request-Id %[var(txn.id)]
",
    )?;
    if is_fleet {
        fleet(setup, &mut text)?;
    } else {
        writeln!(text, "  use_backend pass if {{ path_beg /pass/ }}\n  default_backend none")?;
        writeln!(text, "backend pass\n  server origin {}", setup.origin)?;
    }
    text.push_str("backend none\n  http-request return status 404\n");
    Ok(text)
}

fn fleet(setup: &Setup<'_>, text: &mut String) -> Result<()> {
    let fleet = setup.fleet;
    let entry = |key| format!("{} {}/{}\n", fleet.key(key), fleet.key_name(key), fleet.team_of_key(key));
    write(setup, "keys.map", &(0..fleet.keys).map(entry).collect::<String>())?;
    let services = (0..fleet.services).map(|service| fleet.service(service));
    write(setup, "services.map", &services.map(|name| format!("{name} {name}\n")).collect::<String>())?;
    writeln!(text, "  use_backend %[path,field(3,/),map_str({}/services.map,none)]", setup.dir.display())?;
    for service in 0..fleet.services {
        let (name, team) = (fleet.service(service), fleet.team_of_service(service));
        let base = format!("/api/{name}");
        writeln!(
            text,
            "backend {name}
  http-request deny deny_status 404 unless {{ path {base}/status }} || {{ path_beg {base}/items/ }} || \
             {{ path_reg ^{base}/[^/]+/detail$ }} || {{ path_reg ^{base}/[^/]+/parts/.+$ }}
  http-request deny deny_status 403 unless {{ var(txn.team) -m str {team} }}
  server {name} {}",
            fleet.upstream(service)
        )?;
    }
    Ok(())
}
