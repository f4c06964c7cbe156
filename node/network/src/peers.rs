//! The connected peers, and the numbers under which the node knows them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use libp2p::core::ConnectedPoint;
use libp2p::{Multiaddr, PeerId};
use lru::LruCache;

use crate::codec::{Bulk, Direct};
use crate::event::{Direction, PeerInfo, PeerToken};
use crate::lane::Lane;
use crate::limits::{
    MAX_BULK_IN_FLIGHT, MAX_BULK_QUEUED, MAX_DIRECT_IN_FLIGHT, MAX_DIRECT_QUEUED, MAX_REMEMBERED_PEERS,
};
use crate::message::Topic;
use crate::reputation::RequestBudget;

/// Longest kept description of a peer's software, in characters.
const MAX_AGENT_CHARS: usize = 64;

/// A connected peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) info: PeerInfo,
    /// Whether it has proved to be of this chain.
    identified: bool,
    /// The topics that it has joined.
    subscriptions: [bool; Topic::ALL.len()],
    /// Whether the node was told of it.
    announced: bool,
    pub(crate) connected_ms: u64,
    pub(crate) budget: RequestBudget,
    pub(crate) direct: Lane<Direct>,
    pub(crate) bulk: Lane<Bulk>,
}

impl Peer {
    /// Whether the peer is of this chain and receives gossip. The node is told of a peer only then.
    pub(crate) fn is_ready(&self) -> bool {
        self.announced
    }
}

/// Connected peers by identity and by number.
#[derive(Debug)]
pub(crate) struct Peers {
    connected: BTreeMap<PeerId, Peer>,
    by_token: BTreeMap<PeerToken, PeerId>,
    /// The numbers of peers seen before, which they keep.
    tokens: LruCache<PeerId, PeerToken>,
    next_token: PeerToken,
}

impl Peers {
    pub(crate) fn new() -> Self {
        let capacity = NonZeroUsize::new(MAX_REMEMBERED_PEERS).unwrap_or(NonZeroUsize::MIN);
        Self { connected: BTreeMap::new(), by_token: BTreeMap::new(), tokens: LruCache::new(capacity), next_token: 1 }
    }

    /// Records a new connection.
    pub(crate) fn connect(&mut self, id: PeerId, endpoint: &ConnectedPoint, now_ms: u64) {
        if self.connected.contains_key(&id) {
            return;
        }
        let next = &mut self.next_token;
        let peer = *self.tokens.get_or_insert(id, || {
            let token = *next;
            *next = next.saturating_add(1);
            token
        });
        let direction = if endpoint.is_dialer() { Direction::Outbound } else { Direction::Inbound };
        let address = endpoint.get_remote_address().clone();
        self.by_token.insert(peer, id);
        let entry = Peer {
            info: PeerInfo { peer, id, address, agent: String::new(), direction },
            identified: false,
            subscriptions: [false; Topic::ALL.len()],
            announced: false,
            connected_ms: now_ms,
            budget: RequestBudget::new(now_ms),
            direct: Lane::new(MAX_DIRECT_IN_FLIGHT, MAX_DIRECT_QUEUED),
            bulk: Lane::new(MAX_BULK_IN_FLIGHT, MAX_BULK_QUEUED),
        };
        self.connected.insert(id, entry);
    }

    /// Removes a peer after its last connection has closed.
    pub(crate) fn disconnect(&mut self, id: &PeerId) -> Option<Peer> {
        let peer = self.connected.remove(id)?;
        self.by_token.remove(&peer.info.peer);
        Some(peer)
    }

    /// Records that the peer is of this chain. Returns its description if this makes it ready.
    pub(crate) fn identify(&mut self, id: &PeerId, agent: &str) -> Option<PeerInfo> {
        let peer = self.connected.get_mut(id)?;
        peer.info.agent = agent.chars().filter(|c| !c.is_control()).take(MAX_AGENT_CHARS).collect();
        peer.identified = true;
        Self::announce(peer)
    }

    /// Records that the peer has joined a topic. Returns its description if this makes it ready.
    pub(crate) fn subscribe(&mut self, id: &PeerId, topic: Topic) -> Option<PeerInfo> {
        let peer = self.connected.get_mut(id)?;
        for (subscribed, known) in peer.subscriptions.iter_mut().zip(Topic::ALL) {
            *subscribed |= known == topic;
        }
        Self::announce(peer)
    }

    fn announce(peer: &mut Peer) -> Option<PeerInfo> {
        let news = !peer.announced && peer.identified && peer.subscriptions == [true; Topic::ALL.len()];
        peer.announced |= news;
        news.then(|| peer.info.clone())
    }

    pub(crate) fn get(&self, id: &PeerId) -> Option<&Peer> {
        self.connected.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &PeerId) -> Option<&mut Peer> {
        self.connected.get_mut(id)
    }

    pub(crate) fn token(&self, id: &PeerId) -> Option<PeerToken> {
        self.connected.get(id).map(|peer| peer.info.peer)
    }

    pub(crate) fn id(&self, token: PeerToken) -> Option<PeerId> {
        self.by_token.get(&token).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.connected.len()
    }

    /// Peers that connected before `since_ms` and are not ready.
    pub(crate) fn silent(&self, since_ms: u64) -> Vec<PeerId> {
        self.connected
            .iter()
            .filter(|(_, peer)| !peer.is_ready() && peer.connected_ms < since_ms)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The ready peers, by number.
    pub(crate) fn list(&self) -> Arc<[PeerInfo]> {
        self.by_token
            .values()
            .filter_map(|id| self.connected.get(id))
            .filter(|peer| peer.is_ready())
            .map(|peer| peer.info.clone())
            .collect()
    }
}

/// Whether to remember an address that a peer reported. A loopback address means this machine only if the peer is
/// connected over loopback.
pub(crate) fn is_plausible(address: &Multiaddr, connected_over: &Multiaddr) -> bool {
    use libp2p::multiaddr::Protocol;
    let is_loopback = |address: &Multiaddr| {
        address.iter().any(|part| match part {
            Protocol::Ip4(ip) => ip.is_loopback(),
            Protocol::Ip6(ip) => ip.is_loopback(),
            _ => false,
        })
    };
    let is_void = address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_unspecified() || ip.is_multicast(),
        Protocol::Ip6(ip) => ip.is_unspecified() || ip.is_multicast(),
        _ => false,
    });
    !is_void && (!is_loopback(address) || is_loopback(connected_over))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn endpoint() -> ConnectedPoint {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        ConnectedPoint::Listener { local_addr: address.clone(), send_back_addr: address }
    }

    #[test]
    fn peer_keeps_its_number_over_a_reconnection() {
        let mut peers = Peers::new();
        let (one, two) = (PeerId::random(), PeerId::random());
        peers.connect(one, &endpoint(), 0);
        let token = peers.token(&one).unwrap();
        peers.disconnect(&one).unwrap();
        assert_eq!((peers.token(&one), peers.id(token)), (None, None));
        peers.connect(two, &endpoint(), 0);
        peers.connect(one, &endpoint(), 0);
        assert_eq!(peers.token(&one), Some(token));
        assert_ne!(peers.token(&two), Some(token));
    }

    #[test]
    fn peer_is_listed_once_identified_and_subscribed_and_its_agent_is_cut() {
        let mut peers = Peers::new();
        let one = PeerId::random();
        peers.connect(one, &endpoint(), 5);
        assert!(peers.list().is_empty());
        assert_eq!(peers.silent(6), vec![one]);
        assert!(peers.silent(5).is_empty());
        assert_eq!(peers.identify(&one, &"\u{7}agent".repeat(50)), None);
        assert_eq!(peers.subscribe(&one, Topic::Consensus), None);
        assert_eq!(peers.subscribe(&one, Topic::Transactions), None);
        assert_eq!(peers.silent(6), vec![one]);
        let info = peers.subscribe(&one, Topic::Peg).unwrap();
        assert_eq!(info.agent.chars().count(), MAX_AGENT_CHARS);
        assert!(!info.agent.contains('\u{7}'));
        assert_eq!(peers.identify(&one, "again"), None);
        assert_eq!(peers.list().len(), 1);
        assert!(peers.silent(6).is_empty());
    }

    #[test]
    fn loopback_addresses_count_on_loopback_only() {
        let parse = |text: &str| text.parse::<Multiaddr>().unwrap();
        let (local, far) = (parse("/ip4/127.0.0.1/tcp/9"), parse("/ip4/10.1.2.3/tcp/9"));
        assert!(is_plausible(&local, &local));
        assert!(!is_plausible(&local, &far));
        assert!(is_plausible(&far, &far));
        assert!(!is_plausible(&parse("/ip4/0.0.0.0/tcp/9"), &local));
    }
}
