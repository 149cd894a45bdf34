//! Where the client is: the database and its replacement, the header of trusted proxies, and that near instances are asked.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use furt::config::GeoConfig;
use furt::geo::{Database, DatabaseError, Geo, Look};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::{furt, output_of};
use crate::support::mmdb::Mmdb;
use crate::support::{Answer, Gateway, Origin, SOON, eventually, public_service, throughout, with};

/// Germany, Brazil and Japan, and a network without a country.
fn world() -> Mmdb {
    Mmdb::new()
        .with("192.0.2.0/24", "DE")
        .with("198.51.100.0/25", "BR")
        .with("2001:db8::/32", "JP")
        .with_data("203.0.113.0/24", &json!({"continent": {"code": "EU"}}))
}

/// A folder with the file `name` of it, holding `bytes`.
fn folder_with(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("geo.mmdb");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Puts a file in the other's place in one step, as whatever updates databases should.
fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

fn country(database: &Database, address: &str) -> Option<String> {
    database.country(address.parse::<IpAddr>().unwrap()).map(|country| country.to_string())
}

fn why(result: Result<Database, DatabaseError>) -> String {
    format!("{:#}", anyhow::Error::from(result.unwrap_err()))
}

mod database {
    use super::*;

    #[test]
    fn the_writer_of_the_tests_writes_what_the_reader_verifies() {
        for database in [world(), Mmdb::v4().with("192.0.2.0/24", "DE")] {
            let reader = maxminddb::Reader::from_source(database.built_at(1_700_000_000).bytes()).unwrap();
            reader.verify().unwrap();
            assert_eq!(reader.metadata().build_epoch, 1_700_000_000);
            let found = reader.lookup("192.0.2.1".parse().unwrap()).unwrap();
            assert_eq!(found.network().unwrap().to_string(), "192.0.2.0/24");
            let decoded: maxminddb::geoip2::City<'_> = found.decode().unwrap().unwrap();
            assert_eq!(decoded.country.iso_code, Some("DE"));
        }
    }

    #[test]
    fn an_address_has_the_country_of_its_network() {
        let (_folder, path) = folder_with(&world().bytes());
        let database = Database::open(&path).unwrap();
        for (address, expected) in [
            ("192.0.2.0", Some("DE")),
            ("192.0.2.255", Some("DE")),
            ("::ffff:192.0.2.7", Some("DE")),
            ("192.0.3.0", None),
            ("198.51.100.127", Some("BR")),
            ("198.51.100.128", None),
            ("2001:db8:ffff::1", Some("JP")),
            ("2001:db9::", None),
            ("203.0.113.1", None),
            ("10.0.0.1", None),
            ("127.0.0.1", None),
            ("::1", None),
            ("255.255.255.255", None),
        ] {
            assert_eq!(country(&database, address).as_deref(), expected, "{address}");
        }
        let (_folder, path) = folder_with(&Mmdb::v4().with("192.0.2.0/24", "DE").bytes());
        let database = Database::open(&path).unwrap();
        assert_eq!(country(&database, "::ffff:192.0.2.7").as_deref(), Some("DE"));
        assert_eq!(country(&database, "2001:db8::1"), None);
    }

    #[test]
    fn the_header_of_a_trusted_peer_goes_before_the_database() {
        let (_folder, path) = folder_with(&world().bytes());
        let config = GeoConfig { database: Some(path), header: Some("x-country".parse().unwrap()), region: None };
        let geo = Geo::open(&config).unwrap();
        let located = |told: &'static str, is_peer_trusted| {
            let mut headers = http::HeaderMap::new();
            headers.insert("x-country", http::HeaderValue::from_static(told));
            let here = geo.locate(Some([192, 0, 2, 1].into()), &headers, is_peer_trusted);
            (here.country.unwrap().to_string(), here.region.unwrap().to_string())
        };
        assert_eq!(located("br", true), ("BR".to_owned(), "sa".to_owned()));
        assert_eq!(located("XX", true), ("DE".to_owned(), "eu".to_owned()));
        assert_eq!(located("br", false), ("DE".to_owned(), "eu".to_owned()));
    }

    #[test]
    fn what_is_no_database_of_countries_is_refused_with_the_reason() {
        let whole = world().bytes();
        let with_country = |code: &Value| Mmdb::new().with_data("192.0.2.0/24", code).bytes();
        for (bytes, expected) in [
            (Vec::new(), "is damaged or no database in MaxMind's format: invalid database: could not find"),
            (
                b"garbage".repeat(1000),
                "is damaged or no database in MaxMind's format: invalid database: could not find",
            ),
            (whole[..whole.len() / 2].to_vec(), "is damaged or no database in MaxMind's format"),
            (whole[300..].to_vec(), "is damaged or no database in MaxMind's format"),
            (with_country(&json!({"autonomous_system_number": 1})), "(of type \"Furt-Test\") names no country"),
            (with_country(&json!({"country": {"iso_code": "XX"}})), "(of type \"Furt-Test\") names no country"),
            (with_country(&json!({"country": "DE"})), "is damaged or no database in MaxMind's format"),
            (with_country(&json!({"country": {"iso_code": 49}})), "is damaged or no database in MaxMind's format"),
        ] {
            let (_folder, path) = folder_with(&bytes);
            let told = why(Database::open(&path));
            assert!(told.starts_with(expected), "{told}");
        }
        let (folder, path) = folder_with(&[]);
        assert_eq!(why(Database::open(folder.path())), "is no regular file");
        assert_eq!(why(Database::open("/dev/zero".as_ref())), "is no regular file");
        assert!(why(Database::open(&path.with_extension("gone"))).starts_with("cannot be read: No such file"));
        fs::File::options().write(true).open(&path).unwrap().set_len(furt::geo::MAX_DATABASE_BYTES + 1).unwrap();
        assert_eq!(why(Database::open(&path)), "has more than 256 MiB, the most that is read");
    }

    #[test]
    fn a_damaged_byte_anywhere_neither_panics_nor_takes_for_ever() {
        let whole = world().bytes();
        let (_folder, path) = folder_with(&whole);
        for (at, flip) in (0..whole.len()).zip([1, 0x80, 0xff].into_iter().cycle()) {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            if let Ok(database) = Database::open(&path) {
                for address in ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "::"] {
                    let _ = country(&database, address);
                }
            }
        }
    }

    #[test]
    fn a_tree_that_leads_into_itself_is_refused() {
        let mut bytes = Mmdb::new().with("192.0.2.0/24", "DE").bytes();
        // Both records of a node far down name the node itself.
        let node = 110;
        bytes[node * 6..][..6].copy_from_slice(&[0, 0, node as u8, 0, 0, node as u8]);
        let (_folder, path) = folder_with(&bytes);
        assert!(why(Database::open(&path)).contains("cycle"), "{}", why(Database::open(&path)));
        // Nodes that lead to the next one twice: no cycle, and 2^90 ways through it.
        for node in 0..90_usize {
            bytes[node * 6..][..6].copy_from_slice(&[0, 0, node as u8 + 1, 0, 0, node as u8 + 1]);
        }
        bytes[110 * 6..][..6].copy_from_slice(&[0, 0, 111, 0, 0, 111]);
        fs::write(&path, &bytes).unwrap();
        assert!(why(Database::open(&path)).starts_with("is damaged"), "{}", why(Database::open(&path)));
    }

    #[test]
    fn a_new_file_takes_the_old_ones_place_and_a_bad_one_does_not() {
        let (_folder, path) = folder_with(&world().bytes());
        let database = Database::open(&path).unwrap();
        let holds = |expected: &str| assert_eq!(country(&database, "192.0.2.1").as_deref(), Some(expected));
        assert_eq!(database.look().unwrap(), Look::Same);

        replace(&path, &Mmdb::new().with("192.0.2.0/24", "FR").built_at(5).bytes());
        assert_eq!(database.look().unwrap(), Look::Replaced);
        holds("FR");
        assert_eq!((database.built_seconds(), database.look().unwrap()), (5, Look::Same));

        replace(&path, b"garbage");
        assert!(matches!(database.look(), Err(DatabaseError::Damaged(_))));
        assert_eq!(database.look().unwrap(), Look::Same);
        holds("FR");
        fs::remove_file(&path).unwrap();
        assert!(matches!(database.look(), Err(DatabaseError::Unreadable(_))));
        assert_eq!(database.look().unwrap(), Look::Same);
        fs::create_dir(&path).unwrap();
        assert!(matches!(database.look(), Err(DatabaseError::NotRegular)));
        fs::remove_dir(&path).unwrap();
        assert!(database.look().is_err());
        holds("FR");

        fs::write(&path, world().bytes()).unwrap();
        assert_eq!(database.look().unwrap(), Look::Replaced);
        holds("DE");
    }
}

/// A gateway that stands behind a trusted proxy, the test, with what `[geo]` says.
async fn gateway(geo: &str) -> Gateway {
    Gateway::start(&format!("[server]\ntrusted_proxies = ['127.0.0.0/8']\n[geo]\n{geo}")).await
}

/// One in Europe, one in South America, one in the region `lab` that is no country's.
struct Fleet([Origin; 3]);

impl Fleet {
    /// As instances of the service `shop` at `/shop`.
    async fn register(gateway: &Gateway, changes: Value) -> Self {
        let origins = [Origin::named("eu").await, Origin::named("sa").await, Origin::named("lab").await];
        for (origin, (region, country)) in origins.iter().zip([("eu", "FR"), ("sa", "BR"), ("lab", "JP")]) {
            let instance = json!({"instance": region, "region": region, "country": country});
            gateway
                .registered(&with(with(public_service("shop", &origin.url(), "/shop"), instance), changes.clone()))
                .await;
        }
        Self(origins)
    }
}

/// Who answers a client at `address`, by the word of the proxy, which says `headers` too.
async fn answering(gateway: &Gateway, address: &str, headers: &[(&str, &str)]) -> String {
    let request = gateway.anonymous(Method::GET, "/shop").header("x-forwarded-for", address);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::of(request).await.ok()["origin"].as_str().unwrap().to_owned()
}

/// Whether so many requests in a row are answered by the one.
async fn always_by(expected: &str, gateway: &Gateway, address: &str, headers: &[(&str, &str)]) {
    for _ in 0..6 {
        assert_eq!(answering(gateway, address, headers).await, expected, "{address} {headers:?}");
    }
}

#[tokio::test]
async fn a_client_is_answered_by_an_instance_in_its_country_or_region() {
    let (_folder, path) = folder_with(&world().bytes());
    let gateway = gateway(&format!("region = 'lab'\ndatabase = '{}'", path.display())).await;
    let mut fleet = Fleet::register(&gateway, json!({})).await;
    always_by("eu", &gateway, "192.0.2.1", &[]).await;
    always_by("eu", &gateway, "::ffff:192.0.2.1", &[]).await;
    always_by("sa", &gateway, "198.51.100.1", &[]).await;
    always_by("lab", &gateway, "2001:db8::1", &[]).await;
    // Whom the database does not know: the gateway's own region.
    for address in ["203.0.113.1", "10.1.2.3", "8.8.8.8", "2a00::1"] {
        always_by("lab", &gateway, address, &[]).await;
    }
    // The near one gone, the gateway's region is next.
    fleet.0[0].stop().await;
    always_by("lab", &gateway, "192.0.2.1", &[]).await;
}

#[tokio::test]
async fn services_that_do_not_choose_by_place_are_asked_in_turn() {
    let (_folder, path) = folder_with(&world().bytes());
    let gateway = gateway(&format!("region = 'lab'\ndatabase = '{}'", path.display())).await;
    let _fleet = Fleet::register(&gateway, json!({"policy": "round_robin"})).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..6 {
        seen.insert(answering(&gateway, "192.0.2.1", &[]).await);
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test]
async fn a_trusted_proxys_header_names_the_country_and_a_strangers_does_not() {
    let gateway = gateway("region = 'lab'\nheader = 'CF-IPCountry'").await;
    let _fleet = Fleet::register(&gateway, json!({})).await;
    always_by("eu", &gateway, "192.0.2.1", &[("cf-ipcountry", "DE")]).await;
    always_by("sa", &gateway, "192.0.2.1", &[("CF-IPCountry", "br")]).await;
    for told in [
        &[("cf-ipcountry", "XX")][..],
        &[("cf-ipcountry", "T1")],
        &[("cf-ipcountry", "BR"), ("cf-ipcountry", "FR")],
        &[],
    ] {
        always_by("lab", &gateway, "192.0.2.1", told).await;
    }
    let echo = |request: reqwest::RequestBuilder| async {
        Answer::of(request.header("cf-ipcountry", "BR").header("cf_ipcountry", "BR")).await.ok()
    };
    let told = echo(gateway.anonymous(Method::GET, "/shop")).await;
    assert_eq!((&told["origin"], &told["headers"]["cf-ipcountry"]), (&json!("sa"), &json!(["BR"])));

    let strangers = Gateway::start("[geo]\nregion = 'lab'\nheader = 'CF-IPCountry'").await;
    assert!(strangers.log().contains("geo.header is never believed"), "{}", strangers.log());
    let _fleet = Fleet::register(&strangers, json!({})).await;
    always_by("lab", &strangers, "192.0.2.1", &[("cf-ipcountry", "BR")]).await;
    let told = echo(strangers.anonymous(Method::GET, "/shop")).await;
    assert_eq!((&told["headers"]["cf-ipcountry"], &told["headers"]["cf_ipcountry"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_new_database_is_in_force_soon_and_a_bad_or_missing_one_changes_nothing() {
    let (_folder, path) = folder_with(&world().built_at(1_700_000_000).bytes());
    let gateway = gateway(&format!("database = '{}'", path.display())).await;
    let _fleet = Fleet::register(&gateway, json!({})).await;
    always_by("eu", &gateway, "192.0.2.1", &[]).await;
    let metrics = async || Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    let becomes = async |line: &str| {
        eventually(line, SOON, async || metrics().await.lines().any(|one| one == line).then_some(())).await;
    };
    becomes("furt_geo_database_build_timestamp_seconds 1700000000").await;
    becomes("furt_geo_database_current 1").await;

    replace(&path, &Mmdb::new().with("192.0.2.0/24", "AR").built_at(1_700_000_001).bytes());
    becomes("furt_geo_database_build_timestamp_seconds 1700000001").await;
    always_by("sa", &gateway, "192.0.2.1", &[]).await;
    becomes("furt_geo_database_reloads_total{outcome=\"replaced\"} 1").await;

    replace(&path, b"garbage");
    becomes("furt_geo_database_current 0").await;
    always_by("sa", &gateway, "192.0.2.1", &[]).await;
    fs::remove_file(&path).unwrap();
    becomes("furt_geo_database_reloads_total{outcome=\"kept\"} 2").await;
    let told = |what: &str| gateway.log().lines().filter(|line| line.contains(what)).count();
    // Longer than the file is left alone between two looks.
    throughout("the old one is in force", std::time::Duration::from_secs(3), async || {
        answering(&gateway, "192.0.2.1", &[]).await == "sa"
    })
    .await;
    assert_eq!((told("is damaged or no database"), told("cannot be read: No such file")), (1, 1), "{}", gateway.log());

    replace(&path, &world().built_at(1_700_000_002).bytes());
    becomes("furt_geo_database_build_timestamp_seconds 1700000002").await;
    becomes("furt_geo_database_current 1").await;
    always_by("eu", &gateway, "192.0.2.1", &[]).await;
}

#[tokio::test]
async fn a_database_that_could_not_be_read_for_a_moment_is_tried_again() {
    let (_folder, path) = folder_with(&world().built_at(1_700_000_000).bytes());
    let gateway = gateway(&format!("database = '{}'", path.display())).await;
    gateway.limit_open_files(3);
    replace(&path, &world().built_at(1_700_000_001).bytes());
    let told = || gateway.log().lines().filter(|line| line.contains("cannot be read")).count();
    eventually("it is told", SOON, async || (told() > 0).then_some(())).await;
    // Longer than the file is left alone between two looks.
    throughout("told once", std::time::Duration::from_secs(3), async || told() == 1).await;
    gateway.limit_open_files(1024);
    eventually("it is in force", SOON, async || {
        let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
        metrics.contains("furt_geo_database_build_timestamp_seconds 1700000001").then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_database_none_is_shown() {
    let gateway = Gateway::start("").await;
    assert!(!Answer::of(gateway.operate(Method::GET, "/metrics")).await.body.contains("furt_geo"));
}

#[tokio::test]
async fn a_start_with_a_database_that_cannot_be_used_ends_with_one_line() {
    let (folder, path) = folder_with(b"garbage");
    let gone = folder.path().join("gone");
    for (path, why) in [
        (path.as_path(), "is damaged or no database in MaxMind's format: invalid database: could not find"),
        (gone.as_path(), "cannot be read: No such file"),
        (folder.path(), "is no regular file"),
    ] {
        let config = folder.path().join("furt.toml");
        let text = "server.listen = '127.0.0.1:0'\ninternal.listen = '127.0.0.1:0'\nstore.kind = 'memory'";
        fs::write(&config, format!("{text}\ngeo.database = '{}'", path.display())).unwrap();
        let output = output_of(furt(&["run", "--config", config.to_str().unwrap()])).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(&format!("geo.database: {} {why}", path.display())), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[tokio::test]
async fn explain_says_where_a_client_is_and_how_far_the_instances_are() {
    let (_folder, path) = folder_with(&world().bytes());
    let gateway = gateway(&format!("region = 'lab'\ndatabase = '{}'", path.display())).await;
    let _fleet = Fleet::register(&gateway, json!({})).await;
    let explained = async |client: &str| gateway.seen(&format!("/internal/explain?method=GET&url=/shop{client}")).await;
    assert!(explained("").await.get("client").is_none());
    let client = explained("&client=192.0.2.1").await["client"].take();
    assert_eq!((&client["country"], &client["region"]), (&json!("DE"), &json!("eu")));
    assert_eq!((&client["gateway_region"], &client["chosen_by_place"]), (&json!("lab"), &json!(true)));
    let far: Vec<_> =
        client["instances"].as_array().unwrap().iter().map(|one| (&one["instance"], &one["distance"])).collect();
    assert_eq!(far, [(&json!("eu"), &json!(1)), (&json!("lab"), &json!(2)), (&json!("sa"), &json!(3))]);
    let unknown = explained("&client=10.0.0.1").await["client"].take();
    assert_eq!((&unknown["country"], &unknown["instances"][0]["instance"]), (&Value::Null, &json!("lab")));
    let bad = Answer::of(gateway.operate(Method::GET, "/internal/explain?method=GET&url=/shop&client=here")).await;
    bad.problem(422, "invalid-parameters");
    assert_eq!(explained("/nowhere&client=192.0.2.1").await["client"]["instances"], json!([]));

    let output = gateway.cli(&["explain", "GET", "/shop", "--client", "198.51.100.1"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("client 198.51.100.1: country BR, region sa; the gateway's region: lab"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("sa ") && line.ends_with("in the client's country")), "{text}");
    assert_eq!(gateway.cli(&["explain", "GET", "/shop", "--client", "here"]).await.status.code(), Some(2));
}
