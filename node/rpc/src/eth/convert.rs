//! Conversion of blocks, transactions, receipts and logs into geth's JSON.
//!
//! A system transaction has type `0x7c` and the fields that every client requires: price 0, a zero signature, and the system
//! address as sender. Clients that refuse unknown types should ask for blocks with transaction hashes only.

use alloy_consensus::Header;
use alloy_consensus::transaction::{Recovered, TransactionInfo};
use alloy_eips::Typed2718;
use alloy_primitives::{Address, B256, Bloom, Bytes, U64, U128, U256};
use alloy_rpc_types_eth::{Header as RpcHeader, Log, Transaction as EthereumTx};
use causeway_execution::{Block, Receipt, RecoveredTx, SYSTEM_TX_TYPE, SystemTx, Transaction};
use causeway_storage::StoredLog;
use serde::Serialize;

/// The sender of system transactions.
pub(crate) use causeway_genesis::addresses::SYSTEM;

/// The result of `eth_getBlockBy*`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RpcBlock {
    #[serde(flatten)]
    header: RpcHeader,
    uncles: [B256; 0],
    transactions: RpcTransactions,
    withdrawals: [B256; 0],
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum RpcTransactions {
    Hashes(Vec<B256>),
    Full(Vec<RpcTransaction>),
}

/// The result of `eth_getTransactionBy*`.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum RpcTransaction {
    Ethereum(Box<EthereumTx>),
    System(Box<RpcSystemTx>),
}

/// A system transaction.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcSystemTx {
    #[serde(rename = "type")]
    ty: U64,
    hash: B256,
    chain_id: U64,
    nonce: U64,
    from: Address,
    to: Address,
    value: U256,
    gas: U64,
    gas_price: U64,
    input: Bytes,
    r: U256,
    s: U256,
    v: U64,
    y_parity: U64,
    block_hash: Option<B256>,
    block_number: Option<U64>,
    transaction_index: Option<U64>,
    block_timestamp: Option<U64>,
}

/// The result of `eth_getTransactionReceipt`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcReceipt {
    #[serde(rename = "type")]
    ty: U64,
    status: U64,
    cumulative_gas_used: U64,
    logs: Vec<Log>,
    logs_bloom: Bloom,
    transaction_hash: B256,
    transaction_index: U64,
    block_hash: B256,
    block_number: U64,
    gas_used: U64,
    effective_gas_price: U128,
    from: Address,
    to: Option<Address>,
    contract_address: Option<Address>,
}

/// The block that an object belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) hash: B256,
    pub(crate) number: u64,
    pub(crate) timestamp: u64,
    pub(crate) base_fee: Option<u64>,
}

impl Place {
    pub(crate) fn of(header: &Header, hash: B256) -> Self {
        Self { hash, number: header.number, timestamp: header.timestamp, base_fee: header.base_fee_per_gas }
    }
}

/// The header without its block, as `newHeads` sends it.
pub(crate) fn header(header: &Header, hash: B256) -> RpcHeader {
    RpcHeader { hash, inner: header.clone(), total_difficulty: None, size: None }
}

/// The block with transaction hashes, or with whole transactions if `full` is set. `senders` are those of all transactions, in
/// order.
pub(crate) fn block(block: &Block, hash: B256, senders: &[Address], chain_id: u64, full: bool) -> RpcBlock {
    let header = RpcHeader {
        hash,
        inner: block.header.clone(),
        // There is no proof of work, but clients that read the field expect a number.
        total_difficulty: Some(U256::ZERO),
        size: Some(U256::from(block.size())),
    };
    let place = Place::of(&block.header, hash);
    let transactions = if full {
        let all = block.transactions.iter().zip(senders).zip(0u64..);
        RpcTransactions::Full(
            all.map(|((tx, sender), index)| transaction(tx, *sender, chain_id, place, index)).collect(),
        )
    } else {
        RpcTransactions::Hashes(block.transactions.iter().map(Transaction::hash).collect())
    };
    RpcBlock { header, uncles: [], transactions, withdrawals: [] }
}

/// The transaction at `index` of the block at `place`.
pub(crate) fn transaction(
    tx: &Transaction,
    sender: Address,
    chain_id: u64,
    place: Place,
    index: u64,
) -> RpcTransaction {
    match tx {
        Transaction::Ethereum(envelope) => {
            let info = TransactionInfo {
                hash: Some(*envelope.tx_hash()),
                index: Some(index),
                block_hash: Some(place.hash),
                block_number: Some(place.number),
                base_fee: place.base_fee,
                block_timestamp: Some(place.timestamp),
            };
            let recovered = Recovered::new_unchecked(envelope.clone(), sender);
            RpcTransaction::Ethereum(Box::new(EthereumTx::from_transaction(recovered, info)))
        }
        Transaction::System(system) => {
            RpcTransaction::System(Box::new(system_transaction(system, tx.hash(), chain_id, place, index)))
        }
    }
}

fn system_transaction(tx: &SystemTx, hash: B256, chain_id: u64, place: Place, index: u64) -> RpcSystemTx {
    RpcSystemTx {
        ty: U64::from(SYSTEM_TX_TYPE),
        hash,
        chain_id: U64::from(chain_id),
        nonce: U64::ZERO,
        from: SYSTEM,
        to: tx.to,
        value: U256::ZERO,
        gas: U64::from(tx.gas_limit),
        gas_price: U64::ZERO,
        input: tx.input.clone(),
        r: U256::ZERO,
        s: U256::ZERO,
        v: U64::ZERO,
        y_parity: U64::ZERO,
        block_hash: Some(place.hash),
        block_number: Some(U64::from(place.number)),
        transaction_index: Some(U64::from(index)),
        block_timestamp: Some(U64::from(place.timestamp)),
    }
}

/// A transaction of the pool. The fields of its block are null.
pub(crate) fn pending_transaction(tx: &RecoveredTx) -> RpcTransaction {
    let recovered = Recovered::new_unchecked(tx.tx.clone(), tx.sender);
    RpcTransaction::Ethereum(Box::new(EthereumTx::from_transaction(recovered, TransactionInfo::default())))
}

/// All receipts of a block. Log indices count through the whole block.
pub(crate) fn receipts(block: &Block, hash: B256, senders: &[Address], receipts: &[Receipt]) -> Vec<RpcReceipt> {
    let place = Place::of(&block.header, hash);
    let mut first_log = 0u64;
    let mut all = Vec::with_capacity(receipts.len());
    for (((tx, sender), receipt), index) in block.transactions.iter().zip(senders).zip(receipts).zip(0u64..) {
        all.push(one_receipt(tx, *sender, receipt, place, index, first_log));
        first_log = first_log.saturating_add(count(&receipt.logs));
    }
    all
}

/// The receipt at `index` of a block.
pub(crate) fn receipt(
    block: &Block,
    hash: B256,
    senders: &[Address],
    all: &[Receipt],
    index: usize,
) -> Option<RpcReceipt> {
    let first_log = all.get(..index)?.iter().fold(0u64, |sum, receipt| sum.saturating_add(count(&receipt.logs)));
    let place = Place::of(&block.header, hash);
    let index_u64 = u64::try_from(index).ok()?;
    Some(one_receipt(
        block.transactions.get(index)?,
        *senders.get(index)?,
        all.get(index)?,
        place,
        index_u64,
        first_log,
    ))
}

fn one_receipt(
    tx: &Transaction,
    from: Address,
    receipt: &Receipt,
    place: Place,
    index: u64,
    first_log: u64,
) -> RpcReceipt {
    let transaction_hash = tx.hash();
    let logs = receipt
        .logs
        .iter()
        .zip(first_log..)
        .map(|(log, log_index)| located(log, place, transaction_hash, index, log_index));
    RpcReceipt {
        ty: U64::from(tx.ty()),
        status: U64::from(receipt.status),
        cumulative_gas_used: U64::from(receipt.cumulative_gas_used),
        logs: logs.collect(),
        logs_bloom: receipt.bloom,
        transaction_hash,
        transaction_index: U64::from(index),
        block_hash: place.hash,
        block_number: U64::from(place.number),
        gas_used: U64::from(receipt.gas_used),
        effective_gas_price: U128::from(receipt.effective_gas_price),
        from,
        to: recipient(tx),
        contract_address: receipt.contract_address,
    }
}

fn recipient(tx: &Transaction) -> Option<Address> {
    match tx {
        Transaction::Ethereum(envelope) => alloy_consensus::Transaction::to(envelope),
        Transaction::System(system) => Some(system.to),
    }
}

/// All logs of a block, in order.
pub(crate) fn logs(block: &Block, hash: B256, receipts: &[Receipt]) -> Vec<Log> {
    let place = Place::of(&block.header, hash);
    let mut log_index = 0u64;
    let mut all = Vec::new();
    for ((tx, receipt), index) in block.transactions.iter().zip(receipts).zip(0u64..) {
        if receipt.logs.is_empty() {
            continue;
        }
        let transaction_hash = tx.hash();
        for log in &receipt.logs {
            all.push(located(log, place, transaction_hash, index, log_index));
            log_index = log_index.saturating_add(1);
        }
    }
    all
}

/// A log found by storage.
pub(crate) fn stored_log(stored: StoredLog) -> Log {
    Log {
        inner: stored.log,
        block_hash: Some(stored.block_hash),
        block_number: Some(stored.block_number),
        block_timestamp: Some(stored.block_timestamp),
        transaction_hash: Some(stored.transaction_hash),
        transaction_index: Some(stored.transaction_index),
        log_index: Some(stored.log_index),
        removed: false,
    }
}

fn located(log: &alloy_primitives::Log, place: Place, transaction_hash: B256, index: u64, log_index: u64) -> Log {
    Log {
        inner: log.clone(),
        block_hash: Some(place.hash),
        block_number: Some(place.number),
        block_timestamp: Some(place.timestamp),
        transaction_hash: Some(transaction_hash),
        transaction_index: Some(index),
        log_index: Some(log_index),
        removed: false,
    }
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}
