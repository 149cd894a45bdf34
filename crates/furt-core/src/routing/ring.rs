//! Consistent hashing as Ketama does it: each instance has points on a ring by its weight, a key belongs to the next
//! point, and so an instance that comes or goes moves only the keys that become or were its own.
//!
//! The hash is FNV-1a with SplitMix64's finalizer: the same in every furt, of any version, so that gateways side by side
//! agree about a key.

/// Points of an instance of average weight, as Ketama has them: shares stay within some 10 % of what weights say.
const POINTS: f64 = 160.0;

/// The ring of a set of instances.
#[derive(Debug)]
pub(super) struct Ring {
    /// Where a point is, and the position of its owner; in the order of the ring.
    points: Box<[(u32, u32)]>,
}

impl Ring {
    /// Of instances as `(id, weight)`, in the order of their positions.
    pub(super) fn new<'a>(instances: impl Iterator<Item = (&'a str, u8)> + Clone) -> Self {
        let (count, total) = instances
            .clone()
            .fold((0_u32, 0_u32), |(count, total), (_, weight)| (count + 1, total + u32::from(weight.max(1))));
        let average = f64::from(total.max(1)) / f64::from(count.max(1));
        let mut points = Vec::with_capacity(count as usize * POINTS as usize);
        for (position, (id, weight)) in instances.enumerate() {
            let own = (POINTS * f64::from(weight.max(1)) / average).round().max(1.0) as u64;
            let seed = hash(id.as_bytes());
            // A hash of 64 bits is two points of 32.
            points.extend((0..own).map(|number| {
                let both = mix(seed.wrapping_add((number / 2).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
                let point = if number % 2 == 0 { both as u32 } else { (both >> 32) as u32 };
                (point, position as u32)
            }));
        }
        points.sort_unstable();
        Self { points: points.into() }
    }

    /// The positions of all instances from a key's point on, clockwise; one comes as often as it has points.
    pub(super) fn from(&self, key: u64) -> impl Iterator<Item = usize> {
        let own = (key >> 32) as u32;
        let first = self.points.partition_point(|(point, _)| *point < own);
        self.points[first..].iter().chain(&self.points[..first]).map(|(_, position)| *position as usize)
    }
}

/// A key's hash, the same in every furt.
pub fn hash(bytes: &[u8]) -> u64 {
    mix(fold(OFFSET, bytes))
}

/// The hash of parts, one after the other.
pub(super) fn hash_of_parts(parts: &[&[u8]]) -> u64 {
    mix(parts.iter().fold(OFFSET, |state, part| fold(state, part)))
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn fold(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// SplitMix64's finalizer: every bit of the input changes half of the output's.
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ids: &[String]) -> Ring {
        Ring::new(ids.iter().map(|id| (id.as_str(), 1)))
    }

    fn owner(ring: &Ring, key: u32) -> usize {
        ring.from(hash(&key.to_le_bytes())).next().unwrap()
    }

    #[test]
    fn an_instance_more_moves_no_key_but_to_itself_and_about_its_share() {
        for count in [1, 2, 3, 10, 50] {
            // Ids that sort behind the others, so that positions stay.
            let ids: Vec<_> = (0..=count).map(|number| format!("i{number:03}")).collect();
            let (before, after) = (ring(&ids[..count]), ring(&ids));
            let keys = 20_000;
            let moved: Vec<_> = (0..keys).filter(|key| owner(&before, *key) != owner(&after, *key)).collect();
            assert!(moved.iter().all(|key| owner(&after, *key) == count), "{count}");
            let share = moved.len() as f64 / f64::from(keys);
            let fair = 1.0 / (count + 1) as f64;
            assert!((0.6 * fair..1.4 * fair).contains(&share), "{count}: {share} of {fair}");
        }
    }

    #[test]
    fn shares_follow_weights() {
        let ring = Ring::new([("a", 1), ("b", 3), ("c", 4)].into_iter());
        let mut counts = [0; 3];
        let keys = 40_000;
        (0..keys).for_each(|key| counts[owner(&ring, key)] += 1);
        for (count, fair) in counts.into_iter().zip([0.125, 0.375, 0.5]) {
            let share = f64::from(count) / f64::from(keys);
            assert!((0.8 * fair..1.2 * fair).contains(&share), "{counts:?}");
        }
    }

    #[test]
    fn the_hash_is_the_same_in_every_furt() {
        assert_eq!(hash(b""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(hash(b"192.0.2.1"), HASH_OF_AN_ADDRESS);
    }

    /// As the first furt that hashed computed it: another one would move every key of every set.
    const HASH_OF_AN_ADDRESS: u64 = 5_552_405_930_031_864_309;
}
