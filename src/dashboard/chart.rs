//! Pictures as SVG: lines of the last minutes, and the statuses of a day.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::telemetry::{POINTS, Point, STATUS_KEPT_MS, StatusChange};
use furt_core::model::Status;

/// The size of a line's picture, in its own units.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 48.0;
/// The width of a day.
const DAY_WIDTH: f64 = 1440.0;

/// A line of the last five minutes under a value; the newest is at the right. `values` are those of `points`, `None` where
/// there is none; `write` writes a value.
pub(super) fn line(
    name: &str,
    points: &[Point],
    value: impl Fn(&Point) -> Option<f64>,
    write: impl Fn(f64) -> String,
) -> Markup {
    let values: Vec<_> = points.iter().map(value).collect();
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let now = values.last().copied().flatten().map_or_else(|| "–".to_owned(), &write);
    let label = format!("{name}, the last 5 minutes: now {now}, at most {}", write(most));
    let (line, area) = paths(&values, most);
    html! {
        figure .chart {
            figcaption { span .name { (name) } span .value { (now) } }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
                path .area d=(area) {}
                path .line d=(line) vector-effect="non-scaling-stroke" {}
            }
            p .most { "at most " (write(most)) }
        }
    }
}

/// The line, and what is below it. Where a value is missing both are broken.
fn paths(values: &[Option<f64>], most: f64) -> (String, String) {
    let (mut line, mut area) = (String::new(), String::new());
    let step = WIDTH / (POINTS - 1) as f64;
    let missing = POINTS.saturating_sub(values.len());
    let place = |at: usize, value: f64| {
        let share = if most > 0.0 { value / most } else { 0.0 };
        ((missing + at) as f64 * step, HEIGHT - 2.0 - share * (HEIGHT - 4.0))
    };
    let mut last_x = None;
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value else {
            close(&mut area, last_x.take());
            continue;
        };
        let (x, y) = place(at, *value);
        // Writing to a string does not fail.
        _ = match last_x {
            None => write!(line, "M{x:.1} {y:.1}").and(write!(area, "M{x:.1} {HEIGHT}L{x:.1} {y:.1}")),
            Some(_) => write!(line, "L{x:.1} {y:.1}").and(write!(area, "L{x:.1} {y:.1}")),
        };
        last_x = Some(x);
    }
    close(&mut area, last_x);
    (line, area)
}

fn close(area: &mut String, last_x: Option<f64>) {
    if let Some(x) = last_x {
        _ = write!(area, "L{x:.1} {HEIGHT}Z");
    }
}

/// The statuses of the last day. What is known begins at `known_ms`, or with the first change, which may be of a registration
/// before; the last one is `status`.
pub(super) fn day(status: Status, known_ms: i64, changes: &[StatusChange], now_ms: i64) -> Markup {
    let begin_ms = now_ms - STATUS_KEPT_MS;
    let mut segments = Vec::with_capacity(changes.len() + 1);
    let first_ms = changes.first().map_or(known_ms, |change| change.at_ms.min(known_ms));
    let mut from_ms = first_ms.max(begin_ms);
    for change in changes {
        segments.push((from_ms, change.at_ms, change.from));
        from_ms = change.at_ms;
    }
    segments.push((from_ms, now_ms, status));
    let x = |at_ms: i64| (at_ms - begin_ms).max(0) as f64 / STATUS_KEPT_MS as f64 * DAY_WIDTH;
    let down_ms: i64 =
        segments.iter().filter(|(.., status)| *status == Status::Down).map(|(from, to, _)| to - from).sum();
    let label = format!(
        "Status in the last 24 hours: {} now, {}, DOWN for {}",
        status.as_str(),
        super::words::counted(changes.len(), "change", "changes"),
        if down_ms > 0 { super::words::span(down_ms) } else { "no time".to_owned() },
    );
    html! {
        figure .day {
            svg viewBox={ "0 0 " (DAY_WIDTH) " 20" } preserveAspectRatio="none" role="img" aria-label=(label) {
                rect .nothing x="0" y="0" width=(DAY_WIDTH) height="20" {}
                @for (from, to, status) in segments {
                    @let width = (x(to) - x(from)).max(2.0);
                    rect class=(status.as_str().to_ascii_lowercase()) x={ (format!("{:.1}", x(from))) } y="0"
                        width={ (format!("{width:.1}")) } height="20" {}
                }
            }
            figcaption { span { "24 h ago" } span { "now" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_the_right_and_breaks_where_nothing_is_known() {
        let (line, area) = paths(&[Some(0.0), Some(10.0), None, Some(5.0)], 10.0);
        assert_eq!(line, "M227.8 46.0L231.9 2.0M240.0 24.0");
        assert_eq!(area, "M227.8 48L227.8 46.0L231.9 2.0L231.9 48ZM240.0 48L240.0 24.0L240.0 48Z");
        let (line, _) = paths(&[Some(0.0); POINTS], 0.0);
        assert!(line.starts_with("M0.0 46.0L4.1 46.0"), "{line}");
        assert_eq!(paths(&[], 0.0), (String::new(), String::new()));
    }

    #[test]
    fn a_picture_says_in_words_what_it_shows() {
        let points = [Point { requests: 40.0, ..Point::default() }, Point { requests: 12.0, ..Point::default() }];
        let shown = line("Requests", &points, |point| Some(point.requests), super::super::words::rate).into_string();
        assert!(shown.contains("Requests, the last 5 minutes: now 12.0/s, at most 40.0/s"), "{shown}");
    }

    #[test]
    fn a_day_begins_where_something_is_known() {
        let now_ms = STATUS_KEPT_MS * 10;
        let hour = 3_600_000;
        let change = |hours: i64, from, to| StatusChange { at_ms: now_ms - hours * hour, from, to };
        let changes = [change(6, Status::Up, Status::Down), change(3, Status::Down, Status::Up)];
        let shown = day(Status::Up, now_ms - 12 * hour, &changes, now_ms).into_string();
        for expected in [
            "class=\"up\" x=\"720.0\" y=\"0\" width=\"360.0\"",
            "class=\"down\" x=\"1080.0\" y=\"0\" width=\"180.0\"",
            "class=\"up\" x=\"1260.0\" y=\"0\" width=\"180.0\"",
            "UP now, 2 changes, DOWN for 3 h",
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        // It registered again, and its name has a past.
        let again = day(Status::Up, now_ms - hour, &changes, now_ms).into_string();
        assert!(again.contains("class=\"down\" x=\"1080.0\" y=\"0\" width=\"180.0\""), "{again}");
        let old = day(Status::Down, 0, &[], now_ms).into_string();
        assert!(old.contains("class=\"down\" x=\"0.0\" y=\"0\" width=\"1440.0\""), "{old}");
    }
}
