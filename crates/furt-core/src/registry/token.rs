//! Tokens: which order to probe an instance or to watch a name an outcome belongs to. An outcome that carries another token
//! than the one in force is late and changes nothing.

use crate::routing::PoolGroup;

/// Names a [`ProbePlan`](super::ProbePlan); each outcome of its probes carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeToken(pub u64);

/// Names a [`NameWatch`](super::NameWatch); each answer to it carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameToken(pub u64);

/// Gives tokens and groups of connections; no number comes twice while the process runs.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    last: u64,
}

impl Tokens {
    pub(super) fn probe(&mut self) -> ProbeToken {
        ProbeToken(self.next())
    }

    pub(super) fn name(&mut self) -> NameToken {
        NameToken(self.next())
    }

    pub(super) fn pool_group(&mut self) -> PoolGroup {
        PoolGroup(self.next())
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}
