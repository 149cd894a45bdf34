//! The header of the PROXY protocol, versions 1 and 2, by which a balancer says for whom it connects
//! (haproxy.org/download/3.2/doc/proxy-protocol.txt): read from bytes, and from a socket without a byte of what follows.
//!
//! Read where the operator says that peers send it, and never guessed. What is not exactly such a header is refused: what follows it
//! would be taken for the client's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The longest header of version 1, with its line's end.
const MAX_V1: usize = 107;
/// The longest of version 2 that is taken: balancers send some 300 bytes, and those that send a certificate along a few thousand.
pub(super) const MAX_V2: usize = 4096;

const BEGIN_V1: &[u8] = b"PROXY ";
/// The peer cannot say for whom it connects.
const UNKNOWN: &[u8] = b"UNKNOWN";
const BEGIN_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Before the addresses of version 2: its signature, version and command, family and protocol, and the length of the rest.
const FIXED_V2: usize = 16;
/// The type of the field with the checksum (§2.2.2).
const CHECKSUM: u8 = 3;

/// A whole header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// How many bytes it has.
    pub length: usize,
    /// For whom the peer connects; `None`: for itself, or it does not know.
    pub client: Option<ProxiedClient>,
}

/// For whom a peer connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxiedClient {
    /// The client's address.
    pub address: SocketAddr,
    /// The address that the client reached.
    pub reached: SocketAddr,
}

/// Why bytes begin no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAHeader {
    /// Neither version begins so.
    #[error("what came is no PROXY header")]
    Unknown,
    /// It begins as one of version 1, and does not go on as one.
    #[error("the PROXY header of version 1 is malformed")]
    Text,
    /// The same of version 2.
    #[error("the PROXY header of version 2 is malformed")]
    Binary,
    /// It is longer than any that is taken.
    #[error("the PROXY header has more than {MAX_V2} bytes")]
    TooLong,
    /// It was damaged on its way.
    #[error("the PROXY header does not have the checksum that it says")]
    Checksum,
}

impl ProxyHeader {
    /// The header that these bytes begin with; `None`: more of it is to come.
    ///
    /// # Errors
    /// They begin none.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NotAHeader> {
        if begins(bytes, BEGIN_V1) {
            parse_text(bytes)
        } else if begins(bytes, BEGIN_V2) {
            parse_binary(bytes)
        } else {
            Err(NotAHeader::Unknown)
        }
    }
}

/// Whether it begins so, as far as it goes.
fn begins(bytes: &[u8], begin: &[u8]) -> bool {
    bytes.iter().zip(begin).all(|(one, other)| one == other)
}

fn parse_text(bytes: &[u8]) -> Result<Option<ProxyHeader>, NotAHeader> {
    let within = &bytes[..bytes.len().min(MAX_V1)];
    let Some(end) = memchr::memmem::find(within, b"\r\n") else {
        return if bytes.len() < MAX_V1 { Ok(None) } else { Err(NotAHeader::Text) };
    };
    let (line, length) = (&within[BEGIN_V1.len()..end], end + 2);
    // Whatever stands behind it is to be ignored.
    if line == UNKNOWN || line.strip_prefix(UNKNOWN).is_some_and(|rest| rest.starts_with(b" ")) {
        return Ok(Some(ProxyHeader { length, client: None }));
    }
    let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ');
    let client = match words.next() {
        Some("TCP4") => endpoints(&mut words, |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::from)),
        Some("TCP6") => endpoints(&mut words, |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::from)),
        _ => None,
    };
    let client = client.filter(|_| words.next().is_none()).ok_or(NotAHeader::Text)?;
    Ok(Some(ProxyHeader { length, client: Some(client) }))
}

/// Both addresses, then both ports.
fn endpoints<'t>(
    words: &mut impl Iterator<Item = &'t str>,
    address: impl Fn(&str) -> Option<IpAddr>,
) -> Option<ProxiedClient> {
    let (source, destination) = (address(words.next()?)?, address(words.next()?)?);
    let (from, to) = (port(words.next()?)?, port(words.next()?)?);
    Some(ProxiedClient { address: SocketAddr::new(source, from), reached: SocketAddr::new(destination, to) })
}

/// In digits alone, and without zeros before it.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

fn parse_binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, NotAHeader> {
    let is_proxied = match bytes.get(BEGIN_V2.len()) {
        None => return Ok(None),
        Some(0x20) => false,
        Some(0x21) => true,
        Some(_) => return Err(NotAHeader::Binary),
    };
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_V2>() else { return Ok(None) };
    let length = FIXED_V2 + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MAX_V2 {
        return Err(NotAHeader::TooLong);
    }
    let Some(rest) = rest.get(..length - FIXED_V2) else { return Ok(None) };
    if !is_proxied {
        // The balancer speaks for itself, as when it looks whether furt is there; what it says beside that is to be ignored.
        return Ok(Some(ProxyHeader { length, client: None }));
    }
    // The family, and whether it is a stream (1) or datagrams (2).
    let (size, client) = match fixed[13] {
        0x00 => (0, None),
        0x11 | 0x12 => (12, addresses::<4>(rest)),
        0x21 | 0x22 => (36, addresses::<16>(rest)),
        0x31 | 0x32 => (216, None),
        _ => return Err(NotAHeader::Binary),
    };
    let fields = rest.get(size..).ok_or(NotAHeader::Binary)?;
    // Without addresses the length of what stands in their place is not known.
    if fixed[13] != 0 {
        check_fields(&bytes[..length], fields)?;
    }
    // Of datagrams nobody connects.
    Ok(Some(ProxyHeader { length, client: client.filter(|_| fixed[13] & 0xf == 1) }))
}

/// Two addresses of that many bytes, and two ports.
fn addresses<const SIZE: usize>(bytes: &[u8]) -> Option<ProxiedClient>
where
    IpAddr: From<[u8; SIZE]>,
{
    let (source, rest) = bytes.split_first_chunk::<SIZE>()?;
    let (destination, rest) = rest.split_first_chunk::<SIZE>()?;
    let [from_high, from_low, to_high, to_low, ..] = *rest else { return None };
    let (from, to) = (u16::from_be_bytes([from_high, from_low]), u16::from_be_bytes([to_high, to_low]));
    Some(ProxiedClient {
        address: SocketAddr::new(IpAddr::from(*source), from),
        reached: SocketAddr::new(IpAddr::from(*destination), to),
    })
}

/// Looks whether the fields behind the addresses fill their place, and whether `header` has the checksum that one of them says.
fn check_fields(header: &[u8], mut fields: &[u8]) -> Result<(), NotAHeader> {
    while !fields.is_empty() {
        let Some(([kind, high, low], rest)) = fields.split_first_chunk() else { return Err(NotAHeader::Binary) };
        let size = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = rest.split_at_checked(size).ok_or(NotAHeader::Binary)?;
        if *kind == CHECKSUM {
            let told = <[u8; 4]>::try_from(value).map_err(|_| NotAHeader::Binary)?;
            let at = header.len() - next.len() - told.len();
            if u32::from_be_bytes(told) != checksum(&header[..at], &header[at + told.len()..]) {
                return Err(NotAHeader::Checksum);
            }
        }
        fields = next;
    }
    Ok(())
}

/// CRC32c (RFC 4960, appendix B) of what stands before and behind the checksum, with zeros in its place. A bit at a time: few senders
/// have it.
fn checksum(before: &[u8], behind: &[u8]) -> u32 {
    let byte = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0x82f6_3b78 })
    };
    !before.iter().chain(&[0; 4]).chain(behind).fold(!0, byte)
}

/// Why a peer's header was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// The peer left before it.
    #[error("the peer closed the connection before its PROXY header")]
    Closed,
    /// It is none.
    #[error("{0}")]
    Malformed(#[from] NotAHeader),
    /// The connection failed.
    #[error("{0}")]
    Failed(#[from] io::Error),
}

/// Reads a header, and nothing behind it: the kernel keeps that for whoever reads next.
pub(super) async fn read(socket: &mut TcpStream) -> Result<Option<ProxiedClient>, Unread> {
    let mut bytes = Vec::new();
    loop {
        let known = bytes.len();
        bytes.resize(MAX_V2, 0);
        let come = socket.peek(&mut bytes[known..]).await?;
        if come == 0 {
            return Err(Unread::Closed);
        }
        bytes.truncate(known + come);
        let header = ProxyHeader::parse(&bytes)?;
        // What is a part of the header is taken, so that the next look waits for more of it.
        let taken = header.map_or(bytes.len(), |header| header.length);
        socket.read_exact(&mut bytes[known..taken]).await?;
        if let Some(header) = header {
            return Ok(header.client);
        }
    }
}

#[cfg(test)]
mod tests;
