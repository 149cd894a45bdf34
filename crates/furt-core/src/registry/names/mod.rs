//! Names that are watched: of instances and of static routes whose url has a name instead of an address.

mod watched;

pub(super) use watched::{WatchedNames, is_same_set};
