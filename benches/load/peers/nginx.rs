//! nginx: one `upstream` with a pool and one prefix location for each service, keys and teams in a `map`.
//!
//! A request's location is found in a tree of prefixes. The four shapes of a service's routes are one regex for all
//! services, compiled by PCRE's JIT. The log is buffered as furt's is; bodies are streamed, since furt never gathers them.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Setup, Site, write};

pub(super) fn command(program: &Path, setup: &Setup<'_>) -> Result<Command> {
    let path = write(setup, "nginx.conf", &config(setup)?)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(path).arg("-p").arg(&setup.dir).args(["-e", "stderr"]);
    Ok(command)
}

fn config(setup: &Setup<'_>) -> Result<String> {
    let Setup { listen, threads, clients, idle, .. } = setup;
    let files = clients * 2 + idle + 1024;
    let mut text = String::new();
    // Whoever is not root is told that `user` says nothing.
    write!(
        text,
        "user root;
daemon off;
pcre_jit on;
worker_processes {threads};
worker_rlimit_nofile {files};
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections {files}; }}
http {{
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  access_log {access_log};
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  client_header_timeout 10s;
  client_body_timeout 30s;
  client_max_body_size 0;
  reset_timedout_connection on;
  server_tokens off;
  proxy_http_version 1.1;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  proxy_buffer_size 16k;
  proxy_buffers 8 16k;
  proxy_busy_buffers_size 32k;
  client_body_buffer_size 32k;
  proxy_connect_timeout 2s;
  proxy_read_timeout 60s;
  proxy_set_header Connection \"\";
  proxy_set_header Host $http_host;
  proxy_set_header X-API-Key \"\";
  proxy_set_header X-API-Key-Name {key_name};
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Request-Id $request_id;
  add_header X-Gateway furt always;
  add_header Server-Timing \"gw;dur=$request_time, upstream;dur=$upstream_header_time\" always;
  add_header X-Request-Id $request_id always;
",
        access_log = if setup.site == Site::Fleet { "access.log combined buffer=64k flush=200ms" } else { "off" },
        key_name = if setup.site == Site::Fleet { "$key_name" } else { "\"\"" },
    )?;
    let secure = if setup.certificate.is_some() { " ssl http2" } else { "" };
    let listen = format!("listen {listen} backlog=4096{}{secure};", if *threads > 1 { " reuseport" } else { "" });
    if let Some(certificate) = setup.certificate {
        writeln!(
            text,
            "  ssl_certificate {};\n  ssl_certificate_key {};\n  ssl_protocols TLSv1.2 TLSv1.3;",
            certificate.cert.display(),
            certificate.key.display()
        )?;
    }
    match setup.site {
        Site::Public => public(setup, &listen, &mut text)?,
        Site::Fleet => fleet(setup, &listen, &mut text)?,
    }
    text.push_str("}\n");
    Ok(text)
}

/// A pool of connections to one service.
fn upstream(name: &str, address: std::net::SocketAddr, pool: usize) -> String {
    format!(
        "  upstream {name} {{ server {address}; keepalive {pool}; keepalive_requests 1000000000; keepalive_timeout 60s; }}\n"
    )
}

fn public(setup: &Setup<'_>, listen: &str, text: &mut String) -> Result<()> {
    text.push_str(&upstream("origin", setup.origin, setup.idle));
    writeln!(
        text,
        "  server {{ {listen} location /pass/ {{ proxy_pass http://origin; }} location / {{ return 404; }} }}"
    )?;
    Ok(())
}

fn fleet(setup: &Setup<'_>, listen: &str, text: &mut String) -> Result<()> {
    let fleet = setup.fleet;
    text.push_str("  map_hash_max_size 65536; map_hash_bucket_size 128;\n");
    for (variable, of_key) in [("key_name", true), ("team", false)] {
        writeln!(text, "  map $http_x_api_key ${variable} {{ default \"\";")?;
        for key in 0..fleet.keys {
            let value = if of_key { fleet.key_name(key) } else { fleet.team_of_key(key).to_string() };
            writeln!(text, "    {} {value};", fleet.key(key))?;
        }
        text.push_str("  }\n");
    }
    text.push_str(
        "  map $uri $shape { default \"\"; \"~^/api/[^/]+/(?:status|items/.+|[^/]+/detail|[^/]+/parts/.+)$\" 1; }\n",
    );
    let pool = setup.idle / fleet.services as usize;
    for service in 0..fleet.services {
        text.push_str(&upstream(&fleet.service(service), fleet.upstream(service), pool));
    }
    writeln!(text, "  server {{ {listen} location / {{ return 404; }}")?;
    for service in 0..fleet.services {
        let (name, team) = (fleet.service(service), fleet.team_of_service(service));
        writeln!(
            text,
            "  location /api/{name}/ {{
    if ($shape = \"\") {{ return 404; }}
    if ($team = \"\") {{ return 401; }}
    if ($team != {team}) {{ return 403; }}
    proxy_pass http://{name};
  }}"
        )?;
    }
    text.push_str("  }\n");
    Ok(())
}
