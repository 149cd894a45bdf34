//! The service behind every gateway: a keep-alive responder that must cost next to nothing, since it shares its core with
//! the driver.
//!
//! `GET` is answered with [`SMALL`], where the path ends in `/app` with an application's headers as well, where it ends in
//! `/down` with 1 MiB, where the query is `echo` with the request's head as it came (what `check` looks at), and at [`CONNECTIONS`] with how many connections there were so far. A
//! `POST` is answered once its body is there, with how long it was.
//! One thread, level-triggered epoll, one read and one write a small request. Answers only this machine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::http1::{Chunks, Framing, Head, ends_head};

/// The body of a small answer.
pub(super) const SMALL: [u8; 64] = [b'.'; 64];
/// What an application's answer has beside `Content-Type` and `Content-Length`.
const APPLICATION: &str = "Date: Sat, 28 Nov 2026 09:00:00 GMT\r\n\
    Cache-Control: private, max-age=0, must-revalidate\r\n\
    ETag: \"5d8c72a5edda8d6a-3f1\"\r\n\
    Last-Modified: Fri, 27 Nov 2026 16:20:00 GMT\r\n\
    Vary: Accept-Encoding, Cookie\r\n\
    Set-Cookie: session=0b6a2d7c1f3e4a5b8c9d0e1f2a3b4c5d; Path=/; HttpOnly; Secure; SameSite=Lax\r\n\
    Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n\
    Content-Security-Policy: default-src 'self'; img-src 'self' data:; object-src 'none'\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: SAMEORIGIN\r\n\
    Referrer-Policy: strict-origin-when-cross-origin\r\n";
/// The length of a large body, either way.
pub(super) const LARGE: usize = 1 << 20;

/// Where the origin says how many connections it has accepted.
pub(super) const CONNECTIONS: &str = "/connections";

/// The listener's key among the events; connections have their places.
const LISTENER: u64 = u64::MAX;

/// Serves until the process ends.
///
/// # Errors
/// The port is taken, or epoll fails.
pub(super) fn serve(port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener = TcpListener::bind(address).with_context(|| format!("the origin cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut origin =
        Origin { epoll, accepted: 0, connections: Vec::new(), free: Vec::new(), scratch: vec![0; 256 * 1024] };
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        match epoll::wait(&origin.epoll, spare_capacity(&mut events), None) {
            Err(rustix::io::Errno::INTR) => continue,
            waited => waited?,
        };
        for event in &events {
            match event.data.u64() {
                LISTENER => origin.accept(&listener)?,
                place => origin.attend(usize::try_from(place)?),
            }
        }
    }
}

struct Origin {
    epoll: OwnedFd,
    /// Connections so far.
    accepted: u64,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    scratch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// A head that is not whole yet.
    input: Vec<u8>,
    body: Option<Body>,
    /// What could not be sent yet.
    output: Vec<u8>,
    sent: usize,
}

/// A request's body that is on its way.
enum Body {
    Counted { left: u64, length: u64 },
    Chunked(Chunks),
}

impl Origin {
    fn accept(&mut self, listener: &TcpListener) -> Result<()> {
        loop {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // One that went away again, or no file left: not the end of the others.
                Err(_) => return Ok(()),
            };
            if !peer.ip().is_loopback() {
                continue;
            }
            self.accepted += 1;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let place = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            epoll::add(&self.epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
            self.connections[place] =
                Some(Connection { stream, input: Vec::new(), body: None, output: Vec::new(), sent: 0 });
        }
    }

    fn attend(&mut self, place: usize) {
        let Some(connection) = self.connections.get_mut(place).and_then(Option::as_mut) else { return };
        let was_blocked = connection.is_blocked();
        let goes_on =
            if was_blocked { connection.send() } else { connection.receive(&mut self.scratch, self.accepted) };
        let is_blocked = connection.is_blocked();
        let told = was_blocked == is_blocked || {
            let wanted = if is_blocked { EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &connection.stream, EventData::new_u64(place as u64), wanted).is_ok()
        };
        if !goes_on.unwrap_or(false) || !told {
            // Closing takes it out of the epoll set.
            self.connections[place] = None;
            self.free.push(place);
        }
    }
}

impl Connection {
    fn is_blocked(&self) -> bool {
        self.sent < self.output.len()
    }

    /// One read; `false`: the other side has closed. `accepted` is the origin's count of connections.
    fn receive(&mut self, scratch: &mut [u8], accepted: u64) -> io::Result<bool> {
        let length = match self.stream.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        let mut rest = &scratch[..length];
        // The common case: one small request in one piece.
        if self.body.is_none() && self.input.is_empty() && ends_head(rest) && rest.starts_with(b"GET ") {
            return self.answer_get(rest, accepted);
        }
        while !rest.is_empty() {
            rest = match self.body.take() {
                Some(body) => self.pass_body(body, rest)?,
                None => self.pass_head(rest, accepted)?,
            };
        }
        Ok(true)
    }

    fn pass_head<'a>(&mut self, input: &'a [u8], accepted: u64) -> io::Result<&'a [u8]> {
        let known = self.input.len();
        self.input.extend_from_slice(input);
        let whole = std::mem::take(&mut self.input);
        let Some(head) = Head::read(&whole) else {
            self.input = whole;
            return Ok(&[]);
        };
        let rest = &input[head.length - known..];
        match head.framing {
            Framing::Length(left) if left > 0 => self.body = Some(Body::Counted { left, length: left }),
            Framing::Chunked => self.body = Some(Body::Chunked(Chunks::default())),
            Framing::Length(_) | Framing::None => drop(self.answer_get(&whole[..head.length], accepted)?),
        }
        Ok(rest)
    }

    fn pass_body<'a>(&mut self, body: Body, input: &'a [u8]) -> io::Result<&'a [u8]> {
        let (taken, body, length) = match body {
            Body::Counted { left, length } => {
                let taken = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - taken as u64;
                (taken, (left > 0).then_some(Body::Counted { left, length }), length)
            }
            Body::Chunked(mut chunks) => {
                let (taken, has_ended) = chunks.pass(input);
                let length = chunks.length;
                (taken, (!has_ended).then_some(Body::Chunked(chunks)), length)
            }
        };
        self.body = body;
        if self.body.is_none() {
            self.answer(format!("{length:<64}").as_bytes())?;
        }
        Ok(&input[taken..])
    }

    fn answer_get(&mut self, head: &[u8], accepted: u64) -> io::Result<bool> {
        let line_end = head.iter().position(|byte| *byte == b'\r').unwrap_or(head.len());
        let target = head[..line_end].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if target.ends_with(b"/down") {
            self.answer(&vec![b'.'; LARGE])?;
        } else if target.ends_with(b"/app") {
            self.answer_with(APPLICATION, &SMALL)?;
        } else if target.ends_with(b"?echo") {
            self.answer(head)?;
        } else if target == CONNECTIONS.as_bytes() {
            self.answer(accepted.to_string().as_bytes())?;
        } else {
            self.answer(&SMALL)?;
        }
        Ok(true)
    }

    fn answer(&mut self, body: &[u8]) -> io::Result<()> {
        self.answer_with("", body)
    }

    fn answer_with(&mut self, headers: &str, body: &[u8]) -> io::Result<()> {
        self.output.clear();
        self.sent = 0;
        let length = body.len();
        write!(
            self.output,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n{headers}\r\n"
        )?;
        self.output.extend_from_slice(body);
        self.send().map(drop)
    }

    fn send(&mut self) -> io::Result<bool> {
        while self.is_blocked() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return Ok(false),
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
