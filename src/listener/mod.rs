//! What a listener is before anyone reads a request: its sockets and accept loops, its connections and their limits, handshakes
//! of TLS, the stream that Pingora is given, the header section of a request as bytes and the time it may take, and furt's own addresses.
//!
//! Both listeners stand on it: the public one (`proxy`) and the internal one (`api`). `app` binds the sockets. It knows
//! neither routes nor services, and parses no request.

mod accepting;
mod ahead;
mod binding;
mod connections;
mod given;
mod half_closed;
mod handshake;
mod head;
mod hello;
mod lingering;
mod outgoing;
mod own;
mod proxy_protocol;
mod reading;
mod scheme;
mod service_time;
mod session;
mod sides;
mod sockets;
mod stream;
mod unsent;

pub use accepting::{Admitted, ConnectionHandler, ListenService, Unanswered};
pub use binding::bind;
pub use connections::{
    AddressConnections, AddressPermit, ConnectionPermit, OpenConnections, STOPPING, TOO_MANY, TOO_MANY_INTERNAL,
    TOO_MANY_OF_ONE, header_deadline, options, turn_away,
};
pub use given::{GivenListener, GivenListeners, ListenerKind};
pub use handshake::Handshakes;
pub use head::{Body, HeadScan, MAX_TARGET, RequestLine};
pub use own::{ForbiddenAddress, OwnListeners, is_own_host};
pub use proxy_protocol::{NotAHeader, ProxiedClient, ProxyHeader};
pub use reading::{Awaited, Head, HeaderTimes, NoHead, next_head};
pub use scheme::scheme;
pub use service_time::{ServiceTime, TimeOver, serve};
pub use sockets::{BoundListener, CannotListen, Sockets, address_list};
pub use stream::{hold, lingering, release, secured, service_time};
