//! What must hold of keys after every event; swept with the rest.

use std::collections::{BTreeMap, BTreeSet};

use super::super::publisher::Publisher;
use super::state::{KeyState, KeyWrite, Keys};

impl Keys {
    /// # Panics
    /// Where one of the rules below is broken: that is a bug in the core.
    pub(in crate::registry) fn sweep(&self, publisher: &Publisher) {
        self.sweep_table(publisher);
        let mut digests = BTreeMap::new();
        for (name, entry) in &self.runtime {
            assert_eq!(entry.key.name(), name);
            assert_eq!(entry.suspended, self.objection(&entry.key), "{name}: is suspended by the configuration alone");
            let stays = entry.state == KeyState::Stays;
            assert!(stays || self.outbox.is_writing(name) || self.retry.contains(name), "{name}: is on its way out");
            assert!(!(stays && self.retry.contains(name)), "{name}: stays");
            assert_eq!(entry.end_ms, entry.key.next_end_ms().filter(|_| stays), "{name}: its end is known");
            assert!(entry.end_ms.is_none_or(|end_ms| self.ends.contains(&(end_ms, name.clone()))), "{name}: and due");
            digests.extend(entry.key.digests().map(|sha256| (sha256, name)));
        }
        let ends = self.runtime.values().filter(|entry| entry.end_ms.is_some()).count();
        assert_eq!(self.ends.len(), ends, "each end is of a key");
        assert!(self.retry.iter().all(|name| self.runtime.contains_key(name)), "only what is there is removed");
        let is_due = !self.ends.is_empty() || (!self.retry.is_empty() && self.retry_at.is_some());
        assert_eq!(self.due_at.is_some(), is_due, "the next end has a deadline");
        let mut pending = BTreeMap::new();
        let mut written = Vec::new();
        for write in self.outbox.writes() {
            match write {
                KeyWrite::Create { key, .. } | KeyWrite::Rotate { key, .. } => {
                    pending.insert(key.spec.sha256, key.name());
                    written.push(key.name());
                }
                KeyWrite::Remove { names, .. } => written.extend(names),
            }
        }
        written.extend(self.outbox.held());
        let applied = self.applied.values().flatten();
        pending.extend(applied.flat_map(|key| key.digests().map(|sha256| (sha256, key.name()))));
        let (count, keys_written) = (written.len(), written.into_iter().collect::<BTreeSet<_>>().len());
        assert_eq!((count, keys_written), (keys_written, self.outbox.subjects()), "each key is in one write");
        assert_eq!(self.digests.iter().map(|(sha256, name)| (*sha256, name)).collect::<BTreeMap<_, _>>(), digests);
        let shown: BTreeMap<_, _> = self.pending_digests.iter().map(|(sha256, name)| (*sha256, name)).collect();
        assert_eq!(shown, pending, "digests on their way are those of writes");
        self.outbox.sweep();
    }

    /// Requests may use the configuration's keys and the runtime keys that stay and are not suspended, and nothing else.
    fn sweep_table(&self, publisher: &Publisher) {
        let table = &publisher.snapshot().keys;
        let mut expected = BTreeMap::new();
        for (name, entry) in &self.runtime {
            let listed = table.runtime.get(name).unwrap_or_else(|| panic!("{name}: is listed"));
            let is_usable = entry.state == KeyState::Stays && entry.suspended.is_none();
            assert!(listed.key == entry.key && listed.suspended.is_none() == is_usable, "{name}: is listed as it is");
            if is_usable {
                expected.extend(entry.key.digests().map(|sha256| (sha256, name)));
            }
        }
        assert_eq!(table.runtime.len(), self.runtime.len(), "what is gone is not listed");
        expected.extend(self.configured.values().map(|one| (one.spec.sha256, &one.spec.name)));
        assert!(table.configured.keys().eq(self.configured.keys()), "the configuration's keys are listed");
        let usable: BTreeMap<_, _> = table.usable().map(|(sha256, key)| (*sha256, &key.name)).collect();
        assert_eq!(usable, expected, "the keys that requests may use");
    }
}
