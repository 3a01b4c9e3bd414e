//! Carries what nodes have to tell each other: the protocol of `docs/sync-protocol.md` over HTTP.
//!
//! What is sent when is decided in [`domain::session`](crate::domain::session), what a save or a page does is decided in
//! the store. Here are the sockets, the waits and the retries between the two: [`Link`] runs an edge's side, [`Hub`]
//! answers, [`http`] puts it on the network. Nothing here judges what people wrote.

mod asker;
mod carry;
mod clock;
mod enrolment;
mod http_transport;
mod hub;
mod link;
mod listener;
mod observe;
mod peers;
mod relay;
mod switchboard;
pub mod terse;
mod transport;

pub mod bundle;
pub mod http;
pub mod sse;
pub mod wire;

pub use carry::{BlobLink, BlobSettings, Carrier, set_aside};
pub use clock::{Corrected, Offset};
pub use enrolment::{EnrolError, NodeRecord, enrol, invite, nodes, revoke};
pub use http_transport::HttpTransport;
pub use hub::{Forgotten, Hub, HubError, Permits};
pub use link::{Link, LinkSettings};
pub use listener::Listener;
pub use peers::{PeerSettings, Peers, Spread};
pub use relay::{Grant, Relay};
pub use transport::{LiveEvent, Switch, Transport};
