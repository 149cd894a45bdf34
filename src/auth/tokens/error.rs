//! Why a token is refused. The texts are for clients: they name no value of the token and no key, and fit into a header.

/// Why a token does not show who a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// The token is not good.
    #[error(transparent)]
    Refused(#[from] TokenError),
    /// There were never keys by which it could be checked.
    #[error("the keys of the issuer are not there yet")]
    NoKeys,
}

/// What is wrong with a token, as a short clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Longer than 8 KiB.
    #[error("the token is longer than 8 KiB")]
    TooLong,
    /// Not three parts that are not empty.
    #[error("the token is not of three parts")]
    Parts,
    /// A part is no base64url without padding.
    #[error("the token is not in base64url")]
    Encoding,
    /// Its header or its claims are no JSON object.
    #[error("the header or the claims of the token are no JSON object")]
    NotJson,
    /// A member of its header or of its claims stands there twice.
    #[error("the header or the claims of the token name a member twice")]
    Duplicate,
    /// A member of its header is missing or of another type than it must be.
    #[error("the {0} in the header of the token is missing or has a wrong type")]
    Header(&'static str),
    /// The issuer's tokens do not have this algorithm.
    #[error("the alg of the token is not accepted")]
    Algorithm,
    /// Its header asks for what furt does not know (RFC 7515 §4.1.11).
    #[error("the header of the token has crit, which is not supported")]
    Critical,
    /// The issuer's tokens are not of this type.
    #[error("the typ of the token is not accepted")]
    Type,
    /// The issuer has no key of this `kid`.
    #[error("the kid of the token is no key of its issuer")]
    UnknownKey,
    /// It names no key, and none fits.
    #[error("the token names no key, and none of the issuer fits its algorithm")]
    NoKey,
    /// More than one key fits.
    #[error("more than one key of the issuer fits the token")]
    AmbiguousKey,
    /// Its key is not for it.
    #[error("the key of the token {0}")]
    Key(#[from] Misfit),
    /// Another key signed it, or something else was signed.
    #[error("the signature of the token is not good")]
    Signature,
    /// A claim is missing, or of another type than it must be.
    #[error("the claim {0} of the token is missing or has a wrong type")]
    Claim(&'static str),
    /// It is another issuer's.
    #[error("the iss of the token is another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the aud of the token has no audience of this gateway")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the nbf of the token is in the future")]
    NotYet,
    /// It was made in the future.
    #[error("the iat of the token is in the future")]
    FromFuture,
}

/// Why a key cannot check a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Misfit {
    /// Of another kind or curve than the algorithm wants (`kty`, `crv`).
    #[error("is of another kind than its algorithm wants")]
    Kind,
    /// For another algorithm (`alg`).
    #[error("is for another algorithm")]
    Algorithm,
    /// Not for signatures (`use`).
    #[error("is not for signatures")]
    Use,
    /// Not for checking signatures (`key_ops`).
    #[error("is not for checking signatures")]
    Operations,
    /// An RSA key of less than 2,048 bits or more than 8,192.
    #[error("has not 2048 to 8192 bits")]
    Size,
    /// Its numbers are no key.
    #[error("cannot be used")]
    Broken,
}
