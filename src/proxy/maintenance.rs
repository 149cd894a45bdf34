//! Requests for what is in maintenance: furt answers them itself, but for clients that are let in.

use http::header;

use super::answer::GatewayAnswer;
use super::context::Context;
use crate::clock;
use crate::published::Published;
use crate::wire::GatewayProblem;
use furt_core::live::retry_after_seconds;
use furt_core::model::Maintenance;
use furt_core::routing::{MaintenanceTable, Route};

/// When a client is to come again where nobody knows the end, in seconds.
const ENDLESS: u64 = 60;
/// The longest that a client is sent away for: the end may be moved forward.
const MAX_RETRY_AFTER: u64 = 86_400;

/// Whether a request may go on to its route.
///
/// # Errors
/// It may not: the answer.
pub(super) fn check(
    table: &MaintenanceTable,
    route: &Route,
    ctx: &Context,
    snapshot: &Published,
) -> Result<(), GatewayAnswer> {
    let now_ms = clock::unix_ms();
    let service = snapshot.service(route.owner.index()).map(|service| &**service);
    match table.keeps_out(route.owner, service, ctx.client.address, now_ms) {
        Some(maintenance) => Err(answer(maintenance, now_ms)),
        None => Ok(()),
    }
}

fn answer(maintenance: &Maintenance, now_ms: i64) -> GatewayAnswer {
    let seconds = maintenance.left(now_ms).map_or(ENDLESS, |left| retry_after_seconds(left).min(MAX_RETRY_AFTER));
    let answer = GatewayAnswer::from(GatewayProblem::Maintenance).with_header(header::RETRY_AFTER, seconds);
    match &maintenance.message {
        Some(message) => answer.with_detail(message.as_str().to_owned()),
        None => answer,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use furt_core::model::{CidrSet, MaintenanceMessage};

    #[test]
    fn a_client_is_told_when_to_come_again_and_why() {
        let maintenance = |lasts: Option<Duration>, message: Option<&str>| Maintenance {
            allow_from: CidrSet::default(),
            message: message.map(|text| MaintenanceMessage::try_new(text).unwrap()),
            by: std::net::IpAddr::from([127, 0, 0, 1]).into(),
            began_ms: 1_000,
            ends_ms: lasts.map(|lasts| 1_000 + i64::try_from(lasts.as_millis()).unwrap()),
        };
        for (lasts, expected) in
            [(None, "60"), (Some(1_200), "2"), (Some(1_800_000), "1800"), (Some(30 * 86_400_000), "86400")]
        {
            let answer = answer(&maintenance(lasts.map(Duration::from_millis), Some("back soon")), 1_000);
            let (name, value) = answer.extra().unwrap();
            assert_eq!((name.as_str(), value.to_str().unwrap()), ("retry-after", expected));
            assert_eq!((answer.status().as_u16(), answer.detail()), (503, Some("back soon")));
        }
        assert_eq!(answer(&maintenance(None, None), 1_000).detail(), None);
    }
}
