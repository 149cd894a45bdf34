//! How services and instances are, and what an endpoint did.

use crate::open_enum::open_enum;

open_enum! {
    /// The health of a service or of an instance.
    Status {
        /// The last probe succeeded, or the instance is not probed.
        Up = "UP",
        /// It was registered and its first probe is not done yet.
        Unknown = "UNKNOWN",
        /// Probes failed, or a service has no instance left. Requests are not sent there.
        Down = "DOWN",
    }
}

open_enum! {
    /// What an endpoint that changes something did.
    Outcome {
        /// A registration was installed, or was installed just so already.
        Registered = "registered",
        /// A heartbeat was noted.
        Ok = "ok",
        /// A probe was ordered; its result is not known yet.
        Probing = "probing",
        /// A service or an instance is gone.
        Deregistered = "deregistered",
        /// Instances get no new requests.
        Draining = "draining",
        /// Instances get requests again.
        DrainEnded = "drain-ended",
        /// A service is in maintenance, or all of them are.
        MaintenanceBegan = "maintenance-began",
        /// It is in maintenance no more.
        MaintenanceEnded = "maintenance-ended",
        /// Callers of a service are split by versions.
        SplitSet = "split-set",
        /// They are split no more.
        SplitRemoved = "split-removed",
        /// A service may register what it is granted.
        GrantSet = "grant-set",
        /// It has no grant of run time any more.
        GrantRemoved = "grant-removed",
        /// What is to be there is there, or a part of it.
        Applied = "applied",
        /// It was there already.
        Unchanged = "unchanged",
        /// It was only looked at what differs.
        Compared = "compared",
        /// A runtime API key is gone; a node's key is not approved any more, for ever.
        Revoked = "revoked",
        /// The configuration was read again and is in force.
        Reloaded = "reloaded",
        /// Another process has taken over.
        Upgraded = "upgraded",
        /// A certificate was asked for; what comes of it is not known yet.
        Renewing = "renewing",
        /// A cluster was made.
        Founded = "founded",
        /// The node looks for the maker of its join token.
        Joining = "joining",
        /// The node belongs to the cluster.
        Joined = "joined",
        /// A join token is of no use any more.
        Dropped = "dropped",
        /// A node's key is approved.
        Approved = "approved",
        /// A node with this key may welcome this node into its cluster.
        Trusted = "trusted",
        /// A node that is not approved is not shown any more, until it is heard again.
        Forgotten = "forgotten",
        /// Nodes were asked to beat.
        Asked = "asked",
        /// A secret is announced.
        Rotating = "rotating",
        /// Of two secrets of one generation this one stands.
        Adopted = "adopted",
        /// Settings are in force, or will be once the nodes that are away come back.
        Set = "set",
        /// A node runs another version of furt.
        Updated = "updated",
        /// A node runs the version that it ran.
        NotUpdated = "not-updated",
        /// A node did not tell in time.
        NoAnswer = "no-answer",
    }
}
