//! The account at an authority: taken from the folder, made where there is none, and made again where the authority has lost it.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountCredentials, CertificateIdentifier, Error, ExternalAccountKey, NewAccount};

use super::fault::OrderError;
use super::folder::Folder;
use super::http::{Client, RetryAfter};
use super::plan::Window;
use crate::config::AcmeConfig;
use crate::tls::{CertificateFault, read_secret};

/// Why the key of `acme.eab_key_file` cannot be used; what follows the file's name in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The file.
    #[error(transparent)]
    File(#[from] CertificateFault),
    /// Its text.
    #[error("is no key in base64url")]
    NotBase64,
}

/// The key by which an authority knows an account that was made elsewhere.
///
/// # Errors
/// The file cannot be used.
pub fn external_account(kid: &str, file: &Path) -> Result<ExternalAccountKey, AccountError> {
    let text = read_secret(file)?;
    let text: Vec<u8> = text.into_iter().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=').collect();
    let key = BASE64_URL_SAFE_NO_PAD.decode(&text).or_else(|_| BASE64_STANDARD_NO_PAD.decode(&text));
    match key {
        Ok(key) if !key.is_empty() => Ok(ExternalAccountKey::new(kid.to_owned(), &key)),
        Ok(_) | Err(_) => Err(AccountError::NotBase64),
    }
}

/// The account that the folder has; `None`: there is none yet.
pub(super) async fn known(
    config: &AcmeConfig,
    folder: &Folder,
    retry_after: &RetryAfter,
) -> Result<Option<Account>, OrderError> {
    let Some(credentials) = folder.account::<AccountCredentials>(&name(config))? else { return Ok(None) };
    let account = Account::builder_with_http(client(config, retry_after)?).from_credentials(credentials).await?;
    Ok(Some(account))
}

/// A new one, which is kept.
pub(super) async fn make(
    config: &AcmeConfig,
    folder: &Folder,
    retry_after: &RetryAfter,
) -> Result<Account, OrderError> {
    let external = match (&config.eab_kid, &config.eab_key_file) {
        (Some(kid), Some(file)) => Some(
            external_account(kid, file)
                .map_err(|fault| OrderError::Own(format!("acme.eab_key_file: {} {fault}", file.display())))?,
        ),
        _ => None,
    };
    let contact: Vec<_> = config.contact.iter().map(String::as_str).collect();
    let wanted =
        NewAccount { contact: &contact, terms_of_service_agreed: config.agree_terms, only_return_existing: false };
    let builder = Account::builder_with_http(client(config, retry_after)?);
    let (account, credentials) = builder.create(&wanted, config.directory.clone(), external.as_ref()).await?;
    folder.keep_account(&name(config), &credentials)?;
    log::info!("acme: made an account at {}", config.directory);
    Ok(account)
}

/// When its authority wants a certificate to be renewed, and in how many seconds it wants to be asked again; `None`: it does not say.
pub(super) async fn window(
    account: &Account,
    certificate: &CertificateIdentifier<'_>,
) -> Result<Option<(Window, i64)>, OrderError> {
    match account.renewal_info(certificate).await {
        Ok((info, retry_after)) => {
            let window = &info.suggested_window;
            let window = Window { start: window.start.unix_timestamp(), end: window.end.unix_timestamp() };
            Ok(Some((window, i64::try_from(retry_after.as_secs()).unwrap_or(i64::MAX))))
        }
        Err(Error::Unsupported(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The authority does not know it any more.
pub(super) fn lose(config: &AcmeConfig, folder: &Folder) -> Result<(), OrderError> {
    log::warn!("acme: {} does not know furt's account any more; furt makes another one", config.directory);
    Ok(folder.put_account_aside(&name(config))?)
}

fn client(config: &AcmeConfig, retry_after: &RetryAfter) -> Result<Box<Client>, OrderError> {
    let client = Client::try_new(config.ca.as_deref(), retry_after.clone());
    client.map(Box::new).map_err(|why| OrderError::Own(format!("acme.ca: {why}")))
}

/// Another authority, or another account made elsewhere, is another account.
fn name(config: &AcmeConfig) -> String {
    format!("{} {}", config.directory, config.eab_kid.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_made_elsewhere_is_base64_in_a_file_that_not_everybody_reads() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let fault = || external_account("kid", &file).err().map(|fault| fault.to_string()).unwrap_or_default();
        assert!(fault().contains("cannot be read"));
        for (text, mode, expected) in [
            ("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n", 0o600, ""),
            ("zWND+M6e/w==\n", 0o640, ""),
            ("", 0o600, "is no key in base64url"),
            ("not a key!", 0o600, "is no key in base64url"),
            ("zWNDZM6e", 0o644, "can be read or written by everybody"),
        ] {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert!(fault().contains(expected) && fault().is_empty() == expected.is_empty(), "{text}: {}", fault());
        }
    }
}
