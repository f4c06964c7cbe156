//! Connections: who may connect, what a connection may hold of this node's memory, and the JSON-RPC answers of the transport
//! itself. Nothing here knows which methods there are.

pub(crate) mod accept;
pub(crate) mod hosts;
pub(crate) mod http_budget;
pub(crate) mod rpc_middleware;
mod slow_client;
