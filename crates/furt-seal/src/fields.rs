//! Fields in bytes, so that no two lists of fields have the same: a label for what they are, then each with its length before it.

/// What is signed or proven.
#[derive(Debug)]
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    /// Begins with a label that no other use has.
    pub(crate) fn new(label: &str) -> Self {
        Self(Vec::new()).field(label.as_bytes())
    }

    pub(crate) fn field(mut self, bytes: &[u8]) -> Self {
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
        self
    }

    /// A field that may be missing, which is something else than an empty one.
    pub(crate) fn optional(mut self, bytes: Option<&[u8]>) -> Self {
        self.0.push(u8::from(bytes.is_some()));
        match bytes {
            Some(bytes) => self.field(bytes),
            None => self,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;

    #[test]
    fn other_fields_are_other_bytes() {
        let all = [
            Fields::new("a"),
            Fields::new("ab"),
            Fields::new("a").field(b"b"),
            Fields::new("a").field(b"b").field(b""),
            Fields::new("a").field(b"").field(b"b"),
            Fields::new("a").optional(None),
            Fields::new("a").optional(Some(b"")),
            Fields::new("a").optional(Some(b"b")),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other.bytes() != one.bytes()), "{one:?}");
        }
    }
}
