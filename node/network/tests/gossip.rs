//! Discovery, gossip and one-way messages between honest nodes.

use crate::support::{config, gossip, line, message, network, node, transaction, within};
use alloy_primitives::{B256, Bytes};
use causeway_consensus::{CommitCertificate, ConsensusMessage, DecisionNotice, Height, MAX_BLOCK_BYTES, Round};
use causeway_network::{GossipMessage, NetworkEvent, Verdict};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_one_bootnode_all_find_each_other() {
    let nodes = network(5).await;
    for node in &nodes {
        node.wait_for_peers(4).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_messages_reach_everybody_over_many_hops() {
    let mut nodes = line(5).await;
    nodes[0].handle.publish(gossip(1));
    for node in &mut nodes[1..] {
        assert_eq!(node.next_message(Some(Verdict::Accept)).await.1, gossip(1));
    }
    let last = nodes.len() - 1;
    nodes[last].handle.publish(gossip(2));
    for node in nodes[..last].iter_mut().rev() {
        assert_eq!(node.next_message(Some(Verdict::Accept)).await.1, gossip(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_were_not_accepted_are_not_passed_on() {
    let mut nodes = line(3).await;
    let verdicts = [None, Some(Verdict::Ignore), Some(Verdict::Reject), Some(Verdict::Accept)];
    for (height, verdict) in (1..).zip(verdicts) {
        nodes[0].handle.publish(gossip(height));
        assert_eq!(nodes[1].next_message(verdict).await.1, gossip(height));
    }
    // Only the last one arrives. If another had been forwarded, it would have come first.
    assert_eq!(nodes[2].next_message(Some(Verdict::Accept)).await.1, gossip(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_consensus_message_is_heard_again() {
    let mut nodes = line(2).await;
    for _ in 0..3 {
        nodes[0].handle.publish(gossip(7));
        assert_eq!(nodes[1].next_message(Some(Verdict::Accept)).await.1, gossip(7));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_share_messages_and_none_is_lost() {
    let mut nodes = line(2).await;
    let sent: Vec<Bytes> = (0..200).map(|tag| transaction(tag, 110)).chain([transaction(200, 128 * 1024)]).collect();
    for transaction in &sent {
        nodes[0].handle.publish(GossipMessage::Transactions(vec![transaction.clone()]));
    }
    let mut received = Vec::new();
    let mut messages = 0;
    while received.len() < sent.len() {
        let (_, GossipMessage::Transactions(batch)) = nodes[1].next_message(Some(Verdict::Accept)).await else {
            panic!("not transactions");
        };
        received.extend(batch);
        messages += 1;
    }
    assert_eq!(received, sent);
    assert!(messages < sent.len() / 2, "{messages} messages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_messages_reach_one_peer_whatever_their_size() {
    let mut nodes = network(3).await;
    for node in &nodes {
        node.wait_for_peers(2).await;
    }
    let to = nodes[0].token(nodes[1].handle.local_peer_id());
    let certificate =
        CommitCertificate { height: Height(1), round: Round(0), block_hash: B256::ZERO, signatures: Vec::new() };
    let decision = ConsensusMessage::Decision(DecisionNotice { certificate, body: vec![5; MAX_BLOCK_BYTES].into() });
    nodes[0].handle.send(to, decision.clone());
    for height in 0..100 {
        nodes[0].handle.send(to, message(height));
    }
    let mut received = Vec::new();
    let mut decided = false;
    while received.len() < 100 || !decided {
        let (from, message) = nodes[1].next_message(Some(Verdict::Accept)).await;
        assert_eq!(from, nodes[1].token(nodes[0].handle.local_peer_id()));
        match message {
            GossipMessage::Consensus(ConsensusMessage::PartRequest(request)) => received.push(request.height.0),
            other => {
                assert_eq!(other, GossipMessage::Consensus(decision.clone()));
                decided = true;
            }
        }
    }
    received.sort_unstable();
    assert_eq!(received, (0..100).collect::<Vec<_>>());
    // No other node received it.
    nodes[0].handle.publish(gossip(500));
    assert_eq!(nodes[2].next_message(None).await.1, gossip(500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quic_alone_connects_nodes() {
    let mut first = config(1, &[]);
    first.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()];
    let first = node(first).await;
    let mut second = config(2, &first.handle.listen_addrs());
    second.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()];
    let mut second = node(second).await;
    first.wait_for_peers(1).await;
    second.wait_for_peers(1).await;
    first.handle.publish(gossip(1));
    assert_eq!(second.next_message(None).await.1, gossip(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_node_comes_back_under_its_old_number() {
    let mut one = node(config(1, &[])).await;
    let two = node(config(2, &one.handle.listen_addrs())).await;
    let two_listens = two.handle.listen_addrs();
    one.wait_for_peers(1).await;
    let number = one.token(two.handle.local_peer_id());
    drop(two);
    let left = one.next("a departure", |event| match event {
        NetworkEvent::PeerDisconnected { peer } => Some(peer),
        _ => None,
    });
    assert_eq!(left.await, number);
    // It has no bootnodes. The first node finds it at its old address.
    let mut again = config(2, &[]);
    again.listen = two_listens
        .into_iter()
        .map(|mut address| {
            address.pop();
            address
        })
        .collect();
    let two = within("the old port", async {
        loop {
            // The system may take a moment until the port is free.
            match causeway_network::start(again.clone()).await {
                Ok(started) => return started,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let back = one.next("a return", |event| match event {
        NetworkEvent::PeerConnected { peer, .. } => Some(peer),
        _ => None,
    });
    assert_eq!(back.await, number);
    drop(two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bootnode_that_comes_late_is_found() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address: causeway_network::Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let id = causeway_network::peer_id([9; 32]).unwrap();
    let early = node(config(1, &[format!("{address}/p2p/{id}").parse().unwrap()])).await;
    let failed = early.handle.metrics().dial_failures.clone();
    within("a failed dial", async {
        while failed.get() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut late = config(9, &[]);
    late.listen = vec![address];
    let late = node(late).await;
    early.wait_for_peers(1).await;
    late.wait_for_peers(1).await;
}
