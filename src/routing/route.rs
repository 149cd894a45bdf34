//! One route
use crate::model::{Host, MethodRule, Pattern, Permission};
/// A place in the snapshot's list of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);
/// Who registered a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The configuration.
    Static(Slot),
    /// A service.
    Service(Slot),
}
impl Owner {
    /// slot
    pub fn slot(self) -> Slot {
        match self {
            Self::Static(slot) | Self::Service(slot) => slot,
        }
    }
}
/// One route as it is matched.
#[derive(Debug)]
pub struct Route {
    /// host
    pub host: Option<Host>,
    /// method
    pub method: MethodRule,
    /// pattern
    pub pattern: Pattern,
    /// permission
    pub permission: Option<Permission>,
    /// owner
    pub owner: Owner,
}
