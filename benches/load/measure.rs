//! What a gateway uses: CPU time and memory of its whole process group, from `/proc`.
//!
//! CPU time is user and system time as the kernel accounts them, in ticks of 10 ms: over a second of load that is exact to
//! a percent. Memory is the proportional set (`Pss`): pages that a master shares with its workers count once.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// CPU time so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cpu {
    /// In the process's own code, in seconds.
    pub(super) user: f64,
    /// In the kernel for it, in seconds.
    pub(super) system: f64,
}

impl Cpu {
    /// Of all processes of the group.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(super) fn of(group: Pid) -> Result<Self> {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let mut sum = Self::default();
        for stat in members(group)? {
            sum.user += stat.user_ticks as f64 / ticks;
            sum.system += stat.system_ticks as f64 / ticks;
        }
        Ok(sum)
    }

    /// Since an earlier reading.
    pub(super) fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }

    /// Both together, in seconds.
    pub(super) fn total(self) -> f64 {
        self.user + self.system
    }
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
}
