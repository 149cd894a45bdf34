//! What two processes say to each other in an upgrade: messages over a pair of sockets, each JSON, some with sockets beside.
//!
//! A message comes whole or not at all (`SOCK_SEQPACKET`). The one end is a task's, the other a start's, which waits; both
//! give up after [`SILENCE`]. The pair has no name, so nobody else can connect to it.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::app::settings::HandedSettings;
use crate::listener::ListenerKind;

/// The process that this one was started by.
pub(super) const FROM: &str = "FURT_UPGRADE_FROM";
/// The process that this one is to replace, where that is another one.
pub(super) const REPLACES: &str = "FURT_UPGRADE_REPLACES";
/// Changes with any message that an older furt could misread.
pub(super) const PROTOCOL: u32 = 1;
/// The longest that either end waits for the other: a store of 100,000 routes is read in a second.
pub(super) const SILENCE: Duration = Duration::from_secs(30);
/// The sockets of a listener, which has at most 16, go in one message.
const MOST_SOCKETS: usize = 64;
/// Beyond any path and any sentence, and beyond a document of settings and a value of a Vault: either has at most 64 KiB, of which JSON
/// makes twice as many.
const MAX_MESSAGE: usize = 160 * 1024;

/// What the process that runs tells the one that is to replace it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Told {
    /// A listener; its sockets come with it.
    Listener { kind: ListenerKind, configured: SocketAddr },
    /// A process before this one that still has clients; a socket comes with it that is closed when that process ends.
    Predecessor { pid: u32 },
    /// Settings of the cluster that the new process is to have in force.
    Settings(HandedSettings),
    /// What a Vault gave.
    Value(HandedValue),
    /// That was all.
    Begin { protocol: u32, program: PathBuf, store: StoreKind },
    /// The store's file is closed.
    StoreIsFree,
    /// The new process is the one that runs, once it has confirmed that.
    TakeOver,
}

/// A value that the configuration has in a Vault. Never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandedValue {
    pub(super) place: String,
    pub(super) text: String,
}

impl fmt::Debug for HandedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandedValue({})", self.place)
    }
}

/// What that one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answered {
    /// Everything but the store is open.
    WantsStore,
    /// It serves.
    Ready { version: String },
    /// It is the one that runs. From now on it stores.
    HasTakenOver,
    /// It cannot.
    Failed { why: String },
}

/// The store, which must be the same after an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StoreKind {
    Memory,
    Disk(PathBuf),
    Etcd,
}

/// The end of the process that runs.
pub(super) struct Channel(Arc<OwnedFd>);

/// The end of the process that starts.
pub(super) struct StartingEnd(OwnedFd);

/// Both ends, the second one to be given to another process.
pub(super) fn pair() -> io::Result<(Channel, OwnedFd)> {
    let (own, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    set_times(&own)?;
    Ok((Channel(Arc::new(own)), other))
}

/// The process that started this one, and its socket, where the variable names that process: a variable that was inherited further
/// means nothing.
pub(super) fn inherited_socket(variable: &str) -> Option<(u32, OwnedFd)> {
    let from: u32 = std::env::var(variable).ok()?.parse().ok()?;
    if from != std::os::unix::process::parent_id() {
        return None;
    }
    let stdin = std::io::stdin();
    // Fails for what is no socket.
    rustix::net::sockopt::socket_type(stdin.as_fd()).ok()?;
    let socket = rustix::io::fcntl_dupfd_cloexec(stdin.as_fd(), 3).ok()?;
    let nothing = std::fs::File::open("/dev/null").ok()?;
    rustix::stdio::dup2_stdin(&nothing).ok()?;
    Some((from, socket))
}

fn set_times(socket: &OwnedFd) -> io::Result<()> {
    set_socket_timeout(socket, Timeout::Recv, Some(SILENCE))?;
    Ok(set_socket_timeout(socket, Timeout::Send, Some(SILENCE))?)
}

impl Channel {
    pub(super) fn tell(&self, told: &impl Serialize, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(self.0.as_fd(), told, files)
    }

    /// What the other process says next. Waits on a thread that may block: it ends with the other process, too.
    pub(super) async fn answer<T: DeserializeOwned + Send + 'static>(&self) -> io::Result<T> {
        let socket = Arc::clone(&self.0);
        let received = tokio::task::spawn_blocking(move || receive(socket.as_fd()));
        let (answered, _) = received.await.map_err(io::Error::other)??;
        Ok(answered)
    }
}

impl StartingEnd {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        set_times(&socket)?;
        Ok(Self(socket))
    }

    pub(super) fn answer(&self, answered: &Answered) -> io::Result<()> {
        send(self.0.as_fd(), answered, &[])
    }

    /// What the other process says next, with the sockets that came with it.
    pub(super) fn told(&self) -> io::Result<(Told, Vec<OwnedFd>)> {
        receive(self.0.as_fd())
    }

    pub(super) fn into_socket(self) -> OwnedFd {
        self.0
    }
}

pub(super) fn send(socket: BorrowedFd<'_>, message: &impl Serialize, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(io::Error::other("too many sockets for one message"));
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

pub(super) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC);
    let received = received.map_err(|error| match error {
        Errno::WOULDBLOCK => io::ErrorKind::TimedOut.into(),
        error => io::Error::from(error),
    })?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("a message is longer than any that is known"));
    }
    let sockets = beside.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    let sockets = sockets.flatten().collect();
    Ok((serde_json::from_slice(&bytes[..received.bytes])?, sockets))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn messages_come_in_order_with_their_sockets() {
        let (own, other) = pair().unwrap();
        let other = StartingEnd::new(other).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = Told::Listener { kind: ListenerKind::Public, configured: address };
        own.tell(&told, &[listener.as_fd(), listener.as_fd()]).unwrap();
        own.tell(&Told::StoreIsFree, &[]).unwrap();
        let value = HandedValue { place: "vault:furt/broker#password".to_owned(), text: "hunter2".to_owned() };
        assert!(!format!("{:?}", Told::Value(value.clone())).contains("hunter2"), "it is never shown");
        own.tell(&Told::Value(value.clone()), &[]).unwrap();
        let (first, sockets) = other.told().unwrap();
        assert_eq!((first, sockets.len()), (told, 2));
        let again = TcpListener::from(sockets.into_iter().next().unwrap());
        assert_eq!(again.local_addr().unwrap(), address);
        assert_eq!(other.told().unwrap().0, Told::StoreIsFree);
        assert_eq!(other.told().unwrap().0, Told::Value(value));
        other.answer(&Answered::WantsStore).unwrap();
        assert_eq!(own.answer::<Answered>().await.unwrap(), Answered::WantsStore);
    }

    #[tokio::test]
    async fn a_process_that_is_gone_is_noticed_and_what_makes_no_sense_is_refused() {
        let (own, other) = pair().unwrap();
        send(other.as_fd(), &"nonsense", &[]).unwrap();
        assert_eq!(own.answer::<Answered>().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(other);
        assert_eq!(own.answer::<Answered>().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
