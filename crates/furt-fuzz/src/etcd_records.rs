//! The target `etcd_records`: what strangers put below furt's prefix in etcd.
//!
//! An input has a key behind the prefix and its value a line, with a space between them; `-KEY` deletes, and an empty line ends what
//! comes at one revision. A record is refused, or it is one that furt could have stored, and the registry's store takes it.

use furt::store::{Stored, stored, taken_over};
use furt_core::MemoryStore;
use furt_core::ports::Store as _;

/// Beyond them an input is only slower, not different.
const MOST_GROUPS: usize = 16;

/// Asserts that whatever is stored is refused, or is what furt could have stored.
pub fn etcd_records(data: &[u8]) {
    let mut groups: Vec<Vec<Stored>> = vec![Vec::new()];
    for line in super::lines(data) {
        match (line.strip_prefix('-'), line.split_once(' ')) {
            _ if line.is_empty() => groups.push(Vec::new()),
            (Some(key), _) => groups.last_mut().into_iter().for_each(|group| group.push((key.to_owned(), None))),
            (None, split) => {
                let (key, value) = split.unwrap_or((line, ""));
                let put = (key.to_owned(), Some(value.as_bytes().to_vec()));
                groups.last_mut().into_iter().for_each(|group| group.push(put.clone()));
            }
        }
    }
    groups.truncate(MOST_GROUPS);
    let (mut store, mut keys) = (MemoryStore::default(), std::collections::BTreeSet::new());
    for ((changes, refused), group) in taken_over(&groups).into_iter().zip(&groups) {
        keys.extend(group.iter().map(|(key, _)| key.as_str()));
        assert!(refused <= keys.len(), "{refused} of {} records are refused", keys.len());
        for change in &changes {
            assert_eq!(change.check(), Ok(()), "{change:?}");
            let again = stored(change).map(|read| read.unwrap_or_else(|why| panic!("{why}: {change:?}")));
            assert!(again.is_none_or(|again| again == *change), "stored and read, it is the same");
        }
        store.apply(&changes).unwrap_or_else(|why| panic!("{why}: {changes:?}"));
    }
    drop(store.load().unwrap_or_else(|why| panic!("{why}")));
}
