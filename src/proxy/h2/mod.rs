//! Clients that speak HTTP/2: by ALPN under TLS, by the preface on a plain connection.
//!
//! `connection` accepts the streams of a connection, and ends it; each stream is a request with a task of its own. `wire` counts
//! what comes beside requests, `guard` judges it. `request` makes a request's header what the hooks know from HTTP/1, `session`
//! is what Pingora is given of it, `exchange` what the hooks find of it, `websocket` makes an upgrade of one for a WebSocket. Called
//! by `edge`; never decides where a request goes.

mod connection;
mod exchange;
mod guard;
mod request;
mod session;
mod websocket;
mod wire;

pub(super) use connection::{Served, Settings, begins_as_http2, serve};
pub(super) use exchange::Exchange;
pub(super) use websocket::WebSocketKey;
