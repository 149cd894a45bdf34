//! Which messages of a boot were seen.

/// How many numbers before the highest are remembered: what a bus may reorder. IPsec's default is 64 as well (RFC 4303, 3.4.3).
const SIZE: u64 = 64;

/// The highest number that was seen, and which of the 64 before it. The seal verified the message before its number gets here,
/// so a stranger cannot move a window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    highest: u64,
    /// Bit n: `highest - 1 - n` was seen.
    seen: u64,
}

impl Window {
    /// Whether the number is seen for the first time; it is seen from now on. 0 is no number.
    pub(crate) fn accept(&mut self, seq: u64) -> bool {
        if seq > self.highest {
            let by = seq - self.highest;
            let before = if self.highest > 0 && by <= SIZE { 1 << (by - 1) } else { 0 };
            self.seen = if by >= SIZE { before } else { self.seen << by | before };
            self.highest = seq;
            return true;
        }
        let back = self.highest - seq;
        if seq == 0 || back == 0 || back > SIZE || self.seen & 1 << (back - 1) != 0 {
            return false;
        }
        self.seen |= 1 << (back - 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{SIZE, Window};

    #[test]
    fn each_number_is_taken_once_and_what_is_too_old_never() {
        for seed in 0..256 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut window, mut taken, mut highest) = (Window::default(), BTreeSet::new(), 0_u64);
            for _ in 0..500 {
                let near = highest.saturating_sub(80) + random.u64(..100);
                let seq = if random.u8(..50) == 0 { near + random.u64(..200) } else { near };
                let expected = seq > 0 && seq + SIZE >= highest && !taken.contains(&seq);
                assert_eq!(window.accept(seq), expected, "seed {seed}: {seq} of {highest}");
                if expected {
                    taken.insert(seq);
                    highest = highest.max(seq);
                }
            }
        }
    }

    #[test]
    fn the_greatest_number_is_no_trap() {
        let mut window = Window::default();
        assert!(window.accept(1) && window.accept(u64::MAX) && !window.accept(u64::MAX) && !window.accept(1));
        assert!(window.accept(u64::MAX - 64) && !window.accept(u64::MAX - 65) && !window.accept(0));
    }
}
