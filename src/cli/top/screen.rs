//! Drawing frames: on a terminal in place, cut to its size, elsewhere one after the other.
//!
//! What a gateway sends is shown without its control characters. Colours only on a terminal, and not with `NO_COLOR`.

use std::time::Duration;

use anyhow::Result;
use furt_api::Status;

use super::rates::{Frame, Row};
use crate::cli::Output;
use crate::cli::output::{Reader, try_print};
use crate::cli::terminal::{self, ENTER, LEAVE, Size, cut, size};

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// The narrowest a service's name is cut to.
const MIN_NAME: usize = 8;

const HEADER: [&str; 10] =
    ["SERVICE", "STATUS", "UP", "IN FLIGHT", "REQ/S", "P50 MS", "P99 MS", "ERR/S", "REFUSED/S", "UPTIME"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Colours,
    Plain,
}

enum Mode {
    Terminal(Paint),
    Text,
    Json,
}

/// Where the frames go; puts a terminal back when it is dropped.
pub(super) struct Screen {
    title: String,
    mode: Mode,
    last: Option<Frame>,
}

impl Screen {
    pub(super) fn open(url: &str, output: Output, interval: Duration) -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let mode = match (output, terminal::is_there()) {
            (Output::Json, _) => Mode::Json,
            (Output::Text, false) => Mode::Text,
            (Output::Text, true) if variable("NO_COLOR").is_empty() => Mode::Terminal(Paint::Colours),
            (Output::Text, true) => Mode::Terminal(Paint::Plain),
        };
        let title = format!("furt at {}, every {} s", printable(url), interval.as_secs_f64());
        Self { title, mode, last: None }
    }

    /// Takes the terminal, and says that the first interval runs.
    pub(super) fn wait_for_first(&mut self) -> Result<Reader> {
        match self.mode {
            Mode::Terminal(_) => {
                try_print(ENTER)?;
                self.draw(None)
            }
            Mode::Text | Mode::Json => Ok(Reader::Reads),
        }
    }

    pub(super) fn show(&mut self, frame: Frame) -> Result<Reader> {
        self.last = Some(frame);
        self.draw(None)
    }

    /// That there is no new frame, and why: above the last one, or on stderr.
    pub(super) fn tell(&mut self, what: &str) -> Result<Reader> {
        match self.mode {
            Mode::Terminal(_) => self.draw(Some(what)),
            Mode::Text | Mode::Json => {
                crate::cli::output::note(what);
                Ok(Reader::Reads)
            }
        }
    }

    fn draw(&self, notice: Option<&str>) -> Result<Reader> {
        match (&self.mode, &self.last) {
            (Mode::Terminal(paint), frame) => try_print(&self.screenful(frame.as_ref(), notice, size(), *paint)),
            (Mode::Text, Some(frame)) => try_print(&format!("{}\n", text(frame))),
            (Mode::Json, Some(frame)) => try_print(&format!("{}\n", serde_json::to_string(&frame.shown())?)),
            (Mode::Text | Mode::Json, None) => Ok(Reader::Reads),
        }
    }

    fn screenful(&self, frame: Option<&Frame>, notice: Option<&str>, size: Size, paint: Paint) -> String {
        let uptime = frame.map_or_else(String::new, |frame| format!(", up {}", time(frame.uptime_ms / 1000)));
        let mut lines = vec![cut(&format!("{}{uptime}; Ctrl-C ends", self.title), size.columns)];
        lines.extend(notice.map(|what| painted(&cut(&printable(what), size.columns), RED, paint)));
        let left = size.rows.saturating_sub(lines.len());
        lines.extend(frame.map_or_else(Vec::new, |frame| table(frame, Some(Size { rows: left, ..size }), paint)));
        lines.truncate(size.rows);
        terminal::screenful(&lines)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Mode::Terminal(_) = self.mode {
            // Whoever could be told is gone if this fails.
            _ = try_print(LEAVE);
        }
    }
}

/// A frame as lines, uncut and without colours.
pub(super) fn text(frame: &Frame) -> String {
    table(frame, None, Paint::Plain).into_iter().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Header, services and total; of a `size` as many services as fit, and how many do not.
fn table(frame: &Frame, size: Option<Size>, paint: Paint) -> Vec<String> {
    let rows: Vec<_> = frame.rows.iter().filter(|row| row.is_worth_a_line()).collect();
    // Beside the services: header and total, and where not all fit the line that says so.
    let fitting = size.map_or(rows.len(), |size| match size.rows.saturating_sub(2) {
        enough if enough >= rows.len() => rows.len(),
        few => few.saturating_sub(1),
    });
    let shown: Vec<_> = rows.iter().take(fitting).map(|row| (cells(row), *row)).collect();
    let total = cells(&frame.total);
    let width = |column: usize| {
        let cells = shown.iter().map(|(cells, _)| cells).chain([&total]).map(|cells| cells[column].chars().count());
        cells.chain([HEADER[column].len()]).max().unwrap_or(0)
    };
    let mut widths: [usize; HEADER.len()] = std::array::from_fn(width);
    if let Some(size) = size {
        let others: usize = widths[1..].iter().map(|width| width + 2).sum();
        widths[0] = widths[0].min(size.columns.saturating_sub(others).max(MIN_NAME));
    }
    let line = |cells: &[String; HEADER.len()]| {
        let columns = cells.iter().zip(widths).enumerate();
        let padded = columns.map(|(column, (cell, width))| match column {
            // Words begin, numbers end below each other.
            0 | 1 => format!("{:width$}", cut(cell, width)),
            _ => format!("{cell:>width$}"),
        });
        let line = padded.collect::<Vec<_>>().join("  ");
        size.map_or(line.clone(), |size| cut(&line, size.columns))
    };
    let mut lines = vec![painted(&line(&HEADER.map(str::to_owned)), BOLD, paint)];
    lines.extend(shown.iter().map(|(cells, row)| painted(&line(cells), colour(row), paint)));
    if fitting < rows.len() {
        let more = format!("… and {} more", rows.len() - fitting);
        lines.push(size.map_or(more.clone(), |size| cut(&more, size.columns)));
    }
    lines.push(painted(&line(&total), BOLD, paint));
    lines
}

fn cells(row: &Row) -> [String; HEADER.len()] {
    let facts = row.facts();
    let of = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    [
        printable(row.name()),
        of(facts.and_then(|facts| facts.status.as_ref()).map(|status| printable(status.as_str()))),
        of(facts.map(|facts| format!("{}/{}", facts.up, facts.instances))),
        of(facts.map(|facts| facts.in_flight.to_string())),
        number(row.requests_per_s),
        of(row.p50_ms.map(number)),
        of(row.p99_ms.map(number)),
        number(row.errors_per_s),
        number(row.refused_per_s),
        of(facts.and_then(|facts| facts.uptime_share).map(percent)),
    ]
}

fn colour(row: &Row) -> &'static str {
    match row.facts().and_then(|facts| facts.status.as_ref()) {
        Some(Status::Down) => RED,
        _ if row.errors_per_s > 0.0 => RED,
        Some(Status::Unknown) => YELLOW,
        _ => "",
    }
}

fn painted(line: &str, colour: &str, paint: Paint) -> String {
    match paint {
        Paint::Colours if !colour.is_empty() => format!("{colour}{line}{PLAIN}"),
        Paint::Colours | Paint::Plain => line.to_owned(),
    }
}

/// Three digits or more.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Cut and not rounded: 100 % is said of nothing less.
fn percent(share: f64) -> String {
    format!("{:.2}%", (share * 10_000.0).floor() / 100.0)
}

fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use furt_api::stats::Stats;

    use super::*;

    fn frame(services: usize) -> Frame {
        let service = |number: usize| {
            json!({
                "service": format!("service-with-a-long-name-{number}"), "status": if number == 0 { "DOWN" } else { "UP" },
                "registered_ms": 1, "instances": [1, 2], "in_flight": 3, "uptime_share": 0.99999,
            })
        };
        let stats = |uptime_ms: u64, ok: u64| -> Stats {
            let mut services: Vec<Value> = (0..services).map(service).collect();
            services[0]["requests"] = json!([0, 0, ok, 0, 0, 0]);
            services[0]["latency"] = json!([[0, ok]]);
            let stats = json!({
                "epoch": "e", "generation": 1, "status_classes": [], "started_ms": 1, "uptime_ms": uptime_ms, "latency_begins_us": [0, 3_000], "services": services,
                "static": {}, "unrouted": {},
            });
            serde_json::from_value(stats).unwrap()
        };
        Frame::between(&stats(1_000, 0), &stats(3_000, 25))
    }

    fn screen() -> Screen {
        Screen { title: "furt at here".to_owned(), mode: Mode::Json, last: None }
    }

    /// The lines as a terminal shows them.
    fn shown(screenful: &str) -> Vec<String> {
        let mut plain = String::new();
        let mut rest = screenful;
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain += before;
            rest = after.split_once(|end: char| end.is_ascii_alphabetic()).unwrap().1;
        }
        (plain + rest).split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_frame_fits_any_terminal() {
        for services in [1, 5, 100] {
            for (rows, columns) in [(24, 80), (50, 200), (10, 40), (6, 120), (3, 20), (1, 1)] {
                for paint in [Paint::Colours, Paint::Plain] {
                    let size = Size { rows, columns };
                    let lines = shown(&screen().screenful(Some(&frame(services)), Some("gone"), size, paint));
                    assert!(lines.len() <= rows, "{size:?}: {lines:?}");
                    assert!(lines.iter().all(|line| line.chars().count() <= columns), "{size:?}: {lines:?}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_the_total_stays() {
        let size = Size { rows: 10, columns: 120 };
        let lines = shown(&screen().screenful(Some(&frame(100)), None, size, Paint::Plain));
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[8], "… and 94 more");
        assert!(lines[9].starts_with("TOTAL"), "{lines:?}");
    }

    #[test]
    fn a_line_says_how_a_service_does() {
        let text = text(&frame(1));
        let words = |start: &str| {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let service = "service-with-a-long-name-0";
        assert_eq!(words(service), [service, "DOWN", "1/2", "3", "12.5", "1.50", "1.50", "0", "0", "99.99%"]);
        assert_eq!(words("TOTAL")[..4], ["TOTAL", "-", "1/2", "3"]);
        assert!(!text.contains("(static)") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn colours_are_there_when_they_are_wanted() {
        let size = Size { rows: 24, columns: 120 };
        let screenful = |paint| screen().screenful(Some(&frame(2)), None, size, paint);
        assert!(screenful(Paint::Colours).contains(RED) && !screenful(Paint::Plain).contains(RED));
    }

    #[test]
    fn nothing_that_is_shown_steers_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\nc\u{9b}d"), "a [31mb c d");
    }
}
