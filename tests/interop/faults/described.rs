//! The answers of a running furt, held to the description of its API for ten minutes.

use std::time::Duration;

use crate::openapi::schemathesis_finds_nothing;

#[tokio::test]
async fn schemathesis_finds_nothing_in_ten_minutes() {
    schemathesis_finds_nothing(Duration::from_secs(600)).await;
}
