use super::*;

fn spec(shares: &[(&str, f64)]) -> SplitSpec {
    let share = |(version, share): &(&str, f64)| SplitVersion {
        version: Version::try_new(version).unwrap(),
        share: Percentage::try_percent(*share).unwrap(),
    };
    SplitSpec { versions: shares.iter().map(share).collect(), header: None, strict: false }
}

/// The same as plainly as it can be written: a list of 10,000 places.
fn naive(shares: &[(&str, f64)], caller: u64) -> String {
    let named = shares.iter().flat_map(|(version, share)| vec![*version; (share * 100.0).round() as usize]);
    let places: Vec<_> = named.chain(std::iter::repeat("stable")).take(10_000).collect();
    places[(caller % 10_000) as usize].to_owned()
}

#[test]
fn what_a_split_says_goes_together() {
    for good in [&[("a", 0.0)][..], &[("a", 100.0)], &[("a", 60.0), ("b", 40.0), ("c", 0.0)]] {
        assert_eq!(spec(good).check(), Ok(()), "{good:?}");
    }
    let nine: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|version| (version, 1.0)).to_vec();
    for bad in [&[][..], &nine, &[("a", 1.0), ("a", 2.0)], &[("stable", 1.0)], &[("a", 60.0), ("b", 40.01)]] {
        assert!(spec(bad).check().is_err(), "{bad:?}");
    }
    for (header, is_good) in
        [("x-canary", true), ("connection", false), ("x-api-key", false), ("x-forwarded-for", false)]
    {
        let header = Some(HeaderName::from_static(header));
        assert_eq!(SplitSpec { header, ..spec(&[("a", 1.0)]) }.check().is_ok(), is_good);
    }
}

#[test]
fn choosing_does_what_the_naive_list_does() {
    let mut random = fastrand::Rng::with_seed(7);
    let names = ["a", "b", "c", "d"];
    for _ in 0..200 {
        let mut left = 10_000_u16;
        let shares: Vec<_> = names[..random.usize(1..=4)]
            .iter()
            .map(|name| {
                let points = random.u16(..=left);
                left -= points;
                (*name, f64::from(points) / 100.0)
            })
            .collect();
        let spec = spec(&shares);
        assert_eq!(f64::from(spec.rest().points()), f64::from(left), "{shares:?}");
        for _ in 0..200 {
            let caller = random.u64(..);
            assert_eq!(spec.name_of(spec.choose(None, caller)), naive(&shares, caller), "{shares:?} {caller}");
        }
    }
}

#[test]
fn the_header_goes_before_the_share_and_says_a_side_or_nothing() {
    let spec = spec(&[("a", 0.0), ("b", 100.0)]);
    let by_share = Side::Version(1);
    for (asked, expected) in [
        (None, by_share),
        (Some("a"), Side::Version(0)),
        (Some("b"), Side::Version(1)),
        (Some("stable"), Side::Stable),
        (Some("A"), by_share),
        (Some(" a"), by_share),
        (Some(""), by_share),
        (Some("c"), by_share),
    ] {
        for caller in [0, 5_000, 9_999, u64::MAX] {
            assert_eq!(spec.choose(asked.map(str::as_bytes), caller), expected, "{asked:?}");
        }
    }
    assert_eq!(spec.choose(Some(b"\xff"), 0), by_share);
}

#[test]
fn a_share_of_nothing_has_nobody_and_one_of_all_has_everybody() {
    for caller in 0..10_000 {
        assert_eq!(spec(&[("a", 0.0)]).choose(None, caller), Side::Stable);
        assert_eq!(spec(&[("a", 0.0), ("b", 100.0)]).choose(None, caller), Side::Version(1));
    }
}

#[test]
fn a_ramp_moves_each_caller_once_and_from_the_rest_alone() {
    for caller in 0..10_000 {
        let mut sides: Vec<_> = (0..=100).map(|share| spec(&[("a", f64::from(share))]).choose(None, caller)).collect();
        sides.dedup();
        assert_eq!(sides, [Side::Stable, Side::Version(0)], "{caller}");
        // Behind another one, whose callers stay.
        let of_last = |share: u32| spec(&[("a", 30.0), ("b", f64::from(share))]).choose(None, caller);
        let mut sides: Vec<_> = (0..=70).map(of_last).collect();
        sides.dedup();
        let expected = if caller < 3_000 { vec![Side::Version(0)] } else { vec![Side::Stable, Side::Version(1)] };
        assert_eq!(sides, expected, "{caller}");
    }
}

#[test]
fn an_instance_is_on_the_side_of_its_version() {
    let spec = spec(&[("a", 5.0), ("b", 5.0)]);
    for (version, expected) in
        [(Some("a"), Side::Version(0)), (Some("b"), Side::Version(1)), (Some("c"), Side::Stable), (None, Side::Stable)]
    {
        let version = version.map(|text| Version::try_new(text).unwrap());
        assert_eq!(spec.side_of(version.as_ref()), expected);
    }
}
