//! Bodies of messages to JSON and back. Whoever reads here has verified the message's signature before.

mod beat;
mod forms;
mod reading;
mod result;
mod secrets;
mod vault;
mod writing;

pub(crate) use reading::read;
pub(crate) use writing::{Enclosing, Written, write};

use furt_cluster::Body;

/// AMQP's `type` of beats.
const HEARTBEAT: &str = "heartbeat";
/// AMQP's `type` of all else.
const TASK: &str = "task";

/// The functions, of which a beat has none: lex-node's words where it has them.
const FUNCTIONS: [&str; 17] = [
    "push_public_key",
    "join_asked",
    "join_challenge",
    "join_proof",
    "welcome",
    "records_asked",
    "records_given",
    "push_cluster_secret",
    "receive_cluster_secret",
    "push_vault_token",
    "receive_vault_token",
    "settings_check",
    "settings_checked",
    "document_asked",
    "document_given",
    "program_asked",
    UPDATE_RESULT,
];
/// The function whose body does not name it, as with lex-node.
const UPDATE_RESULT: &str = "update_result";

/// The function of a body; `None`: it is a beat.
fn function(body: &Body) -> Option<&'static str> {
    Some(match body {
        Body::Beat(_) => return None,
        Body::BeatsAsked => "push_public_key",
        Body::JoinAsked { .. } => "join_asked",
        Body::JoinChallenge { .. } => "join_challenge",
        Body::JoinProof { .. } => "join_proof",
        Body::Welcome { .. } => "welcome",
        Body::RecordsAsked => "records_asked",
        Body::RecordsGiven(_) => "records_given",
        Body::SecretAsked(_) => "push_cluster_secret",
        Body::SecretGiven { .. } => "receive_cluster_secret",
        Body::VaultTokenAsked => "push_vault_token",
        Body::VaultTokenGiven => "receive_vault_token",
        Body::SettingsCheck(_) => "settings_check",
        Body::SettingsChecked { .. } => "settings_checked",
        Body::DocumentAsked { .. } => "document_asked",
        Body::DocumentGiven { .. } => "document_given",
        Body::ProgramAsked { .. } => "program_asked",
        Body::UpdateResult(_) => UPDATE_RESULT,
    })
}
