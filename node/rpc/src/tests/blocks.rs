//! Blocks, transactions, receipts and logs have geth's JSON shapes.

use alloy_primitives::{Address, B256, TxKind, U256, hex};
use serde_json::{Value, json};

use super::fixture::*;

const BLOCK_KEYS: [&str; 27] = [
    "baseFeePerGas",
    "blobGasUsed",
    "difficulty",
    "excessBlobGas",
    "extraData",
    "gasLimit",
    "gasUsed",
    "hash",
    "logsBloom",
    "miner",
    "mixHash",
    "nonce",
    "number",
    "parentBeaconBlockRoot",
    "parentHash",
    "receiptsRoot",
    "requestsHash",
    "sha3Uncles",
    "size",
    "stateRoot",
    "timestamp",
    "totalDifficulty",
    "transactions",
    "transactionsRoot",
    "uncles",
    "withdrawals",
    "withdrawalsRoot",
];

#[tokio::test]
async fn a_block_has_gefs_fields_with_hashes_or_whole_transactions() {
    let f = Fixture::standalone().await;
    let executed = f.push_all(&[transfer(0, Address::repeat_byte(9), 5), legacy(1, Address::repeat_byte(9), 6)]);
    let by_number = f.ok("eth_getBlockByNumber", json!(["0x1", false])).await;
    assert_eq!(keys(&by_number), BLOCK_KEYS);
    assert_eq!(by_number["number"], "0x1");
    assert_eq!(by_number["hash"], json!(executed.hash));
    assert_eq!(by_number["parentHash"], json!(f.ctx.genesis.hash));
    assert_eq!(by_number["baseFeePerGas"], "0x342770c0");
    assert_eq!(by_number["totalDifficulty"], "0x0");
    assert_eq!(by_number["uncles"], json!([]));
    assert_eq!(by_number["withdrawals"], json!([]));
    assert_eq!(by_number["extraData"], json!(format!("0x{}", hex::encode("test"))));
    assert_eq!(by_number["gasUsed"], "0xa410");
    assert_eq!(by_number["size"], json!(format!("{:#x}", executed.block.size())));
    let hashes: Vec<_> = executed.block.transactions.iter().map(|tx| tx.hash()).collect();
    assert_eq!(by_number["transactions"], json!(hashes));

    let by_hash = f.ok("eth_getBlockByHash", json!([executed.hash, true])).await;
    let full = &by_hash["transactions"];
    assert_eq!(full[0]["hash"], json!(hashes[0]));
    let one = f.ok("eth_getTransactionByHash", json!([hashes[0]])).await;
    assert_eq!(one, full[0]);
    assert_eq!(
        keys(&one),
        [
            "accessList",
            "blockHash",
            "blockNumber",
            "blockTimestamp",
            "chainId",
            "from",
            "gas",
            "gasPrice",
            "hash",
            "input",
            "maxFeePerGas",
            "maxPriorityFeePerGas",
            "nonce",
            "r",
            "s",
            "to",
            "transactionIndex",
            "type",
            "v",
            "value",
            "yParity",
        ]
    );
    assert_eq!(one["type"], "0x2");
    assert_eq!(one["from"], json!(rich().address()));
    assert_eq!(one["blockNumber"], "0x1");
    assert_eq!(one["transactionIndex"], "0x0");
    // Base fee plus tip, after inclusion.
    assert_eq!(one["gasPrice"], json!(format!("{:#x}", 875_000_000 + 2 * GWEI)));
    assert_eq!(full[1]["type"], "0x0");
    assert_eq!(full[1]["chainId"], "0x1092");
    for (method, block) in [
        ("eth_getTransactionByBlockHashAndIndex", json!(executed.hash)),
        ("eth_getTransactionByBlockNumberAndIndex", json!("latest")),
    ] {
        assert_eq!(f.ok(method, json!([block, "0x1"])).await, full[1]);
        assert_eq!(f.ok(method, json!([block, "0x2"])).await, Value::Null);
        assert_eq!(f.ok(method, json!([block, "0xffffffffffffffffffff"])).await, Value::Null);
    }
}

#[tokio::test]
async fn latest_safe_and_finalized_are_one_and_earliest_is_genesis() {
    let f = Fixture::standalone().await;
    for expected in ["0x0", "0x1"] {
        for tag in ["latest", "safe", "finalized"] {
            assert_eq!(f.ok("eth_getBlockByNumber", json!([tag, false])).await["number"], expected);
        }
        assert_eq!(f.ok("eth_getBlockByNumber", json!(["earliest"])).await["hash"], json!(f.ctx.genesis.hash));
        assert_eq!(f.ok("eth_blockNumber", json!([])).await, expected);
        f.push_empty(1);
    }
}

#[tokio::test]
async fn the_pending_block_is_the_heads_child_with_what_is_undecided_null() {
    let f = Fixture::standalone().await;
    f.push_empty(1);
    let pending = f.ok("eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!(keys(&pending), BLOCK_KEYS);
    assert_eq!(pending["number"], "0x2");
    assert_eq!(pending["parentHash"], json!(f.ctx.storage.head_hash()));
    for field in ["hash", "nonce", "miner"] {
        assert_eq!(pending[field], Value::Null);
    }
    assert_eq!(f.ok("eth_getBlockTransactionCountByNumber", json!(["pending"])).await, "0x0");
    assert_eq!(f.ok("eth_getBlockReceipts", json!(["pending"])).await, json!([]));
    assert_eq!(f.ok("eth_getTransactionByBlockNumberAndIndex", json!(["pending", "0x0"])).await, Value::Null);
    let header = f.ok("eth_getHeaderByNumber", json!(["pending"])).await;
    assert_eq!((&header["number"], &header["hash"]), (&json!("0x2"), &Value::Null));
}

#[tokio::test]
async fn unknown_blocks_and_transactions_are_null() {
    let f = Fixture::standalone().await;
    let nowhere = B256::repeat_byte(1);
    for (method, params) in [
        ("eth_getBlockByNumber", json!(["0x9", true])),
        ("eth_getBlockByHash", json!([nowhere, true])),
        ("eth_getHeaderByNumber", json!(["0x9"])),
        ("eth_getHeaderByHash", json!([nowhere])),
        ("eth_getBlockReceipts", json!(["0x9"])),
        ("eth_getBlockReceipts", json!([nowhere])),
        ("eth_getBlockTransactionCountByNumber", json!(["0x9"])),
        ("eth_getBlockTransactionCountByHash", json!([nowhere])),
        ("eth_getTransactionByHash", json!([nowhere])),
        ("eth_getTransactionReceipt", json!([nowhere])),
        ("eth_getTransactionByBlockHashAndIndex", json!([nowhere, "0x0"])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x9", "0x0"])),
        ("eth_getUncleByBlockHashAndIndex", json!([nowhere, "0x0"])),
        ("eth_getUncleByBlockNumberAndIndex", json!(["latest", "0x0"])),
        ("eth_getUncleCountByBlockHash", json!([nowhere])),
        ("eth_getUncleCountByBlockNumber", json!(["0x9"])),
    ] {
        assert_eq!(f.ok(method, params).await, Value::Null, "{method}");
    }
    assert_eq!(f.ok("eth_getUncleCountByBlockNumber", json!(["latest"])).await, "0x0");
    assert_eq!(f.ok("eth_getUncleCountByBlockHash", json!([f.ctx.genesis.hash])).await, "0x0");
}

#[tokio::test]
async fn a_receipt_has_every_field_and_log_indices_run_through_the_block() {
    let f = Fixture::standalone().await;
    let executed = f.push_all(&[
        invoke(0, LOGGER, word(1)),
        invoke(1, REVERTER, word(2)),
        invoke(2, LOGGER, word(3)),
        sign(&rich(), eip1559(3, TxKind::Create, U256::ZERO, hex!("5f5ff3"), 100_000)),
    ]);
    let all = f.ok("eth_getBlockReceipts", json!(["latest"])).await;
    assert_eq!(
        all,
        f.ok("eth_getBlockReceipts", json!([{ "blockHash": executed.hash, "requireCanonical": true }])).await
    );
    let receipts = all.as_array().unwrap();
    assert_eq!(receipts.len(), 4);
    let mut cumulative = 0;
    for (index, (receipt, tx)) in receipts.iter().zip(&executed.block.transactions).enumerate() {
        assert_eq!(f.ok("eth_getTransactionReceipt", json!([tx.hash()])).await, *receipt);
        assert_eq!(
            keys(receipt),
            [
                "blockHash",
                "blockNumber",
                "contractAddress",
                "cumulativeGasUsed",
                "effectiveGasPrice",
                "from",
                "gasUsed",
                "logs",
                "logsBloom",
                "status",
                "to",
                "transactionHash",
                "transactionIndex",
                "type",
            ]
        );
        let number =
            |field: &str| u64::from_str_radix(receipt[field].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        cumulative += number("gasUsed");
        assert_eq!(number("cumulativeGasUsed"), cumulative);
        assert_eq!(number("transactionIndex"), index as u64);
        assert_eq!(receipt["effectiveGasPrice"], json!(format!("{:#x}", 875_000_000 + 2 * GWEI)));
        assert_eq!(receipt["type"], "0x2");
        assert_eq!(receipt["blockHash"], json!(executed.hash));
        assert_eq!(receipt["from"], json!(rich().address()));
    }
    assert_eq!(receipts[0]["status"], "0x1");
    assert_eq!(receipts[1]["status"], "0x0");
    assert_eq!(receipts[1]["logs"], json!([]));
    assert_eq!(receipts[0]["contractAddress"], Value::Null);
    assert_eq!(receipts[3]["to"], Value::Null);
    assert_eq!(receipts[3]["contractAddress"], json!(rich().address().create(3)));
    assert_eq!(
        receipts[2]["logs"],
        json!([{
            "address": LOGGER,
            "topics": [word(3)],
            "data": "0x",
            "blockHash": executed.hash,
            "blockNumber": "0x1",
            "blockTimestamp": format!("{:#x}", GENESIS_TIME + 1),
            "transactionHash": executed.block.transactions[2].hash(),
            "transactionIndex": "0x2",
            "logIndex": "0x1",
            "removed": false,
        }])
    );
    // The same objects as in the result of eth_getLogs.
    let logs = f.ok("eth_getLogs", json!([{ "blockHash": executed.hash }])).await;
    assert_eq!(logs, json!([receipts[0]["logs"][0], receipts[2]["logs"][0]]));
}

#[tokio::test]
async fn headers_match_their_blocks() {
    let f = Fixture::standalone().await;
    f.push_all(&[transfer(0, Address::repeat_byte(9), 5)]);
    let block = f.ok("eth_getBlockByNumber", json!(["0x1", false])).await;
    let header = f.ok("eth_getHeaderByNumber", json!(["0x1"])).await;
    assert_eq!(header, f.ok("eth_getHeaderByHash", json!([block["hash"]])).await);
    for (field, value) in header.as_object().unwrap() {
        assert_eq!(block[field], *value, "{field}");
    }
    for absent in ["transactions", "uncles", "size", "totalDifficulty"] {
        assert!(header.get(absent).is_none());
    }
}

#[tokio::test]
async fn raw_forms_are_the_bytes_that_are_hashed() {
    let f = Fixture::standalone().await;
    let tx = transfer(0, Address::repeat_byte(9), 5);
    let executed = f.push_all(&[tx.clone(), invoke(1, LOGGER, word(1))]);
    let bytes = |value: Value| hex::decode(value.as_str().unwrap()).unwrap();
    let keccak = alloy_primitives::keccak256::<Vec<u8>>;
    assert_eq!(keccak(bytes(f.ok("debug_getRawHeader", json!(["0x1"])).await)), executed.hash);
    assert_eq!(bytes(f.ok("debug_getRawBlock", json!([executed.hash])).await), executed.block.rlp());
    for method in ["debug_getRawTransaction", "eth_getRawTransactionByHash"] {
        assert_eq!(f.ok(method, json!([tx.hash])).await, raw(&tx));
        assert_eq!(f.ok(method, json!([B256::repeat_byte(1)])).await, "0x");
    }
    let receipts = f.ok("debug_getRawReceipts", json!(["latest"])).await;
    assert_eq!(receipts.as_array().unwrap().len(), 2);
    assert_eq!(receipts[0], json!(executed.receipts[0].encoded_2718()));
    assert_eq!(f.fails("debug_getRawBlock", json!(["0x9"])).await, (-32000, "header not found".to_owned()));
}

#[tokio::test]
async fn the_node_describes_itself() {
    let f = Fixture::standalone().await;
    assert_eq!(f.ok("eth_chainId", json!([])).await, "0x1092");
    assert_eq!(f.ok("net_version", json!([])).await, "4242");
    assert_eq!(f.ok("net_listening", json!([])).await, true);
    assert_eq!(f.ok("net_peerCount", json!([])).await, "0x3");
    assert!(f.ok("web3_clientVersion", json!([])).await.as_str().unwrap().starts_with("causeway/v"));
    assert_eq!(f.ok("web3_sha3", json!(["0x"])).await, json!(alloy_primitives::KECCAK256_EMPTY));
    assert_eq!(f.ok("eth_accounts", json!([])).await, json!([]));
    assert_eq!(f.ok("eth_syncing", json!([])).await, false);
    *f.status.syncing.lock() = Some(crate::SyncProgress { starting: 1, current: 2, highest: 30 });
    assert_eq!(
        f.ok("eth_syncing", json!([])).await,
        json!({ "startingBlock": "0x1", "currentBlock": "0x2", "highestBlock": "0x1e" })
    );
}

#[tokio::test]
async fn certificates_prove_finality_with_power_by_validator() {
    let f = Fixture::standalone().await;
    f.push_empty(2);
    let certificate = f.ok("consensus_getCertificate", json!(["0x1"])).await;
    let block = f.ok("eth_getBlockByNumber", json!(["0x1"])).await;
    let child = f.ok("eth_getBlockByNumber", json!(["0x2"])).await;
    assert_eq!(keys(&certificate), ["blockHash", "hash", "height", "round", "signatures", "signedPower", "totalPower"]);
    assert_eq!(certificate["blockHash"], block["hash"]);
    assert_eq!(certificate["hash"], child["parentBeaconBlockRoot"]);
    assert_eq!(certificate["signatures"].as_array().unwrap().len(), 4);
    assert_eq!(certificate["signedPower"], certificate["totalPower"]);
    assert_eq!(f.ok("consensus_getCertificate", json!(["0x0"])).await, Value::Null);
    assert_eq!(f.ok("consensus_getCertificate", json!(["0x9"])).await, Value::Null);
    let status = f.ok("consensus_status", json!([])).await;
    assert_eq!(status["genesisHash"], json!(f.ctx.genesis.hash));
    assert_eq!(status["head"]["number"], "0x2");
    assert_eq!(status["height"], "0x9");
    assert_eq!(status["step"], "prevote");
    assert_eq!(status["validators"].as_array().unwrap().len(), 4);
}
