//! Building the swarm and starting its task.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::{mpsc, watch};

use crate::address_book::AddressBook;
use crate::behaviour::Behaviour;
use crate::config::NetworkConfig;
use crate::error::NetworkError;
use crate::event::NetworkEvent;
use crate::handle::NetworkHandle;
use crate::limits::{
    CONNECT_TIMEOUT, EVENT_CHANNEL, MAX_COMMANDS, MAX_STREAMS_PER_CONNECTION, MAX_TRANSACTION_COMMANDS,
};
use crate::service::{Inputs, Service};

/// Deadline for opening the sockets.
const LISTEN_DEADLINE: Duration = Duration::from_secs(10);

/// Time after which a connection without streams is closed. It is long, since peers outside every gossip mesh are
/// still wanted. Another rule disconnects peers that never identify themselves.
const IDLE_CONNECTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The public identity of an ed25519 secret.
///
/// # Errors
/// [`NetworkError::Key`].
pub fn peer_id(key: [u8; 32]) -> Result<PeerId, NetworkError> {
    keypair(key).map(|keypair| keypair.public().to_peer_id())
}

/// Opens the configured sockets and starts the network task on the current tokio runtime. Returns once the node
/// listens; [`NetworkHandle::listen_addrs`] then gives the ports. The task ends when the receiver or all
/// handles are dropped.
///
/// # Errors
/// [`NetworkError`]: the configuration, or a socket that cannot be opened.
pub async fn start(config: NetworkConfig) -> Result<(NetworkHandle, mpsc::Receiver<NetworkEvent>), NetworkError> {
    let key = keypair(config.key)?;
    let local = key.public().to_peer_id();
    let mut book = AddressBook::default();
    let mut bootnodes = Vec::new();
    for bootnode in &config.bootnodes {
        let (peer, address) = split_identity(bootnode).ok_or_else(|| NetworkError::Bootnode(bootnode.clone()))?;
        if peer != local {
            bootnodes.push(peer);
            book.add_bootnode(peer, address);
        }
    }
    let mut swarm = build(&config, key)?;
    for peer in &bootnodes {
        // Strangers cannot take all connections and keep out the chosen peers.
        swarm.behaviour_mut().limits.bypass_peer_id(peer);
    }
    for address in &config.advertise {
        swarm.add_external_address(address.clone());
    }
    let listening = listen(&mut swarm, &config.listen).await?;
    let (commands, commands_in) = mpsc::channel(MAX_COMMANDS);
    let (transactions, transactions_in) = mpsc::channel(MAX_TRANSACTION_COMMANDS);
    let (events, events_out) = mpsc::channel(EVENT_CHANNEL);
    let (peers_tx, peers) = watch::channel(Arc::from([]));
    let (listen_tx, listen) = watch::channel(listening.into());
    let overflow = Arc::new(Mutex::new(Vec::new()));
    let handle = NetworkHandle {
        commands,
        transactions,
        peers,
        listen,
        local,
        next_request: Arc::new(AtomicU64::new(1)),
        overflow: Arc::clone(&overflow),
        metrics: config.metrics.clone(),
    };
    let inputs = Inputs { commands: commands_in, transactions: transactions_in, overflow };
    let service = Service::new(&config, swarm, book, events, peers_tx, listen_tx);
    tokio::spawn(service.run(inputs));
    tracing::info!(peer_id = %local, listen = ?handle.listen_addrs(), "network is up");
    Ok((handle, events_out))
}

fn keypair(mut key: [u8; 32]) -> Result<Keypair, NetworkError> {
    Keypair::ed25519_from_bytes(&mut key).map_err(|error| NetworkError::Key(error.to_string()))
}

fn build(config: &NetworkConfig, key: Keypair) -> Result<Swarm<Behaviour>, NetworkError> {
    let setup = |error: &dyn std::error::Error| NetworkError::Setup(error.to_string());
    let muxer = || {
        let mut muxer = yamux::Config::default();
        muxer.set_max_num_streams(usize::try_from(MAX_STREAMS_PER_CONNECTION).unwrap_or(usize::MAX));
        muxer
    };
    let transports = |key: Keypair| {
        SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, muxer)
            .map(|builder| {
                builder.with_quic_config(|mut quic| {
                    quic.max_concurrent_stream_limit = MAX_STREAMS_PER_CONNECTION;
                    quic.handshake_timeout = CONNECT_TIMEOUT;
                    quic
                })
            })
            .map_err(|error| setup(&error))
    };
    // The stages of the builder have types without names, so a macro holds the last steps.
    macro_rules! finish {
        ($builder:expr) => {
            $builder
                .with_behaviour(|key| Behaviour::new(config, key).map_err(Box::from))
                .map_err(|error| setup(&error))?
                .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(IDLE_CONNECTION))
                .with_connection_timeout(CONNECT_TIMEOUT)
                .build()
        };
    }
    Ok(match transports(key.clone())?.with_dns() {
        Ok(builder) => finish!(builder),
        Err(error) => {
            tracing::warn!(%error, "no DNS configuration: only IP addresses can be dialled");
            finish!(transports(key)?)
        }
    })
}

/// Opens every socket and waits until each has an address.
async fn listen(swarm: &mut Swarm<Behaviour>, addresses: &[Multiaddr]) -> Result<Vec<Multiaddr>, NetworkError> {
    let local = *swarm.local_peer_id();
    let mut waiting = Vec::new();
    for address in addresses {
        let listener = swarm
            .listen_on(address.clone())
            .map_err(|error| NetworkError::Listen { address: address.clone(), reason: in_words(&error) })?;
        waiting.push((listener, address.clone()));
    }
    let mut found = Vec::new();
    let deadline = tokio::time::sleep(LISTEN_DEADLINE);
    tokio::pin!(deadline);
    while let Some((_, first)) = waiting.first() {
        let event = tokio::select! {
            event = swarm.select_next_some() => event,
            () = &mut deadline => {
                return Err(NetworkError::Listen { address: first.clone(), reason: "no answer from the system".into() });
            }
        };
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                waiting.retain(|(listener, _)| *listener != listener_id);
                found.push(address.with(Protocol::P2p(local)));
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                if let Some((_, address)) = waiting.iter().find(|(listener, _)| *listener == listener_id) {
                    let reason = reason.map_or_else(|error| in_words(&error), |()| "closed".into());
                    return Err(NetworkError::Listen { address: address.clone(), reason });
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Splits `/..address../p2p/<peer id>`.
fn split_identity(address: &Multiaddr) -> Option<(PeerId, Multiaddr)> {
    let mut address = address.clone();
    match address.pop()? {
        Protocol::P2p(peer) if !address.is_empty() => Some((peer, address)),
        _ => None,
    }
}

/// An error with its causes: the outer errors of libp2p's transports have no text of their own.
fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    causes.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bootnode_needs_an_address_and_an_identity() {
        let peer = PeerId::random();
        let full: Multiaddr = format!("/ip4/127.0.0.1/tcp/9/p2p/{peer}").parse().unwrap();
        assert_eq!(split_identity(&full), Some((peer, "/ip4/127.0.0.1/tcp/9".parse().unwrap())));
        assert_eq!(split_identity(&"/ip4/127.0.0.1/tcp/9".parse().unwrap()), None);
        assert_eq!(split_identity(&format!("/p2p/{peer}").parse().unwrap()), None);
    }

    #[test]
    fn identity_follows_from_the_secret() {
        assert_eq!(peer_id([7; 32]).unwrap(), peer_id([7; 32]).unwrap());
        assert_ne!(peer_id([7; 32]).unwrap(), peer_id([8; 32]).unwrap());
    }
}
