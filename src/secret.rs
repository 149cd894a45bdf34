//! New secrets from the system's random numbers; the one place where they are made. Nothing is kept: who asks shows a
//! secret once, and everything else in furt knows its digest. Callers: `api`, `acme`, `affinity_keys` and `cli`.

/// Random bytes of an API key: 256 bits, as many as its digest.
const KEY_BYTES: usize = 32;

/// A new API key: `furt_` and 64 hexadecimal digits; the prefix lets scanners find leaked keys.
///
/// # Errors
/// The system has no random numbers.
pub fn new_key() -> Result<String, getrandom::Error> {
    Ok("furt_".to_owned() + &random_hex()?)
}

/// A word that nobody guesses: 64 hexadecimal digits.
///
/// # Errors
/// The system has no random numbers.
pub fn random_hex() -> Result<String, getrandom::Error> {
    Ok(const_hex::Buffer::<KEY_BYTES>::new().format(&random_bytes()?).to_owned())
}

/// The same as bytes.
///
/// # Errors
/// The system has no random numbers.
pub fn random_bytes() -> Result<[u8; KEY_BYTES], getrandom::Error> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_never_the_same() {
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        assert_eq!(one.len(), "furt_".len() + 64);
        assert_ne!(one, other);
    }
}
