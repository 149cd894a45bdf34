//! A registry as its clients have it: hosts, a namespace, and the services that this process joined.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use furt_api::lookup::{FoundInstance, FoundInstances};
use http::{HeaderValue, Method};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::address::own_address;
use crate::connection_string::ConnectionString;
use crate::error::Error;
use crate::exchange::Call;
use crate::found::{Found, choose};
use crate::host::Scheme;
use crate::hosts::{Hosts, Purpose};
use crate::member::{Departure, Member, Membership};
use crate::names::Namespace;
use crate::service::Service;
use crate::tls;
use crate::watch::Watch;

/// The environment variable with the token.
const TOKEN: &str = "FURT_TOKEN";
/// The file of the authorities to trust over https, where the connection string names none.
const CA: &str = "FURT_CA";
/// The files of the certificate to show over https, and of its key.
const OWN: [&str; 2] = ["FURT_CERT", "FURT_KEY"];

/// Makes a client of the registry that a connection string names, with the token of the environment variable `FURT_TOKEN`
/// where that is set. Nothing is sent yet.
///
/// ```
/// let registry = furt_client::connect("furt://10.0.0.1,10.0.0.2/shop")?;
/// let why = furt_client::connect("furt://10.0.0.1:99999/shop").unwrap_err();
/// assert_eq!(
///     why.to_string(),
///     r#"the connection string, host 1 ("10.0.0.1:99999"): "99999" is no port: a port is 1 to 65535"#
/// );
/// # Ok::<(), furt_client::Error>(())
/// ```
///
/// # Errors
/// [`Error::ConnectionString`] says what is wrong and where; [`Error::Setting`], where the token or the certificates cannot be used.
pub fn connect(connection_string: &str) -> Result<Registry, Error> {
    Builder::new(connection_string).connect()
}

/// Reads a connection string as [`connect`] does, and no more: no file of it is opened, and nothing is sent.
///
/// ```
/// assert!(furt_client::check("furt://10.0.0.1,10.0.0.2/shop?ttl=4").is_ok());
/// assert!(furt_client::check("furt://10.0.0.1?token=f9b3").is_err());
/// ```
///
/// # Errors
/// [`Error::ConnectionString`] says what is wrong and where.
pub fn check(connection_string: &str) -> Result<(), Error> {
    ConnectionString::parse(connection_string).map(drop)
}

/// Makes a client with a token or certificates of the program's own.
///
/// ```
/// # let token_of_the_grant = "f9b3".to_owned();
/// let registry = furt_client::Builder::new("furt://10.0.0.1/shop").token(token_of_the_grant).connect()?;
/// # Ok::<(), furt_client::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Builder {
    connection_string: String,
    token: Option<String>,
    ca: Option<Vec<u8>>,
}

impl Builder {
    /// For a connection string as [the crate](crate#connection-strings) describes it.
    pub fn new(connection_string: impl Into<String>) -> Self {
        Self { connection_string: connection_string.into(), token: None, ca: None }
    }

    /// The token of the services' grant, instead of `FURT_TOKEN`. Blanks around it are no part of it; an empty one is none.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Over https: trusts these authorities, in PEM, and no others.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Makes the client. Nothing is sent yet, and no runtime is needed.
    ///
    /// # Errors
    /// As [`connect`].
    pub fn connect(self) -> Result<Registry, Error> {
        let read = ConnectionString::parse(&self.connection_string)?;
        let token = match self.token {
            Some(token) => Some(token),
            None => match std::env::var(TOKEN) {
                Err(std::env::VarError::NotUnicode(_)) => return Err(bad_token()),
                token => token.ok(),
            },
        };
        let ca = match (self.ca, &read.ca) {
            (None, Some(path)) => Some(std::fs::read(path).map_err(|why| {
                Error::connection_string("the option \"ca\"", format!("{} cannot be read: {why}", path.display()))
            })?),
            (None, None) if read.scheme == Scheme::Https => file_of(CA)?,
            (pem, _) => pem,
        };
        let tls = match read.scheme {
            Scheme::Https => {
                let [cert, key] = OWN.map(file_of);
                Some(tls::connector(ca.as_deref(), tls::own_certificate(cert?, key?)?)?)
            }
            Scheme::Http => None,
        };
        let token = token.as_deref().map(str::trim).filter(|token| !token.is_empty()).map(header).transpose()?;
        let hosts = Hosts::new(read.scheme, read.hosts, tls, token, read.silence);
        Ok(Registry(Arc::new(Inner {
            hosts: Arc::new(hosts),
            namespace: read.namespace,
            ttl: read.ttl,
            refresh: read.refresh,
            refreshing: Mutex::new(None),
            members: Mutex::default(),
        })))
    }
}

/// What is in the file that a variable of the environment names.
fn file_of(variable: &'static str) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else { return Ok(None) };
    let refused = |why| Error::Setting(format!("{variable}: {} cannot be read: {why}", path.display()));
    std::fs::read(&path).map(Some).map_err(refused)
}

fn header(token: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| bad_token())?;
    value.set_sensitive(true);
    Ok(value)
}

/// It is not shown, since most of it may be right.
fn bad_token() -> Error {
    let what = "the token has a character that cannot be sent, such as a line's end within it";
    Error::Setting(what.to_owned())
}

/// A client of a registry. It is cheap to clone; all clones are one.
///
/// Its methods need a tokio runtime with time and IO.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    hosts: Arc<Hosts>,
    namespace: Namespace,
    ttl: Duration,
    refresh: Option<Duration>,
    /// What asks for other gateways, once anything was asked.
    refreshing: Mutex<Option<JoinHandle<()>>>,
    /// What this process joined.
    members: Mutex<Vec<Member>>,
}

impl Registry {
    /// Joins `service` under `name`, and keeps it joined: it is heard every half of its TTL (10 s, unless the connection
    /// string says otherwise), goes to another host where one is away, and joins again where its registration was lost.
    ///
    /// # Errors
    /// [`Error::Name`] and [`Error::Service`] before anything is sent. [`Error::Refused`], [`Error::Unreachable`] or
    /// [`Error::Answer`] where it has not joined; it is then not tried again, see [`Self::join_in_background`].
    pub async fn join(&self, name: &str, service: Service) -> Result<Member, Error> {
        let mut membership = self.membership(name, service)?;
        self.keep_refreshing();
        membership.register().await?;
        Ok(self.keep(membership.spawn()))
    }

    /// The same for a service that starts without its registry: it joins as soon as a gateway takes it.
    /// [`Member::state`] says how it stands. Call it within a runtime.
    ///
    /// ```
    /// use furt_client::{Service, State};
    ///
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), furt_client::Error> {
    /// # let server = server::Server::start(server::furt()).await;
    /// # let registry = furt_client::connect(&format!("furt://{}/shop", server.address))?;
    /// let member = registry.join_in_background("comments", Service::new(7812))?;
    /// member.states().wait_for(|state| *state == State::Joined).await.expect("it goes on for ever");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Name`] and [`Error::Service`].
    pub fn join_in_background(&self, name: &str, service: Service) -> Result<Member, Error> {
        let membership = self.membership(name, service)?;
        self.keep_refreshing();
        Ok(self.keep(membership.spawn()))
    }

    /// Checks what [`Self::join`] would refuse before anything is sent.
    ///
    /// # Errors
    /// [`Error::Name`] and [`Error::Service`].
    pub fn check(&self, name: &str, service: &Service) -> Result<(), Error> {
        service.check(&self.0.namespace.service(name)?, name)
    }

    /// The address from which this machine reaches the registry, which is a service's hostname where it names none: that
    /// towards the first host that is not on this machine, or loopback. `None` where no host can be found.
    pub async fn own_address(&self) -> Option<IpAddr> {
        own_address(self.0.hosts.named(), self.0.hosts.silence()).await
    }

    /// Leaves with all that this client joined under `name`, or with everything that it joined, side by side; as
    /// [`Member::leave`]. Gives the requests that were in flight at the end.
    ///
    /// # Errors
    /// The first of those of [`Member::leave`]. It has tried all of them.
    pub async fn leave(&self, name: Option<&str>, drain: Duration) -> Result<Departure, Error> {
        let service = name.map(|name| self.0.namespace.service(name)).transpose()?;
        let mut members = std::mem::take(&mut *self.members());
        let is_meant = |member: &Member| service.as_ref().is_none_or(|service| service.as_str() == member.service());
        let staying = members.extract_if(.., |member| !is_meant(member)).collect::<Vec<_>>();
        self.members().extend(staying);
        let leaving = members.into_iter().map(|member| tokio::spawn(async move { member.leave(drain).await }));
        let leaving: Vec<_> = leaving.collect();
        let mut outcome = Ok(Departure { in_flight: 0 });
        for one in leaving {
            outcome = match (outcome, one.await.unwrap_or(Err(Error::Left))) {
                (outcome, Err(Error::Left)) | (outcome @ Err(_), _) => outcome,
                (Ok(so_far), Ok(left)) => Ok(Departure { in_flight: so_far.in_flight + left.in_flight }),
                (Ok(_), Err(error)) => Err(error),
            };
        }
        outcome
    }

    /// One instance of a service, for a request to it: by weight, at random, of those that are UP; where there is none, of
    /// those that were not probed yet. None that drains. `None` where there is no such instance.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn lookup(&self, name: &str) -> Result<Option<Found>, Error> {
        Ok(choose(self.list(Some(name)).await?))
    }

    /// All instances of a service, or of all services of the namespace, by name and id; draining ones and ones that are DOWN too.
    /// Empty where there is none.
    ///
    /// # Errors
    /// [`Error::Name`] before anything is sent; [`Error::Refused`], [`Error::Unreachable`] or [`Error::Answer`].
    pub async fn list(&self, name: Option<&str>) -> Result<Vec<Found>, Error> {
        self.keep_refreshing();
        let answer = self.instances(&self.query(name)?, Duration::ZERO).await?;
        Ok(self.found(answer.instances))
    }

    /// The same, again whenever it changes.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), furt_client::Error> {
    /// # let server = server::Server::start(server::furt()).await;
    /// # let registry = furt_client::connect(&format!("furt://{}/shop", server.address))?;
    /// let mut watch = registry.watch(Some("comments"))?;
    /// assert!(watch.next().await?.is_empty());
    /// registry.join("comments", furt_client::Service::new(7812)).await?;
    /// assert_eq!(watch.next().await?[0].url, "http://127.0.0.1:7812");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn watch(&self, name: Option<&str>) -> Result<Watch, Error> {
        Ok(Watch::new(self.clone(), self.query(name)?))
    }

    /// Which instances are meant. Names have nothing in them that a query would not take.
    fn query(&self, name: Option<&str>) -> Result<String, Error> {
        Ok(match (name, self.0.namespace.as_str()) {
            (Some(name), _) => format!("service={}", self.0.namespace.service(name)?),
            (None, Some(namespace)) => format!("namespace={namespace}"),
            (None, None) => String::new(),
        })
    }

    pub(crate) async fn instances(&self, query: &str, wait: Duration) -> Result<FoundInstances, Error> {
        self.keep_refreshing();
        let separator = if query.is_empty() { "" } else { "?" };
        let mut call = Call::new(Method::GET, format!("/internal/instances{separator}{query}"));
        call.wait = wait;
        self.0.hosts.ask(Purpose::Read, &call).await
    }

    pub(crate) fn found(&self, instances: Vec<FoundInstance>) -> Vec<Found> {
        instances.into_iter().filter_map(|instance| Found::try_new(instance, &self.0.namespace)).collect()
    }

    fn membership(&self, name: &str, service: Service) -> Result<Membership, Error> {
        let full = self.0.namespace.service(name)?;
        Membership::try_new(self.0.hosts.clone(), name, full, service, self.0.ttl)
    }

    fn keep(&self, member: Member) -> Member {
        let mut members = self.members();
        members.retain(|member| !member.has_left());
        members.push(member.clone());
        member
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Vec<Member>> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that the other gateways are asked for, also where the runtime of earlier calls has ended.
    fn keep_refreshing(&self) {
        let Some(period) = self.0.refresh else { return };
        let mut refreshing = self.0.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        if refreshing.as_ref().is_none_or(JoinHandle::is_finished) {
            *refreshing = Some(tokio::spawn(refresh(Arc::downgrade(&self.0.hosts), period)));
        }
    }
}

/// Ends with the client and with what it joined.
async fn refresh(hosts: Weak<Hosts>, period: Duration) {
    while let Some(hosts) = hosts.upgrade() {
        // What cannot be asked now is asked the next time; whoever needs a host sees why it is away.
        _ = hosts.refresh().await;
        drop(hosts);
        sleep(period).await;
    }
}

/// Without the token.
impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<_> = self.0.hosts.named().iter().map(ToString::to_string).collect();
        f.debug_struct("Registry").field("hosts", &named).field("namespace", &self.0.namespace.as_str()).finish()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}
