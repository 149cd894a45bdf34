//! The audit in a shared store: one chain a gateway, whatever goes in one batch and whoever else has its name.

use super::*;
use crate::audit::{Head, RecordedEntry};
use crate::store::conformance::audited;

/// All entries, in the order of their keys.
fn entries(model: &Model) -> Vec<RecordedEntry> {
    model.all(&layout().audit()).puts.iter().map(|put| RecordedEntry::of(put.modified, &put.value)).collect()
}

fn names(entries: &[RecordedEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.record.as_ref().unwrap().key.as_deref().unwrap()).collect()
}

fn assert_chain(entries: &[RecordedEntry]) {
    for (at, entry) in entries.iter().enumerate() {
        let record = entry.record.as_ref().unwrap();
        assert_eq!((record.number, record.gateway.as_str()), (at as u64 + 1, "g:1"));
        assert_eq!(record.previous, at.checked_sub(1).map(|before| entries[before].sha256.to_string()));
    }
}

#[test]
fn writes_that_wait_together_are_one_chain() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    let of = |service: &str, name: &str| {
        let changes = vec![split(service, &[("2", 5.0)]), audited(name)];
        Write::new(changes, Revision(gateway.mirror.revision), Vec::new())
    };
    let mut queue: VecDeque<_> = [waiting(1, of("a", "one")), waiting(2, of("b", "two"))].into();
    let both = Write::new(vec![audited("three"), audited("four")], Revision(0), Vec::new());
    queue.push_back(waiting(3, both));
    assert_eq!(gateway.send(&mut model, &mut queue), [true, true, true]);
    let all = entries(&model);
    assert_eq!(names(&all), ["one", "two", "three", "four"]);
    assert_chain(&all);
    assert!(all[0].position < all[1].position && all[2].position == all[3].position);
    assert_eq!(contents(&model).splits.len(), 2);
}

#[test]
fn what_is_not_stored_or_is_so_already_leaves_no_entry() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    let absent = Premise::Unchanged(Record::Split(service("a")));
    assert_eq!(gateway.write(&mut model, vec![gone_split("a"), audited("x")], vec![absent]), [false]);
    assert_eq!(entries(&model), []);
    assert_eq!(gateway.write(&mut model, vec![gone_split("a"), audited("y")], Vec::new()), [true], "there is none");
    assert_eq!(entries(&model), []);
    // An entry of what is no change of the store is stored by itself.
    assert_eq!(gateway.write(&mut model, vec![audited("z")], Vec::new()), [true]);
    assert_eq!(names(&entries(&model)), ["z"]);
}

#[test]
fn another_gateway_of_the_same_name_makes_no_second_chain() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    assert_eq!(gateway.write(&mut model, vec![audited("one")], Vec::new()), [true]);
    // That one stores an entry, and this one has not heard of it.
    let mut head = Head::of(&model.all(&layout().audit()).puts[0].value);
    let Change::Audit(entry) = audited("two") else { unreachable!() };
    let key = layout().audit_entry(entry.at_ms, &this_gateway(), 2);
    let value = head.append("g:1", &entry);
    let put = |key, value| Op::Put { key, value, under: Under::None };
    let head = put(layout().key(&Key::AuditHead(this_gateway())), head.to_json());
    let (_, group) = model.apply(&Txn { ops: vec![put(key, value), head], ..Txn::default() }).unwrap();
    let change = || vec![split("a", &[("2", 5.0)]), audited("three")];
    assert_eq!(gateway.write(&mut model, change(), Vec::new()), [false], "neither the change nor its entry");
    assert_eq!((contents(&model).splits.len(), entries(&model).len()), (0, 2));
    gateway.follow(&group);
    assert_eq!(gateway.write(&mut model, change(), Vec::new()), [true]);
    assert_eq!(names(&entries(&model)), ["one", "two", "three"]);
    assert_chain(&entries(&model));
}

#[test]
fn an_end_that_cannot_be_read_ends_its_chain() {
    let mut model = Model::default();
    let mut gateway = Gateway::new(&mut model);
    let key = layout().key(&Key::AuditHead(this_gateway()));
    let put = Op::Put { key, value: b"nonsense".to_vec(), under: Under::None };
    let (_, group) = model.apply(&Txn { ops: vec![put], ..Txn::default() }).unwrap();
    assert_eq!(gateway.follow(&group).refused.len(), 1, "and that is told");
    assert_eq!(gateway.write(&mut model, vec![audited("one")], Vec::new()), [true]);
    assert_eq!(gateway.write(&mut model, vec![audited("two")], Vec::new()), [true]);
    assert_chain(&entries(&model));
}
