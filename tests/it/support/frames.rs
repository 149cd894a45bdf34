//! A service that speaks HTTP/2 frame by frame: for what no server library would send, such as a GOAWAY that leaves a stream out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::ports;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// RFC 9113 §7.
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A whole request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// How many whole requests came before it, on all connections.
    pub(crate) number: usize,
    /// Its stream.
    pub(crate) stream: u32,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// What the service does next.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Sends these frames.
    Send(Vec<u8>),
    /// Does nothing for a while.
    Wait(Duration),
    /// Closes the connection.
    Close,
}

type Answer = dyn Fn(&Asked) -> Vec<Act> + Send + Sync;

/// What a service is like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nature {
    /// Streams at once on a connection; others are refused.
    pub(crate) most_streams: Option<usize>,
    /// How long after a connection was made anything is sent or read.
    pub(crate) late: Duration,
}

/// The service.
pub(crate) struct Framed {
    address: SocketAddr,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicUsize,
    refused: AtomicUsize,
    connections: AtomicUsize,
}

impl Framed {
    /// Answers each whole request with what `answer` says.
    pub(crate) fn start(nature: Nature, answer: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = ports::listener();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let (address, counts) = (listener.local_addr().unwrap(), Arc::<Counts>::default());
        let (counter, answer): (_, Arc<Answer>) = (counts.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, nature, answer.clone(), counter.clone()));
            }
        });
        Self { address, counts, task }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many whole requests came; those of which a stream too many carried are none.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// How many streams were too many.
    pub(crate) fn refused(&self) -> usize {
        self.counts.refused.load(Ordering::SeqCst)
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Framed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header section, each field as a literal that no table remembers.
pub(crate) fn headers(stream: u32, fields: &[(&str, &str)], is_last: bool) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS | if is_last { END_STREAM } else { 0 }, stream, &block)
}

pub(crate) fn data(stream: u32, bytes: &[u8], is_last: bool) -> Vec<u8> {
    frame(DATA, if is_last { END_STREAM } else { 0 }, stream, bytes)
}

pub(crate) fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &reason.to_be_bytes())
}

pub(crate) fn goaway(last: u32, reason: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat())
}

/// 200 with this body.
pub(crate) fn ok(stream: u32, body: &str) -> Vec<u8> {
    let length = body.len().to_string();
    [headers(stream, &[(":status", "200"), ("content-length", &length)], false), data(stream, body.as_bytes(), true)]
        .concat()
}

async fn serve(stream: TcpStream, nature: Nature, answer: Arc<Answer>, counts: Arc<Counts>) {
    let _ = stream.set_nodelay(true);
    tokio::time::sleep(nature.late).await;
    let (reader, writer) = stream.into_split();
    let writer = Arc::new(tokio::sync::Mutex::new(writer));
    _ = read(reader, &writer, nature, &answer, &counts).await;
}

/// Reads until the gateway closes, or what it sends cannot be answered any more.
async fn read(
    mut reader: OwnedReadHalf,
    writer: &Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    nature: Nature,
    answer: &Arc<Answer>,
    counts: &Arc<Counts>,
) -> std::io::Result<()> {
    let mut preface = [0; 24];
    reader.read_exact(&mut preface).await?;
    let most = u32::try_from(nature.most_streams.unwrap_or(100)).unwrap();
    let settings = frame(SETTINGS, 0, 0, &[&[0, 3][..], &most.to_be_bytes()].concat());
    writer.lock().await.write_all(&settings).await?;
    let bodies: Arc<Mutex<BTreeMap<u32, Vec<u8>>>> = Arc::default();
    loop {
        let mut head = [0; 9];
        reader.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        reader.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let reply = match kind {
            SETTINGS if flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(PING, ACK, 0, &payload),
            HEADERS if nature.most_streams.is_some_and(|most| bodies.lock().unwrap().len() >= most) => {
                counts.refused.fetch_add(1, Ordering::SeqCst);
                reset(stream, REFUSED_STREAM)
            }
            HEADERS => {
                bodies.lock().unwrap().insert(stream, Vec::new());
                Vec::new()
            }
            DATA if !payload.is_empty() => {
                if let Some(body) = bodies.lock().unwrap().get_mut(&stream) {
                    body.extend_from_slice(&payload);
                }
                let more = u32::try_from(payload.len()).unwrap().to_be_bytes();
                let for_stream = if flags & END_STREAM == 0 { frame(WINDOW_UPDATE, 0, stream, &more) } else { vec![] };
                [frame(WINDOW_UPDATE, 0, 0, &more), for_stream].concat()
            }
            _ => Vec::new(),
        };
        writer.lock().await.write_all(&reply).await?;
        let body = bodies.lock().unwrap().get(&stream).cloned();
        if let Some(body) = body.filter(|_| matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0) {
            let asked = Asked { number: counts.requests.fetch_add(1, Ordering::SeqCst), stream, body };
            let (writer, answer, bodies) = (writer.clone(), answer.clone(), bodies.clone());
            tokio::spawn(async move {
                let acts = answer(&asked);
                let last = acts.iter().rposition(|act| matches!(act, Act::Send(_)));
                for (at, act) in acts.into_iter().enumerate() {
                    match act {
                        Act::Wait(time) => tokio::time::sleep(time).await,
                        Act::Send(frames) => {
                            // Before the gateway can know that the stream has ended.
                            if last == Some(at) {
                                bodies.lock().unwrap().remove(&stream);
                            }
                            _ = writer.lock().await.write_all(&frames).await;
                        }
                        Act::Close => _ = writer.lock().await.shutdown().await,
                    }
                }
            });
        }
    }
}
