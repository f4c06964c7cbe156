//! Events of the protocols, and the commands of the node that concern one peer.

use causeway_consensus::ConsensusMessage;
use libp2p::request_response::{self, InboundFailure, OutboundFailure};
use libp2p::{PeerId, gossipsub, identify, kad, ping};

use crate::behaviour::{BehaviourEvent, protocol_version};
use crate::codec::{Ack, Bulk, Direct, Received};
use crate::event::{MessageRef, NetworkEvent, PeerInfo, PeerToken, RequestId, ResponseToken, Verdict};
use crate::limits::{MAX_ADDRESSES_PER_PEER, MAX_BULK_BYTES, MAX_REQUESTS_IN_FLIGHT};
use crate::message::GossipMessage;
use crate::peers::is_plausible;
use crate::reputation::PenaltyReason;
use crate::service::{OpenRequest, Service, is_bulk};
use crate::sync::{RequestError, SyncRequest, SyncResponse};

impl Service {
    pub(crate) fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(gossipsub::Event::Message { propagation_source, message_id, message }) => {
                self.on_gossip(propagation_source, message_id, &message);
            }
            BehaviourEvent::Gossip(gossipsub::Event::SlowPeer { peer_id, failed_messages }) => {
                tracing::debug!(peer = %peer_id, ?failed_messages, "peer is slow");
                self.metrics.messages_dropped.inc();
            }
            BehaviourEvent::Gossip(gossipsub::Event::Subscribed { peer_id, topic }) => {
                if let Some(topic) = self.topics.find(&topic) {
                    let ready = self.peers.subscribe(&peer_id, topic);
                    self.arrive(ready);
                }
            }
            BehaviourEvent::Direct(event) => self.on_direct(event),
            BehaviourEvent::Bulk(event) => self.on_bulk(event),
            BehaviourEvent::Sync(event) => self.on_sync(event),
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identity(peer_id, &info)
            }
            BehaviourEvent::Identify(identify::Event::Error { peer_id, error, .. }) => {
                tracing::debug!(peer = %peer_id, %error, "identification failed");
            }
            BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed { result, .. }) => self.on_search(result),
            BehaviourEvent::Ping(ping::Event { peer, connection, result: Err(error) }) => {
                // A half-open connection. A peer that is alive connects again.
                tracing::debug!(%peer, %error, "ping failed");
                self.swarm.close_connection(connection);
            }
            _ => {}
        }
    }

    /// Refuses nodes of other chains. All others become peers.
    fn on_identity(&mut self, peer: PeerId, info: &identify::Info) {
        let expected = protocol_version(&self.chain);
        if info.protocol_version != expected {
            let theirs: String = info.protocol_version.chars().filter(|c| !c.is_control()).take(100).collect();
            self.metrics.wrong_chain.inc();
            tracing::warn!(%peer, ours = %expected, %theirs, "refused a peer of another chain or protocol");
            self.penalize(
                peer,
                PenaltyReason::WrongChain,
                &format!("its protocol is {theirs}, that of this node is {expected}"),
            );
            return;
        }
        let Some(known) = self.peers.get(&peer) else { return };
        let connected_over = known.info.address.clone();
        for address in
            info.listen_addrs.iter().filter(|a| is_plausible(a, &connected_over)).take(MAX_ADDRESSES_PER_PEER)
        {
            self.learn(peer, address.clone());
            if self.discover {
                self.swarm.behaviour_mut().kad.add_address(&peer, without_identity(address.clone()));
            }
        }
        let ready = self.peers.identify(&peer, &info.agent_version);
        self.arrive(ready);
        self.search_soon();
    }

    /// Tells the node of a peer that has become ready.
    fn arrive(&mut self, ready: Option<PeerInfo>) {
        if let Some(info) = ready {
            tracing::debug!(peer = %info.id, address = %info.address, agent = %info.agent, "peer arrived");
            self.outbox.push_lifecycle(NetworkEvent::PeerConnected { peer: info.peer, info });
            self.publish_peers();
        }
    }

    fn on_search(&mut self, result: kad::QueryResult) {
        let found = match result {
            kad::QueryResult::GetClosestPeers(Ok(found)) => found.peers,
            kad::QueryResult::GetClosestPeers(Err(kad::GetClosestPeersError::Timeout { peers, .. })) => peers,
            _ => return,
        };
        let local = *self.swarm.local_peer_id();
        for peer in found.into_iter().filter(|peer| peer.peer_id != local) {
            for address in peer.addrs.into_iter().take(MAX_ADDRESSES_PER_PEER) {
                self.learn(peer.peer_id, address);
            }
        }
    }

    fn learn(&mut self, peer: PeerId, address: libp2p::Multiaddr) {
        if !self.reputation.is_banned(&peer) {
            self.book.add(peer, without_identity(address));
        }
    }

    fn on_gossip(&mut self, source: PeerId, id: gossipsub::MessageId, message: &gossipsub::Message) {
        self.metrics.messages_received.inc();
        let reference = MessageRef { gossip: Some(id), source };
        let Some(topic) = self.topics.find(&message.topic) else {
            self.validate(&reference, Verdict::Reject);
            return;
        };
        match topic.decode(&message.data) {
            Ok(decoded) => self.deliver(source, reference, message.data.len(), decoded),
            Err(error) => {
                self.metrics.malformed.inc();
                self.report(&reference, gossipsub::MessageAcceptance::Reject);
                self.penalize(source, PenaltyReason::Malformed, &error.to_string());
            }
        }
    }

    /// Queues a message for the node, or drops it if the node does not keep up.
    fn deliver(&mut self, source: PeerId, id: MessageRef, bytes: usize, message: GossipMessage) {
        let Some(from) = self.peers.token(&source) else {
            self.report(&id, gossipsub::MessageAcceptance::Ignore);
            return;
        };
        let is_batch = matches!(message, GossipMessage::Transactions(_));
        let event = NetworkEvent::Message { from, id: id.clone(), message };
        let queued = if is_batch {
            self.outbox.push_batch(from, bytes, event)
        } else {
            self.outbox.push_message(from, bytes, event)
        };
        if queued.is_err() {
            let counter = if is_batch { &self.metrics.transactions_dropped } else { &self.metrics.messages_dropped };
            counter.inc();
            self.report(&id, gossipsub::MessageAcceptance::Ignore);
        }
    }

    pub(crate) fn validate(&mut self, message: &MessageRef, verdict: Verdict) {
        let acceptance = match verdict {
            Verdict::Accept => gossipsub::MessageAcceptance::Accept,
            Verdict::Ignore => gossipsub::MessageAcceptance::Ignore,
            Verdict::Reject => gossipsub::MessageAcceptance::Reject,
        };
        self.report(message, acceptance);
        if verdict == Verdict::Reject {
            self.metrics.rejected.inc();
            self.penalize(message.source, PenaltyReason::InvalidMessage, "an invalid message");
        }
    }

    fn report(&mut self, message: &MessageRef, acceptance: gossipsub::MessageAcceptance) {
        if let Some(id) = &message.gossip {
            let gossip = &mut self.swarm.behaviour_mut().gossip;
            if !gossip.report_message_validation_result(id, &message.source, acceptance) {
                tracing::trace!(%id, "the message expired before its verdict");
            }
        }
    }

    pub(crate) fn send(&mut self, peer: PeerToken, message: ConsensusMessage) {
        let Some(id) = self.peers.id(peer) else {
            self.metrics.messages_dropped.inc();
            return;
        };
        let Some(entry) = self.peers.get_mut(&id) else { return };
        let bytes = encoded_bytes(&message);
        let dropped = if bytes > MAX_BULK_BYTES {
            tracing::warn!(bytes, limit = MAX_BULK_BYTES, "message is too large to send");
            true
        } else if is_bulk(bytes) {
            entry.bulk.push(Bulk(message)).is_some()
        } else {
            entry.direct.push(Direct(message)).is_some()
        };
        if dropped {
            self.metrics.messages_dropped.inc();
        }
        self.pump(id);
    }

    /// Sends waiting messages to a peer, as many as may be in flight.
    fn pump(&mut self, id: PeerId) {
        let Some(entry) = self.peers.get_mut(&id) else { return };
        while let Some(message) = entry.direct.next() {
            self.swarm.behaviour_mut().direct.send_request(&id, Ok(message));
        }
        while let Some(message) = entry.bulk.next() {
            self.swarm.behaviour_mut().bulk.send_request(&id, Ok(message));
        }
    }

    fn on_direct(&mut self, event: request_response::Event<Received<Direct>, Ack>) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                let Some(Direct(message)) = self.well_formed(peer, request) else { return };
                if self.swarm.behaviour_mut().direct.send_response(channel, Ack).is_err() {
                    tracing::trace!(%peer, "peer did not wait for the acknowledgement");
                }
                self.deliver_direct(peer, message);
            }
            Event::Message { peer, message: Message::Response { .. }, .. } => self.sent(peer, false),
            Event::OutboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a message was lost");
                self.metrics.messages_dropped.inc();
                self.sent(peer, false);
            }
            Event::InboundFailure { peer, error, .. } => Self::on_inbound_failure(peer, &error),
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_bulk(&mut self, event: request_response::Event<Received<Bulk>, Ack>) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                let Some(Bulk(message)) = self.well_formed(peer, request) else { return };
                if self.swarm.behaviour_mut().bulk.send_response(channel, Ack).is_err() {
                    tracing::trace!(%peer, "peer did not wait for the acknowledgement");
                }
                self.deliver_direct(peer, message);
            }
            Event::Message { peer, message: Message::Response { .. }, .. } => self.sent(peer, true),
            Event::OutboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a large message was lost");
                self.metrics.messages_dropped.inc();
                self.sent(peer, true);
            }
            Event::InboundFailure { peer, error, .. } => Self::on_inbound_failure(peer, &error),
            Event::ResponseSent { .. } => {}
        }
    }

    fn deliver_direct(&mut self, peer: PeerId, message: ConsensusMessage) {
        let bytes = encoded_bytes(&message);
        let reference = MessageRef { gossip: None, source: peer };
        self.deliver(peer, reference, bytes, GossipMessage::Consensus(message));
    }

    /// A one-way message arrived or failed, so the next one can be sent.
    fn sent(&mut self, peer: PeerId, bulk: bool) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            if bulk {
                entry.bulk.finished();
            } else {
                entry.direct.finished();
            }
        }
        self.pump(peer);
    }

    /// Bytes that are no request are a fault of the peer.
    fn well_formed<Q>(&mut self, peer: PeerId, request: Received<Q>) -> Option<Q> {
        request
            .map_err(|error| {
                self.metrics.malformed.inc();
                self.penalize(peer, PenaltyReason::Malformed, &error);
            })
            .ok()
    }

    /// A broken stream may be the fault of the network.
    fn on_inbound_failure(peer: PeerId, error: &InboundFailure) {
        tracing::trace!(%peer, %error, "a stream of a peer failed");
    }

    pub(crate) fn request(&mut self, id: RequestId, peer: PeerToken, request: SyncRequest) {
        self.metrics.requests.inc();
        let Some(target) = self.peers.id(peer) else {
            self.answer(id, peer, Err(RequestError::NotConnected));
            return;
        };
        if self.requests.len() >= MAX_REQUESTS_IN_FLIGHT {
            self.answer(id, peer, Err(RequestError::Busy));
            return;
        }
        let outbound = self.swarm.behaviour_mut().sync.send_request(&target, Ok(request.clone()));
        self.requests.insert(outbound, OpenRequest { id, peer, request });
    }

    /// Tells the node the outcome of its request.
    pub(crate) fn answer(
        &mut self,
        request_id: RequestId,
        from: PeerToken,
        result: Result<SyncResponse, RequestError>,
    ) {
        if result.is_err() {
            self.metrics.request_failures.inc();
        }
        self.outbox.push_lifecycle(NetworkEvent::Response { request_id, from, result });
    }

    pub(crate) fn respond(&mut self, token: ResponseToken, response: SyncResponse) {
        if self.swarm.behaviour_mut().sync.send_response(token.channel, response.fit()).is_err() {
            tracing::debug!("the peer did not wait for its answer");
        }
    }

    fn on_sync(&mut self, event: request_response::Event<Received<SyncRequest>, SyncResponse>) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                let Some(request) = self.well_formed(peer, request) else { return };
                let now_ms = self.now_ms();
                let Some(entry) = self.peers.get_mut(&peer) else { return };
                let from = entry.info.peer;
                if !entry.budget.take(now_ms) {
                    self.metrics.requests_refused.inc();
                    self.penalize(peer, PenaltyReason::Spam, "too many sync requests");
                    return;
                }
                let channel = ResponseToken { channel };
                // Dropping the channel refuses a request for which there is no room.
                if self.outbox.push_request(NetworkEvent::Request { from, channel, request }).is_err() {
                    self.metrics.messages_dropped.inc();
                }
            }
            Event::Message { peer, message: Message::Response { request_id, response }, .. } => {
                let Some(open) = self.requests.remove(&request_id) else { return };
                let result = if response.answers(&open.request) {
                    Ok(response)
                } else {
                    self.penalize(peer, PenaltyReason::BadResponse, "an answer to another question");
                    Err(RequestError::Malformed("an answer to another question".into()))
                };
                self.answer(open.id, open.peer, result);
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                let Some(open) = self.requests.remove(&request_id) else { return };
                let error = self.request_error(peer, error);
                self.answer(open.id, open.peer, Err(error));
            }
            Event::InboundFailure { peer, error, .. } => Self::on_inbound_failure(peer, &error),
            Event::ResponseSent { .. } => {}
        }
    }

    fn request_error(&mut self, peer: PeerId, error: OutboundFailure) -> RequestError {
        match error {
            OutboundFailure::Timeout => {
                self.penalize(peer, PenaltyReason::Slow, "no answer to a sync request");
                RequestError::Timeout
            }
            OutboundFailure::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
                self.metrics.malformed.inc();
                self.penalize(peer, PenaltyReason::Malformed, &io.to_string());
                RequestError::Malformed(io.to_string())
            }
            OutboundFailure::DialFailure | OutboundFailure::ConnectionClosed => RequestError::NotConnected,
            OutboundFailure::UnsupportedProtocols | OutboundFailure::Io(_) => RequestError::Refused,
        }
    }
}

fn without_identity(mut address: libp2p::Multiaddr) -> libp2p::Multiaddr {
    if matches!(address.iter().last(), Some(libp2p::multiaddr::Protocol::P2p(_))) {
        address.pop();
    }
    address
}

fn encoded_bytes(message: &ConsensusMessage) -> usize {
    borsh::object_length(message).unwrap_or(usize::MAX)
}
