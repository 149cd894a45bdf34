//! Bars that lie, one below the other, in panels: each with its least and most as a thin line, and its figure as text.
//!
//! A bar that is many times as long as most of its panel is cut, so that the others can be told apart; its end and its text
//! show it. The background is white and text is text, whatever the page around it looks like.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::figure::Spread;

/// One bar.
pub(super) struct Bar {
    /// What it is of.
    pub(super) label: String,
    /// How long.
    pub(super) spread: Spread,
    /// The same as text.
    pub(super) text: String,
    /// How it looks.
    pub(super) tint: Tint,
}

/// What a bar's colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tint {
    /// That it is furt's.
    Own,
    /// That it is another's, or not measured but derived.
    Other,
}

/// Bars of one scale.
pub(super) struct Panel {
    /// Above them.
    pub(super) title: String,
    /// From above.
    pub(super) bars: Vec<Bar>,
    /// Where a line is drawn through all of them.
    pub(super) line_at: Option<f64>,
}

const WIDTH: i32 = 760;
const MARGIN: i32 = 16;
/// Where bars begin: right of their labels.
const LEFT: i32 = 120;
/// What is kept free for the text, a column behind the longest bar.
const TEXT_WIDTH: i32 = 190;
const BAR: i32 = 16;
const STEP: i32 = 24;
const HEAD: i32 = 58;
const PANEL_HEAD: i32 = 30;
const PANEL_GAP: i32 = 14;
/// A bar of more than so many times the middle one is cut.
const CUT: f64 = 5.0;

const OWN: RGBColor = RGBColor(214, 96, 34);
const OTHER: RGBColor = RGBColor(110, 143, 176);
const INK: RGBColor = RGBColor(32, 32, 32);
const PALE: RGBColor = RGBColor(110, 110, 110);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws panels below a title and a line that explains it.
///
/// # Errors
/// The file cannot be written.
pub(super) fn draw(path: &Path, title: &str, subtitle: &str, panels: &[Panel]) -> Result<()> {
    let height_of = |panel: &Panel| PANEL_HEAD + PANEL_GAP + STEP * panel.bars.len() as i32;
    let height = HEAD + panels.iter().map(height_of).sum::<i32>();
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    let drawn = || -> Result<(), DrawingAreaErrorKind<_>> {
        area.fill(&WHITE)?;
        heading(&area, title, subtitle)?;
        let mut top = HEAD;
        for panel in panels {
            draw_panel(&area, panel, top)?;
            top += height_of(panel);
        }
        area.present()
    };
    drawn().map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// The title of a picture.
pub(super) fn heading<'a>(area: &Area<'a>, title: &str, subtitle: &str) -> Drawn<'a> {
    area.draw(&Text::new(title.to_owned(), (MARGIN, 14), style(20, INK, HPos::Left, VPos::Top)))?;
    area.draw(&Text::new(subtitle.to_owned(), (MARGIN, 36), style(15, PALE, HPos::Left, VPos::Top)))
}

/// How text looks; plotters divides its size by 1.24.
pub(super) fn style(size: i32, color: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    TextStyle { font: ("sans-serif", size).into_font(), color: color.to_backend_color(), pos: Pos::new(h, v) }
}

fn draw_panel<'a>(area: &Area<'a>, panel: &Panel, top: i32) -> Drawn<'a> {
    area.draw(&Text::new(panel.title.clone(), (MARGIN, top + 8), style(16, INK, HPos::Left, VPos::Top)))?;
    let longest = longest(panel);
    let scale = f64::from(WIDTH - LEFT - TEXT_WIDTH) / longest;
    let x = |value: f64| LEFT + (value.min(longest) * scale).round() as i32;
    let first = top + PANEL_HEAD;
    for (number, bar) in (0..).zip(&panel.bars) {
        let (y, spread) = (first + STEP * number, bar.spread);
        let color = match bar.tint {
            Tint::Own => OWN,
            Tint::Other => OTHER,
        };
        let middle = y + BAR / 2;
        let label = Text::new(bar.label.clone(), (LEFT - 8, middle), style(15, INK, HPos::Right, VPos::Center));
        area.draw(&label)?;
        area.draw(&Rectangle::new([(LEFT, y), (x(spread.median), y + BAR)], color.filled()))?;
        let is_cut = spread.median > longest;
        if is_cut {
            for gap in [14, 8] {
                let slanted = [(x(longest) - gap, y + BAR + 1), (x(longest) - gap + 4, y - 1)];
                area.draw(&PathElement::new(slanted.to_vec(), WHITE.stroke_width(2)))?;
            }
        } else if spread.max > spread.min {
            area.draw(&PathElement::new(vec![(x(spread.min), middle), (x(spread.max), middle)], INK))?;
            for end in [spread.min, spread.max].map(x) {
                area.draw(&PathElement::new(vec![(end, middle - 4), (end, middle + 4)], INK))?;
            }
        }
        let text = Text::new(bar.text.clone(), (x(longest) + 12, middle), style(15, INK, HPos::Left, VPos::Center));
        area.draw(&text)?;
    }
    let last = first + STEP * panel.bars.len() as i32 - (STEP - BAR) + 3;
    area.draw(&PathElement::new(vec![(LEFT, first - 3), (LEFT, last)], INK))?;
    if let Some(at) = panel.line_at.filter(|at| *at <= longest) {
        area.draw(&PathElement::new(vec![(x(at), first - 3), (x(at), last)], OWN.mix(0.7)))?;
    }
    Ok(())
}

/// What the width stands for: the longest bar that is not cut.
fn longest(panel: &Panel) -> f64 {
    let mut medians: Vec<f64> = panel.bars.iter().map(|bar| bar.spread.median).collect();
    medians.sort_by(f64::total_cmp);
    let middle = medians.get(medians.len() / 2).copied().unwrap_or(0.0);
    let whole = panel.bars.iter().filter(|bar| bar.spread.median <= middle * CUT);
    whole.map(|bar| bar.spread.max.min(bar.spread.median * CUT)).fold(f64::MIN_POSITIVE, f64::max)
}
