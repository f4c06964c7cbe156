//! The counters of the network.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters shared between the network task, its handles and the node's registry.
#[derive(Debug, Clone, Default)]
pub struct NetworkMetrics {
    /// Peers that are connected and identified.
    pub peers: Gauge,
    /// Gossip messages received for the first time.
    pub messages_received: Counter,
    /// Gossip messages published by this node.
    pub messages_published: Counter,
    /// Publications that reached no peer: none was connected, the queues were full, or the message was too large.
    pub publish_failures: Counter,
    /// Transaction batches dropped because the node was busy.
    pub transactions_dropped: Counter,
    /// Consensus, peg and sync messages dropped because the node or the peer was busy.
    pub messages_dropped: Counter,
    /// Messages of peers that could not be decoded.
    pub malformed: Counter,
    /// Messages that the node judged invalid.
    pub rejected: Counter,
    /// Bans.
    pub bans: Counter,
    /// Peers refused because they belong to another chain.
    pub wrong_chain: Counter,
    /// Dials.
    pub dials: Counter,
    /// Dials that failed.
    pub dial_failures: Counter,
    /// Sync requests made by this node.
    pub requests: Counter,
    /// Sync requests of this node that failed.
    pub request_failures: Counter,
    /// Sync requests of peers above their rate.
    pub requests_refused: Counter,
    /// Commands of the node dropped because the network task was busy.
    pub commands_dropped: Counter,
}

impl NetworkMetrics {
    /// Registers the counters. Their names begin with `network_`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("network");
        registry.register("peers", "Peers connected and identified", self.peers.clone());
        let counters = [
            ("messages_received", "Gossip messages received for the first time", &self.messages_received),
            ("messages_published", "Gossip messages published by this node", &self.messages_published),
            ("publish_failures", "Publications that reached no peer", &self.publish_failures),
            (
                "transactions_dropped",
                "Transaction batches dropped because the node was busy",
                &self.transactions_dropped,
            ),
            (
                "messages_dropped",
                "Consensus, peg and sync messages dropped because the node or the peer was busy",
                &self.messages_dropped,
            ),
            ("malformed", "Messages that could not be decoded", &self.malformed),
            ("rejected", "Messages that the node judged invalid", &self.rejected),
            ("bans", "Peers banned", &self.bans),
            ("wrong_chain", "Peers refused because they belong to another chain", &self.wrong_chain),
            ("dials", "Dials", &self.dials),
            ("dial_failures", "Dials that failed", &self.dial_failures),
            ("requests", "Sync requests made", &self.requests),
            ("request_failures", "Sync requests that failed", &self.request_failures),
            ("requests_refused", "Sync requests of peers above their rate", &self.requests_refused),
            ("commands_dropped", "Commands dropped because the network task was busy", &self.commands_dropped),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
    }
}
