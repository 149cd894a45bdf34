//! A terminal on which a verb draws again and again, in place, and the signals that end that.
//!
//! Plain control sequences of ECMA-48, as every terminal of today knows them; the size is asked before each frame.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The other screen, empty, without a cursor; and back.
pub(super) const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
pub(super) const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";

/// Where a terminal does not tell: the VT100's.
const USUAL_SIZE: Size = Size { rows: 24, columns: 80 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// Whether stdout is a terminal that can be drawn on.
pub(super) fn is_there() -> bool {
    std::io::stdout().is_terminal() && std::env::var("TERM").unwrap_or_default() != "dumb"
}

/// The size that the terminal tells, if it tells a sensible one.
pub(super) fn size() -> Size {
    let told = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let told = told.map(|size| Size { rows: size.ws_row.into(), columns: size.ws_col.into() });
    told.filter(|size| size.rows > 0 && size.columns > 0).unwrap_or(USUAL_SIZE)
}

/// Lines that replace what is on the screen.
pub(super) fn screenful(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| format!("{line}{REST_OF_LINE}")).collect();
    format!("{HOME}{}{REST_OF_SCREEN}", lines.join("\r\n"))
}

pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain("…".chars().take(width.min(1))).collect()
}

/// The signals that end it in order.
pub(super) struct Ends([Signal; 3]);

impl Ends {
    pub(super) fn watch() -> Result<Self> {
        let watch = |kind| signal(kind).context("signals cannot be watched");
        Ok(Self([watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?, watch(SignalKind::hangup())?]))
    }

    pub(super) async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
