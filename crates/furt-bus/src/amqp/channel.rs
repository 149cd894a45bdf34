//! The channels of a connection. What the broker closes one for does not end the others.

/// For bindings that change.
pub(super) const CONTROL: u16 = 1;
/// For what arrives in the node's own queue.
pub(super) const CONSUME: u16 = 2;
/// For what is sent, under confirms.
pub(super) const PUBLISH: u16 = 3;
/// For what arrives in shared queues, one channel each, and after them one for each log.
pub(super) const FIRST_SHARED: u16 = 4;
/// Messages of a queue or log that are sent ahead: of the largest 8 MiB each, with four queues and a log 40 MiB.
pub(super) const PREFETCH: u16 = 64;
