//! `Block::decode`: exactly the bytes a block encodes to, and nothing else.

use alloy_consensus::Header;
use alloy_primitives::{B256, Bloom};
use alloy_rlp::Encodable as _;
use causeway_consensus::{Height, Round};
use causeway_execution::{Block, MAX_BLOCK_BYTES, Transaction};

use crate::committee::COMMITTEE;
use crate::transaction;
use crate::{Target, answers};

/// See the module.
pub const TARGET: Target = Target { name: "block_body", check, seeds, max_bytes: 4096 };

/// See the module.
pub fn check(bytes: &[u8]) {
    let Ok(block) = Block::decode(bytes) else { return };
    assert_eq!(block.encode().as_ref(), bytes, "one encoding");
    assert!(bytes.len() <= MAX_BLOCK_BYTES);
    assert_eq!(block.rlp().len(), block.size());
    let mut header = Vec::new();
    block.header.encode(&mut header);
    assert_eq!(alloy_primitives::keccak256(&header), block.hash());
    for tx in &block.transactions {
        answers(tx.hash());
        assert_ne!(tx.as_ethereum().is_some(), tx.as_system().is_some());
    }
    if let Some(certificate) = &block.parent_certificate {
        answers(certificate.verify(crate::committee::CHAIN, &COMMITTEE.set));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let header = Header {
        number: 2,
        gas_limit: 60_000_000,
        timestamp: 1_700_000_002,
        base_fee_per_gas: Some(1_000_000_000),
        withdrawals_root: Some(B256::repeat_byte(1)),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::repeat_byte(2)),
        requests_hash: Some(B256::repeat_byte(3)),
        logs_bloom: Bloom::repeat_byte(0),
        ..Header::default()
    };
    let certificate = COMMITTEE.certificate(15, Height(1), Round(0), COMMITTEE.blocks[0].hash);
    let mut transactions = vec![Transaction::System(transaction::system())];
    transactions.extend(transaction::signed().into_iter().map(Transaction::Ethereum));
    let empty = Block { header: header.clone(), transactions: Vec::new(), parent_certificate: None };
    let full = Block { header, transactions, parent_certificate: Some(certificate) };
    vec![empty.encode().to_vec(), full.encode().to_vec()]
}
