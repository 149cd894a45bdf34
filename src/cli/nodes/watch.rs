//! `nodes --watch`: the table again and again; on a terminal in place, elsewhere one after the other.
//!
//! A gateway that goes away is said to be gone and asked again; one that was never there is an error.

use std::time::Duration;

use anyhow::{Context, Result};
use furt_api::nodes::Nodes;
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::ListArgs;
use super::table;
use crate::cli::Output;
use crate::cli::members::ask_nodes;
use crate::cli::output::{Reader, clean, note, try_print};
use crate::cli::terminal::{self, Ends, Size, cut, size};

/// From one look to the next: beats come every few seconds.
const INTERVAL: Duration = Duration::from_secs(2);

pub(super) fn run(args: &ListArgs) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("watch cannot be started")?;
    let outcome = runtime.block_on(watch(args));
    // A question that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Until a signal ends it, or nobody reads any more.
async fn watch(args: &ListArgs) -> Result<()> {
    let mut ends = Ends::watch()?;
    let mut last = look(args).await?;
    let screen = Screen::open(args.format.output);
    let mut beat = tokio::time::interval(INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.tick().await;
    let mut reader = screen.show(&title(args), None, &last)?;
    loop {
        if let Reader::Gone = reader {
            return Ok(());
        }
        tokio::select! {
            () = ends.any() => return Ok(()),
            _ = beat.tick() => {}
        }
        let looked = tokio::select! {
            () = ends.any() => return Ok(()),
            looked = look(args) => looked,
        };
        reader = match looked {
            Ok(frame) => {
                last = frame;
                screen.show(&title(args), None, &last)?
            }
            Err(why) => screen.tell(&title(args), &format!("trying again: {why:#}"), &last)?,
        };
    }
}

/// What was answered, as it came and as a table.
struct Frame {
    value: Value,
    text: String,
}

/// Asks on a thread of its own: the CLI's client waits.
async fn look(args: &ListArgs) -> Result<Frame> {
    let (target, which) = (args.target.clone(), args.which());
    let asked = tokio::task::spawn_blocking(move || {
        let answer = ask_nodes(&target)?;
        Ok(Frame { value: answer.read()?, text: table::text(&answer.read::<Nodes>()?, which) })
    });
    asked.await.context("the question broke off")?
}

fn title(args: &ListArgs) -> String {
    format!("furt nodes at {}, every {} s; Ctrl-C ends", clean(&args.target.url), INTERVAL.as_secs())
}

/// Where the frames go; puts a terminal back when it is dropped.
enum Screen {
    Terminal,
    Text,
    Json,
}

impl Screen {
    fn open(output: Output) -> Self {
        match (output, terminal::is_there()) {
            (Output::Json, _) => Self::Json,
            (Output::Text, false) => Self::Text,
            (Output::Text, true) => {
                // Whoever could be told is gone if this fails.
                _ = try_print(terminal::ENTER);
                Self::Terminal
            }
        }
    }

    fn show(&self, title: &str, notice: Option<&str>, frame: &Frame) -> Result<Reader> {
        match self {
            Self::Terminal => try_print(&terminal::screenful(&lines(title, notice, &frame.text, size()))),
            Self::Text => try_print(&format!("{}\n", frame.text)),
            Self::Json => try_print(&format!("{}\n", frame.value)),
        }
    }

    /// That there is no new frame, and why: above the last one, or on stderr.
    fn tell(&self, title: &str, what: &str, last: &Frame) -> Result<Reader> {
        match self {
            Self::Terminal => self.show(title, Some(what), last),
            Self::Text | Self::Json => {
                note(what);
                Ok(Reader::Reads)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Self::Terminal = self {
            _ = try_print(terminal::LEAVE);
        }
    }
}

/// As many lines as fit, each cut; where not all do, the last one says so.
fn lines(title: &str, notice: Option<&str>, text: &str, size: Size) -> Vec<String> {
    let notice = notice.map(clean);
    let all: Vec<_> = [title].into_iter().chain(notice.as_deref()).chain(text.lines()).collect();
    let fitting = if all.len() <= size.rows { all.len() } else { size.rows.saturating_sub(1) };
    let mut lines: Vec<_> = all[..fitting].iter().map(|line| cut(line, size.columns)).collect();
    if fitting < all.len() {
        lines.push(cut(&format!("… and {} more lines", all.len() - fitting), size.columns));
    }
    lines.truncate(size.rows);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_any_terminal() {
        let text = "wide ".repeat(60) + "\n" + &"line\n".repeat(40);
        for (rows, columns) in [(24, 80), (50, 200), (2, 20), (1, 1)] {
            for notice in [None, Some("gone\u{1b}[2J")] {
                let lines = lines("furt nodes", notice, &text, Size { rows, columns });
                assert!(lines.len() <= rows, "{lines:?}");
                assert!(
                    lines.iter().all(|line| line.chars().count() <= columns && !line.contains('\u{1b}')),
                    "{lines:?}"
                );
            }
        }
        let some = lines("t", None, &text, Size { rows: 10, columns: 80 });
        assert_eq!(some.last().unwrap(), "… and 33 more lines");
        let all = lines("t", Some("n"), "a\nb\n", Size { rows: 4, columns: 80 });
        assert_eq!(all, ["t", "n", "a", "b"]);
    }
}
