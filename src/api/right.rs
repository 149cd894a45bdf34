//! What an endpoint asks of its caller: `endpoints` says it, `guard` checks it.

/// The least that a caller must be, or must be allowed to do. Operators have roles: `guard` says which one each of these needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// Nothing is asked of the caller.
    Everyone,
    /// To be at an address that may register; being an operator does not help.
    Registrant,
    /// To be at an address that may register, or to have `Operate`.
    RegistrantOrOperate,
    /// To look at what is registered, routed and counted.
    Read,
    /// To look at API keys, to make and to revoke them.
    Keys,
    /// To act on services and instances of others.
    Operate,
    /// To act on furt itself.
    Admin,
    /// The same, by the operators' token wherever the caller is: every program on the machine can connect from loopback.
    AdminByToken,
}
