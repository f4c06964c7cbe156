//! The three gossip topics and the frames of catch-up: bounded, and with one encoding.

use alloy_primitives::{B256, Bytes};
use causeway_consensus::{Height, Round};
use causeway_execution::{MAX_TRANSACTION_BYTES, RecoveredTx};
use causeway_network::limits::{
    MAX_BATCH_TRANSACTIONS, MAX_SYNC_BLOCKS, MAX_SYNC_REQUEST_BYTES, MAX_SYNC_RESPONSE_BYTES,
};
use causeway_network::{GossipMessage, SyncRequest, SyncResponse, Topic};

use crate::committee::COMMITTEE;
use crate::reader::Reader;
use crate::transaction;
use crate::{Target, answers};

/// See the module. The first byte names the topic or frame.
pub const TARGET: Target = Target { name: "gossip", check, seeds, max_bytes: 4096 };

/// See the module.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let kind = reader.u8() % 5;
    let bytes = reader.rest();
    match kind {
        3 => {
            let Ok(request) = SyncRequest::decode(bytes) else { return };
            assert_eq!(request.encode(), bytes, "one encoding");
            assert!(bytes.len() <= MAX_SYNC_REQUEST_BYTES);
        }
        4 => response(bytes),
        topic => {
            let topic = Topic::ALL[usize::from(topic)];
            let Ok(message) = topic.decode(bytes) else { return };
            assert_eq!(message.topic(), topic);
            assert_eq!(message.encode(), bytes, "one encoding");
            if let GossipMessage::Transactions(batch) = message {
                assert!((1..=MAX_BATCH_TRANSACTIONS).contains(&batch.len()));
                for tx in &batch {
                    assert!(!tx.is_empty() && tx.len() <= MAX_TRANSACTION_BYTES);
                    answers(RecoveredTx::decode_2718_and_recover(tx));
                }
            }
        }
    }
}

fn response(bytes: &[u8]) {
    let Ok(response) = SyncResponse::decode(bytes) else { return };
    assert_eq!(response.encode(), bytes, "one encoding");
    assert!(bytes.len() <= MAX_SYNC_RESPONSE_BYTES);
    let asked = SyncRequest::Blocks { from: 1, max: 2 };
    let answers = response.answers(&asked);
    assert!(!(answers && response.answers(&SyncRequest::Status)), "no answer to both questions");
    if let SyncResponse::Blocks(blocks) = &response {
        assert_eq!(answers, blocks.len() <= 2);
        let SyncResponse::Blocks(fitting) = response.clone().fit() else { panic!("another kind") };
        assert!(fitting.len() <= MAX_SYNC_BLOCKS && blocks.starts_with(&fitting));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let all = &*COMMITTEE;
    let block = &all.blocks[0];
    let certificate = all.certificate(15, Height(3), Round(0), block.hash);
    let batch = transaction::envelopes().into_iter().map(Bytes::from).collect();
    let with = |kind: u8, bytes: Vec<u8>| [vec![kind], bytes].concat();
    let mut seeds = vec![
        with(0, GossipMessage::Transactions(batch).encode()),
        with(3, SyncRequest::Status.encode()),
        with(3, SyncRequest::Blocks { from: 7, max: 64 }.encode()),
        with(4, SyncResponse::Status { head: 7, hash: B256::repeat_byte(4) }.encode()),
        with(4, SyncResponse::Blocks(vec![(block.body.clone(), certificate)]).encode()),
    ];
    seeds.extend(crate::consensus_message::messages().iter().map(|message| with(1, message.encode())));
    seeds.extend(
        (crate::peg_message::TARGET.seeds)()
            .into_iter()
            .filter(|seed| seed[0] == 0)
            .map(|seed| with(2, seed[1..].to_vec())),
    );
    seeds
}
