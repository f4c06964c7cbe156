//! The parent's answers to a sender of transactions: the sender ends, and never offers more than its limit.

use std::future::Future as _;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use causeway_parent::{Included, SubmitError, Submitter, SubmitterConfig};
use serde_json::{Value, json};

use crate::Target;
use crate::parent_wire::{ScriptedParent, offered, offered_bytes, ordinary};

/// See the module. For each answer one byte that chooses its change, and the bytes of that change.
pub const TARGET: Target = Target { name: "submitter_answers", check, seeds, max_bytes: 1024 };

const CHAIN_ID: u64 = 31_337;
const MAX_FEE: u128 = 300_000_000_000;

static SIGNER: LazyLock<PrivateKeySigner> =
    LazyLock::new(|| PrivateKeySigner::from_bytes(&B256::repeat_byte(0x11)).expect("a legal secret"));

/// See the module.
pub fn check(bytes: &[u8]) {
    if let Some(Err(error)) = submit(bytes) {
        let text = error.to_string();
        assert!(!text.is_empty() && text.len() < 4_096, "{} bytes of an error", text.len());
    }
}

/// The result of a transaction; `None` when the endpoint stopped answering.
fn submit(script: &[u8]) -> Option<Result<Included, SubmitError>> {
    let parent = ScriptedParent::new(script, honest);
    let mut config = SubmitterConfig::new("http://parent-0".to_owned(), CHAIN_ID);
    config.max_fee_per_gas = MAX_FEE;
    config.max_response_bytes = 64 * 1024;
    let sending = async {
        let submitter = Submitter::connect(config, SIGNER.clone(), parent.clone()).await?;
        submitter.send(TxKind::Call(Address::repeat_byte(7)), U256::from(5), Bytes::from_static(b"call")).await
    };
    let outcome = match pin!(sending).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    };
    let offered: Vec<TxEnvelope> = parent.asked("eth_sendRawTransaction").iter().map(offered).collect();
    for tx in &offered {
        assert!(tx.max_fee_per_gas() <= MAX_FEE, "offers {} wei per gas", tx.max_fee_per_gas());
        assert!(tx.max_priority_fee_per_gas().is_some_and(|tip| tip <= tx.max_fee_per_gas()));
        assert_eq!((tx.chain_id(), tx.value()), (Some(CHAIN_ID), U256::from(5)));
    }
    if let Some(Ok(included)) = &outcome {
        assert!(offered.iter().any(|tx| *tx.tx_hash() == included.hash), "included without being offered");
    }
    outcome
}

fn honest(method: &str, params: &Value) -> Value {
    match method {
        "eth_getTransactionCount" => json!("0x3"),
        "eth_sendRawTransaction" => json!(keccak256(offered_bytes(params))),
        "eth_getTransactionReceipt" => json!({
            "transactionHash": params[0], "blockNumber": "0x6", "blockHash": B256::repeat_byte(2), "status": "0x1",
            "gasUsed": "0x5208", "effectiveGasPrice": "0x3b9aca00", "logs": [],
        }),
        method => ordinary(CHAIN_ID, method).unwrap_or_default(),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![Vec::new()];
    for place in 0..8 {
        seeds.push([vec![0; place], vec![4]].concat());
        seeds.push([vec![0; place], vec![7, 0, 2]].concat());
    }
    for words in ["nonce too low", "replacement transaction underpriced", "already known"] {
        let length = u8::try_from(words.len()).expect("short");
        seeds.push([vec![0, 0, 0, 0, 0, 6, 100, length], words.as_bytes().to_vec()].concat());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_honest_endpoint_includes_the_transaction() {
        let outcome = submit(&[]);
        assert!(matches!(outcome, Some(Ok(_))), "{outcome:?}");
    }
}
