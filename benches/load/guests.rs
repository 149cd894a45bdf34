//! Clients that stay and say nothing, plain or under TLS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::driver::Driver;
use super::h2::Connection;
use super::pace::{Pace, Requests, Until};
use super::peers::Running;
use super::tls::{Caller, Habit, ask};
use super::workload::{SMALL_TARGET, Workload};

/// Clients of one source address: fewer than it has ports.
const FROM_ONE_ADDRESS: usize = 20_000;

/// Those of one gateway.
pub(super) enum Guests {
    /// Plain HTTP/1.1.
    Plain(SocketAddr, Vec<TcpStream>),
    /// Under TLS, each with a task that ends with its connection.
    Secure { runtime: Runtime, caller: Caller, habit: Habit, stays: Vec<JoinHandle<()>> },
}

impl Guests {
    /// None yet.
    ///
    /// # Errors
    /// The gateway has no certificate where it needs one.
    pub(super) fn none(running: &Running, workload: Workload) -> Result<Self> {
        let Some(habit) = workload.habit() else { return Ok(Self::Plain(running.address, Vec::new())) };
        let trusted: &CertificateDer<'static> =
            running.certificate.as_ref().context("a gateway without a certificate")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self::Secure { runtime, caller: Caller::new(running.address, habit, trusted)?, habit, stays: Vec::new() })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(_, streams) => streams.len(),
            Self::Secure { stays, .. } => stays.len(),
        }
    }

    /// More of them come at once, and each asks once.
    ///
    /// # Errors
    /// One has no right answer.
    pub(super) fn come(&mut self, count: usize, requests: &Requests) -> Result<()> {
        let last = u8::try_from(1 + self.len() / FROM_ONE_ADDRESS).context("too many clients for 127.0.0.x")?;
        let source = (last > 1).then_some(Ipv4Addr::new(127, 0, 0, last));
        match self {
            Self::Plain(address, streams) => {
                let mut driver = Driver::connect(*address, source.map(IpAddr::V4), count)?;
                let outcome = driver.drive(requests, Pace::Closed, Until::Sent(count as u64))?;
                let why = outcome.first_failure.unwrap_or_default();
                ensure!(outcome.answered == count as u64, "of {count} clients {} had no answer: {why}", outcome.failed);
                streams.extend(driver.into_streams());
            }
            Self::Secure { runtime, caller, habit, stays } => {
                let one = || stay(caller, *habit, source, requests);
                stays.extend(runtime.block_on(try_join_all((0..count).map(|_| one())))?);
            }
        }
        Ok(())
    }

    /// Some time passes for them.
    pub(super) fn rest(&self, time: Duration) {
        match self {
            Self::Plain(..) => thread::sleep(time),
            Self::Secure { runtime, .. } => runtime.block_on(async { tokio::time::sleep(time).await }),
        }
    }

    /// Whether all are still there.
    ///
    /// # Errors
    /// One was disconnected.
    pub(super) fn are_there(&self) -> Result<()> {
        let is_open = |stream: &TcpStream| matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        let all = match self {
            Self::Plain(_, streams) => streams.iter().all(is_open),
            Self::Secure { stays, .. } => !stays.iter().any(JoinHandle::is_finished),
        };
        ensure!(all, "a client was disconnected");
        Ok(())
    }
}

/// One comes, asks and stays.
async fn stay(caller: &Caller, habit: Habit, source: Option<Ipv4Addr>, requests: &Requests) -> Result<JoinHandle<()>> {
    if habit == Habit::H2 {
        let connection = Connection::open(caller, source).await?;
        connection.sender().ask(SMALL_TARGET, requests.answer_length).await?;
        // The connection lasts as long as somebody could send on it.
        return Ok(tokio::spawn(async move {
            let mut connection = connection;
            drop((&mut connection.work).await);
        }));
    }
    let mut stream = caller.connect(source).await?;
    ask(&mut stream, &requests.all[0], requests.answer_length).await?;
    Ok(tokio::spawn(async move { drop(stream.read_u8().await) }))
}
