//! What can be wrong with a record. Their `Display` is a clause of the sentence that an operator reads; it has the text of its
//! cause in it, so none of them has a source.

use std::fmt;

use furt_core::model::Invalid;

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// The definition of a service.
    Service,
    /// An instance.
    Instance,
    /// A runtime key.
    ApiKey,
    /// The drain of an instance.
    Drain,
    /// The hold of an id.
    Hold,
    /// The maintenance of a service, or of all of them.
    Maintenance,
    /// The split of a service.
    Split,
    /// The grant of a service.
    Grant,
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "service",
            Self::Instance => "instance",
            Self::ApiKey => "API key",
            Self::Drain => "drain",
            Self::Hold => "hold",
            Self::Maintenance => "maintenance",
            Self::Split => "split",
            Self::Grant => "grant",
        })
    }
}

/// A record that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the record of {kind} \"{key}\": {fault}")]
pub struct RecordError {
    /// What it is of.
    pub kind: RecordKind,
    /// What it is stored under.
    pub key: String,
    /// What is wrong with it.
    pub fault: RecordFault,
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordFault {
    /// It is no JSON, or has other fields.
    #[error("{0}")]
    Json(serde_json::Error),
    /// It has this name, and is stored under another one.
    #[error("it says that it is \"{0}\"")]
    OtherName(String),
    /// A value in it could not have been registered.
    #[error("{0}")]
    Value(Invalid),
}
