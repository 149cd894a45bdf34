//! Errors: problem+json (RFC 9457) with a code that programs can tell them by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nullable::null_or;
use crate::open_enum::open_enum;
use crate::reload::Place;
use crate::{InstanceId, ServiceName, Status};

/// The media type of a [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An answer of 4xx or 5xx that furt makes itself, on either listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:furt:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words; the same for every problem of this code, or of this status.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What programs tell the problem by.
    pub code: Code,
    /// What is wrong in this very case; absent where there is no more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The request's id, also in the header `X-Request-Id` and in furt's log.
    pub request_id: String,
    /// The trace that the request is part of, 32 hexadecimal digits; absent where there are no traces, and on the internal listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// What is wrong, one by one; absent where the problem is not about the request's fields, its query or a configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<ProblemError>>,
    /// The service whose routes are in the way, with the code [`Code::Taken`]; `null`: it may not be named. Absent with other codes.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_or")]
    #[schemars(with = "Option<Rival>", extend("nullable" = true))]
    pub rival: Option<Option<Rival>>,
    /// The backend that is not there, as it was asked for; only below `/api/v1`.
    #[schemars(with = "String")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<InstanceId>,
    /// The error in edgeProxy's words; only below `/api/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Problem {
    /// A problem of this code, with nothing but what every problem has.
    pub fn new(status: u16, code: Code, title: impl Into<String>, request_id: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:furt:problem:{code}"),
            title: title.into(),
            status,
            code,
            detail: None,
            request_id: request_id.into(),
            trace_id: None,
            errors: None,
            rival: None,
            id: None,
            error: None,
        }
    }
}

/// One thing that is wrong: a field of the body, a parameter of the query, a key of the configuration, or something at a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ProblemError {
    /// The field as a JSON pointer (RFC 6901), such as `/routes/0/path`; empty: the whole body. Absent where no field is
    /// meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The parameter's name; absent where none is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Where the key stands in the configuration; its fields are absent where no key is meant.
    #[serde(flatten)]
    pub place: Place,
    /// The key of the configuration, such as `server.grace`; absent where none is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The fingerprint of the node of the cluster that it is wrong at; absent where no node is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The name of that node; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What would be right.
    pub detail: String,
}

impl ProblemError {
    /// A field of the body.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), detail: detail.into(), ..Self::default() }
    }

    /// A parameter of the query.
    pub fn parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { parameter: Some(name.into()), detail: detail.into(), ..Self::default() }
    }

    /// A node of the cluster.
    pub fn node(fingerprint: impl Into<String>, name: Option<String>, detail: impl Into<String>) -> Self {
        Self { fingerprint: Some(fingerprint.into()), name, detail: detail.into(), ..Self::default() }
    }

    /// A key of the configuration.
    pub fn config(place: Place, key: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { place, key: Some(key.into()), detail: detail.into(), ..Self::default() }
    }
}

/// A service that has routes which another one wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rival {
    /// The service's name.
    pub service: ServiceName,
    /// Its health.
    pub status: Status,
}

open_enum! {
    /// What programs tell a problem by.
    ///
    /// Of both listeners; `docs/problems.md` of furt says what to do about each.
    Code {
        /// 403: the address is not in `gateway.allow_registration_from`; on the public listener: the API key or the route may not
        /// be used from it.
        AddressNotAllowed = "address-not-allowed",
        /// 429, by the public listener: too many connections come from this address.
        AddressConnections = "address-connections",
        /// 412: the instance is another incarnation than the one that is named, or one that replaced it.
        AnotherIncarnation = "another-incarnation",
        /// 429, by the public listener: too many requests without a good API key come from this address.
        AddressRateLimited = "address-rate-limited",
        /// 503, by the public listener: it cannot be found out who sends the request.
        AuthUnavailable = "auth-unavailable",
        /// 400: the body cannot be read.
        BadBody = "bad-body",
        /// 400, by the public listener: the path could be read in more than one way.
        BadPath = "bad-path",
        /// 400: the path or the query cannot be read.
        BadRequest = "bad-request",
        /// 403: the registration asks for more than the grant of its service allows.
        BeyondGrant = "beyond-grant",
        /// 408: the body did not arrive in time.
        BodyTimeout = "body-timeout",
        /// 413, by the public listener: the body is larger than the gateway takes.
        BodyTooLarge = "body-too-large",
        /// 503: too much waits already; to be tried again.
        Busy = "busy",
        /// 412: something of what operators make at run time has changed since it was looked at.
        ChangedSince = "changed-since",
        /// 409: the cluster, or the node in it, is not in the state for it.
        ClusterConflict = "cluster-conflict",
        /// 503: the cluster cannot be asked, or did not answer in time; what was asked may still be carried out.
        ClusterUnavailable = "cluster-unavailable",
        /// 409: the API key or the grant is of the configuration, so that it cannot be changed at runtime.
        Configured = "configured",
        /// 429, by the public listener: as many requests of the route are in flight as its limits allow.
        ConcurrencyLimited = "concurrency-limited",
        /// 502, by the public listener: the service could not be connected to.
        ConnectFailed = "connect-failed",
        /// 504, by the public listener: the service did not accept a connection in time.
        ConnectTimeout = "connect-timeout",
        /// 504, by the public listener: the deadline of a gRPC call has passed.
        DeadlineExceeded = "deadline-exceeded",
        /// 503, by the public listener: every instance of the service is draining.
        Draining = "draining",
        /// 403: the Host is none of the gateway's own.
        ForeignHost = "foreign-host",
        /// 403: a browser sent the request from another site.
        ForeignOrigin = "foreign-origin",
        /// 502, by the public listener: a gRPC call failed, and the client can have no trailers.
        GrpcFailed = "grpc-failed",
        /// 502, by the public listener: a gRPC call came, and every instance speaks HTTP/1.1.
        GrpcNeedsH2c = "grpc-needs-h2c",
        /// 431, by the public listener: the header is larger than the gateway takes.
        HeaderTooLarge = "header-too-large",
        /// 400: HTTP/1.1 without `Host`.
        HostMissing = "host-missing",
        /// 400: the request came without TLS to a port that speaks it.
        HttpsExpected = "https-expected",
        /// 503, by the public listener: every instance of the service is at its limit.
        InstancesFull = "instances-full",
        /// 500: furt failed.
        Internal = "internal",
        /// 422: the configuration is not good, see [`Problem::errors`].
        InvalidConfig = "invalid-config",
        /// 422: fields of the body are wrong, see [`Problem::errors`].
        InvalidFields = "invalid-fields",
        /// 422: parameters of the query are wrong, see [`Problem::errors`].
        InvalidParameters = "invalid-parameters",
        /// 401, by the public listener: the route needs an API key.
        KeyMissing = "key-missing",
        /// 401, by the public listener: the API key is not known.
        KeyUnknown = "key-unknown",
        /// 508, by the public listener: the request has passed furt too often.
        LoopDetected = "loop-detected",
        /// 503, by the public listener: the service is in maintenance, or all of them are.
        Maintenance = "maintenance",
        /// 405: the endpoint does not take this method.
        MethodNotAllowed = "method-not-allowed",
        /// 421, by the public listener: the connection is not one for this host.
        MisdirectedRequest = "misdirected-request",
        /// 503, by the public listener: no instance of the service is available.
        NoInstance = "no-instance",
        /// 409: the instance is not probed.
        NoProbes = "no-probes",
        /// 403: the node is no commander of its cluster.
        NotCommander = "not-commander",
        /// 409: the store is in memory, so that there is no file to export.
        NoStoreFile = "no-store-file",
        /// 404: there is no such endpoint, service, instance, backend, API key, node or join token.
        NotFound = "not-found",
        /// 400: the body is no JSON.
        NotJson = "not-json",
        /// 403: what is registered belongs to another address or token.
        NotOwner = "not-owner",
        /// 403, by the public listener: pages of the request's origin may not use the route.
        OriginNotAllowed = "origin-not-allowed",
        /// 403: only operators may.
        OperatorsOnly = "operators-only",
        /// 412: another operator was faster.
        Outdated = "outdated",
        /// 503, by the public listener: the gateway answers as many requests as it may.
        Overloaded = "overloaded",
        /// 403, by the public listener: the caller lacks the permission of the route.
        PermissionMissing = "permission-missing",
        /// 429: too many registrations come from this address.
        RateLimited = "rate-limited",
        /// 403: `gateway.enabled` is `false`.
        RegistrationOff = "registration-off",
        /// 429, by the public listener: the route is asked more often than its limits allow.
        RouteRateLimited = "route-rate-limited",
        /// 404, by the public listener: no route matches.
        RouteNotFound = "route-not-found",
        /// 503, by the public listener: the service is DOWN.
        ServiceDown = "service-down",
        /// 503: furt stops.
        Stopping = "stopping",
        /// 503: the store does not take the change; to be tried again.
        StoreUnavailable = "store-unavailable",
        /// 409: another service or key has it, see [`Problem::rival`].
        Taken = "taken",
        /// 414, by the public listener: the target is longer than the gateway takes.
        TargetTooLong = "target-too-long",
        /// 502, by the public listener: the service's certificate or TLS is not in order.
        TlsFailed = "tls-failed",
        /// 403, by the public listener: the request must come under TLS.
        TlsRequired = "tls-required",
        /// 401: the grant needs its token; on the public listener: the route takes no API key, and the request has no token.
        TokenMissing = "token-missing",
        /// 401, by the public listener: the token is not good.
        TokenRefused = "token-refused",
        /// 413: the body is larger than 64 KiB, or than 4 MiB where a file is applied.
        TooLarge = "too-large",
        /// 409: there are too many API keys.
        TooManyKeys = "too-many-keys",
        /// 422: more records are to be changed than a shared store takes at once.
        TooManyChanges = "too-many-changes",
        /// 409: too many services have a grant that was made at runtime.
        TooManyGrants = "too-many-grants",
        /// 409: too many names are in maintenance.
        TooManyMaintenances = "too-many-maintenances",
        /// 409: too many keys before the present one are still good.
        TooManyOldKeys = "too-many-old-keys",
        /// 409: too many services have a split.
        TooManySplits = "too-many-splits",
        /// 501, by the public listener: the body has a transfer coding other than chunked.
        TransferCoding = "transfer-coding",
        /// 400: the endpoint takes no body.
        UnexpectedBody = "unexpected-body",
        /// 500: the new program could not take over; the old one goes on.
        UpgradeFailed = "upgrade-failed",
        /// 409: there can be no upgrade now.
        UpgradeRefused = "upgrade-refused",
        /// 502, by the public listener: the service broke off or answered what is not HTTP.
        UpstreamBroken = "upstream-broken",
        /// 504, by the public listener: the service did not answer in time.
        UpstreamTimeout = "upstream-timeout",
        /// 415: the body is not said to be JSON.
        WrongType = "wrong-type",
    }
}
