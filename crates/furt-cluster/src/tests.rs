//! What the core does, as short scripts: each test says one sentence and plays it through the [`harness`], whose bus loses
//! nothing and needs 10 ms.

mod admission;
mod beats;
mod harness;
mod joining;
mod secrets;
mod settings;
mod updates;
mod vault;

pub(crate) use harness::Net;

#[test]
fn a_core_can_live_on_any_thread() {
    fn is_send<T: Send>() {}
    is_send::<crate::Cluster>();
    is_send::<crate::Event>();
    is_send::<crate::Effect>();
}
