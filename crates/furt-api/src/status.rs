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
        /// A runtime API key is gone.
        Revoked = "revoked",
        /// The configuration was read again and is in force.
        Reloaded = "reloaded",
        /// Another process has taken over.
        Upgraded = "upgraded",
        /// A certificate was asked for; what comes of it is not known yet.
        Renewing = "renewing",
    }
}
