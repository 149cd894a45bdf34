//! How fast one gateway knows what the other one was told.

use std::time::{Duration, Instant};

use crate::foreign::Etcd;
use crate::gateways::{agree, leave, pair, shared_service, status};
use crate::support::{Origin, SOON};

const REGISTRATIONS: usize = 1_000;

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_registrations_at_one_gateway_are_asked_for_at_the_other() {
    for members in [1, 3] {
        let etcd = Etcd::start(members, crate::foreign::etcd::Options::default()).await;
        let origin = Origin::start().await;
        let [a, b] = pair(&etcd).await;
        let (mut answered, mut routed, mut slow) = (Vec::new(), Vec::new(), 0);
        for number in 0..REGISTRATIONS {
            let service = format!("s{number}");
            let begin = Instant::now();
            a.registered(&shared_service(&service, &origin.url())).await;
            answered.push(begin.elapsed());
            let answer = Instant::now();
            while status(&b, &format!("/{service}")).await != 200 {
                assert!(answer.elapsed() < SOON, "{service} is not routed");
            }
            routed.push(answer.elapsed());
            slow += usize::from(answer.elapsed() > Duration::from_millis(100));
        }
        println!("{members} members: registration answered {}", percentiles(answered));
        println!("{members} members: routed at the other after the answer {}", percentiles(routed));
        assert_eq!(slow, 0, "slower than 100 ms");
        let mut gone = Vec::new();
        for number in 0..REGISTRATIONS {
            let service = format!("s{number}");
            leave(&a, &service).await.ok();
            let answer = Instant::now();
            while status(&b, &format!("/{service}")).await == 200 {
                assert!(answer.elapsed() < SOON, "{service} is still routed");
            }
            gone.push(answer.elapsed());
        }
        println!("{members} members: gone at the other after the answer {}", percentiles(gone));
        agree(&[a, b], &etcd).await;
    }
}
