//! What can be wrong with what a store holds, or with an export of one.
//!
//! Their `Display` is a clause of the sentence that an operator reads; it has the text of its cause in it, so none of them
//! has a source.

use std::num::ParseIntError;

use furt_core::model::{InstanceId, KeyName, ServiceName};

use crate::store::records::{RecordError, RecordKind};

/// Why what a store holds cannot be taken over as a whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContentsError {
    #[error("{0}")]
    Unreadable(redb::Error),
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("its {0} is no text")]
    NoText(&'static str),
    #[error("its epoch: {0}")]
    Epoch(uuid::Error),
    #[error("its affinity_secret is not 64 hexadecimal digits")]
    AffinitySecret,
    #[error("its count of starts: {0}")]
    Starts(ParseIntError),
    #[error("{0} starts are more than any furt counts")]
    TooManyStarts(u64),
    #[error("{0}")]
    Record(RecordError),
    /// Something is noted of an instance that is not there.
    #[error("\"{id}\" is {noted} and no instance")]
    NotedOfNone { id: String, noted: &'static str },
    #[error("the TTL of instance \"{id}\" is out of range: {ms} ms")]
    TtlOutOfRange { id: InstanceId, ms: u64 },
    #[error("the records of the API keys \"{0}\" and \"{1}\" have the same digest")]
    SameDigest(KeyName, KeyName),
    #[error("the record of instance \"{id}\": there is no service \"{service}\"")]
    NoService { id: InstanceId, service: ServiceName },
}

impl From<redb::Error> for ContentsError {
    fn from(error: redb::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<redb::StorageError> for ContentsError {
    fn from(error: redb::StorageError) -> Self {
        Self::Unreadable(error.into())
    }
}

impl From<RecordError> for ContentsError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// Why no store can be made of an export.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImportError {
    #[error("this is no JSON: {0}")]
    NoJson(serde_json::Error),
    #[error("this is no export of a store: it names no format")]
    NoFormat,
    #[error("the export has format {found}, and this furt knows {known}")]
    OtherFormat { found: u64, known: u64 },
    #[error("the export cannot be read: {0}")]
    OtherFields(serde_json::Error),
    #[error("the epoch \"{0}\" is no UUID")]
    Epoch(String),
    #[error("{list}[{number}] has no \"{key}\"")]
    Unnamed { list: &'static str, number: usize, key: &'static str },
    #[error("the record of {kind} \"{key}\" comes twice")]
    Twice { kind: RecordKind, key: String },
    #[error("the export has format {0} and lists that that has not")]
    ListsOfOtherFormat(u64),
    #[error("the export has no \"{0}\"")]
    MissingList(&'static str),
    #[error("{0}")]
    Contents(ContentsError),
}

impl<E: Into<ContentsError>> From<E> for ImportError {
    fn from(error: E) -> Self {
        Self::Contents(error.into())
    }
}
