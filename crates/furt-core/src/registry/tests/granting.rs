//! Grants, owners, and what the configuration keeps for itself.

use super::{Command, Harness, definition_of, operator, policy, settings, source};
use crate::model::{
    AuthMethods, CidrSet, Grant, Host, Pattern, PermissionRule, PermissionSet, ServiceName, Sha256Digest,
};
use crate::registry::{Refusal, RegistrationPolicy, Source, StaticClaim, UnlistedRule};

fn grant() -> Grant {
    Grant {
        permissions: PermissionSet::new(
            ["comments:read", "mail:*"].iter().map(|text| PermissionRule::try_new(text).unwrap()).collect(),
        ),
        paths: ["/api/comments/*", "/exact"].iter().map(|text| Pattern::try_new(text).unwrap()).collect(),
        hosts: vec![Host::try_new("shop.example").unwrap()],
        upstreams: Some(CidrSet::try_new(&["127.0.0.0/8", "10.1.0.0/16"]).unwrap()),
        public: false,
        origins: Default::default(),
        auth: AuthMethods::api_key(),
        token: None,
        certificate: None,
    }
}

fn under(grant: Grant) -> Harness {
    let mut policy = policy();
    policy.grants.insert(ServiceName::try_new("a").unwrap(), grant.into());
    policy.unlisted = UnlistedRule::Deny;
    Harness::with(settings(policy), Vec::new())
}

/// What of a refusal counts here: its kind.
fn kind<T>(outcome: Result<T, Refusal>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(Refusal::TokenWrong) => "token",
        Err(Refusal::BeyondGrant(_)) => "beyond",
        Err(Refusal::NotOwner { .. }) => "owner",
        Err(Refusal::Taken { .. }) => "taken",
        Err(
            Refusal::Invalid(_)
            | Refusal::RoutesMissing
            | Refusal::OperatorsOnly
            | Refusal::AnotherIncarnation { .. }
            | Refusal::Replaced { .. }
            | Refusal::NoProbes
            | Refusal::NotFound(_)
            | Refusal::StoreFailed(_)
            | Refusal::Busy
            | Refusal::Key(_)
            | Refusal::NotInMaintenance(_)
            | Refusal::TooManyMaintenances
            | Refusal::NoSplit(_)
            | Refusal::TooManySplits
            | Refusal::NoGrant(_)
            | Refusal::ConfiguredGrant(_)
            | Refusal::TooManyGrants
            | Refusal::ChangedSince
            | Refusal::TooManyDifferences { .. },
        ) => "other",
    }
}

#[test]
fn a_service_registers_only_within_its_grant() {
    let everything = Grant { permissions: PermissionSet::new(vec![PermissionRule::All]), ..grant() };
    let public = Grant { public: true, ..grant() };
    let anywhere = Grant { upstreams: None, ..grant() };
    for (grant, routes, expected) in [
        (grant(), &["GET /exact comments:read"][..], "ok"),
        (grant(), &["GET /exact comments:write"], "beyond"),
        (grant(), &["GET /exact mail:send"], "ok"),
        (grant(), &["GET /exact mailer:send"], "beyond"),
        (everything.clone(), &["GET /exact whatever"], "ok"),
        (grant(), &["GET /api/comments/* comments:read"], "ok"),
        (grant(), &["GET /api/comments/a/* comments:read"], "ok"),
        (grant(), &["GET /api/comments comments:read"], "beyond"),
        (grant(), &["GET /api/* comments:read"], "beyond"),
        (grant(), &["GET /api/*/x comments:read"], "beyond"),
        (grant(), &["GET /exact/* comments:read"], "beyond"),
        (grant(), &["GET /exact"], "beyond"),
        (public, &["GET /exact"], "ok"),
        (everything, &["GET /exact"], "beyond"),
        (grant(), &["GET /exact comments:read", "GET /other comments:read"], "beyond"),
        (grant(), &[], "ok"),
    ] {
        assert_eq!(kind(under(grant).register(&Command::new("a", routes))), expected, "{routes:?}");
    }
    let command = Command::new("a", &["GET /exact comments:read"]);
    for (grant, command, expected) in [
        (grant(), command.clone().host("shop.example"), "ok"),
        (grant(), command.clone().host("other.example"), "beyond"),
        (grant(), command.clone().at("http://10.1.2.3", &[]), "ok"),
        (grant(), command.clone().at("http://10.2.2.3", &[]), "beyond"),
        (grant(), command.clone().at("http://a.example", &["10.1.0.1:80", "10.2.0.1:80"]), "beyond"),
        (anywhere.clone(), command.clone().at("http://10.2.2.3", &[]), "ok"),
        (anywhere, command.clone().at("http://11.0.0.1", &[]), "beyond"),
        (grant(), command.clone().from("10.9.9.9"), "ok"),
    ] {
        let shown = format!("{:?} {:?}", command.0.definition.host, command.0.addresses);
        assert_eq!(kind(under(grant).register(&command)), expected, "{shown}");
    }
    assert_eq!(kind(under(grant()).register(&Command::new("b", &[]))), "beyond", "unlisted services are denied");
}

#[test]
fn a_grant_with_a_token_asks_everyone_for_it() {
    let with_token = || under(Grant { token: Some(Sha256Digest::of(b"secret")), ..grant() });
    let command = Command::new("a", &["GET /exact comments:read"]);
    assert_eq!(kind(with_token().register(&command)), "token");
    assert_eq!(kind(with_token().register(&command.clone().token("guess"))), "token");
    let mut furt = with_token();
    assert_eq!(kind(furt.register(&command.clone().token("secret").from("10.0.0.1"))), "ok");
    assert_eq!(kind(furt.register(&command.clone().weight(2).token("secret").from("10.0.0.2"))), "ok");
    assert_eq!(kind(furt.deregister("a", source("127.0.0.1"))), "token");
    assert_eq!(kind(furt.heartbeat("a", source("10.0.0.2"))), "token");
    let holder = Source { token: Some(Sha256Digest::of(b"secret")), ..source("10.0.0.3") };
    assert_eq!(kind(furt.heartbeat("a", holder)), "ok");
    assert_eq!(kind(furt.deregister("a", operator("10.0.0.4"))), "ok");
}

#[test]
fn a_certificate_stands_for_a_token() {
    let (own, other) = (Sha256Digest::of(b"own"), Sha256Digest::of(b"other"));
    let with =
        |token: Option<&[u8]>| under(Grant { certificate: Some(own), token: token.map(Sha256Digest::of), ..grant() });
    let command = Command::new("a", &["GET /exact comments:read"]);
    for token in [None, Some(&b"secret"[..])] {
        assert_eq!(kind(with(token).register(&command)), "token");
        assert_eq!(kind(with(token).register(&command.clone().certificate(other))), "token");
        let mut furt = with(token);
        assert_eq!(kind(furt.register(&command.clone().certificate(own).from("10.0.0.1"))), "ok");
        assert_eq!(kind(furt.heartbeat("a", source("10.0.0.1"))), "token");
        assert_eq!(kind(furt.heartbeat("a", Source { certificate: Some(own), ..source("10.0.0.2") })), "ok");
    }
    assert_eq!(kind(with(Some(b"secret")).register(&command.clone().token("secret"))), "ok", "either will do");
    assert_eq!(kind(with(None).register(&command.token("own"))), "token");
}

#[test]
fn services_without_a_grant_follow_the_rule_for_them() {
    for (unlisted, from, expected) in [
        (UnlistedRule::Loopback, "127.0.0.1", "ok"),
        (UnlistedRule::Loopback, "::1", "ok"),
        (UnlistedRule::Loopback, "10.0.0.1", "beyond"),
        (UnlistedRule::Allow, "10.0.0.1", "ok"),
        (UnlistedRule::Deny, "127.0.0.1", "beyond"),
    ] {
        let mut furt = Harness::with(settings(RegistrationPolicy { unlisted, ..policy() }), Vec::new());
        assert_eq!(kind(furt.register(&Command::new("a", &["GET /a"]).from(from))), expected, "{unlisted:?} {from}");
    }
}

#[test]
fn no_instance_is_at_an_address_that_is_never_a_service() {
    let upstreams = CidrSet::try_new(&["0.0.0.0/0", "::/0"]).unwrap();
    let mut furt = Harness::with(settings(RegistrationPolicy { upstreams, ..policy() }), Vec::new());
    for never in ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "0.0.0.0"] {
        let by_name = Command::new("a", &["GET /a"]).at("http://a.example", &["10.0.0.1:80", &format!("{never}:80")]);
        assert_eq!(kind(furt.register(&by_name)), "beyond", "{never}");
        assert_eq!(
            kind(furt.register(&Command::new("a", &[]).at(&format!("http://{never}"), &[]))),
            "beyond",
            "{never}"
        );
    }
}

#[test]
fn only_its_registrant_loopback_or_an_operator_changes_a_service() {
    let registered = || {
        let mut furt = Harness::new();
        furt.register(&Command::new("a", &["GET /a"]).from("10.0.0.1")).unwrap();
        furt
    };
    for (who, expected) in [
        (source("10.0.0.1"), "ok"),
        (source("10.0.0.2"), "owner"),
        (source("127.0.0.1"), "ok"),
        (operator("10.0.0.2"), "ok"),
    ] {
        let as_who = |mut command: Command| {
            command.0.source = who.clone();
            command
        };
        let other_routes = as_who(Command::new("a", &["GET /b"]).id("a2"));
        assert_eq!(kind(registered().register(&other_routes)), expected, "definition by {who:?}");
        let other_place = as_who(Command::new("a", &["GET /a"]).at("http://10.0.0.9", &[]));
        assert_eq!(kind(registered().register(&other_place)), expected, "instance by {who:?}");
        assert_eq!(kind(registered().deregister("a", who.clone())), expected, "service leaves by {who:?}");
        assert_eq!(kind(registered().deregister("a/a", who.clone())), expected, "instance leaves by {who:?}");
        assert_eq!(kind(registered().heartbeat("a", who.clone())), expected, "heartbeat by {who:?}");
        assert_eq!(kind(registered().ask_for_probe("a", who.clone())), expected, "probe by {who:?}");
        let more = as_who(Command::new("a", &["GET /a"]).id("a2"));
        assert_eq!(kind(registered().register(&more)), "ok", "a further instance by {who:?}");
    }
}

#[test]
fn reserved_paths_and_foreign_app_hosts_cannot_be_registered() {
    for (route, host, expected) in [
        ("GET /health", None, "taken"),
        ("POST /health", Some("shop.example"), "taken"),
        ("GET /internal", None, "taken"),
        ("GET /internal/*", None, "taken"),
        ("GET /internal/a/b", None, "taken"),
        ("GET /healthy", None, "ok"),
        ("GET /internals", None, "ok"),
        ("GET /*", None, "ok"),
        ("GET /x", Some("a.internal"), "ok"),
        ("GET /x", Some("b.internal"), "taken"),
        ("GET /x", Some("x.b.internal"), "taken"),
        ("GET /x", Some("binternal"), "ok"),
    ] {
        let command = Command::new("a", &[route]);
        let command = host.map_or(command.clone(), |host| command.host(host));
        assert_eq!(kind(Harness::new().register(&command)), expected, "{route} on {host:?}");
    }
}

#[test]
fn static_routes_keep_their_shape_and_exclusive_ones_whatever_they_overlap() {
    for (fixed, exclusive, host, command, command_host, expected) in [
        ("GET /v1/x", false, None, "GET /v1/x", None, "taken"),
        ("* /v1/x", false, None, "* /v1/x", None, "taken"),
        ("GET /v1/x", false, None, "* /v1/x", None, "ok"),
        ("* /v1/x", false, None, "GET /v1/x", None, "ok"),
        ("GET /v1/x", true, None, "* /v1/x", None, "taken"),
        ("* /v1/x", true, None, "GET /v1/x", None, "taken"),
        ("GET /v1/x", false, None, "POST /v1/x", None, "ok"),
        ("GET /v1/x", false, None, "GET /v1/x", Some("shop.example"), "ok"),
        ("GET /v1/x", false, None, "GET /v1/*", None, "ok"),
        ("GET /v1/*", false, None, "GET /v1/x", None, "ok"),
        ("GET /v1/x", true, None, "GET /v1/x", Some("shop.example"), "taken"),
        ("GET /v1/x", true, None, "GET /v1/*", None, "taken"),
        ("GET /v1/x", true, None, "HEAD /v1/x", None, "taken"),
        ("GET /v1/x", true, None, "POST /v1/x", None, "ok"),
        ("GET /v1/x", true, Some("one.example"), "GET /v1/x", Some("two.example"), "taken"),
        ("GET /v1/x", true, None, "GET /v1/y", None, "ok"),
    ] {
        let route = definition_of("x", &[fixed]).routes.remove(0);
        let claim = StaticClaim {
            host: host.map(|host| Host::try_new(host).unwrap()),
            method: route.method,
            pattern: route.pattern,
            exclusive,
        };
        let mut furt =
            Harness::with(settings(RegistrationPolicy { static_routes: vec![claim], ..policy() }), Vec::new());
        let asked = Command::new("a", &[command]);
        let asked = command_host.map_or(asked.clone(), |host| asked.host(host));
        assert_eq!(kind(furt.register(&asked)), expected, "{fixed} {exclusive} {host:?}: {command} {command_host:?}");
    }
}

#[test]
fn a_service_without_routes_gives_way_to_static_routes_of_its_host_alone() {
    let claim = |host: Option<&str>, exclusive| StaticClaim {
        host: host.map(|host| Host::try_new(host).unwrap()),
        method: crate::model::MethodRule::Any,
        pattern: Pattern::try_new("/*").unwrap(),
        exclusive,
    };
    for (claim, expected) in
        [(claim(Some("a.internal"), false), "taken"), (claim(None, true), "ok"), (claim(None, false), "ok")]
    {
        let mut furt =
            Harness::with(settings(RegistrationPolicy { static_routes: vec![claim.clone()], ..policy() }), Vec::new());
        assert_eq!(kind(furt.register(&Command::new("a", &[]))), expected, "{claim:?}");
    }
}
