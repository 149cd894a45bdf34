//! What a node has to do with a Vault.

/// A node's part in tokens of a Vault; its beat says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum VaultSide {
    /// It has no Vault, or a token of its own and makes none.
    #[default]
    Apart,
    /// It has a Vault and no token, and asks for one.
    Wants,
    /// It may make tokens for others.
    Makes,
}
