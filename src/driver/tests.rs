//! The driver under paused time: what is published when, who waits for the store and who does not, and what time does.
//!
//! The store works on a real thread. While a batch is with it, paused time runs on by itself, by turns of half a second.

mod rig;

use std::sync::Arc;
use std::time::Duration;

use super::store_thread::{MAX_GATHERED, StoreThread};
use super::*;
use furt_core::model::{InstanceId, Status};
use furt_core::ports::{Store, StoreError};
use furt_core::registry::{Change, Contents, InstanceRecord, InstanceRef, Observation, ProbeToken, WriteId};
use rig::{Mood, Rig, command, command_with_ttl, deregister, instance, probed, register};

/// Lets every task run that can, without time passing.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Lets time pass in small steps: where the store's thread wakes the driver just as its timer comes, paused time jumps to
/// the next timer that is left, and a jump of more than a second would be a hold-up.
async fn pass(time: Duration) {
    let end = clock::now() + time;
    while clock::now() < end {
        let step = (end - clock::now()).min(Duration::from_millis(100));
        tokio::time::sleep(step).await;
    }
}

/// Waits, by paused time, for what another thread does.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_answered_finds_the_answer_in_the_snapshot() {
    let rig = Rig::start();
    let input = (0..200).map(|number| {
        let (handle, snapshots) = (rig.handle.clone(), Arc::clone(&rig.snapshots));
        tokio::spawn(async move {
            let name = format!("s{number}");
            let Ok(Ok(Answer::Registered(answer))) = register(&handle, command(&name)).await else { panic!("refused") };
            let snapshot = snapshots.load();
            assert!(snapshot.generation >= answer.generation && snapshot.service_named(&name).is_some());
            assert!(matches!(deregister(&handle, &name).await, Ok(Ok(Answer::Deregistered { instances: 1, .. }))));
            assert!(snapshots.load().service_named(&name).is_none());
        })
    });
    for task in input.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_registrations_at_once_share_few_batches_and_few_snapshots() {
    let rig = Rig::start();
    let first = rig.snapshot();
    let input = (0..1000).map(|number| {
        let (handle, snapshots) = (rig.handle.clone(), Arc::clone(&rig.snapshots));
        tokio::spawn(async move {
            register(&handle, command(&format!("s{number}"))).await.unwrap().unwrap();
            // Kept, so that no two of them share an address.
            snapshots.load_full()
        })
    });
    let mut seen = vec![first];
    for task in input.collect::<Vec<_>>() {
        seen.push(task.await.unwrap());
    }
    seen.sort_by_key(Arc::as_ptr);
    seen.dedup_by_key(|snapshot| Arc::as_ptr(snapshot));
    let batches = rig.store.batches();
    assert_eq!(batches.iter().sum::<usize>(), 2000, "a definition and an instance each");
    assert!(batches.len() <= 3 && seen.len() <= 1 + batches.len(), "{batches:?}, {} snapshots", seen.len());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_delays_registrations_but_neither_heartbeats_nor_probes_nor_expiry() {
    let rig = Rig::start();
    rig.register(command("steady")).await.unwrap();
    rig.register(command_with_ttl("silent", 10)).await.unwrap();
    rig.store.set(Mood::Holds);
    let handle = rig.handle.clone();
    let waiting = tokio::spawn(async move { register(&handle, command("late")).await });
    until("the batch reaches the store", || rig.store.batches().len() == 3).await;

    assert!(matches!(
        rig.heartbeat("steady").await,
        Ok(Answer::Heard { status: furt_core::model::Status::Unknown, .. })
    ));
    let order = rig.plans.lock().unwrap()[&instance("steady")].token;
    rig.handle.tell(probed("steady", order, Ok(()))).await.unwrap();
    settle().await;
    assert_eq!(rig.snapshot().service_named("steady").unwrap().status, furt_core::model::Status::Up);
    pass(Duration::from_secs(12)).await;
    assert!(!rig.has_instance("silent"));
    assert!(!waiting.is_finished() && !rig.knows("late"));

    rig.store.set(Mood::Works);
    assert!(matches!(waiting.await.unwrap(), Ok(Ok(Answer::Registered(_)))));
    assert!(rig.knows("late"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_refused_and_shown_until_one_is_stored() {
    let rig = Rig::start();
    rig.store.set(Mood::Fails);
    let (one, other) = tokio::join!(rig.register(command("a")), rig.register(command("b")));
    for answer in [one, other] {
        assert_eq!(answer, Err(Refusal::StoreFailed("disk full".to_owned())));
    }
    assert_eq!(rig.telemetry.issues.list(), ["the store cannot take changes: disk full"]);
    assert!(!rig.knows("a") && !rig.knows("b"));
    rig.store.set(Mood::Works);
    rig.register(command("a")).await.unwrap();
    assert!(rig.telemetry.issues.list().is_empty() && rig.knows("a"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_fails_what_waits_and_all_that_comes() {
    let rig = Rig::start();
    rig.register(command("before")).await.unwrap();
    rig.store.set(Mood::Holds);
    let [first, second] = ["a", "b"].map(|name| {
        let handle = rig.handle.clone();
        tokio::spawn(async move { register(&handle, command(name)).await })
    });
    until("a batch reaches the store", || rig.store.batches().len() == 2).await;
    rig.store.set(Mood::Panics);
    for asked in [first, second] {
        assert!(matches!(asked.await.unwrap(), Ok(Err(Refusal::StoreFailed(_)))));
    }
    assert!(matches!(rig.register(command("c")).await, Err(Refusal::StoreFailed(_))));
    assert_eq!(rig.telemetry.issues.list().len(), 1);
    assert!(rig.heartbeat("before").await.is_ok() && rig.knows("before"));
}

#[tokio::test]
async fn what_gathers_behind_a_store_that_hangs_is_bounded() {
    struct Hangs(std::sync::mpsc::Receiver<()>);
    impl Store for Hangs {
        fn apply(&mut self, _changes: &[Change]) -> Result<(), StoreError> {
            _ = self.0.recv();
            Ok(())
        }
        fn load(&mut self) -> Result<Contents, StoreError> {
            Ok(Contents::new(furt_core::model::Epoch(uuid::Uuid::nil())))
        }
    }
    let (release, held) = std::sync::mpsc::channel();
    let mut store = StoreThread::start(Box::new(Hangs(held)));
    store.gather(WriteId(0), Vec::new());
    store.submit(crate::clock::now());
    (1..=MAX_GATHERED as u64 + 2).for_each(|number| store.gather(WriteId(number), Vec::new()));
    store.submit(crate::clock::now());
    let refused = store.events().await;
    let refused: Vec<_> = refused.iter().map(|event| matches!(event, Event::WriteFailed(..))).collect();
    assert_eq!(refused, [true, true]);
    drop(release);
    let mut done = 0;
    for _ in 0..2 {
        done += store.events().await.iter().filter(|event| matches!(event, Event::WriteDone(..))).count();
        store.submit(crate::clock::now());
    }
    assert_eq!(done, MAX_GATHERED + 1);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_out_of_the_snapshot_before_the_store_knows() {
    let rig = Rig::start();
    rig.register(command("a")).await.unwrap();
    rig.store.set(Mood::Holds);
    let handle = rig.handle.clone();
    let leaving = tokio::spawn(async move { deregister(&handle, "a").await });
    settle().await;
    assert!(!rig.knows("a") && !leaving.is_finished());
    rig.store.set(Mood::Works);
    assert!(matches!(leaving.await.unwrap(), Ok(Ok(Answer::Deregistered { instances: 1, .. }))));
    assert!(rig.plans.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_is_not_heard_leaves_between_its_ttl_and_a_second_later() {
    let rig = Rig::start();
    rig.register(command("steady")).await.unwrap();
    for (expirations, ttl) in (1..).zip([1, 7, 60]) {
        rig.register(command_with_ttl("a", ttl)).await.unwrap();
        let began = clock::now();
        pass(Duration::from_millis(ttl * 1000 - 10)).await;
        assert!(rig.has_instance("a"), "{ttl}");
        while rig.has_instance("a") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(clock::now() - began <= Duration::from_secs(ttl + 1), "{ttl}");
        until("the expiry is stored", || rig.telemetry.registry.expirations() == expirations).await;
    }
    assert!(rig.has_instance("steady"));
}

#[tokio::test(start_paused = true)]
async fn who_is_heard_stays() {
    let rig = Rig::start();
    rig.register(command_with_ttl("a", 10)).await.unwrap();
    for _ in 0..20 {
        pass(Duration::from_millis(9_900)).await;
        rig.heartbeat("a").await.unwrap();
    }
    assert!(rig.has_instance("a"));
}

#[tokio::test(start_paused = true)]
async fn nobody_expires_for_furts_own_sleep() {
    let rig = Rig::start();
    // In one batch, since time passes while one is with the store.
    let (a, b) = tokio::join!(rig.register(command_with_ttl("a", 5)), rig.register(command_with_ttl("b", 60)));
    assert!(a.is_ok() && b.is_ok());
    pass(Duration::from_secs(4)).await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    settle().await;
    assert!(rig.has_instance("a") && rig.has_instance("b"));
    // What was left of the TTL is left still.
    pass(Duration::from_millis(400)).await;
    assert!(rig.has_instance("a"));
    pass(Duration::from_millis(1600)).await;
    assert!(!rig.has_instance("a") && rig.has_instance("b"));
    pass(Duration::from_secs(60)).await;
    assert!(!rig.has_instance("b"));
}

#[tokio::test(start_paused = true)]
async fn an_idle_driver_is_not_taken_for_a_sleeping_one() {
    let rig = Rig::start();
    rig.register(command_with_ttl("a", 600)).await.unwrap();
    pass(Duration::from_millis(600_500)).await;
    assert!(!rig.has_instance("a"));
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_does_not_undo_what_was_asked() {
    let rig = Rig::start();
    rig.store.set(Mood::Holds);
    let handle = rig.handle.clone();
    let asked = tokio::spawn(async move { register(&handle, command("a")).await });
    until("the batch reaches the store", || rig.store.batches().len() == 1).await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    rig.store.set(Mood::Works);
    until("it is registered", || rig.knows("a")).await;
}

#[tokio::test(start_paused = true)]
async fn more_events_than_the_queue_holds_wait_and_are_not_lost() {
    let rig = Rig::start();
    rig.register(command("a")).await.unwrap();
    let order = rig.plans.lock().unwrap()[&instance("a")].token;
    rig.handle.tell(probed("a", order, Ok(()))).await.unwrap();
    let telling = (0..3 * QUEUE).map(|_| {
        let handle = rig.handle.clone();
        tokio::spawn(async move { handle.tell(probed("a", ProbeToken(u64::MAX), Ok(()))).await })
    });
    let telling: Vec<_> = telling.collect();
    assert!(rig.register(command("b")).await.is_ok());
    for told in telling {
        assert_eq!(told.await.unwrap(), Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_driver_ends_when_its_handles_are_gone() {
    let mut rig = Rig::start();
    rig.register(command("a")).await.unwrap();
    let weak = rig.handle.downgrade();
    let (nowhere, _) = Told::with_places(1);
    drop(std::mem::replace(&mut rig.handle, nowhere));
    until("the driver ends", || rig.running.is_finished()).await;
    assert_eq!(weak.tell(Event::DeadlineReached).await, Err(DriverGone));
}

/// Fails as long as it is told to, and writes down what it was given.
struct Scripted {
    fails: Arc<std::sync::atomic::AtomicBool>,
    given: Arc<std::sync::Mutex<Vec<Vec<Change>>>>,
}

impl Store for Scripted {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.given.lock().unwrap().push(changes.to_vec());
        match self.fails.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(StoreError::Unavailable("disk full".to_owned())),
            false => Ok(()),
        }
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        Ok(Contents::new(furt_core::model::Epoch(uuid::Uuid::nil())))
    }
}

/// A store thread, its clock, and what came to the store.
struct Notes {
    thread: StoreThread,
    fails: Arc<std::sync::atomic::AtomicBool>,
    given: Arc<std::sync::Mutex<Vec<Vec<Change>>>>,
    next: u64,
}

impl Notes {
    fn new(fails: bool) -> Self {
        let fails = Arc::new(std::sync::atomic::AtomicBool::new(fails));
        let given = Arc::default();
        let store = Scripted { fails: Arc::clone(&fails), given: Arc::clone(&given) };
        Self { thread: StoreThread::start(Box::new(store)), fails, given, next: 0 }
    }

    fn works(&self) {
        self.fails.store(false, std::sync::atomic::Ordering::Relaxed);
    }

    fn note(&mut self, id: &str, is_down: bool) {
        self.thread.keep(note(id, is_down));
    }

    fn write(&mut self, change: Change) {
        self.thread.gather(WriteId(self.next), vec![change]);
        self.next += 1;
    }

    /// What the batch had that is due after a while.
    async fn batch(&mut self, later: Duration) -> Vec<Change> {
        let before = self.given.lock().unwrap().len();
        self.thread.submit(clock::now() + later);
        self.outcome(before).await
    }

    async fn outcome(&mut self, before: usize) -> Vec<Change> {
        self.thread.events().await;
        let given = self.given.lock().unwrap();
        assert_eq!(given.len(), before + 1);
        given[before].clone()
    }
}

fn note(id: &str, is_down: bool) -> Change {
    let status = if is_down { Status::Down } else { Status::Unknown };
    Change::Observe(instance(id), Observation::Status(status))
}

fn put(id: &str) -> Change {
    let command = command(id);
    Change::PutInstance(InstanceRecord {
        service: command.definition.service,
        spec: Arc::new(command.instance),
        addresses: command.addresses,
        registered_from: [127, 0, 0, 1].into(),
        replaced: None,
    })
}

fn remove(id: &str) -> Change {
    Change::RemoveInstance(instance(id))
}

const AT_ONCE: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(2);

#[tokio::test]
async fn notes_go_without_a_write_and_the_newest_of_an_instance_counts() {
    let mut notes = Notes::new(false);
    notes.note("a", true);
    notes.note("b", true);
    notes.note("a", false);
    assert_eq!(notes.batch(AT_ONCE).await, [note("a", false), note("b", true)]);
    notes.thread.submit(clock::now() + LATER);
    assert_eq!(notes.given.lock().unwrap().len(), 1, "once");
}

#[tokio::test]
async fn a_failing_store_is_tried_each_second_and_the_notes_go_again() {
    let mut notes = Notes::new(true);
    notes.note("a", true);
    assert_eq!(notes.batch(AT_ONCE).await.len(), 1);
    for _ in 0..3 {
        for _ in 0..1000 {
            notes.thread.submit(clock::now());
        }
        assert_eq!(notes.batch(LATER).await, [note("a", true)], "just one more");
    }
    // A write does not wait, and the notes go along.
    notes.write(put("b"));
    assert_eq!(notes.batch(AT_ONCE).await, [note("a", true), put("b")]);
    notes.works();
    notes.note("a", false);
    assert_eq!(notes.batch(LATER).await, [note("a", false)], "a newer one takes its place");
    notes.thread.submit(clock::now() + LATER);
    assert_eq!(notes.given.lock().unwrap().len(), 6);
}

#[tokio::test]
async fn a_failed_store_is_tried_with_nothing_and_tells_when_it_is_well() {
    let mut notes = Notes::new(true);
    notes.write(put("a"));
    assert_eq!(notes.batch(AT_ONCE).await.len(), 1);
    assert!(notes.thread.take_condition().is_some_and(|condition| condition.is_err()));
    notes.works();
    assert_eq!(notes.batch(LATER).await, [] as [Change; 0]);
    assert!(notes.thread.take_condition().is_some_and(|condition| condition.is_ok()));
}

#[tokio::test]
async fn a_note_of_what_was_put_again_or_removed_meanwhile_ends_with_that() {
    for change in [put("a"), remove("a")] {
        let mut notes = Notes::new(false);
        notes.write(change.clone());
        notes.thread.submit(clock::now());
        // Of the instance as it was: its write is with the store.
        notes.note("a", true);
        notes.note("b", true);
        assert_eq!(notes.outcome(0).await, [change]);
        assert_eq!(notes.batch(AT_ONCE).await, [note("b", true)]);
    }
}

#[tokio::test]
async fn notes_of_one_instance_stand_side_by_side_and_end_together() {
    let ttl = |seconds| Change::NoteTtl { instance: instance("a"), ttl: Duration::from_secs(seconds) };
    let addresses =
        |text: &str| Change::Observe(instance("a"), Observation::Addresses(Arc::new([text.parse().unwrap()])));
    let mut notes = Notes::new(true);
    for one in [note("a", true), ttl(60), addresses("10.0.0.1:80"), ttl(90), addresses("10.0.0.2:80")] {
        notes.thread.keep(one);
    }
    assert_eq!(notes.batch(AT_ONCE).await, [note("a", true), ttl(90), addresses("10.0.0.2:80")]);
    notes.note("a", false);
    notes.works();
    let again = [note("a", false), ttl(90), addresses("10.0.0.2:80")];
    assert_eq!(notes.batch(LATER).await, again, "a newer one of one kind takes the place of that one");
    for change in [put("a"), remove("a")] {
        let before = notes.given.lock().unwrap().len();
        notes.write(change.clone());
        notes.thread.submit(clock::now());
        again.iter().cloned().for_each(|one| notes.thread.keep(one));
        notes.note("b", true);
        assert_eq!(notes.outcome(before).await, [change]);
        assert_eq!(notes.batch(AT_ONCE).await, [note("b", true)]);
    }
}

#[tokio::test]
async fn a_note_outlives_a_change_that_was_not_stored() {
    let mut notes = Notes::new(true);
    notes.note("a", true);
    notes.write(put("a"));
    assert_eq!(notes.batch(AT_ONCE).await, [note("a", true), put("a")]);
    notes.works();
    assert_eq!(notes.batch(LATER).await, [note("a", true)], "it is DOWN still");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_that_are_heard_publish_nothing_and_the_silent_are_gone_a_second_after_their_ttl() {
    const FLEET: usize = 10_000;
    let rig = Rig::start();
    let name = |number: usize| InstanceRef { id: InstanceId::numbered("i", number), ..instance("fleet") };
    let command = |number: usize| {
        // Without a TTL until it beats: paused time runs on while a batch is with the store.
        let mut command = command("fleet");
        command.instance.id = name(number).id;
        command.instance.url.port = u16::try_from(20_000 + number).unwrap();
        command.addresses = Arc::from([command.instance.url.socket_address().unwrap()]);
        command.instance.health_endpoint = None;
        command
    };
    let all = (0..FLEET).map(|number| {
        let (handle, command) = (rig.handle.clone(), command(number));
        tokio::spawn(async move { register(&handle, command).await })
    });
    for registered in all.collect::<Vec<_>>() {
        registered.await.unwrap().unwrap().unwrap();
    }
    let beat = async |those: std::ops::Range<usize>| {
        for number in those {
            let whom = name(number);
            let heard = rig.handle.ask(move |reply| Event::HeartbeatReceived(whom, None, rig::local(), reply)).await;
            assert!(matches!(heard, Ok(Ok(Answer::Heard { .. }))), "{number}");
        }
    };
    beat(0..FLEET).await;
    let before = rig.snapshot();
    let count = || rig.snapshot().service_named("fleet").unwrap().instances.len();
    assert_eq!(count(), FLEET);
    for _ in 0..15 {
        pass(Duration::from_secs(5)).await;
        beat(0..FLEET).await;
    }
    assert!(Arc::ptr_eq(&before, &rig.snapshot()), "longer than a TTL nothing changed, and nothing was published");
    // From now on one half of them is silent.
    for _ in 0..11 {
        pass(Duration::from_secs(5)).await;
        beat(0..FLEET / 2).await;
    }
    pass(Duration::from_millis(4_900)).await;
    assert_eq!(count(), FLEET, "nobody is gone before its TTL");
    pass(Duration::from_millis(1_100)).await;
    assert_eq!(count(), FLEET / 2, "they are gone at TTL + 1 s");
    assert!(rig.snapshot().generation > before.generation);
}
