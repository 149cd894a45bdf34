//! Whole nodes, with threads and folders, on a broker in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use furt_bus::Broker;
use furt_cluster::model::{NodeName, NodeState, Restart, Role, Scope, Standing, VaultSide};
use furt_cluster::{Agreement, Answer, Command, Condition, Outcome, Policy, Refusal};
use furt_seal::WrappedToken;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::telemetry::Telemetry;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    handle: Handle,
    running: Running,
    telemetry: Arc<Telemetry>,
    shared: Arc<Mutex<Keys>>,
    /// The settings that it was told to put in force.
    applied: Arc<Mutex<Vec<String>>>,
}

/// What it derives of the secret: for cookies, and for tickets.
type Keys = (Vec<u8>, Vec<Vec<u8>>);

fn share_to(keys: &Arc<Mutex<Keys>>) -> Box<dyn Fn(&Shared) + Send> {
    let keys = Arc::clone(keys);
    Box::new(move |shared| {
        *keys.lock().unwrap() = (shared.affinity.to_vec(), shared.tickets.iter().map(|root| root.to_vec()).collect());
    })
}

fn start_at(folder: &Path, broker: &Broker, number: u32) -> Node {
    start_with(folder, broker, number, None)
}

fn start_with(folder: &Path, broker: &Broker, number: u32, token_file: Option<&Path>) -> Node {
    start_beside_a_vault(folder, broker, number, token_file, (Arc::default(), None))
}

/// What a node has to do with a Vault, and its way there.
type Beside = (Arc<Mutex<VaultSide>>, Option<VaultDoor>);

fn start_beside_a_vault(
    folder: &Path,
    broker: &Broker,
    number: u32,
    token_file: Option<&Path>,
    (side, vault): Beside,
) -> Node {
    let telemetry = Telemetry::try_new().unwrap();
    let (handle, orders) = Handle::channel();
    let (shared, applied) = (Arc::default(), Arc::default());
    let options = Options {
        folder: folder.to_owned(),
        name: NodeName::of("host", number),
        exchange: "node".to_owned(),
        token_file: token_file.map(Path::to_owned),
        policy: Box::new(|| Policy { beat_interval: Duration::from_secs(1), ..Policy::default() }),
        condition: Box::new(move || Condition { vault: *side.lock().unwrap(), ..Condition::default() }),
        vault,
        metrics: Arc::new(telemetry.show_cluster().unwrap()),
        tasks: answering(Arc::clone(&applied)),
        share: share_to(&shared),
        programs: None,
        began_with: BTreeMap::new(),
    };
    let broker = broker.clone();
    let running = start(options, orders, move |topology| Ok(broker.join(topology)?)).unwrap();
    Node { handle, running, telemetry, shared, applied }
}

/// A furt that takes all settings but those that say bad.
fn answering(applied: Arc<Mutex<Vec<String>>>) -> mpsc::Sender<Task> {
    let (tasks, mut asked) = tasks();
    tokio::spawn(async move {
        while let Some(task) = asked.recv().await {
            let is_bad = |text: &str| text.contains("bad");
            match task {
                Task::Check { text, reply, .. } => {
                    let fault = || vec!["settings:1:1: limits.max_body: is bad".into()];
                    _ = reply.send(if is_bad(&text) { Err(fault()) } else { Ok(()) });
                }
                Task::Apply { text, reply, .. } => {
                    applied.lock().unwrap().push(text);
                    reply.tell(Ok(()));
                }
            }
        }
    });
    tasks
}

impl Node {
    async fn until(&self, what: &str, is_so: impl Fn(&Shown) -> bool) -> Shown {
        let begin = crate::clock::now();
        let mut last = None;
        while begin.elapsed() < PATIENCE {
            if let Ok(shown) = self.handle.look().await {
                if is_so(&shown) {
                    return shown;
                }
                last = Some(shown);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {last:#?}");
    }

    async fn until_joined(&self) -> Shown {
        self.until("it has joined and has the secret", |shown| {
            shown.view.membership.is_some() && shown.view.secret.active.is_some()
        })
        .await
    }

    /// Whom it knows to be approved and there.
    async fn until_it_sees(&self, active: usize) {
        let is_there = |shown: &Shown| {
            let there =
                shown.view.nodes.iter().filter(|node| {
                    matches!(node.standing, Standing::Approved(_)) && node.state == Some(NodeState::Active)
                });
            there.count() == active
        };
        self.until(&format!("{active} nodes are there"), is_there).await;
    }

    fn end(mut self, ending: Ending) {
        self.running.end(ending);
        self.running.join();
    }
}

fn folders<const N: usize>() -> [TempDir; N] {
    std::array::from_fn(|_| tempfile::tempdir().unwrap())
}

fn id(number: u128) -> furt_cluster::model::ClusterId {
    furt_cluster::model::ClusterId(uuid::Uuid::from_u128(number))
}

#[tokio::test]
async fn three_nodes_become_a_cluster_by_a_token_and_know_each_other_after_restarts() {
    let (broker, folders) = (Broker::new(), folders::<3>());
    let first = start_at(folders[0].path(), &broker, 1);
    let Ok(Answer::Founded(cluster, secret)) = first.handle.command(Command::Init(id(7))).await else { panic!() };
    assert_eq!(cluster, id(7));
    let again = first.handle.command(Command::Init(id(8))).await;
    assert_eq!(again, Err(Failure::Refused(Refusal::Joined(id(7)))));
    let token = first.handle.make_token(2, Duration::from_secs(600), Role::Member).await.unwrap().text;
    let second = start_at(folders[1].path(), &broker, 2);
    let file = folders[2].path().join("token");
    crate::private_files::write(&file, format!("{token}\n").as_bytes()).unwrap();
    let third = start_with(&folders[2].path().join("state"), &broker, 3, Some(&file));
    assert_eq!(second.handle.join(token.clone()).await, Ok(Answer::Joining));
    for node in [&second, &third] {
        assert_eq!(node.until_joined().await.view.secret.active, Some(secret));
    }
    for node in [&first, &second, &third] {
        node.until_it_sees(3).await;
        assert_eq!(node.until("nothing is wrong", |shown| shown.view.issues.is_empty()).await.link, Link::Up);
    }
    // It is used up. Its maker keeps it until its time is over, for a node that did not hear that it was let in.
    let tokens = |folder: &TempDir| std::fs::read_dir(folder.path().join("tokens")).unwrap().count();
    assert_eq!([tokens(&folders[0]), tokens(&folders[1])], [1, 0]);
    assert_eq!(first.handle.look().await.unwrap().view.tokens.len(), 0);

    // One goes and says so, one is cut off, and both come back with what they had.
    second.end(Ending::Leaving);
    first.until("one is leaving", |shown| has_state(shown, NodeState::Leaving)).await;
    third.end(Ending::Replaced);
    let second = start_at(folders[1].path(), &broker, 12);
    let third = start_at(&folders[2].path().join("state"), &broker, 13);
    for node in [&first, &second, &third] {
        node.until_it_sees(3).await;
        assert_eq!(node.until_joined().await.view.secret.active, Some(secret));
    }
    for node in [first, second, third] {
        node.end(Ending::Leaving);
    }
}

fn has_state(shown: &Shown, state: NodeState) -> bool {
    shown.view.nodes.iter().any(|node| node.state == Some(state))
}

#[tokio::test]
async fn a_key_that_is_not_approved_gets_nothing_and_one_that_is_revoked_neither() {
    let (broker, folders) = (Broker::new(), folders::<2>());
    let first = start_at(folders[0].path(), &broker, 1);
    first.handle.command(Command::Init(id(7))).await.unwrap();
    let stranger = start_at(folders[1].path(), &broker, 2);
    let heard = first.until("a key is pending", |shown| {
        shown.view.nodes.iter().any(|node| node.standing == Standing::Pending && node.name.is_some())
    });
    let pending = heard.await.view.nodes.into_iter().find(|node| node.standing == Standing::Pending).unwrap();
    let unjoined = stranger.handle.look().await.unwrap();
    assert_eq!((unjoined.view.membership, unjoined.view.secret.active), (None, None));

    // Both sides are told, and it belongs.
    let own = first.handle.look().await.unwrap().view.nodes.into_iter().find(|node| node.is_self).unwrap();
    assert_eq!(stranger.handle.command(Command::Approve(own.fingerprint, Role::Member)).await, Ok(Answer::Done));
    let approve = Command::Approve(pending.fingerprint, Role::Member);
    assert_eq!(first.handle.command(approve).await, Ok(Answer::Done));
    stranger.until_joined().await;
    // A member commands nothing.
    let refused = stranger.handle.command(Command::Revoke(own.fingerprint)).await;
    assert_eq!(refused, Err(Failure::Refused(Refusal::NotCommander)));
    let token = stranger.handle.make_token(1, Duration::from_secs(60), Role::Member).await;
    assert_eq!(token, Err(Failure::Refused(Refusal::NotCommander)));

    assert!(matches!(first.handle.command(Command::Revoke(pending.fingerprint)).await, Ok(Answer::Revoked(_))));
    first.until("it is revoked", |shown| shown.view.nodes.iter().any(|node| node.standing == Standing::Revoked)).await;
    for text in ["", "furtc1.x.y", "furtc1.6b0d5ffa-2a3a-4a7e-a5f2-7a2e0f2d7c11.x."] {
        assert!(matches!(first.handle.join(text.to_owned()).await, Err(Failure::Token(_))), "{text}");
    }
    first.end(Ending::Leaving);
    stranger.end(Ending::Leaving);
}

#[tokio::test]
async fn twenty_nodes_that_start_at_once_have_one_secret() {
    let (broker, folders) = (Broker::new(), folders::<20>());
    let first = start_at(folders[0].path(), &broker, 1);
    let Ok(Answer::Founded(_, secret)) = first.handle.command(Command::Init(id(7))).await else { panic!() };
    let token = first.handle.make_token(19, Duration::from_secs(600), Role::Member).await.unwrap().text;
    let others: Vec<_> =
        (2..).zip(&folders[1..]).map(|(number, folder)| start_at(folder.path(), &broker, number)).collect();
    for node in &others {
        node.until("it runs", |_| true).await;
        assert_eq!(node.handle.join(token.clone()).await, Ok(Answer::Joining));
    }
    for node in &others {
        assert_eq!(node.until_joined().await.view.secret.active, Some(secret));
    }
    first.until_it_sees(20).await;
    others.into_iter().chain([first]).for_each(|node| node.end(Ending::Leaving));
}

#[tokio::test]
async fn a_folder_has_one_process_and_a_damaged_one_takes_no_part() {
    let (broker, folders) = (Broker::new(), folders::<1>());
    let first = start_at(folders[0].path(), &broker, 1);
    first.handle.command(Command::Init(id(7))).await.unwrap();
    let second = start_at(folders[0].path(), &broker, 2);
    let refused = second.handle.command(Command::AskBeats).await;
    assert!(matches!(refused, Err(Failure::Unavailable(why)) if why.contains("another process has")));
    first.end(Ending::Replaced);
    second.until_joined().await;
    second.end(Ending::Leaving);

    let state = folders[0].path().join("state.json");
    let text = std::fs::read_to_string(&state).unwrap();
    assert!(!text.contains("BEGIN"), "no key is in it");
    std::fs::write(&state, &text[..text.len() / 2]).unwrap();
    let damaged = start_at(folders[0].path(), &broker, 3);
    let refused = damaged.handle.command(Command::Init(id(8))).await;
    assert!(matches!(&refused, Err(Failure::Unavailable(why)) if why.contains("is damaged")), "{refused:?}");
    assert!(damaged.telemetry.issues.list().iter().any(|issue| issue.contains("is damaged")));
    // Once it is mended it goes on by itself.
    std::fs::write(&state, &text).unwrap();
    damaged.until_joined().await;
    damaged.end(Ending::Leaving);
}

#[test]
fn a_key_that_others_can_read_is_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let [folder] = folders();
    let path = folder.path().join("state");
    let check = || folder::Folder::new(&path).check();
    check().unwrap();
    std::fs::write(path.join("node.key"), "half of it").unwrap();
    std::fs::set_permissions(path.join("node.key"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = check().unwrap_err().to_string();
    assert!(refused.contains("its mode is 640") && refused.contains("node.key"), "{refused}");
    std::fs::set_permissions(path.join("node.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let refused = check().unwrap_err().to_string();
    assert!(refused.contains("cannot be used") && !refused.contains("half of it"), "{refused}");
}

#[tokio::test]
async fn of_two_commanders_that_rotate_at_once_one_wins_and_who_was_away_comes_back() {
    let (broker, folders) = (Broker::new(), folders::<3>());
    let first = start_at(folders[0].path(), &broker, 1);
    first.handle.command(Command::Init(id(7))).await.unwrap();
    let token = first.handle.make_token(2, Duration::from_secs(600), Role::Commander).await.unwrap().text;
    let second = start_at(folders[1].path(), &broker, 2);
    let third = start_at(folders[2].path(), &broker, 3);
    for node in [&second, &third] {
        node.until("it runs", |_| true).await;
        node.handle.join(token.clone()).await.unwrap();
        node.until_joined().await;
    }
    for node in [&first, &second, &third] {
        node.until_it_sees(3).await;
    }
    third.end(Ending::Leaving);
    first.until_it_sees(2).await;
    second.until_it_sees(2).await;
    let (one, two) = tokio::join!(first.handle.command(Command::Rotate), second.handle.command(Command::Rotate));
    let won: Vec<_> = [one, two]
        .into_iter()
        .filter_map(|answer| match answer {
            Ok(Answer::Rotating(id)) => Some(id),
            Err(Failure::Refused(Refusal::SecretTaken(2) | Refusal::RotationRuns(_))) => None,
            other => panic!("{other:?}"),
        })
        .collect();
    let [won] = won[..] else { panic!("one wins: {won:?}") };
    let keys = |node: &Node| node.shared.lock().unwrap().clone();
    let third = start_at(folders[2].path(), &broker, 13);
    for node in [&first, &second, &third] {
        node.until("the next secret is active", |shown| shown.view.secret.active == Some(won)).await;
        node.until("nothing is wrong", |shown| shown.view.issues.is_empty()).await;
    }
    // All derive the same keys; tickets by the secret before still open.
    let (affinity, tickets) = keys(&first);
    assert!(affinity.len() == 32 && tickets.len() == 2 && tickets[0] != tickets[1] && affinity != tickets[0]);
    assert_eq!([keys(&second), keys(&third)], [(affinity.clone(), tickets.clone()), (affinity, tickets)]);
    for node in [first, second, third] {
        node.end(Ending::Leaving);
    }
}

fn settings(set: &[(&str, &str)], expect: Option<u64>) -> SettingsChange {
    SettingsChange {
        scopes: vec![Scope::Cluster],
        restart: Restart::Never,
        set: set.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect(),
        unset: BTreeSet::new(),
        expect,
        agreement: Agreement::All,
    }
}

#[tokio::test]
async fn settings_are_in_force_everywhere_or_nowhere_and_who_was_away_takes_them() {
    let (broker, folders) = (Broker::new(), folders::<2>());
    let first = start_at(folders[0].path(), &broker, 1);
    first.handle.command(Command::Init(id(7))).await.unwrap();
    let token = first.handle.make_token(1, Duration::from_secs(600), Role::Commander).await.unwrap().text;
    let second = start_at(folders[1].path(), &broker, 2);
    second.until("it runs", |_| true).await;
    second.handle.join(token).await.unwrap();
    second.until_joined().await;
    first.until_it_sees(2).await;
    second.until_it_sees(2).await;

    let set = first.handle.set(settings(&[("limits.max_body", "1")], None)).await;
    let Ok(Answer::Set { documents, outcomes }) = set else { panic!("{set:?}") };
    assert_eq!((documents[&Scope::Cluster].generation, outcomes.len()), (1, 2));
    assert!(outcomes.values().all(|one| matches!(one, Outcome::Told(told) if told.status.is_ok())), "{outcomes:?}");
    let bad = first.handle.set(settings(&[("limits.max_body", "bad")], None)).await;
    let Err(Failure::Refused(Refusal::Disagreed { disagree, .. })) = bad else { panic!("{bad:?}") };
    assert_eq!(disagree.len(), 2);
    let stale = second.handle.set(settings(&[("limits.max_body", "2")], Some(0))).await;
    let Err(Failure::Refused(Refusal::Outdated { generation: 1, .. })) = stale else { panic!("{stale:?}") };

    // Both at once from the same generation: one wins, the other is told.
    let (one, two) = tokio::join!(
        first.handle.set(settings(&[("limits.max_body", "one")], Some(1))),
        second.handle.set(settings(&[("limits.max_body", "two")], Some(1))),
    );
    let won = [&one, &two].into_iter().filter(|answer| matches!(answer, Ok(Answer::Set { .. }))).count();
    assert_eq!(won, 1, "{one:?} {two:?}");

    // One that was away takes what is in force, and keeps it over a restart of all.
    second.end(Ending::Leaving);
    first.until_it_sees(1).await;
    let set = first.handle.set(settings(&[("limits.max_body", "3")], None)).await.unwrap();
    let Answer::Set { documents, .. } = set else { panic!("{set:?}") };
    let latest = documents[&Scope::Cluster];
    let second = start_at(folders[1].path(), &broker, 12);
    let has = |shown: &Shown| {
        shown.view.nodes.iter().all(|node| node.beat.as_ref().is_some_and(|beat| beat.settings == Some(latest)))
    };
    second.until("it has them", has).await;
    first.until("it sees that", has).await;
    let known = second.handle.documents().await.unwrap();
    assert!(known[0].is_latest && known[0].is_applied && known[0].id == latest, "{known:?}");
    assert_eq!(known[0].text.as_deref(), Some("[limits]\nmax_body = \"3\"\n"));
    assert!(known.len() >= 2 && known[1].id.generation < latest.generation, "{known:?}");
    first.end(Ending::Leaving);
    second.end(Ending::Leaving);
    let kept = settings_in(folders[1].path()).unwrap();
    let text = "[limits]\nmax_body = \"3\"\n".to_owned();
    assert_eq!(kept, [(Scope::Cluster, latest, text.clone())]);
    // A process that began without them puts them in force, also where there is nobody to ask.
    let again = start_at(folders[1].path(), &Broker::new(), 22);
    again.until("it runs", |_| true).await;
    assert_eq!(*again.applied.lock().unwrap(), [text]);
    again.end(Ending::Leaving);
}

/// A node that makes tokens, named after whom they are for.
fn maker() -> Beside {
    let (made, receiver) = mpsc::channel(32);
    let make = move |to, name: &NodeName| {
        _ = made.try_send((to, WrappedToken::try_new(&format!("for-{name}")).ok_or_else(String::new)));
    };
    let calls = VaultCalls { make: Box::new(make), keep: Box::new(|_| panic!("it asks for none")) };
    (Arc::new(Mutex::new(VaultSide::Makes)), Some(VaultDoor { calls, made: receiver }))
}

#[tokio::test]
async fn a_node_without_a_token_of_a_vault_is_given_one_of_its_own() {
    let (broker, folders) = (Broker::new(), folders::<2>());
    let first = start_beside_a_vault(folders[0].path(), &broker, 1, None, maker());
    first.handle.command(Command::Init(id(7))).await.unwrap();
    let token = first.handle.make_token(1, Duration::from_secs(600), Role::Member).await.unwrap().text;
    let side = Arc::new(Mutex::new(VaultSide::Wants));
    let (kept, mut keeps) = mpsc::unbounded_channel();
    let rests = Arc::clone(&side);
    let keep = move |token: WrappedToken| {
        *rests.lock().unwrap() = VaultSide::Apart;
        kept.send(token.text().to_owned()).unwrap();
    };
    let calls = VaultCalls { make: Box::new(|_, _| panic!("it makes none")), keep: Box::new(keep) };
    let door = VaultDoor { calls, made: mpsc::channel(1).1 };
    let second = start_beside_a_vault(folders[1].path(), &broker, 2, None, (side, Some(door)));
    second.until("it runs", |_| true).await;
    second.handle.join(token).await.unwrap();
    second.until_joined().await;
    let came = tokio::time::timeout(PATIENCE, keeps.recv()).await.unwrap().unwrap();
    assert_eq!(came, "for-host.2");
    for node in [first, second] {
        node.end(Ending::Leaving);
    }
    assert!(keeps.try_recv().is_err(), "one is enough");
}
