//! Answers reach the client as the service sends them: nothing of one waits for the rest. The service of these tests sends its
//! next piece only once the client has the one before.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::wire::Wire;
use crate::support::{Gateway, ports, public_service};

/// A service that answers each request with what it is given, piece by piece.
struct Pieces {
    url: String,
    next: mpsc::UnboundedSender<Vec<u8>>,
}

impl Pieces {
    fn start() -> Self {
        let listener = ports::listener();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (next, pieces) = mpsc::unbounded_channel();
        tokio::spawn(serve(TcpListener::from_std(listener).unwrap(), pieces));
        Self { url, next }
    }

    fn send(&self, piece: impl Into<Vec<u8>>) {
        self.next.send(piece.into()).unwrap();
    }
}

async fn serve(listener: TcpListener, mut pieces: mpsc::UnboundedReceiver<Vec<u8>>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    read_head(&mut stream).await;
    while let Some(piece) = pieces.recv().await {
        stream.write_all(&piece).await.unwrap();
    }
}

async fn read_head(stream: &mut TcpStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "furt closed");
    }
}

async fn asked() -> (Gateway, Pieces, Wire) {
    let (gateway, service) = (Gateway::start("").await, Pieces::start());
    gateway.registered(&public_service("service", &service.url, "/s")).await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("GET /s HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    (gateway, service, wire)
}

#[tokio::test]
async fn a_header_with_a_length_is_sent_before_its_body_and_each_small_part_at_once() {
    let (_gateway, service, mut wire) = asked().await;
    service.send("HTTP/1.1 200 OK\r\nContent-Length: 503\r\n\r\n");
    let head = wire.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("503"), "{head}");
    for number in 0..5 {
        let part = format!("{number}{}", "y".repeat(99));
        service.send(part.as_str());
        assert_eq!(wire.read_until(&part).await, part);
    }
    service.send("END");
    assert_eq!(wire.read_until("END").await, "END");
}

#[tokio::test]
async fn parts_on_both_sides_of_what_is_buffered_arrive_in_order() {
    let (_gateway, service, mut wire) = asked().await;
    let sizes = [1, 4095, 4096, 4097, 3, 70_000, 2, 300_000, 1];
    service.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sizes.iter().sum::<usize>() + sizes.len()));
    wire.read_until("\r\n\r\n").await;
    for (number, size) in sizes.into_iter().enumerate() {
        let part = format!("{}|", char::from(b'a' + number as u8).to_string().repeat(size));
        service.send(part.as_str());
        assert!(wire.read_until("|").await == part, "part {number}, of {size} bytes");
    }
}

#[tokio::test]
async fn chunks_and_what_has_no_end_but_the_connections_are_sent_at_once() {
    for framing in ["Transfer-Encoding: chunked\r\n", "Connection: close\r\n"] {
        let (_gateway, service, mut wire) = asked().await;
        let is_chunked = framing.starts_with('T');
        service.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n"));
        wire.read_until("\r\n\r\n").await;
        for part in ["one", "two", "three"] {
            service.send(if is_chunked { format!("{:x}\r\n{part}\r\n", part.len()) } else { part.to_owned() });
            wire.read_until(part).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_late_gets_every_byte() {
    let (_gateway, service, mut wire) = asked().await;
    let body = "0123456789".repeat(500_000);
    service.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (_, read) = wire.read_response().await;
    assert!(read == body, "{} of {} bytes", read.len(), body.len());
}
