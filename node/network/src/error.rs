//! Why the network does not start.

use libp2p::Multiaddr;
use thiserror::Error;

/// The operator's configuration or machine is at fault, unless it says otherwise.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The secret is not an ed25519 key.
    #[error("the network key is not an ed25519 secret: {0}")]
    Key(String),
    /// Heartbeat out of bounds.
    #[error("a gossip heartbeat of {0} ms is outside 50 to 5000 ms")]
    Heartbeat(u64),
    /// A bootnode without an identity.
    #[error("bootnode {0} must end in /p2p/<peer id>")]
    Bootnode(Multiaddr),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The configured address.
        address: Multiaddr,
        /// Why not.
        reason: String,
    },
    /// The transports or protocols refuse their parameters: a bug of this crate, or a broken machine.
    #[error("cannot set up the network: {0}")]
    Setup(String),
}
