//! The driver under TLS: as many clients as there are connections or streams, on one thread, at the paces of `driver`. Each
//! connects for every request and leaves, or all share a few connections by HTTP/2.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use rustls::pki_types::CertificateDer;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::driver::PATIENCE;
use super::h2::Connection;
use super::pace::{Outcome, Pace, Requests, Run, Until};
use super::timer::Timer;
use super::tls::{Caller, Habit};
use super::workload::SMALL_TARGET;

/// Requests that are in flight on one connection of HTTP/2.
const STREAMS: usize = 8;

/// Clients of one gateway.
pub(super) struct Secure {
    runtime: Runtime,
    habit: Habit,
    /// One for each client that connects by itself: each has its own ticket.
    callers: Vec<Caller>,
    /// Those of HTTP/2.
    connections: RefCell<Vec<Connection>>,
    /// Whoever holds it is the next to send.
    timer: Mutex<Timer>,
}

impl Secure {
    /// So many clients, with the tickets or the connections that they need.
    ///
    /// # Errors
    /// The gateway does not let them in.
    pub(super) fn connect(
        address: SocketAddr,
        habit: Habit,
        trusted: &CertificateDer<'static>,
        clients: usize,
        request: &Requests,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let callers = (0..clients).map(|_| Caller::new(address, habit, trusted)).collect::<Result<Vec<_>>>()?;
        let connections = runtime.block_on(async {
            match habit {
                Habit::Once => Ok(Vec::new()),
                Habit::Again => {
                    for caller in &callers {
                        caller.first(&request.all[0], request.answer_length).await?;
                    }
                    Ok(Vec::new())
                }
                Habit::H2 => try_join_all(callers.iter().step_by(STREAMS).map(|one| Connection::open(one, None))).await,
            }
        });
        let timer = {
            let _inside = runtime.enter();
            Timer::new()?
        };
        let connections = RefCell::new(connections?);
        Ok(Self { runtime, habit, callers, connections, timer: Mutex::new(timer) })
    }

    /// Sends requests and waits for all their answers.
    ///
    /// # Errors
    /// One is not answered for [`PATIENCE`], or nobody is let in any more.
    pub(super) fn drive(&mut self, requests: &Requests, pace: Pace, until: Until) -> Result<Outcome> {
        let run = RefCell::new(Run::new(requests, pace, until, 0));
        self.runtime.block_on(try_join_all((0..self.callers.len()).map(|client| self.ask(client, &run))))?;
        let mut run = run.into_inner();
        run.outcome.elapsed = run.began.elapsed();
        run.outcome.latencies.sort_unstable();
        Ok(run.outcome)
    }

    /// What one client does until the run is over.
    async fn ask(&self, client: usize, run: &RefCell<Run<'_>>) -> Result<()> {
        while let Some(due) = self.next(run).await? {
            let requests = run.borrow().requests;
            let exchange = timeout(PATIENCE, self.exchange(client, requests)).await;
            let Ok(exchange) = exchange else { bail!("a request is not answered for {} s", PATIENCE.as_secs()) };
            if exchange.is_err() && self.habit == Habit::H2 {
                self.reopen(client, run).await?;
            }
            let mut run = run.borrow_mut();
            match exchange {
                Ok(()) => run.outcome.answered += 1,
                Err(why) => run.outcome.fail(|| format!("{why:#}")),
            }
            if matches!(run.pace, Pace::Open(_)) {
                run.outcome.latencies.push(due.elapsed());
            }
        }
        Ok(())
    }

    /// When the request was due that is to be sent now; `None`: the run is over.
    async fn next(&self, run: &RefCell<Run<'_>>) -> Result<Option<Instant>> {
        let timer = self.timer.lock().await;
        loop {
            let now = Instant::now();
            let due = {
                let mut run = run.borrow_mut();
                if run.is_over(now) {
                    return Ok(None);
                }
                if let Some(due) = run.due(now) {
                    run.sent += 1;
                    return Ok(Some(due));
                }
                run.next_due()
            };
            timer.until(due.unwrap_or(now + Duration::from_millis(1))).await?;
        }
    }

    async fn exchange(&self, client: usize, requests: &Requests) -> Result<()> {
        match self.habit {
            Habit::Once | Habit::Again => self.callers[client].once(&requests.all[0], requests.answer_length).await,
            Habit::H2 => {
                let sender = self.connections.borrow()[client / STREAMS].sender();
                sender.ask(SMALL_TARGET, requests.answer_length).await
            }
        }
    }

    /// A connection that broke is opened anew by the first of its clients that sees it.
    async fn reopen(&self, client: usize, run: &RefCell<Run<'_>>) -> Result<()> {
        let place = client / STREAMS;
        if self.connections.borrow()[place].work.is_finished() {
            let connection = Connection::open(&self.callers[client], None).await.context("after a connection broke")?;
            self.connections.borrow_mut()[place] = connection;
            run.borrow_mut().outcome.reconnects += 1;
        }
        Ok(())
    }
}
