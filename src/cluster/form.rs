//! How a node's state is written: JSON, one file.

use std::collections::{BTreeMap, BTreeSet};

use furt_cluster::model::{
    Boot, Document, Fingerprint, Invalid, Record, Scope, SecretId, SettingsId, TokenId, Version,
};
use furt_cluster::{Applying, Membership, NamedDocument, Stored, Token, Updating};
use serde::{Deserialize, Serialize};

/// The form below. A later one that this furt cannot read has another number.
const FORMAT: u32 = 1;

/// A [`Stored`] as it is written. Names of keys in maps are texts in JSON, so that maps of other keys are lists here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    format: u32,
    boot: Option<Boot>,
    membership: Option<Membership>,
    trusted: BTreeSet<Fingerprint>,
    records: Vec<Record>,
    secrets: Vec<(SecretId, Option<i64>)>,
    active: Option<SecretId>,
    made: Option<SecretId>,
    tokens: BTreeMap<TokenId, Token>,
    applied: Vec<NamedText>,
    offered: Vec<NamedText>,
    applying: Option<Applying>,
    updating: Option<Updating>,
    floor: Option<Version>,
}

/// A document of settings. Its digest is computed from its text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedText {
    scope: Scope,
    id: SettingsId,
    text: String,
}

/// Why a state is none that can be gone on from.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormError {
    #[error("it has format {0}, and this furt reads {FORMAT}")]
    Format(u32),
    #[error(transparent)]
    Document(#[from] Invalid),
}

impl Form {
    pub(super) fn of(stored: &Stored) -> Self {
        let texts = |documents: &BTreeMap<Scope, NamedDocument>| {
            let text = |(scope, (id, document)): (&Scope, &NamedDocument)| NamedText {
                scope: *scope,
                id: *id,
                text: document.text().to_owned(),
            };
            documents.iter().map(text).collect()
        };
        Self {
            format: FORMAT,
            boot: stored.boot,
            membership: stored.membership,
            trusted: stored.trusted.clone(),
            records: stored.records.values().cloned().collect(),
            secrets: stored.secrets.iter().map(|(id, until)| (*id, *until)).collect(),
            active: stored.active,
            made: stored.made,
            tokens: stored.tokens.clone(),
            applied: texts(&stored.applied),
            offered: texts(&stored.offered),
            applying: stored.applying,
            updating: stored.updating,
            floor: stored.floor,
        }
    }

    /// # Errors
    /// A later furt wrote it, or a document is too long.
    pub(super) fn into_stored(self) -> Result<Stored, FormError> {
        if self.format != FORMAT {
            return Err(FormError::Format(self.format));
        }
        let documents = |texts: Vec<NamedText>| -> Result<BTreeMap<Scope, (SettingsId, Document)>, Invalid> {
            texts.into_iter().map(|one| Ok((one.scope, (one.id, furt_seal::document(&one.text)?)))).collect()
        };
        Ok(Stored {
            boot: self.boot,
            membership: self.membership,
            trusted: self.trusted,
            records: self.records.into_iter().map(|record| ((record.claim, record.by), record)).collect(),
            secrets: self.secrets.into_iter().collect(),
            active: self.active,
            made: self.made,
            tokens: self.tokens,
            applied: documents(self.applied)?,
            offered: documents(self.offered)?,
            applying: self.applying,
            updating: self.updating,
            floor: self.floor,
        })
    }
}
