//! Which node an operator means.
//!
//! A fingerprint is the node's identity. A name is only what the node says of itself: any stranger on the broker may use the
//! name of another node. So a name is taken only where nothing is given away by a mistake.

use axum::http::StatusCode;
use furt_api::Code;
use furt_cluster::NodeView;
use furt_cluster::model::{Fingerprint, NodeState, Standing};

use super::Problem;

/// The least of a fingerprint that names it.
const MIN_PREFIX: usize = 8;
/// Characters of a whole one.
const WHOLE: usize = 64;

/// Whether a name counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Taken,
    /// That of an approved node that is there. What a stranger calls itself does not count.
    OfApproved,
    Refused,
}

/// The key that is meant. A whole fingerprint needs not be known here.
///
/// # Errors
/// None is, or several are.
pub(super) fn find(nodes: &[NodeView], text: &str, names: Names) -> Result<Fingerprint, Problem> {
    let prefix = text.to_ascii_lowercase();
    let is_hex = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Ok(whole) = prefix.parse() {
        return Ok(whole);
    }
    let is_meant = |node: &&NodeView| match names {
        _ if is_hex => (MIN_PREFIX..WHOLE).contains(&prefix.len()) && node.fingerprint.to_string().starts_with(&prefix),
        Names::Taken => node.name.as_ref().is_some_and(|name| name.as_str() == text),
        Names::OfApproved => {
            let is_there = matches!(node.state, Some(NodeState::Active | NodeState::Late));
            let is_approved = matches!(node.standing, Standing::Approved(_));
            is_approved && (is_there || node.is_self) && node.name.as_ref().is_some_and(|name| name.as_str() == text)
        }
        Names::Refused => false,
    };
    let meant: Vec<_> = nodes.iter().filter(is_meant).map(|node| node.fingerprint).collect();
    match meant.as_slice() {
        [one] => Ok(*one),
        [] => {
            let rule = match names {
                Names::Taken | Names::OfApproved => {
                    "a key is its fingerprint, at least 8 hexadecimal digits that it begins with, or the node's name"
                }
                Names::Refused => {
                    "a key is its fingerprint, or at least 8 hexadecimal digits that it begins with; a name does not count here, since any node may say it"
                }
            };
            Err(Problem::new(StatusCode::NOT_FOUND, Code::NotFound, format!("no node has the key \"{text}\": {rule}")))
        }
        several => {
            let all = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let detail = format!("several nodes are called so: {all}; give more of the fingerprint");
            Err(Problem::new(StatusCode::CONFLICT, Code::ClusterConflict, detail))
        }
    }
}
