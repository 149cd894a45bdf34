//! PROXY headers: what is one, whose it is, and that it is read to its last byte and no further.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [BEGIN_V2, &[command, family], &length, rest].concat()
}

/// Addresses of TCP over IPv4, as version 2 has them.
const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xbb];

fn v6() -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    [&address("2001:db8::1")[..], &address("2001:db8::2"), &[0x30, 0x39, 0x01, 0xbb]].concat()
}

/// A field behind the addresses.
fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

fn client(address: &str, reached: &str) -> Option<ProxiedClient> {
    Some(ProxiedClient { address: address.parse().unwrap(), reached: reached.parse().unwrap() })
}

/// Whole headers, and for whom each is.
fn headers() -> Vec<(Vec<u8>, Option<ProxiedClient>)> {
    let of_v4 = client("192.0.2.1:12345", "198.51.100.2:443");
    let of_v6 = client("[2001:db8::1]:12345", "[2001:db8::2]:443");
    let mut summed = v2(0x21, 0x11, &[&V4[..], &field(1, b"h2"), &field(CHECKSUM, &[0; 4]), &field(4, b"")].concat());
    let at = summed.len() - 7;
    let sum = checksum(&summed[..at], &summed[at + 4..]);
    summed[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    let longest = vec![0; MAX_V2 - FIXED_V2 - 12 - 3];
    let unknown = [&b"PROXY UNKNOWN "[..], &[b'f'; 91], b"\r\n"].concat();
    vec![
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n".to_vec(), of_v4),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 12345 443\r\n".to_vec(), of_v6),
        (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n".to_vec(), client("0.0.0.0:0", "255.255.255.255:65535")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN \xff 1 2\n3 4\r\n".to_vec(), None),
        (unknown, None),
        (v2(0x21, 0x11, &V4), of_v4),
        (v2(0x21, 0x21, &v6()), of_v6),
        (v2(0x21, 0x11, &[&V4[..], &field(0xea, b"\x01vpce-0123")].concat()), of_v4),
        (v2(0x21, 0x11, &[&V4[..], &field(4, &longest)].concat()), of_v4),
        (v2(0x21, 0x12, &V4), None),
        (v2(0x21, 0x31, &[7; 216]), None),
        (v2(0x21, 0x00, &[]), None),
        (v2(0x21, 0x00, b"whatever"), None),
        (v2(0x20, 0x00, &[]), None),
        (v2(0x20, 0xff, b"whatever"), None),
        (v2(0x20, 0x11, &V4), None),
        (summed, of_v4),
    ]
}

#[test]
fn a_header_says_for_whom_the_peer_connects_and_ends_where_the_request_begins() {
    for (header, client) in headers() {
        let told = ProxyHeader { length: header.len(), client };
        for follows in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"\r\n", &header] {
            assert_eq!(ProxyHeader::parse(&[&header, follows].concat()), Ok(Some(told)), "{}", header.escape_ascii());
        }
        for length in 0..header.len() {
            assert_eq!(ProxyHeader::parse(&header[..length]), Ok(None), "{length} of {}", header.escape_ascii());
        }
    }
}

#[test]
fn what_is_not_exactly_a_header_is_refused() {
    let too_long = [&b"PROXY UNKNOWN "[..], &[b'f'; 92], b"\r\n"].concat();
    let mut texts: Vec<&[u8]> = vec![&too_long];
    texts.extend([
        &b"PROXY TCP4 192.0.2.1 198.51.100.2 12345\r\n"[..],
        b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443 1\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443 \r\n",
        b"PROXY TCP4 192.0.2.1  198.51.100.2 12345 443\r\n",
        b"PROXY TCP4 192.0.2.01 198.51.100.2 12345 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 0443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 +443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 65536\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\n\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 12345 443\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 12345 443\r\n",
        b"PROXY TCP6 fe80::1%eth0 2001:db8::2 12345 443\r\n",
        b"PROXY tcp4 192.0.2.1 198.51.100.2 12345 443\r\n",
        b"PROXY TCP5 192.0.2.1 198.51.100.2 12345 443\r\n",
        b"PROXY \r\n",
    ]);
    for text in texts {
        assert_eq!(ProxyHeader::parse(text), Err(NotAHeader::Text), "{}", text.escape_ascii());
    }
    for (bytes, why) in [
        (b"GET / HTTP/1.1\r\n".to_vec(), NotAHeader::Unknown),
        (b"proxy TCP4".to_vec(), NotAHeader::Unknown),
        (b"\r\n\r\n\0\r\nQUIX".to_vec(), NotAHeader::Unknown),
        (vec![0x16, 3, 1], NotAHeader::Unknown),
        (v2(0x11, 0x11, &V4), NotAHeader::Binary),
        (v2(0x22, 0x11, &V4), NotAHeader::Binary),
        (v2(0x21, 0x13, &V4), NotAHeader::Binary),
        (v2(0x21, 0x41, &V4), NotAHeader::Binary),
        (v2(0x21, 0x11, &V4[..11]), NotAHeader::Binary),
        (v2(0x21, 0x21, &V4), NotAHeader::Binary),
        (v2(0x21, 0x11, &[&V4[..], &[1]].concat()), NotAHeader::Binary),
        (v2(0x21, 0x11, &[&V4[..], &[1, 0, 2, 7]].concat()), NotAHeader::Binary),
        (v2(0x21, 0x11, &[&V4[..], &field(CHECKSUM, &[0; 3])].concat()), NotAHeader::Binary),
        (v2(0x21, 0x11, &[&V4[..], &field(CHECKSUM, &[0; 4])].concat()), NotAHeader::Checksum),
        (v2(0x21, 0x11, &[0; MAX_V2]), NotAHeader::TooLong),
    ] {
        assert_eq!(ProxyHeader::parse(&bytes), Err(why), "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_checksum_is_the_known_one() {
    // RFC 3720, B.4: 32 bytes of zeros, and of ones.
    assert_eq!(checksum(&[0; 28], &[]), 0x8a91_36aa);
    assert_eq!(checksum(b"", b""), 0x4867_4bc7);
}

#[tokio::test]
async fn a_header_is_read_in_whatever_pieces_it_comes_and_what_follows_stays() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for (header, client) in headers() {
        // A header of some thousand bytes is cut at few places: each cut costs two packets.
        for cut in (0..header.len()).step_by(1 + header.len() / 128) {
            let mut sender = TcpStream::connect(address).await.unwrap();
            sender.set_nodelay(true).unwrap();
            let (mut socket, _) = listener.accept().await.unwrap();
            let bytes = [&header[..], b"GET"].concat();
            let sending = async {
                sender.write_all(&bytes[..cut]).await.unwrap();
                tokio::task::yield_now().await;
                sender.write_all(&bytes[cut..]).await.unwrap();
            };
            let (read, ()) = tokio::join!(read(&mut socket), sending);
            assert_eq!(read.unwrap(), client, "{cut} of {}", header.escape_ascii());
            let mut rest = [0; 3];
            socket.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"GET");
        }
    }
    let sender = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    drop(sender);
    assert!(matches!(read(&mut socket).await, Err(Unread::Closed)));
}
