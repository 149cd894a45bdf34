//! The files of the benches, as far as they are drawn or shown.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::figure::Spread;

/// What the load bench has written.
#[derive(Debug, Deserialize)]
pub(super) struct LoadRun {
    /// How it was measured.
    pub(super) options: LoadOptions,
    /// One for each kind of requests.
    pub(super) sections: Vec<Section>,
}

/// How it was measured.
#[derive(Debug, Deserialize)]
pub(super) struct LoadOptions {
    pub(super) rounds: u32,
    pub(super) seconds: f64,
    pub(super) threads: u32,
    pub(super) cores: usize,
    pub(super) cores_apart: bool,
    pub(super) is_debug: bool,
    pub(super) processor: String,
    pub(super) peers: Vec<String>,
    pub(super) versions: Vec<Option<String>>,
    pub(super) missing: Vec<String>,
}

/// The figures of one kind of requests.
#[derive(Debug, Deserialize)]
pub(super) struct Section {
    pub(super) workload: String,
    pub(super) title: String,
    pub(super) notes: Vec<String>,
    #[serde(flatten)]
    pub(super) kind: Kind,
}

/// What was measured.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Kind {
    Turns { traffic: String, rate: f64, peers: Vec<Peer> },
    Churn { rounds: Vec<ChurnRound>, p99_ratio: Option<Spread> },
    Idle { peers: Vec<IdlePeer> },
    Instructions { peers: Vec<InstructionsPeer> },
}

/// The turns of one gateway.
#[derive(Debug, Deserialize)]
pub(super) struct Peer {
    pub(super) peer: String,
    pub(super) rounds: Vec<Turn>,
    pub(super) latency: Latency,
    pub(super) furt_is: FurtIs,
}

/// Over all rounds together; `None`: of too few answers.
#[derive(Debug, Deserialize)]
pub(super) struct Latency {
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) p999_ms: Option<f64>,
}

/// furt's figures divided by the gateway's, round by round.
#[derive(Debug, Deserialize)]
pub(super) struct FurtIs {
    pub(super) cpu: Option<Spread>,
    pub(super) paced_cpu: Option<Spread>,
    pub(super) per_second: Option<Spread>,
}

/// As the load bench describes it (`benches/load/turns.rs`).
#[derive(Debug, Deserialize)]
pub(super) struct Turn {
    pub(super) cpu_us: f64,
    pub(super) system_share: f64,
    pub(super) paced_cpu_us: f64,
    pub(super) per_second: f64,
    pub(super) utilisation: f64,
    pub(super) memory_mib: f64,
    pub(super) connects: u64,
    pub(super) counted: u64,
    pub(super) reconnects: u64,
    pub(super) failed: u64,
}

/// As the load bench describes it (`benches/load/churn.rs`).
#[derive(Debug, Deserialize)]
pub(super) struct ChurnRound {
    pub(super) quiet_p50_ms: f64,
    pub(super) busy_p50_ms: f64,
    pub(super) quiet_p99_ms: f64,
    pub(super) busy_p99_ms: f64,
    pub(super) quiet_cpu_us: f64,
    pub(super) busy_cpu_us: f64,
}

/// The idle clients of one gateway.
#[derive(Debug, Deserialize)]
pub(super) struct IdlePeer {
    pub(super) peer: String,
    pub(super) rounds: Vec<Idle>,
    pub(super) furt_is: Option<Spread>,
}

/// As the load bench describes it (`benches/load/idle.rs`).
#[derive(Debug, Deserialize)]
pub(super) struct Idle {
    pub(super) client_kib: f64,
    pub(super) memory_mib: f64,
    pub(super) whole_kib: f64,
}

/// The instructions of one gateway; `None`: it does not run under valgrind.
#[derive(Debug, Deserialize)]
pub(super) struct InstructionsPeer {
    pub(super) peer: String,
    pub(super) instructions: Option<f64>,
}

impl Peer {
    /// Of one figure over the rounds.
    pub(super) fn over_rounds(&self, figure: impl Fn(&Turn) -> f64) -> Spread {
        spread(self.rounds.iter().map(figure))
    }
}

/// Zero where there is nothing.
pub(super) fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    Spread::of(values).unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 })
}

/// Reads one.
///
/// # Errors
/// There is none, or it is of another make.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what the bench writes", path.display()))
}
