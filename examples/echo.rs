//! A service to try furt with: answers /health with "ok" and everything else with the request as it arrived.
//!
//! Only the standard library, so that `make echo` builds it with rustc alone in a second. One thread a connection, one
//! request a connection; no model for a real service. The argument is the address, by default 127.0.0.1:7812.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// The longest request header that is read, in bytes.
const MAX_HEADER: u64 = 64 * 1024;
/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(10);

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7812".to_owned());
    let listener =
        TcpListener::bind(&address).map_err(|why| io::Error::new(why.kind(), format!("{address}: {why}")))?;
    writeln!(io::stdout(), "echo: listens on {}; Ctrl-C ends it", listener.local_addr()?)?;
    for stream in listener.incoming() {
        std::thread::spawn(move || {
            // A client that is gone has no use for an answer.
            _ = stream.and_then(|stream| answer(&stream));
        });
    }
    Ok(())
}

fn answer(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut reader = BufReader::new(stream);
    let mut header = String::new();
    let mut limited = (&mut reader).take(MAX_HEADER);
    while !header.ends_with("\r\n\r\n") {
        if limited.read_line(&mut header)? == 0 {
            return Ok(());
        }
    }
    let length = header.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<u64>().ok()).flatten()
    });
    // Read whole before the answer: closing on unread bytes would reset the connection.
    let mut body = Vec::new();
    reader.take(length.unwrap_or(0)).read_to_end(&mut body)?;

    let is_health = header.split(' ').nth(1) == Some("/health");
    let said = if is_health { b"ok\n".to_vec() } else { [header.as_bytes(), &body].concat() };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        said.len()
    )?;
    stream.write_all(&said)
}
