//! Records of a shared store as a gateway takes them over, without a store: for whoever checks that strangers' records change
//! nothing that they should not.
//!
//! The fuzz targets hold keys and values against it. No gateway comes here.

use super::follow::{Group, Put, follow};
use super::layout::Layout;
use super::mirror::Mirror;
use furt_core::registry::Change;

/// A key behind the prefix of its namespace, such as `v1/services/comments`, and its value; `None`: it is deleted.
pub type Stored = (String, Option<Vec<u8>>);

/// Takes groups of keys over that follow one another, each at a revision of its own. Gives for each group the changes that the
/// registry is told of, and how many records are refused since.
pub fn taken_over(groups: &[Vec<Stored>]) -> Vec<(Vec<Change>, usize)> {
    let layout = Layout::new("default");
    let mut mirror = Mirror::default();
    let take = |(group, revision): (&Vec<Stored>, u64)| {
        let mut stored = Group { revision, ..Group::default() };
        for (key, value) in group {
            let key = format!("{}{key}", layout.root()).into_bytes();
            match value.clone() {
                Some(value) => stored.puts.push(Put { key, value, created: revision, modified: revision, lease: None }),
                None => stored.deletes.push(key),
            }
        }
        let followed = follow(&stored, &mut mirror, &layout, &|_| None, false);
        (followed.changes.into_iter().map(|incoming| incoming.change).collect(), mirror.refused())
    };
    groups.iter().zip(1..).map(take).collect()
}
