//! How many questions may be in flight.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::clock;

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Questions of one address that nobody answers.
async fn hold(rig: &Arc<Rig>, auth: &Arc<ForwardAuth>, count: usize, address: IpAddr) -> JoinSet<()> {
    let mut held = JoinSet::new();
    let before = rig.metrics.in_flight();
    for _ in 0..count {
        let (rig, auth) = (Arc::clone(rig), Arc::clone(auth));
        held.spawn(async move {
            let outcome = rig.ask_from(&auth, address).await;
            panic!("{outcome:?}");
        });
    }
    let expected = before + i64::try_from(count).unwrap();
    until(|| rig.metrics.in_flight() == expected).await;
    held
}

#[tokio::test]
async fn an_address_has_16_in_flight_at_all_servers_together_and_others_come_in() {
    let rig = Arc::new(Rig::new());
    let (silent, quick) = (Server::acting(|_, _| Act::Silence).await, Server::saying(answer("200 OK", "")).await);
    let brief = |url: &str| ForwardAuthConfig { timeout: Duration::from_millis(200), ..config(url) };
    let (other, quick_url) = (rig.open(brief(&silent.url())), quick.url());
    let (silent, quick) = (Arc::new(rig.open(config(&silent.url()))), rig.open(brief(&quick_url)));
    let held = hold(&rig, &silent, 16, LOCAL).await;
    for auth in [&other, &quick] {
        let outcome = tokio::time::timeout(LONG / 2, rig.ask(auth)).await.unwrap();
        assert!(matches!(outcome, Err(Denied::TooMany)), "{outcome:?}");
        assert_eq!(auth.condition.answered(), None, "a limit says nothing of the server");
    }
    assert!(rig.ask_from(&quick, OTHER).await.is_ok());
    drop(held);
    until(|| rig.metrics.in_flight() == 0).await;
    assert!(rig.ask(&quick).await.is_ok());
    assert_eq!((rig.counted("too_many"), rig.counted("allowed")), (2, 2));
}

#[tokio::test]
async fn a_question_waits_for_a_place_as_long_as_it_may_take() {
    let rig = Arc::new(Rig::new());
    let (silent, quick) = (Server::acting(|_, _| Act::Silence).await, Server::saying(answer("200 OK", "")).await);
    let (silent, quick) = (Arc::new(rig.open(config(&silent.url()))), Arc::new(rig.open(config(&quick.url()))));
    let held = hold(&rig, &silent, 16, LOCAL).await;
    let waiting = (0..40).map(|_| {
        let (rig, quick) = (Arc::clone(&rig), Arc::clone(&quick));
        tokio::spawn(async move { rig.ask(&quick).await.is_ok() })
    });
    let waiting: Vec<_> = waiting.collect();
    assert!(rig.ask_from(&quick, OTHER).await.is_ok(), "another address waits for nobody");
    drop(held);
    for one in waiting {
        assert!(one.await.unwrap());
    }
}

#[tokio::test]
async fn waiting_for_a_place_is_part_of_the_time() {
    let rig = Arc::new(Rig::new());
    let silent = Server::acting(|_, _| Act::Silence).await;
    let holding = Arc::new(rig.open(config(&silent.url())));
    let timed = rig.open(ForwardAuthConfig { timeout: Duration::from_secs(2), ..holding.config().clone() });
    let held = hold(&rig, &holding, 16, LOCAL).await;
    let began = clock::now();
    let freed = async {
        tokio::time::sleep_until((began + Duration::from_millis(1500)).into()).await;
        drop(held);
    };
    let (outcome, ()) = tokio::join!(rig.ask(&timed), freed);
    assert!(matches!(why(outcome), Why::TimedOut(_)));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_question_that_is_given_up_leaves_its_place() {
    let rig = Rig::new();
    let silent = Server::acting(|_, _| Act::Silence).await;
    let silent = rig.open(config(&silent.url()));
    for _ in 0..40 {
        let given_up = tokio::time::timeout(Duration::from_millis(3), rig.ask(&silent)).await;
        assert!(given_up.is_err(), "{given_up:?}");
        assert_eq!(rig.metrics.in_flight(), 0);
    }
    let brief = ForwardAuthConfig { timeout: Duration::from_millis(3), ..silent.config().clone() };
    let brief = rig.open(brief);
    for _ in 0..40 {
        assert!(matches!(why(rig.ask(&brief).await), Why::TimedOut(_)));
    }
}

#[test]
fn all_addresses_together_have_256_in_flight() {
    let rig = Rig::new();
    let address = |number: u8| Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)));
    let (one, other) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let server = |number: u8| if number < 192 { &one } else { &other };
    let enter = |number: u8| rig.asking.enter(address(number / 16), server(number));
    let mut places: Vec<_> = (0..192).map(|number| enter(number).unwrap()).collect();
    assert!(matches!(rig.asking.enter(address(12), &one), Err(Denied::Busy)), "one server leaves places to the others");
    places.extend((192..=255).map(|number| enter(number).unwrap()));
    assert!(matches!(rig.asking.enter(address(0), &other), Err(Denied::TooMany)), "its own limit is told first");
    for of in [address(16), None] {
        assert!(matches!(rig.asking.enter(of, &other), Err(Denied::Busy)));
    }
    assert_eq!(rig.metrics.in_flight(), 256);
    places.pop();
    let place = rig.asking.enter(address(16), &other).unwrap();
    assert!(matches!(rig.asking.enter(address(16), &other), Err(Denied::Busy)));
    drop((place, places));
    assert_eq!(rig.metrics.in_flight(), 0);
    let again: Vec<_> = (0..16).map(|_| rig.asking.enter(address(16), &other).unwrap()).collect();
    assert_eq!(again.len(), 16, "who was refused for all is not counted for itself");
}

#[test]
fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_that_of_ipv4() {
    let (rig, server) = (Rig::new(), AtomicUsize::new(0));
    let address = |text: String| Some(text.parse::<IpAddr>().unwrap());
    let _held: Vec<_> =
        (0..16).map(|part| rig.asking.enter(address(format!("2001:db8::{part}:1")), &server).unwrap()).collect();
    assert!(matches!(rig.asking.enter(address("2001:db8::ffff:0:0:1".to_owned()), &server), Err(Denied::TooMany)));
    assert!(rig.asking.enter(address("2001:db8:0:1::1".to_owned()), &server).is_ok());
    let _held: Vec<_> = (0..16).map(|_| rig.asking.enter(address("192.0.2.1".to_owned()), &server).unwrap()).collect();
    assert!(matches!(rig.asking.enter(address("::ffff:192.0.2.1".to_owned()), &server), Err(Denied::TooMany)));
}
