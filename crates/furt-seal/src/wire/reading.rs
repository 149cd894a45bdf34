//! From JSON to a body: what is verified beside the message's signature is verified here. Each record by itself, proofs, the digests
//! of documents, the check value of a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use furt_cluster::model::{ClusterId, Document, Record};
use furt_cluster::{Body, MAX_RECORDS_A_MESSAGE, Proof, Refused, SettingsCheck, Transcript};
use serde::de::DeserializeOwned;

use super::beat::BeatForm;
use super::forms::Wire;
use super::result::ResultForm;
use super::secrets::{self, Given};
use super::{FUNCTIONS, HEARTBEAT, TASK, UPDATE_RESULT, function, vault};
use crate::envelope::Head;
use crate::keyring::Keyring;
use crate::public::{Rsa, digest_of};
use crate::record;
use crate::token::Side;
use crate::vault::Enclosed;

/// Reads a body, and what came with it.
pub(crate) fn read(head: &Head, key: &Rsa, json: &[u8], ring: &Keyring) -> Result<(Body, Option<Enclosed>), Refused> {
    let (body, enclosed) = match (head.kind.as_str(), head.function.as_deref()) {
        (HEARTBEAT, None) => (Body::Beat(Box::new(beat(head, json)?)), None),
        (TASK, Some(UPDATE_RESULT)) => {
            let result = parse::<ResultForm>(json)?.result().ok_or(Refused::Malformed)?;
            (Body::UpdateResult(Box::new(result)), None)
        }
        (TASK, Some(function)) if FUNCTIONS.contains(&function) => Reading { head, key, ring }.body(parse(json)?)?,
        (TASK, Some(_)) => return Err(Refused::UnknownFunction),
        _ => return Err(Refused::Malformed),
    };
    // The header and the body name the function, and both are signed; a furt writes the same into both.
    if head.function.as_deref() == function(&body) { Ok((body, enclosed)) } else { Err(Refused::Malformed) }
}

fn beat(head: &Head, json: &[u8]) -> Result<furt_cluster::model::Beat, Refused> {
    parse::<BeatForm>(json)?.beat(head.at_ms).ok_or(Refused::Malformed)
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(json).map_err(|_| Refused::Malformed)
}

struct Reading<'a> {
    head: &'a Head,
    key: &'a Rsa,
    ring: &'a Keyring,
}

impl Reading<'_> {
    fn body(&self, wire: Wire) -> Result<(Body, Option<Enclosed>), Refused> {
        let body = match wire {
            Wire::PushPublicKey {} => Body::BeatsAsked,
            Wire::JoinAsked { token, nonce } => Body::JoinAsked { token, nonce },
            Wire::JoinChallenge { transcript, proof } => {
                let transcript = transcript.into();
                Body::JoinChallenge { proof: self.proof(Side::Maker, &transcript, &proof)?, transcript }
            }
            Wire::JoinProof { transcript, proof } => {
                let transcript = transcript.into();
                Body::JoinProof { proof: self.proof(Side::Joiner, &transcript, &proof)?, transcript }
            }
            Wire::Welcome { transcript, founder, records } => {
                self.verify(&records)?;
                Body::Welcome { transcript: transcript.map(Transcript::from), founder, records }
            }
            Wire::RecordsAsked {} => Body::RecordsAsked,
            Wire::RecordsGiven { records } => {
                self.verify(&records)?;
                Body::RecordsGiven(records)
            }
            Wire::PushClusterSecret { queue_name, runner_class, public_key, furt } => {
                secrets::read_asked(&queue_name, &runner_class, &public_key, &furt, (self.head, self.key))?
            }
            Wire::ReceiveClusterSecret {
                runner_class,
                message,
                validation_string,
                encrypted_string,
                public_key,
                furt,
            } => {
                let given = Given { runner_class, message, validation_string, encrypted_string, public_key };
                let secret = secrets::read_given(&given, furt.secret, &self.ring.key, self.key)?;
                let body = Body::SecretGiven { id: furt.secret, check: secret.id().check };
                return Ok((body, Some(Enclosed::Secret(secret))));
            }
            Wire::PushVaultToken { node_name, runner_class, public_key, furt } => {
                vault::read_asked(&node_name, &runner_class, &public_key, &furt, (self.head, self.key))?
            }
            Wire::ReceiveVaultToken { runner_class, message, public_key, furt } => {
                let keys = (&self.ring.key, self.key);
                let token = vault::read_given(&runner_class, &message, &public_key, &furt, keys)?;
                return Ok((Body::VaultTokenGiven, Some(Enclosed::VaultToken(token))));
            }
            Wire::SettingsCheck { request, scope, id, restart, document } => {
                let document = document_of(&document)?;
                Body::SettingsCheck(Box::new(SettingsCheck { request, scope, id, restart, document }))
            }
            Wire::SettingsChecked { request, scope, outcome } => {
                Body::SettingsChecked { request, scope, outcome: outcome.outcome() }
            }
            Wire::DocumentAsked { scope, id, secret } => Body::DocumentAsked { scope, id, secret },
            Wire::DocumentGiven { record, document, request } => {
                self.verify(std::slice::from_ref(&*record))?;
                Body::DocumentGiven { record, document: document_of(&document)?, request }
            }
            Wire::ProgramAsked { request, program } => Body::ProgramAsked { request, program },
        };
        Ok((body, None))
    }

    fn proof(&self, side: Side, transcript: &Transcript, proof: &str) -> Result<Proof, Refused> {
        let mut bytes = [0; 32];
        const_hex::decode_to_slice(proof, &mut bytes).map_err(|_| Refused::Malformed)?;
        Ok(self.ring.judge(side, transcript, &bytes))
    }

    /// Each record by itself, in the cluster of the message.
    fn verify(&self, records: &[Record]) -> Result<(), Refused> {
        if records.len() > MAX_RECORDS_A_MESSAGE {
            return Err(Refused::Malformed);
        }
        let is_signed = |record| self.head.cluster.is_some_and(|cluster: ClusterId| record::is_signed(record, cluster));
        if records.iter().all(is_signed) { Ok(()) } else { Err(Refused::BadSignature) }
    }
}

fn document_of(base64: &str) -> Result<Document, Refused> {
    let text = STANDARD.decode(base64).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or(Refused::Malformed)?;
    Document::try_new(&text, digest_of(&text)).map_err(|_| Refused::Malformed)
}
