//! From a body to JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use furt_cluster::model::Document;
use furt_cluster::{Body, Outgoing, Proof, SettingsCheck, Transcript};
use serde::Serialize;
use zeroize::Zeroizing;

use super::beat::BeatForm;
use super::forms::{OutcomeForm, TranscriptForm, Wire};
use super::result::ResultForm;
use super::{HEARTBEAT, TASK, function, secrets, vault};
use crate::error::SealError;
use crate::keyring::Keyring;
use crate::public::Rsa;
use crate::secret::Secret;
use crate::token::Side;
use crate::vault::WrappedToken;

/// A body that was written.
pub(crate) struct Written {
    /// AMQP's `type`.
    pub(crate) kind: &'static str,
    pub(crate) function: Option<&'static str>,
    pub(crate) json: Zeroizing<Vec<u8>>,
}

/// What goes out with a message, and the key that it is for.
#[derive(Clone, Copy)]
pub(crate) enum Enclosing<'a> {
    Secret(&'a Secret, &'a Rsa),
    VaultToken(&'a WrappedToken, &'a Rsa),
}

/// Writes a body. A secret or a token goes out where one is given, with the key that it is for, and in no other way.
pub(crate) fn write(message: &Outgoing, ring: &Keyring, given: Option<Enclosing<'_>>) -> Result<Written, SealError> {
    let function = function(&message.body);
    let json = match (&message.body, given) {
        (Body::Beat(beat), None) => json(&BeatForm::of(beat, message.at_ms))?,
        (Body::UpdateResult(result), None) => json(&ResultForm::of(result))?,
        (Body::SecretGiven { .. }, Some(Enclosing::Secret(secret, receiver))) => {
            json(&secrets::write_given(&ring.key, secret, receiver)?)?
        }
        (Body::VaultTokenGiven, Some(Enclosing::VaultToken(token, receiver))) => {
            json(&vault::write_given(&ring.key, token, receiver)?)?
        }
        (_, Some(_)) => return Err(SealError::WrongBody),
        (body, None) => json(&wire(body, ring)?)?,
    };
    let kind = if function.is_some() { TASK } else { HEARTBEAT };
    Ok(Written { kind, function, json: Zeroizing::new(json) })
}

fn json(form: &impl Serialize) -> Result<Vec<u8>, SealError> {
    serde_json::to_vec(form).map_err(|_| SealError::Failed("writing JSON"))
}

fn wire(body: &Body, ring: &Keyring) -> Result<Wire, SealError> {
    Ok(match body {
        Body::Beat(_) | Body::UpdateResult(_) | Body::SecretGiven { .. } | Body::VaultTokenGiven => {
            return Err(SealError::WrongBody);
        }
        Body::BeatsAsked => Wire::PushPublicKey {},
        Body::JoinAsked { token, nonce } => Wire::JoinAsked { token: *token, nonce: *nonce },
        Body::JoinChallenge { transcript, proof } => {
            let proof = proof_of(ring, Side::Maker, transcript, *proof)?;
            Wire::JoinChallenge { transcript: transcript.into(), proof }
        }
        Body::JoinProof { transcript, proof } => {
            let proof = proof_of(ring, Side::Joiner, transcript, *proof)?;
            Wire::JoinProof { transcript: transcript.into(), proof }
        }
        Body::Welcome { transcript, founder, records } => Wire::Welcome {
            transcript: transcript.as_ref().map(TranscriptForm::from),
            founder: *founder,
            records: records.clone(),
        },
        Body::RecordsAsked => Wire::RecordsAsked {},
        Body::RecordsGiven(records) => Wire::RecordsGiven { records: records.clone() },
        Body::SecretAsked(id) => secrets::write_asked(&ring.key, *id),
        Body::VaultTokenAsked => vault::write_asked(&ring.key),
        Body::SettingsCheck(check) => {
            let SettingsCheck { request, scope, id, restart, document } = &**check;
            let (request, scope, id, restart) = (*request, *scope, *id, *restart);
            Wire::SettingsCheck { request, scope, id, restart, document: document_text(document) }
        }
        Body::SettingsChecked { request, scope, outcome } => {
            Wire::SettingsChecked { request: *request, scope: *scope, outcome: OutcomeForm::of(outcome) }
        }
        Body::DocumentAsked { scope, id, secret } => Wire::DocumentAsked { scope: *scope, id: *id, secret: *secret },
        Body::DocumentGiven { record, document, request } => {
            Wire::DocumentGiven { record: record.clone(), document: document_text(document), request: *request }
        }
        Body::ProgramAsked { request, program } => Wire::ProgramAsked { request: *request, program: *program },
    })
}

fn proof_of(ring: &Keyring, side: Side, transcript: &Transcript, proof: Proof) -> Result<String, SealError> {
    match proof {
        Proof::Make => Ok(const_hex::Buffer::<32>::new().format(&ring.prove(side, transcript)?).to_owned()),
        Proof::Right | Proof::Wrong | Proof::NoToken => Err(SealError::WrongBody),
    }
}

/// In base64: JSON would make some texts six times as long, and the longest document is to fit into a message.
fn document_text(document: &Document) -> String {
    STANDARD.encode(document.text())
}
