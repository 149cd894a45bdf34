//! Grants: what one service may register. Those of the configuration, and those that operators make while furt runs.
//!
//! Whether a definition is within a grant is judged by `registry`. Used by `config`'s reader in `app`, by `registry`, `store`, `api`.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Actor, AuthMethods, CidrSet, Host, Invalid, Origins, Pattern, PermissionSet, Sha256Digest};

/// Bytes of all names, patterns and networks of one grant that was made at run time: with the one that it replaces in the audit it
/// is a small part of what etcd takes at once.
pub const MAX_GRANT_TEXT: usize = 4096;
/// What a network counts for, whatever it is.
const NETWORK_TEXT: usize = 20;

/// What one service may register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The permissions its routes may ask for.
    pub permissions: PermissionSet,
    /// The patterns its routes must lie within.
    pub paths: Vec<Pattern>,
    /// The hosts it may bind its routes to.
    pub hosts: Vec<Host>,
    /// Where its instances may be; `None`: wherever any may.
    pub upstreams: Option<CidrSet>,
    /// Whether its routes may be public.
    pub public: bool,
    /// The most that it may let browsers read from.
    pub origins: Origins,
    /// Who may vouch for callers of its routes.
    pub auth: AuthMethods,
    /// The digest of the token that it must send, where set.
    pub token: Option<Sha256Digest>,
    /// The digest of the certificate that it must show, where set. With a token, either will do.
    pub certificate: Option<Sha256Digest>,
}

impl Grant {
    /// Whether something else than an address says who may speak for the service.
    pub fn is_guarded(&self) -> bool {
        self.token.is_some() || self.certificate.is_some()
    }

    /// Whether it may be made at run time.
    ///
    /// # Errors
    /// Its names, patterns and networks are longer than [`MAX_GRANT_TEXT`] together.
    pub fn check(&self) -> Result<(), Invalid> {
        let text = self.text_bytes();
        if text > MAX_GRANT_TEXT {
            return Err(Invalid::new(format!(
                "must have at most {MAX_GRANT_TEXT} bytes of names, patterns and networks, and has {text}; a larger grant can stand in the configuration"
            )));
        }
        Ok(())
    }

    /// Bytes of its names, patterns and networks, of which each counts as 20.
    pub fn text_bytes(&self) -> usize {
        let Self { permissions, paths, hosts, upstreams, origins, auth, .. } = self;
        let permissions = permissions.rules().iter().map(|rule| rule.to_string().len());
        let paths = paths.iter().map(|path| path.as_str().len());
        let hosts = hosts.iter().map(|host| host.as_str().len());
        let origins = origins.texts().into_iter().map(str::len);
        let auth = auth.iter().map(|method| method.as_str().len());
        let networks = upstreams.as_ref().map_or(0, CidrSet::len) * NETWORK_TEXT;
        permissions.chain(paths).chain(hosts).chain(origins).chain(auth).sum::<usize>() + networks
    }
}

/// A grant that was made while furt runs, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeGrant {
    /// What it allows.
    pub grant: Arc<Grant>,
    /// Who made it as it is.
    pub by: Actor,
    /// When that was, in ms since the Unix epoch.
    pub set_ms: i64,
}

impl RuntimeGrant {
    /// One by which nothing can be registered: in the place of one that cannot be read.
    pub fn of_nothing() -> Self {
        let grant = Grant {
            permissions: PermissionSet::default(),
            paths: Vec::new(),
            hosts: Vec::new(),
            upstreams: Some(CidrSet::default()),
            public: false,
            origins: Origins::default(),
            auth: AuthMethods::api_key(),
            token: None,
            certificate: None,
        };
        Self { grant: Arc::new(grant), by: Actor::from(IpAddr::from([0, 0, 0, 0])), set_ms: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PermissionRule;

    fn grant(paths: usize) -> Grant {
        Grant {
            permissions: PermissionSet::new(vec![PermissionRule::All]),
            paths: (0..paths).map(|number| Pattern::try_new(&format!("/path/{number:03}/*")).unwrap()).collect(),
            hosts: Vec::new(),
            upstreams: None,
            public: false,
            origins: Origins::default(),
            auth: AuthMethods::api_key(),
            token: None,
            certificate: None,
        }
    }

    #[test]
    fn a_grant_keeps_its_bounds() {
        // "*" and "key" are 4 bytes, a path is 11.
        assert_eq!(grant(372).check(), Ok(()));
        assert!(grant(373).check().is_err());
        let networks = |count: usize| {
            let texts: Vec<_> = (0..count).map(|number| format!("10.0.{number}.0/24")).collect();
            Grant { upstreams: Some(CidrSet::try_new(&texts).unwrap()), ..grant(0) }
        };
        assert_eq!((networks(204).check(), networks(205).check().is_err()), (Ok(()), true));
    }

    #[test]
    fn a_token_or_a_certificate_guards() {
        assert!(!grant(1).is_guarded());
        assert!(Grant { token: Some(Sha256Digest::of(b"t")), ..grant(1) }.is_guarded());
        assert!(Grant { certificate: Some(Sha256Digest::of(b"c")), ..grant(1) }.is_guarded());
    }
}
