//! What is in force of issuers and forward auth.

use std::sync::Arc;

use http::HeaderName;

use super::forward::{Asking, ForwardAuth};
use super::tokens::Issuer;
use crate::header_name::HeaderNames;
use furt_core::model::AuthMethods;

/// All that may vouch for callers, of one configuration.
pub struct Providers {
    issuers: Box<[Arc<Issuer>]>,
    servers: Box<[Arc<ForwardAuth>]>,
    /// What all questions to servers share; `None`: there is no server.
    pub asking: Option<Arc<Asking>>,
    /// The headers by which services are told who a caller is: nobody else may send them.
    pub headers: HeaderNames,
}

impl Providers {
    /// Of a configuration, whose issuers and servers are there already; `None`: it has neither, and never had. `headers`: those of it,
    /// and of configurations before it: services may still believe them.
    pub fn new(
        issuers: Vec<Arc<Issuer>>,
        servers: Vec<Arc<ForwardAuth>>,
        asking: Option<&Arc<Asking>>,
        headers: Vec<HeaderName>,
    ) -> Option<Self> {
        if headers.is_empty() {
            return None;
        }
        Some(Self {
            issuers: issuers.into(),
            servers: servers.into(),
            asking: asking.cloned(),
            headers: HeaderNames::new(headers),
        })
    }

    /// The issuers.
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// The servers.
    pub fn servers(&self) -> &[Arc<ForwardAuth>] {
        &self.servers
    }

    /// The issuers that a list names, in its order.
    pub fn issuers_of<'a>(&'a self, methods: &'a AuthMethods) -> impl Iterator<Item = &'a Arc<Issuer>> {
        methods.providers().filter_map(|name| self.issuers.iter().find(|one| one.config().name == *name))
    }

    /// The first server that a list names.
    pub fn server_of(&self, methods: &AuthMethods) -> Option<&Arc<ForwardAuth>> {
        methods.providers().find_map(|name| self.servers.iter().find(|one| one.config().name == *name))
    }

    /// What is wrong with them, as a sentence each.
    pub fn faults(&self) -> Vec<String> {
        self.issuers.iter().filter_map(|issuer| issuer.fault()).collect()
    }
}
