//! Why the network does not start.

use libp2p::Multiaddr;
use thiserror::Error;

/// The operator's configuration or machine is at fault, except where a variant says otherwise.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The secret is not an ed25519 key.
    #[error("the network key is not an ed25519 secret: {0}")]
    Key(String),
    /// The heartbeat is out of range.
    #[error("the gossip heartbeat is {0} ms, and must be 50 to 5000 ms")]
    Heartbeat(u64),
    /// The address of a bootnode has no peer id.
    #[error("bootnode {0} must end in /p2p/<peer id>")]
    Bootnode(Multiaddr),
    /// The node cannot listen on an address.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The configured address.
        address: Multiaddr,
        /// The system's reason.
        reason: String,
    },
    /// A transport or protocol refuses its parameters: a bug of this crate, or a broken machine.
    #[error("cannot set up the network: {0}")]
    Setup(String),
}
