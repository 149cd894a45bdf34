//! Messages of which not all frames are here yet, one of each channel. Pure.

use std::collections::BTreeMap;

use super::content::Content;
use super::wire::Unreadable;

/// What a message is, by the method before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Delivery { queue: String, tag: u64, is_redelivered: bool, key: Result<String, Unreadable> },
    Returned { key: Result<String, Unreadable> },
}

type Whole = Option<(Arrival, Content)>;

#[derive(Debug, Default)]
pub(super) struct Arrivals(BTreeMap<u16, (Arrival, Option<Content>)>);

impl Arrivals {
    /// # Errors
    /// The one before is not whole.
    pub(super) fn begin(&mut self, channel: u16, arrival: Arrival) -> Result<(), Unreadable> {
        match self.0.insert(channel, (arrival, None)) {
            None => Ok(()),
            Some(_) => Err(Unreadable("a message begins before the one before has ended")),
        }
    }

    /// The channel is closed.
    pub(super) fn forget(&mut self, channel: u16) {
        self.0.remove(&channel);
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.0.values().filter_map(|(_, content)| content.as_ref()).map(Content::kept_bytes).sum()
    }

    /// # Errors
    /// It belongs to nothing.
    pub(super) fn header(&mut self, channel: u16, size: u64, properties: Vec<u8>) -> Result<Whole, Unreadable> {
        match self.0.get_mut(&channel) {
            Some((_, content @ None)) => *content = Some(Content::new(size, properties)),
            Some((_, Some(_))) | None => return Err(Unreadable("a header belongs to no message")),
        }
        Ok(self.take_whole(channel))
    }

    /// # Errors
    /// It belongs to nothing, or is more than was said.
    pub(super) fn body(&mut self, channel: u16, bytes: &[u8]) -> Result<Whole, Unreadable> {
        match self.0.get_mut(&channel) {
            Some((_, Some(content))) => content.append(bytes)?,
            Some((_, None)) | None => return Err(Unreadable("a body belongs to no message")),
        }
        Ok(self.take_whole(channel))
    }

    fn take_whole(&mut self, channel: u16) -> Whole {
        match self.0.remove(&channel)? {
            (arrival, Some(content)) if content.is_whole() => Some((arrival, content)),
            partial => {
                self.0.insert(channel, partial);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returned(key: &str) -> Arrival {
        Arrival::Returned { key: Ok(key.to_owned()) }
    }

    #[test]
    fn frames_of_channels_may_come_in_turns() {
        let mut arrivals = Arrivals::default();
        for (channel, key) in [(1, "a"), (2, "b")] {
            arrivals.begin(channel, returned(key)).unwrap();
            assert!(arrivals.header(channel, 2, vec![0, 0]).unwrap().is_none());
        }
        assert!(arrivals.body(1, b"x").unwrap().is_none());
        let (second, body) = arrivals.body(2, b"yy").unwrap().unwrap();
        assert_eq!((second, body.into_parts().1), (returned("b"), b"yy".to_vec()));
        let (first, body) = arrivals.body(1, b"x").unwrap().unwrap();
        assert_eq!((first, body.into_parts().1), (returned("a"), b"xx".to_vec()));
        arrivals.begin(1, returned("empty")).unwrap();
        assert!(arrivals.header(1, 0, vec![0, 0]).unwrap().is_some());
    }

    #[test]
    fn frames_that_belong_to_nothing_are_errors() {
        let mut arrivals = Arrivals::default();
        assert!(arrivals.header(1, 1, Vec::new()).is_err() && arrivals.body(1, b"x").is_err());
        arrivals.begin(1, returned("a")).unwrap();
        assert!(arrivals.body(1, b"x").is_err());
        assert!(arrivals.header(1, 1, Vec::new()).unwrap().is_none());
        assert!(arrivals.header(1, 1, Vec::new()).is_err() && arrivals.body(1, b"xx").is_err());
        assert!(arrivals.begin(1, returned("b")).is_err());
        arrivals.forget(1);
        assert!(arrivals.begin(1, returned("b")).is_ok());
    }
}
