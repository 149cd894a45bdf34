//! docs/ as mdBook makes a book of it: every link of it leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn pages(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { pages(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|ending| ending == "html")).collect()
}

/// The values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> BTreeSet<&'a str> {
    let begin = format!(" {attribute}=\"");
    page.split(&begin).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Without `..` and `.`; a path that leaves the book is one below the repository, beside which the book lies.
fn target(book: &Path, page: &Path, link: &str) -> PathBuf {
    let mut below = page.parent().unwrap().strip_prefix(book).unwrap().to_owned();
    let mut is_outside = false;
    for component in Path::new(link).components() {
        match component {
            Component::ParentDir => is_outside |= !below.pop(),
            Component::CurDir => {}
            other => below.push(other),
        }
    }
    if is_outside { Path::new(ROOT).join(below) } else { book.join(below) }
}

#[test]
fn every_link_of_the_book_leads_somewhere() {
    let book = TempDir::new().unwrap();
    let mdbook = Path::new(ROOT).join("target/mdbook/bin/mdbook");
    let output = Command::new(mdbook).arg("build").arg("--dest-dir").arg(book.path()).arg(ROOT).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.contains("WARN") && !told.contains("ERROR"), "{told}");
    let (mut count, mut faults) = (0, Vec::new());
    for page in pages(book.path()) {
        // All pages once more, whose links are relative to where each stood; and one for wherever there is none.
        if page.ends_with("print.html") || page.ends_with("404.html") {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        for link in values(&text, "href").into_iter().filter(|link| !link.contains(':')) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { target(book.path(), &page, path) };
            count += 1;
            let is_page = target.extension().is_some_and(|ending| ending == "html");
            let is_found = target.exists()
                && (anchor.is_empty()
                    || !is_page
                    || values(&fs::read_to_string(&target).unwrap(), "id").contains(anchor));
            if !is_found {
                faults.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(count > 1_000, "{count} links");
    println!("the book has {count} links");
}
