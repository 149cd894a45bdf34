//! Another version of the program, for a command of the cluster: it is fetched, its signature and its digest are checked, it has to
//! accept this node's own files, and it gets the place of the program that runs.
//!
//! A command names a version and a digest. Where the artefact comes from and whose signature counts is the local file's alone. Nothing of
//! an artefact runs before its digest and its signature are right. Who starts it as a gateway is `app`.

mod child;
mod installing;
mod managed;
mod signature;
mod source;
mod staging;
#[cfg(test)]
mod tests;

pub use installing::Candidate;
pub use managed::owner;
pub use staging::{CopyStore, Staging, StoreCheck};
