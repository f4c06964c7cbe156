//! Connections: their checks, their limits of memory and time, and the JSON-RPC errors that do not depend on a method. Nothing
//! here knows the methods.

pub(crate) mod accept;
pub(crate) mod hosts;
pub(crate) mod http_budget;
mod requests;
pub(crate) mod rpc_middleware;
mod slow_client;
mod websocket_frames;
