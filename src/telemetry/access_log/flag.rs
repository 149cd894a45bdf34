//! The flag of a request: what the access log says of its end where a service's answer is not all there is to say.

use crate::wire::GatewayProblem;

/// How a request ended that no service answered to its end. Written as [`Self::as_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFlag {
    /// Furt answered with the problem, or would have if the service's answer had not begun before.
    Problem(GatewayProblem),
    /// The client went away before it had its answer.
    ClientGone,
    /// Furt answered with its own health.
    Health,
    /// Furt sent the client to another place: a plain request to https, or as its route says.
    Redirected,
    /// Furt answered with the text of the route.
    Responded,
    /// Furt passed on the answer of the server that was asked whether the request may come.
    Denied,
    /// Furt answered the challenge of an authority of certificates.
    Challenge,
    /// Furt answered a browser that asks what a page may send.
    Preflight,
    /// Furt answered since the request was to go no further (`Max-Forwards`).
    LastHop,
}

impl ResponseFlag {
    /// As in the access log: a problem's code, or a word that is the code of none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Problem(problem) => problem.code(),
            Self::ClientGone => "client-gone",
            Self::Health => "health",
            Self::Redirected => "redirected",
            Self::Responded => "responded",
            Self::Denied => "denied",
            Self::Challenge => "challenge",
            Self::Preflight => "preflight",
            Self::LastHop => "last-hop",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_is_a_word_of_its_own_that_the_docs_name() {
        let others = [
            ResponseFlag::ClientGone,
            ResponseFlag::Health,
            ResponseFlag::Redirected,
            ResponseFlag::Responded,
            ResponseFlag::Denied,
            ResponseFlag::Challenge,
            ResponseFlag::Preflight,
            ResponseFlag::LastHop,
        ];
        let words =
            ["client-gone", "health", "redirected", "responded", "denied", "challenge", "preflight", "last-hop"];
        assert_eq!(others.map(ResponseFlag::as_str), words);
        let page = include_str!("../../../docs/requests.md");
        let (_, sentence) = page.split_once("Eight flags of the access log are no codes:").unwrap();
        let sentence = sentence.split("\n\n").next().unwrap();
        for flag in others.map(ResponseFlag::as_str) {
            assert!(sentence.contains(&format!("`{flag}`")), "{flag}");
            assert!(GatewayProblem::ALL.iter().all(|problem| problem.code() != flag), "{flag}");
        }
        let problem = ResponseFlag::Problem(GatewayProblem::RouteNotFound);
        assert_eq!(problem.as_str(), "route-not-found");
    }
}
