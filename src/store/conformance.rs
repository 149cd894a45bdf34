//! What every store must do. One function a property; each kind of store runs all of them.

use std::sync::Arc;

use crate::driver::{Change, Store};
use crate::model::{Definition, InstanceId, InstanceSpec, ServiceName, UpstreamUrl};

fn definition(service: &str, revision: u64) -> Change {
    Change::PutDefinition {
        definition: Arc::new(Definition { revision, ..Definition::new(ServiceName::try_new(service).unwrap()) }),
        registered_from: [127, 0, 0, 1].into(),
    }
}

fn instance(service: &str, id: &str, url: &str) -> Change {
    Change::PutInstance {
        service: ServiceName::try_new(service).unwrap(),
        spec: Arc::new(InstanceSpec::new(InstanceId::try_new(id).unwrap(), UpstreamUrl::try_new(url).unwrap())),
        addresses: Arc::new(["127.0.0.1:80".parse().unwrap()]),
        registered_from: [127, 0, 0, 1].into(),
    }
}

fn names(store: &mut impl Store) -> (Vec<String>, Vec<String>) {
    let contents = store.load().unwrap();
    let definitions = contents.definitions.keys().map(ToString::to_string).collect();
    (definitions, contents.instances.keys().map(ToString::to_string).collect())
}

fn what_is_put_is_there_and_replaced_by_its_name(mut store: impl Store) {
    assert_eq!(names(&mut store), (vec![], vec![]));
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h:1")]).unwrap();
    store.apply(&[definition("a", 2), instance("a", "a1", "http://h:2"), instance("a", "a2", "http://h:3")]).unwrap();
    let contents = store.load().unwrap();
    assert_eq!(contents.definitions.into_values().collect::<Vec<_>>(), [definition("a", 2)]);
    let instances: Vec<_> = contents.instances.into_values().collect();
    assert_eq!(instances, [instance("a", "a1", "http://h:2"), instance("a", "a2", "http://h:3")]);
}

fn a_removed_service_takes_its_instances_along_and_no_others(mut store: impl Store) {
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), instance("a", "a2", "http://h")]).unwrap();
    store.apply(&[definition("b", 1), instance("b", "b1", "http://h")]).unwrap();
    store.apply(&[Change::RemoveService(ServiceName::try_new("a").unwrap())]).unwrap();
    assert_eq!(names(&mut store), (vec!["b".into()], vec!["b1".into()]));
}

fn a_removed_instance_leaves_its_service(mut store: impl Store) {
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), instance("a", "a2", "http://h")]).unwrap();
    let gone = Change::RemoveInstance(InstanceId::try_new("a1").unwrap());
    store.apply(std::slice::from_ref(&gone)).unwrap();
    store.apply(&[gone]).unwrap();
    assert_eq!(names(&mut store), (vec!["a".into()], vec!["a2".into()]));
}

fn changes_apply_in_their_order(mut store: impl Store) {
    let gone = Change::RemoveService(ServiceName::try_new("a").unwrap());
    store.apply(&[definition("a", 1), instance("a", "a1", "http://h"), gone.clone(), definition("a", 2)]).unwrap();
    assert_eq!(names(&mut store), (vec!["a".into()], vec![]));
    store.apply(&[definition("a", 3), gone]).unwrap();
    assert_eq!(names(&mut store), (vec![], vec![]));
}

macro_rules! conforms {
    ($kind:ident, $new:expr) => {
        mod $kind {
            #[test]
            fn what_is_put_is_there_and_replaced_by_its_name() {
                super::what_is_put_is_there_and_replaced_by_its_name($new);
            }
            #[test]
            fn a_removed_service_takes_its_instances_along_and_no_others() {
                super::a_removed_service_takes_its_instances_along_and_no_others($new);
            }
            #[test]
            fn a_removed_instance_leaves_its_service() {
                super::a_removed_instance_leaves_its_service($new);
            }
            #[test]
            fn changes_apply_in_their_order() {
                super::changes_apply_in_their_order($new);
            }
        }
    };
}

conforms!(memory, crate::store::MemoryStore::default());
