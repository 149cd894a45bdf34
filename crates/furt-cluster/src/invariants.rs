//! What must hold after every event; swept in debug builds and tests.

use crate::cluster::Cluster;
use crate::model::{MAX_HELD, Role, Standing};
use crate::parts::{MAX_NODES, MAX_PENDING};

impl Cluster {
    /// # Panics
    /// Where one of the rules below is broken: that is a bug in the core.
    pub(crate) fn sweep_invariants(&self) {
        assert_eq!(self.membership.is_none(), self.roster.is_empty(), "records belong to a cluster");
        assert!(self.roster.len() <= 2_048 && self.roster.approved() <= MAX_NODES, "records are bounded");
        if let Some(membership) = self.membership {
            let standing = self.roster.standing(&membership.founder);
            assert_eq!(standing, Standing::Approved(Role::Commander), "the founder commands for ever");
        }
        let pending = self.nodes.iter().filter(|(key, _)| !self.standing(key).is_approved()).count();
        // A node that was approved when it was first heard, and is not any more, is not counted then.
        assert!(pending <= MAX_PENDING + MAX_NODES, "pending keys are bounded");
        assert!(self.nodes.get(&self.own()).is_none(), "a node does not hear itself");
        assert!(self.secrets.active().is_none_or(|id| self.secrets.has(&id)), "what it seals by, it has");
        assert!(self.secrets.made().is_none_or(|id| self.secrets.has(&id)), "what it made, it has");
        assert!(self.secrets.wanted().all(|id| !self.secrets.has(&id)), "what it has, it does not ask for");
        assert!(self.secrets.held().count() <= MAX_HELD + 1, "secrets are bounded");
        assert!(self.secrets.wanted().next().is_none() || self.is_approved(), "only the approved ask");
        assert!(self.vault.is_bounded(), "tokens that are made are bounded");
        assert!(self.commands_in_flight() <= 64 + 1 + MAX_NODES, "commands are bounded");
        assert!(self.joins.challenges() <= 64 && self.joins.tokens().len() <= 64, "joins are bounded");
        assert_eq!(self.secrets.next_ask().is_none(), self.secrets.wanted().next().is_none(), "asked for for ever");
    }
}
