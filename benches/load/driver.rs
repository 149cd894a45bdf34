//! The client side: keep-alive HTTP/1.1 connections on one thread, driven as fast as answers come or at a fixed rate.
//!
//! At a fixed rate the load is open: request number `k` is due at `k / rate`, and its latency counts from then, also where
//! all connections were busy, so that a slow gateway cannot thin out the load that shows it (coordinated omission).
//! Latencies are kept one by one. An answer that is not 200, of another length, or broken off has failed, and the first
//! of them is kept for the report. One write and one read a request, level-triggered epoll.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::thread::set_current_timer_slack;

use super::http1::{Framing, Head};
use super::pace::{Outcome, Pace, Requests, Run, Until};

/// A gateway that answers nothing for so long has stopped, which ends the bench.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Open connections to one gateway.
pub(super) struct Driver {
    address: SocketAddr,
    source: Option<IpAddr>,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
    random: fastrand::Rng,
}

struct Connection {
    stream: TcpStream,
    is_busy: bool,
    /// Whether an answer came on it already: one that is then closed was only idle for too long.
    is_used: bool,
    request: usize,
    sent: usize,
    due: Instant,
    /// Where a head came in pieces.
    input: Vec<u8>,
    /// Of the answer's body, once its head is there.
    left: Option<u64>,
    status: u16,
    length: u64,
    closes: bool,
}

impl Driver {
    /// Opens them, from this source address if one is given.
    ///
    /// # Errors
    /// One cannot be opened.
    pub(super) fn connect(address: SocketAddr, source: Option<IpAddr>, connections: usize) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut driver = Self {
            address,
            source,
            epoll,
            connections: Vec::with_capacity(connections),
            scratch: vec![0; 256 * 1024],
            random: fastrand::Rng::with_seed(7),
        };
        for place in 0..connections {
            let connection = driver.open(place)?;
            driver.connections.push(connection);
        }
        Ok(driver)
    }

    /// The connections alone, for clients that stay and say nothing.
    pub(super) fn into_streams(self) -> Vec<TcpStream> {
        self.connections.into_iter().map(|connection| connection.stream).collect()
    }

    fn open(&self, place: usize) -> Result<Connection> {
        let stream = connect(self.address, self.source)?;
        epoll::add(&self.epoll, &stream, EventData::new_u64(place as u64), EventFlags::IN)?;
        Ok(Connection {
            stream,
            is_busy: false,
            is_used: false,
            request: 0,
            sent: 0,
            due: Instant::now(),
            input: Vec::new(),
            left: None,
            status: 0,
            length: 0,
            closes: false,
        })
    }

    /// Sends requests and waits for all their answers.
    ///
    /// # Errors
    /// No connection can be opened any more, or nothing is answered for [`PATIENCE`].
    pub(super) fn drive(&mut self, requests: &Requests, pace: Pace, until: Until) -> Result<Outcome> {
        // Linux lets a sleeper wait 50 µs longer than asked for, which would be part of every latency. Only meanwhile: what
        // is started by this thread inherits it.
        set_current_timer_slack(NonZeroU64::new(1)).context("timers cannot be made exact")?;
        let outcome = self.drive_exactly(requests, pace, until);
        set_current_timer_slack(None).context("timers cannot be made as they were")?;
        outcome
    }

    fn drive_exactly(&mut self, requests: &Requests, pace: Pace, until: Until) -> Result<Outcome> {
        let mut run = Run::new(requests, pace, until, self.connections.len());
        let mut events = Vec::with_capacity(256);
        loop {
            let mut now = Instant::now();
            while let Some(due) = run.due(now) {
                let Some(place) = run.idle.pop() else { break };
                run.sent += 1;
                let request = self.random.usize(..requests.all.len());
                self.begin(place, request, due, &mut run)?;
                now = Instant::now();
            }
            let in_flight = self.connections.len() - run.idle.len();
            if in_flight == 0 && run.is_over(now) {
                break;
            }
            let pause = if run.idle.is_empty() || run.is_over(now) {
                None
            } else {
                run.next_due().map(|due| due.saturating_duration_since(now))
            };
            events.clear();
            let limit = pause.unwrap_or(PATIENCE);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timespec(limit))) {
                Err(rustix::io::Errno::INTR) => continue,
                waited => waited?,
            };
            ensure!(
                pause.is_some() || !events.is_empty(),
                "{} has not answered {in_flight} requests for {} s",
                self.address,
                PATIENCE.as_secs()
            );
            for event in &events {
                self.attend(usize::try_from(event.data.u64())?, &mut run)?;
            }
        }
        run.outcome.elapsed = run.began.elapsed();
        run.outcome.latencies.sort_unstable();
        Ok(run.outcome)
    }

    fn begin(&mut self, place: usize, request: usize, due: Instant, run: &mut Run<'_>) -> Result<()> {
        let connection = &mut self.connections[place];
        (connection.is_busy, connection.request, connection.sent, connection.due) = (true, request, 0, due);
        self.send(place, run)
    }

    fn send(&mut self, place: usize, run: &mut Run<'_>) -> Result<()> {
        let connection = &mut self.connections[place];
        let bytes = &run.requests.all[connection.request];
        let was_blocked = connection.sent > 0;
        loop {
            match connection.stream.write(&bytes[connection.sent..]) {
                Ok(length) => connection.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.broken(place, run, &error.to_string()),
            }
            if connection.sent == bytes.len() {
                break;
            }
        }
        let is_blocked = connection.sent < bytes.len();
        if was_blocked != is_blocked {
            let wanted = if is_blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.epoll, &connection.stream, EventData::new_u64(place as u64), wanted)?;
        }
        Ok(())
    }

    fn attend(&mut self, place: usize, run: &mut Run<'_>) -> Result<()> {
        let connection = &mut self.connections[place];
        if connection.is_busy && connection.sent < run.requests.all[connection.request].len() {
            self.send(place, run)?;
        }
        let connection = &mut self.connections[place];
        let length = match connection.stream.read(&mut self.scratch) {
            Ok(0) if connection.is_busy => return self.broken(place, run, "the connection was closed"),
            // Closed while it was idle.
            Ok(0) => return self.reopen(place, run),
            Ok(length) => length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return self.broken(place, run, &error.to_string()),
        };
        if !connection.is_busy {
            bail!("{} has sent an answer to no request", self.address);
        }
        let has_ended = match connection.take(&self.scratch[..length]) {
            Ok(has_ended) => has_ended,
            Err(why) => return self.broken(place, run, why),
        };
        if has_ended {
            self.ended(place, run)?;
        }
        Ok(())
    }

    fn ended(&mut self, place: usize, run: &mut Run<'_>) -> Result<()> {
        let connection = &mut self.connections[place];
        (connection.is_busy, connection.is_used, connection.left) = (false, true, None);
        if connection.status == 200 && connection.length == run.requests.answer_length {
            run.outcome.answered += 1;
        } else {
            let (status, length, due) = (connection.status, connection.length, connection.request);
            run.outcome.fail(|| {
                let request = String::from_utf8_lossy(&run.requests.all[due]);
                let line = request.lines().next().unwrap_or_default();
                format!("{line}: answered by {status} with {length} bytes")
            });
        }
        if matches!(run.pace, Pace::Open(_)) {
            run.outcome.latencies.push(connection.due.elapsed());
        }
        if connection.closes {
            return self.reopen(place, run);
        }
        run.idle.push(place);
        Ok(())
    }

    /// The connection broke within an exchange. Where nothing came on a connection that was used before, the gateway closed
    /// it as idle while the request was on its way, which clients repeat.
    fn broken(&mut self, place: usize, run: &mut Run<'_>, why: &str) -> Result<()> {
        let connection = &self.connections[place];
        let (request, due, is_busy) = (connection.request, connection.due, connection.is_busy);
        let may_repeat = connection.is_used && connection.input.is_empty() && connection.left.is_none();
        if is_busy && !may_repeat {
            run.outcome.fail(|| format!("broken off: {why}"));
        }
        self.connections[place] = self.open(place).with_context(|| format!("after a connection broke: {why}"))?;
        run.outcome.reconnects += 1;
        if is_busy && may_repeat {
            return self.begin(place, request, due, run);
        }
        if is_busy {
            run.idle.push(place);
        }
        Ok(())
    }

    fn reopen(&mut self, place: usize, run: &mut Run<'_>) -> Result<()> {
        let was_idle = run.idle.contains(&place);
        self.connections[place] = self.open(place)?;
        run.outcome.reconnects += 1;
        if !was_idle {
            run.idle.push(place);
        }
        Ok(())
    }
}

impl Connection {
    /// Takes what was read; whether the answer is whole now.
    fn take(&mut self, read: &[u8]) -> Result<bool, &'static str> {
        let gathered;
        let mut bytes = read;
        if self.left.is_none() {
            if !self.input.is_empty() {
                self.input.extend_from_slice(bytes);
                gathered = std::mem::take(&mut self.input);
                bytes = &gathered;
            }
            let Some(head) = Head::read(bytes) else {
                self.input = bytes.to_vec();
                return Ok(false);
            };
            self.status = head.status().ok_or("the answer has no status")?;
            let Framing::Length(length) = head.framing else { return Err("the answer has no Content-Length") };
            self.closes = head.closes;
            (self.length, self.left) = (length, Some(length));
            bytes = &bytes[head.length..];
        }
        let left = self.left.unwrap_or_default();
        let left = left.checked_sub(bytes.len() as u64).ok_or("more came than the answer's length")?;
        self.left = Some(left);
        Ok(left == 0)
    }
}

fn connect(address: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream> {
    let open = || -> io::Result<TcpStream> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect(&address.into())?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket.into())
    };
    open().with_context(|| format!("cannot connect to {address}"))
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
