//! Eligibility: whether a service that is registered may be routed under the rules of today. One that may not is kept and
//! *suspended*: registered, probed, listed with the reason, and without routes. Rules can change while a write is in
//! flight, so a service is installed as not evaluated and then evaluated against the rules of that moment.

mod effective;
mod state;

pub use effective::effective;
pub(super) use state::{Eligibility, Evaluated, Outcome};
