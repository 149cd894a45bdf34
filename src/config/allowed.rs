//! What a node lets be set from elsewhere.

use std::fmt;

use furt_core::model::Invalid;

/// Keys that may be set from elsewhere: one, or all of a table that can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedSettings {
    table: String,
    /// `None`: all of them.
    key: Option<String>,
}

impl AllowedSettings {
    /// `limits.*` or `limits.max_body`. Whether there is such a key is not looked at here.
    ///
    /// # Errors
    /// It is neither.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        const RULE: &str = "must be a key such as \"limits.max_body\", or a table such as \"limits.*\"";
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        match text.split_once('.') {
            Some((table, "*")) if is_word(table) => Ok(Self { table: table.to_owned(), key: None }),
            Some((table, key)) if is_word(table) && is_word(key) => {
                Ok(Self { table: table.to_owned(), key: Some(key.to_owned()) })
            }
            Some(_) | None => Err(Invalid::new(RULE)),
        }
    }

    /// Whether the key of this table is among them.
    pub fn allows(&self, table: &str, key: &str) -> bool {
        self.table == table && self.key.as_ref().is_none_or(|one| one == key)
    }
}

impl fmt::Display for AllowedSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table, self.key.as_deref().unwrap_or("*"))
    }
}
