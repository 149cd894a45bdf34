//! furt
pub mod config;
pub mod model;
pub mod registry;
pub mod routing;
