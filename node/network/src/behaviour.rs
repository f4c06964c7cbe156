//! The protocols of the swarm and their parameters.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use alloy_primitives::{B256, keccak256};
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::request_response::ProtocolSupport;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{
    PeerId, StreamProtocol, allow_block_list, connection_limits, gossipsub, identify, kad, memory_connection_limits,
    ping, request_response,
};

use crate::codec::{Ack, Bulk, Direct, FrameCodec};
use crate::config::{NetworkConfig, NetworkLimits};
use crate::error::NetworkError;
use crate::limits::{
    BULK_TIMEOUT, DIRECT_TIMEOUT, DUPLICATE_MEMORY, GOSSIP_HISTORY, HEARTBEAT_MS, MAX_BULK_STREAMS, MAX_DIRECT_STREAMS,
    MAX_SYNC_STREAMS,
};
use crate::message::Topic;
use crate::sync::{SyncRequest, SyncResponse};

/// A peer that vanishes without closing is noticed within the sum of both, and then dialled again. Without pings, a healed
/// partition would last until the next retransmission of TCP, which may take most of a minute.
const PING_INTERVAL: Duration = Duration::from_secs(4);
const PING_TIMEOUT: Duration = Duration::from_secs(8);

pub(crate) type Gossip = gossipsub::Behaviour<gossipsub::IdentityTransform, gossipsub::WhitelistSubscriptionFilter>;

/// The names of all protocols except identify and ping contain the chain, so nodes of different chains cannot
/// exchange anything else.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    // The behaviours that refuse connections come first.
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) memory: memory_connection_limits::Behaviour,
    pub(crate) bans: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    pub(crate) gossip: Gossip,
    pub(crate) direct: request_response::Behaviour<FrameCodec<Direct, Ack>>,
    pub(crate) bulk: request_response::Behaviour<FrameCodec<Bulk, Ack>>,
    pub(crate) sync: request_response::Behaviour<FrameCodec<SyncRequest, SyncResponse>>,
}

/// The chain as this node tells it to others by identify. Nodes compare the whole text.
pub(crate) fn protocol_version(chain: &B256) -> String {
    format!("causeway/1/{}", hex::encode(chain))
}

impl Behaviour {
    pub(crate) fn new(config: &NetworkConfig, key: &Keypair) -> Result<Self, NetworkError> {
        let local = key.public().to_peer_id();
        let identify = identify::Config::new(protocol_version(&config.chain), key.public())
            .with_agent_version(config.agent.clone())
            .with_interval(Duration::from_secs(60))
            .with_push_listen_addr_updates(true)
            .with_cache_size(0);
        Ok(Self {
            limits: connection_limits::Behaviour::new(connection_limits(&config.limits)),
            memory: memory_connection_limits::Behaviour::with_max_bytes(config.limits.max_memory_bytes),
            bans: allow_block_list::Behaviour::default(),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT)),
            kad: discovery(local, config)?,
            gossip: gossip(config, key)?,
            direct: streams(&config.chain, "direct", DIRECT_TIMEOUT, MAX_DIRECT_STREAMS)?,
            bulk: streams(&config.chain, "bulk", BULK_TIMEOUT, MAX_BULK_STREAMS)?,
            sync: streams(&config.chain, "sync", config.limits.request_timeout, MAX_SYNC_STREAMS)?,
        })
    }
}

fn protocol(chain: &B256, name: &str) -> Result<StreamProtocol, NetworkError> {
    StreamProtocol::try_from_owned(format!("/causeway/{}/{name}/1", hex::encode(chain)))
        .map_err(|error| NetworkError::Setup(error.to_string()))
}

fn connection_limits(limits: &NetworkLimits) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_established(Some(limits.max_connections))
        .with_max_established_incoming(Some(limits.max_inbound_connections))
        .with_max_pending_incoming(Some(limits.max_pending_connections))
        .with_max_pending_outgoing(Some(limits.max_pending_connections))
        .with_max_established_per_peer(Some(limits.max_connections_per_peer))
}

fn streams<Q: crate::codec::Wire, R: crate::codec::Wire>(
    chain: &B256,
    name: &str,
    timeout: Duration,
    concurrent: usize,
) -> Result<request_response::Behaviour<FrameCodec<Q, R>>, NetworkError> {
    let config =
        request_response::Config::default().with_request_timeout(timeout).with_max_concurrent_streams(concurrent);
    Ok(request_response::Behaviour::new([(protocol(chain, name)?, ProtocolSupport::Full)], config))
}

/// Kademlia is used to find peers only: it stores no records for others.
fn discovery(local: PeerId, network: &NetworkConfig) -> Result<kad::Behaviour<MemoryStore>, NetworkError> {
    let mut config = kad::Config::new(protocol(&network.chain, "kad")?);
    config
        .set_query_timeout(Duration::from_secs(10))
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_periodic_bootstrap_interval(None);
    if !network.discover {
        // Kademlia searches only if its table has peers.
        config.set_kbucket_inserts(kad::BucketInserts::Manual);
    }
    let mut kad = kad::Behaviour::with_config(local, MemoryStore::new(local), config);
    // Validators accept connections, so the node does not wait for others to confirm that it is reachable.
    kad.set_mode(Some(kad::Mode::Server));
    Ok(kad)
}

fn gossip(config: &NetworkConfig, key: &Keypair) -> Result<Gossip, NetworkError> {
    let chain = &config.chain;
    if !HEARTBEAT_MS.contains(&config.heartbeat_ms) {
        return Err(NetworkError::Heartbeat(config.heartbeat_ms));
    }
    let heartbeat = Duration::from_millis(config.heartbeat_ms);
    let history =
        usize::try_from(GOSSIP_HISTORY.as_millis() / u128::from(config.heartbeat_ms)).unwrap_or(usize::MAX).max(5);
    let largest = Topic::ALL.iter().map(|topic| topic.max_frame_bytes()).max().unwrap_or_default();
    let transactions = Topic::Transactions.ident(chain).hash();
    let mut builder = gossipsub::ConfigBuilder::default();
    builder
        .protocol_id_prefix(format!("/causeway/{}/meshsub", hex::encode(chain)))
        .heartbeat_interval(heartbeat)
        .heartbeat_initial_delay(heartbeat.min(Duration::from_millis(200)))
        .validate_messages()
        .validation_mode(gossipsub::ValidationMode::Strict)
        .message_id_fn(move |message| message_id(message, &transactions))
        .mesh_outbound_min(1)
        .mesh_n_low(3)
        .mesh_n(4)
        .mesh_n_high(8)
        .gossip_lazy(3)
        .flood_publish(true)
        .history_length(history)
        .history_gossip(history.min(5))
        .duplicate_cache_time(DUPLICATE_MEMORY)
        .prune_backoff(Duration::from_secs(10))
        .unsubscribe_backoff(Duration::from_secs(2))
        .graft_flood_threshold(Duration::from_secs(2))
        .connection_handler_queue_len(4096)
        .publish_queue_duration(Duration::from_secs(6))
        .forward_queue_duration(Duration::from_secs(3))
        .max_transmit_size(largest);
    for topic in Topic::ALL {
        builder.max_transmit_size_for_topic(topic.max_frame_bytes(), topic.ident(chain).hash());
    }
    let gossip_config = builder.build().map_err(|error| NetworkError::Setup(error.to_string()))?;
    let topics: HashSet<_> = Topic::ALL.iter().map(|topic| topic.ident(chain).hash()).collect();
    let mut gossip = Gossip::new_with_subscription_filter(
        gossipsub::MessageAuthenticity::Signed(key.clone()),
        gossip_config,
        gossipsub::WhitelistSubscriptionFilter(topics),
    )
    .map_err(|error| NetworkError::Setup(error.into()))?;
    let (params, thresholds) = scoring(chain);
    gossip.with_peer_score(params, thresholds).map_err(NetworkError::Setup)?;
    for topic in Topic::ALL {
        gossip.subscribe(&topic.ident(chain)).map_err(|error| NetworkError::Setup(error.to_string()))?;
    }
    Ok(gossip)
}

/// The id of a transaction batch is its content, so a batch that two nodes gossip travels once. The id of a
/// consensus or peg message contains its author, number and content, so a vote that a validator repeats for
/// those who missed it travels again.
fn message_id(message: &gossipsub::Message, transactions: &gossipsub::TopicHash) -> gossipsub::MessageId {
    let mut bytes = Vec::with_capacity(message.data.len() + 128);
    bytes.extend_from_slice(message.topic.as_str().as_bytes());
    if message.topic != *transactions {
        bytes.extend_from_slice(&message.source.map(PeerId::to_bytes).unwrap_or_default());
        bytes.extend_from_slice(&message.sequence_number.unwrap_or_default().to_be_bytes());
    }
    bytes.extend_from_slice(&message.data);
    gossipsub::MessageId::from(keccak256(&bytes).0[..20].to_vec())
}

/// A peer loses score for invalid messages and broken promises. Slowness costs nothing: peers must not cut off
/// an overloaded validator.
fn scoring(chain: &B256) -> (gossipsub::PeerScoreParams, gossipsub::PeerScoreThresholds) {
    let minute = gossipsub::score_parameter_decay(Duration::from_secs(60));
    let topic = gossipsub::TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 600.0,
        first_message_deliveries_weight: 0.05,
        first_message_deliveries_decay: minute,
        first_message_deliveries_cap: 100.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -2.0,
        invalid_message_deliveries_decay: minute,
        ..gossipsub::TopicScoreParams::default()
    };
    let params = gossipsub::PeerScoreParams {
        topics: Topic::ALL.iter().map(|t| (t.ident(chain).hash(), topic.clone())).collect::<HashMap<_, _>>(),
        topic_score_cap: 30.0,
        // The points of `reputation` lower the score too. A ban at 100 points comes before the graylist, so a peer that is
        // shut out is also disconnected, and the ban ends.
        app_specific_weight: 0.25,
        ip_colocation_factor_weight: -1.0,
        ip_colocation_factor_threshold: 16.0,
        ip_colocation_factor_whitelist: [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].into(),
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: minute,
        slow_peer_weight: 0.0,
        decay_interval: Duration::from_secs(1),
        retain_score: Duration::from_secs(600),
        ..gossipsub::PeerScoreParams::default()
    };
    let thresholds = gossipsub::PeerScoreThresholds {
        gossip_threshold: -20.0,
        publish_threshold: -40.0,
        graylist_threshold: -80.0,
        accept_px_threshold: 1_000.0,
        opportunistic_graft_threshold: 1.0,
    };
    (params, thresholds)
}
