//! Text between marks: `<!-- begin NAME -->` and `<!-- end NAME -->` keep their place, what is between them is replaced.

use anyhow::{Context as _, Result};

/// Something for the place of that name.
pub(super) struct Block {
    /// The place.
    pub(super) name: String,
    /// What belongs there.
    pub(super) text: String,
}

/// The document with every block in its place; places without a block stay as they are.
///
/// # Errors
/// A block has no place.
pub(super) fn fill(document: &str, blocks: &[Block]) -> Result<String> {
    let mut filled = document.to_owned();
    for Block { name, text } in blocks {
        let (begin, end) = (format!("<!-- begin {name} -->"), format!("<!-- end {name} -->"));
        let from = filled.find(&begin).map(|at| at + begin.len());
        let range = from.and_then(|from| Some(from..from + filled[from..].find(&end)?));
        let range = range.with_context(|| format!("there is no place between {begin} and {end}"))?;
        filled.replace_range(range, &format!("\n\n{}\n\n", text.trim()));
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_block_replaces_what_was_in_its_place_and_nothing_else() {
        use super::*;
        let document = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n<!-- begin y -->\nkept\n<!-- end y -->\n";
        let block = |name: &str| Block { name: name.to_owned(), text: "new\n".to_owned() };
        let filled = fill(document, &[block("x")]).unwrap();
        assert_eq!(filled, document.replace("\nold\n", "\n\nnew\n\n"));
        assert_eq!(fill(&filled, &[block("x")]).unwrap(), filled, "once is enough");
        let missing = fill(document, &[block("z")]).unwrap_err().to_string();
        assert!(missing.contains("<!-- begin z -->"), "{missing}");
    }
}
