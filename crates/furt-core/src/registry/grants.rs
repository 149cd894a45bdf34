//! Who may register what: grants, the rule for services without one, reserved and static routes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::command::{Registration, Source};
use super::refusal::Refusal;
use crate::model::{
    AuthMethods, CidrSet, Definition, Grant, Host, MethodRule, Pattern, Role, RouteOptions, RouteSpec, ServiceName,
    Sha256Digest, is_never_upstream, path,
};

/// What a service without a grant may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnlistedRule {
    /// Anything from a loopback address, nothing from elsewhere.
    Loopback,
    /// Anything.
    Allow,
    /// Nothing.
    Deny,
}

/// A static route, as registrations are checked against it.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticClaim {
    /// The host that a request must name; `None`: any.
    pub host: Option<Host>,
    /// The methods that it takes.
    pub method: MethodRule,
    /// The pattern of the paths that it takes.
    pub pattern: Pattern,
    /// Whether no registration may overlap it, on any host.
    pub exclusive: bool,
}

impl fmt::Display for StaticClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_ref().map_or("", |host| host.as_str());
        write!(f, "{} {host}{}", self.method, self.pattern)
    }
}

/// The rules for registrations.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistrationPolicy {
    /// What each service with a grant may register. The registry adds what operators grant at run time.
    pub grants: BTreeMap<ServiceName, Arc<Grant>>,
    /// What services without a grant may register.
    pub unlisted: UnlistedRule,
    /// Where instances may be at all.
    pub upstreams: CidrSet,
    /// Routes of the configuration.
    pub static_routes: Vec<StaticClaim>,
    /// Services without routes are reached as `<service>.<apps_domain>`; those hosts are theirs alone.
    pub apps_domain: Host,
}

impl RegistrationPolicy {
    /// Whether `source` may register what it asks for, apart from routes that others have.
    ///
    /// # Errors
    /// [`Refusal::TokenWrong`], [`Refusal::BeyondGrant`], naming what it may not.
    pub(super) fn check_grant(&self, command: &Registration) -> Result<(), Refusal> {
        let service = &command.definition.service;
        if let Some(grant) = self.grants.get(service) {
            grant.check_holder(&command.source)?;
        }
        self.check_definition(&command.definition, command.source.address)?;
        self.check_addresses(service, &command.addresses)
    }

    /// Whether a definition that came from `from` may be routed, apart from the token that was asked when it came.
    ///
    /// # Errors
    /// [`Refusal::BeyondGrant`], naming what it may not.
    pub(super) fn check_definition(&self, definition: &Definition, from: IpAddr) -> Result<(), Refusal> {
        let service = &definition.service;
        if let Some(grant) = self.grants.get(service) {
            grant.check_definition(definition)?;
        } else {
            let allowed = match self.unlisted {
                UnlistedRule::Allow => true,
                UnlistedRule::Loopback => from.is_loopback(),
                UnlistedRule::Deny => false,
            };
            if !allowed {
                return Err(Refusal::beyond(format!(
                    "service \"{service}\" has no grant and may not register from {from}"
                )));
            }
        }
        Ok(())
    }

    /// Whether an instance of `service` may be at all of `addresses`.
    ///
    /// # Errors
    /// [`Refusal::BeyondGrant`], naming the first address that is not allowed.
    pub(super) fn check_addresses(&self, service: &ServiceName, addresses: &[SocketAddr]) -> Result<(), Refusal> {
        let own = self.grants.get(service).and_then(|grant| grant.upstreams.as_ref());
        for address in addresses.iter().map(|address| address.ip().to_canonical()) {
            if is_never_upstream(address) {
                return Err(Refusal::beyond(format!("address {address} can never be a service's")));
            }
            if !self.upstreams.contains(address) {
                return Err(Refusal::beyond(format!("address {address} is not in registration.upstreams")));
            }
            if own.is_some_and(|own| !own.contains(address)) {
                return Err(Refusal::beyond(format!("address {address} is not in the grant's upstreams")));
            }
        }
        Ok(())
    }

    /// Whether `source` may speak for what `registered_from` registered under this name: the same address, loopback, an operator, or,
    /// where the grant has a token, whoever sends it.
    ///
    /// # Errors
    /// [`Refusal::TokenWrong`] where the grant asks for one, [`Refusal::NotOwner`].
    pub(super) fn check_owner(
        &self,
        service: &ServiceName,
        registered_from: IpAddr,
        source: &Source,
    ) -> Result<(), Refusal> {
        if source.may(Role::Operate) {
            return Ok(());
        }
        match self.grants.get(service) {
            Some(grant) if grant.is_guarded() => grant.check_holder(source),
            _ if source.address == registered_from || source.address.is_loopback() => Ok(()),
            _ => Err(Refusal::NotOwner { registered_from }),
        }
    }

    /// Whether a definition stays clear of what is reserved and of static routes. The routes by host of a service
    /// without any (`effective`) cover every path there, so an exclusive static route does not forbid them.
    ///
    /// # Errors
    /// [`Refusal::Taken`] with what the configuration reserves.
    pub(super) fn check_static_routes(&self, definition: &Definition, effective: &Definition) -> Result<(), Refusal> {
        if let Some(host) = &definition.host
            && let Some(name) =
                host.as_str().strip_suffix(self.apps_domain.as_str()).and_then(|rest| rest.strip_suffix('.'))
            && name != definition.service.as_str()
        {
            return Err(Refusal::reserved(format!("host \"{host}\" belongs to the service \"{name}\"")));
        }
        for route in &effective.routes {
            let path = route.pattern.as_str();
            if path::reserved(path).is_some() {
                return Err(Refusal::reserved(format!("\"{path}\" is furt's own")));
            }
            let is_same = |fixed: &&StaticClaim| {
                fixed.host == effective.host && fixed.pattern == route.pattern && fixed.method == route.method
            };
            let overlaps = |fixed: &&StaticClaim| {
                fixed.exclusive
                    && !definition.routes.is_empty()
                    && fixed.method.overlaps(&route.method)
                    && fixed.pattern.overlaps(&route.pattern)
            };
            let detail = if let Some(fixed) = self.static_routes.iter().find(is_same) {
                format!("the static route {fixed} holds it")
            } else if let Some(fixed) = self.static_routes.iter().find(overlaps) {
                format!(
                    "it overlaps the static route {fixed}, which is exclusive; `exclusive = false` in its [[routes]] allows that"
                )
            } else {
                continue;
            };
            return Err(Refusal::Taken { what: format!("{} {path}", route.method), conflict: None, detail });
        }
        Ok(())
    }
}

impl Grant {
    /// # Errors
    /// [`Refusal::TokenWrong`]: the caller has neither the token nor the certificate that is asked for.
    fn check_holder(&self, source: &Source) -> Result<(), Refusal> {
        let has = |wanted: Option<Sha256Digest>, shown| wanted.is_some() && wanted == shown;
        let is_holder = has(self.token, source.token) || has(self.certificate, source.certificate);
        if is_holder || !self.is_guarded() { Ok(()) } else { Err(Refusal::TokenWrong) }
    }

    fn check_definition(&self, definition: &Definition) -> Result<(), Refusal> {
        if let Some(host) = &definition.host
            && !self.hosts.contains(host)
        {
            return Err(Refusal::beyond(format!("host \"{host}\" is not in the grant")));
        }
        self.check_options(&definition.options)?;
        let said = |options: &RouteOptions| options.restrictions.as_ref().is_some_and(|said| said.auth.is_some());
        let takes_keys = |route: &&RouteSpec| route.permission.is_some() && !said(&route.options);
        if !self.auth.take_keys()
            && !said(&definition.options)
            && let Some(route) = definition.routes.iter().find(takes_keys)
        {
            return Err(Refusal::beyond(format!(
                "\"{}\" takes API keys, since nothing says auth, and the grant does not allow that; it allows {}",
                route.pattern, self.auth
            )));
        }
        for route in &definition.routes {
            self.check_options(&route.options)?;
            if !self.paths.iter().any(|path| path.covers(&route.pattern)) {
                return Err(Refusal::beyond(format!("path \"{}\" is not in the grant", route.pattern)));
            }
            match &route.permission {
                None if !self.public => {
                    return Err(Refusal::beyond(format!(
                        "\"{}\" has no permission, and the grant allows no public route",
                        route.pattern
                    )));
                }
                Some(permission) if !self.permissions.allows(permission) => {
                    return Err(Refusal::beyond(format!("permission \"{permission}\" is not in the grant")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_options(&self, options: &RouteOptions) -> Result<(), Refusal> {
        let RouteOptions {
            cors,
            rewrite: _,
            compress: _,
            asked_host: _,
            read_timeout: _,
            headers: _,
            mirror: _,
            restrictions,
        } = options;
        let auth = restrictions.as_ref().and_then(|restrictions| restrictions.auth.as_ref());
        let ungranted: Vec<_> =
            auth.into_iter().flat_map(AuthMethods::iter).filter(|one| !self.auth.contains(one)).collect();
        if !ungranted.is_empty() {
            let names = ungranted.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", ");
            let granted = &self.auth;
            return Err(Refusal::beyond(format!(
                "auth names {names}, which the grant does not allow; it allows {granted}"
            )));
        }
        let beyond = cors.value().map(|cors| self.origins.beyond(&cors.origins)).unwrap_or_default();
        if beyond.is_empty() {
            return Ok(());
        }
        let list = |origins: &[&str]| origins.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", ");
        let granted = match self.origins.texts().as_slice() {
            [] => "and the grant has no origins, so that cors may not be set".to_owned(),
            granted => format!("which the grant does not allow; its origins are {}", list(granted)),
        };
        Err(Refusal::beyond(format!("cors names {}, {granted}", list(&beyond))))
    }
}
