//! Who says that answers are compressed, and that it does not go together with credentials of `cors`.

use super::*;
use crate::support::Answer;

const APP: &str = "https://app.example.org";

/// Whether the answer at each path is compressed.
async fn compresses<const N: usize>(gateway: &Gateway, paths: [&str; N]) -> [bool; N] {
    let mut found = [false; N];
    for (path, found) in paths.iter().zip(&mut found) {
        let got = ask(gateway, Method::GET, path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(got.status, 200, "{path}");
        *found = got.header("content-encoding") == "gzip";
    }
    found
}

fn route(path: &str, more: Value) -> Value {
    with(json!({"method": "GET", "path": path}), more)
}

async fn started() -> (Gateway, Answers) {
    (Gateway::start("").await, Answers::start(|_| ok(&[("content-type", "text/html")], &text(4096))).await)
}

#[tokio::test]
async fn the_route_s_word_stands_for_the_service_s_and_the_operator_s_for_both() {
    let (gateway, service) = started().await;
    let routes = json!([
        route("/s/a", json!({})),
        route("/s/false", json!({"compress": false})),
        route("/s/null", json!({"compress": null})),
        route("/s/true", json!({"compress": true})),
    ]);
    let paths = ["/s/a", "/s/false", "/s/null", "/s/true"];
    let body = |more: Value| with(public_service("s", &service.url(), "/s"), with(json!({"routes": routes}), more));
    for (more, expected) in [
        (json!({}), [false, false, false, true]),
        (json!({"compress": null}), [false, false, false, true]),
        (json!({"compress": false}), [false, false, false, true]),
        (json!({"compress": true}), [true, false, false, true]),
    ] {
        gateway.registered(&body(more.clone())).await;
        assert_eq!(compresses(&gateway, paths).await, expected, "{more}");
    }
    let shown = Answer::of(gateway.operate(Method::GET, "/internal/services/s")).await.ok();
    let said: Vec<_> = shown["routes"].as_array().unwrap().iter().map(|one| one["compress"].clone()).collect();
    assert_eq!((&shown["compress"], said), (&json!(true), vec![json!(null), json!(false), json!(false), json!(true)]));

    for (rules, expected) in [
        ("[[rules]]\ncompress = false\n", [false; 4]),
        ("[[rules]]\nservice = 's'\ncompress = true\n", [true; 4]),
        ("[[rules]]\ncompress = true\n[[rules]]\npath = '/s/null'\ncompress = false\n", [true, true, false, true]),
        ("", [true, false, false, true]),
    ] {
        assert_eq!(gateway.reloaded(rules).await["skipped_rules"], json!([]), "{rules}");
        assert_eq!(compresses(&gateway, paths).await, expected, "{rules}");
    }
    gateway.reloaded("[[rules]]\npath = '/s/false'\ncompress = true\n").await;
    let told = |path: &str| {
        let url = format!("/internal/explain?method=GET&url={path}");
        Answer::of(gateway.operate(Method::GET, &url))
    };
    for (path, said_by) in [("/s/a", "service"), ("/s/true", "route"), ("/s/false", "rule")] {
        let option = told(path).await.ok()["options"][0].clone();
        assert_eq!(
            (&option["name"], &option["value"], &option["said_by"]),
            (&json!("compress"), &json!("on"), &json!(said_by))
        );
    }
}

#[tokio::test]
async fn a_static_route_is_compressed_where_a_rule_says_so() {
    let (gateway, service) = started().await;
    let tail = format!(
        "[[routes]]\nmethod = 'GET'\npath = '/url'\nurl = '{}'\n\
         [[routes]]\nmethod = 'GET'\npath = '/text'\nrespond.body = '{}'\n\
         [[rules]]\ncompress = true\n",
        service.url(),
        text(4096)
    );
    gateway.reloaded(&tail).await;
    assert_eq!(compresses(&gateway, ["/url", "/text"]).await, [true, false], "furt's own answers are not");
}

#[tokio::test]
async fn what_does_not_go_together_in_one_registration_is_told_by_its_pointer() {
    let (gateway, service) = started().await;
    let with_credentials = json!({"origins": [APP], "credentials": true});
    let without = json!({"origins": [APP]});
    for (more, routes, pointers) in [
        (json!({"compress": true, "cors": with_credentials}), json!([route("/s", json!({}))]), vec!["/compress"]),
        (json!({"compress": true, "cors": with_credentials}), json!([]), vec!["/compress"]),
        (
            json!({"compress": true, "cors": with_credentials}),
            json!([route("/a", json!({})), route("/b", json!({})), route("/c", json!({"compress": true}))]),
            vec!["/compress", "/routes/2/compress"],
        ),
        (
            json!({"compress": true}),
            json!([route("/a", json!({})), route("/b", json!({"cors": with_credentials}))]),
            vec!["/compress"],
        ),
        (
            json!({"cors": with_credentials}),
            json!([route("/a", json!({})), route("/b", json!({"compress": true}))]),
            vec!["/routes/1/compress"],
        ),
        (
            json!({"compress": "yes"}),
            json!([route("/a", json!({"compress": 1}))]),
            vec!["/compress", "/routes/0/compress"],
        ),
    ] {
        let body = with(with(public_service("s", &service.url(), "/s"), json!({"routes": routes})), more.clone());
        assert_eq!(gateway.register(&body).await.invalid_fields(), pointers, "{more} {routes}");
    }
    for (more, routes) in [
        (json!({"compress": true, "cors": without}), json!([route("/s/a", json!({}))])),
        (json!({"compress": true, "cors": with_credentials}), json!([route("/s/a", json!({"compress": false}))])),
        (json!({"compress": true, "cors": with_credentials}), json!([route("/s/a", json!({"cors": null}))])),
        (json!({"compress": false, "cors": with_credentials}), json!([route("/s/a", json!({}))])),
    ] {
        let body = with(with(public_service("s", &service.url(), "/s"), json!({"routes": routes})), more);
        gateway.registered(&body).await;
    }
}

#[tokio::test]
async fn what_does_not_go_together_in_one_rule_is_an_error() {
    let gateway = Gateway::start("").await;
    gateway.configure(&format!("[[rules]]\ncors = {{ origins = ['{APP}'], credentials = true }}\ncompress = true\n"));
    let refused = gateway.reload().await.problem(422, "invalid-config");
    let text = refused.to_string();
    assert!(text.contains("rules") && text.contains("compress") && text.contains("credentials"), "{text}");
    let tail = "[compression]\nencodings = ['gzip', 'gzip']\nmin_size = '2MiB'\ntypes = ['*/*']\nmax_memory = '1MiB'\n[[rules]]\ncompress = 1\n";
    gateway.configure(tail);
    let text = gateway.reload().await.problem(422, "invalid-config").to_string();
    for key in [
        "compression.encodings",
        "compression.min_size",
        "compression.types",
        "compression.max_memory",
        "rules.compress",
    ] {
        assert!(text.contains(key), "{key}: {text}");
    }
}

#[tokio::test]
async fn what_a_service_itself_lets_pages_read_with_credentials_is_not_compressed() {
    let service = Answers::start(|_| {
        let allows = [("access-control-allow-origin", APP), ("access-control-allow-credentials", "true")];
        ok(&[&[("content-type", "text/html")][..], &allows].concat(), &text(4096))
    })
    .await;
    let gateway = Gateway::start("").await;
    let routes = json!([route("/s/a", json!({})), route("/s/b", json!({"cors": {"origins": [APP]}}))]);
    let body = with(public_service("s", &service.url(), "/s"), json!({"routes": routes, "compress": true}));
    gateway.registered(&body).await;
    assert_eq!(compresses(&gateway, ["/s/a", "/s/b"]).await, [false, true], "furt's cors stands for the service's");
}

#[tokio::test]
async fn what_a_rule_brings_together_is_not_compressed_and_told() {
    let (gateway, service) = started().await;
    let routes = json!([
        route("/s/a", json!({})),
        route("/s/b", json!({"cors": {"origins": [APP], "credentials": true}, "compress": false}))
    ]);
    let body = with(public_service("s", &service.url(), "/s"), json!({"routes": routes, "compress": true}));
    gateway.registered(&body).await;
    for (rules, expected, routes) in [
        ("[[rules]]\ncompress = true\n".to_owned(), [true, false], vec!["GET /s/b"]),
        (
            format!("[[rules]]\ncors = {{ origins = ['{APP}'], credentials = true }}\n"),
            [false, false],
            vec!["GET /s/a"],
        ),
        (format!("[[rules]]\ncors = {{ origins = ['{APP}'] }}\ncompress = true\n"), [true, true], vec![]),
    ] {
        let reloaded = gateway.reloaded(&rules).await;
        let told: Vec<_> = reloaded["skipped_rules"].as_array().into_iter().flatten().collect();
        assert_eq!(told.iter().map(|one| one["route"].as_str().unwrap()).collect::<Vec<_>>(), routes, "{reloaded}");
        assert!(told.iter().all(|one| one["why"].as_str().unwrap().contains("compress")), "{reloaded}");
        assert_eq!(compresses(&gateway, ["/s/a", "/s/b"]).await, expected, "{rules}");
        let warns = |shown: &Value| {
            let warnings = shown["warnings"].as_array().into_iter().flatten();
            warnings
                .filter(|one| one.as_str().unwrap().contains("compress and cors that allows credentials come together"))
                .count()
        };
        let shown = Answer::of(gateway.operate(Method::GET, "/internal/services/s")).await.ok();
        assert_eq!(warns(&shown), routes.len(), "{shown}");
        for path in ["/s/a", "/s/b"] {
            let url = format!("/internal/explain?method=GET&url={path}");
            let told = Answer::of(gateway.operate(Method::GET, &url)).await.ok();
            assert_eq!(warns(&told), usize::from(routes.contains(&format!("GET {path}").as_str())), "{told}");
        }
    }
}
