//! What a node's seal has: its key, secrets of the cluster by their names, join tokens by theirs. Nothing of it leaves this crate but
//! by the functions of [`Seal`](crate::Seal) that say so.

use std::collections::BTreeMap;

use furt_cluster::model::{SecretId, TokenId};
use furt_cluster::{Proof, Transcript};

use crate::error::SealError;
use crate::key::NodeKey;
use crate::secret::Secret;
use crate::token::{JoinToken, Side};

#[derive(Debug)]
pub(crate) struct Keyring {
    pub(crate) key: NodeKey,
    pub(crate) secrets: BTreeMap<SecretId, Secret>,
    pub(crate) tokens: BTreeMap<TokenId, JoinToken>,
}

impl Keyring {
    pub(crate) fn secret(&self, id: SecretId) -> Result<&Secret, SealError> {
        self.secrets.get(&id).ok_or(SealError::NoSecret(id))
    }

    /// The own side's proof.
    pub(crate) fn prove(&self, side: Side, transcript: &Transcript) -> Result<[u8; 32], SealError> {
        let token = self.tokens.get(&transcript.token).ok_or(SealError::NoToken(transcript.token))?;
        Ok(token.prove(side, transcript))
    }

    /// Judges the other side's proof.
    pub(crate) fn judge(&self, side: Side, transcript: &Transcript, proof: &[u8]) -> Proof {
        self.tokens.get(&transcript.token).map_or(Proof::NoToken, |token| token.judge(side, transcript, proof))
    }
}
