//! The smoke runs of the scaling bench and of the plots, so that they cannot rot: every figure once and as small as it
//! gets, then pictures and tables of it and of a smoke run of the load bench. No figure is judged.
//!
//! The benches' own code is a module here, with its unit tests, as that of the load bench is in `load.rs`.

#[path = "../scaling/figure.rs"]
mod figure;
#[path = "../scaling/grid.rs"]
mod grid;
#[path = "../plots/plots.rs"]
mod plots;
#[path = "../scaling/bench.rs"]
mod scaling;
#[path = "../scaling/tables.rs"]
mod tables;

use std::path::Path;

use clap::Parser as _;
use figure::Figure;

const DOCUMENT: &str = include_str!("../../docs/performance.md");

/// Runs the scaling bench; what it shows, and its figures, which `json` has as well.
fn scale(json: &Path) -> (String, Vec<Figure>) {
    let given = ["scaling", "--bench", "--smoke", "--json", json.to_str().unwrap()];
    let mut shown = Vec::new();
    scaling::run(scaling::Options::try_parse_from(given).unwrap(), &mut shown).unwrap();
    let written: figure::ScalingRun = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    (String::from_utf8(shown).unwrap(), written.figures)
}

/// Draws and fills in; what it says.
fn draw(arguments: &[&str]) -> anyhow::Result<String> {
    let options = plots::Options::try_parse_from(["plots", "--bench"].iter().chain(arguments)).unwrap();
    let mut said = Vec::new();
    plots::run(&options, &mut said)?;
    Ok(String::from_utf8(said).unwrap())
}

#[test]
fn a_smoke_run_gives_figures_for_every_size_and_pictures_and_tables_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (shown, figures) = scale(&dir.path().join("scaling.json"));
    for subject in ["routes", "instances of one service", "services of one instance", "API keys"] {
        assert!(shown.contains(&format!("\n{subject}\n")), "{subject} is not shown:\n{shown}");
        let rows = figure::rows_of(subject, &figures);
        let sizes = rows.iter().map(|row| row.figures.len()).max().unwrap();
        assert_eq!(sizes, if subject == "routes" { 3 } else { 2 }, "{shown}");
        // Memory of a few is not seen.
        for row in rows.iter().filter(|row| !row.what.starts_with("memory")) {
            assert_eq!(row.figures.len(), sizes, "{subject}, {}:\n{shown}", row.what);
        }
    }
    let bad = |figure: &&Figure| figure.spread.min <= 0.0 || figure.spread.median < figure.spread.min;
    assert_eq!(figures.iter().find(bad), None);
    assert!(figures.iter().any(|figure| figure.what == "memory a route, four a service"), "{shown}");

    std::fs::write(path("performance.md"), DOCUMENT).unwrap();
    let (_, load) = crate::load::run(&["--workload", "pass,body,idle"]);
    std::fs::write(path("load.json"), load.to_string()).unwrap();
    let (_, threads) = crate::load::run(&["--workload", "pass", "--threads", "2"]);
    std::fs::write(path("threads.json"), threads.to_string()).unwrap();
    let said = draw(&[
        "--load",
        &path("load.json"),
        "--threads",
        &path("threads.json"),
        "--scaling",
        &path("scaling.json"),
        "--document",
        &path("performance.md"),
        "--out",
        &path("pictures"),
    ]);
    let said = said.unwrap();
    for (picture, text) in [("cpu", "body down"), ("threads", "2, by CPU time"), ("scaling", "services in turn")] {
        let picture = dir.path().join("pictures").join(picture).with_extension("svg");
        assert!(said.contains(picture.to_str().unwrap()), "{said}");
        let drawn = std::fs::read_to_string(&picture).unwrap();
        assert!(drawn.starts_with("<svg") && drawn.contains(text), "{}:\n{drawn}", picture.display());
    }
    let document = std::fs::read_to_string(path("performance.md")).unwrap();
    for row in ["\n| furt ", "\n| lookup, miss, random paths ", "\n| furt, pass "] {
        assert!(document.contains(row), "{row} is in no table:\n{document}");
    }
    assert_eq!(document.matches("<!-- begin").count(), DOCUMENT.matches("<!-- begin").count());
}

#[test]
fn a_document_without_a_place_for_a_table_is_told_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (json, document) = (dir.path().join("scaling.json"), dir.path().join("performance.md"));
    std::fs::write(&json, r#"{"is_debug":false,"figures":[]}"#).unwrap();
    std::fs::write(&document, "no place\n").unwrap();
    let out = dir.path().join("pictures");
    let arguments = [("--scaling", &json), ("--document", &document), ("--out", &out)];
    let arguments: Vec<&str> = arguments.iter().flat_map(|(name, path)| [*name, path.to_str().unwrap()]).collect();
    let error = format!("{:#}", draw(&arguments).unwrap_err());
    assert!(error.contains("performance.md: there is no place between <!-- begin scaling -->"), "{error}");
    assert_eq!(std::fs::read_to_string(&document).unwrap(), "no place\n");
}
