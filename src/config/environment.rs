//! Names in the environment that look like furt's and are not: a key that is misspelled would go unnoticed.
//!
//! Only names are judged, and shown; a value may be a secret. Callers: `cli`, at the start and in `check`.

use std::collections::BTreeSet;
use std::fmt;

use super::nearest::nearest;
use super::reference::{TableKind, reference};

/// What every name of furt's begins with.
const PREFIX: &str = "FURT_";
/// Names beside those of keys: of the command line, of a build, of a furt that takes over from another.
const OTHERS: [&str; 11] = [
    "FURT_CA",
    "FURT_CERT",
    "FURT_COMMIT",
    "FURT_CONFIG",
    "FURT_KEY",
    "FURT_LOG",
    "FURT_TOKEN",
    "FURT_UPGRADE_FROM",
    "FURT_UPGRADE_LAUNCH",
    "FURT_UPGRADE_REPLACES",
    "FURT_URL",
];

/// A variable that furt does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The name that was probably meant.
    pub suggestion: Option<String>,
}

impl UnknownVariable {
    /// What is wrong with it.
    pub fn message(&self) -> String {
        match &self.suggestion {
            Some(known) => format!("is not known; did you mean {known}?"),
            None => "is not known; FURT_<SECTION>_<KEY> sets a key".to_owned(),
        }
    }
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message())
    }
}

/// The variables of an environment whose names begin with `FURT_` and mean nothing, in the order of their names.
///
/// What Kubernetes sets for services that are named furt or furt-something is not among them.
pub fn unknown_variables(environment: impl Iterator<Item = (String, String)>) -> Vec<UnknownVariable> {
    let known = known();
    let unknown = environment.filter(|(name, value)| {
        let is_furts = name.strip_prefix(PREFIX);
        is_furts.is_some_and(|rest| !known.contains(name.as_str()) && !is_of_kubernetes(rest, value))
    });
    let names: BTreeSet<_> = unknown.map(|(name, _)| name).collect();
    let suggestion = |name: &str| {
        let rests = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
        let rests: Vec<_> = rests.map(str::to_ascii_lowercase).collect();
        let near = nearest(name.strip_prefix(PREFIX)?, rests.iter().map(String::as_str))?;
        Some(format!("{PREFIX}{}", near.to_ascii_uppercase()))
    };
    names.into_iter().map(|name| UnknownVariable { suggestion: suggestion(&name), name }).collect()
}

fn known() -> BTreeSet<String> {
    let tables = reference().into_iter().filter(|table| table.kind == TableKind::Single);
    let keys = tables.flat_map(|table| table.keys);
    let names = keys.map(|key| format!("{PREFIX}{}_{}", key.table(), key.key()).to_ascii_uppercase());
    names.chain(OTHERS.map(str::to_owned)).collect()
}

/// Whether Kubernetes sets a variable of this name, without its prefix, for a service: `SERVICE_HOST`, `SERVICE_PORT`,
/// `SERVICE_PORT_HTTP`, `PORT`, `PORT_80_TCP`, `PORT_80_TCP_ADDR`, each also behind the rest of the service's name.
///
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_of_kubernetes(rest: &str, value: &str) -> bool {
    let is_part = |part: &str| rest.ends_with(part) || rest.contains(&format!("{part}_"));
    rest.starts_with("SERVICE_")
        || rest == "PORT"
        || rest.starts_with("PORT_")
        || rest.ends_with("_SERVICE_HOST")
        || is_part("_SERVICE_PORT")
        || ["_TCP", "_UDP", "_SCTP"].into_iter().any(|protocol| rest.contains("_PORT_") && is_part(protocol))
        || (rest.ends_with("_PORT") && value.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(names: &[&str]) -> Vec<String> {
        let variables = names.iter().map(|name| ((*name).to_owned(), "secret".to_owned()));
        unknown_variables(variables).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_misspelled_name_is_told_with_the_one_that_is_meant() {
        assert_eq!(
            warnings(&["FURT_TOKN", "FURT_SERVRE_LISTEN", "FURT_WHATEVER", "HOME", "FURTIVE"]),
            [
                "FURT_SERVRE_LISTEN: is not known; did you mean FURT_SERVER_LISTEN?",
                "FURT_TOKN: is not known; did you mean FURT_TOKEN?",
                "FURT_WHATEVER: is not known; FURT_<SECTION>_<KEY> sets a key",
            ]
        );
    }

    #[test]
    fn names_of_keys_and_of_the_command_line_are_known() {
        let names = ["FURT_SERVER_LISTEN", "FURT_INTERNAL_OPERATORS_FROM", "FURT_GATEWAY_HEALTH_CHECK_INTERVAL"];
        assert_eq!(warnings(&[&names[..], &OTHERS[..]].concat()), [""; 0]);
        let routes = warnings(&["FURT_ROUTES_PATH"]);
        assert_eq!(routes.len(), 1, "the environment sets no entries of arrays");
    }

    #[test]
    fn what_kubernetes_sets_is_not_told() {
        for name in [
            "FURT_SERVICE_HOST",
            "FURT_SERVICE_PORT",
            "FURT_SERVICE_PORT_HTTP",
            "FURT_PORT",
            "FURT_PORT_8081_TCP",
            "FURT_PORT_8081_TCP_PROTO",
            "FURT_PORT_8081_TCP_PORT",
            "FURT_PORT_8081_TCP_ADDR",
            "FURT_INTERNAL_SERVICE_HOST",
            "FURT_INTERNAL_SERVICE_PORT",
            "FURT_INTERNAL_SERVICE_PORT_HTTP",
            "FURT_INTERNAL_PORT_8081_TCP",
            "FURT_INTERNAL_PORT_8081_UDP_ADDR",
        ] {
            assert_eq!(warnings(&[name]), [""; 0], "{name}");
        }
        let of = |value: &str| unknown_variables([("FURT_INTERNAL_PORT".to_owned(), value.to_owned())].into_iter());
        assert_eq!(of("tcp://10.0.0.1:8081"), []);
        assert_eq!(of("8081").len(), 1, "a key that someone thought up");
    }
}
