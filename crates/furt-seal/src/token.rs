//! Join tokens: what an operator carries from a node of a cluster to a new one. A token never travels on the bus: both sides prove
//! that they know it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use furt_cluster::model::{ClusterId, Fingerprint, TokenId};
use furt_cluster::{Proof, Transcript};
use zeroize::Zeroizing;

use crate::fields::Fields;
use crate::random;

/// The first part of a token, so that a scanner for secrets finds it.
const PREFIX: &str = "furtc1";

/// Why a text is no token. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else.
    #[error("a join token begins with \"{PREFIX}.\" and has four parts with dots between them")]
    NoToken,
    /// The second part.
    #[error("the second part of a join token is the cluster's UUID in lower case with hyphens")]
    NoCluster,
    /// The third part.
    #[error("the third part of a join token is the fingerprint of the node that made it")]
    NoMaker,
    /// The fourth part.
    #[error("the fourth part of a join token is 32 bytes in base64url without padding; perhaps its end was not copied")]
    NoRandom,
}

/// Which side of a join proves. One side's proof is never the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Maker,
    Joiner,
}

/// A join token, `furtc1.<cluster>.<maker's fingerprint>.<32 random bytes>`. It is wiped when it is dropped, and shown by nothing but
/// [`JoinToken::text`]. It names its maker, since others who have it could otherwise let nodes into a cluster of their own.
#[derive(Clone)]
pub struct JoinToken {
    cluster: ClusterId,
    maker: Fingerprint,
    text: Zeroizing<String>,
    bytes: Zeroizing<[u8; 32]>,
}

impl JoinToken {
    /// Draws a token of this node for this cluster from the system's generator.
    pub fn draw(cluster: ClusterId, maker: Fingerprint) -> Self {
        let bytes = random::bytes();
        let random = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
        let named = format!("{PREFIX}.{cluster}.{maker}.");
        let mut text = Zeroizing::new(String::with_capacity(named.len() + random.len()));
        text.extend([&*named, &*random]);
        Self { cluster, maker, text, bytes }
    }

    /// The token itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The cluster that it leads to.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Names it: the first 8 bytes of an HMAC by the token over a label and the cluster, which give nothing away.
    pub fn id(&self) -> TokenId {
        let tag = self.mac(&Fields::new("furt token id v1").field(self.cluster.0.as_bytes()));
        let mut id = [0; 8];
        id.copy_from_slice(&tag.as_ref()[..8]);
        TokenId::new(id)
    }

    /// A side's proof over all of the transcript.
    pub(crate) fn prove(&self, side: Side, transcript: &Transcript) -> [u8; 32] {
        let mut proof = [0; 32];
        proof.copy_from_slice(self.mac(&proven(side, transcript)).as_ref());
        proof
    }

    /// Judges the proof of a side, in a time that does not depend on how wrong it is.
    pub(crate) fn judge(&self, side: Side, transcript: &Transcript, proof: &[u8]) -> Proof {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.bytes);
        let is_right = hmac::verify(&key, proven(side, transcript).bytes(), proof).is_ok();
        let is_of_token = (transcript.cluster, transcript.maker) == (self.cluster, self.maker);
        if is_right && is_of_token { Proof::Right } else { Proof::Wrong }
    }

    fn mac(&self, fields: &Fields) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*self.bytes), fields.bytes())
    }
}

fn proven(side: Side, transcript: &Transcript) -> Fields {
    let Transcript { cluster, token, joiner, joiner_boot, joiner_nonce, maker, maker_boot, maker_nonce } = transcript;
    let label = match side {
        Side::Maker => "furt join maker v1",
        Side::Joiner => "furt join joiner v1",
    };
    Fields::new(label)
        .field(cluster.0.as_bytes())
        .field(token.as_bytes())
        .field(joiner.as_bytes())
        .field(&joiner_boot.0.to_be_bytes())
        .field(joiner_nonce.as_bytes())
        .field(maker.as_bytes())
        .field(&maker_boot.0.to_be_bytes())
        .field(maker_nonce.as_bytes())
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.split('.');
        let parts = [(); 5].map(|()| parts.next());
        let [Some(PREFIX), Some(cluster), Some(maker), Some(random), None] = parts else {
            return Err(TokenError::NoToken);
        };
        let cluster = read_cluster(cluster).ok_or(TokenError::NoCluster)?;
        let read = maker.parse().ok().filter(|read: &Fingerprint| read.to_string() == maker);
        let maker = read.ok_or(TokenError::NoMaker)?;
        let mut bytes = Zeroizing::new([0; 32]);
        match URL_SAFE_NO_PAD.decode(random).map(Zeroizing::new) {
            Ok(random) if random.len() == bytes.len() => bytes.copy_from_slice(&random),
            Ok(_) | Err(_) => return Err(TokenError::NoRandom),
        }
        Ok(Self { cluster, maker, text: Zeroizing::new(text.to_owned()), bytes })
    }
}

/// A cluster's id in the one form in which it is written. `None`: it is another text.
pub(crate) fn read_cluster(text: &str) -> Option<ClusterId> {
    let id = uuid::Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(ClusterId(id))
}

impl fmt::Debug for JoinToken {
    /// Its name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({}, of cluster {})", self.id(), self.cluster)
    }
}
