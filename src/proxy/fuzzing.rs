//! What the fuzz targets see of this room: whom a request is from. Not in a furt that runs.

use std::net::IpAddr;

use http::HeaderMap;

use super::client;
use furt_core::model::CidrSet;

/// The client's address, as admission finds it.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &CidrSet) -> IpAddr {
    client::address(peer, headers, trusted)
}
