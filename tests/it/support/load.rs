//! Clients that ask again and again, while a test does something to what they ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::eventually;

/// Long enough for some hundred exchanges on a machine that is busy with other tests.
const LONG: Duration = Duration::from_secs(60);

/// The clients. A test that fails ends them.
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    exchanged: Arc<AtomicUsize>,
    clients: JoinSet<()>,
}

impl Load {
    /// So many clients, each with one exchange after the other; `exchange` is given the client's number and the exchange's,
    /// and panics where the answer is not what it must be.
    pub(crate) fn start<F>(clients: usize, exchange: impl Fn(usize, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let (is_over, exchanged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let exchange = Arc::new(exchange);
        let clients = (0..clients).map(|client| {
            let (is_over, exchanged, exchange) = (is_over.clone(), exchanged.clone(), exchange.clone());
            async move {
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    exchange(client, number).await;
                    exchanged.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let clients = clients.collect();
        Self { is_over, exchanged, clients }
    }

    /// Waits until that many more exchanges are done.
    pub(crate) async fn more(&mut self, exchanges: usize) {
        let before = self.exchanged.load(Ordering::Relaxed);
        eventually("exchanges", LONG, async || {
            while let Some(ended) = self.clients.try_join_next() {
                ended.unwrap();
            }
            (self.exchanged.load(Ordering::Relaxed) >= before + exchanges).then_some(())
        })
        .await;
    }

    /// Lets each client finish what it does.
    pub(crate) async fn stop(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
    }
}
