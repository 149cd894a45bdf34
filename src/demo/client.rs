//! How the demo's services and clients send requests: blocking, on threads that may wait.

use std::time::Duration;

use anyhow::{Context, Result};
use ureq::Agent;

/// Who sends requests over kept connections; none takes longer than `limit`.
pub(super) fn agent(limit: Duration) -> Agent {
    // A proxy of the environment is for others: all of this is on one machine.
    let config = Agent::config_builder().timeout_global(Some(limit)).http_status_as_error(false).proxy(None);
    config.build().new_agent()
}

/// Status and body of the answer.
///
/// # Errors
/// There was none.
pub(super) fn send(
    agent: &Agent,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<(u16, String)> {
    let request = headers
        .iter()
        .fold(http::Request::builder().method(method).uri(url), |request, (name, value)| request.header(*name, *value));
    let mut answer = agent.run(request.body(body).context("cannot be sent")?)?;
    let text = answer.body_mut().read_to_string().context("the answer broke off")?;
    Ok((answer.status().as_u16(), text))
}
