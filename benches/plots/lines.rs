//! Lines over a logarithmic axis of sizes: two charts below one another, with what their colours mean beside them.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::super::figure::{Spread, number};
use super::bars::{heading, style};

/// One line.
pub(super) struct Line {
    /// What it is of.
    pub(super) label: String,
    /// By size.
    pub(super) points: Vec<(u32, Spread)>,
}

/// Lines of one scale.
pub(super) struct Chart {
    /// Above it.
    pub(super) title: String,
    /// At the axis.
    pub(super) unit: String,
    /// In the order of their colours.
    pub(super) lines: Vec<Line>,
}

const WIDTH: u32 = 760;
const HEAD: u32 = 58;
const CHART: u32 = 260;
/// What is kept free beside a chart for what its colours mean.
const LEGEND: i32 = 220;
const INK: RGBColor = RGBColor(32, 32, 32);
const GRID: RGBColor = RGBColor(225, 225, 225);
/// Told apart by everyone (Okabe and Ito).
const COLORS: [RGBColor; 5] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167), RGBColor(90, 90, 90)];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws charts below a title and a line that explains it.
///
/// # Errors
/// A chart has fewer than two sizes, or the file cannot be written.
pub(super) fn draw(path: &Path, title: &str, subtitle: &str, charts: &[Chart]) -> Result<()> {
    let height = HEAD + CHART * charts.len() as u32;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    let failed = |error: String| anyhow!("cannot draw {}: {error}", path.display());
    area.fill(&WHITE).map_err(|error| failed(error.to_string()))?;
    let (head, body) = area.split_vertically(HEAD);
    heading(&head, title, subtitle).map_err(|error| failed(error.to_string()))?;
    for (place, chart) in body.split_evenly((charts.len(), 1)).iter().zip(charts) {
        let sizes = || chart.lines.iter().flat_map(|line| line.points.iter().map(|(size, _)| *size));
        let (Some(least), Some(most)) = (sizes().min(), sizes().max()) else { continue };
        ensure!(least > 0 && least < most, "{}: a line needs two sizes", chart.title);
        draw_chart(place, chart, (least.into(), most.into())).map_err(|error| failed(error.to_string()))?;
    }
    area.present().map_err(|error| failed(error.to_string()))
}

fn draw_chart<'a>(
    area: &Area<'a>,
    chart: &Chart,
    (least, most): (f64, f64),
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let highest = chart.lines.iter().flat_map(|line| line.points.iter().map(|(_, spread)| spread.median));
    let top = highest.fold(f64::MIN_POSITIVE, f64::max) * 1.15;
    let (plot, legend) = area.split_horizontally(WIDTH as i32 - LEGEND);
    area.draw(&Text::new(chart.title.clone(), (16, 6), style(16, INK, HPos::Left, VPos::Top)))?;
    let mut context = ChartBuilder::on(&plot)
        .margin_top(34)
        .margin_bottom(8)
        .margin_right(24)
        .margin_left(8)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((least..most * 1.0001).log_scale(), 0.0..top)?;
    context
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_labels(4)
        .y_labels(6)
        .x_label_formatter(&|size| number(size.round() as u32))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .x_desc("routes")
        .y_desc(chart.unit.clone())
        .label_style(style(15, INK, HPos::Left, VPos::Top))
        .draw()?;
    for (line, color) in chart.lines.iter().zip(COLORS.iter().cycle()) {
        let points = line.points.iter().map(|(size, spread)| (f64::from(*size), spread));
        context.draw_series(LineSeries::new(
            points.clone().map(|(size, spread)| (size, spread.median)),
            color.stroke_width(2),
        ))?;
        context
            .draw_series(points.clone().map(|(size, spread)| Circle::new((size, spread.median), 3, color.filled())))?;
        let within = |value: f64| value.min(top);
        context.draw_series(points.map(|(size, spread)| {
            PathElement::new(vec![(size, within(spread.min)), (size, within(spread.max))], color.mix(0.6))
        }))?;
    }
    for (at, (line, color)) in (0..).zip(chart.lines.iter().zip(COLORS.iter().cycle())) {
        let y = 44 + 24 * at;
        legend.draw(&Rectangle::new([(0, y - 5), (14, y + 5)], color.filled()))?;
        legend.draw(&Text::new(line.label.clone(), (22, y), style(15, INK, HPos::Left, VPos::Center)))?;
    }
    Ok(())
}
