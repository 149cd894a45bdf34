//! furt
pub mod config;
pub mod model;
