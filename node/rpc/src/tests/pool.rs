//! Sending transactions, and reading the pool.

use alloy_consensus::TxLegacy;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use serde_json::{Value, json};

use super::fixture::*;

#[tokio::test]
async fn a_sent_transaction_waits_is_seen_and_is_included() {
    let f = Fixture::standalone().await;
    let tx = transfer(0, Address::repeat_byte(9), 5);
    assert_eq!(f.ok("eth_sendRawTransaction", json!([raw(&tx)])).await, json!(tx.hash));
    let waiting = f.ok("eth_getTransactionByHash", json!([tx.hash])).await;
    for field in ["blockHash", "blockNumber", "transactionIndex"] {
        assert_eq!(waiting[field], Value::Null);
    }
    assert_eq!(waiting["from"], json!(rich().address()));
    assert_eq!(f.ok("eth_getTransactionReceipt", json!([tx.hash])).await, Value::Null);
    assert_eq!(f.ok("eth_getRawTransactionByHash", json!([tx.hash])).await, raw(&tx));
    f.push_all(std::slice::from_ref(&tx));
    assert_eq!(f.ok("eth_getTransactionReceipt", json!([tx.hash])).await["status"], "0x1");
}

#[tokio::test]
async fn refusals_keep_the_pools_words_under_code_minus_32000() {
    let f = Fixture::standalone().await;
    let to = Address::repeat_byte(9);
    f.push_all(&[transfer(0, to, 1)]);
    f.ok("eth_sendRawTransaction", json!([raw(&transfer(1, to, 1))])).await;
    let poor = sign(&user(1), eip1559(0, TxKind::Call(to), U256::from(1), Bytes::new(), 21_000));
    let mut cheap = eip1559(1, TxKind::Call(to), U256::from(2), Bytes::new(), 21_000);
    cheap.max_fee_per_gas += 1;
    let foreign = TxLegacy {
        chain_id: Some(1),
        nonce: 1,
        gas_price: GWEI,
        gas_limit: 21_000,
        to: TxKind::Call(to),
        ..TxLegacy::default()
    };
    let dear = eip1559(2, TxKind::Call(to), U256::ZERO, Bytes::new(), 16_000_000);
    for (tx, start) in [
        (transfer(1, to, 1), "already known"),
        (transfer(0, to, 2), "nonce too low"),
        (sign(&rich(), cheap), "replacement transaction underpriced"),
        (poor, "insufficient funds for gas * price + value"),
        (sign(&rich(), eip1559(2, TxKind::Call(to), U256::ZERO, Bytes::new(), 20_999)), "intrinsic gas too low"),
        (
            sign(&rich(), eip1559(2, TxKind::Call(to), U256::ZERO, Bytes::new(), 70_000_000)),
            "transaction gas limit too high",
        ),
        (sign(&rich(), foreign), "invalid sender"),
        (sign(&rich(), dear), "tx fee (1.6"),
    ] {
        let (code, message) = f.fails("eth_sendRawTransaction", json!([raw(&tx)])).await;
        assert_eq!(code, -32000);
        assert!(message.starts_with(start), "{message}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_transaction_are_refused() {
    let f = Fixture::standalone().await;
    for (raw, start) in
        [("0x", ""), ("0x03c0", "transaction type not supported"), ("0x7cc0", ""), ("0xffff", ""), ("0x02f8", "rlp: ")]
    {
        let (code, message) = f.fails("eth_sendRawTransaction", json!([raw])).await;
        assert_eq!(code, -32000, "{raw}");
        assert!(message.starts_with(start), "{raw}: {message}");
    }
    let (code, _) = f.fails("eth_sendRawTransaction", json!(["nothex"])).await;
    assert_eq!(code, -32602);
}

#[tokio::test]
async fn the_pool_is_shown_by_sender_and_nonce() {
    let f = Fixture::standalone().await;
    let to = Address::repeat_byte(9);
    assert_eq!(f.ok("txpool_status", json!([])).await, json!({ "pending": "0x0", "queued": "0x0" }));
    assert_eq!(f.ok("txpool_content", json!([])).await, json!({ "pending": {}, "queued": {} }));
    for nonce in [0, 1, 5] {
        f.ok("eth_sendRawTransaction", json!([raw(&transfer(nonce, to, 7))])).await;
    }
    assert_eq!(f.ok("txpool_status", json!([])).await, json!({ "pending": "0x2", "queued": "0x1" }));
    let sender = rich().address().to_checksum(None);
    let content = f.ok("txpool_content", json!([])).await;
    assert_eq!(keys(&content["pending"][&sender]), ["0", "1"]);
    assert_eq!(content["queued"][&sender]["5"]["hash"], json!(transfer(5, to, 7).hash));
    let from = f.ok("txpool_contentFrom", json!([rich().address()])).await;
    assert_eq!(from, json!({ "pending": content["pending"][&sender], "queued": content["queued"][&sender] }));
    let inspect = f.ok("txpool_inspect", json!([])).await;
    assert_eq!(
        inspect["queued"][&sender]["5"],
        json!(format!("{}: 7 wei + 21000 gas × 100000000000 wei", to.to_checksum(None)))
    );
    let nobody = f.ok("txpool_contentFrom", json!([B256::ZERO.0[..20].iter().map(|_| "00").collect::<String>()])).await;
    assert_eq!(nobody, json!({ "pending": {}, "queued": {} }));
}

#[tokio::test]
async fn a_transaction_sent_synchronously_is_answered_with_its_receipt() {
    let f = Fixture::standalone().await;
    let mut waiting_for = f.ctx.pending.subscribe();
    let tx = transfer(0, Address::repeat_byte(9), 5);
    let send = f.ok("eth_sendRawTransactionSync", json!([raw(&tx), "0x7530"]));
    let include = async {
        waiting_for.recv().await.unwrap();
        // A block without the transaction does not end the wait.
        f.push_empty(1);
        f.push_all(std::slice::from_ref(&tx));
    };
    let (receipt, ()) = tokio::join!(send, include);
    assert_eq!(receipt, f.ok("eth_getTransactionReceipt", json!([tx.hash])).await);
    let late = transfer(1, Address::repeat_byte(9), 5);
    let error = f.error("eth_sendRawTransactionSync", json!([raw(&late), 1])).await;
    assert_eq!(error.code(), 4);
    assert_eq!(error.message(), "the transaction was added to the pool but wasn't processed within 1 ms");
    assert_eq!(error.data().unwrap().get(), format!("\"{}\"", late.hash));
    let error = f.fails("eth_sendRawTransactionSync", json!([raw(&late)])).await;
    assert_eq!(error, (-32000, "already known".to_owned()));
}
