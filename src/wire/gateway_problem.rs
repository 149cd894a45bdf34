//! The problems that the public listener answers: each with its status, code, title and the error of `Proxy-Status`.
//!
//! Clients, the access log and docs/problems.md tell them apart by the code. `proxy` decides which one a request meets.

use http::StatusCode;

/// What is said of a problem wherever it is met.
struct Row {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    proxy_error: &'static str,
}

macro_rules! problems {
    ($($name:ident = $status:ident, $code:literal, $title:literal, $error:literal;)*) => {
        /// Why furt answers a request itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum GatewayProblem {
            $(#[doc = $title] $name,)*
        }

        /// A row for each variant, in the order of the variants.
        const ROWS: &[Row] =
            &[$(Row { status: StatusCode::$status, code: $code, title: $title, proxy_error: $error }),*];

        #[cfg(test)]
        impl GatewayProblem {
            /// Each of them once.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

problems! {
    BadPath = BAD_REQUEST, "bad-path", "The path could be read in more than one way", "http_request_error";
    BadRequest = BAD_REQUEST, "bad-request", "The request could not be read", "http_request_error";
    BodyTimeout = REQUEST_TIMEOUT, "body-timeout", "The request's body did not arrive in time", "http_request_error";
    KeyMissing = UNAUTHORIZED, "key-missing", "This route needs an API key", "http_request_denied";
    KeyUnknown = UNAUTHORIZED, "key-unknown", "The API key is not known", "http_request_denied";
    TokenMissing = UNAUTHORIZED, "token-missing", "This route needs a token", "http_request_denied";
    TokenRefused = UNAUTHORIZED, "token-refused", "The token is not good", "http_request_denied";
    AddressNotAllowed = FORBIDDEN, "address-not-allowed", "Requests from this address are not allowed", "http_request_denied";
    OriginNotAllowed = FORBIDDEN, "origin-not-allowed", "Pages of this origin may not use the route", "http_request_denied";
    PermissionMissing = FORBIDDEN, "permission-missing", "The caller lacks the permission for this route", "http_request_denied";
    TlsRequired = FORBIDDEN, "tls-required", "This request must come under TLS", "http_request_denied";
    RouteNotFound = NOT_FOUND, "route-not-found", "No route matches", "destination_not_found";
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The route does not take this method", "http_request_denied";
    RateLimited = TOO_MANY_REQUESTS, "rate-limited", "The API key is used too often", "http_request_denied";
    RouteRateLimited = TOO_MANY_REQUESTS, "route-rate-limited", "The route is asked too often", "http_request_denied";
    ConcurrencyLimited = TOO_MANY_REQUESTS, "concurrency-limited", "Too many requests of the route are in flight", "http_request_denied";
    AddressRateLimited = TOO_MANY_REQUESTS, "address-rate-limited", "Too many requests without a good API key come from this address", "http_request_denied";
    Misdirected = MISDIRECTED_REQUEST, "misdirected-request", "The connection is not one for this host", "http_request_denied";
    TargetTooLong = URI_TOO_LONG, "target-too-long", "The request's target is longer than the gateway takes", "http_request_error";
    HeaderTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "header-too-large", "The request's header is larger than the gateway takes", "http_request_error";
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body-too-large", "The request's body is larger than the gateway takes", "http_request_error";
    AuthUnavailable = SERVICE_UNAVAILABLE, "auth-unavailable", "The caller cannot be authenticated at the moment", "connection_timeout";
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "The gateway answers as many requests as it may", "connection_limit_reached";
    Maintenance = SERVICE_UNAVAILABLE, "maintenance", "The service is in maintenance", "destination_unavailable";
    ServiceDown = SERVICE_UNAVAILABLE, "service-down", "The service is down", "destination_unavailable";
    NoInstance = SERVICE_UNAVAILABLE, "no-instance", "No instance of the service is available", "destination_unavailable";
    InstancesFull = SERVICE_UNAVAILABLE, "instances-full", "Every instance of the service is at its limit", "connection_limit_reached";
    Draining = SERVICE_UNAVAILABLE, "draining", "Every instance of the service is draining", "destination_unavailable";
    ConnectFailed = BAD_GATEWAY, "connect-failed", "The service could not be connected to", "connection_refused";
    ConnectTimeout = GATEWAY_TIMEOUT, "connect-timeout", "The service did not accept a connection in time", "connection_timeout";
    TlsFailed = BAD_GATEWAY, "tls-failed", "The service's certificate or TLS is not in order", "tls_certificate_error";
    UpstreamBroken = BAD_GATEWAY, "upstream-broken", "The service broke off or answered what is not HTTP", "http_protocol_error";
    GrpcFailed = BAD_GATEWAY, "grpc-failed", "The gRPC call failed, which only trailers could tell", "http_response_incomplete";
    GrpcNeedsH2c = BAD_GATEWAY, "grpc-needs-h2c", "The service speaks HTTP/1.1, and gRPC needs HTTP/2", "http_protocol_error";
    LoopDetected = LOOP_DETECTED, "loop-detected", "The request comes back to the gateway again and again", "proxy_loop_detected";
    UpstreamTimeout = GATEWAY_TIMEOUT, "upstream-timeout", "The service did not answer in time", "http_response_timeout";
    DeadlineExceeded = GATEWAY_TIMEOUT, "deadline-exceeded", "The deadline of the gRPC call has passed", "http_response_timeout";
    TransferCoding = NOT_IMPLEMENTED, "transfer-coding", "The request's body has a transfer coding other than chunked", "http_request_error";
    Internal = INTERNAL_SERVER_ERROR, "internal", "The gateway failed", "proxy_internal_error";
}

impl GatewayProblem {
    const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        self.row().status
    }

    /// What programs tell it by; never changes.
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// What it is in words, the same for every request that meets it.
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// The error of `Proxy-Status` (RFC 9209 §2.3).
    pub const fn proxy_error(self) -> &'static str {
        self.row().proxy_error
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_problem_has_a_code_of_its_own_that_clients_of_the_api_know_and_the_documentation_has() {
        let page = include_str!("../../docs/problems.md");
        for problem in GatewayProblem::ALL {
            let section = format!("\n## {}\n\nStatus {}, of the public", problem.code(), problem.status().as_u16());
            assert!(page.contains(&section), "{section} is not in docs/problems.md");
            let code = furt_api::Code::from(problem.code());
            assert!(!matches!(code, furt_api::Code::Other(_)), "{code}");
        }
        let codes: BTreeSet<_> = GatewayProblem::ALL.iter().map(|problem| problem.code()).collect();
        assert_eq!(codes.len(), ROWS.len());
    }
}
