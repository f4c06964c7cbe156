//! Accounts, code, storage and their proofs, at any height that is not pruned.

use alloy_consensus::constants::KECCAK_EMPTY;
use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_rpc_types_eth::{AccountInfo, EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy_serde::JsonStorageKey;
use causeway_execution::StateSource;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;

use crate::api::{Api, Call, method};
use crate::errors::Fault;
use crate::lanes::Cost;

pub(crate) fn register(module: &mut RpcModule<Api>) -> Result<(), RegisterMethodError> {
    method(module, "eth_getBalance", Cost::Read, 2, balance)?;
    method(module, "eth_getCode", Cost::Read, 2, code)?;
    method(module, "eth_getStorageAt", Cost::Read, 3, storage_at)?;
    method(module, "eth_getTransactionCount", Cost::Read, 2, transaction_count)?;
    method(module, "eth_getAccountInfo", Cost::Read, 2, account_info)?;
    method(module, "eth_getProof", Cost::Heavy, 3, proof)
}

fn balance(api: &Api, call: &Call<'_>) -> Result<U256, Fault> {
    let address: Address = call.args.required(0)?;
    let state = api.state(call.args.block(1)?)?.state;
    Ok(api.read(state.account(address))?.unwrap_or_default().balance)
}

fn code(api: &Api, call: &Call<'_>) -> Result<Bytes, Fault> {
    let address: Address = call.args.required(0)?;
    let state = api.state(call.args.block(1)?)?.state;
    code_of(api, &*state, address)
}

fn code_of(api: &Api, state: &dyn StateSource, address: Address) -> Result<Bytes, Fault> {
    match api.read(state.account(address))? {
        Some(account) if account.code_hash != KECCAK_EMPTY => api.read(state.code(account.code_hash)),
        _ => Ok(Bytes::new()),
    }
}

fn storage_at(api: &Api, call: &Call<'_>) -> Result<B256, Fault> {
    let address: Address = call.args.required(0)?;
    let key: JsonStorageKey = call.args.required(1)?;
    let state = api.state(call.args.block(2)?)?.state;
    Ok(B256::from(api.read(state.storage(address, slot(&key)))?))
}

fn transaction_count(api: &Api, call: &Call<'_>) -> Result<U64, Fault> {
    let address: Address = call.args.required(0)?;
    let id = call.args.block(1)?;
    let state = api.state(id)?.state;
    let nonce = api.read(state.account(address))?.unwrap_or_default().nonce;
    if !id.is_pending() {
        return Ok(U64::from(nonce));
    }
    let waiting = api.ctx.pool.lock().pending_nonce(&address);
    Ok(U64::from(waiting.map_or(nonce, |waiting| waiting.max(nonce))))
}

fn account_info(api: &Api, call: &Call<'_>) -> Result<AccountInfo, Fault> {
    let address: Address = call.args.required(0)?;
    let state = api.state(call.args.block(1)?)?.state;
    let account = api.read(state.account(address))?.unwrap_or_default();
    let code = code_of(api, &*state, address)?;
    Ok(AccountInfo { balance: account.balance, nonce: account.nonce, code })
}

fn proof(api: &Api, call: &Call<'_>) -> Result<EIP1186AccountProofResponse, Fault> {
    let address: Address = call.args.required(0)?;
    let keys: Vec<JsonStorageKey> = call.args.optional(1)?.unwrap_or_default();
    let limit = api.limits.proof_keys;
    if keys.len() > limit {
        return Err(Fault::Limit(format!("too many storage keys: {}, the most in one request is {limit}", keys.len())));
    }
    let at = api.state(call.args.block(2)?)?;
    let state = &*at.state;
    let account = api.read(state.account(address))?.unwrap_or_default();
    let owner = keccak256(address);
    let account_proof = prove(state, None, at.header.state_root, owner)?;
    let mut storage_proof = Vec::with_capacity(keys.len());
    for key in keys {
        call.check_deadline(&api.limits)?;
        let slot = slot(&key);
        let value = api.read(state.storage(address, slot))?;
        let proof = prove(state, Some(owner), account.storage_root, keccak256(B256::from(slot)))?;
        storage_proof.push(EIP1186StorageProof { key, value, proof });
    }
    Ok(EIP1186AccountProofResponse {
        address,
        balance: account.balance,
        code_hash: account.code_hash,
        nonce: account.nonce,
        storage_hash: account.storage_root,
        account_proof,
        storage_proof,
    })
}

fn prove(state: &dyn StateSource, owner: Option<B256>, root: B256, key: B256) -> Result<Vec<Bytes>, Fault> {
    causeway_trie::prove(state, owner, root, key).map_err(|error| Fault::internal("state trie", error))
}

fn slot(key: &JsonStorageKey) -> U256 {
    U256::from_be_bytes(key.as_b256().0)
}
