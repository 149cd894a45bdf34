//! Servers that are asked whether requests may come.

use super::check;
use crate::config::Config;

/// An entry with these lines.
fn entry(more: &str) -> String {
    format!("[[forward_auth]]\nname = 'a'\n{more}")
}

#[test]
fn an_entry_needs_a_name_of_its_own_and_a_url() {
    check(&[
        (
            "[[forward_auth]]",
            &[
                "1:1: forward_auth.name: is missing; every [[forward_auth]] needs it",
                "1:1: forward_auth.url: is missing; every [[forward_auth]] needs it",
            ],
        ),
        (
            "[[forward_auth]]\nname = 'key'\nurl = 'http://a'\n[[forward_auth]]\nname = 'b'\nurl = 'http://a'\n[[forward_auth]]\nname = 'b'\nurl = 'http://b'",
            &[
                "2:8: forward_auth.name: \"key\" is not a name; must not be \"key\", which stands for API keys",
                "8:8: forward_auth.name: \"b\" is the server in line 5 already; must be unique",
            ],
        ),
    ]);
    let entries = |count: usize| -> String {
        (0..count).map(|number| format!("[[forward_auth]]\nname = 'a{number}'\nurl = 'http://a'\n")).collect()
    };
    assert!(Config::parse("furt.toml", &entries(16), &|_| None).is_ok());
    check(&[(&entries(18), &["49:1: forward_auth: is one too many; must be at most 16"])]);
}

#[test]
fn a_url_has_what_a_question_needs_and_no_secret() {
    const FORM: &str = "must be an http or https url, such as \"http://auth.internal:9091/api/authz/forward-auth\"";
    let plain = "would send cookies and tokens in plain text to a public address; must be https://, or an address of loopback or a \
                 private network";
    let never = "has an address that no server may have; must be another";
    for (url, why) in [
        ("", format!("is not a url; {FORM}")),
        ("auth.example/verify", format!("is not a url; {FORM}")),
        ("ftp://auth.example", format!("is of a scheme that cannot be asked; {FORM}")),
        ("unix:/run/auth", format!("is of a scheme that cannot be asked; {FORM}")),
        ("https://u@auth.example", "has a user or a password in it; must be without".to_owned()),
        ("https://:secret@auth.example", "has a user or a password in it; must be without".to_owned()),
        ("https://auth.example/#a", "has a fragment, which no server gets; must be without \"#\"".to_owned()),
        ("https://auth.example:0", "has the port 0; must be from 1 to 65535".to_owned()),
        ("http://192.0.2.1", plain.to_owned()),
        ("http://0xC0000201", plain.to_owned()),
        ("http://100.128.0.1", plain.to_owned()),
        ("http://[2001:db8::1]", plain.to_owned()),
        ("http://[::ffff:192.0.2.1]", plain.to_owned()),
        ("http://169.254.169.254/verify", never.to_owned()),
        ("https://0.0.0.0", never.to_owned()),
        ("https://[fe80::1]", never.to_owned()),
    ] {
        check(&[(&entry(&format!("url = '{url}'")), &[&format!("3:7: forward_auth.url: {why}")])]);
    }
    for url in [
        "http://auth",
        "http://auth.example:9091/verify?rd=https://a/",
        "http://127.0.0.1",
        "http://[::1]:9091",
        "http://10.0.0.1",
        "http://172.31.0.1",
        "http://192.168.0.1",
        "http://100.64.0.1",
        "http://[fd00::1]",
        "http://[::ffff:10.0.0.1]",
        "https://192.0.2.1",
        "https://[2001:db8::1]/",
    ] {
        let config = Config::parse("furt.toml", &entry(&format!("url = '{url}'")), &|_| None);
        assert!(config.is_ok(), "{url}: {config:?}");
    }
}

#[test]
fn headers_that_furt_answers_for_are_nobody_else_s() {
    let asked = "is furt's own to send; must be another header";
    let no_name = "must be the name of a header, such as \"Remote-Groups\"";
    for (header, why) in [
        ("Host", asked),
        ("content-length", asked),
        ("Transfer_Encoding", asked),
        ("Connection", asked),
        ("Expect", asked),
        ("Upgrade", asked),
        ("TE", asked),
        ("Proxy-Authorization", asked),
        ("Proxy_Connection", asked),
        ("HTTP2-Settings", asked),
        ("Forwarded", asked),
        ("X-Forwarded-For", asked),
        ("x_forwarded_uri", asked),
        ("X.Forwarded-Prefix", asked),
        ("a b", no_name),
        ("", no_name),
    ] {
        let message = format!("4:20: forward_auth.request_headers: \"{header}\" is not a header to ask with; {why}");
        check(&[(&entry(&format!("url = 'http://a'\nrequest_headers = ['{header}']")), &[&message])]);
    }
    let own = "is furt's own to set; must be another header";
    let of_clients =
        "would be removed from the requests of all clients, so that no service gets it; must be another header";
    let cookie = "is for the client, which gets it anyway; must be another header";
    for (header, why) in [
        ("X-Auth-Subject", own),
        ("x-auth-issuer", own),
        ("X_Auth_Permissions", own),
        ("X_Auth_Request_User", own),
        ("X-API-Key-Name", own),
        ("X-Forwarded-User", own),
        ("Connection", own),
        ("Set-Cookie", cookie),
        ("set_cookie", cookie),
        ("Authorization", of_clients),
        ("Cookie", of_clients),
        ("Content_Type", of_clients),
        ("If-None-Match", of_clients),
        ("_user", "must begin with a letter or a digit"),
        ("a b", no_name),
    ] {
        let of = |place: &str| format!("{place}: \"{header}\" is not a header to copy; {why}");
        let text = entry(&format!("url = 'http://a'\ncopy = ['{header}']\nuser = '{header}'"));
        check(&[(&text, &[&of("4:9: forward_auth.copy"), &of("5:8: forward_auth.user")])]);
    }
    let many = |count: usize| (0..count).map(|number| format!("'x-{number}', ")).collect::<String>();
    for key in ["request_headers", "copy"] {
        let of = |message: &str| format!("4:{}: forward_auth.{key}: {message}", key.len() + 4);
        let text = entry(&format!("url = 'http://a'\n{key} = [{}]", many(33)));
        check(&[(&text, &[&of("names 33 headers; must be at most 32")])]);
        let text = entry(&format!("url = 'http://a'\n{key} = ['X-A', 'x', 'x-a']"));
        check(&[(&text, &[&of("names \"x-a\" twice; must name each header once")])]);
    }
}

#[test]
fn values_that_need_others_do_not_stand_alone() {
    check(&[
        (
            &entry("url = 'http://a'\nca = '/ca.pem'\npermissions = []\nmap = {}\ntimeout = '31s'"),
            &[
                "4:6: forward_auth.ca: stands beside an http url; must be left out, or the url must be https",
                "5:15: forward_auth.permissions: stands without claim; must have the header whose words it is about, or be left out",
                "6:7: forward_auth.map: stands without claim; must have the header whose words it is about, or be left out",
                "7:11: forward_auth.timeout: is too long; must be from 1 ms to 30 s",
            ],
        ),
        (
            &entry(
                "url = 'http://a'\nclaim = 'a b'\ntimeout = 0\nmap = { 'a  ' = [], 'c,d' = ['*:x'], ok = 'x', '' = [1] }",
            ),
            &[
                "4:9: forward_auth.claim: \"a b\" is not a header; must be the name of a header, such as \"Remote-Groups\"",
                "5:11: forward_auth.timeout: 0 is out of range; must be from 1 ms to 30 days",
                "6:9: forward_auth.map: \"a  \": cannot be a word of the header; must be 1 to 256 bytes without \",\" and \"|\", and without blanks at its ends",
                "6:21: forward_auth.map: \"c,d\": cannot be a word of the header; must be 1 to 256 bytes without \",\" and \"|\", and without blanks at its ends",
                "6:30: forward_auth.map: \"c,d\": \"*:x\" is not a permission; must be 1 to 128 visible ASCII characters without '*', '\"' and '\\', such as \"comments:read\", or \"comments:*\", or \"*\"",
                "6:43: forward_auth.map: \"ok\": is a string; must be an array of texts in quotes",
                "6:48: forward_auth.map: \"\": cannot be a word of the header; must be 1 to 256 bytes without \",\" and \"|\", and without blanks at its ends",
                "6:54: forward_auth.map: \"\": is an integer; must be a permission, as a text in quotes",
            ],
        ),
        (
            &entry("url = 'http://a'\nclaim = 'x'\nmap = ['a']"),
            &["5:7: forward_auth.map: must be a table of words and their permissions, such as { admins = [\"*\"] }"],
        ),
    ]);
}
