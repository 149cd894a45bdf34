//! What a gateway uses: CPU time and memory of its whole process group, from `/proc`.
//!
//! CPU time is what the scheduler counts for each thread, in nanoseconds; what a thread used that has ended meanwhile is not in
//! it. Its user and system parts are counted in ticks of 10 ms, so they are only told as shares. Memory is the proportional
//! set (`Pss`): pages that a master shares with its workers count once.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// CPU time so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Cpu {
    /// In ns, by the number of the thread.
    threads: BTreeMap<u32, u64>,
    user_ticks: u64,
    system_ticks: u64,
}

/// CPU time of a while.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    /// In seconds.
    pub(super) seconds: f64,
    /// The share of it in the kernel.
    pub(super) system_share: f64,
}

impl Cpu {
    /// Of all threads of all processes of the group.
    ///
    /// # Errors
    /// `/proc` cannot be read, or the kernel does not count.
    pub(super) fn of(group: Pid) -> Result<Self> {
        let mut sum = Self::default();
        for stat in members(group)? {
            sum.user_ticks += stat.user_ticks;
            sum.system_ticks += stat.system_ticks;
            // A process or a thread that ended meanwhile has none.
            let Ok(threads) = fs::read_dir(format!("/proc/{}/task", stat.id)) else { continue };
            for thread in threads.filter_map(Result::ok) {
                let id = thread.file_name().to_string_lossy().parse().context("a thread without a number")?;
                let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
                sum.threads.insert(id, nanoseconds(&text).context("the kernel counts no time (CONFIG_SCHED_INFO)")?);
            }
        }
        Ok(sum)
    }

    /// Since an earlier reading.
    pub(super) fn since(&self, before: &Self) -> Used {
        let earlier = |thread| before.threads.get(thread).copied().unwrap_or_default();
        let used: u64 = self.threads.iter().map(|(thread, now)| now.saturating_sub(earlier(thread))).sum();
        let user = self.user_ticks.saturating_sub(before.user_ticks) as f64;
        let system = self.system_ticks.saturating_sub(before.system_ticks) as f64;
        Used { seconds: used as f64 / 1e9, system_share: system / (user + system).max(1.0) }
    }
}

/// The first number of a `schedstat`: time on a core.
fn nanoseconds(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// Resident memory of all processes of the group, in bytes.
///
/// # Errors
/// `/proc` cannot be read.
pub(super) fn memory_bytes(group: Pid) -> Result<u64> {
    let mut sum = 0;
    for stat in members(group)? {
        let path = format!("/proc/{}/smaps_rollup", stat.id);
        // One that ended meanwhile has none.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let pss =
            text.lines().find_map(|line| line.strip_prefix("Pss:")).with_context(|| format!("{path} has no Pss"))?;
        let kib = pss.trim().trim_end_matches(" kB").trim().parse::<u64>().with_context(|| format!("{path}: {pss}"))?;
        sum += kib * 1024;
    }
    Ok(sum)
}

/// The processes of the group.
///
/// # Errors
/// `/proc` cannot be read.
pub(super) fn members(group: Pid) -> Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc").context("/proc cannot be read")?;
    let stats = entries.filter_map(|entry| {
        let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
        Stat::parse(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    });
    Ok(stats.filter(|stat| stat.group == group.as_raw_nonzero().get()).collect())
}

/// A process, by its line in `/proc/ID/stat` (proc(5)).
pub(super) struct Stat {
    /// Its number.
    pub(super) id: u32,
    group: i32,
    user_ticks: u64,
    system_ticks: u64,
}

impl Stat {
    fn parse(id: u32, line: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse().ok();
        Some(Self { id, group: fields.get(2)?.parse().ok()?, user_ticks: number(11)?, system_ticks: number(12)? })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_of_proc_is_read_whatever_the_name() {
        use super::*;
        let line = "42 (a) b (c)) S 1 40 40 0 -1 4194560 100 0 0 0 7 9 0 0 20 0 1 0 100 1 1";
        let stat = Stat::parse(42, line).unwrap();
        assert_eq!((stat.group, stat.user_ticks, stat.system_ticks), (40, 7, 9));
    }

    #[test]
    fn time_is_that_of_each_thread_since_it_was_there() {
        use super::*;
        assert_eq!(nanoseconds("189227498 21498654 748\n"), Some(189_227_498));
        assert_eq!(nanoseconds(""), None);
        let cpu = |threads: &[(u32, u64)], user_ticks, system_ticks| Cpu {
            threads: threads.iter().copied().collect(),
            user_ticks,
            system_ticks,
        };
        let before = cpu(&[(1, 5_000_000_000), (2, 700)], 10, 10);
        // The second thread has ended, the third one is new.
        let used = cpu(&[(1, 5_500_000_000), (3, 250_000_000)], 40, 20).since(&before);
        assert_eq!((used.seconds, used.system_share), (0.75, 0.25));
    }

    #[test]
    fn a_process_uses_time_while_it_works() {
        use super::*;
        let group = rustix::process::getpgrp();
        let before = Cpu::of(group).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        // Looking is work enough.
        while Cpu::of(group).unwrap().since(&before).seconds < 0.001 {
            assert!(std::time::Instant::now() < deadline, "no time is counted");
        }
    }
}
