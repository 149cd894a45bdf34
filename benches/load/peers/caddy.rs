//! Caddy: a `handle` for each service, keys and teams in a `map`. It looks through both one by one: there is no other way
//! in its configuration.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Setup, Site, write};

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
        Site::Fleet => "log {\n    output file access.log {\n      roll_disabled\n    }\n  }",
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
    protocols h1
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
  flush_interval -1
  transport http {{
    dial_timeout 2s
    response_header_timeout 60s
    keepalive 60s
    keepalive_idle_conns_per_host 256
    compression off
  }}
}}
http://:{port} {{
  bind {address}
  {log}
  header {{
    X-Gateway furt
    X-Request-Id {{http.request.uuid}}
    Server-Timing \"gw;dur={{http.request.duration_ms}}, upstream;dur={{http.reverse_proxy.upstream.latency_ms}}\"
    defer
  }}
",
        port = setup.listen.port(),
        address = setup.listen.ip(),
    );
    match setup.site {
        Site::Public => writeln!(
            text,
            "  handle /pass/* {{\n    reverse_proxy {} {{\n      import proxied\n    }}\n  }}",
            setup.origin
        )?,
        Site::Fleet => fleet(setup, &mut text)?,
    }
    text.push_str("  handle {\n    respond 404\n  }\n}\n");
    Ok(text)
}

fn fleet(setup: &Setup<'_>, text: &mut String) -> Result<()> {
    let fleet = setup.fleet;
    text.push_str("  map {http.request.header.X-API-Key} {key_name} {team} {\n");
    for key in 0..fleet.keys {
        writeln!(text, "    {} {} {}", fleet.key(key), fleet.key_name(key), fleet.team_of_key(key))?;
    }
    text.push_str("    default \"\" \"\"\n  }\n");
    for service in 0..fleet.services {
        let (name, team) = (fleet.service(service), fleet.team_of_service(service));
        let base = format!("/api/{name}");
        writeln!(
            text,
            "  handle {base}/* {{
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
            fleet.upstream(service)
        )?;
    }
    Ok(())
}
