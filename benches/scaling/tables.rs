//! Figures as tables, a row for each thing and a column for each size; and notes about what grows.
//!
//! A cost of one that grows with how many there are makes all of them cost more than linearly. What a tree's depth and the
//! caches do is no more than a few times in a hundred; beyond [`STEEP`] it is named.

use super::figure::{Figure, Row, number, rows_of, text};
use super::grid::Grid;

/// Where a cost grows as the number to this power, or faster, it is named.
const STEEP: f64 = 0.35;

/// What figures are about, in their order.
pub(crate) fn subjects_of(figures: &[Figure]) -> Vec<&str> {
    let mut subjects: Vec<&str> = figures.iter().map(|figure| figure.subject.as_str()).collect();
    subjects.dedup();
    subjects
}

/// The table of a subject: a column for each size, then the largest beside the smallest.
pub(crate) fn table(subject: &str, figures: &[Figure]) -> Grid {
    let rows = rows_of(subject, figures);
    let mut sizes: Vec<u32> = rows.iter().flat_map(|row| row.figures.iter().map(|figure| figure.size)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let head = std::iter::once(String::new()).chain(sizes.iter().map(|size| number(*size)));
    let mut grid = Grid::new(head.chain(["ratio".to_owned()]));
    for row in rows {
        let cell = |size: &u32| row.figures.iter().find(|figure| figure.size == *size);
        let shown = |figure: &&Figure| text(figure.spread.median, figure.unit);
        let mut cells = vec![row.what.to_owned()];
        cells.extend(sizes.iter().map(|size| cell(size).map_or_else(|| "–".to_owned(), shown)));
        cells.push(row.growth().map_or_else(|| "–".to_owned(), |(growth, _)| format!("{growth:.1} ×")));
        grid.row(cells);
    }
    grid
}

/// What each costs more, the more there are.
pub(crate) fn notes(figures: &[Figure]) -> Vec<String> {
    let steep = |subject: &str| {
        let rows = rows_of(subject, figures);
        let note = |row: &Row<'_>| {
            let (growth, more) = row.growth().filter(|(growth, more)| growth.ln() / more.ln() >= STEEP)?;
            Some(format!("grows with {subject}: {}, {growth:.1} × at {more:.0} × as many", row.what))
        };
        rows.iter().filter_map(note).collect::<Vec<_>>()
    };
    subjects_of(figures).into_iter().flat_map(steep).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_grows_with_the_number_is_named_and_what_a_cache_explains_is_not() {
        use super::super::figure::{Spread, Unit};
        use super::*;
        let figure = |what: &str, size, median| Figure {
            subject: "routes".to_owned(),
            size,
            what: what.to_owned(),
            unit: Unit::Ns,
            spread: Spread { median, min: median, max: median },
        };
        let figures = [
            figure("flat", 1_000, 40.0),
            figure("steep", 1_000, 40.0),
            figure("flat", 100_000, 100.0),
            figure("steep", 100_000, 4_000.0),
        ];
        assert_eq!(notes(&figures), ["grows with routes: steep, 100.0 × at 100 × as many"]);
        let shown = table("routes", &figures).to_string();
        assert!(shown.contains("| steep | 40 ns |  4.0 µs | 100.0 × |"), "{shown}");
    }
}
