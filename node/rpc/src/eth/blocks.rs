//! Blocks, transactions and receipts of the chain, and transactions of the pool.

use alloy_consensus::Header;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, U64, U256};
use alloy_rpc_types_eth::Header as RpcHeader;
use causeway_execution::Block;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde::Serialize;
use serde_json::Value;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::eth::convert::{self, Place, RpcBlock, RpcReceipt, RpcTransaction};
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "eth_blockNumber", Cost::Memory, 0, |api, _| Ok(U64::from(api.head_number())))?;
    method(module, "eth_getBlockByHash", Cost::Read, 2, block_by_hash)?;
    method(module, "eth_getBlockByNumber", Cost::Read, 2, block_by_number)?;
    method(module, "eth_getHeaderByHash", Cost::Read, 1, header_by_hash)?;
    method(module, "eth_getHeaderByNumber", Cost::Read, 1, header_by_number)?;
    method(module, "eth_getBlockReceipts", Cost::Read, 1, block_receipts)?;
    method(module, "eth_getBlockTransactionCountByHash", Cost::Read, 1, transaction_count_by_hash)?;
    method(module, "eth_getBlockTransactionCountByNumber", Cost::Read, 1, transaction_count_by_number)?;
    method(module, "eth_getTransactionByHash", Cost::Read, 1, transaction_by_hash)?;
    method(module, "eth_getTransactionByBlockHashAndIndex", Cost::Read, 2, transaction_by_block_hash_and_index)?;
    method(module, "eth_getTransactionByBlockNumberAndIndex", Cost::Read, 2, transaction_by_block_number_and_index)?;
    method(module, "eth_getTransactionReceipt", Cost::Read, 1, transaction_receipt)?;
    method(module, "eth_getUncleCountByBlockHash", Cost::Read, 1, |api, call| {
        Ok(api.number_of_hash(call.args.required(0)?)?.map(|_| U64::ZERO))
    })?;
    method(module, "eth_getUncleCountByBlockNumber", Cost::Read, 1, |api, call| {
        Ok(api.number_of_tag(call.args.required(0)?)?.map(|_| U64::ZERO))
    })?;
    // No block has uncles.
    method(module, "eth_getUncleByBlockHashAndIndex", Cost::Memory, 2, |_, call| {
        let _: (B256, U64) = (call.args.required(0)?, call.args.required(1)?);
        Ok(Value::Null)
    })?;
    method(module, "eth_getUncleByBlockNumberAndIndex", Cost::Memory, 2, |_, call| {
        let _: (BlockNumberOrTag, U64) = (call.args.required(0)?, call.args.required(1)?);
        Ok(Value::Null)
    })
}

/// A decided block, or the pending block with its nulls.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Decided(Box<RpcBlock>),
    Pending(Value),
}

fn block_by_hash(api: &Api, call: &Call<'_>) -> Result<Option<Answer>, Fault> {
    let full = call.args.optional(1)?.unwrap_or(false);
    let number = api.number_of_hash(call.args.required(0)?)?;
    number.map(|number| decided_block(api, number, full)).transpose()
}

fn block_by_number(api: &Api, call: &Call<'_>) -> Result<Option<Answer>, Fault> {
    let tag: BlockNumberOrTag = call.args.required(0)?;
    let full = call.args.optional(1)?.unwrap_or(false);
    if tag.is_pending() {
        let pending = convert::block(&next_block(api)?, B256::ZERO, &[], api.chain_id(), full);
        return Ok(Some(Answer::Pending(with_undecided_nulls(pending)?)));
    }
    api.number_of_tag(tag)?.map(|number| decided_block(api, number, full)).transpose()
}

fn decided_block(api: &Api, number: u64, full: bool) -> Result<Answer, Fault> {
    let stored = api.existing_block(number)?;
    let senders = if full { api.existing_senders(number)? } else { Vec::new() };
    Ok(Answer::Decided(Box::new(convert::block(&stored.block, stored.hash, &senders, api.chain_id(), full))))
}

/// The pending block: an empty block after the head.
fn next_block(api: &Api) -> Result<Block, Fault> {
    let (previous, previous_hash) = api.head();
    let rules = api.ctx.executor.next_rules(&previous)?;
    let header = Header {
        parent_hash: previous_hash,
        number: previous.number.saturating_add(1),
        gas_limit: rules.block.gas_limit,
        gas_used: 0,
        timestamp: previous.timestamp.saturating_add(1),
        base_fee_per_gas: Some(causeway_execution::next_base_fee(&previous, &rules.base_fee)),
        logs_bloom: alloy_primitives::Bloom::ZERO,
        transactions_root: alloy_consensus::EMPTY_ROOT_HASH,
        receipts_root: alloy_consensus::EMPTY_ROOT_HASH,
        ..(*previous).clone()
    };
    Ok(Block { header, transactions: Vec::new(), parent_certificate: None })
}

/// As in geth, the fields that only the proposer decides are null.
fn with_undecided_nulls(block_or_header: impl Serialize) -> Result<Value, Fault> {
    let mut value = serde_json::to_value(block_or_header).map_err(|error| Fault::internal("encoding", error))?;
    for undecided in ["hash", "nonce", "miner"] {
        value[undecided] = Value::Null;
    }
    Ok(value)
}

fn header_by_hash(api: &Api, call: &Call<'_>) -> Result<Option<RpcHeader>, Fault> {
    api.number_of_hash(call.args.required(0)?)?.map(|number| header(api, number)).transpose()
}

/// A decided header, or that of the pending block with its nulls.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum HeaderAnswer {
    Decided(Box<RpcHeader>),
    Pending(Value),
}

fn header_by_number(api: &Api, call: &Call<'_>) -> Result<Option<HeaderAnswer>, Fault> {
    let tag: BlockNumberOrTag = call.args.required(0)?;
    if tag.is_pending() {
        let pending = with_undecided_nulls(convert::header(&next_block(api)?.header, B256::ZERO))?;
        return Ok(Some(HeaderAnswer::Pending(pending)));
    }
    let Some(number) = api.number_of_tag(tag)? else { return Ok(None) };
    Ok(Some(HeaderAnswer::Decided(Box::new(header(api, number)?))))
}

fn header(api: &Api, number: u64) -> Result<RpcHeader, Fault> {
    Ok(convert::header(&*api.existing_header(number)?, api.existing_hash(number)?))
}

fn block_receipts(api: &Api, call: &Call<'_>) -> Result<Option<Vec<RpcReceipt>>, Fault> {
    let id: BlockId = call.args.required(0)?;
    if id.is_pending() {
        return Ok(Some(Vec::new()));
    }
    let Some(number) = api.number_of(id)? else { return Ok(None) };
    let stored = api.existing_block(number)?;
    let senders = api.existing_senders(number)?;
    Ok(Some(convert::receipts(&stored.block, stored.hash, &senders, &api.existing_receipts(number)?)))
}

fn transaction_count_by_hash(api: &Api, call: &Call<'_>) -> Result<Option<U64>, Fault> {
    api.number_of_hash(call.args.required(0)?)?.map(|number| transaction_count(api, number)).transpose()
}

fn transaction_count_by_number(api: &Api, call: &Call<'_>) -> Result<Option<U64>, Fault> {
    let tag: BlockNumberOrTag = call.args.required(0)?;
    if tag.is_pending() {
        return Ok(Some(U64::ZERO));
    }
    api.number_of_tag(tag)?.map(|number| transaction_count(api, number)).transpose()
}

fn transaction_count(api: &Api, number: u64) -> Result<U64, Fault> {
    Ok(U64::from(api.existing_block(number)?.block.transactions.len()))
}

fn transaction_by_hash(api: &Api, call: &Call<'_>) -> Result<Option<RpcTransaction>, Fault> {
    let hash: B256 = call.args.required(0)?;
    if let Some((number, index)) = api.locate(hash)? {
        return transaction_at(api, number, index);
    }
    let waiting = api.ctx.pool.lock().get(&hash);
    Ok(waiting.map(|tx| convert::pending_transaction(&tx)))
}

fn transaction_by_block_hash_and_index(api: &Api, call: &Call<'_>) -> Result<Option<RpcTransaction>, Fault> {
    let number = api.number_of_hash(call.args.required(0)?)?;
    transaction_in(api, number, call.args.required(1)?)
}

fn transaction_by_block_number_and_index(api: &Api, call: &Call<'_>) -> Result<Option<RpcTransaction>, Fault> {
    let tag: BlockNumberOrTag = call.args.required(0)?;
    // The contents of the next block are not known.
    let number = if tag.is_pending() { None } else { api.number_of_tag(tag)? };
    transaction_in(api, number, call.args.required(1)?)
}

fn transaction_in(api: &Api, number: Option<u64>, index: U256) -> Result<Option<RpcTransaction>, Fault> {
    match (number, usize::try_from(index)) {
        (Some(number), Ok(index)) => transaction_at(api, number, index),
        _ => Ok(None),
    }
}

fn transaction_at(api: &Api, number: u64, index: usize) -> Result<Option<RpcTransaction>, Fault> {
    let stored = api.existing_block(number)?;
    let place = Place::of(&stored.block.header, stored.hash);
    let Some(tx) = stored.block.transactions.get(index) else { return Ok(None) };
    let sender = *api
        .existing_senders(number)?
        .get(index)
        .ok_or_else(|| Fault::internal("storage", format_args!("block {number} has no sender {index}")))?;
    let position = u64::try_from(index).map_err(|error| Fault::internal("encoding", error))?;
    Ok(Some(convert::transaction(tx, sender, api.chain_id(), place, position)))
}

fn transaction_receipt(api: &Api, call: &Call<'_>) -> Result<Option<RpcReceipt>, Fault> {
    receipt_of(api, call.args.required(0)?)
}

/// The receipt of a transaction; `None` until a block carries the transaction.
///
/// # Errors
/// Faults of storage.
pub(crate) fn receipt_of(api: &Api, hash: B256) -> Result<Option<RpcReceipt>, Fault> {
    let Some((number, index)) = api.locate(hash)? else { return Ok(None) };
    let stored = api.existing_block(number)?;
    let senders = api.existing_senders(number)?;
    Ok(convert::receipt(&stored.block, stored.hash, &senders, &api.existing_receipts(number)?, index))
}
