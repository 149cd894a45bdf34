//! The stored forms of what definitions and routes say of requests.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::{READS, WITHOUT_AUTH};
use furt_core::model::{self, Compress, Origins, PathPrefix, Said};

/// A field of a definition or a route: absent where nothing is said, so that an earlier furt reads such a record, and `null` where it
/// takes away what was said before.
pub(super) type Field<T> = Option<Option<T>>;

pub(super) fn null_or<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cors {
    origins: Vec<String>,
    headers: Option<Vec<String>>,
    expose: Vec<String>,
    credentials: bool,
    max_age_secs: u64,
}

/// What `reads` is to say of a definition.
pub(super) fn reads(definition: &model::Definition) -> Option<u64> {
    let options = || definition.routes.iter().map(|route| &route.options).chain([&definition.options]);
    let has_auth = |one: &model::RouteOptions| one.restrictions.as_ref().is_some_and(|said| said.auth.is_some());
    match options().any(has_auth) {
        true => Some(READS),
        false => options().any(|one| !one.is_empty()).then_some(WITHOUT_AUTH),
    }
}

pub(super) fn stored<T, R>(said: &Said<Arc<T>>, from_core: impl Fn(&T) -> R) -> Field<R> {
    match said {
        Said::Nothing => None,
        Said::Off => Some(None),
        Said::Is(value) => Some(Some(from_core(value))),
    }
}

pub(super) fn said<T, R>(
    stored: Field<R>,
    into_core: impl Fn(R) -> Result<T, model::Invalid>,
) -> Result<Said<Arc<T>>, model::Invalid> {
    Ok(match stored {
        None => Said::Nothing,
        Some(None) => Said::Off,
        Some(Some(value)) => Said::Is(Arc::new(into_core(value)?)),
    })
}

pub(super) fn stored_compress(said: &Said<Compress>) -> Option<bool> {
    match said {
        Said::Nothing => None,
        Said::Off => Some(false),
        Said::Is(Compress) => Some(true),
    }
}

pub(super) fn said_compress(stored: Option<bool>) -> Said<Compress> {
    match stored {
        None => Said::Nothing,
        Some(false) => Said::Off,
        Some(true) => Said::Is(Compress),
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rewrite {
    strip: Option<String>,
    add: Option<String>,
    redirects: bool,
}

impl Rewrite {
    pub(super) fn from_core(rewrite: &model::Rewrite) -> Self {
        let text = |prefix: &Option<PathPrefix>| prefix.as_ref().map(|prefix| prefix.as_str().to_owned());
        Self { strip: text(&rewrite.strip), add: text(&rewrite.add), redirects: rewrite.redirects }
    }

    pub(super) fn into_core(self) -> Result<model::Rewrite, model::Invalid> {
        let prefix = |text: Option<String>| text.map(|text| PathPrefix::try_new(&text)).transpose();
        Ok(model::Rewrite { strip: prefix(self.strip)?, add: prefix(self.add)?, redirects: self.redirects })
    }
}

/// What restricts, as a definition or a route says it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Restrictions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retries: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth: Option<Vec<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Limits {
    rate: Option<String>,
    burst: Option<NonZeroU32>,
    concurrency: Option<NonZeroU32>,
    by: String,
    max_body: Option<u64>,
}

impl Restrictions {
    /// What rules alone say is never stored.
    pub(super) fn from_core(said: &model::Restrictions) -> Self {
        let model::Restrictions { limits, total_timeout, retries, auth, allow_from: _, deny_from: _ } = said;
        let auth = auth.as_ref().map(|methods| methods.iter().map(|one| one.as_str().to_owned()).collect());
        let limits = limits.map(|limits| Limits {
            rate: limits.rate.map(|limit| limit.rate.to_string()),
            burst: limits.rate.map(|limit| limit.burst),
            concurrency: limits.concurrency,
            by: limits.by.as_str().to_owned(),
            max_body: limits.max_body,
        });
        Self { limits, total_timeout_ms: super::ms(*total_timeout), retries: *retries, auth }
    }

    pub(super) fn into_core(self) -> Result<Arc<model::Restrictions>, model::Invalid> {
        let limits = |limits: Limits| {
            let rate = limits.rate.map(|text| model::Rate::try_new(&text)).transpose()?;
            Ok(model::Limits {
                rate: model::RateLimit::try_of(rate, limits.burst)?,
                concurrency: limits.concurrency,
                by: model::LimitBy::try_new(&limits.by)?,
                max_body: limits.max_body,
            })
        };
        Ok(Arc::new(model::Restrictions {
            limits: self.limits.map(limits).transpose()?,
            total_timeout: self.total_timeout_ms.map(Duration::from_millis),
            retries: self.retries,
            auth: self.auth.map(|names| model::AuthMethods::try_new(&names)).transpose()?,
            ..model::Restrictions::default()
        }))
    }
}

impl Cors {
    pub(super) fn from_core(cors: &model::Cors) -> Self {
        let names = |names: &[http::HeaderName]| names.iter().map(|name| name.as_str().to_owned()).collect();
        Self {
            origins: cors.origins.texts().into_iter().map(str::to_owned).collect(),
            headers: cors.headers.as_deref().map(names),
            expose: names(&cors.expose),
            credentials: cors.credentials,
            max_age_secs: cors.max_age.as_secs(),
        }
    }

    pub(super) fn into_core(self) -> Result<model::Cors, model::Invalid> {
        let names = |names: Vec<String>| -> Result<Box<[http::HeaderName]>, model::Invalid> {
            names.iter().map(|name| model::Cors::try_header(name)).collect()
        };
        Ok(model::Cors {
            origins: Origins::try_new(&self.origins)?,
            headers: self.headers.map(names).transpose()?,
            expose: names(self.expose)?,
            credentials: self.credentials,
            max_age: Duration::from_secs(self.max_age_secs),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Definition, with_unknown_fields};
    use furt_core::model::{Cors, Definition as Model, MethodRule, Pattern, RouteOptions, RouteSpec, ServiceName};
    use furt_core::registry::DefinitionRecord;

    use super::*;

    fn cors() -> Said<Arc<Cors>> {
        Said::Is(Arc::new(Cors::new(Origins::Any)))
    }

    fn record(of_all: Said<Arc<Cors>>, of_route: Said<Arc<Cors>>) -> DefinitionRecord {
        let options = |cors| RouteOptions { cors, ..RouteOptions::default() };
        let route = RouteSpec {
            method: MethodRule::Any,
            pattern: Pattern::try_new("/s").unwrap(),
            permission: None,
            options: options(of_route),
        };
        let definition =
            Model { routes: vec![route], options: options(of_all), ..Model::new(ServiceName::try_new("s").unwrap()) };
        DefinitionRecord { definition: Arc::new(definition), registered_from: [127, 0, 0, 1].into() }
    }

    #[test]
    fn what_an_earlier_furt_must_not_route_says_so_and_anything_else_is_as_it_was() {
        let stored = |record: &DefinitionRecord| -> Value {
            let json = Definition::from_core(record).to_json();
            assert_eq!(Definition::parse("s", &json).unwrap(), *record);
            serde_json::from_slice(&json).unwrap()
        };
        let plain = stored(&record(Said::Nothing, Said::Nothing));
        assert_eq!((plain.get("reads"), plain.get("cors"), plain["routes"][0].get("cors")), (None, None, None));
        for (of_all, of_route) in [(cors(), Said::Nothing), (Said::Nothing, cors()), (cors(), Said::Off)] {
            assert_eq!(stored(&record(of_all, of_route))["reads"], WITHOUT_AUTH);
        }
        assert_eq!(stored(&record(cors(), Said::Off))["routes"][0]["cors"], Value::Null);
    }

    #[test]
    fn compress_is_read_again_as_it_was_said() {
        let said = |compress| RouteOptions { compress, ..RouteOptions::default() };
        for (of_all, of_route, fields) in [
            (Said::Nothing, Said::Nothing, [Value::Null, Value::Null]),
            (Said::Is(Compress), Said::Nothing, [json!(true), Value::Null]),
            (Said::Is(Compress), Said::Off, [json!(true), json!(false)]),
            (Said::Nothing, Said::Is(Compress), [Value::Null, json!(true)]),
        ] {
            let mut record = record(Said::Nothing, Said::Nothing);
            let definition = Arc::make_mut(&mut record.definition);
            definition.options = said(of_all);
            definition.routes[0].options = said(of_route);
            let json = Definition::from_core(&record).to_json();
            assert_eq!(Definition::parse("s", &json).unwrap(), record);
            let stored: Value = serde_json::from_slice(&json).unwrap();
            let field = |record: &Value| record.get("compress").cloned().unwrap_or_default();
            assert_eq!([field(&stored), field(&stored["routes"][0])], fields);
        }
    }

    #[test]
    fn what_restricts_is_read_again_as_it_was_said() {
        let limits = |rate: Option<&str>, burst, by, max_body| {
            let rate =
                rate.map(|text| model::RateLimit::new(model::Rate::try_new(text).unwrap(), NonZeroU32::new(burst)));
            model::Limits { rate, concurrency: NonZeroU32::new(burst), by, max_body }
        };
        let (caller, route) = (model::LimitBy::Caller, model::LimitBy::Route);
        let default = model::Restrictions::default;
        for restrictions in [
            model::Restrictions { limits: Some(limits(Some("5/s"), 0, caller, None)), ..default() },
            model::Restrictions { limits: Some(limits(Some("300/m"), 7, route, Some(1))), ..default() },
            model::Restrictions { limits: Some(limits(None, 7, caller, None)), retries: Some(0), ..default() },
            model::Restrictions { total_timeout: Some(Duration::from_millis(1500)), ..default() },
            model::Restrictions { auth: Some(model::AuthMethods::try_new(&["key", "login"]).unwrap()), ..default() },
        ] {
            let reads = if restrictions.auth.is_some() { READS } else { WITHOUT_AUTH };
            let restrictions = Some(Arc::new(restrictions));
            let said = |read_timeout| RouteOptions {
                read_timeout,
                restrictions: restrictions.clone(),
                ..RouteOptions::default()
            };
            let read = Said::Is(Duration::from_millis(20));
            for (of_all, of_route) in
                [(said(Said::Nothing), RouteOptions::default()), (RouteOptions::default(), said(read))]
            {
                let mut record = record(Said::Nothing, Said::Nothing);
                let definition = Arc::make_mut(&mut record.definition);
                definition.options = of_all;
                definition.routes[0].options = of_route;
                let json = Definition::from_core(&record).to_json();
                assert_eq!(Definition::parse("s", &json).unwrap(), record);
                assert_eq!(serde_json::from_slice::<Value>(&json).unwrap()["reads"], reads);
            }
        }
    }

    #[test]
    fn a_record_that_keeps_what_a_newer_furt_wrote_keeps_who_may_route_it() {
        let new = Definition::from_core(&record(Said::Nothing, Said::Nothing));
        let mut stored: Value = serde_json::from_slice(&new.to_json()).unwrap();
        let kept = |stored: &Value| -> Value {
            serde_json::from_slice(&with_unknown_fields(&new, &serde_json::to_vec(stored).unwrap())).unwrap()
        };
        stored["reads"] = json!(READS);
        assert_eq!(kept(&stored).get("reads"), None, "it was about what is said no more");
        stored["reads"] = json!(READS + 1);
        stored["later"] = json!(true);
        assert_eq!((kept(&stored)["reads"].clone(), kept(&stored)["later"].clone()), (json!(READS + 1), json!(true)));
    }
}
