//! The dashboard's pages as HTML: what operators look at with a browser.
//!
//! Pure: a page is made of values, most of them answers of the API, so that both say the same. `api` gathers them, serves
//! pages, and sends what changed in them. Every text in a page is escaped where it is written; names, paths and metadata
//! come from strangers.
//!
//! Reading order: `list` (what is kept up to date), `layout` (around every page), then the pages.

mod certificates;
mod chart;
mod events;
mod explain;
mod keys;
mod layout;
mod list;
mod nodes;
mod overview;
mod paging;
mod problem;
mod routes;
mod service;
mod services;
mod sign_in;
mod words;

pub use certificates::certificates;
pub use events::{EventsView, events};
pub use explain::{ExplainView, explain};
pub use keys::keys;
pub use layout::{ICON, Section, Shell, document};
pub use list::{Changes, List};
pub use nodes::nodes;
pub use overview::{Count, Fault, Overview, Severity, overview};
pub use paging::Paging;
pub use problem::problem;
pub use routes::{RoutesView, routes};
pub use service::{ServiceView, service};
pub use services::{ServiceRow, ServicesView, services};
pub use sign_in::{SignIn, sign_in};

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use maud::Markup;

use crate::telemetry::{COMMIT, VERSION};

/// The style of all pages.
pub const STYLE: &str = include_str!("assets/style.css");
/// Keeps a page up to date; a page without it is whole and stays as it was made.
pub const SCRIPT: &str = include_str!("assets/live.js");

/// Which build makes the pages: files are kept by browsers under this name, and a page of another build loads itself again.
pub static BUILD: LazyLock<String> = LazyLock::new(|| {
    // A build from an archive knows no commit.
    let mut hasher = DefaultHasher::new();
    (STYLE, SCRIPT).hash(&mut hasher);
    format!("{VERSION}-{COMMIT}-{:016x}", hasher.finish())
});

/// What every page is made with.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// How a link of the page leads to the dashboard's first page: empty, or `../`. Links are relative, so that the
    /// dashboard works below any prefix.
    pub root: &'static str,
    /// Unix ms.
    pub now_ms: i64,
}

/// A page without what is around it.
pub struct Content {
    /// Its title, without furt's name.
    pub title: String,
    /// Where it belongs.
    pub section: Section,
    /// Its body, with the lists in it.
    pub body: Markup,
    /// What is kept up to date in it; empty: nothing is.
    pub lists: Vec<List>,
}
