//! The target `connection_string`: what `FURT_URL`, `--url` and `furt_client::connect` take.
//!
//! An input is a connection string. It is read, and is then the same with what surrounds it left out; or it is refused in one
//! sentence that names a place and shows no secret.

/// What an option must not be told with.
const SECRET: &str = "s3cr3t-of-the-service";

/// Asserts that a connection string is read, or refused with a place.
pub fn connection_string(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = furt_client::check(text);
    assert_eq!(read.is_ok(), furt_client::check(&format!(" {text}\n")).is_ok());
    if let Err(why) = &read {
        let told = why.to_string();
        assert!(told.starts_with("the connection string, "), "{told}");
        assert!(told.len() <= 4 * text.len() + 400, "{} bytes for {}", told.len(), text.len());
    }
    // A token has no place there, whatever stands before it.
    let options = if text.contains('?') { "&" } else { "?" };
    let with_token = format!("{text}{options}token={SECRET}");
    match furt_client::check(&with_token) {
        Ok(()) => panic!("a token is taken: {with_token:?}"),
        Err(why) => assert!(!why.to_string().contains(SECRET), "{why}"),
    }
}
