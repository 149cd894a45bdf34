//! The target `amqp_frames`: what a broker may say by AMQP 0-9-1, and what publishers have it deliver.
//!
//! An input is a byte for how far the conversation is when it begins (see [`greeting`]; from 128 on the node leaves at the end), four
//! bytes for how the stream is cut, and what happens then: a byte for its kind (see [`Input::next`]) with its fields. Frames have no
//! lengths and ends in it, but for those that are only bytes.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use furt_bus::conversation::{Ending, content, contents, converse};
use furt_bus::{
    AmqpBus, Bus as _, Delivery, Event, LARGEST_BODY, LARGEST_HEADERS, MOST_HEADERS, Options, Outgoing, Password,
    Properties, SharedQueue, Topology, Value,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Builder;

/// Beyond them an input is only slower, not different.
const MOST_PARTS: usize = 256;
/// A header of 16 MiB, of which a buffer may have twice as much, and the largest message of each of six channels likewise.
const MOST_KEPT: usize = 2 * ((16 << 20) + (16 << 10)) + 6 * 2 * (LARGEST_BODY + LARGEST_HEADERS + (4 << 10));
const OWN_QUEUE: u16 = 2;
const LOG: u16 = 5;

/// What happens after another.
#[derive(Debug, Clone)]
enum Part {
    /// The broker says this.
    Said(Vec<u8>),
    Wait(Duration),
    Publish(Box<Outgoing>),
    /// A delivery that was taken, by its number.
    Ack(usize),
    Bind(String),
    Unbind(String),
    Read(u64),
    Stop,
    /// The node takes all events that there are.
    Take,
}

/// All that a conversation led to.
#[derive(Debug, PartialEq)]
struct Told {
    events: Vec<Event>,
    said: Vec<u8>,
    ending: Ending,
}

/// Asserts that the node is the same for every cut of what it hears, keeps no more than its bounds, says whole frames, and reads
/// what it writes.
pub fn amqp_frames(data: &[u8]) {
    let mut input = Input(data);
    let (begin, seed) = (input.byte(), input.number(4));
    let mut parts = greeting(begin % 128 % 4);
    parts.extend(std::iter::from_fn(|| input.next()).take(MOST_PARTS));
    let leaves = begin >= 128;
    let whole = talk(&parts, u64::MAX, leaves);
    let cut = talk(&parts, seed, leaves);
    // How much of a buffer is used depends on the pieces.
    assert!(whole.events == cut.events && whole.ending.why == cut.ending.why, "{:?}\n{:?}", whole.events, cut.events);
    assert!(whole.said == cut.said, "another answer to the same words");
    for told in [&whole, &cut] {
        assert!(told.ending.kept_bytes <= MOST_KEPT, "{} bytes are kept", told.ending.kept_bytes);
    }
    check_events(&whole, leaves);
    check_said(&whole, &parts);
    check_deliveries(&whole.events);
}

fn check_events(told: &Told, leaves: bool) {
    let is_line = |text: &str| !text.contains(char::is_control);
    assert!(told.ending.why.as_deref().is_none_or(is_line), "{:?}", told.ending.why);
    let mut outcomes = Vec::new();
    for event in &told.events {
        match event {
            Event::Published { ticket, .. } => outcomes.push(*ticket),
            Event::Delivered(delivery) => check_bounds(delivery),
            Event::Logged(entry) => entry.message.iter().for_each(check_bounds),
            Event::Discarded { queue, count, .. } => assert!(*count > 0 && ["q", "s"].contains(&&**queue), "{queue:?}"),
            Event::Shared { queue, result } => {
                assert!(queue == "s" && result.as_ref().err().is_none_or(|it| is_line(it)))
            }
            Event::Log { log, result } => assert!(log == "l" && result.as_ref().err().is_none_or(|it| is_line(it))),
            Event::ReadingEnded { log, why } => assert!(log == "l" && is_line(&why.to_string()), "{why}"),
            Event::Down(trouble) => panic!("nobody connects again: {trouble}"),
            Event::Bound { result, .. } => assert!(result.as_ref().err().is_none_or(|it| is_line(it))),
            Event::Up => {}
        }
    }
    let count = outcomes.len();
    outcomes.sort_unstable();
    outcomes.dedup();
    assert_eq!(outcomes.len(), count, "a message has one outcome");
    let sent = contents(&told.said).unwrap_or_else(|why| panic!("{why}")).len();
    assert!(leaves || count >= sent, "{sent} were sent, and {count} have an outcome");
}

fn check_bounds(delivery: &Delivery) {
    let Delivery { queue, properties, body, .. } = delivery;
    assert!(["q", "s", "l"].contains(&&**queue), "{queue:?}");
    assert!(body.len() <= LARGEST_BODY && properties.headers.len() <= MOST_HEADERS + 4);
    let of_header = |(name, value): (&String, &Value)| match value {
        Value::Text(text) => name.len() + text.len(),
        Value::Bytes(bytes) => name.len() + bytes.len(),
        Value::Integer(_) | Value::Boolean(_) | Value::Other => name.len(),
    };
    let bytes: usize = properties.headers.iter().map(of_header).sum();
    assert!(bytes <= LARGEST_HEADERS + (4 << 10), "{bytes} bytes of headers");
}

/// What was sent is read as it was given, in its order.
fn check_said(told: &Told, parts: &[Part]) {
    let sent = contents(&told.said).unwrap_or_else(|why| panic!("{why}"));
    let mut given = parts.iter().filter_map(|part| match part {
        Part::Publish(message) => Some(&**message),
        _ => None,
    });
    for (properties, body) in &sent {
        // Those before may have been refused: there was no connection yet.
        assert!(given.any(|one| one.properties == *properties && one.body == *body), "{properties:?} was not given");
    }
}

/// What was delivered is delivered alike when it is written anew.
fn check_deliveries(events: &[Event]) {
    let mut parts = greeting(2);
    let mut expected = Vec::new();
    let deliveries = events.iter().filter_map(|event| match event {
        Event::Delivered(delivery) => Some(&**delivery),
        Event::Logged(entry) => entry.message.as_ref().ok(),
        _ => None,
    });
    for Delivery { key, properties, body, .. } in deliveries.take(8) {
        let (key, properties, body) = (key.clone(), properties.clone(), body.clone());
        let message = Outgoing { key, is_mandatory: false, properties, body };
        // Others may send what furt does not.
        if message.check().is_ok() {
            parts.push(Part::Said(delivery(&message)));
            expected.push((message.key, message.properties, message.body));
        }
    }
    // What nobody took would be gone with the connection.
    parts.push(Part::Take);
    let told = talk(&parts, u64::MAX, false);
    let came = told.events.into_iter().filter_map(|event| match event {
        Event::Delivered(it) => Some((it.key, it.properties, it.body)),
        _ => None,
    });
    assert_eq!(came.collect::<Vec<_>>(), expected);
}

fn delivery(message: &Outgoing) -> Vec<u8> {
    let mut arguments = vec![1, b'q', 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b'e'];
    arguments.push(u8::try_from(message.key.len()).unwrap_or_else(|_| panic!("a key that was read is short")));
    arguments.extend(message.key.as_bytes());
    let mut bytes = method(OWN_QUEUE, 60, 60, &arguments);
    bytes.extend(content(OWN_QUEUE, &message.properties, &message.body));
    bytes
}

fn options() -> Options {
    let shared = vec![SharedQueue { name: "s".to_owned(), bindings: Vec::new() }];
    let (exchange, queue) = ("e".to_owned(), "q".to_owned());
    Options {
        url: "amqp://furt@localhost".parse().unwrap_or_else(|error| panic!("{error}")),
        password: Password::text("secret"),
        ca: None,
        identity: None,
        name: "node".to_owned(),
        heartbeat: Duration::from_secs(10),
        topology: Topology { exchange, queue, bindings: vec!["b".to_owned()], shared, logs: vec!["l".to_owned()] },
    }
}

/// What the broker says to a node that it lets in. 0: nothing yet; 1: until everything is declared; 2: consumers are answered; 3: the
/// log is there.
fn greeting(how_far: u8) -> Vec<Part> {
    /// As the answers to declarations give it.
    const NAMED: [u8; 10] = [1, b'q', 0, 0, 0, 0, 0, 0, 0, 0];
    let declared: [(u16, u16, u16, &[u8]); 15] = [
        (0, 10, 10, b"\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US"),
        (0, 10, 30, &[0, 0, 0, 2, 0, 0, 0, 10]),
        (0, 10, 41, &[0]),
        (1, 20, 11, &[0; 4]),
        (2, 20, 11, &[0; 4]),
        (3, 20, 11, &[0; 4]),
        (1, 40, 11, &[]),
        (1, 50, 11, &NAMED),
        (1, 50, 21, &[]),
        (1, 50, 11, &NAMED),
        (3, 85, 11, &[]),
        (2, 60, 11, &[]),
        (4, 20, 11, &[0; 4]),
        (4, 60, 11, &[]),
        (0, 10, 61, &[]),
    ];
    let consumed: [(u16, u16, u16, &[u8]); 2] = [(2, 60, 21, &[1, b'q']), (4, 60, 21, &[1, b's'])];
    let logged: [(u16, u16, u16, &[u8]); 5] =
        [(LOG, 20, 11, &[0; 4]), (LOG, 50, 11, &NAMED), (LOG, 50, 11, &NAMED), (LOG, 50, 21, &[]), (LOG, 60, 11, &[])];
    let parts = [&declared[..], &consumed, &logged].into_iter().take(how_far.into());
    let frames =
        parts.flatten().flat_map(|(channel, class, number, arguments)| method(*channel, *class, *number, arguments));
    vec![Part::Said(frames.collect())]
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&[kind][..], &channel.to_be_bytes(), &length.to_be_bytes(), payload, &[0xce]].concat()
}

fn method(channel: u16, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes()[..], &number.to_be_bytes(), arguments].concat())
}

/// Takes from the front; zeros where nothing is left.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.number(1).to_be_bytes()[7]
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.bytes(bytes).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// With its length before it.
    fn long(&mut self) -> &'a [u8] {
        let count = self.number(2);
        self.bytes(usize::try_from(count).unwrap_or_default())
    }

    fn text(&mut self) -> String {
        let count = self.byte();
        String::from_utf8_lossy(self.bytes(count.into())).into_owned()
    }

    /// Bytes as they are, or four times as many as their length says, all alike.
    fn body(&mut self) -> Vec<u8> {
        match self.number(2) {
            count @ 0x8000.. => vec![self.byte(); usize::try_from(count & 0x7fff).unwrap_or_default() * 4],
            count => self.bytes(usize::try_from(count).unwrap_or_default()).to_vec(),
        }
    }

    fn next(&mut self) -> Option<Part> {
        if self.0.is_empty() {
            return None;
        }
        let kind = self.byte();
        let channel = if kind < 4 && kind > 0 { u16::from(self.byte()) } else { 0 };
        Some(match kind {
            0 => Part::Said(self.long().to_vec()),
            1 => {
                let (class, number) = (self.byte(), self.byte());
                Part::Said(method(channel, class.into(), number.into(), self.long()))
            }
            2 => {
                let size = self.number(4).to_be_bytes();
                Part::Said(frame(2, channel, &[&[0, 60, 0, 0][..], &size, self.long()].concat()))
            }
            3 => Part::Said(frame(3, channel, &self.body())),
            4 => Part::Said(frame(8, 0, &[])),
            5 => Part::Wait(Duration::from_millis(self.number(2))),
            6 => Part::Publish(Box::new(self.message())),
            7 => Part::Ack(self.byte().into()),
            8 => Part::Bind(self.text()),
            9 => Part::Unbind(self.text()),
            10 => Part::Read(self.byte().into()),
            11 => Part::Stop,
            _ => Part::Take,
        })
    }

    fn message(&mut self) -> Outgoing {
        let flags = self.byte();
        let has = |bit: u8| flags & 1 << bit != 0;
        let mut properties = Properties { is_persistent: has(0), ..Properties::default() };
        properties.content_type = has(1).then(|| self.text());
        properties.kind = has(2).then(|| self.text());
        properties.priority = has(3).then(|| self.byte());
        properties.expires = has(4).then(|| Duration::from_millis(self.number(5)));
        properties.timestamp = has(5).then(|| self.number(8));
        let headers = if has(6) { self.byte() } else { 0 };
        for _ in 0..headers {
            let name = self.text();
            let value = match self.byte() % 5 {
                0 => Value::Text(self.text()),
                1 => Value::Bytes(self.body()),
                2 => Value::Integer(i64::from_be_bytes(self.number(8).to_be_bytes())),
                3 => Value::Boolean(self.byte() & 1 != 0),
                _ => Value::Other,
            };
            properties.headers.insert(name, value);
        }
        Outgoing { key: self.text(), is_mandatory: has(7), properties, body: self.body() }
    }
}

/// One side of a stream: what the broker said and the node has not read yet, and what the node said.
#[derive(Default)]
struct Wire {
    coming: Vec<u8>,
    read: usize,
    is_over: bool,
    reader: Option<Waker>,
    said: Vec<u8>,
    cuts: u64,
}

impl Wire {
    /// How many bytes come at once.
    fn piece(&mut self) -> usize {
        if self.cuts == u64::MAX {
            return usize::MAX;
        }
        // Knuth's generator for MMIX.
        self.cuts = self.cuts.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [first, second, ..] = self.cuts.to_be_bytes();
        if first < 64 { usize::from(second) * 16 + 1 } else { usize::from(second % 12) + 1 }
    }
}

#[derive(Clone, Default)]
struct Line(Arc<Mutex<Wire>>);

impl Line {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, bytes: &[u8]) {
        let mut wire = self.wire();
        wire.coming.extend(bytes);
        wire.is_over |= bytes.is_empty();
        wire.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        let left = wire.coming.len() - wire.read;
        if left == 0 && !wire.is_over {
            wire.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = wire.piece().min(left).min(into.remaining());
        into.put_slice(&wire.coming[wire.read..wire.read + count]);
        wire.read += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wire().said.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Has all of it happen. Its clock stands still while the node works, and jumps where all wait: a moment later the node has dealt with
/// what was said before, however it was cut.
fn talk(parts: &[Part], cuts: u64, leaves: bool) -> Told {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap_or_else(|error| panic!("{error}")).block_on(async {
        let line = Line::default();
        line.wire().cuts = cuts;
        let (bus, life) = converse(options(), line.clone());
        let life = tokio::spawn(life);
        let mut node = Node { bus, events: Vec::new() };
        for part in parts {
            node.take_part(part, &line);
            let pause = if let Part::Wait(pause) = part { *pause } else { Duration::ZERO };
            tokio::time::sleep(pause + Duration::from_millis(1)).await;
        }
        let events = if leaves {
            node.take();
            // One that is not let in yet leaves with its connection.
            let _ = tokio::time::timeout(Duration::from_secs(10), node.bus.close()).await;
            line.say(&[]);
            node.events
        } else {
            line.say(&[]);
            tokio::time::sleep(Duration::from_millis(1)).await;
            node.take();
            node.events
        };
        let ending = life.await.unwrap_or_else(|error| panic!("{error}"));
        let said = std::mem::take(&mut line.wire().said);
        Told { events, said, ending }
    })
}

struct Node {
    bus: AmqpBus,
    events: Vec<Event>,
}

impl Node {
    fn take_part(&mut self, part: &Part, line: &Line) {
        match part {
            // No bytes would be the end.
            Part::Said(bytes) if bytes.is_empty() => {}
            Part::Said(bytes) => line.say(bytes),
            Part::Wait(_) => {}
            Part::Publish(message) => drop(self.bus.publish((**message).clone())),
            Part::Ack(number) => {
                let mut receipts = self.events.iter().filter_map(|event| match event {
                    Event::Delivered(delivery) => Some(delivery.receipt),
                    _ => None,
                });
                receipts.nth(*number).into_iter().for_each(|receipt| self.bus.ack(receipt));
            }
            Part::Bind(key) => self.bus.bind(key),
            Part::Unbind(key) => self.bus.unbind(key),
            Part::Read(from) => self.bus.read_log("l", *from),
            Part::Stop => self.bus.stop_log("l"),
            Part::Take => self.take(),
        }
    }

    fn take(&mut self) {
        while let Poll::Ready(event) = pin!(self.bus.event()).poll(&mut Context::from_waker(Waker::noop())) {
            self.events.push(event);
        }
    }
}
