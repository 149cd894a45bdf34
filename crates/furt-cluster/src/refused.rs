//! Why a message is not taken, and how often that was.

use std::collections::BTreeMap;
use std::fmt;

/// Why a message is not taken. Each is counted; nothing is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    // What the seal finds.
    /// Longer than [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES).
    TooLarge,
    /// There is no signature.
    Unsigned,
    /// The signature is not by the key that the message names.
    BadSignature,
    /// It cannot be parsed, or has unknown fields.
    Malformed,
    /// A function that furt does not know.
    UnknownFunction,
    /// It cannot be decrypted by any secret that this node has.
    Undecipherable,
    // What the core finds.
    /// It has this node's key, and another start of it: the key was copied, or an old process still runs.
    OwnKey,
    /// Of another cluster.
    Foreign,
    /// For another node.
    NotForUs,
    /// Its time is more than 60 s away from this node's clock.
    Skewed,
    /// Of a start of the sender that a later one has replaced.
    OldBoot,
    /// It was seen before, or is older than the 64 messages before the latest.
    Replayed,
    /// Its sender was revoked.
    Revoked,
    /// Its sender is not approved, and it is nothing that a pending node may say.
    Unapproved,
    /// Its sender is a member, and only a commander may command.
    MemberCommand,
    /// It answers what was not asked, or was asked long ago.
    NotAsked,
    /// A join's proof is wrong.
    WrongProof,
    /// A join's token is used up or too old.
    TokenSpent,
    /// A secret whose check value is not the one that a commander announced.
    WrongCheck,
    /// A document whose digest is not the one of its record.
    WrongDigest,
    /// A record by a key that never was a commander.
    Unfounded,
    /// It would be the 257th node, or the 2,049th record.
    Full,
}

impl Refused {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 22] = [
        Self::TooLarge,
        Self::Unsigned,
        Self::BadSignature,
        Self::Malformed,
        Self::UnknownFunction,
        Self::Undecipherable,
        Self::OwnKey,
        Self::Foreign,
        Self::NotForUs,
        Self::Skewed,
        Self::OldBoot,
        Self::Replayed,
        Self::Revoked,
        Self::Unapproved,
        Self::MemberCommand,
        Self::NotAsked,
        Self::WrongProof,
        Self::TokenSpent,
        Self::WrongCheck,
        Self::WrongDigest,
        Self::Unfounded,
        Self::Full,
    ];

    /// The reason as a label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Unsigned => "unsigned",
            Self::BadSignature => "bad_signature",
            Self::Malformed => "malformed",
            Self::UnknownFunction => "unknown_function",
            Self::Undecipherable => "undecipherable",
            Self::OwnKey => "own_key",
            Self::Foreign => "foreign",
            Self::NotForUs => "not_for_us",
            Self::Skewed => "skewed",
            Self::OldBoot => "old_boot",
            Self::Replayed => "replayed",
            Self::Revoked => "revoked",
            Self::Unapproved => "unapproved",
            Self::MemberCommand => "member_command",
            Self::NotAsked => "not_asked",
            Self::WrongProof => "wrong_proof",
            Self::TokenSpent => "token_spent",
            Self::WrongCheck => "wrong_check",
            Self::WrongDigest => "wrong_digest",
            Self::Unfounded => "unfounded",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many messages were refused since the start, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedCounts(BTreeMap<Refused, u64>);

impl RefusedCounts {
    pub(crate) fn count(&mut self, why: Refused) {
        *self.0.entry(why).or_default() += 1;
    }

    /// How many were refused for this reason.
    pub fn get(&self, why: Refused) -> u64 {
        self.0.get(&why).copied().unwrap_or_default()
    }
}
