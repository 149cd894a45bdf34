//! lex-node's `UpdateResult`, with furt's generation and request. Its timestamp has seconds; furt's own has the milliseconds.

use furt_cluster::model::{NodeName, RequestId, UpdateResult};
use serde::{Deserialize, Serialize};

use super::forms::{is_word, present};
use crate::date;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultForm {
    action: String,
    status: StatusForm,
    #[serde(deserialize_with = "present")]
    detail: Option<String>,
    #[serde(deserialize_with = "present")]
    error: Option<String>,
    node: NodeName,
    timestamp: String,
    furt: Further,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusForm {
    Success,
    Failed,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Further {
    at_ms: i64,
    generation: u64,
    #[serde(deserialize_with = "present")]
    request: Option<RequestId>,
}

impl ResultForm {
    pub(super) fn of(result: &UpdateResult) -> Self {
        let UpdateResult { action, status, detail, node, at_ms, generation, request } = result.clone();
        let (status, error) = match status {
            Ok(()) => (StatusForm::Success, None),
            Err(error) => (StatusForm::Failed, Some((*error).to_owned())),
        };
        let (action, detail) = ((*action).to_owned(), detail.map(|detail| (*detail).to_owned()));
        let timestamp = date::iso(at_ms);
        Self { action, status, detail, error, node, timestamp, furt: Further { at_ms, generation, request } }
    }

    /// `None`: what stands in it twice differs, or its action is no word.
    pub(super) fn result(self) -> Option<UpdateResult> {
        let Self { action, status, detail, error, node, timestamp, furt: Further { at_ms, generation, request } } =
            self;
        let status = match (status, error) {
            (StatusForm::Success, None) => Ok(()),
            (StatusForm::Failed, Some(error)) => Err(error.into()),
            (StatusForm::Success, Some(_)) | (StatusForm::Failed, None) => return None,
        };
        if timestamp != date::iso(at_ms) || !is_word(&action) {
            return None;
        }
        let (action, detail) = (action.into(), detail.map(Into::into));
        Some(UpdateResult { action, status, detail, node, at_ms, generation, request })
    }
}
