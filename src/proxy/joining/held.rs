//! The chunks that are held, and when they are sent.

use bytes::{Bytes, BytesMut};

/// From so many bytes on a part is sent without more: the largest frame that every server takes (RFC 9113 §4.2).
const ENOUGH: usize = 16 * 1024;

/// Chunks that wait for the next one.
#[derive(Default)]
pub(in crate::proxy) struct HeldBody(BytesMut);

impl HeldBody {
    /// The body is sent again from its start.
    pub(in crate::proxy) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn join(&mut self, part: &mut Option<Bytes>, is_more: bool) {
        let length = part.as_ref().map_or(0, Bytes::len);
        let is_sent = !is_more || self.0.len() + length >= ENOUGH;
        if is_sent && self.0.is_empty() {
            return;
        }
        self.0.extend_from_slice(part.as_deref().unwrap_or_default());
        *part = Some(if is_sent { self.0.split().freeze() } else { Bytes::new() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_hand_is_sent_together_and_nothing_is_kept_beyond_it() {
        let large = "l".repeat(ENOUGH);
        let rest = "r".repeat(ENOUGH - 1);
        let both = format!("{rest}a");
        for (parts, expected) in [
            (&[(Some("a"), false), (Some("b"), false)][..], &[Some("a"), Some("b")][..]),
            (&[(Some("a"), true), (Some("b"), true), (Some("c"), false)], &[Some(""), Some(""), Some("abc")]),
            (&[(Some("a"), true), (None, false)], &[Some(""), Some("a")]),
            (&[(Some("a"), true), (Some(""), false)], &[Some(""), Some("a")]),
            (&[(None, false)], &[None]),
            (&[(Some(&large), true), (Some("a"), false)], &[Some(&large), Some("a")]),
            (&[(Some(&rest), true), (Some("a"), true), (Some("b"), false)], &[Some(""), Some(&both), Some("b")]),
        ] {
            let mut held = HeldBody::default();
            for ((part, is_more), expected) in parts.iter().zip(expected) {
                let mut part = part.map(|text| Bytes::copy_from_slice(text.as_bytes()));
                held.join(&mut part, *is_more);
                assert_eq!(part.as_deref(), expected.map(str::as_bytes), "{parts:?}");
            }
            assert!(held.0.is_empty(), "{parts:?}");
        }
    }

    #[test]
    fn a_body_that_is_sent_again_begins_with_nothing() {
        let mut held = HeldBody::default();
        held.join(&mut Some(Bytes::from_static(b"before")), true);
        held.clear();
        let mut part = Some(Bytes::from_static(b"again"));
        held.join(&mut part, false);
        assert_eq!(part.as_deref(), Some(&b"again"[..]));
    }
}
