//! Servers of others as processes, and the network between them and furt.

mod acme2certifier;
pub(crate) mod brokers;
mod chromium;
pub(crate) mod etcd;
pub(crate) mod etcdctl;
pub(crate) mod fault_proxy;
mod issuer;
mod member;
pub(crate) mod node;
pub(crate) mod openbao;
pub(crate) mod pebble;
pub(crate) mod peer;
pub(crate) mod program;
pub(crate) mod python;
pub(crate) mod rabbitmq;
pub(crate) mod stranger;
#[cfg(test)]
mod tests;

pub(crate) use acme2certifier::{Acme2certifier, Suggested};
pub(crate) use chromium::Chromium;
pub(crate) use etcd::Etcd;
pub(crate) use etcdctl::Entry;
pub(crate) use fault_proxy::FaultProxy;
pub(crate) use issuer::{Issuer, Known};
pub(crate) use openbao::Openbao;
pub(crate) use pebble::Pebble;
pub(crate) use rabbitmq::Rabbitmq;
