//! Why a server did not do what was asked of it. No sentence has a token or a value in it.

/// Characters of a server's own words.
const LONGEST: usize = 200;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No answer, or one of a server that cannot work now.
    #[error("Vault is away: {0}")]
    Away(String),
    /// 403: the token is none any more, or may not.
    #[error("Vault refuses the token{}", said(.0))]
    Refused(String),
    /// 404: there is nothing at this place.
    #[error("Vault has nothing there")]
    Absent,
    /// 400: what was asked for is wrong; a wrapping token that was used before is.
    #[error("Vault does not take the request{}", said(.0))]
    Rejected(String),
    /// The answer is not one of Vault's API.
    #[error("the answer is not one of Vault's: {0}")]
    Strange(&'static str),
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(" ({words})") }
}

/// What a server says in words: one line, and not too long. Nothing where it repeats a secret of the request.
pub(super) fn words(errors: &[String], secret: &str) -> String {
    let text = errors.join("; ");
    if !secret.is_empty() && text.contains(secret) {
        return String::new();
    }
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    let mut cleaned: String = text.trim().chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        cleaned.push('…');
    }
    cleaned
}
