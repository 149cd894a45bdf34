//! What an instance says of itself to those who look it up: a JSON object of its own making, which furt only keeps.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Invalid;

/// The most bytes of a document, as compact JSON.
pub const MAX_DOCUMENT_BYTES: usize = 4096;
/// The most objects and lists within each other, the document itself among them: far below the 128 that JSON is read with,
/// since records and answers have it within their own.
pub const MAX_DOCUMENT_DEPTH: usize = 32;

/// A JSON object as compact text, its names in the order in which they were given. Two are the same where their texts are.
#[derive(Clone, PartialEq, Eq)]
pub struct Document(Arc<str>);

impl Document {
    /// # Errors
    /// No object, more than [`MAX_DOCUMENT_BYTES`], or deeper than [`MAX_DOCUMENT_DEPTH`].
    pub fn try_new(value: &Value) -> Result<Self, Invalid> {
        if !value.is_object() {
            return Err(Invalid::new("must be a JSON object"));
        }
        if !is_within(value, MAX_DOCUMENT_DEPTH) {
            let detail = format!("must have at most {MAX_DOCUMENT_DEPTH} objects and lists within each other");
            return Err(Invalid::new(detail));
        }
        let text = value.to_string();
        if text.len() > MAX_DOCUMENT_BYTES {
            let detail = format!("must be at most {MAX_DOCUMENT_BYTES} bytes as compact JSON; it has {}", text.len());
            return Err(Invalid::new(detail));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it has, by name.
    pub fn fields(&self) -> Map<String, Value> {
        // It was made of an object.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(list) => depth > 0 && list.iter().all(|one| is_within(one, depth - 1)),
        Value::Object(object) => depth > 0 && object.values().all(|one| is_within(one, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_keeps_order_and_numbers_however_often_it_is_read() {
        let text =
            r#"{"z":1,"a":{"y":[],"b":-0.1},"n":18446744073709551615,"f":2.2250738585072014e-308,"é":"\u0000\n"}"#;
        let document = Document::try_new(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(document.as_str(), text);
        let again = Document::try_new(&Value::Object(document.fields())).unwrap();
        assert_eq!(again, document);
        for number in ["122.416294033786585", "5.667844000000001e-7", "0.10000000000000001", "1e23"] {
            let first = Document::try_new(&json!({ "n": serde_json::from_str::<Value>(number).unwrap() })).unwrap();
            assert_eq!(Document::try_new(&Value::Object(first.fields())), Ok(first), "{number}");
        }
    }

    #[test]
    fn what_is_no_object_or_too_much_is_refused() {
        for value in [json!(null), json!([]), json!("{}"), json!(1), json!(true)] {
            assert_eq!(Document::try_new(&value).unwrap_err().to_string(), "must be a JSON object", "{value}");
        }
        let sized = |bytes: usize| json!({ "a": "x".repeat(bytes - r#"{"a":""}"#.len()) });
        assert_eq!(Document::try_new(&sized(MAX_DOCUMENT_BYTES)).unwrap().as_str().len(), MAX_DOCUMENT_BYTES);
        let told = Document::try_new(&sized(MAX_DOCUMENT_BYTES + 1)).unwrap_err().to_string();
        assert_eq!(told, "must be at most 4096 bytes as compact JSON; it has 4097");
        let deep = |depth: usize| (1..depth).fold(json!({}), |inner, _| json!({ "a": inner }));
        assert!(Document::try_new(&deep(MAX_DOCUMENT_DEPTH)).is_ok());
        let told = Document::try_new(&deep(MAX_DOCUMENT_DEPTH + 1)).unwrap_err().to_string();
        assert_eq!(told, "must have at most 32 objects and lists within each other");
        let lists = (0..MAX_DOCUMENT_DEPTH).fold(json!(1), |inner, _| json!([inner]));
        assert!(Document::try_new(&json!({ "a": lists })).is_err());
    }
}
