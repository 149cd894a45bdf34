//! furt
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod driver;
pub mod health;
pub mod model;
pub mod proxy;
pub mod registry;
pub mod routing;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod upstream;
