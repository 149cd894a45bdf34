//! Errors as etcd's v2 API has them: `errorCode`, `message`, `cause`, `index`.

use axum::http::StatusCode;
use furt_api::Code;

use super::super::problem::{EtcdForm, Problem};

/// Those that furt has a use for, with etcd's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EtcdError {
    KeyNotFound,
    TestFailed,
    NotAFile,
    KeyExists,
    RootReadOnly,
    Unauthorized,
    ValueRequired,
    TtlNotANumber,
    InvalidField,
    InvalidForm,
    RaftInternal,
}

impl EtcdError {
    fn number(self) -> u16 {
        match self {
            Self::KeyNotFound => 100,
            Self::TestFailed => 101,
            Self::NotAFile => 102,
            Self::KeyExists => 105,
            Self::RootReadOnly => 107,
            Self::Unauthorized => 110,
            Self::ValueRequired => 200,
            Self::TtlNotANumber => 202,
            Self::InvalidField => 209,
            Self::InvalidForm => 210,
            Self::RaftInternal => 300,
        }
    }

    /// In etcd's words.
    fn message(self) -> &'static str {
        match self {
            Self::KeyNotFound => "Key not found",
            Self::TestFailed => "Compare failed",
            Self::NotAFile => "Not a file",
            Self::KeyExists => "Key already exists",
            Self::RootReadOnly => "Root is read only",
            Self::Unauthorized => "The request requires user authentication",
            Self::ValueRequired => "Value is Required in POST form",
            Self::TtlNotANumber => "The given TTL in POST form is not a number",
            Self::InvalidField => "Invalid field",
            Self::InvalidForm => "Invalid POST form",
            Self::RaftInternal => "Raft Internal Error",
        }
    }

    pub(super) fn with(self, status: StatusCode, cause: impl Into<String>) -> Problem {
        let code = if self == Self::KeyNotFound { Code::NotFound } else { Code::InvalidFields };
        Problem::new(status, code, cause).in_etcd_form(self.form())
    }

    fn form(self) -> EtcdForm {
        EtcdForm { number: self.number(), message: self.message(), index: 0 }
    }

    /// What comes nearest to a problem of this status.
    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Unauthorized,
            StatusCode::NOT_FOUND => Self::KeyNotFound,
            StatusCode::CONFLICT => Self::KeyExists,
            StatusCode::PRECONDITION_FAILED => Self::TestFailed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::InvalidForm,
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => Self::InvalidField,
            _ => Self::RaftInternal,
        }
    }
}

/// A problem as a client of etcd reads it. Wrong fields are its 400.
pub(super) fn put_into_form(problem: &mut Problem, index: u64) {
    if problem.status() == StatusCode::UNPROCESSABLE_ENTITY {
        problem.set_status(StatusCode::BAD_REQUEST);
    }
    let status = problem.status();
    let form = problem.etcd_form().unwrap_or_else(|| EtcdError::of(status).form());
    problem.set_etcd_form(EtcdForm { index, ..form });
}
