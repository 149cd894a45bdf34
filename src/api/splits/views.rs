//! Splits as operators are shown them.

use furt_api::splits::Split;

use crate::wire;
use furt_core::model::{self, ServiceName};

pub(in crate::api) fn shown(service: &ServiceName, split: &model::Split) -> Split {
    let spec = &split.spec;
    let share = |one: &model::SplitVersion| (one.version.as_str().to_owned(), one.share.percent());
    Split {
        service: service.as_str().into(),
        versions: spec.versions.iter().map(share).collect(),
        stable: spec.rest().percent(),
        header: spec.header.as_ref().map(|header| header.as_str().to_owned()),
        strict: spec.strict,
        since: wire::time(split.set_ms),
        from: split.by.address.to_string(),
        by: wire::operator(&split.by),
    }
}
