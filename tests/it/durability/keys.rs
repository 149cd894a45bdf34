//! Keys that are made, rotated and revoked until furt is killed, and what must be known of them after.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::gateway::client_from;
use crate::support::{Answer, Gateway};

/// A path that asks for the permission `kept`, of a service that nobody answers for.
pub(super) const GUARDED: &str = "/guarded";

/// What was answered of one key.
#[derive(Clone, Default)]
pub(super) struct Known {
    state: State,
    /// Keys that are good no more: replaced without a grace, or revoked.
    dead: Vec<String>,
}

#[derive(Clone, Default)]
enum State {
    /// There is none.
    #[default]
    Absent,
    /// It is there and good, and no other of that name is.
    Good(String),
    /// The kill came between: what was good before may be, or what nobody was told.
    Unknown(Option<String>),
}

/// By name.
pub(super) type Keys = BTreeMap<String, Known>;

/// Makes, rotates and revokes keys until furt is gone.
pub(super) async fn change_until_killed(internal: String, mut keys: Keys, answered: Arc<AtomicUsize>) -> Keys {
    let client = client_from(None);
    let names: Vec<_> = keys.keys().cloned().collect();
    loop {
        let name = &names[fastrand::usize(..names.len())];
        let known = keys.get_mut(name).unwrap();
        let before = match std::mem::take(&mut known.state) {
            State::Absent => None,
            State::Good(key) => Some(key),
            State::Unknown(_) => panic!("{name} was looked at since the last kill"),
        };
        known.state = State::Unknown(before.clone());
        let revokes = fastrand::bool();
        let request = match (&before, revokes) {
            (_, true) => client.delete(format!("{internal}/internal/keys/{name}")),
            (Some(_), false) => {
                client.post(format!("{internal}/internal/keys/{name}/rotate")).json(&json!({"grace": 0}))
            }
            (None, false) => {
                client.post(format!("{internal}/internal/keys")).json(&json!({"name": name, "permissions": ["kept"]}))
            }
        };
        // Without its body an answer tells no key: it is as if it had not come.
        let Ok(answer) = Answer::try_of(request).await else { return keys };
        let expected = match (&before, revokes) {
            (None, true) => 404,
            (Some(_), _) => 200,
            (None, false) => 201,
        };
        assert_eq!(answer.status.as_u16(), expected, "{answer:?}");
        known.dead.extend(before);
        known.state = match revokes {
            true => State::Absent,
            false => State::Good(answer.json()["key"].as_str().unwrap().to_owned()),
        };
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Everything that was answered is so, and from now on all is known.
pub(super) async fn check(gateway: &Gateway, keys: &mut Keys) {
    let listed = gateway.seen("/internal/keys").await;
    let is_listed = |name: &str| {
        let all = listed["keys"].as_array().unwrap();
        all.iter().any(|one| one["name"] == name && one["source"] == "runtime" && one["blocked"] == Value::Null)
    };
    let is_good = async |key: &str| {
        // Nobody is behind the route: who is let in gets 502.
        let status = Answer::of(gateway.request(reqwest::Method::GET, GUARDED, key)).await.status.as_u16();
        assert!([401, 502].contains(&status), "{status}");
        status == 502
    };
    for (name, known) in keys {
        for dead in &known.dead {
            assert!(!is_good(dead).await, "a key of {name} that ended is good again");
        }
        // The last few are enough, and they are many after some kills.
        let surplus = known.dead.len().saturating_sub(4);
        known.dead.drain(..surplus);
        match std::mem::take(&mut known.state) {
            State::Absent => assert!(!is_listed(name), "{name} is there again"),
            State::Good(key) => {
                assert!(is_listed(name) && is_good(&key).await, "{name} is lost");
                known.state = State::Good(key);
            }
            State::Unknown(before) => match before {
                Some(key) if is_good(&key).await => {
                    assert!(is_listed(name));
                    known.state = State::Good(key);
                }
                // Of a key that nobody was told nothing but its end can be asked for.
                _ if is_listed(name) => {
                    let path = format!("/internal/keys/{name}");
                    Answer::of(gateway.operate(reqwest::Method::DELETE, &path)).await.ok();
                }
                _ => {}
            },
        }
    }
}
