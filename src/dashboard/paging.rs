//! Long lists in pages of a hundred.

use std::ops::Range;

use maud::{Markup, html};
use url::form_urlencoded;

/// Rows of one page.
const ROWS: usize = 100;

/// Which part of a list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// The page, from 1.
    page: usize,
    /// Items of the list.
    total: usize,
}

impl Paging {
    /// The page of that number, from 1, of a list of so many items; the last one where there is no such page.
    pub fn new(page: u64, total: usize) -> Self {
        let page = usize::try_from(page).unwrap_or(usize::MAX);
        Self { page: page.clamp(1, Self::pages(total)), total }
    }

    /// The items that are shown.
    pub fn range(&self) -> Range<usize> {
        let begin = (self.page - 1) * ROWS;
        begin..(begin + ROWS).min(self.total)
    }

    fn pages(total: usize) -> usize {
        total.div_ceil(ROWS).max(1)
    }

    /// What is shown, and the ways to the pages before and after, with the same question. `what` is the plural of the items.
    pub(super) fn show(&self, what: &str, question: &[(&str, &str)]) -> Markup {
        let Range { start, end } = self.range();
        let last = Self::pages(self.total);
        html! {
            p .paging {
                span {
                    @match self.total {
                        0 => { "no " (what) }
                        total if total <= ROWS => { (total) " " (what) }
                        total => { (start + 1) "–" (end) " of " (total) " " (what) }
                    }
                }
                @if self.page > 1 { a rel="prev" href=(href(question, self.page - 1)) { "← previous" } }
                @if self.page < last { a rel="next" href=(href(question, self.page + 1)) { "next →" } }
            }
        }
    }
}

fn href(question: &[(&str, &str)], page: usize) -> String {
    let mut query = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
    question.iter().filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| {
        query.append_pair(name, value);
    });
    query.append_pair("page", &page.to_string());
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_hundred_items_and_the_last_one_the_rest() {
        for (page, total, expected) in [
            (1, 0, 0..0),
            (1, 100, 0..100),
            (2, 100, 0..100),
            (1, 101, 0..100),
            (2, 101, 100..101),
            (u64::MAX, 250, 200..250),
            (0, 5, 0..5),
        ] {
            assert_eq!(Paging::new(page, total).range(), expected, "{page} of {total}");
        }
    }

    #[test]
    fn the_question_goes_along() {
        let shown = Paging::new(2, 250).show("routes", &[("q", "a&b=\"c\""), ("status", "")]).into_string();
        assert!(shown.contains("101–200 of 250 routes"), "{shown}");
        assert!(shown.contains("href=\"?q=a%26b%3D%22c%22&amp;page=1\""), "{shown}");
        assert!(shown.contains("href=\"?q=a%26b%3D%22c%22&amp;page=3\""), "{shown}");
    }
}
