//! What a node hears and is asked: events of the bus, and orders of the rest of furt.

use furt_bus::{Bus, Event as BusEvent};
use furt_cluster::Event;

use super::handle::{Failure, Link, Order, Shown};
use super::node::{Node, now};
use super::shared::Shared;
use crate::private_files::FileError;

/// Tells how the node is.
pub(super) fn show<B: Bus>(node: &mut Node<'_, B>, share: &dyn Fn(&Shared)) {
    node.show();
    give_on(node, share);
}

/// Gives on what follows from a secret that is new.
fn give_on<B: Bus>(node: &mut Node<'_, B>, share: &dyn Fn(&Shared)) {
    if let Some(shared) = node.newly_shared() {
        share(&shared);
    }
}

pub(super) fn heard<B: Bus>(
    node: &mut Node<'_, B>,
    event: BusEvent,
    link: &mut Link,
    share: &dyn Fn(&Shared),
) -> Result<(), FileError> {
    match event {
        BusEvent::Up => {
            log::info!("cluster: connected to the broker");
            *link = Link::Up;
            node.telling().connected(true);
            node.handle(Event::BusUp)?;
            show(node, share);
        }
        BusEvent::Down(trouble) => {
            log::warn!("cluster: {trouble}");
            *link = Link::Down(Some(trouble.to_string()));
            node.telling().connected(false);
            node.hear_arbiter(BusEvent::Down(trouble))?;
            node.handle(Event::BusDown)?;
            show(node, share);
        }
        BusEvent::Delivered(delivery) => {
            let taken = node.take(&delivery);
            node.bus().ack(delivery.receipt);
            taken?;
            give_on(node, share);
        }
        BusEvent::Discarded { why, count, .. } => {
            for _ in 0..count.min(MOST_COUNTED) {
                node.handle(Event::Refused(refusal_of(&why)))?;
            }
        }
        BusEvent::Shared { queue, result: Err(why) } => log::warn!("cluster: the queue {queue} cannot be used: {why}"),
        BusEvent::Bound { key, result: Err(why) } => log::warn!("cluster: {key} cannot be bound: {why}"),
        BusEvent::Shared { .. } | BusEvent::Bound { .. } => {}
        BusEvent::Log { log, result } => {
            if let Err(why) = &result {
                log::warn!("cluster: the log {log} cannot be used, so nothing is rotated or set: {why}");
            }
            node.hear_arbiter(BusEvent::Log { log, result })?;
        }
        event @ (BusEvent::Logged(_) | BusEvent::ReadingEnded { .. } | BusEvent::Published { .. }) => {
            node.hear_arbiter(event)?
        }
    }
    Ok(())
}

/// Messages of one kind that are counted at a time: a flood costs its count no time.
const MOST_COUNTED: u64 = 1024;

fn refusal_of(why: &furt_bus::Discard) -> furt_cluster::Refused {
    match why {
        furt_bus::Discard::TooLarge(_) => furt_cluster::Refused::TooLarge,
        furt_bus::Discard::Unreadable(_) => furt_cluster::Refused::Malformed,
    }
}

pub(super) fn carry_out<B: Bus>(node: &mut Node<'_, B>, order: Order, link: &Link) -> Result<(), FileError> {
    match order {
        Order::Look(reply) => {
            // Who asked may have left.
            _ = reply.send(Ok(Shown { view: node.core().view(now()), link: link.clone() }));
            Ok(())
        }
        Order::Command(command, reply) => node.order(*command, reply),
        Order::MakeToken { uses, ttl, role, reply } => node.make_token(uses, ttl, role, reply),
        Order::Settings(change, reply) => node.set(&change, reply),
        Order::Documents(reply) => {
            _ = reply.send(Ok(node.documents()));
            Ok(())
        }
        Order::Join(text, reply) => match text.trim().parse() {
            Ok(token) => node.join(token, Some(reply)),
            Err(why) => {
                let why: furt_seal::TokenError = why;
                _ = reply.send(Err(Failure::Token(why.to_string())));
                Ok(())
            }
        },
    }
}

pub(super) fn refuse(order: Order, why: &str) {
    let why = || Failure::Unavailable(format!("this node takes no part in a cluster now: {why}"));
    // Who asked may have left.
    match order {
        Order::Look(reply) => _ = reply.send(Err(why())),
        Order::Documents(reply) => _ = reply.send(Err(why())),
        Order::Command(_, reply) | Order::Settings(_, reply) | Order::Join(_, reply) => _ = reply.send(Err(why())),
        Order::MakeToken { reply, .. } => _ = reply.send(Err(why())),
    }
}
