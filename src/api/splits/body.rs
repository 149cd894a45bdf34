//! The body of `PUT …/split`: every field, its rule and its default.

use serde_json::Value;

use super::super::fields::{FieldError, Fields, text, truth};
use furt_core::model::{Invalid, MAX_SPLIT_VERSIONS, Percentage, SplitSpec, SplitVersion, Version};

/// What a body says.
///
/// # Errors
/// Every field that is wrong or unknown.
pub(super) fn read(body: Value) -> Result<SplitSpec, Vec<FieldError>> {
    let mut errors = Vec::new();
    let read = Fields::open(String::new(), body, &mut errors).map(|mut fields| {
        let spec = read_fields(&mut fields);
        fields.finish();
        spec
    });
    read.filter(|_| errors.is_empty()).ok_or(errors)
}

/// The same of the fields of an object that may have more; what is wrong is told.
pub(in crate::api) fn read_fields(fields: &mut Fields<'_>) -> SplitSpec {
    let versions = read_versions(fields);
    let header = fields.optional("header", text(SplitSpec::try_header));
    let strict = fields.optional("strict", truth).unwrap_or_default();
    SplitSpec { versions, header, strict }
}

fn read_versions(fields: &mut Fields<'_>) -> Vec<SplitVersion> {
    let pointer = fields.pointer_to("versions");
    let refused =
        || Invalid::new(format!("must be an object with 1 to {MAX_SPLIT_VERSIONS} versions and their percentages"));
    let versions = fields.require("versions", |value| match value {
        Value::Object(versions) if (1..=MAX_SPLIT_VERSIONS).contains(&versions.len()) => Ok(versions),
        _ => Err(refused()),
    });
    let mut good = Vec::new();
    for (name, share) in versions.into_iter().flatten() {
        let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        match read_version(&name, &share) {
            Ok(version) => good.push(version),
            Err(why) => fields.errors().push(FieldError { pointer, detail: why.to_string() }),
        }
    }
    // What no version alone is wrong with, such as the sum.
    if let (Err(why), false) = (SplitSpec::check_versions(&good), good.is_empty()) {
        fields.errors().push(FieldError { pointer, detail: why.to_string() });
    }
    good
}

fn read_version(name: &str, share: &Value) -> Result<SplitVersion, Invalid> {
    let version = Version::try_new(name).map_err(|why| Invalid::new(format!("is no version: its name {why}")))?;
    SplitSpec::check_version(&version).map_err(|why| Invalid::new(format!("is no version: its name {why}")))?;
    // What is no number is out of range.
    let share = Percentage::try_percent(share.as_f64().unwrap_or(f64::NAN))?;
    Ok(SplitVersion { version, share })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_all(body: Value) -> Result<String, String> {
        match read(body) {
            Ok(SplitSpec { versions, header, strict }) => {
                let versions: Vec<_> =
                    versions.iter().map(|one| format!("{}={}", one.version, one.share.points())).collect();
                Ok(format!("{} {} {strict}", versions.join(","), header.map(|it| it.to_string()).unwrap_or_default()))
            }
            Err(errors) => {
                let mut pointers: Vec<_> = errors.into_iter().map(|error| error.pointer).collect();
                pointers.sort();
                Err(pointers.join(" "))
            }
        }
    }

    #[test]
    fn versions_keep_their_order_and_the_rest_may_be_left_out() {
        let body = json!({"versions": {"b": 1.25, "a": 0, "2.4.0-rc_1": 98.75}, "header": "X-Canary", "strict": true});
        assert_eq!(read_all(body).unwrap(), "b=125,a=0,2.4.0-rc_1=9875 x-canary true");
        assert_eq!(
            read_all(json!({"versions": {"a": 100}, "header": null, "strict": null})).unwrap(),
            "a=10000  false"
        );
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let body = json!({
            "versions": {"a": -1, "b": 100.5, "c": 1.001, "d": "5", "e f": 1, "stable": 1, "g": null, "h": 0.01},
            "header": "host", "strict": 1, "percent": 5,
        });
        let expected = "/header /percent /strict /versions/a /versions/b /versions/c /versions/d /versions/e f /versions/g /versions/stable";
        assert_eq!(read_all(body).unwrap_err(), expected);
    }

    #[test]
    fn shares_are_at_most_a_hundred_together_and_versions_at_most_eight() {
        let nine: serde_json::Map<_, _> = (0..9).map(|number| (format!("v{number}"), json!(1))).collect();
        for bad in [json!({}), json!(nine), json!([]), json!("a"), json!({"a": 60, "b": 40.01}), Value::Null] {
            assert_eq!(read_all(json!({"versions": bad})).unwrap_err(), "/versions", "{bad}");
        }
        assert_eq!(read_all(json!({})).unwrap_err(), "/versions");
        assert_eq!(read_all(json!([])).unwrap_err(), "");
        assert!(read_all(json!({"versions": {"a": 60, "b": 40}})).is_ok());
        let with_another = json!({"versions": {"a": 60, "b": 60}, "header": "Host"});
        assert_eq!(read_all(with_another).unwrap_err(), "/header /versions");
    }

    #[test]
    fn a_header_of_furts_own_or_of_one_connection_chooses_nothing() {
        for bad in ["connection", "Transfer-Encoding", "X-API-Key", "x-forwarded-for", "x_request_id", "a b", "", "te"]
        {
            assert_eq!(read_all(json!({"versions": {"a": 1}, "header": bad})).unwrap_err(), "/header", "{bad}");
        }
    }
}
