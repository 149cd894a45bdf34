//! The bodies of `/internal/cluster/…`: every field, its rule and its default.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use furt_cluster::Agreement;
use furt_cluster::model::{CheckValue, Restart, Role};
use serde_json::Value;

use super::super::fields::{FieldError, Fields, text, whole};
use furt_core::model::Invalid;

/// Nodes that may join by a token where nothing else is asked for.
const DEFAULT_USES: u32 = 1;
const MAX_USES: u32 = 256;
/// How long a token lives where nothing else is asked for: an operator sets up the other node meanwhile.
const DEFAULT_TTL: Duration = Duration::from_secs(3600);
const MAX_TTL: Duration = Duration::from_secs(7 * 24 * 3600);
/// Characters of a join token; those that nodes make have 87.
const MAX_TOKEN: usize = 256;

/// What a token is to allow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewToken {
    pub(super) uses: u32,
    pub(super) ttl: Duration,
    pub(super) role: Role,
}

/// How settings are to change.
#[derive(Debug, PartialEq)]
pub(super) struct ChangedSettings {
    pub(super) to: Targets,
    pub(super) set: BTreeMap<String, toml::Value>,
    pub(super) unset: BTreeSet<String>,
    pub(super) expect: Option<u64>,
    pub(super) agreement: Agreement,
    pub(super) restart: Restart,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Targets {
    All,
    Nodes(BTreeSet<String>),
}

/// The token to join by.
///
/// # Errors
/// Every field that is wrong, missing or unknown; none repeats the token.
pub(super) fn join(body: Value) -> Result<String, Vec<FieldError>> {
    read(body, |fields| fields.require("token", text(token)))
}

/// The token that a body asks for.
///
/// # Errors
/// As [`join`].
pub(super) fn new_token(body: Value) -> Result<NewToken, Vec<FieldError>> {
    read(body, |fields| {
        let uses = fields.optional("uses", whole(1, MAX_USES.into()));
        let ttl = fields.optional("ttl_s", whole(1, MAX_TTL.as_secs()));
        let uses = uses.and_then(|uses| u32::try_from(uses).ok()).unwrap_or(DEFAULT_USES);
        Some(NewToken { uses, ttl: ttl.map_or(DEFAULT_TTL, Duration::from_secs), role: optional_role(fields) })
    })
}

/// What an approved node may.
///
/// # Errors
/// As [`join`].
pub(super) fn approve(body: Value) -> Result<Role, Vec<FieldError>> {
    read(body, |fields| Some(optional_role(fields)))
}

/// The check value of the secret that is to stand.
///
/// # Errors
/// As [`join`].
pub(super) fn adopt(body: Value) -> Result<CheckValue, Vec<FieldError>> {
    let rule = "must be 16 hexadecimal digits, as furt nodes shows them";
    read(body, |fields| {
        fields.require("check", text(|text| text.to_ascii_lowercase().parse().map_err(|_| Invalid::new(rule))))
    })
}

/// How settings are to change. Whether the keys are keys, the nodes say.
///
/// # Errors
/// As [`join`].
pub(super) fn changed_settings(body: Value) -> Result<ChangedSettings, Vec<FieldError>> {
    read(body, |fields| {
        let to = fields.require("to", targets);
        let set = set(fields);
        let unset = fields.optional("unset", texts("must be an array of keys")).unwrap_or_default();
        let expect = fields.optional("expect", whole(0, i64::MAX as u64));
        let partial = fields.optional("partial", truth);
        let restart = fields.optional("restart", truth);
        if set.as_ref().is_some_and(BTreeMap::is_empty) && unset.is_empty() {
            fields.refuse("set", "is empty, and so is unset: nothing would change");
        }
        if let Some(both) = unset.iter().find(|key| set.as_ref().is_some_and(|set| set.contains_key(*key))) {
            fields.refuse("unset", format!("has {both}, and so has set"));
        }
        if restart == Some(true) {
            if partial == Some(true) {
                fields.refuse(
                    "partial",
                    "cannot be true beside restart: restarts stop at the first node that does not agree",
                );
            }
            if matches!(&to, Some(Targets::Nodes(nodes)) if nodes.len() > 1) {
                fields.refuse(
                    "to",
                    "must be \"all\" or one node where restart is true: nodes restart one after the other",
                );
            }
        }
        let agreement = if partial == Some(true) { Agreement::Partial } else { Agreement::All };
        let restart = if restart == Some(true) { Restart::OneByOne } else { Restart::Never };
        Some(ChangedSettings { to: to?, set: set?, unset, expect, agreement, restart })
    })
}

fn truth(value: Value) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| Invalid::new("must be true or false"))
}

fn targets(value: Value) -> Result<Targets, Invalid> {
    let rule = "must be \"all\", or an array of fingerprints and names of nodes";
    match value {
        Value::String(text) if text == "all" => Ok(Targets::All),
        value => {
            let nodes = texts(rule)(value)?;
            if nodes.is_empty() { Err(Invalid::new(rule)) } else { Ok(Targets::Nodes(nodes)) }
        }
    }
}

fn texts(rule: &'static str) -> impl FnOnce(Value) -> Result<BTreeSet<String>, Invalid> {
    move |value| serde_json::from_value(value).map_err(|_| Invalid::new(rule))
}

/// `None`: it is wrong.
fn set(fields: &mut Fields<'_>) -> Option<BTreeMap<String, toml::Value>> {
    let Some(value) = fields.take("set") else { return Some(BTreeMap::new()) };
    let Value::Object(given) = value else {
        fields.refuse("set", "must be an object of keys, such as limits.max_body, and their values");
        return None;
    };
    let pointer = fields.pointer_to("set");
    let mut set = BTreeMap::new();
    let count = given.len();
    for (key, value) in given {
        match setting(value) {
            Ok(value) => _ = set.insert(key, value),
            Err(why) => {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                fields.errors().push(FieldError { pointer, detail: why.to_string() });
            }
        }
    }
    (set.len() == count).then_some(set)
}

/// A value of JSON as one of TOML.
fn setting(value: Value) -> Result<toml::Value, Invalid> {
    let rule = || Invalid::new("must be true, false, a number, a string, or an array of them");
    match value {
        Value::Bool(truth) => Ok(truth.into()),
        Value::String(text) => Ok(text.into()),
        Value::Array(values) => values.into_iter().map(setting).collect::<Result<Vec<_>, _>>().map(toml::Value::Array),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(whole.into()),
            (None, Some(float)) if !number.is_u64() => Ok(float.into()),
            _ => Err(Invalid::new("is beyond the greatest whole number, 9223372036854775807")),
        },
        Value::Null | Value::Object(_) => Err(rule()),
    }
}

fn read<T>(body: Value, fields: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Vec<FieldError>> {
    let mut errors = Vec::new();
    let value = Fields::open(String::new(), body, &mut errors).and_then(|mut open| {
        let value = fields(&mut open);
        open.finish();
        value
    });
    value.filter(|_| errors.is_empty()).ok_or(errors)
}

fn token(text: &str) -> Result<String, Invalid> {
    let token = text.trim();
    if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Invalid::new("must be a join token, as furt cluster token prints it"));
    }
    Ok(token.to_owned())
}

fn optional_role(fields: &mut Fields<'_>) -> Role {
    let role = fields.optional("role", text(role));
    role.unwrap_or(Role::Member)
}

fn role(text: &str) -> Result<Role, Invalid> {
    match text {
        "member" => Ok(Role::Member),
        "commander" => Ok(Role::Commander),
        _ => Err(Invalid::new("must be \"member\" or \"commander\"")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong<T: std::fmt::Debug>(read: Result<T, Vec<FieldError>>) -> String {
        let mut pointers: Vec<_> = read.unwrap_err().into_iter().map(|error| error.pointer).collect();
        pointers.sort();
        pointers.join(" ")
    }

    #[test]
    fn a_token_is_for_one_member_and_an_hour_unless_said_otherwise() {
        let default = NewToken { uses: 1, ttl: Duration::from_secs(3600), role: Role::Member };
        assert_eq!(new_token(json!({})).unwrap(), default);
        assert_eq!(new_token(json!({"uses": null, "ttl_s": null, "role": null})).unwrap(), default);
        let most = NewToken { uses: 256, ttl: Duration::from_secs(604_800), role: Role::Commander };
        assert_eq!(new_token(json!({"uses": 256, "ttl_s": 604_800, "role": "commander"})).unwrap(), most);
        let bad = [
            json!({"uses": 0, "ttl_s": 0, "role": ""}),
            json!({"uses": 257, "ttl_s": 604_801, "role": "Member"}),
            json!({"uses": -1, "ttl_s": 1.5, "role": 1}),
            json!({"uses": "1", "ttl_s": "1h", "role": ["member"]}),
        ];
        bad.into_iter().for_each(|body| assert_eq!(wrong(new_token(body)), "/role /ttl_s /uses"));
        assert_eq!(wrong(new_token(json!({"user": 1}))), "/user");
        assert_eq!(wrong(new_token(json!(1))), "");
    }

    #[test]
    fn what_is_wrong_with_a_join_token_does_not_repeat_it() {
        assert_eq!(join(json!({"token": " furtc1.a.b\n"})).unwrap(), "furtc1.a.b");
        for bad in ["", " \n", "a b", "a\u{0}b", "\u{e4}", &"x".repeat(257)] {
            let errors = join(json!({"token": bad})).unwrap_err();
            assert_eq!(errors.len(), 1);
            assert_eq!(errors[0].detail, "must be a join token, as furt cluster token prints it", "{bad:?}");
        }
        assert_eq!(wrong(join(json!({}))), "/token");
        assert_eq!(wrong(join(json!({"token": 1, "x": 1}))), "/token /x");
    }

    #[test]
    fn a_role_and_a_check_value_have_one_form() {
        assert_eq!(
            (approve(json!({})).unwrap(), approve(json!({"role": "commander"})).unwrap()),
            (Role::Member, Role::Commander)
        );
        assert_eq!(wrong(approve(json!({"role": "founder", "rôle": 1}))), "/role /rôle");
        assert_eq!(adopt(json!({"check": "00FF00ff00ff00ff"})).unwrap().to_string(), "00ff00ff00ff00ff");
        for bad in [json!("00ff"), json!("00ff00ff00ff00f\u{e9}"), json!(1), json!("")] {
            assert_eq!(wrong(adopt(json!({"check": bad}))), "/check");
        }
        assert_eq!(wrong(adopt(json!({}))), "/check");
    }
}
