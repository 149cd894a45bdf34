//! Tests of what the seal promises, over real keys.

mod bending;
mod bodies;
mod carrying;
mod joins;
mod keys;
mod lexnode;
mod opening;
mod records;
mod samples;
mod secrets;
mod vault;
mod wire;
