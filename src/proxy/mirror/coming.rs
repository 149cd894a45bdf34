//! The places of copies whose bodies are still coming. They are few, and a new copy takes the place of the one that has waited
//! longest: so clients that send slowly, or never go on, keep nobody else's requests from being copied.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// All places.
pub(super) struct Coming {
    most: usize,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    next: u64,
    /// By their age. A copy whose sender is dropped has lost its place.
    taken: BTreeMap<u64, oneshot::Sender<Infallible>>,
}

/// One place, which is given back when this is dropped.
pub(super) struct Place {
    coming: Arc<Coming>,
    number: u64,
    lost: oneshot::Receiver<Infallible>,
}

impl Coming {
    /// So many places.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, places: Mutex::default() })
    }

    /// Takes a place, if need be that of the copy that has waited longest.
    pub(super) fn enter(self: &Arc<Self>) -> Place {
        let (sender, lost) = oneshot::channel();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.taken.len() >= self.most {
            places.taken.pop_first();
        }
        let number = places.next;
        places.next += 1;
        places.taken.insert(number, sender);
        Place { coming: Arc::clone(self), number, lost }
    }
}

impl Place {
    /// Waits until another copy has taken the place.
    pub(super) async fn lost(&mut self) {
        match (&mut self.lost).await {
            Err(_) => {}
            Ok(never) => match never {},
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.coming.places.lock().unwrap_or_else(PoisonError::into_inner).taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_copy_that_has_waited_longest_gives_way_to_a_new_one() {
        let coming = Coming::new(2);
        let is_lost = |place: &mut Place| place.lost().now_or_never().is_some();
        let (mut first, mut second) = (coming.enter(), coming.enter());
        assert!(!is_lost(&mut first) && !is_lost(&mut second));
        let mut third = coming.enter();
        assert!(is_lost(&mut first) && !is_lost(&mut second) && !is_lost(&mut third));
        drop(third);
        let mut fourth = coming.enter();
        assert!(!is_lost(&mut second) && !is_lost(&mut fourth), "a place was given back");
        drop(first);
        assert_eq!(coming.places.lock().unwrap().taken.len(), 2, "a lost place is not given back twice");
    }
}
