//! What instances are chosen from: all of a service, or one side of its split; and what of each outlives a snapshot.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::model::{MAX_SPLIT_VERSIONS, Side};

/// All instances of a service, or those of one side of its split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part(Option<u8>);

impl Part {
    /// That of a side.
    pub(super) fn of(side: Side) -> Self {
        Self(Some(match side {
            Side::Stable => 0,
            // At most so many are named.
            Side::Version(at) => 1 + at.min(MAX_SPLIT_VERSIONS - 1) as u8,
        }))
    }
}

/// What is counted of a part, and who waits for it.
#[derive(Debug, Default)]
pub struct PartLive {
    rotation: AtomicU32,
    /// Requests that wait for a slot at one of its instances.
    pub waiting: AtomicU32,
    /// Tells one of them whenever a slot is given back; the slot may be gone again when it looks.
    pub released: event_listener::Event,
}

impl PartLive {
    /// The next number of the rotation.
    pub(super) fn next_of_rotation(&self) -> u32 {
        self.rotation.fetch_add(1, Ordering::Relaxed)
    }
}

/// The parts of one service.
#[derive(Debug, Default)]
pub(super) struct Parts {
    whole: PartLive,
    /// Made for the first split.
    sides: OnceLock<Box<[PartLive; 1 + MAX_SPLIT_VERSIONS]>>,
}

impl Parts {
    pub(super) fn get(&self, Part(side): Part) -> &PartLive {
        match side {
            None => &self.whole,
            Some(side) => &self.sides.get_or_init(Box::default)[usize::from(side)],
        }
    }

    /// A slot was given back at an instance that was chosen from a part: tells who waits there. One that was taken before the split
    /// may be of any side, so that one of each is told.
    pub(super) fn note_release(&self, part: Part) {
        self.get(part).released.notify_additional(1);
        if let (Part(None), Some(sides)) = (part, self.sides.get()) {
            sides.iter().for_each(|side| _ = side.released.notify_additional(1));
        }
    }

    /// How many requests wait, in all parts.
    pub(super) fn waiting(&self) -> u32 {
        let sides = self.sides.get().into_iter().flat_map(|sides| sides.iter());
        sides.chain([&self.whole]).map(|part| part.waiting.load(Ordering::Relaxed)).sum()
    }
}
