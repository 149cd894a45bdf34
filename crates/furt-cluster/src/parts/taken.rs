//! Generations that the arbiter gave to another node.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::{Now, Scope};

/// After this time a generation of which nothing was heard is passed over: the node that it was given to is gone. Before, its
/// record may be on its way.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// The greatest generation of each series that is another node's, and when this one was told. `None`: the secret's.
#[derive(Debug, Default)]
pub(crate) struct Taken(BTreeMap<Option<Scope>, (u64, Instant)>);

impl Taken {
    pub(crate) fn note(&mut self, series: Option<Scope>, generation: u64, now: Now) {
        if self.0.get(&series).is_none_or(|(taken, _)| *taken < generation) {
            self.0.insert(series, (generation, now.at));
        }
    }

    /// The generation after which the next one comes, as far as the arbiter told; 0 while it told nothing.
    pub(crate) fn abandoned(&self, series: Option<Scope>, now: Now) -> u64 {
        let is_old = |at: Instant| now.at.saturating_duration_since(at) >= ABANDONED_AFTER;
        self.0.get(&series).filter(|(_, at)| is_old(*at)).map_or(0, |(generation, _)| *generation)
    }
}
