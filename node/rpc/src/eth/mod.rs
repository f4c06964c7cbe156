//! `eth_*`, `net_*`, `web3_*` and `txpool_*`: the methods of every Ethereum node.

pub(crate) mod blocks;
pub(crate) mod call;
pub(crate) mod convert;
pub(crate) mod fees;
pub(crate) mod filter_methods;
pub(crate) mod head_feed;
pub(crate) mod installed_filters;
pub(crate) mod log_criteria;
pub(crate) mod logs;
pub(crate) mod net;
pub(crate) mod send;
pub(crate) mod send_sync;
pub(crate) mod state;
pub(crate) mod subscriptions;
pub(crate) mod txpool;
