//! Whether an API key, told by its name, would be let in at a route.

use std::net::IpAddr;

use furt_api::routes::Verdict;

use crate::clock;
use furt_core::model::AuthMethods;
use furt_core::routing::{Route, Snapshot};

/// What becomes of a request with the key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is let in; what is to be known beside that.
    Allowed(Option<String>),
    /// It is refused: the code of the answer, and why.
    Refused(Verdict, String),
}

/// Judges the key of that name as a request with it would be, from `client` where it is known. `auth`: who may vouch for its caller.
pub(super) fn judge(
    name: &str,
    route: &Route,
    auth: Option<&AuthMethods>,
    client: Option<IpAddr>,
    snapshot: &Snapshot,
) -> Judgement {
    let refused = |verdict, why: String| Judgement::Refused(verdict, why);
    match auth {
        None if route.permission.is_none() => return Judgement::Allowed(None),
        Some(methods) if !methods.take_keys() => {
            let why = format!("no API key lets a request in here, only {methods}");
            return refused(Verdict::TokenMissing, why);
        }
        _ => {}
    }
    let now = clock::unix_ms();
    // A key that was rotated has two digests, and one of them may be over.
    let of_name = snapshot.keys.usable().map(|(_, key)| key).filter(|key| key.name.as_str() == name);
    let Some(key) =
        of_name.filter(|key| key.ends_ms.is_none_or(|end| end > now)).max_by_key(|key| key.ends_ms.is_none())
    else {
        let listed = snapshot.keys.runtime.iter().find(|(known, _)| known.as_str() == name);
        let why = match listed.map(|(_, listed)| (&listed.suspended, listed.key.is_over(now))) {
            Some((Some(why), _)) => format!("key \"{name}\" is not in force: {why}"),
            Some((None, true)) => format!("key \"{name}\" is over"),
            Some((None, false)) | None => format!("no key \"{name}\" is known"),
        };
        return refused(Verdict::KeyUnknown, format!("{why}: 401"));
    };
    let allow_from = &key.allow_from;
    if let Some(client) = client.filter(|client| !allow_from.is_empty() && !allow_from.contains(*client)) {
        let why = format!("key \"{name}\" may not be used from {client}, only from {allow_from}: 403");
        return refused(Verdict::AddressNotAllowed, why);
    }
    if let Some(permission) = &route.permission
        && !key.permissions.allows(permission)
    {
        let rules: Vec<_> = key.permissions.rules().iter().map(ToString::to_string).collect();
        let why = format!("key \"{name}\" lacks \"{permission}\"; it has {}: 403", rules.join(", "));
        return refused(Verdict::PermissionMissing, why);
    }
    let is_bound = client.is_none() && !allow_from.is_empty();
    Judgement::Allowed(is_bound.then(|| format!("key \"{name}\" may be used from {allow_from} only")))
}

/// Whether the key of that name may be used only so often.
pub(super) fn has_rate(name: &str, snapshot: &Snapshot) -> bool {
    snapshot.keys.usable().any(|(_, key)| key.name.as_str() == name && key.rate.is_some())
}
