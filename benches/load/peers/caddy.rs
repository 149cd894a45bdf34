//! Caddy: a tree of `handle`s for services, by the digits of their numbers, and another one for keys.
//!
//! Caddy looks through the `handle`s of a level, and through a `map`, one by one, and through a `map` anew for each use of
//! each of its variables. Trees keep both short: ten `handle`s a level, and a `map` for the keys that begin with the same two
//! digits.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::super::fleet::Fleet;
use super::{Setup, Site, write};

/// Without the keys of clients, which no log should hold.
const LOG: &str = "log {
    output file access.log {
      roll_disabled
    }
    format filter {
      wrap json
      fields {
        request>headers>X-Api-Key delete
      }
    }
  }";
/// Who asks without a good key has no team.
const NOBODY: &str = "map {http.request.method} {key_name} {team} {
    default \"\" \"\"
  }";
const DIGITS: &str = "0123456789abcdef";

pub(super) fn command(program: &Path, setup: &Setup<'_>) -> Result<Command> {
    let path = write(setup, "Caddyfile", &config(setup)?)?;
    let mut command = Command::new(program);
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(path);
    command.env("GOMAXPROCS", setup.threads.to_string()).env("HOME", &setup.dir);
    command.env("XDG_DATA_HOME", &setup.dir).env("XDG_CONFIG_HOME", &setup.dir);
    Ok(command)
}

fn config(setup: &Setup<'_>) -> Result<String> {
    let log = match setup.site {
        Site::Fleet => LOG,
        Site::Public => "",
    };
    let key_name = match setup.site {
        Site::Fleet => "header_up X-API-Key-Name {key_name}",
        Site::Public => "header_up -X-API-Key-Name",
    };
    let mut text = format!(
        "{{
  admin off
  auto_https off
  log default {{
    output stderr
    level ERROR
  }}
  servers {{
    protocols {protocols}
    timeouts {{
      read_header 10s
      idle 75s
    }}
  }}
}}
(proxied) {{
  header_up -X-API-Key
  {key_name}
  header_up X-Request-Id {{http.request.uuid}}
  transport http {{
    dial_timeout 2s
    response_header_timeout 60s
    keepalive 60s
    keepalive_idle_conns_per_host 256
    compression off
  }}
}}
{scheme}://:{port} {{
  bind {address}
  {tls}
  {log}
  header {{
    X-Gateway furt
    X-Request-Id {{http.request.uuid}}
    Server-Timing \"gw;dur={{http.request.duration_ms}}, upstream;dur={{http.reverse_proxy.upstream.latency_ms}}\"
    defer
  }}
",
        protocols = if setup.certificate.is_some() { "h1 h2" } else { "h1" },
        scheme = if setup.certificate.is_some() { "https" } else { "http" },
        tls = setup.certificate.map_or_else(String::new, |certificate| {
            format!("tls {} {}", certificate.cert.display(), certificate.key.display())
        }),
        port = setup.listen.port(),
        address = setup.listen.ip(),
    );
    match setup.site {
        Site::Public => writeln!(
            text,
            "  handle /pass/* {{\n    reverse_proxy {} {{\n      import proxied\n    }}\n  }}\n  handle {{\n    respond 404\n  }}",
            setup.origin
        )?,
        Site::Fleet => fleet(setup, &mut text)?,
    }
    text.push_str("}\n");
    Ok(text)
}

fn fleet(setup: &Setup<'_>, text: &mut String) -> Result<()> {
    // A route of its own for each tree: of the `handle`s of one route a request takes the first that matches.
    text.push_str("route {\n");
    let known: Vec<_> = (0..setup.fleet.keys).map(|number| (setup.fleet.key(number), number)).collect();
    keys(setup.fleet, &known, "", text)?;
    text.push_str("}\nroute {\n");
    (0..setup.fleet.services.min(10)).try_for_each(|service| services(setup.fleet, service, text))?;
    text.push_str("handle {\n  respond 404\n}\n}\n");
    Ok(())
}

/// Which key it is, of those that begin with `start`.
fn keys(fleet: &Fleet, known: &[(String, u32)], start: &str, text: &mut String) -> Result<()> {
    if start.len() == 2 {
        text.push_str("map {http.request.header.X-API-Key} {key_name} {team} {\n");
        for (key, number) in known {
            writeln!(text, "  {key} {} {}", fleet.key_name(*number), fleet.team_of_key(*number))?;
        }
        text.push_str("  default \"\" \"\"\n}\n");
        return Ok(());
    }
    for start in DIGITS.chars().map(|digit| format!("{start}{digit}")) {
        let known: Vec<_> = known.iter().filter(|(key, _)| key.starts_with(&start)).cloned().collect();
        if !known.is_empty() {
            writeln!(text, "@k{start} header X-API-Key {start}*\nhandle @k{start} {{")?;
            keys(fleet, &known, &start, text)?;
            text.push_str("}\n");
        }
    }
    Ok(writeln!(text, "handle {{\n  {NOBODY}\n}}")?)
}

/// A service, and those whose numbers begin with its number.
fn services(fleet: &Fleet, number: u32, text: &mut String) -> Result<()> {
    let (name, team) = (fleet.service(number), fleet.team_of_service(number));
    let base = format!("/api/{name}");
    writeln!(
        text,
        "handle {base}* {{
  handle {base}/* {{
    route {{
      @unknown vars {{team}} \"\"
      respond @unknown 401
      @foreign not vars {{team}} {team}
      respond @foreign 403
      @routes path {base}/status {base}/items/* {base}/*/detail {base}/*/parts/*
      reverse_proxy @routes {} {{
        import proxied
      }}
      respond 404
    }}
  }}",
        fleet.upstream(number)
    )?;
    if number > 0 {
        let mut more = (0..10).map(|digit| number * 10 + digit).filter(|number| *number < fleet.services);
        more.try_for_each(|number| services(fleet, number, text))?;
    }
    Ok(writeln!(text, "  handle {{\n    respond 404\n  }}\n}}")?)
}
