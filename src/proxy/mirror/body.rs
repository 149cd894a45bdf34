//! The body of a request's copy: parts are copied as they pass, up to a bound, and given over once the body is whole.
//!
//! The request gives, the copy's task waits. Either side may leave: what was copied is let go at once.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::telemetry::MirrorOutcome;

/// What is done about a request's copy.
#[derive(Default)]
pub(in crate::proxy) enum Mirroring {
    /// Nothing so far: the request has not gone to its service.
    #[default]
    Undecided,
    /// Its body is copied as it passes.
    Body(BodyCopy),
    /// Nothing more: it is not copied, or all of it is.
    Over,
}

impl Mirroring {
    /// The next part of the body passes; nothing where no body is copied.
    pub(super) fn take(&mut self, part: &[u8], is_last: bool) {
        if let Self::Body(copy) = self
            && !copy.take(part, is_last)
        {
            *self = Self::Over;
        }
    }

    /// The body is sent again from its start.
    pub(super) fn restart(&mut self) {
        if let Self::Body(copy) = self {
            copy.held.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(Vec::clear);
        }
    }
}

/// What was copied; `None`: nobody wants it any more.
type Held = Arc<Mutex<Option<Vec<u8>>>>;

/// The side of the request. Where it is dropped before the body is whole, the copy is cut off.
pub(in crate::proxy) struct BodyCopy {
    held: Held,
    most: usize,
    end: Option<oneshot::Sender<Result<Bytes, MirrorOutcome>>>,
}

/// The side of the copy.
pub(super) struct Awaited {
    held: Held,
    end: oneshot::Receiver<Result<Bytes, MirrorOutcome>>,
}

/// Both sides of a body of which nothing was copied; `most`: the most bytes that are.
pub(super) fn pair(most: u32) -> (BodyCopy, Awaited) {
    let held = Held::new(Mutex::new(Some(Vec::new())));
    let (sender, receiver) = oneshot::channel();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    (BodyCopy { held: Arc::clone(&held), most, end: Some(sender) }, Awaited { held, end: receiver })
}

impl BodyCopy {
    /// Copies a part; gives whether more is wanted.
    fn take(&mut self, part: &[u8], is_last: bool) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(body) = &mut *held else { return false };
        let length = body.len() + part.len();
        let ended = if length > self.most {
            Err(MirrorOutcome::TooLarge)
        } else {
            if length > body.capacity() {
                // Twice as much as before, and never more than may come.
                body.reserve_exact(length.max(body.capacity() * 2).min(self.most) - body.len());
            }
            body.extend_from_slice(part);
            if !is_last {
                return true;
            }
            Ok(std::mem::take(body).into())
        };
        *held = None;
        // Where nobody waits any more, that is counted there.
        self.end.take().map(|end| end.send(ended));
        false
    }
}

impl Awaited {
    /// The body, once it is whole.
    ///
    /// # Errors
    /// It is too large, or the request ended before it was whole.
    pub(super) async fn whole(&mut self) -> Result<Bytes, MirrorOutcome> {
        (&mut self.end).await.unwrap_or(Err(MirrorOutcome::CutOff))
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(most: u32) -> (Mirroring, Awaited) {
        let (copy, awaited) = pair(most);
        (Mirroring::Body(copy), awaited)
    }

    #[tokio::test]
    async fn a_body_is_given_over_whole_up_to_its_bound() {
        for (parts, expected) in [
            (&["hello"][..], Ok("hello")),
            (&["hel", "", "lo"], Ok("hello")),
            (&["0123456", "789"], Ok("0123456789")),
            (&[""], Ok("")),
            (&["0123456", "789", "a"], Err(MirrorOutcome::TooLarge)),
            (&["0123456789a"], Err(MirrorOutcome::TooLarge)),
        ] {
            let (mut mirroring, mut awaited) = begun(10);
            for (number, part) in parts.iter().enumerate() {
                mirroring.take(part.as_bytes(), number + 1 == parts.len());
            }
            assert!(matches!(mirroring, Mirroring::Over), "{parts:?}");
            assert_eq!(awaited.whole().await, expected.map(|text| Bytes::from(text.to_owned())), "{parts:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_sent_again_is_copied_from_its_start() {
        let (mut mirroring, mut awaited) = begun(10);
        mirroring.take(b"hello", false);
        mirroring.restart();
        mirroring.take(b"hello", false);
        mirroring.take(b"world", true);
        assert_eq!(awaited.whole().await, Ok("helloworld".into()));
    }

    #[tokio::test]
    async fn a_request_that_ends_within_its_body_cuts_the_copy_off() {
        let (mut mirroring, mut awaited) = begun(10);
        mirroring.take(b"hello", false);
        drop(mirroring);
        assert_eq!(awaited.whole().await, Err(MirrorOutcome::CutOff));
    }

    #[test]
    fn a_copy_that_is_given_up_keeps_nothing_of_the_body() {
        let (mut mirroring, awaited) = begun(10);
        mirroring.take(b"hello", false);
        let Mirroring::Body(BodyCopy { held, .. }) = &mirroring else { panic!("it has begun") };
        let held = Arc::clone(held);
        drop(awaited);
        assert_eq!(*held.lock().unwrap(), None);
        mirroring.take(b"world", false);
        assert!(matches!(mirroring, Mirroring::Over));
    }

    #[test]
    fn no_more_room_is_taken_than_the_bound() {
        let (mut mirroring, _awaited) = begun(1000);
        for _ in 0..999 {
            mirroring.take(b"a", false);
            let Mirroring::Body(BodyCopy { held, .. }) = &mirroring else { panic!("it goes on") };
            assert!(held.lock().unwrap().as_ref().unwrap().capacity() <= 1000);
        }
    }
}
