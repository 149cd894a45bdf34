//! The signature of an artefact, as minisign makes it.
//!
//! Only signatures over the hash of a file are taken, minisign's default since 0.10: the artefact is never in memory as a whole. The trusted
//! comment is signed as well. It must have the field `file:furt-VERSION`, which minisign writes by itself: so an older artefact cannot be
//! offered under a later version's name, and a signature of another program of the same key is none of furt's.

use furt_cluster::model::Version;
use minisign_verify::{Error, PublicKey, Signature, StreamVerifier};

/// Reads the text of a `.minisig`.
///
/// # Errors
/// It is none.
pub(super) fn read(text: &str) -> Result<Signature, String> {
    Signature::decode(text).map_err(|_| "its signature is no file of minisign's".to_owned())
}

/// Begins to check an artefact.
///
/// # Errors
/// The signature is of another key, or of a kind that is not taken.
pub(super) fn begin<'a>(key: &'a PublicKey, signature: &'a Signature) -> Result<StreamVerifier<'a>, String> {
    key.verify_stream(signature).map_err(|error| match error {
        Error::UnexpectedKeyId => "its signature is by another key than update.public_key".to_owned(),
        Error::UnsupportedLegacyMode => "its signature is of minisign's legacy kind; sign without -l".to_owned(),
        error => format!("its signature cannot be checked: {error}"),
    })
}

/// Ends it, once the verifier has seen the whole artefact.
///
/// # Errors
/// The key did not sign this artefact, or not as this version.
pub(super) fn end(verifier: &mut StreamVerifier<'_>, signature: &Signature, version: Version) -> Result<(), String> {
    verifier
        .finalize()
        .map_err(|_| "its signature does not fit: update.public_key did not sign these bytes".to_owned())?;
    let expected = format!("file:furt-{version}");
    if signature.trusted_comment().split('\t').any(|field| field == expected) {
        return Ok(());
    }
    Err(format!("its signature is for something else: the trusted comment has no field {expected}"))
}
