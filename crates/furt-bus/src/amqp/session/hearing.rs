//! What a broker says: methods, and messages frame by frame.

use std::collections::BTreeSet;

use log::warn;

use super::Session;
use crate::amqp::arriving::Arrival;
use crate::amqp::channel::{CONSUME, CONTROL, PREFETCH, PUBLISH};
use crate::amqp::content::Content;
use crate::amqp::declaring::NOT_IMPLEMENTED;
use crate::amqp::frame::Frame;
use crate::amqp::logs::Arrived;
use crate::amqp::method::{self, Said};
use crate::amqp::wire::Unreadable;
use crate::bus::Event;
use crate::clock;
use crate::message::{Delivery, Discard, Entry, Receipt};
use crate::trouble::Trouble;

impl Session<'_> {
    pub(super) fn handle(&mut self, frame: Frame, keys: &mut BTreeSet<String>) -> Result<(), Trouble> {
        match frame {
            Frame::Heartbeat => Ok(()),
            Frame::Method { channel, class, method, arguments } => {
                self.heard(channel, method::read(class, method, &arguments).map_err(strange)?, keys)
            }
            Frame::Header { channel, .. } | Frame::Body { channel, .. } if self.is_closing(channel) => Ok(()),
            Frame::Header { channel, size, properties } => {
                let whole = self.arrivals.header(channel, size, properties).map_err(strange)?;
                self.arrived(channel, whole);
                Ok(())
            }
            Frame::Body { channel, bytes } => {
                let whole = self.arrivals.body(channel, &bytes).map_err(strange)?;
                self.arrived(channel, whole);
                Ok(())
            }
        }
    }

    /// Whether what arrives on a channel is passed over.
    fn is_closing(&self, channel: u16) -> bool {
        self.logs.is_closing(channel) || (channel == PUBLISH && self.is_closing_publish)
    }

    fn heard(&mut self, channel: u16, said: Said, keys: &mut BTreeSet<String>) -> Result<(), Trouble> {
        match (channel, said) {
            (0, Said::Closed { code, text }) => {
                self.connection.method(0, &method::close_ok());
                if code >= NOT_IMPLEMENTED {
                    let asked = self.logs.in_making().chain(self.sharing.asked().map(|(_, queue)| queue));
                    self.cuts = asked.map(|name| (name.to_owned(), text.clone())).collect();
                }
                return Err(Trouble::Lost(format!("{text} ({code})")));
            }
            (0, Said::Blocked(why)) => warn!("the broker takes no messages for now: {why}"),
            (0, Said::Unblocked) => {}
            (CONTROL, Said::Done { class: 50, method: 21 | 51, .. }) => {
                let rebind = self.rebinds.done();
                self.rebound(rebind, Ok(()), keys);
            }
            (CONTROL, Said::Closed { text, .. }) => {
                self.connection.method(CONTROL, &method::channel_close_ok());
                self.connection.method(CONTROL, &method::channel_open());
                let rebind = self.rebinds.refused();
                self.rebound(rebind, Err(text), keys);
            }
            (CONTROL, Said::ChannelOpenOk) => self.rebinds.reopened(),
            (CONSUME, Said::Done { class: 60, method: 21, .. }) => {
                self.is_up = true;
                self.inbox.up();
                for channel in self.logs.channels() {
                    self.connection.method(channel, &method::channel_open());
                }
            }
            (CONSUME, Said::Closed { text, .. }) if !self.is_up => {
                return Err(Trouble::Denied { what: "to consume".to_owned(), text });
            }
            (CONSUME, Said::Closed { code, text }) => return Err(Trouble::Lost(format!("{text} ({code})"))),
            (channel, said) if self.logs.name(channel).is_some() => return self.heard_of_log(channel, said),
            (PUBLISH, Said::CloseOk) if self.is_closing_publish => {
                self.is_closing_publish = false;
                self.connection.method(PUBLISH, &method::channel_open());
            }
            // What it said before it heard of that is passed over.
            (PUBLISH, said) if self.is_closing_publish => {
                if let Said::Closed { .. } = said {
                    self.connection.method(PUBLISH, &method::channel_close_ok());
                }
            }
            (_, Said::Cancelled { consumer }) => {
                return Err(Trouble::Lost(format!("the queue {consumer:?} is gone")));
            }
            (channel, Said::Deliver { tag, consumer, is_redelivered, key }) => {
                self.begin_delivery(channel, consumer, tag, is_redelivered, key)?;
            }
            (PUBLISH, Said::Return { key, .. }) => {
                self.arrivals.begin(PUBLISH, Arrival::Returned { key }).map_err(strange)?;
            }
            (PUBLISH, Said::Ack { tag, is_multiple }) => self.tell(|confirms| confirms.acked(tag, is_multiple)),
            (PUBLISH, Said::Nack { tag, is_multiple }) => self.tell(|confirms| confirms.nacked(tag, is_multiple)),
            (PUBLISH, Said::Closed { text, .. }) => {
                self.tell(|confirms| confirms.refused(&text));
                self.arrivals.forget(PUBLISH);
                self.can_publish = false;
                self.connection.method(PUBLISH, &method::channel_close_ok());
                self.connection.method(PUBLISH, &method::channel_open());
            }
            (PUBLISH, Said::ChannelOpenOk) => self.connection.method(PUBLISH, &method::confirm_select()),
            (PUBLISH, Said::Done { class: 85, .. }) => self.can_publish = true,
            (channel, said) if self.sharing.queue(channel).is_some() => return self.heard_shared(channel, said),
            (_, said) => return Err(unasked(said)),
        }
        Ok(())
    }

    /// A consumer is called as its queue or log, and each has a channel of its own. What a broker begins elsewhere would be kept.
    fn begin_delivery(
        &mut self,
        channel: u16,
        consumer: String,
        tag: u64,
        is_redelivered: bool,
        key: Result<String, Unreadable>,
    ) -> Result<(), Trouble> {
        let asked = match channel {
            CONSUME => Some(&*self.options.topology.queue),
            channel => self.sharing.queue(channel).or_else(|| self.logs.name(channel)),
        };
        if asked != Some(&consumer) {
            return Err(Trouble::Lost(format!("the broker delivers to {consumer:?}, which nobody asked for there")));
        }
        let arrival = Arrival::Delivery { queue: consumer, tag, is_redelivered, key };
        self.arrivals.begin(channel, arrival).map_err(strange)
    }

    fn heard_of_log(&mut self, channel: u16, said: Said) -> Result<(), Trouble> {
        match said {
            Said::Deliver { tag, consumer, is_redelivered, key } if !self.logs.is_closing(channel) => {
                self.begin_delivery(channel, consumer, tag, is_redelivered, key)
            }
            said => {
                let acts = self.logs.heard(channel, said, clock::now()).map_err(unasked)?;
                self.do_for_log(channel, acts);
                Ok(())
            }
        }
    }

    fn heard_shared(&mut self, channel: u16, said: Said) -> Result<(), Trouble> {
        let told = match said {
            Said::Done { class: 60, method: 21, .. } => self.sharing.answered(channel).map(|queue| (queue, Ok(()))),
            Said::Closed { text, .. } => {
                self.connection.method(channel, &method::channel_close_ok());
                self.arrivals.forget(channel);
                self.outstanding.retain(|(of, _)| *of != channel);
                self.sharing.refused(channel, clock::now()).map(|queue| (queue, Err(text)))
            }
            Said::ChannelOpenOk => {
                self.connection.method(channel, &method::prefetch(PREFETCH));
                if let Some(queue) = self.sharing.opened(channel, clock::now()) {
                    self.connection.method(channel, &method::consume(&queue));
                }
                None
            }
            // That it knows the limit.
            Said::Done { class: 60, method: 11, .. } => None,
            said => return Err(unasked(said)),
        };
        if let Some((queue, result)) = told {
            self.inbox.push(Event::Shared { queue, result });
        }
        Ok(())
    }

    fn arrived(&mut self, channel: u16, whole: Option<(Arrival, Content)>) {
        match whole {
            // One whose key cannot be read is none of this node's.
            Some((Arrival::Returned { key: Ok(key) }, content)) => {
                self.confirms.returned(&key, &content.into_parts().1)
            }
            Some((Arrival::Delivery { queue, tag, is_redelivered, key }, content)) => {
                let receipt = Receipt { session: self.number, channel, tag };
                if self.logs.name(channel).is_some() {
                    return self.entry_arrived(&queue, receipt, is_redelivered, key, content);
                }
                match delivery(&queue, receipt, is_redelivered, key, content) {
                    Ok(delivery) => {
                        self.outstanding.insert((channel, tag));
                        self.inbox.push(Event::Delivered(Box::new(delivery)));
                    }
                    Err(why) => {
                        self.connection.method(channel, &method::reject(tag));
                        self.inbox.discarded(&queue, why);
                    }
                }
            }
            Some((Arrival::Returned { key: Err(_) }, _)) | None => {}
        }
    }

    fn entry_arrived(
        &mut self,
        log: &str,
        receipt: Receipt,
        is_redelivered: bool,
        key: Result<String, Unreadable>,
        content: Content,
    ) {
        let Receipt { channel, tag, .. } = receipt;
        let offset = content.offset();
        match (self.logs.arrived(channel, offset, clock::now()), offset) {
            (Arrived::Entry(reading), Some(offset)) => {
                self.outstanding.insert((channel, tag));
                let mut message = delivery(log, receipt, is_redelivered, key, content);
                if let Ok(delivery) = &mut message {
                    delivery.properties.headers.remove(method::OFFSET);
                }
                self.inbox.logged(reading, Entry { log: log.to_owned(), offset, message, receipt });
            }
            (Arrived::Late(acts), _) => self.do_for_log(channel, acts),
            (Arrived::Earlier | Arrived::Entry(_), _) => self.connection.method(channel, &method::ack(tag)),
        }
    }
}

fn unasked(said: Said) -> Trouble {
    Trouble::Lost(format!("the broker says what nobody asked for: {said:?}"))
}

fn strange(what: Unreadable) -> Trouble {
    Trouble::Lost(format!("the broker says something strange: {what}"))
}

fn delivery(
    queue: &str,
    receipt: Receipt,
    is_redelivered: bool,
    key: Result<String, Unreadable>,
    content: Content,
) -> Result<Delivery, Discard> {
    if content.is_too_large() {
        return Err(Discard::TooLarge(content.size()));
    }
    let unreadable = |Unreadable(why)| Discard::Unreadable(why);
    let key = key.map_err(unreadable)?;
    let (properties, body) = content.into_parts();
    let properties = properties.map_err(unreadable)?;
    Ok(Delivery { queue: queue.to_owned(), key, is_redelivered, properties, body, receipt })
}
