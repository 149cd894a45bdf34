//! The same requests through furt, Envoy, Caddy and nginx. What differs is on a page of the documentation with its reason, and the
//! page is held to what is seen here: `UPDATE_DOCS=1` in the environment writes its rows.

use crate::foreign::peer::Product;

mod cors;
mod own;
mod page;
mod paths;
mod rig;
mod service;

use page::Row;
use rig::Rig;

const TAKEN_OFF: &str = "### What the service is asked for";
const TOLD: &str = "### What the service is told";
const PUT_BACK: &str = "### What becomes of its answers";
const PAGES: &str = "## Pages of other origins";
const REDIRECTS: &str = "## Redirects and texts";
const REFUSALS: &str = "## Limits and failures";

#[tokio::test]
async fn four_gateways_answer_as_the_page_says() {
    let rig = Rig::start().await;
    let mut text = page::text();
    let seen: [(&str, Vec<Row>); 6] = [
        (TAKEN_OFF, paths::taken_off(&rig).await),
        (TOLD, paths::told(&rig).await),
        (PUT_BACK, paths::put_back(&rig).await),
        (PAGES, cors::pages(&rig).await),
        (REDIRECTS, own::redirects(&rig).await),
        (REFUSALS, own::refusals(&rig).await),
    ];
    for (heading, rows) in &seen {
        text = page::with_rows(&text, heading, rows);
    }
    page::check(&text);
}

#[test]
fn each_row_that_differs_names_a_difference_of_the_list() {
    let faults = page::faults(&page::text(), &[TAKEN_OFF, TOLD, PUT_BACK, PAGES, REDIRECTS, REFUSALS]);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_page_names_the_versions_that_are_compared() {
    let text = page::text();
    for (product, name) in [(Product::Envoy, "Envoy"), (Product::Caddy, "Caddy"), (Product::Nginx, "nginx")] {
        let (_, rest) = text.split_once(&format!("| {name} | ")).unwrap();
        let version = rest.split(' ').next().unwrap();
        let printed = product.version();
        assert!(printed.contains(version), "the page is of {name} {version}; here is {printed}");
    }
}
