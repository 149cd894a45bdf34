//! `mirror` in an entry of `[[rules]]`.

use std::sync::Arc;

use http::Method;

use crate::config::key::{DefaultValue, EntryVisitor, Key, Nested};
use crate::config::section::Section;
use crate::config::value::{Commas, Parsed, Value, list, size, text};
use furt_core::model::{MAX_MIRROR_BODY, MAX_MIRROR_METHODS, MIRROR_BODY, Mirror, Percentage, Said, ServiceName};

/// The values of `mirror` in an entry.
pub(super) struct MirrorValues {
    service: Option<ServiceName>,
    share: Option<Percentage>,
    methods: Option<Vec<Method>>,
    max_body: Option<u32>,
}

pub(super) fn visit<V: EntryVisitor>(keys: &mut V) -> MirrorValues {
    MirrorValues {
        service: keys.required(
            Key {
                name: "rules.mirror.service",
                default: DefaultValue::absent("required in `mirror`", r#""search-next""#),
                range: "a service's name",
                text: "The service that gets [copies of requests](routes.md#mirror). Where nobody is registered under it, none are sent. \
                       `mirror = false` in the place of the table removes what earlier rules say.",
                ..Key::ROW
            },
            text("a service's name", ServiceName::try_new),
        ),
        share: keys.optional(
            Key {
                name: "rules.mirror.share",
                default: DefaultValue::absent("`\"100%\"`", r#""10%""#),
                range: "`\"0.01%\"` to `\"100%\"`",
                text: "How many of the requests are copied.",
                ..Key::ROW
            },
            text("a share", Mirror::try_share),
        ),
        methods: keys.optional(
            Key {
                name: "rules.mirror.methods",
                default: DefaultValue::absent("`[\"GET\", \"HEAD\"]`", r#"["GET", "HEAD"]"#),
                range: "1 to 16 methods",
                text: "Requests of these methods are copied. Others have side effects, which happen twice then.",
                ..Key::ROW
            },
            methods,
        ),
        max_body: keys.optional(
            Key {
                name: "rules.mirror.max_body",
                default: DefaultValue::absent("`\"64KiB\"`", r#""64KiB""#),
                range: "1 byte to 1 MiB",
                text: "The largest body that is copied. A request with a larger one is not.",
                ..Key::ROW
            },
            max_body,
        ),
    }
}

fn methods(value: &Value<'_>) -> Parsed<Vec<Method>> {
    let methods = list(Commas::Refused, "a method", Mirror::try_method)(value)?;
    match methods.len() {
        1..=MAX_MIRROR_METHODS => Ok(methods),
        _ => value.error(format!("must have 1 to {MAX_MIRROR_METHODS} methods")),
    }
}

fn max_body(value: &Value<'_>) -> Parsed<u32> {
    match u32::try_from(size(value)?) {
        Ok(bytes) if bytes <= MAX_MIRROR_BODY => Ok(bytes),
        _ => value.error("is out of range; must be 1 byte to \"1MiB\"".to_owned()),
    }
}

/// `of`: the service whose routes alone the rule matches.
pub(super) fn read(values: Nested<MirrorValues>, of: Option<&ServiceName>, entry: &Section<'_>) -> Said<Arc<Mirror>> {
    let MirrorValues { service, share, methods, max_body } = match values {
        Nested::Absent => return Said::Nothing,
        Nested::Off => return Said::Off,
        Nested::Is(values) => values,
    };
    // What is wrong is reported already.
    let Some(service) = service.filter(|_| !entry.has_faults_in("mirror")) else { return Said::Nothing };
    if of == Some(&service) {
        entry.refuse("mirror", format!("copies requests of \"{service}\" to itself; must name another service"));
    }
    Said::Is(Arc::new(Mirror {
        service,
        share: share.unwrap_or(Percentage::ALL),
        methods: methods.map_or_else(|| Box::from([Method::GET, Method::HEAD]), Vec::into_boxed_slice),
        max_body: max_body.unwrap_or(MIRROR_BODY),
    }))
}
