//! Peers that are of another chain, send invalid bytes, or do not speak the protocol.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::{CHAIN, Node, config, gossip, node, within};
use alloy_primitives::B256;
use causeway_network::{GossipMessage, Multiaddr, NetworkEvent, PeerId, SyncRequest, Verdict};
use futures::prelude::*;
use libp2p::identity::Keypair;
use libp2p::request_response::{self, Codec, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{StreamProtocol, Swarm, SwarmBuilder, gossipsub, identify, noise, ping, tcp, yamux};

/// Reads and writes frames of any length.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        protocol: &StreamProtocol,
        io: &mut T,
    ) -> std::io::Result<Vec<u8>> {
        self.read_request(protocol, io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> std::io::Result<()> {
        io.write_all(&bytes).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        protocol: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> std::io::Result<()> {
        self.write_request(protocol, io, bytes).await
    }
}

#[derive(NetworkBehaviour)]
struct Attacker {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    gossip: gossipsub::Behaviour,
    direct: request_response::Behaviour<Raw>,
    sync: request_response::Behaviour<Raw>,
}

fn name(chain: &B256, protocol: &str) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/causeway/{}/{protocol}/1", hex::encode(chain))).unwrap()
}

fn topic(topic: &str) -> gossipsub::IdentTopic {
    gossipsub::IdentTopic::new(format!("causeway/1/{}/{topic}", hex::encode(CHAIN)))
}

/// Speaks every protocol of the chain, with frames of any content.
fn attacker() -> Swarm<Attacker> {
    let behaviour = |key: &Keypair| {
        let version = format!("causeway/1/{}", hex::encode(CHAIN));
        let gossip = gossipsub::ConfigBuilder::default()
            .protocol_id_prefix(format!("/causeway/{}/meshsub", hex::encode(CHAIN)))
            .max_transmit_size(4 << 20)
            .heartbeat_interval(Duration::from_millis(100))
            .build()
            .unwrap();
        let streams = |protocol| {
            request_response::Behaviour::new(
                [(name(&CHAIN, protocol), ProtocolSupport::Full)],
                request_response::Config::default(),
            )
        };
        let mut gossip =
            gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Signed(key.clone()), gossip).unwrap();
        for name in ["transactions", "consensus", "peg"] {
            gossip.subscribe(&topic(name)).unwrap();
        }
        Attacker {
            identify: identify::Behaviour::new(identify::Config::new(version, key.public())),
            ping: ping::Behaviour::default(),
            gossip,
            direct: streams("direct"),
            sync: streams("sync"),
        }
    };
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3_600)))
        .build()
}

/// An attacker that the victim accepts as a peer.
async fn attack(victim: &Node) -> (Swarm<Attacker>, PeerId) {
    let mut swarm = attacker();
    let tcp = victim.handle.listen_addrs().into_iter().find(|address| address.to_string().contains("/tcp/")).unwrap();
    swarm.dial(tcp).unwrap();
    let mut peers = victim.handle.watch_peers();
    let local = *swarm.local_peer_id();
    let mut heard = 0;
    within("the attacker to be a peer", async {
        let known = peers.wait_for(|peers| peers.iter().any(|peer| peer.id == local));
        tokio::pin!(known);
        let mut is_known = false;
        while !is_known || heard < 3 {
            tokio::select! {
                result = &mut known, if !is_known => {
                    drop(result.unwrap());
                    is_known = true;
                }
                event = swarm.select_next_some() => {
                    if let SwarmEvent::Behaviour(AttackerEvent::Gossip(gossipsub::Event::Subscribed { .. })) = event {
                        heard += 1;
                    }
                }
            }
        }
    })
    .await;
    (swarm, local)
}

/// Runs the attacker in the background.
fn release(mut swarm: Swarm<Attacker>) {
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
}

async fn wait_for_ban(victim: &mut Node, attacker: PeerId) -> String {
    victim
        .next("a ban", |event| match event {
            NetworkEvent::PeerRefused { id, reason } => {
                assert_eq!(id, attacker);
                Some(reason)
            }
            NetworkEvent::Message { from, .. } => panic!("garbage of {from} was delivered"),
            _ => None,
        })
        .await
}

/// Checks that the victim still serves an honest peer.
async fn assert_alive(victim: &mut Node, seed: u8) {
    let honest = node(config(seed, &victim.handle.listen_addrs())).await;
    honest.wait_for_peers(1).await;
    let id = honest.handle.local_peer_id();
    let mut peers = victim.handle.watch_peers();
    within("the honest peer", peers.wait_for(|peers| peers.iter().any(|peer| peer.id == id))).await.unwrap();
    honest.handle.publish(gossip(77));
    let (from, message) = victim.next_message(Some(Verdict::Accept)).await;
    assert_eq!((from, message), (victim.token(id), gossip(77)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_of_another_chain_is_refused() {
    let mut one = node(config(1, &[])).await;
    let mut other = config(2, &one.handle.listen_addrs());
    other.chain = B256::repeat_byte(0xee);
    let mut other = node(other).await;
    // Usually both notice. The faster one may disconnect before the other does.
    let (refused_by_one, refused_by_other) = (refusal(&mut one), refusal(&mut other));
    let (id, reason) = tokio::select! { refusal = refused_by_one => refusal, refusal = refused_by_other => refusal };
    assert!([1, 2].map(|seed| causeway_network::peer_id([seed; 32]).unwrap()).contains(&id));
    assert!(reason.contains(&"ee".repeat(32)) && reason.contains(&"c0".repeat(32)), "{reason}");
    assert!(one.handle.metrics().wrong_chain.get() + other.handle.metrics().wrong_chain.get() >= 1);
    assert!(one.handle.peers().is_empty() && other.handle.peers().is_empty());
    assert_alive(&mut one, 3).await;
}

/// Waits for the next refusal. No peer may arrive before it.
async fn refusal(node: &mut Node) -> (PeerId, String) {
    node.next("a refusal", |event| match event {
        NetworkEvent::PeerRefused { id, reason } => Some((id, reason)),
        other => panic!("unexpected {other:?}"),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_topics_is_not_delivered_and_bans_its_sender() {
    for name in ["transactions", "consensus", "peg"] {
        let mut victim = node(config(1, &[])).await;
        let (mut swarm, attacker) = attack(&victim).await;
        for i in 0..3u8 {
            swarm.behaviour_mut().gossip.publish(topic(name), vec![0xff, 0xff, i]).unwrap();
        }
        release(swarm);
        let reason = wait_for_ban(&mut victim, attacker).await;
        assert!(reason.contains("Malformed"), "{reason}");
        assert_eq!(victim.handle.metrics().malformed.get(), 3);
        assert_alive(&mut victim, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_gossip_is_not_delivered() {
    let mut victim = node(config(1, &[])).await;
    let (mut swarm, _) = attack(&victim).await;
    for (name, bytes) in [("peg", 10_000), ("consensus", 2 << 20), ("transactions", 3 << 20)] {
        swarm.behaviour_mut().gossip.publish(topic(name), vec![1; bytes]).unwrap();
    }
    release(swarm);
    let received = victim.handle.metrics().messages_received.clone();
    // The message of an honest peer arrives. The attacker's were refused for their size.
    assert_alive(&mut victim, 2).await;
    assert!(received.get() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_and_oversized_frames_ban_their_sender() {
    let frames: [(&str, Vec<u8>); 3] =
        [("sync", vec![0xff; 9]), ("sync", vec![0; 1_000_000]), ("direct", vec![0xff; 3 << 20])];
    for (protocol, frame) in frames {
        let mut victim = node(config(1, &[])).await;
        let (mut swarm, attacker) = attack(&victim).await;
        let target = victim.handle.local_peer_id();
        for _ in 0..3 {
            let behaviour = swarm.behaviour_mut();
            let streams = if protocol == "sync" { &mut behaviour.sync } else { &mut behaviour.direct };
            streams.send_request(&target, frame.clone());
        }
        release(swarm);
        let reason = wait_for_ban(&mut victim, attacker).await;
        assert!(reason.contains("Malformed"), "{reason}");
        assert_alive(&mut victim, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_and_oversized_answers_fail_and_are_penalised() {
    for (answer, what) in [(vec![0xee; 100], "malformed"), (vec![1; 9 << 20], "exceeds")] {
        let mut victim = node(config(1, &[])).await;
        let (mut swarm, attacker) = attack(&victim).await;
        let request_id = victim.handle.request(victim.token(attacker), SyncRequest::Status);
        tokio::spawn(async move {
            loop {
                let event = swarm.select_next_some().await;
                if let SwarmEvent::Behaviour(AttackerEvent::Sync(request_response::Event::Message {
                    message: request_response::Message::Request { channel, .. },
                    ..
                })) = event
                {
                    swarm.behaviour_mut().sync.send_response(channel, answer.clone()).unwrap();
                }
            }
        });
        let error = victim
            .next("a response", |event| match event {
                NetworkEvent::Response { request_id: id, result, .. } => {
                    assert_eq!(id, request_id);
                    Some(result.unwrap_err())
                }
                _ => None,
            })
            .await;
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(victim.handle.metrics().malformed.get(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banned_peer_returns_when_its_ban_is_over() {
    let mut victim = config(1, &[]);
    victim.limits.ban = Duration::from_millis(300);
    let mut victim = node(victim).await;
    let other = node(config(2, &victim.handle.listen_addrs())).await;
    victim.wait_for_peers(1).await;
    let id = other.handle.local_peer_id();
    victim.handle.penalize(victim.token(id), causeway_network::PenaltyReason::Malicious);
    wait_for_ban(&mut victim, id).await;
    victim
        .next("the return", |event| match event {
            NetworkEvent::PeerConnected { info, .. } => (info.id == id).then_some(()),
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_handshake_do_no_harm() {
    let mut victim = node(config(1, &[])).await;
    let port = tcp_port(&victim);
    let mut silent = Vec::new();
    // Output of a xorshift resembles no protocol.
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for length in [0usize, 1, 19, 20, 64, 1_000, 100_000] {
        for _ in 0..4 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_le_bytes()[0]
                })
                .collect();
            // The node may disconnect in the middle.
            let written = stream.write_all(&bytes);
            if written.is_ok() && length % 2 == 0 {
                stream.shutdown(Shutdown::Write).ok();
            }
            silent.push(stream);
        }
    }
    // A valid beginning, and then nothing.
    let mut half = TcpStream::connect(("127.0.0.1", port)).unwrap();
    half.write_all(b"\x13/multistream/1.0.0\n\x07/noise\n").unwrap();
    silent.push(half);
    assert_alive(&mut victim, 2).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_does_not_listen_loses_messages_but_no_arrivals() {
    let mut busy = node(config(1, &[])).await;
    let peer = node(config(2, &busy.handle.listen_addrs())).await;
    busy.wait_for_peers(1).await;
    peer.wait_for_peers(1).await;
    // More messages than the queues hold, while the node takes none.
    let dropped = busy.handle.metrics().messages_dropped.clone();
    let flood = async {
        let mut height = 0;
        while dropped.get() == 0 {
            for _ in 0..64 {
                height += 1;
                peer.handle.publish(gossip(height));
            }
            tokio::task::yield_now().await;
        }
    };
    within("a dropped message", flood).await;
    let late = node(config(3, &busy.handle.listen_addrs())).await;
    busy.wait_for_peers(2).await;
    // Arrivals come before the waiting messages. The remaining messages are still in order.
    let id = late.handle.local_peer_id();
    let mut heights = Vec::new();
    busy.next("the arrival", |event| match event {
        NetworkEvent::PeerConnected { info, .. } => (info.id == id).then_some(()),
        NetworkEvent::Message { message: GossipMessage::Consensus(message), .. } => {
            heights.push(message.height().0);
            None
        }
        _ => None,
    })
    .await;
    assert!(heights.len() <= causeway_network::limits::EVENT_CHANNEL + 1);
    assert!(heights.is_sorted());
}

fn tcp_port(node: &Node) -> u16 {
    let find = |address: Multiaddr| {
        address.iter().find_map(|part| match part {
            libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
            _ => None,
        })
    };
    node.handle.listen_addrs().into_iter().find_map(find).unwrap()
}
