//! Routing: which route a request takes (DESIGN §6).
//!
//! [`Table`] holds every route that is in force and finds the one for a host, path and method. It is persistent: the
//! registry changes a clone and publishes it, requests read the old one meanwhile, and the two share all that the
//! change did not touch. Nothing here decides who may have a route, knows a service's health, or does IO.
//!
//! Reading order: `route` (what is found), `table` (the searches), `node` (the trie they walk), `children` and `leaf`
//! (what a node consists of). Callers: `registry` builds tables, `proxy` and `api` ask them.

mod children;
mod leaf;
mod node;
mod route;
mod table;
#[cfg(test)]
mod tests;

pub use route::{Owner, Route, Slot};
pub use table::{Found, Methods, Table};
