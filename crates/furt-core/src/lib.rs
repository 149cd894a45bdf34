//! The core of furt: what is registered, who may register what, which route a request takes, which instance is asked.
//!
//! It takes events and the time and gives effects. It reads no clock and performs no IO; it never waits and never logs.
//! From the bottom up; each module imports from those above it in this list alone:
//!
//! - [`model`]: names, addresses, permissions, patterns, paths as types that hold their own rules
//! - [`live`]: counters that requests write and everyone reads
//! - [`routing`]: the table of routes, the snapshot that requests are answered from, the choice of an instance
//! - [`registry`]: events in, effects out
//! - [`ports`]: what the core's user needs of a store and of a prober; [`MemoryStore`] is the plainest store
//!
//! # The four ways
//!
//! **A request's.** [`host::normalize`](model::host::normalize) and [`path::normalize`](model::path::normalize) make one
//! form of what was sent; [`Snapshot::find`] gives the [`Route`]; [`KeyTable`] knows the API keys; [`Service::pick`]
//! chooses an instance and takes a slot at it, a [`Lease`] that gives it back when it is dropped;
//! [`Service::note_outcome`] counts how the request fared there. Where no instance can be had, [`NoInstance`] says why;
//! [`Service::refusal_reason`] says the same without taking a slot.
//!
//! **A registration's.** [`Event::RegistrationRequested`] brings a [`Registration`] to [`Registry::handle`]. It is checked
//! against the [`RegistrationPolicy`] and against what is installed and pending, and gives [`Effect::Write`] with
//! [`Change`]s for the [`Store`], or an answer with a [`Refusal`]. [`Event::WriteDone`] installs it: the next
//! [`Registry::take_snapshot`] has it, [`Effect::Answer`] is sent after that is published, [`Effect::Probe`] asks for the
//! first probe. A key's way is the same: [`Event::KeyRequested`] brings a [`KeyCommand`], and [`KeyAnswer`] comes back.
//!
//! **A reload's.** [`Event::ConfigurationChanged`] brings a [`Configuration`]: [`Settings`], each [`StaticRoute`], and the
//! keys. Static routes win at once, and every service is evaluated against the new rules. [`Reconfigured`] names those that
//! are suspended.
//!
//! **A probe's and an expiry's.** [`Effect::Probe`] hands a [`ProbePlan`] to the [`Probes`]; [`Event::ProbeFinished`] brings
//! back its [`ProbeToken`] and the outcome. An outcome with another token than the plan in force changes nothing; any other
//! is an input of [`Health`]. A change of status is published, and DOWN is kept by [`Effect::Keep`].
//! [`Registry::next_deadline`] says when [`Event::DeadlineReached`] is due: an instance that was not heard within its TTL
//! leaves the snapshot and then, by [`Effect::Write`], the store.
//!
//! # A restart
//!
//! [`Store::load`] gives the [`Contents`], and [`Registry::restore`] makes the registry again: what was DOWN is DOWN, what
//! was UP is UNKNOWN and routed, all is probed within a second, every TTL begins anew. Each service is evaluated against
//! the rules of today; one that may not be routed is kept as suspended.
//!
//! [`Change`]: registry::Change
//! [`Configuration`]: registry::Configuration
//! [`Contents`]: registry::Contents
//! [`Effect::Answer`]: registry::Effect::Answer
//! [`Effect::Keep`]: registry::Effect::Keep
//! [`Effect::Probe`]: registry::Effect::Probe
//! [`Effect::Write`]: registry::Effect::Write
//! [`Event::ConfigurationChanged`]: registry::Event::ConfigurationChanged
//! [`Event::DeadlineReached`]: registry::Event::DeadlineReached
//! [`Event::KeyRequested`]: registry::Event::KeyRequested
//! [`Event::ProbeFinished`]: registry::Event::ProbeFinished
//! [`Event::RegistrationRequested`]: registry::Event::RegistrationRequested
//! [`Event::WriteDone`]: registry::Event::WriteDone
//! [`Health`]: registry::Health
//! [`KeyAnswer`]: registry::KeyAnswer
//! [`KeyCommand`]: registry::KeyCommand
//! [`KeyTable`]: routing::KeyTable
//! [`Lease`]: routing::Lease
//! [`NoInstance`]: routing::NoInstance
//! [`ProbePlan`]: registry::ProbePlan
//! [`ProbeToken`]: registry::ProbeToken
//! [`Probes`]: ports::Probes
//! [`Reconfigured`]: registry::Reconfigured
//! [`Refusal`]: registry::Refusal
//! [`RegistrationPolicy`]: registry::RegistrationPolicy
//! [`Registration`]: registry::Registration
//! [`Registry::handle`]: registry::Registry::handle
//! [`Registry::next_deadline`]: registry::Registry::next_deadline
//! [`Registry::restore`]: registry::Registry::restore
//! [`Registry::take_snapshot`]: registry::Registry::take_snapshot
//! [`Route`]: routing::Route
//! [`Service::note_outcome`]: routing::Service::note_outcome
//! [`Service::pick`]: routing::Service::pick
//! [`Service::refusal_reason`]: routing::Service::refusal_reason
//! [`Settings`]: registry::Settings
//! [`Snapshot::find`]: routing::Snapshot::find
//! [`StaticRoute`]: registry::StaticRoute
//! [`Store::load`]: ports::Store::load
//! [`Store`]: ports::Store
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// The naive model of `routing` is read by the fuzz targets as well, under this name.
#[cfg(test)]
extern crate self as furt_core;

pub mod live;
mod memory;
pub mod model;
pub mod ports;
pub mod registry;
pub mod routing;

pub use memory::MemoryStore;
