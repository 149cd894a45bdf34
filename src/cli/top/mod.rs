//! `furt top`: requests, latencies and errors of every service, live.
//!
//! Reads `GET /internal/stats` again and again; `rates` makes a frame of two answers, `screen` draws it. On a terminal the
//! frames replace each other and the screen is put back at the end, however that comes; elsewhere they follow each other.
//! A gateway that goes away is said to be gone and asked again; one that was never there is an error.

mod rates;
mod screen;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::task::JoinHandle;

use super::client::ask;
use super::output::{self, Reader};
use super::terminal::Ends;
use super::{Format, Output, Target};
use furt_api::stats::Stats;
use rates::Frame;
use screen::Screen;

/// When the screen says that an answer is late, and how often.
const LATE: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(super) struct TopArgs {
    /// Seconds from one frame to the next, 0.1 to 3600
    #[arg(long, value_name = "S", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// Print one frame, of one interval, and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "must be seconds from 0.1 to 3600".to_owned())
}

pub(super) fn run(args: &TopArgs) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("top cannot be started")?;
    let outcome = runtime.block_on(watch(args));
    // A question that nobody waits for any more must not hold up the end.
    runtime.shutdown_background();
    outcome
}

async fn watch(args: &TopArgs) -> Result<()> {
    let first = answered(question(&args.target).await)?;
    if args.once {
        tokio::time::sleep(args.interval).await;
        let frame = Frame::between(&first, &answered(question(&args.target).await)?);
        return match args.format.output {
            Output::Json => output::print_json(&frame.shown()),
            Output::Text => output::print(&screen::text(&frame)),
        };
    }
    live(args, first).await
}

/// Asks on a thread of its own: the CLI's client waits.
fn question(target: &Target) -> JoinHandle<Result<Stats>> {
    let target = target.clone();
    tokio::task::spawn_blocking(move || {
        let stats: Stats = ask(&target, "GET", &["internal", "stats"], &[], None)?.read()?;
        ensure!(rates::is_sound(&stats), "{} answers what does not fit together", target.url);
        Ok(stats)
    })
}

fn answered(joined: Result<Result<Stats>, tokio::task::JoinError>) -> Result<Stats> {
    joined.context("the question broke off")?
}

/// Until a signal ends it, or nobody reads any more.
async fn live(args: &TopArgs, mut last: Stats) -> Result<()> {
    let mut ends = Ends::watch()?;
    let mut screen = Screen::open(&args.target.url, args.format.output, args.interval);
    let mut beat = tokio::time::interval(args.interval);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    beat.tick().await;
    if let Reader::Gone = screen.wait_for_first()? {
        return Ok(());
    }
    loop {
        tokio::select! {
            () = ends.any() => return Ok(()),
            _ = beat.tick() => {}
        }
        let mut question = question(&args.target);
        let mut late = tokio::time::interval_at(tokio::time::Instant::from_std(crate::clock::now()) + LATE, LATE);
        let mut waited = Duration::ZERO;
        let outcome = loop {
            tokio::select! {
                () = ends.any() => return Ok(()),
                joined = &mut question => break answered(joined),
                _ = late.tick() => {
                    waited += LATE;
                    screen.tell(&format!("no answer for {} s", waited.as_secs()))?;
                }
            }
        };
        let reader = match outcome {
            Ok(stats) => {
                let frame = Frame::between(&last, &stats);
                last = stats;
                screen.show(frame)?
            }
            Err(why) => screen.tell(&format!("trying again: {why:#}"))?,
        };
        if let Reader::Gone = reader {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_within_its_bounds() {
        assert_eq!(interval("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "0.01", "3601", "NaN", "inf", "", "1s", "1e999"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
