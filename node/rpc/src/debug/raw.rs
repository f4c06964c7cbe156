//! `debug_getRaw*`: the encodings of headers, blocks, transactions and receipts that are hashed.

use alloy_eips::BlockId;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "debug_getRawHeader", Cost::Read, 1, |api, call| {
        Ok(Bytes::from(alloy_rlp::encode(&*api.existing_header(height(api, call)?)?)))
    })?;
    method(module, "debug_getRawBlock", Cost::Read, 1, |api, call| {
        Ok(Bytes::from(api.existing_block(height(api, call)?)?.block.rlp()))
    })?;
    method(module, "debug_getRawReceipts", Cost::Read, 1, |api, call| {
        let receipts = api.existing_receipts(height(api, call)?)?;
        Ok(receipts.iter().map(|receipt| receipt.encoded_2718()).collect::<Vec<_>>())
    })?;
    method(module, "debug_getRawTransaction", Cost::Read, 1, raw_transaction)?;
    method(module, "eth_getRawTransactionByHash", Cost::Read, 1, raw_transaction)
}

fn height(api: &Api, call: &Call<'_>) -> Result<u64, Fault> {
    let id: BlockId = call.args.required(0)?;
    api.number_of(id)?.ok_or(Fault::HeaderNotFound)
}

/// As in geth, the result is empty if the transaction is not known.
fn raw_transaction(api: &Api, call: &Call<'_>) -> Result<Bytes, Fault> {
    let hash: B256 = call.args.required(0)?;
    if let Some((number, index)) = api.locate(hash)? {
        let stored = api.existing_block(number)?;
        return Ok(stored.block.transactions.get(index).map(|tx| tx.encoded_2718().into()).unwrap_or_default());
    }
    let waiting = api.ctx.pool.lock().get(&hash);
    Ok(waiting.map(|tx| tx.encoded()).unwrap_or_default())
}
