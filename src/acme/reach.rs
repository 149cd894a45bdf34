//! Whether a name leads to this furt: it asks there for a challenge of its own, as the authority would. Before a service causes an
//! order, so that one which binds its routes to a name of somebody else costs the authority nothing.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;

use super::fault::clean;
use crate::secret;
use crate::tls::Challenges;

/// For the whole answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The answer has 64.
const MAX_BYTES: u64 = 1024;

/// Asks at `at`, a host and a port, or at the name itself.
///
/// # Errors
/// Why it does not lead here.
pub(super) async fn check(name: &str, at: Option<&str>, challenges: &Arc<Challenges>) -> Result<(), String> {
    let (token, text) = (random()?, random()?);
    let _answered = challenges.answer_text(&token, &text);
    let url = format!("http://{}/.well-known/acme-challenge/{token}", at.unwrap_or(name));
    let host = name.to_owned();
    let asked = tokio::task::spawn_blocking(move || ask(&url, &host)).await;
    match asked.map_err(|error| error.to_string())? {
        Ok(found) if found == text.as_bytes() => Ok(()),
        Ok(_) => Err(format!("http://{name} does not lead to this furt: something else answers there")),
        Err(why) => Err(clean(&format!("http://{name} does not lead to this furt: {why}"))),
    }
}

fn random() -> Result<String, String> {
    secret::random_hex().map_err(|error| error.to_string())
}

fn ask(url: &str, host: &str) -> Result<Vec<u8>, ureq::Error> {
    let config = Agent::config_builder().proxy(None).max_redirects(0).timeout_global(Some(TIMEOUT));
    let agent: Agent = config.build().into();
    let mut response = agent.get(url).header("Host", host).call()?;
    response.body_mut().with_config().limit(MAX_BYTES).read_to_vec()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with what `challenges` have for its token, or with `otherwise`; gives the address.
    fn answers(challenges: &Arc<Challenges>, otherwise: Option<&'static [u8]>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let challenges = Arc::clone(challenges);
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let length = socket.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            assert!(head.to_lowercase().contains("host: a.example\r\n"), "{head}");
            let token = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
            let text = otherwise.map_or_else(|| challenges.text(&token).unwrap().to_vec(), <[u8]>::to_vec);
            let length = text.len();
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
            socket.write_all(&text).unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_name_leads_here_where_furt_s_own_word_comes_back() {
        crate::tls::install();
        let challenges = Arc::<Challenges>::default();
        let at = answers(&challenges, None);
        assert_eq!(check("a.example", Some(&at), &challenges).await, Ok(()));
        let at = answers(&challenges, Some(b"welcome"));
        let why = check("a.example", Some(&at), &challenges).await.unwrap_err();
        assert_eq!(why, "http://a.example does not lead to this furt: something else answers there");
        let at = answers(&challenges, Some(&[b'x'; 5000]));
        let why = check("a.example", Some(&at), &challenges).await.unwrap_err();
        assert!(why.starts_with("http://a.example does not lead to this furt: "), "{why}");
        let why = check("a.invalid", None, &challenges).await.unwrap_err();
        assert!(why.starts_with("http://a.invalid does not lead to this furt: "), "{why}");
    }
}
