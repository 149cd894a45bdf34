//! Somebody who may publish at a broker, and sends what no client would: AMQP by hand.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What is sent with a message.
#[derive(Default)]
pub(crate) struct Strange {
    /// The routing key's bytes.
    pub(crate) key: Vec<u8>,
    /// The bytes of the table of headers, without their length.
    pub(crate) headers: Option<Vec<u8>>,
    /// The bytes of the content type.
    pub(crate) content_type: Option<Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

/// A header whose value is so many tables within tables.
pub(crate) fn nested_tables(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| [b"\x00F", &long(&inner)[..]].concat())
}

/// The same of arrays.
pub(crate) fn nested_arrays(depth: usize) -> Vec<u8> {
    let arrays = (0..depth).fold(Vec::new(), |inner, _| [b"A", &long(&inner)[..]].concat());
    [b"\x01a", &arrays[..]].concat()
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// A connection with one channel, as `guest`.
pub(crate) struct Stranger {
    socket: TcpStream,
    largest: usize,
}

impl Stranger {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut stranger = Self { socket: TcpStream::connect(address).await.unwrap(), largest: 4096 };
        stranger.socket.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        stranger.hear().await;
        let login = [&long(b"")[..], &short(b"PLAIN"), &long(b"\0guest\0guest"), &short(b"en_US")].concat();
        stranger.say(0, 10, 11, &login).await;
        let tune = stranger.hear().await;
        stranger.largest = u32::from_be_bytes(tune[6..10].try_into().unwrap()) as usize;
        // Without heartbeats.
        stranger.say(0, 10, 31, &[&tune[4..10], &[0, 0]].concat()).await;
        stranger.say(0, 10, 40, &[&short(b"/")[..], &[0, 0]].concat()).await;
        stranger.hear().await;
        stranger.say(1, 20, 10, &short(b"")).await;
        stranger.hear().await;
        stranger
    }

    /// A message with such a key, whose headers fill a frame to its last byte.
    pub(crate) fn full_frame(&self, key: &[u8]) -> Strange {
        // Of the frame; of class, weight and size; of the flags; of the table's length, a name, a type and a length.
        let room = self.largest - 8 - 12 - 2 - 4 - 2 - 1 - 4;
        let headers = [b"\x01ax", &long(&vec![7; room])[..]].concat();
        Strange { key: key.to_vec(), headers: Some(headers), ..Strange::default() }
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let bytes = [&[kind], &channel.to_be_bytes()[..], &long(payload), b"\xce"].concat();
        self.socket.write_all(&bytes).await.unwrap();
    }

    async fn say(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.frame(1, channel, &payload).await;
    }

    /// The payload of the next frame.
    async fn hear(&mut self) -> Vec<u8> {
        let mut head = [0; 7];
        self.socket.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes(head[3..].try_into().unwrap()) as usize;
        let mut payload = vec![0; length + 1];
        self.socket.read_exact(&mut payload).await.unwrap();
        payload
    }

    /// Sends it to an exchange.
    pub(crate) async fn publish(&mut self, exchange: &str, strange: &Strange) {
        let Strange { key, headers, content_type, body } = strange;
        let publish = [&[0, 0], &short(exchange.as_bytes())[..], &short(key), &[0]].concat();
        self.say(1, 60, 40, &publish).await;
        let flags = u16::from(content_type.is_some()) << 15 | u16::from(headers.is_some()) << 13;
        let mut header = [&60_u16.to_be_bytes()[..], &[0, 0], &(body.len() as u64).to_be_bytes()].concat();
        header.extend(flags.to_be_bytes());
        header.extend(content_type.as_deref().map(short).unwrap_or_default());
        header.extend(headers.as_deref().map(long).unwrap_or_default());
        self.frame(2, 1, &header).await;
        for part in body.chunks(self.largest - 8) {
            self.frame(3, 1, part).await;
        }
    }

    /// Waits until the broker has dealt with everything that was sent: it answers a request behind it.
    pub(crate) async fn is_heard(&mut self) {
        self.say(1, 60, 10, &[0; 7]).await;
        let answer = self.hear().await;
        assert_eq!(answer[..4], [0, 60, 0, 11], "{answer:?}");
    }
}
