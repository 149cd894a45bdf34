//! The body of `PUT …/grant`, which a file of `furt apply` has as well: every field, its rule and its default.

use serde_json::Value;

use super::super::fields::{FieldError, Fields, text, truth};
use furt_core::model::{
    AuthMethods, CidrSet, Grant, Host, Invalid, MAX_AUTH_METHODS, MAX_ORIGINS, Origins, Pattern, PermissionRule,
    PermissionSet, Sha256Digest,
};

/// Entries of one list: their bytes are bounded all together, this bounds the work of saying so.
const MAX_ENTRIES: usize = 1024;

/// What is wrong with methods of authentication under the configuration in force; `None`: nothing.
pub(in crate::api) type AuthFault<'a> = &'a dyn Fn(&AuthMethods) -> Option<String>;

/// What a body says.
///
/// # Errors
/// Every field that is wrong or unknown.
pub(super) fn read(body: Value, auth_fault: AuthFault<'_>) -> Result<Grant, Vec<FieldError>> {
    let mut errors = Vec::new();
    let read = Fields::open(String::new(), body, &mut errors).and_then(|mut fields| {
        let grant = read_fields(&mut fields, auth_fault);
        fields.finish();
        grant
    });
    read.filter(|_| errors.is_empty()).ok_or(errors)
}

/// The same of the fields of an object that may have more. `None`: one is wrong, and told.
pub(in crate::api) fn read_fields(fields: &mut Fields<'_>, auth_fault: AuthFault<'_>) -> Option<Grant> {
    let before = fields.errors().len();
    let network = |text: &str| CidrSet::try_new(&[text]).map(|_| text.to_owned());
    let permissions = fields.list("permissions", MAX_ENTRIES, PermissionRule::try_new).unwrap_or_default();
    let paths = fields.list("paths", MAX_ENTRIES, Pattern::try_written).unwrap_or_default();
    let hosts = fields.list("hosts", MAX_ENTRIES, Host::try_new).unwrap_or_default();
    let upstreams = fields.list("upstreams", MAX_ENTRIES, network);
    let public = fields.optional("public", truth).unwrap_or_default();
    let origins = texts(fields, "origins", MAX_ORIGINS, Origins::try_new).unwrap_or_default();
    let auth = texts(fields, "auth", MAX_AUTH_METHODS, AuthMethods::try_new);
    if let Some(why) = auth.as_ref().and_then(auth_fault) {
        fields.refuse("auth", why);
    }
    let token = fields.optional("token_sha256", text(Sha256Digest::try_from_hex));
    let certificate = fields.optional("certificate_sha256", text(Sha256Digest::try_from_hex));
    if fields.errors().len() > before {
        return None;
    }
    let grant = Grant {
        permissions: PermissionSet::new(permissions),
        paths,
        hosts,
        upstreams: upstreams.and_then(|networks| CidrSet::try_new(&networks).ok()),
        public,
        origins,
        auth: auth.unwrap_or_else(AuthMethods::api_key),
        token,
        certificate,
    };
    match grant.check() {
        Ok(()) => Some(grant),
        Err(why) => {
            fields.refuse_whole(why.to_string());
            None
        }
    }
}

/// A list of texts that are taken together.
fn texts<T>(
    fields: &mut Fields<'_>,
    name: &str,
    most: usize,
    parse: impl FnOnce(&[String]) -> Result<T, Invalid>,
) -> Option<T> {
    let texts = fields.list(name, most, |text| Ok(text.to_owned()))?;
    match parse(&texts) {
        Ok(all) => Some(all),
        Err(why) => {
            fields.refuse(name, why.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(body: Value) -> String {
        let fault = |methods: &AuthMethods| {
            methods.providers().any(|name| name.as_str() == "unknown").then(|| "is no name".to_owned())
        };
        match read(body, &fault) {
            Ok(grant) => format!("ok {} {}", grant.paths.len(), grant.auth.iter().count()),
            Err(errors) => {
                let mut pointers: Vec<_> = errors.into_iter().map(|error| error.pointer).collect();
                pointers.sort();
                pointers.join(" ")
            }
        }
    }

    #[test]
    fn what_is_left_out_is_not_granted() {
        assert_eq!(pointers(json!({})), "ok 0 1");
        let everything = json!({
            "permissions": ["a:*"], "paths": ["/a/*", "/b"], "hosts": ["a.example"], "upstreams": ["10.0.0.0/8"],
            "public": true, "origins": ["https://a.example"], "auth": ["key", "login"],
            "token_sha256": "0".repeat(64), "certificate_sha256": null,
        });
        assert_eq!(pointers(everything), "ok 2 2");
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let body = json!({
            "permissions": ["a b"], "paths": ["/a", "b"], "hosts": [1], "upstreams": ["x"], "public": 1,
            "origins": ["https://a.example/path"], "auth": ["unknown"], "token_sha256": "1", "colour": "red",
            "certificate_sha256": 1,
        });
        let expected = "/auth /certificate_sha256 /colour /hosts/0 /origins /paths/1 /permissions/0 /public /token_sha256 /upstreams/0";
        assert_eq!(pointers(body), expected);
        assert_eq!(pointers(json!({"auth": []})), "/auth");
        assert_eq!(pointers(json!([])), "");
        assert_eq!(pointers(json!({"paths": vec!["/a-path-of-some-length/*"; 200]})), "", "too large together");
    }
}
