//! A table in Markdown, its columns as wide as they must be, so that it can be read as text as well: the first column to
//! the left, figures to the right.

use std::fmt;

/// Rows under a head.
pub(crate) struct Grid {
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// With the names of its columns.
    pub(crate) fn new(head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    /// One row more, with as many cells as the head.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (at, row) in self.rows.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "| {cell:<width$} |")?,
                    _ => write!(f, " {cell:>width$} |")?,
                }
            }
            writeln!(f)?;
            if at == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let edge = if column == 0 { "|" } else { "" };
                    let end = if column == 0 { '-' } else { ':' };
                    write!(f, "{edge}-{}{end}|", "-".repeat(*width))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_grid_is_a_table_of_markdown_and_of_text() {
        let mut grid = super::Grid::new(["", "1,000"]);
        grid.row(vec!["a lookup".to_owned(), "38 ns".to_owned()]);
        assert_eq!(grid.to_string(), "|          | 1,000 |\n|----------|------:|\n| a lookup | 38 ns |\n");
    }
}
