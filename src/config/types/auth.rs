//! What vouches for callers: issuers of tokens, and servers that are asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use url::Url;

use super::Config;
use furt_core::model::{AuthMethods, PermissionSet, ProviderName};

/// The headers by which furt itself tells services who a caller is: by its provider's word, whose word that is, and what the caller
/// may do of what the service is granted.
pub const IDENTITY_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-auth-subject"),
    HeaderName::from_static("x-auth-issuer"),
    HeaderName::from_static("x-auth-permissions"),
];

/// What a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// An issuer of tokens.
    Issuer,
    /// A server that is asked.
    ForwardAuth,
}

impl Config {
    /// What the provider of that name is; `None`: there is none.
    pub fn provider(&self, name: &ProviderName) -> Option<ProviderKind> {
        if self.issuers.iter().any(|issuer| issuer.name == *name) {
            return Some(ProviderKind::Issuer);
        }
        self.forward_auth.iter().any(|server| server.name == *name).then_some(ProviderKind::ForwardAuth)
    }

    /// The headers by which services are told who a caller is; none where nobody but API keys vouches for callers.
    pub fn identity_headers(&self) -> Vec<HeaderName> {
        if self.issuers.is_empty() && self.forward_auth.is_empty() {
            return Vec::new();
        }
        let of_claims = self.issuers.iter().flat_map(|issuer| issuer.headers.values());
        let of_answers = self.forward_auth.iter().flat_map(|server| server.copy.iter().chain(&server.user));
        // A service may believe what the auth server decides by.
        let decided_by = self.forward_auth.iter().filter_map(|server| server.grants.claim.as_deref()?.parse().ok());
        IDENTITY_HEADERS.into_iter().chain(of_claims.chain(of_answers).cloned()).chain(decided_by).collect()
    }

    /// Which of them are no providers, as a clause; `None`: each is one.
    pub fn unknown_provider(&self, methods: &AuthMethods) -> Option<String> {
        let unknown = methods.providers().filter(|name| self.provider(name).is_none());
        let unknown: Vec<_> = unknown.map(|name| format!("\"{name}\"")).collect();
        let are = if unknown.len() == 1 { "is no name" } else { "are no names" };
        (!unknown.is_empty()).then(|| format!("{} {are} of [[issuers]] or [[forward_auth]]", unknown.join(" and ")))
    }

    /// Whether callers can be authenticated by none of them, since the configuration has none.
    pub fn has_none_of(&self, methods: &AuthMethods) -> bool {
        !methods.take_keys() && methods.providers().all(|name| self.provider(name).is_none())
    }

    /// Why nobody can be let in by this list of a route; `None`: somebody can.
    pub fn auth_fault(&self, methods: &AuthMethods) -> Option<String> {
        let is_server = |name: &&ProviderName| self.provider(name) == Some(ProviderKind::ForwardAuth);
        let mut servers = methods.providers().filter(is_server);
        self.unknown_provider(methods).or_else(|| {
            let (first, second) = (servers.next()?, servers.next()?);
            Some(format!("\"{first}\" and \"{second}\" are both [[forward_auth]]; must be one of them at most"))
        })
    }
}

/// `[[issuers]]`: who signs tokens that callers come with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfig {
    /// What lists of `auth` call it; unique among issuers and `[[forward_auth]]`.
    pub name: ProviderName,
    /// The claim `iss` of its tokens, byte for byte; unique.
    pub issuer: String,
    /// One of them is in the claim `aud`; at least one.
    pub audience: Vec<String>,
    /// Where its keys are.
    pub jwks: JwksSource,
    /// A PEM file of the authorities that vouch for the server of the keys; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// The algorithms that its signatures may have; at least one.
    pub algorithms: Vec<TokenAlgorithm>,
    /// The types that its tokens may have, in lower case and without `application/`; at least one.
    pub types: Vec<String>,
    /// Where the last good set of its keys is kept; `None`: beside a store on disk, and nowhere beside another.
    pub keep: Option<PathBuf>,
    /// How far its clock may be off.
    pub clock_skew: Duration,
    /// How often its keys are asked for.
    pub refresh: Duration,
    /// Which words of a token are permissions.
    pub grants: ClaimGrants,
    /// Claims that services are told, by the headers that tell them.
    pub headers: BTreeMap<String, HeaderName>,
}

impl IssuerConfig {
    /// A type of tokens as `types` has it: in lower case, without `application/` before it (RFC 7515 §4.1.9).
    pub fn normalized_type(text: &str) -> String {
        let lower = text.to_ascii_lowercase();
        lower.strip_prefix("application/").map_or_else(|| lower.clone(), str::to_owned)
    }
}

/// What the words of a claim, or of a header of an answer, permit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimGrants {
    /// The claim of a token, such as `scope` or `realm_access.roles`; the header of an answer. `None`: there is none to look at.
    pub claim: Option<String>,
    /// Words within these are permissions.
    pub permissions: PermissionSet,
    /// What other words stand for.
    pub map: BTreeMap<String, PermissionSet>,
}

/// Where the keys of an issuer are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// At an https url, or an http url of this machine.
    Url(Url),
    /// In a file.
    File(PathBuf),
}

/// An algorithm of signatures by a private key (RFC 7518 §3.1, RFC 8037 §3.1). Those by a shared secret do not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA by P-256 with SHA-256.
    Es256,
    /// ECDSA by P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl TokenAlgorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// As tokens name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// `[[forward_auth]]`: a server that is asked whether a request may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardAuthConfig {
    /// What lists of `auth` call it; unique among issuers and `[[forward_auth]]`.
    pub name: ProviderName,
    /// What is asked for: http or https, with a host, without credentials and fragment.
    pub url: Url,
    /// A PEM file of the authorities that vouch for an https server; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// For a whole question, from the resolving of a name to the end of the answer; 1 ms to 30 s.
    pub timeout: Duration,
    /// Headers of the client that the server gets beside those that furt makes.
    pub request_headers: Vec<HeaderName>,
    /// Headers of an answer that lets the request in, which the service gets; `user` is among them.
    pub copy: Vec<HeaderName>,
    /// The header of such an answer that says who the caller is; `None`: nobody says.
    pub user: Option<HeaderName>,
    /// Which words of a header of such an answer are permissions. Without `claim`, whoever is let in may do what the route asks for.
    pub grants: ClaimGrants,
}
