//! The body of `PUT …/maintenance`: every field, its rule and its default.

use std::time::Duration;

use serde_json::Value;

use super::super::fields::{FieldError, Fields, span, text};
use furt_core::model::{
    CidrSet, Invalid, MAX_DURATION, MAX_MAINTENANCE_NETWORKS, MIN_MAINTENANCE, MaintenanceMessage, MaintenanceScope,
};
use furt_core::registry::MaintenanceCommand;

/// The command that a body describes.
///
/// # Errors
/// Every field that is wrong or unknown.
pub(super) fn begin(scope: MaintenanceScope, body: Value) -> Result<MaintenanceCommand, Vec<FieldError>> {
    let mut errors = Vec::new();
    let read = Fields::open(String::new(), body, &mut errors).map(|mut fields| {
        let lasts = fields.optional("for", |value| lasts(&value));
        let network = |text: &str| CidrSet::try_new(&[text]).map(|_| text.to_owned());
        let allow_from = fields.list("allow_from", MAX_MAINTENANCE_NETWORKS, network).unwrap_or_default();
        let message = fields.optional("message", text(MaintenanceMessage::try_new));
        fields.finish();
        // Each of them was good.
        let allow_from = CidrSet::try_new(&allow_from).unwrap_or_default();
        MaintenanceCommand::Begin { scope, lasts, allow_from, message }
    });
    read.filter(|_| errors.is_empty()).ok_or(errors)
}

fn lasts(value: &Value) -> Result<Duration, Invalid> {
    span(value).filter(|time| (MIN_MAINTENANCE..=MAX_DURATION).contains(time)).ok_or_else(|| {
        Invalid::new(
            "must be a text such as \"90s\", \"30m\" or \"2h\", or seconds such as 1800, from 1 second to 30 days",
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Read = (Option<Duration>, usize, Option<String>);

    fn read(body: Value) -> Result<Read, Vec<String>> {
        match begin(MaintenanceScope::All, body) {
            Ok(MaintenanceCommand::Begin { lasts, allow_from, message, .. }) => {
                Ok((lasts, allow_from.len(), message.map(|message| message.as_str().to_owned())))
            }
            Ok(other) => panic!("{other:?}"),
            Err(errors) => {
                let mut pointers: Vec<_> = errors.into_iter().map(|error| error.pointer).collect();
                pointers.sort();
                Err(pointers)
            }
        }
    }

    #[test]
    fn every_field_may_be_left_out() {
        assert_eq!(read(json!({})), Ok((None, 0, None)));
        assert_eq!(read(json!({"for": null, "allow_from": null, "message": null})), Ok((None, 0, None)));
        let body = json!({"for": "30m", "allow_from": ["10.0.0.0/8", "::1"], "message": "back at 3"});
        assert_eq!(read(body), Ok((Some(Duration::from_secs(1_800)), 2, Some("back at 3".to_owned()))));
    }

    #[test]
    fn its_time_is_from_a_second_to_thirty_days() {
        for (given, seconds) in [(json!("1s"), 1), (json!(90), 90), (json!("30d"), 30 * 86_400), (json!("1.5m"), 90)] {
            assert_eq!(read(json!({"for": given})), Ok((Some(Duration::from_secs(seconds)), 0, None)));
        }
        for bad in [json!("999ms"), json!(0), json!("31d"), json!(-1), json!("x"), json!(""), json!([]), json!(1e300)] {
            assert_eq!(read(json!({"for": bad})), Err(vec!["/for".to_owned()]), "{bad}");
        }
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let body = json!({"for": "soon", "allow_from": ["10.0.0.0/8", "x", 7], "message": "a\nb", "until": 1});
        assert_eq!(read(body).unwrap_err().join(" "), "/allow_from/1 /allow_from/2 /for /message /until");
        for bad in [json!(""), json!("x".repeat(501)), json!(7), json!("\u{7f}")] {
            assert_eq!(read(json!({"message": bad})), Err(vec!["/message".to_owned()]));
        }
        for bad in [json!("10.0.0.0/8"), json!(vec!["10.0.0.1"; 257])] {
            assert_eq!(read(json!({"allow_from": bad})), Err(vec!["/allow_from".to_owned()]));
        }
        for bad in [json!([]), json!("30m"), json!(null)] {
            assert_eq!(read(bad), Err(vec![String::new()]));
        }
    }
}
