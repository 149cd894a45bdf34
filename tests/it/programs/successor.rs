//! A program in furt's place that gives up at a step of an upgrade, and holds on to what it has until then. The step stands in
//! the file `step` beside it.
//!
//! | step | it ends, or is silent, |
//! |---|---|
//! | `start` | at once |
//! | `begun` | after everything was handed over |
//! | `wants-store` | after it has asked for the store |
//! | `has-store` | with the store's file open |
//! | `ready` | after it has said that it is ready |
//! | `silent` | instead of asking for the store: for ever |
//! | `nonsense` | after a message that means nothing |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "it may end at any step")]

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags, recvmsg, sendmsg,
};
use serde_json::{Value, json};

fn main() {
    let program = std::env::current_exe().unwrap();
    let step = std::fs::read_to_string(program.with_file_name("step")).unwrap();
    if step == "start" {
        return;
    }
    let mut sockets = Vec::new();
    let store = loop {
        let told = told(&mut sockets);
        if let Some(begin) = told.get("begin") {
            break begin["store"]["disk"].as_str().unwrap().to_owned();
        }
    };
    assert!(sockets.len() >= 2, "a socket of each listener");
    match &*step {
        "silent" => loop {
            std::thread::park();
        },
        "nonsense" => return say(&json!({"i-am": "a teapot"})),
        "begun" => return,
        _ => {}
    }
    say(&json!("wants-store"));
    if step == "wants-store" {
        return;
    }
    assert_eq!(told(&mut sockets), "store-is-free");
    let _database = redb::Database::open(store).unwrap();
    if step == "ready" {
        say(&json!({"ready": {"version": "9.9.9"}}));
        assert_eq!(told(&mut sockets), "take-over");
    }
}

fn say(message: &Value) {
    let bytes = serde_json::to_vec(message).unwrap();
    let mut nothing = SendAncillaryBuffer::new(&mut []);
    sendmsg(std::io::stdin().as_fd(), &[IoSlice::new(&bytes)], &mut nothing, SendFlags::NOSIGNAL).unwrap();
}

fn told(sockets: &mut Vec<std::os::fd::OwnedFd>) -> Value {
    let mut bytes = vec![0; 64 * 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let stdin = std::io::stdin();
    let received = recvmsg(stdin.as_fd(), &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::empty()).unwrap();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    serde_json::from_slice(&bytes[..received.bytes]).unwrap()
}
