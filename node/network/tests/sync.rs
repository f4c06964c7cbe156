//! Sync requests and their failures.

use std::time::Duration;

use crate::support::{Node, config, node};
use alloy_primitives::{B256, Bytes};
use causeway_consensus::{CommitCertificate, Height, Round};
use causeway_network::{NetworkEvent, RequestError, ResponseToken, SyncRequest, SyncResponse};

async fn pair() -> (Node, Node) {
    let server = node(config(1, &[])).await;
    let mut client = config(2, &server.handle.listen_addrs());
    client.limits.request_timeout = Duration::from_millis(500);
    let client = node(client).await;
    server.wait_for_peers(1).await;
    client.wait_for_peers(1).await;
    (server, client)
}

async fn asked(server: &mut Node) -> (SyncRequest, ResponseToken) {
    server
        .next("a request", |event| match event {
            NetworkEvent::Request { channel, request, .. } => Some((request, channel)),
            _ => None,
        })
        .await
}

async fn answered(client: &mut Node) -> (u64, Result<SyncResponse, RequestError>) {
    client
        .next("a response", |event| match event {
            NetworkEvent::Response { request_id, result, .. } => Some((request_id, result)),
            _ => None,
        })
        .await
}

fn block(length: usize) -> (Bytes, CommitCertificate) {
    let certificate =
        CommitCertificate { height: Height(3), round: Round(0), block_hash: B256::ZERO, signatures: Vec::new() };
    (vec![1; length].into(), certificate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered() {
    let (mut server, mut client) = pair().await;
    let peer = client.token(server.handle.local_peer_id());
    let id = client.handle.request(peer, SyncRequest::Status);
    let (request, token) = asked(&mut server).await;
    assert_eq!(request, SyncRequest::Status);
    let status = SyncResponse::Status { head: 9, hash: B256::repeat_byte(1) };
    server.handle.respond(token, status.clone());
    assert_eq!(answered(&mut client).await, (id, Ok(status)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_above_the_limit_is_cut_to_whole_blocks() {
    let (mut server, mut client) = pair().await;
    let peer = client.token(server.handle.local_peer_id());
    let id = client.handle.request(peer, SyncRequest::Blocks { from: 3, max: 10 });
    let (_, token) = asked(&mut server).await;
    server.handle.respond(token, SyncResponse::Blocks(vec![block(3 << 20); 4]));
    assert_eq!(answered(&mut client).await, (id, Ok(SyncResponse::Blocks(vec![block(3 << 20); 2]))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_without_an_answer_fails_once() {
    let (mut server, mut client) = pair().await;
    let peer = client.token(server.handle.local_peer_id());
    let held = client.handle.request(peer, SyncRequest::Status);
    let (_, token) = asked(&mut server).await;
    assert_eq!(answered(&mut client).await, (held, Err(RequestError::Timeout)));
    // Too late and harmless.
    server.handle.respond(token, SyncResponse::Status { head: 1, hash: B256::ZERO });

    let refused = client.handle.request(peer, SyncRequest::Status);
    drop(asked(&mut server).await);
    assert_eq!(answered(&mut client).await, (refused, Err(RequestError::Refused)));

    let nobody = client.handle.request(peer + 1_000, SyncRequest::Status);
    assert_eq!(answered(&mut client).await, (nobody, Err(RequestError::NotConnected)));

    let open = client.handle.request(peer, SyncRequest::Status);
    let (_, token) = asked(&mut server).await;
    drop((server, token));
    let (id, result) = answered(&mut client).await;
    assert_eq!(id, open);
    assert!(result.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_to_another_question_is_refused() {
    let (mut server, mut client) = pair().await;
    let peer = client.token(server.handle.local_peer_id());
    for (request, response) in [
        (SyncRequest::Status, SyncResponse::Blocks(Vec::new())),
        (SyncRequest::Blocks { from: 1, max: 1 }, SyncResponse::Blocks(vec![block(1); 2])),
    ] {
        let id = client.handle.request(peer, request);
        let (_, token) = asked(&mut server).await;
        server.handle.respond(token, response);
        let (answered_id, result) = answered(&mut client).await;
        assert_eq!(answered_id, id);
        assert!(matches!(result, Err(RequestError::Malformed(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_that_asks_too_much_is_cut_off() {
    let (mut server, mut client) = pair().await;
    let peer = client.token(server.handle.local_peer_id());
    // Far more than a burst. The excess is refused and counts against the peer, up to a ban.
    let refused = server.handle.metrics().requests_refused.clone();
    let ban = server.next("a ban", |event| match event {
        NetworkEvent::PeerRefused { reason, .. } => Some(reason),
        _ => None,
    });
    let flood = async {
        loop {
            client.handle.request(peer, SyncRequest::Status);
            let (_, result) = answered(&mut client).await;
            if result == Err(RequestError::NotConnected) {
                return;
            }
        }
    };
    let (reason, ()) = tokio::join!(ban, flood);
    assert!(reason.contains("too many sync requests"), "{reason}");
    assert!(refused.get() > 10);
}
