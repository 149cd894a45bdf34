//! What must hold of keys after every event; swept with the rest.

use std::collections::{BTreeMap, BTreeSet};

use super::super::dispatch::Registry;
use super::super::leases::Due;
use super::state::{KeyState, KeyWrite};

impl Registry {
    /// # Panics
    /// Where one of the rules below is broken: that is a bug in the core.
    pub(in crate::registry) fn sweep_keys(&self) {
        self.sweep_key_table();
        let keys = &self.keys;
        let mut digests = BTreeMap::new();
        for (name, entry) in &keys.runtime {
            assert_eq!(entry.key.name(), name);
            assert_eq!(entry.suspended, keys.objection(&entry.key), "{name}: is suspended by the configuration alone");
            let stays = entry.state == KeyState::Stays;
            assert!(stays || keys.outbox.is_writing(name) || keys.retry.contains(name), "{name}: is on its way out");
            assert!(!(stays && keys.retry.contains(name)), "{name}: stays");
            assert_eq!(entry.end_ms, entry.key.next_end_ms().filter(|_| stays), "{name}: its end is known");
            assert!(entry.end_ms.is_none_or(|end_ms| keys.ends.contains(&(end_ms, name.clone()))), "{name}: and due");
            digests.extend(entry.key.digests().map(|sha256| (sha256, name)));
        }
        let ends = keys.runtime.values().filter(|entry| entry.end_ms.is_some()).count();
        assert_eq!(keys.ends.len(), ends, "each end is of a key");
        assert!(keys.retry.iter().all(|name| keys.runtime.contains_key(name)), "only what is there is removed");
        let is_due = !keys.ends.is_empty() || (!keys.retry.is_empty() && keys.retry_at.is_some());
        assert_eq!(self.leases.is_set(&Due::Keys), is_due, "the next end has a deadline");
        let mut written = Vec::new();
        for write in keys.outbox.writes() {
            match write {
                KeyWrite::Create { key, .. } | KeyWrite::Rotate { key, .. } => {
                    digests.insert(key.spec.sha256, key.name());
                    written.push(key.name());
                }
                KeyWrite::Remove { names, .. } => written.extend(names),
            }
        }
        let (count, keys_written) = (written.len(), written.into_iter().collect::<BTreeSet<_>>().len());
        assert_eq!((count, keys_written), (keys_written, keys.outbox.subjects()), "each key is in one write");
        assert_eq!(keys.digests.iter().map(|(sha256, name)| (*sha256, name)).collect::<BTreeMap<_, _>>(), digests);
        keys.outbox.sweep();
    }

    /// Requests may use the configuration's keys and the runtime keys that stay and are not suspended, and nothing else.
    fn sweep_key_table(&self) {
        let (keys, table) = (&self.keys, &self.publisher.snapshot().keys);
        let mut expected = BTreeMap::new();
        for (name, entry) in &keys.runtime {
            let listed = table.runtime.get(name).unwrap_or_else(|| panic!("{name}: is listed"));
            let is_usable = entry.state == KeyState::Stays && entry.suspended.is_none();
            assert!(listed.key == entry.key && listed.suspended.is_none() == is_usable, "{name}: is listed as it is");
            if is_usable {
                expected.extend(entry.key.digests().map(|sha256| (sha256, name)));
            }
        }
        assert_eq!(table.runtime.len(), keys.runtime.len(), "what is gone is not listed");
        expected.extend(keys.configured.values().map(|one| (one.spec.sha256, &one.spec.name)));
        assert!(table.configured.keys().eq(keys.configured.keys()), "the configuration's keys are listed");
        let usable: BTreeMap<_, _> = table.usable().map(|(sha256, key)| (*sha256, &key.name)).collect();
        assert_eq!(usable, expected, "the keys that requests may use");
    }
}
