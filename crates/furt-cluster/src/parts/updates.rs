//! Updates of the program: the one that this node commands, and the one that it carries out.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::command::ReplyId;
use crate::model::{Fingerprint, Program, RequestId, Version};

/// An update that this node commands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commanded {
    pub(crate) request: RequestId,
    pub(crate) target: Fingerprint,
    pub(crate) reply: ReplyId,
    pub(crate) until: Instant,
}

/// An update that this node carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Updating {
    /// The command.
    pub request: RequestId,
    /// The program that is to run.
    pub program: Program,
}

/// At most one of each kind.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    pub(crate) commanded: Option<Commanded>,
    pub(crate) updating: Option<Updating>,
    /// Whether the program was staged, so that its takeover is awaited.
    pub(crate) is_staged: bool,
    /// The greatest version that ever ran here: only a later one is taken.
    pub(crate) floor: Option<Version>,
}
